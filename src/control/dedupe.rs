//! The duplicates' cache: an order is known by (issuer, correlation) and never run twice. Pure, in memory.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::Reply;

/// Orders remembered. When it is full a new order is refused with `busy`: running it without remembering it
/// could run it twice.
pub const REMEMBERED: usize = 512;

/// How long an order is remembered past its expiry: what a broker or a clock may still hold back.
pub const GRACE: Duration = Duration::from_secs(60);

/// Longest expiry that is honoured; longer ones are remembered (and waited for) only so long.
pub const MAX_EXPIRY: Duration = Duration::from_secs(3600);

/// Places that one running order's reply goes to. Further ones are left out: they ask again, or time out.
const MAX_DESTINATIONS: usize = 4;

/// What an order is known by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Who gave it.
    pub issuer: String,
    /// Its Correlation Data.
    pub correlation: Vec<u8>,
}

/// What is known about an order.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// Never seen: run it, then [`Duplicates::answered`].
    New,
    /// It runs; its reply will go to this destination too.
    Running,
    /// It was run; this was the reply.
    Answered(Reply),
    /// Never seen, and it could not be remembered: do not run it.
    Full,
}

#[derive(Debug)]
struct Entry<D> {
    forget_at: Instant,
    outcome: Outcome<D>,
}

#[derive(Debug)]
enum Outcome<D> {
    Running(Vec<D>),
    Answered(Reply),
}

/// The cache. `D` is where a reply goes.
#[derive(Debug)]
pub struct Duplicates<D> {
    entries: HashMap<Key, Entry<D>>,
}

impl<D> Default for Duplicates<D> {
    fn default() -> Self {
        Duplicates { entries: HashMap::new() }
    }
}

impl<D: PartialEq> Duplicates<D> {
    /// An order arrived at `now` that expires `expiry` later and wants its reply at `destination`.
    pub fn seen(&mut self, key: &Key, destination: D, now: Instant, expiry: Duration) -> Seen {
        if let Some(entry) = self.entries.get_mut(key).filter(|entry| entry.live(now)) {
            return match &mut entry.outcome {
                Outcome::Answered(reply) => Seen::Answered(reply.clone()),
                Outcome::Running(destinations) => {
                    if !destinations.contains(&destination) && destinations.len() < MAX_DESTINATIONS {
                        destinations.push(destination);
                    }
                    Seen::Running
                }
            };
        }
        if self.entries.len() >= REMEMBERED {
            self.entries.retain(|_, entry| entry.live(now));
        }
        if self.entries.len() >= REMEMBERED {
            return Seen::Full;
        }
        let entry = Entry {
            forget_at: now + expiry.min(MAX_EXPIRY) + GRACE,
            outcome: Outcome::Running(vec![destination]),
        };
        self.entries.insert(key.clone(), entry);
        Seen::New
    }

    /// The order has come to its end; returns where to send `reply`. Nothing for an order not running.
    pub fn answered(&mut self, key: &Key, reply: &Reply) -> Vec<D> {
        let Some(entry) = self.entries.get_mut(key) else { return Vec::new() };
        match std::mem::replace(&mut entry.outcome, Outcome::Answered(reply.clone())) {
            Outcome::Running(destinations) => destinations,
            Outcome::Answered(first) => {
                entry.outcome = Outcome::Answered(first);
                Vec::new()
            }
        }
    }

    /// Whether an order is remembered.
    pub fn knows(&self, key: &Key) -> bool {
        self.entries.contains_key(key)
    }

    /// How many are remembered, those due to be forgotten included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// None is remembered.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<D> Entry<D> {
    /// One that runs is remembered however long it takes.
    fn live(&self, now: Instant) -> bool {
        matches!(self.outcome, Outcome::Running(_)) || now < self.forget_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock;
    use crate::control::Code;
    use serde_json::Value;

    const EXPIRY: Duration = Duration::from_secs(10);

    fn key(n: usize) -> Key {
        Key { issuer: "app".into(), correlation: n.to_be_bytes().to_vec() }
    }

    fn done() -> Reply {
        Reply::ok("done", Value::Null)
    }

    #[test]
    fn a_duplicate_of_a_running_order_gets_the_one_reply_once() {
        let (mut cache, now) = (Duplicates::default(), clock::now());
        assert_eq!(cache.seen(&key(1), "a", now, EXPIRY), Seen::New);
        assert_eq!(cache.seen(&key(1), "a", now, EXPIRY), Seen::Running);
        assert_eq!(cache.seen(&key(1), "b", now, EXPIRY), Seen::Running);
        assert_eq!(cache.answered(&key(1), &done()), vec!["a", "b"]);
        assert!(cache.answered(&key(1), &Reply::refused(Code::Internal, "late")).is_empty());
        assert_eq!(cache.seen(&key(1), "a", now, EXPIRY), Seen::Answered(done()));
    }

    #[test]
    fn another_issuer_with_the_same_correlation_is_another_order() {
        let (mut cache, now) = (Duplicates::default(), clock::now());
        cache.seen(&key(1), "a", now, EXPIRY);
        let other = Key { issuer: "other".into(), ..key(1) };
        assert_eq!(cache.seen(&other, "b", now, EXPIRY), Seen::New);
    }

    #[test]
    fn it_is_remembered_until_a_minute_after_its_expiry_but_a_running_one_until_it_ends() {
        let (mut cache, now) = (Duplicates::default(), clock::now());
        cache.seen(&key(1), "a", now, EXPIRY);
        cache.seen(&key(2), "a", now, EXPIRY);
        cache.answered(&key(1), &done());
        let before = now + EXPIRY + GRACE - Duration::from_millis(1);
        assert_eq!(cache.seen(&key(1), "a", before, EXPIRY), Seen::Answered(done()));
        let after = now + EXPIRY + GRACE;
        assert_eq!(cache.seen(&key(1), "a", after, EXPIRY), Seen::New);
        assert_eq!(cache.seen(&key(2), "a", after, EXPIRY), Seen::Running);
    }

    #[test]
    fn a_full_cache_refuses_until_something_may_be_forgotten() {
        let (mut cache, now) = (Duplicates::default(), clock::now());
        for n in 0..REMEMBERED {
            assert_eq!(cache.seen(&key(n), "a", now, EXPIRY), Seen::New);
            cache.answered(&key(n), &done());
        }
        assert_eq!(cache.seen(&key(REMEMBERED), "a", now, EXPIRY), Seen::Full);
        assert_eq!(cache.seen(&key(0), "a", now, EXPIRY), Seen::Answered(done()));
        assert_eq!(cache.seen(&key(REMEMBERED), "a", now + EXPIRY + GRACE, EXPIRY), Seen::New);
        assert_eq!(cache.len(), 1);
    }

    #[test]
    fn an_expiry_of_a_century_is_remembered_for_an_hour() {
        let (mut cache, now) = (Duplicates::default(), clock::now());
        cache.seen(&key(1), "a", now, Duration::from_secs(u64::from(u32::MAX)));
        cache.answered(&key(1), &done());
        assert_eq!(cache.seen(&key(1), "a", now + MAX_EXPIRY + GRACE, EXPIRY), Seen::New);
    }
}
