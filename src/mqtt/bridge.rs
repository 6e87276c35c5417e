//! The bridge's life across connections: connect, serve, back off, again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt;
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use super::admit::{Admitted, Destination};
use super::documents::{self, Document};
use super::feeds::Feeds;
use super::link::Down;
use super::outbox::Outbox;
use super::retry::Retry;
use super::rumqtt::{Role, RumqttLink};
use super::session::{End, Session};
use super::token::Token;
use super::{Config, Error};
use crate::base::{Shutdown, clock};
use crate::control::dedupe::{Identity, Key};
use crate::control::presence::Presence;
use crate::control::topics::Topics;
use crate::control::{ControlHandle, Reply, State};

/// Replies kept. When it is full the oldest is dropped (and counted): its asker has waited longest, and a repeated
/// command is answered again from the duplicates' cache.
const REPLIES: usize = 64;

/// Where the bridge stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Connection {
    /// Not configured, or not started yet.
    #[default]
    Off,
    /// On its way.
    Connecting,
    /// Commands are taken.
    Online,
    /// Waiting before the next attempt.
    BackingOff,
}

/// What is true of the bridge, for `info` and metrics. Counters grow from the start of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BridgeStatus {
    /// Where it stands.
    pub connection: Connection,
    /// Why it is not online, or what is wrong although it is; for people, holds no secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Attempts to connect.
    pub attempts: u64,
    /// Connections that the broker accepted.
    pub connections: u64,
    /// Commands that were handed to the box.
    pub commands: u64,
    /// Duplicates of commands that were under way.
    pub duplicates: u64,
    /// Commands refused by the rules of the contract.
    pub refused: u64,
    /// Commands refused that named no place to say so.
    pub unanswerable: u64,
    /// Replies that never reached the broker.
    pub replies_dropped: u64,
    /// Publications larger than the broker takes.
    pub too_large: u64,
    /// Events that never reached the broker.
    pub events_dropped: u64,
}

/// What outlives a connection.
pub(super) struct Bridge {
    pub(super) config: Config,
    pub(super) topics: Topics,
    pub(super) control: ControlHandle,
    pub(super) state: watch::Receiver<Arc<State>>,
    pub(super) feeds: Feeds,
    pub(super) status: watch::Sender<BridgeStatus>,
    /// Commands whose outcome is waited for, and where to tell it.
    pub(super) asked: HashMap<Key, Vec<Destination>>,
    pub(super) outbox: Outbox,
    pub(super) running: JoinSet<Ran>,
    pub(super) conn_seq: u64,
    pub(super) online_reason: String,
    warned: HashSet<&'static str>,
}

/// A command that has come to its end.
pub(super) struct Ran {
    key: Key,
    reply: Reply,
    expiry: Duration,
}

/// Connects the box to its broker until `shutdown`; `status` says how it goes. Whatever the broker does, the box
/// goes on. Commands are answered, each once, by the rules of the contract; the rest goes by `feeds`.
///
/// # Errors
/// At once, when the settings can never work: [`Error::Url`], [`Error::Name`].
pub async fn run(
    mut config: Config,
    control: ControlHandle,
    feeds: Feeds,
    status: watch::Sender<BridgeStatus>,
    shutdown: Shutdown,
) -> Result<(), Error> {
    let topics = Topics::new(&config.fleet, &config.box_id)?;
    if config.access.endpoint.host.is_empty() {
        return Err(Error::Url { reason: "it is empty" });
    }
    if config.access.client_id.is_empty() {
        config.access.client_id.clone_from(&config.box_id);
    }
    let state = control.state();
    let mut bridge = Bridge {
        config,
        topics,
        control,
        state,
        feeds,
        status,
        asked: HashMap::new(),
        outbox: Outbox::new(REPLIES),
        running: JoinSet::new(),
        conn_seq: 0,
        online_reason: "started".to_owned(),
        warned: HashSet::new(),
    };
    // What was on its way when an earlier bridge broke is sent again.
    bridge.feeds.events.connection_lost();
    bridge.run(shutdown).await;
    bridge.say(Connection::Off, None);
    Ok(())
}

