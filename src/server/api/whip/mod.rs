//! WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep): publishing into a room and watching one by an SDP over HTTP. The
//! room is the token's. Whoever comes so is a participant like any other.
//!
//! | file | what |
//! |---|---|
//! | `offer` | what may be offered |
//! | `fragment` | trickle ICE and ICE restarts, as text |
//! | `sessions` | the sessions and their tasks |
//! | `describe` | the paths in the interface's description |

mod describe;
mod fragment;
mod offer;
mod sessions;
#[cfg(test)]
mod tests;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, patch, post};

use super::Api;
use super::guard::{self, Rejection};
use crate::room::Grant;
use crate::server::http::{Refusal, token_of_parts};
use crate::server::signal::{Entry, StayError};
use offer::{Checked, Problem, Way};
use sessions::{MAX_SESSIONS, PatchFailure, Patched, Session};

pub(super) use describe::paths;
pub(super) use sessions::Sessions;

const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// Pages of any origin may come, as tokens and not cookies say who they are; and what of our answers they may read.
const CROSS_ORIGIN: [(HeaderName, &str); 2] = [
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    (header::ACCESS_CONTROL_EXPOSE_HEADERS, "location, etag, link, accept-post, accept-patch"),
];
const PREFLIGHT: [(HeaderName, &str); 5] = [
    (header::ACCESS_CONTROL_ALLOW_METHODS, "POST, PATCH, DELETE, OPTIONS"),
    (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type, if-match"),
    (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    (ACCEPT_POST, SDP),
    (ACCEPT_PATCH, FRAGMENT),
];

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/whip/v1", endpoint(Way::Publish))
        .route("/whip/v1/{id}", session())
        .route("/whep/v1", endpoint(Way::Watch))
        .route("/whep/v1/{id}", session())
        .layer(from_fn(cross_origin))
}

fn endpoint(way: Way) -> MethodRouter<Api> {
    post(move |State(api): State<Api>, parts: Parts, body: Body| async move {
        begin(&api, way, &parts, body).await
    })
    .options(async || PREFLIGHT)
}

fn session() -> MethodRouter<Api> {
    patch(change).delete(end).options(async || PREFLIGHT)
}

async fn cross_origin(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in CROSS_ORIGIN {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// POST: an offer begins a session.
async fn begin(api: &Api, way: Way, parts: &Parts, body: Body) -> Result<Response, Refusal> {
    let grant = api.authorize(parts)?;
    entitled(&grant, way)?;
    let disabled = |refusal: crate::room::Refusal| Refusal::forbidden(refusal.to_string());
    api.rooms.directory().check(&grant.room).map_err(disabled)?;
    let offer = text(&parts.headers, SDP, body).await?;
    let checked = offer::check(&offer, way, api.rooms.codecs(), &grant)?;
    if api.sessions.is_full() {
        return Err(Refusal::not_ready(format!("{MAX_SESSIONS} WHIP and WHEP sessions at most")));
    }
    let Checked { tracks, .. } = checked.clone();
    let entry = Entry { grant, tracks, watches: way == Way::Watch, offer };
    let token = token_of_parts(parts).unwrap_or_default();
    let begun = api.sessions.begin(&api.rooms, entry, checked, token).await?;
    let location = format!("{}/{}", parts.uri.path().trim_end_matches('/'), begun.id);
    let headers = [
        (header::CONTENT_TYPE, SDP.to_owned()),
        (header::LOCATION, location),
        (header::ETAG, begun.etag),
        (ACCEPT_PATCH, FRAGMENT.to_owned()),
    ];
    Ok((StatusCode::CREATED, headers, begun.answer).into_response())
}

/// PATCH: candidates, or another ICE session.
async fn change(
    State(api): State<Api>,
    Path(id): Path<String>,
    parts: Parts,
    body: Body,
) -> Result<Response, Refusal> {
    let session = found(&api, &id, &parts)?;
    let text = text(&parts.headers, FRAGMENT, body).await?;
    let fragment =
        fragment::parse(&text).map_err(|error| Refusal::bad_request(format!("the SDP fragment: {error}")))?;
    let if_match = parts.headers.get(header::IF_MATCH).map(|value| value.to_str().unwrap_or_default());
    match session.patch(if_match.map(str::to_owned), fragment).await? {
        Patched::Trickled => Ok(StatusCode::NO_CONTENT.into_response()),
        Patched::Restarted { etag, fragment } => {
            let headers = [(header::CONTENT_TYPE, FRAGMENT.to_owned()), (header::ETAG, etag)];
            Ok((headers, fragment).into_response())
        }
    }
}

/// DELETE: the participant leaves.
async fn end(State(api): State<Api>, Path(id): Path<String>, parts: Parts) -> Result<StatusCode, Refusal> {
    found(&api, &id, &parts)?.end().await;
    Ok(StatusCode::OK)
}

fn found(api: &Api, id: &str, parts: &Parts) -> Result<Session, Refusal> {
    let (token, grant) = (token_of_parts(parts).unwrap_or_default(), api.authorize(parts));
    if let Err(busy @ Rejection::TooMany) = grant {
        return Err(busy.into());
    }
    let session = api.sessions.find(id, token, grant)?;
    session
        .ok_or_else(|| Refusal::not_found("there is no such session (any more), or it is not this token's"))
}

fn entitled(grant: &Grant, way: Way) -> Result<(), Refusal> {
    if grant.room.is_empty() || grant.identity.is_empty() {
        return Err(Refusal::unauthenticated("the token names no room or no identity"));
    }
    let refused = match way {
        _ if !grant.room_join => "the token does not allow joining",
        _ if grant.waiting => "the token only allows asking to be let in, which WHIP and WHEP cannot",
        Way::Publish if !grant.can_publish => "the token does not allow publishing",
        Way::Watch if !grant.can_subscribe => "the token does not allow watching",
        _ => return Ok(()),
    };
    Err(Refusal::forbidden(refused))
}

/// A body of this type.
async fn text(headers: &HeaderMap, kind: &'static str, body: Body) -> Result<String, Refusal> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !given.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(kind) {
        let given: String = given.chars().take(64).collect();
        let message = format!("Content-Type {given:?}: send {kind}");
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "bad_request", message));
    }
    let bytes = guard::whole(body).await?;
    String::from_utf8(bytes.into()).map_err(|_| Refusal::bad_request("the body is no UTF-8"))
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Refusal {
        let message = problem.to_string();
        match problem {
            Problem::NotSdp | Problem::Malformed(_) => Refusal::bad_request(message),
            Problem::NotAllowed(_) => Refusal::forbidden(message),
            Problem::Nothing(_) | Problem::Many(..) | Problem::Codec { .. } | Problem::Layer { .. } => {
                unprocessable(message)
            }
        }
    }
}

