//! What the box publishes: its retained documents, its measurements and its replies.

use std::time::Duration;

use serde_json::json;

use super::admit::Destination;
use super::feeds::Place;
use super::link::Publication;
use crate::base::clock;
use crate::control::presence::{Presence, Status};
use crate::control::topics::Topics;
use crate::control::{Reply, rfc3339};

/// Longest expiry given to a reply: an asker does not wait longer.
const MAX_REPLY_EXPIRY: Duration = Duration::from_secs(3600);

/// The retained documents, in the order in which they are published on a new connection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Document {
    Status,
    Info,
    /// One that the daemon keeps.
    Kept(Place),
    State,
}

impl Document {
    /// Those of every box.
    pub(super) const OWN: [Document; 3] = [Document::Status, Document::Info, Document::State];

    fn topic(&self, topics: &Topics) -> String {
        match self {
            Document::Status => topics.of_box("status"),
            Document::Info => topics.of_box("info"),
            Document::State => topics.of_box("state"),
            Document::Kept(Place::ConfigReported) => topics.of_box("config/reported"),
            Document::Kept(Place::JobStatus(id)) => topics.of_box(&format!("job/{id}/status")),
            Document::Kept(Place::HomeAssistant) => topics.home_assistant(),
        }
    }

    /// It as something to publish; without `content` it is removed.
    pub(super) fn publication(&self, topics: &Topics, content: Option<&serde_json::Value>) -> Publication {
        Publication {
            topic: self.topic(topics),
            payload: content.map(|content| content.to_string().into_bytes()).unwrap_or_default(),
            retain: true,
            ..Publication::default()
        }
    }
}

/// The newest measurements; sent once, if at all.
pub(super) fn telemetry(topics: &Topics, name: &str, content: &serde_json::Value) -> Publication {
    Publication {
        topic: topics.of_box(&format!("tele/{name}")),
        payload: content.to_string().into_bytes(),
        at_most_once: true,
        ..Publication::default()
    }
}

/// `status`: `boot_id` and `conn_seq` let a reader discard a last will that comes after a newer `online`.
pub(super) fn status(state: Presence, boot_id: &str, conn_seq: u64, reason: &str) -> serde_json::Value {
    let (boot_id, ts, reason) = (boot_id.to_owned(), rfc3339(clock::wall()), reason.to_owned());
    json!(Status { state, boot_id, conn_seq, ts, reason })
}

/// A reply to `destination`; it expires when the command does.
pub(super) fn reply(destination: &Destination, reply: Reply, expiry: Duration) -> (Publication, Duration) {
    let lifetime = expiry.clamp(Duration::from_secs(1), MAX_REPLY_EXPIRY);
    let status = reply.code.http_status().to_string();
    let correlation = (!destination.correlation.is_empty()).then(|| destination.correlation.clone());
    let publication = Publication {
        topic: destination.topic.clone(),
        payload: json!(reply.with_id(destination.id())).to_string().into_bytes(),
        expiry_s: u32::try_from(lifetime.as_secs()).ok(),
        correlation,
        user_properties: vec![("status".to_owned(), status)],
        ..Publication::default()
    };
    (publication, lifetime)
}
