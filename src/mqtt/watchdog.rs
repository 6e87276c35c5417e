//! Notices a broker that no longer delivers although the connection is fine. Pure.
//!
//! Seen with mosquitto 2.0.11: each message that it drops for being larger than our maximum packet size stays
//! counted against our receive maximum, so that after sixteen of them nothing arrives any more. We let it send us
//! our own `status` from time to time; when that does not come the connection is made anew.

use std::time::{Duration, Instant};

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Wait until then.
    Wait(Instant),
    /// Publish `status`; it must come back.
    Probe,
    /// It did not.
    Deaf,
}

/// The watchdog of one connection.
#[derive(Debug)]
pub(super) struct Watchdog {
    every: Duration,
    heard: Instant,
    probed: Option<Instant>,
}

impl Watchdog {
    /// Probes after a silence of `every`, and waits as long for the echo, at most 10 s.
    pub(super) fn new(every: Duration, now: Instant) -> Self {
        Watchdog { every, heard: now, probed: None }
    }

    /// Something was delivered (or could not be, because we hold everything back ourselves).
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.probed = None;
    }

    /// What is due at `now`.
    pub(super) fn act(&mut self, now: Instant) -> Act {
        let due = match self.probed {
            Some(probed) => probed + self.every.min(Duration::from_secs(10)),
            None => self.heard + self.every,
        };
        if now < due {
            return Act::Wait(due);
        }
        match self.probed.replace(now) {
            Some(_) => Act::Deaf,
            None => Act::Probe,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock;

    #[test]
    fn silence_is_probed_and_only_an_unanswered_probe_is_deafness() {
        let (start, every) = (clock::now(), Duration::from_secs(60));
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut watchdog = Watchdog::new(every, start);
        assert_eq!(watchdog.act(at(59)), Act::Wait(at(60)));
        watchdog.heard(at(59));
        assert_eq!(watchdog.act(at(60)), Act::Wait(at(119)));
        assert_eq!(watchdog.act(at(119)), Act::Probe);
        assert_eq!(watchdog.act(at(120)), Act::Wait(at(129)));
        watchdog.heard(at(121));
        assert_eq!(watchdog.act(at(130)), Act::Wait(at(181)));
        assert_eq!(watchdog.act(at(181)), Act::Probe);
        assert_eq!(watchdog.act(at(191)), Act::Deaf);
    }
}
