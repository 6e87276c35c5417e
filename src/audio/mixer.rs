//! Mixes what the other participants say into one sound.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::media::{AUDIO_RATE, FRAME_SAMPLES};

/// Samples that one source may have waiting: 200 ms. When it is full the oldest are dropped and counted: sound that
/// came too early or too late is worth less than sound that is in time.
const CAPACITY: usize = AUDIO_RATE as usize / 5;
/// A source is heard once this much (40 ms) waits, and again after it had run dry: what jitter may take away.
const START: usize = AUDIO_RATE as usize / 25;
/// A source with never less than this (80 ms) waiting for [`CHECKED`] mixes is ahead: its clock is faster than ours,
/// or a delay has passed; it is cut back to [`START`].
const AHEAD: usize = AUDIO_RATE as usize * 8 / 100;
/// Mixes (of 20 ms) between two looks at how far ahead a source is: 2 s.
const CHECKED: u32 = 100;
/// Below this the mix is exact; above it is bent towards full scale, which it never reaches.
const KNEE: i32 = 24_576;

/// Sums sources into frames of 20 ms. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Mixer {
    sources: Arc<Mutex<Vec<Arc<Source>>>>,
}

#[derive(Debug, Default)]
struct Source {
    buffer: Mutex<Buffer>,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Buffer {
    samples: VecDeque<i16>,
    playing: bool,
    /// Least that was left after a mix since the last look.
    least: usize,
    mixes: u32,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Mixer {
    /// Without sources: silence.
    pub fn new() -> Self {
        Self::default()
    }

    /// A new source, silent until it has 40 ms; gone when dropped.
    pub fn source(&self) -> MixerSource {
        let source = Arc::new(Source::default());
        lock(&self.sources).push(source.clone());
        MixerSource { source, mixer: self.clone() }
    }

    /// Fills `mix` with the next 20 ms of every source that has them, silence where there is too little. Never
    /// blocks for longer than a push.
    pub fn mix(&self, mix: &mut [i16; FRAME_SAMPLES]) {
        let mut sum = [0i32; FRAME_SAMPLES];
        for source in lock(&self.sources).iter() {
            source.add_to(&mut sum);
        }
        for (out, value) in mix.iter_mut().zip(sum) {
            *out = limited(value);
        }
    }
}

/// Keeps `value` within 16 bits: exact up to the knee, bent above it.
fn limited(value: i32) -> i16 {
    let over = value.abs() - KNEE;
    if over <= 0 {
        return value as i16;
    }
    let room = f64::from(i32::from(i16::MAX) - KNEE);
    let bent = f64::from(KNEE) + room * (1.0 - (-f64::from(over) / room).exp());
    (bent as i32 * value.signum()) as i16
}

impl Source {
    fn add_to(&self, sum: &mut [i32; FRAME_SAMPLES]) {
        let mut buffer = lock(&self.buffer);
        buffer.playing |= buffer.samples.len() >= START;
        if !buffer.playing {
            return;
        }
        let here = buffer.samples.len().min(FRAME_SAMPLES);
        for (sum, sample) in sum.iter_mut().zip(buffer.samples.drain(..here)) {
            *sum += i32::from(sample);
        }
        // Run dry: wait for 40 ms again rather than stutter.
        buffer.playing = here == FRAME_SAMPLES;
        let cut = buffer.ahead();
        self.dropped.fetch_add(cut as u64, Ordering::Relaxed);
    }
}

impl Buffer {
    /// Cuts what has been ahead for 2 s; returns how many samples.
    fn ahead(&mut self) -> usize {
        self.least = if self.mixes == 0 { self.samples.len() } else { self.least.min(self.samples.len()) };
        self.mixes += 1;
        if self.mixes < CHECKED {
            return 0;
        }
        self.mixes = 0;
        if self.least < AHEAD {
            return 0;
        }
        let cut = self.least - START;
        self.samples.drain(..cut);
        cut
    }
}

/// Where the sound of one participant goes in.
#[derive(Debug)]
pub struct MixerSource {
    source: Arc<Source>,
    mixer: Mixer,
}

impl MixerSource {
    /// Adds 48 kHz mono samples, any number. Never blocks; at more than 200 ms the oldest are dropped.
    pub fn push(&self, samples: &[i16]) {
        let mut buffer = lock(&self.source.buffer);
        let too_many = (buffer.samples.len() + samples.len()).saturating_sub(CAPACITY);
        let old = too_many.min(buffer.samples.len());
        buffer.samples.drain(..old);
        buffer.samples.extend(&samples[too_many - old..]);
        self.source.dropped.fetch_add(too_many as u64, Ordering::Relaxed);
    }

    /// Samples dropped because they were not taken in time.
    pub fn dropped(&self) -> u64 {
        self.source.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for MixerSource {
    fn drop(&mut self) {
        lock(&self.mixer.sources).retain(|other| !Arc::ptr_eq(other, &self.source));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed(mixer: &Mixer) -> [i16; FRAME_SAMPLES] {
        let mut mix = [1; FRAME_SAMPLES];
        mixer.mix(&mut mix);
        mix
    }

    #[test]
    fn two_sources_are_summed_and_a_dropped_one_is_gone() {
        let mixer = Mixer::new();
        assert_eq!(mixed(&mixer), [0; FRAME_SAMPLES]);
        let (one, two) = (mixer.source(), mixer.source());
        one.push(&[100; START * 2]);
        two.push(&[-30; START * 2]);
        assert_eq!(mixed(&mixer), [70; FRAME_SAMPLES]);
        drop(one);
        assert_eq!(mixed(&mixer), [-30; FRAME_SAMPLES]);
    }

    #[test]
    fn loud_sources_are_limited_without_wrapping_and_quiet_ones_are_exact() {
        let mixer = Mixer::new();
        let sources: Vec<_> = (0..5).map(|_| mixer.source()).collect();
        sources.iter().for_each(|source| source.push(&[30_000; START]));
        assert!(mixed(&mixer).iter().all(|sample| *sample > 32_000));
        for value in [-24_576, -1, 0, 24_576] {
            assert_eq!(i32::from(limited(value)), value);
        }
        let bent: Vec<_> = (0..200_000).step_by(100).map(limited).collect();
        assert!(bent.is_sorted() && limited(-200_000) == -limited(200_000));
    }

    #[test]
    fn a_source_starts_after_40_ms_and_waits_again_when_it_ran_dry() {
        let mixer = Mixer::new();
        let source = mixer.source();
        source.push(&[5; FRAME_SAMPLES]);
        assert_eq!(mixed(&mixer), [0; FRAME_SAMPLES]);
        source.push(&[5; FRAME_SAMPLES]);
        assert_eq!((mixed(&mixer), mixed(&mixer)), ([5; FRAME_SAMPLES], [5; FRAME_SAMPLES]));
        source.push(&[5; 100]);
        assert_eq!(mixed(&mixer).iter().map(|s| i32::from(*s)).sum::<i32>(), 500);
        source.push(&[5; FRAME_SAMPLES]);
        assert_eq!(mixed(&mixer), [0; FRAME_SAMPLES]);
    }

    #[test]
    fn a_full_source_drops_its_oldest_samples_and_counts_them() {
        let mixer = Mixer::new();
        let source = mixer.source();
        source.push(&[1; CAPACITY]);
        source.push(&[2; 300]);
        assert_eq!(source.dropped(), 300);
        source.push(&[3; CAPACITY + 10]);
        assert_eq!((source.dropped(), mixed(&mixer)), (300 + CAPACITY as u64 + 10, [3; FRAME_SAMPLES]));
    }

    #[test]
    fn a_source_that_stays_ahead_is_cut_back_to_40_ms() {
        let mixer = Mixer::new();
        let source = mixer.source();
        source.push(&[1; FRAME_SAMPLES * 8]);
        for _ in 0..CHECKED {
            mixed(&mixer);
            source.push(&[1; FRAME_SAMPLES]);
        }
        let left = lock(&source.source.buffer).samples.len();
        assert!((START..=START + FRAME_SAMPLES).contains(&left), "{left} samples wait");
    }
}
