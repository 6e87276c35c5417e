//! What the daemon gives the bridge to publish, and where the bridge hands over what arrives beside commands. All of
//! it outlives the bridge, which is started again after a fault.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::link::Publication;
use super::outbox::Outbox;
use crate::base::{clock, ids};
use crate::control::event::{Event, EventKind};
use crate::control::rfc3339;

/// Documents kept beside `status`, `info` and `state`. Beyond it a new one is refused.
const DOCUMENTS: usize = 64;
/// Events kept until the broker has them. When it is full the oldest is dropped, and counted.
const EVENTS: usize = 128;
/// How long an event is worth knowing (contract, section 5).
const EVENT_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// Largest `data` of an event, in bytes of JSON; larger ones are left out.
const MAX_EVENT_DATA: usize = 2048;

/// The daemon's side of the bridge.
#[derive(Clone, Debug)]
pub struct Feeds {
    /// What the box is.
    pub info: watch::Receiver<Value>,
    /// Further retained documents.
    pub documents: Documents,
    /// What happened.
    pub events: Events,
    /// `tele/health`; a value that comes while the box is not online is not published.
    pub health: watch::Receiver<Value>,
    /// `tele/media`; likewise.
    pub media: watch::Receiver<Value>,
    /// Groups whose commands are taken too.
    pub groups: watch::Receiver<Vec<String>>,
    /// Takes `config/desired`.
    pub config: Option<Sink>,
    /// Takes `job/{id}`, by id.
    pub jobs: Option<Sink>,
    /// Takes `set/{name}`, by name; retained ones are left out.
    pub set: Option<Sink>,
    /// Counts how often Home Assistant has said that it came online.
    pub home_assistant: Option<watch::Sender<u64>>,
}

impl Feeds {
    /// `info`, and nothing else yet.
    pub fn new(info: watch::Receiver<Value>) -> Self {
        Feeds {
            info,
            documents: Documents::default(),
            events: Events::default(),
            health: watch::channel(Value::Null).1,
            media: watch::channel(Value::Null).1,
            groups: watch::channel(Vec::new()).1,
            config: None,
            jobs: None,
            set: None,
            home_assistant: None,
        }
    }
}

/// The topic of a retained document, in the order in which a new connection publishes them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// `config/reported`.
    ConfigReported,
    /// `job/{id}/status`.
    JobStatus(String),
    /// Home Assistant's discovery of this box, outside the fleet's part of the tree.
    HomeAssistant,
}

/// Too many documents are kept already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{DOCUMENTS} retained documents are kept already")]
pub struct TooMany;

/// Retained documents, newest wins; on each connection all are published. Cheap to clone, all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Documents(watch::Sender<BTreeMap<Place, Content>>);

/// One document.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Content {
    /// None: to be removed at the broker.
    pub(super) document: Option<Value>,
    /// Grows with each change.
    pub(super) version: u64,
}

impl Documents {
    /// `document` stands at `place` from now on.
    ///
    /// # Errors
    /// [`TooMany`].
    pub fn set(&self, place: Place, document: Value) -> Result<(), TooMany> {
        self.put(place, Some(document))
    }

    /// Nothing stands at `place` any more; also for what an earlier run of the process left there.
    ///
    /// # Errors
    /// [`TooMany`]: a removal, too, is kept until the broker has it.
    pub fn clear(&self, place: Place) -> Result<(), TooMany> {
        self.put(place, None)
    }

    fn put(&self, place: Place, document: Option<Value>) -> Result<(), TooMany> {
        let mut outcome = Ok(());
        self.0.send_if_modified(|kept| {
            let before = kept.get(&place);
            if before.is_some_and(|content| content.document == document) {
                return false;
            }
            if before.is_none() && kept.len() >= DOCUMENTS {
                outcome = Err(TooMany);
                return false;
            }
            let version = next_version(kept);
            kept.insert(place, Content { document, version });
            true
        });
        outcome
    }

    /// What stands at `place` is published once more.
    pub fn again(&self, place: Place) {
        self.0.send_if_modified(|kept| {
            let version = next_version(kept);
            let content = kept.get_mut(&place);
            content.is_some_and(|content| {
                content.version = version;
                true
            })
        });
    }

    /// Whether something stands at `place`, or is still to be removed there.
    pub fn holds(&self, place: &Place) -> bool {
        self.0.borrow().contains_key(place)
    }

    /// What is kept now.
    pub(super) fn kept(&self) -> BTreeMap<Place, Content> {
        self.0.borrow().clone()
    }

    /// What stands at `place`.
    pub(super) fn at(&self, place: &Place) -> Option<Content> {
        self.0.borrow().get(place).cloned()
    }

