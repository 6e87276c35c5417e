//! What each subscriber's network can carry, and which layers it gets for it.

use std::collections::HashMap;
use std::time::Duration;

use str0m::bwe::BweKind;
use tracing::{debug, trace};

use super::Engine;
use crate::base::clock::MediaTime;
use crate::base::units::Bitrate;
use crate::room::MemberKey;
use crate::rtc::sfu::Role;
use crate::sfu::{Allocator, Demand, Share};

/// Set aside for each audio track that is sent, before any video: audio is never held back.
const AUDIO_BPS: u32 = 40_000;
/// Audio tracks that are sent at once at most, as far as bandwidth is set aside for them.
const AUDIO_TRACKS: u32 = 5;

/// So much loss is not of the air but of a queue that overflows.
const CONGESTION_LOSS: f32 = 0.1;
/// Round trips that are so much longer than the shortest wait in a queue.
const QUEUED: Duration = Duration::from_millis(200);
/// How long such a figure counts: the next ones come after 5 s.
const CONGESTION_MEMORY: Duration = Duration::from_secs(6);

/// One subscriber's bandwidth.
#[derive(Debug, Default)]
pub(super) struct Bandwidth {
    /// Of the connection's own estimator, from transport-wide feedback; None until it has learned something.
    estimate: Option<Bitrate>,
    /// It has begun: the first figure is only where it begins.
    begun: bool,
    /// What the client itself estimates (REMB); used when it sends no transport-wide feedback.
    remb: Option<Bitrate>,
    least_round_trip: Option<Duration>,
    /// When loss or round trips last said that too much is sent.
    congested: Option<MediaTime>,
    allocator: Allocator<u64>,
    told: Option<Bitrate>,
    /// Some video is sent in a smaller layer than fits its size.
    pub reduced: bool,
}

impl Bandwidth {
    /// None: nothing is known, so nothing is held back.
    pub fn capacity(&self) -> Option<Bitrate> {
        self.estimate.or(self.remb)
    }

    /// Figures of a stream that it gets.
    pub fn observe(&mut self, loss: Option<f32>, round_trip: Option<Duration>, now: MediaTime) {
        let least = self.least_round_trip.into_iter().chain(round_trip).min();
        self.least_round_trip = least;
        let queued = round_trip.zip(least).is_some_and(|(now, least)| now >= least + QUEUED);
        if queued || loss.is_some_and(|loss| loss >= CONGESTION_LOSS) {
            self.congested = Some(now);
        }
    }

    fn held_back(&mut self, demands: &[Demand<u64>], shares: &[Share<u64>]) {
        self.reduced = demands.iter().zip(shares).any(|(demand, share)| share.layer < demand.best());
    }

    fn learn(&mut self, kind: &BweKind) {
        let bitrate = |estimate: &str0m::bwe::Bitrate| {
            Bitrate::bps(u32::try_from(estimate.as_u64()).unwrap_or(u32::MAX))
        };
        match kind {
            BweKind::Twcc { estimate, can_probe: true } if self.begun => {
                self.estimate = Some(bitrate(estimate))
            }
            BweKind::Twcc { can_probe, .. } => {
                self.begun = *can_probe;
                self.estimate = None;
            }
            BweKind::Remb { estimate, .. } => self.remb = Some(bitrate(estimate)),
            _ => {}
        }
    }
}

/// What is sent to one subscriber.
#[derive(Default)]
struct Load {
    /// Screen share before cameras, then the older first.
    videos: Vec<(bool, Demand<u64>)>,
    audio_tracks: u32,
}

impl Engine {
    /// The estimate of a subscriber's bandwidth changed.
    pub(super) fn bandwidth_estimated(&mut self, key: MemberKey, role: Role, kind: &BweKind) {
        let counts = role != Role::Publisher && self.endpoints.estimates();
        if let Some(member) = self.members.get_mut(&key).filter(|_| counts) {
            trace!(identity = member.identity, ?kind, "an estimate");
            member.bandwidth.learn(kind);
        }
    }

    /// Shares every subscriber's bandwidth anew among the videos that it gets.
    pub(super) fn share_bandwidth(&mut self) {
        for (key, load) in self.loads() {
            for share in self.share_of(key, load) {
                self.apply(key, share);
            }
        }
    }

    fn loads(&mut self) -> HashMap<MemberKey, Load> {
        let mut loads: HashMap<MemberKey, Load> = HashMap::new();
        for (key, track) in &mut self.tracks {
            let rates = track.route.rates(self.at);
            for subscriber in track.route.subscribers().iter().filter(|subscriber| subscriber.ready) {
                let load = loads.entry(subscriber.to.member).or_default();
                if !track.route.is_video() {
                    load.audio_tracks += 1;
                } else if let Some(wanted) = track.route.wanted(subscriber) {
                    load.videos.push((!track.screen, Demand { key: *key, wanted, rates }));
                }
            }
        }
        loads
    }

    fn share_of(&mut self, key: MemberKey, mut load: Load) -> Vec<Share<u64>> {
        let Some(member) = self.members.get_mut(&key) else { return Vec::new() };
        load.videos.sort_by_key(|(camera, demand)| (*camera, demand.key));
        let demands: Vec<Demand<u64>> = load.videos.into_iter().map(|(_, demand)| demand).collect();
        let audio = load.audio_tracks.min(AUDIO_TRACKS) * AUDIO_BPS;
        let bandwidth = &mut member.bandwidth;
        let known = bandwidth.capacity();
        let video = known.map(|known| Bitrate::bps(known.as_bps().saturating_sub(audio)));
        let congested = bandwidth.congested.is_some_and(|at| self.at.since(at) < CONGESTION_MEMORY);
        let shares = bandwidth.allocator.allocate(video, congested, &demands, self.at).to_vec();
        bandwidth.held_back(&demands, &shares);
        let target = bandwidth.allocator.target(&demands, Bitrate::bps(audio), known.is_some(), self.at);
        if bandwidth.told != Some(target.desired) {
            bandwidth.told = Some(target.desired);
            self.endpoints.look_for(member.subscriber.key, target.desired);
        }
        shares
    }

    fn apply(&mut self, key: MemberKey, share: Share<u64>) {
        let (Some(track), Some(layer)) = (self.tracks.get_mut(&share.key), share.layer) else { return };
        let Some(subscriber) = track.route.subscriber_mut(|to| to.member == key) else { return };
        if subscriber.ceiling != layer {
            debug!(?key, track = track.sid, ?layer, "another layer fits");
            subscriber.ceiling = layer;
        }
    }
}
