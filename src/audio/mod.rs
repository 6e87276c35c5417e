//! L3 service: levels and mixing of sound (48 kHz mono), sound cards and their clocks.

/// How loud sound is; stands in `media` because the encoder tells it too.
pub use crate::media::level;
pub mod card;
pub mod drift;
pub mod jitter;
mod mixer;
mod voice;

#[cfg(test)]
pub use mixer::testing;
pub use mixer::{Decode, Mixer, MixerSource};
pub use voice::{Voice, VoiceConfig};
