//! Coming back: a stay goes on over another signalling connection; and the faults that clients may ask for, to try it.

use livekit_protocol as proto;
use proto::signal_response::Message as Response;
use proto::simulate_scenario::Scenario;
use tracing::{debug, info};

use super::super::message::{Join, Out, Ticket};
use super::member::{Cut, Member};
use super::{Engine, reply};
use crate::room::{Departure, MemberKey};

impl Engine {
    pub(super) fn resume(&mut self, sid: &str, join: Join) {
        let found = self
            .rooms
            .get(&join.room)
            .and_then(|room| room.participants.iter().find(|p| p.sid == sid))
            .filter(|participant| participant.grant.identity == join.grant.identity)
            .map(|participant| participant.key);
        let Some(key) = found.filter(|key| self.is_resumable(*key, join.single)) else {
            info!(room = join.room, sid, "a stay cannot be resumed");
            let leave = reply::leave(proto::DisconnectReason::StateMismatch, reply::RECONNECT);
            let message = Some(Response::Leave(leave));
            let _ = join.out.try_send(Out::Message(Box::new(proto::SignalResponse { message })));
            // The session closes when `join.reply` is dropped.
            return;
        };
        let Some(member) = self.members.get_mut(&key) else { return };
        member.hang_up();
        member.generation += 1;
        if member.cut.take_if(|cut| *cut == Cut::BeforeResuming).is_some() {
            // As above.
            member.silent_since = Some(self.now);
            return;
        }
        member.silent_since = None;
        member.out = Some(join.out);
        let _ = join.reply.send(Ok(member.ticket()));
        self.welcome_back(key);
        join.first.into_iter().for_each(|said| self.said(key, said));
        self.negotiate(key);
        if let Some(member) = self.members.get_mut(&key)
            && member.cut.take().is_some()
        {
            member.hang_up();
        }
    }

    /// What it may have missed, and a new start for the connection that we offer.
    fn welcome_back(&mut self, key: MemberKey) {
        let Some(member) = self.members.get_mut(&key) else { return };
        let Some(room) = self.rooms.get(&member.room) else { return };
        let Some(participant) = room.participant(key) else { return };
        // Who left meanwhile, and itself: what it may do can have changed.
        let mut participants = std::mem::take(&mut member.missed);
        participants.push(participant.info());
        participants.extend(room.others(key));
        let room_info = room.info_for(participant);
        member.send(Response::Reconnect(reply::reconnect(&self.outlets.node_id, member.last_data)));
        member.grant_changed(participant.grant.clone());
        member.send(Response::Update(proto::ParticipantUpdate { participants }));
        member.send(Response::RoomUpdate(proto::RoomUpdate { room: Some(room_info) }));
        member.subscriber.restart();
        info!(room = member.room, identity = member.identity, "a stay is resumed");
        let (room, waiting) = (member.room.clone(), participant.grant.waiting);
        for track in self.tracks.values_mut().filter(|track| track.publisher == key) {
            track.route.tell_again();
        }
        if !waiting {
            self.tell_speakers(&room, key);
            self.tell_stream_states(key);
        }
    }

    /// It comes back by the protocol that it came by, and none of its connections is beyond repair.
    fn is_resumable(&mut self, key: MemberKey, single: bool) -> bool {
        let Some(member) = self.members.get(&key) else { return false };
        if member.subscriber.is_single() != single {
            return false;
        }
        let connections = [member.publisher.key, member.subscriber.key];
        connections.into_iter().all(|c| self.endpoints.get_mut(c).is_some_and(|c| !c.closed))
    }

    pub(super) fn signalling_gone(&mut self, ticket: Ticket) {
        if !self.is_current(ticket) {
            return;
        }
        if let Some(member) = self.members.get_mut(&ticket.key) {
            member.out = None;
            member.silent_since = Some(self.now);
        }
    }

    /// After a resume the client says what it thinks is so. What it subscribes to can have changed meanwhile; a track
    /// that it believes published but that is not here cannot be mended.
    pub(super) fn sync_state(&mut self, key: MemberKey, state: &proto::SyncState) {
        let Some(member) = self.members.get(&key) else { return };
        let known =
            |track: &proto::TrackInfo| member.publications.iter().any(|own| own.info.sid == track.sid);
        let published = state.publish_tracks.iter().filter_map(|published| published.track.as_ref());
        if published.clone().any(|track| !known(track)) {
            self.start_over(key, "it believes a track published that is not");
            return;
        }
        if let Some(subscription) = &state.subscription {
            self.update_subscription(key, subscription);
        }
        let disabled = proto::UpdateTrackSettings {
            track_sids: state.track_sids_disabled.clone(),
            disabled: true,
            ..Default::default()
        };
        self.track_setting(key, &disabled);
    }

    /// A fault that a client asks for, to try how it gets over it. It hits only itself.
    pub(super) fn simulate(&mut self, key: MemberKey, request: proto::SimulateScenario) {
        let Some(scenario) = request.scenario else { return };
        let Some(member) = self.members.get_mut(&key) else { return };
        info!(identity = member.identity, ?scenario, "a participant simulates");
        match scenario {
            // As if the server, or its place in it, were gone: the stay ends without a word.
            Scenario::NodeFailure(_) | Scenario::Migration(_) => self.put_out(key, Departure::Vanished),
            Scenario::ServerLeave(_) => self.put_out(key, Departure::Shutdown),
            Scenario::LeaveRequestFullReconnect(_) => self.start_over(key, "it asked for that"),
            Scenario::DisconnectSignalOnResume(_) => member.cut = Some(Cut::AfterResuming),
            Scenario::DisconnectSignalOnResumeNoMessages(_) => member.cut = Some(Cut::BeforeResuming),
            other => debug!(?other, "a scenario that is not simulated"),
        }
    }
}

/// Most participants whose leaving is remembered for somebody without signalling. One more: the oldest is forgotten, and
/// stays in that client's list until it joins anew.
const MAX_MISSED: usize = 500;

impl Member {
    /// Remembers who left while there is nobody to tell.
    pub(super) fn miss(&mut self, message: &Response) {
        let Response::Update(update) = message else { return };
        let gone = proto::participant_info::State::Disconnected as i32;
        for participant in update.participants.iter().filter(|participant| participant.state == gone) {
            if self.missed.len() >= MAX_MISSED {
                self.missed.remove(0);
            }
            self.missed.push(participant.clone());
        }
    }
}
