//! `/v2/sessions`: who was in a room, and when.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::fields::Page;
use super::{Api, Call, ID_CHARACTERS, answer, rfc3339};
use crate::room::{Grant, Refusal as RoomRefusal};
use crate::server::http::Refusal;
use crate::store::{AttendanceRow, SessionRow};

fn shown(row: &SessionRow, base: &str) -> Value {
    json!({
        "id": row.sid,
        "roomId": row.room,
        "status": if row.ended_ms.is_some() { "ended" } else { "ongoing" },
        "start": rfc3339(row.started_ms),
        "end": row.ended_ms.map(rfc3339),
        "reason": row.reason,
        "links": {
            "getRoom": format!("{base}/v2/rooms/{}", row.room),
            "getSession": format!("{base}/v2/sessions/{}", row.sid),
        },
    })
}

fn shown_stay(row: &AttendanceRow) -> Value {
    json!({
        "id": row.sid,
        "participantId": row.identity,
        "name": row.name,
        "joinedAt": rfc3339(row.joined_ms),
        "leftAt": row.left_ms.map(rfc3339),
        "reason": row.reason,
    })
}

/// `GET /v2/sessions?roomId`.
pub(super) async fn list(State(api): State<Api>, call: Call) -> Result<Response, Refusal> {
    let page = Page::read(&call.query, &["roomId"])?;
    let room = match call.parameter("roomId") {
        Some(id) => Some(api.moderated(&call.grant, id)?),
        None if call.grant.room_list => None,
        None => {
            return Err(
                Refusal::forbidden("a token for one room must name it: ?roomId=").with_field("roomId")
            );
        }
    };
    let (rows, total) = api
        .stored(move |store| {
            let room = room.as_deref();
            Ok((store.sessions(room, page.skip(), page.most())?, store.count_sessions(room)?))
        })
        .await?;
    Ok(answer(StatusCode::OK, page.of(total, rows.iter().map(|row| shown(row, &call.base)).collect())))
}

/// The session, for who may moderate its room. Who may not learns nothing of it.
async fn found(api: &Api, grant: &Grant, sid: String) -> Result<SessionRow, Refusal> {
    let missing = RoomRefusal::no("session", &sid);
    let row = api.stored(move |store| store.session(&sid)).await?;
    match row {
        Some(row) if grant.may_moderate(&row.room) => Ok(row),
        _ if !grant.room_admin => Err(Refusal::forbidden("this needs a token with allow_mod or roomAdmin")),
        _ => Err(missing.into()),
    }
}

/// `GET /v2/sessions/{sid}`.
pub(super) async fn one(
    State(api): State<Api>,
    Path(sid): Path<String>,
    call: Call,
) -> Result<Response, Refusal> {
    let row = found(&api, &call.grant, sid).await?;
    Ok(answer(StatusCode::OK, shown(&row, &call.base)))
}

/// `GET /v2/sessions/{sid}/participants`.
pub(super) async fn participants(
    State(api): State<Api>,
    Path(sid): Path<String>,
    call: Call,
) -> Result<Response, Refusal> {
    attendance(api, sid, call, false).await
}

/// `GET /v2/sessions/{sid}/participants/active`.
pub(super) async fn active(
    State(api): State<Api>,
    Path(sid): Path<String>,
    call: Call,
) -> Result<Response, Refusal> {
    attendance(api, sid, call, true).await
}

async fn attendance(api: Api, sid: String, call: Call, present: bool) -> Result<Response, Refusal> {
    let page = Page::read(&call.query, &[])?;
    let sid = found(&api, &call.grant, sid).await?.sid;
    let (rows, total) = api
        .stored(move |store| {
            let rows = store.attendance(&sid, present, page.skip(), page.most())?;
            Ok((rows, store.count_attendance(&sid, present)?))
        })
        .await?;
    Ok(answer(StatusCode::OK, page.of(total, rows.iter().map(shown_stay).collect())))
}

/// `POST /v2/sessions/end`.
pub(super) async fn end(State(api): State<Api>, call: Call) -> Result<Response, Refusal> {
    let mut body = call.fields()?;
    let id = body.needed("roomId", ID_CHARACTERS)?;
    body.done()?;
    let room = api.moderated(&call.grant, &id)?;
    api.rooms.delete_room(call.grant.clone(), room.clone()).await?;
    Ok(answer(StatusCode::OK, json!({"roomId": room, "status": "ended"})))
}

/// `POST /v2/sessions/participants/remove`.
pub(super) async fn remove(State(api): State<Api>, call: Call) -> Result<Response, Refusal> {
    let mut body = call.fields()?;
    let id = body.needed("roomId", ID_CHARACTERS)?;
    let identity = body.needed("participantId", ID_CHARACTERS)?;
    body.done()?;
    let room = api.moderated(&call.grant, &id)?;
    api.rooms.remove_participant(call.grant.clone(), room.clone(), identity.clone()).await?;
    Ok(answer(StatusCode::OK, json!({"roomId": room, "participantId": identity, "status": "removed"})))
}
