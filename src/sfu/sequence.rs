//! Sequence numbers for one subscriber: without a gap where a layer was switched or the track was paused.

/// The first sequence number that a subscriber sees. Must be below 65536: the SRTP rollover counter is not
/// signalled (RFC 3711 §3.3.1).
pub const FIRST: u64 = 1;

/// Maps the extended sequence numbers of whatever source is forwarded to one continuous series.
///
/// By offset, never by counting: packets arrive late, twice and not at all, and a retransmission must get the
/// number that the lost packet would have had.
#[derive(Clone, Copy, Debug, Default)]
pub struct SequenceMap {
    /// Added to an incoming number.
    offset: i64,
    /// The first number of the current source that is forwarded: what came before belongs to another series.
    floor: u64,
    /// The highest number given out; None before the first.
    highest: Option<u64>,
}

impl SequenceMap {
    /// From now on another source is forwarded, beginning with its packet `sequence`.
    pub fn switch(&mut self, sequence: u64) {
        let next = self.highest.map_or(FIRST, |highest| highest + 1);
        self.offset = next as i64 - sequence as i64;
        self.floor = sequence;
    }

    /// The subscriber's number for `sequence`. None: it is from before the switch.
    pub fn map(&mut self, sequence: u64) -> Option<u64> {
        if sequence < self.floor {
            return None;
        }
        let mapped = u64::try_from(sequence as i64 + self.offset).ok()?;
        self.highest = Some(self.highest.map_or(mapped, |highest| highest.max(mapped)));
        Some(mapped)
    }

    /// Whether `mapped` is the newest number given out so far.
    pub fn is_newest(&self, mapped: u64) -> bool {
        self.highest == Some(mapped)
    }
}
