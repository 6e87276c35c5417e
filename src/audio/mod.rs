//! L3 service: levels and mixing of sound (48 kHz mono).

pub mod level;
mod mixer;

pub use mixer::{Mixer, MixerSource};
