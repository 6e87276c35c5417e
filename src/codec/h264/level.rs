//! Which level (ITU-T H.264 table A-1) a picture needs.

use crate::base::units::Size;

/// The levels that we write: 3.1 is what every WebRTC peer takes (`profile-level-id=42e01f`); higher ones only for
/// pictures that do not fit into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Up to 1280x720 at 30 pictures a second.
    L31,
    /// Up to 1920x1088 at 30.
    L40,
    /// Up to 1920x1088 at 60.
    L42,
    /// Up to 4096x2176 at 30.
    L51,
    /// Up to 4096x2176 at 60.
    L52,
}

impl Level {
    /// The lowest of our levels that `fps` pictures of `size` a second fit into; the highest when none does.
    pub fn of(size: Size, fps: u32) -> Level {
        let macroblocks = size.width.div_ceil(16) * size.height.div_ceil(16);
        let per_second = macroblocks * fps;
        let limits = [
            (Level::L31, 3_600, 108_000),
            (Level::L40, 8_192, 245_760),
            (Level::L42, 8_704, 522_240),
            (Level::L51, 36_864, 983_040),
        ];
        let fitting =
            limits.into_iter().find(|(_, frame, second)| macroblocks <= *frame && per_second <= *second);
        fitting.map_or(Level::L52, |(level, ..)| level)
    }

    /// `level_idc`: ten times the level.
    pub const fn idc(self) -> u8 {
        match self {
            Level::L31 => 31,
            Level::L40 => 40,
            Level::L42 => 42,
            Level::L51 => 51,
            Level::L52 => 52,
        }
    }

    pub(super) const fn to_openh264(self) -> openh264::encoder::Level {
        use openh264::encoder::Level as L;
        match self {
            Level::L31 => L::Level_3_1,
            Level::L40 => L::Level_4_0,
            Level::L42 => L::Level_4_2,
            Level::L51 => L::Level_5_1,
            Level::L52 => L::Level_5_2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_follow_the_table_of_the_standard() {
        assert_eq!(Level::of(Size::new(320, 180), 30), Level::L31);
        assert_eq!(Level::of(Size::new(1280, 720), 30), Level::L31);
        assert_eq!(Level::of(Size::new(1280, 720), 60), Level::L40);
        assert_eq!(Level::of(Size::new(1920, 1080), 30), Level::L40);
        assert_eq!(Level::of(Size::new(3840, 2160), 60), Level::L52);
    }
}
