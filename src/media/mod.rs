//! L1: what flows: frames, access units, and the [`Stream`] where producers and consumers of media meet.

mod access_unit;
mod frame;
pub mod h264;
mod keyframe;
mod picture;
mod stream;

pub use access_unit::{AccessUnit, Layer, TrackId, Wants};
pub use frame::{AUDIO_RATE, AudioFrame, FRAME_SAMPLES, FramePool, VideoFrame};
pub use keyframe::KeyframeArbiter;
pub use picture::LatestPicture;
pub use stream::{READER_CAPACITY, Reader, Stream};
