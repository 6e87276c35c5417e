//! A livekit-server whose media goes through a [`Relay`] only: signalling is passed on message by message, the
//! server's address in it exchanged for the relay's, and the box's own addresses taken out of it. Messages can be
//! slipped in, and the connection cut.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use roomd::rtc::signal::frame::{decode_request, decode_response, encode_request, encode_response};
use roomd::rtc::signal::proto::signal_request::Message as Request;
use roomd::rtc::signal::proto::signal_response::Message as Response;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::server::{
    ErrorResponse, Request as Asked, Response as Answer,
};

use super::LiveKit;
use crate::relay::Relay;

/// What is done to the open signalling connections.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)]
enum Slip {
    ToServer(Request),
    ToBox(Response),
    Cut,
}

/// The way to a server through a relay; ends when dropped.
pub struct Through {
    port: u16,
    pub relay: Relay,
    /// Path and token of each connection that was opened.
    pub opened: Arc<Mutex<Vec<(String, String)>>>,
    /// The server's offers so far.
    pub offers: Arc<Mutex<Vec<String>>>,
    slips: broadcast::Sender<Slip>,
    accepting: JoinHandle<()>,
}

impl Through {
    pub async fn to(server: &LiveKit, seed: u64) -> Through {
        let media = SocketAddr::from(([127, 0, 0, 1], server.udp_port));
        let relay = Relay::to(media, seed).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let slips = broadcast::Sender::new(16);
        let (opened, offers) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let ports = Ports { signalling: server.port, there: server.udp_port, here: relay.address().port() };
        let (all, log) = (slips.clone(), Log { opened: opened.clone(), offers: offers.clone() });
        let accepting = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tokio::spawn(pass(tcp, ports, all.subscribe(), log.clone()));
            }
        });
        Through { port, relay, opened, offers, slips, accepting }
    }

    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// Says something to the server in the box's name.
    pub fn say(&self, request: Request) {
        self.slips.send(Slip::ToServer(request)).unwrap();
    }

    /// Says something to the box in the server's name.
    pub fn tell(&self, response: Response) {
        self.slips.send(Slip::ToBox(response)).unwrap();
    }

    /// Breaks the connection; a new one is passed on again.
    pub fn cut(&self) {
        self.slips.send(Slip::Cut).unwrap();
    }
}

impl Drop for Through {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

#[derive(Clone, Copy)]
struct Ports {
    signalling: u16,
    /// The server's, for media.
    there: u16,
    /// The relay's.
    here: u16,
}

#[derive(Clone)]
struct Log {
    opened: Arc<Mutex<Vec<(String, String)>>>,
    offers: Arc<Mutex<Vec<String>>>,
}

async fn pass(tcp: TcpStream, ports: Ports, mut slips: broadcast::Receiver<Slip>, log: Log) -> Option<()> {
    let (mut path, mut bearer) = (String::new(), None);
    #[allow(clippy::result_large_err)]
    let look = |asked: &Asked, answer: Answer| -> Result<Answer, ErrorResponse> {
        path = asked.uri().to_string();
        bearer = asked.headers().get("Authorization").cloned();
        Ok(answer)
    };
    let inside = tokio_tungstenite::accept_hdr_async(tcp, look).await.ok()?;
    let bearer = bearer?;
    log.opened.lock().unwrap().push((path.clone(), bearer.to_str().ok()?.to_owned()));
    let mut request = format!("ws://127.0.0.1:{}{path}", ports.signalling).into_client_request().ok()?;
    request.headers_mut().insert("Authorization", bearer);
    let (outside, _) = tokio_tungstenite::connect_async(request).await.ok()?;
    let (mut to_box, mut of_box) = inside.split();
    let (mut to_server, mut of_server) = outside.split();
    loop {
        tokio::select! {
            slip = slips.recv() => match slip.ok()? {
                Slip::ToServer(request) => {
                    to_server.send(Message::Binary(encode_request(request).into())).await.ok()?;
                }
                Slip::ToBox(response) => {
                    to_box.send(Message::Binary(encode_response(response).into())).await.ok()?;
                }
                Slip::Cut => return None,
            },
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
                    let Some(response) = of_the_server(response, ports) else { continue };
                    if let Response::Offer(offer) = &response {
                        log.offers.lock().unwrap().push(offer.sdp.clone());
                    }
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

fn of_the_server(mut response: Response, ports: Ports) -> Option<Response> {
    let (there, here) = (format!(" 127.0.0.1 {} ", ports.there), format!(" 127.0.0.1 {} ", ports.here));
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
