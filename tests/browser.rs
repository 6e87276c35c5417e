//! The unmodified JS SDK in headless Chromium against the room server.
// Real processes take real time, and a test that cannot go on may panic.
#![allow(clippy::disallowed_methods)]

mod relay;
mod rooms;

use std::time::Duration;

use relay::{Link, Relay};
use roomd::room::{Departure, Event, Grant};
use roomd::rtc::sfu::Codecs;
use rooms::gateway::{Gateway, Way};
use rooms::{RoomServer, grant, run_script, tool};
use serde_json::json;

const MODULES: &str = "ROOMD_TEST_NODE_MODULES";
const WHAT: &str = "a node_modules folder with playwright-core and livekit-client";

/// Two browsers at once starve each other on two cores: one test at a time.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn two_pages_decode_each_others_simulcast_without_a_freeze() {
    let Some(modules) = tool(MODULES, WHAT) else { return };
    let _alone = ALONE.lock().await;
    let server = RoomServer::start().await;
    let (a, b) = (server.token("lobby", "anna"), server.token("lobby", "bert"));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/call.mjs");
    let seconds = std::env::var("ROOMD_TEST_SECONDS").unwrap_or_else(|_| "8".into());
    let arguments = [script, &server.http_url(), &a, &b, &seconds];
    let limit = Duration::from_secs(90);
    let result = run_script("node", &arguments, &[("NODE_MODULES", &modules)], limit).await;
    eprintln!("{result:#}");
    for page in ["a", "b"] {
        let (sent, decoded) = (result[page]["sent"].as_f64(), result[page]["decoded"].as_f64());
        let share = decoded.unwrap() / sent.unwrap();
        assert!(share >= 0.98, "{page} decoded {decoded:?} of {sent:?} frames");
        assert_eq!(result[page]["freezes"], 0, "{page}");
    }
    assert_eq!(result["messages"]["b"][0], "anna: hello");
    eprintln!("{:?}", server.handle.counters());
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_switch_tracks_come_back_stays_resume_and_second_joins_replace() {
    changes("1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_holds_over_two_peer_connections() {
    changes("2").await;
}

/// By one or by two peer connections.
async fn changes(connections: &str) {
    let Some(modules) = tool(MODULES, WHAT) else { return };
    let _alone = ALONE.lock().await;
    let server = RoomServer::start().await;
    let (a, b) = (server.token("lobby", "anna"), server.token("lobby", "bert"));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/changes.mjs");
    let arguments = [script, &server.http_url(), &a, &b];
    let limit = Duration::from_secs(120);
    let envs = [("NODE_MODULES", modules.as_str()), ("SIZE", "960x540"), ("CONNECTIONS", connections)];
    let result = run_script("node", &arguments, &envs, limit).await;
    eprintln!("{result:#} {:?}", server.handle.counters());
    let sections = result["sections"].as_array().expect("sections");
    assert!(sections.iter().all(|count| *count == sections[0]), "the SDP grows: {sections:?}");
    let owner = result["owner"].as_str().expect("owner");
    assert!(owner.starts_with(result["publisher"].as_str().expect("publisher")), "{owner}");
    assert_eq!(result["same_stay"], true);
    assert_eq!(result["reason"], 2, "DUPLICATE_IDENTITY");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_that_a_client_can_simulate_is_got_over_and_no_message_is_lost_or_doubled() {
    let Some(modules) = tool(MODULES, WHAT) else { return };
    let _alone = ALONE.lock().await;
    let server = RoomServer::start().await;
    let (a, b) = (server.token("lobby", "anna"), server.token("lobby", "bert"));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/faults.mjs");
    let arguments = [script, &server.http_url(), &a, &b];
    let limit = Duration::from_secs(150);
    let envs = [("NODE_MODULES", modules.as_str()), ("SIZE", "320x180")];
    let result = run_script("node", &arguments, &envs, limit).await;
    eprintln!("{result:#}");
    let faults = result["faults"].as_object().expect("faults");
    let names = |same: bool| -> Vec<&str> {
        let of = faults.iter().filter(|(_, met)| met["same_stay"] == same);
        of.map(|(name, _)| name.as_str()).collect()
    };
    // Sorted, as JSON objects are here.
    let resumed =
        ["disconnect-signal-on-resume", "disconnect-signal-on-resume-no-messages", "signal-reconnect"];
    assert_eq!(names(true), resumed);
    assert_eq!(names(false), ["full-reconnect", "leave-full-reconnect", "migration", "node-failure"]);
    for (name, met) in faults {
        assert_eq!(met["messages"], met["sent"], "{name}");
    }
    assert_eq!(result["reason"], 3, "SERVER_SHUTDOWN");
}

/// Two pages that call each other through `url` until both have decoded a hundred frames. What each decoded last:
/// the codec's MIME type, and the transport.
async fn meet(url: &str, server: &RoomServer, codec: &str) -> Option<[(String, String); 2]> {
    let modules = tool(MODULES, WHAT)?;
    let (a, b) = (server.token("lobby", "anna"), server.token("lobby", "bert"));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/meet.mjs");
    let envs = [("NODE_MODULES", modules.as_str()), ("CODEC", codec), ("SIZE", "640x360")];
    let seen = run_script("node", &[script, url, &a, &b], &envs, Duration::from_secs(150)).await;
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    Some(["a", "b"].map(|page| (text(&seen[page]["codec"]), text(&seen[page]["transport"]))))
}

#[tokio::test(flavor = "multi_thread")]
async fn vp8_is_decoded_where_it_is_configured() {
    let _alone = ALONE.lock().await;
    let server = RoomServer::start_with(Codecs::parse(["opus", "vp8"]).expect("codecs")).await;
    let Some(seen) = meet(&server.http_url(), &server, "vp8").await else { return };
    let expected = ("video/VP8".to_owned(), "udp".to_owned());
    assert_eq!(seen, [expected.clone(), expected]);
}

#[tokio::test(flavor = "multi_thread")]
async fn vp9_in_layers_of_one_stream_is_decoded_by_who_is_there_and_by_who_comes_later() {
    layered("vp9", "video/VP9").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn av1_in_layers_of_one_stream_is_decoded_by_who_is_there_and_by_who_comes_later() {
    layered("av1", "video/AV1").await;
}

/// By one and by two peer connections.
async fn layered(codec: &str, mime: &str) {
    let Some(modules) = tool(MODULES, WHAT) else { return };
    let _alone = ALONE.lock().await;
    let server = RoomServer::start_with(Codecs::parse(["opus", "h264", codec]).expect("codecs")).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/codec.mjs");
    for connections in ["1", "2"] {
        let tokens = ["anna", "bert", "carl"].map(|name| server.token(&format!("room {connections}"), name));
        let arguments = [script, &server.http_url(), &tokens[0], &tokens[1], &tokens[2]];
        let envs = [
            ("NODE_MODULES", modules.as_str()),
            ("CODEC", codec),
            ("SIZE", "640x360"),
            ("CONNECTIONS", connections),
        ];
        let seen = run_script("node", &arguments, &envs, Duration::from_secs(200)).await;
        eprintln!("{seen:#}");
        assert_eq!(seen["mode"], "L3T3_KEY");
        for page in ["b", "c"] {
            assert_eq!(seen[page]["codec"], mime, "{page}");
            assert_eq!(seen[page]["height"], 360, "{page}");
        }
        assert!(seen["b"]["keyframes"].as_u64() >= Some(2), "the newcomer needed one");
    }
}

/// 5 % of random loss and up to 50 ms of jitter before the watcher, or before the publisher.
async fn through_a_lossy_way(publisher_is_behind: bool) {
    let Some(modules) = tool(MODULES, WHAT) else { return };
    let _alone = ALONE.lock().await;
    let server = RoomServer::start().await;
    let relay = Relay::to(server.media(), 5).await;
    let gateway = Gateway::to(server.address, Way::Udp(relay.address().port())).await;
    relay.set_up(Link::lossy(true));
    relay.set_down(Link::lossy(true));
    let (a, b) = (server.token("lobby", "anna"), server.token("lobby", "bert"));
    let (near, far) = (server.http_url(), gateway.http_url());
    let (url_a, url_b) = if publisher_is_behind { (&far, &near) } else { (&near, &far) };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/lossy.mjs");
    let seconds = std::env::var("ROOMD_TEST_SECONDS").unwrap_or_else(|_| "20".into());
    let arguments = [script, url_a, url_b, &a, &b, &seconds];
    let limit = Duration::from_secs(180);
    let seen = run_script("node", &arguments, &[("NODE_MODULES", &modules)], limit).await;
    eprintln!("{seen:#} up {:?} down {:?}", relay.up(), relay.down());
    let number = |name: &str| seen[name].as_f64().expect("a number");
    assert!(relay.up().lost > 0 && relay.down().lost > 0);
    let share = number("decoded") / number("sent");
    assert!(share >= 0.9, "{share} of the frames were decoded");
    assert!(number("concealed") < 0.2, "of the sound");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_watcher_loses_of_the_picture_is_repaired() {
    through_a_lossy_way(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_publisher_loses_of_the_picture_is_repaired() {
    through_a_lossy_way(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_that_a_watchers_network_does_not_carry_is_paused_and_told_and_the_sound_goes_on() {
    let Some(modules) = tool(MODULES, WHAT) else { return };
    let _alone = ALONE.lock().await;
    let server = RoomServer::start().await;
    let relay = Relay::to(server.media(), 7).await;
    let gateway = Gateway::to(server.address, Way::Udp(relay.address().port())).await;
    let steps = tempfile::tempdir().expect("a folder");
    let changes = async {
        for (step, link) in [("plays", Link::bottleneck(80_000)), ("is-paused", Link::default())] {
            while !steps.path().join(step).exists() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            relay.set_down(link);
        }
        std::future::pending().await
    };
    let (a, b) = (server.token("lobby", "anna"), server.token("lobby", "bert"));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/paused.mjs");
    let arguments = [script, &server.http_url(), &gateway.http_url(), &a, &b];
    let folder = steps.path().to_str().expect("a path");
    let envs = [("NODE_MODULES", modules.as_str()), ("STEPS", folder), ("SIZE", "640x360")];
    let script = run_script("node", &arguments, &envs, Duration::from_secs(250));
    let seen = tokio::select! {
        seen = script => seen,
        () = changes => return,
    };
    eprintln!("{seen:#} down {:?}", relay.down());
    let states = seen["states"].as_array().expect("states");
    assert_eq!(states[..2], ["active", "paused"], "{states:?}");
    assert!(seen["pictures_while_paused"].as_u64() <= Some(2));
    let sound = |what: &str| seen["sound_while_paused"][what].as_f64().expect("a number");
    assert!(sound("packets") >= 25.0 && sound("concealed") < 0.2 * sound("samples"));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_whose_network_lets_no_udp_through_call_by_tcp() {
    let _alone = ALONE.lock().await;
    let server = RoomServer::start().await;
    let gateway = Gateway::to(server.address, Way::Tcp).await;
    let Some(seen) = meet(&gateway.http_url(), &server, "h264").await else { return };
    let expected = ("video/H264".to_owned(), "tcp".to_owned());
    assert_eq!(seen, [expected.clone(), expected]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_without_an_sdk_publishes_by_whip_and_others_watch_what_stands_out_by_whep() {
    let Some(modules) = tool(MODULES, WHAT) else { return };
    let _alone = ALONE.lock().await;
    let server = RoomServer::start().await;
    let mut events = server.handle.events();
    let token = |identity: &str| server.token("lobby", identity);
    let hidden = server.token_for(&Grant { hidden: true, ..grant("lobby", "second") });
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/whip.mjs");
    let (camera, sdk, viewer) = (token("camera"), token("sdk"), token("viewer"));
    let arguments = [script, &server.http_url(), &camera, &sdk, &viewer, &hidden];
    let envs = [("NODE_MODULES", modules.as_str())];
    let seen = run_script("node", &arguments, &envs, Duration::from_secs(240)).await;
    eprintln!("{seen:#} {:?}", server.handle.counters());
    let camera = json!({"identity": "camera", "tracks": ["camera", "microphone"]});
    let viewer = json!({"identity": "viewer", "tracks": []});
    let mut roster = seen["roster"].as_array().expect("a roster").clone();
    roster.sort_by_key(|one| one["identity"].to_string());
    assert_eq!(roster, [camera, viewer], "the hidden viewer is not in it");
    assert_eq!(seen["restarted"], json!({"status": 200, "renewed": true}));
    for viewer in [1, 2] {
        assert_eq!(seen["before"][viewer]["ssrcs"], seen["after"][viewer]["ssrcs"], "one stream a kind");
        assert_eq!(seen["after"][viewer]["ssrcs"].as_array().map(Vec::len), Some(2));
    }
    assert_eq!((&seen["ended"], &seen["again"]), (&json!(200), &json!(404)));
    // What webhooks are made from.
    let mut told = Vec::new();
    while let Ok(event) = events.try_recv() {
        match event {
            Event::ParticipantConnected { participant, .. } => {
                told.push(format!("+{}", participant.identity))
            }
            Event::TrackPublished { participant, .. } => {
                told.push(format!("track of {}", participant.identity))
            }
            Event::ParticipantLeft { participant, departure: Departure::Left, connected: true, .. } => {
                told.push(format!("-{}", participant.identity));
            }
            _ => {}
        }
    }
    let times = |what: &str| told.iter().filter(|told| *told == what).count();
    let expected = ["+camera", "track of camera", "-camera", "+viewer", "+second"].map(times);
    assert_eq!(expected, [1, 2, 1, 1, 1], "{told:?}");
}
