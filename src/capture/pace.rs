//! The beat of sources that have no device to wait on.

use std::time::Duration;

use crate::base::Shutdown;
use crate::base::clock::{self, MediaTime};

/// A source that is later than this leaves out what it missed; less is caught up at once.
const LATE: Duration = Duration::from_millis(200);

/// Counts the beats of `per_second` a second of the media clock: beat n is due at n seconds / `per_second`, for ever
/// without drift.
#[derive(Clone, Copy, Debug)]
pub struct Beat {
    per_second: u64,
    next: u64,
}

impl Beat {
    /// Beats from `now` on.
    pub fn from(now: MediaTime, per_second: u32) -> Self {
        let per_second = u64::from(per_second.max(1));
        let mut beat = Beat { per_second, next: 0 };
        beat.next = beat.first_at(now);
        beat
    }

    /// The first beat at or after `at`.
    fn first_at(&self, at: MediaTime) -> u64 {
        (u128::from(at.as_nanos()) * u128::from(self.per_second)).div_ceil(1_000_000_000) as u64
    }

    /// When beat `n` is due.
    pub fn time_of(&self, n: u64) -> MediaTime {
        MediaTime::from_nanos((u128::from(n) * 1_000_000_000 / u128::from(self.per_second)) as u64)
    }

    /// The next beat to do when it is `now`; those missed by more than [`LATE`] are left out.
    pub fn next(&mut self, now: MediaTime) -> u64 {
        if now.since(self.time_of(self.next)) > LATE {
            let first = self.first_at(now);
            tracing::debug!(beats = first - self.next, "the source was late and left out beats");
            self.next = first;
        }
        self.next += 1;
        self.next - 1
    }

    /// Blocks until `delay` after the next beat and returns its number and time; None once `shutdown` is cancelled
    /// (seen at a beat).
    pub fn wait(&mut self, delay: Duration, shutdown: &Shutdown) -> Option<(u64, MediaTime)> {
        let beat = self.next(clock::media_now() - delay);
        let at = self.time_of(beat);
        clock::sleep_until(clock::instant_of(at + delay));
        (!shutdown.is_cancelled()).then_some((beat, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_beats_a_second_do_not_drift_in_a_week() {
        let week = 7 * 24 * 3600;
        let beat = Beat::from(MediaTime::from_millis(week * 1000), 30);
        assert_eq!(beat.next, week * 30);
        assert_eq!(beat.time_of(week * 30 + 1).as_nanos(), week * 1_000_000_000 + 33_333_333);
    }

    #[test]
    fn a_short_delay_is_caught_up_and_a_long_one_left_out() {
        let mut beat = Beat::from(MediaTime::ZERO, 50);
        assert_eq!((beat.next(MediaTime::ZERO), beat.next(MediaTime::from_millis(190))), (0, 1));
        assert_eq!(
            (beat.next(MediaTime::from_millis(1000)), beat.next(MediaTime::from_millis(1000))),
            (50, 51)
        );
    }
}
