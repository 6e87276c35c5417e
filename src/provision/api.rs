//! What is said over HTTPS (`design/provisioning.md`): one POST to `enroll_url`, the token as bearer.

use serde::{Deserialize, Serialize};

/// Longest request, in bytes.
pub(super) const REQUEST_BYTES: usize = 16 * 1024;
/// Longest answer, in bytes.
pub(super) const ANSWER_BYTES: usize = 64 * 1024;

/// What a box asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    /// The box's id: 1 to 63 of `A-Z a-z 0-9 . _ -`.
    #[serde(rename = "box")]
    pub(super) box_id: String,
    /// The fleet that it is to join.
    pub(super) fleet: String,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    /// Its roomd's version.
    pub(super) version: String,
    /// PKCS #10, PEM. Its key counts and its signature, not its subject.
    pub(super) csr: String,
}

/// What it gets. Unknown fields are for newer boxes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answer {
    /// The id that it has from now on; the certificate's common name.
    #[serde(rename = "box")]
    pub(super) box_id: String,
    /// Its fleet.
    pub(super) fleet: String,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    /// PEM: the box's certificate, then those between it and the authority that the broker trusts.
    pub(super) certificate: String,
    /// Where the fleet's broker is.
    pub(super) mqtt: Broker,
}

/// The fleet's broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Broker {
    /// `mqtts://HOST[:PORT]`.
    pub(super) url: String,
    /// PEM: who has signed the broker's certificate; absent: the public web's authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ca: Option<String>,
    /// The user name for the broker's access rules, where it does not take the certificate's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) username: Option<String>,
    /// MQTT client id; absent: `roomd-<box>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) client_id: Option<String>,
}

/// What it gets instead, with a status of 400 or more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Refusal {
    pub(super) error: RefusalError,
}

/// Why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RefusalError {
    /// For programs: `token_unknown`, `token_used`, `token_expired`, `box_taken`, `wrong_fleet`, `bad_request`, …
    pub(super) code: String,
    /// For people.
    pub(super) message: String,
}
