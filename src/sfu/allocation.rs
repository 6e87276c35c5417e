//! Which layer of each video a subscriber gets, so that all of them fit through its network; see `pausing` for when not
//! even the smallest do.
//!
//! Everyone's smallest layer comes first, then everyone's next: a newcomer gets a picture before somebody else gets
//! a sharper one. Falling is done at once; rising needs room to spare and some time since the last fall. An estimate
//! that is low but does not fall proves nothing: estimators begin low, and what already flows without harm fits.

use std::time::Duration;

use crate::base::clock::MediaTime;
use crate::base::units::Bitrate;
use crate::media::Layer;

use super::congestion::Congestion;
use super::pausing::{Pausing, Video};
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
/// The same while a video is paused: the sound is to have what there is.
const PAUSED_PROBE_INTERVAL: Duration = Duration::from_secs(4);
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
    /// It is paused.
    pub paused: bool,
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
    /// Not even that is to be sent.
    pub paused: bool,
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
    pausing: Pausing,
    probed: Option<MediaTime>,
    /// The best estimate lately, and since when.
    best: Option<(Bitrate, MediaTime)>,
}

impl<K> Default for Allocator<K> {
    fn default() -> Self {
        let (shares, trials, pausing) = (Vec::new(), Trials::default(), Pausing::default());
        Allocator { shares, fell: None, rose: None, calm: CALM, trials, pausing, probed: None, best: None }
    }
}

impl<K: Copy + PartialEq> Allocator<K> {
    /// Chooses anew. `estimate` is what is left for video (None: nothing is known, everything is sent); `demands` in order
    /// of importance.
    pub fn allocate(
        &mut self,
        estimate: Option<Bitrate>,
        congestion: &Congestion,
        demands: &[Demand<K>],
        now: MediaTime,
    ) -> &[Share<K>] {
        let paused = self.pause(estimate, congestion, demands, now);
        let sent = demands.iter().zip(&paused).filter(|(_, paused)| !**paused);
        let sent: Vec<Demand<K>> = sent.map(|(demand, _)| demand.clone()).collect();
        let may_rise = sent.len() == demands.len();
        let mut layers = self.layers(estimate, congestion.is_seen(now), &sent, may_rise, now).into_iter();
        let share = |(demand, paused): (&Demand<K>, bool)| {
            let layer = if paused { demand.lowest() } else { layers.next().flatten() };
            Share { key: demand.key, layer, paused }
        };
        self.shares = demands.iter().zip(paused).map(share).collect();
        &self.shares
    }

    /// Which of the videos are paused from now on.
    fn pause(
        &mut self,
        estimate: Option<Bitrate>,
        congestion: &Congestion,
        demands: &[Demand<K>],
        now: MediaTime,
    ) -> Vec<bool> {
        let video =
            |demand: &Demand<K>| Video { smallest: demand.rate(demand.lowest()), paused: demand.paused };
        let mut videos: Vec<Video> = demands.iter().map(video).collect();
        let estimate = estimate.map(|estimate| u64::from(estimate.as_bps()));
        self.pausing.decide(estimate, congestion.overflows(now), &mut videos, now);
        let changed = |paused: bool| {
            let mut pairs = demands.iter().zip(&videos);
            pairs.any(|(demand, video)| demand.paused != paused && video.paused == paused)
        };
        if changed(true) {
            self.note_fall(now);
        } else if changed(false) {
            self.rose = Some(now);
            self.trials.rose(now);
        }
        videos.into_iter().map(|video| video.paused).collect()
    }

    /// The layers of what is sent. What is paused comes before any larger layer: until then none `may_rise`.
    fn layers(
        &mut self,
        estimate: Option<Bitrate>,
        congested: bool,
        demands: &[Demand<K>],
        may_rise: bool,
        now: MediaTime,
    ) -> Vec<Option<Layer>> {
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
        // What is not paused is sent, whatever the estimate says.
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
        } else if may_rise && self.fell.is_none_or(|at| now.since(at) >= self.calm) {
            let kept = layers.clone();
            fill(&mut layers, demands, budget(RISE_PERCENT), |index| Some(demands[index].wanted));
            if kept != layers {
                self.rose = Some(now);
                self.trials.rose(now);
            } else if !congested {
                self.try_more(&mut layers, demands, now);
            }
        }
        layers
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
    /// is sent and there is an estimate (`known`). To be asked after each [`Allocator::allocate`]: a rate that goes down
    /// and up again makes the estimator probe the network, and so it does while something is held back.
    pub fn target(&mut self, demands: &[Demand<K>], other: Bitrate, known: bool, now: MediaTime) -> Target {
        let mut pairs = self.shares.iter().zip(demands);
        let short = pairs.any(|(share, demand)| share.layer < demand.best() || share.paused);
        let paused = self.shares.iter().position(|share| share.paused);
        let wanted: u64 = match paused {
            // No further than to the next one that may go on, and only for a moment.
            Some(next) if self.is_time_to_probe(PAUSED_PROBE_INTERVAL, now) => {
                demands.iter().take(next + 1).map(|demand| demand.rate(demand.lowest())).sum()
            }
            Some(_) => return Target { desired: Bitrate::bps(0), short },
            None => demands.iter().map(|demand| demand.rate(demand.best())).sum(),
        };
        let mut desired = (wanted + u64::from(other.as_bps())) * DESIRED_PERCENT / 100;
        if short && paused.is_none() && self.is_time_to_probe(PROBE_INTERVAL, now) {
            desired = desired * 9 / 10;
        }
        if !short && known {
            desired = 0;
        }
        Target { desired: Bitrate::bps(u32::try_from(desired).unwrap_or(u32::MAX)), short }
    }

    /// True once an interval, and not soon after a fall.
    fn is_time_to_probe(&mut self, interval: Duration, now: MediaTime) -> bool {
        let since = |at: Option<MediaTime>, least: Duration| at.is_none_or(|at| now.since(at) >= least);
        let is_time = since(self.probed, interval) && since(self.fell, CALM / 2);
        if is_time {
            self.probed = Some(now);
        }
        is_time
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
mod tests;
