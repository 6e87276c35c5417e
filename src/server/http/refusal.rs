//! Answers that say no: `{error: {code, message, field?}}` with the right status.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// A request that is not served, and why.
#[derive(Debug, thiserror::Error)]
#[error("{status}: {message}")]
pub(in crate::server) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// Which field of the request is wrong.
    field: Option<String>,
}

impl Refusal {
    pub(in crate::server) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Refusal { status, code, message: message.into(), field: None }
    }

    /// The same, about one field.
    pub(in crate::server) fn with_field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Why, for people.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    #[cfg(test)]
    pub(in crate::server) fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    pub(in crate::server) fn unauthenticated(message: impl Into<String>) -> Self {
        Refusal::new(StatusCode::UNAUTHORIZED, "unauthenticated", message)
    }

    pub(in crate::server) fn forbidden(message: impl Into<String>) -> Self {
        Refusal::new(StatusCode::FORBIDDEN, "unauthorized", message)
    }

    pub(in crate::server) fn bad_request(message: impl Into<String>) -> Self {
        Refusal::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub(in crate::server) fn not_found(message: impl Into<String>) -> Self {
        Refusal::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(in crate::server) fn not_ready(message: impl Into<String>) -> Self {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", message)
    }

    pub(in crate::server) fn internal(message: impl Into<String>) -> Self {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut error = json!({"code": self.code, "message": self.message});
        if let Some(field) = self.field {
            error["field"] = field.into();
        }
        let mut response = (self.status, Json(json!({"error": error}))).into_response();
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
