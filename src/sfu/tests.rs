//! On virtual time, with seeded loss and reordering.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::dynacast::{Dynacast, OFF_DELAY};
use super::sender_clock::SenderClock;
use super::sequence::SequenceMap;
use super::speaker::{INTERVAL, Speakers};
use super::*;
use crate::base::clock::MediaTime;
use crate::base::units::{ClockRate, Size};
use crate::media::Layer;

fn at(ms: u64) -> MediaTime {
    MediaTime::from_millis(ms)
}

fn sizes() -> LayerSizes {
    [Some(Size::new(320, 180)), Some(Size::new(640, 360)), Some(Size::new(1280, 720))]
}

/// A publisher of three layers whose RTP clocks and sequence numbers begin anywhere: 30 pictures a second of
/// four packets each.
struct Publisher {
    first_sequence: [u64; 3],
    first_timestamp: [u32; 3],
    reports: bool,
}

impl Publisher {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        Publisher {
            first_sequence: std::array::from_fn(|_| rng.random_range(0..200_000)),
            first_timestamp: std::array::from_fn(|_| rng.random()),
            reports: true,
        }
    }

    fn packet(&self, layer: Layer, picture: u64, part: u64, keyframe: bool) -> Incoming {
        let index = layer.index();
        let since = Duration::from_micros(picture * 33_333);
        let ticks = (since.as_nanos() * 90_000 / 1_000_000_000) as u32;
        let timestamp = self.first_timestamp[index].wrapping_add(ticks);
        let wall = Duration::from_secs(1_800_000_000);
        let report = SenderReport { wall, timestamp: self.first_timestamp[index] };
        Incoming {
            layer,
            spatial: None,
            ssrc: 1000 + index as u32,
            sequence: self.first_sequence[index] + picture * 4 + part,
            timestamp,
            bytes: 1000,
            picture: None,
            keyframe: keyframe && part == 0,
            report: self.reports.then_some(report),
            arrival: at(50) + since,
        }
    }
}

fn ready_route() -> Route<u32> {
    let mut route = Route::video(Layering::Simulcast, sizes());
    route.subscribe(7, Wish::default());
    route.subscriber_mut(|to| *to == 7).unwrap().ready = true;
    route
}

fn send(route: &mut Route<u32>, packet: Incoming) -> Option<Outgoing> {
    let mut copy = None;
    route.arrived(&packet);
    route.forward(&[packet], |_, copies| copy = copies.last().map(|(_, out)| out));
    copy
}

#[test]
fn reordered_and_repeated_packets_keep_their_distance() {
    let mut rng = StdRng::seed_from_u64(1);
    let mut map = SequenceMap::default();
    map.switch(70_000);
    let mut incoming: Vec<u64> = (70_000..70_400).filter(|_| rng.random_bool(0.9)).collect();
    for i in 0..incoming.len() - 8 {
        incoming.swap(i, i + rng.random_range(0..8));
    }
    for sequence in incoming {
        assert_eq!(map.map(sequence), Some(sequence - 70_000 + sequence::FIRST));
        assert_eq!(map.map(sequence), Some(sequence - 70_000 + sequence::FIRST), "again");
    }
    assert_eq!(map.map(69_999), None, "before the switch");
    const { assert!(sequence::FIRST < 65_536) };
}

#[test]
fn a_layer_is_switched_at_a_keyframe_without_a_gap_and_with_continuous_time() {
    let publisher = Publisher::new(2);
    let mut route = ready_route();
    let mut sent: Vec<(u64, u32, u64)> = Vec::new();
    let mut rng = StdRng::seed_from_u64(3);
    for picture in 0..300u64 {
        let now = at(50) + Duration::from_micros(picture * 33_333);
        if picture == 100 {
            route.subscriber_mut(|_| true).unwrap().wish.quality = Layer::Quarter;
        }
        if picture == 200 {
            route.subscriber_mut(|_| true).unwrap().wish = Wish::default();
        }
        route.refresh(now);
        let keyframes = route.take_keyframe_requests(now);
        for layer in Layer::ALL {
            for part in 0..4 {
                // Never the keyframe's first packet: a decoder could not begin there either.
                if part > 0 && rng.random_bool(0.03) {
                    continue;
                }
                let keyframe = keyframes[layer.index()] || picture == 0;
                if let Some(out) = send(&mut route, publisher.packet(layer, picture, part, keyframe)) {
                    sent.push((out.sequence, out.timestamp, picture));
                }
            }
        }
    }
    for pair in sent.windows(2) {
        let (sequence, timestamp, picture) = pair[0];
        let (next_sequence, next_timestamp, next_picture) = pair[1];
        assert!((1..=4).contains(&(next_sequence - sequence)), "a gap of lost packets only: {pair:?}");
        let ticks = next_timestamp.wrapping_sub(timestamp) as i32;
        let expected = (next_picture - picture) as i32 * 3000;
        assert!((ticks - expected).abs() <= 2, "{ticks} ticks instead of {expected}: {pair:?}");
    }
    let pictures = sent.last().unwrap().2;
    assert_eq!(pictures, 299);
}

