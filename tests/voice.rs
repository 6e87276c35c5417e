//! The voice in rooms with a loudspeaker: what is left of its echo, and of somebody who speaks meanwhile.
//!
//! ERLE is the echo's power over the output's, of 15 s in which only the far end speaks, the canceller alone at work.
//! How much near speech loses is what of it is found again in the output (its projection, 20 ms at a time), while the
//! far end speaks and alone.

#[path = "voice/scene.rs"]
mod scene;

use std::ops::Range;
use std::time::Duration;

use roomd::audio::{Voice, VoiceConfig};
use roomd::base::clock::MediaTime;
use roomd::media::{AudioFrame, FRAME_SAMPLES};
use scene::*;

const ECHO_ONLY: VoiceConfig =
    VoiceConfig { echo_cancellation: true, noise_suppression: false, gain_control: false };
/// How far the speaker is ahead of the microphone, in frames.
const AHEAD: usize = 2;

fn pcm(samples: &[f32]) -> Box<[i16; FRAME_SAMPLES]> {
    let samples: Vec<i16> = samples.iter().map(|sample| (sample * 32_767.0) as i16).collect();
    samples.into_boxed_slice().try_into().expect("one frame")
}

/// What comes out while `played` is played and `heard` is heard; frames of the speaker in `untold` are not told.
fn processed(played: &[f32], heard: &[f32], untold: Range<usize>) -> Vec<f32> {
    let voice = Voice::default();
    voice.configure(ECHO_ONLY);
    let at = |n: usize| MediaTime::from_millis(5_000) + Duration::from_millis(20 * n as u64);
    let mut played = played.as_chunks::<FRAME_SAMPLES>().0.iter().enumerate();
    let mut tell = || {
        if let Some((n, frame)) = played.next().filter(|(n, _)| !untold.contains(n)) {
            voice.played(&pcm(frame), at(n));
        }
    };
    (0..AHEAD).for_each(|_| tell());
    let (mut out, mut noise) = (Vec::with_capacity(heard.len()), Noise(7));
    for (n, heard) in heard.as_chunks::<FRAME_SAMPLES>().0.iter().enumerate() {
        tell();
        let heard = heard.map(|sample| sample + SENSOR_NOISE * noise.next());
        let mut frame = AudioFrame { captured: at(n), samples: pcm(&heard) };
        voice.process(&mut frame);
        out.extend(frame.samples.iter().map(|sample| f32::from(*sample) / 32_768.0));
    }
    out
}

/// By how many dB the output is quieter than the echo, between two seconds.
fn erle(echo: &[f32], out: &[f32], seconds: Range<usize>) -> f32 {
    let part = seconds.start * RATE..seconds.end * RATE;
    decibels(power(&echo[part.clone()]) / power(&out[part]))
}

/// The power of what is found in `out` of the near speech that begins at second `from`.
fn near_power(near: &[f32], out: &[f32], from: usize, latency: usize) -> f32 {
    let part = from * RATE..(from + 10) * RATE;
    let pairs = near[part.clone()].chunks(960).zip(out[part.start + latency..].chunks(960));
    let found = |(near, out): (&[f32], &[f32])| product(near, out).powi(2) / (product(near, near) + 1e-6);
    pairs.map(found).sum()
}

fn product(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

struct Outcome {
    erle: f32,
    near_loss: f32,
}

fn outcome(room: Room) -> Outcome {
    let scene = Scene::new(room);
    let heard: Vec<f32> = scene.echo.iter().zip(&scene.near).map(|(echo, near)| echo + near).collect();
    let out = processed(&scene.played, &heard, 0..0);
    let spoken = &scene.near[ALONE * RATE..][..2 * RATE];
    let alike = |latency: &usize| product(spoken, &out[ALONE * RATE + latency..]);
    let latency = (0..960).max_by(|a, b| alike(a).total_cmp(&alike(b))).expect("a range");
    let alone = near_power(&scene.near, &out, ALONE, latency);
    let near_loss = decibels(alone / near_power(&scene.near, &out, DOUBLE_TALK, latency));
    let outcome = Outcome { erle: erle(&scene.echo, &out, 16..31), near_loss };
    println!("ERLE {:.1} dB, near speech loses {near_loss:.1} dB, {latency} samples late", outcome.erle);
    outcome
}

#[test]
fn a_linear_speaker_in_a_short_room_is_not_heard_and_near_speech_comes_through() {
    let room = Room { delay_ms: 60, rt60: 0.2, echo_return_loss: 6.0, distorts: false };
    let outcome = outcome(room);
    assert!(outcome.erle >= 45.0 && outcome.near_loss <= 4.0);
}

#[test]
fn a_speaker_that_distorts_and_is_as_loud_as_it_plays_is_not_heard() {
    let outcome = outcome(Room { delay_ms: 60, rt60: 0.3, echo_return_loss: 0.0, distorts: true });
    assert!(outcome.erle >= 38.0 && outcome.near_loss <= 8.0);
}

#[test]
fn a_speaker_that_distorts_far_away_is_not_heard_and_near_speech_comes_through() {
    let outcome = outcome(Room { delay_ms: 180, rt60: 0.3, echo_return_loss: 6.0, distorts: true });
    assert!(outcome.erle >= 34.0 && outcome.near_loss <= 4.0);
}

#[test]
fn a_delay_that_jumps_is_followed() {
    let room = Room { delay_ms: 60, rt60: 0.2, echo_return_loss: 6.0, distorts: false };
    let scene = Scene::new(room);
    let mut echo = scene.echo;
    let later = Room { delay_ms: 180, ..room }.echo(&scene.played);
    echo[20 * RATE..].copy_from_slice(&later[20 * RATE..]);
    let out = processed(&scene.played, &echo, 0..0);
    let seconds: Vec<i32> = (18..45).map(|s| erle(&echo, &out, s..s + 1) as i32).collect();
    println!("ERLE by the second, the delay jumps after the second: {seconds:?}");
    assert!(erle(&echo, &out, 10..20) >= 40.0 && erle(&echo, &out, 30..45) >= 40.0);
}

#[test]
fn a_speaker_that_stops_and_comes_back_is_not_heard_again() {
    let room = Room { delay_ms: 60, rt60: 0.2, echo_return_loss: 6.0, distorts: false };
    // Shorter, and longer, than it takes the canceller to rest.
    for stopped in [5, 12] {
        let mut scene = Scene::new(room);
        let silent = 20 * RATE..(20 + stopped) * RATE;
        scene.played[silent].fill(0.0);
        let echo = room.echo(&scene.played);
        let out = processed(&scene.played, &echo, 20 * 50..(20 + stopped) * 50);
        let back = 20 + stopped;
        let seconds: Vec<i32> = (back..back + 8).map(|s| erle(&echo, &out, s..s + 1) as i32).collect();
        println!("ERLE by the second, back after {stopped} s: {seconds:?}");
        assert!(erle(&echo, &out, back..back + 8) >= 40.0, "after {stopped} s");
    }
}
