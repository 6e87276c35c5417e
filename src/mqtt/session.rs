//! One connection: from CONNACK to its end.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};
use tracing::{debug, warn};

use super::admit::{Admission, Admitted, admit};
use super::bridge::{Bridge, Connection, Ran};
use super::documents::{self, Document};
use super::link::{Acknowledgement, Delivery, Down, Event, Filter, Link, Message, Publication};
use crate::base::{Shutdown, clock};
use crate::control::dedupe::{Key, Seen};
use crate::control::{Code, Reply};

/// Commands that run at the same time. Beyond it they are refused with `busy`.
const RUNNING: usize = 64;

/// Longest wait for the broker to take `offline` before the connection is closed all the same.
const FAREWELL: Duration = Duration::from_secs(2);

/// A reply to something that was not run is worth sending for so long.
const REFUSAL_LIFETIME: Duration = Duration::from_secs(60);

/// How a connection ended.
pub(super) enum End {
    /// By shutdown; everything is said.
    Stopped,
    /// By the network or the broker.
    Down { down: Down, online_since: Option<Instant> },
}

/// One of the things published, until its PUBACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Document(Document),
    Reply(u64),
    Farewell,
}

/// A retained document: published again when dirty and the last one has arrived, so that the newest wins.
#[derive(Clone, Copy, Default)]
struct Retained {
    dirty: bool,
    in_flight: bool,
}

/// The connection with what lives only as long as it.
pub(super) struct Session<'a, L> {
    bridge: &'a mut Bridge,
    link: L,
    /// Subscribed: documents and replies may flow.
    online_since: Option<Instant>,
    max_packet_bytes: usize,
    documents: [Retained; 3],
    receipts: FuturesUnordered<Pin<Box<dyn Future<Output = (What, Delivery)> + Send>>>,
    /// Commands that run; acknowledged to the broker once they are answered.
    unacknowledged: HashMap<Key, Acknowledgement>,
}

impl<'a, L: Link> Session<'a, L> {
    pub(super) fn new(bridge: &'a mut Bridge, link: L) -> Self {
        Session {
            bridge,
            link,
            online_since: None,
            max_packet_bytes: usize::MAX,
            documents: [Retained { dirty: true, in_flight: false }; 3],
            receipts: FuturesUnordered::new(),
            unacknowledged: HashMap::new(),
        }
    }

