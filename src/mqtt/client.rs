//! The asker's side: gives orders by MQTT, reads and keeps retained documents; for `roomctl` and tests.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;

use super::link::{Delivery, Event, Filter, Link, Message, Publication};
use super::rumqtt::{Role, RumqttLink};
use super::{Access, Error};
use crate::base::{clock, ids};
use crate::control::Reply;
use crate::control::topics::{Topics, check_name};

/// Longest wait for the connection, a subscription and a retained document.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Once our own word has come back, retained documents are taken to be in after this much silence.
const QUIET: Duration = Duration::from_millis(250);
/// The same for who may not hear its own word.
const LONG_QUIET: Duration = Duration::from_millis(1500);

/// A message that was heard.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// Its topic.
    pub topic: String,
    /// Empty: a retained document was removed.
    pub payload: Bytes,
    /// Which order a reply belongs to.
    pub correlation: Option<Bytes>,
    /// The box that a reply comes from, where it says so.
    pub from: Option<String>,
}

/// A connection of somebody who orders boxes of one fleet and hears what they say.
pub struct Asker {
    link: RumqttLink,
    broker: String,
    reply_topic: String,
    issuer: Option<String>,
    /// Came while something else was waited for; bounded by what a broker sends unacknowledged.
    waiting: VecDeque<Message>,
}

impl Asker {
    /// Connects and subscribes to the replies, under the name `client` (part of the Response Topic).
    ///
    /// # Errors
    /// [`Error`].
    pub async fn connect(
        access: &Access,
        fleet: &str,
        client: &str,
        issuer: Option<String>,
    ) -> Result<Asker, Error> {
        check_name("fleet", fleet)?;
        check_name("client", client)?;
        let reply_topic = format!("roomd/v1/{fleet}/c/{client}/reply");
        let link = RumqttLink::open(access, Role::Asker)?;
        let broker = access.endpoint.to_string();
        let mut asker = Asker { link, broker, reply_topic, issuer, waiting: VecDeque::new() };
        asker.wait("connection", |event| matches!(event, Event::Up { .. })).await?;
        asker.subscribe_one(Filter { topic: asker.reply_topic.clone(), retained: false }).await?;
        Ok(asker)
    }

    /// Asks for `topics` (filters), what is retained there included.
    ///
    /// # Errors
    /// [`Error::Connection`]: the broker refuses one of them, or is gone.
    pub async fn subscribe(&mut self, topics: &[String]) -> Result<(), Error> {
        for topic in topics {
            self.subscribe_one(Filter { topic: topic.clone(), retained: true }).await?;
        }
        Ok(())
    }

    /// Gives the order that `topic` stands for; it must be taken within `timeout`. Returns what its replies are known
    /// by; they come by [`Asker::hear`].
    ///
    /// # Errors
    /// [`Error::Connection`]: among others, that nobody takes it.
    pub async fn order(&mut self, topic: String, params: &Value, timeout: Duration) -> Result<Bytes, Error> {
        let correlation = Bytes::from(ids::random(16));
        let publication = Publication {
            topic,
            payload: params.to_string().into_bytes(),
            expiry_s: Some(u32::try_from(timeout.as_secs()).unwrap_or(u32::MAX).max(1)),
            response_topic: Some(self.reply_topic.clone()),
            correlation: Some(correlation.clone()),
            user_properties: self.issuer.iter().map(|issuer| ("issuer".to_owned(), issuer.clone())).collect(),
            ..Publication::default()
        };
        match self.publish(&publication).await? {
            Delivery::Taken => Ok(correlation),
            Delivery::NoSubscribers => Err(self.failed("nobody there: no box takes this command")),
            Delivery::Refused(reason) => Err(self.failed(&format!("command refused: {reason}"))),
            Delivery::Lost => Err(self.failed("the connection was lost")),
        }
    }

