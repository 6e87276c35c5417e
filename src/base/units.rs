//! Units as types.

use std::fmt;

/// Bits per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bitrate(u32);

impl Bitrate {
    /// From bits per second.
    pub const fn bps(bits: u32) -> Self {
        Bitrate(bits)
    }
    /// From kilobits (1000 bits) per second.
    pub const fn kbps(kilobits: u32) -> Self {
        Bitrate(kilobits.saturating_mul(1000))
    }
    /// Bits per second.
    pub const fn as_bps(self) -> u32 {
        self.0
    }
    /// Kilobits per second, rounded down.
    pub const fn as_kbps(self) -> u32 {
        self.0 / 1000
    }
}

impl fmt::Display for Bitrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} kbit/s", self.0 / 1000)
    }
}

/// Ticks per second of an RTP or MP4 timestamp; never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockRate(u32);

impl ClockRate {
    /// 90 kHz, every video payload format (RFC 6184 §8.1).
    pub const VIDEO: ClockRate = ClockRate(90_000);
    /// 48 kHz, Opus (RFC 7587 §4.1) and our AAC.
    pub const AUDIO: ClockRate = ClockRate(48_000);

    /// Ticks per second.
    pub const fn hz(self) -> u32 {
        self.0
    }
}

/// Width and height of a picture in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Size {
    /// Pixels per row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Size {
    /// A size; see [`Size::parse`] for what configuration may ask for.
    pub const fn new(width: u32, height: u32) -> Self {
        Size { width, height }
    }

    /// Reads `"1280x720"`. Both sides must be even (4:2:0 chroma), width 160 to 3840, height 90 to 2160.
    /// None otherwise.
    pub fn parse(text: &str) -> Option<Self> {
        let (w, h) = text.split_once('x')?;
        let size = Size::new(w.parse().ok()?, h.parse().ok()?);
        let fits = (160..=3840).contains(&size.width) && (90..=2160).contains(&size.height);
        (fits && size.width.is_multiple_of(2) && size.height.is_multiple_of(2)).then_some(size)
    }

    /// This size divided by `by` in both directions, rounded down to even.
    pub const fn divided(self, by: u32) -> Size {
        Size { width: (self.width / by) & !1, height: (self.height / by) & !1 }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_even_and_within_bounds() {
        assert_eq!(Size::parse("1280x720"), Some(Size::new(1280, 720)));
        for bad in ["", "x", "1280", "1281x720", "0x0", "99999x99999", "-2x4", "1280x720x1"] {
            assert_eq!(Size::parse(bad), None, "{bad}");
        }
        assert_eq!(Size::new(1280, 720).divided(4), Size::new(320, 180));
    }
}
