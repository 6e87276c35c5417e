//! A proxy for the room server's signalling that makes clients reach its media by another way.
//!
//! ```text
//!  client ──WebSocket──▶ Gateway ──────▶ server      (candidates in SDP are rewritten)
//!  client ──────UDP────▶ relay   ──────▶ server
//! ```

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use livekit_protocol as proto;
use prost::Message as _;
use proto::signal_response::Message as Response;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

/// How a gateway's clients reach the server's media.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// By UDP through a relay on this port of the machine.
    Udp(u16),
    /// By TCP: UDP candidates are taken out.
    Tcp,
}

/// A signalling proxy that rewrites the server's candidates.
pub struct Gateway {
    pub port: u16,
    task: JoinHandle<()>,
}

impl Gateway {
    /// In front of `server`'s signalling.
    pub async fn to(server: SocketAddr, way: Way) -> Gateway {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("gateway's socket");
        let port = listener.local_addr().expect("address").port();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(pass(client, server, way));
            }
        });
        Gateway { port, task }
    }

    pub fn ws_url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    pub fn http_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(mut client: TcpStream, server: SocketAddr, way: Way) -> Option<()> {
    let (head, rest) = read_head(&mut client).await?;
    let mut upstream = TcpStream::connect(server).await.ok()?;
    // No compression: the messages are to be read here.
    let kept = |line: &&str| !line.to_ascii_lowercase().starts_with("sec-websocket-extensions:");
    let request: Vec<&str> = head.split("\r\n").filter(kept).collect();
    upstream.write_all(request.join("\r\n").as_bytes()).await.ok()?;
    upstream.write_all(&rest).await.ok()?;
    if !head.to_ascii_lowercase().contains("upgrade: websocket") {
        tokio::io::copy_bidirectional(&mut client, &mut upstream).await.ok()?;
        return Some(());
    }
    let (answer, rest) = read_head(&mut upstream).await?;
    client.write_all(answer.as_bytes()).await.ok()?;
    if !answer.starts_with("HTTP/1.1 101") {
        client.write_all(&rest).await.ok()?;
        tokio::io::copy_bidirectional(&mut client, &mut upstream).await.ok()?;
        return Some(());
    }
    let client = WebSocketStream::from_raw_socket(client, Role::Server, None).await;
    let upstream = WebSocketStream::from_partially_read(upstream, rest, Role::Client, None).await;
    let (mut to_client, mut from_client) = client.split();
    let (mut to_server, mut from_server) = upstream.split();
    let up = async {
        while let Some(Ok(message)) = from_client.next().await {
            if to_server.send(message).await.is_err() {
                return;
            }
        }
    };
    let down = async {
        while let Some(Ok(message)) = from_server.next().await {
            if to_client.send(rewritten(message, way)).await.is_err() {
                return;
            }
        }
    };
    tokio::select! { () = up => {} () = down => {} }
    let _ = tokio::time::timeout(Duration::from_secs(1), to_client.close()).await;
    Some(())
}

/// An HTTP head, blank line included, and what came after it.
async fn read_head(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = read.split_off(end + 4);
            return Some((String::from_utf8(read).ok()?, rest));
        }
        let length = stream.read(&mut buffer).await.ok().filter(|length| *length > 0)?;
        read.extend_from_slice(&buffer[..length]);
    }
}

fn rewritten(message: Message, way: Way) -> Message {
    let Message::Binary(bytes) = &message else { return message };
    let Ok(mut response) = proto::SignalResponse::decode(bytes.as_ref()) else { return message };
    match &mut response.message {
        Some(Response::Offer(description) | Response::Answer(description)) => {
            description.sdp = candidates(&description.sdp, way);
        }
        Some(Response::Trickle(trickle)) => {
            let Ok(mut init) = serde_json::from_str::<serde_json::Value>(&trickle.candidate_init) else {
                return message;
            };
            let line = init["candidate"].as_str().and_then(|line| candidate(line, way)).unwrap_or_default();
            init["candidate"] = line.into();
            trickle.candidate_init = init.to_string();
        }
        _ => return message,
    }
    Message::Binary(response.encode_to_vec().into())
}

fn candidates(sdp: &str, way: Way) -> String {
    let mut out = String::with_capacity(sdp.len());
    for line in sdp.lines() {
        let kept = match line.strip_prefix("a=") {
            Some(candidate_line) if candidate_line.starts_with("candidate:") => {
                candidate(candidate_line, way).map(|line| format!("a={line}"))
            }
            _ => Some(line.to_owned()),
        };
        if let Some(line) = kept {
            out.push_str(&line);
            out.push_str("\r\n");
        }
    }
    out
}

/// `candidate:<foundation> <component> <transport> <priority> <address> <port> typ …` (RFC 8839 §5.1).
fn candidate(line: &str, way: Way) -> Option<String> {
    let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let udp = words.get(2).is_some_and(|transport| transport.eq_ignore_ascii_case("udp"));
    match way {
        Way::Udp(port) if udp => {
            (words[4], words[5]) = ("127.0.0.1".to_owned(), port.to_string());
            Some(words.join(" "))
        }
        Way::Tcp if !udp => Some(line.to_owned()),
        _ => None,
    }
}
