//! Over loopback, against the server of another implementation (`shiguredo_rtmp`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use shiguredo_rtmp::{AvcPacketType, RtmpConnectionEvent, RtmpConnectionState, RtmpServerConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::base::clock::MediaTime;
use crate::media::{AccessUnit, Layer, Stream, TrackId, Wants};

/// Longest that anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a server has seen.
#[derive(Debug, Default)]
struct Seen {
    connections: AtomicU64,
    pictures: AtomicU64,
    /// Of the last connection: whether it ended with the client's taking leave.
    ended: AtomicU64,
}

/// A server that takes every stream; its port and what it sees.
async fn server() -> (u16, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, seen) = (listener.local_addr().unwrap().port(), Arc::new(Seen::default()));
    let told = seen.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            told.connections.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(socket, told.clone()));
        }
    });
    (port, seen)
}

async fn serve(mut socket: TcpStream, seen: Arc<Seen>) {
    let (mut server, mut bytes) = (RtmpServerConnection::new(), vec![0; 65_536]);
    loop {
        let count = socket.read(&mut bytes).await.unwrap_or(0);
        if count == 0 {
            seen.ended.fetch_add(1, Ordering::SeqCst);
            return;
        }
        server.feed_recv_buf(&bytes[..count]).expect("the client speaks RTMP");
        while let Some(event) = server.next_event() {
            match event {
                RtmpConnectionEvent::StateChanged(RtmpConnectionState::PublishPending) => {
                    server.accept().unwrap()
                }
                RtmpConnectionEvent::VideoReceived(frame)
                    if frame.avc_packet_type == Some(AvcPacketType::NalUnit) =>
                {
                    seen.pictures.fetch_add(1, Ordering::SeqCst);
                }
                _ => {}
            }
        }
        let answer = server.send_buf().to_vec();
        server.advance_send_buf(answer.len());
        if socket.write_all(&answer).await.is_err() {
            return;
        }
    }
}

fn destination(port: u16) -> Destination {
    let url = LiveUrl::parse(&format!("rtmp://127.0.0.1:{port}/live")).unwrap();
    Destination { url, key: Key::Given(StreamKey::parse("s3cret").unwrap()) }
}

fn pusher(stream: &Stream) -> Pusher {
    let sound = Sound { config: vec![0x11, 0x88], rate: 48_000, channels: 1 };
    Pusher::new(Config { ca_file: None, sound }, stream.clone())
}

fn keyframe(number: u64) -> AccessUnit {
    let mut data = vec![0, 0, 0, 1];
    data.extend_from_slice(&[
        0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10,
        0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0, 0, 0, 1, 0x68, 0xeb, 0xe3, 0xcb, 0, 0, 0, 1, 0x65, 7, 7,
        7,
    ]);
    AccessUnit {
        track: TrackId::Video(Layer::Full),
        pts: MediaTime::from_millis(number * 33),
        duration: Duration::from_millis(33),
        keyframe: true,
        data: Bytes::from(data),
        audio_level: 127,
    }
}

/// Waits until the reports are as `so` wants them.
async fn until(reports: &mut Reports, so: impl FnMut(&Vec<Report>) -> bool) {
    let waited = tokio::time::timeout(PATIENCE, reports.wait_for(so)).await;
    waited.expect("in time").expect("the pusher lives");
}

/// Publishes pictures as soon as somebody reads.
async fn publish(stream: &Stream, numbers: std::ops::Range<u64>) {
    while stream.demand() == Wants::NOTHING {
        tokio::task::yield_now().await;
    }
    for number in numbers {
        stream.publish(&keyframe(number));
    }
}

#[tokio::test]
async fn one_that_takes_the_stream_gets_all_of_it_and_one_that_does_not_says_why_and_when_next() {
    let ((port, seen), stream) = (server().await, Stream::new());
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let mut pusher = pusher(&stream);
    let mut reports = pusher.reports();
    pusher.set(vec![destination(unused), destination(port)]);
    publish(&stream, 0..100).await;
    until(&mut reports, |reports| reports[1].status == LiveStatus::Live && reports[0].failures > 0).await;
    let refused = reports.borrow()[0].clone();
    assert!(refused.status != LiveStatus::Live && refused.next_try.is_some());
    let error = refused.last_error.expect("a reason");
    assert!(error.starts_with(&format!("127.0.0.1:{unused}/live: cannot connect: ")), "{error}");
    // The one that goes well is not disturbed by another list with it.
    pusher.set(vec![destination(port)]);
    assert_eq!(pusher.left().await.len(), 1);
    pusher.set(Vec::new());
    let left = pusher.left().await;
    assert_eq!((left.len(), left[0].sent.pictures, left[0].lost), (1, 100, 0));
    assert!(left[0].acked_bytes > 1000, "{left:?}");
    assert!(reports.borrow().is_empty() && stream.demand() == Wants::NOTHING);
    while seen.ended.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(seen.connections.load(Ordering::SeqCst), 1);
    assert_eq!(seen.pictures.load(Ordering::SeqCst), 100);
}

#[tokio::test]
async fn a_server_that_hangs_up_is_come_back_to() {
    let (listener, stream) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Stream::new());
    let mut pusher = pusher(&stream);
    let mut reports = pusher.reports();
    pusher.set(vec![destination(listener.local_addr().unwrap().port())]);
    drop(listener.accept().await.unwrap());
    until(&mut reports, |reports| reports[0].failures == 1).await;
    let error = reports.borrow()[0].last_error.clone().unwrap();
    assert!(error.ends_with("closed the connection") || error.contains("broke"), "{error}");
    let (socket, _) = listener.accept().await.unwrap();
    tokio::spawn(serve(socket, Arc::default()));
    publish(&stream, 0..3).await;
    until(&mut reports, |reports| reports[0].status == LiveStatus::Live).await;
    assert_eq!(reports.borrow()[0].last_error, None);
}

#[tokio::test]
async fn a_key_file_that_is_not_there_is_named_and_waited_for() {
    let ((port, _), stream, dir) = (server().await, Stream::new(), tempfile::tempdir().unwrap());
    let file = dir.path().join("key");
    let mut pusher = pusher(&stream);
    let mut reports = pusher.reports();
    pusher.set(vec![Destination { key: Key::File(file.clone()), ..destination(port) }]);
    until(&mut reports, |reports| reports[0].failures == 1).await;
    let error = reports.borrow()[0].last_error.clone().unwrap();
    assert!(error.contains("stream_key_file") && error.contains(&file.display().to_string()), "{error}");
    std::fs::write(&file, "s3cret\n").unwrap();
    publish(&stream, 0..3).await;
    until(&mut reports, |reports| reports[0].status == LiveStatus::Live).await;
}
