//! CPU of the voice processing, all of it on, while both ends speak.

use std::time::Duration;

use roomd::audio::Voice;
use roomd::base::clock::MediaTime;
use roomd::media::{AudioFrame, FRAME_SAMPLES};

use super::cpu;

/// Frames of 20 ms: 60 s.
const FRAMES: u32 = 3000;
/// Frames of what is said before it begins anew: 4 s.
const SAID: u32 = 200;

/// Prints the CPU time of 10 ms, by the scheduler's clock of a thread of its own.
pub fn run() {
    let said = |pitch| (0..SAID).map(|n| babble(n, pitch)).collect::<Vec<_>>();
    let (far, near) = (said(137.0), said(201.0));
    let of = |said: &[Box<[i16; FRAME_SAMPLES]>], n: u32| said[(n % SAID) as usize].clone();
    let work = move || {
        let voice = Voice::default();
        let at = |n: u32| MediaTime::from_millis(1000) + Duration::from_millis(20) * n;
        for n in 0..FRAMES {
            voice.played(&of(&far, n + 2), at(n + 2));
            // What was played 60 ms ago, half as loud, and somebody in the room: 10 us of the figure.
            let (echo, near) = (of(&far, n + SAID - 3), of(&near, n));
            let heard = std::array::from_fn(|at| echo[at] / 2 + near[at] / 3);
            let mut frame = AudioFrame { captured: at(n), samples: Box::new(heard) };
            voice.process(&mut frame);
        }
    };
    let measured = std::thread::Builder::new().name("voice".into()).spawn(move || {
        work();
        cpu::threads("self").get("voice").copied().unwrap_or(0)
    });
    let nanos = measured.expect("a thread").join().expect("no panic");
    println!("voice, all on: {:.3} ms CPU each 10 ms", nanos as f64 / f64::from(FRAMES * 2) / 1e6);
}

/// Frame `n` of something with harmonics, syllables and breath.
fn babble(n: u32, pitch: f32) -> Box<[i16; FRAME_SAMPLES]> {
    let mut noise = u64::from(n) * 2 + 1;
    let sample = |at: usize| {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        let seconds = (n as usize * FRAME_SAMPLES + at) as f32 / 48_000.0;
        let syllable = (seconds * 4.0 * std::f32::consts::PI).sin().max(0.0);
        let tone: f32 =
            (1..12).map(|k| (seconds * pitch * k as f32 * std::f32::consts::TAU).sin() / k as f32).sum();
        (tone * syllable * 3_000.0) as i16 + (noise >> 58) as i16
    };
    Box::new(std::array::from_fn(sample))
}