    /// Serves the connection until it ends, or `shutdown`.
    pub(super) async fn run(mut self, shutdown: &Shutdown) -> End {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => {
                    self.farewell().await;
                    return End::Stopped;
                }
                event = self.link.event() => match event {
                    Event::Down(down) => return End::Down { down, online_since: self.online_since },
                    event => self.happened(event),
                },
                Some(Ok(ran)) = self.bridge.running.join_next() => self.ran(ran),
                Some((what, delivery)) = self.receipts.next() => self.delivered(what, delivery),
                Ok(()) = self.bridge.state.changed() => self.mark(Document::State),
                Ok(()) = self.bridge.info.changed() => self.mark(Document::Info),
            }
            self.flush();
        }
    }

    fn happened(&mut self, event: Event) {
        match event {
            Event::Up { max_packet_bytes } => {
                self.max_packet_bytes = max_packet_bytes.map_or(usize::MAX, |max| max as usize);
                self.bridge.count(|status| status.connections += 1);
                self.subscribe();
            }
            Event::Subscribed(refusals) => self.online(refusals),
            Event::Message(message) => self.message(*message),
            Event::Down(_) => {}
        }
    }

    /// On every CONNACK: a broker may have lost the session without saying so.
    fn subscribe(&mut self) {
        let groups = self.bridge.config.groups.iter();
        let groups = groups.filter_map(|group| self.bridge.topics.group_commands(group).ok());
        let filters: Vec<_> = std::iter::once(self.bridge.topics.commands())
            .chain(groups)
            .map(|topic| Filter { topic, retained: false })
            .collect();
        if self.link.subscribe(&filters).is_err() {
            self.bridge.warn_once("a fresh connection would not take a subscription");
        }
    }

    fn online(&mut self, refusals: Vec<Option<String>>) {
        let refused = refusals.into_iter().flatten().next();
        let reason = refused.map(|code| format!("the broker refuses our subscription to commands: {code}"));
        if let Some(reason) = &reason {
            warn!(%reason, "MQTT: connected, but deaf");
        }
        self.online_since = Some(clock::now());
        self.bridge.say(Connection::Online, reason);
    }

    fn message(&mut self, mut message: Message) {
        let acknowledgement = message.acknowledgement.take();
        let kept = match admit(&self.bridge.topics, &self.bridge.config.issuers, &message) {
            Admission::Ignore => None,
            Admission::Unanswerable(reason) => {
                self.bridge.count(|status| status.unanswerable += 1);
                self.bridge.warn_once(reason);
                None
            }
            Admission::Refuse(destination, reply) => {
                debug!(topic = %message.topic, reason = %reply.message, "MQTT: command refused");
                self.bridge.count(|status| status.refused += 1);
                self.bridge.answer(&destination, reply, REFUSAL_LIFETIME);
                None
            }
            Admission::Run(admitted) => self.command(*admitted),
        };
        match kept {
            Some(key) => drop(self.unacknowledged.insert(key, acknowledgement)),
            None => self.link.acknowledge(acknowledgement),
        }
    }

    /// Runs a command that is no duplicate; then its key, under which it is to be acknowledged later.
    fn command(&mut self, admitted: Admitted) -> Option<Key> {
        let bridge = &mut *self.bridge;
        let (destination, expiry) = (admitted.destination.clone(), admitted.expiry);
        let busy = |what: &str| Reply::refused(Code::Busy, format!("{what}; not run"));
        let full = bridge.running.len() >= RUNNING;
        let refusal = if full && !bridge.duplicates.knows(&admitted.key) {
            busy("too many commands run already")
        } else {
            match bridge.duplicates.seen(&admitted.key, destination.clone(), clock::now(), expiry) {
                Seen::New => {
                    let key = admitted.key.clone();
                    bridge.start(admitted);
                    return Some(key);
                }
                Seen::Running => {
                    bridge.count(|status| status.duplicates += 1);
                    return None;
                }
                Seen::Answered(reply) => {
                    bridge.count(|status| status.duplicates += 1);
                    bridge.answer(&destination, reply, expiry);
                    return None;
                }
                Seen::Full => busy("too many commands are remembered already"),
            }
        };
        bridge.count(|status| status.refused += 1);
        bridge.answer(&destination, refusal, expiry);
        None
    }

    fn ran(&mut self, ran: Ran) {
        let acknowledgement = self.unacknowledged.remove(&ran.key);
        self.bridge.ran(ran);
        // One received by an earlier connection cannot be acknowledged by this one: the broker sends it again,
        // and it is then answered from the cache.
        self.link.acknowledge(acknowledgement.flatten());
    }

    fn retained(&mut self, document: Document) -> &mut Retained {
        let [status, info, state] = &mut self.documents;
        match document {
            Document::Status => status,
            Document::Info => info,
            Document::State => state,
        }
    }

    fn mark(&mut self, document: Document) {
        self.retained(document).dirty = true;
    }

    fn delivered(&mut self, what: What, delivery: Delivery) {
        if let Delivery::Refused(reason) = &delivery {
            warn!(?what, %reason, "MQTT: the broker refuses a publication");
        }
        match what {
            What::Document(document) => self.retained(document).in_flight = false,
            What::Reply(_) if delivery == Delivery::Lost => {}
            What::Reply(id) => self.bridge.outbox.taken(id),
            What::Farewell => {}
        }
    }

    /// Hands over what is due, as far as the connection takes it.
    fn flush(&mut self) {
        if self.online_since.is_none() {
            return;
        }
        for document in Document::ALL {
            let retained = *self.retained(document);
            if retained.dirty && !retained.in_flight {
                let content = self.content(document);
                let publication = document.publication(&self.bridge.topics, &content);
                let sent = self.publish(What::Document(document), publication);
                *self.retained(document) =
                    Retained { dirty: sent == Sent::Full, in_flight: sent == Sent::Yes };
            }
        }
        while let Some((id, publication)) = self.bridge.outbox.next(clock::now()) {
            match self.publish(What::Reply(id), publication.clone()) {
                Sent::Yes => {}
                Sent::Full => return self.bridge.outbox.put_back(id),
                Sent::TooLarge => {
                    let shorter = without_data(&publication, self.max_packet_bytes);
                    if self.publish(What::Reply(id), shorter) != Sent::Yes {
                        self.bridge.outbox.taken(id);
                    }
                }
            }
        }
    }

    fn content(&mut self, document: Document) -> Value {
        let bridge = &mut *self.bridge;
        match document {
            Document::Status => {
                documents::status("online", &bridge.config.boot_id, bridge.conn_seq, &bridge.online_reason)
            }
            Document::Info => bridge.info.borrow_and_update().clone(),
            Document::State => json!(*bridge.state.borrow_and_update().clone()),
        }
    }

    /// Never more than the broker takes: it would hang up, and on every reconnect again.
    fn publish(&mut self, what: What, publication: Publication) -> Sent {
        if publication.packet_bytes() > self.max_packet_bytes {
            self.bridge.count(|status| status.too_large += 1);
            self.bridge.warn_once("a publication is larger than the broker takes");
            return Sent::TooLarge;
        }
        match self.link.publish(&publication) {
            Err(_) => Sent::Full,
            Ok(receipt) => {
                self.receipts.push(Box::pin(async move { (what, receipt.await) }));
                Sent::Yes
            }
        }
    }

    /// Says offline, waits until the broker has it and the replies before it, and closes.
    async fn farewell(mut self) {
        if self.online_since.is_some() {
            self.flush();
            self.documents = [Retained::default(); 3];
            let bridge = &self.bridge;
            let offline = documents::status("offline", &bridge.config.boot_id, bridge.conn_seq, "stopping");
            let offline = Document::Status.publication(&bridge.topics, &offline);
            if self.publish(What::Farewell, offline) == Sent::Yes {
                let _ = tokio::time::timeout(FAREWELL, self.until_farewell()).await;
            }
        }
        self.link.close().await;
    }

    async fn until_farewell(&mut self) {
        let mut said = false;
        while !said || !self.bridge.outbox.is_empty() {
            tokio::select! {
                event = self.link.event() => if matches!(event, Event::Down(_)) { return },
                Some((what, delivery)) = self.receipts.next() => {
                    said |= what == What::Farewell;
                    self.delivered(what, delivery);
                    self.flush();
                }
            }
        }
    }
}

/// What became of a publication.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    Yes,
    Full,
    TooLarge,
}

/// The same reply without its data, which the broker's limit does not let through.
fn without_data(publication: &Publication, limit: usize) -> Publication {
    let reply = serde_json::from_slice::<Reply>(&publication.payload).map(|mut reply| {
        reply.data = Value::Null;
        reply.message = format!("{:.200} (data left out: the broker takes {limit} bytes)", reply.message);
        json!(reply).to_string().into_bytes()
    });
    Publication { payload: reply.unwrap_or_default(), ..publication.clone() }
}
