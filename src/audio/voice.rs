//! The voice out of what a microphone hears: without the echo of the speaker, without noise, at an even level.
//!
//! The speaker's thread says what it plays and when it is heard; the microphone's thread has each frame processed
//! beside what was heard at that time.

mod bands;
mod chain;
mod echo;
mod level;
mod played;
mod stage;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::clock::MediaTime;
use crate::media::{AUDIO_RATE, AudioFrame, FRAME_SAMPLES};
use chain::Chain;
use played::Played;

/// Samples of the 10 ms in which voice is processed.
const BLOCK: usize = AUDIO_RATE as usize / 100;

/// What is done to the voice. Whatever is done, rumble below 100 Hz is taken out too; with all off nothing is.
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
pub struct Voice(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    config: Mutex<VoiceConfig>,
    played: Mutex<Played>,
    chain: Mutex<Chain>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Voice {
    /// Changes what is done, from the next frame on; the change is faded in within 30 ms. What stays on goes on with
    /// what it has learned.
    pub fn configure(&self, config: VoiceConfig) {
        *lock(&self.0.config) = config;
    }

    /// From the speaker: `samples` leave the loudspeaker from `heard` on (media time). Tell it at least 10 ms before,
    /// in order; what is never told counts as silence. Never blocks for longer than it takes to copy 20 ms.
    pub fn played(&self, samples: &[i16; FRAME_SAMPLES], heard: MediaTime) {
        lock(&self.0.played).push(samples, heard);
    }

    /// From the microphone: turns what it heard into the voice, in place, about 10 ms late. Call it for muted frames
    /// too, so that the echo canceller goes on learning. With all off the frame is left as it is, bit for bit.
    pub fn process(&self, frame: &mut AudioFrame) {
        let config = *lock(&self.0.config);
        let take = |at, block: &mut [i16; BLOCK]| lock(&self.0.played).take(at, block);
        lock(&self.0.chain).process(config, frame, take);
    }
}
