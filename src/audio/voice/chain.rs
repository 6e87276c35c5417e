//! The steps in order, and when each is needed.

use super::played::Timeline;
use super::stage::{Block, Kind, Stage};
use super::{BLOCK, VoiceConfig};
use crate::media::{AUDIO_RATE, AudioFrame};

/// What the speaker plays is given to the canceller this much (10 ms) earlier than it is heard: the times of both
/// devices may be wrong by as much, and an echo before its sound could not be found.
const LEAD: i64 = AUDIO_RATE as i64 / 100;
/// Blocks of silence from the speaker after which the canceller rests (10 s); it then costs nothing, and what it has
/// learned is kept.
const RESTS_AFTER: u32 = 1000;

/// The processing of one microphone.
#[derive(Debug)]
pub struct Chain {
    timeline: Timeline,
    /// Blocks since the speaker was last heard.
    quiet: u32,
    high_pass: Stage,
    echo: Stage,
    noise: Stage,
    gain: Stage,
}

impl Default for Chain {
    fn default() -> Self {
        Chain {
            timeline: Timeline::default(),
            quiet: RESTS_AFTER,
            high_pass: Stage::new(Kind::HighPass),
            echo: Stage::new(Kind::Echo),
            noise: Stage::new(Kind::Noise),
            gain: Stage::new(Kind::Gain),
        }
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
        let awake = self.quiet < RESTS_AFTER;
        let steps = [
            (&mut self.high_pass, echo_cancellation || noise_suppression || gain_control, true),
            (&mut self.echo, echo_cancellation, awake),
            (&mut self.noise, noise_suppression, true),
            (&mut self.gain, gain_control, true),
        ];
        let (played, mut voice, mut touched) = (floats(played), floats(samples), false);
        for (step, on, awake) in steps {
            touched |= step.run(on && awake, &played, &mut voice);
            if !on {
                step.forget();
            }
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
