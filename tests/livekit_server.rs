//! The participant against a real livekit-server, with the unmodified Python SDK as the other side.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod interop;
mod relay;

use std::time::Duration;

use interop::proxy::{Proxy, room_service};
use interop::through::Through;
use interop::{Box_, LiveKit, guest, purity, token, until};
use relay::Link;
use roomd::media::{AccessUnit, Layer, TrackId, Wants};
use roomd::participant::{Error, Event, TokenSource};
use serde_json::{Value, json};

fn tokens(room: &'static str) -> TokenSource {
    TokenSource::new(move || async move { Ok(token("box", room, 3600)) })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_sees_and_hears_the_box_and_is_heard() {
    let Some(server) = LiveKit::start().await else { return };
    let the_box = Box_::join(server.url(), tokens("call"));
    the_box.until_joined().await;
    let Some(met) = guest(&server.url(), "call", 30, &["low"]).await else { return };
    eprintln!("guest: {met}");
    assert_eq!(met["participants"], serde_json::json!(["box"]));
    assert!(met["frames"].as_u64().unwrap() >= 640, "{met}");
    let sizes = met["sizes"].as_array().unwrap();
    for size in [[1280, 720], [320, 180]] {
        assert!(sizes.contains(&serde_json::json!(size)), "{size:?} was never seen: {met}");
    }
    assert_eq!(sizes.last().unwrap(), &serde_json::json!([1280, 720]), "{met}");
    assert!(
        met["audio_s"].as_f64().unwrap() > 25.0 && met["audio_rms_max"].as_f64().unwrap() > 500.0,
        "{met}"
    );
    assert_eq!(met["disconnects"], 0);

    let heard = the_box.heard.lock().unwrap().clone();
    let pure = heard.chunks(4800).filter(|tenth| purity(tenth, 1000.0) > 0.95).count();
    assert!(pure > 200, "{pure} tenths of a second of {} were the guest's tone", heard.len() / 4800);
    let spoke =
        |event: &Event| matches!(event, Event::ActiveSpeakers(who) if who.contains(&"guest".to_owned()));
    the_box.until_event("the guest spoke", Duration::from_secs(1), spoke).await;
    let alone = |event: &Event| *event == Event::ParticipantsChanged(1);
    the_box.until_event("the guest is gone", Duration::from_secs(25), alone).await;
    let idle = || async { the_box.stream.demand().video == [false; 3] };
    until("nobody watches: no layer is encoded", Duration::from_secs(20), idle).await;
    the_box.leave().await.unwrap();
}

/// Of a room with video the box takes the sound alone, whichever way the server estimates bandwidth: LiveKit numbers
/// (transport-cc) and stamps (REMB) pictures only, so there is no downstream congestion for the box to answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_box_is_sent_the_sound_of_the_others_and_nothing_of_their_pictures() {
    for (room, estimation) in [("by-numbers", "true"), ("by-stamps", "false")] {
        let rtc = format!("  congestion_control: {{use_send_side_bwe: {estimation}}}\n");
        let Some(server) = LiveKit::start_as("", &rtc).await else { return };
        let through = Through::to(&server, 3).await;
        let ears = TokenSource::fixed(token("ears", room, 3600));
        let (ears, camera) = (Box_::join(through.url(), ears), Box_::join(server.url(), tokens(room)));
        ears.until_joined().await;
        camera.until_joined().await;
        // Who watches: pictures flow in the room.
        let Some(met) = guest(&server.url(), room, 10, &[]).await else { return };
        assert!(met["frames"].as_u64().unwrap() >= 150, "{met}");
        let down = through.relay.down();
        eprintln!("{room}: {down:?}");
        assert!(down.opus >= 400, "{down:?}");
        assert_eq!(down.other_media, 0, "{down:?}");
        let offers = through.offers.lock().unwrap().clone();
        assert!(offers.iter().any(|offer| offer.contains("m=audio")), "{offers:?}");
        for what in ["m=video", "transport-cc", "transport-wide-cc", "goog-remb", "abs-send-time"] {
            assert!(offers.iter().all(|offer| !offer.contains(what)), "{what}: {offers:?}");
        }
        ears.leave().await.unwrap();
        camera.leave().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_killed_has_the_box_again_by_itself() {
    let Some(mut server) = LiveKit::start().await else { return };
    let the_box = Box_::join(server.url(), tokens("again"));
    the_box.until_joined().await;
    the_box.forget();
    server.kill();
    let resuming = |event: &Event| matches!(event, Event::Resuming { .. });
    the_box.until_event("the loss is noticed", Duration::from_secs(10), resuming).await;
    server.spawn().await;
    the_box.until_joined().await;
    let Some(met) = guest(&server.url(), "again", 8, &[]).await else { return };
    assert!(met["frames"].as_u64().unwrap() >= 100, "{met}");
    the_box.leave().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_has_expired_is_a_reason_to_wait_long() {
    let Some(server) = LiveKit::start().await else { return };
    let the_box = Box_::join(server.url(), TokenSource::fixed(token("box", "late", -3600)));
    let refused = |event: &Event| matches!(event, Event::BackingOff { reason, delay } if reason.contains("401") && delay.as_secs() >= 15);
    the_box.until_event("refused", Duration::from_secs(10), refused).await;
    the_box.leave().await.unwrap();
}

fn microphone_of(participants: &Value) -> Option<(&str, bool)> {
    let tracks = participants["participants"][0]["tracks"].as_array()?;
    let microphone = tracks.iter().find(|track| track["name"] == "microphone")?;
    Some((microphone["sid"].as_str()?, microphone["muted"].as_bool().unwrap_or(false)))
}

#[tokio::test(flavor = "multi_thread")]
async fn muting_goes_both_ways_and_a_removed_box_ends() {
    let Some(server) = LiveKit::start().await else { return };
    let the_box = Box_::join(server.url(), tokens("mute"));
    the_box.until_joined().await;
    let list = async || room_service(server.port, "mute", "ListParticipants", json!({"room": "mute"})).await;
    let is = async |muted: bool| microphone_of(&list().await).is_some_and(|(_, is)| is == muted);
    until("published", Duration::from_secs(5), || is(false)).await;
    the_box.mute.set(true);
    until("muted at the box, seen in the room", Duration::from_secs(5), || is(true)).await;
    assert!(!the_box.stream.demand().opus, "a muted microphone is not encoded for the room");
    the_box.mute.set(false);
    until("unmuted at the box, seen in the room", Duration::from_secs(5), || is(false)).await;

    let participants = list().await;
    let (sid, _) = microphone_of(&participants).unwrap();
    let mute = json!({"room": "mute", "identity": "box", "track_sid": sid, "muted": true});
    room_service(server.port, "mute", "MutePublishedTrack", mute).await;
    let by_room = |event: &Event| *event == Event::MutedByRoom;
    the_box.until_event("muted in the room, told the box", Duration::from_secs(5), by_room).await;
    assert!(!the_box.stream.demand().opus);

    room_service(server.port, "mute", "RemoveParticipant", json!({"room": "mute", "identity": "box"})).await;
    let left = |event: &Event| matches!(event, Event::Left { reason } if reason == "PARTICIPANT_REMOVED");
    the_box.until_event("sent away", Duration::from_secs(5), left).await;
    assert!(matches!(the_box.leave().await, Err(Error::Left { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_signalling_connection_is_resumed_and_the_picture_goes_on() {
    let Some(server) = LiveKit::start().await else { return };
    let proxy = Proxy::to(server.port).await;
    let the_box = Box_::join(format!("ws://127.0.0.1:{}", proxy.port), tokens("cut"));
    the_box.until_joined().await;
    let url = server.url();
    let watching = tokio::spawn(async move { guest(&url, "cut", 14, &[]).await });
    let here = |event: &Event| *event == Event::ParticipantsChanged(2);
    the_box.until_event("the guest is here", Duration::from_secs(20), here).await;
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(3)).await;
        the_box.forget();
        proxy.cut();
        let resuming = |event: &Event| matches!(event, Event::Resuming { .. });
        the_box.until_event("the cut is noticed", Duration::from_secs(5), resuming).await;
        the_box.until_joined().await;
        let anew = |event: &Event| matches!(event, Event::Joining | Event::BackingOff { .. });
        assert!(!the_box.events.lock().unwrap().iter().any(anew), "resumed, not joined anew");
    }
    let Some(met) = watching.await.unwrap() else { return };
    eprintln!("guest: {met}");
    assert_eq!(met["disconnects"], 0, "{met}");
    assert!(met["frames"].as_u64().unwrap() >= 300, "{met}");
    assert!(met["longest_gap_ms"].as_f64().unwrap() < 1500.0, "{met}");
    the_box.leave().await.unwrap();
    let nobody = async || {
        let room = room_service(server.port, "cut", "ListParticipants", json!({"room": "cut"})).await;
        room["participants"].as_array().is_none_or(|all| all.iter().all(|one| one["identity"] != "box"))
    };
    until("the box said goodbye", Duration::from_secs(3), nobody).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrow_uplink_costs_layers_from_the_top_and_never_the_sound_or_the_recording() {
    let Some(server) = LiveKit::start().await else { return };
    let through = Through::to(&server, 7).await;
    let the_box = Box_::join(through.url(), tokens("narrow"));
    the_box.until_joined().await;
    let mut recorder = the_box.stream.subscribe("recorder", Wants::RECORDING);
    let url = server.url();
    let watching = tokio::spawn(async move { guest(&url, "narrow", 60, &[]).await });
    let here = |event: &Event| *event == Event::ParticipantsChanged(2);
    the_box.until_event("the guest is here", Duration::from_secs(20), here).await;
    let all = || async { the_box.stream.demand().video == [true; 3] };
    until("every layer is wanted", Duration::from_secs(10), all).await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    let early = |event: &Event| matches!(event, Event::Uplink { .. });
    assert!(!the_box.events.lock().unwrap().iter().any(early), "a good path is left alone");

    while recorder.try_recv().is_some() {}
    through.relay.set_up(Link::bottleneck(600_000));
    let smallest = |event: &Event| matches!(event, Event::Uplink { reason: Some(reason) } if reason.contains("smallest picture"));
    the_box.until_event("only the smallest picture is left", Duration::from_secs(15), smallest).await;
    let less = || async { the_box.stream.demand().video == [true, false, true] };
    until("the half picture is not encoded, the full one is for the recorder", Duration::from_secs(15), less)
        .await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let picture = |unit: &AccessUnit| unit.track == TrackId::Video(Layer::Full);
    let recorded = std::iter::from_fn(|| recorder.try_recv()).filter(picture).count();
    assert!(recorded > 30, "{recorded} pictures recorded meanwhile");
    let silent = |event: &Event| matches!(event, Event::Uplink { reason: Some(reason) } if reason.contains("only sound"));
    assert!(!the_box.events.lock().unwrap().iter().any(silent));

    the_box.forget();
    through.relay.set_up(Link::default());
    let whole = |event: &Event| *event == Event::Uplink { reason: None };
    the_box.until_event("everything is sent again", Duration::from_secs(60), whole).await;
    let Some(met) = watching.await.unwrap() else { return };
    eprintln!("guest: {met}\nup: {:?}", through.relay.up());
    let sizes = met["sizes"].as_array().unwrap();
    assert!(sizes.contains(&json!([320, 180])), "{met}");
    assert_eq!(sizes.last().unwrap(), &json!([1280, 720]), "{met}");
    assert!(met["audio_packets"].as_u64().unwrap() > 2500, "{met}");
    assert_eq!(met["disconnects"], 0);
    the_box.leave().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn loss_and_jitter_alone_cost_no_layer() {
    let Some(server) = LiveKit::start().await else { return };
    let through = Through::to(&server, 8).await;
    let the_box = Box_::join(through.url(), tokens("jitter"));
    the_box.until_joined().await;
    through.relay.set_up(Link::lossy(false));
    let Some(met) = guest(&server.url(), "jitter", 30, &[]).await else { return };
    eprintln!("guest: {met}\nup: {:?}", through.relay.up());
    assert!(through.relay.up().lost > 200);
    let told = |event: &Event| matches!(event, Event::Uplink { .. });
    assert!(!the_box.events.lock().unwrap().iter().any(told));
    assert!(met["frames"].as_u64().unwrap() > 200 && met["disconnects"] == 0, "{met}");
    the_box.leave().await.unwrap();
}

/// Our server is held to the same script (`tests/api.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn room_service_does_here_what_it_does_on_our_own_server() {
    let (Some(python), Some(server)) = (interop::part("ROOMD_TEST_PYTHON"), LiveKit::start().await) else {
        return;
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/room_service.py");
    let tokens = ["host", "anna", "bert"].map(|identity| token(identity, "hall", 3600));
    let mut command = tokio::process::Command::new(python);
    command.args([script, &format!("http://127.0.0.1:{}", server.port), &server.url()]);
    let running = command.args(tokens).arg("-").kill_on_drop(true).output();
    let output = tokio::time::timeout(Duration::from_secs(120), running).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
