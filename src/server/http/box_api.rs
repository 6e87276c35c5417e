//! `/box/*`: what the page of the box reads and orders.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Extension, Path, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, Sleep};

use super::App;
use super::access::Access;
use super::listener::Via;
use super::refusal::Refusal;
use crate::base::{clock, ids};
use crate::control::{self, Code, Command, CommandError, Origin, Reply};
use crate::media::Meter;
use crate::room::Grant;
use crate::room::token::{GuestRight, Keys};

/// Largest body; as large as an MQTT command may be.
const BODY_BYTES: usize = 16 * 1024;
/// Longest wait for a whole body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long guests may come by one link.
const GUEST_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a watch token can be used to connect.
const WATCH_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// A stream of events ends after this; the browser connects again, and its session is looked at again.
const EVENTS_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// How often the microphone's level is looked at for a stream of events; it is sent when it has changed.
const LEVEL_EVERY: Duration = Duration::from_millis(200);

/// `GET /box/info`.
pub(super) async fn info(_: Access, State(app): State<Arc<App>>) -> Json<Value> {
    let urls = tokio::task::spawn_blocking({
        let addresses = app.addresses;
        move || (addresses.http_url(), addresses.https_urls())
    });
    let (http, https) = urls.await.unwrap_or_default();
    let base = https.first().or(http.as_ref()).cloned().unwrap_or_default();
    Json(json!({
        "id": app.config.box_id,
        "name": app.config.box_name,
        "version": env!("CARGO_PKG_VERSION"),
        "rooms_url": format!("{base}/rooms/"),
        "commands": Command::NAMES,
        "addresses": {"http": http.into_iter().collect::<Vec<_>>(), "https": https},
    }))
}

/// `GET /box/state`.
pub(super) async fn state(_: Access, State(app): State<Arc<App>>) -> Response {
    let state = app.deps.control.state().borrow().clone();
    ([(header::CACHE_CONTROL, "no-store")], Json(&*state)).into_response()
}

