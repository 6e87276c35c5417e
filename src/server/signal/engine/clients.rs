//! Joining and leaving.

use std::collections::{HashMap, HashSet, VecDeque};

use livekit_protocol as proto;
use proto::signal_response::Message as Response;
use tracing::{info, warn};

use super::super::message::{Join, Ticket};
use super::member::Member;
use super::watching::Watch;
use super::{Engine, reply};
use crate::base::clock;
use crate::room::{Audience, Departure, Event, Joining, MemberKey, Participant, Room};
use crate::rtc::sfu::Role;
use crate::rtc::sfu::publisher::Publisher;
use crate::rtc::sfu::subscriber::Subscriber;
use crate::sfu::RepairTime;
use crate::sfu::sender_clock::SenderClock;

impl Engine {
    pub(super) fn join(&mut self, join: Join) {
        if let Some(sid) = join.resume.clone() {
            self.resume(&sid, join);
            return;
        }
        let Join { room, grant, protocol, auto_subscribe, attributes, single, watches, .. } = join;
        let Join { first, out, reply, .. } = join;
        let identity = grant.identity.clone();
        let joining = Joining { room: room.clone(), grant, attributes };
        let admitted = match self.rooms.admit(joining, clock::wall()) {
            Ok(admitted) => admitted,
            Err(refusal) => return drop(reply.send(Err(refusal))),
        };
        if let Some(replaced) = admitted.replaced {
            self.clear_out(&room, &replaced, Departure::Replaced);
        }
        let key = admitted.key;
        self.lay_down(&room);
        let sid = self.participant(&room, key).map(|p| p.sid.clone()).unwrap_or_default();
        info!(room, identity, sid, protocol, "a participant joined");
        let (publisher, subscriber) = self.open_connections(key, single, watches);
        let member = Member {
            key,
            room: room.clone(),
            sid,
            identity,
            auto_subscribe,
            protocol,
            subscriber_primary: protocol > 2 && !single,
            generation: 1,
            out: Some(out),
            silent_since: None,
            joined: self.now,
            publisher,
            subscriber,
            publications: Vec::new(),
            streams: HashMap::new(),
            clock: SenderClock::default(),
            repair_from: RepairTime::default(),
            repair_to: RepairTime::default(),
            round_trip: None,
            wishes: HashMap::new(),
            unwanted: HashSet::new(),
            bandwidth: Default::default(),
            quality: Default::default(),
            data_in: HashMap::new(),
            data_open: HashSet::new(),
            data_waiting: VecDeque::new(),
            last_data: 0,
            missed: Vec::new(),
            cut: None,
            audience: Audience::default(),
            shut_out: HashSet::new(),
            asked_for: HashSet::new(),
            nacks: HashMap::new(),
        };
        let ticket = member.ticket();
        self.members.insert(key, member);
        // Ours first: the client gets its messages in order only after it has its ticket.
        let _ = reply.send(Ok(ticket));
        self.welcome(&room, key);
        admitted.events.into_iter().for_each(|event| self.emit(event));
        self.announce(&room, key);
        self.subscribe_to_all(&room, key);
        first.into_iter().for_each(|said| self.said(key, said));
        self.changed = true;
    }

    fn open_connections(&mut self, key: MemberKey, single: bool, watches: bool) -> (Publisher, Subscriber) {
        let mut open = |role| {
            let connection = self.endpoints.open(role, self.now);
            self.owners.insert(connection, (key, role));
            connection
        };
        if watches {
            let connection = open(Role::Both);
            self.watches.insert(key, Watch::default());
            return (Publisher::new(connection), Subscriber::fixed(connection));
        }
        if single {
            let connection = open(Role::Both);
            return (Publisher::new(connection), Subscriber::single(connection));
        }
        (Publisher::new(open(Role::Publisher)), Subscriber::new(open(Role::Subscriber)))
    }

    fn welcome(&mut self, room: &str, key: MemberKey) {
        let Some(room) = self.rooms.get(room) else { return };
        let Some(participant) = room.participant(key) else { return };
        let Some(member) = self.members.get_mut(&key) else { return };
        let primary = member.subscriber_primary;
        let response = reply::join(room, participant, primary, &self.codecs, &self.outlets.node_id);
        member.send(Response::Join(response));
        if !participant.grant.waiting {
            let name = room.name.clone();
            self.tell_speakers(&name, key);
            self.tell_qualities(&name, key);
        }
    }

    /// Who speaks now.
    pub(super) fn tell_speakers(&mut self, room: &str, key: MemberKey) {
        let speaking = self.speakers.get(room).map(|speakers| speakers.active()).unwrap_or_default();
        let Some(room) = self.rooms.get(room) else { return };
        let sids = |key: MemberKey| room.participant(key).map(|p| p.sid.clone());
        if let Some(speakers) = reply::speakers(&speaking, sids) {
            self.say(key, speakers);
        }
    }

