//! `/rtc` and `/rtc/v1` with their `validate`: what a client says when it joins, in the query (v0) or in one parameter
//! of it (v1, one peer connection).

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
use livekit_protocol as proto;
use proto::signal_request::Message as Said;

use super::Handle;
use super::session::{self, Opening};
use crate::base::clock;
use crate::room::Grant;
use crate::room::token::Keys;
use crate::rtc::sfu::VideoCodec;
use crate::rtc::signal::frame::MAX_REQUEST_BYTES;
use crate::rtc::signal::join_request;
use crate::server::http::token_of;

#[derive(Clone)]
struct Signalling {
    handle: Handle,
    keys: Arc<Keys>,
}

/// The paths of signalling.
///
/// With AV1 there is no `/rtc/v1`, so that clients come by `/rtc`: browsers decode AV1 in spatial layers only where the
/// dependency descriptor was negotiated, and for what they receive they agree to it but do not offer it.
pub fn routes(handle: Handle, keys: Arc<Keys>) -> Router {
    let av1 = handle.codecs().video.contains(&VideoCodec::Av1);
    let router = Router::new().route("/rtc", get(connect)).route("/rtc/validate", get(validate));
    let router = match av1 {
        true => router,
        false => router.route("/rtc/v1", get(connect)).route("/rtc/v1/validate", get(validate)),
    };
    router.with_state(Signalling { handle, keys })
}

type Params = Query<HashMap<String, String>>;

type Refused = (StatusCode, String);

async fn validate(
    State(signalling): State<Signalling>,
    headers: HeaderMap,
    uri: Uri,
    params: Params,
) -> Response {
    match opening(&signalling, &headers, &uri, &params) {
        Ok(_) => "success".into_response(),
        Err(refused) => refused.into_response(),
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
    let opening = match opening(&signalling, &headers, &uri, &params) {
        Ok(opening) => opening,
        Err(refused) => return refused.into_response(),
    };
    upgrade
        .max_message_size(MAX_REQUEST_BYTES)
        .max_frame_size(MAX_REQUEST_BYTES)
        .on_upgrade(move |socket| session::run(socket, opening, signalling.handle, signalling.keys))
}

/// Who comes, and what it says. A join request may come to `/rtc` too; to `/rtc/v1` it must.
fn opening(
    signalling: &Signalling,
    headers: &HeaderMap,
    uri: &Uri,
    params: &Params,
) -> Result<Opening, Refused> {
    let directory = signalling.handle.directory();
    let grant = directory.settled(authorize(&signalling.keys, headers, uri)?);
    directory.check(&grant.room).map_err(|refusal| (StatusCode::FORBIDDEN, refusal.to_string()))?;
    let bad = |reason: String| (StatusCode::BAD_REQUEST, reason);
    let (may, metadata) = (grant.can_update_own_metadata || grant.room_admin, grant.metadata.clone());
    let opening = match params.get("join_request").filter(|text| !text.is_empty()) {
        Some(text) => of_request(join_request::decode(text).map_err(|error| bad(error.to_string()))?, grant),
        None if uri.path().starts_with("/rtc/v1") => return Err(bad("join_request is required".to_owned())),
        None => of_query(params, grant),
    };
    if !may && (opening.grant.metadata != metadata || !opening.attributes.is_empty()) {
        let why = "the token does not allow setting one's own metadata and attributes (canUpdateOwnMetadata)";
        return Err((StatusCode::FORBIDDEN, why.to_owned()));
    }
    Ok(opening)
}

fn of_query(params: &Params, grant: Grant) -> Opening {
    Opening {
        protocol: params.get("protocol").and_then(|text| text.parse().ok()).unwrap_or(1),
        auto_subscribe: flag(params, "auto_subscribe", true),
        attributes: params.get("attributes").map(|text| attributes(text)).unwrap_or_default(),
        resume: params.get("sid").filter(|_| flag(params, "reconnect", false)).cloned(),
        single: false,
        first: Vec::new(),
        grant,
    }
}

/// Tracks are announced before the offer that carries them.
pub(super) fn of_request(request: proto::JoinRequest, mut grant: Grant) -> Opening {
    let said = request.sync_state.map(Said::SyncState).into_iter();
    let said = said.chain(request.add_track_requests.into_iter().map(Said::AddTrack));
    let settings = request.connection_settings.unwrap_or_default();
    if !request.metadata.is_empty() {
        grant.metadata = request.metadata;
    }
    Opening {
        protocol: request.client_info.map_or(1, |client| client.protocol),
        auto_subscribe: settings.auto_subscribe,
        attributes: request.participant_attributes,
        resume: request.reconnect.then_some(request.participant_sid),
        single: true,
        first: said.chain(request.publisher_offer.map(Said::Offer)).collect(),
        grant,
    }
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
