//! What is written but not yet on the disk, and the thread that changes that.

use std::fs::File;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::base::clock;

/// From when on a part that waits to be on the disk makes the storage slow.
pub(super) const SLOW: Duration = Duration::from_millis(300);
/// How long every part must have been in time before the storage is no longer slow.
const CALM: Duration = Duration::from_secs(2);

/// Says whether the storage is slow, without flickering. Pure.
#[derive(Debug, Default)]
pub(super) struct Health {
    last_slow: Option<Instant>,
}

impl Health {
    /// `lag`: how long the oldest unsynced part has been waiting.
    pub(super) fn is_slow(&mut self, now: Instant, lag: Duration) -> bool {
        if lag > SLOW {
            self.last_slow = Some(now);
        }
        self.last_slow.is_some_and(|at| now.saturating_duration_since(at) < CALM)
    }
}

/// What is written and what is synced, in bytes over all files. Pure.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    written: u64,
    synced: u64,
    /// When the oldest part that no sync covers was begun to be written.
    oldest: Option<Instant>,
    /// The same among those that the running sync does not cover.
    newer: Option<Instant>,
    /// What the running sync covers.
    syncing: Option<u64>,
}

impl Backlog {
    /// A write begins: from now on there is something to lose.
    pub(super) fn write_begins(&mut self, now: Instant) {
        self.oldest.get_or_insert(now);
        if self.syncing.is_some() {
            self.newer.get_or_insert(now);
        }
    }

    pub(super) fn wrote(&mut self, bytes: u64) {
        self.written += bytes;
    }

    pub(super) fn needs_sync(&self) -> bool {
        self.written > self.synced
    }

    pub(super) fn sync_begins(&mut self) {
        self.syncing = Some(self.written);
        self.newer = None;
    }

    /// Everything that was written when it began is on the disk.
    pub(super) fn synced(&mut self) {
        self.synced = self.syncing.take().unwrap_or(self.synced).max(self.synced);
        self.oldest = self.newer.take();
    }

    /// Everything is on the disk, or given up.
    pub(super) fn settle(&mut self) {
        *self = Backlog { written: self.written, synced: self.written, ..Backlog::default() };
    }

    pub(super) fn lag(&self, now: Instant) -> Duration {
        self.oldest.map_or(Duration::ZERO, |at| now.saturating_duration_since(at))
    }

    pub(super) fn synced_bytes(&self) -> u64 {
        self.synced
    }
}

/// The backlog of one recording, shared by the writing thread, the syncing thread and who watches.
#[derive(Debug, Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    backlog: Backlog,
    /// The file that is written now.
    file: Option<Arc<File>>,
    error: Option<io::Error>,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lag(&self) -> Duration {
        self.lock().backlog.lag(clock::now())
    }

    pub(super) fn synced_bytes(&self) -> u64 {
        self.lock().backlog.synced_bytes()
    }

    pub(super) fn write_begins(&self) {
        self.lock().backlog.write_begins(clock::now());
    }

    /// `bytes` more of `file` are written and want to be synced.
    pub(super) fn wrote(&self, file: &Arc<File>, bytes: u64) {
        let mut state = self.lock();
        state.backlog.wrote(bytes);
        state.file = Some(file.clone());
        drop(state);
        self.changed.notify_one();
    }

    /// The writing thread synced by itself, or gave up.
    pub(super) fn settle(&self) {
        self.lock().backlog.settle();
    }

    pub(super) fn take_error(&self) -> Option<io::Error> {
        self.lock().error.take()
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// The life of the thread "record-sync": one sync after the other, each for all that was written before it.
    pub(super) fn run(&self) {
        while let Some(file) = self.next_file() {
            let result = file.sync_data();
            let mut state = self.lock();
            match result {
                Ok(()) => state.backlog.synced(),
                Err(error) => {
                    state.backlog.settle();
                    state.error = Some(error);
                }
            }
        }
    }

    fn next_file(&self) -> Option<Arc<File>> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if state.backlog.needs_sync()
                && let Some(file) = state.file.clone()
            {
                state.backlog.sync_begins();
                return Some(file);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_safe_only_after_a_sync_that_began_after_it() {
        let start = clock::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut backlog = Backlog::default();
        backlog.write_begins(at(0));
        backlog.wrote(100);
        backlog.sync_begins();
        backlog.write_begins(at(400));
        backlog.wrote(50);
        assert_eq!(backlog.lag(at(500)), Duration::from_millis(500));
        backlog.synced();
        assert_eq!((backlog.synced_bytes(), backlog.needs_sync()), (100, true));
        assert_eq!(backlog.lag(at(500)), Duration::from_millis(100));
        backlog.sync_begins();
        backlog.synced();
        assert_eq!((backlog.synced_bytes(), backlog.lag(at(900))), (150, Duration::ZERO));
    }

    #[test]
    fn storage_is_slow_from_300_ms_of_lag_until_two_calm_seconds() {
        let start = clock::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut health = Health::default();
        assert!(!health.is_slow(at(0), Duration::from_millis(300)));
        assert!(health.is_slow(at(100), Duration::from_millis(301)));
        assert!(health.is_slow(at(2000), Duration::ZERO));
        assert!(!health.is_slow(at(2100), Duration::ZERO));
    }
}
