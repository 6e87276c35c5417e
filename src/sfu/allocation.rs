//! Which layer of each video a subscriber gets, so that all of them fit through its network.
//!
//! Everyone's smallest layer comes first, then everyone's next: a newcomer gets a picture before somebody else gets
//! a sharper one. Falling is done at once; rising needs room to spare and some time since the last fall. An estimate
//! that is low but does not fall proves nothing: estimators begin low, and what already flows without harm fits.

use std::time::Duration;

use crate::base::clock::MediaTime;
use crate::base::units::Bitrate;
use crate::media::Layer;

use super::trials::Trials;

/// What is being sent is kept as long as it needs at most this share of the estimate: estimates dip.
const KEEP_PERCENT: u64 = 110;
/// More is sent only when all of it then needs at most this share.
const RISE_PERCENT: u64 = 85;
/// Nothing rises so soon after a fall.
const CALM: Duration = Duration::from_secs(2);
/// The same after falls that soon followed a rise, which doubles it each time.
const LONGEST_CALM: Duration = Duration::from_secs(6);
/// A fall so soon after a rise means that it rose too early.
const TOO_EARLY: Duration = Duration::from_secs(5);
/// While something is held back the network is tried for more so often.
const PROBE_INTERVAL: Duration = Duration::from_millis(1500);
/// The estimate falls: it is below this share of what it was at best lately.
const FALLING_PERCENT: u64 = 93;
/// Without another sign of congestion (loss, round trips) a fall is believed only below this share of what flows:
/// estimators take jitter for a queue and fall a little below what arrives; at a bottleneck less arrives.
const BELIEVED_PERCENT: u64 = 70;
/// How far back that is.
const LATELY: Duration = Duration::from_secs(5);
/// The estimate is looked for above what is wanted, so that rising is not refused for want of room to spare.
const DESIRED_PERCENT: u64 = 125;

/// What a subscriber could get of one video.
#[derive(Clone, Debug)]
pub struct Demand<K> {
    /// Which.
    pub key: K,
    /// The layer that fits the size it is shown in.
    pub wanted: Layer,
    /// What each layer needs in bits per second; None: there is no such layer.
    pub rates: [Option<u32>; 3],
}

impl<K> Demand<K> {
    fn lowest(&self) -> Option<Layer> {
        Layer::ALL.into_iter().find(|layer| *layer <= self.wanted && self.rates[layer.index()].is_some())
    }

    /// The largest layer that there is, up to the wanted one.
    pub fn best(&self) -> Option<Layer> {
        Layer::ALL
            .into_iter()
            .rev()
            .find(|layer| *layer <= self.wanted && self.rates[layer.index()].is_some())
    }

    fn rate(&self, layer: Option<Layer>) -> u64 {
        layer.and_then(|layer| self.rates[layer.index()]).map_or(0, u64::from)
    }

    /// The next layer above `layer` that there is, up to `limit`.
    fn above(&self, layer: Option<Layer>, limit: Layer) -> Option<Layer> {
        Layer::ALL
            .into_iter()
            .find(|next| Some(*next) > layer && *next <= limit && self.rates[next.index()].is_some())
    }
}

/// One video's share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share<K> {
    /// Which.
    pub key: K,
    /// The largest layer that fits, the smallest if none does; None: there is none to send.
    pub layer: Option<Layer>,
}

/// What the estimator is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The rate to look for.
    pub desired: Bitrate,
    /// Something is held back for want of bandwidth.
    pub short: bool,
}

/// Shares one subscriber's bandwidth among its videos.
#[derive(Clone, Debug)]
pub struct Allocator<K> {
    shares: Vec<Share<K>>,
    fell: Option<MediaTime>,
    rose: Option<MediaTime>,
    calm: Duration,
    trials: Trials,
    probed: Option<MediaTime>,
    /// The best estimate lately, and since when.
    best: Option<(Bitrate, MediaTime)>,
}

