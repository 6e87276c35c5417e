//! The policy against a simulated path: pictures of all layers through a bottleneck with a queue, seeded loss and
//! jitter, and reports every 100 ms.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::base::clock;

const BITRATES: [Bitrate; 3] = [Bitrate::kbps(160), Bitrate::kbps(500), Bitrate::kbps(2000)];
const ALL: [bool; 3] = [true; 3];
const STEP: Duration = Duration::from_millis(10);

#[derive(Clone, Copy)]
struct Link {
    kbps: u64,
    queue_ms: u64,
    loss: f64,
    jitter_ms: u64,
    delay_ms: u64,
}

const GOOD: Link = Link { kbps: 20_000, queue_ms: 400, loss: 0.0, jitter_ms: 0, delay_ms: 20 };

fn narrow(kbps: u64) -> Link {
    Link { kbps, ..GOOD }
}

struct Simulation {
    uplink: Uplink,
    wanted: [bool; 3],
    start: Instant,
    now: Instant,
    free_at: Instant,
    rng: StdRng,
    /// On their way or lost, with when that can be told.
    flying: Vec<(Instant, Fate)>,
    sent: u64,
    /// What was allowed, each time it changed.
    allowed: Vec<usize>,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let start = clock::now();
        Simulation {
            uplink: Uplink::new(BITRATES),
            wanted: ALL,
            start,
            now: start,
            free_at: start,
            rng: StdRng::seed_from_u64(seed),
            flying: Vec::new(),
            sent: 0,
            allowed: vec![3],
        }
    }

    fn run(&mut self, link: Link, time: Duration) -> &mut Self {
        let end = self.now + time;
        while self.now < end {
            self.now += STEP;
            let step = ((self.now - self.start).as_millis() / STEP.as_millis()) as u64;
            for (layer, bitrate) in BITRATES.iter().enumerate().take(self.uplink.allowed()) {
                if step.is_multiple_of(3) && self.wanted[layer] {
                    // Every fourth second a keyframe, eight times as large.
                    let size = if step.is_multiple_of(399) { 8 } else { 1 };
                    self.picture(link, u64::from(bitrate.as_bps()) / 8 * 30 / 1000 * size);
                }
            }
            if step.is_multiple_of(10) {
                self.report();
            }
            if step.is_multiple_of(50) {
                self.uplink.tick(self.now, self.sent, self.wanted);
            }
            if self.allowed.last() != Some(&self.uplink.allowed()) {
                self.allowed.push(self.uplink.allowed());
            }
        }
        self
    }

    fn picture(&mut self, link: Link, mut bytes: u64) {
        while bytes > 0 {
            let packet = bytes.min(1160);
            bytes -= packet;
            self.sent += 1;
            let start = self.free_at.max(self.now);
            let full = start - self.now > Duration::from_millis(link.queue_ms);
            let mut arrival_us = None;
            let mut told = self.now + Duration::from_millis(300);
            if !full {
                self.free_at = start + Duration::from_micros((packet + 38) * 8000 / link.kbps);
                let late = self.rng.random_range(0..=link.jitter_ms * 1000);
                let arrival =
                    self.free_at + Duration::from_millis(link.delay_ms) + Duration::from_micros(late);
                if self.rng.random_range(0.0..1.0) >= link.loss {
                    // The server's clock has another zero.
                    arrival_us = Some((arrival - self.start).as_micros() as i64 - 77_000_000);
                    told = arrival;
                }
            }
            self.flying.push((told, Fate { departure: self.now, bytes: packet as usize, arrival_us }));
        }
    }

    fn report(&mut self) {
        let now = self.now;
        let told: Vec<Fate> =
            self.flying.iter().filter(|(at, _)| *at <= now).map(|(_, fate)| *fate).collect();
        self.flying.retain(|(at, _)| *at > now);
        if told.iter().any(|fate| fate.arrival_us.is_some()) {
            self.uplink.report(now, &told, self.sent, self.wanted);
        }
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_path_that_carries_all_is_left_alone_whatever_it_does_to_single_packets() {
    for seed in 0..4 {
        for (loss, jitter_ms) in [(0.0, 0), (0.05, 50), (0.0, 150)] {
            let mut simulation = Simulation::new(seed);
            simulation.run(Link { loss, jitter_ms, kbps: 5000, ..GOOD }, seconds(120));
            assert_eq!(simulation.allowed, [3], "seed {seed}, loss {loss}, jitter {jitter_ms} ms");
            assert_eq!(simulation.uplink.reason(), None);
        }
    }
}

#[test]
fn layers_go_from_the_top_until_the_rest_fits_and_come_back_one_by_one() {
    for seed in 0..4 {
        let mut simulation = Simulation::new(seed);
        simulation.run(GOOD, seconds(5)).run(narrow(600), seconds(4));
        assert_eq!(simulation.uplink.allowed(), 1, "{:?}", simulation.allowed);
        let reason = simulation.uplink.reason().unwrap();
        assert!(reason.contains("smallest picture") && reason.contains("kbit/s get through"), "{reason}");
        assert!(!simulation.allowed.contains(&0), "{:?}", simulation.allowed);
        simulation.allowed.clear();
        simulation.run(GOOD, seconds(30));
        assert_eq!(simulation.allowed, [1, 2, 3], "seed {seed}");
        assert_eq!(simulation.uplink.reason(), None);
    }
}

#[test]
fn a_narrow_path_is_tried_ever_more_rarely() {
    let mut simulation = Simulation::new(1);
    simulation.run(GOOD, seconds(5)).run(narrow(900), seconds(600));
    let tries = simulation.allowed.iter().filter(|allowed| **allowed == 3).count() - 1;
    assert!((5..=14).contains(&tries), "{tries}: {:?}", simulation.allowed);
    assert!(!simulation.allowed.contains(&0), "{:?}", simulation.allowed);
    assert!(simulation.uplink.reason().unwrap().contains("the camera's full picture is not sent"));
}

#[test]
fn where_no_picture_fits_only_sound_is_sent_and_pictures_come_back() {
    let mut simulation = Simulation::new(2);
    simulation.run(GOOD, seconds(5)).run(narrow(100), seconds(120));
    let after = simulation.allowed.iter().skip_while(|allowed| **allowed > 0);
    assert!(
        after.clone().count() > 1 && after.clone().all(|allowed| *allowed < 2),
        "{:?}",
        simulation.allowed
    );
    assert!(simulation.uplink.reason().unwrap().contains("only sound"));
    simulation.allowed.clear();
    simulation.run(GOOD, seconds(90));
    assert_eq!(simulation.uplink.allowed(), 3, "{:?}", simulation.allowed);
}

#[test]
fn a_bottleneck_without_a_queue_shows_by_its_losses() {
    let mut simulation = Simulation::new(3);
    simulation.run(GOOD, seconds(5)).run(Link { queue_ms: 10, ..narrow(1000) }, seconds(5));
    assert!(simulation.uplink.allowed() < 3, "{:?}", simulation.allowed);
    assert!(simulation.uplink.reason().unwrap().contains("% lost"), "{:?}", simulation.uplink.reason());
}

#[test]
fn nothing_that_gets_through_is_no_reason_to_wait_for_a_report() {
    let mut simulation = Simulation::new(4);
    simulation.run(GOOD, seconds(5)).run(Link { loss: 1.0, ..GOOD }, seconds(5));
    assert_eq!(simulation.uplink.allowed(), 0);
    assert!(simulation.uplink.reason().unwrap().contains("nothing gets through"));
    simulation.run(GOOD, seconds(60));
    assert_eq!(simulation.uplink.allowed(), 3);
}

#[test]
fn a_way_that_has_become_longer_costs_at_most_one_layer_for_a_while() {
    let mut simulation = Simulation::new(5);
    simulation.run(GOOD, seconds(20)).run(Link { delay_ms: 180, ..GOOD }, seconds(60));
    assert_eq!(simulation.allowed, [3, 2, 3]);
}

#[test]
fn layers_that_nobody_watches_are_not_tried() {
    let mut simulation = Simulation::new(6);
    simulation.wanted = [true, false, true];
    simulation.run(GOOD, seconds(5)).run(narrow(600), seconds(4));
    // The half picture is not sent anyway: the full one's place is all there is to give.
    assert_eq!(simulation.allowed, [3, 2]);
    simulation.wanted = [true, false, false];
    simulation.run(narrow(600), seconds(30));
    assert_eq!(simulation.allowed, [3, 2, 3], "what is free is allowed without a try");
    assert_eq!(simulation.uplink.reason(), None);
}

#[test]
fn without_reports_nothing_is_known_and_nothing_done() {
    let (mut uplink, start) = (Uplink::new(BITRATES), clock::now());
    for half in 0..600 {
        uplink.tick(start + Duration::from_millis(500) * half, u64::from(half) * 150, ALL);
    }
    assert_eq!((uplink.allowed(), uplink.reason()), (3, None));
}

proptest::proptest! {
    /// A server may report anything.
    #[test]
    fn no_report_panics(
        reports in proptest::collection::vec(
            proptest::collection::vec((0u64..10_000, 0usize..2000, proptest::option::of(proptest::prelude::any::<i64>())), 0..60),
            0..20,
        ),
    ) {
        let (mut uplink, start) = (Uplink::new(BITRATES), clock::now());
        for (index, report) in (0u64..).zip(reports) {
            let fate = |&(ms, bytes, arrival_us): &(u64, usize, Option<i64>)| Fate {
                departure: start + Duration::from_millis(ms),
                bytes,
                arrival_us,
            };
            let fates: Vec<Fate> = report.iter().map(fate).collect();
            let now = start + Duration::from_millis(index * 700);
            uplink.report(now, &fates, index * 60, ALL);
            uplink.tick(now, index * 60, ALL);
            proptest::prop_assert!(uplink.allowed() <= 3);
        }
    }
}
