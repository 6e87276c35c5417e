//! Who gets which track, and the offers to subscribers.

use std::collections::HashMap;

use livekit_protocol as proto;
use proto::signal_response::Message as Response;
use tracing::debug;

use super::media::Destination;
use super::{Engine, reply};
use crate::room::{Event, MemberKey};
use crate::rtc::sfu::Role;
use crate::rtc::sfu::sdp::Msid;
use crate::rtc::sfu::single::Missing;
use crate::rtc::sfu::subscriber::Wanted;

impl Engine {
    /// A new participant gets what there is, all of it by one offer.
    pub(super) fn subscribe_to_all(&mut self, room: &str, key: MemberKey) {
        let auto = self.members.get(&key).is_some_and(|member| member.auto_subscribe);
        let tracks: Vec<u64> =
            self.tracks.iter().filter(|(_, t)| t.room == room).map(|(key, _)| *key).collect();
        if auto {
            tracks.into_iter().for_each(|track| self.subscribe(key, track));
        }
        self.negotiate(key);
    }

    /// A new track goes to everyone who wants all.
    pub(super) fn offer_to_all(&mut self, room: &str, track: u64) {
        let wants = |member: &&super::Member| member.room == room && member.auto_subscribe;
        let keys: Vec<MemberKey> = self.members.values().filter(wants).map(|member| member.key).collect();
        for key in keys {
            self.subscribe(key, track);
            self.negotiate(key);
        }
    }

    /// The tracks of one publisher go to everyone who wants all and may have them.
    pub(super) fn offer_all_of(&mut self, room: &str, publisher: MemberKey) {
        let own = self.tracks.iter().filter(|(_, track)| track.publisher == publisher);
        let tracks: Vec<u64> = own.map(|(key, _)| *key).collect();
        tracks.into_iter().for_each(|track| self.offer_to_all(room, track));
    }

    /// Takes the tracks of some publishers away from `key`.
    pub(super) fn unsubscribe(&mut self, key: MemberKey, of: impl Fn(MemberKey) -> bool) {
        let Some(member) = self.members.get_mut(&key) else { return };
        for (track, published) in self.tracks.iter_mut().filter(|(_, track)| of(track.publisher)) {
            member.subscriber.remove(*track);
            published.route.unsubscribe(|to| to.member == key);
        }
        self.negotiate(key);
    }

    pub(super) fn subscribe(&mut self, key: MemberKey, track: u64) {
        let Some(published) = self.tracks.get_mut(&track) else { return };
        let Some(member) = self.members.get_mut(&key) else { return };
        let room = self.rooms.get(&member.room);
        let (viewer, publisher) =
            (room.and_then(|r| r.participant(key)), room.and_then(|r| r.participant(published.publisher)));
        // Tracks of hidden participants are nobody's to watch.
        let may = viewer
            .zip(publisher)
            .is_some_and(|(viewer, publisher)| viewer.grant.can_subscribe && viewer.sees(publisher));
        let unwanted = member.unwanted.contains(&published.sid);
        if !may || unwanted || published.publisher == key || published.room != member.room {
            return;
        }
        if published.route.subscribers().iter().any(|subscriber| subscriber.to.member == key) {
            return;
        }
        let (publisher, sid) = (published.publisher, published.sid.clone());
        if !self.admits(publisher, key, &sid) {
            if let Some(member) = self.members.get_mut(&key) {
                member.shut_out.insert(sid.clone());
            }
            return self.tell_admission(publisher, key, &sid, false);
        }
        let Some(published) = self.tracks.get_mut(&track) else { return };
        let Some(member) = self.members.get_mut(&key) else { return };
        let connection = member.subscriber.key;
        let to = Destination::new(key, connection);
        published.route.subscribe(to, member.wishes.get(&published.sid).copied().unwrap_or_default());
        let msid = Msid {
            stream_id: format!(
                "{}|{}",
                published.publisher_sid,
                published.stream.as_ref().unwrap_or(&published.sid)
            ),
            track_id: published.sid.clone(),
        };
        member.subscriber.add(Wanted { track, video: published.route.is_video(), msid });
    }

