//! From room events to what is kept and told of them. Pure.

use livekit_protocol as proto;
use serde_json::{Value, json};

use crate::room::{Departure, Event};
use crate::store::{OpenSession, Report};

/// The names of the webhooks.
pub const EVENTS: [&str; 7] = [
    "room_started",
    "room_finished",
    "participant_joined",
    "participant_left",
    "participant_connection_aborted",
    "track_published",
    "track_unpublished",
];

/// What is kept of an event, and what webhook tells of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Told {
    /// For sessions.
    pub kept: Option<Report>,
    /// For webhooks.
    pub webhook: Option<proto::WebhookEvent>,
}

/// What `event`, which happened at `at_ms` (since 1970), means. Whoever waits to be let in is not spoken of.
pub(super) fn told(event: &Event, at_ms: i64) -> Told {
    let hook = |event: &str, room: &proto::Room| proto::WebhookEvent {
        event: event.to_owned(),
        room: Some(room.clone()),
        created_at: at_ms.div_euclid(1000),
        ..Default::default()
    };
    let (kept, webhook) = match event {
        Event::RoomStarted { room } => {
            let (sid, room_name) = (room.sid.clone(), room.name.clone());
            (Some(Report::SessionStarted { sid, room: room_name, at_ms }), hook("room_started", room))
        }
        Event::RoomFinished { room, reason } => {
            let kept = Report::SessionEnded { sid: room.sid.clone(), at_ms, reason: end(*reason).to_owned() };
            let room_end_reason = *reason as i32;
            (Some(kept), proto::WebhookEvent { room_end_reason, ..hook("room_finished", room) })
        }
        Event::ParticipantConnected { room, participant } => {
            let kept = Report::Joined {
                session: room.sid.clone(),
                sid: participant.sid.clone(),
                identity: participant.identity.clone(),
                name: participant.name.clone(),
                at_ms,
            };
            let participant = Some(participant.clone());
            (Some(kept), proto::WebhookEvent { participant, ..hook("participant_joined", room) })
        }
        Event::ParticipantLeft { room, participant, departure, connected: true } => {
            let (sid, reason) = (participant.sid.clone(), left(*departure).to_owned());
            let participant = Some(participant.clone());
            let webhook = proto::WebhookEvent { participant, ..hook("participant_left", room) };
            (Some(Report::Left { sid, at_ms, reason }), webhook)
        }
        Event::ParticipantLeft { room, participant, departure, connected: false } => {
            let was_asked = matches!(departure, Departure::Denied)
                || participant.attributes.contains_key(crate::room::WAITING);
            if was_asked {
                return Told::default();
            }
            let participant = Some(participant.clone());
            (None, proto::WebhookEvent { participant, ..hook("participant_connection_aborted", room) })
        }
        Event::TrackPublished { room, participant, track } => {
            (None, of_track(hook("track_published", room), participant, track))
        }
        Event::TrackUnpublished { room, participant, track } => {
            (None, of_track(hook("track_unpublished", room), participant, track))
        }
        Event::RoomDisabled { room } => {
            let kept = Some(Report::RoomDisabled { id: room.clone(), at_ms });
            return Told { kept, webhook: None };
        }
        Event::ParticipantJoined { .. } | Event::StageChanged { .. } => return Told::default(),
    };
    Told { kept, webhook: Some(webhook) }
}

/// As LiveKit: of the participant only who it is.
fn of_track(
    event: proto::WebhookEvent,
    participant: &proto::ParticipantInfo,
    track: &proto::TrackInfo,
) -> proto::WebhookEvent {
    let participant = proto::ParticipantInfo {
        sid: participant.sid.clone(),
        identity: participant.identity.clone(),
        name: participant.name.clone(),
        ..Default::default()
    };
    proto::WebhookEvent { participant: Some(participant), track: Some(track.clone()), ..event }
}

/// As protobuf's JSON has it. By hand, for what is told here: the type's own way would bring in all that LiveKit
/// tells of other services.
pub(super) fn json(event: &proto::WebhookEvent) -> Value {
    // 64-bit numbers are texts in protobuf's JSON.
    let created_at = event.created_at.to_string();
    let mut told = json!({"event": event.event, "id": event.id, "createdAt": created_at});
    if let Some(room) = &event.room {
        told["room"] = json!(room);
    }
    if let Some(participant) = &event.participant {
        told["participant"] = json!(participant);
    }
    if let Some(track) = &event.track {
        told["track"] = json!(track);
    }
    if event.room_end_reason != 0
        && let Ok(reason) = proto::RoomEndReason::try_from(event.room_end_reason)
    {
        told["roomEndReason"] = reason.as_str_name().into();
    }
    told
}

