//! `/v2/rooms`: rooms that are there before anybody comes, under an id that can be typed.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::fields::{Fields, Page};
use super::{Api, Call, ID_CHARACTERS, answer, now_ms, rfc3339};
use crate::base::ids;
use crate::room::{Refusal as RoomRefusal, Registered};
use crate::server::http::Refusal;
use crate::server::report::{EVENTS, WebhookUrl};
use crate::store::{MAX_ROOMS, RoomRow};

/// What becomes of a room whose time is up.
const CLOSINGS: [&str; 2] = ["session-ends", "session-end-and-deactivate"];
/// Longest `autoCloseConfig.duration`, in minutes: a week.
const MAX_MINUTES: u64 = 7 * 24 * 60;
/// How often another id is drawn when one is taken.
const DRAWS: usize = 3;

/// `POST /v2/rooms`.
pub(super) async fn create(State(api): State<Api>, call: Call) -> Result<Response, Refusal> {
    if !call.grant.room_create {
        return Err(Refusal::forbidden(
            "making rooms needs a token with allow_mod or roomCreate that is for no room in particular",
        ));
    }
    let wanted = read(call.fields()?)?;
    if api.stored(|store| store.count_rooms()).await? >= MAX_ROOMS {
        return Err(RoomRefusal::Full { what: "rooms", limit: MAX_ROOMS as usize }.into());
    }
    for _ in 0..DRAWS {
        let row = RoomRow { id: ids::room(), ..wanted.clone() };
        let entered = row.clone();
        if api.stored(move |store| store.add_room(&entered)).await? {
            api.rooms.directory_mut().set(&row.id, registered(&row));
            return Ok(answer(StatusCode::OK, shown(&row, &call.base)));
        }
        if let Some(custom_id) = &row.custom_id {
            let known = api.rooms.directory().name(custom_id) != custom_id;
            if known {
                let message = format!("customRoomId: {custom_id:?} is taken");
                return Err(
                    Refusal::new(StatusCode::CONFLICT, "conflict", message).with_field("customRoomId")
                );
            }
        }
    }
    Err(Refusal::internal("no free id was found"))
}

pub(super) fn read(mut body: Fields) -> Result<RoomRow, Refusal> {
    let now = now_ms();
    let custom_id = body.text("customRoomId", ID_CHARACTERS)?;
    let kind = body.choice("type", &["meeting", "interactive"])?.unwrap_or("meeting");
    let webhook = match body.object("webhook", "webhook.")? {
        None => None,
        Some(mut webhook) => {
            let url = webhook.needed("endPoint", 2048)?;
            let events = webhook.choices("events", &EVENTS)?;
            webhook.done()?;
            if WebhookUrl::parse(&url).is_none() {
                return Err(Fields::refuse("webhook.endPoint", WebhookUrl::ALLOWED));
            }
            Some(json!({"endPoint": url, "events": events}).to_string())
        }
    };
    let auto_close = match body.object("autoCloseConfig", "autoCloseConfig.")? {
        None => None,
        Some(mut closing) => {
            let kind = closing.choice("type", &CLOSINGS)?.unwrap_or(CLOSINGS[0]);
            let minutes = closing.number("duration", 1, MAX_MINUTES)?;
            closing.done()?;
            let minutes = minutes.ok_or_else(|| Fields::refuse("autoCloseConfig.duration", "is needed"))?;
            Some(json!({"type": kind, "duration": minutes}).to_string())
        }
    };
    body.done()?;
    let stream_id = (kind == "interactive").then(|| ids::prefixed("ST"));
    let (kind, id) = (kind.to_owned(), String::new());
    let (created_ms, updated_ms) = (now, now);
    Ok(RoomRow {
        id,
        custom_id,
        kind,
        stream_id,
        webhook,
        auto_close,
        disabled: false,
        created_ms,
        updated_ms,
    })
}

