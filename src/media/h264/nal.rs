//! NAL unit types (H.264 table 7-1), as far as the box meets them.

/// The type in the low five bits of a NAL unit's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NalType {
    /// 1: slice of a picture that is no IDR.
    Slice,
    /// 5: slice of an IDR picture.
    Idr,
    /// 6: supplemental enhancement information.
    Sei,
    /// 7: sequence parameter set.
    Sps,
    /// 8: picture parameter set.
    Pps,
    /// 9: access unit delimiter.
    AccessUnitDelimiter,
    /// Any other.
    Other(u8),
}

impl NalType {
    /// The type of `nal`, whose first byte is its header (no start code); None for an empty one.
    pub fn of(nal: &[u8]) -> Option<NalType> {
        Some(match nal.first()? & 0x1f {
            1 => NalType::Slice,
            5 => NalType::Idr,
            6 => NalType::Sei,
            7 => NalType::Sps,
            8 => NalType::Pps,
            9 => NalType::AccessUnitDelimiter,
            other => NalType::Other(other),
        })
    }
}
