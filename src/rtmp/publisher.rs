//! The publisher's side of one connection: from the handshake to the unpublishing.

use std::fmt;

use super::amf::{self, Value, Writer as Amf};
use super::chunk::{self, Header, Lane, Message, kind};
use super::flv::Parameters;
use super::{Event, RtmpError, handshake};
use crate::base::clock::MediaTime;

mod media;

/// Longest text of a server that is passed on.
const MAX_WORDS: usize = 200;
/// What encoders call themselves; some servers refuse what does not begin like this.
const FLASH_VERSION: &str = "FMLE/3.0 (compatible; roomd)";

/// Transactions, by what they ask.
mod transaction {
    pub(super) const CONNECT: f64 = 1.0;
    pub(super) const RELEASE: f64 = 2.0;
    pub(super) const FC_PUBLISH: f64 = 3.0;
    pub(super) const CREATE_STREAM: f64 = 4.0;
    pub(super) const PUBLISH: f64 = 5.0;
    pub(super) const FC_UNPUBLISH: f64 = 6.0;
    pub(super) const DELETE_STREAM: f64 = 7.0;
}

/// Where on a server the stream goes. Its `Debug` does not show the key.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// The URL without the key: `rtmp://host:port/app`.
    pub tc_url: String,
    /// The application: the URL's path.
    pub app: String,
    /// The stream's name on the server, which is what lets one publish.
    pub key: String,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address")
            .field("tc_url", &self.tc_url)
            .field("app", &self.app)
            .finish_non_exhaustive()
    }
}

/// What the stream's AAC is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sound {
    /// AudioSpecificConfig (ISO/IEC 14496-3 §1.6.2.1).
    pub config: Vec<u8>,
    /// Samples per second.
    pub rate: u32,
    /// 1 or 2.
    pub channels: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Handshake,
    Connecting,
    Creating,
    Asking,
    Publishing,
    Ending,
}

/// One connection as a publisher. Bytes for the server collect in [`Publisher::outgoing`]; `Debug` does not show them,
/// for the key is among them.
pub struct Publisher {
    address: Address,
    sound: Sound,
    phase: Phase,
    /// Of the handshake: less than S0, S1 and S2.
    received: Vec<u8>,
    reader: chunk::Reader,
    writer: chunk::Writer,
    stream: u32,
    received_bytes: u32,
    acknowledged_bytes: u32,
    window: u32,
    /// The time of the first picture, which is 0 on the wire.
    base: Option<MediaTime>,
    /// Newest times on the wire, of sound and of pictures.
    newest: [u64; 2],
    parameters: Option<Parameters>,
    sent: Sent,
}

/// Access units that were put on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Pictures.
    pub pictures: u64,
    /// Packets of sound.
    pub sounds: u64,
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("address", &self.address)
            .field("phase", &self.phase)
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}

impl Publisher {
    /// A connection that was just opened; its handshake is in [`Publisher::outgoing`].
    pub fn new(address: Address, sound: Sound) -> Publisher {
        let mut writer = chunk::Writer::new();
        writer.bytes = handshake::hello();
        Publisher {
            address,
            sound,
            phase: Phase::Handshake,
            received: Vec::new(),
            reader: chunk::Reader::new(),
            writer,
            stream: 0,
            received_bytes: 0,
            acknowledged_bytes: 0,
            window: u32::MAX,
            base: None,
            newest: [0; 2],
            parameters: None,
            sent: Sent::default(),
        }
    }

    /// Bytes that the server has not been sent yet.
    pub fn outgoing(&self) -> &[u8] {
        &self.writer.bytes
    }

    /// The first `count` of them were sent.
    pub fn sent(&mut self, count: usize) {
        self.writer.bytes.drain(..count.min(self.writer.bytes.len()));
    }

    /// What was put on the wire so far.
    pub fn counts(&self) -> Sent {
        self.sent
    }

    /// Whether the server takes the stream now.
    pub fn is_publishing(&self) -> bool {
        self.phase == Phase::Publishing
    }

