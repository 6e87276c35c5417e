//! `/rtc` and `/rtc/validate` (LiveKit signalling v0).

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};

use super::Handle;
use super::session::{self, Opening};
use crate::base::clock;
use crate::room::Grant;
use crate::room::token::Keys;
use crate::server::http::token_of;

/// Longest signalling message, in bytes; a longer one ends the connection.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;

#[derive(Clone)]
struct Signalling {
    handle: Handle,
    keys: Arc<Keys>,
}

/// The paths of signalling: `/rtc`, `/rtc/validate`; the single-connection protocol `/rtc/v1` is not spoken
/// and answers 404, upon which clients use `/rtc`.
pub fn routes(handle: Handle, keys: Arc<Keys>) -> Router {
    let unknown = || async { (StatusCode::NOT_FOUND, "signalling v1 is not spoken here; use /rtc") };
    Router::new()
        .route("/rtc", get(connect))
        .route("/rtc/validate", get(validate))
        .route("/rtc/v1", get(unknown))
        .route("/rtc/v1/validate", get(unknown))
        .with_state(Signalling { handle, keys })
}

type Params = Query<HashMap<String, String>>;

async fn validate(State(signalling): State<Signalling>, headers: HeaderMap, uri: Uri) -> Response {
    match authorize(&signalling.keys, &headers, &uri) {
        Ok(_) => "success".into_response(),
        Err((status, reason)) => (status, reason).into_response(),
    }
}

async fn connect(
    State(signalling): State<Signalling>,
    headers: HeaderMap,
    uri: Uri,
    params: Params,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    // As LiveKit: a plain request finds nothing here.
    let Ok(upgrade) = upgrade else { return StatusCode::NOT_FOUND.into_response() };
    let grant = match authorize(&signalling.keys, &headers, &uri) {
        Ok(grant) => grant,
        Err((status, reason)) => return (status, reason).into_response(),
    };
    let resume = params.get("sid").filter(|_| flag(&params, "reconnect", false)).cloned();
    let opening = Opening {
        protocol: params.get("protocol").and_then(|text| text.parse().ok()).unwrap_or(1),
        auto_subscribe: flag(&params, "auto_subscribe", true),
        attributes: params.get("attributes").map(|text| attributes(text)).unwrap_or_default(),
        resume,
        grant,
    };
    upgrade
        .max_message_size(MAX_MESSAGE_BYTES)
        .max_frame_size(MAX_MESSAGE_BYTES)
        .on_upgrade(move |socket| session::run(socket, opening, signalling.handle, signalling.keys))
}

fn flag(params: &HashMap<String, String>, name: &str, absent: bool) -> bool {
    params.get(name).map_or(absent, |value| matches!(value.as_str(), "1" | "true"))
}

/// base64url of a JSON object of strings; anything else is no attributes.
fn attributes(text: &str) -> HashMap<String, String> {
    let bytes = URL_SAFE_NO_PAD.decode(text).or_else(|_| URL_SAFE.decode(text)).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

fn authorize(keys: &Keys, headers: &HeaderMap, uri: &Uri) -> Result<Grant, (StatusCode, String)> {
    let token = token_of(headers, uri).unwrap_or_default();
    let refused = |reason: String| (StatusCode::UNAUTHORIZED, reason);
    let grant = keys.verify(token, clock::wall()).map_err(|error| refused(error.to_string()))?;
    if !grant.room_join {
        return Err((StatusCode::FORBIDDEN, "the token does not allow joining".to_owned()));
    }
    if grant.room.is_empty() || grant.identity.is_empty() {
        return Err(refused("the token names no room or no identity".to_owned()));
    }
    Ok(grant)
}
