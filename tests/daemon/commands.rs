//! Commands that are done once and leave nothing desired: a sign, a picture, a restart.

use serde_json::json;

use crate::broker::Broker;
use crate::roomd::Roomd;
use crate::{film, gate, http};

/// A box at `broker`, and its id.
fn at(broker: &Broker) -> (Roomd, String) {
    let roomd = Roomd::start(&broker.config());
    let id = roomd.ask(&["info"])["id"].as_str().expect("an id").to_owned();
    (roomd, id)
}

#[test]
fn a_box_that_is_to_identify_itself_says_so_in_its_state_and_beeps_three_times() {
    let _gate = gate::undisturbed();
    let broker = Broker::start();
    let (mut roomd, id) = at(&broker);
    assert_eq!(roomd.state()["identifying"], false);
    let reply = broker.ask(&id, "identify", "{}", "sign");
    assert_eq!(reply["ok"], true, "{reply}");
    assert_eq!(roomd.state()["identifying"], true);
    assert_eq!(
        broker.ask(&id, "identify", "{}", "sign"),
        reply,
        "a duplicate is answered, and nothing beeps again"
    );
    roomd.wait_for("the sign to end", |roomd| roomd.state()["identifying"] == false);
    let (_, dir) = roomd.stop();
    let beeps = film::beeps(&dir.path().join("speaker.wav"), 880.0);
    assert_eq!(beeps.len(), 3, "beeps at {beeps:?}");
}

#[test]
fn a_snapshot_is_a_jpeg_under_a_url_that_needs_no_session_and_cannot_be_guessed() {
    let _gate = gate::undisturbed();
    let broker = Broker::start();
    let (mut roomd, id) = at(&broker);
    roomd.wait_for("a picture", |roomd| roomd.state()["camera"]["status"] == "running");
    let reply = broker.ask(&id, "snapshot", "{}", "picture");
    let url = reply["data"]["url"].as_str().unwrap_or_else(|| panic!("{reply}"));
    assert_eq!(
        (&reply["data"]["expires_s"], &reply["data"]["content_type"]),
        (&json!(600), &json!("image/jpeg"))
    );
    let address = roomd.address("http");
    let path = url.strip_prefix(&format!("http://{address}")).expect("the box's own address");
    let answer = http::get(&address, path, &[]);
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("image/jpeg")));
    assert_eq!(json!(answer.body.len()), reply["data"]["bytes"]);
    assert!(answer.body.starts_with(&[0xff, 0xd8]) && answer.body.ends_with(&[0xff, 0xd9]), "a whole JPEG");
    assert_eq!(http::get(&address, "/box/snapshots/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", &[]).status, 404);
    assert_eq!(http::get(&address, "/box/picture.jpg", &[]).status, 401, "the rest still needs a session");
    let refused = broker.ask(&id, "layout.set", r#"{"type": "GRID"}"#, "layout");
    assert_eq!(refused["code"], "unsupported", "{refused}");
    roomd.stop();
}

#[test]
fn a_restart_is_answered_before_it_and_its_duplicate_after_it_does_not_restart_again() {
    let _gate = gate::undisturbed();
    let broker = Broker::start();
    let ear = broker.listen("ear");
    let (mut roomd, id) = at(&broker);
    assert_eq!(broker.ask(&id, "recording.set", r#"{"on": true, "id": "goes-on"}"#, "on")["ok"], true);
    let reply = broker.ask(&id, "restart", "{}", "again");
    assert_eq!(reply["ok"], true, "{reply}");
    ear.wait("status", |status| status["state"] == "offline" && status["reason"] == "stopping");
    let (status, dir) = roomd.ended();
    assert!(status.success(), "in order, for its service manager to start it again: {status}");
    let mut roomd = Roomd::start_in(dir, &broker.config());
    assert_eq!(broker.ask(&id, "restart", "{}", "again"), reply, "from the database");
    assert_eq!(broker.ask(&id, "ping", "{}", "there")["ok"], true);
    roomd.wait_for("the recording to go on", |roomd| roomd.state()["recording"]["id"] == "goes-on");
    let restarts = roomd.log().matches("restarting by order").count();
    assert_eq!(restarts, 1, "{}", roomd.log());
    roomd.stop();
}
