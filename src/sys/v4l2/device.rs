//! One open device: what it is, and its format.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use v4l::v4l_sys::*;

use super::raw::{self, ioctl, zeroed};
use super::{FourCc, Interval, PLANES, text_of};
use crate::base::units::Size;

/// An open device of `/dev/video*`; closed when dropped.
#[derive(Debug)]
pub struct Device {
    pub(super) fd: OwnedFd,
    capability: Capability,
}

/// What a device says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capability {
    /// `uvcvideo`.
    pub driver: String,
    /// `HD Pro Webcam C920`.
    pub card: String,
    /// Where it is plugged in: `usb-0000:00:14.0-2`.
    pub bus: String,
    /// `V4L2_CAP_…` of this node.
    flags: u32,
}

impl Capability {
    /// Whether it gives pictures that can be streamed: no metadata, no codec, no output.
    pub fn is_camera(&self) -> bool {
        let has = |flags| self.flags & flags != 0;
        has(V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_VIDEO_CAPTURE_MPLANE)
            && has(V4L2_CAP_STREAMING)
            && !self.is_codec()
    }

    /// Whether it turns pictures that it is given into others: an encoder, decoder or scaler.
    pub fn is_codec(&self) -> bool {
        self.flags & (V4L2_CAP_VIDEO_M2M | V4L2_CAP_VIDEO_M2M_MPLANE) != 0
    }

    /// `V4L2_BUF_TYPE_…` of its capture side.
    pub(super) fn buffer_type(&self) -> u32 {
        let multi = V4L2_CAP_VIDEO_CAPTURE_MPLANE | V4L2_CAP_VIDEO_M2M_MPLANE;
        let single = self.flags & (V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_VIDEO_M2M) != 0;
        if self.flags & multi != 0 && !single {
            v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE
        } else {
            v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE
        }
    }
}

/// One plane's layout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlaneFormat {
    /// Bytes from one row to the next; 0 for compressed formats.
    pub stride: u32,
    /// Bytes of a picture at most.
    pub bytes: u32,
}

/// What the driver has agreed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// Of the pixels.
    pub fourcc: FourCc,
    /// Of the picture.
    pub size: Size,
    /// One to [`PLANES`] buffers a picture.
    pub planes: Vec<PlaneFormat>,
}

impl Device {
    /// Opens the device at `path`, for reading frames and setting controls; nothing blocks on it later.
    ///
    /// # Errors
    /// The system's: `ENOENT`, `EACCES`, `ENOTTY` when it is no video device, …
    pub fn open(path: &Path) -> io::Result<Device> {
        // Other kinds of files may do something when they are opened.
        if !fs::metadata(path)?.file_type().is_char_device() {
            return Err(io::Error::from_raw_os_error(libc::ENOTTY));
        }
        let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        let fd = OwnedFd::from(file);
        let mut found: v4l2_capability = zeroed();
        // SAFETY: no pointers in it.
        unsafe { ioctl(&fd, &raw::QUERYCAP, &mut found) }?;
        let of_node = found.capabilities & V4L2_CAP_DEVICE_CAPS != 0;
        let capability = Capability {
            driver: text_of(&found.driver),
            card: text_of(&found.card),
            bus: text_of(&found.bus_info),
            flags: if of_node { found.device_caps } else { found.capabilities },
        };
        Ok(Device { fd, capability })
    }

    /// What it says of itself.
    pub fn capability(&self) -> &Capability {
        &self.capability
    }

    /// Sets format and size; the driver answers what it really will give, which may be something else.
    ///
    /// # Errors
    /// The system's (`EBUSY`: another program streams), and `InvalidData` for an answer that cannot be.
    pub fn set_format(&self, fourcc: FourCc, size: Size) -> io::Result<Format> {
        self.negotiate(&raw::S_FMT, fourcc, size)
    }

    /// As [`Device::set_format`], without setting anything.
    ///
    /// # Errors
    /// As [`Device::set_format`].
    pub fn try_format(&self, fourcc: FourCc, size: Size) -> io::Result<Format> {
        self.negotiate(&raw::TRY_FMT, fourcc, size)
    }

