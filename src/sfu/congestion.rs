//! What says, besides an estimate, that a subscriber is sent more than its network carries.

use std::time::Duration;

use crate::base::clock::MediaTime;

/// So much loss is not of the air but of a queue that overflows.
const OVERFLOW_LOSS: f32 = 0.1;
/// Round trips that are so much longer than the shortest wait in a queue.
const QUEUED: Duration = Duration::from_millis(200);
/// How long such a figure counts: the next ones come after 5 s.
const MEMORY: Duration = Duration::from_secs(6);

/// The signs of one subscriber's network.
#[derive(Clone, Copy, Debug, Default)]
pub struct Congestion {
    least_round_trip: Option<Duration>,
    queued: Option<MediaTime>,
    overflowed: Option<MediaTime>,
}

impl Congestion {
    /// Figures of a stream that it gets: the share lost, 0 to 1, and the round trip; None: not known.
    pub fn observe(&mut self, loss: Option<f32>, round_trip: Option<Duration>, now: MediaTime) {
        let least = self.least_round_trip.into_iter().chain(round_trip).min();
        self.least_round_trip = least;
        if round_trip.zip(least).is_some_and(|(now, least)| now >= least + QUEUED) {
            self.queued = Some(now);
        }
        if loss.is_some_and(|loss| loss >= OVERFLOW_LOSS) {
            self.overflowed = Some(now);
        }
    }

    /// Loss or round trips said lately that too much is sent.
    pub fn is_seen(&self, now: MediaTime) -> bool {
        [self.queued, self.overflowed].into_iter().flatten().any(|at| now.since(at) < MEMORY)
    }

    /// When loss said so last, if that was lately: no picture comes whole through that, whatever an estimate says.
    pub fn overflowed(&self, now: MediaTime) -> Option<MediaTime> {
        self.overflowed.filter(|at| now.since(*at) < MEMORY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_and_longer_round_trips_count_for_some_seconds() {
        let (at, ms) = (MediaTime::from_millis, Duration::from_millis);
        let mut congestion = Congestion::default();
        congestion.observe(Some(0.05), Some(ms(40)), at(0));
        assert!(!congestion.is_seen(at(0)), "what the air loses");
        congestion.observe(None, Some(ms(250)), at(1_000));
        assert!(congestion.is_seen(at(6_900)) && !congestion.is_seen(at(7_000)));
        assert_eq!(congestion.overflowed(at(1_000)), None, "a queue is no loss");
        congestion.observe(Some(0.1), None, at(8_000));
        assert!(congestion.is_seen(at(8_000)));
        assert_eq!([13_900, 14_000].map(|ms| congestion.overflowed(at(ms))), [Some(at(8_000)), None]);
    }
}
