//! From what cameras give to I420, by libyuv.

use super::scale::I420Mut;
use crate::base::units::Size;

/// One plane to read.
#[derive(Clone, Copy, Debug)]
pub struct Plane<'a> {
    /// At least as long as its rows need; see [`Plane::fits`].
    pub data: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
    /// Samples of a row, and rows.
    pub size: Size,
}

impl<'a> Plane<'a> {
    /// Whether `data` holds every row of `per_sample` bytes a sample, and the numbers are of this world.
    fn fits(&self, per_sample: usize) -> bool {
        let (width, height) = (self.size.width as usize, self.size.height as usize);
        let row = width * per_sample;
        let in_range = (1..=16_384).contains(&width) && (1..=16_384).contains(&height);
        in_range
            && self.stride >= row
            && self.stride <= 1 << 17
            && self.data.len() >= self.stride * (height - 1) + row
    }

    /// The part of it that begins at `left`, `top` and has `size`. None when it sticks out.
    pub fn part(&self, left: u32, top: u32, size: Size) -> Option<Plane<'a>> {
        let inside = left.checked_add(size.width)? <= self.size.width
            && top.checked_add(size.height)? <= self.size.height;
        let from = self.stride.checked_mul(top as usize)?.checked_add(left as usize)?;
        let data = self.data.get(from..).filter(|_| inside)?;
        Some(Plane { data, stride: self.stride, size })
    }
}

/// Whether `to` has room for `size` without padding.
fn has_room(to: &[u8], size: Size) -> bool {
    (1..=16_384).contains(&size.width)
        && (1..=16_384).contains(&size.height)
        && to.len() >= size.width as usize * size.height as usize
}

/// Scales all of `from` into `to`, which has `size` and no padding; copies when the sizes are the same. Returns
/// false, with `to` as it was, when planes and sizes do not match.
#[must_use]
pub fn scale_plane(from: Plane, to: &mut [u8], size: Size) -> bool {
    if !from.fits(1) || !has_room(to, size) {
        return false;
    }
    // SAFETY: both planes are as long as libyuv reads and writes, checked above.
    let result = unsafe {
        yuv_sys::rs_ScalePlane(
            from.data.as_ptr(),
            from.stride as i32,
            from.size.width as i32,
            from.size.height as i32,
            to.as_mut_ptr(),
            size.width as i32,
            size.width as i32,
            size.height as i32,
            yuv_sys::FilterMode_kFilterBox,
        )
    };
    result == 0
}

/// What the samples of a full-range plane (JPEG: 0 to 255) stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Samples {
    /// Brightness: becomes 16 to 235.
    Luma,
    /// Colour: becomes 16 to 240.
    Chroma,
}

impl Samples {
    /// 256ths and what is added; libyuv's own numbers of `J420ToI420`.
    fn factors(self) -> (i32, i32) {
        match self {
            Samples::Luma => (220, 16),
            Samples::Chroma => (225, 16),
        }
    }
}

/// Copies `from` into `to` (of the same size, without padding) from full to limited range. Returns false, with `to`
/// as it was, when they do not match.
#[must_use]
pub fn limit_range(from: Plane, to: &mut [u8], samples: Samples) -> bool {
    if !from.fits(1) || !has_room(to, from.size) {
        return false;
    }
    let (width, height) = (from.size.width as i32, from.size.height as i32);
    let (scale, bias) = samples.factors();
    let (source, target) = (from.data.as_ptr(), to.as_mut_ptr());
    // SAFETY: both planes are as long as libyuv reads and writes, checked above.
    unsafe {
        yuv_sys::rs_Convert8To8Plane(source, from.stride as i32, target, width, scale, bias, width, height);
    }
    true
}

/// As [`limit_range`], in place.
pub fn limit_range_in_place(plane: &mut [u8], samples: Samples) {
    let (scale, bias) = samples.factors();
    // libyuv counts in i32; no picture comes near.
    let length = i32::try_from(plane.len()).unwrap_or(0);
    let at = plane.as_mut_ptr();
    // SAFETY: one row of the slice's length, each sample read before it is written.
    unsafe { yuv_sys::rs_Convert8To8Plane(at.cast_const(), length, at, length, scale, bias, length, 1) };
}

/// Order of the bytes of 4:2:2 with all components in one plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packed {
    /// Y U Y V.
    Yuyv,
    /// U Y V Y.
    Uyvy,
}

/// Whether `to` is a picture of exactly `size`, even in both directions.
fn matches(to: &I420Mut, size: Size) -> bool {
    let luma = size.width as usize * size.height as usize;
    let (y, u, v) = (to.planes.0.len(), to.planes.1.len(), to.planes.2.len());
    (to.width, to.height) == (size.width, size.height)
        && size.width.is_multiple_of(2)
        && size.height.is_multiple_of(2)
        && y >= luma
        && u >= luma / 4
        && v >= luma / 4
}

