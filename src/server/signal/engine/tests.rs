//! The signalling session as a whole, without its WebSocket: whatever a client says, nobody else notices.

use std::net::Ipv4Addr;

use livekit_protocol as proto;
use proptest::prelude::*;
use prost::Message as _;
use proto::signal_request::Message as Said;
use proto::signal_response::Message as Response;
use proto::simulate_scenario::Scenario;
use tokio::sync::oneshot;

use super::super::message::{Join, OUT_CAPACITY, Out, Ticket};
use super::*;
use crate::room::Grant;
use crate::rtc::sfu::NodeIp;

/// An engine without a thread, and the messages of one of its clients.
struct Client {
    ticket: Ticket,
    heard: mpsc::Receiver<Out>,
}

fn engine() -> Engine {
    let (snapshots, _) = watch::channel(Arc::new(Snapshot::default()));
    let (events, _) = broadcast::channel(64);
    let outlets = Outlets { snapshots, events, counters: Arc::default(), directory: Default::default() };
    let node_ip = NodeIp::Fixed(Ipv4Addr::LOCALHOST.into());
    let codecs = Codecs::default();
    let config = Config { rtc_udp: 0, rtc_tcp: 0, node_ip, codecs, bandwidth_estimation: true };
    Engine::new(bind(&config).expect("ports"), config, outlets)
}

fn join(engine: &mut Engine, identity: &str, single: bool) -> Client {
    let (out, heard) = mpsc::channel(OUT_CAPACITY);
    let (reply, mut ticket) = oneshot::channel();
    let grant = Grant {
        identity: identity.to_owned(),
        room: "hall".to_owned(),
        room_join: true,
        can_publish: true,
        can_subscribe: true,
        can_update_own_metadata: true,
        ..Grant::default()
    };
    engine.join(Join {
        room: "hall".to_owned(),
        grant,
        protocol: 16,
        auto_subscribe: true,
        attributes: HashMap::new(),
        resume: None,
        single,
        watches: false,
        first: Vec::new(),
        out,
        reply,
    });
    Client { ticket: ticket.try_recv().expect("an outcome").expect("let in"), heard }
}

fn sdp() -> impl Strategy<Value = String> {
    let offer = || {
        let mut rtc = str0m::Rtc::new(clock::now());
        let mut api = rtc.sdp_api();
        api.add_channel("_reliable".to_owned());
        for (direction, track) in
            [(str0m::media::Direction::SendOnly, "cid"), (str0m::media::Direction::RecvOnly, "none")]
        {
            for kind in [str0m::media::MediaKind::Audio, str0m::media::MediaKind::Video] {
                api.add_media(kind, direction, Some("stream".into()), Some(track.into()), None);
            }
        }
        api.apply().expect("an offer").0.to_sdp_string()
    };
    let edits = proptest::collection::vec((any::<usize>(), 0usize..4, any::<usize>()), 0..3);
    edits.prop_map(move |edits| {
        let text = offer();
        let mut lines: Vec<&str> = text.lines().collect();
        for (at, kind, other) in edits {
            let (at, other) = (at % lines.len(), other % lines.len());
            match kind {
                0 if lines.len() > 1 => drop(lines.remove(at)),
                1 => lines.insert(at, lines[other]),
                2 => lines.swap(at, other),
                _ => {}
            }
        }
        lines.join("\r\n") + "\r\n"
    })
}

fn description() -> impl Strategy<Value = proto::SessionDescription> {
    let text = prop_oneof![4 => sdp(), 1 => "[ -~]{0,40}"];
    (text, 0u32..4).prop_map(|(sdp, id)| proto::SessionDescription { sdp, id, ..Default::default() })
}

fn sid() -> impl Strategy<Value = String> {
    // TRACK is replaced by a sid that is there.
    prop_oneof![3 => Just("TRACK".to_owned()), 1 => "[ -~]{0,8}"]
}

fn scenario() -> impl Strategy<Value = Scenario> {
    prop_oneof![
        Just(Scenario::SpeakerUpdate(3)),
        Just(Scenario::DisconnectSignalOnResume(true)),
        Just(Scenario::DisconnectSignalOnResumeNoMessages(true)),
        any::<i64>().prop_map(Scenario::SubscriberBandwidth),
        any::<i32>().prop_map(Scenario::SwitchCandidateProtocol),
    ]
}

