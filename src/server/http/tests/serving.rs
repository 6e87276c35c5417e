use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite;

use super::*;
use crate::base::clock::MediaTime;
use crate::base::units::Size;
use crate::media::VideoFrame;

#[tokio::test]
async fn the_plain_listener_is_for_loopback_only() {
    for address in ["0.0.0.0:0", "192.0.2.1:0", "[::]:0"] {
        let error = started(|config| config.listen = Some(address.parse().unwrap())).await.err().unwrap();
        assert!(matches!(error, Error::NotLoopback { .. }) && error.to_string().contains(address), "{error}");
    }
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let server = Service::plain().await;
    let error = started(|config| config.listen = server.http.addresses.http).await.err().unwrap().to_string();
    assert!(error.contains("server.listen 127.0.0.1:"), "{error}");
}

#[tokio::test]
async fn health_and_readiness_follow_the_supervisor() {
    let server = Service::plain().await;
    assert_eq!(server.get("/healthz", &[]).await.status, 503);
    server.health.beat();
    assert_eq!(server.get("/healthz", &[]).await.status, 200);
    assert_eq!(server.get("/readyz", &[]).await.status, 503);
    server.health.set_ready(true);
    assert_eq!(server.get("/readyz", &[]).await.status, 200);
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let server = Service::plain().await;
    for path in ["/", "/rooms/lobby", "/healthz", "/box/state", "/nothing", "/admin", "/../etc/passwd"] {
        let answer = server.get(path, &[]).await;
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'self'") && policy.contains("ws://box:1"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{path}");
        assert!(answer.header("permissions-policy").unwrap().contains("camera=(self), microphone=(self)"));
    }
    assert_eq!(server.get("/nothing", &[]).await.status, 404);
}

#[tokio::test]
async fn a_recording_is_sent_whole_and_in_ranges() {
    let server = Service::plain().await;
    let cookie = server.session().await;
    let cookie = ("Cookie", cookie.as_str());
    let listed = server.get("/box/recordings", &[cookie]).await.json();
    assert_eq!(
        (&listed["data"][0]["id"], &listed["data"][0]["path"]),
        (&"r1".into(), &serde_json::Value::Null)
    );
    let path = "/box/recordings/r1/file";
    let whole = server.get(path, &[cookie]).await;
    assert_eq!((whole.status, whole.body.len(), whole.header("accept-ranges")), (200, 256, Some("bytes")));
    assert_eq!(whole.header("content-type"), Some("video/mp4"));
    let part = server.get(path, &[cookie, ("Range", "bytes=10-19")]).await;
    assert_eq!((part.status, part.body), (206, (10..20).collect::<Vec<u8>>()));
    let tail = server.get(path, &[cookie, ("Range", "bytes=-2")]).await;
    assert_eq!((tail.header("content-range"), &tail.body[..]), (Some("bytes 254-255/256"), &[254, 255][..]));
    let beyond = server.get(path, &[cookie, ("Range", "bytes=256-")]).await;
    assert_eq!((beyond.status, beyond.header("content-range")), (416, Some("bytes */256")));
    let head = server.send("HEAD", path, &[cookie], "").await;
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some("256"), 0));
    for missing in ["r2", "nothing", "..%2Fone.mp4", "%2e%2e"] {
        let answer = server.get(&format!("/box/recordings/{missing}/file"), &[cookie]).await;
        assert_eq!(answer.status, 404, "{missing}");
    }
    assert_eq!(server.get("/box/recordings/r1/file?file=two.mp4", &[cookie]).await.status, 404);
    assert!(server.dir.path().join("one.mp4").exists());
}

#[tokio::test]
async fn the_picture_is_a_jpeg_or_says_that_there_is_none() {
    let server = Service::plain().await;
    let cookie = server.session().await;
    let cookie = [("Cookie", cookie.as_str())];
    assert_eq!(server.get("/box/picture.jpg", &cookie).await.status, 503);
    server.picture.set(Some(Arc::new(VideoFrame::black(Size::new(160, 90), MediaTime::ZERO))));
    let answer = server.get("/box/picture.jpg", &cookie).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
    assert_eq!(&answer.body[..2], &[0xff, 0xd8]);
}