    /// The broker has `version` of `place`: true when that was its removal, which is forgotten unless something newer
    /// stands there.
    pub(super) fn removed(&self, place: &Place, version: u64) -> bool {
        let mut removed = false;
        self.0.send_if_modified(|kept| {
            let removal = |content: &Content| content.document.is_none() && content.version == version;
            if kept.get(place).is_some_and(removal) {
                kept.remove(place);
                removed = true;
            }
            // Nothing that would have to be published.
            false
        });
        removed
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<BTreeMap<Place, Content>> {
        self.0.subscribe()
    }
}

fn next_version(kept: &BTreeMap<Place, Content>) -> u64 {
    1 + kept.values().map(|content| content.version).max().unwrap_or(0)
}

/// Events on their way to the broker. Cheap to clone, all clones are one.
#[derive(Clone, Debug)]
pub struct Events(Arc<EventQueue>);

#[derive(Debug)]
struct EventQueue {
    outbox: Mutex<Outbox>,
    more: Notify,
}

impl Default for Events {
    fn default() -> Self {
        Events(Arc::new(EventQueue { outbox: Mutex::new(Outbox::new(EVENTS)), more: Notify::new() }))
    }
}

impl Events {
    /// Something has happened just now; `data` of more than 2 KiB is left out.
    pub fn push(&self, kind: EventKind, data: Value) {
        let data = if data.to_string().len() > MAX_EVENT_DATA { json!({"truncated": true}) } else { data };
        let event = Event { id: ids::random(12), ts: rfc3339(clock::wall()), kind, data };
        let publication = Publication {
            topic: format!("event/{}", kind.name()),
            payload: json!(event).to_string().into_bytes(),
            ..Publication::default()
        };
        self.outbox().push(publication, None, clock::now(), EVENT_LIFETIME);
        self.0.more.notify_one();
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.0.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next to send, its topic without the box's root.
    pub(super) fn next(&self, now: Instant) -> Option<(u64, Publication)> {
        self.outbox().next(now)
    }

    pub(super) fn taken(&self, id: u64) {
        self.outbox().taken(id);
    }

    pub(super) fn put_back(&self, id: u64) {
        self.outbox().put_back(id);
    }

    pub(super) fn connection_lost(&self) {
        self.outbox().connection_lost();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.outbox().is_empty()
    }

    /// How many were never sent.
    pub(super) fn dropped(&self) -> u64 {
        self.outbox().dropped
    }

    /// Returns once there was another.
    pub(super) async fn pushed(&self) {
        self.0.more.notified().await;
    }
}

/// Takes messages of one kind. When it is full the bridge waits, with the messages unacknowledged.
pub type Sink = mpsc::Sender<Arrived>;

/// A message for the daemon. One that is dropped without [`Arrived::taken`] the broker sends again at the next
/// connection.
#[derive(Debug)]
pub struct Arrived {
    /// What its topic says: a job's id, the name of what is set; empty for `config/desired`.
    pub name: String,
    /// As it came; empty: what was retained has been removed. At most 16 KiB.
    pub payload: Bytes,
    taken: oneshot::Sender<()>,
}

impl Arrived {
    pub(super) fn new(name: &str, payload: Bytes) -> (Arrived, oneshot::Receiver<()>) {
        let (taken, receipt) = oneshot::channel();
        (Arrived { name: name.to_owned(), payload, taken }, receipt)
    }

    /// Responsibility for it has been taken: the broker may forget it.
    pub fn taken(self) {
        let _ = self.taken.send(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_new_only_when_it_differs_and_a_removal_stays_until_the_broker_has_it() {
        let documents = Documents::default();
        let mut changes = documents.subscribe();
        let job = || Place::JobStatus("j1".to_owned());
        documents.set(job(), json!({"status": "queued"})).unwrap();
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        documents.set(job(), json!({"status": "queued"})).unwrap();
        assert!(!changes.has_changed().unwrap());
        let standing = documents.at(&job()).unwrap().version;
        assert!(!documents.removed(&job(), standing), "a document that stands is not forgotten");
        documents.clear(job()).unwrap();
        assert!(!documents.removed(&job(), standing), "the broker has only what stood there before");
        assert!(changes.has_changed().unwrap());
        assert_eq!(documents.at(&job()).unwrap().document, None);
        assert!(documents.removed(&job(), standing + 1));
        assert_eq!(documents.at(&job()), None);
    }

    #[test]
    fn only_so_many_documents_are_kept_and_those_that_are_can_still_change() {
        let documents = Documents::default();
        let job = |n: usize| Place::JobStatus(n.to_string());
        for n in 0..DOCUMENTS {
            documents.set(job(n), json!(n)).unwrap();
        }
        assert_eq!(documents.set(job(DOCUMENTS), json!(0)), Err(TooMany));
        assert_eq!(documents.set(job(1), json!("newer")), Ok(()));
        assert_eq!(documents.at(&job(1)).unwrap().version, DOCUMENTS as u64 + 1);
    }

    #[test]
    fn an_event_has_a_name_and_a_time_and_says_how_long_it_is_still_worth_knowing() {
        let events = Events::default();
        events.push(EventKind::JobEnded, json!({"id": "j1"}));
        events.push(EventKind::JobEnded, json!({"id": "x".repeat(MAX_EVENT_DATA)}));
        let later = clock::now() + Duration::from_secs(3600);
        let (_, publication) = events.next(later).unwrap();
        assert_eq!(publication.topic, "event/job_ended");
        assert!((82_700..=82_800).contains(&publication.expiry_s.unwrap()), "{:?}", publication.expiry_s);
        let event: Event = serde_json::from_slice(&publication.payload).unwrap();
        assert_eq!((event.kind, &event.data["id"], event.id.len()), (EventKind::JobEnded, &json!("j1"), 12));
        let (_, large) = events.next(later).unwrap();
        assert!(large.payload.len() < 200);
        events.connection_lost();
        assert_eq!(events.next(later).unwrap().1.payload, publication.payload, "sent again, unchanged");
        assert_eq!(events.next(later + EVENT_LIFETIME), None);
        assert_eq!(events.dropped(), 1);
    }
}
