//! How good a participant's connection is, in LiveKit's four steps.

use std::time::Duration;

/// The steps, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quality {
    /// No media comes through.
    Lost,
    /// Heard or seen badly.
    Poor,
    /// Less than it should be.
    Good,
    /// Nothing to complain about.
    Excellent,
}

/// What was observed of a participant's connections since the last time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Observed {
    /// Share of packets lost, 0 to 1, the worse of both directions.
    pub loss: f32,
    /// How unevenly packets arrive: the worst stream's interarrival jitter (RFC 3550 §6.4.1).
    pub jitter: Duration,
    /// Round trip.
    pub round_trip: Duration,
    /// Something that it wants to see is sent in a smaller layer, for want of bandwidth.
    pub reduced: bool,
    /// Something that it wants to see is not sent at all, for want of bandwidth.
    pub paused: bool,
    /// Its connection is lost.
    pub lost: bool,
}

/// From these on it is no longer excellent, and from these on it is poor.
const GOOD_LOSS: f32 = 0.02;
const POOR_LOSS: f32 = 0.10;
const GOOD_JITTER: Duration = Duration::from_millis(50);
const POOR_JITTER: Duration = Duration::from_millis(150);
const GOOD_ROUND_TRIP: Duration = Duration::from_millis(300);
const POOR_ROUND_TRIP: Duration = Duration::from_millis(800);
/// So many observations in a row must be better before it is said to be better.
const BETTER_AFTER: u32 = 2;

impl Observed {
    fn quality(&self) -> Quality {
        let Observed { loss, jitter, round_trip, .. } = *self;
        if self.lost {
            Quality::Lost
        } else if self.paused || loss >= POOR_LOSS || jitter >= POOR_JITTER || round_trip >= POOR_ROUND_TRIP {
            Quality::Poor
        } else if self.reduced || loss >= GOOD_LOSS || jitter >= GOOD_JITTER || round_trip >= GOOD_ROUND_TRIP
        {
            Quality::Good
        } else {
            Quality::Excellent
        }
    }
}

/// Follows one participant's quality: worse at once, better after a while.
#[derive(Clone, Copy, Debug)]
pub struct QualityMeter {
    quality: Quality,
    better: u32,
}

impl Default for QualityMeter {
    fn default() -> Self {
        QualityMeter { quality: Quality::Excellent, better: 0 }
    }
}

impl QualityMeter {
    /// As it was last said.
    pub fn quality(&self) -> Quality {
        self.quality
    }

    /// Some(quality) when it has changed.
    pub fn observe(&mut self, observed: &Observed) -> Option<Quality> {
        let now = observed.quality();
        self.better = if now > self.quality { self.better + 1 } else { 0 };
        if now < self.quality || self.better >= BETTER_AFTER {
            (self.quality, self.better) = (now, 0);
            return Some(now);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_worse_at_once_and_better_after_two_better_observations() {
        let mut meter = QualityMeter::default();
        let fine = Observed::default();
        let lossy = |loss| Observed { loss, ..fine };
        assert_eq!(meter.observe(&lossy(0.01)), None);
        assert_eq!(meter.observe(&lossy(0.05)), Some(Quality::Good));
        assert_eq!(meter.observe(&lossy(0.2)), Some(Quality::Poor));
        assert_eq!(meter.observe(&lossy(0.05)), None);
        assert_eq!(meter.observe(&lossy(0.2)), None, "not better for long");
        assert_eq!(meter.observe(&fine), None);
        assert_eq!(meter.observe(&fine), Some(Quality::Excellent));
        assert_eq!(meter.observe(&Observed { lost: true, ..fine }), Some(Quality::Lost));
    }

    #[test]
    fn delay_jitter_and_missing_layers_count_too() {
        let fine = Observed::default();
        let jitter = Observed { jitter: Duration::from_millis(60), ..fine };
        let far = Observed { round_trip: Duration::from_secs(1), ..fine };
        assert_eq!(jitter.quality(), Quality::Good);
        assert_eq!(far.quality(), Quality::Poor);
        assert_eq!(Observed { reduced: true, ..fine }.quality(), Quality::Good);
        assert_eq!(Observed { paused: true, ..fine }.quality(), Quality::Poor);
    }
}
