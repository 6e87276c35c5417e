//! The server's APIs, driven by the stock tools of LiveKit.
// Real processes take real time, and a test that cannot go on may panic.
#![allow(clippy::disallowed_methods)]

mod rooms;

use std::time::Duration;

use roomd::room::{Event, Grant, StagePart};
use rooms::{RoomServer, grant, run_script, tool};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn the_python_server_sdk_drives_room_service_and_clients_see_what_it_does() {
    let Some(python) = tool("ROOMD_TEST_PYTHON", "a Python with livekit and livekit-api") else { return };
    let server = RoomServer::start().await;
    let mut events = server.handle.events();
    let host = server.token_for(&Grant { may_admit: true, ..grant("hall", "host") });
    let (anna, bert) = (server.token("hall", "anna"), server.token("hall", "bert"));
    let asks =
        Grant { can_publish: false, can_subscribe: false, can_publish_data: false, ..grant("hall", "guest") };
    let guest = server.token_for(&Grant { hidden: true, waiting: true, ..asks });
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/room_service.py");
    let arguments = [script, &server.http_url(), &server.ws_url(), &host, &anna, &bert, &guest];
    let seen = run_script(&python, &arguments, &[], Duration::from_secs(120)).await;
    let waits = json!({"roomd.waiting": "true"});
    for (what, wanted) in [
        ("waits", json!([waits, [], waits])),
        ("full", json!("resource_exhausted")),
        ("unseen before", json!(1)),
        ("admitted", json!([{}, ["anna", "bert", "host"]])),
    ] {
        assert_eq!(seen[what], wanted, "{what} in {seen}");
    }
    let mut told = Vec::new();
    while let Ok(event) = events.try_recv() {
        match event {
            Event::RoomStarted { .. } => told.push("started".to_owned()),
            Event::ParticipantConnected { participant, .. } => {
                told.push(format!("+{}", participant.identity))
            }
            Event::ParticipantLeft { participant, connected: true, .. } => {
                told.push(format!("-{}", participant.identity));
            }
            Event::StageChanged { part: StagePart::MainParticipant, identity: Some(who), .. } => {
                told.push(format!("main {who}"));
            }
            Event::RoomFinished { .. } => told.push("finished".to_owned()),
            _ => {}
        }
    }
    let at = |what: &str| {
        told.iter().position(|told| told == what).unwrap_or_else(|| panic!("no {what}: {told:?}"))
    };
    assert!(
        at("started") < at("+host") && at("+guest") < at("-bert") && at("main bert") < at("-bert"),
        "{told:?}"
    );
    assert!(at("-host") < at("finished") && told.last().is_some_and(|last| last == "finished"), "{told:?}");
}
