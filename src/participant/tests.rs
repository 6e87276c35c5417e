//! A room server that says what no server should: the box must shrug, back off and stay stoppable.

use std::sync::Mutex;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::*;
use crate::base::Shutdown;
use crate::media::Stream;
use crate::rtc::signal::frame::{MAX_FRAME_BYTES, encode_response};
use crate::rtc::signal::proto::signal_response::Message as Response;
use crate::rtc::signal::proto::{JoinResponse, ParticipantInfo, SessionDescription, TrickleRequest};

fn join() -> Message {
    let participant = ParticipantInfo { sid: "PA_1".into(), identity: "box".into(), ..Default::default() };
    let response = JoinResponse {
        participant: Some(participant),
        subscriber_primary: true,
        ping_interval: i32::MIN,
        ping_timeout: -1,
        ..Default::default()
    };
    frame(Response::Join(response))
}

fn frame(response: Response) -> Message {
    Message::Binary(encode_response(response).into())
}

fn description(kind: &str, sdp: &str) -> SessionDescription {
    SessionDescription { r#type: kind.into(), sdp: sdp.into(), ..Default::default() }
}

/// Serves one script to every connection, then keeps it open until the box leaves.
async fn serve(listener: TcpListener, script: Vec<Message>) {
    while let Ok((tcp, _)) = listener.accept().await {
        let Ok(mut socket) = tokio_tungstenite::accept_async(tcp).await else { continue };
        for message in &script {
            let _ = socket.send(message.clone()).await;
        }
        drain(&mut socket).await;
    }
}

async fn drain(socket: &mut WebSocketStream<TcpStream>) {
    while let Some(Ok(_)) = socket.next().await {}
}

/// Runs the box against `script` until it backs off; returns the reason.
async fn reason_to_back_off(script: Vec<Message>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(serve(listener, script));
    let config = Config {
        url,
        room: "r".into(),
        token: TokenSource::fixed("t".into()),
        extra_ca: None,
        video: None,
        audio: true,
        meter: Default::default(),
        attributes: tokio::sync::watch::channel(Default::default()).1,
    };
    let (tell, mut told) = tokio::sync::mpsc::channel(64);
    let tell = Mutex::new(tell);
    let events = move |event| _ = tell.lock().unwrap().try_send(event);
    let (_mute, muted) = watch::channel(false);
    let shutdown = Shutdown::new();
    let listener = Arc::new(Mixer::new());
    let the_box = tokio::spawn(run(config, Stream::new(), muted, listener, events, shutdown.clone()));
    let reason = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            if let Event::BackingOff { reason, .. } = told.recv().await.expect("the box goes on") {
                return reason;
            }
        }
    });
    let reason = reason.await.expect("the box backs off");
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(10), the_box).await.expect("it stops").unwrap().unwrap();
    server.abort();
    reason
}

#[tokio::test]
async fn a_server_that_speaks_something_else_is_left() {
    for (script, expected) in [
        (vec![Message::Text("{\"join\":{}}".into())], "text frames"),
        (vec![Message::Binary(vec![0x0a, 0xff, 0xff].into())], "cannot be decoded"),
        (vec![Message::Binary(vec![0; MAX_FRAME_BYTES + 1].into())], "broke"),
        (vec![Message::Close(None)], "closed"),
        (vec![frame(Response::Join(JoinResponse::default()))], "no participant"),
    ] {
        let reason = reason_to_back_off(script).await;
        assert!(reason.contains(expected), "{reason:?} does not speak of {expected:?}");
    }
}

#[tokio::test]
async fn bad_descriptions_and_candidates_end_the_attempt_and_nothing_else() {
    let sdp =
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:\r\n";
    let trickle = TrickleRequest { candidate_init: "{\"candidate\":1".into(), target: 77, r#final: false };
    for bad in [
        frame(Response::Offer(description("offer", "m=nonsense"))),
        frame(Response::Offer(description("offer", sdp))),
        frame(Response::Offer(description("offer", &"a=ssrc:1 msid:x y\r\n".repeat(10_000)))),
        frame(Response::Answer(description("answer", "v=0\r\n\0\u{fffd}"))),
        frame(Response::Answer(description("answer", ""))),
    ] {
        let script = vec![join(), frame(Response::Trickle(trickle.clone())), bad];
        let reason = reason_to_back_off(script).await;
        assert!(!reason.is_empty());
    }
}
