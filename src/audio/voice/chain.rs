//! The steps in order, and when each is needed.

use super::bands::{Cleaner, Wanted};
use super::level::{Gain, HighPass};
use super::played::Timeline;
use super::stage::{Block, Stage};
use super::{BLOCK, VoiceConfig};
use crate::media::{AUDIO_RATE, AudioFrame};

/// What the speaker plays is given to the canceller this much (10 ms) earlier than it is heard: the times of both
/// devices may be wrong by as much, and an echo before its sound could not be found.
const LEAD: i64 = AUDIO_RATE as i64 / 100;
/// Blocks of silence from the speaker after which the canceller rests (10 s); it then costs nothing, and what it has
/// learned is kept.
const RESTS_AFTER: u32 = 1000;

/// The processing of one microphone.
pub struct Chain {
    timeline: Timeline,
    /// Blocks since the speaker was last heard.
    quiet: u32,
    high_pass: Stage<HighPass>,
    cleaner: Stage<Cleaner>,
    gain: Stage<Gain>,
}

impl Default for Chain {
    fn default() -> Self {
        Chain {
            timeline: Timeline::default(),
            quiet: RESTS_AFTER,
            high_pass: Stage::default(),
            cleaner: Stage::default(),
            gain: Stage::default(),
        }
    }
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chain")
            .field("timeline", &self.timeline)
            .field("quiet", &self.quiet)
            .finish_non_exhaustive()
    }
}

impl Chain {
    /// Works on `frame`; `played` fills a block with what was heard from a sample on, and says whether there is more.
    pub fn process(
        &mut self,
        config: VoiceConfig,
        frame: &mut AudioFrame,
        played: impl Fn(i64, &mut [i16; BLOCK]) -> bool,
    ) {
        let mut at = self.timeline.place(frame.captured) + LEAD;
        for samples in frame.samples.as_chunks_mut::<BLOCK>().0 {
            let mut sound = [0; BLOCK];
            self.quiet = if played(at, &mut sound) { 0 } else { self.quiet.saturating_add(1) };
            self.block(config, &sound, samples);
            at += BLOCK as i64;
        }
    }

    fn block(&mut self, config: VoiceConfig, played: &[i16; BLOCK], samples: &mut [i16; BLOCK]) {
        let VoiceConfig { echo_cancellation, noise_suppression, gain_control } = config;
        let wanted = Wanted {
            played: floats(played),
            echo: echo_cancellation,
            awake: self.quiet < RESTS_AFTER,
            noise: noise_suppression,
        };
        let mut voice = floats(samples);
        let any = echo_cancellation || noise_suppression || gain_control;
        let mut touched = self.high_pass.run(any, &(), &mut voice);
        touched |= self.cleaner.run(wanted.now(), &wanted, &mut voice);
        touched |= self.gain.run(gain_control, &(), &mut voice);
        if !any {
            self.high_pass.forget();
        }
        if !(echo_cancellation || noise_suppression) {
            self.cleaner.forget();
        }
        if !gain_control {
            self.gain.forget();
        }
        if touched {
            for (out, sample) in samples.iter_mut().zip(voice) {
                // `as` keeps it within 16 bits.
                *out = (sample * 32_768.0).round() as i16;
            }
        }
    }
}

fn floats(samples: &[i16; BLOCK]) -> Block {
    samples.map(|sample| f32::from(sample) / 32_768.0)
}
