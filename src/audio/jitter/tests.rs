use std::collections::VecDeque;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::audio::{Decode, Mixer};
use crate::base::clock::MediaTime;
use crate::media::FRAME_SAMPLES;

fn ms(ms: f64) -> MediaTime {
    MediaTime::from_nanos((ms * 1e6) as u64)
}

/// A packet that says its number.
fn packet(number: u16, at_ms: f64) -> Packet {
    let payload = number.to_be_bytes().to_vec().into();
    Packet { sequence: number, timestamp_48k: u32::from(number) * 960, payload, at: ms(at_ms) }
}

/// The target after packets that came so many ms late.
fn target_ms(late: impl Iterator<Item = f64>) -> f64 {
    let mut delay = Delay::default();
    for (number, late) in late.enumerate() {
        delay.arrived(ms(1000.0 + number as f64 * 20.0 + late), number as i64 * 960);
    }
    delay.target() / 48.0
}

#[test]
fn a_steady_network_asks_for_little_a_bursty_one_for_more_and_none_for_more_than_200_ms() {
    let mut rng = StdRng::seed_from_u64(1);
    let steady = target_ms((0..1000).map(|_| rng.random_range(0.0..5.0)));
    assert_eq!(steady, 20.0);
    // Wi-Fi: every 100 ms all that waited comes at once.
    let bursts = target_ms((0..1000).map(|n| f64::from(4 - n % 5) * 20.0));
    assert!((90.0..=120.0).contains(&bursts), "{bursts} ms");
    let wild = target_ms((0..1000).map(|_| rng.random_range(0.0..600.0)));
    assert_eq!(wild, 200.0);
}

#[test]
fn one_pause_of_150_ms_is_forgotten_and_many_are_not() {
    let pause = |every: usize| {
        target_ms((0..2000).map(move |n| if n % every < 8 { 150.0 - (n % every) as f64 * 20.0 } else { 0.0 }))
    };
    assert!(pause(2000) <= 30.0, "{} ms", pause(2000));
    assert!(pause(50) >= 100.0, "{} ms", pause(50));
}

#[test]
fn bursts_are_learned_and_unlearned() {
    let burst = (0..500).map(|n| f64::from(4 - n % 5) * 20.0);
    let after = target_ms(burst.chain((0..3000).map(|_| 0.0)));
    assert!(after <= 30.0, "{after} ms");
}

/// Everything that comes out in `steps` steps from `from_ms` on, 20 ms apart.
fn steps(buffer: &mut JitterBuffer, from_ms: f64, steps: usize) -> Vec<Option<u16>> {
    (0..steps)
        .map(|step| match buffer.step(ms(from_ms + step as f64 * 20.0)) {
            Step::Play(bytes) => {
                buffer.decoded(960);
                Some(u16::from_be_bytes([bytes[0], bytes[1]]))
            }
            _ => None,
        })
        .collect()
}

#[test]
fn a_missing_packet_is_lost_only_when_it_is_to_be_played_with_its_successor_at_hand() {
    let mut buffer = JitterBuffer::default();
    buffer.push(packet(10, 1000.0));
    buffer.push(packet(12, 1040.0));
    assert_eq!(steps(&mut buffer, 1000.0, 3), [None, None, Some(10)]);
    let lost = Step::Lost { next: Some(12u16.to_be_bytes().to_vec().into()), samples: 960 };
    assert_eq!(buffer.step(ms(1060.0)), lost);
    buffer.push(packet(11, 1070.0));
    assert_eq!((steps(&mut buffer, 1080.0, 1), buffer.lost(), buffer.dropped()), (vec![Some(12)], 1, 1));
}

