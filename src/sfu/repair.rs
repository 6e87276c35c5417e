//! How long a receiver should hold pictures back, so that what got lost on its way comes again before its turn.

use std::time::Duration;

use crate::base::clock::MediaTime;

/// Less is repaired within what a receiver's jitter buffer holds anyway.
const LOSSY: f32 = 0.01;
/// Time to ask and to get, twice: the repair gets lost as often as the packet did.
const ROUND_TRIPS: u32 = 3;
/// What jitter adds.
const MARGIN: Duration = Duration::from_millis(50);
/// More would disturb the conversation more than a freeze now and then.
const LONGEST: Duration = Duration::from_millis(400);
/// Assumed as long as nothing is measured.
const ROUND_TRIP: Duration = Duration::from_millis(100);
/// How long a figure counts after it was last reached: each change of the delay shows as a moment too fast or slow.
const MEMORY: Duration = Duration::from_secs(30);

/// One way of one participant: from it, or to it.
#[derive(Clone, Copy, Debug, Default)]
pub struct RepairTime {
    needed: Option<(Duration, MediaTime)>,
}

impl RepairTime {
    /// A share of `loss` was lost lately, 0 to 1; `round_trip` None: not known.
    pub fn observe(&mut self, loss: f32, round_trip: Option<Duration>, now: MediaTime) {
        if loss < LOSSY {
            return;
        }
        let needed = (round_trip.unwrap_or(ROUND_TRIP) * ROUND_TRIPS + MARGIN).min(LONGEST);
        if needed >= self.hold_back(now) {
            self.needed = Some((needed, now));
        }
    }

    /// How long pictures should be held back; zero where little is lost.
    pub fn hold_back(&self, now: MediaTime) -> Duration {
        self.needed.filter(|(_, at)| now.since(*at) < MEMORY).map_or(Duration::ZERO, |(needed, _)| needed)
    }
}

/// The same for both ways of a picture together.
pub fn hold_back(from: &RepairTime, to: &RepairTime, now: MediaTime) -> Duration {
    (from.hold_back(now) + to.hold_back(now)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_costs_delay_by_its_round_trip_and_is_forgotten_after_half_a_minute() {
        let (at, ms) = (MediaTime::from_millis, Duration::from_millis);
        let mut way = RepairTime::default();
        way.observe(0.005, Some(ms(300)), at(0));
        assert_eq!(way.hold_back(at(0)), Duration::ZERO);
        way.observe(0.05, Some(ms(80)), at(1_000));
        assert_eq!(way.hold_back(at(1_000)), ms(290));
        way.observe(0.05, Some(ms(10)), at(2_000));
        assert_eq!(way.hold_back(at(2_000)), ms(290), "the worst lately");
        way.observe(0.05, Some(ms(900)), at(3_000));
        assert_eq!(way.hold_back(at(3_000)), LONGEST);
        assert_eq!(hold_back(&way, &way, at(3_000)), LONGEST);
        assert_eq!(hold_back(&way, &RepairTime::default(), at(33_000)), Duration::ZERO);
        way.observe(0.02, None, at(40_000));
        assert_eq!(way.hold_back(at(40_000)), ms(350));
    }
}
