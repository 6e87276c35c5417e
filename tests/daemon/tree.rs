//! What the box tells its fleet by itself, and what home automation sets: at a real broker.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::broker::{Broker, Ear};
use crate::gate;
use crate::nginx::Nginx;
use crate::roomd::Roomd;

/// A box with pictures and sound that Home Assistant is told of, and its id.
fn automated(broker: &Broker, more: &str) -> (Roomd, String) {
    let config = format!("{}home_assistant = true\n{SOURCES}{more}", broker.config());
    let roomd = Roomd::start(&config);
    let id = roomd.ask(&["info"])["id"].as_str().expect("an id").to_owned();
    (roomd, id)
}

const SOURCES: &str =
    "[camera]\nsource = \"test\"\nsize = \"320x180\"\nfps = 10\n[microphone]\nsource = \"test\"\n";

fn events(ear: &Ear) -> Vec<String> {
    let heard = ear.heard().into_iter();
    let kinds = heard.filter_map(|heard| Some(heard.topic.split_once("/event/")?.1.to_owned()));
    kinds.filter(|kind| !kind.contains("config") && !kind.contains("job")).collect()
}

#[test]
fn home_assistant_sees_the_box_and_sets_it_and_the_fleet_hears_what_happens() {
    let _gate = gate::undisturbed();
    let broker = Broker::start();
    let ear = broker.listen("ear");
    let (roomd, id) = automated(&broker, "");
    let device = ear.wait("config", |device| device["components"].is_object());
    assert_eq!(device["device"]["identifiers"], json!([format!("roomd_{id}")]));
    // As they stand in what Home Assistant was told.
    let set = |part: &str, payload: &str| {
        let topic = device["components"][part]["command_topic"].as_str().expect("a topic");
        broker.plain(topic, payload, &[]);
    };
    broker.plain(&format!("roomd/v1/default/d/{id}/set/live"), "ON", &["-r"]);
    set("record", "ON");
    let started = ear.wait("event/recording_started", |_| true);
    set("room", "lobby");
    let joined = ear.wait("event/room_joined", |_| true);
    assert_eq!((&joined["type"], &joined["data"]["name"]), (&json!("room_joined"), &json!("lobby")));
    set("microphone", "OFF");
    ear.wait("state", |state| state["microphone"]["muted"] == true);
    set("microphone", "ON");
    set("record", "on, please");

    let health = ear.wait("tele/health", |_| true);
    assert!(health.to_string().len() <= 1024, "{health}");
    assert_eq!(health["camera"]["status"], "running", "{health}");
    assert!(health["memory"]["process_bytes"].as_u64().is_some_and(|bytes| bytes > 1 << 20), "{health}");
    assert!(health["cpu"]["process"].as_f64().is_some_and(|share| (0.0..=1.0).contains(&share)), "{health}");
    let media = ear.wait("tele/media", |media| !media["tracks"].as_array().is_none_or(Vec::is_empty));
    assert!(media.to_string().len() <= 1024, "{media}");
    let full = |track: &&Value| track["name"] == "video-full";
    let full = media["tracks"].as_array().into_iter().flatten().find(full).expect("it is recorded").clone();
    assert!(full["rate"].as_f64().is_some_and(|rate| (5.0..=15.0).contains(&rate)), "{media}");

    broker.plain("homeassistant/status", "online", &[]);
    let began = Instant::now();
    while ear.documents("config").len() < 2 {
        assert!(began.elapsed() < Duration::from_secs(20), "Home Assistant is not told again");
        std::thread::sleep(Duration::from_millis(50));
    }
    set("record", "OFF");
    let stopped = ear.wait("event/recording_stopped", |_| true);
    assert_eq!(
        (&stopped["data"]["id"], &stopped["data"]["file"]),
        (&started["data"]["id"], &started["data"]["file"])
    );
    assert!(
        std::path::Path::new(stopped["data"]["file"].as_str().unwrap_or_default()).is_file(),
        "{stopped}"
    );
    set("room", "");
    ear.wait("event/room_left", |_| true);
    let state = roomd.state();
    assert_eq!(
        (&state["microphone"]["muted"], &state["live"]["on"]),
        (&json!(true), &json!(false)),
        "{state}"
    );

    let (_, dir) = roomd.stop();
    ear.wait("status", |status| status["state"] == "offline");
    let kinds =
        ["box_started", "recording_started", "room_joined", "recording_stopped", "room_left", "box_stopping"];
    assert_eq!(events(&ear), kinds);
    let last = ear.heard().pop().expect("something was heard");
    assert!(last.topic.ends_with("/status"), "offline is the last word: {last:?}");

    // Without the option what Home Assistant was told is taken back.
    let roomd = Roomd::start_in(dir, &format!("{}{SOURCES}", broker.config()));
    ear.wait("config", |device| *device == Value::Null);
    set("record", "ON");
    assert_eq!(broker.ask(&id, "ping", "{}", "last")["ok"], true);
    assert_eq!(roomd.state()["recording"]["on"], false, "nothing is set any more");
    roomd.stop();
}

#[test]
fn a_destination_that_goes_and_comes_back_and_a_room_that_is_lost_are_told_once() {
    let _gate = gate::undisturbed();
    let broker = Broker::start();
    let ear = broker.listen("ear");
    let mut nginx = Nginx::start(None);
    let (roomd, _) = automated(&broker, "");
    std::fs::write(roomd.path("key"), "s3cret\n").expect("the key is written");
    let key = roomd.path("key").display().to_string();
    let url = nginx.url();
    roomd.ctl(&["live", "on", "--output", &url, "--key-file", &key]);
    let started = ear.wait("event/live_started", |_| true);
    assert_eq!(started["data"]["url"], url.as_str());
    ear.wait("tele/media", |media| {
        media["destinations"][0]["bitrate_bps"].as_u64().is_some_and(|bps| bps > 0)
    });
    nginx.kill();
    ear.wait("event/live_stalled", |event| event["data"]["url"] == url.as_str());
    nginx.launch();
    ear.wait("event/live_recovered", |event| event["data"]["url"] == url.as_str());
    roomd.ctl(&["live", "off"]);
    ear.wait("event/live_stopped", |_| true);
    let secret = ear.heard().iter().any(|heard| heard.document.to_string().contains("s3cret"));
    assert!(!secret, "the stream key is nobody's business");
    roomd.stop();
}
