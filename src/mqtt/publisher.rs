//! What one connection publishes: the retained documents, newest wins, replies and events until their PUBACK, and
//! measurements once.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};
use tracing::warn;

use super::bridge::Bridge;
use super::documents::{self, Document};
use super::feeds::Documents;
use super::link::{Delivery, Link, Publication};
use crate::base::clock;
use crate::control::Reply;
use crate::control::presence::Presence;

/// One of the things published, until its PUBACK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Document(Document),
    Reply(u64),
    Event(u64),
    Telemetry,
    Farewell,
}

/// A receipt with the name of what it is for.
type NamedReceipt = Pin<Box<dyn Future<Output = (What, Delivery)> + Send>>;

/// What became of a publication.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    Yes,
    Full,
    TooLarge,
}

/// A retained document: published again when dirty and the last one has arrived.
#[derive(Clone, Copy, Default)]
struct Retained {
    dirty: bool,
    in_flight: bool,
    /// Of one that the daemon keeps: which it was when it was last marked.
    version: u64,
}

/// The publishing half of a connection.
pub(super) struct Publisher {
    max_packet_bytes: usize,
    documents: BTreeMap<Document, Retained>,
    receipts: FuturesUnordered<NamedReceipt>,
}

impl Publisher {
    /// Every document is due.
    pub(super) fn new() -> Self {
        let due = |document| (document, Retained { dirty: true, ..Retained::default() });
        Publisher {
            max_packet_bytes: usize::MAX,
            documents: Document::OWN.map(due).into(),
            receipts: FuturesUnordered::new(),
        }
    }

    /// The broker's own limit, from its CONNACK.
    pub(super) fn limit(&mut self, max_packet_bytes: Option<u32>) {
        self.max_packet_bytes = max_packet_bytes.map_or(usize::MAX, |max| max as usize);
    }

    /// The next PUBACK; never, while nothing is on its way.
    pub(super) async fn receipt(&mut self) -> (What, Delivery) {
        match self.receipts.next().await {
            Some(receipt) => receipt,
            None => std::future::pending().await,
        }
    }

    /// A document has changed.
    pub(super) fn mark(&mut self, document: Document) {
        self.documents.entry(document).or_default().dirty = true;
    }

    /// Marks which of the daemon's documents have changed since the last call; at the first one all of them.
    pub(super) fn mark_kept(&mut self, documents: &Documents) {
        for (place, content) in documents.kept() {
            let retained = self.documents.entry(Document::Kept(place)).or_default();
            retained.dirty |= retained.version != content.version;
            retained.version = content.version;
        }
    }

    /// Every document is at the broker, or was refused there.
    pub(super) fn is_settled(&self) -> bool {
        self.documents.values().all(|retained| !retained.dirty && !retained.in_flight)
    }

    /// No document is published any more.
    pub(super) fn retire(&mut self) {
        self.documents.clear();
    }

    /// Takes a receipt.
    pub(super) fn delivered(&mut self, bridge: &mut Bridge, what: What, delivery: &Delivery) {
        if let Delivery::Refused(reason) = delivery {
            warn!(?what, %reason, "MQTT: the broker refuses a publication");
        }
        match what {
            What::Document(document) => self.arrived(bridge, document, delivery),
            // They stay on their way: the next connection sends them again.
            What::Reply(_) | What::Event(_) if *delivery == Delivery::Lost => {}
            What::Reply(id) => bridge.outbox.taken(id),
            What::Event(id) => bridge.feeds.events.taken(id),
            What::Telemetry | What::Farewell => {}
        }
    }

    fn arrived(&mut self, bridge: &Bridge, document: Document, delivery: &Delivery) {
        let Some(retained) = self.documents.get_mut(&document) else { return };
        retained.in_flight = false;
        if let (Document::Kept(place), false) = (&document, retained.dirty)
            && matches!(delivery, Delivery::Taken | Delivery::NoSubscribers)
            && bridge.feeds.documents.removed(place, retained.version)
        {
            self.documents.remove(&document);
        }
    }

    /// Hands over what is due, as far as the connection takes it.
    pub(super) fn flush(&mut self, bridge: &mut Bridge, link: &mut impl Link) {
        self.flush_documents(bridge, link);
        self.flush_replies(bridge, link);
        self.flush_events(bridge, link);
    }

