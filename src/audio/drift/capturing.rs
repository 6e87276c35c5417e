//! From what a card hears to frames of the media clock; pure.

use std::time::Duration;

use rubato::FixedAsync;

use super::resampler::{ResampleError, Resampler};
use super::steer::Drift;
use crate::base::clock::MediaTime;
use crate::media::{AUDIO_RATE, AudioFrame, FRAME_SAMPLES};

/// How long a frame lasts.
const FRAME: Duration = Duration::from_millis(20);
/// A frame whose sound has not come this long after it should have ended goes out as silence.
const LATE: Duration = Duration::from_millis(100);
/// After a gap, what is off by less than this (1 ms) is left to the steering.
const CLOSE: f64 = 0.001;
/// Longest gap that is filled in one go, seconds; silence was sent meanwhile for any longer one.
const MAX_FILL: f64 = 1.0;

/// What a card heard in one go.
#[derive(Clone, Debug)]
pub struct Heard {
    /// When the first of the samples was captured, as well as is known: late rather than early.
    pub at: MediaTime,
    /// One channel at the card's rate, -1 to 1.
    pub samples: Vec<f32>,
    /// Samples were lost before these.
    pub gap: bool,
}

/// Makes frames of 20 ms of the media clock, without gap or overlap, out of what a card hears.
#[derive(Debug)]
pub struct Capturing {
    rate_hz: f64,
    resampler: Resampler,
    /// Heard and not yet resampled.
    waiting: Vec<f32>,
    resampled: Vec<f32>,
    /// When the first sample of the next frame was captured.
    next: MediaTime,
    /// What came next does not follow on what came before.
    broken: bool,
    /// Samples still to be left out.
    skip: usize,
    drift: Drift,
}

impl Capturing {
    /// For a card that hears `rate_hz` samples a second; the first frame begins at `next`.
    ///
    /// # Errors
    /// When there is no resampling from that rate.
    pub fn new(rate_hz: u32, next: MediaTime) -> Result<Self, ResampleError> {
        let resampler = Resampler::new(rate_hz, AUDIO_RATE, FRAME_SAMPLES, FixedAsync::Output)?;
        Ok(Capturing {
            rate_hz: f64::from(rate_hz),
            resampler,
            waiting: Vec::new(),
            resampled: Vec::new(),
            next,
            broken: true,
            skip: 0,
            drift: Drift::default(),
        })
    }

    /// When the next frame begins.
    pub fn next(&self) -> MediaTime {
        self.next
    }

    /// How much slower than nominal the card's clock is taken to run.
    pub fn ppm(&self) -> f64 {
        self.drift.ppm()
    }

    /// What comes next does not follow on what came before.
    pub fn gap(&mut self) {
        self.broken = true;
    }

    /// Takes what was heard.
    ///
    /// # Errors
    /// When the resampler fails.
    pub fn push(&mut self, heard: &Heard) -> Result<(), ResampleError> {
        let lag = seconds_between(self.expected(), heard.at);
        self.broken |= heard.gap;
        if self.broken {
            self.broken = false;
            self.skip = 0;
            self.drift.forget_window();
            if lag.abs() > CLOSE {
                self.shift(lag);
            }
        } else if let Some(jump) = self.drift.observe(heard.at, lag) {
            tracing::debug!(ms = jump * 1000.0, "the microphone's card had jumped in time");
            self.shift(jump);
        }
        self.resampler.stretch(self.drift.ppm())?;
        let skip = self.skip.min(heard.samples.len());
        self.skip -= skip;
        self.waiting.extend_from_slice(&heard.samples[skip..]);
        Ok(())
    }

    /// When the next sample to come would have been captured, by the frames' count.
    fn expected(&self) -> MediaTime {
        let ahead = (self.waiting.len() as f64 - self.skip as f64) / self.rate_hz + self.resampler.delay();
        if ahead < 0.0 {
            self.next - Duration::from_secs_f64(-ahead)
        } else {
            self.next + Duration::from_secs_f64(ahead)
        }
    }

    /// Moves what comes by `lag` seconds: silence before it, or some of it left out.
    fn shift(&mut self, lag: f64) {
        let samples = (lag.abs().min(MAX_FILL) * self.rate_hz).round() as usize;
        if lag > 0.0 {
            self.waiting.resize(self.waiting.len() + samples, 0.0);
        } else {
            self.skip += samples;
        }
    }

    /// The next frame, when its sound is there, or at `now` is overdue: then with silence for what is missing.
    ///
    /// # Errors
    /// When the resampler fails.
    pub fn pop(&mut self, now: MediaTime) -> Result<Option<AudioFrame>, ResampleError> {
        let needs = self.resampler.needs();
        if self.waiting.len() < needs {
            if now < self.next + FRAME + LATE {
                return Ok(None);
            }
            self.waiting.resize(needs, 0.0);
            self.broken = true;
        }
        self.resampler.process(&self.waiting, &mut self.resampled)?;
        self.waiting.drain(..needs);
        let mut samples = Box::new([0; FRAME_SAMPLES]);
        for (to, from) in samples.iter_mut().zip(&self.resampled) {
            *to = (from * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16;
        }
        let captured = self.next;
        self.next = captured + FRAME;
        Ok(Some(AudioFrame { captured, samples }))
    }
}

/// From `earlier` to `later`, negative when it is the other way round.
pub(super) fn seconds_between(earlier: MediaTime, later: MediaTime) -> f64 {
    later.since(earlier).as_secs_f64() - earlier.since(later).as_secs_f64()
}
