//! How many commands an issuer may give. Pure.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Commands a second that one issuer may give for long.
pub const RATE: u32 = 20;
/// Commands that it may give at once.
pub const BURST: u32 = 40;
/// Issuers that are told apart. When so many have given commands within the last two seconds, another one has to
/// wait.
const ISSUERS: usize = 256;

/// Token buckets, one an issuer.
#[derive(Debug, Default)]
pub struct RateLimits {
    /// When each issuer's bucket is full again.
    full_at: HashMap<String, Instant>,
}

impl RateLimits {
    /// Takes a token of `issuer` at `now`.
    ///
    /// # Errors
    /// How long to wait for the next one.
    pub fn take(&mut self, issuer: &str, now: Instant) -> Result<(), Duration> {
        let token = Duration::from_secs(1) / RATE;
        if let Some(full_at) = self.full_at.get_mut(issuer) {
            let next = (*full_at).max(now) + token;
            let most = now + token * BURST;
            if next > most {
                return Err(next - most);
            }
            *full_at = next;
            return Ok(());
        }
        if self.full_at.len() >= ISSUERS {
            self.full_at.retain(|_, full_at| *full_at > now);
        }
        if self.full_at.len() >= ISSUERS {
            return Err(token * BURST);
        }
        self.full_at.insert(issuer.to_owned(), now + token);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock;

    #[test]
    fn a_burst_is_allowed_then_the_rate_and_other_issuers_are_not_concerned() {
        let (mut limits, start) = (RateLimits::default(), clock::now());
        let taken = (0..200).filter(|_| limits.take("app", start).is_ok()).count();
        assert_eq!(taken, BURST as usize);
        let wait = limits.take("app", start).unwrap_err();
        assert_eq!(wait, Duration::from_secs(1) / RATE);
        assert!(limits.take("other", start).is_ok());
        assert!(limits.take("app", start + wait).is_ok());
        assert!(limits.take("app", start + wait).is_err());
        let taken = (0..10_000)
            .filter(|ms| limits.take("app", start + wait + Duration::from_millis(*ms)).is_ok())
            .count();
        assert!(taken.abs_diff(10 * RATE as usize) <= 1, "{taken} in ten seconds");
    }

    #[test]
    fn a_crowd_of_issuers_is_bounded_and_those_at_rest_make_room() {
        let (mut limits, start) = (RateLimits::default(), clock::now());
        let allowed = (0..ISSUERS + 9).filter(|n| limits.take(&n.to_string(), start).is_ok()).count();
        assert_eq!(allowed, ISSUERS);
        assert!(limits.take("new", start + Duration::from_secs(1)).is_ok());
        assert_eq!(limits.full_at.len(), 1);
    }
}
