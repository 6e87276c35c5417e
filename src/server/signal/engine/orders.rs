//! What the APIs order: each with the grant of whoever asks.

use livekit_protocol as proto;
use proto::signal_response::Message as Response;
use tracing::info;

use super::super::message::Out;
use super::{Engine, reply};
use crate::base::clock;
use crate::room::{Departure, Event, Grant, MemberKey, Participant, Refusal, Room, RoomOptions};

/// Who knew of whom before something changed.
struct Sight {
    grant: Grant,
    viewers: Vec<MemberKey>,
    seen: Vec<String>,
}

impl Engine {
    /// Makes a room, or changes the one of this name.
    pub(in crate::server::signal) fn create_room(
        &mut self,
        name: &str,
        options: RoomOptions,
    ) -> Result<proto::Room, Refusal> {
        let says_more = options.metadata.is_some();
        let events = self.rooms.create(name, options, clock::wall(), self.at)?;
        self.lay_down(name);
        events.into_iter().for_each(|event| self.emit(event));
        if says_more {
            self.tell_room(name);
        }
        self.changed = true;
        Ok(self.room(name)?.info())
    }

    /// The rooms of these names; of no name: all.
    pub(in crate::server::signal) fn list_rooms(&self, names: &[String]) -> Vec<proto::Room> {
        let wanted = |room: &&Room| names.is_empty() || names.contains(&room.name);
        self.rooms.iter().filter(wanted).map(Room::info).collect()
    }

    /// Puts everybody out and ends the room; `grant` may create rooms or moderate this one.
    pub(in crate::server::signal) fn delete_room(
        &mut self,
        grant: &Grant,
        room: &str,
    ) -> Result<(), Refusal> {
        let name = match self.room(room) {
            Ok(room) if grant.room_create || grant.may_moderate(&room.name) => room.name.clone(),
            Err(missing) if grant.room_create || grant.may_moderate(room) => return Err(missing),
            _ => return Err(Refusal::NotModerator { room: room.chars().take(64).collect() }),
        };
        info!(room = name, "a room is ended by order");
        self.end_room(&name, Departure::RoomEnded);
        Ok(())
    }

    /// Everybody in a room, hidden participants too.
    pub(in crate::server::signal) fn list_participants(
        &self,
        grant: &Grant,
        room: &str,
    ) -> Result<Vec<proto::ParticipantInfo>, Refusal> {
        Ok(self.moderated(grant, room)?.participants.iter().map(Participant::info).collect())
    }

    /// One of a room.
    pub(in crate::server::signal) fn get_participant(
        &self,
        grant: &Grant,
        room: &str,
        identity: &str,
    ) -> Result<proto::ParticipantInfo, Refusal> {
        Ok(one(self.moderated(grant, room)?, identity)?.info())
    }

    /// Puts one out; whoever waits is turned away.
    pub(in crate::server::signal) fn remove_participant(
        &mut self,
        grant: &Grant,
        room: &str,
        identity: &str,
    ) -> Result<(), Refusal> {
        let room = self.visible(grant, room)?;
        let participant = one(room, identity)?;
        if !room.may_remove(grant, participant) {
            return Err(Refusal::NotModerator { room: room.name.clone() });
        }
        let departure = if participant.grant.waiting { Departure::Denied } else { Departure::Removed };
        let key = participant.key;
        self.put_out(key, departure);
        Ok(())
    }

    /// Mutes a track: for everyone at once, and its publisher is told to stop sending.
    pub(in crate::server::signal) fn mute_track(
        &mut self,
        grant: &Grant,
        request: &proto::MuteRoomTrackRequest,
    ) -> Result<proto::TrackInfo, Refusal> {
        let room = self.moderated(grant, &request.room)?;
        let participant = one(room, &request.identity)?;
        let (name, key) = (room.name.clone(), participant.key);
        let sid = &request.track_sid;
        let track = participant.track(sid).ok_or_else(|| Refusal::no("track", sid))?;
        if track.muted && !request.muted {
            return Err(Refusal::Unmute);
        }
        if request.muted {
            self.change_track(key, sid, |info| info.muted = true);
            self.say(key, Response::Mute(proto::MuteTrackRequest { sid: sid.clone(), muted: true }));
        }
        let track = self.participant(&name, key).and_then(|participant| participant.track(sid));
        track.cloned().ok_or_else(|| Refusal::no("track", sid))
    }

    /// Changes a participant, with everything that follows from it.
    pub(in crate::server::signal) fn update_participant(
        &mut self,
        grant: &Grant,
        request: &proto::UpdateParticipantRequest,
    ) -> Result<proto::ParticipantInfo, Refusal> {
        let room = self.visible(grant, &request.room)?;
        let name = room.name.clone();
        let participant = one(room, &request.identity)?;
        let before = Sight {
            grant: participant.grant.clone(),
            viewers: room.viewers(participant),
            seen: room.others(participant.key).into_iter().map(|other| other.sid).collect(),
        };
        let room = self.rooms.get_mut(&name).ok_or_else(|| Refusal::no("room", &name))?;
        let key = room.update(grant, request)?;
        self.follow(&name, key, &before);
        Ok(one(self.room(&name)?, &request.identity)?.info())
    }

