//! How good each participant's connection is, as LiveKit tells its clients.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use proto::signal_response::Message as Response;
use str0m::media::{Mid, Rid};
use str0m::stats::{MediaEgressStats, MediaIngressStats};

use super::Engine;
use super::member::Member;
use crate::base::clock::MediaTime;
use crate::base::units::ClockRate;
use crate::room::MemberKey;
use crate::sfu::losses::Losses;
use crate::sfu::quality::{Observed, Quality, QualityMeter};

/// How often connections are judged.
const INTERVAL: Duration = Duration::from_secs(5);

/// One participant's.
#[derive(Debug, Default)]
pub(super) struct ConnectionQuality {
    meter: QualityMeter,
    /// The worst since the last judgement.
    observed: Observed,
    judged: Option<Instant>,
    streams: HashMap<(Way, Mid, Option<Rid>), Flow>,
}

/// One stream.
#[derive(Debug, Default)]
struct Flow {
    /// Sent or received when its figures last came.
    packets: u64,
    /// Since the last judgement.
    losses: Losses,
}

/// Seen from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Way {
    In,
    Out,
}

impl ConnectionQuality {
    /// How many packets a stream has moved since its last figures. None: it stands still (muted, or a layer that nobody
    /// wants), and its figures are what they were when it stopped.
    fn moved(&mut self, way: Way, mid: Mid, rid: Option<Rid>, packets: u64) -> Option<u64> {
        let flow = self.streams.entry((way, mid, rid)).or_default();
        let before = std::mem::replace(&mut flow.packets, packets);
        packets.checked_sub(before).filter(|moved| *moved > 0)
    }

    fn lost(&mut self, way: Way, mid: Mid, rid: Option<Rid>, loss: f32, packets: u64, now: MediaTime) {
        self.streams.entry((way, mid, rid)).or_default().losses.add(loss, packets, now);
    }

    /// The worst since the last time.
    fn take_observed(&mut self) -> Observed {
        let losses = self.streams.values_mut().map(|flow| std::mem::take(&mut flow.losses).share());
        let loss = losses.fold(0.0, f32::max);
        Observed { loss, ..std::mem::take(&mut self.observed) }
    }
}

impl Engine {
    /// Figures of a stream that a subscriber gets.
    pub(super) fn sent_well(&mut self, key: MemberKey, stats: &MediaEgressStats) {
        let Some(member) = self.members.get_mut(&key) else { return };
        let (mid, rid) = (stats.mid, stats.rid);
        let Some(packets) = member.quality.moved(Way::Out, mid, rid, stats.packets) else { return };
        if let Some(round_trip) = stats.rtt {
            member.round_trip = Some(round_trip);
            member.bandwidth.congestion.observe_round_trip(round_trip, self.at);
            member.quality.observed.round_trip = member.quality.observed.round_trip.max(round_trip);
        }
        let Some(loss) = stats.loss else { return };
        member.quality.lost(Way::Out, mid, rid, loss, packets, self.at);
        member.repair_to.observe(loss, packets, member.round_trip, self.at);
        let track = member.subscriber.track_of(mid).and_then(|track| self.tracks.get(&track));
        if track.is_some_and(|track| track.route.is_video()) {
            member.bandwidth.congestion.observe_loss(loss, packets, self.at);
        }
    }

    /// Figures of a stream that a publisher sends.
    pub(super) fn came_well(&mut self, key: MemberKey, stats: &MediaIngressStats) {
        let Some(member) = self.members.get_mut(&key) else { return };
        let (mid, rid) = (stats.mid, stats.rid);
        let Some(packets) = member.quality.moved(Way::In, mid, rid, stats.packets) else { return };
        let track = self.tracks.values().find(|track| track.publisher == key && track.mid == stats.mid);
        let rate = track.map_or(ClockRate::VIDEO, |track| track.route.rate());
        let jitter = Duration::from_secs_f64(f64::from(stats.jitter) / f64::from(rate.hz()));
        let observed = &mut member.quality.observed;
        observed.jitter = observed.jitter.max(jitter);
        let Some(loss) = stats.loss else { return };
        member.quality.lost(Way::In, mid, rid, loss, packets, self.at);
        member.repair_from.observe(loss, packets, member.round_trip, self.at);
    }

