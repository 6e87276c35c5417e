//! Janus and its VideoRoom: the process, its WebSocket API, and peers that send and count the same packets as elsewhere.
//!
//! It offers no loopback address, so both sides run in a network namespace with one more interface ([`in_namespace`]).

use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use str0m::change::{SdpAnswer, SdpOffer};
use str0m::media::{Direction, MediaKind, Mid, Pt};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};
use tokio::net::{TcpStream, UdpSocket};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::client::{FPS, LAYERS, Seen, note, payload};

const ADDRESS: &str = "10.99.0.1";
const ROOM: u32 = 1;
/// Where Debian puts them.
const MODULES: &str = "/usr/lib/x86_64-linux-gnu/janus";
const NAMESPACE: &str = "ROOMD_BENCH_NAMESPACE";

/// Runs this program again in a network namespace of its own, unless it is in one.
pub fn in_namespace() {
    if std::env::var_os(NAMESPACE).is_some() {
        return;
    }
    let script = format!(
        "ip link set lo up && ip link add media type veth peer name other && ip addr add {ADDRESS}/24 dev media && \
         ip link set media up && ip link set other up && exec \"$0\" \"$@\""
    );
    let own = std::env::current_exe().expect("own path");
    let error = Command::new("unshare")
        .args(["--net", "sh", "-c", &script])
        .arg(own)
        .args(std::env::args_os().skip(1))
        .env(NAMESPACE, "1")
        .exec();
    panic!("unshare: {error}");
}

