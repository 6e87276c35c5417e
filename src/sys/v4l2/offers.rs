//! What a camera says it can do.

use std::io;

use v4l::v4l_sys::*;

use super::raw::{self, ioctl, zeroed};
use super::{Device, FourCc};
use crate::base::units::Size;

/// Formats, sizes of a format and rates of a size that are asked for: real cameras have far fewer, and a driver that
/// never says "no more" must not keep us here.
const MOST: u32 = 128;

/// Sizes looked at where a camera can do any, beside the wanted one and its largest.
const COMMON: [Size; 5] = [
    Size::new(320, 180),
    Size::new(640, 360),
    Size::new(640, 480),
    Size::new(1280, 720),
    Size::new(1920, 1080),
];

/// Seconds from one frame to the next, as a fraction; neither part is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Interval {
    pub(super) numerator: u32,
    pub(super) denominator: u32,
}

impl Interval {
    /// None when a part is zero.
    pub const fn new(numerator: u32, denominator: u32) -> Option<Self> {
        if numerator == 0 || denominator == 0 { None } else { Some(Interval { numerator, denominator }) }
    }

    /// Of `fps` frames a second, at least 1.
    pub const fn of_fps(fps: u32) -> Self {
        Interval { numerator: 1, denominator: if fps == 0 { 1 } else { fps } }
    }

    /// Frames a second.
    pub fn fps(self) -> f64 {
        f64::from(self.denominator) / f64::from(self.numerator)
    }
}

/// The rates between two intervals; both are the same where a camera names single rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// The shortest interval.
    pub fastest: Interval,
    /// The longest.
    pub slowest: Interval,
}

/// One format and size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Of the pixels.
    pub fourcc: FourCc,
    /// Of the picture.
    pub size: Size,
    /// Empty when the driver does not tell.
    pub rates: Vec<Rates>,
}

impl Device {
    /// Formats, sizes and rates. Where it can do any size within bounds, common ones and the nearest that is at
    /// least `wanted` are told.
    ///
    /// # Errors
    /// The system's, when it does not even tell its formats.
    pub fn offers(&self, wanted: Size) -> io::Result<Vec<Offer>> {
        let mut offers = Vec::new();
        for fourcc in self.formats()? {
            let mut sizes = self.sizes(fourcc, wanted);
            if sizes.is_empty() {
                // A driver that does not list sizes says at least what it would make of a wish.
                sizes.extend(self.try_format(fourcc, wanted).map(|format| format.size));
            }
            for size in sizes {
                offers.push(Offer { fourcc, size, rates: self.rates(fourcc, size) });
            }
        }
        Ok(offers)
    }

    /// Pixel formats of its capture side.
    ///
    /// # Errors
    /// The system's.
    pub fn formats(&self) -> io::Result<Vec<FourCc>> {
        let mut formats = Vec::new();
        for index in 0..MOST {
            let mut entry: v4l2_fmtdesc = zeroed();
            (entry.index, entry.type_) = (index, self.capability().buffer_type());
            // SAFETY: no pointers in it.
            match unsafe { ioctl(&self.fd, &raw::ENUM_FMT, &mut entry) } {
                Ok(()) => formats.push(FourCc::from_raw(entry.pixelformat)),
                Err(error) if index == 0 && error.raw_os_error() != Some(libc::EINVAL) => return Err(error),
                Err(_) => break,
            }
        }
        Ok(formats)
    }