#[test]
fn without_sender_reports_the_arrival_times_decide() {
    let mut publisher = Publisher::new(4);
    publisher.reports = false;
    let mut forwarder = Forwarder::new(ClockRate::VIDEO);
    forwarder.set_target(Some(Layer::Quarter));
    let first = forwarder.forward(&publisher.packet(Layer::Quarter, 0, 0, true)).unwrap();
    forwarder.set_target(Some(Layer::Full));
    let second = forwarder.forward(&publisher.packet(Layer::Full, 30, 0, true)).unwrap();
    let ticks = second.timestamp.wrapping_sub(first.timestamp);
    assert!((89_990..90_010).contains(&ticks), "{ticks}");
    assert_eq!(second.sequence, first.sequence + 1);
}

#[test]
fn the_same_instant_in_another_layer_is_another_frame() {
    let publisher = Publisher::new(5);
    let mut forwarder = Forwarder::new(ClockRate::VIDEO);
    forwarder.set_target(Some(Layer::Full));
    let first = forwarder.forward(&publisher.packet(Layer::Full, 9, 0, true)).unwrap();
    forwarder.set_target(Some(Layer::Half));
    let second = forwarder.forward(&publisher.packet(Layer::Half, 9, 0, true)).unwrap();
    assert_eq!(second.timestamp, first.timestamp.wrapping_add(1));
}

#[test]
fn nothing_is_sent_before_a_keyframe_and_after_a_pause_not_either() {
    let publisher = Publisher::new(6);
    let mut route = ready_route();
    route.refresh(at(0));
    assert_eq!(send(&mut route, publisher.packet(Layer::Full, 0, 0, false)), None);
    let first = send(&mut route, publisher.packet(Layer::Full, 1, 0, true)).unwrap();
    route.subscriber_mut(|_| true).unwrap().wish.disabled = true;
    route.refresh(at(60));
    assert_eq!(send(&mut route, publisher.packet(Layer::Full, 2, 0, true)), None);
    route.subscriber_mut(|_| true).unwrap().wish.disabled = false;
    route.refresh(at(120));
    assert_eq!(send(&mut route, publisher.packet(Layer::Full, 3, 0, false)), None);
    let again = send(&mut route, publisher.packet(Layer::Full, 4, 0, true)).unwrap();
    assert_eq!(again.sequence, first.sequence + 1, "no gap that would be asked for");
}

#[test]
fn a_muted_track_reaches_nobody_and_goes_on_at_a_keyframe_without_a_gap() {
    let publisher = Publisher::new(13);
    let mut route = ready_route();
    let next = |route: &mut Route<u32>, picture, keyframe| {
        let packet = publisher.packet(Layer::Full, picture, 0, keyframe);
        route.refresh(packet.arrival);
        send(route, packet).map(|out| out.sequence)
    };
    let first = next(&mut route, 0, true).expect("a copy");
    route.set_muted(true);
    assert!((1..30).all(|picture| next(&mut route, picture, picture == 10).is_none()));
    route.set_muted(false);
    assert_eq!(next(&mut route, 30, false), None, "a decoder cannot begin here");
    assert_eq!(next(&mut route, 31, true), Some(first + 1));
}

#[test]
fn a_layer_that_stops_arriving_is_replaced_by_the_next_smaller() {
    let publisher = Publisher::new(7);
    let mut route = ready_route();
    for picture in 0..10 {
        for layer in Layer::ALL {
            send(&mut route, publisher.packet(layer, picture, 0, true));
            route.refresh(publisher.packet(layer, picture, 0, false).arrival);
        }
    }
    let mut requested = false;
    let mut layers = Vec::new();
    for picture in 10..80 {
        let now = publisher.packet(Layer::Half, picture, 0, false).arrival;
        route.refresh(now);
        let keyframe = route.take_keyframe_requests(now)[Layer::Half.index()];
        requested |= keyframe;
        if send(&mut route, publisher.packet(Layer::Half, picture, 0, keyframe)).is_some() {
            layers.push(picture);
        }
    }
    assert!(requested);
    assert!(layers[0] < 10 + 55, "within 1.8 s: {layers:?}");
}

