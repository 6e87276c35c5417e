//! How good each participant's connection is, as LiveKit tells its clients.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use proto::signal_response::Message as Response;
use str0m::media::{Mid, Rid};
use str0m::stats::{MediaEgressStats, MediaIngressStats};

use super::Engine;
use super::member::Member;
use crate::base::units::ClockRate;
use crate::room::MemberKey;
use crate::sfu::quality::{Observed, Quality, QualityMeter};

/// How often connections are judged; the figures come every 5 s.
const INTERVAL: Duration = Duration::from_secs(5);

/// One participant's.
#[derive(Debug, Default)]
pub(super) struct ConnectionQuality {
    meter: QualityMeter,
    /// The worst since the last judgement.
    observed: Observed,
    judged: Option<Instant>,
    /// Packets of each stream, sent and received, when its figures last came.
    packets: HashMap<(Way, Mid, Option<Rid>), u64>,
}

/// Seen from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Way {
    In,
    Out,
}

impl ConnectionQuality {
    /// Whether a stream has moved since its last figures; those of one that stands still (muted, or a layer that nobody
    /// wants) are what they were when it stopped, for as long as it stands.
    fn moves(&mut self, way: Way, mid: Mid, rid: Option<Rid>, packets: u64) -> bool {
        self.packets.insert((way, mid, rid), packets) != Some(packets)
    }
}

impl Engine {
    /// Figures of a stream that a subscriber gets.
    pub(super) fn sent_well(&mut self, key: MemberKey, stats: &MediaEgressStats) {
        let Some(member) = self.members.get_mut(&key) else { return };
        if !member.quality.moves(Way::Out, stats.mid, stats.rid, stats.packets) {
            return;
        }
        let observed = &mut member.quality.observed;
        observed.loss = observed.loss.max(stats.loss.unwrap_or_default());
        observed.round_trip = observed.round_trip.max(stats.rtt.unwrap_or_default());
        member.round_trip = stats.rtt.or(member.round_trip);
        member.bandwidth.congestion.observe(stats.loss, stats.rtt, self.at);
        member.repair_to.observe(stats.loss.unwrap_or_default(), member.round_trip, self.at);
    }

    /// Figures of a stream that a publisher sends.
    pub(super) fn came_well(&mut self, key: MemberKey, stats: &MediaIngressStats) {
        let Some(member) = self.members.get_mut(&key) else { return };
        if !member.quality.moves(Way::In, stats.mid, stats.rid, stats.packets) {
            return;
        }
        let track = self.tracks.values().find(|track| track.publisher == key && track.mid == stats.mid);
        let rate = track.map_or(ClockRate::VIDEO, |track| track.route.rate());
        let jitter = Duration::from_secs_f64(f64::from(stats.jitter) / f64::from(rate.hz()));
        let observed = &mut member.quality.observed;
        observed.loss = observed.loss.max(stats.loss.unwrap_or_default());
        observed.jitter = observed.jitter.max(jitter);
        member.repair_from.observe(stats.loss.unwrap_or_default(), member.round_trip, self.at);
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
            let observed = Observed { lost, reduced, paused, ..std::mem::take(&mut quality.observed) };
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
        assert!(quality.moves(Way::In, mid, None, 10), "the first ones");
        assert!(!quality.moves(Way::In, mid, None, 10));
        assert!(quality.moves(Way::Out, mid, None, 10), "another connection's");
        assert!(quality.moves(Way::In, mid, Some(Rid::from("q")), 10), "another layer's");
        assert!(quality.moves(Way::In, mid, None, 11));
    }
}
