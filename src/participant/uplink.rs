//! The uplink obeyed: which layers of the camera may be sent; pure.
//!
//! ```text
//!           congested: drop as many layers as needed
//!  steady ───────────────────────────────────────────▶ settling ──▶ (steady, waits)
//!    ▲                                                    ▲             │ wait over
//!    │ nothing happened for PROBE_TIME                    │ congested   ▼
//!    └────────────────────────────────────────────────────┴────────  probing: one layer more
//! ```
//! Layers go from the top, the sound never does. What the recorder or a push reads goes on being encoded: here is
//! decided only what the room's reader wants.

mod path;

use std::time::{Duration, Instant};

use self::path::{Congestion, Path, Sign};
use crate::base::units::Bitrate;
use crate::rtc::peer::Fate;

/// Share of what the path carried at its limit that may be used: retransmissions and keyframes come on top.
const USABLE_PERCENT: u64 = 85;
/// Longest that a dropped layer's effect is awaited before the queue is looked at again.
const SETTLE_TIME: Duration = Duration::from_millis(1500);
/// More time for a queue that shrinks: at once, and altogether.
const DRAIN_TIME: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(8)];
/// A queue shrinks when it is shorter by more than this.
const SHRINKS: Duration = Duration::from_millis(10);
/// A layer that was tried for so long without congestion stays.
const PROBE_TIME: Duration = Duration::from_secs(4);
/// From one layer that stays to the next one that is tried.
const CLIMB_PAUSE: Duration = Duration::from_secs(1);
/// First and longest wait before a layer is tried again; it doubles with every congestion.
const WAIT: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(60)];
/// After so long without congestion the wait is the first one again.
const FORGIVEN_AFTER: Duration = Duration::from_secs(120);
/// Reports that stay out for so long, while so many packets leave, mean that nothing gets through.
const SILENCE: (Duration, u64) = (Duration::from_secs(2), 100);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// Nothing is tried, until then.
    Steady { until: Option<Instant> },
    /// Layers were dropped, and the effect is awaited.
    Settling(Settling),
    /// One layer more than `from` is tried.
    Probing { from: usize, until: Instant },
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Settling {
    /// When to look.
    until: Instant,
    no_longer_than: Instant,
    /// How long the queue was when it was last looked at.
    queue: Duration,
}

/// The policy of one publishing connection.
#[derive(Debug)]
pub(super) struct Uplink {
    path: Path,
    /// What each layer takes, by its index.
    bitrates: [Bitrate; 3],
    /// Layers with an index below this may be sent.
    allowed: usize,
    phase: Phase,
    /// How often the path was congested, without FORGIVEN_AFTER between.
    congestions: u32,
    congested: Option<(Instant, Congestion)>,
    /// When the last report came, and how many packets had left by then.
    heard: Option<(Instant, u64)>,
}

impl Uplink {
    /// Everything may be sent; `bitrates` are those of the layers, lowest first.
    pub fn new(bitrates: [Bitrate; 3]) -> Self {
        Uplink {
            path: Path::default(),
            bitrates,
            allowed: bitrates.len(),
            phase: Phase::Steady { until: None },
            congestions: 0,
            congested: None,
            heard: None,
        }
    }

    /// Layers with an index below this may be sent.
    pub fn allowed(&self) -> usize {
        self.allowed
    }

    /// Takes a report. `sent` packets have left so far; `wanted` are the layers that would be sent if all were
    /// allowed.
    pub fn report(&mut self, now: Instant, fates: &[Fate], sent: u64, wanted: [bool; 3]) {
        self.heard = Some((now, sent));
        self.path.report(fates);
        if let Phase::Settling(settling) = self.phase {
            self.settle(now, settling, wanted);
        } else if let Some(congestion) = self.path.congestion() {
            self.congested(now, congestion, wanted);
        }
    }

    /// To be called about twice a second; as [`Uplink::report`] otherwise.
    pub fn tick(&mut self, now: Instant, sent: u64, wanted: [bool; 3]) {
        if self.silent(now, sent) {
            self.heard = None;
            let congestion = Congestion { sign: Sign::Silence, carried: Some(Bitrate::bps(0)) };
            self.congested(now, congestion, wanted);
            return;
        }
        match self.phase {
            Phase::Steady { until: Some(until) } if now >= until => self.probe(now, wanted),
            Phase::Probing { until, .. } if now >= until => {
                let top = self.allowed >= self.bitrates.len();
                self.phase = Phase::Steady { until: (!top).then(|| now + CLIMB_PAUSE) };
            }
            // Nothing came since: no report speaks of a queue.
            Phase::Settling(settling) if now >= settling.no_longer_than => self.wait(now),
            _ => {}
        }
    }