    /// Has the broker keep `document` at `topic`; None: keep nothing there any more.
    ///
    /// # Errors
    /// [`Error::Connection`].
    pub async fn keep(&mut self, topic: &str, document: Option<&Value>) -> Result<(), Error> {
        let payload = document.map(|document| document.to_string().into_bytes()).unwrap_or_default();
        let publication =
            Publication { topic: topic.to_owned(), payload, retain: true, ..Publication::default() };
        match self.publish(&publication).await? {
            Delivery::Taken | Delivery::NoSubscribers => Ok(()),
            Delivery::Refused(reason) => Err(self.failed(&format!("{topic}: refused: {reason}"))),
            Delivery::Lost => Err(self.failed("the connection was lost")),
        }
    }

    /// The next message, however long it takes. Cancel safe.
    ///
    /// # Errors
    /// [`Error::Connection`].
    pub async fn hear(&mut self) -> Result<Heard, Error> {
        loop {
            if let Some(mut message) = self.waiting.pop_front() {
                self.link.acknowledge(message.acknowledgement.take());
                return Ok(Heard {
                    from: message.user_property("box").map(str::to_owned),
                    topic: message.topic,
                    payload: message.payload,
                    correlation: message.correlation,
                });
            }
            match self.link.event().await {
                Event::Down(down) => return Err(self.failed(&down.reason)),
                Event::Message(message) => self.waiting.push_back(*message),
                Event::Subscribed(refusals) => self.check_subscribed(&refusals)?,
                Event::Up { .. } => {}
            }
        }
    }

    /// Hands every message to `each` until what is retained under [`Asker::subscribe`] is in: a word of our own, sent
    /// after the subscription, has come back and silence followed; at most 10 s.
    ///
    /// # Errors
    /// [`Error::Connection`].
    pub async fn settle(&mut self, mut each: impl FnMut(Heard)) -> Result<(), Error> {
        let word = Bytes::from(ids::random(16));
        let publication = Publication {
            topic: self.reply_topic.clone(),
            correlation: Some(word.clone()),
            expiry_s: Some(10),
            ..Publication::default()
        };
        let mut quiet = match self.publish(&publication).await? {
            Delivery::Taken => CONNECT_TIMEOUT,
            _ => LONG_QUIET,
        };
        let deadline = clock::now() + CONNECT_TIMEOUT;
        loop {
            let until = deadline.min(clock::now() + quiet);
            match tokio::time::timeout_at(until.into(), self.hear()).await {
                Err(_) => return Ok(()),
                Ok(heard) => match heard? {
                    own if own.correlation.as_ref() == Some(&word) => quiet = QUIET,
                    heard => each(heard),
                },
            }
        }
    }

    /// Takes leave of the broker.
    pub async fn close(self) {
        self.link.close().await;
    }

    /// The broker's word on a publication; messages that come meanwhile wait.
    async fn publish(&mut self, publication: &Publication) -> Result<Delivery, Error> {
        let Ok(mut receipt) = self.link.publish(publication) else {
            return Err(self.failed("the connection takes nothing"));
        };
        let deadline = tokio::time::sleep(CONNECT_TIMEOUT);
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                delivery = &mut receipt => return Ok(delivery),
                () = &mut deadline => return Err(self.timeout("acknowledgement", CONNECT_TIMEOUT, "")),
                event = self.link.event() => match event {
                    Event::Down(down) => return Err(self.failed(&down.reason)),
                    Event::Message(message) => self.waiting.push_back(*message),
                    _ => {}
                },
            }
        }
    }

    async fn subscribe_one(&mut self, filter: Filter) -> Result<(), Error> {
        let Ok(()) = self.link.subscribe(&[filter]) else {
            return Err(self.failed("the connection takes nothing"));
        };
        match self.wait("subscription", |event| matches!(event, Event::Subscribed(_))).await? {
            Event::Subscribed(refusals) => self.check_subscribed(&refusals),
            _ => Ok(()),
        }
    }

    fn check_subscribed(&self, refusals: &[Option<String>]) -> Result<(), Error> {
        match refusals.iter().flatten().next() {
            None => Ok(()),
            Some(reason) => Err(self.failed(&format!("the broker refuses our subscription: {reason}"))),
        }
    }

    async fn wait(&mut self, what: &'static str, wanted: impl Fn(&Event) -> bool) -> Result<Event, Error> {
        let waiting = async {
            loop {
                match self.link.event().await {
                    Event::Down(down) => return Err(down.reason),
                    event if wanted(&event) => return Ok(event),
                    Event::Message(message) => self.waiting.push_back(*message),
                    _ => {}
                }
            }
        };
        match tokio::time::timeout(CONNECT_TIMEOUT, waiting).await {
            Ok(Ok(event)) => Ok(event),
            Ok(Err(reason)) => Err(self.failed(&reason)),
            Err(_) => Err(self.timeout(what, CONNECT_TIMEOUT, "")),
        }
    }

    fn failed(&self, reason: &str) -> Error {
        Error::Connection { broker: self.broker.clone(), reason: reason.to_owned() }
    }

    fn timeout(&self, what: &'static str, after: Duration, hint: &'static str) -> Error {
        Error::Timeout { broker: self.broker.clone(), what, seconds: after.as_secs(), hint }
    }
}