impl<K> Default for Allocator<K> {
    fn default() -> Self {
        let (shares, trials) = (Vec::new(), Trials::default());
        Allocator { shares, fell: None, rose: None, calm: CALM, trials, probed: None, best: None }
    }
}

impl<K: Copy + PartialEq> Allocator<K> {
    /// Chooses anew. `estimate` is what is left for video (None: nothing is known, everything is sent); `congested`: loss or
    /// round trips say that too much is sent; `demands` in order of importance.
    pub fn allocate(
        &mut self,
        estimate: Option<Bitrate>,
        congested: bool,
        demands: &[Demand<K>],
        now: MediaTime,
    ) -> &[Share<K>] {
        let before: Vec<Option<Option<Layer>>> =
            demands.iter().map(|demand| self.share(demand.key)).collect();
        let limits: Vec<Option<Layer>> = demands
            .iter()
            .zip(&before)
            .map(|(demand, before)| match before {
                Some(layer) => layer.map(|layer| layer.min(demand.wanted)),
                None => demand.lowest(),
            })
            .collect();
        let flowing = demands.iter().zip(&limits).zip(&before).filter(|(_, before)| before.is_some());
        let flows: u64 = flowing.map(|((demand, layer), _)| demand.rate(*layer)).sum();
        let believed = |estimate: Bitrate| u64::from(estimate.as_bps()) * 100 < flows * BELIEVED_PERCENT;
        let capacity = match estimate {
            None => u64::MAX / 128,
            Some(estimate) if self.falls(estimate, now) && believed(estimate) || congested => {
                u64::from(estimate.as_bps())
            }
            Some(estimate) => u64::from(estimate.as_bps()).max(flows),
        };
        let budget = |percent: u64| capacity * percent / 100;
        let mut layers = vec![None; demands.len()];
        fill(&mut layers, demands, budget(KEEP_PERCENT), |index| limits[index]);
        // Estimates are wild when they begin and on busy machines, and where nothing is sent they never rise again: the
        // smallest layer is always sent.
        for (layer, demand) in layers.iter_mut().zip(demands) {
            *layer = layer.or(demand.lowest());
        }
        let fell = layers
            .iter()
            .zip(&limits)
            .zip(demands)
            .any(|((layer, limit), demand)| demand.rate(*layer) < demand.rate(*limit));
        if fell {
            self.note_fall(now);
        } else if self.fell.is_none_or(|at| now.since(at) >= self.calm) {
            let kept = layers.clone();
            fill(&mut layers, demands, budget(RISE_PERCENT), |index| Some(demands[index].wanted));
            if kept != layers {
                self.rose = Some(now);
                self.trials.rose(now);
            } else if !congested {
                self.try_more(&mut layers, demands, now);
            }
        }
        let share = |(demand, layer): (&Demand<K>, Option<Layer>)| Share { key: demand.key, layer };
        self.shares = demands.iter().zip(layers).map(share).collect();
        &self.shares
    }

    /// One layer more of the most important video that is held back, when it is time to try that.
    fn try_more(&mut self, layers: &mut [Option<Layer>], demands: &[Demand<K>], now: MediaTime) {
        let held_back = layers.iter_mut().zip(demands).find_map(|(layer, demand)| {
            let above = demand.above(*layer, demand.wanted)?;
            Some((layer, above))
        });
        if let Some((layer, above)) = held_back
            && self.trials.begin(now)
        {
            *layer = Some(above);
            self.rose = Some(now);
        }
    }

    fn falls(&mut self, estimate: Bitrate, now: MediaTime) -> bool {
        let lately = self.best.filter(|(best, at)| *best >= estimate && now.since(*at) < LATELY);
        let (best, _) = *self.best.insert(lately.unwrap_or((estimate, now)));
        u64::from(estimate.as_bps()) * 100 < u64::from(best.as_bps()) * FALLING_PERCENT
    }