    fn negotiate(
        &self,
        request: &raw::Request<v4l2_format>,
        fourcc: FourCc,
        size: Size,
    ) -> io::Result<Format> {
        let mut format: v4l2_format = zeroed();
        format.type_ = self.capability.buffer_type();
        if self.is_multi_planar() {
            // SAFETY: all members of the union are plain numbers, and all of it is zero.
            let pixels = unsafe { &mut format.fmt.pix_mp };
            (pixels.width, pixels.height) = (size.width, size.height);
            (pixels.pixelformat, pixels.field) = (fourcc.to_raw(), v4l2_field_V4L2_FIELD_NONE);
        } else {
            // SAFETY: as above.
            let pixels = unsafe { &mut format.fmt.pix };
            (pixels.width, pixels.height) = (size.width, size.height);
            (pixels.pixelformat, pixels.field) = (fourcc.to_raw(), v4l2_field_V4L2_FIELD_NONE);
        }
        // SAFETY: no pointers in it that the kernel follows for this type.
        unsafe { ioctl(&self.fd, request, &mut format) }?;
        self.read_format(&format)
    }

    fn read_format(&self, format: &v4l2_format) -> io::Result<Format> {
        let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let read = if self.is_multi_planar() {
            // SAFETY: plain numbers, whatever the driver wrote; the structure is packed, so it is copied.
            let pixels = unsafe { format.fmt.pix_mp };
            let (fourcc, size) = (pixels.pixelformat, Size::new(pixels.width, pixels.height));
            let all = pixels.plane_fmt;
            let planes = all.get(..usize::from(pixels.num_planes)).unwrap_or_default().iter();
            let planes =
                planes.map(|plane| PlaneFormat { stride: plane.bytesperline, bytes: plane.sizeimage });
            Format { fourcc: FourCc::from_raw(fourcc), size, planes: planes.collect() }
        } else {
            // SAFETY: plain numbers.
            let pixels = unsafe { format.fmt.pix };
            let size = Size::new(pixels.width, pixels.height);
            let plane = PlaneFormat { stride: pixels.bytesperline, bytes: pixels.sizeimage };
            Format { fourcc: FourCc::from_raw(pixels.pixelformat), size, planes: vec![plane] }
        };
        if read.planes.is_empty() || read.planes.len() > PLANES {
            return Err(wrong("the driver answers a format with no planes, or too many"));
        }
        if read.size.width == 0 || read.size.height == 0 || read.size.width.max(read.size.height) > 16_384 {
            return Err(wrong("the driver answers an impossible size"));
        }
        Ok(read)
    }

    /// Asks for one frame an `interval`; what the driver will keep to, or None when it says nothing about it.
    ///
    /// # Errors
    /// The system's; `ENOTTY` or `EINVAL` when the rate cannot be set.
    pub fn set_interval(&self, interval: Interval) -> io::Result<Option<Interval>> {
        let mut parameters: v4l2_streamparm = zeroed();
        parameters.type_ = self.capability.buffer_type();
        // SAFETY: all members of the union are plain numbers, and all of it is zero.
        let capture = unsafe { &mut parameters.parm.capture };
        capture.timeperframe =
            v4l2_fract { numerator: interval.numerator, denominator: interval.denominator };
        // SAFETY: no pointers in it.
        unsafe { ioctl(&self.fd, &raw::S_PARM, &mut parameters) }?;
        // SAFETY: plain numbers.
        let answer = unsafe { parameters.parm.capture.timeperframe };
        Ok(Interval::new(answer.numerator, answer.denominator))
    }

    pub(super) fn is_multi_planar(&self) -> bool {
        self.capability.buffer_type() == v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(flags: u32) -> Capability {
        Capability { flags, ..Capability::default() }
    }

    #[test]
    fn cameras_are_told_from_metadata_codecs_and_outputs() {
        let streaming = V4L2_CAP_STREAMING;
        assert!(node(V4L2_CAP_VIDEO_CAPTURE | streaming).is_camera());
        assert!(node(V4L2_CAP_VIDEO_CAPTURE_MPLANE | streaming).is_camera());
        // v4l2loopback without exclusive_caps.
        assert!(node(V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_VIDEO_OUTPUT | streaming).is_camera());
        for other in [
            V4L2_CAP_META_CAPTURE | streaming,
            V4L2_CAP_VIDEO_M2M_MPLANE | streaming,
            V4L2_CAP_VIDEO_OUTPUT | streaming,
            V4L2_CAP_VIDEO_CAPTURE,
        ] {
            assert!(!node(other).is_camera(), "{other:#x}");
        }
        let multi = node(V4L2_CAP_VIDEO_CAPTURE_MPLANE).buffer_type();
        assert_eq!(multi, v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE);
    }
}
