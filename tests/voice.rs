//! The voice in rooms with an echo.

#[path = "voice/scene.rs"]
mod scene;

use std::time::Duration;

use roomd::audio::{Voice, VoiceConfig};
use roomd::base::clock::MediaTime;
use roomd::media::{AudioFrame, FRAME_SAMPLES};
use scene::*;

const ECHO_ONLY: VoiceConfig =
    VoiceConfig { echo_cancellation: true, noise_suppression: false, gain_control: false };

fn pcm(samples: &[f32]) -> Box<[i16; FRAME_SAMPLES]> {
    let samples: Vec<i16> = samples.iter().map(|sample| (sample * 32_767.0) as i16).collect();
    samples.into_boxed_slice().try_into().expect("one frame")
}

fn processed(config: VoiceConfig, played: &[f32], heard: &[f32]) -> Vec<f32> {
    let voice = Voice::default();
    voice.configure(config);
    let mut out = Vec::new();
    let mut noise = Noise(7);
    let begin = MediaTime::from_millis(5_000);
    let at = |n: usize| begin + Duration::from_millis(20 * n as u64);
    let mut told = 0;
    for (n, heard) in heard.chunks_exact(FRAME_SAMPLES).enumerate() {
        // The speaker is 40 ms ahead.
        while told < n + 3 && (told + 1) * FRAME_SAMPLES <= played.len() {
            voice.played(&pcm(&played[told * FRAME_SAMPLES..][..FRAME_SAMPLES]), at(told));
            told += 1;
        }
        let heard: Vec<f32> = heard.iter().map(|sample| sample + 0.0008 * 1.732 * noise.next()).collect();
        let mut frame = AudioFrame { captured: at(n), samples: pcm(&heard) };
        voice.process(&mut frame);
        out.extend(frame.samples.iter().map(|sample| f32::from(*sample) / 32_768.0));
    }
    out
}

fn of(samples: &[f32], from: usize, to: usize) -> &[f32] {
    &samples[from * RATE..to * RATE]
}

/// gain of `near` in `out`, projection, best lag
fn gain(near: &[f32], out: &[f32], at: usize) -> (usize, f32) {
    let n = &near[at * RATE..(at + 10) * RATE];
    let energy: f32 = n.iter().map(|x| x * x).sum();
    (0..1500).step_by(1).map(|lag| {
        let o = &out[at * RATE + lag..][..n.len()];
        (lag, n.iter().zip(o).step_by(1).map(|(n, o)| n * o).sum::<f32>() / energy)
    }).max_by(|a, b| a.1.total_cmp(&b.1)).unwrap()
}

#[test]
fn explore() {
    for (name, room) in [
        ("60 lin", Room { delay_ms: 60, rt60: 0.2, echo_return_loss: 6.0, distorts: false }),
        ("60 non", Room { delay_ms: 60, rt60: 0.3, echo_return_loss: 0.0, distorts: true }),
        ("180 non", Room { delay_ms: 180, rt60: 0.3, echo_return_loss: 6.0, distorts: true }),
    ] {
        let scene = scene(room);
        let heard: Vec<f32> = scene.echo.iter().zip(&scene.near).map(|(a, b)| a + b).collect();
        let start = std::time::Instant::now();
        let out = processed(ECHO_ONLY, &scene.played, &heard);
        println!("took {:?}", start.elapsed());
        let erle = decibels(power(of(&scene.echo, 16, 31)) / power(of(&out, 16, 31)));
        println!("{name}: echo rms {} erle {erle}", power(of(&scene.echo, 16, 31)).sqrt());
        for s in 0..31 { print!("{:.0} ", decibels(power(of(&scene.echo, s, s+1)) / power(of(&out, s, s+1)))); }
        println!();
        let (la, alone) = gain(&scene.near, &out, ALONE);
        let (ld, double) = gain(&scene.near, &out, DOUBLE_TALK);
        println!("lag {la} {ld} alone {alone} double {double} loss {}", 20.0 * (alone / double).log10());
        println!("power loss {}", decibels(power(of(&out, ALONE, ALONE + 10)) / power(of(&out, DOUBLE_TALK, DOUBLE_TALK + 10))));
    }
}
