//! From the mix, by the media clock, to what a card plays by its own; pure.

use std::time::Duration;

use rubato::FixedAsync;

use super::capturing::seconds_between;
use super::resampler::{ResampleError, Resampler};
use super::steer::Drift;
use crate::base::clock::MediaTime;
use crate::media::{AUDIO_RATE, FRAME_SAMPLES};

/// What the thread that mixes may be late by before the card runs dry.
const SLACK: f64 = 0.015;
/// More slack after each time that it ran dry, up to [`MAX_EXTRA`].
const MORE: f64 = 0.005;
/// Most of that.
const MAX_EXTRA: f64 = 0.060;
/// How long a mix lasts.
const MIX: Duration = Duration::from_millis(20);
/// How long the card is watched before what it holds is believed.
const SETTLING: Duration = Duration::from_secs(1);

/// What a card took in one go.
#[derive(Clone, Copy, Debug)]
pub struct Pulled {
    /// When this was seen.
    pub now: MediaTime,
    /// When the first sample of this go will be heard.
    pub heard: MediaTime,
    /// Samples taken before this go since the card was opened, silence for missing ones not counted.
    pub taken_before: u64,
    /// Samples of this go.
    pub samples: usize,
    /// How many of them were missing, and silence.
    pub missing: usize,
}

/// Makes the card's samples out of the mix, so that the time from mixing to hearing stays the same.
#[derive(Debug)]
pub struct Playing {
    rate_hz: f64,
    resampler: Resampler,
    input: Vec<f32>,
    drift: Drift,
    /// Samples made since the card was opened.
    made: u64,
    /// From mixing to hearing, seconds.
    target: f64,
    extra: f64,
    /// When the next mix is due; None before the first.
    next: Option<MediaTime>,
    opened: Option<MediaTime>,
    settled: bool,
    /// Most that the card held when it asked for more, seconds.
    most_held: f64,
    /// Samples to be left out.
    skip: usize,
    /// Silence to be put in.
    fill: usize,
}

impl Playing {
    /// For a card that plays `rate_hz` samples a second and takes `period` of them at a time.
    ///
    /// # Errors
    /// When there is no resampling to that rate.
    pub fn new(rate_hz: u32, period: usize) -> Result<Self, ResampleError> {
        let resampler = Resampler::new(AUDIO_RATE, rate_hz, FRAME_SAMPLES, FixedAsync::Input)?;
        let rate = f64::from(rate_hz);
        // The card asks when it has one period left, and what it asks for must be there.
        let target = 2.0 * period as f64 / rate + SLACK;
        Ok(Playing {
            rate_hz: rate,
            resampler,
            input: vec![0.0; FRAME_SAMPLES],
            drift: Drift::default(),
            made: 0,
            target,
            extra: 0.0,
            next: None,
            opened: None,
            settled: false,
            most_held: 0.0,
            skip: 0,
            fill: (target * rate) as usize,
        })
    }

    /// Whether what is missing now is missing to somebody: the card has been playing for a while.
    pub fn begun(&self) -> bool {
        self.settled
    }

    /// How much slower than nominal the card's clock is taken to run.
    pub fn ppm(&self) -> f64 {
        self.drift.ppm()
    }

    /// When a mix that is made at `mixed` is heard.
    pub fn heard(&self, mixed: MediaTime) -> MediaTime {
        mixed + Duration::from_secs_f64((self.target + self.drift.lag()).max(0.0))
    }

    /// Takes what was seen of the card.
    pub fn observe(&mut self, pulled: &Pulled) {
        let opened = *self.opened.get_or_insert(pulled.now);
        let Some(next) = self.next else { return };
        let period = pulled.samples as f64 / self.rate_hz;
        self.most_held = self.most_held.max(seconds_between(pulled.now, pulled.heard));
        if !self.settled {
            if pulled.now.since(opened) < SETTLING {
                return;
            }
            self.settled = true;
            self.target = self.target.max(self.most_held + period + SLACK);
        } else if pulled.missing > 0 && self.extra < MAX_EXTRA {
            self.extra += MORE;
            self.target += MORE;
        }
        let ahead =
            (self.made + self.fill as u64).saturating_sub(pulled.taken_before) as f64 - self.skip as f64;
        let heard = pulled.heard.as_nanos() as f64 / 1e9 + ahead / self.rate_hz + self.resampler.delay();
        let lag = heard - (next.as_nanos() as f64 / 1e9 + self.target);
        if let Some(jump) = self.drift.observe(pulled.now, lag) {
            tracing::debug!(ms = jump * 1000.0, "the speaker's card had jumped in time");
            self.shift(jump);
        }
    }

    fn shift(&mut self, lag: f64) {
        let samples = (lag.abs() * self.rate_hz) as usize;
        if lag > 0.0 {
            self.skip += samples;
        } else {
            self.fill += samples;
        }
    }

    /// The card's samples (one channel, -1 to 1) for the mix that was due at `mixed`.
    ///
    /// # Errors
    /// When the resampler fails.
    pub fn push(&mut self, mix: &[i16; FRAME_SAMPLES], mixed: MediaTime) -> Result<Vec<f32>, ResampleError> {
        if let Some(expected) = self.next
            && mixed.since(expected) >= MIX
        {
            // Mixes were left out, for so long that the card has run dry.
            self.fill = (self.target * self.rate_hz) as usize;
            self.drift.forget_window();
        }
        self.next = Some(mixed + MIX);
        for (to, from) in self.input.iter_mut().zip(mix) {
            *to = f32::from(*from) / 32_768.0;
        }
        // A slow card wants fewer samples.
        self.resampler.stretch(-self.drift.ppm())?;
        let mut made = Vec::new();
        self.resampler.process(&self.input, &mut made)?;
        let skip = self.skip.min(made.len());
        self.skip -= skip;
        made.drain(..skip);
        let fill = std::mem::take(&mut self.fill);
        if fill > 0 {
            made.splice(..0, std::iter::repeat_n(0.0, fill));
        }
        self.made += made.len() as u64;
        Ok(made)
    }

    /// What was made did not reach the card after all.
    pub fn lost(&mut self, samples: usize) {
        self.made = self.made.saturating_sub(samples as u64);
    }
}
