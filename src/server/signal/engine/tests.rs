//! The signalling session as a whole, without its WebSocket: whatever a client says, nobody else notices.

use livekit_protocol as proto;
use proptest::prelude::*;
use prost::Message as _;
use proto::signal_request::Message as Said;
use proto::simulate_scenario::Scenario;

use super::script::{engine, is_served, join, over_one_connection, replace_sid};
use super::*;

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
            let mut anna = join(&mut engine, "anna", None).unwrap();
            let request = |single: bool| single.then(over_one_connection);
            let clients = [
                join(&mut engine, "mallory", request(single)).unwrap(),
                join(&mut engine, "mike", request(!single)).unwrap(),
            ];
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
            assert!(is_served(&mut engine, &mut anna), "anna is still served");
            // Whatever is published belongs to somebody who is there.
            assert!(engine.tracks.values().all(|track| engine.members.contains_key(&track.publisher)));
        });
    }
}
