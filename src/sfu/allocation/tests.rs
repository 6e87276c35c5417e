use super::*;
use proptest::prelude::*;

const RATES: [Option<u32>; 3] = [Some(150_000), Some(500_000), Some(1_700_000)];

fn at(ms: u64) -> MediaTime {
    MediaTime::from_millis(ms)
}

fn camera(key: u8) -> Demand<u8> {
    Demand { key, wanted: Layer::Full, rates: RATES, paused: false }
}

/// No sign of congestion, and the sign of a queue.
fn calm() -> Congestion {
    Congestion::default()
}

fn queued(ms: u64) -> Congestion {
    Congestion::seen(at(ms))
}

fn layers(shares: &[Share<u8>]) -> Vec<Option<Layer>> {
    shares.iter().map(|share| share.layer).collect()
}

#[test]
fn everyone_gets_the_smallest_before_anyone_gets_more() {
    // After a fall.
    let allocate = |kbps, demands: &[Demand<u8>]| {
        let mut allocator = Allocator::default();
        for (kbps, ms) in [(10_000, 0), (kbps, 1000), (kbps, 3000)] {
            allocator.allocate(Some(Bitrate::kbps(kbps)), &calm(), demands, at(ms));
        }
        layers(&allocator.shares)
    };
    let (quarter, half, full) = (Some(Layer::Quarter), Some(Layer::Half), Some(Layer::Full));
    let three = [camera(1), camera(2), camera(3)];
    assert_eq!(allocate(6500, &three), [full, full, full]);
    assert_eq!(allocate(3300, &three), [full, half, half]);
    assert_eq!(allocate(1000, &three), [half, quarter, quarter]);
    assert_eq!(allocate(100, &three), [quarter; 3]);
    let small = Demand { wanted: Layer::Quarter, ..camera(2) };
    assert_eq!(allocate(6500, &[small]), [quarter], "never more than wanted");
    let screen = Demand { rates: [None, None, Some(900_000)], ..camera(4) };
    assert_eq!(allocate(1200, &[screen, camera(1)]), [full, quarter], "one layer only, and first");
}

#[test]
fn it_falls_at_once_and_rises_once_it_has_been_calm() {
    let mut allocator = Allocator::default();
    let mut layer =
        |kbps, ms| layers(allocator.allocate(Some(Bitrate::kbps(kbps)), &calm(), &[camera(1)], at(ms)))[0];
    assert_eq!(layer(3000, 0), Some(Layer::Full));
    assert_eq!(layer(1600, 9_900), Some(Layer::Full), "a dip");
    assert_eq!(layer(600, 10_000), Some(Layer::Half));
    assert_eq!(layer(3000, 10_100), Some(Layer::Half), "too soon");
    assert_eq!(layer(3000, 12_100), Some(Layer::Full));
    assert_eq!(layer(600, 13_000), Some(Layer::Half));
    assert_eq!(layer(3000, 15_100), Some(Layer::Half), "it rose too early the last time");
    assert_eq!(layer(1900, 17_100), Some(Layer::Half), "no room to spare");
    assert_eq!(layer(2100, 17_200), Some(Layer::Full));
    assert_eq!(layer(50, 17_300), Some(Layer::Quarter), "no loss, no pause");
    assert_eq!(layer(50, 21_300), Some(Layer::Quarter));
}

#[test]
fn without_loss_the_smallest_layer_is_sent_whatever_the_estimate_says() {
    let mut allocator = Allocator::default();
    let screen = [Demand { rates: [None, None, Some(900_000)], ..camera(1) }];
    for (step, kbps) in [300, 200, 100, 50, 0].into_iter().cycle().take(300).enumerate() {
        let share =
            layers(allocator.allocate(Some(Bitrate::kbps(kbps)), &calm(), &screen, at(step as u64 * 100)));
        assert_eq!(share, [Some(Layer::Full)], "step {step}");
    }
}

