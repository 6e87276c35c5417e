//! The voice in rooms with a loudspeaker: what is left of its echo, and of somebody who speaks meanwhile.
//!
//! ERLE is the echo's power over the output's, of 15 s in which only the far end speaks.

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
fn processed(
    config: VoiceConfig,
    room: Room,
    played: &[f32],
    heard: &[f32],
    untold: Range<usize>,
) -> Vec<f32> {
    let voice = Voice::default();
    voice.configure(config);
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
        let heard = heard.map(|sample| sample + room.noise * noise.sample());
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

/// How many dB less of the near speech is found in the output while the far end speaks than alone: of each 20 ms alone
/// its projection is looked for in the same 20 ms of double talk.
fn near_loss(out: &[f32]) -> f32 {
    let part = |from: usize| out[from * RATE..(from + 10) * RATE].chunks(RATE / 50);
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let (mut whole, mut found) = (0.0, 0.0);
    for (alone, double) in part(ALONE).zip(part(DOUBLE_TALK)) {
        let power = product(alone, alone);
        whole += power;
        found += product(alone, double).powi(2) / power.max(1e-9);
    }
    decibels(whole / found)
}

struct Outcome {
    /// By the canceller alone.
    erle: f32,
    near_loss: f32,
}

fn outcome(room: Room, speakers: Speakers) -> Outcome {
    let scene = Scene::new(room, speakers);
    let heard: Vec<f32> = scene.echo.iter().zip(&scene.near).map(|(echo, near)| echo + near).collect();
    let out = processed(ECHO_ONLY, room, &scene.played, &heard, 0..0);
    let (single, near_loss) = (erle(&scene.echo, &out, 16..31), near_loss(&out));
    let config = VoiceConfig { noise_suppression: true, ..ECHO_ONLY };
    let out = processed(config, room, &scene.played, &heard, 0..0);
    let both = erle(&scene.echo, &out, 16..31);
    println!(
        "ERLE {single:.1} dB, near speech loses {near_loss:.1} dB; ERLE {both:.1} dB with noise suppression"
    );
    Outcome { erle: single, near_loss }
}

const SHORT: Room = Room {
    delay_ms: 60,
    rt60: 0.2,
    echo_return_loss: 6.0,
    distorts: false,
    noise: 0.0008,
    seed: 0x2545_f491_4f6c_dd1d,
};

#[test]
fn a_linear_speaker_in_a_short_room_is_not_heard_and_near_speech_comes_through() {
    let outcome = outcome(SHORT, MADE);
    assert!(outcome.erle >= 45.0 && outcome.near_loss <= 4.0);
}

#[test]
fn a_speaker_that_distorts_and_is_as_loud_as_it_plays_is_not_heard_and_near_speech_comes_through() {
    let outcome = outcome(Room { rt60: 0.3, echo_return_loss: 0.0, distorts: true, ..SHORT }, MADE);
    assert!(outcome.erle >= 45.0 && outcome.near_loss <= 4.0);
}

#[test]
fn a_speaker_that_distorts_far_away_is_not_heard_and_near_speech_comes_through() {
    let outcome = outcome(Room { delay_ms: 180, rt60: 0.3, distorts: true, ..SHORT }, MADE);
    assert!(outcome.erle >= 45.0 && outcome.near_loss <= 4.0);
}

// Other voices, rooms and levels than those for which the canceller's settings were chosen.

#[test]
fn a_recorded_far_end_is_not_heard_and_a_man_at_the_near_end_comes_through() {
    let words = &[
        "Rear_Right",
        "Front_Left",
        "Side_Left",
        "Front_Center",
        "Rear_Left",
        "Side_Right",
        "Front_Right",
        "Rear_Center",
        "Side_Left",
    ];
    let far = Speaker::Recorded(words);
    let speakers = Speakers { far, near: Speaker::Made("en-us+m2"), ..MADE };
    let room = Room { delay_ms: 90, rt60: 0.3, echo_return_loss: 3.0, distorts: true, seed: 5, ..SHORT };
    let outcome = outcome(room, speakers);
    assert!(outcome.erle >= 45.0 && outcome.near_loss <= 4.0);
}

#[test]
fn a_quiet_microphone_near_a_speaker_that_distorts_hears_the_near_end_only() {
    let speakers = Speakers { far: Speaker::Made("de+f2"), near: Speaker::Made("en+m1"), ..MADE };
    let room =
        Room { delay_ms: 40, rt60: 0.25, echo_return_loss: 3.0, distorts: true, noise: 0.0003, seed: 8 };
    let outcome = outcome(room, speakers);
    assert!(outcome.erle >= 45.0 && outcome.near_loss <= 4.0);
}

/// 4.5 dB softer than the echo.
#[test]
fn a_near_end_that_speaks_softly_comes_through() {
    let speakers = Speakers { far: Speaker::Made("fr+m2"), near: Speaker::Made("es+f1"), near_level: 0.03 };
    let room = Room { delay_ms: 140, rt60: 0.3, distorts: true, seed: 13, ..SHORT };
    let outcome = outcome(room, speakers);
    assert!(outcome.erle >= 45.0 && outcome.near_loss <= 4.0);
}

/// The echo is only 35.5 dB above the microphone's own noise, which comes through while the far end pauses: 45 dB is not
/// reached, but what is left is quieter than that noise.
#[test]
fn before_a_noisy_microphone_the_echo_is_quieter_than_the_noise() {
    let speakers = Speakers { far: Speaker::Made("de"), near: Speaker::Made("fr+f2"), ..MADE };
    let room =
        Room { delay_ms: 120, echo_return_loss: 0.0, distorts: true, noise: 0.003, seed: 777, ..SHORT };
    let outcome = outcome(room, speakers);
    assert!(outcome.erle >= 40.0 && outcome.near_loss <= 4.0);
}

#[test]
fn a_delay_that_jumps_is_followed() {
    let scene = Scene::new(SHORT, MADE);
    let mut echo = scene.echo;
    let later = Room { delay_ms: 180, ..SHORT }.echo(&scene.played);
    echo[20 * RATE..].copy_from_slice(&later[20 * RATE..]);
    let out = processed(ECHO_ONLY, SHORT, &scene.played, &echo, 0..0);
    assert!(erle(&echo, &out, 10..20) >= 40.0 && erle(&echo, &out, 25..45) >= 40.0);
}

#[test]
fn a_speaker_that_stops_and_comes_back_is_not_heard_again() {
    // Shorter, and longer, than it takes the canceller to rest.
    for stopped in [5, 12] {
        let mut scene = Scene::new(SHORT, MADE);
        let silent = 20 * RATE..(20 + stopped) * RATE;
        scene.played[silent].fill(0.0);
        let echo = SHORT.echo(&scene.played);
        let out = processed(ECHO_ONLY, SHORT, &scene.played, &echo, 20 * 50..(20 + stopped) * 50);
        let back = 20 + stopped;
        assert!(erle(&echo, &out, back..back + 8) >= 40.0, "after {stopped} s");
    }
}
