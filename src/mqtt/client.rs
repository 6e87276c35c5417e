//! The asker's side: gives orders to a box by MQTT and reads its retained documents; for `roomctl` and tests.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;

use super::link::{Delivery, Event, Filter, Link, Message, Publication};
use super::rumqtt::{Role, RumqttLink};
use super::{Access, Error};
use crate::base::{clock, ids};
use crate::control::Reply;
use crate::control::topics::Topics;

/// Longest wait for the connection and for a retained document.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection of somebody who asks one box.
pub struct Requester {
    link: RumqttLink,
    topics: Topics,
    broker: String,
    reply_topic: String,
    issuer: Option<String>,
}

impl Requester {
    /// Connects and subscribes to the replies, under the name `client` (part of the Response Topic).
    ///
    /// # Errors
    /// [`Error`].
    pub async fn connect(
        access: &Access,
        topics: Topics,
        client: &str,
        issuer: Option<String>,
    ) -> Result<Requester, Error> {
        let reply_topic = topics.response(client)?;
        let link = RumqttLink::open(access, Role::Asker)?;
        let broker = access.endpoint.to_string();
        let mut requester = Requester { link, topics, broker, reply_topic: reply_topic.clone(), issuer };
        let deadline = clock::now() + CONNECT_TIMEOUT;
        let up = requester.wait(deadline, "connection", "", |event| matches!(event, Event::Up { .. }));
        up.await?;
        requester.subscribe(reply_topic, false).await?;
        Ok(requester)
    }

    /// Gives an order; the box must take it within `timeout`, and answer.
    ///
    /// # Errors
    /// [`Error`]; a refusal is a reply, not an error.
    pub async fn request(&mut self, name: &str, params: &Value, timeout: Duration) -> Result<Reply, Error> {
        let correlation = Bytes::from(ids::random(16));
        let expiry_s = u32::try_from(timeout.as_secs()).unwrap_or(u32::MAX).max(1);
        let publication = Publication {
            topic: self.topics.command(name),
            payload: params.to_string().into_bytes(),
            expiry_s: Some(expiry_s),
            response_topic: Some(self.reply_topic.clone()),
            correlation: Some(correlation.clone()),
            user_properties: self.issuer.iter().map(|issuer| ("issuer".to_owned(), issuer.clone())).collect(),
            ..Publication::default()
        };
        let Ok(mut receipt) = self.link.publish(&publication) else {
            return Err(self.failed("the connection takes nothing"));
        };
        let deadline = tokio::time::sleep_until((clock::now() + timeout).into());
        tokio::pin!(deadline);
        let mut taken = false;
        loop {
            tokio::select! {
                () = &mut deadline => {
                    let hint = " (is the box online? see its status)";
                    return Err(self.timeout("answer", timeout, hint));
                }
                delivery = &mut receipt, if !taken => match delivery {
                    Delivery::Taken => taken = true,
                    Delivery::NoSubscribers => return Err(self.failed("no such box: nobody takes its commands")),
                    Delivery::Refused(reason) => return Err(self.failed(&format!("command refused: {reason}"))),
                    Delivery::Lost => return Err(self.failed("the connection was lost")),
                },
                event = self.link.event() => match event {
                    Event::Down(down) => return Err(self.failed(&down.reason)),
                    Event::Message(message) if message.correlation.as_ref() == Some(&correlation) => {
                        return self.reply(*message);
                    }
                    _ => {}
                },
            }
        }
    }

    fn reply(&mut self, mut message: Message) -> Result<Reply, Error> {
        self.link.acknowledge(message.acknowledgement.take());
        serde_json::from_slice(&message.payload)
            .map_err(|error| self.failed(&format!("the box's answer is no reply: {error}")))
    }

    /// The box's document `leaf` (`status`, `info`, `state`) as it is retained now, for
    /// [`Requester::next_document`] to go on with.
    ///
    /// # Errors
    /// [`Error::Timeout`]: the box was never online at this broker.
    pub async fn document(&mut self, leaf: &str) -> Result<Value, Error> {
        let topic = self.topics.of_box(leaf);
        let Ok(()) = self.link.subscribe(&[Filter { topic, retained: true }]) else {
            return Err(self.failed("the connection takes nothing"));
        };
        match tokio::time::timeout(CONNECT_TIMEOUT, self.next_document(leaf)).await {
            Ok(document) => document,
            Err(_) => Err(self.timeout("document", CONNECT_TIMEOUT, " (was the box ever online here?)")),
        }
    }

    /// The next version of a document asked for by [`Requester::document`], however long it takes.
    ///
    /// # Errors
    /// [`Error::Connection`].
    pub async fn next_document(&mut self, leaf: &str) -> Result<Value, Error> {
        let topic = self.topics.of_box(leaf);
        loop {
            match self.link.event().await {
                Event::Down(down) => return Err(self.failed(&down.reason)),
                Event::Subscribed(refusals) => self.check_subscribed(&refusals)?,
                Event::Message(mut message) => {
                    self.link.acknowledge(message.acknowledgement.take());
                    if message.topic == topic {
                        return serde_json::from_slice(&message.payload)
                            .map_err(|error| self.failed(&format!("{leaf} is not JSON: {error}")));
                    }
                }
                Event::Up { .. } => {}
            }
        }
    }

    /// Takes leave of the broker.
    pub async fn close(self) {
        self.link.close().await;
    }

    async fn subscribe(&mut self, topic: String, retained: bool) -> Result<(), Error> {
        let Ok(()) = self.link.subscribe(&[Filter { topic, retained }]) else {
            return Err(self.failed("the connection takes nothing"));
        };
        let deadline = clock::now() + CONNECT_TIMEOUT;
        let subscribed = |event: &Event| matches!(event, Event::Subscribed(_));
        match self.wait(deadline, "subscription", "", subscribed).await? {
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

    async fn wait(
        &mut self,
        deadline: Instant,
        what: &'static str,
        hint: &'static str,
        wanted: impl Fn(&Event) -> bool,
    ) -> Result<Event, Error> {
        let waiting = async {
            loop {
                match self.link.event().await {
                    Event::Down(down) => return Err(down.reason),
                    event if wanted(&event) => return Ok(event),
                    _ => {}
                }
            }
        };
        match tokio::time::timeout_at(deadline.into(), waiting).await {
            Ok(Ok(event)) => Ok(event),
            Ok(Err(reason)) => Err(self.failed(&reason)),
            Err(_) => Err(self.timeout(what, CONNECT_TIMEOUT, hint)),
        }
    }

    fn failed(&self, reason: &str) -> Error {
        Error::Connection { broker: self.broker.clone(), reason: reason.to_owned() }
    }

    fn timeout(&self, what: &'static str, after: Duration, hint: &'static str) -> Error {
        Error::Timeout { broker: self.broker.clone(), what, seconds: after.as_secs(), hint }
    }
}
