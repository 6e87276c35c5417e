//! The participant against a real livekit-server, with the unmodified Python SDK as the other side.
#![allow(clippy::disallowed_methods)]

mod interop;

use std::time::Duration;

use interop::{Box_, LiveKit, guest, purity, token, until};
use roomd::participant::{Event, TokenSource};

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
    assert!(met["audio_s"].as_f64().unwrap() > 25.0 && met["audio_rms_max"].as_f64().unwrap() > 500.0, "{met}");
    assert_eq!(met["disconnects"], 0);

    let heard = the_box.heard.lock().unwrap().clone();
    let pure = heard.chunks(4800).filter(|tenth| purity(tenth, 1000.0) > 0.95).count();
    assert!(pure > 200, "{pure} tenths of a second of {} were the guest's tone", heard.len() / 4800);
    let spoke = |event: &Event| matches!(event, Event::ActiveSpeakers(who) if who.contains(&"guest".to_owned()));
    the_box.until_event("the guest spoke", Duration::from_secs(1), spoke).await;
    let alone = |event: &Event| *event == Event::ParticipantsChanged(1);
    the_box.until_event("the guest is gone", Duration::from_secs(25), alone).await;
    let idle = || async { the_box.stream.demand().video == [false; 3] };
    until("nobody watches: no layer is encoded", Duration::from_secs(20), idle).await;
    the_box.leave().await.unwrap();
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
    let refused = |event: &Event| {
        matches!(event, Event::BackingOff { reason, delay } if reason.contains("401") && delay.as_secs() >= 15)
    };
    the_box.until_event("refused", Duration::from_secs(10), refused).await;
    the_box.leave().await.unwrap();
}
