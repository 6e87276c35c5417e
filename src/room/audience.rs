//! Whom a participant lets have its tracks: what it says itself, on top of what tokens allow.

use livekit_protocol as proto;

/// Most participants that are named, and most tracks for each; one more and nothing changes.
pub const MAX_NAMED: usize = 1000;

/// Who may subscribe to one participant's tracks. By default everybody.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Audience(Option<Vec<proto::TrackPermission>>);

impl Audience {
    /// As the publisher says it; None: it names more than [`MAX_NAMED`].
    pub fn new(permission: proto::SubscriptionPermission) -> Option<Audience> {
        if permission.all_participants {
            return Some(Audience(None));
        }
        let named = permission.track_permissions;
        let few = named.len() <= MAX_NAMED && named.iter().all(|entry| entry.track_sids.len() <= MAX_NAMED);
        few.then_some(Audience(Some(named)))
    }

    /// Whether the participant of this sid and identity may have the track.
    pub fn admits(&self, sid: &str, identity: &str, track_sid: &str) -> bool {
        let Some(named) = &self.0 else { return true };
        // Either name will do; one that is given must fit.
        let meant = |entry: &&proto::TrackPermission| {
            let fits = |given: &str, own: &str| given.is_empty() || given == own;
            let nobody = entry.participant_sid.is_empty() && entry.participant_identity.is_empty();
            !nobody && fits(&entry.participant_sid, sid) && fits(&entry.participant_identity, identity)
        };
        let includes = |entry: &proto::TrackPermission| {
            entry.all_tracks || entry.track_sids.iter().any(|listed| listed == track_sid)
        };
        named.iter().filter(meant).any(includes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(sid: &str, identity: &str, all_tracks: bool, tracks: &[&str]) -> proto::TrackPermission {
        proto::TrackPermission {
            participant_sid: sid.into(),
            participant_identity: identity.into(),
            all_tracks,
            track_sids: tracks.iter().map(|sid| (*sid).to_owned()).collect(),
        }
    }

    fn audience(track_permissions: Vec<proto::TrackPermission>) -> Option<Audience> {
        Audience::new(proto::SubscriptionPermission { all_participants: false, track_permissions })
    }

    #[test]
    fn everybody_may_until_the_publisher_names_some() {
        assert!(Audience::default().admits("PA_1", "anna", "TR_1"));
        let nobody = audience(Vec::new()).unwrap();
        assert!(!nobody.admits("PA_1", "anna", "TR_1"));
        let some = audience(vec![entry("", "anna", true, &[]), entry("PA_2", "", false, &["TR_1"])]).unwrap();
        assert!(some.admits("PA_1", "anna", "TR_9") && some.admits("PA_2", "bert", "TR_1"));
        assert!(!some.admits("PA_2", "bert", "TR_2") && !some.admits("PA_3", "carl", "TR_1"));
        let both = audience(vec![entry("PA_1", "anna", true, &[])]).unwrap();
        assert!(both.admits("PA_1", "anna", "TR_1") && !both.admits("PA_7", "anna", "TR_1"));
        assert!(!audience(vec![entry("", "", true, &[])]).unwrap().admits("", "", "TR_1"), "it names nobody");
        let again = proto::SubscriptionPermission { all_participants: true, ..Default::default() };
        assert!(Audience::new(again).unwrap().admits("PA_3", "carl", "TR_1"));
    }

    #[test]
    fn there_is_a_limit_to_the_names() {
        assert!(audience(vec![entry("", "anna", true, &[]); MAX_NAMED]).is_some());
        assert!(audience(vec![entry("", "anna", true, &[]); MAX_NAMED + 1]).is_none());
        assert!(audience(vec![entry("", "anna", false, &["TR_1"; MAX_NAMED + 1])]).is_none());
    }
}