#[test]
fn a_hundred_subscribers_asking_make_one_keyframe_request_per_half_second() {
    let publisher = Publisher::new(8);
    let mut route = Route::video(Layering::One, [None; 3]);
    for to in 0..100u32 {
        route.subscribe(to, Wish::default());
        route.subscriber_mut(|t| *t == to).unwrap().ready = true;
    }
    let mut granted = 0;
    for ms in (0..3000u64).step_by(10) {
        let packet = Incoming { arrival: at(ms), ..publisher.packet(Layer::Full, ms / 33, 0, ms == 0) };
        route.arrived(&packet);
        route.forward(&[packet], |_, copies| copies.for_each(drop));
        route.refresh(at(ms));
        for to in 0..100 {
            route.keyframe_needed(|t| *t == to);
        }
        granted += usize::from(route.take_keyframe_requests(at(ms))[Layer::Full.index()]);
    }
    assert!((5..=6).contains(&granted), "{granted}");
}

#[test]
fn the_smallest_layer_that_fills_the_shown_size_is_chosen() {
    let shown = |width, height| Wish { size: Some(Size::new(width, height)), ..Wish::default() };
    assert_eq!(shown(160, 90).layer(&sizes()), Some(Layer::Quarter));
    assert_eq!(shown(340, 190).layer(&sizes()), Some(Layer::Quarter), "within a tenth");
    assert_eq!(shown(480, 270).layer(&sizes()), Some(Layer::Half));
    assert_eq!(shown(360, 640).layer(&sizes()), Some(Layer::Half), "portrait");
    assert_eq!(shown(4000, 2000).layer(&sizes()), Some(Layer::Full));
    let two = [sizes()[0], sizes()[1], None];
    assert_eq!(Wish::default().layer(&two), Some(Layer::Half), "the largest there is");
    assert_eq!(Wish { disabled: true, ..Wish::default() }.layer(&sizes()), None);
}

#[test]
fn only_watched_layers_stay_on_and_off_waits_five_seconds() {
    let mut dynacast = Dynacast::default();
    assert_eq!(dynacast.update([false, false, true], at(0)), Some([false, false, true]));
    assert_eq!(dynacast.update([true, false, false], at(1000)), Some([true, false, true]));
    assert_eq!(dynacast.update([true, false, false], at(4999)), None);
    let off = at(0) + OFF_DELAY + Duration::from_millis(1);
    assert_eq!(dynacast.update([true, false, false], off), Some([true, false, false]));
}

#[test]
fn a_wanted_layer_that_does_not_arrive_keeps_the_smaller_ones_on() {
    let publisher = Publisher::new(9);
    let mut route = ready_route();
    assert_eq!(route.dynacast(at(0)), Some([true, true, true]));
    let packet = |ms| Incoming { arrival: at(ms), ..publisher.packet(Layer::Full, 0, 0, true) };
    let mut last = None;
    for ms in (0..8000).step_by(100) {
        route.arrived(&packet(ms));
        last = route.dynacast(at(ms)).or(last);
    }
    assert_eq!(last, Some([false, false, true]));
    assert!(route.unsubscribe(|to| *to == 7));
    assert_eq!(route.dynacast(at(14_000)), Some([false; 3]), "nobody watches");
}

#[test]
fn a_paused_viewer_gets_nothing_keeps_the_smallest_layer_on_and_goes_on_with_a_keyframe() {
    let publisher = Publisher::new(12);
    let mut route = ready_route();
    let (mut sent, mut on, mut asked) = (Vec::new(), None, false);
    for picture in 0..450u64 {
        let now = at(50) + Duration::from_micros(picture * 33_333);
        let paused = (30..330).contains(&picture);
        let subscriber = route.subscriber_mut(|_| true).unwrap();
        (subscriber.ceiling, subscriber.paused) = (Layer::Quarter, paused);
        route.refresh(now);
        let due = route.take_keyframe_requests(now);
        asked |= !paused && picture > 30 && due[0];
        on = route.dynacast(now).or(on);
        assert!(!paused || !due.contains(&true), "nobody needs a keyframe: {picture}");
        let quarter = publisher.packet(Layer::Quarter, picture, 0, picture == 0 || asked && picture > 340);
        sent.extend(send(&mut route, quarter).map(|out| (picture, out.sequence)));
        if picture == 320 {
            assert_eq!(on, Some([true, false, false]));
            let known = route.rates(now)[0].unwrap();
            assert!((230_000..250_000).contains(&known), "it goes on: {known}");
        }
    }
    let (before, after): (Vec<_>, Vec<_>) = sent.into_iter().partition(|(picture, _)| *picture < 330);
    assert_eq!((before.len(), after[0].0), (30, 341));
    assert_eq!(after[0].1, before[29].1 + 1, "without a gap");
}

