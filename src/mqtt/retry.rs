//! When a connection is tried again, so that a fleet whose broker comes back does not fall upon it. Pure.

use std::time::{Duration, Instant};

use rand::RngExt;

use super::link::Down;

/// A connection that lasted so many times the spread was a good one: losing it is no sign of trouble with this box.
const STABLE_SPREADS: u32 = 3;

/// Longest extra wait when the broker said that it is overloaded.
const OVERLOAD_EXTRA: Duration = Duration::from_secs(30);

/// Delays with full jitter, each uniform between nothing and a window. At the start of the process windows grow from
/// `floor`: other boxes start at other times. After a connection was lost, which all boxes may have lost at once, the
/// first window is `spread`. They double with each failure, to `ceiling`.
#[derive(Clone, Debug)]
pub(super) struct Retry {
    spread: Duration,
    ceiling: Duration,
    window: Duration,
}

impl Retry {
    pub(super) fn new(floor: Duration, spread: Duration, ceiling: Duration) -> Self {
        Retry { spread, ceiling, window: floor.min(ceiling) }
    }

    /// The delay after a connection that was online since then (None: never), at `now`.
    pub(super) fn delay(
        &mut self,
        down: &Down,
        online_since: Option<Instant>,
        now: Instant,
        rng: &mut impl rand::Rng,
    ) -> Duration {
        let window = match online_since {
            Some(since) if now.saturating_duration_since(since) >= self.spread * STABLE_SPREADS => {
                self.spread
            }
            Some(_) => self.window.max(self.spread),
            None => self.window,
        };
        self.window = window.saturating_mul(2).min(self.ceiling.max(self.spread));
        let extra = if down.overloaded { OVERLOAD_EXTRA } else { Duration::ZERO };
        window.mul_f64(rng.random_range(0.0..=1.0)) + extra.mul_f64(rng.random_range(0.0..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock;
    use rand::SeedableRng;

    const S: Duration = Duration::from_secs(1);

    fn down(overloaded: bool) -> Down {
        Down { reason: String::new(), overloaded }
    }

    #[test]
    fn a_lost_connection_is_tried_again_within_20_s_then_40_then_60_and_a_start_within_1_2_4() {
        let (now, mut rng) = (clock::now(), rand::rngs::StdRng::seed_from_u64(1));
        let mut longest = [Duration::ZERO; 5];
        let mut starting = [Duration::ZERO; 8];
        for _ in 0..2000 {
            let mut retry = Retry::new(S, 20 * S, 60 * S);
            longest[0] = longest[0].max(retry.delay(&down(false), Some(now), now + 61 * S, &mut rng));
            for longest in &mut longest[1..] {
                *longest = (*longest).max(retry.delay(&down(false), None, now, &mut rng));
            }
            let mut retry = Retry::new(S, 20 * S, 60 * S);
            for longest in &mut starting {
                *longest = (*longest).max(retry.delay(&down(false), None, now, &mut rng));
            }
        }
        for (longest, window) in longest.iter().zip([20, 40, 60, 60, 60]) {
            assert!(*longest <= window * S && *longest > window * S * 9 / 10, "{longest:?} of {window} s");
        }
        for (longest, window) in starting.iter().zip([1, 2, 4, 8, 16, 32, 60, 60]) {
            assert!(*longest <= window * S && *longest > window * S * 9 / 10, "{longest:?} of {window} s");
        }
    }

    #[test]
    fn connections_that_end_at_once_are_no_reason_to_begin_anew_and_a_busy_broker_gets_more_time() {
        let (now, mut rng) = (clock::now(), rand::rngs::StdRng::seed_from_u64(2));
        let mut retry = Retry::new(S, 20 * S, 60 * S);
        let drawn: Vec<_> =
            (0..500).map(|_| retry.delay(&down(false), Some(now), now + S, &mut rng)).collect();
        assert!(drawn.iter().skip(2).any(|delay| *delay > 55 * S), "thrown out again and again: {drawn:?}");
        let busy = (0..500).map(|_| retry.delay(&down(true), Some(now), now + 61 * S, &mut rng)).max();
        assert!(busy.is_some_and(|busy| busy > 40 * S && busy <= 50 * S), "{busy:?}");
    }

    #[test]
    fn of_500_boxes_that_lost_their_broker_at_most_50_come_in_any_second() {
        let (now, mut rng) = (clock::now(), rand::rngs::StdRng::seed_from_u64(3));
        let mut returns: Vec<Duration> = Vec::new();
        for _ in 0..500 {
            let mut retry = Retry::new(S, 20 * S, 60 * S);
            let mut at = retry.delay(&down(false), Some(now), now + 61 * S, &mut rng);
            // It is back after three seconds.
            while at < 3 * S {
                at += retry.delay(&down(false), None, now, &mut rng);
            }
            returns.push(at);
        }
        returns.sort();
        let most =
            returns.iter().map(|from| returns.iter().filter(|at| (*from..*from + S).contains(*at)).count());
        assert!(most.max() <= Some(50));
        assert!(returns.last().is_some_and(|last| *last <= 60 * S));
    }
}
