//! L3 service: levels and mixing of sound (48 kHz mono), sound cards and their clocks.

/// How loud sound is; stands in `media` because the encoder tells it too.
pub use crate::media::level;
pub mod card;
pub mod drift;
mod mixer;
mod voice;

pub use mixer::{Mixer, MixerSource};
pub use voice::{Voice, VoiceConfig};
