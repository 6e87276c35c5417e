//! A participant with a good token and bad manners.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use prost::Message as _;
use proto::signal_request::Message as Request;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use crate::gate;
use crate::pair::Pair;

/// A bound for a connection that shall end or be answered.
const MOMENT: Duration = Duration::from_secs(10);

/// An offer as a browser makes it: one H.264 video section.
const OFFER: &str = "v=0\r\no=- 42 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=msid-semantic: WMS\r\n\
m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\n\
a=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=ice-options:trickle\r\na=fingerprint:sha-256 \
00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n\
a=setup:actpass\r\na=mid:0\r\na=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=sendonly\r\na=msid:s t\r\n\
a=rtcp-mux\r\na=rtpmap:96 H264/90000\r\na=rtcp-fb:96 nack\r\n\
a=fmtp:96 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n\
a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=ssrc-group:FID 1 2\r\na=ssrc:1 cname:c\r\na=ssrc:2 cname:c\r\n";

/// Somebody who has joined.
struct Mallory(WebSocket<TcpStream>);

impl Mallory {
    fn join(pair: &Pair) -> Mallory {
        let token = pair.token(&Pair::joining("mallory"));
        let url = format!("ws://{}/rtc?access_token={token}&protocol=16&auto_subscribe=1", pair.address);
        let stream = TcpStream::connect(&pair.address).expect("the box listens");
        stream.set_read_timeout(Some(MOMENT)).expect("a timeout");
        let (mut socket, _) = tungstenite::client(url, stream).expect("a good token is let in");
        // The box's probe may come before its join response.
        while !matches!(socket.read().expect("a join response"), Message::Binary(_)) {}
        Mallory(socket)
    }

    /// False when the box has hung up.
    fn say(&mut self, message: Message) -> bool {
        self.0.send(message).is_ok()
    }

    fn request(&mut self, request: Request) -> bool {
        let request = proto::SignalRequest { message: Some(request) };
        self.say(Message::Binary(request.encode_to_vec().into()))
    }

    /// Reads until the box hangs up; panics when it does not.
    fn await_end(mut self, why: &str) {
        let deadline = Instant::now() + MOMENT;
        loop {
            assert!(Instant::now() < deadline, "{why}: still connected");
            match self.0.read() {
                Ok(_) => {}
                // The socket's own timeout: nothing was heard, not even a farewell.
                Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                    panic!("{why}: still connected")
                }
                Err(_) => return,
            }
        }
    }
}

fn random(rng: &mut StdRng, longest: usize) -> Vec<u8> {
    let mut bytes = vec![0; rng.random_range(1..=longest)];
    rng.fill_bytes(&mut bytes);
    bytes
}