#[test]
fn a_noisy_estimate_around_a_layers_rate_does_not_make_it_flap() {
    let mut allocator = Allocator::default();
    let mut changes = 0;
    let mut last = None;
    for step in 0..600u64 {
        let kbps = 1750 + [0, 130, -120, 60, -90][step as usize % 5];
        let layer = layers(allocator.allocate(
            Some(Bitrate::kbps(kbps as u32)),
            &calm(),
            &[camera(1)],
            at(step * 100),
        ))[0];
        changes += u32::from(last.is_some_and(|last| last != layer));
        last = Some(layer);
    }
    assert!(changes <= 1, "{changes} in a minute");
}

#[test]
fn while_something_is_held_back_the_network_is_probed_and_else_left_alone() {
    let probes = |kbps: u32| {
        let mut allocator = Allocator::default();
        let mut targets = Vec::new();
        for step in 0..100 {
            // Nothing is tried while the path is congested.
            allocator.allocate(Some(Bitrate::kbps(kbps)), &queued(step * 100), &[camera(1)], at(step * 100));
            let target = allocator.target(&[camera(1)], Bitrate::kbps(40), true, at(step * 100));
            assert_eq!(target.short, kbps < 2000);
            assert_eq!(target.desired > Bitrate::bps(0), target.short);
            targets.push(target.desired);
        }
        targets.windows(2).filter(|pair| pair[1] > pair[0]).count()
    };
    assert_eq!(probes(600), 7);
    assert_eq!(probes(4000), 0);
}

#[test]
fn what_flows_stays_while_a_low_estimate_rises_and_goes_when_it_falls() {
    let mut allocator = Allocator::default();
    let unknown = layers(allocator.allocate(None, &calm(), &[camera(1)], at(5_900)))[0];
    assert_eq!(unknown, Some(Layer::Full));
    let mut layer =
        |kbps, ms| layers(allocator.allocate(Some(Bitrate::kbps(kbps)), &calm(), &[camera(1)], at(ms)))[0];
    for (kbps, ms) in [(1000, 6_000), (980, 6_500), (1100, 7_000), (1300, 8_000)] {
        assert_eq!(layer(kbps, ms), Some(Layer::Full), "{kbps} kbit/s");
    }
    assert_eq!(layer(1100, 9_000), Some(Layer::Half));
}

#[test]
fn a_fall_to_a_little_below_what_flows_needs_another_sign() {
    let mut allocator = Allocator::default();
    let mut layer = |kbps, congested: bool, ms| {
        let congestion = if congested { queued(ms) } else { calm() };
        layers(allocator.allocate(Some(Bitrate::kbps(kbps)), &congestion, &[camera(1)], at(ms)))[0]
    };
    assert_eq!(layer(3000, false, 0), Some(Layer::Full));
    assert_eq!(layer(1300, false, 1_000), Some(Layer::Full), "jitter");
    assert_eq!(layer(1300, true, 1_100), Some(Layer::Half));
    assert_eq!(layer(3000, false, 6_000), Some(Layer::Full));
    assert_eq!(layer(1100, false, 9_000), Some(Layer::Half), "much less arrives");
}

#[test]
fn a_low_estimate_that_does_not_fall_is_put_to_the_test() {
    let mut allocator = Allocator::default();
    let mut layer =
        |kbps, ms| layers(allocator.allocate(Some(Bitrate::kbps(kbps)), &calm(), &[camera(1)], at(ms)))[0];
    assert_eq!(layer(200, 0), Some(Layer::Quarter));
    assert_eq!(layer(200, 4_900), Some(Layer::Quarter));
    assert_eq!(layer(200, 5_000), Some(Layer::Half), "tried");
    assert_eq!(layer(500, 6_000), Some(Layer::Half));
    assert_eq!(layer(500, 10_000), Some(Layer::Full), "tried");
    assert_eq!(layer(300, 10_500), Some(Layer::Quarter), "it did not fit");
    assert_eq!(layer(300, 25_400), Some(Layer::Quarter));
    assert_eq!(layer(300, 25_500), Some(Layer::Half), "tried again, later");
}