    pub(super) fn is_current(&self, ticket: Ticket) -> bool {
        self.members.get(&ticket.key).is_some_and(|member| member.generation == ticket.generation)
    }

    pub(super) fn malformed(&mut self, ticket: Ticket, what: &'static str) {
        if !self.is_current(ticket) {
            return;
        }
        if let Some(member) = self.members.get(&ticket.key) {
            warn!(identity = member.identity, what, "malformed signalling: the participant is put out");
        }
        self.misbehaved(ticket.key, what);
    }

    /// Ends a participant's stay and tells everyone, it included.
    pub(super) fn put_out(&mut self, key: MemberKey, departure: Departure) {
        let Some(room) = self.members.get(&key).map(|member| member.room.clone()) else { return };
        if let Some(participant) = self.rooms.leave(&room, key, self.at) {
            self.clear_out(&room, &participant, departure);
        }
    }

    /// Asks a participant whose connection is beyond repair to come again, and forgets this stay.
    pub(super) fn start_over(&mut self, key: MemberKey, why: &str) {
        if let Some(member) = self.members.get_mut(&key) {
            warn!(identity = member.identity, why, "a participant must connect anew");
            let leave = reply::leave(proto::DisconnectReason::StateMismatch, reply::RECONNECT);
            member.send(Response::Leave(leave));
        }
        self.put_out(key, Departure::Vanished);
    }

    /// Puts everybody out, ends what runs on the room, and takes it away. False: there is no such room.
    pub(super) fn end_room(&mut self, room: &str, departure: Departure) -> bool {
        let Some(keys) =
            self.rooms.get(room).map(|r| r.participants.iter().map(|p| p.key).collect::<Vec<_>>())
        else {
            return false;
        };
        for key in keys {
            self.put_out(key, departure);
        }
        let reason = match departure {
            Departure::Shutdown => proto::RoomEndReason::RoomEndServerShutdown,
            _ => proto::RoomEndReason::RoomEndApiDelete,
        };
        if let Some(event) = self.rooms.end(room, reason) {
            self.emit(event);
        }
        self.speakers.remove(room);
        self.changed = true;
        true
    }

    /// Everything of somebody who is out of the room already.
    fn clear_out(&mut self, room: &str, participant: &Participant, departure: Departure) {
        let key = participant.key;
        let Some(mut member) = self.members.remove(&key) else { return };
        info!(room, identity = member.identity, sid = member.sid, ?departure, "a participant left");
        if !matches!(departure, Departure::Left | Departure::Vanished) {
            member.send(Response::Leave(reply::leave(departure.reason(), reply::DISCONNECT)));
        }
        member.hang_up();
        let room_info = self.rooms.get(room).map(Room::info).unwrap_or_default();
        for publication in &member.publications {
            if let Some((_, track)) = publication.bound {
                self.withdraw(track);
                let (room, participant) = (room_info.clone(), participant.info());
                self.emit(Event::TrackUnpublished { room, participant, track: publication.info.clone() });
            }
        }
        self.drop_calls(key);
        self.watches.remove(&key);
        for track in self.tracks.values_mut() {
            track.route.unsubscribe(|to| to.member == key);
        }
        for connection in [member.publisher.key, member.subscriber.key] {
            self.owners.remove(&connection);
            self.endpoints.close(connection, self.now);
        }
        if let Some(speakers) = self.speakers.get_mut(room) {
            speakers.remove(key);
        }
        let viewers = self.rooms.get(room).map(|room| room.viewers(participant)).unwrap_or_default();
        let farewell = participant.farewell(departure.reason());
        for viewer in viewers {
            self.say(viewer, reply::update(farewell.clone()));
        }
        let connected = participant.active && !participant.grant.waiting;
        self.emit(Event::ParticipantLeft { room: room_info, participant: farewell, departure, connected });
        self.changed = true;
    }

    pub(super) fn participant(&self, room: &str, key: MemberKey) -> Option<&Participant> {
        self.rooms.get(room)?.participant(key)
    }

    /// Tells those who see `key` what is new about it.
    pub(super) fn announce(&mut self, room: &str, key: MemberKey) {
        let Some(room) = self.rooms.get(room) else { return };
        let Some(participant) = room.participant(key) else { return };
        let update = reply::update(participant.info());
        for viewer in room.viewers(participant) {
            self.say(viewer, update.clone());
        }
    }

    /// Tells everybody who was let in.
    pub(super) fn broadcast(&mut self, room: &str, message: &Response) {
        let Some(room) = self.rooms.get(room) else { return };
        for participant in room.participants.iter().filter(|p| !p.grant.waiting) {
            if let Some(member) = self.members.get_mut(&participant.key) {
                member.send(message.clone());
            }
        }
    }
}
