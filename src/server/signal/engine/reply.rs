//! The messages that clients get.

use livekit_protocol as proto;
use proto::signal_response::Message as Response;

use super::super::PROTOCOL;
use crate::room::{MemberKey, Participant, Room};
use crate::rtc::sfu::Codecs;
use crate::rtc::sfu::single::Answer;
use crate::sfu::speaker::Change;

/// The client should not come again by itself.
pub(super) const DISCONNECT: proto::leave_request::Action = proto::leave_request::Action::Disconnect;
/// The client should join anew.
pub(super) const RECONNECT: proto::leave_request::Action = proto::leave_request::Action::Reconnect;

/// Seconds; never zero, which makes clients panic.
const PING_INTERVAL_S: i32 = 5;

/// What we say we are: SDKs make use of what livekit-server of a version can do. RPC they want from 1.8.0 on.
const LIKE_LIVEKIT: &str = "1.8.0";

fn server_info(node_id: &str) -> proto::ServerInfo {
    proto::ServerInfo {
        edition: proto::server_info::Edition::Standard as i32,
        version: LIKE_LIVEKIT.to_owned(),
        protocol: PROTOCOL,
        node_id: node_id.to_owned(),
        ..Default::default()
    }
}

/// The first message of a stay.
pub(super) fn join(
    room: &Room,
    participant: &Participant,
    subscriber_primary: bool,
    codecs: &Codecs,
    node_id: &str,
) -> proto::JoinResponse {
    let codec = |mime: &str| proto::Codec { mime: mime.to_owned(), ..Default::default() };
    proto::JoinResponse {
        room: Some(room.info_for(participant)),
        participant: Some(participant.info()),
        other_participants: room.others(participant.key),
        server_version: LIKE_LIVEKIT.to_owned(),
        subscriber_primary,
        ping_interval: PING_INTERVAL_S,
        ping_timeout: super::super::session::PING_TIMEOUT.as_secs() as i32,
        server_info: Some(server_info(node_id)),
        enabled_publish_codecs: codecs.mime_types().into_iter().map(codec).collect(),
        ..Default::default()
    }
}

/// The first message of a resumed stay; reliable messages after `last_message_seq` the client sends again.
pub(super) fn reconnect(node_id: &str, last_message_seq: u32) -> proto::ReconnectResponse {
    let server_info = Some(server_info(node_id));
    proto::ReconnectResponse { server_info, last_message_seq, ..Default::default() }
}

/// The last message of a stay.
#[allow(deprecated)] // `can_reconnect` is what clients below protocol 13 read.
pub(super) fn leave(
    reason: proto::DisconnectReason,
    action: proto::leave_request::Action,
) -> proto::LeaveRequest {
    let can_reconnect = action != DISCONNECT;
    proto::LeaveRequest { can_reconnect, reason: reason as i32, action: action as i32, ..Default::default() }
}

/// News about one participant.
pub(super) fn update(participant: proto::ParticipantInfo) -> Response {
    Response::Update(proto::ParticipantUpdate { participants: vec![participant] })
}

/// Who began, went on or stopped speaking; None: nobody did.
pub(super) fn speakers(
    changes: &[Change<MemberKey>],
    sid: impl Fn(MemberKey) -> Option<String>,
) -> Option<Response> {
    let speakers: Vec<proto::SpeakerInfo> = changes
        .iter()
        .filter_map(|change| {
            Some(proto::SpeakerInfo { sid: sid(change.speaker)?, level: change.level, active: change.active })
        })
        .collect();
    (!speakers.is_empty()).then_some(Response::SpeakersChanged(proto::SpeakersChanged { speakers }))
}

/// Which layers of a track are worth sending, smallest first.
#[allow(deprecated)] // `subscribed_qualities` is what clients without codec lists read.
pub(super) fn qualities(track_sid: &str, codec: &str, on: [bool; 3]) -> Response {
    let qualities: Vec<proto::SubscribedQuality> = on
        .iter()
        .enumerate()
        .map(|(quality, enabled)| proto::SubscribedQuality { quality: quality as i32, enabled: *enabled })
        .collect();
    let codec = proto::SubscribedCodec { codec: codec.to_owned(), qualities: qualities.clone() };
    Response::SubscribedQualityUpdate(proto::SubscribedQualityUpdate {
        track_sid: track_sid.to_owned(),
        subscribed_qualities: qualities,
        subscribed_codecs: vec![codec],
    })
}

/// A request that is not carried out.
pub(super) fn refused(
    request_id: u32,
    reason: proto::request_response::Reason,
    message: &str,
    request: Option<proto::request_response::Request>,
) -> Response {
    Response::RequestResponse(proto::RequestResponse {
        request_id,
        reason: reason as i32,
        message: message.to_owned(),
        request,
    })
}

/// Our answer to offer `id`.
pub(super) fn answer(answer: Answer, id: u32) -> proto::SessionDescription {
    let mid_to_track_id = answer.tracks;
    proto::SessionDescription { mid_to_track_id, ..description("answer", answer.sdp, id) }
}

/// Whether a video is paused for want of bandwidth.
pub(super) fn stream_state(
    participant_sid: String,
    track_sid: String,
    paused: bool,
) -> proto::StreamStateInfo {
    let state = if paused { proto::StreamState::Paused } else { proto::StreamState::Active } as i32;
    proto::StreamStateInfo { participant_sid, track_sid, state }
}

/// Of several videos.
pub(super) fn stream_states(stream_states: Vec<proto::StreamStateInfo>) -> Response {
    Response::StreamStateUpdate(proto::StreamStateUpdate { stream_states })
}

/// An SDP of ours.
pub(super) fn description(kind: &str, sdp: String, id: u32) -> proto::SessionDescription {
    proto::SessionDescription { r#type: kind.to_owned(), sdp, id, ..Default::default() }
}
