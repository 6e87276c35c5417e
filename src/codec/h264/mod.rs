//! H.264 by openh264: constrained baseline, one slice a picture, no B-frames.

mod decoder;
mod encoder;
mod level;

pub use decoder::H264Decoder;
pub use encoder::{H264Encoder, H264Settings};
pub use level::Level;