    /// Tracks, sight and subscriptions after what `key` may do has changed.
    fn follow(&mut self, room: &str, key: MemberKey, before: &Sight) {
        let Some(participant) = self.participant(room, key) else { return };
        let after = participant.grant.clone();
        let forbidden: Vec<String> = participant
            .tracks
            .iter()
            .filter(|track| !after.may_publish(track.source))
            .map(|track| track.sid.clone())
            .collect();
        for sid in forbidden {
            self.unpublish(key, &sid);
            self.say(key, Response::TrackUnpublished(proto::TrackUnpublishedResponse { track_sid: sid }));
        }
        if let Some(member) = self.members.get_mut(&key) {
            // Announced, and not in an offer yet.
            member.publications.retain(|track| track.bound.is_some() || after.may_publish(track.info.source));
            member.grant_changed(after.clone());
        }
        self.lose_sight(room, key, before);
        self.tell_itself(room, key, before);
        self.announce(room, key);
        match after.can_subscribe {
            true => self.subscribe_to_all(room, key),
            false => self.unsubscribe(key, |_| true),
        }
        self.offer_all_of(room, key);
        if before.grant.waiting && !after.waiting {
            info!(room, identity = after.identity, "a participant was let in");
            self.let_in(room, key);
        }
        self.changed = true;
    }

    /// Whoever saw `key` and does not any more is told that it is gone, and gets its tracks no longer.
    fn lose_sight(&mut self, room: &str, key: MemberKey, before: &Sight) {
        let Some(room) = self.rooms.get(room) else { return };
        let Some(participant) = room.participant(key) else { return };
        let viewers = room.viewers(participant);
        let farewell = reply::update(participant.farewell(proto::DisconnectReason::UnknownReason));
        let lost: Vec<MemberKey> = before.viewers.iter().copied().filter(|v| !viewers.contains(v)).collect();
        for viewer in lost {
            self.say(viewer, farewell.clone());
            self.unsubscribe(viewer, |publisher| publisher == key);
        }
    }

    /// What `key` may do now, and whom it sees now that it did not see before.
    fn tell_itself(&mut self, room: &str, key: MemberKey, before: &Sight) {
        let Some(room) = self.rooms.get(room) else { return };
        let Some(participant) = room.participant(key) else { return };
        let mut participants = vec![participant.info()];
        participants.extend(room.others(key).into_iter().filter(|other| !before.seen.contains(&other.sid)));
        self.say(key, Response::Update(proto::ParticipantUpdate { participants }));
    }

    /// What everybody else was told when they joined.
    fn let_in(&mut self, room: &str, key: MemberKey) {
        let active = self.participant(room, key).is_some_and(|participant| participant.active);
        if let Some((room, participant)) = self.both(room, key).filter(|_| active) {
            self.emit(Event::ParticipantConnected { room, participant });
        }
        let info = self.rooms.get(room).map(Room::info);
        self.say(key, Response::RoomUpdate(proto::RoomUpdate { room: info }));
        self.tell_speakers(room, key);
        self.tell_qualities(room, key);
    }

    /// Subscribes or unsubscribes a participant.
    pub(in crate::server::signal) fn update_subscriptions(
        &mut self,
        grant: &Grant,
        request: proto::UpdateSubscriptionsRequest,
    ) -> Result<(), Refusal> {
        let key = one(self.moderated(grant, &request.room)?, &request.identity)?.key;
        let update = proto::UpdateSubscription {
            track_sids: request.track_sids,
            subscribe: request.subscribe,
            participant_tracks: request.participant_tracks,
        };
        self.update_subscription(key, &update);
        Ok(())
    }

    /// Changes the text for everyone in a room.
    pub(in crate::server::signal) fn update_room_metadata(
        &mut self,
        grant: &Grant,
        request: proto::UpdateRoomMetadataRequest,
    ) -> Result<proto::Room, Refusal> {
        let name = self.moderated(grant, &request.room)?.name.clone();
        self.create_room(&name, RoomOptions { metadata: Some(request.metadata), ..RoomOptions::default() })
    }

    fn tell_room(&mut self, room: &str) {
        let Some(info) = self.rooms.get(room).map(Room::info) else { return };
        self.broadcast(room, &Response::RoomUpdate(proto::RoomUpdate { room: Some(info) }));
    }

    fn room(&self, name_or_sid: &str) -> Result<&Room, Refusal> {
        self.rooms.find(name_or_sid).ok_or_else(|| Refusal::no("room", name_or_sid))
    }

    /// The room, for a grant that may moderate it.
    pub(super) fn moderated(&self, grant: &Grant, room: &str) -> Result<&Room, Refusal> {
        self.allowed(room, |name| grant.may_moderate(name))
    }

    /// The room, for a grant that may do at least something to those who wait in it.
    fn visible(&self, grant: &Grant, room: &str) -> Result<&Room, Refusal> {
        self.allowed(room, |name| grant.may_admit(name))
    }

    /// Whoever may do nothing in a room does not learn either whether there is one.
    fn allowed(&self, room: &str, may: impl Fn(&str) -> bool) -> Result<&Room, Refusal> {
        let found = self.room(room);
        let name = found.as_ref().map_or(room, |found| &found.name);
        if !may(name) {
            return Err(Refusal::NotModerator { room: room.chars().take(64).collect() });
        }
        found
    }
}

/// The participant of this identity.
pub(super) fn one<'a>(room: &'a Room, identity: &str) -> Result<&'a Participant, Refusal> {
    room.identity(identity).ok_or_else(|| Refusal::no("participant", identity))
}

impl super::Member {
    /// The tokens that the client is given from now on say what it may do now.
    pub(super) fn grant_changed(&mut self, grant: Grant) {
        if let Some(out) = &self.out {
            // Full: the client does not read, and will lose its connection over the next message.
            let _ = out.try_send(Out::Granted(Box::new(grant)));
        }
    }
}
