//! Whether the box lives and takes joins, told by those who know.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::base::clock::{self, MediaTime};

/// The supervisor loop counts as turning while its last beat is younger than this.
const BEAT_LIFETIME: Duration = Duration::from_secs(10);

/// Beats come in, `/healthz` and `/readyz` look. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Media time in ns; 0: never.
    last_beat: AtomicU64,
    ready: AtomicBool,
}

impl Health {
    /// The supervisor loop has turned: call at least every few seconds.
    pub fn beat(&self) {
        self.beat_at(clock::media_now());
    }

    /// Whether joins are accepted.
    pub fn set_ready(&self, ready: bool) {
        self.0.ready.store(ready, Ordering::Relaxed);
    }

    /// The loop has turned within the last 10 s.
    pub fn is_alive(&self) -> bool {
        self.is_alive_at(clock::media_now())
    }

    /// Alive, and joins are accepted.
    pub fn is_ready(&self) -> bool {
        self.is_alive() && self.0.ready.load(Ordering::Relaxed)
    }

    fn beat_at(&self, now: MediaTime) {
        self.0.last_beat.store(now.as_nanos().max(1), Ordering::Relaxed);
    }

    fn is_alive_at(&self, now: MediaTime) -> bool {
        let last = self.0.last_beat.load(Ordering::Relaxed);
        last != 0 && now.since(MediaTime::from_nanos(last)) < BEAT_LIFETIME
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_stops_turning_is_dead_after_ten_seconds() {
        let health = Health::default();
        assert!(!health.is_alive_at(MediaTime::ZERO));
        health.beat_at(MediaTime::ZERO);
        assert!(health.is_alive_at(MediaTime::from_millis(9_900)));
        assert!(!health.is_alive_at(MediaTime::from_millis(10_001)));
        health.beat();
        assert!(health.is_alive() && !health.is_ready());
        health.set_ready(true);
        assert!(health.is_ready());
    }
}
