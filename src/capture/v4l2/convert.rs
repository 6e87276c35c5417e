//! From what the camera gives to pictures of the box's size.

use crate::base::clock::MediaTime;
use crate::base::units::Size;
use crate::media::{FramePool, VideoFrame};
use crate::sys::jpeg::{Decoder, Header, JpegError};
use crate::sys::scale::I420Mut;
use crate::sys::v4l2::{Format, FourCc};
use crate::sys::yuv::{self, Packed, Plane, Samples};

/// A JPEG that says it is larger is damaged.
const MOST_PIXELS: u32 = 4096 * 2304;
/// Cameras (Logitech's among them) put a few bytes too many before the end of a JPEG. That many are no damage.
const STRAY_BYTES: u32 = 16;

/// Why a picture cannot be shown.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It has fewer bytes than its format needs.
    #[error("a picture of {got} bytes, {format} needs {needed}")]
    Short {
        /// What came, of all planes.
        got: usize,
        /// What must.
        needed: usize,
        /// Format and size.
        format: String,
    },
    /// The JPEG decoder's words.
    #[error("JPEG: {0}")]
    Jpeg(String),
    /// The driver said so.
    #[error("the driver calls it damaged")]
    Driver,
    /// A format or size that cannot be converted.
    #[error("{0} cannot be converted")]
    Format(String),
}

/// Makes pictures of one size, filling it: what sticks out of its shape is cut off evenly.
pub struct Converter {
    pool: FramePool,
    /// A picture of the camera's size, where it is another.
    staging: Vec<u8>,
    jpeg: Option<Decoder>,
    /// A JPEG's planes, or those of one strip of it: Y, Cb, Cr.
    decoded: Vec<u8>,
}

impl Converter {
    /// For pictures of `size`, even in both directions.
    pub fn new(size: Size) -> Self {
        Converter { pool: FramePool::new(size), staging: Vec::new(), jpeg: None, decoded: Vec::new() }
    }

    /// The picture in `planes`, captured at `captured`.
    ///
    /// # Errors
    /// When it cannot be shown; the next may be good again.
    pub fn picture(
        &mut self,
        format: &Format,
        planes: &[&[u8]],
        captured: MediaTime,
    ) -> Result<VideoFrame, Damage> {
        let mut frame = self.pool.take(captured);
        match format.fourcc {
            FourCc::MJPG | FourCc::JPEG => {
                self.jpeg(planes.first().copied().unwrap_or_default(), &mut frame)?
            }
            FourCc::YU12 | FourCc::YM12 => fill_from(planar(format, planes)?, &mut frame),
            _ => self.raw(format, planes, &mut frame)?,
        }
        Ok(frame)
    }

    /// Formats that libyuv converts at their own size.
    fn raw(&mut self, format: &Format, planes: &[&[u8]], frame: &mut VideoFrame) -> Result<(), Damage> {
        let size = format.size;
        let source = Source::of(format, planes)?;
        if size == frame.size() {
            return source.convert(size, frame.planes_mut()).ok_or_else(|| unfit(format));
        }
        let luma = size.width as usize * size.height as usize;
        self.staging.resize(luma * 3 / 2, 0);
        let (y, uv) = self.staging.split_at_mut(luma);
        let (u, v) = uv.split_at_mut(luma / 4);
        source.convert(size, (&mut *y, &mut *u, &mut *v)).ok_or_else(|| unfit(format))?;
        let halved = Size::new(size.width / 2, size.height / 2);
        let whole = |data, size: Size| Plane { data, stride: size.width as usize, size };
        fill_from([whole(&*y, size), whole(&*u, halved), whole(&*v, halved)], frame);
        Ok(())
    }

