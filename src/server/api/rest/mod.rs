//! REST for app servers: `/v2/rooms`, `/v2/sessions`, `/v2/tokens`; the interface's description at `/openapi.json`.
//! JSON in camelCase; lists by pages; errors `{error: {code, message, field?}}`.

mod fields;
mod openapi;
mod rooms;
mod sessions;
#[cfg(test)]
mod tests;
mod tokens;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{any, get, post};
use axum::{Json, Router};

use super::Api;
use super::guard::{self, Rejection};
use crate::base::clock;
use crate::room::{Grant, Refusal as RoomRefusal};
use crate::server::http::{Refusal, Via};
use crate::store::{Store, StoreError};
use fields::Fields;

pub use openapi::document;
pub(super) use rooms::registered;

/// Longest id of a room, in characters, and of a participant and a session.
const ID_CHARACTERS: usize = 256;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/v2/rooms", get(rooms::list).post(rooms::create))
        .route("/v2/rooms/{id}", get(rooms::one))
        .route("/v2/rooms/validate/{id}", get(rooms::validate))
        .route("/v2/rooms/deactivate", post(rooms::deactivate))
        .route("/v2/sessions", get(sessions::list))
        .route("/v2/sessions/{sid}", get(sessions::one))
        .route("/v2/sessions/{sid}/participants", get(sessions::participants))
        .route("/v2/sessions/{sid}/participants/active", get(sessions::active))
        .route("/v2/sessions/end", post(sessions::end))
        .route("/v2/sessions/participants/remove", post(sessions::remove))
        .route("/v2/tokens", post(tokens::create))
        .route("/v2/{*path}", any(unknown))
        .route("/openapi.json", get(|| async { Json(document()) }))
        .method_not_allowed_fallback(wrong_method)
}

async fn unknown() -> Refusal {
    Refusal::not_found("no such path; /openapi.json tells which there are")
}

async fn wrong_method() -> Refusal {
    let message = "not by this method; /openapi.json tells by which";
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "bad_request", message)
}

/// One call: who asks, and with what.
struct Call {
    grant: Grant,
    /// Under which address the asker reached us.
    base: String,
    query: Vec<(String, String)>,
    body: Bytes,
}

impl FromRequest<Api> for Call {
    type Rejection = Refusal;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        let grant = api.authorize(&parts)?;
        let query = Query::try_from_uri(&parts.uri)
            .map_err(|error| Refusal::bad_request(format!("the query: {error}")))?;
        let body = json(&parts, body).await?;
        Ok(Call { grant, base: base(&parts), query: query.0, body })
    }
}

impl Call {
    fn fields(&self) -> Result<Fields, Refusal> {
        Fields::parse(&self.body)
    }

    /// A parameter of the query.
    fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }
}

async fn json(parts: &Parts, body: Body) -> Result<Bytes, Refusal> {
    let bytes = guard::whole(body).await?;
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    if !bytes.is_empty() && !kind.eq_ignore_ascii_case("application/json") {
        let message = "send Content-Type: application/json";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "bad_request", message));
    }
    Ok(bytes)
}

fn base(parts: &Parts) -> String {
    let tls = parts.extensions.get::<Via>().is_some_and(|via| via.tls);
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    host.map(|host| format!("{}://{host}", if tls { "https" } else { "http" })).unwrap_or_default()
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Refusal {
        let message = rejection.to_string();
        match rejection {
            Rejection::Token(_) => Refusal::unauthenticated(message),
            Rejection::TooMany => Refusal::new(StatusCode::TOO_MANY_REQUESTS, "busy", message),
            Rejection::Body => Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "bad_request", message),
            Rejection::Slow => Refusal::new(StatusCode::REQUEST_TIMEOUT, "timeout", message),
        }
    }
}

impl From<RoomRefusal> for Refusal {
    fn from(refusal: RoomRefusal) -> Refusal {
        let message = refusal.to_string();
        match refusal {
            RoomRefusal::NotAllowed { .. } | RoomRefusal::NotModerator { .. } => Refusal::forbidden(message),
            RoomRefusal::NoSuch { .. } => Refusal::not_found(message),
            RoomRefusal::Full { .. } | RoomRefusal::Disabled { .. } | RoomRefusal::Unmute => {
                Refusal::new(StatusCode::CONFLICT, "conflict", message)
            }
            RoomRefusal::Stopping => Refusal::not_ready(message),
            RoomRefusal::Name { .. } | RoomRefusal::Metadata | RoomRefusal::Attribute => {
                Refusal::bad_request(message)
            }
        }
    }
}

impl Api {
    /// Works with the database, which may wait for a disk.
    async fn stored<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let store = self.store.clone();
        let done = tokio::task::spawn_blocking(move || work(&store)).await;
        let done = done.map_err(|_| Refusal::not_ready("the server is stopping"))?;
        done.map_err(|error| {
            tracing::error!(%error, "an API call");
            Refusal::internal("the database failed; the log says more")
        })
    }

    /// The room's name, for its id or custom id, which the bearer of `grant` may moderate.
    fn moderated(&self, grant: &Grant, id: &str) -> Result<String, Refusal> {
        let room = self.rooms.directory().name(id).to_owned();
        if grant.may_moderate(&room) {
            return Ok(room);
        }
        Err(RoomRefusal::NotModerator { room: id.chars().take(64).collect() }.into())
    }
}

/// The fields of a new room, and the page that a query asks for.
#[cfg(any(test, fuzzing))]
pub(super) fn read_any(query: &str, body: &[u8]) {
    let _ = Fields::parse(body).and_then(rooms::read);
    let uri = format!("/v2/rooms?{query}").parse::<axum::http::Uri>();
    let pairs = uri.ok().and_then(|uri| Query::<Vec<(String, String)>>::try_from_uri(&uri).ok());
    if let Some(Ok(page)) = pairs.map(|pairs| fields::Page::read(&pairs.0, &["roomId"])) {
        assert!(page.skip() >= 0 && page.most() > 0);
    }
}

/// RFC 3339, UTC, of ms since 1970.
fn rfc3339(ms: i64) -> String {
    let since = std::time::Duration::from_millis(ms.unsigned_abs());
    crate::control::rfc3339(std::time::SystemTime::UNIX_EPOCH + since)
}

/// Now, in ms since 1970.
fn now_ms() -> i64 {
    crate::server::report::ms(clock::wall())
}

/// A JSON answer that nobody keeps.
fn answer(status: StatusCode, value: serde_json::Value) -> axum::response::Response {
    (status, [(header::CACHE_CONTROL, "no-store")], Json(value)).into_response()
}