    fn flush_documents(&mut self, bridge: &mut Bridge, link: &mut impl Link) {
        let due = self.documents.iter().filter(|(_, retained)| retained.dirty && !retained.in_flight);
        let due: Vec<Document> = due.map(|(document, _)| document.clone()).collect();
        for document in due {
            let content = content(bridge, &document);
            let publication = document.publication(&bridge.topics, content.as_ref());
            let sent = self.publish(bridge, link, What::Document(document.clone()), publication);
            if let Some(retained) = self.documents.get_mut(&document) {
                (retained.dirty, retained.in_flight) = (sent == Sent::Full, sent == Sent::Yes);
            }
        }
    }

    fn flush_replies(&mut self, bridge: &mut Bridge, link: &mut impl Link) {
        while let Some((id, publication)) = bridge.outbox.next(clock::now()) {
            match self.publish(bridge, link, What::Reply(id), publication.clone()) {
                Sent::Yes => {}
                Sent::Full => return bridge.outbox.put_back(id),
                Sent::TooLarge => {
                    let shorter = without_data(publication, self.max_packet_bytes);
                    if self.publish(bridge, link, What::Reply(id), shorter) != Sent::Yes {
                        bridge.outbox.taken(id);
                    }
                }
            }
        }
    }

    fn flush_events(&mut self, bridge: &mut Bridge, link: &mut impl Link) {
        while let Some((id, mut publication)) = bridge.feeds.events.next(clock::now()) {
            publication.topic = bridge.topics.of_box(&publication.topic);
            match self.publish(bridge, link, What::Event(id), publication) {
                Sent::Yes => {}
                Sent::Full => return bridge.feeds.events.put_back(id),
                Sent::TooLarge => bridge.feeds.events.taken(id),
            }
        }
        let dropped = bridge.feeds.events.dropped();
        if bridge.status.borrow().events_dropped != dropped {
            bridge.count(|status| status.events_dropped = dropped);
        }
    }

    /// Measurements that are worth nothing later.
    pub(super) fn telemetry(
        &mut self,
        bridge: &mut Bridge,
        link: &mut impl Link,
        name: &str,
        content: &Value,
    ) {
        let publication = documents::telemetry(&bridge.topics, name, content);
        self.publish(bridge, link, What::Telemetry, publication);
    }

    /// Never more than the broker takes: it would hang up, and on every reconnect again.
    pub(super) fn publish(
        &mut self,
        bridge: &mut Bridge,
        link: &mut impl Link,
        what: What,
        publication: Publication,
    ) -> Sent {
        if publication.packet_bytes() > self.max_packet_bytes {
            bridge.count(|status| status.too_large += 1);
            bridge.warn_once("a publication is larger than the broker takes");
            return Sent::TooLarge;
        }
        match link.publish(&publication) {
            Err(_) => Sent::Full,
            Ok(receipt) => {
                self.receipts.push(Box::pin(async move { (what, receipt.await) }));
                Sent::Yes
            }
        }
    }
}

/// A document as it is now; None: it is to be removed.
fn content(bridge: &mut Bridge, document: &Document) -> Option<Value> {
    match document {
        Document::Status => {
            let (boot_id, conn_seq) = (&bridge.config.boot_id, bridge.conn_seq);
            Some(documents::status(Presence::Online, boot_id, conn_seq, &bridge.online_reason))
        }
        Document::Info => Some(bridge.feeds.info.borrow_and_update().clone()),
        Document::State => Some(json!(*bridge.state.borrow_and_update().clone())),
        Document::Kept(place) => bridge.feeds.documents.at(place).and_then(|content| content.document),
    }
}

/// The same reply without its data, which the broker's limit does not let through.
fn without_data(publication: Publication, limit: usize) -> Publication {
    let reply = serde_json::from_slice::<Reply>(&publication.payload).map(|mut reply| {
        reply.data = Value::Null;
        reply.message = format!("{:.200} (data left out: the broker takes {limit} bytes)", reply.message);
        json!(reply).to_string().into_bytes()
    });
    Publication { payload: reply.unwrap_or_default(), ..publication }
}