    /// Kept is the decoder only after a picture without error: nothing of a bad one is left in it.
    fn jpeg(&mut self, data: &[u8], frame: &mut VideoFrame) -> Result<(), Damage> {
        let failed = |error: JpegError| Damage::Jpeg(error.0);
        let mut decoder = match self.jpeg.take() {
            Some(decoder) => decoder,
            None => Decoder::new().map_err(failed)?,
        };
        let header = decoder.read(data).map_err(failed)?;
        let size = header.size;
        if size.width < 16 || size.height < 16 || size.width.saturating_mul(size.height) > MOST_PIXELS {
            return Err(Damage::Jpeg(format!("its header says {size}")));
        }
        let decoded = if size == frame.size() {
            jpeg_of_its_size(header, &mut self.decoded, frame)
        } else {
            jpeg_of_another_size(header, &mut self.decoded, frame)
        };
        match decoded {
            Err(error) if !is_harmless(&error) => return Err(failed(error)),
            _ => self.jpeg = Some(decoder),
        }
        Ok(())
    }
}

/// Y, Cb and Cr, one after the other in `buffer`.
fn three(buffer: &mut Vec<u8>, [y, u, v]: [usize; 3]) -> [&mut [u8]; 3] {
    buffer.resize(y + u + v, 0);
    let (y, colour) = buffer.split_at_mut(y);
    let (u, v) = colour.split_at_mut(u);
    [y, u, v]
}

/// Strip after strip into `frame`: samples are converted while they are in the nearest cache.
fn jpeg_of_its_size(header: Header, strip: &mut Vec<u8>, frame: &mut VideoFrame) -> Result<(), JpegError> {
    let (size, sizes, count) = (header.size, header.strip(), header.strips());
    let mut planes = three(strip, sizes.map(samples));
    let [rows, colour_rows, _] = sizes.map(|size| size.height);
    let half = size.width / 2;
    let (to_y, to_u, to_v) = frame.planes_mut();
    let mut strips = header.start()?;
    for number in 0..count {
        strips.next(planes.each_mut().map(|plane| &mut **plane))?;
        let top = number * rows;
        let shown = Size::new(size.width, rows.min(size.height - top));
        let halved = Size::new(half, shown.height / 2);
        let (at, at_half) = (samples(Size::new(size.width, top)), samples(Size::new(half, top / 2)));
        let [y, u, v] = &planes;
        let luma = Plane { data: y, stride: sizes[0].width as usize, size: shown };
        let _ = yuv::limit_range(luma, &mut to_y[at..at + samples(shown)], Samples::Luma);
        for (plane, to) in [(u, &mut *to_u), (v, &mut *to_v)] {
            let to = &mut to[at_half..at_half + samples(halved)];
            // Of colour as much as belongs to the rows shown.
            let from = Size::new(
                size.width * sizes[1].width / sizes[0].width,
                (shown.height * colour_rows).div_ceil(rows),
            );
            let colour = Plane { data: plane, stride: sizes[1].width as usize, size: from };
            // A grey picture has none.
            if samples(from) > 0 && yuv::scale_plane(colour, to, halved) {
                yuv::limit_range_in_place(to, Samples::Chroma);
            } else {
                to.fill(128);
            }
        }
    }
    strips.finish()
}

/// Whole, then scaled.
fn jpeg_of_another_size(
    header: Header,
    decoded: &mut Vec<u8>,
    frame: &mut VideoFrame,
) -> Result<(), JpegError> {
    let (size, sizes, count) = (header.size, header.strip(), header.strips());
    let whole = sizes.map(|strip| Size::new(strip.width, strip.height * count));
    let mut planes = three(decoded, whole.map(samples));
    let mut strips = header.start()?;
    for number in 0..count as usize {
        let mut lengths = sizes.map(samples).into_iter();
        strips.next(planes.each_mut().map(|plane| {
            let length = lengths.next().unwrap_or_default();
            &mut plane[number * length..]
        }))?;
    }
    let finished = strips.finish();
    // The planes are padded to whole blocks; what is shown is the header's, in even numbers.
    let shown = Size::new(size.width & !1, size.height & !1);
    let part = |plane: Size| {
        let (width, height) = (plane.width * shown.width, plane.height * shown.height);
        Size::new(width / whole[0].width.max(1), height / whole[0].height.max(1))
    };
    let [y, u, v] = &planes;
    let plane = |data, plane: Size, size| Plane { data, stride: plane.width as usize, size };
    let luma = plane(y, whole[0], shown);
    let chroma = [plane(u, whole[1], part(whole[1])), plane(v, whole[2], part(whole[2]))];
    fill(shown, luma, (samples(whole[1]) > 0).then_some(chroma), Some(FullRange), frame);
    finished
}

