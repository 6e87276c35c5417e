use std::time::Duration;

use super::played::Timeline;
use super::*;

const OFF: VoiceConfig =
    VoiceConfig { echo_cancellation: false, noise_suppression: false, gain_control: false };
const FRAME: Duration = Duration::from_millis(20);

fn start() -> MediaTime {
    MediaTime::from_millis(1_000)
}

/// Frame `n` of a tone of 200 Hz.
fn tone(n: usize) -> Box<[i16; FRAME_SAMPLES]> {
    let sample = |at: usize| {
        let phase = (n * FRAME_SAMPLES + at) as f32 * 200.0 / AUDIO_RATE as f32;
        ((phase * std::f32::consts::TAU).sin() * 3_000.0) as i16
    };
    Box::new(std::array::from_fn(sample))
}

fn processed(voice: &Voice, n: usize) -> Box<[i16; FRAME_SAMPLES]> {
    let mut frame = AudioFrame { captured: start() + FRAME * n as u32, samples: tone(n) };
    voice.process(&mut frame);
    frame.samples
}

/// What `played` holds from `at` on, and whether there is anything.
fn taken(played: &mut Played, at: i64) -> ([i16; BLOCK], bool) {
    let mut block = [1; BLOCK];
    let sound = played.take(at, &mut block);
    (block, sound)
}

#[test]
fn with_all_off_a_frame_is_left_as_it_is() {
    let voice = Voice::default();
    voice.configure(OFF);
    for n in 0..20 {
        voice.played(&tone(3 * n), start() + FRAME * (n + 2) as u32);
        assert_eq!(processed(&voice, n), tone(n), "frame {n}");
    }
}

#[test]
fn every_switch_turns_on_and_off_without_a_click_and_off_is_off_at_once() {
    let switches = [
        VoiceConfig { echo_cancellation: true, ..OFF },
        VoiceConfig { noise_suppression: true, ..OFF },
        VoiceConfig { gain_control: true, ..OFF },
        // With the gain too this tone is loud until the noise suppression has learned it: louder, but no click.
        VoiceConfig { gain_control: false, ..VoiceConfig::default() },
    ];
    for config in switches {
        let voice = Voice::default();
        let mut sound = Vec::new();
        for n in 0..150 {
            voice.configure(if (40..100).contains(&n) { config } else { OFF });
            voice.played(&tone(7 * n), start() + FRAME * (n + 2) as u32);
            sound.extend(*processed(&voice, n));
        }
        let step = |from: usize, to: usize| {
            let pairs = sound[from * FRAME_SAMPLES..to * FRAME_SAMPLES].windows(2);
            pairs.map(|pair| pair[0].abs_diff(pair[1])).max().unwrap_or(0)
        };
        let steady = step(0, 39).max(step(42, 99));
        let (on, off) = (step(39, 42), step(99, 102));
        assert!(on.max(off) <= steady + steady / 2, "{config:?}: {on} on, {off} off, {steady} between");
        assert_ne!(sound[60 * FRAME_SAMPLES..61 * FRAME_SAMPLES], tone(60)[..], "{config:?} does something");
        assert_eq!(sound[101 * FRAME_SAMPLES..102 * FRAME_SAMPLES], tone(101)[..], "{config:?} is off");
    }
}

#[test]
fn full_scale_does_not_wrap() {
    let voice = Voice::default();
    for n in 0..100 {
        let square = std::array::from_fn(|at| if at / 120 % 2 == 0 { i16::MAX } else { i16::MIN });
        let mut frame = AudioFrame { captured: start() + FRAME * n, samples: Box::new(square) };
        voice.process(&mut frame);
        let wrapped = frame.samples.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) > 60_000).count();
        assert!(n == 0 || wrapped <= 8, "{wrapped} leaps in frame {n}");
    }
}

#[test]
fn what_is_played_is_found_by_its_time_and_silence_where_nothing_was_told() {
    let mut played = Played::default();
    assert_eq!(taken(&mut played, 48_000), ([0; BLOCK], false));
    played.push(&[5; FRAME_SAMPLES], start());
    let (half, sound) = taken(&mut played, 48_000 - 240);
    assert!(sound && half[..240] == [0; 240] && half[240..] == [5; 240]);
    assert_eq!(taken(&mut played, 48_000 + 480), ([5; BLOCK], true));
    assert_eq!(taken(&mut played, 48_000 + 960), ([0; BLOCK], false));
    // Silence is not kept, but is a gap.
    played.push(&[0; FRAME_SAMPLES], start() + FRAME);
    assert_eq!(taken(&mut played, 48_000 + 960), ([0; BLOCK], false));
    played.push(&[6; FRAME_SAMPLES], start() + FRAME * 2);
    played.push(&[7; FRAME_SAMPLES], start() + FRAME * 5);
    assert_eq!(taken(&mut played, 48_000 + 1920), ([6; BLOCK], true));
    assert_eq!(taken(&mut played, 48_000 + 2880), ([0; BLOCK], true));
    assert_eq!(taken(&mut played, 48_000 + 4800), ([7; BLOCK], true));
}

#[test]
fn jitter_moves_nothing_and_a_jump_or_a_slow_shift_does() {
    let mut timeline = Timeline::default();
    let at =
        |n: u64, micros: i64| MediaTime::from_nanos((1_000_000 + n as i64 * 20_000 + micros) as u64 * 1000);
    for n in 0..50 {
        let jitter = [0, 9_000, -8_000, 3_000, -4_000][n as usize % 5];
        assert_eq!(timeline.place(at(n, jitter)), 48_000 + 960 * n as i64);
    }
    // 30 ms more from one frame to the next are followed at once.
    assert_eq!(timeline.place(at(50, 30_000)), 48_000 + 960 * 50 + 1440);
    // 12 ms less as well, within a second.
    let off = |n: u64, placed: i64| (placed - (48_000 + 960 * n as i64 + 864)).abs();
    let placed: Vec<i64> = (51..100).map(|n| off(n, timeline.place(at(n, 18_000)))).collect();
    assert!(placed[0] > 500 && placed[35..].iter().all(|off| *off <= 240), "{placed:?}");
}

#[test]
fn the_queue_is_bounded_and_a_clock_that_leaps_empties_it() {
    let mut played = Played::default();
    for n in 0..200 {
        played.push(&[n; FRAME_SAMPLES], start() + FRAME * n as u32);
    }
    // 4 s told and nothing taken: the last second is there.
    assert_eq!(taken(&mut played, 48_000 + 149 * 960), ([0; BLOCK], true));
    assert_eq!(taken(&mut played, 48_000 + 150 * 960), ([150; BLOCK], true));
    for leap in [MediaTime::from_millis(3_600_000), MediaTime::ZERO] {
        played.push(&[9; FRAME_SAMPLES], leap);
        let at = leap.as_nanos() as i64 * 48 / 1_000_000;
        assert_eq!(taken(&mut played, at), ([9; BLOCK], true));
        assert_eq!(taken(&mut played, at + 960), ([0; BLOCK], false));
    }
}