fn description(kind: &str, sdp: String) -> proto::SessionDescription {
    proto::SessionDescription { r#type: kind.to_owned(), sdp, ..Default::default() }
}

fn offer(sdp: impl Into<String>) -> Request {
    Request::Offer(description("offer", sdp.into()))
}

#[test]
fn frames_that_are_no_signalling_put_out_their_sender_only() {
    let _gate = gate::undisturbed();
    let mut pair = Pair::start();
    let mut rng = StdRng::seed_from_u64(1);
    let whole = proto::SignalRequest { message: Some(offer(OFFER)) }.encode_to_vec();
    let mut frames = vec![
        Message::Text("{".into()),
        Message::Text("hello".into()),
        Message::Text("[".repeat(10_000).into()),
        Message::Binary(vec![0xff; 65_536 + 1].into()),
        Message::Binary(vec![0; 4 << 20].into()),
        Message::Text("x".repeat(1 << 20).into()),
    ];
    frames.extend((0..12).map(|n| Message::Binary(whole[..whole.len() - 1 - 37 * n].to_vec().into())));
    let before = pair.metric("roomd_sfu_misbehaved_total");
    for (number, frame) in frames.iter().enumerate() {
        let mut mallory = Mallory::join(&pair);
        // The box may hang up before all of a large one is sent.
        mallory.say(frame.clone());
        mallory.await_end(&format!("frame {number}"));
    }
    assert!(pair.metric("roomd_sfu_misbehaved_total") >= before + frames.len() as f64 - 3.0, "it is counted");
    // Random bytes may by chance be a request that is merely without effect.
    for _ in 0..25 {
        let mut mallory = Mallory::join(&pair);
        mallory.say(Message::Binary(random(&mut rng, 3000).into()));
    }
    pair.assert_goes_on("after frames that are no signalling");
    pair.stop();
}

/// Well-formed frames with nonsense in them.
fn nonsense(rng: &mut StdRng) -> Vec<Request> {
    let words = |rng: &mut StdRng| String::from_utf8_lossy(&random(rng, 40)).into_owned();
    let candidate = r#"{"candidate":"candidate:1 1 udp 99999999999 999.1.1.1 99999 typ host","sdpMid":"0"}"#;
    let mut requests = vec![
        offer(""),
        offer("garbage"),
        offer("v=0\r\n".repeat(1000)),
        offer(format!("{OFFER}{}", "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\n".repeat(300))),
        offer(OFFER.replace("m=video 9", "m=video 99999999")),
        offer(OFFER.replace("a=mid:0", "a=mid:")),
        offer(OFFER.replace("sha-256", "sha-9")),
        offer(OFFER.replace("H264", "VP8")),
        Request::Offer(description("banana", OFFER.to_owned())),
        Request::Answer(description("answer", OFFER.to_owned())),
        Request::Answer(description("answer", String::new())),
        Request::Mute(proto::MuteTrackRequest { sid: words(rng), muted: true }),
        Request::Ping(i64::MIN),
    ];
    for (candidate_init, target) in [("", 0), ("{", 1), (candidate, 0), (candidate, 1), (candidate, -7)] {
        let candidate_init = candidate_init.to_owned();
        requests.push(Request::Trickle(proto::TrickleRequest { candidate_init, target, r#final: false }));
    }
    for (kind, source) in [(0, 0), (1, 1), (1, 99), (-3, i32::MIN), (2, 2)] {
        let layers =
            (0..40).map(|n| proto::VideoLayer { quality: n - 3, width: u32::MAX, ..Default::default() });
        requests.push(Request::AddTrack(proto::AddTrackRequest {
            cid: words(rng),
            name: "x".repeat(10_000),
            r#type: kind,
            source,
            width: u32::MAX,
            layers: layers.collect(),
            ..Default::default()
        }));
    }
    let sids: Vec<String> = (0..500).map(|_| words(rng)).collect();
    requests.push(Request::Subscription(proto::UpdateSubscription {
        track_sids: sids.clone(),
        subscribe: true,
        ..Default::default()
    }));
    requests.push(Request::TrackSetting(proto::UpdateTrackSettings {
        track_sids: sids,
        width: u32::MAX,
        fps: u32::MAX,
        quality: -1,
        ..Default::default()
    }));
    requests
}

/// The offer with one place cut, doubled or overwritten.
fn bent_offer(rng: &mut StdRng) -> String {
    let at = rng.random_range(0..OFFER.len());
    let (front, back) = OFFER.split_at(at);
    match rng.random_range(0..4) {
        0 => front.to_owned(),
        1 => format!("{front}{}{back}", rng.random::<char>()),
        2 => format!("{front}{}", back.chars().skip(rng.random_range(1..60)).collect::<String>()),
        _ => format!("{front}{OFFER}"),
    }
}

#[test]
fn bad_descriptions_and_senseless_requests_stop_nobody_else() {
    let _gate = gate::undisturbed();
    let mut pair = Pair::start();
    let mut rng = StdRng::seed_from_u64(2);
    let mut requests = nonsense(&mut rng);
    requests.extend((0..80).map(|_| offer(bent_offer(&mut rng))));
    let mut mallory = Mallory::join(&pair);
    for request in requests {
        if !mallory.request(request.clone()) {
            mallory = Mallory::join(&pair);
            mallory.request(request);
        }
    }
    // One request more, of the kind that is answered: the box has got through all before it or hung up.
    mallory.request(Request::Leave(proto::LeaveRequest::default()));
    mallory.await_end("it has left");
    pair.assert_goes_on("after senseless requests");
    pair.stop();
}