#[test]
fn a_long_packet_that_is_lost_is_as_long_as_it_was() {
    let mut buffer = JitterBuffer::default();
    let long = |number: u16| Packet { timestamp_48k: u32::from(number) * 2880, ..packet(number, 1000.0) };
    buffer.push(long(1));
    assert_eq!(buffer.step(ms(1200.0)), Step::Play(1u16.to_be_bytes().to_vec().into()));
    buffer.decoded(2880);
    buffer.push(long(4));
    for next in [None, Some(4u16.to_be_bytes().to_vec().into())] {
        assert_eq!(buffer.step(ms(1200.0)), Step::Lost { next, samples: 2880 });
    }
}

#[test]
fn a_sender_that_starts_anew_and_one_that_paused_are_heard_again() {
    let mut buffer = JitterBuffer::default();
    buffer.push(packet(30_000, 1000.0));
    assert_eq!(steps(&mut buffer, 1060.0, 1), [Some(30_000)]);
    // Another start, by number and time.
    let anew = Packet { timestamp_48k: 77, ..packet(100, 1100.0) };
    buffer.push(anew);
    assert_eq!(steps(&mut buffer, 1160.0, 1), [Some(100)]);
    // The next number 10 s later, as after a mute.
    let later = Packet { timestamp_48k: 77 + 480_000, ..packet(101, 11_100.0) };
    assert_eq!(steps(&mut buffer, 1180.0, 10), [None; 10]);
    buffer.push(later);
    assert_eq!(steps(&mut buffer, 11_160.0, 1), [Some(101)]);
}

#[test]
fn shuffled_doubled_and_dropped_packets_come_out_sorted_and_once() {
    let mut rng = StdRng::seed_from_u64(3);
    let (mut buffer, mut out) = (JitterBuffer::default(), Vec::new());
    for block in 0u16..400 {
        let mut numbers: Vec<u16> = (0..5).flat_map(|i| [block * 5 + i; 2]).collect();
        numbers.shuffle(&mut rng);
        for (index, number) in numbers.into_iter().enumerate() {
            if rng.random_range(0..10) > 0 {
                let at = 1000.0 + f64::from(block) * 100.0 + index as f64 * 10.0;
                let sequence = number.wrapping_add(65_000);
                buffer.push(Packet { sequence, ..packet(number, at) });
            }
        }
        out.extend(steps(&mut buffer, 1100.0 + f64::from(block) * 100.0, 5));
    }
    let kept: Vec<u16> = out.into_iter().flatten().collect();
    assert!(kept.windows(2).all(|pair| pair[0] < pair[1]), "sorted, each once");
    assert!(kept.len() > 1800, "{} of 2000 packets came out", kept.len());
}

#[test]
fn any_packets_at_any_time_are_no_panic_and_no_endless_sound() {
    let mut rng = StdRng::seed_from_u64(9);
    let mut buffer = JitterBuffer::default();
    for _ in 0..20_000 {
        let at = ms(rng.random_range(0.0..1e7));
        let (sequence, timestamp_48k) = (rng.random(), rng.random());
        buffer.push(Packet { sequence, timestamp_48k, payload: vec![0; 2].into(), at });
        for _ in 0..3 {
            if let Step::Play(_) = buffer.step(ms(rng.random_range(0.0..1e7))) {
                buffer.decoded(rng.random_range(0..5760));
            }
        }
    }
    let sounds = (0..200).filter(|_| buffer.step(ms(2e7)) != Step::Silence).count();
    assert!(sounds < 200);
}

/// Decodes a sine: the packets only say which part of it.
struct Sine {
    phase: f64,
}

impl Sine {
    fn continue_to(&mut self, sound: &mut Vec<i16>) {
        for _ in 0..FRAME_SAMPLES {
            self.phase += std::f64::consts::TAU * 220.0 / 48_000.0;
            sound.push((self.phase.sin() * 10_000.0) as i16);
        }
    }
}

impl Decode for Sine {
    fn decode(&mut self, _packet: &[u8], sound: &mut Vec<i16>) {
        self.continue_to(sound);
    }

    fn conceal(&mut self, _next: Option<&[u8]>, sound: &mut Vec<i16>) {
        self.continue_to(sound);
    }
}

