//! What clients say.

use std::sync::atomic::Ordering;
use std::time::SystemTime;

use livekit_protocol as proto;
use proto::request_response::{Reason, Request as Refused};
use proto::signal_request::Message as Said;
use proto::signal_response::Message as Response;
use tracing::{debug, warn};

use super::super::message::Ticket;
use super::member::{Member, Publication};
use super::{Engine, reply};
use crate::base::clock;
use crate::base::units::Size;
use crate::media::Layer;
use crate::room::{Departure, MemberKey};
use crate::rtc::sfu::sdp::OfferError;
use crate::sfu::Wish;

/// Most bytes of a participant's name, metadata, and attributes together.
const MAX_METADATA_BYTES: usize = 64 * 1024;
/// Most tracks for which a participant may have wishes: more than a room can have published by far.
const MAX_WISHES: usize = 4096;

impl Engine {
    pub(super) fn signal(&mut self, ticket: Ticket, request: proto::SignalRequest) {
        if !self.is_current(ticket) {
            return;
        }
        if let Some(said) = request.message {
            self.said(ticket.key, said);
        }
    }

    pub(super) fn said(&mut self, key: MemberKey, said: Said) {
        match said {
            Said::Offer(offer) => self.publisher_offer(key, &offer),
            Said::Answer(answer) => self.subscriber_answer(key, &answer),
            // The server's candidates stand in its SDP; the client's are learned from its checks (it is the
            // controlling side, RFC 8445 §7.3.1.3), which also covers mDNS names.
            Said::Trickle(_) => {}
            Said::AddTrack(request) => self.add_track(key, request),
            Said::Mute(request) => self.mute(key, &request),
            Said::Subscription(request) => self.update_subscription(key, &request),
            Said::TrackSetting(request) => self.track_setting(key, &request),
            Said::Leave(_) => self.put_out(key, Departure::Left),
            Said::Ping(timestamp_ms) => self.say(key, pong(timestamp_ms)),
            Said::PingReq(ping) => self.say(key, pong_to(&ping)),
            Said::UpdateMetadata(request) => self.update_metadata(key, request),
            Said::UpdateVideoTrack(request) => self.update_video_track(key, &request),
            Said::UpdateAudioTrack(request) => self.update_audio_track(key, request),
            Said::SyncState(state) => self.sync_state(key, &state),
            Said::SubscriptionPermission(permission) => self.subscription_permission(key, permission),
            Said::Simulate(request) => self.simulate(key, request),
            other => debug!(?other, "a request that is not served"),
        }
    }

    pub(super) fn say(&mut self, key: MemberKey, message: Response) {
        if let Some(member) = self.members.get_mut(&key) {
            member.send(message);
        }
    }

    fn publisher_offer(&mut self, key: MemberKey, offer: &proto::SessionDescription) {
        let Some(member) = self.members.get_mut(&key) else { return };
        let Member { publisher, subscriber, .. } = member;
        match publisher.accept(&mut self.endpoints, &offer.sdp, subscriber) {
            Ok(mut accepted) => {
                let publications = &member.publications;
                accepted.prefer(|mid, id| {
                    let bound = |p: &&Publication| p.bound.is_some_and(|(bound, _)| bound == mid);
                    let named = |p: &&Publication| Some(p.cid.as_str()) == id;
                    publications.iter().find(bound).or(publications.iter().find(named)).map(|p| p.codec)
                });
                let answer = reply::answer(accepted.answer, offer.id);
                member.send(Response::Answer(answer));
                self.bind_tracks(key, &accepted.tracks);
                if self.members.get(&key).is_some_and(|member| member.subscriber.is_single()) {
                    self.sync_routes(key);
                    self.negotiate(key);
                }
            }
            Err(OfferError::Closed) => self.start_over(key, "an offer for a closed connection"),
            Err(error) => {
                warn!(identity = member.identity, %error, "an offer is refused: the participant is put out");
                let why = error.to_string();
                self.misbehaved(key, &why);
            }
        }
    }

    fn subscriber_answer(&mut self, key: MemberKey, answer: &proto::SessionDescription) {
        let Some(member) = self.members.get_mut(&key) else { return };
        match member.subscriber.answer(&mut self.endpoints, &answer.sdp, answer.id) {
            Ok(true) => {
                self.sync_routes(key);
                self.negotiate(key);
            }
            Ok(false) => debug!(id = answer.id, "an answer to an older offer"),
            Err(OfferError::Closed) => self.start_over(key, "an answer for a closed connection"),
            Err(error) => {
                warn!(identity = member.identity, %error, "an answer is refused: the participant is put out");
                let why = error.to_string();
                self.misbehaved(key, &why);
            }
        }
    }

