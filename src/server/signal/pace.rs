//! How fast one client may speak: what is too much waits in its own connection.

use std::time::{Duration, Instant};

/// Credit of a client that has been quiet; a message costs one, and one more for each [`BYTES`].
const CREDIT: f64 = 2000.0;
/// Credit gained each second.
const GAIN: f64 = 200.0;
/// Bytes for one credit: the longest message costs about 500.
const BYTES: f64 = 2048.0;

/// A client's credit. Large enough for a client that joins a room of hundreds, which says something of every track.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    credit: f64,
    at: Instant,
}

impl Pace {
    pub fn new(now: Instant) -> Self {
        Pace { credit: CREDIT, at: now }
    }

    /// A message of so many bytes came: how long the next one has to wait.
    pub fn spend(&mut self, bytes: usize, now: Instant) -> Duration {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * GAIN;
        self.at = now;
        self.credit = (self.credit + gained).min(CREDIT) - 1.0 - bytes as f64 / BYTES;
        Duration::from_secs_f64((-self.credit / GAIN).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock;

    #[test]
    fn a_burst_passes_and_a_flood_is_held_to_the_pace() {
        let start = clock::now();
        let mut pace = Pace::new(start);
        let waits = (0..1900).map(|_| pace.spend(50, start)).max();
        assert_eq!(waits, Some(Duration::ZERO), "a client that joins a large room");
        let mut now = start;
        for _ in 0..10_000 {
            now += pace.spend(50, now);
        }
        let seconds = (now - start).as_secs_f64();
        assert!((45.0..60.0).contains(&seconds), "{seconds}");
        assert_eq!(pace.spend(50, now + Duration::from_secs(20)), Duration::ZERO, "it recovers");
    }

    #[test]
    fn large_messages_cost_more() {
        let start = clock::now();
        let mut pace = Pace::new(start);
        let waits: Vec<Duration> = (0..5).map(|_| pace.spend(1 << 20, start)).collect();
        assert!(waits[2].is_zero() && waits[4] > Duration::from_secs(1), "{waits:?}");
    }
}
