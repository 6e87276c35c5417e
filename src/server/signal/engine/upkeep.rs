//! What must be looked at now and then: the vanished, the slow, empty rooms, the snapshot.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::super::RoomSnapshot;
use super::Engine;
use super::member::Member;
use crate::room::{Departure, Event, MemberKey, Participant};
use crate::rtc::sfu::Traffic;

/// How long a participant without signalling may take to resume.
const RESUME_TIMEOUT: Duration = Duration::from_secs(20);
/// The same for one whose media is lost too.
const LOST_TIMEOUT: Duration = Duration::from_secs(5);
/// The same for one whose media never connected: there is nothing to resume.
const UNCONNECTED_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one whose signalling lives may be without media before it is told to connect anew.
const MEDIA_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the first media connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);

/// What is wrong with a participant.
enum Verdict {
    Vanished,
    StartOver(&'static str),
}

impl Engine {
    pub(super) fn upkeep(&mut self) {
        let keys: Vec<MemberKey> = self.members.keys().copied().collect();
        for key in keys {
            match self.judge(key) {
                Some(Verdict::Vanished) => self.put_out(key, Departure::Vanished),
                Some(Verdict::StartOver(why)) => self.start_over(key, why),
                None if self.members.get(&key).is_some_and(|member| member.subscriber.is_held(self.now)) => {
                    self.negotiate(key);
                }
                None => {}
            }
        }
        self.share_bandwidth();
        self.refresh_tracks();
        self.judge_speakers();
        self.judge_connections();
        self.set_stages();
        self.show_stages();
        self.end_overdue();
        for event in self.rooms.sweep(self.at) {
            if let Event::RoomFinished { room, .. } = &event {
                self.speakers.remove(&room.name);
            }
            self.emit(event);
            self.changed = true;
        }
        if self.changed {
            self.publish_snapshot();
        }
        let Traffic { stray, undelivered, unsent } = self.endpoints.traffic;
        let (counters, told) = (&self.outlets.counters, &mut self.told);
        tell(&counters.stray_datagrams, &mut told.stray, stray);
        tell(&counters.undelivered_datagrams, &mut told.undelivered, undelivered);
        tell(&counters.unsent_datagrams, &mut told.unsent, unsent);
    }

    /// Who stands out in each room, and who does so newly.
    fn set_stages(&mut self) {
        let mut events = Vec::new();
        for room in self.rooms.iter_mut() {
            let speaking =
                self.speakers.get(&room.name).map(|speakers| speakers.active()).unwrap_or_default();
            let speaking: Vec<_> = speaking.iter().map(|change| (change.speaker, change.level)).collect();
            let next = room.stage.next(&room.participants, &speaking);
            for (part, who) in room.stage.changes(&next) {
                let identity = who.and_then(|key| room.participant(key)).map(|p| p.grant.identity.clone());
                events.push(Event::StageChanged { room: room.name.clone(), part, identity });
            }
            room.stage = next;
        }
        events.into_iter().for_each(|event| self.emit(event));
    }

    fn judge(&mut self, key: MemberKey) -> Option<Verdict> {
        let now = self.now;
        let member = self.members.get_mut(&key)?;
        if member.out.is_none() && member.silent_since.is_none() {
            member.silent_since = Some(now);
        }
        let Member { silent_since, joined, subscriber, publisher, .. } = member;
        let (silent, joined) = (silent_since.map(|at| now - at), now - *joined);
        let overdue = subscriber.overdue(now);
        let primary = if member.subscriber_primary { subscriber.key } else { publisher.key };
        let secondary = if member.subscriber_primary { publisher.key } else { subscriber.key };
        let media = self.endpoints.get_mut(primary)?;
        let (closed, connected, lost) = (media.closed, media.connected, media.lost_since.map(|at| now - at));
        let broken = self.endpoints.get_mut(secondary).is_some_and(|connection| connection.closed);
        match silent {
            Some(silent) if !connected && silent > UNCONNECTED_TIMEOUT => Some(Verdict::Vanished),
            Some(silent) if silent > RESUME_TIMEOUT || closed => Some(Verdict::Vanished),
            Some(silent) if lost.is_some_and(|lost| lost.min(silent) > LOST_TIMEOUT) => {
                Some(Verdict::Vanished)
            }
            Some(_) => None,
            None if closed || broken => Some(Verdict::StartOver("a media connection is closed")),
            None if lost.is_some_and(|lost| lost > MEDIA_TIMEOUT) => {
                Some(Verdict::StartOver("media is lost"))
            }
            None if overdue => Some(Verdict::StartOver("an offer was not answered in time")),
            None if !connected && joined > CONNECT_TIMEOUT => {
                Some(Verdict::StartOver("media did not connect"))
            }
            None => None,
        }
    }

    pub(super) fn publish_snapshot(&mut self) {
        self.changed = false;
        let shard = self.endpoints.shard();
        let room = |room: &crate::room::Room| RoomSnapshot {
            room: room.info(),
            participants: room.participants.iter().map(Participant::info).collect(),
            shard,
        };
        let rooms: Vec<RoomSnapshot> = self.rooms.iter().map(room).collect();
        let (counters, told) = (&self.outlets.counters, &mut self.told);
        tell(&counters.rooms, &mut told.rooms, rooms.len() as u64);
        tell(&counters.participants, &mut told.participants, self.members.len() as u64);
        self.outlets.snapshots.send_modify(|whole| {
            let all = &mut Arc::make_mut(whole).rooms;
            all.retain(|room| room.shard != shard);
            all.extend(rooms);
            all.sort_by(|one, other| one.room.name.cmp(&other.room.name));
        });
    }
}

/// What the shard has told the counters that all of them share.
#[derive(Debug, Default)]
pub(super) struct Told {
    rooms: u64,
    participants: u64,
    stray: u64,
    undelivered: u64,
    unsent: u64,
}

/// Adds to `counter` how far the shard's own figure has gone, up or down, since it `told` it last.
fn tell(counter: &AtomicU64, told: &mut u64, now: u64) {
    counter.fetch_add(now.wrapping_sub(*told), Ordering::Relaxed);
    *told = now;
}
