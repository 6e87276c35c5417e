//! What comes back for an order.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The outcome of an order (contract, section 5, Codes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// Done, or already so.
    Ok,
    /// The command or its parameters make no sense.
    BadRequest,
    /// The sender may not.
    Unauthorized,
    /// This box cannot do that.
    Unsupported,
    /// Too much is waiting already.
    Busy,
    /// It contradicts what is going on.
    Conflict,
    /// Something that it needs has not started yet.
    NotReady,
    /// No such camera, microphone or speaker.
    DeviceMissing,
    /// It came after its time; not run.
    Expired,
    /// It took too long; its outcome will show in the state.
    Timeout,
    /// A server that the box needs refused or failed.
    Upstream,
    /// The box died between doing and answering and cannot tell.
    Unknown,
    /// A fault of the box.
    Internal,
}

impl Code {
    /// The HTTP status that says the same.
    pub const fn http_status(self) -> u16 {
        match self {
            Code::Ok => 200,
            Code::BadRequest => 400,
            Code::Unauthorized => 403,
            Code::DeviceMissing => 404,
            Code::Conflict => 409,
            Code::Expired => 410,
            Code::Busy => 429,
            Code::Unsupported => 501,
            Code::Upstream => 502,
            Code::NotReady => 503,
            Code::Timeout => 504,
            Code::Unknown | Code::Internal => 500,
        }
    }

    /// Whether the same order may succeed later, unchanged.
    pub const fn retryable(self) -> bool {
        matches!(self, Code::Busy | Code::NotReady | Code::Timeout | Code::Upstream)
    }
}

/// The answer to an order: `{id, ok, code, message, retryable, data}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// The order's own id (its correlation), as the asker gave it; empty when it gave none.
    pub id: String,
    /// `code` is `ok`.
    pub ok: bool,
    /// The outcome.
    pub code: Code,
    /// For people: what was done, or the thing, its value and what is allowed.
    pub message: String,
    /// Whether the same order may succeed later.
    pub retryable: bool,
    /// What the command returns; null for most.
    pub data: Value,
}

impl Reply {
    /// Done.
    pub fn ok(message: impl Into<String>, data: Value) -> Self {
        Reply { id: String::new(), ok: true, code: Code::Ok, message: message.into(), retryable: false, data }
    }

    /// Not done, and why.
    pub fn refused(code: Code, message: impl Into<String>) -> Self {
        let retryable = code.retryable();
        Reply { id: String::new(), ok: false, code, message: message.into(), retryable, data: Value::Null }
    }

    /// The same answer under the asker's id.
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }
}
