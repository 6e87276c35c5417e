//! When more is sent than an estimate allows, to see whether it fits.
//!
//! An estimator cannot learn of room that is not used: it knows what arrived and little more, and its probes come to nothing
//! where packets come unevenly. So now and then the next layer is simply sent; what goes wrong is noticed as always, and
//! each failure doubles the wait.

use std::time::Duration;

use crate::base::clock::MediaTime;

/// The first trial, and the next one after one that went well.
const FIRST: Duration = Duration::from_secs(5);
/// The first one after a fall.
const AFTER_FALL: Duration = Duration::from_secs(15);
const LONGEST: Duration = Duration::from_secs(120);
/// A fall so soon after a trial is its failure.
const FAILED: Duration = Duration::from_secs(5);

/// The trials of one subscriber.
#[derive(Clone, Copy, Debug)]
pub struct Trials {
    patience: Duration,
    /// Since when nothing changed.
    since: Option<MediaTime>,
    tried: Option<MediaTime>,
}

impl Default for Trials {
    fn default() -> Self {
        Trials { patience: FIRST, since: None, tried: None }
    }
}

impl Trials {
    /// Less is sent than before.
    pub fn fell(&mut self, now: MediaTime) {
        let failed = self.tried.take().is_some_and(|at| now.since(at) < FAILED);
        let patience = if failed { self.patience * 2 } else { self.patience };
        self.patience = patience.clamp(AFTER_FALL, LONGEST);
        self.since = Some(now);
    }

    /// More is sent than before, as the estimate allows.
    pub fn rose(&mut self, now: MediaTime) {
        self.since = Some(now);
    }

    /// Whether to try more now. True: it is tried.
    pub fn begin(&mut self, now: MediaTime) -> bool {
        if now.since(*self.since.get_or_insert(now)) < self.patience {
            return false;
        }
        if self.tried.is_some() {
            self.patience = FIRST;
        }
        (self.tried, self.since) = (Some(now), Some(now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_make_it_patient_and_success_makes_it_bold() {
        let at = |s: u64| MediaTime::from_millis(s * 1000);
        let mut trials = Trials::default();
        assert!(!trials.begin(at(0)) && !trials.begin(at(4)) && trials.begin(at(5)));
        trials.fell(at(6));
        assert!(!trials.begin(at(20)) && trials.begin(at(21)), "15 s after a fall");
        trials.fell(at(22));
        assert!(!trials.begin(at(51)) && trials.begin(at(52)), "it failed");
        assert!(!trials.begin(at(81)) && trials.begin(at(82)), "it did not fail");
        assert!(!trials.begin(at(86)) && trials.begin(at(87)));
    }
}
