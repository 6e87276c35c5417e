//! The unmodified Python SDK against the room server.
// Real processes take real time, and a test that cannot go on may panic.
#![allow(clippy::disallowed_methods)]

mod rooms;

use std::time::Duration;

use rooms::{RoomServer, run_script, tool};

#[tokio::test(flavor = "multi_thread")]
async fn the_python_sdk_publishes_subscribes_sends_data_mutes_and_leaves() {
    let Some(python) = tool("ROOMD_TEST_PYTHON", "a Python with livekit and numpy") else { return };
    let server = RoomServer::start().await;
    let (a, b) = (server.token("lab", "python-a"), server.token("lab", "python-b"));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/sdk.py");
    let arguments = [script, &server.ws_url(), &a, &b];
    let seen = run_script(&python, &arguments, &[], Duration::from_secs(60)).await;
    assert_eq!(seen["others"], serde_json::json!(["python-a"]));
    assert_eq!(seen["size"][1], 360, "{seen}");
    let mut data: Vec<String> =
        seen["data"].as_array().expect("data").iter().map(|d| format!("{} {}", d[0], d[1])).collect();
    data.sort();
    assert_eq!(data, [r#""python-a" "fast""#, r#""python-a" "hello""#]);
    assert_eq!(seen["muted"], serde_json::json!([["python-a", "microphone"]]));
    assert_eq!(seen["left"], serde_json::json!(["python-a"]));
    let mut rooms = server.handle.watch_rooms();
    let empty = rooms.wait_for(|snapshot| snapshot.rooms.iter().all(|room| room.participants.is_empty()));
    tokio::time::timeout(Duration::from_secs(10), empty).await.expect("everyone gone").expect("server runs");
}