/// What an earlier run that was cut off could not tell: everyone out, then the room gone, when it was last alive.
pub(super) fn told_late(open: &OpenSession) -> Vec<Told> {
    let session = &open.session;
    let room = proto::Room {
        sid: session.sid.clone(),
        name: session.room.clone(),
        creation_time: session.started_ms.div_euclid(1000),
        creation_time_ms: session.started_ms,
        ..Default::default()
    };
    let left = open.present.iter().map(|stay| Event::ParticipantLeft {
        room: room.clone(),
        participant: proto::ParticipantInfo {
            sid: stay.sid.clone(),
            identity: stay.identity.clone(),
            name: stay.name.clone(),
            joined_at: stay.joined_ms.div_euclid(1000),
            joined_at_ms: stay.joined_ms,
            state: proto::participant_info::State::Disconnected as i32,
            disconnect_reason: Departure::Shutdown.reason() as i32,
            ..Default::default()
        },
        departure: Departure::Shutdown,
        connected: true,
    });
    let finished =
        Event::RoomFinished { room: room.clone(), reason: proto::RoomEndReason::RoomEndServerShutdown };
    left.chain([finished]).map(|event| told(&event, open.seen_ms)).collect()
}

fn left(departure: Departure) -> &'static str {
    match departure {
        Departure::Left => "left",
        Departure::Replaced => "replaced",
        Departure::Removed => "removed",
        Departure::Denied => "denied",
        Departure::RoomEnded => "room_ended",
        Departure::Vanished => "vanished",
        Departure::Misbehaved => "misbehaved",
        Departure::Shutdown => "shutdown",
    }
}

fn end(reason: proto::RoomEndReason) -> &'static str {
    match reason {
        proto::RoomEndReason::RoomEndApiDelete => "ended",
        proto::RoomEndReason::RoomEndIdleTimeout => "idle",
        proto::RoomEndReason::RoomEndServerShutdown => "shutdown",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{AttendanceRow, SessionRow};

    fn room() -> proto::Room {
        proto::Room { sid: "RM_1".into(), name: "hall".into(), ..Default::default() }
    }

    fn anna() -> proto::ParticipantInfo {
        proto::ParticipantInfo { sid: "PA_1".into(), identity: "anna".into(), ..Default::default() }
    }

    fn left(departure: Departure, connected: bool, participant: proto::ParticipantInfo) -> Event {
        Event::ParticipantLeft { room: room(), participant, departure, connected }
    }

    #[test]
    fn events_have_livekits_names_and_only_who_was_in_is_kept() {
        let track = proto::TrackInfo { sid: "TR_1".into(), ..Default::default() };
        let (reason, participant) = (proto::RoomEndReason::RoomEndIdleTimeout, anna());
        for (event, name, kept) in [
            (Event::RoomStarted { room: room() }, "room_started", true),
            (Event::RoomFinished { room: room(), reason }, "room_finished", true),
            (Event::ParticipantConnected { room: room(), participant: anna() }, "participant_joined", true),
            (left(Departure::Left, true, anna()), "participant_left", true),
            (left(Departure::Vanished, false, anna()), "participant_connection_aborted", false),
            (
                Event::TrackPublished { room: room(), participant, track: track.clone() },
                "track_published",
                false,
            ),
            (
                Event::TrackUnpublished { room: room(), participant: anna(), track },
                "track_unpublished",
                false,
            ),
        ] {
            let told = told(&event, 1_500);
            let webhook = told.webhook.unwrap();
            assert!(EVENTS.contains(&webhook.event.as_str()));
            assert_eq!((webhook.event.as_str(), webhook.created_at), (name, 1));
            assert_eq!(webhook.room.unwrap().name, "hall");
            assert_eq!(told.kept.is_some(), kept, "{name}");
        }
    }

    #[test]
    fn the_json_is_protobufs_own() {
        let reason = proto::RoomEndReason::RoomEndApiDelete;
        let track = proto::TrackInfo { sid: "TR_1".into(), muted: true, ..Default::default() };
        for event in [
            Event::RoomFinished { room: room(), reason },
            Event::TrackPublished { room: room(), participant: anna(), track },
        ] {
            let webhook = told(&event, 1_500).webhook.unwrap();
            let webhook = proto::WebhookEvent { id: "EV_1".into(), ..webhook };
            assert_eq!(json(&webhook), serde_json::to_value(&webhook).unwrap());
        }
    }

    #[test]
    fn whoever_only_waited_is_not_spoken_of() {
        let mut waiting = anna();
        waiting.attributes.insert(crate::room::WAITING.into(), "true".into());
        for event in [
            Event::ParticipantJoined { room: room(), participant: waiting.clone() },
            left(Departure::Denied, false, waiting.clone()),
            left(Departure::Left, false, waiting),
        ] {
            assert_eq!(told(&event, 0), Told::default());
        }
    }

    #[test]
    fn what_a_cut_off_run_left_open_is_ended_in_order_when_it_was_last_seen() {
        let stay = |sid: &str| AttendanceRow {
            sid: sid.into(),
            identity: sid.to_lowercase(),
            name: String::new(),
            joined_ms: 20,
            left_ms: None,
            reason: None,
        };
        let session = SessionRow {
            sid: "RM_1".into(),
            room: "hall".into(),
            started_ms: 10,
            ended_ms: None,
            reason: None,
        };
        let open = OpenSession { session, seen_ms: 5_000, present: vec![stay("PA_1"), stay("PA_2")] };
        let told = told_late(&open);
        let names: Vec<String> = told.iter().map(|told| told.webhook.clone().unwrap().event).collect();
        assert_eq!(names, ["participant_left", "participant_left", "room_finished"]);
        let ended = Report::SessionEnded { sid: "RM_1".into(), at_ms: 5_000, reason: "shutdown".into() };
        assert_eq!(told[2].kept, Some(ended));
    }
}
