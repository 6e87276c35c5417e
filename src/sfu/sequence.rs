//! Sequence numbers for one subscriber: without a gap where a layer was switched, a packet left out or the track paused.

use std::collections::VecDeque;

/// The first sequence number that a subscriber sees. Must be below 65536: the SRTP rollover counter is not
/// signalled (RFC 3711 §3.3.1).
pub const FIRST: u64 = 1;

/// Packets left out that are remembered: two seconds of a large layer. A packet that comes later than the oldest of
/// them is not sent any more.
const MAX_LEFT_OUT: usize = 512;

/// Maps the extended sequence numbers of whatever source is forwarded to one continuous series.
///
/// By offset, never by counting: packets arrive late, twice and not at all, and a retransmission must get the
/// number that the lost packet would have had.
#[derive(Clone, Debug, Default)]
pub struct SequenceMap {
    /// Added to an incoming number.
    offset: i64,
    /// The first number of the current source that is forwarded: what came before belongs to another series.
    floor: u64,
    /// The highest number of the current source so far.
    newest: u64,
    /// The highest number given out; None before the first.
    highest: Option<u64>,
    /// Numbers of the current source that were left out, ascending. Empty unless it is a stream in spatial layers.
    left_out: VecDeque<u64>,
}

impl SequenceMap {
    /// From now on another source is forwarded, beginning with its packet `sequence`.
    pub fn switch(&mut self, sequence: u64) {
        let next = self.highest.map_or(FIRST, |highest| highest + 1);
        self.offset = next as i64 - sequence as i64;
        self.floor = sequence;
        self.newest = sequence;
        self.left_out.clear();
    }

    /// Packet `sequence` of the source is not forwarded: those after it follow without a gap. One that comes late has
    /// its number already and stays a gap.
    pub fn leave_out(&mut self, sequence: u64) {
        if sequence <= self.newest {
            return;
        }
        self.newest = sequence;
        self.offset -= 1;
        if self.left_out.len() == MAX_LEFT_OUT {
            self.floor = self.floor.max(self.left_out.pop_front().unwrap_or_default());
        }
        self.left_out.push_back(sequence);
    }

    /// The subscriber's number for `sequence`. None: it is from before the switch.
    pub fn map(&mut self, sequence: u64) -> Option<u64> {
        if sequence < self.floor {
            return None;
        }
        self.newest = self.newest.max(sequence);
        let since = self.left_out.len() - self.left_out.partition_point(|left_out| *left_out < sequence);
        let mapped = u64::try_from(sequence as i64 + self.offset + since as i64).ok()?;
        self.highest = Some(self.highest.map_or(mapped, |highest| highest.max(mapped)));
        Some(mapped)
    }

    /// Whether `mapped` is the newest number given out so far.
    pub fn is_newest(&self, mapped: u64) -> bool {
        self.highest == Some(mapped)
    }
}
