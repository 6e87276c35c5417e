//! The rest of the topic tree: retained documents, events, measurements, and what arrives beside commands.

use roomd::control::Command;
use roomd::control::event::EventKind;
use roomd::mqtt::{Connection, Place};
use rumqttc::QoS;
use rumqttc::mqttbytes::v5::PublishProperties;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::support::{Asker, Broker, TestBox, command, patiently, properties, topic};

const PLAIN: PublishProperties = PublishProperties {
    payload_format_indicator: None,
    message_expiry_interval: None,
    topic_alias: None,
    response_topic: None,
    correlation_data: None,
    user_properties: Vec::new(),
    subscription_identifiers: Vec::new(),
    content_type: None,
};

#[tokio::test]
async fn retained_documents_of_the_daemon_are_published_again_by_each_connection_and_removed_when_cleared() {
    let mut broker = Broker::start().await;
    let testbox = TestBox::start(&broker).await;
    let documents = testbox.feeds.documents.clone();
    let job = || Place::JobStatus("j1".to_owned());
    documents.set(Place::ConfigReported, json!({"desired_version": 1})).unwrap();
    documents.set(job(), json!({"status": "queued"})).unwrap();
    documents.set(job(), json!({"status": "running"})).unwrap();
    let mut asker = Asker::connect(&broker).await;
    asker.subscribe(&topic("#")).await;
    assert_eq!(asker.document("config/reported").await["desired_version"], 1);
    asker.next_document("job/j1/status", |status| status["status"] == "running").await;

    broker.kill().await;
    testbox.until(|status| status.connection == Connection::BackingOff).await;
    documents.set(Place::ConfigReported, json!({"desired_version": 2})).unwrap();
    broker.restart().await;
    testbox.until_online().await;
    let mut asker = Asker::connect(&broker).await;
    asker.subscribe(&topic("#")).await;
    assert_eq!(asker.document("config/reported").await["desired_version"], 2);
    assert_eq!(asker.document("job/j1/status").await["status"], "running");

    documents.clear(job()).unwrap();
    assert!(asker.message("job/j1/status").await.payload.is_empty());
    documents.set(job(), json!({"status": "queued"})).unwrap();
    assert_eq!(asker.document("job/j1/status").await["status"], "queued");
    documents.clear(job()).unwrap();
    assert!(asker.message("job/j1/status").await.payload.is_empty());
    testbox.stop().await;
}

#[tokio::test]
async fn events_wait_for_the_broker_and_say_how_long_they_are_still_worth_knowing() {
    let broker = Broker::start().await;
    let mut asker = Asker::connect(&broker).await;
    asker.subscribe(&topic("event/+")).await;
    let testbox = TestBox::fed(&broker, |feeds| {
        for n in 0..140 {
            feeds.events.push(EventKind::JobEnded, json!({"n": n}));
        }
    });
    // The oldest twelve had no place.
    for n in 12..140 {
        let publish = asker.message("event/job_ended").await;
        let event: Value = serde_json::from_slice(&publish.payload).unwrap();
        assert_eq!((&event["type"], &event["data"]["n"]), (&json!("job_ended"), &json!(n)));
        assert_eq!((publish.qos, publish.retain), (QoS::AtLeastOnce, false));
        let expiry = publish.properties.unwrap().message_expiry_interval.unwrap();
        assert!((86_000..=86_400).contains(&expiry), "{expiry}");
    }
    testbox.until(|status| status.events_dropped == 12).await;
    testbox.feeds.events.push(EventKind::BoxStopping, Value::Null);
    testbox.stop().await;
    assert_eq!(asker.document("event/box_stopping").await["type"], "box_stopping");
}

#[tokio::test]
async fn measurements_are_sent_once_and_only_while_somebody_can_hear_them() {
    let mut broker = Broker::start().await;
    let (health, receiver) = watch::channel(json!(null));
    let testbox = TestBox::fed(&broker, |feeds| feeds.health = receiver);
    testbox.until_online().await;
    let mut asker = Asker::connect(&broker).await;
    asker.subscribe(&topic("tele/+")).await;
    health.send_replace(json!({"n": 1}));
    let publish = asker.message("tele/health").await;
    assert_eq!(
        (publish.qos, publish.retain, &publish.payload[..]),
        (QoS::AtMostOnce, false, &b"{\"n\":1}"[..])
    );
    broker.kill().await;
    testbox.until(|status| status.connection == Connection::BackingOff).await;
    health.send_replace(json!({"n": 2}));
    broker.restart().await;
    let mut asker = Asker::connect(&broker).await;
    asker.subscribe(&topic("tele/+")).await;
    testbox.until_online().await;
    assert_eq!(asker.ping().await["ok"], true);
    health.send_replace(json!({"n": 3}));
    assert_eq!(asker.document("tele/health").await["n"], 3);
    testbox.stop().await;
}

