//! The voice out of what a microphone hears: without the echo of the speaker, without noise, at an even level.

use crate::base::clock::MediaTime;
use crate::media::{AudioFrame, FRAME_SAMPLES};

/// What is done to the voice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoiceConfig {
    /// Take out what the speaker plays.
    pub echo_cancellation: bool,
    /// Take out steady noise.
    pub noise_suppression: bool,
    /// Bring speech to an even level.
    pub gain_control: bool,
}

impl Default for VoiceConfig {
    fn default() -> Self {
        VoiceConfig { echo_cancellation: true, noise_suppression: true, gain_control: true }
    }
}

/// Both ends of the voice processing: the speaker's thread tells what it plays, the microphone's thread has its
/// frames processed. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Voice {}

impl Voice {
    /// Changes what is done, from the next frame on.
    pub fn configure(&self, _config: VoiceConfig) {}

    /// From the speaker: `samples` leave the loudspeaker from `heard` on (media time). Never blocks for long.
    pub fn played(&self, _samples: &[i16; FRAME_SAMPLES], _heard: MediaTime) {}

    /// From the microphone: turns what it heard into the voice, in place.
    pub fn process(&self, _frame: &mut AudioFrame) {}
}
