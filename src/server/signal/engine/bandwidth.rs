//! What each subscriber's network can carry, and which layers it gets for it.

use std::collections::HashMap;

use livekit_protocol as proto;
use str0m::bwe::BweKind;
use tracing::{debug, info, trace};

use super::media::Track;
use super::{Engine, reply};
use crate::base::units::Bitrate;
use crate::room::MemberKey;
use crate::rtc::sfu::Role;
use crate::sfu::{Allocator, Congestion, Demand, Share};

/// Set aside for each audio track that is sent, before any video: audio is never held back.
const AUDIO_BPS: u32 = 40_000;
/// Audio tracks that are sent at once at most, as far as bandwidth is set aside for them.
const AUDIO_TRACKS: u32 = 5;

/// One subscriber's bandwidth.
#[derive(Debug, Default)]
pub(super) struct Bandwidth {
    /// Of the connection's own estimator, from transport-wide feedback; None until it has learned something.
    estimate: Option<Bitrate>,
    /// It has begun: the first figure is only where it begins.
    begun: bool,
    /// What the client itself estimates (REMB); used when it sends no transport-wide feedback.
    remb: Option<Bitrate>,
    /// Of the streams that it gets.
    pub congestion: Congestion,
    allocator: Allocator<u64>,
    told: Option<Bitrate>,
    /// Some video is sent in a smaller layer than fits its size; some is not sent at all.
    pub reduced: bool,
    pub paused: bool,
}

impl Bandwidth {
    /// None: nothing is known, so nothing is held back.
    pub fn capacity(&self) -> Option<Bitrate> {
        self.estimate.or(self.remb)
    }

    fn held_back(&mut self, demands: &[Demand<u64>], shares: &[Share<u64>]) {
        self.reduced = demands.iter().zip(shares).any(|(demand, share)| share.layer < demand.best());
        self.paused = shares.iter().any(|share| share.paused);
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

/// Of a video, the greatest first; of equal ones the older comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Importance {
    Screen,
    ActiveSpeaker,
    Camera,
}

/// What is sent to one subscriber.
#[derive(Default)]
struct Load {
    /// With their importance.
    videos: Vec<(Importance, Demand<u64>)>,
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
            let shares = self.share_of(key, load);
            let states: Vec<_> = shares.into_iter().filter_map(|share| self.apply(key, share)).collect();
            if !states.is_empty() {
                self.say(key, reply::stream_states(states));
            }
        }
    }

    fn loads(&mut self) -> HashMap<MemberKey, Load> {
        let mut loads: HashMap<MemberKey, Load> = HashMap::new();
        for (key, track) in &mut self.tracks {
            let rates = track.route.rates(self.at);
            let speaks =
                self.rooms.get(&track.room).is_some_and(|r| r.stage.speaker == Some(track.publisher));
            let importance = match track.screen {
                true => Importance::Screen,
                false if speaks => Importance::ActiveSpeaker,
                false => Importance::Camera,
            };
            for subscriber in track.route.subscribers().iter().filter(|subscriber| subscriber.ready) {
                let load = loads.entry(subscriber.to.member).or_default();
                if !track.route.is_video() {
                    load.audio_tracks += 1;
                } else if let Some(wanted) = track.route.wanted(subscriber) {
                    let paused = subscriber.paused;
                    load.videos.push((importance, Demand { key: *key, wanted, rates, paused }));
                }
            }
        }
        loads
    }

    fn share_of(&mut self, key: MemberKey, mut load: Load) -> Vec<Share<u64>> {
        let Some(member) = self.members.get_mut(&key) else { return Vec::new() };
        load.videos.sort_by_key(|(importance, demand)| (*importance, demand.key));
        let demands: Vec<Demand<u64>> = load.videos.into_iter().map(|(_, demand)| demand).collect();
        let audio = load.audio_tracks.min(AUDIO_TRACKS) * AUDIO_BPS;
        let bandwidth = &mut member.bandwidth;
        let known = bandwidth.capacity();
        let video = known.map(|known| Bitrate::bps(known.as_bps().saturating_sub(audio)));
        let shares = bandwidth.allocator.allocate(video, &bandwidth.congestion, &demands, self.at).to_vec();
        bandwidth.held_back(&demands, &shares);
        let target = bandwidth.allocator.target(&demands, Bitrate::bps(audio), known.is_some(), self.at);
        if bandwidth.told != Some(target.desired) {
            bandwidth.told = Some(target.desired);
            self.endpoints.look_for(member.subscriber.key, target.desired);
        }
        shares
    }

    /// What is to be told, when it is paused now or goes on.
    fn apply(&mut self, key: MemberKey, share: Share<u64>) -> Option<proto::StreamStateInfo> {
        let track = self.tracks.get_mut(&share.key)?;
        let subscriber = track.route.subscriber_mut(|to| to.member == key)?;
        if let Some(layer) = share.layer.filter(|layer| *layer != subscriber.ceiling) {
            debug!(?key, track = track.sid, ?layer, "another layer fits");
            subscriber.ceiling = layer;
        }
        if subscriber.paused == share.paused {
            return None;
        }
        subscriber.paused = share.paused;
        info!(?key, track = track.sid, paused = share.paused, "a video for want of bandwidth");
        Some(reply::stream_state(track.publisher_sid.clone(), track.sid.clone(), share.paused))
    }

    /// Tells who comes back which of its videos are paused and which are not: it may have missed that.
    pub(super) fn tell_stream_states(&mut self, key: MemberKey) {
        let state = |track: &Track| {
            let mut subscribers = track.route.subscribers().iter().filter(|_| track.route.is_video());
            let subscriber = subscribers.find(|subscriber| subscriber.to.member == key)?;
            Some(reply::stream_state(track.publisher_sid.clone(), track.sid.clone(), subscriber.paused))
        };
        let states: Vec<_> = self.tracks.values().filter_map(state).collect();
        if !states.is_empty() {
            self.say(key, reply::stream_states(states));
        }
    }
}
