//! The MQTT bridge against a real mosquitto: every rule of the contract's section 5 that a broker can show.

#![allow(clippy::unwrap_used)]

#[path = "mqtt/fleet.rs"]
mod fleet;
#[path = "mqtt_support/mod.rs"]
mod support;
#[path = "mqtt/tree.rs"]
mod tree;

use std::time::Duration;

use roomd::control::{Code, Command};
use rumqttc::mqttbytes::v5::PublishProperties;
use serde_json::{Value, json};
use support::{Asker, Broker, TestBox, command, properties, topic};
use tokio::sync::watch;

#[tokio::test]
async fn a_box_says_online_what_it_is_and_what_it_does_and_answers_by_the_contract() {
    let broker = Broker::start().await;
    let testbox = TestBox::start(&broker).await;
    let mut asker = Asker::connect(&broker).await;
    asker.subscribe(&topic("#")).await;
    let status = asker.document("status").await;
    assert_eq!(
        (&status["state"], &status["boot_id"], &status["conn_seq"]),
        (&json!("online"), &json!("boot1"), &json!(1))
    );
    assert_eq!(asker.document("info").await["version"], "test");
    assert_eq!(asker.document("state").await["seq"], 1);

    asker.publish(&command("ping"), "", properties("c1")).await;
    let (reply, sent) = asker.reply().await;
    assert_eq!(
        reply,
        json!({"id": "c1", "ok": true, "code": "ok", "message": "done", "retryable": false,
        "data": {"command": "ping", "issuer": "app", "local": false}})
    );
    assert_eq!(
        sent.user_properties,
        [("status", "200"), ("box", "box1")].map(|(key, value)| (key.to_owned(), value.to_owned()))
    );
    assert_eq!(sent.correlation_data.as_deref(), Some(&b"c1"[..]));

    let mut named = properties("c2");
    named.user_properties.push(("issuer".to_owned(), "alice".to_owned()));
    asker.publish(&command("room.join"), r#"{"room":"lobby"}"#, named).await;
    assert_eq!(asker.reply().await.0["data"]["issuer"], "alice");

    testbox.state.update(|state| state.microphone.muted = true);
    let state = asker.next_document("state", |state| state["seq"] == 2).await;
    assert_eq!(state["microphone"]["muted"], true);
    testbox.stop().await;
    let status = asker.next_document("status", |status| status["state"] == "offline").await;
    assert_eq!(status["reason"], "stopping");
}

#[tokio::test]
async fn commands_that_break_a_rule_are_refused_and_never_run() {
    let broker = Broker::start().await;
    let testbox = TestBox::start(&broker).await;
    let mut asker = Asker::connect(&broker).await;

    asker.publish_retained(&command("ping"), "", properties("r")).await;
    let (reply, sent) = asker.reply().await;
    assert_eq!((&reply["id"], &reply["code"]), (&json!("r"), &json!("bad_request")));
    assert!(reply["message"].as_str().unwrap().contains("retained"));
    assert_eq!(
        sent.user_properties,
        [("status", "400"), ("box", "box1")].map(|(key, value)| (key.to_owned(), value.to_owned()))
    );

    let no_expiry = PublishProperties { message_expiry_interval: None, ..properties("e") };
    let no_correlation = PublishProperties { correlation_data: None, ..properties("") };
    for (name, payload, properties, word) in [
        ("ping", "", no_expiry, "Expiry"),
        ("ping", "", no_correlation, "Correlation"),
        ("dance", "", properties("u"), "room.join"),
        ("recording.set", r#"{"on":"yes"}"#, properties("p"), "boolean"),
        ("recording.set", "\u{0}\u{7f}[[[", properties("g"), "recording.set"),
    ] {
        asker.publish(&command(name), payload, properties).await;
        let reply = asker.reply().await.0;
        assert_eq!(reply["code"], "bad_request", "{name} {payload}");
        assert!(reply["message"].as_str().unwrap().contains(word), "{reply}");
    }

    for response in [None, Some("roomd/v1/default/d/box1/status"), Some("roomd/v1/other/c/app/reply")] {
        let response_topic = response.map(str::to_owned);
        let properties = PublishProperties { response_topic, ..properties("x") };
        asker.publish(&command("room.leave"), "", properties).await;
    }
    testbox.until(|status| status.unanswerable == 3).await;
    assert_eq!(asker.ping().await["ok"], true);
    assert!(testbox.ran().iter().all(|command| *command == Command::Ping), "{:?}", testbox.ran());
    assert_eq!(testbox.status.borrow().refused, 6);
}

#[tokio::test]
async fn a_command_kept_retained_by_the_broker_is_not_run_at_a_connect() {
    let broker = Broker::start().await;
    let mut asker = Asker::connect(&broker).await;
    asker.publish_retained(&command("room.leave"), "", properties("old")).await;
    let testbox = TestBox::start(&broker).await;
    assert_eq!(asker.ping().await["ok"], true);
    assert_eq!(testbox.ran(), [Command::Ping]);
}

#[tokio::test]
async fn a_duplicate_is_answered_again_and_run_once_also_while_the_first_still_runs() {
    let broker = Broker::start().await;
    let testbox = TestBox::start(&broker).await;
    let mut asker = Asker::connect(&broker).await;
    testbox.hold();
    for _ in 0..3 {
        asker.publish(&command("room.join"), r#"{"room":"slow"}"#, properties("same")).await;
    }
    testbox.until(|status| status.duplicates == 2).await;
    testbox.release();
    let first = asker.reply().await.0;
    assert_eq!(first["ok"], true);
    // One reply for the three; the next one that comes is the ping's.
    assert_eq!(asker.ping().await["ok"], true);
    asker.publish(&command("room.join"), r#"{"room":"slow"}"#, properties("same")).await;
    assert_eq!(asker.reply().await.0, first);
    let joins = testbox.ran().into_iter().filter(|command| matches!(command, Command::RoomJoin(_))).count();
    assert_eq!(joins, 1);
}

#[tokio::test]
async fn only_listed_issuers_may_command() {
    let broker = Broker::start().await;
    let testbox =
        TestBox::with(&broker, |config| config.issuers = watch::channel(vec!["alice".to_owned()]).1).await;
    let mut asker = Asker::connect(&broker).await;
    asker.publish(&command("ping"), "", properties("1")).await;
    let (reply, sent) = asker.reply().await;
    assert_eq!(reply["code"], "unauthorized");
    assert_eq!(sent.user_properties[0].1, "403");
    let mut alice = properties("2");
    alice.user_properties.push(("issuer".to_owned(), "alice".to_owned()));
    asker.publish(&command("ping"), "", alice).await;
    assert_eq!(asker.reply().await.0["ok"], true);
    assert_eq!(testbox.ran().len(), 1);
}

#[tokio::test]
async fn a_command_of_20_kb_does_not_disconnect_the_box() {
    let broker = Broker::start().await;
    let testbox = TestBox::start(&broker).await;
    let mut asker = Asker::connect(&broker).await;
    let large = json!({"room": "x".repeat(20_000)}).to_string();
    for n in 0..3 {
        asker.publish(&command("room.join"), &large, properties(&format!("big{n}"))).await;
    }
    assert_eq!(asker.ping().await["ok"], true);
    assert_eq!(testbox.ran(), [Command::Ping]);
    assert_eq!(testbox.status.borrow().connections, 1);
}

#[tokio::test]
async fn a_flood_of_20_kb_commands_does_not_leave_the_box_deaf() {
    // mosquitto 2.0.11 counts what it drops as too large against the box's receive maximum, for ever.
    let broker = Broker::start().await;
    let probe_after = Duration::from_millis(300);
    let testbox = TestBox::with(&broker, |config| config.probe_after = probe_after).await;
    let mut asker = Asker::connect(&broker).await;
    let large = json!({"room": "x".repeat(20_000)}).to_string();
    for n in 0..40 {
        asker.publish(&command("room.join"), &large, properties(&format!("big{n}"))).await;
    }
    assert_eq!(asker.ping().await["ok"], true);
    assert_eq!(testbox.ran(), [Command::Ping]);
}

#[tokio::test]
async fn a_late_last_will_is_put_right() {
    let broker = Broker::start().await;
    let _box = TestBox::start(&broker).await;
    let mut asker = Asker::connect(&broker).await;
    asker.subscribe(&topic("status")).await;
    assert_eq!(asker.document("status").await["state"], "online");
    let will = r#"{"state":"offline","boot_id":"boot0","conn_seq":7,"ts":"","reason":"connection lost"}"#;
    asker.publish_retained(&topic("status"), will, PublishProperties::default()).await;
    asker.next_document("status", |status| status["state"] == "offline").await;
    let status = asker.next_document("status", |status| status["state"] == "online").await;
    assert_eq!(status["boot_id"], "boot1");
}

#[tokio::test]
async fn a_broker_that_takes_little_gets_replies_without_data_and_keeps_the_connection() {
    let broker = Broker::with(&["max_packet_size 700"]).await;
    let testbox = TestBox::start(&broker).await;
    let mut asker = Asker::connect(&broker).await;
    testbox.answer_with(json!({"blob": "x".repeat(3000)}));
    asker.publish(&command("ping"), "", properties("1")).await;
    let reply = asker.reply().await.0;
    assert_eq!((&reply["ok"], &reply["data"]), (&json!(true), &Value::Null));
    assert!(reply["message"].as_str().unwrap().contains("700 bytes"));
    let status = testbox.status.borrow().clone();
    assert_eq!(status.connections, 1);
    assert!(status.too_large >= 1);
}

#[tokio::test]
async fn after_the_broker_was_killed_the_box_is_back_online_hears_and_has_said_its_state() {
    let mut broker = Broker::start().await;
    let testbox = TestBox::start(&broker).await;
    broker.kill().await;
    testbox.until(|status| status.connection == roomd::mqtt::Connection::BackingOff).await;
    assert!(testbox.status.borrow().reason.is_some());
    testbox.state.update(|state| state.microphone.muted = true);
    broker.restart().await;
    testbox.until(|status| status.connection == roomd::mqtt::Connection::Online).await;
    let mut asker = Asker::connect(&broker).await;
    assert_eq!(asker.ping().await["ok"], true);
    asker.subscribe(&topic("#")).await;
    let state = asker.next_document("state", |state| state["seq"] == 2).await;
    assert_eq!(state["microphone"]["muted"], true);
    let status = asker.next_document("status", |status| status["state"] == "online").await;
    assert!(status["conn_seq"].as_u64().unwrap() > 1);
}

#[tokio::test]
async fn a_restarted_box_resumes_its_session_and_runs_what_waited_for_it() {
    let broker = Broker::start().await;
    TestBox::start(&broker).await.stop().await;
    let mut asker = Asker::connect(&broker).await;
    asker.publish(&command("room.leave"), "", properties("waiting")).await;
    let testbox = TestBox::start(&broker).await;
    assert_eq!(asker.reply().await.0["id"], "waiting");
    assert_eq!(asker.ping().await["ok"], true);
    assert_eq!(testbox.ran(), [Command::RoomLeave, Command::Ping]);
    assert_eq!(testbox.status.borrow().connections, 1);
}

#[tokio::test]
async fn a_command_that_expired_while_the_box_was_away_is_not_run() {
    let broker = Broker::start().await;
    TestBox::start(&broker).await.stop().await;
    let mut asker = Asker::connect(&broker).await;
    let short = PublishProperties { message_expiry_interval: Some(1), ..properties("short") };
    asker.publish(&command("room.leave"), "", short).await;
    // Waiting is the thing tested: real time has to pass at the broker.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let testbox = TestBox::start(&broker).await;
    assert_eq!(asker.ping().await["ok"], true);
    assert_eq!(testbox.ran(), [Command::Ping]);
}

#[tokio::test]
async fn a_box_that_dies_is_reported_offline_by_its_last_will() {
    let broker = Broker::start().await;
    let testbox = TestBox::with(&broker, |config| config.will_delay_s = 0).await;
    let mut asker = Asker::connect(&broker).await;
    asker.subscribe(&topic("status")).await;
    assert_eq!(asker.document("status").await["state"], "online");
    testbox.kill();
    let status = asker.next_document("status", |status| status["state"] == "offline").await;
    assert_eq!(
        (&status["reason"], &status["boot_id"], &status["conn_seq"]),
        (&json!("connection lost"), &json!("boot1"), &json!(1))
    );
}

#[tokio::test]
async fn a_broker_that_is_absent_or_refuses_leaves_the_box_alone_and_secrets_unsaid() {
    let broker = Broker::with_anonymous(false).await;
    let dir = tempfile::tempdir().unwrap();
    let password = dir.path().join("password");
    std::fs::write(&password, "s3cret-word\n").unwrap();
    let testbox = TestBox::offline(&broker, |config| {
        config.access.username = Some("me".to_owned());
        config.access.password_file = Some(password);
    })
    .await;
    testbox.until(|status| status.attempts >= 2).await;
    let reason = testbox.status.borrow().reason.clone().unwrap();
    assert!(reason.contains("refused") && !reason.contains("s3cret"), "{reason}");
    let reply = testbox.control.submit(Command::Ping, support::at_the_box()).await;
    assert_eq!(reply.code, Code::Ok);
    testbox.stop().await;
}

#[tokio::test]
async fn two_boxes_of_one_client_id_do_not_throw_each_other_out_in_a_storm() {
    let broker = Broker::start().await;
    let rarely = |config: &mut roomd::mqtt::Config| {
        config.reconnect_spread = std::time::Duration::from_secs(3600);
    };
    let first = TestBox::with(&broker, rarely).await;
    let clone = TestBox::with(&broker, rarely).await;
    first.until(|status| status.connection == roomd::mqtt::Connection::BackingOff).await;
    // mosquitto hangs up without a word; others send DISCONNECT with "session taken over".
    assert!(first.status.borrow().reason.is_some());
    assert_eq!((first.status.borrow().attempts, clone.status.borrow().attempts), (1, 1));
    first.stop().await;
    clone.stop().await;
}

#[tokio::test]
async fn noise_instead_of_a_broker_is_survived() {
    let noise = support::noise_server().await;
    let testbox = TestBox::offline_at(noise, |_| {}).await;
    testbox.until(|status| status.attempts >= 3).await;
    assert_eq!(testbox.control.submit(Command::Ping, support::at_the_box()).await.code, Code::Ok);
    testbox.stop().await;
}

#[tokio::test]
async fn a_file_that_is_missing_is_named_and_waited_for() {
    let broker = Broker::start().await;
    let missing = std::path::PathBuf::from("/nonexistent/jwt");
    let testbox = TestBox::offline(&broker, |config| config.access.jwt_file = Some(missing)).await;
    testbox.until(|status| status.reason.as_ref().is_some_and(|r| r.contains("/nonexistent/jwt"))).await;
    testbox.stop().await;
}

#[tokio::test]
async fn roomctl_orders_a_box_over_the_broker() {
    let broker = Broker::start().await;
    let testbox = TestBox::start(&broker).await;
    let (exit, out) = support::roomctl(&broker, "box1", &["--json", "ping"]).await;
    let reply: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((exit, &reply["data"]["command"]), (0, &json!("ping")));
    let (exit, out) = support::roomctl(&broker, "box1", &["join", "lobby"]).await;
    assert_eq!((exit, out.lines().next()), (0, Some("done")));
    let (exit, out) = support::roomctl(&broker, "box1", &["--json", "state"]).await;
    assert_eq!((exit, serde_json::from_str::<Value>(&out).unwrap()["seq"].clone()), (0, json!(1)));
    let (exit, out) = support::roomctl(&broker, "box1", &["cmd", "dance"]).await;
    assert!(exit == 1 && out.contains("bad_request"), "{exit} {out}");
    assert_eq!(support::roomctl(&broker, "box1", &["admin-link"]).await.0, 2);
    assert_eq!(support::roomctl(&broker, "nobody", &["ping"]).await.0, 3);
    testbox.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn commands_are_run_in_the_order_in_which_they_came() {
    let broker = Broker::start().await;
    let testbox = TestBox::start(&broker).await;
    let mut asker = Asker::connect(&broker).await;
    let rooms: Vec<_> = (0..100).map(|n| format!("room{n}")).collect();
    for room in &rooms {
        asker.publish(&command("room.join"), &json!({"room": room}).to_string(), properties(room)).await;
        assert_eq!(asker.reply().await.0["ok"], true);
    }
    testbox.hold();
    for room in rooms.iter().take(30) {
        let again = format!("again-{room}");
        asker.publish(&command("room.join"), &json!({"room": room}).to_string(), properties(&again)).await;
    }
    testbox.release();
    for _ in 0..30 {
        asker.reply().await;
    }
    let joined: Vec<_> = testbox
        .ran()
        .into_iter()
        .filter_map(|command| match command {
            Command::RoomJoin(join) => Some(join.room),
            _ => None,
        })
        .collect();
    let expected: Vec<_> = rooms.iter().chain(rooms.iter().take(30)).cloned().collect();
    assert_eq!(joined, expected);
}

#[tokio::test]
async fn commands_to_a_group_of_the_box_are_taken_too() {
    let broker = Broker::start().await;
    let testbox = TestBox::fed(&broker, |feeds| feeds.groups = watch::channel(vec!["floor2".to_owned()]).1);
    testbox.until_online().await;
    let mut asker = Asker::connect(&broker).await;
    asker.publish("roomd/v1/default/g/floor2/cmd/ping", "", properties("g")).await;
    assert_eq!(asker.reply().await.0["id"], "g");
}

#[tokio::test]
async fn a_broker_that_hangs_does_not_hold_up_the_end_of_the_box() {
    let broker = Broker::start().await;
    let testbox = TestBox::start(&broker).await;
    broker.freeze().await;
    testbox.state.update(|state| state.microphone.muted = true);
    testbox.stop().await;
}

#[tokio::test]
async fn tls_with_a_client_certificate_is_spoken_and_a_strange_broker_is_not_trusted() {
    let authority = support::Authority::new();
    let broker = Broker::with_tls(&authority).await;
    let testbox = TestBox::with(&broker, |config| authority.grant(&mut config.access)).await;
    testbox.stop().await;

    let stranger = support::Authority::new();
    let wary = TestBox::offline(&broker, |config| stranger.grant(&mut config.access)).await;
    wary.until(|status| status.attempts >= 2).await;
    let status = wary.status.borrow().clone();
    assert_eq!(status.connections, 0);
    assert!(
        status.reason.is_some_and(|reason| reason.contains("invalid peer certificate")),
        "{:?}",
        wary.status.borrow()
    );
    wary.stop().await;
}

#[tokio::test]
async fn a_token_that_is_renewed_lets_the_box_in_without_a_restart() {
    let broker = Broker::with_password("box1", "token-2").await;
    let dir = tempfile::tempdir().unwrap();
    let jwt = dir.path().join("jwt");
    std::fs::write(&jwt, "token-1\n").unwrap();
    let testbox = TestBox::offline(&broker, |config| config.access.jwt_file = Some(jwt.clone())).await;
    testbox.until(|status| status.attempts >= 2).await;
    assert!(testbox.status.borrow().reason.as_ref().is_some_and(|reason| !reason.contains("token-1")));
    std::fs::write(&jwt, "token-2\n").unwrap();
    testbox.until(|status| status.connection == roomd::mqtt::Connection::Online).await;
    assert_eq!(testbox.status.borrow().reason, None);
    testbox.stop().await;
}

#[tokio::test]
async fn by_the_sample_configuration_a_box_with_its_certificate_obeys_operators_and_nobody_else() {
    let authority = support::Authority::new();
    let (broker, people) = Broker::by_the_sample(&authority).await;
    let testbox = TestBox::with(&broker, |config| authority.grant(&mut config.access)).await;
    assert_eq!(testbox.status.borrow().reason, None, "every subscription is granted");
    let order = |user: &'static str, box_id: &str| {
        let (topic, reply) =
            (format!("roomd/v1/default/d/{box_id}/cmd/ping"), format!("roomd/v1/default/c/{user}/reply"));
        let args =
            ["-D", "publish", "message-expiry-interval", "9", "-D", "publish", "correlation-data", "1"];
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let args = [
            args,
            vec!["-t".into(), topic, "-e".into(), reply, "-m".into(), "{}".into(), "-W".into(), "3".into()],
        ];
        let broker = &broker;
        async move {
            let args = args.concat();
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            broker.client_as(user, people, "mosquitto_rr", &args).await
        }
    };
    let (exit, said) = order("operator", "box1").await;
    assert!(exit == 0 && said.contains("\"ok\":true"), "{exit} {said}");
    let (exit, said) = order("viewer", "box1").await;
    assert!(exit != 0 && !said.contains("\"ok\":true"), "{exit} {said}");
    let (exit, said) = order("stranger", "box1").await;
    assert!(exit != 0, "{exit} {said}");
    assert_eq!(testbox.ran().len(), 1, "the operator's");
    let all = ["-t", "roomd/v1/default/d/box1/+", "-C", "3", "-W", "5"];
    let (_, seen) = broker.client_as("viewer", people, "mosquitto_sub", &all).await;
    assert!(seen.contains("online") && seen.contains("camera"), "the box may write its documents: {seen}");
    testbox.stop().await;
}

#[tokio::test]
async fn a_subscription_that_the_broker_refuses_is_told() {
    let testbox = TestBox::offline_at(support::refusing_server().await, |_| {}).await;
    testbox
        .until(|status| {
            status.reason.as_ref().is_some_and(|reason| reason.contains("refuses our subscription"))
        })
        .await;
    testbox.stop().await;
}

#[tokio::test]
async fn a_token_that_is_renewed_while_the_box_is_online_is_connected_with_before_the_old_one_ends() {
    let broker = Broker::start().await;
    let dir = tempfile::tempdir().unwrap();
    let jwt = dir.path().join("jwt");
    std::fs::write(&jwt, "token-1\n").unwrap();
    let testbox = TestBox::with(&broker, |config| {
        config.access.jwt_file = Some(jwt.clone());
        config.token_look = Duration::from_millis(50);
    })
    .await;
    // The same token, written anew, is no new token; trouble with the file is none of the connection.
    std::fs::write(&jwt, "token-1\nand more\n").unwrap();
    std::fs::remove_file(&jwt).unwrap();
    assert_eq!(testbox.control.submit(Command::Ping, support::at_the_box()).await.code, Code::Ok);
    assert_eq!(testbox.status.borrow().connections, 1);
    std::fs::write(&jwt, "token-2\n").unwrap();
    testbox.until(|status| status.connections == 2).await;
    assert_eq!(testbox.status.borrow().attempts, 2, "at once, and at the first attempt");
    testbox.stop().await;
}

#[tokio::test]
async fn a_broker_that_falls_silent_is_noticed_after_two_keep_alives_and_the_box_connects_anew() {
    let broker = Broker::start().await;
    let testbox = TestBox::with(&broker, |config| config.keep_alive_s = 1).await;
    broker.freeze().await;
    testbox.until(|status| status.reason.as_ref().is_some_and(|r| r.contains("stopped answering"))).await;
    broker.thaw().await;
    testbox.until(|status| status.connections == 2).await;
    testbox.stop().await;
    // What the box does outside of tests.
    let usual = roomd::mqtt::Config::new(Default::default(), "f", "b", "boot");
    assert!(2 * usual.keep_alive_s <= 45);
}
