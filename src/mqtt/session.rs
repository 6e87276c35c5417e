//! One connection: from CONNACK to its end.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use tracing::{debug, warn};

use super::admit::{Admission, Admitted, admit};
use super::bridge::{Bridge, Connection};
use super::documents::{self, Document};
use super::link::{Acknowledgement, Down, Event, Filter, Link, Message};
use super::publisher::{Publisher, Sent, What};
use super::rumqtt::RECEIVE_MAXIMUM;
use super::watchdog::{Act, Watchdog};
use crate::base::{Shutdown, clock};
use crate::control::dedupe::Key;
use crate::control::{Code, Reply};

/// Commands that run at the same time. Beyond it they are refused with `busy`.
const RUNNING: usize = 64;

/// Longest wait for the broker to take `offline` before the connection is closed all the same.
const FAREWELL: Duration = Duration::from_secs(2);

/// Places that one command's reply goes to. Further ones are left out: they ask again, or time out.
const DESTINATIONS: usize = 4;

/// A reply to something that was not run is worth sending for so long.
const REFUSAL_LIFETIME: Duration = Duration::from_secs(60);

/// How a connection ended.
pub(super) enum End {
    /// By shutdown; everything is said.
    Stopped,
    /// By the network or the broker.
    Down { down: Down, online_since: Option<Instant> },
}

/// The connection with what lives only as long as it.
pub(super) struct Session<'a, L> {
    bridge: &'a mut Bridge,
    link: L,
    publisher: Publisher,
    /// Subscribed: documents and replies may flow.
    online_since: Option<Instant>,
    /// Only once the broker lets us hear our own status.
    watchdog: Option<Watchdog>,
    /// Commands whose reply the broker does not have yet. Until then it would send them again if we died.
    unacknowledged: HashMap<Key, Acknowledgement>,
}

impl<'a, L: Link> Session<'a, L> {
    pub(super) fn new(bridge: &'a mut Bridge, link: L) -> Self {
        Session {
            bridge,
            link,
            publisher: Publisher::new(),
            online_since: None,
            watchdog: None,
            unacknowledged: HashMap::new(),
        }
    }

    /// Serves the connection until it ends, or `shutdown`.
    pub(super) async fn run(mut self, shutdown: &Shutdown) -> End {
        loop {
            let wake = match self.watch() {
                Ok(wake) => wake,
                Err(down) => return End::Down { down, online_since: self.online_since },
            };
            if self.online_since.is_some() {
                self.publisher.flush(self.bridge, &mut self.link);
            }
            self.acknowledge_settled();
            tokio::select! {
                () = shutdown.cancelled() => {
                    self.farewell().await;
                    return End::Stopped;
                }
                event = self.link.event() => match event {
                    Event::Down(down) => return End::Down { down, online_since: self.online_since },
                    event => self.happened(event),
                },
                Some(Ok(ran)) = self.bridge.running.join_next() => self.bridge.ran(ran),
                (what, delivery) = self.publisher.receipt() => {
                    self.publisher.delivered(self.bridge, what, &delivery);
                }
                Ok(()) = self.bridge.state.changed() => self.publisher.mark(Document::State),
                Ok(()) = self.bridge.info.changed() => self.publisher.mark(Document::Info),
                () = until(wake) => {}
            }
        }
    }

    /// What the watchdog wants; the time to ask it again.
    fn watch(&mut self) -> Result<Option<Instant>, Down> {
        let now = clock::now();
        let Some(watchdog) = &mut self.watchdog else { return Ok(None) };
        if self.unacknowledged.len() >= usize::from(RECEIVE_MAXIMUM) {
            watchdog.heard(now);
        }
        loop {
            match watchdog.act(now) {
                Act::Wait(until) => return Ok(Some(until)),
                Act::Probe => self.publisher.mark(Document::Status),
                Act::Deaf => {
                    let reason = "the broker no longer delivers to us".to_owned();
                    return Err(Down { reason, overloaded: false });
                }
            }
        }
    }

    fn happened(&mut self, event: Event) {
        match event {
            Event::Up { max_packet_bytes } => {
                self.publisher.limit(max_packet_bytes);
                self.bridge.count(|status| status.connections += 1);
                self.subscribe();
            }
            Event::Subscribed(refusals) => self.online(refusals),
            Event::Message(message) => self.message(*message),
            Event::Down(_) => {}
        }
    }

    /// On every CONNACK: a broker may have lost the session without saying so. First our own status, see
    /// [`Session::online`].
    fn subscribe(&mut self) {
        let topics = &self.bridge.topics;
        let groups = self.bridge.config.groups.iter();
        let groups = groups.filter_map(|group| topics.group_commands(group).ok());
        let filters: Vec<_> = [topics.of_box(Document::Status.leaf()), topics.commands()]
            .into_iter()
            .chain(groups)
            .map(|topic| Filter { topic, retained: false })
            .collect();
        if self.link.subscribe(&filters).is_err() {
            self.bridge.warn_once("a fresh connection would not take a subscription");
        }
    }