    fn note_fall(&mut self, now: MediaTime) {
        let early = self.rose.take().is_some_and(|at| now.since(at) < TOO_EARLY);
        let again = self.fell.is_some_and(|at| now.since(at) < TOO_EARLY);
        if early {
            self.calm = (self.calm * 2).min(LONGEST_CALM);
        } else if !again {
            self.calm = CALM;
        }
        self.fell = Some(now);
        self.trials.fell(now);
    }

    fn share(&self, key: K) -> Option<Option<Layer>> {
        self.shares.iter().find(|share| share.key == key).map(|share| share.layer)
    }

    /// What the estimator should look for on top of `other` (what is sent beside the videos); nothing while everything
    /// is sent and there is an estimate (`known`). To be asked after each [`Allocator::allocate`]: a rate that goes down and up again makes the estimator
    /// probe the network, and so it does while something is held back.
    pub fn target(&mut self, demands: &[Demand<K>], other: Bitrate, known: bool, now: MediaTime) -> Target {
        let wanted: u64 = demands.iter().map(|demand| demand.rate(demand.best())).sum();
        let short = self.shares.iter().zip(demands).any(|(share, demand)| share.layer < demand.best());
        let mut desired = (wanted + u64::from(other.as_bps())) * DESIRED_PERCENT / 100;
        let since = |at: Option<MediaTime>, least: Duration| at.is_none_or(|at| now.since(at) >= least);
        if short && since(self.probed, PROBE_INTERVAL) && since(self.fell, CALM / 2) {
            self.probed = Some(now);
            desired = desired * 9 / 10;
        }
        if !short && known {
            desired = 0;
        }
        Target { desired: Bitrate::bps(u32::try_from(desired).unwrap_or(u32::MAX)), short }
    }
}