/// `GET /box/events`: `state`, the document now and with every change (a reader that is slow misses versions, never
/// the newest), and `level`, how loud the microphone is, as it changes.
pub(super) async fn events(
    _: Access,
    State(app): State<Arc<App>>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut state = app.deps.control.state();
    state.mark_changed();
    let mut look = tokio::time::interval(LEVEL_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let end = Box::pin(tokio::time::sleep(EVENTS_LIFETIME));
    let following = Following { state, meter: app.deps.meter.clone(), look, level: Level::default(), end };
    let shutdown = app.shutdown.clone();
    let stream =
        futures_util::stream::unfold((following, shutdown), |(mut following, shutdown)| async move {
            let event = tokio::select! {
                event = following.next() => event?,
                () = shutdown.cancelled() => return None,
            };
            Some((Ok(event), (following, shutdown)))
        });
    Sse::new(stream).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
}

/// How loud the microphone is: dBov, 0 the loudest, -127 silence.
#[derive(Default, PartialEq, Serialize)]
struct Level {
    dbov: i16,
    peak_dbov: i16,
}

/// What one stream of events follows.
struct Following {
    state: watch::Receiver<Arc<control::State>>,
    meter: Meter,
    look: Interval,
    /// As last sent.
    level: Level,
    end: Pin<Box<Sleep>>,
}

impl Following {
    async fn next(&mut self) -> Option<Event> {
        loop {
            tokio::select! {
                changed = self.state.changed() => {
                    changed.ok()?;
                    let document = self.state.borrow_and_update().clone();
                    return Event::default().event("state").json_data(&*document).ok();
                }
                _ = self.look.tick() => {
                    let (dbov, peak_dbov) = (self.meter.dbov(), self.meter.peak_dbov());
                    let level = Level { dbov: -i16::from(dbov), peak_dbov: -i16::from(peak_dbov) };
                    if level != self.level {
                        let event = Event::default().event("level").json_data(&level).ok();
                        self.level = level;
                        return event;
                    }
                }
                () = &mut self.end => return None,
            }
        }
    }
}

/// `GET /box/picture.jpg`.
pub(super) async fn picture(_: Access, State(app): State<Arc<App>>) -> Result<Response, Refusal> {
    let jpeg = app.picture.jpeg().await?;
    Ok(([(header::CONTENT_TYPE, "image/jpeg"), (header::CACHE_CONTROL, "no-store")], jpeg).into_response())
}

/// `POST /box/cmd/{name}`.
pub(super) async fn command(
    access: Access,
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let body = json_body(&headers, body).await?;
    let reply = match Command::parse(&name, &body) {
        Ok(command) => {
            let origin = Origin { issuer: "admin".to_owned(), local: access.local };
            app.deps.control.submit(command, origin).await
        }
        Err(error @ CommandError::UnknownName { .. }) => Reply::refused(Code::Unsupported, error.to_string()),
        Err(error) => Reply::refused(Code::BadRequest, error.to_string()),
    };
    let status = StatusCode::from_u16(reply.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Ok((status, Json(reply)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GuestLink {
    room: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    may: GuestRight,
}

/// The guest page of `room` with a token in its fragment, good from `now` for 24 hours.
pub(super) fn guest_path(keys: &Keys, room: &str, name: &str, may: GuestRight, now: SystemTime) -> String {
    format!("/rooms/{}#t={}", escaped(room), keys.mint_guest(room, name, may, GUEST_LIFETIME, now))
}

/// `POST /box/guest-link`: many may use one link.
pub(super) async fn guest_link(
    _: Access,
    State(app): State<Arc<App>>,
    Extension(via): Extension<Via>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    let wanted: GuestLink = parsed(&json_body(&headers, body).await?)?;
    let room = room_name(&wanted.room)?;
    if wanted.name.chars().count() > 128 {
        return Err(Refusal::bad_request("name: at most 128 characters"));
    }
    let now = clock::wall();
    let path = guest_path(&app.deps.keys, room, &wanted.name, wanted.may, now);
    let url = format!("{}{path}", shareable_base(&app, via, &headers));
    Ok(Json(json!({"url": url, "path": path, "expires_at": control::rfc3339(now + GUEST_LIFETIME)})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Watch {
    room: String,
}

/// `POST /box/watch-token`.
pub(super) async fn watch_token(
    _: Access,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    let wanted: Watch = parsed(&json_body(&headers, body).await?)?;
    let grant = Grant {
        identity: format!("watch-{}", ids::random(10)),
        room: room_name(&wanted.room)?.to_owned(),
        room_join: true,
        can_subscribe: true,
        hidden: true,
        ..Grant::default()
    };
    let token = app.deps.keys.mint(&grant, WATCH_LIFETIME, clock::wall());
    Ok(Json(json!({"token": token, "room": grant.room})))
}

/// The whole body, if it says that it is JSON (a form on another site cannot).
async fn json_body(headers: &HeaderMap, body: Body) -> Result<Bytes, Refusal> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        let message = "send Content-Type: application/json";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "bad_request", message));
    }
    match tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, BODY_BYTES)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => {
            let message = "the body is broken off, or larger than 16 KiB";
            Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "bad_request", message))
        }
        Err(_) => {
            Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "timeout", "the body did not come within 10 s"))
        }
    }
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::bad_request(error.to_string()))
}

/// The rules of `room.join`.
fn room_name(room: &str) -> Result<&str, Refusal> {
    let fits = (1..=128).contains(&room.chars().count()) && !room.chars().any(|c| c.is_control() || c == '/');
    if fits {
        Ok(room)
    } else {
        Err(Refusal::bad_request("room: 1 to 128 characters without '/' and control characters"))
    }
}

/// `text` as one segment of a path.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Under what others can open a link: what the asker used, if that was the network; else the network's address.
fn shareable_base(app: &App, via: Via, headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host =
        host.and_then(|host| host.parse::<Authority>().ok()).filter(|host| !host.as_str().contains('@'));
    let scheme = if via.tls { "https" } else { "http" };
    let used = host.map(|host| format!("{scheme}://{host}"));
    if via.tls && used.is_some() {
        return used.unwrap_or_default();
    }
    app.addresses.https_urls().into_iter().next().or(used).or(app.addresses.http_url()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_room_name_becomes_one_segment() {
        assert_eq!(escaped("lobby 1"), "lobby%201");
        assert_eq!(escaped("a#b?c%é"), "a%23b%3Fc%25%C3%A9");
        assert!(room_name("a/b").is_err() && room_name("").is_err() && room_name("..").is_ok());
    }
}
