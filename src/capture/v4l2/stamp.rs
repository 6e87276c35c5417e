//! From the driver's timestamps to PTS on the media clock.

use std::time::Duration;

use crate::base::clock::MediaTime;

/// A frame that says it is older than this lies: drivers hold a few frames at most.
const OLDEST: Duration = Duration::from_secs(1);
/// A frame may say that it comes from the future by so little (cameras' clocks are recovered, not read).
const AHEAD: Duration = Duration::from_millis(20);
/// Frames are at least this far apart, so that their PTS differ in every unit that is used.
pub const APART: Duration = Duration::from_millis(1);

/// Gives each frame a PTS that is as exact as its driver and always later than the one before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stamps {
    last: Option<MediaTime>,
}

impl Stamps {
    /// The PTS of a frame that arrived at `arrival`, captured by its driver's word `age` nanoseconds before (None:
    /// the driver does not say). What cannot be believed (zero, far off, backwards) is replaced by the arrival.
    pub fn stamp(&mut self, age: Option<i64>, arrival: MediaTime) -> MediaTime {
        let believed = age.and_then(|age| match u64::try_from(age) {
            Ok(age) => (Duration::from_nanos(age) <= OLDEST).then(|| arrival - Duration::from_nanos(age)),
            Err(_) => (Duration::from_nanos(age.unsigned_abs()) <= AHEAD).then_some(arrival),
        });
        let after = |at: &MediaTime| self.last.is_none_or(|last| *at >= last + APART);
        let stamp = match (believed.filter(after), self.last) {
            (Some(stamp), _) => stamp,
            (None, Some(last)) => arrival.max(last + APART),
            (None, None) => arrival,
        };
        self.last = Some(stamp);
        stamp
    }
}

/// Leaves out frames of a camera that is faster than wanted.
#[derive(Clone, Copy, Debug)]
pub struct Thin {
    interval: Duration,
    due: MediaTime,
}

impl Thin {
    /// Keeps about `fps` frames a second.
    pub fn to(fps: u32) -> Self {
        Thin { interval: Duration::from_secs(1) / fps.max(1), due: MediaTime::ZERO }
    }

    /// Whether the frame of `stamp` is kept. Half an interval of jitter leaves none out that belongs.
    pub fn keep(&mut self, stamp: MediaTime) -> bool {
        if stamp + self.interval / 2 <= self.due {
            return false;
        }
        let next = self.due + self.interval;
        // After a pause the beat begins anew.
        self.due = if stamp > next { stamp + self.interval } else { next };
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FRAME: u64 = 33_333_333;

    fn at(nanos: u64) -> MediaTime {
        MediaTime::from_nanos(nanos)
    }

    #[test]
    fn a_driver_that_can_be_believed_gives_the_time() {
        let mut stamps = Stamps::default();
        for n in 1..100u64 {
            // It arrives 5 to 25 ms later; the stamps stay exact.
            let late = 5_000_000 + (n * 7 % 20) * 1_000_000;
            let arrival = at(n * FRAME + late);
            assert_eq!(stamps.stamp(Some(late as i64), arrival), at(n * FRAME));
        }
    }

    #[test]
    fn zero_far_off_and_backward_stamps_are_replaced_by_the_arrival() {
        let mut stamps = Stamps::default();
        let second = 1_000_000_000;
        assert_eq!(stamps.stamp(Some(5_000_000), at(second)), at(second - 5_000_000));
        // Zero: as old as the machine is up.
        assert_eq!(stamps.stamp(Some(86_400 * second as i64), at(second + FRAME)), at(second + FRAME));
        // An hour ahead, and a little ahead.
        assert_eq!(stamps.stamp(Some(-3_600_000_000_000), at(second + 2 * FRAME)), at(second + 2 * FRAME));
        assert_eq!(stamps.stamp(Some(-3_000_000), at(second + 3 * FRAME)), at(second + 3 * FRAME));
        // Before the last.
        assert_eq!(stamps.stamp(Some(900_000_000), at(second + 4 * FRAME)), at(second + 4 * FRAME));
        // No stamp at all, and two at once.
        assert_eq!(stamps.stamp(None, at(second + 5 * FRAME)), at(second + 5 * FRAME));
        assert_eq!(stamps.stamp(None, at(second + 5 * FRAME)), at(second + 5 * FRAME) + APART);
    }

    #[test]
    fn sixty_a_second_are_thinned_to_thirty_and_thirty_are_all_kept() {
        let kept = |from: u64, to: u32, jitter: u64| {
            let mut thin = Thin::to(to);
            let frames =
                (0..from * 10).map(|n| at(5_000_000_000 + n * 1_000_000_000 / from + n * 7919 % jitter));
            frames.filter(|stamp| thin.keep(*stamp)).count()
        };
        assert!((300..=301).contains(&kept(60, 30, 1)));
        assert!((299..=300).contains(&kept(30, 30, 9_000_000)));
        assert!((299..=301).contains(&kept(50, 30, 3_000_000)));
        assert_eq!(kept(15, 30, 1), 150);
    }

    proptest! {
        #[test]
        fn whatever_a_driver_says_pts_grow_and_stay_near_the_arrival(
            frames in proptest::collection::vec((proptest::option::of(any::<i64>()), 0u64..100_000_000), 1..200)
        ) {
            let (mut stamps, mut arrival, mut last) = (Stamps::default(), 2_000_000_000u64, None);
            for (age, gap) in frames {
                arrival += gap;
                let stamp = stamps.stamp(age, at(arrival));
                prop_assert!(last.is_none_or(|last| stamp > last));
                prop_assert!(at(arrival).since(stamp) <= OLDEST);
                // No more ahead than a burst of frames at once must be.
                prop_assert!(stamp.since(at(arrival)) <= APART * 200);
                last = Some(stamp);
            }
        }
    }
}