/// Raises `layers` step by step, everyone's lower steps first, up to `limit` and as long as all of it needs at most
/// `budget`.
fn fill<K>(
    layers: &mut [Option<Layer>],
    demands: &[Demand<K>],
    budget: u64,
    limit: impl Fn(usize) -> Option<Layer>,
) {
    let spent: u64 = demands.iter().zip(layers.iter()).map(|(demand, layer)| demand.rate(*layer)).sum();
    let Some(mut left) = budget.checked_sub(spent) else { return };
    // The smallest layer that there is may be the only one, and a large one.
    for step in [None].into_iter().chain(Layer::ALL.map(Some)) {
        for (index, (demand, layer)) in demands.iter().zip(layers.iter_mut()).enumerate() {
            let Some(limit) = limit(index) else { continue };
            let next = match step {
                Some(step) => demand.above(*layer, limit.min(step)),
                None => demand.lowest().filter(|lowest| layer.is_none() && *lowest <= limit),
            };
            let Some(next) = next else { continue };
            let more = demand.rate(Some(next)).saturating_sub(demand.rate(*layer));
            if let Some(rest) = left.checked_sub(more) {
                (left, *layer) = (rest, Some(next));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RATES: [Option<u32>; 3] = [Some(150_000), Some(500_000), Some(1_700_000)];

    fn at(ms: u64) -> MediaTime {
        MediaTime::from_millis(ms)
    }

    fn camera(key: u8) -> Demand<u8> {
        Demand { key, wanted: Layer::Full, rates: RATES }
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
                allocator.allocate(Some(Bitrate::kbps(kbps)), false, demands, at(ms));
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
            |kbps, ms| layers(allocator.allocate(Some(Bitrate::kbps(kbps)), false, &[camera(1)], at(ms)))[0];
        assert_eq!(layer(3000, 0), Some(Layer::Full));
        assert_eq!(layer(1600, 9_900), Some(Layer::Full), "a dip");
        assert_eq!(layer(600, 10_000), Some(Layer::Half));
        assert_eq!(layer(3000, 10_100), Some(Layer::Half), "too soon");
        assert_eq!(layer(3000, 12_100), Some(Layer::Full));
        assert_eq!(layer(600, 13_000), Some(Layer::Half));
        assert_eq!(layer(3000, 15_100), Some(Layer::Half), "it rose too early the last time");
        assert_eq!(layer(1900, 17_100), Some(Layer::Half), "no room to spare");
        assert_eq!(layer(2100, 17_200), Some(Layer::Full));
        assert_eq!(layer(50, 17_300), Some(Layer::Quarter), "never paused");
        assert_eq!(layer(50, 21_300), Some(Layer::Quarter));
    }

    #[test]
    fn the_smallest_layer_is_sent_whatever_the_estimate_says() {
        let mut allocator = Allocator::default();
        let screen = [Demand { rates: [None, None, Some(900_000)], ..camera(1) }];
        for (step, kbps) in [300, 200, 100, 50, 0].into_iter().cycle().take(300).enumerate() {
            let share =
                layers(allocator.allocate(Some(Bitrate::kbps(kbps)), false, &screen, at(step as u64 * 100)));
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
                false,
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
                allocator.allocate(Some(Bitrate::kbps(kbps)), true, &[camera(1)], at(step * 100));
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
        let unknown = layers(allocator.allocate(None, false, &[camera(1)], at(5_900)))[0];
        assert_eq!(unknown, Some(Layer::Full));
        let mut layer =
            |kbps, ms| layers(allocator.allocate(Some(Bitrate::kbps(kbps)), false, &[camera(1)], at(ms)))[0];
        for (kbps, ms) in [(1000, 6_000), (980, 6_500), (1100, 7_000), (1300, 8_000)] {
            assert_eq!(layer(kbps, ms), Some(Layer::Full), "{kbps} kbit/s");
        }
        assert_eq!(layer(1100, 9_000), Some(Layer::Half));
    }

    #[test]
    fn a_fall_to_a_little_below_what_flows_needs_another_sign() {
        let mut allocator = Allocator::default();
        let mut layer = |kbps, congested, ms| {
            layers(allocator.allocate(Some(Bitrate::kbps(kbps)), congested, &[camera(1)], at(ms)))[0]
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
            |kbps, ms| layers(allocator.allocate(Some(Bitrate::kbps(kbps)), false, &[camera(1)], at(ms)))[0];
        assert_eq!(layer(200, 0), Some(Layer::Quarter));
        assert_eq!(layer(200, 4_900), Some(Layer::Quarter));
        assert_eq!(layer(200, 5_000), Some(Layer::Half), "tried");
        assert_eq!(layer(500, 6_000), Some(Layer::Half));
        assert_eq!(layer(500, 10_000), Some(Layer::Full), "tried");
        assert_eq!(layer(300, 10_500), Some(Layer::Quarter), "it did not fit");
        assert_eq!(layer(300, 25_400), Some(Layer::Quarter));
        assert_eq!(layer(300, 25_500), Some(Layer::Half), "tried again, later");
    }

    proptest! {
        #[test]
        fn shares_stay_within_the_estimate_and_the_wishes(
            steps in proptest::collection::vec((0u32..5_000_000, 1usize..5, 0u64..3000), 1..40),
            wanted in proptest::collection::vec(0usize..3, 5),
        ) {
            let mut allocator = Allocator::default();
            let (mut now, mut flowing) = (0, 0);
            for (bps, count, ms) in steps {
                now += ms;
                let demands: Vec<Demand<u8>> = (0..count as u8)
                    .map(|key| Demand { wanted: Layer::ALL[wanted[usize::from(key)]], ..camera(key) })
                    .collect();
                let shares = allocator.allocate(Some(Bitrate::bps(bps)), true, &demands, at(now)).to_vec();
                let spent: u64 = demands.iter().zip(&shares).map(|(demand, share)| demand.rate(share.layer)).sum();
                prop_assert!(spent <= u64::from(bps).max(flowing + 4 * 150_000) * KEEP_PERCENT / 100);
                flowing = spent;
                for (demand, share) in demands.iter().zip(&shares) {
                    prop_assert!(share.layer <= Some(demand.wanted));
                    prop_assert_eq!(demand.key, share.key);
                }
            }
        }
    }
}