/// Packed 4:2:2 to I420 of the same size. Returns false, with `to` as it was, when they do not match.
#[must_use]
pub fn from_packed(from: Plane, order: Packed, to: I420Mut) -> bool {
    if !from.fits(2) || !matches(&to, from.size) {
        return false;
    }
    let (width, height) = (from.size.width as i32, from.size.height as i32);
    let convert = match order {
        Packed::Yuyv => yuv_sys::rs_YUY2ToI420,
        Packed::Uyvy => yuv_sys::rs_UYVYToI420,
    };
    let (y, u, v) = to.planes;
    // SAFETY: all planes are as long as libyuv reads and writes, checked above.
    let result = unsafe {
        convert(
            from.data.as_ptr(),
            from.stride as i32,
            y.as_mut_ptr(),
            width,
            u.as_mut_ptr(),
            width / 2,
            v.as_mut_ptr(),
            width / 2,
            width,
            height,
        )
    };
    result == 0
}

/// NV12 (`uv` has a sample, of two bytes, for each two by two pixels) to I420 of the same size. Returns false, with
/// `to` as it was, when they do not match.
#[must_use]
pub fn from_nv12(luma: Plane, uv: Plane, to: I420Mut) -> bool {
    let halved = Size::new(luma.size.width / 2, luma.size.height / 2);
    if !luma.fits(1) || !uv.fits(2) || uv.size != halved || !matches(&to, luma.size) {
        return false;
    }
    let (width, height) = (luma.size.width as i32, luma.size.height as i32);
    let (y, u, v) = to.planes;
    // SAFETY: all planes are as long as libyuv reads and writes, checked above.
    let result = unsafe {
        yuv_sys::rs_NV12ToI420(
            luma.data.as_ptr(),
            luma.stride as i32,
            uv.data.as_ptr(),
            uv.stride as i32,
            y.as_mut_ptr(),
            width,
            u.as_mut_ptr(),
            width / 2,
            v.as_mut_ptr(),
            width / 2,
            width,
            height,
        )
    };
    result == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size::new(8, 4);

    fn planes() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        (vec![0; 32], vec![0; 8], vec![0; 8])
    }

    #[test]
    fn packed_and_interleaved_pictures_come_apart_and_padding_is_left_out() {
        let (mut y, mut u, mut v) = planes();
        // Rows of 8 pixels and 4 bytes of padding.
        let row: Vec<u8> = [[10, 20, 30, 40]; 4].concat().into_iter().chain([99; 4]).collect();
        let data = row.repeat(4);
        let from = Plane { data: &data, stride: 20, size: SIZE };
        assert!(from_packed(
            from,
            Packed::Yuyv,
            I420Mut { width: 8, height: 4, planes: (&mut y, &mut u, &mut v) }
        ));
        assert_eq!((&y[..4], u[0], v[7]), (&[10, 30, 10, 30][..], 20, 40));
        let (luma, chroma) = ([7; 40], [[1, 2]; 8].concat());
        let luma = Plane { data: &luma, stride: 10, size: SIZE };
        let uv = Plane { data: &chroma, stride: 8, size: Size::new(4, 2) };
        assert!(from_nv12(luma, uv, I420Mut { width: 8, height: 4, planes: (&mut y, &mut u, &mut v) }));
        assert_eq!((y[31], u[7], v[0]), (7, 1, 2));
    }

    #[test]
    fn full_range_becomes_limited_range() {
        let data: Vec<u8> = (0..=255).collect();
        let plane = Plane { data: &data, stride: 16, size: Size::new(16, 16) };
        let (mut luma, mut chroma) = (vec![0; 256], vec![0; 256]);
        assert!(
            limit_range(plane, &mut luma, Samples::Luma) && limit_range(plane, &mut chroma, Samples::Chroma)
        );
        assert_eq!((luma[0], luma[255]), (16, 235));
        assert_eq!((chroma[0], chroma[255]), (16, 240));
        assert!(chroma[128].abs_diff(128) <= 1);
        let mut in_place = data.clone();
        limit_range_in_place(&mut in_place, Samples::Chroma);
        assert_eq!(in_place, chroma);
    }

    #[test]
    fn short_planes_and_wrong_strides_are_refused() {
        let data = [0; 64];
        let (mut y, mut u, mut v) = planes();
        let short = [(16, 63), (15, 64), (1 << 20, 64)];
        for (stride, length) in short {
            let from = Plane { data: &data[..length], stride, size: SIZE };
            let to = I420Mut { width: 8, height: 4, planes: (&mut y, &mut u, &mut v) };
            assert!(!from_packed(from, Packed::Uyvy, to), "{stride} {length}");
        }
        let whole = Plane { data: &data[..32], stride: 8, size: SIZE };
        assert!(!scale_plane(whole, &mut y, Size::new(8, 5)) && !scale_plane(whole, &mut y, Size::new(0, 4)));
        assert!(whole.part(4, 2, Size::new(4, 2)).is_some() && whole.part(6, 2, Size::new(4, 2)).is_none());
        assert!(whole.part(u32::MAX, 0, Size::new(1, 1)).is_none());
    }
}
