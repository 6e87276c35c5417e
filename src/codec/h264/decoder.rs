//! The decoder, for tests and (later) for composing.

use openh264::decoder::Decoder;
use openh264::formats::YUVSource;

use crate::base::clock::MediaTime;
use crate::base::units::Size;
use crate::codec::CodecError;
use crate::media::VideoFrame;

/// Decodes H.264 access units of one track, in order, from an IDR on.
pub struct H264Decoder {
    decoder: Decoder,
}

impl H264Decoder {
    /// A decoder.
    ///
    /// # Errors
    /// When openh264 has no memory.
    pub fn new() -> Result<Self, CodecError> {
        Ok(H264Decoder { decoder: Decoder::new().map_err(|source| CodecError::H264Decode { source })? })
    }

    /// Decodes one access unit (Annex B); its picture gets `pts`. None when there is no picture yet.
    ///
    /// # Errors
    /// When the access unit is damaged; go on with the next IDR.
    pub fn decode(&mut self, data: &[u8], pts: MediaTime) -> Result<Option<VideoFrame>, CodecError> {
        let decoded = self.decoder.decode(data).map_err(|source| CodecError::H264Decode { source })?;
        let Some(picture) = decoded else { return Ok(None) };
        let (width, height) = picture.dimensions();
        // Odd sizes lose their last row or column: our frames are even.
        let size = Size::new(width as u32 & !1, height as u32 & !1);
        let mut frame = VideoFrame::black(size, pts);
        let (sy, su, sv) = picture.strides();
        let (y, u, v) = frame.planes_mut();
        let (width, half) = (size.width as usize, size.width as usize / 2);
        copy_rows(y, width, picture.y(), sy);
        copy_rows(u, half, picture.u(), su);
        copy_rows(v, half, picture.v(), sv);
        Ok(Some(frame))
    }
}

fn copy_rows(to: &mut [u8], width: usize, from: &[u8], stride: usize) {
    for (row, padded) in to.chunks_exact_mut(width.max(1)).zip(from.chunks(stride.max(1))) {
        let whole = width.min(padded.len());
        row[..whole].copy_from_slice(&padded[..whole]);
    }
}
