//! A livekit-server whose media goes through a [`Relay`] only: signalling is passed on message by message, the
//! server's address in it exchanged for the relay's, and the box's own addresses taken out of it.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use roomd::rtc::signal::frame::{decode_request, decode_response, encode_request, encode_response};
use roomd::rtc::signal::proto::signal_request::Message as Request;
use roomd::rtc::signal::proto::signal_response::Message as Response;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::server::{
    ErrorResponse, Request as Asked, Response as Answer,
};

use super::LiveKit;
use crate::relay::Relay;

/// The way to a server through a relay; ends when dropped.
pub struct Through {
    port: u16,
    pub relay: Relay,
    accepting: JoinHandle<()>,
}

impl Through {
    pub async fn to(server: &LiveKit, seed: u64) -> Through {
        let media = SocketAddr::from(([127, 0, 0, 1], server.udp_port));
        let relay = Relay::to(media, seed).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (signalling, there, here) = (server.port, server.udp_port, relay.address().port());
        let accepting = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tokio::spawn(pass(tcp, signalling, there, here));
            }
        });
        Through { port, relay, accepting }
    }

    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }
}

impl Drop for Through {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass(tcp: TcpStream, signalling: u16, there: u16, here: u16) -> Option<()> {
    let (mut path, mut bearer) = (String::new(), None);
    #[allow(clippy::result_large_err)]
    let look = |asked: &Asked, answer: Answer| -> Result<Answer, ErrorResponse> {
        path = asked.uri().to_string();
        bearer = asked.headers().get("Authorization").cloned();
        Ok(answer)
    };
    let inside = tokio_tungstenite::accept_hdr_async(tcp, look).await.ok()?;
    let mut request = format!("ws://127.0.0.1:{signalling}{path}").into_client_request().ok()?;
    request.headers_mut().insert("Authorization", bearer?);
    let (outside, _) = tokio_tungstenite::connect_async(request).await.ok()?;
    let (mut to_box, mut of_box) = inside.split();
    let (mut to_server, mut of_server) = outside.split();
    loop {
        tokio::select! {
            message = of_box.next() => match message?.ok()? {
                Message::Binary(bytes) => {
                    let Some(request) = of_the_box(decode_request(&bytes).ok()?) else { continue };
                    to_server.send(Message::Binary(encode_request(request).into())).await.ok()?;
                }
                Message::Close(_) => return to_server.close().await.ok(),
                _ => {}
            },
            message = of_server.next() => match message?.ok()? {
                Message::Binary(bytes) => {
                    let Ok(response) = decode_response(&bytes) else { continue };
                    let Some(response) = of_the_server(response, there, here) else { continue };
                    to_box.send(Message::Binary(encode_response(response).into())).await.ok()?;
                }
                Message::Close(_) => return to_box.close().await.ok(),
                _ => {}
            },
        }
    }
}

fn of_the_box(mut request: Request) -> Option<Request> {
    match &mut request {
        Request::Trickle(_) => return None,
        Request::Offer(description) | Request::Answer(description) => {
            let lines = description.sdp.lines().filter(|line| !line.starts_with("a=candidate"));
            description.sdp = lines.map(|line| format!("{line}\r\n")).collect();
        }
        _ => {}
    }
    Some(request)
}

fn of_the_server(mut response: Response, there: u16, here: u16) -> Option<Response> {
    let (there, here) = (format!(" 127.0.0.1 {there} "), format!(" 127.0.0.1 {here} "));
    match &mut response {
        Response::Trickle(trickle) if trickle.candidate_init.contains(" tcp ") => return None,
        Response::Trickle(trickle) => trickle.candidate_init = trickle.candidate_init.replace(&there, &here),
        Response::Offer(description) | Response::Answer(description) => {
            let tcp = |line: &&str| !(line.starts_with("a=candidate") && line.contains(" tcp "));
            let lines = description.sdp.lines().filter(tcp);
            description.sdp = lines.map(|line| format!("{}\r\n", line.replace(&there, &here))).collect();
        }
        _ => {}
    }
    Some(response)
}