/// Starts it with one room, its files in `dir`. Its API: the URL.
pub async fn start(dir: &std::path::Path) -> (Child, String) {
    let file = |name: &str, text: String| std::fs::write(dir.join(name), text).expect("configuration");
    file(
        "janus.jcfg",
        format!(
            "general: {{ plugins_folder = \"{MODULES}/plugins\"\n transports_folder = \"{MODULES}/transports\"\n \
             events_folder = \"{MODULES}/events\"\n loggers_folder = \"{MODULES}/loggers\"\n debug_level = 2\n \
             session_timeout = 0 }}\nnat: {{ ice_enforce_list = \"{ADDRESS}\" }}\n"
        ),
    );
    file(
        "janus.plugin.videoroom.jcfg",
        format!(
            "room-{ROOM}: {{ publishers = 2\n audiocodec = \"opus\"\n videocodec = \"h264\"\n bitrate = 0\n \
             fir_freq = 0 }}\n"
        ),
    );
    file(
        "janus.transport.websockets.jcfg",
        "general: { ws = true\n ws_port = 8188\n ws_ip = \"127.0.0.1\" }\n".to_owned(),
    );
    let child = Command::new("janus")
        .arg(format!("--configs-folder={}", dir.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("janus (Debian's package)");
    (child, "ws://127.0.0.1:8188".to_owned())
}

/// A session of the API; asks one thing after the other.
pub struct Session {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    id: Option<u64>,
    asked: u64,
}

impl Session {
    /// Tries until Janus has started. Only whole handshakes: Janus 1.1.2 may crash when a connection ends before its own.
    pub async fn open(url: &str) -> Session {
        let mut request = url.into_client_request().expect("url");
        let protocol = "janus-protocol".parse().expect("a header");
        request.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
        let mut tries = 0..100;
        let socket = loop {
            match tokio_tungstenite::connect_async(request.clone()).await {
                Ok((socket, _)) => break socket,
                Err(error) => assert!(tries.next().is_some(), "its API: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let mut session = Session { socket, id: None, asked: 0 };
        let created = session.ask(json!({"janus": "create"})).await;
        session.id = created["data"]["id"].as_u64();
        session
    }

    async fn ask(&mut self, mut request: Value) -> Value {
        self.asked += 1;
        let transaction = self.asked.to_string();
        request["transaction"] = json!(transaction);
        if let Some(id) = self.id {
            request["session_id"] = json!(id);
        }
        self.socket.send(Message::text(request.to_string())).await.expect("its API");
        loop {
            let message = self.socket.next().await.expect("its API").expect("its API");
            let Ok(Ok(said)) = message.to_text().map(serde_json::from_str::<Value>) else { continue };
            if said["transaction"] == json!(transaction) && said["janus"] != "ack" {
                assert!(said["error"].is_null() && said["plugindata"]["data"]["error"].is_null(), "{said}");
                return said;
            }
        }
    }

    async fn attach(&mut self) -> u64 {
        let plugin = "janus.plugin.videoroom";
        let attached = self.ask(json!({"janus": "attach", "plugin": plugin})).await;
        attached["data"]["id"].as_u64().expect("a handle")
    }

    async fn message(&mut self, handle: u64, body: Value, jsep: Option<Value>) -> Value {
        let mut request = json!({"janus": "message", "handle_id": handle, "body": body});
        if let Some(jsep) = jsep {
            request["jsep"] = jsep;
        }
        self.ask(request).await
    }

    /// Publishes the full layer and the sound. The publisher's id; it ends when the task is aborted.
    pub async fn publish(&mut self) -> (u64, tokio::task::JoinHandle<()>) {
        let mut peer = Peer::new().await;
        let mut api = peer.rtc.sdp_api();
        let mut add = |kind| api.add_media(kind, Direction::SendOnly, Some("s".into()), None, None);
        let mids = (add(MediaKind::Video), add(MediaKind::Audio));
        let (offer, pending) = api.apply().expect("changes");
        let handle = self.attach().await;
        let body = json!({"request": "joinandconfigure", "ptype": "publisher", "room": ROOM});
        let jsep = json!({"type": "offer", "sdp": offer.to_sdp_string(), "trickle": false});
        let joined = self.message(handle, body, Some(jsep)).await;
        let answer = joined["jsep"]["sdp"].as_str().expect("an answer");
        let answer = SdpAnswer::from_sdp_string(answer).expect("SDP");
        peer.rtc.sdp_api().accept_answer(pending, answer).expect("accepted");
        let id = joined["plugindata"]["data"]["id"].as_u64().expect("an id");
        (id, tokio::spawn(peer.run(Arc::default(), Some(mids))))
    }

    /// Subscribes to what `publisher` sends.
    pub async fn watch(&mut self, publisher: u64) -> (Arc<Mutex<Seen>>, tokio::task::JoinHandle<()>) {
        let mut peer = Peer::new().await;
        let handle = self.attach().await;
        let streams = json!([{"feed": publisher}]);
        let body = json!({"request": "join", "ptype": "subscriber", "room": ROOM, "streams": streams});
        let joined = self.message(handle, body, None).await;
        let offer = joined["jsep"]["sdp"].as_str().expect("an offer");
        let offer = SdpOffer::from_sdp_string(offer).expect("SDP");
        let answer = peer.rtc.sdp_api().accept_offer(offer).expect("accepted");
        let jsep = json!({"type": "answer", "sdp": answer.to_sdp_string(), "trickle": false});
        self.message(handle, json!({"request": "start"}), Some(jsep)).await;
        let seen = Arc::<Mutex<Seen>>::default();
        (Arc::clone(&seen), tokio::spawn(peer.run(seen, None)))
    }
}

/// One connection.
struct Peer {
    rtc: Rtc,
    socket: UdpSocket,
    local: SocketAddr,
}

impl Peer {
    async fn new() -> Peer {
        let socket = UdpSocket::bind((ADDRESS, 0)).await.expect("socket");
        let local = socket.local_addr().expect("address");
        let mut config = RtcConfig::new().set_rtp_mode(true).clear_codecs().enable_opus(true, false);
        config.codec_config().add_h264(Pt::from(125), Some(Pt::from(107)), true, 0x42_e01f);
        let mut rtc = config.build(Instant::now());
        rtc.add_local_candidate(Candidate::host(local, "udp").expect("candidate"));
        Peer { rtc, socket, local }
    }

    async fn run(mut self, seen: Arc<Mutex<Seen>>, sends: Option<(Mid, Mid)>) {
        let (mut wake_at, mut buffer, mut sent) = (Instant::now(), vec![0; 2048], Sent::default());
        loop {
            tokio::select! {
                received = self.socket.recv_from(&mut buffer) => {
                    let Ok((length, source)) = received else { continue };
                    let Ok(receive) = Receive::new(Protocol::Udp, source, self.local, &buffer[..length]) else { continue };
                    self.rtc.handle_input(Input::Receive(Instant::now(), receive)).expect("input");
                }
                () = tokio::time::sleep_until(wake_at.into()) => {}
            }
            let now = Instant::now();
            let next =
                sends.filter(|_| self.rtc.is_connected()).map(|mids| sent.send(&mut self.rtc, mids, now));
            self.rtc.handle_input(Input::Timeout(now)).expect("input");
            wake_at = loop {
                match self.rtc.poll_output().expect("output") {
                    Output::Timeout(at) => break next.map_or(at, |next| at.min(next)),
                    Output::Transmit(out) => {
                        let _ = self.socket.try_send_to(&out.contents, out.destination);
                    }
                    Output::Event(Event::RtpPacket(packet)) => note(&mut seen.lock().expect("seen"), &packet),
                    Output::Event(Event::KeyframeRequest(_)) => sent.keyframe = true,
                    Output::Event(_) => {}
                }
            };
        }
    }
}

/// What was sent so far.
#[derive(Default)]
struct Sent {
    began: Option<Instant>,
    pictures: u64,
    sounds: u64,
    packets: u64,
    keyframe: bool,
}

impl Sent {
    /// Sends what is due. When the next is.
    fn send(&mut self, rtc: &mut Rtc, (video, audio): (Mid, Mid), now: Instant) -> Instant {
        let began = *self.began.get_or_insert(now);
        let picture_at = |number: u64| began + Duration::from_micros(number * 1_000_000 / FPS);
        let sound_at = |number: u64| began + Duration::from_millis(number * 20);
        let mut api = rtc.direct_api();
        while picture_at(self.pictures) <= now {
            let keyframe = std::mem::take(&mut self.keyframe) || self.pictures.is_multiple_of(FPS * 4);
            let parts = payload(2, LAYERS[2].1, keyframe, self.pictures);
            let count = parts.len();
            let timestamp = (self.pictures * 90_000 / FPS) as u32;
            let Some(stream) = api.stream_tx_by_mid(video, None) else { break };
            for (part, payload) in parts.into_iter().enumerate() {
                let number = 100 + self.packets;
                self.packets += 1;
                let packet = RtpWrite::new(Pt::from(125), number.into(), timestamp, now, payload);
                stream.write_rtp(packet.marker(part + 1 == count).nackable(true));
            }
            self.pictures += 1;
        }
        while sound_at(self.sounds) <= now {
            let Some(stream) = api.stream_tx_by_mid(audio, None) else { break };
            let (number, timestamp) = (7 + self.sounds, (self.sounds * 960) as u32);
            stream.write_rtp(RtpWrite::new(Pt::from(111), number.into(), timestamp, now, vec![0xfc; 80]));
            self.sounds += 1;
        }
        picture_at(self.pictures).min(sound_at(self.sounds))
    }
}
