//! From JPEG to planes, by libjpeg-turbo: as fast as it can, straight to where the planes are wanted.
//!
//! The `turbojpeg` crate knows neither the fast DCT nor planes that lie apart, hence this.

use std::ffi::{CStr, c_int};
use std::marker::PhantomData;
use std::ptr::null_mut;

use turbojpeg::raw;

use crate::base::units::Size;

/// libjpeg-turbo's words; also where it went on after what it calls a warning.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JpegError(pub String);

/// Decodes one picture after the other.
pub struct Decoder(raw::tjhandle);

// SAFETY: a handle belongs to no thread; it is used through `&mut` only.
unsafe impl Send for Decoder {}

/// A picture whose header has been read.
pub struct Header<'a> {
    handle: raw::tjhandle,
    data: &'a [u8],
    /// Width and height.
    pub size: Size,
    subsampling: c_int,
    decoder: PhantomData<&'a mut Decoder>,
}

impl Decoder {
    /// One that uses the fast DCT: off by less than one step of 256 on average, and 5 % quicker.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new() -> Result<Self, JpegError> {
        // SAFETY: no arguments that could be wrong; checked for null.
        let handle = unsafe { raw::tj3Init(raw::TJINIT_TJINIT_DECOMPRESS as c_int) };
        if handle.is_null() {
            return Err(words(handle));
        }
        let decoder = Decoder(handle);
        // SAFETY: a live handle.
        match unsafe { raw::tj3Set(handle, raw::TJPARAM_TJPARAM_FASTDCT as c_int, 1) } {
            0 => Ok(decoder),
            _ => Err(words(handle)),
        }
    }

    /// What the header of `data` says.
    ///
    /// # Errors
    /// When it has none, or one that is damaged or of a kind without planes of brightness and colour.
    pub fn read<'a>(&'a mut self, data: &'a [u8]) -> Result<Header<'a>, JpegError> {
        let handle = self.0;
        // SAFETY: a live handle, and a buffer as long as said.
        if unsafe { raw::tj3DecompressHeader(handle, data.as_ptr(), data.len() as raw::size_t) } != 0 {
            return Err(words(handle));
        }
        // SAFETY: a live handle.
        let get = |parameter| unsafe { raw::tj3Get(handle, parameter as c_int) };
        let subsampling = get(raw::TJPARAM_TJPARAM_SUBSAMP);
        if subsampling < 0 {
            return Err(JpegError(String::from("an unusual subsampling of colour")));
        }
        let length = |parameter| u32::try_from(get(parameter)).unwrap_or_default();
        let size = Size::new(length(raw::TJPARAM_TJPARAM_JPEGWIDTH), length(raw::TJPARAM_TJPARAM_JPEGHEIGHT));
        Ok(Header { handle, data, size, subsampling, decoder: PhantomData })
    }
}

impl Header<'_> {
    /// Sizes of the planes of Y, Cb and Cr, whose rows have no padding. Y's may be larger than the picture, by what
    /// makes a whole sample of colour; a grey picture has no colour, of size 0.
    pub fn planes(&self) -> [Size; 3] {
        let grey = self.subsampling == raw::TJSAMP_TJSAMP_GRAY as c_int;
        [0, 1, 2].map(|plane| {
            if grey && plane > 0 {
                return Size::new(0, 0);
            }
            let (width, height) = (self.size.width as c_int, self.size.height as c_int);
            // SAFETY: pure functions of numbers.
            let sides = unsafe {
                [
                    raw::tj3YUVPlaneWidth(plane, width, self.subsampling),
                    raw::tj3YUVPlaneHeight(plane, height, self.subsampling),
                ]
            };
            let [width, height] = sides.map(|side| u32::try_from(side).unwrap_or_default());
            Size::new(width, height)
        })
    }

    /// Decodes into `planes`, each as large as [`Header::planes`] says or larger.
    ///
    /// # Errors
    /// When the picture is damaged (the planes hold what could be read) or a plane is too small.
    pub fn decode(self, planes: [&mut [u8]; 3]) -> Result<(), JpegError> {
        let fits =
            |(plane, size): (&&mut [u8], Size)| plane.len() >= size.width as usize * size.height as usize;
        if !planes.iter().zip(self.planes()).all(fits) {
            return Err(JpegError(String::from("no room for its planes")));
        }
        let mut pointers = planes.map(|plane| plane.as_mut_ptr());
        // SAFETY: a live handle; a buffer as long as said, whose header says how much is written; the planes are at
        // least as large, without padding, which no strides mean.
        let result = unsafe {
            let length = self.data.len() as raw::size_t;
            raw::tj3DecompressToYUVPlanes8(
                self.handle,
                self.data.as_ptr(),
                length,
                pointers.as_mut_ptr(),
                null_mut(),
            )
        };
        if result == 0 { Ok(()) } else { Err(words(self.handle)) }
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: a live handle, used no more.
        unsafe { raw::tj3Destroy(self.0) };
    }
}

/// What libjpeg-turbo says of its last error.
fn words(handle: raw::tjhandle) -> JpegError {
    // SAFETY: it always gives a string that ends, its own until the next call; copied at once.
    JpegError(unsafe { CStr::from_ptr(raw::tj3GetErrorStr(handle)) }.to_string_lossy().into_owned())
}