    /// Tells every room whose connection became better or worse.
    pub(super) fn judge_connections(&mut self) {
        let now = self.now;
        let mut changed = Vec::new();
        for member in self.members.values_mut() {
            let judged = *member.quality.judged.get_or_insert(now);
            if now.saturating_duration_since(judged) < INTERVAL {
                continue;
            }
            let lost = [member.publisher.key, member.subscriber.key].into_iter().any(|key| {
                self.endpoints.get_mut(key).is_some_and(|connection| connection.lost_since.is_some())
            });
            let Member { quality, bandwidth, .. } = member;
            quality.judged = Some(now);
            let (reduced, paused) = (bandwidth.reduced, bandwidth.paused);
            let observed = Observed { lost, reduced, paused, ..quality.take_observed() };
            if let Some(quality) = quality.meter.observe(&observed) {
                changed.push((member.key, member.room.clone(), info(&member.sid, quality)));
            }
        }
        for (key, room, info) in changed {
            let hidden = self.participant(&room, key).is_some_and(|participant| participant.grant.hidden);
            let updates = vec![info];
            let message = Response::ConnectionQuality(proto::ConnectionQualityUpdate { updates });
            match hidden {
                true => self.say(key, message),
                false => self.broadcast(&room, &message),
            }
        }
    }

    /// A newcomer learns who is not at its best; of the others it is assumed.
    pub(super) fn tell_qualities(&mut self, room: &str, key: MemberKey) {
        let Some(present) = self.rooms.get(room) else { return };
        let seen = |member: &&Member| {
            let shown = present.participant(member.key).is_some_and(|participant| !participant.grant.hidden);
            shown && member.key != key && member.room == room
        };
        let updates: Vec<proto::ConnectionQualityInfo> = self
            .members
            .values()
            .filter(seen)
            .map(|member| info(&member.sid, member.quality.meter.quality()))
            .collect();
        if !updates.is_empty() {
            self.say(key, Response::ConnectionQuality(proto::ConnectionQualityUpdate { updates }));
        }
    }
}

fn info(sid: &str, quality: Quality) -> proto::ConnectionQualityInfo {
    // The score is LiveKit's MOS of 1 to 5.
    let (quality, score) = match quality {
        Quality::Lost => (proto::ConnectionQuality::Lost, 1.0),
        Quality::Poor => (proto::ConnectionQuality::Poor, 2.0),
        Quality::Good => (proto::ConnectionQuality::Good, 3.5),
        Quality::Excellent => (proto::ConnectionQuality::Excellent, 4.5),
    };
    proto::ConnectionQualityInfo { participant_sid: sid.to_owned(), quality: quality as i32, score }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_stream_that_stands_still_are_old() {
        let (mut quality, mid) = (ConnectionQuality::default(), Mid::from("0"));
        assert_eq!(quality.moved(Way::In, mid, None, 10), Some(10), "the first ones");
        assert_eq!(quality.moved(Way::In, mid, None, 10), None);
        assert_eq!(quality.moved(Way::Out, mid, None, 10), Some(10), "another connection's");
        assert_eq!(quality.moved(Way::In, mid, Some(Rid::from("q")), 10), Some(10), "another layer's");
        assert_eq!(quality.moved(Way::In, mid, None, 11), Some(1));
    }

    #[test]
    fn the_stream_that_loses_most_counts_over_the_whole_time() {
        let (mut quality, mid, at) = (ConnectionQuality::default(), Mid::from("0"), MediaTime::from_millis);
        quality.lost(Way::Out, mid, None, 0.2, 50, at(0));
        quality.lost(Way::Out, mid, None, 0.0, 50, at(1_000));
        quality.lost(Way::In, mid, None, 0.05, 1000, at(1_000));
        assert_eq!(quality.take_observed().loss, 0.1);
        assert_eq!(quality.take_observed().loss, 0.0);
    }
}
