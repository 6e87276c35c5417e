//! `status`: whether the box is there (contract, section 5). Also its last will.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// Whether it is there.
    pub state: Presence,
    /// Names this run of the process.
    pub boot_id: String,
    /// Number of the connection within this run: what is said of an older one comes too late.
    pub conn_seq: u64,
    /// When it was said, or when the connection was opened for a last will; RFC 3339, UTC.
    pub ts: String,
    /// Why, for people.
    pub reason: String,
}

/// Whether the box is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// Commands are taken.
    Online,
    /// Gone: by order, or the connection broke.
    Offline,
    /// Gone for a moment, to be another version.
    Updating,
}
