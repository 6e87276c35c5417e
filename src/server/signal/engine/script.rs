//! Whole sessions out of bytes, without a thread and with a clock of their own: for tests and fuzzing.
//!
//! A script is steps with [`SEPARATOR`] between them: a character for who (one of three clients), one for what
//! ([`Script::step`]), then what belongs to it. Anna is in the room too, and says nothing until the end.

use std::net::Ipv4Addr;
use std::sync::OnceLock;

use livekit_protocol as proto;
use prost::Message as _;
use proto::signal_request::Message as Said;
use proto::signal_response::Message as Response;
use str0m::channel::{ChannelData, ChannelId};
use tokio::sync::oneshot;

use super::super::message::{Join, OUT_CAPACITY, Out, Ticket};
use super::super::routes::of_request;
use super::super::{Shards, bind};
use super::*;
use crate::room::{Grant, RoomOptions};
use crate::rtc::sfu::NodeIp;
use crate::rtc::sfu::sockets::{Datagram, Peer};

/// Stands between the steps of a script.
pub const SEPARATOR: &[u8] = b"\n--\n";
/// Most steps of a script.
const MAX_STEPS: usize = 64;
/// Longest that one step lets pass.
const MAX_WAIT_MS: u64 = 30_000;

/// A client without its WebSocket, and the messages to it.
pub(super) struct Client {
    pub ticket: Ticket,
    pub heard: mpsc::Receiver<Out>,
    identity: &'static str,
}

/// An engine without a thread. Must be called in a tokio runtime.
pub(super) fn engine() -> Engine {
    let (snapshots, _) = watch::channel(Arc::new(Snapshot::default()));
    let (events, _) = broadcast::channel(64);
    let outlets = Outlets {
        snapshots: Arc::new(snapshots),
        events,
        counters: Arc::default(),
        directory: Default::default(),
        placement: Arc::new(Placement::new(1, 0)),
        node_id: String::new(),
    };
    let node_ip = NodeIp::Fixed(Ipv4Addr::LOCALHOST.into());
    let codecs = Codecs::default();
    let config = Config {
        rtc_udp: 0,
        rtc_tcp: 0,
        node_ip,
        codecs,
        bandwidth_estimation: true,
        shards: Shards::default(),
    };
    match bind(&config, 0) {
        Ok((share, _)) => Engine::new(share, config, outlets),
        Err(error) => panic!("{error}"),
    }
}

fn grant(identity: &str) -> Grant {
    Grant {
        identity: identity.to_owned(),
        room: "hall".to_owned(),
        room_join: true,
        can_publish: true,
        can_subscribe: true,
        can_publish_data: true,
        can_update_own_metadata: true,
        ..Grant::default()
    }
}

fn moderator() -> Grant {
    Grant { room_admin: true, room_create: true, room_list: true, ..Grant::default() }
}

/// Lets a client in by a join request over one connection, or without one over two.
pub(super) fn join(
    engine: &mut Engine,
    identity: &'static str,
    request: Option<proto::JoinRequest>,
) -> Option<Client> {
    let single = request.is_some();
    come(engine, identity, request.unwrap_or_else(over_one_connection), |join| join.single = single)
}

fn come(
    engine: &mut Engine,
    identity: &'static str,
    request: proto::JoinRequest,
    change: impl FnOnce(&mut Join),
) -> Option<Client> {
    let (out, heard) = mpsc::channel(OUT_CAPACITY);
    let (reply, mut ticket) = oneshot::channel();
    let mut join = of_request(request, grant(identity)).join(out, reply);
    change(&mut join);
    engine.join(join);
    let ticket = ticket.try_recv().ok()?.ok()?;
    Some(Client { ticket, heard, identity })
}

/// What a client says that joins by `/rtc/v1`.
pub(super) fn over_one_connection() -> proto::JoinRequest {
    let client = proto::ClientInfo { protocol: 16, ..Default::default() };
    let settings = proto::ConnectionSettings { auto_subscribe: true, ..Default::default() };
    proto::JoinRequest {
        client_info: Some(client),
        connection_settings: Some(settings),
        ..Default::default()
    }
}

/// Puts `sid` where `TRACK` stands in what a client says: sids are made anew in each engine.
pub(super) fn replace_sid(mut said: Said, sid: &str) -> Said {
    let place = |text: &mut String| {
        if text == "TRACK" {
            *text = sid.to_owned();
        }
    };
    match &mut said {
        Said::Mute(request) => place(&mut request.sid),
        Said::Subscription(request) => request.track_sids.iter_mut().for_each(place),
        Said::TrackSetting(request) => request.track_sids.iter_mut().for_each(place),
        Said::UpdateVideoTrack(request) => place(&mut request.track_sid),
        Said::UpdateAudioTrack(request) => place(&mut request.track_sid),
        _ => {}
    }
    said
}