    pub(super) fn update_subscription(&mut self, key: MemberKey, request: &proto::UpdateSubscription) {
        let listed = request.participant_tracks.iter().flat_map(|tracks| &tracks.track_sids);
        for sid in request.track_sids.iter().chain(listed) {
            let Some(member) = self.members.get_mut(&key) else { return };
            let track = self.tracks.iter_mut().find(|(_, track)| track.sid == *sid);
            let Some((track, published)) = track.map(|(key, published)| (*key, published)) else {
                if request.subscribe {
                    let err = proto::SubscriptionError::SeTrackNotfound as i32;
                    let response = proto::SubscriptionResponse { track_sid: sid.clone(), err };
                    member.send(Response::SubscriptionResponse(response));
                }
                continue;
            };
            if request.subscribe {
                member.unwanted.remove(sid);
                member.asked_for.insert(sid.clone());
                self.subscribe(key, track);
            } else {
                member.unwanted.insert(sid.clone());
                member.asked_for.remove(sid);
                member.subscriber.remove(track);
                published.route.unsubscribe(|to| to.member == key);
            }
        }
        self.negotiate(key);
    }

    /// Sends the next offer to a subscriber, if there is one to send, or asks for one.
    pub(super) fn negotiate(&mut self, key: MemberKey) {
        let Some(member) = self.members.get_mut(&key) else { return };
        if let Some(Missing { audio, video }) = member.subscriber.missing() {
            let (num_audios, num_videos) = (audio, video);
            let requirement = proto::MediaSectionsRequirement { num_audios, num_videos };
            member.send(Response::MediaSectionsRequirement(requirement));
        }
        match member.subscriber.offer(&mut self.endpoints, self.now) {
            Ok(Some(offer)) => {
                member.send(Response::Offer(reply::description("offer", offer.sdp, offer.id)));
            }
            Ok(None) => {}
            Err(error) => self.start_over(key, &error.to_string()),
        }
    }

    /// What was negotiated can be sent.
    pub(super) fn sync_routes(&mut self, key: MemberKey) {
        let Some(member) = self.members.get_mut(&key) else { return };
        let connection = member.subscriber.key;
        let connected = self.endpoints.get_mut(connection).is_some_and(|c| c.connected);
        let sending = member.subscriber.sending(&mut self.endpoints);
        debug!(identity = member.identity, connected, ?sending, "what a subscriber can be sent");
        let sending: HashMap<u64, _> =
            sending.into_iter().map(|(track, mid, ssrc)| (track, (mid, ssrc))).collect();
        for (track, published) in &mut self.tracks {
            let Some(subscriber) = published.route.subscriber_mut(|to| to.member == key) else { continue };
            let negotiated = sending.get(track);
            if let Some((mid, ssrc)) = negotiated {
                (subscriber.to.mid, subscriber.to.ssrc) = (*mid, *ssrc);
                subscriber.to.payload_type = None;
            }
            subscriber.ready = connected && negotiated.is_some();
            published.route.refresh(self.at);
        }
        self.ask_for_keyframes();
    }

    /// A connection's ICE and DTLS are done.
    pub(super) fn connected(&mut self, key: MemberKey, role: Role) {
        if role != Role::Publisher {
            self.sync_routes(key);
            self.negotiate(key);
        }
        let Some(member) = self.members.get(&key) else { return };
        let primary = if member.subscriber_primary { Role::Subscriber } else { Role::Publisher };
        let room = member.room.clone();
        if role != primary && role != Role::Both {
            return;
        }
        let participant = self.rooms.get_mut(&room).and_then(|r| r.participant_mut(key));
        let Some(participant) = participant.filter(|participant| !participant.active) else { return };
        participant.active = true;
        participant.touch();
        let is_in = !participant.grant.waiting;
        self.announce(&room, key);
        if let Some((room, participant)) = self.both(&room, key).filter(|_| is_in) {
            self.emit(Event::ParticipantConnected { room, participant });
        }
        self.changed = true;
    }
}
