//! What is on its way out and must arrive: kept until the broker has it, across reconnects. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::link::Publication;
use crate::control::dedupe::Key;

/// Publications of one outbox handed to the connection and not acknowledged by the broker.
const IN_FLIGHT: usize = 16;

#[derive(Debug)]
struct Kept {
    publication: Publication,
    until: Instant,
    /// The command that it answers, if that is acknowledged only now.
    command: Option<Key>,
}

/// Publications of one kind.
#[derive(Debug)]
pub(super) struct Outbox {
    capacity: usize,
    waiting: VecDeque<(u64, Kept)>,
    in_flight: BTreeMap<u64, Kept>,
    last_id: u64,
    /// Commands whose reply the broker has, or will never have.
    settled: Vec<Key>,
    /// How many were never sent.
    pub(super) dropped: u64,
}

impl Outbox {
    /// Keeps at most `capacity`. When it is full the oldest that waits is dropped, and counted.
    pub(super) fn new(capacity: usize) -> Self {
        let (waiting, in_flight, settled) = Default::default();
        Outbox { capacity, waiting, in_flight, last_id: 0, settled, dropped: 0 }
    }

    /// Takes a publication that is worth sending for `lifetime` from `now` on. `command`: told by
    /// [`Outbox::take_settled`] once there is no more to be done for it.
    pub(super) fn push(
        &mut self,
        publication: Publication,
        command: Option<Key>,
        now: Instant,
        lifetime: Duration,
    ) {
        if self.waiting.len() + self.in_flight.len() >= self.capacity
            && let Some((_, oldest)) = self.waiting.pop_front()
        {
            self.dropped += 1;
            self.settled.extend(oldest.command);
        }
        self.last_id += 1;
        self.waiting.push_back((self.last_id, Kept { publication, until: now + lifetime, command }));
    }

    /// The next one to send, with the name for [`Outbox::taken`] and what is left of its lifetime as its expiry; it
    /// counts as on its way from now on.
    pub(super) fn next(&mut self, now: Instant) -> Option<(u64, Publication)> {
        while let Some((_, stale)) = self.waiting.pop_front_if(|(_, kept)| kept.until <= now) {
            self.dropped += 1;
            self.settled.extend(stale.command);
        }
        if self.in_flight.len() >= IN_FLIGHT {
            return None;
        }
        let (id, kept) = self.waiting.pop_front()?;
        let left = kept.until.saturating_duration_since(now).as_secs_f64().ceil();
        let publication = Publication { expiry_s: Some(left as u32), ..kept.publication.clone() };
        self.in_flight.insert(id, kept);
        Some((id, publication))
    }

    /// The broker has it, or will never take it.
    pub(super) fn taken(&mut self, id: u64) {
        let kept = self.in_flight.remove(&id);
        self.settled.extend(kept.and_then(|kept| kept.command));
    }

    /// Whether a reply to `command` is on its way.
    pub(super) fn answers(&self, command: &Key) -> bool {
        let waiting = self.waiting.iter().map(|(_, kept)| kept);
        waiting.chain(self.in_flight.values()).any(|kept| kept.command.as_ref() == Some(command))
    }

    /// Commands that may be acknowledged since the last call.
    pub(super) fn take_settled(&mut self) -> Vec<Key> {
        std::mem::take(&mut self.settled)
    }

    /// It could not be handed over now; it is next again.
    pub(super) fn put_back(&mut self, id: u64) {
        if let Some(kept) = self.in_flight.remove(&id) {
            self.waiting.push_front((id, kept));
        }
    }

    /// The connection is gone: what was on its way is sent again by the next one, in the old order.
    pub(super) fn connection_lost(&mut self) {
        while let Some((id, kept)) = self.in_flight.pop_last() {
            self.waiting.push_front((id, kept));
        }
    }

    /// Nothing waits and nothing is on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock;

    const CAPACITY: usize = 64;
    const LONG: Duration = Duration::from_secs(60);

    fn reply(n: usize) -> Publication {
        Publication { topic: n.to_string(), ..Publication::default() }
    }

    fn key(n: usize) -> Key {
        Key { issuer: "app".into(), correlation: n.to_be_bytes().to_vec() }
    }

    fn next(outbox: &mut Outbox, now: Instant) -> Option<String> {
        outbox.next(now).map(|(_, publication)| publication.topic)
    }

    #[test]
    fn what_was_not_acknowledged_is_sent_again_in_order_after_a_reconnect() {
        let (mut outbox, now) = (Outbox::new(CAPACITY), clock::now());
        for n in 0..4 {
            outbox.push(reply(n), Some(key(n)), now, LONG);
        }
        let (first, _) = outbox.next(now).unwrap();
        outbox.next(now).unwrap();
        outbox.next(now).unwrap();
        outbox.taken(first);
        assert_eq!(outbox.take_settled(), [key(0)]);
        assert!(outbox.answers(&key(1)) && outbox.answers(&key(3)) && !outbox.answers(&key(0)));
        outbox.connection_lost();
        let order: Vec<_> = std::iter::from_fn(|| next(&mut outbox, now)).collect();
        assert_eq!(order, ["1", "2", "3"]);
    }

    #[test]
    fn a_full_box_drops_the_oldest_and_a_stale_reply_is_not_sent() {
        let (mut outbox, now) = (Outbox::new(CAPACITY), clock::now());
        for n in 0..CAPACITY + 2 {
            outbox.push(reply(n), Some(key(n)), now, LONG);
        }
        assert_eq!((outbox.dropped, next(&mut outbox, now).as_deref()), (2, Some("2")));
        assert_eq!(next(&mut outbox, now + LONG), None);
        assert_eq!(outbox.dropped, 2 + CAPACITY as u64 - 1);
        assert_eq!(outbox.take_settled().len() as u64, outbox.dropped, "nobody waits for them any more");
    }

    #[test]
    fn only_so_many_are_on_their_way_and_one_put_back_is_next() {
        let (mut outbox, now) = (Outbox::new(CAPACITY), clock::now());
        for n in 0..IN_FLIGHT + 1 {
            outbox.push(reply(n), Some(key(n)), now, LONG);
        }
        let ids: Vec<_> = std::iter::from_fn(|| outbox.next(now)).map(|(id, _)| id).collect();
        assert_eq!(ids.len(), IN_FLIGHT);
        outbox.put_back(ids[3]);
        assert_eq!(next(&mut outbox, now).as_deref(), Some("3"));
    }
}
