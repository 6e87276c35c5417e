//! The sequence parameter set (H.264 §7.3.2.1.1), as far as a recorder needs it.

use crate::base::units::Size;

/// What an SPS says of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sps {
    /// `profile_idc`: 66 baseline, 77 main, 100 high.
    pub profile: u8,
    /// The constraint flags byte, as in `avcC`.
    pub constraints: u8,
    /// `level_idc`: ten times the level.
    pub level: u8,
    /// The picture's size after cropping.
    pub size: Size,
}

/// Why an SPS could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpsError {
    /// The NAL unit is of another type.
    #[error("not a sequence parameter set")]
    NotSps,
    /// It ended within a field.
    #[error("the sequence parameter set ends early")]
    Truncated,
    /// A field is outside what H.264 allows.
    #[error("the sequence parameter set's {0} is out of range")]
    OutOfRange(&'static str),
}

/// Profiles whose SPS has the chroma format and scaling matrices (§7.3.2.1.1).
const HIGH_PROFILES: [u8; 11] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139];

impl Sps {
    /// Reads an SPS NAL unit, its header byte first, emulation prevention still in.
    ///
    /// # Errors
    /// [`SpsError`] for anything that is no whole SPS.
    pub fn parse(nal: &[u8]) -> Result<Sps, SpsError> {
        if super::NalType::of(nal) != Some(super::NalType::Sps) {
            return Err(SpsError::NotSps);
        }
        let rbsp = without_emulation_prevention(&nal[1..]);
        let mut bits = Bits { bytes: &rbsp, at: 0 };
        let (profile, constraints, level) = (bits.u(8)? as u8, bits.u(8)? as u8, bits.u(8)? as u8);
        bits.ue()?;
        let mut chroma_format = 1;
        if HIGH_PROFILES.contains(&profile) {
            chroma_format = skip_high_profile_fields(&mut bits)?;
        }
        skip_order_fields(&mut bits)?;
        let size = picture_size(&mut bits, chroma_format)?;
        Ok(Sps { profile, constraints, level, size })
    }
}

