//! H.264 bitstream facts (ITU-T H.264, ISO/IEC 14496-10): NAL units, Annex B and length-prefixed forms, SPS.

mod annexb;
mod nal;
mod sps;

pub use annexb::{nals, to_length_prefixed};
pub use nal::NalType;
pub use sps::{Sps, SpsError};