    /// Counts it, tells the client what was wrong, and puts it out.
    pub(super) fn misbehaved(&mut self, key: MemberKey, why: &str) {
        self.outlets.counters.misbehaved.fetch_add(1, Ordering::Relaxed);
        self.say(key, reply::refused(0, Reason::InvalidRequest, why, None));
        self.put_out(key, Departure::Misbehaved);
    }

    pub(super) fn track_setting(&mut self, key: MemberKey, request: &proto::UpdateTrackSettings) {
        let Some(member) = self.members.get_mut(&key) else { return };
        // Zero: the client does not say how large.
        let size =
            (request.width > 0 && request.height > 0).then(|| Size::new(request.width, request.height));
        let quality = Layer::from_quality(request.quality).unwrap_or(Layer::Full);
        let wish = Wish { disabled: request.disabled, size, quality };
        for sid in &request.track_sids {
            if member.wishes.len() < MAX_WISHES {
                member.wishes.insert(sid.clone(), wish);
            }
            let Some(track) = self.tracks.values_mut().find(|track| track.sid == *sid) else { continue };
            if let Some(subscriber) = track.route.subscriber_mut(|to| to.member == key) {
                subscriber.wish = wish;
                track.route.refresh(self.at);
            }
        }
    }

    fn mute(&mut self, key: MemberKey, request: &proto::MuteTrackRequest) {
        self.change_track(key, &request.sid, |info| info.muted = request.muted);
    }

    fn update_video_track(&mut self, key: MemberKey, request: &proto::UpdateLocalVideoTrack) {
        self.change_track(key, &request.track_sid, |info| {
            (info.width, info.height) = (request.width, request.height);
        });
    }

    fn update_audio_track(&mut self, key: MemberKey, request: proto::UpdateLocalAudioTrack) {
        self.change_track(key, &request.track_sid, |info| info.audio_features = request.features.clone());
    }

    pub(super) fn change_track(&mut self, key: MemberKey, sid: &str, change: impl Fn(&mut proto::TrackInfo)) {
        let Some(member) = self.members.get_mut(&key) else { return };
        let Some(own) = member.publications.iter_mut().find(|own| own.info.sid == sid) else { return };
        change(&mut own.info);
        let silent = own.info.muted && !own.is_video();
        let (room, muted) = (member.room.clone(), own.info.muted);
        if let Some(track) = own.bound.and_then(|(_, track)| self.tracks.get_mut(&track)) {
            track.route.set_muted(muted);
        }
        if silent && let Some(speakers) = self.speakers.get_mut(&room) {
            speakers.mute(key);
        }
        let participant = self.rooms.get_mut(&room).and_then(|r| r.participant_mut(key));
        let Some(participant) = participant else { return };
        if let Some(info) = participant.track_mut(sid) {
            change(info);
            participant.touch();
            self.announce(&room, key);
            self.changed = true;
        }
    }

    fn update_metadata(&mut self, key: MemberKey, request: proto::UpdateParticipantMetadata) {
        let id = request.request_id;
        let Some(room) = self.members.get(&key).map(|member| member.room.clone()) else { return };
        let participant = self.rooms.get_mut(&room).and_then(|r| r.participant_mut(key));
        let Some(participant) = participant else { return };
        let may = participant.grant.can_update_own_metadata || participant.grant.room_admin;
        let refused = if !may {
            Some((Reason::NotAllowed, "the token does not allow changing one's own metadata"))
        } else if size_bytes(&request) > MAX_METADATA_BYTES {
            Some((Reason::LimitExceeded, "more than 64 KiB"))
        } else {
            None
        };
        if let Some((reason, why)) = refused {
            let request = Some(Refused::UpdateMetadata(request));
            self.say(key, reply::refused(id, reason, why, request));
            return;
        }
        if !request.name.is_empty() {
            participant.grant.name = request.name;
        }
        if !request.metadata.is_empty() {
            participant.grant.metadata = request.metadata;
        }
        participant.merge_attributes(request.attributes);
        participant.grant.attributes = participant.attributes.clone().into_iter().collect();
        participant.touch();
        // Itself too: that is how its SDK learns that it is done.
        let update = reply::update(participant.info());
        self.say(key, update);
        self.announce(&room, key);
        // Older clients take every such response for a refusal.
        if self.members.get(&key).is_some_and(|member| member.protocol > 14) {
            self.say(key, reply::refused(id, Reason::Ok, "", None));
        }
        self.changed = true;
    }
}

fn size_bytes(request: &proto::UpdateParticipantMetadata) -> usize {
    let attributes: usize = request.attributes.iter().map(|(key, value)| key.len() + value.len()).sum();
    request.name.len() + request.metadata.len() + attributes
}

fn wall_ms() -> i64 {
    let since = clock::wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as i64
}

fn pong(_timestamp_ms: i64) -> Response {
    Response::Pong(wall_ms())
}

fn pong_to(ping: &proto::Ping) -> Response {
    Response::PongResp(proto::Pong { last_ping_timestamp: ping.timestamp, timestamp: wall_ms() })
}