/// A connection of somebody who asks one box.
pub struct Requester {
    asker: Asker,
    topics: Topics,
}

impl Requester {
    /// Asks the box of `topics` by `asker`.
    pub fn new(asker: Asker, topics: Topics) -> Requester {
        Requester { asker, topics }
    }

    /// Gives an order; the box must take it within `timeout`, and answer.
    ///
    /// # Errors
    /// [`Error`]; a refusal is a reply, not an error.
    pub async fn request(&mut self, name: &str, params: &Value, timeout: Duration) -> Result<Reply, Error> {
        let deadline = clock::now() + timeout;
        let correlation = self.asker.order(self.topics.command(name), params, timeout).await?;
        loop {
            let heard =
                self.heard_by(deadline, "answer", timeout, " (is the box online? see its status)").await?;
            if heard.correlation.as_ref() == Some(&correlation) {
                return serde_json::from_slice(&heard.payload)
                    .map_err(|error| self.asker.failed(&format!("the box's answer is no reply: {error}")));
            }
        }
    }

    /// The box's document `leaf` (`status`, `info`, `state`) as it is retained now, for
    /// [`Requester::next_document`] to go on with.
    ///
    /// # Errors
    /// [`Error::Timeout`]: the box was never online at this broker.
    pub async fn document(&mut self, leaf: &str) -> Result<Value, Error> {
        self.asker.subscribe(&[self.topics.of_box(leaf)]).await?;
        match tokio::time::timeout(CONNECT_TIMEOUT, self.next_document(leaf)).await {
            Ok(document) => document,
            Err(_) => {
                Err(self.asker.timeout("document", CONNECT_TIMEOUT, " (was the box ever online here?)"))
            }
        }
    }

    /// The next version of a document asked for by [`Requester::document`], however long it takes.
    ///
    /// # Errors
    /// [`Error::Connection`].
    pub async fn next_document(&mut self, leaf: &str) -> Result<Value, Error> {
        let topic = self.topics.of_box(leaf);
        loop {
            let heard = self.asker.hear().await?;
            if heard.topic == topic {
                return serde_json::from_slice(&heard.payload)
                    .map_err(|error| self.asker.failed(&format!("{leaf} is not JSON: {error}")));
            }
        }
    }

    /// Takes leave of the broker.
    pub async fn close(self) {
        self.asker.close().await;
    }

    async fn heard_by(
        &mut self,
        deadline: Instant,
        what: &'static str,
        after: Duration,
        hint: &'static str,
    ) -> Result<Heard, Error> {
        match tokio::time::timeout_at(deadline.into(), self.asker.hear()).await {
            Ok(heard) => heard,
            Err(_) => Err(self.asker.timeout(what, after, hint)),
        }
    }
}
