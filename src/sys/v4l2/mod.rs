//! Cameras by Video4Linux 2 (the kernel's `videodev2.h`): open, ask, set, and stream from memory-mapped buffers, with
//! the single- and the multi-planar interface. Nothing here panics whatever a driver answers.

mod controls;
mod device;
mod offers;
mod raw;
mod stream;

pub use controls::{Control, ControlKind};
pub use device::{Capability, Device, Format, PlaneFormat};
pub use offers::{Interval, Offer, Rates};
pub use stream::{Buffer, Stream, monotonic_nanos};

use std::fmt;

/// Planes that this crate reads of one picture; formats with more are none that it uses.
pub const PLANES: usize = 3;

/// A pixel format as V4L2 names it: four letters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FourCc(pub [u8; 4]);

impl FourCc {
    /// 4:2:0, Y, then U and V interleaved.
    pub const NV12: FourCc = FourCc(*b"NV12");
    /// As [`FourCc::NV12`], in two separate buffers.
    pub const NM12: FourCc = FourCc(*b"NM12");
    /// 4:2:0, Y, U, V.
    pub const YU12: FourCc = FourCc(*b"YU12");
    /// As [`FourCc::YU12`], in three separate buffers.
    pub const YM12: FourCc = FourCc(*b"YM12");
    /// 4:2:2, Y U Y V.
    pub const YUYV: FourCc = FourCc(*b"YUYV");
    /// 4:2:2, U Y V Y.
    pub const UYVY: FourCc = FourCc(*b"UYVY");
    /// Motion JPEG.
    pub const MJPG: FourCc = FourCc(*b"MJPG");
    /// JPEG.
    pub const JPEG: FourCc = FourCc(*b"JPEG");
    /// H.264 with start codes.
    pub const H264: FourCc = FourCc(*b"H264");

    fn from_raw(raw: u32) -> Self {
        FourCc(raw.to_le_bytes())
    }

    fn to_raw(self) -> u32 {
        u32::from_le_bytes(self.0)
    }
}

impl fmt::Display for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A driver may answer any four bytes.
        let text: String = self.0.iter().map(|byte| char::from(byte & 0x7f)).collect();
        f.write_str(&text.trim_end().replace(|c: char| !c.is_ascii_graphic(), "?"))
    }
}

impl fmt::Debug for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A driver's text: up to the first zero, whatever is no UTF-8 replaced.
fn text_of(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_a_driver_answers_becomes_text_whatever_it_is() {
        assert_eq!(text_of(b"HD Webcam\0rubbish"), "HD Webcam");
        assert_eq!(text_of(b"\xff\xfe no zero"), "\u{fffd}\u{fffd} no zero");
        assert_eq!(FourCc::from_raw(FourCc::YUYV.to_raw()).to_string(), "YUYV");
        assert_eq!(FourCc([b'Y', 0, 0xff, b' ']).to_string(), "Y??");
    }

    #[test]
    fn what_is_no_camera_is_refused_by_the_system_s_own_error() {
        let code = |path: &str| Device::open(path.as_ref()).err().and_then(|error| error.raw_os_error());
        assert_eq!(code("/dev/null"), Some(libc::ENOTTY));
        assert_eq!(code("/dev/video-that-is-not-there"), Some(libc::ENOENT));
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(code(&dir.path().display().to_string()), Some(libc::ENOTTY));
        let file = dir.path().join("video0");
        std::fs::write(&file, b"a file").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(code(&file.display().to_string()), Some(libc::ENOTTY));
    }
}
