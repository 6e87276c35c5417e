//! The duplicates' cache: a command is known by (issuer, correlation) and never run twice. Pure.
//!
//! What it remembers stands in the store too, from before the command is run: [`Remembered`] is one such row after a
//! restart. No wall clock is asked how long: within a run time is monotonic, and across runs the store keeps the
//! same monotonic clock with the kernel's boot it belongs to. A row of another boot is remembered for its whole
//! lifetime again, so a clock that jumps makes nothing run twice.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::Reply;

/// Commands remembered. When it is full a new one is refused with `busy`: running it without remembering it could
/// run it twice.
pub const REMEMBERED: usize = 1024;

/// How long a command is remembered past its expiry: what a broker may still hold back.
pub const GRACE: Duration = Duration::from_secs(60);

/// Longest expiry of a command; the broker keeps nothing longer for a box that is away.
pub const MAX_EXPIRY: Duration = Duration::from_secs(3600);

/// Askers of one running command. Further ones are told to ask again.
const MAX_ASKERS: usize = 8;

/// What a command is known by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Who gave it.
    pub issuer: String,
    /// Its Correlation Data.
    pub correlation: Vec<u8>,
}

/// A command's key and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What it is known by.
    pub key: Key,
    /// Not to be run from then on; at most [`MAX_EXPIRY`] after it arrived.
    pub expires: Instant,
}

impl Identity {
    /// Until when it must be remembered.
    pub fn forget_at(&self) -> Instant {
        self.expires + GRACE
    }
}

/// What is known about a command. The asker comes back, unless it waits now.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen<T> {
    /// Never seen: it may be run, once [`Duplicates::begin`] has taken the asker.
    New(T),
    /// It runs; this asker gets the reply too.
    Running,
    /// It was run; this was the reply.
    Answered(T, Reply),
    /// It runs, and enough wait for its reply already.
    Crowded(T),
    /// Never seen, and it could not be remembered: do not run it.
    Full(T),
}

/// A command of an earlier run of the box, as it was stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Remembered {
    /// What it is known by.
    pub key: Key,
    /// Until when it must be remembered.
    pub forget_at: Instant,
    /// What it wished for: a key of [`Desired`](super::Desired) and its value as JSON. None: it wished for nothing
    /// that lasts, or is answered.
    pub wish: Option<(String, String)>,
    /// Its answer; None: the box died before there was one.
    pub reply: Option<Reply>,
}

#[derive(Debug)]
struct Entry<T> {
    forget_at: Instant,
    outcome: Outcome<T>,
}

#[derive(Debug)]
enum Outcome<T> {
    Running(Vec<T>),
    Answered(Reply),
}

/// The cache. `T` is the way back to an asker.
#[derive(Debug)]
pub struct Duplicates<T> {
    entries: HashMap<Key, Entry<T>>,
    forgotten: Vec<Key>,
}

impl<T> Default for Duplicates<T> {
    fn default() -> Self {
        Duplicates { entries: HashMap::new(), forgotten: Vec::new() }
    }
}

impl<T> Duplicates<T> {
    /// Takes over a command of an earlier run; one without a reply counts as running until
    /// [`Duplicates::answered`]. All are taken, however many.
    pub fn restore(&mut self, remembered: &Remembered) {
        let outcome = match &remembered.reply {
            Some(reply) => Outcome::Answered(reply.clone()),
            None => Outcome::Running(Vec::new()),
        };
        let entry = Entry { forget_at: remembered.forget_at, outcome };
        self.entries.insert(remembered.key.clone(), entry);
    }

    /// A command arrived at `now`. One seen before is remembered until this one may be forgotten, too.
    pub fn seen(&mut self, identity: &Identity, asker: T, now: Instant) -> Seen<T> {
        if let Some(entry) = self.entries.get_mut(&identity.key).filter(|entry| entry.live(now)) {
            entry.forget_at = entry.forget_at.max(identity.forget_at());
            return match &mut entry.outcome {
                Outcome::Answered(reply) => Seen::Answered(asker, reply.clone()),
                Outcome::Running(askers) if askers.len() >= MAX_ASKERS => Seen::Crowded(asker),
                Outcome::Running(askers) => {
                    askers.push(asker);
                    Seen::Running
                }
            };
        }
        if self.entries.len() >= REMEMBERED {
            self.forget(now);
        }
        if self.entries.len() >= REMEMBERED { Seen::Full(asker) } else { Seen::New(asker) }
    }

    /// The command runs from now on, and `asker` waits for its reply.
    pub fn begin(&mut self, identity: &Identity, asker: T) {
        let entry = Entry { forget_at: identity.forget_at(), outcome: Outcome::Running(vec![asker]) };
        self.entries.insert(identity.key.clone(), entry);
    }

