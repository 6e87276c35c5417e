//! L1: what flows: frames, access units, and the [`Stream`] where producers and consumers of media meet.

mod access_unit;
mod camera_control;
mod device;
mod frame;
mod frames;
pub mod h264;
mod keyframe;
pub mod level;
mod meter;
mod mute;
mod picture;
mod shutter;
mod stream;

pub use access_unit::{AccessUnit, Layer, TrackId, Wants};
pub use camera_control::{CameraControls, ControlDesk, ControlRange, ControlValues, control_name};
pub use device::{Device, DeviceReport, DeviceStatus};
pub use frame::{AUDIO_RATE, AudioFrame, FRAME_SAMPLES, FramePool, VideoFrame};
pub use frames::{AudioFrames, FrameReader, Frames, Received, VideoFrames};
pub use keyframe::KeyframeArbiter;
pub use meter::Meter;
pub use mute::{MuteFade, MuteSwitch};
pub use picture::LatestPicture;
pub use shutter::Shutter;
pub use stream::{READER_CAPACITY, Reader, Stream, TrackCount};