/// What a client may say, sensible and not.
fn said() -> impl Strategy<Value = Said> {
    let add = ("[a-z]{0,3}|cid", -1i32..4, any::<i32>(), 0u32..10, any::<bool>()).prop_map(
        |(cid, kind, source, width, muted)| {
            let layers = vec![proto::VideoLayer { quality: source % 5, width, ..Default::default() }; 3];
            Said::AddTrack(proto::AddTrackRequest {
                cid,
                r#type: kind,
                source: source % 5,
                width,
                muted,
                layers,
                ..Default::default()
            })
        },
    );
    let subscription = (sid(), any::<bool>()).prop_map(|(sid, subscribe)| {
        Said::Subscription(proto::UpdateSubscription {
            track_sids: vec![sid],
            subscribe,
            ..Default::default()
        })
    });
    let setting = (sid(), any::<bool>(), any::<i32>(), any::<(u32, u32)>()).prop_map(
        |(sid, disabled, quality, size)| {
            let (width, height) = size;
            let track_sids = vec![sid];
            Said::TrackSetting(proto::UpdateTrackSettings {
                track_sids,
                disabled,
                quality,
                width,
                height,
                ..Default::default()
            })
        },
    );
    let permission = (any::<bool>(), sid(), "anna|PA_x|").prop_map(|(all_participants, track, identity)| {
        let named = proto::TrackPermission {
            participant_identity: identity,
            track_sids: vec![track],
            ..Default::default()
        };
        let track_permissions = vec![named];
        Said::SubscriptionPermission(proto::SubscriptionPermission { all_participants, track_permissions })
    });
    let metadata = ("[a-z]{0,5}", "[a-z]{0,5}").prop_map(|(name, metadata)| {
        Said::UpdateMetadata(proto::UpdateParticipantMetadata { name, metadata, ..Default::default() })
    });
    let bytes = proptest::collection::vec(any::<u8>(), 0..40);
    let decoded = bytes.prop_map(|bytes| {
        let request = proto::SignalRequest::decode(bytes.as_slice()).unwrap_or_default();
        request.message.unwrap_or(Said::Ping(0))
    });
    prop_oneof![
        3 => add,
        4 => description().prop_map(Said::Offer),
        2 => description().prop_map(Said::Answer),
        2 => subscription,
        1 => setting,
        2 => permission,
        1 => metadata,
        1 => (sid(), any::<bool>()).prop_map(|(sid, muted)| Said::Mute(proto::MuteTrackRequest { sid, muted })),
        1 => scenario().prop_map(|scenario| Said::Simulate(proto::SimulateScenario { scenario: Some(scenario) })),
        1 => (any::<i64>()).prop_map(Said::Ping),
        1 => decoded,
    ]
}

fn replace_sid(said: Said, sid: &str) -> Said {
    let place = |text: &mut String| {
        if text == "TRACK" {
            *text = sid.to_owned();
        }
    };
    let mut said = said;
    match &mut said {
        Said::Mute(request) => place(&mut request.sid),
        Said::Subscription(request) => request.track_sids.iter_mut().for_each(place),
        Said::TrackSetting(request) => request.track_sids.iter_mut().for_each(place),
        _ => {}
    }
    said
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn whatever_a_client_says_the_others_are_served(
        sequence in proptest::collection::vec((any::<bool>(), said()), 1..24),
        single in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut engine = engine();
            let mut anna = join(&mut engine, "anna", false);
            let clients = [join(&mut engine, "mallory", single), join(&mut engine, "mike", !single)];
            for (index, (second, said)) in sequence.into_iter().enumerate() {
                let track = engine.tracks.values().map(|track| track.sid.clone()).next().unwrap_or_default();
                let ticket = clients[usize::from(second)].ticket;
                let message = Some(replace_sid(said, &track));
                engine.signal(ticket, proto::SignalRequest { message });
                engine.work();
                if index % 5 == 0 {
                    engine.upkeep();
                }
            }
            while anna.heard.try_recv().is_ok() {}
            let message = Some(Said::PingReq(proto::Ping { timestamp: 7, rtt: 0 }));
            engine.signal(anna.ticket, proto::SignalRequest { message });
            let pong = |out: &Out| {
                let Out::Message(response) = out else { return false };
                matches!(&response.message, Some(Response::PongResp(pong)) if pong.last_ping_timestamp == 7)
            };
            let answered = std::iter::from_fn(|| anna.heard.try_recv().ok()).any(|out| pong(&out));
            assert!(answered, "anna is still served");
            // Whatever is published belongs to somebody who is there.
            assert!(engine.tracks.values().all(|track| engine.members.contains_key(&track.publisher)));
        });
    }
}
