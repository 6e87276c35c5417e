//! What one connection publishes: the retained documents, newest wins, and the replies.

use std::future::Future;
use std::pin::Pin;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};
use tracing::warn;

use super::bridge::Bridge;
use super::documents::{self, Document};
use super::link::{Delivery, Link, Publication};
use crate::base::clock;
use crate::control::Reply;

/// One of the things published, until its PUBACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Document(Document),
    Reply(u64),
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
}

/// The publishing half of a connection.
pub(super) struct Publisher {
    max_packet_bytes: usize,
    documents: [Retained; 3],
    receipts: FuturesUnordered<NamedReceipt>,
}

impl Publisher {
    /// Every document is due.
    pub(super) fn new() -> Self {
        Publisher {
            max_packet_bytes: usize::MAX,
            documents: [Retained { dirty: true, in_flight: false }; 3],
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

    fn retained(&mut self, document: Document) -> &mut Retained {
        let [status, info, state] = &mut self.documents;
        match document {
            Document::Status => status,
            Document::Info => info,
            Document::State => state,
        }
    }

    /// A document has changed.
    pub(super) fn mark(&mut self, document: Document) {
        self.retained(document).dirty = true;
    }

    /// No document is published any more.
    pub(super) fn retire(&mut self) {
        self.documents = [Retained::default(); 3];
    }

    /// Takes a receipt.
    pub(super) fn delivered(&mut self, bridge: &mut Bridge, what: What, delivery: &Delivery) {
        if let Delivery::Refused(reason) = delivery {
            warn!(?what, %reason, "MQTT: the broker refuses a publication");
        }
        match what {
            What::Document(document) => self.retained(document).in_flight = false,
            // It stays on its way: the next connection sends it again.
            What::Reply(_) if *delivery == Delivery::Lost => {}
            What::Reply(id) => bridge.outbox.taken(id),
            What::Farewell => {}
        }
    }

    /// Hands over what is due, as far as the connection takes it.
    pub(super) fn flush(&mut self, bridge: &mut Bridge, link: &mut impl Link) {
        for document in Document::ALL {
            let retained = *self.retained(document);
            if retained.dirty && !retained.in_flight {
                let content = content(bridge, document);
                let publication = document.publication(&bridge.topics, &content);
                let sent = self.publish(bridge, link, What::Document(document), publication);
                *self.retained(document) =
                    Retained { dirty: sent == Sent::Full, in_flight: sent == Sent::Yes };
            }
        }
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

fn content(bridge: &mut Bridge, document: Document) -> Value {
    match document {
        Document::Status => {
            documents::status("online", &bridge.config.boot_id, bridge.conn_seq, &bridge.online_reason)
        }
        Document::Info => bridge.info.borrow_and_update().clone(),
        Document::State => json!(*bridge.state.borrow_and_update().clone()),
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
