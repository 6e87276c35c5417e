//! What became of our packets: each gets a number for the whole connection (transport-wide congestion control,
//! draft-holmer-rmcat-transport-wide-cc-extensions-01), and the server tells which numbers arrived when.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::transport_feedbacks::transport_layer_cc::{
    PacketStatusChunk, SymbolTypeTcc, TransportLayerCc,
};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use rtc::shared::marshal::MarshalSize;
use tokio::sync::mpsc;

use super::engine::TRANSPORT_CC_URI;
use super::{Fate, PeerEvent, Side};

/// Packets whose fate is awaited: about 10 s of all layers. When there are more, nobody asks for the oldest.
const CAPACITY: usize = 4096;

/// A packet is lost when one that left so much later has arrived; until then it may have been overtaken. The
/// server reports one that comes late once more.
const REORDERING: Duration = Duration::from_millis(250);

/// Unit of a report's reference time (§3.1).
const REFERENCE_US: i64 = 64_000;

/// One packet whose fate is awaited.
#[derive(Debug)]
struct Sent {
    ssrc: u32,
    departure: Instant,
    bytes: usize,
    arrived: bool,
}

/// The packets that left, by their numbers.
#[derive(Debug, Default)]
struct History {
    /// Number of the first of `sent`; the others follow one by one.
    first: u16,
    sent: VecDeque<Sent>,
    /// Departure of the last one that arrived.
    newest: Option<Instant>,
    /// By SSRC: departure of the first packet that is known to have arrived. A server begins to report a stream
    /// only once it knows it; what left before that is not lost.
    known: HashMap<u32, Instant>,
    /// Reference time of the last report as it stood there (24 bits), and unwrapped.
    reference: Option<(u32, i64)>,
}

impl History {
    /// The number of a packet that leaves now.
    fn number(&mut self, ssrc: u32, departure: Instant, bytes: usize) -> u16 {
        if self.sent.len() >= CAPACITY {
            self.sent.pop_front();
            self.first = self.first.wrapping_add(1);
        }
        // Fits: CAPACITY is below 2^16.
        let number = self.first.wrapping_add(self.sent.len() as u16);
        self.sent.push_back(Sent { ssrc, departure, bytes, arrived: false });
        number
    }

    /// What a report tells that was not known yet.
    fn report(&mut self, report: &TransportLayerCc) -> Vec<Fate> {
        let mut arrival_us = self.unwrap(report.reference_time);
        let (mut fates, mut deltas) = (Vec::new(), report.recv_deltas.iter());
        for (offset, symbol) in symbols(report).into_iter().enumerate() {
            if symbol == SymbolTypeTcc::PacketNotReceived {
                continue;
            }
            let timed = symbol != SymbolTypeTcc::PacketReceivedWithoutDelta;
            let delta = if timed { deltas.next() } else { None };
            arrival_us = arrival_us.wrapping_add(delta.map_or(0, |delta| delta.delta));
            // At most 2^16 symbols.
            let number = report.base_sequence_number.wrapping_add(offset as u16);
            let Some(sent) = self.sent.get_mut(usize::from(number.wrapping_sub(self.first))) else {
                continue;
            };
            if std::mem::replace(&mut sent.arrived, true) {
                continue;
            }
            self.newest = self.newest.max(Some(sent.departure));
            let known = self.known.entry(sent.ssrc).or_insert(sent.departure);
            *known = sent.departure.min(*known);
            if delta.is_some() {
                let (departure, bytes) = (sent.departure, sent.bytes);
                fates.push(Fate { departure, bytes, arrival_us: Some(arrival_us) });
            }
        }
        self.settle(&mut fates);
        fates
    }

    /// Lets go of the oldest packets: those that arrived, and those that will not any more.
    fn settle(&mut self, fates: &mut Vec<Fate>) {
        while let Some(&Sent { ssrc, departure, bytes, arrived }) = self.sent.front() {
            if !arrived {
                if self.newest.is_none_or(|newest| departure + REORDERING > newest) {
                    return;
                }
                if self.known.get(&ssrc).is_some_and(|known| *known <= departure) {
                    fates.push(Fate { departure, bytes, arrival_us: None });
                }
            }
            self.sent.pop_front();
            self.first = self.first.wrapping_add(1);
        }
    }