    /// Why not everything is sent, for people; None when everything is.
    pub fn reason(&self) -> Option<String> {
        let sure = match self.phase {
            Phase::Probing { from, .. } => from,
            _ => self.allowed,
        };
        let what = match sure {
            0 => "only sound is sent",
            1 => "of the camera only the smallest picture is sent",
            2 => "the camera's full picture is not sent",
            _ => return None,
        };
        let (_, congestion) = self.congested?;
        Some(format!("the uplink is congested ({congestion}): {what}"))
    }

    fn silent(&self, now: Instant, sent: u64) -> bool {
        self.heard.is_some_and(|(at, before)| {
            now.saturating_duration_since(at) >= SILENCE.0 && sent.saturating_sub(before) >= SILENCE.1
        })
    }

    /// Answers congestion; false when nothing of ours is in the way.
    fn congested(&mut self, now: Instant, congestion: Congestion, wanted: [bool; 3]) -> bool {
        let fewer = match self.phase {
            Phase::Probing { from, .. } => from,
            _ => self.fitting(congestion.carried, wanted),
        };
        if fewer >= self.allowed {
            return false;
        }
        self.allowed = fewer;
        let recent = self.congested.is_some_and(|(at, _)| now.saturating_duration_since(at) < FORGIVEN_AFTER);
        self.congestions = if recent { self.congestions.saturating_add(1) } else { 0 };
        self.congested = Some((now, congestion));
        let queue = self.path.queue().unwrap_or_default();
        self.path.forget(now);
        let (until, no_longer_than) = (now + SETTLE_TIME, now + DRAIN_TIME[1]);
        self.phase = Phase::Settling(Settling { until, no_longer_than, queue });
        true
    }

    /// How many layers are left when the highest of those that are sent goes, and all that do not fit with it.
    fn fitting(&self, carried: Option<Bitrate>, wanted: [bool; 3]) -> usize {
        let sent = |below: usize| (0..below).filter(|&layer| wanted.get(layer) == Some(&true));
        let mut allowed = match sent(self.allowed).next_back() {
            Some(top) => top,
            None => return self.allowed,
        };
        let Some(carried) = carried else { return allowed };
        let usable = u64::from(carried.as_bps()) * USABLE_PERCENT / 100;
        let takes = |layer: usize| self.bitrates.get(layer).map_or(0, |bitrate| u64::from(bitrate.as_bps()));
        while sent(allowed).map(takes).sum::<u64>() > usable {
            allowed = sent(allowed).next_back().unwrap_or(0);
        }
        allowed
    }

    /// Whether the dropped layers have helped.
    fn settle(&mut self, now: Instant, settling: Settling, wanted: [bool; 3]) {
        let Some(queue) = self.path.queue().filter(|_| now >= settling.until) else { return };
        match self.path.congestion() {
            None => self.wait(now),
            Some(Congestion { sign: Sign::Queue(_), .. }) if queue + SHRINKS < settling.queue => {
                if now < settling.no_longer_than {
                    self.phase = Phase::Settling(Settling { until: now + DRAIN_TIME[0], queue, ..settling });
                }
            }
            // As long as before: others fill it, or the path has changed and takes longer now.
            Some(Congestion { sign: Sign::Queue(_), .. }) if queue < settling.queue * 5 / 4 => {
                self.path.rebase(now);
                self.wait(now);
            }
            Some(congestion) => {
                if !self.congested(now, congestion, wanted) {
                    self.wait(now);
                }
            }
        }
    }

    fn wait(&mut self, now: Instant) {
        let longer = 1u32.checked_shl(self.congestions).unwrap_or(u32::MAX);
        let wait = WAIT[0].saturating_mul(longer).min(WAIT[1]);
        self.phase = Phase::Steady { until: Some(now + wait) };
    }

    /// One layer more; all of them when those above are not wanted anyway.
    fn probe(&mut self, now: Instant, wanted: [bool; 3]) {
        let next = (self.allowed..wanted.len()).find(|&layer| wanted.get(layer) == Some(&true));
        match next {
            Some(layer) => {
                self.phase = Phase::Probing { from: self.allowed, until: now + PROBE_TIME };
                self.allowed = layer + 1;
            }
            None => {
                self.allowed = self.bitrates.len();
                self.phase = Phase::Steady { until: None };
            }
        }
    }
}

#[cfg(test)]
mod tests;
