//! From JPEG to planes, by libjpeg-turbo: as fast as it can, and a strip of the picture at a time, so that whoever
//! converts the samples does it while they are in the nearest cache.
//!
//! The `turbojpeg` crate knows neither the fast DCT nor strips, hence this and `jpeg.c`.

use std::ffi::{CStr, c_char, c_int};
use std::marker::PhantomData;

use crate::base::units::Size;

/// Samples of a block, in both directions.
const BLOCK: u32 = 8;

/// libjpeg-turbo's words; also where it went on after what it calls a warning.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JpegError(pub String);

/// `struct roomd_jpeg`.
enum Raw {}

/// `struct roomd_jpeg_plane`: where the rows of a strip go.
#[repr(C)]
struct RawPlane {
    rows: *mut u8,
    stride: usize,
}

#[rustfmt::skip]
unsafe extern "C" {
    /// Null: no memory.
    fn roomd_jpeg_create() -> *mut Raw;
    fn roomd_jpeg_destroy(jpeg: *mut Raw);
    /// Of the last error or warning; good until the next call.
    fn roomd_jpeg_words(jpeg: *const Raw) -> *const c_char;
    /// Reads the header: width and height; brightness' samples across and down for one of colour, and whether there
    /// is colour. Keeps `data` for the calls that follow. Below 0: an error.
    fn roomd_jpeg_read(
        jpeg: *mut Raw, data: *const u8, length: usize, size: *mut [u32; 2], sampling: *mut [u8; 3],
    ) -> c_int;
    fn roomd_jpeg_start(jpeg: *mut Raw) -> c_int;
    /// The next strip, into as many planes as the picture has.
    fn roomd_jpeg_strip(jpeg: *mut Raw, planes: *const [RawPlane; 3]) -> c_int;
    /// 1: there were warnings.
    fn roomd_jpeg_finish(jpeg: *mut Raw) -> c_int;
}

/// Decodes one picture after the other.
pub struct Decoder(*mut Raw);

// SAFETY: it belongs to no thread; it is used through `&mut` only.
unsafe impl Send for Decoder {}

/// A picture whose header has been read.
pub struct Header<'a> {
    decoder: &'a mut Decoder,
    /// Width and height.
    pub size: Size,
    /// Samples of brightness for one of colour, across and down: 1, 2 or 4, and 1 or 2.
    sampling: (u32, u32),
    coloured: bool,
    data: PhantomData<&'a [u8]>,
}

impl Decoder {
    /// One that uses the fast DCT: off by less than one step of 256 on average, and 5 % quicker.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new() -> Result<Self, JpegError> {
        // SAFETY: no arguments; checked for null.
        let raw = unsafe { roomd_jpeg_create() };
        if raw.is_null() { Err(JpegError(String::from("no memory for a decoder"))) } else { Ok(Decoder(raw)) }
    }

    /// What the header of `data` says.
    ///
    /// # Errors
    /// When it has none, or one that is damaged or of a kind that no camera makes.
    pub fn read<'a>(&'a mut self, data: &'a [u8]) -> Result<Header<'a>, JpegError> {
        let (mut size, mut sampling) = ([0; 2], [0; 3]);
        // SAFETY: a live decoder and a buffer as long as said, which both live as long as the header returned.
        let read = unsafe { roomd_jpeg_read(self.0, data.as_ptr(), data.len(), &mut size, &mut sampling) };
        if read != 0 {
            return Err(self.words());
        }
        let ([width, height], [across, down, coloured]) = (size, sampling);
        Ok(Header {
            size: Size::new(width, height),
            sampling: (u32::from(across), u32::from(down)),
            coloured: coloured != 0,
            decoder: self,
            data: PhantomData,
        })
    }

    fn words(&self) -> JpegError {
        // SAFETY: a live decoder gives a string that ends, its own until the next call; copied at once.
        JpegError(unsafe { CStr::from_ptr(roomd_jpeg_words(self.0)) }.to_string_lossy().into_owned())
    }
}

impl<'a> Header<'a> {
    /// Sizes of one strip's planes of Y, Cb and Cr, whose rows have no padding: the picture's width or more, to whole
    /// blocks of colour. A grey picture has no colour, of size 0.
    pub fn strip(&self) -> [Size; 3] {
        let (across, down) = self.sampling;
        let blocks = self.size.width.div_ceil(BLOCK * across);
        let colour = if self.coloured { Size::new(blocks * BLOCK, BLOCK) } else { Size::new(0, 0) };
        [Size::new(blocks * BLOCK * across, BLOCK * down), colour, colour]
    }

    /// How many strips it is high; the last one may reach below the picture.
    pub fn strips(&self) -> u32 {
        self.size.height.div_ceil(BLOCK * self.sampling.1)
    }

    /// Begins to decode.
    ///
    /// # Errors
    /// When something is missing that all strips need.
    pub fn start(self) -> Result<Strips<'a>, JpegError> {
        let sizes = self.strip();
        // SAFETY: a live decoder whose header has been read, from data that still lives.
        match unsafe { roomd_jpeg_start(self.decoder.0) } {
            0 => Ok(Strips { decoder: self.decoder, sizes, data: PhantomData }),
            _ => Err(self.decoder.words()),
        }
    }
}

/// A picture that is being decoded.
pub struct Strips<'a> {
    decoder: &'a mut Decoder,
    sizes: [Size; 3],
    data: PhantomData<&'a [u8]>,
}

impl Strips<'_> {
    /// Decodes the next strip into `planes`, each as large as [`Header::strip`] says or larger. Where the picture's data
    /// ends too soon the rest is grey, and [`Strips::finish`] says so.
    ///
    /// # Errors
    /// When it is too damaged to go on, there is no more strip, or a plane is too small.
    pub fn next(&mut self, planes: [&mut [u8]; 3]) -> Result<(), JpegError> {
        let area = |size: Size| size.width as usize * size.height as usize;
        if !planes.iter().zip(self.sizes).all(|(plane, size)| plane.len() >= area(size)) {
            return Err(JpegError(String::from("no room for its planes")));
        }
        let mut widths = self.sizes.map(|size| size.width as usize).into_iter();
        let planes = planes
            .map(|plane| RawPlane { rows: plane.as_mut_ptr(), stride: widths.next().unwrap_or_default() });
        // SAFETY: a decoder that was started; the planes are as large as the header says that a strip is.
        match unsafe { roomd_jpeg_strip(self.decoder.0, &planes) } {
            0 => Ok(()),
            _ => Err(self.decoder.words()),
        }
    }

    /// After the last strip.
    ///
    /// # Errors
    /// What was wrong with the picture although it could be decoded.
    pub fn finish(self) -> Result<(), JpegError> {
        // SAFETY: a decoder that was started.
        match unsafe { roomd_jpeg_finish(self.decoder.0) } {
            0 => Ok(()),
            _ => Err(self.decoder.words()),
        }
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: live until now.
        unsafe { roomd_jpeg_destroy(self.0) };
    }
}
