use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rubato::FixedAsync;

use super::resampler::Resampler;
use super::*;
use crate::base::clock::MediaTime;
use crate::media::{AUDIO_RATE, AudioFrame, FRAME_SAMPLES};

const RATE: f64 = 48_000.0;

fn media(seconds: f64) -> MediaTime {
    MediaTime::from_nanos((seconds * 1e9) as u64)
}

/// 10 ms of loudness at every whole second of real time, `beep(t)` at the time t.
fn beep(at: f64) -> f32 {
    if at.fract() < 0.01 { 0.5 } else { 0.0 }
}

/// Where in `samples`, the first of which is at `start` seconds, a beep begins after silence.
struct Beeps {
    quiet_for: usize,
    found: Vec<f64>,
}

impl Beeps {
    fn new() -> Self {
        Beeps { quiet_for: 0, found: Vec::new() }
    }

    fn listen(&mut self, start: f64, rate: f64, samples: impl Iterator<Item = f32>) {
        for (index, sample) in samples.enumerate() {
            if sample.abs() < 0.25 {
                self.quiet_for += 1;
            } else {
                if self.quiet_for > 20_000 {
                    self.found.push(start + index as f64 / rate);
                }
                self.quiet_for = 0;
            }
        }
    }

    /// How far from a whole second, seconds: the worst of those after `from`.
    fn worst(&self, from: f64) -> f64 {
        let errors = self.found.iter().filter(|at| **at > from).map(|at| (at - at.round()).abs());
        errors.fold(0.0, f64::max)
    }
}

/// A card that is `ppm` slower than it says, heard for `seconds` with jitter and lost sound. Returns the worst error
/// of a beep in media time and how many were heard.
fn hear_beeps(ppm: f64, seconds: f64, seed: u64) -> (f64, usize) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut capturing = Capturing::new(AUDIO_RATE, media(0.5)).unwrap();
    let (mut beeps, mut next) = (Beeps::new(), media(0.5));
    let rate = RATE * (1.0 - ppm / 1e6);
    let (mut captured, mut gap) = (0.51, false);
    while captured < seconds {
        let samples: Vec<f32> = (0..960).map(|n| beep(captured + f64::from(n) / rate)).collect();
        // Hardly ever exact, often some milliseconds late, at times a lot.
        let late = if rng.random_range(0..50) == 0 { 0.030 } else { 0.006 };
        let at = media(captured + rng.random_range(0.0..late));
        capturing.push(&Heard { at, samples, gap }).unwrap();
        captured += 960.0 / rate;
        let now = media(captured + 0.010);
        while let Some(frame) = capturing.pop(now).unwrap() {
            assert_eq!(frame.captured, next, "frames follow on each other");
            next = next + Duration::from_millis(20);
            let start = frame.captured.as_nanos() as f64 / 1e9;
            beeps.listen(start, RATE, frame.samples.iter().map(|sample| f32::from(*sample) / 32_768.0));
        }
        gap = rng.random_range(0..20_000) == 0;
        if gap {
            captured += rng.random_range(0.02..0.3);
        }
    }
    (beeps.worst(1.5), beeps.found.len())
}

#[test]
fn a_card_300_ppm_off_is_within_40_ms_for_half_an_hour() {
    for ppm in [300.0, -300.0] {
        let (worst, heard) = hear_beeps(ppm, 1800.0, 7);
        println!("{ppm} ppm, 30 min: beeps within {:.1} ms", worst * 1000.0);
        assert!(worst < 0.040, "{ppm} ppm: a beep was {worst} s off");
        // Some fall into lost sound.
        assert!(heard > 1780, "{heard} beeps of 1800 were heard");
    }
}

#[test]
fn the_loop_holds_for_four_hours_and_finds_the_drift() {
    for ppm in [300.0, -300.0, 450.0, -20.0] {
        let mut rng = StdRng::seed_from_u64(11);
        let (mut drift, mut lag, mut worst) = (Drift::default(), 0.0f64, 0.0f64);
        for period in 0..4 * 3600 * 50 {
            let now = media(f64::from(period) * 0.020);
            if let Some(jump) = drift.observe(now, lag + rng.random_range(0.0..0.006)) {
                lag -= jump;
            }
            lag += 0.020 * (ppm - drift.ppm()) / 1e6;
            worst = worst.max(lag.abs());
        }
        println!("{ppm} ppm, 4 h: within {:.1} ms, found {:.0} ppm", worst * 1000.0, drift.ppm());
        assert!(worst < 0.040, "{ppm} ppm: {worst} s off");
        assert!((drift.ppm() - ppm).abs() < 60.0, "{} ppm found of {ppm}", drift.ppm());
    }
}

