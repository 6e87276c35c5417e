//! Twirp, version 7: one POST a call, the body protobuf or JSON, errors always JSON.

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::Api;
use super::guard::{self, Rejection};
use crate::room::{Grant, Refusal};

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/protobuf";

/// Twirp's error codes that are used here, each with its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    InvalidArgument,
    Malformed,
    BadRoute,
    Unauthenticated,
    PermissionDenied,
    NotFound,
    ResourceExhausted,
    FailedPrecondition,
    Unimplemented,
    Unavailable,
    DeadlineExceeded,
    Internal,
}

impl Code {
    fn name_and_status(self) -> (&'static str, StatusCode) {
        match self {
            Code::InvalidArgument => ("invalid_argument", StatusCode::BAD_REQUEST),
            Code::Malformed => ("malformed", StatusCode::BAD_REQUEST),
            Code::BadRoute => ("bad_route", StatusCode::NOT_FOUND),
            Code::Unauthenticated => ("unauthenticated", StatusCode::UNAUTHORIZED),
            Code::PermissionDenied => ("permission_denied", StatusCode::FORBIDDEN),
            Code::NotFound => ("not_found", StatusCode::NOT_FOUND),
            Code::ResourceExhausted => ("resource_exhausted", StatusCode::TOO_MANY_REQUESTS),
            Code::FailedPrecondition => ("failed_precondition", StatusCode::PRECONDITION_FAILED),
            Code::Unimplemented => ("unimplemented", StatusCode::NOT_IMPLEMENTED),
            Code::Unavailable => ("unavailable", StatusCode::SERVICE_UNAVAILABLE),
            Code::DeadlineExceeded => ("deadline_exceeded", StatusCode::REQUEST_TIMEOUT),
            Code::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}

/// A call that is not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct Error {
    code: Code,
    message: String,
    /// More about it, by name.
    meta: Vec<(&'static str, String)>,
}

impl Error {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Error {
        Error { code, message: message.into(), meta: Vec::new() }
    }

    /// A field of the request makes no sense.
    pub(super) fn argument(field: &'static str, message: impl std::fmt::Display) -> Error {
        Error::new(Code::InvalidArgument, format!("{field}: {message}")).with("argument", field)
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Error {
        self.meta.push((name, value.into()));
        self
    }
}

impl From<Rejection> for Error {
    fn from(rejection: Rejection) -> Error {
        let code = match rejection {
            Rejection::Token(_) => Code::Unauthenticated,
            Rejection::TooMany => Code::ResourceExhausted,
            Rejection::Body => Code::Malformed,
            Rejection::Slow => Code::DeadlineExceeded,
        };
        Error::new(code, rejection.to_string())
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        let message = refusal.to_string();
        match refusal {
            Refusal::NotAllowed { .. } | Refusal::NotModerator { .. } => {
                Error::new(Code::PermissionDenied, message)
            }
            Refusal::Name { what } => Error::new(Code::InvalidArgument, message).with("argument", what),
            Refusal::Metadata => Error::new(Code::InvalidArgument, message).with("argument", "metadata"),
            Refusal::Attribute => Error::new(Code::InvalidArgument, message).with("argument", "attributes"),
            Refusal::Full { .. } => Error::new(Code::ResourceExhausted, message),
            Refusal::NoSuch { .. } => Error::new(Code::NotFound, message),
            Refusal::Unmute | Refusal::Disabled { .. } => Error::new(Code::FailedPrecondition, message),
            Refusal::Stopping => Error::new(Code::Unavailable, message),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (code, status) = self.code.name_and_status();
        let meta: serde_json::Map<_, _> =
            self.meta.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        let mut body = json!({"code": code, "msg": self.message});
        if !meta.is_empty() {
            body["meta"] = meta.into();
        }
        answer(status, JSON, body.to_string())
    }
}

fn answer(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response {
    let mut response = (status, body.into()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// LiveKit's services that are not served here.
const ELSEWHERE: [&str; 6] =
    ["AgentDispatchService", "Connector", "Egress", "Ingress", "PhoneNumberService", "SIP"];

/// A path under `/twirp` that names no service of ours.
pub(super) async fn unknown(parts: Parts) -> Error {
    let path: String = parts.uri.path().chars().take(128).collect();
    let service = path.strip_prefix("/twirp/livekit.").and_then(|rest| rest.split('/').next());
    match service.filter(|service| ELSEWHERE.contains(service)) {
        Some(service) => Error::new(Code::Unimplemented, format!("this server has no livekit.{service}")),
        None => Error::new(Code::BadRoute, format!("no service at {path}")),
    }
}

/// One call: its bearer's grant and its body.
pub(super) struct Call {
    pub grant: Grant,
    json: bool,
    body: axum::body::Bytes,
}

impl Call {
    /// Reads a request up to its end.
    pub(super) async fn read(api: &Api, parts: &Parts, body: Body) -> Result<Call, Error> {
        if parts.method != Method::POST {
            return Err(Error::new(Code::BadRoute, "a call is a POST"));
        }
        let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
        let json = kind.eq_ignore_ascii_case(JSON);
        if !json && !kind.eq_ignore_ascii_case(PROTOBUF) {
            let message = format!("send Content-Type: {JSON} or {PROTOBUF}");
            return Err(Error::new(Code::BadRoute, message));
        }
        let grant = api.authorize(parts)?;
        Ok(Call { grant, json, body: guard::whole(body).await? })
    }

    /// A call without its request.
    #[cfg(any(test, fuzzing))]
    pub(super) fn of(grant: Grant, json: bool, body: &[u8]) -> Call {
        Call { grant, json, body: axum::body::Bytes::copy_from_slice(body) }
    }

    /// What is asked for.
    pub(super) fn request<T: Message + Default + DeserializeOwned>(&self) -> Result<T, Error> {
        let malformed = |error: String| {
            let why: String = error.chars().take(200).collect();
            Error::new(Code::Malformed, format!("the body is not what this method takes: {why}"))
        };
        if self.json {
            serde_json::from_slice(&self.body).map_err(|error| malformed(error.to_string()))
        } else {
            T::decode(self.body.clone()).map_err(|error| malformed(error.to_string()))
        }
    }

    /// Answers in the words of the request.
    pub(super) fn answer<T: Message + Serialize>(&self, message: &T) -> Result<Response, Error> {
        if self.json {
            let body = serde_json::to_string(message)
                .map_err(|error| Error::new(Code::Internal, format!("the answer: {error}")))?;
            return Ok(answer(StatusCode::OK, JSON, body));
        }
        Ok(answer(StatusCode::OK, PROTOBUF, message.encode_to_vec()))
    }
}