    fn sizes(&self, fourcc: FourCc, wanted: Size) -> Vec<Size> {
        let mut sizes = Vec::new();
        for index in 0..MOST {
            let mut entry: v4l2_frmsizeenum = zeroed();
            (entry.index, entry.pixel_format) = (index, fourcc.to_raw());
            // SAFETY: no pointers in it.
            if unsafe { ioctl(&self.fd, &raw::ENUM_FRAMESIZES, &mut entry) }.is_err() {
                break;
            }
            if entry.type_ == v4l2_frmsizetypes_V4L2_FRMSIZE_TYPE_DISCRETE {
                // SAFETY: plain numbers, and the driver says which.
                let size = unsafe { entry.__bindgen_anon_1.discrete };
                sizes.push(Size::new(size.width, size.height));
            } else {
                // SAFETY: as above.
                let range = unsafe { entry.__bindgen_anon_1.stepwise };
                sizes.extend(within(&range, wanted));
                break;
            }
        }
        sizes.retain(|size| size.width > 0 && size.height > 0);
        let mut seen = Vec::new();
        sizes.retain(|size| {
            let new = !seen.contains(size);
            seen.push(*size);
            new
        });
        sizes
    }

    fn rates(&self, fourcc: FourCc, size: Size) -> Vec<Rates> {
        let mut rates = Vec::new();
        for index in 0..MOST {
            let mut entry: v4l2_frmivalenum = zeroed();
            (entry.index, entry.pixel_format) = (index, fourcc.to_raw());
            (entry.width, entry.height) = (size.width, size.height);
            // SAFETY: no pointers in it.
            if unsafe { ioctl(&self.fd, &raw::ENUM_FRAMEINTERVALS, &mut entry) }.is_err() {
                break;
            }
            let interval = |fraction: v4l2_fract| Interval::new(fraction.numerator, fraction.denominator);
            if entry.type_ == v4l2_frmivaltypes_V4L2_FRMIVAL_TYPE_DISCRETE {
                // SAFETY: plain numbers, and the driver says which.
                let one = interval(unsafe { entry.__bindgen_anon_1.discrete });
                rates.extend(one.map(|interval| Rates { fastest: interval, slowest: interval }));
            } else {
                // SAFETY: as above.
                let range = unsafe { entry.__bindgen_anon_1.stepwise };
                let (fastest, slowest) = (interval(range.min), interval(range.max));
                rates.extend(fastest.zip(slowest).map(|(fastest, slowest)| Rates { fastest, slowest }));
                break;
            }
        }
        rates
    }
}

/// Sizes within a range of them: common ones, the nearest that is at least `wanted`, and the largest.
fn within(range: &v4l2_frmsize_stepwise, wanted: Size) -> Vec<Size> {
    let up = |value: u32, (least, most, step): (u32, u32, u32)| {
        let (least, step) = (least.min(most), step.max(1));
        let above = value.clamp(least, most) - least;
        let rounded = least.saturating_add(above.div_ceil(step).saturating_mul(step));
        if rounded <= most { rounded } else { least + above / step * step }
    };
    let nearest = |size: Size| {
        let width = up(size.width, (range.min_width, range.max_width, range.step_width));
        Size::new(width, up(size.height, (range.min_height, range.max_height, range.step_height)))
    };
    let fits = |size: &Size| {
        (range.min_width..=range.max_width).contains(&size.width)
            && (range.min_height..=range.max_height).contains(&size.height)
    };
    let largest = Size::new(range.max_width, range.max_height);
    let common = COMMON.into_iter().filter(fits);
    common.chain([wanted, largest]).map(nearest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_size_becomes_the_common_ones_the_wanted_and_the_largest_on_the_step() {
        let range = v4l2_frmsize_stepwise {
            min_width: 16,
            max_width: 1920,
            step_width: 16,
            min_height: 16,
            max_height: 1088,
            step_height: 2,
        };
        let sizes = within(&range, Size::new(1000, 601));
        assert!(sizes.contains(&Size::new(1280, 720)) && sizes.contains(&Size::new(1008, 602)));
        assert!(sizes.contains(&Size::new(1920, 1088)) && sizes.contains(&Size::new(640, 480)));
    }

    #[test]
    fn a_range_that_cannot_be_does_no_harm() {
        let range = v4l2_frmsize_stepwise {
            min_width: u32::MAX,
            max_width: 7,
            step_width: 0,
            min_height: 0,
            max_height: u32::MAX,
            step_height: u32::MAX,
        };
        assert!(within(&range, Size::new(1280, 720)).iter().all(|size| size.width <= 7));
    }
}