#[test]
fn a_card_too_far_off_for_steering_still_stays_in_time() {
    let (worst, heard) = hear_beeps(3000.0, 120.0, 3);
    assert!(worst < 0.080 && heard > 100, "{worst} s off, {heard} beeps of 120");
}

#[test]
fn silence_takes_the_place_of_sound_that_does_not_come_and_time_goes_on() {
    let mut capturing = Capturing::new(16_000, media(1.0)).unwrap();
    let heard = |at: f64| Heard { at: media(at), samples: vec![0.5; 320], gap: false };
    let mut frames: Vec<AudioFrame> = Vec::new();
    for period in 0..100 {
        // Nothing for half a second in the middle.
        let begins = 1.0 + f64::from(period) * 0.020;
        if !(40..65).contains(&period) {
            capturing.push(&heard(begins)).unwrap();
        }
        while let Some(frame) = capturing.pop(media(begins + 0.020)).unwrap() {
            frames.push(frame);
        }
    }
    assert!(frames.windows(2).all(|pair| pair[1].captured == pair[0].captured + Duration::from_millis(20)));
    let loud = |from: f64, to: f64| {
        let within = |frame: &&AudioFrame| (media(from)..media(to)).contains(&frame.captured);
        frames.iter().filter(within).filter(|frame| frame.samples[480] > 10_000).count()
    };
    assert_eq!((loud(1.1, 1.75), loud(1.86, 2.2)), (33, 0));
    assert!(loud(2.3, 2.9) >= 25, "{} frames", loud(2.3, 2.9));
}

/// Energy of what is no sine of `hz` in 10 ms of sound, below that of the sine, dB.
fn signal_to_noise(samples: &[f32], hz: f64) -> f64 {
    let turn = |n: usize| std::f64::consts::TAU * hz * n as f64 / RATE;
    let (mut ss, mut cc, mut sc, mut xs, mut xc) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let (sin, cos) = turn(n).sin_cos();
        (ss, cc, sc) = (ss + sin * sin, cc + cos * cos, sc + sin * cos);
        (xs, xc) = (xs + f64::from(*sample) * sin, xc + f64::from(*sample) * cos);
    }
    let determinant = ss * cc - sc * sc;
    let (a, b) = ((xs * cc - xc * sc) / determinant, (xc * ss - xs * sc) / determinant);
    let (mut signal, mut noise) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let (sin, cos) = turn(n).sin_cos();
        let ideal = a * sin + b * cos;
        signal += ideal * ideal;
        noise += (f64::from(*sample) - ideal).powi(2);
    }
    10.0 * (signal / noise.max(1e-20)).log10()
}

#[test]
fn a_sine_stays_clean_at_every_rate_while_the_ratio_moves() {
    for rate in [8_000, 16_000, 44_100, 48_000, 96_000, 192_000u32] {
        let hz = 997.0;
        let mut resampler = Resampler::new(rate, AUDIO_RATE, FRAME_SAMPLES, FixedAsync::Output).unwrap();
        let (mut heard, mut all, mut worst) = (0u64, Vec::new(), f64::MAX);
        for chunk in 0..200 {
            let ppm = 500.0 * (f64::from(chunk) / 20.0).sin();
            resampler.stretch(ppm).unwrap();
            let sine = |n: u64| (std::f64::consts::TAU * hz * n as f64 / f64::from(rate)).sin() as f32 * 0.5;
            let input: Vec<f32> = (0..resampler.needs() as u64).map(|n| sine(heard + n)).collect();
            let mut output = Vec::new();
            resampler.process(&input, &mut output).unwrap();
            heard += input.len() as u64;
            if chunk > 5 {
                for part in output.chunks(FRAME_SAMPLES / 2) {
                    worst = worst.min(signal_to_noise(part, hz / (1.0 + ppm / 1e6)));
                }
                all.extend(output);
            }
        }
        println!("{rate} Hz: {worst:.1} dB");
        assert!(worst > 60.0, "{rate} Hz: {worst} dB");
        // A click is bent more sharply than the sine ever is.
        let sharpest = 0.5 * (std::f64::consts::TAU * hz / RATE).powi(2) * 1.02;
        for three in all.windows(3) {
            let bend = f64::from(three[0] - 2.0 * three[1] + three[2]).abs();
            assert!(bend < sharpest, "{rate} Hz: a step of {bend}");
        }
    }
}