#[test]
fn a_video_that_is_paused_for_loss_waits_in_its_smallest_layer_and_nothing_else_rises_before_it_goes_on() {
    let mut allocator = Allocator::default();
    let mut videos = [camera(1), camera(2)];
    let mut congestion = Congestion::default();
    let mut step = |kbps, loss, ms| {
        if let Some(loss) = loss {
            congestion.observe_loss(loss, 100, at(ms));
        }
        let estimate = Some(Bitrate::kbps(kbps));
        let shares = allocator.allocate(estimate, &congestion, &videos, at(ms)).to_vec();
        videos.iter_mut().zip(&shares).for_each(|(video, share)| video.paused = share.paused);
        let desired = allocator.target(&videos, Bitrate::kbps(40), true, at(ms)).desired;
        (shares.iter().map(|share| (share.layer, share.paused)).collect::<Vec<_>>(), desired)
    };
    let (quarter, half) = (Some(Layer::Quarter), Some(Layer::Half));
    assert_eq!(step(900, Some(0.0), 0).0, [(half, false), (quarter, false)]);
    for ms in [5_000, 7_000, 8_900] {
        assert_eq!(step(170, Some(0.4), ms).0, [(quarter, false), (quarter, false)], "{ms} ms");
    }
    let (shares, desired) = step(170, Some(0.4), 9_000);
    assert_eq!(shares, [(quarter, false), (quarter, true)]);
    assert_eq!(desired, Bitrate::bps(0), "the sound has what there is");
    let (shares, desired) = step(300, Some(0.0), 12_900);
    assert_eq!(shares, [(quarter, false), (quarter, true)]);
    assert_eq!(desired, Bitrate::kbps(425), "looked for, for a moment");
    assert_eq!(step(300, None, 13_000).1, Bitrate::bps(0));
    let (shares, _) = step(600, None, 13_100);
    assert_eq!(shares, [(quarter, false), (quarter, false)], "no larger layer with it");
    assert_eq!(step(800, None, 15_200).0, [(half, false), (quarter, false)]);
}

proptest! {
    #[test]
    fn shares_stay_within_the_estimate_and_the_wishes(
        steps in proptest::collection::vec((0u32..5_000_000, 1usize..5, 0u64..3000, 0f32..0.3), 1..40),
        wanted in proptest::collection::vec(0usize..3, 5),
    ) {
        let mut allocator = Allocator::default();
        let (mut now, mut flowing, mut paused) = (0, 0, [false; 4]);
        for (bps, count, ms, loss) in steps {
            now += ms;
            let mut congestion = queued(now);
            congestion.observe_loss(loss, 100, at(now));
            let demands: Vec<Demand<u8>> = (0..count as u8)
                .map(|key| Demand {
                    wanted: Layer::ALL[wanted[usize::from(key)]],
                    paused: paused[usize::from(key)],
                    ..camera(key)
                })
                .collect();
            let shares = allocator.allocate(Some(Bitrate::bps(bps)), &congestion, &demands, at(now)).to_vec();
            let sent = demands.iter().zip(&shares).filter(|(_, share)| !share.paused);
            let spent: u64 = sent.map(|(demand, share)| demand.rate(share.layer)).sum();
            prop_assert!(spent <= u64::from(bps).max(flowing + 4 * 150_000) * KEEP_PERCENT / 100);
            flowing = spent;
            for share in &shares {
                paused[usize::from(share.key)] = share.paused;
            }
            for (demand, share) in demands.iter().zip(&shares) {
                prop_assert!(share.layer <= Some(demand.wanted));
                prop_assert_eq!(demand.key, share.key);
            }
        }
    }
}
