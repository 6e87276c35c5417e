//! When each connection is to be looked at.

use std::collections::BTreeSet;
use std::time::Instant;

use super::ConnectionKey;

/// One time for each connection, never later than it is due. One that becomes due later meanwhile is looked at too early
/// once: that costs less than to note every change.
#[derive(Debug, Default)]
pub(super) struct Timers(BTreeSet<(Instant, ConnectionKey)>);

impl Timers {
    /// For a connection that has no time.
    pub fn start(&mut self, key: ConnectionKey, at: Instant) {
        self.0.insert((at, key));
    }

    /// `at` is its time.
    pub fn stop(&mut self, key: ConnectionKey, at: Instant) {
        self.0.remove(&(at, key));
    }

    /// Its time is `at`, which moves to `due` if that is earlier.
    pub fn hasten(&mut self, key: ConnectionKey, at: &mut Instant, due: Instant) {
        if due < *at {
            self.stop(key, *at);
            *at = due;
            self.start(key, due);
        }
    }

    /// The first time.
    pub fn soonest(&self) -> Option<Instant> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Those whose time has come; they have none any more.
    pub fn take_due(&mut self, now: Instant) -> Vec<ConnectionKey> {
        let mut due = Vec::new();
        while let Some((_, key)) = self.0.first().copied().filter(|(at, _)| *at <= now) {
            self.0.pop_first();
            due.push(key);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock;
    use std::time::Duration;

    #[test]
    fn each_connection_is_due_once_and_at_the_earliest_time_that_was_said() {
        let start = clock::now();
        let after = |ms| start + Duration::from_millis(ms);
        let [a, b, c] = [1, 2, 3].map(|number| ConnectionKey::new(0, number));
        let mut timers = Timers::default();
        let mut at = [after(10), after(20), after(30)];
        for (key, at) in [a, b, c].into_iter().zip(at) {
            timers.start(key, at);
        }
        timers.hasten(c, &mut at[2], after(5));
        timers.hasten(a, &mut at[0], after(500));
        assert_eq!(timers.soonest(), Some(after(5)));
        assert_eq!(timers.take_due(after(10)), [c, a]);
        assert!(timers.take_due(after(10)).is_empty());
        timers.stop(b, at[1]);
        assert_eq!(timers.soonest(), None);
    }
}