impl From<StayError> for Refusal {
    fn from(error: StayError) -> Refusal {
        let message = error.to_string();
        match error {
            StayError::Refused(refusal) => refusal.into(),
            StayError::Offer(_) => unprocessable(message),
            StayError::Ended => Refusal::not_found(message),
            StayError::Timeout => Refusal::not_ready(message),
        }
    }
}

impl From<PatchFailure> for Refusal {
    fn from(failure: PatchFailure) -> Refusal {
        let message = failure.to_string();
        let status = match failure {
            PatchFailure::Precondition(fragment::PatchError::Unconditional) => {
                StatusCode::PRECONDITION_REQUIRED
            }
            PatchFailure::Precondition(fragment::PatchError::Mismatch { .. }) => {
                StatusCode::PRECONDITION_FAILED
            }
            PatchFailure::Stay(error) => return error.into(),
        };
        Refusal::new(status, "bad_request", message)
    }
}

fn unprocessable(message: String) -> Refusal {
    Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "bad_request", message)
}

/// What a client of either kind says by SDP: its offer, and the body of a PATCH. Also stands for an answer of ours.
#[cfg(any(test, fuzzing))]
pub(crate) fn read_sdp(offer: &str, patch: &str) {
    let codecs = crate::rtc::sfu::Codecs::default();
    let grant = Grant { can_publish: true, can_subscribe: true, ..Grant::default() };
    for way in [Way::Publish, Way::Watch] {
        if let Ok(checked) = offer::check(offer, way, &codecs, &grant) {
            let _ = checked.refused_by(patch);
        }
    }
    let known = fragment::credentials(offer).ok().flatten();
    for text in [offer, patch] {
        let _ = fragment::of_answer(text);
        let Ok(read) = fragment::parse(text) else { continue };
        if let Ok(fragment::Purpose::Restart(new)) = fragment::purpose(Some("*"), "", known.as_ref(), read) {
            let again = fragment::with_credentials(offer, &new);
            assert_eq!(again.lines().count(), offer.lines().count());
            assert!(known.is_none() || fragment::credentials(&again) == Ok(Some(new)));
        }
    }
}
