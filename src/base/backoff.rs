//! How long to wait before trying again: exponential, with full jitter, so that a fleet does not return as one.

use std::time::Duration;

use rand::RngExt;

/// Delays that double from `floor` to `ceiling`; each delay drawn is uniform between half of it and all of it.
#[derive(Clone, Debug)]
pub struct Backoff {
    floor: Duration,
    ceiling: Duration,
    attempt: u32,
}

impl Backoff {
    /// A backoff from `floor` (first delay) to `ceiling` (longest); `ceiling` is raised to `floor` if below it.
    pub fn new(floor: Duration, ceiling: Duration) -> Self {
        Backoff { floor, ceiling: ceiling.max(floor), attempt: 0 }
    }

    /// The delay before the next attempt, drawn with `rng`.
    pub fn next_delay(&mut self, rng: &mut impl rand::Rng) -> Duration {
        let longest =
            self.floor.saturating_mul(1u32.checked_shl(self.attempt).unwrap_or(u32::MAX)).min(self.ceiling);
        self.attempt = self.attempt.saturating_add(1);
        longest.mul_f64(rng.random_range(0.5..=1.0))
    }

    /// How many delays were drawn since the start or the last [`Backoff::reset`].
    pub fn attempts(&self) -> u32 {
        self.attempt
    }

    /// After a success: the next delay is the first one again.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn delays_grow_to_the_ceiling_and_reset() {
        let mut rng = rand::rngs::StdRng::seed_from_u64(7);
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        for attempt in 0..80 {
            let delay = backoff.next_delay(&mut rng);
            let longest = Duration::from_millis(100 << attempt.min(6)).min(Duration::from_secs(5));
            assert!(delay <= longest && delay >= longest / 2, "attempt {attempt}: {delay:?}");
        }
        backoff.reset();
        assert!(backoff.next_delay(&mut rng) <= Duration::from_millis(100));
    }
}