#[test]
fn the_loudest_speaks_first_and_words_may_have_gaps() {
    let mut speakers = Speakers::default();
    let interval = |speakers: &mut Speakers<u8>, n: u64, quiet: &[u8]| {
        for _ in 0..20 {
            speakers.observe(1, if quiet.contains(&1) { 127 } else { 30 });
            speakers.observe(2, if quiet.contains(&2) { 127 } else { 20 });
        }
        speakers.judge(at(0) + INTERVAL * n as u32)
    };
    assert!(speakers.judge(at(0)).is_empty());
    let begun = interval(&mut speakers, 1, &[]);
    assert_eq!(begun.iter().map(|c| (c.speaker, c.active)).collect::<Vec<_>>(), [(2, true), (1, true)]);
    assert!(interval(&mut speakers, 2, &[]).is_empty(), "nothing new");
    assert!(interval(&mut speakers, 3, &[2]).is_empty(), "a pause between words");
    assert!(interval(&mut speakers, 4, &[2]).is_empty());
    let ended = interval(&mut speakers, 5, &[2]);
    assert_eq!(ended.iter().map(|c| (c.speaker, c.active)).collect::<Vec<_>>(), [(2, false)]);
    assert_eq!(speakers.active().len(), 1);
    speakers.remove(1);
    assert!(speakers.active().is_empty());
}

#[test]
fn a_click_is_not_speech() {
    let mut speakers = Speakers::default();
    speakers.judge(at(0));
    for packet in 0..20 {
        speakers.observe(1, if packet == 3 { 5 } else { 100 });
    }
    assert!(speakers.judge(at(400)).is_empty());
}

#[test]
fn tracks_of_one_publisher_share_its_clock_whatever_their_delays() {
    let mut clock = SenderClock::default();
    let report = |timestamp| Some(SenderReport { wall: Duration::from_secs(1_800_000_000), timestamp });
    let rate = (ClockRate::VIDEO, ClockRate::AUDIO);
    assert_eq!(clock.capture_time(5, None, rate.0, at(900)), at(900), "nothing known yet");
    let video = clock.capture_time(90_000, report(0), rate.0, at(2_080));
    let audio = clock.capture_time(48_000, report(0), rate.1, at(2_020));
    assert_eq!((video, audio), (at(2_080), at(2_020)));
    let video = clock.capture_time(180_000, report(0), rate.0, at(3_080));
    let audio = clock.capture_time(96_000, report(0), rate.1, at(3_020));
    assert_eq!(video, audio, "captured at the same instant");
}

mod keyframes {
    use super::super::keyframe::{av1, h264, vp8};
    use proptest::prelude::*;

    #[test]
    fn parameter_sets_alone_or_aggregated_begin_a_picture() {
        assert!(h264(&[0x67, 0x42, 0xe0]));
        assert!(h264(&[0x78, 0, 2, 0x67, 1, 0, 1, 0x68]));
        assert!(h264(&[0x78, 0, 1, 0x09, 0, 2, 0x67, 1]));
        assert!(!h264(&[0x7c, 0x85, 1, 2]), "FU-A of an IDR: its parameter sets came before");
        assert!(!h264(&[0x78, 0, 1, 0x68]));
        assert!(!h264(&[0x78, 0, 0, 0x67]));
        assert!(vp8(&[0x10, 0x00]) && !vp8(&[0x10, 0x01]) && vp8(&[0x90, 0x80, 0x81, 0x02, 0x00]));
    }

    #[test]
    fn av1_says_where_a_sequence_begins() {
        assert!(av1(&[0x08]) && !av1(&[0x10]));
    }

    proptest! {
        #[test]
        fn any_payload_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = h264(&bytes);
            let _ = vp8(&bytes);
            let _ = av1(&bytes);
            let mut aggregated = vec![24];
            aggregated.extend(bytes);
            let _ = h264(&aggregated);
        }
    }
}
