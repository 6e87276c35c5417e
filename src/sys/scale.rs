//! Scaling by libyuv.

/// An I420 picture to read: planes with rows without padding, chroma of half the width and height.
#[derive(Clone, Copy, Debug)]
pub struct I420<'a> {
    /// Even.
    pub width: u32,
    /// Even.
    pub height: u32,
    /// Y, U and V.
    pub planes: (&'a [u8], &'a [u8], &'a [u8]),
}

/// As [`I420`], to write.
#[derive(Debug)]
pub struct I420Mut<'a> {
    /// Even.
    pub width: u32,
    /// Even.
    pub height: u32,
    /// Y, U and V.
    pub planes: (&'a mut [u8], &'a mut [u8], &'a mut [u8]),
}

/// Whether planes of these lengths can be a picture of `width` times `height`.
fn fits(width: u32, height: u32, (y, u, v): (usize, usize, usize)) -> bool {
    let in_range = (2..=16_384).contains(&width) && (2..=16_384).contains(&height);
    let luma = width as usize * height as usize;
    in_range
        && width.is_multiple_of(2)
        && height.is_multiple_of(2)
        && y >= luma
        && u >= luma / 4
        && v >= luma / 4
}

/// Scales all of `from` into all of `to` with the box filter (for 2:1 and 4:1 libyuv has fast paths). Returns
/// false, with `to` as it was or in an unknown state, when planes and sizes do not match.
#[must_use]
pub fn scale(from: I420, to: I420Mut) -> bool {
    let (sy, su, sv) = from.planes;
    let (ty, tu, tv) = to.planes;
    let matches = fits(from.width, from.height, (sy.len(), su.len(), sv.len()))
        && fits(to.width, to.height, (ty.len(), tu.len(), tv.len()));
    if !matches {
        return false;
    }
    let (sw, sh) = (from.width as i32, from.height as i32);
    let (tw, th) = (to.width as i32, to.height as i32);
    // SAFETY: `fits` holds for both pictures: every plane is at least as long as stride times rows.
    let result = unsafe {
        yuv_sys::rs_I420Scale(
            sy.as_ptr(),
            sw,
            su.as_ptr(),
            sw / 2,
            sv.as_ptr(),
            sw / 2,
            sw,
            sh,
            ty.as_mut_ptr(),
            tw,
            tu.as_mut_ptr(),
            tw / 2,
            tv.as_mut_ptr(),
            tw / 2,
            tw,
            th,
            yuv_sys::FilterMode_kFilterBox,
        )
    };
    result == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halving_averages_four_pixels_and_short_planes_are_refused() {
        let luma: Vec<u8> = (0..64 * 32).map(|n| if n % 2 == 0 { 100 } else { 200 }).collect();
        let chroma = [128; 32 * 16];
        let from = I420 { width: 64, height: 32, planes: (&luma, &chroma, &chroma) };
        let (mut y, mut u, mut v) = ([0; 32 * 16], [0; 16 * 8], [0; 16 * 8]);
        assert!(scale(from, I420Mut { width: 32, height: 16, planes: (&mut y, &mut u, &mut v) }));
        assert!(y.iter().all(|luma| *luma == 150) && u.iter().chain(&v).all(|chroma| *chroma == 128));
        assert!(!scale(from, I420Mut { width: 34, height: 16, planes: (&mut y, &mut u, &mut v) }));
    }
}