impl Bridge {
    async fn run(&mut self, shutdown: Shutdown) {
        let (floor, ceiling) = self.config.reconnect;
        let mut retry = Retry::new(floor, self.config.reconnect_spread, ceiling);
        let broker = self.config.access.endpoint.to_string();
        loop {
            self.conn_seq += 1;
            self.say(Connection::Connecting, None);
            self.status.send_modify(|status| status.attempts += 1);
            // Before the connection is made: a token that is renewed meanwhile is noticed.
            let token = self.token();
            let (down, online_since) = match self.connect() {
                Err(error) => (Down { reason: error.to_string(), overloaded: false }, None),
                Ok(link) => match Session::new(self, link, token).run(&shutdown).await {
                    End::Stopped => return,
                    End::Renewed => {
                        self.outbox.connection_lost();
                        self.feeds.events.connection_lost();
                        self.online_reason = "reconnected (the token was renewed)".to_owned();
                        continue;
                    }
                    End::Down { down, online_since } => (down, online_since),
                },
            };
            self.outbox.connection_lost();
            self.feeds.events.connection_lost();
            let delay = retry.delay(&down, online_since, clock::now(), &mut rand::rng());
            // Once a reason, not once an attempt: an absent broker must not fill the journal.
            if self.status.borrow().reason.as_ref() != Some(&down.reason) {
                warn!(%broker, reason = %down.reason, "MQTT: not connected");
            }
            debug!(%broker, reason = %down.reason, ?delay, "MQTT: next attempt later");
            self.online_reason = format!("reconnected ({})", down.reason);
            self.say(Connection::BackingOff, Some(down.reason));
            if !self.rest(clock::now() + delay, &shutdown).await {
                return;
            }
        }
    }

    fn connect(&self) -> Result<RumqttLink, Error> {
        let reason = "connection lost";
        let will = documents::status(Presence::Offline, &self.config.boot_id, self.conn_seq, reason);
        let will = Document::Status.publication(&self.topics, Some(&will));
        let Config { will_delay_s, keep_alive_s, .. } = self.config;
        RumqttLink::open(&self.config.access, Role::Box { will, will_delay_s, keep_alive_s })
    }

    /// The token that the next connection is made with, to be looked after.
    fn token(&self) -> Option<Token> {
        let file = self.config.access.jwt_file.as_ref()?;
        Token::read(file, self.config.token_look, clock::now(), clock::wall())
    }

    /// Waits until `until`, taking in the replies of commands that still run. False: shut down.
    async fn rest(&mut self, until: Instant, shutdown: &Shutdown) -> bool {
        let sleep = tokio::time::sleep_until(until.into());
        tokio::pin!(sleep);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return false,
                () = &mut sleep => return true,
                Some(Ok(ran)) = self.running.join_next() => self.ran(ran),
            }
        }
    }

    /// A command has come to its end: its reply goes out, to everyone who asked meanwhile.
    pub(super) fn ran(&mut self, ran: Ran) {
        let Ran { key, reply, expiry } = ran;
        for destination in self.asked.remove(&key).unwrap_or_default() {
            self.answer(&destination, reply.clone(), Some(key.clone()), expiry);
        }
    }

    /// Queues a reply; `command` is acknowledged to the broker once the reply is there.
    pub(super) fn answer(
        &mut self,
        destination: &Destination,
        reply: Reply,
        command: Option<Key>,
        expiry: Duration,
    ) {
        let (mut publication, lifetime) = documents::reply(destination, reply, expiry);
        // Who asks a group can tell by it who has answered.
        publication.user_properties.push(("box".to_owned(), self.config.box_id.clone()));
        self.outbox.push(publication, command, clock::now(), lifetime);
        let dropped = self.outbox.dropped;
        self.count(|status| status.replies_dropped = dropped);
    }

    /// Hands a command to the box, now or at a moment of its spread. Until then the broker keeps it: should the box die,
    /// it is sent again.
    pub(super) fn start(&mut self, admitted: Admitted) {
        let Admitted { command, origin, key, destination, expiry, spread } = admitted;
        self.count(|status| status.commands += 1);
        self.asked.insert(key.clone(), vec![destination]);
        let identity = Identity { key: key.clone(), expires: clock::now() + expiry };
        let control = self.control.clone();
        if spread.is_zero() {
            // Given here and not in the task: commands keep their order.
            let answer = control.order_once(command, origin, identity);
            self.running.spawn(async move { Ran { key, reply: answer.await, expiry } });
            return;
        }
        let delay = rand::rng().random_range(Duration::ZERO..=spread);
        self.running.spawn(async move {
            tokio::time::sleep(delay).await;
            Ran { key, reply: control.order_once(command, origin, identity).await, expiry }
        });
    }

    /// Says where the bridge stands. A reason stays until the next one, or until it is online.
    pub(super) fn say(&self, connection: Connection, reason: Option<String>) {
        if connection == Connection::Online {
            info!(broker = %self.config.access.endpoint, "MQTT: online");
        }
        self.status.send_modify(|status| {
            status.connection = connection;
            if reason.is_some() || connection == Connection::Online {
                status.reason = reason;
            }
        });
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut BridgeStatus)) {
        self.status.send_modify(change);
    }

    /// Logs a kind of trouble the first time only; it is counted every time.
    pub(super) fn warn_once(&mut self, what: &'static str) {
        if self.warned.insert(what) {
            warn!(what, "MQTT: (said once, counted in the metrics)");
        }
    }
}
