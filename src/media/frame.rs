//! Raw media: pictures as planar 4:2:0, sound as mono 16-bit samples.

use std::sync::{Arc, Mutex, PoisonError};

use crate::base::clock::MediaTime;
use crate::base::units::Size;

/// Samples per second of all raw sound inside the box.
pub const AUDIO_RATE: u32 = 48_000;
/// Samples of one [`AudioFrame`]: 20 ms, one Opus packet.
pub const FRAME_SAMPLES: usize = 960;

/// One picture, I420 (planar 4:2:0, BT.601 limited range), rows without padding.
#[derive(Debug)]
pub struct VideoFrame {
    size: Size,
    /// When the source showed (or the camera captured) it.
    pub captured: MediaTime,
    /// The camera has encoded it itself: the full layer of it is in the stream already.
    pub encoded: bool,
    data: Vec<u8>,
    /// Where the memory goes back to.
    pool: Option<Arc<Mutex<Vec<Vec<u8>>>>>,
}

impl VideoFrame {
    /// A frame of its own memory, black.
    pub fn black(size: Size, captured: MediaTime) -> Self {
        let data = vec![128; bytes_of(size)];
        let mut frame = VideoFrame { size, captured, encoded: false, data, pool: None };
        frame.planes_mut().0.fill(16);
        frame
    }

    /// Width and height of the luma plane.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Y, U and V planes; the chroma planes have half the width and height.
    pub fn planes(&self) -> (&[u8], &[u8], &[u8]) {
        let luma = self.size.width as usize * self.size.height as usize;
        let (y, uv) = self.data.split_at(luma);
        let (u, v) = uv.split_at(luma / 4);
        (y, u, v)
    }

    /// As [`VideoFrame::planes`], to draw into.
    pub fn planes_mut(&mut self) -> (&mut [u8], &mut [u8], &mut [u8]) {
        let luma = self.size.width as usize * self.size.height as usize;
        let (y, uv) = self.data.split_at_mut(luma);
        let (u, v) = uv.split_at_mut(luma / 4);
        (y, u, v)
    }

    /// All three planes, one after the other.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// As [`VideoFrame::data`], to read a file or a device into.
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }
}

impl Drop for VideoFrame {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            let mut free = pool.lock().unwrap_or_else(PoisonError::into_inner);
            if free.len() < FramePool::KEPT {
                free.push(std::mem::take(&mut self.data));
            }
        }
    }
}

fn bytes_of(size: Size) -> usize {
    size.width as usize * size.height as usize * 3 / 2
}

/// Memory for frames of one size, used again instead of freed.
#[derive(Clone, Debug)]
pub struct FramePool {
    size: Size,
    free: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl FramePool {
    /// Free buffers kept; more than these in flight at once are allocated and freed.
    const KEPT: usize = 6;

    /// A pool of frames of `size`, which must be even in both directions.
    pub fn new(size: Size) -> Self {
        FramePool { size, free: Arc::default() }
    }

    /// Size of its frames.
    pub fn size(&self) -> Size {
        self.size
    }

    /// A frame whose content is whatever was in the memory: the caller writes every byte.
    pub fn take(&self, captured: MediaTime) -> VideoFrame {
        let kept = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let data = kept.unwrap_or_else(|| vec![0; bytes_of(self.size)]);
        VideoFrame { size: self.size, captured, encoded: false, data, pool: Some(self.free.clone()) }
    }
}

/// 20 ms of sound: [`FRAME_SAMPLES`] mono samples at [`AUDIO_RATE`].
#[derive(Clone, Debug)]
pub struct AudioFrame {
    /// When its first sample was captured.
    pub captured: MediaTime,
    /// Always [`FRAME_SAMPLES`] long.
    pub samples: Box<[i16; FRAME_SAMPLES]>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_uses_memory_again() {
        let pool = FramePool::new(Size::new(64, 32));
        let first = pool.take(MediaTime::ZERO).data().as_ptr();
        assert_eq!(pool.take(MediaTime::ZERO).data().as_ptr(), first);
    }

    #[test]
    fn planes_have_the_sizes_of_420() {
        let frame = VideoFrame::black(Size::new(64, 32), MediaTime::ZERO);
        let (y, u, v) = frame.planes();
        assert_eq!((y.len(), u.len(), v.len()), (2048, 512, 512));
        assert_eq!((y[0], u[0], v[511]), (16, 128, 128));
    }
}
