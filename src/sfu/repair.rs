//! How long a receiver should hold pictures back, so that what got lost on its way comes again before its turn.

use std::time::Duration;

use crate::base::clock::MediaTime;

use super::losses::Losses;

/// Less, over so long, is repaired within what a receiver's jitter buffer holds anyway.
const LOSSY: f32 = 0.01;
const WINDOW: Duration = Duration::from_secs(4);
/// So much at once is no chance: the first seconds of a call are not waited for.
const LOSSY_AT_ONCE: f32 = 0.02;
const LOST_AT_ONCE: f32 = 3.0;
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
    losses: Losses,
    needed: Option<(Duration, MediaTime)>,
}

impl RepairTime {
    /// A share of `loss`, 0 to 1, of the `packets` of a stream that were sent since its last figures; `round_trip`
    /// None: not known.
    pub fn observe(&mut self, loss: f32, packets: u64, round_trip: Option<Duration>, now: MediaTime) {
        self.losses.add(loss, packets, now);
        let at_once = loss >= LOSSY_AT_ONCE && loss * packets as f32 >= LOST_AT_ONCE;
        let over_time = self.losses.over(WINDOW, now).is_some_and(|share| share >= LOSSY);
        if !at_once && !over_time {
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
        way.observe(0.05, 100, Some(ms(80)), at(1_000));
        assert_eq!(way.hold_back(at(1_000)), ms(290));
        way.observe(0.05, 100, Some(ms(10)), at(2_000));
        assert_eq!(way.hold_back(at(2_000)), ms(290), "the worst lately");
        way.observe(0.05, 100, Some(ms(900)), at(3_000));
        assert_eq!(way.hold_back(at(3_000)), LONGEST);
        assert_eq!(hold_back(&way, &way, at(3_000)), LONGEST);
        assert_eq!(hold_back(&way, &RepairTime::default(), at(33_000)), Duration::ZERO);
        way.observe(0.03, 100, None, at(40_000));
        assert_eq!(way.hold_back(at(40_000)), ms(350));
    }

    #[test]
    fn a_packet_now_and_then_costs_nothing_unless_they_add_up() {
        let at = MediaTime::from_millis;
        let mut way = RepairTime::default();
        for second in 0..60 {
            // One of 50 packets in a second, then none for four.
            let loss = if second % 5 == 0 { 0.02 } else { 0.0 };
            way.observe(loss, 50, None, at(second * 1000));
            assert_eq!(way.hold_back(at(second * 1000)), Duration::ZERO, "{second} s");
        }
        for second in 60..65 {
            way.observe(0.02, 50, None, at(second * 1000));
        }
        assert!(way.hold_back(at(64_000)) > Duration::ZERO, "1 of 50 all the time");
    }
}