fn samples(plane: Size) -> usize {
    plane.width as usize * plane.height as usize
}

/// The samples are JPEG's, 0 to 255.
#[derive(Clone, Copy)]
struct FullRange;

/// A warning after which the picture is good all the same.
fn is_harmless(error: &JpegError) -> bool {
    let Some((before, _)) = error.0.split_once(" extraneous bytes") else { return false };
    let count = before.rsplit(' ').next().and_then(|word| word.parse::<u32>().ok());
    count.is_some_and(|count| count <= STRAY_BYTES)
}

fn unfit(format: &Format) -> Damage {
    Damage::Format(format!("{} {}", format.size, format.fourcc))
}

/// What of a plane is shown at `target`'s shape: the middle, as wide and high as can be.
fn cut(size: Size, target: Size) -> (u32, u32, Size) {
    let (width, height) = (u64::from(size.width), u64::from(size.height));
    let (tw, th) = (u64::from(target.width.max(1)), u64::from(target.height.max(1)));
    let even = |length: u64, most: u64| (length.min(most) & !1).max(2) as u32;
    // Within a hundredth the shapes are the same: nothing is cut for 1366x768.
    let same = (width * th).abs_diff(height * tw) * 100 <= height * tw;
    let kept = if same {
        size
    } else if width * th > height * tw {
        Size::new(even(height * tw / th, width), size.height)
    } else {
        Size::new(size.width, even(width * th / tw, height))
    };
    (((size.width - kept.width) / 2) & !1, ((size.height - kept.height) / 2) & !1, kept)
}

/// Fills `frame` with planes in limited range.
fn fill_from([luma, u, v]: [Plane; 3], frame: &mut VideoFrame) {
    fill(luma.size, luma, Some([u, v]), None, frame);
}

/// Fills `frame` with planes of any chroma resolution, of a picture of `size`.
fn fill(
    size: Size,
    luma: Plane,
    chroma: Option<[Plane; 2]>,
    range: Option<FullRange>,
    frame: &mut VideoFrame,
) {
    let target = frame.size();
    let (left, top, kept) = cut(size, target);
    let half = Size::new(target.width / 2, target.height / 2);
    let (to_y, to_u, to_v) = frame.planes_mut();
    fill_luma(luma.part(left, top, kept), range, to_y, target);
    let Some([u, v]) = chroma else {
        to_u.fill(128);
        to_v.fill(128);
        return;
    };
    for (plane, to) in [(u, to_u), (v, to_v)] {
        // The same part of the picture, in this plane's samples.
        let scaled = |length: u32, has: u32, of: u32| {
            (u64::from(length) * u64::from(has) / u64::from(of.max(1))) as u32
        };
        let across = |length| scaled(length, plane.size.width, size.width);
        let down = |length| scaled(length, plane.size.height, size.height);
        let size = Size::new(across(kept.width).max(1), down(kept.height).max(1));
        let part = plane.part(across(left), down(top), size);
        // Colour is nothing without it: planes that do not fit make a grey picture, no wrong one.
        if !part.is_some_and(|part| yuv::scale_plane(part, to, half)) {
            to.fill(128);
        } else if range.is_some() {
            yuv::limit_range_in_place(to, Samples::Chroma);
        }
    }
}

fn fill_luma(part: Option<Plane>, range: Option<FullRange>, to: &mut [u8], target: Size) {
    let filled = part.is_some_and(|part| match range {
        Some(_) if part.size == target => yuv::limit_range(part, to, Samples::Luma),
        Some(_) => {
            let scaled = yuv::scale_plane(part, to, target);
            yuv::limit_range_in_place(to, Samples::Luma);
            scaled
        }
        None => yuv::scale_plane(part, to, target),
    });
    if !filled {
        to.fill(16);
    }
}