/// Plays `script`, and sees that everybody else is served as before.
pub fn play(script: &[u8]) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => panic!("{error}"),
    };
    runtime.block_on(async {
        let mut engine = engine();
        let Some(anna) = join(&mut engine, "anna", None) else { panic!("anna is let in") };
        let clients = [("bert", None), ("carl", Some(over_one_connection())), ("dora", None)];
        let clients = clients.map(|(identity, request)| join(&mut engine, identity, request));
        let mut script_of = Script { engine, anna, clients };
        let mut rest = script;
        for _ in 0..MAX_STEPS {
            let at = rest.windows(SEPARATOR.len()).position(|window| window == SEPARATOR);
            script_of.step(&rest[..at.unwrap_or(rest.len())]);
            let Some(at) = at else { break };
            rest = &rest[at + SEPARATOR.len()..];
        }
        script_of.check();
    });
}

struct Script {
    engine: Engine,
    anna: Client,
    clients: [Option<Client>; 3],
}

impl Script {
    fn step(&mut self, step: &[u8]) {
        let [who, what, rest @ ..] = step else { return };
        let who = usize::from(*who) % self.clients.len();
        match what {
            b'm' => self.says(who, proto::SignalRequest::decode(rest).ok()),
            b'j' => self.says(who, serde_json::from_slice(rest).ok()),
            b'd' => self.sends(who, rest),
            b'g' => self.with_ticket(who, Engine::signalling_gone),
            b'r' => self.comes(who, rest, false),
            b'w' => self.comes(who, rest, true),
            b's' => self.pings(who, rest),
            b'p' => self.datagram(rest),
            b'o' => self.ordered(rest),
            _ => self.waits(rest),
        }
        self.engine.work();
        let clients = self.clients.iter_mut().flatten().chain(std::iter::once(&mut self.anna));
        for client in clients {
            while let Ok(out) = client.heard.try_recv() {
                if let Out::Message(message) = out {
                    // As the session writes it, in either form.
                    let json = serde_json::to_string(&*message).is_ok();
                    assert!(json && !message.encode_to_vec().is_empty());
                }
            }
        }
    }

    fn with_ticket(&mut self, who: usize, act: impl FnOnce(&mut Engine, Ticket)) {
        if let Some(client) = &self.clients[who] {
            act(&mut self.engine, client.ticket);
        }
    }

    /// `m`: a signalling message in protobuf; `j`: in JSON.
    fn says(&mut self, who: usize, request: Option<proto::SignalRequest>) {
        let sid = self.engine.tracks.values().map(|track| track.sid.clone()).next().unwrap_or_default();
        self.with_ticket(who, |engine, ticket| match request {
            Some(request) => {
                let message = request.message.map(|said| replace_sid(said, &sid));
                engine.signal(ticket, proto::SignalRequest { message });
            }
            None => engine.malformed(ticket, "a frame that is no SignalRequest"),
        });
    }

    /// `d`: a message on the reliable data channel.
    fn sends(&mut self, who: usize, bytes: &[u8]) {
        static CHANNEL: OnceLock<ChannelId> = OnceLock::new();
        let made = || str0m::Rtc::new(clock::now()).sdp_api().add_channel("_reliable".to_owned());
        let id = *CHANNEL.get_or_init(made);
        let role = if who == 1 { Role::Both } else { Role::Publisher };
        self.with_ticket(who, |engine, ticket| {
            engine.channel_open(ticket.key, role, id, "_reliable");
            engine.channel_data(ticket.key, role, &ChannelData { id, binary: true, data: bytes.to_vec() });
        });
    }

    /// `r`: the client comes again by a join request; `MINE` stands for its sid. `w`: only to watch (WHEP).
    fn comes(&mut self, who: usize, bytes: &[u8], watches: bool) {
        let (Some(client), Ok(mut request)) = (&self.clients[who], proto::JoinRequest::decode(bytes)) else {
            return;
        };
        let identity = client.identity;
        if request.participant_sid == "MINE" {
            let member = self.engine.members.get(&client.ticket.key);
            request.participant_sid = member.map(|member| member.sid.clone()).unwrap_or_default();
        }
        let again = come(&mut self.engine, identity, request, |join| join.watches = watches);
        if let Some(client) = again {
            self.clients[who] = Some(client);
        }
    }