/// What a simulated speaker found.
#[derive(Debug)]
struct Played {
    worst: f64,
    beeps: usize,
    missing: usize,
    told_off_by: f64,
    latency: f64,
}

/// A speaker's card that is `ppm` slower than it says, for `seconds`: the mix beeps at every whole second of media
/// time, and a beep must be heard later by the same time for ever.
fn play_beeps(ppm: f64, seconds: f64) -> Played {
    let mut rng = StdRng::seed_from_u64(5);
    let mut playing = Playing::new(AUDIO_RATE, 960).unwrap();
    let rate = RATE * (1.0 - ppm / 1e6);
    let (mut ring, mut taken): (std::collections::VecDeque<f32>, u64) = (Default::default(), 0);
    let (mut beeps, mut told, mut missing) = (Beeps::new(), Vec::new(), 0);
    // The card asks when one period is left; it starts with nothing.
    let (mut due, mut asks, mut heard) = (0.0, 0.005, 0.005);
    while due < seconds {
        if due <= asks {
            let mix = std::array::from_fn(|n| (beep(due + n as f64 / RATE + 1e-9) * 32_768.0) as i16);
            if (due + 1e-6).fract() < 0.001 && due > 0.5 {
                told.push(playing.heard(media(due)).as_nanos() as f64 / 1e9 - due);
            }
            ring.extend(playing.push(&mix, media(due)).unwrap());
            due += 0.020;
            due = (due * 50.0).round() / 50.0;
        } else {
            let here = ring.len().min(960);
            let late = rng.random_range(0.0..0.004);
            let seen = Pulled {
                now: media(asks + late),
                heard: media(heard + late),
                taken_before: taken,
                samples: 960,
                missing: 960 - here,
            };
            if due > 5.0 {
                missing += seen.missing;
            }
            let samples = ring.drain(..here).chain(std::iter::repeat_n(0.0, 960 - here));
            beeps.listen(heard, rate, samples.collect::<Vec<_>>().into_iter());
            playing.observe(&seen);
            taken += here as u64;
            asks = heard;
            heard += 960.0 / rate;
        }
    }
    let late: Vec<f64> = beeps.found.iter().map(|at| at - at.floor()).collect();
    let settled = late[late.len() / 2];
    let worst = late.iter().skip(3).map(|late| (late - settled).abs()).fold(0.0, f64::max);
    let told_off_by = told.iter().skip(3).map(|told| (told - settled).abs()).fold(0.0, f64::max);
    Played { worst, beeps: late.len(), missing, told_off_by, latency: settled }
}

#[test]
fn a_speaker_300_ppm_off_keeps_its_delay_for_half_an_hour_and_never_runs_dry() {
    for ppm in [300.0, -300.0] {
        let played = play_beeps(ppm, 1800.0);
        println!("{ppm} ppm: {played:?}");
        assert!(played.worst < 0.040 && played.told_off_by < 0.020, "{ppm} ppm: {played:?}");
        assert!(played.latency < 0.060 && played.beeps > 1790 && played.missing == 0, "{played:?}");
    }
}

#[test]
fn a_mix_that_came_late_is_heard_with_the_same_delay_again() {
    let mut playing = Playing::new(44_100, 882).unwrap();
    let mix = [1000; FRAME_SAMPLES];
    let first = playing.push(&mix, media(1.0)).unwrap().len();
    let second = playing.push(&mix, media(1.02)).unwrap().len();
    let after_a_pause = playing.push(&mix, media(2.0)).unwrap().len();
    assert!(first > 3000 && second < 900 && after_a_pause > 3000, "{first} {second} {after_a_pause}");
}