/// Packets of a sender whose clock is `ppm` faster, each late by what `late` says, mixed for `seconds`. Returns the
/// sound and how many packets were made up for.
fn listen(ppm: f64, seconds: u64, mut late: impl FnMut(u64) -> f64) -> (Vec<i16>, u64) {
    let mixer = Mixer::new();
    let source = mixer.source(Box::new(Sine { phase: 0.0 }));
    let mut coming: VecDeque<Packet> = (0..seconds * 50 + 20)
        .map(|n| packet(n as u16, 1000.0 + n as f64 * 20.0 * (1.0 - ppm / 1e6) + late(n)))
        .collect();
    let mut heard = Vec::new();
    for n in 0..seconds * 50 {
        let now = ms(1003.0 + n as f64 * 20.0);
        // The network does not change the order here.
        while coming.front().is_some_and(|packet| packet.at <= now) {
            source.push(coming.pop_front().unwrap());
        }
        let mut mix = [0; FRAME_SAMPLES];
        mixer.mix(now, &mut mix);
        heard.extend(mix);
    }
    (heard, mixer.concealed())
}

/// The sharpest bend, in parts of the sharpest of the sine itself: a click is many times that.
fn sharpest(heard: &[i16]) -> f64 {
    let own = 10_000.0 * (std::f64::consts::TAU * 220.0 / 48_000.0).powi(2);
    let bend = |w: &[i16]| (f64::from(w[0]) - 2.0 * f64::from(w[1]) + f64::from(w[2])).abs();
    heard[9600..].windows(3).map(bend).fold(0.0, f64::max) / own
}

#[test]
fn a_senders_clock_200_ppm_off_is_followed_without_gaps_or_clicks() {
    for ppm in [200.0, -200.0] {
        let (heard, concealed) = listen(ppm, 600, |_| 0.0);
        assert!(concealed <= 1, "{ppm} ppm: {concealed} packets made up for");
        assert!(sharpest(&heard) < 4.0, "{ppm} ppm: bent {} times as sharply", sharpest(&heard));
    }
}

#[test]
fn wifi_bursts_cost_a_few_packets_until_they_are_learned() {
    let late = |n: u64| (4 - n % 5) as f64 * 20.0;
    let (_, at_first) = listen(0.0, 5, late);
    let (_, all) = listen(0.0, 60, late);
    assert!(all - at_first <= 2 && at_first < 20, "{at_first} in 5 s, {all} in 60 s");
}

#[test]
fn a_pause_of_150_ms_is_bridged_and_its_delay_taken_back() {
    let paused = |n: u64| if (500..508).contains(&n) { 150.0 - (n - 500) as f64 * 20.0 } else { 0.0 };
    let (heard, concealed) = listen(0.0, 30, paused);
    assert!((1..=8).contains(&concealed), "{concealed} packets made up for");
    let quiet = heard[9600..].chunks(960).filter(|frame| frame.iter().all(|s| s.abs() < 500)).count();
    assert!(quiet <= 3, "{quiet} frames of silence");
}

#[test]
fn a_stretched_sine_is_a_period_longer_or_shorter_and_as_smooth() {
    for hz in [110.0, 180.0, 330.0] {
        let sine = |n: usize| ((n as f64 * std::f64::consts::TAU * hz / 48_000.0).sin() * 10_000.0) as i16;
        for longer in [true, false] {
            let mut sound: Vec<i16> = (0..960).map(sine).collect();
            assert!(stretch::stretch(&mut sound, longer));
            let changed = sound.len().abs_diff(960) as f64 / (48_000.0 / hz);
            assert!((changed - changed.round()).abs() < 0.06, "{hz} Hz: by {changed} periods");
            let steepest = sound.windows(2).map(|w| (w[1] - w[0]).unsigned_abs()).max().unwrap();
            let own = 10_000.0 * std::f64::consts::TAU * hz / 48_000.0;
            assert!(f64::from(steepest) < own * 1.3 + 2.0, "{hz} Hz: a step of {steepest}");
        }
    }
}
