//! One connection: from CONNACK to its end.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use serde_json::Value;
use tracing::{debug, warn};

use super::admit::{Admission, Admitted, admit};
use super::bridge::{Bridge, Connection};
use super::documents::{self, Document};
use super::inbound::{self, Inbound, Route};
use super::link::{Acknowledgement, Down, Event, Filter, Link, Message};
use super::publisher::{Publisher, Sent, What};
use super::rumqtt::RECEIVE_MAXIMUM;
use super::token::{Look, Token};
use super::watchdog::{Act, Watchdog};
use crate::base::{Shutdown, clock};
use crate::control::dedupe::Key;
use crate::control::presence::Presence;
use crate::control::topics::check_name;
use crate::control::{Code, Reply};

/// Commands that run at the same time. Beyond it they are refused with `busy`.
const RUNNING: usize = 64;

/// Longest wait for the broker to take the last documents, replies and events before `offline` is said all the same.
const SETTLING: Duration = Duration::from_secs(1);

/// Longest wait for the broker to take `offline` before the connection is closed all the same.
const FAREWELL: Duration = Duration::from_secs(2);

/// Places that one command's reply goes to. Further ones are left out: they ask again, or time out.
const DESTINATIONS: usize = 4;
/// Groups that a box may be in. Beyond it the last ones by name are left out.
const GROUPS: usize = 32;

/// A reply to something that was not run is worth sending for so long.
const REFUSAL_LIFETIME: Duration = Duration::from_secs(60);

/// How a connection ended.
pub(super) enum End {
    /// By shutdown; everything is said.
    Stopped,
    /// By ourselves: there is a new token to connect with.
    Renewed,
    /// By the network or the broker.
    Down { down: Down, online_since: Option<Instant> },
}

/// The connection is to be made anew with a new token.
struct Renewed;

/// The connection with what lives only as long as it.
pub(super) struct Session<'a, L> {
    bridge: &'a mut Bridge,
    link: L,
    publisher: Publisher,
    inbound: Inbound,
    /// Filters that were asked for, by SUBSCRIBE.
    asked: VecDeque<Vec<Filter>>,
    /// Groups that are subscribed to.
    groups: BTreeSet<String>,
    /// Subscribed: documents and replies may flow.
    online_since: Option<Instant>,
    /// Only once the broker lets us hear our own status.
    watchdog: Option<Watchdog>,
    /// What the connection was made with, if it may have to be renewed.
    token: Option<Token>,
    /// Commands whose reply the broker does not have yet. Until then it would send them again if we died.
    unacknowledged: HashMap<Key, Acknowledgement>,
}

impl<'a, L: Link> Session<'a, L> {
    pub(super) fn new(bridge: &'a mut Bridge, link: L, token: Option<Token>) -> Self {
        Session {
            bridge,
            link,
            publisher: Publisher::new(),
            inbound: Inbound::default(),
            asked: VecDeque::new(),
            groups: BTreeSet::new(),
            online_since: None,
            watchdog: None,
            token,
            unacknowledged: HashMap::new(),
        }
    }