    /// The command has come to its end; returns who waited. Nobody for one not running.
    pub fn answered(&mut self, key: &Key, reply: &Reply) -> Vec<T> {
        let Some(entry) = self.entries.get_mut(key) else { return Vec::new() };
        match &mut entry.outcome {
            Outcome::Answered(_) => Vec::new(),
            Outcome::Running(askers) => {
                let askers = std::mem::take(askers);
                entry.outcome = Outcome::Answered(reply.clone());
                askers
            }
        }
    }

    /// The command is not over, but nobody shall wait any more; returns who waited.
    pub fn dismiss(&mut self, key: &Key) -> Vec<T> {
        match self.entries.get_mut(key).map(|entry| &mut entry.outcome) {
            Some(Outcome::Running(askers)) => std::mem::take(askers),
            _ => Vec::new(),
        }
    }

    /// Drops what is due to be forgotten at `now`. What was dropped since the last
    /// [`Duplicates::take_forgotten`] is listed there.
    pub fn forget(&mut self, now: Instant) {
        let due: Vec<Key> =
            self.entries.iter().filter(|(_, entry)| !entry.live(now)).map(|(key, _)| key.clone()).collect();
        for key in &due {
            self.entries.remove(key);
        }
        self.forgotten.extend(due);
    }

    /// Keys whose rows are needed no more.
    pub fn take_forgotten(&mut self) -> Vec<Key> {
        // One that came again meanwhile is needed.
        let mut forgotten = std::mem::take(&mut self.forgotten);
        forgotten.retain(|key| !self.entries.contains_key(key));
        forgotten
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

impl<T> Entry<T> {
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

    fn identity(n: usize, now: Instant) -> Identity {
        let key = Key { issuer: "app".into(), correlation: n.to_be_bytes().to_vec() };
        Identity { key, expires: now + EXPIRY }
    }

    fn done() -> Reply {
        Reply::ok("done", Value::Null)
    }

    /// Seen, and begun if it is new.
    fn arrive(cache: &mut Duplicates<&'static str>, n: usize, now: Instant) -> bool {
        match cache.seen(&identity(n, now), "a", now) {
            Seen::New(asker) => {
                cache.begin(&identity(n, now), asker);
                true
            }
            _ => false,
        }
    }

    #[test]
    fn a_duplicate_of_a_running_command_gets_its_one_reply() {
        let (mut cache, now) = (Duplicates::default(), clock::now());
        let one = identity(1, now);
        assert_eq!(cache.seen(&one, "a", now), Seen::New("a"));
        cache.begin(&one, "a");
        assert_eq!(cache.seen(&one, "b", now), Seen::Running);
        for _ in 2..MAX_ASKERS {
            assert_eq!(cache.seen(&one, "c", now), Seen::Running);
        }
        assert_eq!(cache.seen(&one, "d", now), Seen::Crowded("d"));
        assert_eq!(cache.answered(&one.key, &done())[..2], ["a", "b"]);
        assert!(cache.answered(&one.key, &Reply::refused(Code::Internal, "late")).is_empty());
        assert_eq!(cache.seen(&one, "a", now), Seen::Answered("a", done()));
    }

    #[test]
    fn another_issuer_with_the_same_correlation_is_another_command() {
        let (mut cache, now) = (Duplicates::default(), clock::now());
        assert!(arrive(&mut cache, 1, now));
        let mut other = identity(1, now);
        other.key.issuer = "other".into();
        assert_eq!(cache.seen(&other, "b", now), Seen::New("b"));
    }

    #[test]
    fn it_is_remembered_until_a_minute_after_its_last_expiry_but_a_running_one_until_it_ends() {
        let (mut cache, now) = (Duplicates::default(), clock::now());
        assert!(arrive(&mut cache, 1, now) && arrive(&mut cache, 2, now));
        cache.answered(&identity(1, now).key, &done());
        let later = now + Duration::from_secs(5);
        assert!(!arrive(&mut cache, 1, later), "the duplicate expires five seconds later");
        let before = later + EXPIRY + GRACE - Duration::from_millis(1);
        cache.forget(before);
        assert_eq!(cache.len(), 2);
        cache.forget(before + Duration::from_millis(1));
        assert_eq!(cache.take_forgotten(), [identity(1, now).key]);
        assert_eq!(cache.seen(&identity(2, before), "a", before + EXPIRY), Seen::Running);
        assert!(arrive(&mut cache, 1, before + EXPIRY));
    }

    #[test]
    fn a_full_cache_refuses_until_something_may_be_forgotten() {
        let (mut cache, now) = (Duplicates::default(), clock::now());
        for n in 0..REMEMBERED {
            assert!(arrive(&mut cache, n, now));
            cache.answered(&identity(n, now).key, &done());
        }
        let more = identity(REMEMBERED, now);
        assert_eq!(cache.seen(&more, "a", now), Seen::Full("a"));
        assert_eq!(cache.seen(&identity(0, now), "a", now), Seen::Answered("a", done()));
        assert_eq!(cache.seen(&more, "a", now + EXPIRY + GRACE), Seen::New("a"));
        assert_eq!((cache.len(), cache.take_forgotten().len()), (0, REMEMBERED));
    }
}
