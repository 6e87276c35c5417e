//! `livekit.RoomService`: the calls of LiveKit's server SDKs and its CLI. Which grant a call needs:
//!
//! | call | grant |
//! |---|---|
//! | `CreateRoom` | `roomCreate` |
//! | `ListRooms` | `roomList` |
//! | `DeleteRoom` | `roomCreate`, or moderating the room |
//! | `UpdateParticipant`, `RemoveParticipant` | moderating the room; of one who waits: admitting |
//! | the others | moderating the room |

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::request::Parts;
use axum::response::Response;
use livekit_protocol as proto;

use super::Api;
use super::twirp::{Call, Code, Error};
#[cfg(any(test, fuzzing))]
use crate::room::Grant;
use crate::room::{Refusal, RoomOptions};
use crate::server::signal::{Handle, RpcFailure};

/// Largest data message, in bytes: what one message of a data channel may be.
const DATA_BYTES: usize = 64_000;
/// Largest payload of a method's call, in bytes, as in LiveKit's RPC.
const RPC_BYTES: usize = 15 * 1024;
/// LiveKit's RPC errors that say that the call was wrong: no such method, payload too large and the like.
const RPC_CALLERS_FAULTS: std::ops::Range<u32> = 1400..1500;
/// Longest that viewers may be asked to hold pictures back, and what is meant where only the least is given, as in
/// LiveKit's server.
const PLAYOUT_DELAY_MAX_MS: u32 = 10_000;
/// How long a method may take when the call does not say, and at most.
const RPC_TIMEOUT: Duration = Duration::from_secs(10);
const RPC_TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// `POST /twirp/livekit.RoomService/{method}`.
pub(super) async fn serve(
    State(api): State<Api>,
    Path(method): Path<String>,
    parts: Parts,
    body: Body,
) -> Result<Response, Error> {
    let call = Call::read(&api, &parts, body).await?;
    carry_out(&api.rooms, &method, &call).await
}

async fn carry_out(rooms: &Handle, method: &str, call: &Call) -> Result<Response, Error> {
    match method {
        "CreateRoom" => create_room(rooms, call).await,
        "ListRooms" => list_rooms(rooms, call).await,
        "DeleteRoom" => {
            let request: proto::DeleteRoomRequest = call.request()?;
            rooms.delete_room(call.grant.clone(), request.room).await?;
            call.answer(&proto::DeleteRoomResponse::default())
        }
        "UpdateRoomMetadata" => {
            let request = call.request()?;
            call.answer(&rooms.update_room_metadata(call.grant.clone(), request).await?)
        }
        "ListParticipants" => {
            let request: proto::ListParticipantsRequest = call.request()?;
            let participants = match rooms.list_participants(call.grant.clone(), request.room).await {
                // As with LiveKit's own server: app servers ask before anybody has come.
                Err(Refusal::NoSuch { .. }) => Vec::new(),
                listed => listed?,
            };
            call.answer(&proto::ListParticipantsResponse { participants })
        }
        "GetParticipant" => {
            let request: proto::RoomParticipantIdentity = call.request()?;
            let (grant, room) = (call.grant.clone(), request.room);
            call.answer(&rooms.get_participant(grant, room, request.identity).await?)
        }
        "RemoveParticipant" => {
            let request: proto::RoomParticipantIdentity = call.request()?;
            let (grant, room) = (call.grant.clone(), request.room);
            rooms.remove_participant(grant, room, request.identity).await?;
            call.answer(&proto::RemoveParticipantResponse::default())
        }
        "UpdateParticipant" => {
            let request = call.request()?;
            call.answer(&rooms.update_participant(call.grant.clone(), request).await?)
        }
        "MutePublishedTrack" => {
            let request = call.request()?;
            let track = Some(rooms.mute_track(call.grant.clone(), request).await?);
            call.answer(&proto::MuteRoomTrackResponse { track })
        }
        "UpdateSubscriptions" => {
            let request = call.request()?;
            rooms.update_subscriptions(call.grant.clone(), request).await?;
            call.answer(&proto::UpdateSubscriptionsResponse::default())
        }
        "SendData" => send_data(rooms, call).await,
        "PerformRpc" => perform_rpc(rooms, call).await,
        "ForwardParticipant" => elsewhere(call, &call.request::<proto::ForwardParticipantRequest>()?.room),
        "MoveParticipant" => elsewhere(call, &call.request::<proto::MoveParticipantRequest>()?.room),
        other => {
            let name: String = other.chars().take(64).collect();
            Err(Error::new(Code::BadRoute, format!("RoomService has no method {name:?}")))
        }
    }
}

