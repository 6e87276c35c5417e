//! What says, besides an estimate, that a subscriber is sent more than its network carries.

use std::time::Duration;

use crate::base::clock::MediaTime;

use super::losses::Losses;

/// So much loss is not of the air but of a queue that overflows.
const OVERFLOW_LOSS: f32 = 0.1;
/// Over so long, so that chance does not look like it; round trips too.
const WINDOW: Duration = Duration::from_secs(4);
/// Round trips that are all so much longer than the shortest ever wait in a queue.
const QUEUED: Duration = Duration::from_millis(200);
/// How long such a sign counts.
const MEMORY: Duration = Duration::from_secs(6);

/// The signs of one subscriber's network.
#[derive(Clone, Copy, Debug, Default)]
pub struct Congestion {
    least_round_trip: Option<Duration>,
    /// Since when, and the shortest since then.
    round_trips: Option<(MediaTime, Duration)>,
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
        let (began, shortest) = self.round_trips.get_or_insert((now, round_trip));
        *shortest = round_trip.min(*shortest);
        if now.since(*began) >= WINDOW {
            let queued = *shortest >= least + QUEUED;
            self.round_trips = None;
            self.seen = queued.then_some(now).or(self.seen);
        }
    }

    /// Signs that were seen `now`.
    #[cfg(test)]
    pub fn seen(now: MediaTime) -> Self {
        Congestion { seen: Some(now), ..Congestion::default() }
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
    fn round_trips_that_stay_longer_are_a_queue_for_some_seconds() {
        let (at, ms) = (MediaTime::from_millis, Duration::from_millis);
        let mut congestion = Congestion::default();
        let mut told = |round_trips: [u64; 5], from: u64| {
            for (second, round_trip) in round_trips.into_iter().enumerate() {
                congestion.observe_round_trip(ms(round_trip), at(from + second as u64 * 1000));
            }
            congestion
        };
        assert!(!told([40, 60, 400, 40, 90], 0).is_seen(at(4_000)), "a late packet");
        let queue = told([250, 300, 240, 280, 500], 5_000);
        assert!(queue.is_seen(at(14_900)) && !queue.is_seen(at(15_000)));
        assert!(!queue.overflows(at(9_000)), "a queue is no loss");
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
