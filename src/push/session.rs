//! One connection: handshake, stream, leave.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::MissedTickBehavior;

use super::Reason;
use super::course::LEFT_AFTER;
use super::task::Teller;
use super::wire::Wire;
use crate::base::{Shutdown, clock};
use crate::media::{Reader, Stream, Wants};
use crate::rtmp::{Address, Event, Publisher, Sound};
use crate::sys::{SendState, send_state};

/// Longest time from the open connection to the server's taking the stream.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time for taking leave: what is queued, and the server's answer.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);
/// How often the stream's units go on the wire, all that there are: a write for each alone would wake a thread 80
/// times a second. A picture leaves this much later at most.
const TAKE_EVERY: Duration = Duration::from_millis(50);
/// Bytes on their way to the kernel beyond which no further units are taken; they wait in the reader's queue, which is
/// bounded and drops to the next keyframe.
const BATCH_BYTES: usize = 256 * 1024;
/// With more than this on its way nothing is read either: a server that only asks (pings) would fill our memory with
/// answers.
const ANSWER_BYTES: usize = 4 * BATCH_BYTES;
/// How often the kernel is asked what was acknowledged.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// An open connection.
pub(super) struct Session {
    publisher: Publisher,
    reads: ReadHalf<Wire>,
    writes: WriteHalf<Wire>,
    /// The same socket once more, to be asked about.
    socket: OwnedFd,
    received: Box<[u8; 4096]>,
}

impl Session {
    /// Over `wire`, with nothing said yet.
    pub(super) fn new(wire: Wire, address: Address, sound: Sound) -> Result<Session, Reason> {
        let socket = wire.tcp().as_fd().try_clone_to_owned().map_err(Reason::Broke)?;
        let (reads, writes) = tokio::io::split(wire);
        let publisher = Publisher::new(address, sound);
        Ok(Session { publisher, reads, writes, socket, received: Box::new([0; 4096]) })
    }

    /// Until the server takes the stream.
    pub(super) async fn handshake(&mut self) -> Result<(), Reason> {
        let late = Reason::Timeout { what: "the RTMP handshake", after: HANDSHAKE_TIMEOUT };
        let speaking = async {
            while !self.publisher.is_publishing() {
                self.write_all().await?;
                self.read().await?;
            }
            Ok(())
        };
        tokio::time::timeout(HANDSHAKE_TIMEOUT, speaking).await.unwrap_or(Err(late))
    }

    /// Sends the stream until it fails or `stop`; returns Ok after the server was taken leave of.
    pub(super) async fn stream(
        &mut self,
        stream: &Stream,
        teller: &mut Teller,
        stop: &Shutdown,
    ) -> Result<(), Reason> {
        teller.course.accepted(clock::now(), self.state()?);
        let mut reader = stream.subscribe("push", Wants::RECORDING);
        let ended = self.send(&mut reader, teller, stop).await;
        if ended.is_ok() {
            self.take(&mut reader, usize::MAX);
            teller.count(self.publisher.counts(), reader.lost());
            teller.leaving();
            drop(reader);
            self.leave().await;
            teller.course.acknowledged(clock::now(), self.state().unwrap_or_default(), false);
        } else {
            teller.count(self.publisher.counts(), reader.lost());
        }
        teller.connection_ended();
        ended
    }

    async fn send(
        &mut self,
        reader: &mut Reader,
        teller: &mut Teller,
        stop: &Shutdown,
    ) -> Result<(), Reason> {
        let (mut turn, mut look) = (tokio::time::interval(TAKE_EVERY), tokio::time::interval(LOOK_EVERY));
        turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let waiting = !self.publisher.outgoing().is_empty();
            let listens = self.publisher.outgoing().len() < ANSWER_BYTES;
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                written = self.writes.write(self.publisher.outgoing()), if waiting => self.written(written)?,
                read = self.reads.read(&mut self.received[..]), if listens => {
                    self.heard(read)?;
                }
                _ = turn.tick(), if !waiting => self.take(reader, BATCH_BYTES),
                _ = look.tick() => {
                    let state = self.state()?;
                    teller.rtt = Some(state.rtt);
                    let stays = teller.course.acknowledged(clock::now(), state, waiting);
                    teller.count(self.publisher.counts(), reader.lost());
                    teller.tell();
                    if !stays {
                        return Err(Reason::Stalled(LEFT_AFTER));
                    }
                }
            }
        }
    }

    /// Takes units until there are none or `enough` bytes are on their way.
    fn take(&mut self, reader: &mut Reader, enough: usize) {
        while self.publisher.outgoing().len() < enough
            && let Some(unit) = reader.try_recv()
        {
            self.publisher.push(&unit);
        }
    }

    /// Says goodbye; whether the server heard it is not our trouble.
    async fn leave(&mut self) {
        self.publisher.unpublish();
        let leaving = async {
            self.write_all().await?;
            while !self.read().await?.contains(&Event::Unpublished) {}
            self.writes.shutdown().await.map_err(Reason::Broke)
        };
        if !matches!(tokio::time::timeout(LEAVE_TIMEOUT, leaving).await, Ok(Ok(()))) {
            tracing::debug!("the server did not acknowledge the stream's end");
        }
    }

    async fn write_all(&mut self) -> Result<(), Reason> {
        while !self.publisher.outgoing().is_empty() {
            let written = self.writes.write(self.publisher.outgoing()).await;
            self.written(written)?;
        }
        self.writes.flush().await.map_err(Reason::Broke)
    }

    async fn read(&mut self) -> Result<Vec<Event>, Reason> {
        let read = self.reads.read(&mut self.received[..]).await;
        self.heard(read)
    }

    fn written(&mut self, written: io::Result<usize>) -> Result<(), Reason> {
        match written.map_err(Reason::Broke)? {
            0 => Err(Reason::Closed),
            count => {
                self.publisher.sent(count);
                Ok(())
            }
        }
    }

    fn heard(&mut self, read: io::Result<usize>) -> Result<Vec<Event>, Reason> {
        match read.map_err(Reason::Broke)? {
            0 => Err(Reason::Closed),
            count => Ok(self.publisher.receive(self.received.get(..count).unwrap_or_default())?),
        }
    }

    fn state(&self) -> Result<SendState, Reason> {
        send_state(&self.socket).map_err(Reason::Broke)
    }
}