    /// Takes bytes from the server and tells what they mean.
    ///
    /// # Errors
    /// [`RtmpError`]: close the connection.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Vec<Event>, RtmpError> {
        self.received_bytes = self.received_bytes.wrapping_add(bytes.len() as u32);
        if self.phase != Phase::Handshake {
            return self.messages(bytes);
        }
        self.received.extend_from_slice(bytes);
        let Some((taken, c2)) = handshake::answer(&self.received)? else { return Ok(Vec::new()) };
        self.writer.bytes.extend_from_slice(&c2);
        let rest = std::mem::take(&mut self.received).split_off(taken);
        self.connect();
        self.messages(&rest)
    }

    fn messages(&mut self, bytes: &[u8]) -> Result<Vec<Event>, RtmpError> {
        let mut events = Vec::new();
        for message in self.reader.feed(bytes)? {
            events.extend(self.message(&message)?);
        }
        let unacknowledged = self.received_bytes.wrapping_sub(self.acknowledged_bytes);
        if unacknowledged >= self.window / 2 {
            self.acknowledged_bytes = self.received_bytes;
            self.control(kind::ACKNOWLEDGEMENT, &self.received_bytes.to_be_bytes());
        }
        Ok(events)
    }

    fn message(&mut self, message: &Message) -> Result<Option<Event>, RtmpError> {
        let number = |from: usize| {
            let bytes = message.body.get(from..from + 4)?;
            Some(bytes.iter().fold(0u32, |value, byte| value << 8 | u32::from(*byte)))
        };
        match message.kind {
            kind::WINDOW => self.window = number(0).unwrap_or(self.window).max(2),
            kind::PEER_BANDWIDTH => {
                if let Some(window) = number(0) {
                    self.control(kind::WINDOW, &window.to_be_bytes());
                }
            }
            // Ping request: 6; its answer, 7, gives the time back (§7.1.7).
            kind::USER_CONTROL if message.body.starts_with(&[0, 6]) => {
                let time = number(2).unwrap_or_default().to_be_bytes();
                self.control(kind::USER_CONTROL, &[&[0, 7], &time[..]].concat());
            }
            kind::COMMAND => return self.command(&amf::read(&message.body)?),
            // AMF3's first byte says that AMF0 follows.
            kind::COMMAND_AMF3 if message.body.first() == Some(&0) => {
                return self.command(&amf::read(message.body.get(1..).unwrap_or_default())?);
            }
            _ => {}
        }
        Ok(None)
    }

    fn command(&mut self, values: &[Value]) -> Result<Option<Event>, RtmpError> {
        let name = values.first().and_then(Value::text).unwrap_or_default();
        let number = values.get(1).and_then(Value::number).unwrap_or_default();
        let about = values.get(3).unwrap_or(&Value::Nothing);
        match (name, self.phase) {
            ("_result", Phase::Connecting) if number == transaction::CONNECT => {
                self.create_stream();
                Ok(Some(Event::Connected))
            }
            ("_result", Phase::Creating) if number == transaction::CREATE_STREAM => {
                self.stream = about.number().unwrap_or(1.0) as u32;
                self.publish();
                Ok(None)
            }
            // That it need not release anything is no reason to stop.
            ("_error", _) if [transaction::RELEASE, transaction::FC_PUBLISH].contains(&number) => Ok(None),
            ("_error", phase) if phase != Phase::Ending => Err(self.refusal(about)),
            ("onStatus", _) => self.status(about),
            ("close", phase) if phase != Phase::Ending => {
                Err(RtmpError::Rejected { code: "close".to_owned(), description: String::new() })
            }
            _ => Ok(None),
        }
    }

    fn status(&mut self, about: &Value) -> Result<Option<Event>, RtmpError> {
        let word = |name| about.member(name).and_then(Value::text).unwrap_or_default();
        match (word("code"), self.phase) {
            ("NetStream.Publish.Start", Phase::Asking) => {
                self.phase = Phase::Publishing;
                Ok(Some(Event::Publishing))
            }
            ("NetStream.Unpublish.Success", Phase::Ending) => Ok(Some(Event::Unpublished)),
            (_, Phase::Ending) => Ok(None),
            // Some servers end a stream that they no longer want without calling it an error.
            ("NetStream.Unpublish.Success", _) => Err(self.refusal(about)),
            _ if word("level") == "error" => Err(self.refusal(about)),
            _ => Ok(None),
        }
    }

    fn refusal(&self, about: &Value) -> RtmpError {
        let word = |of: &Value, name| of.member(name).and_then(Value::text).unwrap_or_default().to_owned();
        let to = about.member("ex").map(|ex| word(ex, "redirect")).filter(|to| !to.is_empty());
        if let Some(to) = to {
            return RtmpError::Redirected { to: self.shown(to.split(['?', '#']).next().unwrap_or_default()) };
        }
        let code = Some(word(about, "code")).filter(|code| !code.is_empty());
        RtmpError::Rejected {
            code: self.shown(&code.unwrap_or_else(|| "no code given".to_owned())),
            description: self.shown(&word(about, "description")),
        }
    }

    /// A server's words for people: without the key, which servers like to quote, and not endless.
    fn shown(&self, words: &str) -> String {
        let key = self.address.key.as_str();
        let name = key.split('?').next().unwrap_or_default();
        let mut words = words.to_owned();
        for secret in [key, name].into_iter().filter(|secret| !secret.is_empty()) {
            words = words.replace(secret, "(key)");
        }
        words.chars().filter(|c| !c.is_control()).take(MAX_WORDS).collect()
    }

    fn connect(&mut self) {
        self.phase = Phase::Connecting;
        self.control(kind::SET_CHUNK_SIZE, &(chunk::OUR_SIZE as u32).to_be_bytes());
        let connect = Amf::default()
            .text("connect")
            .number(transaction::CONNECT)
            .object()
            .member("app")
            .text(&self.address.app)
            .member("type")
            .text("nonprivate")
            .member("flashVer")
            .text(FLASH_VERSION)
            .member("swfUrl")
            .text(&self.address.tc_url)
            .member("tcUrl")
            .text(&self.address.tc_url)
            .end();
        self.give(0, connect);
    }

    fn create_stream(&mut self) {
        self.phase = Phase::Creating;
        self.named("releaseStream", transaction::RELEASE);
        self.named("FCPublish", transaction::FC_PUBLISH);
        self.give(0, Amf::default().text("createStream").number(transaction::CREATE_STREAM).null());
    }

    fn publish(&mut self) {
        self.phase = Phase::Asking;
        let publish = Amf::default().text("publish").number(transaction::PUBLISH).null();
        self.give(self.stream, publish.text(&self.address.key).text("live"));
    }

    /// Takes leave of the server, after everything that was pushed; [`Event::Unpublished`] answers, with most servers.
    pub fn unpublish(&mut self) {
        if self.phase != Phase::Publishing {
            return;
        }
        self.phase = Phase::Ending;
        self.named("FCUnpublish", transaction::FC_UNPUBLISH);
        let delete = Amf::default().text("deleteStream").number(transaction::DELETE_STREAM).null();
        self.give(0, delete.number(f64::from(self.stream)));
    }

    /// A command about the stream's name.
    fn named(&mut self, name: &str, transaction: f64) {
        self.give(0, Amf::default().text(name).number(transaction).null().text(&self.address.key));
    }

    fn give(&mut self, stream: u32, command: Amf) {
        self.writer
            .message(Header { lane: Lane::Command, kind: kind::COMMAND, stream, at: 0 }, &[&command.bytes]);
    }

    fn control(&mut self, kind: u8, body: &[u8]) {
        self.writer.message(Header { lane: Lane::Control, kind, stream: 0, at: 0 }, &[body]);
    }
}
