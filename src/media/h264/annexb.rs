//! Annex B byte streams (H.264 annex B) and their length-prefixed form (ISO/IEC 14496-15 §5.3.3).

/// The NAL units of an Annex B byte stream, without start codes; empty ones are left out. Bytes before the
/// first start code are ignored.
pub fn nals(annexb: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = after_start_code(annexb).map(|(_, rest)| rest);
    std::iter::from_fn(move || {
        let current = rest?;
        match after_start_code(current) {
            Some((nal, next)) => {
                rest = Some(next);
                Some(nal)
            }
            None => {
                rest = None;
                Some(trim_zeros(current))
            }
        }
    })
    .filter(|nal| !nal.is_empty())
}

/// What stands before and after the first start code; None when there is none.
fn after_start_code(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.windows(3).position(|three| three == [0, 0, 1])?;
    Some((trim_zeros(&bytes[..at]), &bytes[at + 3..]))
}

/// Without the zero bytes at the end: a NAL unit never ends in one (trailing_zero_8bits, leading zero_byte).
fn trim_zeros(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    &bytes[..end]
}

/// The same access unit with a 4-byte big-endian length in front of each NAL unit. SPS, PPS and delimiters are
/// left out: in MP4 they stand in the sample entry (`avc1`).
pub fn to_length_prefixed(annexb: &[u8]) -> Vec<u8> {
    use super::NalType;
    let mut out = Vec::with_capacity(annexb.len() + 8);
    for nal in nals(annexb) {
        let parameter =
            matches!(NalType::of(nal), Some(NalType::Sps | NalType::Pps | NalType::AccessUnitDelimiter));
        if !parameter {
            out.extend_from_slice(&(nal.len() as u32).to_be_bytes());
            out.extend_from_slice(nal);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_and_four_byte_start_codes_split_alike() {
        let bytes = [9, 9, 0, 0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x68, 3, 0, 0, 0, 1, 0x65, 4, 0, 0];
        let found: Vec<&[u8]> = nals(&bytes).collect();
        assert_eq!(found, [&[0x67, 1, 2][..], &[0x68, 3], &[0x65, 4]]);
    }

    #[test]
    fn nothing_and_noise_have_no_nals() {
        assert_eq!(nals(&[]).count(), 0);
        assert_eq!(nals(&[0, 0]).count(), 0);
        assert_eq!(nals(&[1, 2, 3, 4]).count(), 0);
        assert_eq!(nals(&[0, 0, 1, 0, 0, 1]).count(), 0);
    }

    #[test]
    fn the_length_prefixed_form_leaves_parameter_sets_out() {
        let bytes = [0, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x68, 2, 0, 0, 0, 1, 0x65, 7, 8];
        assert_eq!(to_length_prefixed(&bytes), [0, 0, 0, 3, 0x65, 7, 8]);
    }
}
