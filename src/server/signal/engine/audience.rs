//! Whom publishers let have their tracks, and who is told.

use livekit_protocol as proto;
use proto::request_response::Reason;
use proto::signal_response::Message as Response;

use super::{Engine, reply};
use crate::room::audience::MAX_NAMED;
use crate::room::{Audience, MemberKey};

impl Engine {
    /// A publisher says who may have its tracks: whoever may no longer loses them at once.
    pub(super) fn subscription_permission(
        &mut self,
        key: MemberKey,
        permission: proto::SubscriptionPermission,
    ) {
        let Some(audience) = Audience::new(permission) else {
            let why = format!("at most {MAX_NAMED} participants, and as many tracks of each");
            self.say(key, reply::refused(0, Reason::LimitExceeded, &why, None));
            return;
        };
        let Some(member) = self.members.get_mut(&key) else { return };
        member.audience = audience;
        let room = member.room.clone();
        let own = self.tracks.iter().filter(|(_, track)| track.publisher == key);
        let tracks: Vec<(u64, String)> = own.map(|(key, track)| (*key, track.sid.clone())).collect();
        let others = self.members.values().filter(|other| other.room == room && other.key != key);
        let others: Vec<MemberKey> = others.map(|other| other.key).collect();
        for other in others {
            let changed =
                tracks.iter().filter(|(track, sid)| self.admit_or_not(other, key, *track, sid)).count();
            if changed > 0 {
                self.negotiate(other);
            }
        }
    }

    /// Gives or takes a track by what its publisher now says. True: something changed.
    fn admit_or_not(&mut self, key: MemberKey, publisher: MemberKey, track: u64, sid: &str) -> bool {
        let admits = self.admits(publisher, key, sid);
        let Some(member) = self.members.get_mut(&key) else { return false };
        if admits != member.shut_out.contains(sid) {
            return false;
        }
        if admits {
            member.shut_out.remove(sid);
            let wants = member.auto_subscribe || member.asked_for.contains(sid);
            self.tell_admission(publisher, key, sid, true);
            if wants {
                self.subscribe(key, track);
            }
            return true;
        }
        let Some(published) = self.tracks.get_mut(&track) else { return false };
        let had = published.route.unsubscribe(|to| to.member == key);
        member.subscriber.remove(track);
        if had {
            member.shut_out.insert(sid.to_owned());
            self.tell_admission(publisher, key, sid, false);
        }
        had
    }

    /// Whether the publisher lets `key` have its track.
    pub(super) fn admits(&self, publisher: MemberKey, key: MemberKey, sid: &str) -> bool {
        let (Some(publisher), Some(member)) = (self.members.get(&publisher), self.members.get(&key)) else {
            return false;
        };
        publisher.audience.admits(&member.sid, &member.identity, sid)
    }

    /// Somebody who wants a track may not have it, or may again.
    pub(super) fn tell_admission(&mut self, publisher: MemberKey, key: MemberKey, sid: &str, allowed: bool) {
        let Some(participant_sid) = self.members.get(&publisher).map(|member| member.sid.clone()) else {
            return;
        };
        let track_sid = sid.to_owned();
        let update = proto::SubscriptionPermissionUpdate { participant_sid, track_sid, allowed };
        self.say(key, Response::SubscriptionPermissionUpdate(update));
    }
}