    fn online(&mut self, refusals: Vec<Option<String>>) {
        let now = clock::now();
        let mut refusals = refusals.into_iter();
        let own_status_refused = refusals.next().flatten().is_some();
        self.watchdog = (!own_status_refused).then(|| Watchdog::new(self.bridge.config.probe_after, now));
        let refused = refusals.flatten().next();
        let reason = refused.map(|code| format!("the broker refuses our subscription to commands: {code}"));
        if let Some(reason) = &reason {
            warn!(%reason, "MQTT: connected, but deaf");
        }
        self.online_since = Some(now);
        self.bridge.say(Connection::Online, reason);
    }

    fn message(&mut self, mut message: Message) {
        let acknowledgement = message.acknowledgement.take();
        if let (Some(watchdog), Some(_)) = (&mut self.watchdog, &acknowledgement) {
            watchdog.heard(clock::now());
        }
        let issuers = self.bridge.config.issuers.borrow().clone();
        let kept = match admit(&self.bridge.topics, &issuers, &message) {
            Admission::Ignore => {
                self.own_status(&message);
                None
            }
            Admission::Unanswerable(reason) => {
                self.bridge.count(|status| status.unanswerable += 1);
                self.bridge.warn_once(reason);
                None
            }
            Admission::Refuse(destination, reply) => {
                debug!(topic = %message.topic, code = ?reply.code, "MQTT: command refused");
                self.bridge.count(|status| status.refused += 1);
                self.bridge.answer(&destination, reply, None, REFUSAL_LIFETIME);
                None
            }
            Admission::Run(admitted) => self.command(*admitted),
        };
        // One of each command is enough: as long as that one is not acknowledged, the broker sends it again.
        match kept.filter(|key| !self.unacknowledged.contains_key(key)) {
            Some(key) => drop(self.unacknowledged.insert(key, acknowledgement)),
            None => self.link.acknowledge(acknowledgement),
        }
    }

    /// A last will of an earlier connection may come late and would stay retained: we are online, and say so.
    fn own_status(&mut self, message: &Message) {
        let ours = message.topic == self.bridge.topics.of_box(Document::Status.leaf());
        let says = |document: &Value| document["state"] == "offline";
        if ours && serde_json::from_slice(&message.payload).is_ok_and(|document| says(&document)) {
            self.publisher.mark(Document::Status);
        }
    }

    /// Hands a command to the box, which finds out whether it is a duplicate; then its key, under which it is to be
    /// acknowledged later.
    fn command(&mut self, admitted: Admitted) -> Option<Key> {
        let bridge = &mut *self.bridge;
        let key = admitted.key.clone();
        if let Some(destinations) = bridge.asked.get_mut(&key) {
            let destination = admitted.destination;
            if !destinations.contains(&destination) && destinations.len() < DESTINATIONS {
                destinations.push(destination);
            }
            bridge.count(|status| status.duplicates += 1);
            return Some(key);
        }
        if bridge.outbox.answers(&key) {
            return Some(key);
        }
        if bridge.running.len() >= RUNNING {
            let busy = Reply::refused(Code::Busy, format!("{RUNNING} commands run already; not run"));
            bridge.count(|status| status.refused += 1);
            bridge.answer(&admitted.destination, busy, None, admitted.expiry);
            return None;
        }
        bridge.start(admitted);
        Some(key)
    }

    /// Commands whose replies have arrived are over. One received by an earlier connection cannot be acknowledged by
    /// this one: the broker sends it again, and it is answered as a duplicate.
    fn acknowledge_settled(&mut self) {
        for key in self.bridge.outbox.take_settled() {
            let acknowledgement = self.unacknowledged.remove(&key);
            self.link.acknowledge(acknowledgement.flatten());
        }
    }

    /// Says offline, waits until the broker has it and the replies before it, and closes.
    async fn farewell(mut self) {
        if self.online_since.is_some() {
            self.publisher.flush(self.bridge, &mut self.link);
            self.publisher.retire();
            let (boot_id, conn_seq) = (&self.bridge.config.boot_id, self.bridge.conn_seq);
            let offline = documents::status("offline", boot_id, conn_seq, "stopping");
            let offline = Document::Status.publication(&self.bridge.topics, &offline);
            let sent = self.publisher.publish(self.bridge, &mut self.link, What::Farewell, offline);
            if sent == Sent::Yes {
                let _ = tokio::time::timeout(FAREWELL, self.until_farewell()).await;
            }
        }
        self.link.close().await;
    }

    /// Whoever was still waiting when the box began to stop has been answered by now.
    async fn until_farewell(&mut self) {
        let mut said = false;
        while !said || !self.bridge.outbox.is_empty() || !self.bridge.running.is_empty() {
            tokio::select! {
                event = self.link.event() => if matches!(event, Event::Down(_)) { return },
                Some(Ok(ran)) = self.bridge.running.join_next() => self.bridge.ran(ran),
                (what, delivery) = self.publisher.receipt() => {
                    said |= what == What::Farewell;
                    self.publisher.delivered(self.bridge, what, &delivery);
                }
            }
            self.publisher.flush(self.bridge, &mut self.link);
            self.acknowledge_settled();
        }
    }
}

async fn until(wake: Option<Instant>) {
    match wake {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
