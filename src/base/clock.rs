//! The only place that asks the machine what time it is.
//!
//! Media is stamped with [`MediaTime`]: one monotonic clock per process, shared by every source, so that the
//! timestamps of camera and microphone can be compared without knowing about each other.

use std::fmt;
use std::ops::{Add, Sub};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use super::units::ClockRate;

/// Now, on the monotonic clock.
#[allow(clippy::disallowed_methods)]
pub fn now() -> Instant {
    Instant::now()
}

/// Now, on the wall clock (UTC). May jump; only for what people and other machines read.
#[allow(clippy::disallowed_methods)]
pub fn wall() -> SystemTime {
    SystemTime::now()
}

/// Blocks this thread until `deadline`; at once when it has passed. For the pacing of sources that have no
/// device to wait on.
#[allow(clippy::disallowed_methods)]
pub fn sleep_until(deadline: Instant) {
    let left = deadline.saturating_duration_since(now());
    if !left.is_zero() {
        std::thread::sleep(left);
    }
}

/// A moment on the box's media clock: nanoseconds since this process first looked at it, always ≥ 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MediaTime(u64);

impl MediaTime {
    /// The clock's zero.
    pub const ZERO: MediaTime = MediaTime(0);

    /// The moment `nanos` nanoseconds after the clock's zero.
    pub const fn from_nanos(nanos: u64) -> Self {
        MediaTime(nanos)
    }

    /// The moment `millis` milliseconds after the clock's zero.
    pub const fn from_millis(millis: u64) -> Self {
        MediaTime(millis * 1_000_000)
    }

    /// Nanoseconds since the clock's zero.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// This moment in ticks of `rate`, rounded down; what RTP and MP4 timestamps are made from.
    pub const fn ticks(self, rate: ClockRate) -> u64 {
        (self.0 as u128 * rate.hz() as u128 / 1_000_000_000) as u64
    }

    /// Time from `earlier` to `self`; zero when `earlier` is later.
    pub const fn since(self, earlier: MediaTime) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for MediaTime {
    type Output = MediaTime;
    fn add(self, by: Duration) -> MediaTime {
        MediaTime(self.0.saturating_add(by.as_nanos() as u64))
    }
}

impl Sub<Duration> for MediaTime {
    type Output = MediaTime;
    /// Stops at the clock's zero.
    fn sub(self, by: Duration) -> MediaTime {
        MediaTime(self.0.saturating_sub(by.as_nanos() as u64))
    }
}

impl fmt::Debug for MediaTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0 / 1_000_000_000, self.0 / 1000 % 1_000_000)
    }
}

/// The pair of clocks read at the same moment when the process first asked for media time.
struct Epoch {
    monotonic: Instant,
    wall: SystemTime,
}

fn epoch() -> &'static Epoch {
    static EPOCH: OnceLock<Epoch> = OnceLock::new();
    EPOCH.get_or_init(|| Epoch { monotonic: now(), wall: wall() })
}

/// Now, on the media clock.
pub fn media_now() -> MediaTime {
    media_at(now())
}

/// The media time of a monotonic instant; zero for instants before the clock's zero.
pub fn media_at(at: Instant) -> MediaTime {
    MediaTime(at.saturating_duration_since(epoch().monotonic).as_nanos() as u64)
}

/// The monotonic instant of a media time.
pub fn instant_of(at: MediaTime) -> Instant {
    epoch().monotonic + Duration::from_nanos(at.0)
}

/// The wall-clock time of a media time, by the wall clock as it stood at the media clock's zero: it never
/// jumps within one run, so sender reports and recordings stay consistent.
pub fn wall_of(at: MediaTime) -> SystemTime {
    epoch().wall + Duration::from_nanos(at.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_round_down_and_do_not_overflow_after_a_year() {
        assert_eq!(MediaTime::from_nanos(1_000_000_000).ticks(ClockRate::VIDEO), 90_000);
        assert_eq!(MediaTime::from_nanos(11_111).ticks(ClockRate::VIDEO), 0);
        let year = MediaTime::from_nanos(365 * 24 * 3600 * 1_000_000_000);
        assert_eq!(year.ticks(ClockRate::VIDEO), 365 * 24 * 3600 * 90_000);
    }

    #[test]
    fn subtraction_stops_at_zero() {
        assert_eq!(MediaTime::from_millis(3) - Duration::from_millis(5), MediaTime::ZERO);
        assert_eq!(MediaTime::ZERO.since(MediaTime::from_millis(1)), Duration::ZERO);
    }

    #[test]
    fn media_time_and_instant_convert_both_ways() {
        let at = media_now();
        assert_eq!(media_at(instant_of(at)), at);
    }
}