    /// Serves the connection until it ends, or `shutdown`.
    pub(super) async fn run(mut self, shutdown: &Shutdown) -> End {
        let mut kept = self.bridge.feeds.documents.subscribe();
        let events = self.bridge.feeds.events.clone();
        loop {
            let wake = match self.watch() {
                Ok(wake) => wake,
                Err(down) => return End::Down { down, online_since: self.online_since },
            };
            let look = match self.token() {
                Ok(look) => look,
                Err(Renewed) => {
                    self.link.close().await;
                    return End::Renewed;
                }
            };
            let wake = wake.into_iter().chain(look).min();
            if self.online_since.is_some() {
                self.regroup();
                self.publisher.flush(self.bridge, &mut self.link);
            }
            self.acknowledge_settled();
            let online = self.online_since.is_some();
            let feeds = &mut self.bridge.feeds;
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
                Ok(()) = feeds.info.changed() => self.publisher.mark(Document::Info),
                Ok(()) = kept.changed() => {
                    kept.mark_unchanged();
                    self.publisher.mark_kept(&self.bridge.feeds.documents);
                }
                () = events.pushed() => {}
                Ok(()) = feeds.health.changed() => self.telemetry("health"),
                Ok(()) = feeds.media.changed() => self.telemetry("media"),
                Ok(()) = feeds.groups.changed(), if online => {}
                taken = self.inbound.taken() => self.link.acknowledge(taken.flatten()),
                () = until(wake) => {}
            }
        }
    }

    /// Whether the token that we came with has been renewed; the time to ask again.
    fn token(&mut self) -> Result<Option<Instant>, Renewed> {
        let Some(token) = &mut self.token else { return Ok(None) };
        match token.look(clock::now()) {
            Look::Wait(until) => Ok(Some(until)),
            Look::Renewed => Err(Renewed),
            Look::Late(until) => {
                warn!("MQTT: mqtt.jwt_file is about to expire, and nobody has renewed it");
                Ok(Some(until))
            }
        }
    }

    /// What the watchdog wants; the time to ask it again.
    fn watch(&mut self) -> Result<Option<Instant>, Down> {
        let now = clock::now();
        let Some(watchdog) = &mut self.watchdog else { return Ok(None) };
        if self.unacknowledged.len() + self.inbound.len() >= usize::from(RECEIVE_MAXIMUM) {
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
            Event::Subscribed(refusals) => self.subscribed(refusals),
            Event::Message(message) => self.message(*message),
            Event::Down(_) => {}
        }
    }

    /// On every CONNACK: a broker may have lost the session without saying so. First our own status, see
    /// [`Session::subscribed`].
    fn subscribe(&mut self) {
        let topics = &self.bridge.topics;
        let own = [topics.of_box("status"), topics.commands()];
        let mut filters: Vec<_> = own.map(|topic| Filter { topic, retained: false }).into();
        filters.extend(inbound::filters(&self.bridge.feeds, topics));
        self.groups = self.wanted_groups();
        filters.extend(self.group_filters(&self.groups));
        if !self.ask(filters) {
            self.bridge.warn_once("a fresh connection would not take a subscription");
        }
    }

    /// False: the connection is full.
    fn ask(&mut self, filters: Vec<Filter>) -> bool {
        let taken = self.link.subscribe(&filters).is_ok();
        if taken {
            self.asked.push_back(filters);
        }
        taken
    }

    fn wanted_groups(&mut self) -> BTreeSet<String> {
        let groups: BTreeSet<String> = self.bridge.feeds.groups.borrow_and_update().iter().cloned().collect();
        groups.into_iter().filter(|group| check_name("group", group).is_ok()).take(GROUPS).collect()
    }

    fn group_filters(&self, groups: &BTreeSet<String>) -> Vec<Filter> {
        let filter = |group: &String| self.bridge.topics.group_commands(group).ok();
        groups.iter().filter_map(filter).map(|topic| Filter { topic, retained: false }).collect()
    }

    /// Subscribes to the groups that the box has come into, and takes those back that it has left.
    fn regroup(&mut self) {
        let wanted = self.wanted_groups();
        let come: BTreeSet<String> = wanted.difference(&self.groups).cloned().collect();
        let gone: BTreeSet<String> = self.groups.difference(&wanted).cloned().collect();
        let filters = self.group_filters(&come);
        // What the connection does not take now is asked for again with its next event.
        if !filters.is_empty() && self.ask(filters) {
            self.groups.extend(come);
        }
        let topics: Vec<String> = self.group_filters(&gone).into_iter().map(|filter| filter.topic).collect();
        if !topics.is_empty() && self.link.unsubscribe(&topics).is_ok() {
            self.groups.retain(|group| !gone.contains(group));
        }
    }

    /// The first SUBACK: documents and replies may flow. A later one is about groups.
    fn subscribed(&mut self, refusals: Vec<Option<String>>) {
        let asked = self.asked.pop_front().unwrap_or_default();
        let refused =
            |topic: &str| asked.iter().zip(&refusals).find(|(filter, _)| filter.topic == topic)?.1.as_deref();
        let status = self.bridge.topics.of_box("status");
        let other = asked.iter().zip(&refusals).filter(|(filter, _)| filter.topic != status);
        let mut reasons = other.filter_map(|(filter, refusal)| Some((&filter.topic, refusal.as_ref()?)));
        let reason = reasons.next().map(|(topic, code)| {
            let what = topic.strip_prefix(self.bridge.topics.of_box("").as_str()).unwrap_or(topic);
            let what = if what == "cmd/+" { "commands" } else { what };
            format!("the broker refuses our subscription to {what}: {code}")
        });
        if let Some(reason) = &reason {
            warn!(%reason, "MQTT: connected, but deaf");
        }
        if self.online_since.is_some() {
            return self.bridge.say(Connection::Online, reason);
        }
        let now = clock::now();
        self.watchdog =
            refused(&status).is_none().then(|| Watchdog::new(self.bridge.config.probe_after, now));
        self.online_since = Some(now);
        self.publisher.mark_kept(&self.bridge.feeds.documents);
        self.bridge.say(Connection::Online, reason);
    }

    /// Measurements: those made while nobody could hear them are not told later.
    fn telemetry(&mut self, name: &'static str) {
        let feeds = &mut self.bridge.feeds;
        let feed = if name == "health" { &mut feeds.health } else { &mut feeds.media };
        let content = feed.borrow_and_update().clone();
        if self.online_since.is_some() {
            self.publisher.telemetry(self.bridge, &mut self.link, name, &content);
        }
    }

    fn message(&mut self, mut message: Message) {
        if let (Some(watchdog), Some(_)) = (&mut self.watchdog, &message.acknowledgement) {
            watchdog.heard(clock::now());
        }
        match inbound::route(&self.bridge.feeds, &self.bridge.topics, &message) {
            Route::Sink(sink, name) => return self.inbound.push(sink, &name, message),
            Route::Ignored => return self.link.acknowledge(message.acknowledgement),
            Route::HomeAssistantOnline => {
                self.bridge.feeds.home_assistant.iter().for_each(|births| births.send_modify(|n| *n += 1));
                return self.link.acknowledge(message.acknowledgement);
            }
            Route::Other => {}
        }
        let acknowledgement = message.acknowledgement.take();
        if let Some(topic) = self.foreign_group(&message.topic) {
            // Of a session that the broker has kept from before the box left the group.
            let _ = self.link.unsubscribe(&[topic]);
            return self.link.acknowledge(acknowledgement);
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

    /// What is subscribed to for a command to a group that the box is not in.
    fn foreign_group(&self, topic: &str) -> Option<String> {
        let group = self.bridge.topics.addressed(topic)?.group?;
        let ours = self.groups.contains(group);
        self.bridge.topics.group_commands(group).ok().filter(|_| !ours)
    }

    /// A last will of an earlier connection may come late and would stay retained: we are online, and say so.
    fn own_status(&mut self, message: &Message) {
        let ours = message.topic == self.bridge.topics.of_box("status");
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

    /// Says the last news, then offline, waits until the broker has it, and closes.
    async fn farewell(mut self) {
        if self.online_since.is_some() {
            self.publisher.mark(Document::State);
            self.publisher.mark_kept(&self.bridge.feeds.documents);
            let _ = tokio::time::timeout(SETTLING, self.until_settled()).await;
            self.publisher.retire();
            let (boot_id, conn_seq) = (&self.bridge.config.boot_id, self.bridge.conn_seq);
            let offline = documents::status(Presence::Offline, boot_id, conn_seq, "stopping");
            let offline = Document::Status.publication(&self.bridge.topics, Some(&offline));
            let sent = self.publisher.publish(self.bridge, &mut self.link, What::Farewell, offline);
            if sent == Sent::Yes {
                let _ = tokio::time::timeout(FAREWELL, self.until_farewell()).await;
            }
        }
        self.link.close().await;
    }

    async fn until_settled(&mut self) {
        loop {
            self.publisher.flush(self.bridge, &mut self.link);
            let quiet = self.bridge.running.is_empty() && self.bridge.outbox.is_empty();
            if quiet && self.publisher.is_settled() && self.bridge.feeds.events.is_empty() {
                return;
            }
            if self.drain().await.is_err() {
                return;
            }
        }
    }

    async fn until_farewell(&mut self) {
        while matches!(self.drain().await, Ok(what) if what != Some(What::Farewell)) {}
    }

    /// What was delivered next; None: a command has ended; Err: the connection has. What arrives is not taken any
    /// more: the broker keeps it.
    async fn drain(&mut self) -> Result<Option<What>, Down> {
        loop {
            tokio::select! {
                event = self.link.event() => if let Event::Down(down) = event { return Err(down) },
                (what, delivery) = self.publisher.receipt() => {
                    self.publisher.delivered(self.bridge, what.clone(), &delivery);
                    self.acknowledge_settled();
                    return Ok(Some(what));
                }
                Some(Ok(ran)) = self.bridge.running.join_next() => {
                    self.bridge.ran(ran);
                    return Ok(None);
                }
            }
        }
    }
}

async fn until(wake: Option<Instant>) {
    match wake {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
