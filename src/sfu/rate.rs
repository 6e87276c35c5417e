//! How fast a source sends.

use std::time::Duration;

use crate::base::clock::MediaTime;

/// Bytes are counted in windows of this length.
const WINDOW: Duration = Duration::from_secs(1);
/// So many whole windows make the figure: longer than the usual distance of keyframes.
const WINDOWS: usize = 3;

/// Measures bits per second over the last whole seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct RateMeter {
    begun: Option<MediaTime>,
    bytes: u64,
    /// Whole windows, newest first.
    past: [Option<u64>; WINDOWS],
}

impl RateMeter {
    /// Something of `bytes` was sent.
    pub fn add(&mut self, bytes: usize, now: MediaTime) {
        self.roll(now);
        self.bytes += bytes as u64;
    }

    /// Bits per second over the last whole seconds; None before the first of them is over.
    pub fn bps(&mut self, now: MediaTime) -> Option<u32> {
        self.roll(now);
        let whole = self.past.iter().flatten();
        let (count, bytes) = whole.fold((0, 0), |(count, sum), bytes| (count + 1, sum + bytes));
        let bits_per_window = (bytes * 8).checked_div(count)?;
        u32::try_from(bits_per_window / WINDOW.as_secs()).ok()
    }

    fn roll(&mut self, now: MediaTime) {
        let begun = *self.begun.get_or_insert(now);
        let over = now.since(begun).as_nanos() / WINDOW.as_nanos();
        for _ in 0..over.min(WINDOWS as u128) {
            self.past.rotate_right(1);
            self.past[0] = Some(std::mem::take(&mut self.bytes));
        }
        if over > 0 {
            let whole = u32::try_from(over).unwrap_or(u32::MAX);
            self.begun = Some(begun + WINDOW * whole);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figure_is_the_mean_of_the_last_seconds_and_silence_brings_it_down() {
        let at = MediaTime::from_millis;
        let mut meter = RateMeter::default();
        for ms in (0..3000).step_by(10) {
            meter.add(125, at(ms));
            assert_eq!(meter.bps(at(ms)).is_some(), ms >= 1000, "{ms}");
        }
        assert_eq!(meter.bps(at(3000)), Some(100_000));
        assert_eq!(meter.bps(at(4500)), Some(66_666));
        assert_eq!(meter.bps(at(60_000)), Some(0));
    }
}