#[tokio::test]
async fn what_arrives_beside_commands_is_handed_over_and_sent_again_unless_it_was_taken() {
    let broker = Broker::start().await;
    let mut asker = Asker::connect(&broker).await;
    asker.publish_retained(&topic("config/desired"), "{\"version\":1}", PLAIN).await;
    asker.publish_retained(&topic("job/old"), "{\"op\":\"x\"}", PLAIN).await;
    asker.publish_retained(&topic("set/record"), "ON", PLAIN).await;
    let (config, mut configs) = mpsc::channel(4);
    let (jobs, mut job) = mpsc::channel(4);
    let (set, mut sets) = mpsc::channel(4);
    let births = watch::Sender::new(0);
    let mut born = births.subscribe();
    let testbox = TestBox::fed(&broker, |feeds| {
        (feeds.config, feeds.jobs, feeds.set) = (Some(config), Some(jobs), Some(set));
        feeds.home_assistant = Some(births);
    });
    let desired = patiently("config/desired", configs.recv()).await.unwrap();
    assert_eq!(&desired.payload[..], b"{\"version\":1}");
    desired.taken();
    let old = patiently("a job", job.recv()).await.unwrap();
    assert_eq!((old.name.as_str(), &old.payload[..]), ("old", &b"{\"op\":\"x\"}"[..]));
    // Dropped: whoever should have taken it broke.
    drop(old);
    testbox.until_online().await;

    for (leaf, payload) in [("set/live", "OFF"), ("set/a/b", "ON"), ("set/room", "lobby")] {
        asker.publish(&topic(leaf), payload, PLAIN).await;
    }
    for (name, payload) in [("live", &b"OFF"[..]), ("room", b"lobby")] {
        let arrived = patiently("set", sets.recv()).await.unwrap();
        assert_eq!((arrived.name.as_str(), &arrived.payload[..]), (name, payload));
        arrived.taken();
    }
    asker.publish("homeassistant/status", "offline", PLAIN).await;
    asker.publish("homeassistant/status", "online", PLAIN).await;
    patiently("Home Assistant", born.wait_for(|births| *births == 1)).await.unwrap();
    asker.publish_retained(&topic("job/old"), "", PLAIN).await;
    let removed = patiently("the removal", job.recv()).await.unwrap();
    assert!(removed.name == "old" && removed.payload.is_empty());
    removed.taken();
    assert_eq!(asker.ping().await["ok"], true);
    assert_eq!(testbox.ran(), [Command::Ping]);
    testbox.stop().await;
}

#[tokio::test]
async fn more_than_the_daemon_takes_at_once_waits_in_order_and_nothing_is_lost() {
    let broker = Broker::start().await;
    let (jobs, mut job) = mpsc::channel(1);
    let testbox = TestBox::fed(&broker, |feeds| feeds.jobs = Some(jobs));
    testbox.until_online().await;
    let mut asker = Asker::connect(&broker).await;
    for n in 0..60 {
        asker.publish(&topic(&format!("job/j{n}")), "{}", PLAIN).await;
    }
    for n in 0..60 {
        let arrived = patiently("a job", job.recv()).await.unwrap();
        assert_eq!(arrived.name, format!("j{n}"));
        arrived.taken();
    }
    assert_eq!(asker.ping().await["ok"], true);
    assert_eq!(testbox.status.borrow().connections, 1);
    testbox.stop().await;
}

#[tokio::test]
async fn a_groups_command_is_run_once_within_its_spread_however_often_it_is_repeated() {
    let broker = Broker::start().await;
    let testbox = TestBox::fed(&broker, |feeds| feeds.groups = watch::channel(vec!["floor1".to_owned()]).1);
    testbox.until_online().await;
    let mut asker = Asker::connect(&broker).await;
    let leave = "roomd/v1/default/g/floor1/cmd/room.leave";
    for _ in 0..3 {
        asker.publish(leave, r#"{"spread_s":1}"#, properties("spread")).await;
    }
    asker.publish(leave, r#"{"spread_s":-1}"#, properties("never")).await;
    let mut answered = [asker.reply().await.0, asker.reply().await.0].map(|reply| reply["id"].to_string());
    answered.sort();
    assert_eq!(answered, ["\"never\"", "\"spread\""]);
    assert_eq!(asker.ping().await["ok"], true);
    assert_eq!(testbox.ran(), [Command::RoomLeave, Command::Ping]);
    testbox.stop().await;
}

#[tokio::test]
async fn groups_change_while_the_box_is_online_and_those_it_has_left_command_it_no_more() {
    let broker = Broker::start().await;
    let groups = watch::Sender::new(vec!["floor1".to_owned()]);
    let testbox = TestBox::fed(&broker, |feeds| feeds.groups = groups.subscribe());
    testbox.until_online().await;
    let mut asker = Asker::connect(&broker).await;
    let ping = |group: &str| format!("roomd/v1/default/g/{group}/cmd/ping");
    asker.publish(&ping("floor1"), "", properties("a")).await;
    assert_eq!(asker.reply().await.0["id"], "a");
    groups.send_replace(vec!["floor2".to_owned(), "not/a/group".to_owned()]);
    // When the broker knows cannot be seen from here: asked until it does.
    patiently("the new group", async {
        for n in 0.. {
            asker.publish(&ping("floor2"), "", properties(&format!("b{n}"))).await;
            let replied = tokio::time::timeout(std::time::Duration::from_millis(200), asker.reply()).await;
            if replied.is_ok() {
                return;
            }
        }
    })
    .await;
    asker.publish(&ping("floor1"), "", properties("gone")).await;
    asker.publish(&command("ping"), "", properties("last")).await;
    loop {
        let id = asker.reply().await.0["id"].clone();
        assert_ne!(id, "gone");
        if id == "last" {
            break;
        }
    }
    assert_eq!(testbox.status.borrow().connections, 1);
    testbox.stop().await;

    // The broker kept the session: what waited for a group that the box is in no more is not run.
    asker.publish(&ping("floor2"), "", properties("waited")).await;
    let testbox = TestBox::start(&broker).await;
    assert_eq!(asker.ping().await["ok"], true);
    assert_eq!(testbox.ran(), [Command::Ping]);
    testbox.stop().await;
}