    /// A report's reference time in µs: 24 bits of 64 ms wrap every 12 days.
    fn unwrap(&mut self, reference: u32) -> i64 {
        let unwrapped = match self.reference {
            None => i64::from(reference),
            Some((last, unwrapped)) => {
                // Sign extension of the 24-bit difference.
                let step = (reference.wrapping_sub(last) << 8) as i32 >> 8;
                unwrapped.wrapping_add(i64::from(step))
            }
        };
        self.reference = Some((reference, unwrapped));
        unwrapped.wrapping_mul(REFERENCE_US)
    }
}

/// One symbol a packet; no more than the report says that there are, whatever its chunks say.
fn symbols(report: &TransportLayerCc) -> Vec<SymbolTypeTcc> {
    let count = usize::from(report.packet_status_count);
    let mut symbols = Vec::new();
    for chunk in &report.packet_chunks {
        let room = count - symbols.len();
        match chunk {
            PacketStatusChunk::RunLengthChunk(run) => {
                let length = usize::from(run.run_length).min(room);
                symbols.extend(std::iter::repeat_n(run.packet_status_symbol, length));
            }
            PacketStatusChunk::StatusVectorChunk(vector) => {
                symbols.extend(vector.symbol_list.iter().take(room));
            }
        }
    }
    symbols
}

/// The interceptor nearest to the wire of a publishing connection: numbers what leaves, tells what became of it.
pub(super) struct Feedback {
    history: History,
    /// By SSRC, retransmissions' too: header extension id of the number.
    extensions: HashMap<u32, u8>,
    sent: Arc<AtomicU64>,
    events: mpsc::Sender<(Side, PeerEvent)>,
    reads: VecDeque<TaggedPacket>,
    writes: VecDeque<TaggedPacket>,
}

impl Feedback {
    /// Counts the numbered packets in `sent`, and tells their fates in `events`.
    pub fn new(sent: Arc<AtomicU64>, events: mpsc::Sender<(Side, PeerEvent)>) -> Self {
        Feedback {
            history: History::default(),
            extensions: HashMap::new(),
            sent,
            events,
            reads: VecDeque::new(),
            writes: VecDeque::new(),
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Feedback {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(compound) = &packet.message.packet {
            for report in compound.iter().filter_map(|one| one.as_any().downcast_ref::<TransportLayerCc>()) {
                let fates = self.history.report(report);
                if !fates.is_empty() {
                    // Full: the session is too slow; the next report tells enough.
                    let _ = self.events.try_send((Side::Publisher, PeerEvent::Feedback(fates)));
                }
            }
        }
        self.reads.push_back(packet);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.reads.pop_front()
    }

    fn handle_write(&mut self, mut packet: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(rtp) = &mut packet.message.packet
            && let Some(&id) = self.extensions.get(&rtp.header.ssrc)
        {
            let number = self.history.number(rtp.header.ssrc, packet.now, rtp.marshal_size());
            self.sent.fetch_add(1, Ordering::Relaxed);
            rtp.header.set_extension(id, Bytes::copy_from_slice(&number.to_be_bytes()))?;
        }
        self.writes.push_back(packet);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.writes.pop_front()
    }
}

impl Interceptor for Feedback {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        let found = info.rtp_header_extensions.iter().find(|extension| extension.uri == TRANSPORT_CC_URI);
        let Some(id) = found.and_then(|found| u8::try_from(found.id).ok()).filter(|id| *id != 0) else {
            return;
        };
        self.extensions.insert(info.ssrc, id);
        if let Some(ssrc) = info.ssrc_rtx {
            self.extensions.insert(ssrc, id);
        }
    }

    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        self.extensions.remove(&info.ssrc);
        info.ssrc_rtx.map(|ssrc| self.extensions.remove(&ssrc));
    }

    fn bind_remote_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _info: &StreamInfo) {}
}

/// RTCP that may hold reports, as a server sends it, after packets that it may be about.
#[cfg(any(test, fuzzing))]
pub(crate) fn read_feedback(bytes: &[u8]) {
    let (mut history, start) = (History::default(), crate::base::clock::now());
    for index in 0..600 {
        history.number(index % 4, start + Duration::from_millis(5) * index, 1000);
    }
    let Ok(compound) = rtc::rtcp::packet::unmarshal(&mut Bytes::copy_from_slice(bytes)) else { return };
    for report in compound.iter().filter_map(|one| one.as_any().downcast_ref::<TransportLayerCc>()) {
        assert!(history.report(report).len() <= 600);
    }
}

#[cfg(test)]
mod tests;
