//! RTMP servers that do not do what they should: each has a clear state, and the good one beside them notices nothing.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};
use shiguredo_rtmp::{RtmpConnectionEvent, RtmpConnectionState, RtmpServerConnection};

use crate::nginx::Nginx;
use crate::roomd::Roomd;
use crate::{film, gate};

const KEY: &str = "s3cret-key-of-the-stream";

/// A server that does `with` with each connection; its URL. Ends with the process.
fn server(with: impl Fn(TcpStream) + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    // What a server does not read must not fit into its buffers.
    let small = socket2::SockRef::from(&listener).set_recv_buffer_size(8192);
    small.expect("a small buffer");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let with = with.clone();
            std::thread::spawn(move || with(socket));
        }
    });
    format!("rtmp://127.0.0.1:{port}/live")
}

/// Speaks RTMP until the stream is asked for, does `then`, sends what comes of it, and hands the socket back.
fn until_asked(mut socket: TcpStream, then: impl Fn(&mut RtmpServerConnection)) -> Option<TcpStream> {
    let (mut server, mut bytes, mut asked) = (RtmpServerConnection::new(), [0; 4096], false);
    while !asked {
        let count = socket.read(&mut bytes).ok().filter(|count| *count > 0)?;
        server.feed_recv_buf(&bytes[..count]).ok()?;
        while let Some(event) = server.next_event() {
            let pending = RtmpConnectionEvent::StateChanged(RtmpConnectionState::PublishPending);
            if event == pending {
                then(&mut server);
                asked = true;
            }
        }
        let answer = server.send_buf().to_vec();
        server.advance_send_buf(answer.len());
        socket.write_all(&answer).ok()?;
    }
    Some(socket)
}

/// Keeps a connection open without reading.
fn hold(socket: TcpStream) {
    std::thread::sleep(Duration::from_secs(120));
    drop(socket);
}

/// Answers the handshake, then `connect` with a redirect.
fn redirect(mut socket: TcpStream) {
    let mut hello = [0; 1537];
    if socket.read_exact(&mut hello).is_err() {
        return;
    }
    let text = |text: &str| [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat();
    let member = |name: &str, value: &str| [text(name), vec![2], text(value)].concat();
    let ex =
        [text("ex"), vec![3], member("redirect", "rtmp://other.example/live?s3cret"), vec![0, 0, 9]].concat();
    let about = [vec![3], member("level", "error"), member("code", "NetConnection.Connect.Rejected"), ex];
    let one = 1.0f64.to_be_bytes().to_vec();
    let body = [vec![2], text("_error"), vec![0], one, vec![5], about.concat(), vec![0, 0, 9]].concat();
    // Chunks of 128 bytes.
    let mut message = vec![3, 0, 0, 0, 0, 0, body.len() as u8, 20, 0, 0, 0, 0];
    for (number, part) in body.chunks(128).enumerate() {
        message.extend(if number > 0 { &[0xc3][..] } else { &[] });
        message.extend_from_slice(part);
    }
    let handshake = [&[3][..], &[0; 1536], &hello[1..]].concat();
    let _ = socket.write_all(&[handshake, message].concat());
    hold(socket);
}

#[test]
fn servers_that_refuse_hang_never_read_reset_redirect_or_send_noise_have_a_clear_state_each() {
    let _gate = gate::undisturbed();
    let (nginx, mut roomd) = (Nginx::start(None), Roomd::start(""));
    let refuses =
        |socket| until_asked(socket, |server| server.reject(KEY).expect("rejected")).map_or((), hold);
    let never_reads =
        |socket| until_asked(socket, |server| server.accept().expect("accepted")).map_or((), hold);
    let resets = |socket: TcpStream| {
        let linger = Some(Duration::ZERO);
        drop(socket2::SockRef::from(&socket).set_linger(linger));
    };
    let noise = |mut socket: TcpStream| {
        let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        hold(socket);
    };
    let bad = [
        (server(never_reads), "has acknowledged nothing for 30 s"),
        (server(refuses), "the server refuses: NetStream.Publish.BadName"),
        (server(hold), "the RTMP handshake took longer than 10 s"),
        (server(resets), "closed the connection|the connection broke"),
        (server(redirect), "redirects to rtmp://other.example/live: "),
        (server(noise), "no RTMP handshake"),
    ];
    let mut outputs = vec![json!({"url": nginx.url(), "streamKey": KEY})];
    outputs.extend(bad.iter().map(|(url, _)| json!({"url": url, "streamKey": KEY})));
    let reply = roomd.ask(&["cmd", "live.set", &json!({"on": true, "outputs": outputs}).to_string()]);
    assert_eq!(
        (&reply["ok"], &reply["data"]["destinations"][0]["status"]),
        (&json!(true), &json!("live")),
        "{reply}"
    );

    let all = |roomd: &Roomd| roomd.state()["live"]["destinations"].clone();
    roomd.wait_for("the server that never reads to be stalled", |roomd| all(roomd)[1]["status"] == "stalled");
    let says = |found: &Value, words: &str| {
        let error = found["last_error"].as_str().unwrap_or_default();
        words.split('|').any(|words| error.contains(words))
    };
    let mut said = [false; 6];
    for _ in 0..2 {
        // Two rounds of patience: the stall alone takes 30 s.
        let began = std::time::Instant::now();
        while began.elapsed() < Duration::from_secs(25) && said != [true; 6] {
            let found = all(&roomd);
            for (number, (_, words)) in bad.iter().enumerate() {
                said[number] |= says(&found[number + 1], words);
            }
            assert_eq!(found[0]["status"], "live", "{found}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
    assert_eq!(said, [true; 6], "{:#}", all(&roomd));
    assert!(!roomd.log().contains(KEY) && !all(&roomd).to_string().contains("s3cret"));

    roomd.ask(&["live", "off"]);
    let files = nginx.recorded(KEY);
    assert_eq!(files.len(), 1, "the good server's connection was never broken: {files:?}");
    film::decodes_without_error(&files[0]);
    roomd.stop();
}
