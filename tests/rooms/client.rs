//! A LiveKit client without an encoder: it publishes packets that look like H.264 in three layers, or counts what it
//! gets. Every packet tells its layer, picture and media time, so nothing has to be decoded.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use proto::signal_request::Message as Request;
use proto::signal_response::Message as Response;
use roomd::room::Grant;
use roomd::rtc::signal::client::{SignalError, SignalSocket};
use roomd::rtc::signal::url::{ConnectQuery, ServerUrl};
use str0m::change::{SdpAnswer, SdpOffer};
use str0m::channel::{ChannelConfig, Reliability};
use str0m::media::{Direction, MediaKind, Mid, Pt, Rid, Simulcast, SimulcastLayer};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{Extension, RtpWrite};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

#[path = "packets.rs"]
mod packets;
pub use packets::*;

/// RIDs, and bits per second of each, by layer.
pub const LAYERS: [(&str, u64); 3] = [("q", 150_000), ("h", 450_000), ("f", 1_700_000)];

/// Every usual right in `room`.
pub fn grant(room: &str, identity: &str) -> Grant {
    Grant {
        identity: identity.into(),
        room: room.into(),
        room_join: true,
        can_publish: true,
        can_subscribe: true,
        can_publish_data: true,
        ..Grant::default()
    }
}

/// What a client does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Doing {
    /// Publishes video in three layers.
    pub video: bool,
    /// Publishes an audio track whose level is this, in -dBov.
    pub audio: Option<u8>,
    /// The size in which it shows every video that it gets; None: it does not say.
    pub shown: Option<(u32, u32)>,
}

