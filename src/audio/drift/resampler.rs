//! One channel from rate to rate, with a ratio that can be moved while it runs.

use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{
    Adjustable, Async, FixedAsync, Resampler as _, SincInterpolationParameters, SincInterpolationType,
    WindowFunction,
};

/// Points of the filter at the lower of the two rates.
const POINTS: usize = 64;
/// Most by which the ratio may move: a little more than is ever steered.
const MAX_RELATIVE: f64 = 1.001;

/// The resampler could not be made or refused its work: a rate of 0, or a bug.
#[derive(Debug, thiserror::Error)]
#[error("resampling {from_hz} Hz to {to_hz} Hz: {message}")]
pub struct ResampleError {
    from_hz: u32,
    to_hz: u32,
    message: String,
}

/// One channel; either what goes in or what comes out is of a fixed size.
pub struct Resampler {
    from_hz: u32,
    to_hz: u32,
    inner: Async<f32>,
    ppm: f64,
}

impl std::fmt::Debug for Resampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Resampler({} -> {}, {:.1} ppm)", self.from_hz, self.to_hz, self.ppm)
    }
}

impl Resampler {
    /// From rate to rate, `chunk` samples at a time on the side that is `fixed`.
    pub fn new(from_hz: u32, to_hz: u32, chunk: usize, fixed: FixedAsync) -> Result<Self, ResampleError> {
        let failed = |message: String| ResampleError { from_hz, to_hz, message };
        let steps = from_hz.div_ceil(to_hz.max(1)).clamp(1, 8) as usize;
        let parameters = SincInterpolationParameters {
            sinc_len: POINTS * steps,
            f_cutoff: None,
            interpolation: SincInterpolationType::Quadratic,
            oversampling_factor: 128,
            window: WindowFunction::BlackmanHarris2,
        };
        let ratio = f64::from(to_hz) / f64::from(from_hz);
        let inner = Async::new_sinc(ratio, MAX_RELATIVE, &parameters, chunk, 1, fixed)
            .map_err(|error| failed(error.to_string()))?;
        Ok(Resampler { from_hz, to_hz, inner, ppm: 0.0 })
    }

    /// Gives `ppm` millionths more samples than the rates say, from the next chunk on, reached within it.
    pub fn stretch(&mut self, ppm: f64) -> Result<(), ResampleError> {
        if ppm != self.ppm {
            self.ppm = ppm;
            let moved = self.inner.set_resample_ratio_relative(1.0 + ppm / 1e6, true);
            moved.map_err(|error| self.failed(&error))?;
        }
        Ok(())
    }

    /// Samples that the next chunk takes.
    pub fn needs(&self) -> usize {
        self.inner.input_frames_next()
    }

    /// How much later, in seconds, a sample comes out than it went in.
    pub fn delay(&self) -> f64 {
        self.inner.output_delay() as f64 / f64::from(self.to_hz)
    }

    /// Resamples the first [`Resampler::needs`] samples of `input`; `output` is made as long as what comes out.
    pub fn process(&mut self, input: &[f32], output: &mut Vec<f32>) -> Result<(), ResampleError> {
        let (needs, gives) = (self.inner.input_frames_next(), self.inner.output_frames_next());
        output.clear();
        output.resize(gives, 0.0);
        let from = SequentialSlice::new(input, 1, needs.min(input.len()));
        let from = from.map_err(|error| self.failed(&error))?;
        let to = SequentialSlice::new_mut(output.as_mut_slice(), 1, gives);
        let mut to = to.map_err(|error| self.failed(&error))?;
        let done = self.inner.process_into_buffer(&from, &mut to, None);
        let (_, given) = done.map_err(|error| self.failed(&error))?;
        output.truncate(given);
        Ok(())
    }

    fn failed(&self, error: &dyn std::fmt::Display) -> ResampleError {
        ResampleError { from_hz: self.from_hz, to_hz: self.to_hz, message: error.to_string() }
    }
}
