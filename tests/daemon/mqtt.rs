//! The daemon at a real broker, ordered by mosquitto's own clients.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::broker::{Broker, properties};
use crate::pair::Pair;
use crate::roomd::{PATIENCE, Roomd};
use crate::{film, gate};

/// A box at `broker`, and its id.
fn at(broker: &Broker, more: &str) -> (Roomd, String) {
    let roomd = Roomd::start(&format!("{}{more}", broker.config()));
    let id = roomd.ask(&["info"])["id"].as_str().expect("an id").to_owned();
    (roomd, id)
}

fn online(status: &Value) -> bool {
    status["state"] == "online"
}

#[test]
fn a_film_is_recorded_on_command_by_mqtt_and_the_broker_shows_what_the_box_does() {
    let _gate = gate::undisturbed();
    let broker = Broker::start();
    let ear = broker.listen("ear");
    let source = format!("file:{}", crate::parts::film().display());
    let sources = format!("[camera]\nsource = {source:?}\n[microphone]\nsource = {source:?}\n");
    let (mut roomd, id) = at(&broker, &sources);
    let status = ear.wait("status", online);
    assert!(status["boot_id"].is_string() && status["conn_seq"] == 1, "{status}");
    let info = ear.wait("info", |_| true);
    assert_eq!(info["id"], id.as_str());
    let commands = info["commands"].to_string();
    assert!(commands.contains("recording.set"), "{info}");
    ear.wait("state", |state| state["camera"]["status"] == "running");
    let late = broker.listen("late");
    for leaf in ["status", "info", "state"] {
        late.wait(leaf, |_| true);
    }
    assert!(
        late.heard().iter().take(3).all(|heard| heard.retained),
        "kept for who comes late: {:?}",
        late.heard()
    );

    let reply = broker.ask(&id, "recording.set", r#"{"on": true, "id": "by-mqtt"}"#, "on");
    assert_eq!(
        (&reply["id"], &reply["code"], &reply["ok"]),
        (&json!("on"), &json!("ok"), &json!(true)),
        "{reply}"
    );
    let state =
        ear.wait("state", |state| state["recording"]["on"] == true && state["recording"]["file"].is_string());
    assert_eq!(state["recording"]["id"], "by-mqtt", "{state}");
    let began = Instant::now();
    roomd.wait_for("twenty seconds", |_| began.elapsed() >= Duration::from_secs(20));
    let reply = broker.ask(&id, "recording.set", r#"{"on": false}"#, "off");
    assert_eq!(reply["ok"], true, "{reply}");
    ear.wait("state", |now| now["recording"]["on"] == false && now["seq"].as_u64() > state["seq"].as_u64());
    check_film(Path::new(state["recording"]["file"].as_str().unwrap_or_default()));

    let seqs: Vec<u64> = ear.documents("state").iter().filter_map(|state| state["seq"].as_u64()).collect();
    assert!(
        seqs.windows(2).all(|pair| pair[0] < pair[1]),
        "each version of the state once, in order: {seqs:?}"
    );
    roomd.stop();
    let status = ear.wait("status", |status| status["state"] == "offline");
    assert_eq!(status["reason"], "stopping", "said by the box itself");
}

fn check_film(file: &Path) {
    let probe = film::probe(file);
    let (video, audio) = (film::stream(&probe, "video"), film::stream(&probe, "audio"));
    assert_eq!((&video["codec_name"], &audio["codec_name"]), (&json!("h264"), &json!("aac")));
    assert_eq!((&video["width"], &video["height"]), (&json!(1280), &json!(720)));
    let packets: f64 = video["nb_read_packets"].as_str().and_then(|text| text.parse().ok()).expect("packets");
    let seconds = film::duration(&probe);
    assert!((packets / seconds - 30.0).abs() < 1.5, "{packets} pictures in {seconds} s");
    assert!((18.0..=24.0).contains(&seconds), "{seconds} s");
    film::decodes_without_error(file);
}

#[test]
fn commands_that_break_a_rule_are_refused_and_a_huge_one_disconnects_nobody() {
    let _gate = gate::undisturbed();
    let broker = Broker::start();
    let ear = broker.listen("ear");
    let (roomd, id) = at(&broker, "");
    ear.wait("status", online);

    let huge = json!({"on": true, "id": "x".repeat(20_000)}).to_string();
    for n in 0..3 {
        broker.order(&id, "recording.set", &huge, &properties(&format!("huge{n}"), Some(30)), &[]);
    }
    assert_eq!(broker.ask(&id, "ping", "{}", "after-huge")["ok"], true, "the box still hears");

    let on = r#"{"on": true}"#;
    broker.order(&id, "recording.set", on, &properties("kept", Some(30)), &["-r"]);
    let reply = ear.wait("orders", |reply| reply["id"] == "kept");
    assert_eq!(reply["code"], "bad_request", "{reply}");
    assert!(reply["message"].as_str().is_some_and(|text| text.contains("retained")), "{reply}");
    broker.order(&id, "recording.set", on, &properties("timeless", None), &[]);
    let reply = ear.wait("orders", |reply| reply["id"] == "timeless");
    assert_eq!(reply["code"], "bad_request", "{reply}");
    assert!(reply["message"].as_str().is_some_and(|text| text.contains("Expiry")), "{reply}");

    assert_eq!(broker.ask(&id, "ping", "{}", "last")["ok"], true);
    assert_eq!(roomd.state()["recording"]["on"], false, "none of them was run");
    let statuses = ear.documents("status");
    assert!(statuses.iter().all(|status| online(status) && status["conn_seq"] == 1), "{statuses:?}");
}

#[test]
fn a_duplicate_is_answered_again_and_not_run_again() {
    answered_twice(|roomd, broker, id| {
        assert_eq!(broker.ask(id, "recording.set", r#"{"on": false}"#, "off")["ok"], true);
        roomd
    });
}

#[test]
fn a_command_that_comes_again_after_a_kill_is_answered_from_the_database_and_not_run_again() {
    answered_twice(|roomd, broker, _| {
        assert_eq!(roomd.ask(&["record", "off"])["ok"], true);
        Roomd::start_in(roomd.kill(), &broker.config())
    });
}

/// Orders a recording, has `between` end it, and gives the same order again.
fn answered_twice(between: impl FnOnce(Roomd, &Broker, &str) -> Roomd) {
    let _gate = gate::undisturbed();
    let broker = Broker::start();
    let (roomd, id) = at(&broker, "");
    let on = || broker.ask(&id, "recording.set", r#"{"on": true}"#, "twice");
    let first = on();
    assert_eq!(first["ok"], true, "{first}");
    let roomd = between(roomd, &broker, &id);
    assert_eq!(on(), first, "the same answer");
    assert_eq!(broker.ask(&id, "ping", "{}", "last")["ok"], true);
    assert_eq!(roomd.state()["recording"]["on"], false);
    let begun = roomd.log().matches("roomd::daemon::recording: recording id=").count();
    assert_eq!(begun, 1, "it was run {begun} times\n{}", roomd.log());
}

#[test]
fn a_broker_that_comes_late_and_is_slow_leaves_the_box_at_work() {
    let _gate = gate::undisturbed();
    let mut broker = Broker::absent();
    let (roomd, id) = at(&broker, "");
    // Nobody there: everything else works.
    assert_eq!(roomd.ask(&["record", "on"])["ok"], true);
    assert_eq!(roomd.ask(&["record", "off"])["ok"], true);
    broker.launch();
    let ear = broker.listen("ear");
    ear.wait("status", online);
    assert_eq!(broker.ask(&id, "ping", "{}", "late")["ok"], true);

    broker.signal("STOP");
    for on in ["on", "off", "on", "off"] {
        assert_eq!(roomd.ask(&["record", on])["ok"], true);
    }
    roomd.ask(&["mute"]);
    broker.signal("CONT");
    ear.wait("state", |state| state["microphone"]["muted"] == true);
    assert_eq!(broker.ask(&id, "ping", "{}", "slow")["ok"], true);
    let statuses = ear.documents("status");
    assert!(statuses.iter().all(online), "a slow moment is no absence: {statuses:?}");
    roomd.stop();
}

#[test]
fn a_box_that_was_killed_is_offline_by_its_last_will_and_online_again_when_it_is_back() {
    let _gate = gate::undisturbed();
    let broker = Broker::start();
    let ear = broker.listen("ear");
    let (roomd, _) = at(&broker, "");
    let before = ear.wait("status", online);
    let dir = roomd.kill();
    // The broker waits for the will delay: a box that is back within 15 s was never away.
    let will = ear.wait("status", |status| status["state"] == "offline");
    assert_eq!(
        (&will["boot_id"], &will["reason"]),
        (&before["boot_id"], &json!("connection lost")),
        "{will}"
    );
    let roomd = Roomd::start_in(dir, &broker.config());
    let back = ear.wait("status", |status| online(status) && status["boot_id"] != before["boot_id"]);
    assert!(back["boot_id"].is_string(), "{back}");
    roomd.stop();
}

#[test]
fn roomctl_orders_the_box_over_the_broker() {
    let _gate = gate::undisturbed();
    let broker = Broker::start();
    let (roomd, id) = at(&broker, "");
    let ctl = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_roomctl"))
            .args(["--broker", &broker.url(), "--box", &id, "--json", "--timeout", "20"])
            .args(arguments)
            .output()
            .expect("roomctl runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), serde_json::from_str::<Value>(&text).unwrap_or(Value::Null))
    };
    assert_eq!(ctl(&["ping"]).0, Some(0));
    assert_eq!(ctl(&["mute"]).0, Some(0));
    let (code, refused) = ctl(&["unmute"]);
    assert_eq!(code, Some(1), "the people in the room own their microphone: {refused}");
    assert!(refused["code"].is_string() && refused["ok"] == false, "{refused}");
    let (code, state) = ctl(&["state"]);
    assert_eq!((code, &state["microphone"]["muted"]), (Some(0), &json!(true)), "{state}");
    roomd.stop();
}

#[test]
fn a_box_ends_its_own_room_by_order_and_another_boxs_not() {
    let _gate = gate::undisturbed();
    let mut pair = Pair::start();
    let refused = pair.guest.ctl(&["end"]);
    let said: Value = serde_json::from_slice(&refused.stdout).expect("JSON");
    assert_eq!((refused.status.code(), &said["code"]), (Some(1), &json!("unsupported")), "{said}");
    let ended = pair.server.ask(&["end"]);
    assert_eq!(ended["data"]["room"], "lobby", "{ended}");
    assert_eq!(pair.server.state()["room"], Value::Null);
    pair.guest.wait_for("the guest out of the room, for good", |guest| guest.state()["room"] == Value::Null);
    let deadline = Instant::now() + PATIENCE;
    while pair.metric("roomd_rooms") > 0.0 {
        assert!(Instant::now() < deadline, "the room goes on");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(pair.server.ask(&["end"])["ok"] == true, "as often as one likes");
}

#[test]
fn a_room_is_ended_by_mqtt() {
    let _gate = gate::undisturbed();
    let broker = Broker::start();
    let (mut roomd, id) = at(&broker, "[room]\nname = \"lobby\"\n");
    roomd.wait_for("the box in its room", |roomd| roomd.state()["room"]["status"] == "joined");
    let reply = broker.ask(&id, "room.end", "{}", "end");
    assert_eq!((&reply["code"], &reply["data"]["room"]), (&json!("ok"), &json!("lobby")), "{reply}");
    assert_eq!(roomd.state()["room"], Value::Null);
}
