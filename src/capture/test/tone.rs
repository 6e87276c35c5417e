//! The test sound: something like a voice, and a beep at every full second.

use super::BEEP;
use crate::base::clock::MediaTime;
use crate::media::{AUDIO_RATE, AudioFrame, FRAME_SAMPLES};

/// The beep's amplitude: -12 dBFS.
const BEEP_AMPLITUDE: f64 = 0.251_188_643 * 32_767.0;
/// Samples of one period of the beep: 1 kHz.
const BEEP_PERIOD: usize = 48;
/// Samples of one period of the voice: 139.9 Hz.
const VOICE_PERIOD: usize = 343;
/// The voice's root mean square while it speaks, before syllables shape it: about -26 dBFS with them.
const VOICE_RMS: f64 = 0.080 * 32_767.0;
/// Silence before and after the beep, in samples: 50 ms.
const QUIET: u64 = AUDIO_RATE as u64 / 20;
/// Samples of one syllable: 4 a second.
const SYLLABLE: u64 = AUDIO_RATE as u64 / 4;
/// Formants in Hz with their strength, of the vowels that alternate.
const VOWELS: [[(f64, f64); 3]; 2] =
    [[(730.0, 1.0), (1090.0, 0.5), (2440.0, 0.2)], [(390.0, 1.0), (1990.0, 0.4), (2550.0, 0.3)]];

/// Makes the test sound. Every sample follows from its time alone.
pub struct Tone {
    beep: [i16; BEEP_PERIOD],
    voices: [[f32; VOICE_PERIOD]; 2],
    envelope: Vec<f32>,
}

impl Default for Tone {
    fn default() -> Self {
        Self::new()
    }
}

impl Tone {
    /// Computes the tables.
    pub fn new() -> Self {
        let turn = std::f64::consts::TAU;
        let beep = std::array::from_fn(|n| {
            (BEEP_AMPLITUDE * (turn * n as f64 / BEEP_PERIOD as f64).sin()).round() as i16
        });
        // Raised cosine, with a pause between syllables.
        let envelope = (0..SYLLABLE).map(|n| {
            let phase = (n as f64 / SYLLABLE as f64 / 0.85).min(1.0);
            (0.5 - 0.5 * (turn * phase).cos()) as f32
        });
        Tone { beep, voices: VOWELS.map(voice), envelope: envelope.collect() }
    }

    /// The 20 ms frame number `index` of the media clock: captured at `index` times 20 ms.
    pub fn frame(&self, index: u64) -> AudioFrame {
        let first = index * FRAME_SAMPLES as u64;
        let mut samples = Box::new([0; FRAME_SAMPLES]);
        for (sample, at) in samples.iter_mut().zip(first..) {
            *sample = self.sample(at);
        }
        AudioFrame { captured: MediaTime::from_millis(index * 20), samples }
    }

    /// Sample number `at` of the media clock.
    fn sample(&self, at: u64) -> i16 {
        let second = u64::from(AUDIO_RATE);
        let beep = BEEP.as_millis() as u64 * second / 1000;
        let phase = at % second;
        if phase < beep {
            return self.beep[(phase % BEEP_PERIOD as u64) as usize];
        }
        if phase < beep + QUIET || phase >= second - QUIET {
            return 0;
        }
        let voice = &self.voices[(at / SYLLABLE % 2) as usize];
        let loudness = self.envelope[(at % SYLLABLE) as usize];
        (voice[(at % VOICE_PERIOD as u64) as usize] * loudness) as i16
    }
}

/// One period of a vowel: harmonics, each as strong as the formants near it make it.
fn voice(formants: [(f64, f64); 3]) -> [f32; VOICE_PERIOD] {
    let turn = std::f64::consts::TAU;
    let fundamental = f64::from(AUDIO_RATE) / VOICE_PERIOD as f64;
    let mut period = [0.0f64; VOICE_PERIOD];
    for harmonic in 1..=28 {
        let hz = fundamental * f64::from(harmonic);
        let strength: f64 =
            formants.iter().map(|(at, gain)| gain / (1.0 + ((hz - at) / 90.0).powi(2))).sum::<f64>() + 0.02;
        for (n, sample) in period.iter_mut().enumerate() {
            // Phases spread by the square of the number keep the peaks low (twice the mean; the factor by trial).
            let phase = f64::from(harmonic * harmonic) * 1.29;
            *sample += strength * (turn * f64::from(harmonic) * n as f64 / VOICE_PERIOD as f64 + phase).sin();
        }
    }
    let rms = (period.iter().map(|sample| sample * sample).sum::<f64>() / VOICE_PERIOD as f64).sqrt();
    period.map(|sample| (sample / rms * VOICE_RMS) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::level::dbov;

    fn second() -> Vec<i16> {
        let tone = Tone::new();
        (50..100).flat_map(|n| *tone.frame(n).samples).collect()
    }

    #[test]
    fn the_beep_is_one_kilohertz_at_minus_12_dbfs_for_100_ms_from_the_full_second() {
        let sound = second();
        let (beep, after) = sound.split_at(4_800);
        assert_eq!(beep.iter().max(), Some(&8_231));
        let rises = beep.windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count();
        assert!((99..=100).contains(&rises), "{rises} periods");
        assert!(after[..2_400].iter().chain(&sound[45_600..]).all(|sample| *sample == 0));
    }

    #[test]
    fn the_voice_is_about_26_db_below_full_scale_and_never_as_loud_as_the_beep() {
        let sound = second();
        let voice = &sound[7_200..45_600];
        let level = dbov(voice);
        assert!((25..=27).contains(&level), "-{level} dBov");
        let peak = voice.iter().map(|sample| sample.unsigned_abs()).max();
        assert!(peak < Some(8_231), "{peak:?}");
    }
}