/// Y, U and V of a format that has them apart, in one buffer or in three.
fn planar<'a>(format: &Format, planes: &[&'a [u8]]) -> Result<[Plane<'a>; 3], Damage> {
    let layout = Layout::of(format, 1);
    let stride = layout.stride(0);
    let (rows, halved) =
        (format.size.height as usize, Size::new(format.size.width / 2, format.size.height / 2));
    let apart = planes.len() >= 3;
    let half = |n: usize| if apart { layout.stride_or(n, stride / 2) } else { stride / 2 };
    let chroma = half(1) * rows / 2;
    let at = |n: usize, from: usize, needed: usize| {
        let (plane, from) = if apart { (n, 0) } else { (0, from) };
        layout.bytes(planes, plane, from, needed)
    };
    let y = at(0, 0, stride * rows)?;
    let u = at(1, stride * rows, chroma)?;
    let v = at(2, stride * rows + chroma, half(2) * rows / 2)?;
    Ok([
        Plane { data: y, stride, size: format.size },
        Plane { data: u, stride: half(1), size: halved },
        Plane { data: v, stride: half(2), size: halved },
    ])
}

/// A picture that libyuv takes as it is.
enum Source<'a> {
    Packed(Plane<'a>, Packed),
    Interleaved(Plane<'a>, Plane<'a>),
}

impl<'a> Source<'a> {
    fn of(format: &Format, planes: &[&'a [u8]]) -> Result<Self, Damage> {
        let rows = format.size.height as usize;
        let packed = |order| {
            let layout = Layout::of(format, 2);
            let stride = layout.stride(0);
            let data = layout.bytes(planes, 0, 0, stride * rows)?;
            Ok(Source::Packed(Plane { data, stride, size: format.size }, order))
        };
        match format.fourcc {
            FourCc::YUYV => packed(Packed::Yuyv),
            FourCc::UYVY => packed(Packed::Uyvy),
            FourCc::NV12 | FourCc::NM12 => {
                let layout = Layout::of(format, 1);
                let stride = layout.stride(0);
                let luma = layout.bytes(planes, 0, 0, stride * rows)?;
                let (plane, from, uv_stride) = match planes.len() {
                    0 | 1 => (0, stride * rows, stride),
                    _ => (1, 0, layout.stride_or(1, stride)),
                };
                let uv = layout.bytes(planes, plane, from, uv_stride * rows / 2)?;
                let halved = Size::new(format.size.width / 2, format.size.height / 2);
                Ok(Source::Interleaved(
                    Plane { data: luma, stride, size: format.size },
                    Plane { data: uv, stride: uv_stride, size: halved },
                ))
            }
            _ => Err(unfit(format)),
        }
    }

    fn convert(&self, size: Size, planes: (&mut [u8], &mut [u8], &mut [u8])) -> Option<()> {
        let to = I420Mut { width: size.width, height: size.height, planes };
        let done = match *self {
            Source::Packed(plane, order) => yuv::from_packed(plane, order, to),
            Source::Interleaved(luma, uv) => yuv::from_nv12(luma, uv, to),
        };
        done.then_some(())
    }
}

/// Where the rows are.
struct Layout<'a> {
    format: &'a Format,
    /// Bytes of a row of the first plane without padding.
    row: usize,
}

impl<'a> Layout<'a> {
    fn of(format: &'a Format, per_pixel: usize) -> Self {
        Layout { format, row: format.size.width as usize * per_pixel }
    }

    /// Of plane `n`; drivers that say 0 mean "no padding".
    fn stride(&self, n: usize) -> usize {
        self.stride_or(n, self.row)
    }

    fn stride_or(&self, n: usize, packed: usize) -> usize {
        match self.format.planes.get(n).map_or(0, |plane| plane.stride as usize) {
            0 => packed,
            stride => stride,
        }
    }

    /// `needed` bytes of plane `n` from `from` on. The last row's padding may be missing.
    fn bytes<'b>(
        &self,
        planes: &[&'b [u8]],
        n: usize,
        from: usize,
        needed: usize,
    ) -> Result<&'b [u8], Damage> {
        let padding = self.stride(0).saturating_sub(self.row);
        let data = planes.get(n).and_then(|plane| plane.get(from..)).unwrap_or_default();
        if data.len() + padding >= needed {
            return Ok(data);
        }
        let got = planes.iter().map(|plane| plane.len()).sum();
        let format = format!("{} {}", self.format.size, self.format.fourcc);
        Err(Damage::Short { got, needed: from + needed, format })
    }
}

#[cfg(test)]
mod tests;