/// What the room server must know of it.
pub(in crate::server::api) fn registered(row: &RoomRow) -> Registered {
    let closing: Value = parsed(row.auto_close.as_ref());
    let minutes = closing["duration"].as_u64();
    Registered {
        custom_id: row.custom_id.clone(),
        disabled: row.disabled,
        lifetime: minutes.map(|minutes| Duration::from_secs(minutes * 60)),
        once: closing["type"] == CLOSINGS[1],
    }
}

fn parsed(text: Option<&String>) -> Value {
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// As app servers see it.
pub(super) fn shown(row: &RoomRow, base: &str) -> Value {
    json!({
        "id": row.id,
        "roomId": row.id,
        "customRoomId": row.custom_id,
        "type": row.kind,
        "streamId": row.stream_id,
        "webhook": parsed(row.webhook.as_ref()),
        "autoCloseConfig": parsed(row.auto_close.as_ref()),
        "disabled": row.disabled,
        "createdAt": rfc3339(row.created_ms),
        "updatedAt": rfc3339(row.updated_ms),
        "links": {
            "getRoom": format!("{base}/v2/rooms/{}", row.id),
            "getSessions": format!("{base}/v2/sessions?roomId={}", row.id),
            "guestPage": format!("{base}/rooms/{}", row.id),
        },
    })
}

/// `GET /v2/rooms`.
pub(super) async fn list(State(api): State<Api>, call: Call) -> Result<Response, Refusal> {
    let page = Page::read(&call.query, &[])?;
    if !call.grant.room_list {
        return Err(Refusal::forbidden(
            "listing rooms needs a token with allow_mod or roomList that is for no room in particular",
        ));
    }
    let (rows, total) =
        api.stored(move |store| Ok((store.rooms(page.skip(), page.most())?, store.count_rooms()?))).await?;
    let rows = rows.iter().map(|row| shown(row, &call.base)).collect();
    Ok(answer(StatusCode::OK, page.of(total, rows)))
}

async fn found(api: &Api, room: String) -> Result<RoomRow, Refusal> {
    let id = room.clone();
    let row = api.stored(move |store| store.room(&id)).await?;
    row.ok_or_else(|| RoomRefusal::no("room", &room).into())
}

/// `GET /v2/rooms/{id}`.
pub(super) async fn one(
    State(api): State<Api>,
    Path(id): Path<String>,
    call: Call,
) -> Result<Response, Refusal> {
    let row = found(&api, api.moderated(&call.grant, &id)?).await?;
    Ok(answer(StatusCode::OK, shown(&row, &call.base)))
}

/// `GET /v2/rooms/validate/{id}`: may it be joined? For whoever may join or moderate it.
pub(super) async fn validate(
    State(api): State<Api>,
    Path(id): Path<String>,
    call: Call,
) -> Result<Response, Refusal> {
    let room = api.rooms.directory().name(&id).to_owned();
    if !call.grant.may_join(&room) && !call.grant.may_moderate(&room) {
        return Err(Refusal::forbidden("this needs a token that may join or moderate the room"));
    }
    let row = found(&api, room).await?;
    api.rooms.directory().check(&row.id)?;
    Ok(answer(StatusCode::OK, shown(&row, &call.base)))
}

/// `POST /v2/rooms/deactivate`: nobody may join any more, and whoever is in is put out.
pub(super) async fn deactivate(State(api): State<Api>, call: Call) -> Result<Response, Refusal> {
    let mut body = call.fields()?;
    let id = body.needed("roomId", ID_CHARACTERS)?;
    body.done()?;
    let row = found(&api, api.moderated(&call.grant, &id)?).await?;
    let (room, at_ms) = (row.id.clone(), now_ms());
    api.stored(move |store| store.disable_room(&room, at_ms)).await?;
    api.rooms.directory_mut().disable(&row.id);
    match api.rooms.delete_room(call.grant.clone(), row.id.clone()).await {
        Ok(()) | Err(RoomRefusal::NoSuch { .. }) => {}
        Err(refusal) => return Err(refusal.into()),
    }
    let row = found(&api, row.id).await?;
    Ok(answer(StatusCode::OK, shown(&row, &call.base)))
}