/// A client in a room; leaves when dropped.
pub struct Client {
    pub seen: Arc<Mutex<Seen>>,
    /// Pictures published so far.
    pub pictures: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Client {
    pub async fn join(url: &str, token: &str, doing: Doing) -> Client {
        let (seen, pictures) = (Arc::new(Mutex::new(Seen::default())), Arc::new(AtomicU64::new(0)));
        let url = ServerUrl::parse(url).expect("url");
        let query = ConnectQuery { auto_subscribe: true, resume: None };
        let tls = Arc::new(
            rustls::ClientConfig::builder_with_provider(Arc::new(
                rustls::crypto::aws_lc_rs::default_provider(),
            ))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth(),
        );
        let socket = SignalSocket::open(&url, &query, token, tls).await.expect("signalling");
        let session = Session::new(socket, doing, Arc::clone(&seen), Arc::clone(&pictures)).await;
        let task = tokio::spawn(async move {
            if let Err(error) = session.run().await {
                eprintln!("a client ends: {error}");
            }
        });
        Client { seen, pictures, task }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One of a client's two connections, with a socket of its own.
struct Side {
    rtc: Rtc,
    socket: UdpSocket,
    local: SocketAddr,
    wake_at: Instant,
}

impl Side {
    async fn new() -> Side {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("socket");
        let local = socket.local_addr().expect("address");
        let now = Instant::now();
        let config = RtcConfig::new().set_rtp_mode(true).clear_codecs().enable_opus(true, false);
        let mut config = config.set_extension(5, Extension::PlayoutDelay);
        config.codec_config().add_h264(Pt::from(125), Some(Pt::from(107)), false, 0x42_e01f);
        let mut rtc = config.build(now);
        rtc.add_local_candidate(Candidate::host(local, "udp").expect("candidate"));
        Side { rtc, socket, local, wake_at: now }
    }

    fn drain(&mut self, mut on: impl FnMut(&mut Rtc, Event)) {
        loop {
            match self.rtc.poll_output().expect("output") {
                Output::Timeout(at) => {
                    self.wake_at = at;
                    return;
                }
                Output::Transmit(transmit) => {
                    let _ = self.socket.try_send_to(&transmit.contents, transmit.destination);
                }
                Output::Event(event) => on(&mut self.rtc, event),
            }
        }
    }

    fn feed(&mut self, source: SocketAddr, contents: &[u8], now: Instant) {
        let Ok(receive) = Receive::new(Protocol::Udp, source, self.local, contents) else { return };
        let _ = self.rtc.handle_input(Input::Receive(now, receive));
    }
}

struct Session {
    signal: SignalSocket,
    doing: Doing,
    seen: Arc<Mutex<Seen>>,
    count: Arc<AtomicU64>,
    publisher: Side,
    subscriber: Side,
    video: Option<Mid>,
    audio: Option<Mid>,
    keyframe: [bool; 3],
    enabled: [bool; 3],
    sequences: [u64; 4],
    picture: u64,
    began: Instant,
    audio_packets: u64,
}

impl Session {
    async fn new(
        signal: SignalSocket,
        doing: Doing,
        seen: Arc<Mutex<Seen>>,
        count: Arc<AtomicU64>,
    ) -> Session {
        Session {
            signal,
            doing,
            seen,
            count,
            publisher: Side::new().await,
            subscriber: Side::new().await,
            video: None,
            audio: None,
            keyframe: [true; 3],
            enabled: [true; 3],
            sequences: [100, 20_000, 65_000, 7],
            picture: 0,
            began: Instant::now(),
            audio_packets: 0,
        }
    }

    async fn run(mut self) -> Result<(), SignalError> {
        self.announce().await?;
        let mut ping = tokio::time::interval(Duration::from_secs(5));
        let (mut a, mut b) = (vec![0; 2048], vec![0; 2048]);
        loop {
            let wake = self.publisher.wake_at.min(self.subscriber.wake_at).min(self.next_send());
            tokio::select! {
                message = self.signal.recv() => self.said(message?).await?,
                received = self.publisher.socket.recv_from(&mut a) => {
                    if let Ok((length, from)) = received {
                        self.publisher.feed(from, &a[..length], Instant::now());
                    }
                }
                received = self.subscriber.socket.recv_from(&mut b) => {
                    if let Ok((length, from)) = received {
                        self.subscriber.feed(from, &b[..length], Instant::now());
                    }
                }
                () = tokio::time::sleep_until(wake.into()) => {}
                _ = ping.tick() => self.signal.send(Request::PingReq(proto::Ping::default())).await?,
            }
            self.send_media();
            self.turn();
        }
    }

    fn turn(&mut self) {
        let now = Instant::now();
        for side in [&mut self.publisher, &mut self.subscriber] {
            if side.wake_at <= now {
                side.rtc.handle_input(Input::Timeout(now)).expect("input");
            }
        }
        let (keyframe, began) = (&mut self.keyframe, &mut self.began);
        self.publisher.drain(|_, event| match event {
            Event::Connected => *began = now,
            Event::KeyframeRequest(request) => {
                let layer = LAYERS.iter().position(|(rid, _)| request.rid.is_some_and(|r| *r == **rid));
                keyframe[layer.unwrap_or(2)] = true;
            }
            _ => {}
        });
        let seen = &self.seen;
        self.subscriber.drain(|_, event| match event {
            Event::Connected => seen.lock().expect("seen").connected = true,
            Event::RtpPacket(packet) => note(&mut seen.lock().expect("seen"), &packet),
            _ => {}
        });
    }

    async fn announce(&mut self) -> Result<(), SignalError> {
        if self.doing.video {
            let layer = |(index, (width, height)): (usize, (u32, u32))| proto::VideoLayer {
                quality: index as i32,
                width,
                height,
                bitrate: LAYERS[index].1 as u32,
                ..Default::default()
            };
            let sizes = [(320, 180), (640, 360), (1280, 720)];
            let layers = sizes.into_iter().enumerate().map(layer).collect();
            let (cid, width, height) = ("video".to_owned(), 1280, 720);
            let (r#type, source) = (proto::TrackType::Video as i32, proto::TrackSource::Camera as i32);
            let request =
                proto::AddTrackRequest { cid, r#type, source, width, height, layers, ..Default::default() };
            self.signal.send(Request::AddTrack(request)).await?;
        }
        if self.doing.audio.is_some() {
            let cid = "audio".to_owned();
            let (r#type, source) = (proto::TrackType::Audio as i32, proto::TrackSource::Microphone as i32);
            let request = proto::AddTrackRequest { cid, r#type, source, ..Default::default() };
            self.signal.send(Request::AddTrack(request)).await?;
        }
        if !self.doing.video && self.doing.audio.is_none() {
            return Ok(());
        }
        let mut api = self.publisher.rtc.sdp_api();
        let lossy = Reliability::MaxRetransmits { retransmits: 0 };
        api.add_channel_with_config(ChannelConfig { label: "_reliable".into(), ..Default::default() });
        api.add_channel_with_config(ChannelConfig {
            label: "_lossy".into(),
            ordered: false,
            reliability: lossy,
            ..Default::default()
        });
        let stream = || Some("stream".to_owned());
        if self.doing.video {
            let mut simulcast = Simulcast::new();
            LAYERS.iter().for_each(|(rid, _)| simulcast.add_send_layer(SimulcastLayer::new(rid)));
            let (kind, track) = (MediaKind::Video, Some("video".to_owned()));
            self.video = Some(api.add_media(kind, Direction::SendOnly, stream(), track, Some(simulcast)));
        }
        if self.doing.audio.is_some() {
            let (kind, track) = (MediaKind::Audio, Some("audio".to_owned()));
            self.audio = Some(api.add_media(kind, Direction::SendOnly, stream(), track, None));
        }
        let (offer, pending) = api.apply().expect("changes");
        let (r#type, sdp) = ("offer".to_owned(), offer.to_sdp_string());
        let description = proto::SessionDescription { r#type, sdp, ..Default::default() };
        self.signal.send(Request::Offer(description)).await?;
        loop {
            match self.signal.recv().await? {
                Response::Answer(answer) => {
                    let answer = SdpAnswer::from_sdp_string(&answer.sdp).expect("answer");
                    self.publisher.rtc.sdp_api().accept_answer(pending, answer).expect("accepted");
                    self.publisher.wake_at = Instant::now();
                    return Ok(());
                }
                other => self.said(other).await?,
            }
        }
    }

    async fn said(&mut self, response: Response) -> Result<(), SignalError> {
        match response {
            Response::Join(join) => {
                self.seen.lock().expect("seen").sid = join.participant.map(|p| p.sid).unwrap_or_default();
                self.say_sizes(join.other_participants).await?;
            }
            Response::Update(update) => self.say_sizes(update.participants).await?,
            Response::TrackPublished(published) => {
                let sid = published.track.map(|track| track.sid).unwrap_or_default();
                self.seen.lock().expect("seen").published.push(sid);
            }
            Response::Offer(offer) => {
                let msids = offer.sdp.lines().filter_map(|line| line.strip_prefix("a=msid:"));
                let streams = msids.filter_map(|msid| Some(msid.split_once(' ')?.0.to_owned())).collect();
                self.seen.lock().expect("seen").streams = streams;
                let parsed = SdpOffer::from_sdp_string(&offer.sdp).expect("offer");
                let answer = self.subscriber.rtc.sdp_api().accept_offer(parsed).expect("accepted");
                self.subscriber.wake_at = Instant::now();
                let (r#type, sdp, id) = ("answer".to_owned(), answer.to_sdp_string(), offer.id);
                let description = proto::SessionDescription { r#type, sdp, id, ..Default::default() };
                self.signal.send(Request::Answer(description)).await?;
            }
            Response::Trickle(trickle) => {
                let init: serde_json::Value =
                    serde_json::from_str(&trickle.candidate_init).unwrap_or_default();
                let subscriber = trickle.target == proto::SignalTarget::Subscriber as i32;
                let side = if subscriber { &mut self.subscriber } else { &mut self.publisher };
                let line = init["candidate"].as_str().unwrap_or_default();
                if let Ok(candidate) = Candidate::from_sdp_string(line) {
                    side.rtc.add_remote_candidate(candidate);
                    side.wake_at = Instant::now();
                }
            }
            Response::SubscribedQualityUpdate(update) => {
                for quality in update.subscribed_codecs.iter().flat_map(|codec| &codec.qualities) {
                    if let Some(enabled) = self.enabled.get_mut(quality.quality as usize) {
                        self.keyframe[quality.quality as usize] |= quality.enabled && !*enabled;
                        *enabled = quality.enabled;
                    }
                }
            }
            Response::StreamStateUpdate(update) => {
                let paused = proto::StreamState::Paused as i32;
                let states = update.stream_states.into_iter().map(|s| (s.track_sid, s.state == paused));
                self.seen.lock().expect("seen").states.extend(states);
            }
            Response::ConnectionQuality(update) => {
                let told = update.updates.into_iter().map(|u| (u.participant_sid, u.quality));
                self.seen.lock().expect("seen").qualities.extend(told);
            }
            _ => {}
        }
        Ok(())
    }

    /// Says in which size it shows the videos of `participants`.
    async fn say_sizes(&mut self, participants: Vec<proto::ParticipantInfo>) -> Result<(), SignalError> {
        let Some((width, height)) = self.doing.shown else { return Ok(()) };
        let tracks = participants.into_iter().flat_map(|participant| participant.tracks);
        let videos = tracks.filter(|track| track.r#type == proto::TrackType::Video as i32);
        let track_sids = videos.map(|track| track.sid).collect();
        let settings = proto::UpdateTrackSettings { track_sids, width, height, ..Default::default() };
        self.signal.send(Request::TrackSetting(settings)).await
    }

    fn next_send(&self) -> Instant {
        let far = Instant::now() + Duration::from_secs(1);
        if !self.publisher.rtc.is_connected() {
            return far;
        }
        let video =
            self.video.map_or(far, |_| self.began + Duration::from_micros(self.picture * 1_000_000 / FPS));
        let audio = self.audio.map_or(far, |_| self.began + Duration::from_millis(self.audio_packets * 20));
        video.min(audio)
    }

    fn send_media(&mut self) {
        let now = Instant::now();
        if self.next_send() > now {
            return;
        }
        while self.began + Duration::from_micros(self.picture * 1_000_000 / FPS) <= now
            && self.video.is_some()
        {
            for layer in 0..3 {
                self.send_picture(layer, now);
            }
            self.picture += 1;
            self.count.store(self.picture, Ordering::Relaxed);
        }
        while self.began + Duration::from_millis(self.audio_packets * 20) <= now && self.audio.is_some() {
            self.send_sound(now);
        }
        // What was given out is to leave.
        self.publisher.wake_at = now;
    }

    fn send_picture(&mut self, layer: usize, now: Instant) {
        let Some(mid) = self.video.filter(|_| self.enabled[layer]) else { return };
        let (rid, rate) = LAYERS[layer];
        let keyframe = std::mem::take(&mut self.keyframe[layer]) || self.picture.is_multiple_of(FPS * 4);
        let mut api = self.publisher.rtc.direct_api();
        let Some(stream) = api.stream_tx_by_mid(mid, Some(Rid::from(rid))) else { return };
        let payloads = payload(layer as u8, rate, keyframe, self.picture);
        let parts = payloads.len();
        for (part, payload) in payloads.into_iter().enumerate() {
            let timestamp = (self.picture * 90_000 / FPS) as u32;
            let sequence = self.sequences[layer];
            self.sequences[layer] += 1;
            let packet = RtpWrite::new(Pt::from(125), sequence.into(), timestamp, now, payload)
                .marker(part + 1 == parts)
                .nackable(true);
            stream.write_rtp(packet);
        }
    }

    fn send_sound(&mut self, now: Instant) {
        let (Some(mid), Some(level)) = (self.audio, self.doing.audio) else { return };
        let sequence = self.sequences[3];
        self.sequences[3] += 1;
        let timestamp = (self.audio_packets * 960) as u32;
        self.audio_packets += 1;
        let pt = Pt::from(111);
        let extensions = str0m::rtp::ExtensionValues {
            audio_level: Some(-(level as i8)),
            voice_activity: Some(true),
            ..Default::default()
        };
        let mut api = self.publisher.rtc.direct_api();
        let Some(stream) = api.stream_tx_by_mid(mid, None) else { return };
        let packet = RtpWrite::new(pt, sequence.into(), timestamp, now, vec![0xfc; 80]).ext_vals(extensions);
        stream.write_rtp(packet);
    }
}