    /// `s`: a STUN binding request to the client's connection, these its attributes after USERNAME.
    fn pings(&mut self, who: usize, attributes: &[u8]) {
        let key = self.clients[who].as_ref().map(|client| client.ticket.key);
        let member = key.and_then(|key| self.engine.members.get(&key));
        let Some(connection) = member.map(|member| member.publisher.key) else { return };
        let Some(connection) = self.engine.endpoints.get_mut(connection) else { return };
        let username = format!("{}:them", connection.rtc.direct_api().local_ice_credentials().ufrag);
        let length = (4 + username.len().next_multiple_of(4) + attributes.len()) as u16;
        let mut datagram = [&[0, 1][..], &length.to_be_bytes(), &[0x21, 0x12, 0xa4, 0x42], &[7; 12]].concat();
        datagram.extend([&[0, 6][..], &(username.len() as u16).to_be_bytes(), username.as_bytes()].concat());
        datagram.resize(datagram.len().next_multiple_of(4), 0);
        datagram.extend_from_slice(attributes);
        self.datagram(&datagram);
    }

    /// `p`: a datagram from somewhere.
    fn datagram(&mut self, contents: &[u8]) {
        let from = |port| (Ipv4Addr::LOCALHOST, port).into();
        let peer = Peer { tcp: false, address: from(9) };
        let destination = from(self.engine.endpoints.ports().udp);
        self.engine.endpoints.deliver(&Datagram { peer, destination, contents }, self.engine.now);
        self.engine.react();
    }

    /// `o`: an order of an app server, a character and its request. Anna is left alone.
    fn ordered(&mut self, bytes: &[u8]) {
        let Some((what, body)) = bytes.split_first() else { return };
        let (engine, grant) = (&mut self.engine, moderator());
        match what {
            b'c' => {
                let metadata = Some(String::from_utf8_lossy(body).into_owned());
                let _ = engine.create_room("hall", RoomOptions { metadata, ..RoomOptions::default() });
            }
            b'u' => {
                if let Some(request) = proto::UpdateParticipantRequest::decode(body).ok()
                    && request.identity != "anna"
                {
                    let _ = engine.update_participant(&grant, &request);
                }
            }
            b'm' => {
                if let Ok(mut request) = proto::MuteRoomTrackRequest::decode(body) {
                    if request.track_sid == "TRACK" {
                        let sid = engine.tracks.values().map(|track| track.sid.clone()).next();
                        request.track_sid = sid.unwrap_or_default();
                    }
                    let _ = engine.mute_track(&grant, &request);
                }
            }
            b's' => {
                if let Ok(request) = proto::UpdateSubscriptionsRequest::decode(body) {
                    let _ = engine.update_subscriptions(&grant, request);
                }
            }
            b'd' => {
                if let Ok(request) = proto::SendDataRequest::decode(body) {
                    let _ = engine.send_data(&grant, request);
                }
            }
            b'r' => {
                if let Ok(request) = proto::PerformRpcRequest::decode(body) {
                    let _ = engine.perform_rpc(&grant, &request, 1000, oneshot::channel().0);
                }
            }
            _ => {
                let identity = String::from_utf8_lossy(body);
                if identity != "anna" {
                    let _ = engine.remove_participant(&grant, "hall", &identity);
                }
            }
        }
    }

    /// Anything else: so many ms pass.
    fn waits(&mut self, digits: &[u8]) {
        let asked = std::str::from_utf8(digits).ok().and_then(|text| text.trim().parse().ok());
        self.engine.now += Duration::from_millis(asked.unwrap_or(100).min(MAX_WAIT_MS));
        self.engine.at = clock::media_at(self.engine.now);
    }

    fn check(&mut self) {
        let Script { engine, anna, .. } = self;
        assert!(engine.tracks.values().all(|track| engine.members.contains_key(&track.publisher)));
        assert!(engine.owners.values().all(|(key, _)| engine.members.contains_key(key)));
        for (key, member) in &engine.members {
            let room = engine.rooms.get(&member.room);
            assert!(room.is_some_and(|room| room.participant(*key).is_some()), "{}", member.identity);
        }
        // She may have been told to connect anew: no media of hers ever came.
        if engine.is_current(anna.ticket) {
            assert!(is_served(engine, anna), "anna is not served any more");
        }
    }
}

/// Whether a client that pings is answered.
pub(super) fn is_served(engine: &mut Engine, client: &mut Client) -> bool {
    while client.heard.try_recv().is_ok() {}
    let message = Some(Said::PingReq(proto::Ping { timestamp: 7, rtt: 0 }));
    engine.signal(client.ticket, proto::SignalRequest { message });
    std::iter::from_fn(|| client.heard.try_recv().ok()).any(|out| {
        let Out::Message(response) = out else { return false };
        matches!(&response.message, Some(Response::PongResp(pong)) if pong.last_ping_timestamp == 7)
    })
}