async fn create_room(rooms: &Handle, call: &Call) -> Result<Response, Error> {
    let request: proto::CreateRoomRequest = call.request()?;
    if !call.grant.room_create {
        return Err(Error::new(Code::PermissionDenied, "creating rooms needs a token with roomCreate"));
    }
    let unserved = [
        ("room_preset", !request.room_preset.is_empty()),
        ("egress", request.egress.is_some()),
        ("agents", !request.agents.is_empty()),
        ("replay_enabled", request.replay_enabled),
    ];
    if let Some((field, _)) = unserved.into_iter().find(|(_, given)| *given) {
        return Err(Error::argument(field, "this server cannot do that at a room's creation"));
    }
    // In protobuf zero and empty mean that it is not given.
    let seconds = |given: u32| (given > 0).then(|| Duration::from_secs(given.into()));
    let options = RoomOptions {
        empty_timeout: seconds(request.empty_timeout),
        departure_timeout: seconds(request.departure_timeout),
        max_participants: (request.max_participants > 0).then_some(request.max_participants),
        metadata: (!request.metadata.is_empty()).then_some(request.metadata),
        lifetime: None,
        playout_delay: playout_delay(request.min_playout_delay, request.max_playout_delay)?,
        sync_streams: request.sync_streams.then_some(true),
    };
    // `tags` and `node_id` mean nothing on one box, and as with LiveKit's own server nobody gets them back.
    call.answer(&rooms.create_room(request.name, options).await?)
}

/// In ms; both zero: not given.
fn playout_delay(min: u32, max: u32) -> Result<Option<(Duration, Duration)>, Error> {
    if (min, max) == (0, 0) {
        return Ok(None);
    }
    let max = if max == 0 { PLAYOUT_DELAY_MAX_MS } else { max };
    if max > PLAYOUT_DELAY_MAX_MS {
        let message = format!("{max} ms; at most {PLAYOUT_DELAY_MAX_MS}");
        return Err(Error::argument("max_playout_delay", message));
    }
    if min > max {
        return Err(Error::argument(
            "min_playout_delay",
            format!("{min} ms is more than the greatest, {max} ms"),
        ));
    }
    Ok(Some((Duration::from_millis(min.into()), Duration::from_millis(max.into()))))
}

async fn list_rooms(rooms: &Handle, call: &Call) -> Result<Response, Error> {
    let request: proto::ListRoomsRequest = call.request()?;
    if !call.grant.room_list {
        return Err(Error::new(Code::PermissionDenied, "listing rooms needs a token with roomList"));
    }
    call.answer(&proto::ListRoomsResponse { rooms: rooms.list_rooms(request.names).await? })
}

async fn send_data(rooms: &Handle, call: &Call) -> Result<Response, Error> {
    let request: proto::SendDataRequest = call.request()?;
    if request.data.len() > DATA_BYTES {
        return Err(Error::argument("data", format!("{} bytes; at most {DATA_BYTES}", request.data.len())));
    }
    rooms.send_data(call.grant.clone(), request).await?;
    call.answer(&proto::SendDataResponse::default())
}

async fn perform_rpc(rooms: &Handle, call: &Call) -> Result<Response, Error> {
    let request: proto::PerformRpcRequest = call.request()?;
    if request.payload.len() > RPC_BYTES {
        let found = request.payload.len();
        return Err(Error::argument("payload", format!("{found} bytes; at most {RPC_BYTES}")));
    }
    let timeout = match request.response_timeout_ms {
        0 => RPC_TIMEOUT,
        asked => Duration::from_millis(asked.into()),
    };
    if timeout > RPC_TIMEOUT_MAX {
        return Err(Error::argument("response_timeout_ms", "at most 60000"));
    }
    let payload = rooms.perform_rpc(call.grant.clone(), request, timeout).await.map_err(|failure| {
        let message = failure.to_string();
        match failure {
            RpcFailure::Refused(refusal) => refusal.into(),
            RpcFailure::Failed(error) => {
                let code = if RPC_CALLERS_FAULTS.contains(&error.code) {
                    Code::InvalidArgument
                } else {
                    Code::Internal
                };
                Error::new(code, message)
                    .with("rpc_code", error.code.to_string())
                    .with("rpc_data", error.data)
            }
            RpcFailure::Left => Error::new(Code::Unavailable, message),
            RpcFailure::Timeout(_) => Error::new(Code::DeadlineExceeded, message),
        }
    })?;
    call.answer(&proto::PerformRpcResponse { payload })
}

/// Between rooms nothing is moved: LiveKit's own server does not do it either.
fn elsewhere(call: &Call, room: &str) -> Result<Response, Error> {
    if !call.grant.may_moderate(room) {
        let room = room.chars().take(64).collect();
        return Err(Refusal::NotModerator { room }.into());
    }
    Err(Error::new(Code::Unimplemented, "participants are not moved or forwarded between rooms here"))
}

/// Carries out `method` with `body` as protobuf and as JSON on a server that has ended.
#[cfg(any(test, fuzzing))]
pub(super) fn read_any(method: &str, body: &[u8]) {
    use futures_util::FutureExt;
    let grant = Grant { room_admin: true, room_create: true, room_list: true, ..Grant::default() };
    for json in [false, true] {
        let call = Call::of(grant.clone(), json, body);
        let outcome = carry_out(&Handle::stopped(), method, &call).now_or_never();
        assert!(outcome.is_some_and(|outcome| outcome.is_err()), "nothing waits for a server that has ended");
    }
}