#[tokio::test]
async fn events_bring_the_state_now_and_on_every_change_and_end_with_the_box() {
    let server = Service::plain().await;
    let cookie = server.session().await;
    let mut stream = server.connect().await;
    let text = request("GET", "/box/events", &[("Cookie", &cookie)], "");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut seen = String::new();
    let mut until = async |stream: &mut TcpStream, word: &str| {
        while !seen.contains(word) {
            let mut chunk = [0; 4096];
            let read = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut chunk)).await;
            let read = read.expect("an event").unwrap();
            assert_ne!(read, 0, "ended before {word}: {seen}");
            seen += &String::from_utf8_lossy(&chunk[..read]);
        }
    };
    until(&mut stream, "event: state").await;
    until(&mut stream, "\"seq\":1").await;
    server.state.update(|state| state.microphone.muted = true);
    until(&mut stream, "\"seq\":2").await;
    server.meter.show(&[3_277; 960]);
    until(&mut stream, "event: level").await;
    until(&mut stream, r#"{"dbov":-20,"peak_dbov":-20}"#).await;
    server.shutdown.cancel();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
    ended.expect("the stream ends").unwrap();
    server.http.finished().await;
}

#[tokio::test]
async fn info_says_what_the_box_is() {
    let server = Service::plain().await;
    let cookie = server.session().await;
    let info = server.get("/box/info", &[("Cookie", &cookie)]).await.json();
    let address = format!("http://{}", server.http.addresses.http.unwrap());
    assert_eq!((&info["id"], &info["name"]), (&"b7".into(), &"Box 7".into()));
    assert_eq!(info["addresses"]["http"][0], address);
    assert_eq!(info["rooms_url"], format!("{address}/rooms/"));
    assert!(info["commands"].as_array().unwrap().contains(&"room.join".into()));
}

#[tokio::test]
async fn bad_http_and_a_panic_end_their_own_connection_only() {
    let server = Service::plain().await;
    let mut silent = vec![];
    for _ in 0..20 {
        silent.push(server.connect().await);
    }
    for bad in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\0 HTTP/1.1\r\n\r\n",
        b"\r\n\r\n\r\n\r\nnonsense nonsense nonsense nonsense\r\n\r\n",
        b"POST /box/cmd/ping HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nZZZ\r\n",
    ] {
        let answer = exchange(server.connect().await, bad).await;
        assert!(answer.status == 0 || (400..600).contains(&answer.status), "{bad:?}: {}", answer.head);
    }
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(64 * 1024));
    let answer = exchange(server.connect().await, long.as_bytes()).await;
    assert!(matches!(answer.status, 0 | 431), "{}", answer.head);
    assert_eq!(server.get("/panics", &[]).await.status, 0);
    server.health.beat();
    assert_eq!(server.get("/healthz", &[]).await.status, 200);
}

#[tokio::test]
async fn the_merged_routers_websocket_works() {
    let server = Service::plain().await;
    let url = format!("ws://{}/rtc", server.http.addresses.http.unwrap());
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    socket.send(tungstenite::Message::text("hello")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), tungstenite::Message::text("hello"));
}

#[tokio::test]
async fn stopping_does_not_wait_for_ever_for_a_connection_that_does_not_end() {
    let server = Service::plain().await;
    let mut idle = server.connect().await;
    idle.write_all(b"POST /box/cmd/ping HTTP/1.1\r\nHost: a\r\nContent-Le").await.unwrap();
    server.shutdown.cancel();
    let (address, finished) = (server.http.addresses.http.unwrap(), server.http.finished());
    tokio::time::timeout(Duration::from_secs(20), finished).await.expect("it ends");
    assert!(TcpStream::connect(address).await.is_err());
}