/// Returns `chroma_format_idc`.
fn skip_high_profile_fields(bits: &mut Bits<'_>) -> Result<u32, SpsError> {
    let chroma_format = bits.ue()?;
    if chroma_format > 3 {
        return Err(SpsError::OutOfRange("chroma_format_idc"));
    }
    if chroma_format == 3 {
        bits.u(1)?;
    }
    bits.ue()?;
    bits.ue()?;
    bits.u(1)?;
    if bits.u(1)? == 1 {
        for list in 0..if chroma_format == 3 { 12 } else { 8 } {
            if bits.u(1)? == 1 {
                skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Ok(chroma_format)
}

fn skip_scaling_list(bits: &mut Bits<'_>, length: u32) -> Result<(), SpsError> {
    let (mut last, mut next) = (8i32, 8i32);
    for _ in 0..length {
        if next != 0 {
            next = (last + bits.se()?).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Ok(())
}

/// Frame numbering and picture order count.
fn skip_order_fields(bits: &mut Bits<'_>) -> Result<(), SpsError> {
    bits.ue()?;
    match bits.ue()? {
        0 => {
            bits.ue()?;
        }
        1 => {
            bits.u(1)?;
            bits.se()?;
            bits.se()?;
            let cycle = bits.ue()?;
            if cycle > 255 {
                return Err(SpsError::OutOfRange("num_ref_frames_in_pic_order_cnt_cycle"));
            }
            for _ in 0..cycle {
                bits.se()?;
            }
        }
        2 => {}
        _ => return Err(SpsError::OutOfRange("pic_order_cnt_type")),
    }
    bits.ue()?;
    bits.u(1)?;
    Ok(())
}

fn picture_size(bits: &mut Bits<'_>, chroma_format: u32) -> Result<Size, SpsError> {
    let (width_mbs, height_units) = (bits.ue()?, bits.ue()?);
    if width_mbs >= 1024 || height_units >= 1024 {
        return Err(SpsError::OutOfRange("picture size"));
    }
    let frames_only = bits.u(1)?;
    if frames_only == 0 {
        bits.u(1)?;
    }
    bits.u(1)?;
    let (mut width, mut height) = ((width_mbs + 1) * 16, (height_units + 1) * 16 * (2 - frames_only));
    if bits.u(1)? == 1 {
        let (unit_x, unit_y) = match chroma_format {
            1 => (2, 2 * (2 - frames_only)),
            2 => (2, 2 - frames_only),
            _ => (1, 2 - frames_only),
        };
        let crop = |a: u32, b: u32, unit: u32| a.saturating_add(b).saturating_mul(unit);
        let (left, right, top, bottom) = (bits.ue()?, bits.ue()?, bits.ue()?, bits.ue()?);
        // Something of the picture is left (§7.4.2.1.1).
        let left_over = |whole: u32, cropped: u32| whole.checked_sub(cropped).filter(|left| *left > 0);
        let nothing = SpsError::OutOfRange("cropping");
        width = left_over(width, crop(left, right, unit_x)).ok_or(nothing)?;
        height = left_over(height, crop(top, bottom, unit_y)).ok_or(nothing)?;
    }
    Ok(Size::new(width, height))
}

/// Takes the 3 out of every 0 0 3 (§7.4.1.1).
fn without_emulation_prevention(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut zeros = 0;
    for &byte in bytes {
        if byte == 3 && zeros >= 2 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

/// Reads bits, most significant first (§7.2).
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn bit(&mut self) -> Result<u32, SpsError> {
        let byte = self.bytes.get(self.at / 8).ok_or(SpsError::Truncated)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Ok(u32::from(bit))
    }

    /// u(n), n ≤ 32.
    fn u(&mut self, count: u32) -> Result<u32, SpsError> {
        let mut value = 0;
        for _ in 0..count {
            value = value << 1 | self.bit()?;
        }
        Ok(value)
    }

    /// ue(v), §9.1; at most 2^31 - 2.
    fn ue(&mut self) -> Result<u32, SpsError> {
        let mut zeros = 0;
        while self.bit()? == 0 {
            zeros += 1;
            if zeros > 30 {
                return Err(SpsError::OutOfRange("Exp-Golomb code"));
            }
        }
        Ok((1 << zeros) - 1 + self.u(zeros)?)
    }

    /// se(v), §9.1.1.
    fn se(&mut self) -> Result<i32, SpsError> {
        let code = self.ue()? as i32;
        Ok(if code % 2 == 0 { -(code / 2) } else { code / 2 + 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by x264 (High, level 3.1, 1280x720, cropping none) with `ffmpeg -f lavfi -i testsrc2=1280x720`.
    const X264_720P: [u8; 24] = [
        0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10,
        0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83,
    ];

    #[test]
    fn a_high_profile_sps_is_read() {
        let sps = Sps::parse(&X264_720P).unwrap();
        assert_eq!((sps.profile, sps.level, sps.size), (100, 31, Size::new(1280, 720)));
    }

    #[test]
    fn a_picture_that_is_cropped_to_nothing_is_none() {
        // Baseline, 16x16, cropped by 8 units of 2 pixels on the left.
        let sps = [0x67, 66, 0xc0, 10, 0b1101_1010, 0b0111_1100, 0b0100_1111, 0b1000_0000];
        assert_eq!(Sps::parse(&sps), Err(SpsError::OutOfRange("cropping")));
    }

    #[test]
    fn no_prefix_of_an_sps_panics() {
        for end in 0..X264_720P.len() {
            let _ = Sps::parse(&X264_720P[..end]);
        }
        assert_eq!(Sps::parse(&[]), Err(SpsError::NotSps));
        assert_eq!(Sps::parse(&[0x67]), Err(SpsError::Truncated));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(mut bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64)) {
            if let Some(first) = bytes.first_mut() { *first = 0x67; }
            let _ = Sps::parse(&bytes);
        }
    }
}
