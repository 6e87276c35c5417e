//! The unmodified Python SDK against the room server, and clients in Python that are no LiveKit SDKs.
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

#[tokio::test(flavor = "multi_thread")]
async fn aiortc_and_ffmpeg_publish_by_whip_and_aiortc_watches_each_of_them_by_whep() {
    let Some(python) = tool("ROOMD_TEST_PYTHON", "a Python with aiortc and av") else { return };
    let server = RoomServer::start().await;
    let [camera, ffmpeg, viewer] = ["camera", "ffmpeg", "viewer"].map(|who| server.token("stage", who));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/whip.py");
    let arguments = [script, &server.http_url(), &camera, &ffmpeg, &viewer];
    let seen = run_script(&python, &arguments, &[], Duration::from_secs(180)).await;
    for publisher in ["aiortc", "ffmpeg"] {
        let of = &seen[publisher];
        assert!(of["frames"].as_u64() >= Some(60) && of["loud"] == true, "{publisher} in {seen}");
    }
    assert_eq!(seen["ffmpeg"]["error"], serde_json::Value::Null, "{seen}");
    assert_eq!(seen["ended"], serde_json::json!([200, 200]));
}
