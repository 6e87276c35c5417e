//! One connection to a broker, as the bridge and the requester see it; the library is behind it.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;

/// A connection: it is opened once, lives until [`Event::Down`], and is never reopened.
pub(super) trait Link: Send {
    /// The next thing that happened. Cancel safe. After `Down` it says `Down` again.
    fn event(&mut self) -> impl Future<Output = Event> + Send;

    /// Asks for `filters` (QoS 1); its outcome is [`Event::Subscribed`].
    fn subscribe(&mut self, filters: &[Filter]) -> Result<(), Full>;

    /// Takes filters back.
    fn unsubscribe(&mut self, topics: &[String]) -> Result<(), Full>;

    /// Publishes; the receipt tells of its PUBACK, or that it was sent where none is asked for.
    fn publish(&mut self, publication: &Publication) -> Result<Receipt, Full>;

    /// Acknowledges a message: responsibility for it has been taken.
    fn acknowledge(&mut self, message: Acknowledgement);

    /// Says DISCONNECT (the last will is dropped by the broker) and waits until it is sent, at most 1 s.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// Resolves when the broker has said what it made of a publication.
pub(super) type Receipt = Pin<Box<dyn Future<Output = Delivery> + Send>>;

/// What the broker made of a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// It has it.
    Taken,
    /// It has it, and nobody is subscribed.
    NoSubscribers,
    /// It will never take it.
    Refused(String),
    /// The connection ended first.
    Lost,
}

/// The library's queue is full; it drains with the next events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too much is waiting to be sent")]
pub(super) struct Full;

/// Something that happened on a connection.
#[derive(Debug)]
pub(super) enum Event {
    /// CONNACK: it is usable.
    Up {
        /// Largest packet that the broker takes, in bytes; None: no limit.
        max_packet_bytes: Option<u32>,
    },
    /// SUBACK: for each filter asked for, why it was refused, if it was.
    Subscribed(Vec<Option<String>>),
    /// A message.
    Message(Box<Message>),
    /// It could not be made, or is gone.
    Down(Down),
}

/// Why a connection is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Down {
    /// For people.
    pub(super) reason: String,
    /// The broker asked to be left alone for a while.
    pub(super) overloaded: bool,
}

/// What to subscribe to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) topic: String,
    /// Whether messages retained before are wanted.
    pub(super) retained: bool,
}

/// Names a message that is to be acknowledged.
pub(super) type Acknowledgement = Option<rumqttc::ManualAck>;

/// A message that arrived.
#[derive(Debug, Default)]
pub(super) struct Message {
    pub(super) topic: String,
    pub(super) payload: Bytes,
    /// As its publisher set it (Retain As Published).
    pub(super) retain: bool,
    /// Seconds left, as of its arrival.
    pub(super) expiry_s: Option<u32>,
    pub(super) response_topic: Option<String>,
    pub(super) correlation: Option<Bytes>,
    pub(super) user_properties: Vec<(String, String)>,
    pub(super) acknowledgement: Acknowledgement,
}

impl Message {
    /// The first user property called `name`.
    pub(super) fn user_property(&self, name: &str) -> Option<&str> {
        self.user_properties.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Something to publish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Publication {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    pub(super) retain: bool,
    /// With QoS 0; else with QoS 1.
    pub(super) at_most_once: bool,
    pub(super) expiry_s: Option<u32>,
    pub(super) response_topic: Option<String>,
    pub(super) correlation: Option<Bytes>,
    pub(super) user_properties: Vec<(String, String)>,
}

impl Publication {
    /// Upper bound of its size as a packet, in bytes (MQTT 5, section 3.3).
    pub(super) fn packet_bytes(&self) -> usize {
        let properties: usize =
            self.user_properties.iter().map(|(key, value)| key.len() + value.len() + 5).sum();
        let response = self.response_topic.as_ref().map_or(0, |topic| topic.len() + 3);
        let correlation = self.correlation.as_ref().map_or(0, |data| data.len() + 3);
        // Fixed header 5, topic length 2, packet id 2, property length 4, expiry 5, content type 19.
        37 + self.topic.len() + self.payload.len() + properties + response + correlation
    }
}
