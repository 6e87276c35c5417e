//! Received packets in the order in which they were sent; pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

/// How long a missing packet is waited for once a later one has come; a retransmission needs a round trip.
pub const HOLD: Duration = Duration::from_millis(60);

/// Packets that wait for a missing one; when one more comes the missing one counts as lost.
const WINDOW: usize = 32;

/// Later packets that must be there for a missing one to count as lost before [`HOLD`] is over.
const ENOUGH_LATER: usize = 5;

/// A sequence number this far back is a sender that started anew, not a late packet.
const RESTART_DISTANCE: i16 = -1000;

/// What comes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The next packet.
    Packet(Bytes),
    /// The next packet is lost. The one after it, if it is here, may carry a coarse copy (Opus in-band FEC).
    Lost {
        /// The packet after the lost one.
        next: Option<Bytes>,
    },
}

/// Sorts one stream's packets by sequence number: late ones, duplicates and wrapping included.
#[derive(Debug, Default)]
pub struct Reorder {
    /// Sequence number of `waiting`'s first place; None before the first packet.
    next: Option<u16>,
    waiting: VecDeque<Option<(Bytes, Instant)>>,
    /// Lost so far.
    pub lost: u64,
    /// Late or duplicate so far.
    pub late: u64,
}

impl Reorder {
    /// Takes a packet that came at `at`.
    pub fn push(&mut self, sequence: u16, payload: Bytes, at: Instant) {
        let next = *self.next.get_or_insert(sequence);
        let offset = sequence.wrapping_sub(next) as i16;
        if offset < 0 && offset > RESTART_DISTANCE {
            self.late += 1;
            return;
        }
        if offset < 0 || offset as usize >= WINDOW {
            // A sender that started anew, or a gap too long to conceal: go on here.
            self.waiting.clear();
            self.next = Some(sequence);
            self.waiting.push_back(Some((payload, at)));
            return;
        }
        let place = offset as usize;
        while self.waiting.len() <= place {
            self.waiting.push_back(None);
        }
        match self.waiting.get_mut(place) {
            Some(empty @ None) => *empty = Some((payload, at)),
            _ => self.late += 1,
        }
    }

    /// The next step that is due at `now`; to be called until None.
    pub fn pop(&mut self, now: Instant) -> Option<Step> {
        match self.waiting.front()? {
            Some(_) => {
                let (payload, _) = self.waiting.pop_front()??;
                self.next = self.next.map(|next| next.wrapping_add(1));
                Some(Step::Packet(payload))
            }
            None => {
                let later = self.waiting.iter().flatten().count();
                if later < ENOUGH_LATER && self.deadline().is_some_and(|deadline| now < deadline) {
                    return None;
                }
                self.waiting.pop_front();
                self.next = self.next.map(|next| next.wrapping_add(1));
                self.lost += 1;
                let next =
                    self.waiting.front().and_then(|place| place.as_ref().map(|(bytes, _)| bytes.clone()));
                Some(Step::Lost { next })
            }
        }
    }

    /// When a missing packet stops being waited for; None when none is missing.
    pub fn deadline(&self) -> Option<Instant> {
        match self.waiting.front()? {
            Some(_) => None,
            None => self.waiting.iter().flatten().map(|(_, at)| *at).min().map(|oldest| oldest + HOLD),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::seq::SliceRandom;
    use rand::{RngExt, SeedableRng};

    fn payload(sequence: u16) -> Bytes {
        Bytes::copy_from_slice(&sequence.to_be_bytes())
    }

    fn drain(reorder: &mut Reorder, now: Instant) -> Vec<Option<u16>> {
        std::iter::from_fn(|| reorder.pop(now))
            .map(|step| match step {
                Step::Packet(bytes) => Some(u16::from_be_bytes([bytes[0], bytes[1]])),
                Step::Lost { .. } => None,
            })
            .collect()
    }

    #[test]
    fn packets_in_order_pass_at_once_across_the_wrap() {
        let (mut reorder, now) = (Reorder::default(), crate::base::clock::now());
        for sequence in [65534, 65535, 0, 1] {
            reorder.push(sequence, payload(sequence), now);
            assert_eq!(drain(&mut reorder, now), [Some(sequence)]);
        }
        assert_eq!(reorder.deadline(), None);
    }

    #[test]
    fn a_missing_packet_is_waited_for_and_then_lost_with_its_successor_at_hand() {
        let (mut reorder, now) = (Reorder::default(), crate::base::clock::now());
        reorder.push(10, payload(10), now);
        reorder.push(12, payload(12), now);
        assert_eq!(drain(&mut reorder, now), [Some(10)]);
        assert_eq!(reorder.deadline(), Some(now + HOLD));
        assert_eq!(reorder.pop(now + HOLD), Some(Step::Lost { next: Some(payload(12)) }));
        assert_eq!(drain(&mut reorder, now + HOLD), [Some(12)]);
        reorder.push(11, payload(11), now + HOLD);
        assert_eq!((drain(&mut reorder, now + HOLD), reorder.late, reorder.lost), (vec![], 1, 1));
    }

    #[test]
    fn a_restarted_sender_goes_on_at_once() {
        let (mut reorder, now) = (Reorder::default(), crate::base::clock::now());
        for sequence in [30_000, 100, 101, 20_000] {
            reorder.push(sequence, payload(sequence), now);
            assert_eq!(drain(&mut reorder, now), [Some(sequence)]);
        }
    }

    #[test]
    fn shuffled_duplicated_and_dropped_packets_come_out_sorted_and_once() {
        let mut rng = StdRng::seed_from_u64(3);
        let mut now = crate::base::clock::now();
        let mut reorder = Reorder::default();
        let mut out = Vec::new();
        for block in 0u16..400 {
            let mut sequences: Vec<u16> = (0..5).map(|i| (block * 5 + i).wrapping_add(65_000)).collect();
            sequences.extend(sequences.clone());
            // The first packet tells where the stream begins: it must not be a late one.
            if block > 0 {
                sequences.shuffle(&mut rng);
            }
            for sequence in sequences {
                if rng.random_range(0..10) > 0 {
                    reorder.push(sequence, payload(sequence), now);
                }
                now += Duration::from_millis(2);
                out.extend(drain(&mut reorder, now));
            }
        }
        let kept: Vec<u16> = out.iter().flatten().map(|sequence| sequence.wrapping_sub(65_000)).collect();
        assert!(kept.is_sorted() && kept.windows(2).all(|pair| pair[0] != pair[1]));
        assert!(out.len() >= 1990, "{} of 2000 places came out", out.len());
        assert!(kept.len() >= 1900, "{} of 2000 packets came out", kept.len());
    }
}
