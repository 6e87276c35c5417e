//! What says, besides an estimate, that a subscriber is sent more than its network carries.

use std::time::Duration;

use crate::base::clock::MediaTime;

use super::losses::Losses;

/// So much loss is not of the air but of a queue that overflows.
const OVERFLOW_LOSS: f32 = 0.1;
/// Over so long, so that chance does not look like it.
const WINDOW: Duration = Duration::from_secs(4);
/// Round trips that are so much longer than the shortest wait in a queue.
const QUEUED: Duration = Duration::from_millis(200);
/// How long such a sign counts.
const MEMORY: Duration = Duration::from_secs(6);

/// The signs of one subscriber's network.
#[derive(Clone, Copy, Debug, Default)]
pub struct Congestion {
    least_round_trip: Option<Duration>,
    losses: Losses,
    seen: Option<MediaTime>,
    /// Of the figures that came last, all at one time.
    latest: (MediaTime, Losses),
}

impl Congestion {
    /// The round trip, as a stream's figures say.
    pub fn observe_round_trip(&mut self, round_trip: Duration, now: MediaTime) {
        let least = self.least_round_trip.map_or(round_trip, |least| least.min(round_trip));
        self.least_round_trip = Some(least);
        if round_trip >= least + QUEUED {
            self.seen = Some(now);
        }
    }

    /// A share of `loss`, 0 to 1, of the `packets` of a video that were sent since its last figures.
    pub fn observe_loss(&mut self, loss: f32, packets: u64, now: MediaTime) {
        self.losses.add(loss, packets, now);
        if self.losses.over(WINDOW, now).is_some_and(|share| share >= OVERFLOW_LOSS) {
            self.seen = Some(now);
        }
        if self.latest.0 != now {
            self.latest = (now, Losses::default());
        }
        self.latest.1.add(loss, packets, now);
    }

    /// Loss or round trips said lately that too much is sent.
    pub fn is_seen(&self, now: MediaTime) -> bool {
        self.seen.is_some_and(|at| now.since(at) < MEMORY)
    }

    /// The figures that came last say that no picture comes whole, whatever an estimate says.
    pub fn overflows(&self, now: MediaTime) -> bool {
        let (at, losses) = self.latest;
        losses.share() >= OVERFLOW_LOSS && now.since(at) < MEMORY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_and_longer_round_trips_count_for_some_seconds() {
        let (at, ms) = (MediaTime::from_millis, Duration::from_millis);
        let mut congestion = Congestion::default();
        congestion.observe_round_trip(ms(40), at(0));
        assert!(!congestion.is_seen(at(0)));
        congestion.observe_round_trip(ms(250), at(1_000));
        assert!(congestion.is_seen(at(6_900)) && !congestion.is_seen(at(7_000)));
        assert!(!congestion.overflows(at(1_000)), "a queue is no loss");
    }

    #[test]
    fn loss_is_judged_over_seconds_and_a_pause_needs_it_to_go_on() {
        let at = MediaTime::from_millis;
        let mut congestion = Congestion::default();
        for (second, loss) in [0.05, 0.12, 0.04, 0.05, 0.06].into_iter().enumerate() {
            congestion.observe_loss(loss, 100, at(second as u64 * 1000));
            assert!(!congestion.is_seen(at(second as u64 * 1000)), "chance");
        }
        for second in 5..10 {
            congestion.observe_loss(0.3, 20, at(second * 1000));
            congestion.observe_loss(0.0, 20, at(second * 1000));
            assert!(congestion.overflows(at(second * 1000)), "15 % of both");
        }
        assert!(congestion.is_seen(at(9_000)));
        congestion.observe_loss(0.0, 20, at(10_000));
        assert!(!congestion.overflows(at(10_000)) && congestion.is_seen(at(10_000)));
    }
}
