//! `/v2/tokens`: join tokens for app servers that do not sign their own.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::fields::Fields;
use super::{Api, Call, ID_CHARACTERS, answer};
use crate::base::clock;
use crate::control;
use crate::room::token::AppToken;
use crate::server::http::Refusal;

/// How long somebody may come by it.
const LIFETIME: Duration = Duration::from_secs(6 * 60 * 60);
const PERMISSIONS: [&str; 3] = ["allow_join", "allow_mod", "ask_join"];

/// `POST /v2/tokens`.
pub(super) async fn create(State(api): State<Api>, call: Call) -> Result<Response, Refusal> {
    let mut body = call.fields()?;
    let id = body.needed("roomId", ID_CHARACTERS)?;
    let participant = body.needed("participantId", ID_CHARACTERS)?;
    let permissions = body.choices("permissions", &PERMISSIONS)?;
    let role = body.choice("role", &["host", "viewer"])?;
    body.done()?;
    let room = api.moderated(&call.grant, &id)?;
    if permissions.is_empty() {
        return Err(Fields::refuse("permissions", format!("a list of {}", PERMISSIONS.join(", "))));
    }
    let known = room.clone();
    let row = api.stored(move |store| store.room(&known)).await?;
    if row.is_some_and(|row| row.kind == "interactive") && role.is_none() {
        return Err(Fields::refuse("role", "host or viewer: the room is interactive"));
    }
    let participant_id = Some(participant.as_str());
    let token = AppToken {
        room: &room,
        participant: participant_id,
        permissions: &permissions,
        role,
        ..AppToken::default()
    };
    let now = clock::wall();
    let token = api.keys.mint_app(&token, LIFETIME, now);
    let expires_at = control::rfc3339(now + LIFETIME);
    Ok(answer(
        StatusCode::OK,
        json!({"token": token, "roomId": room, "participantId": participant, "expiresAt": expires_at}),
    ))
}
