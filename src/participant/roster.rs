//! Who is in the room and what of theirs we hear; pure.

use std::collections::{BTreeSet, HashMap};

use crate::rtc::signal::proto::participant_info::State;
use crate::rtc::signal::proto::{ParticipantInfo, SpeakerInfo, TrackType};

/// Most tracks that are heard at once; each costs about half a percent of a core. Who comes later is not heard.
const MAX_HEARD: usize = 64;

/// What an update changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Change {
    /// Tracks to subscribe to.
    pub subscribe: Vec<String>,
    /// Tracks that are wanted no more.
    pub unsubscribe: Vec<String>,
    /// How many are in the room now, when that changed.
    pub participants: Option<u32>,
    /// What the box itself may do now, when the update says so.
    pub can_publish: Option<bool>,
}

#[derive(Debug)]
struct Other {
    identity: String,
    /// Sids of its audio tracks.
    audio: BTreeSet<String>,
}

/// The room as the server tells it.
#[derive(Debug)]
pub(super) struct Roster {
    own_sid: String,
    own_identity: String,
    others: HashMap<String, Other>,
    heard: BTreeSet<String>,
    speaking: HashMap<String, f32>,
}

impl Roster {
    pub fn new(own: &ParticipantInfo) -> Self {
        Roster {
            own_sid: own.sid.clone(),
            own_identity: own.identity.clone(),
            others: HashMap::new(),
            heard: BTreeSet::new(),
            speaking: HashMap::new(),
        }
    }

    /// How many are in the room, the box included.
    pub fn participants(&self) -> u32 {
        self.others.len() as u32 + 1
    }

    /// Takes an update. When it is `complete`, who is not in it is gone: the first one after a resume.
    pub fn update(&mut self, infos: &[ParticipantInfo], complete: bool) -> Change {
        let before = self.participants();
        let mut change = Change::default();
        if complete {
            let named: BTreeSet<&str> = infos.iter().map(|info| info.sid.as_str()).collect();
            self.others.retain(|sid, _| named.contains(sid.as_str()));
        }
        for info in infos {
            if info.sid == self.own_sid {
                change.can_publish = info.permission.as_ref().map(|permission| permission.can_publish);
            } else if info.state == State::Disconnected as i32 {
                self.others.remove(&info.sid);
            } else {
                let audio = info.tracks.iter().filter(|track| track.r#type == TrackType::Audio as i32);
                let audio = audio.map(|track| track.sid.clone()).collect();
                self.others.insert(info.sid.clone(), Other { identity: info.identity.clone(), audio });
            }
        }
        self.speaking.retain(|sid, _| *sid == self.own_sid || self.others.contains_key(sid));
        let wanted: BTreeSet<String> =
            self.others.values().flat_map(|other| &other.audio).take(MAX_HEARD).cloned().collect();
        change.subscribe = wanted.difference(&self.heard).cloned().collect();
        change.unsubscribe = self.heard.difference(&wanted).cloned().collect();
        self.heard = wanted;
        change.participants = (self.participants() != before).then(|| self.participants());
        change
    }

    /// All tracks that we asked for.
    pub fn heard(&self) -> Vec<String> {
        self.heard.iter().cloned().collect()
    }

    /// Whose track `track_sid` is; falls back on the participant's sid in the stream's name (`PA_…|TR_…`).
    pub fn identity_of(&self, track_sid: &str, stream: &str) -> String {
        let by_track = self.others.values().find(|other| other.audio.contains(track_sid));
        let sid = stream.split('|').next().unwrap_or(stream);
        let other = by_track.or_else(|| self.others.get(sid));
        other.map_or_else(|| sid.to_owned(), |other| other.identity.clone())
    }

    /// Takes changed speakers; returns everybody who speaks, loudest first.
    pub fn speakers(&mut self, changed: &[SpeakerInfo]) -> Vec<String> {
        for speaker in changed {
            if speaker.active {
                self.speaking.insert(speaker.sid.clone(), speaker.level);
            } else {
                self.speaking.remove(&speaker.sid);
            }
        }
        let mut speaking: Vec<(&String, f32)> =
            self.speaking.iter().map(|(sid, level)| (sid, *level)).collect();
        speaking.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        let identity = |(sid, _): (&String, f32)| match self.others.get(sid) {
            Some(other) => Some(other.identity.clone()),
            None => (*sid == self.own_sid).then(|| self.own_identity.clone()),
        };
        speaking.into_iter().filter_map(identity).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtc::signal::proto::TrackInfo;

    fn info(sid: &str, tracks: &[(&str, TrackType)]) -> ParticipantInfo {
        let track = |(sid, kind): &(&str, TrackType)| TrackInfo {
            sid: (*sid).into(),
            r#type: *kind as i32,
            ..Default::default()
        };
        ParticipantInfo {
            sid: sid.into(),
            identity: sid.to_lowercase(),
            tracks: tracks.iter().map(track).collect(),
            ..Default::default()
        }
    }

    fn gone(sid: &str) -> ParticipantInfo {
        ParticipantInfo { state: State::Disconnected as i32, ..info(sid, &[]) }
    }

    #[test]
    fn only_the_others_sound_is_asked_for() {
        let mut roster = Roster::new(&info("PA_BOX", &[]));
        let tracks = [("TR_1", TrackType::Audio), ("TR_2", TrackType::Video)];
        let change =
            roster.update(&[info("PA_A", &tracks), info("PA_BOX", &[("TR_0", TrackType::Audio)])], false);
        assert_eq!((change.subscribe, change.participants), (vec!["TR_1".to_owned()], Some(2)));
        assert_eq!(roster.identity_of("TR_1", "?"), "pa_a");
        assert_eq!(roster.identity_of("TR_9", "PA_A|TR_9"), "pa_a");
        assert_eq!(roster.identity_of("TR_9", "PA_Z|TR_9"), "PA_Z");
        let change = roster.update(&[info("PA_A", &[])], false);
        assert_eq!((change.unsubscribe, change.participants), (vec!["TR_1".to_owned()], None));
        assert_eq!(roster.update(&[gone("PA_A"), gone("PA_Q")], false).participants, Some(1));
    }

    #[test]
    fn who_vanished_while_the_link_was_down_is_gone() {
        let mut roster = Roster::new(&info("PA_BOX", &[]));
        roster.update(&[info("PA_A", &[("TR_1", TrackType::Audio)]), info("PA_B", &[])], false);
        let change = roster.update(&[info("PA_BOX", &[]), info("PA_B", &[])], true);
        assert_eq!((change.unsubscribe, change.participants), (vec!["TR_1".to_owned()], Some(2)));
    }

    #[test]
    fn speakers_are_named_loudest_first() {
        let mut roster = Roster::new(&info("PA_BOX", &[]));
        roster.update(&[info("PA_A", &[]), info("PA_B", &[])], false);
        let speaker = |sid: &str, level, active| SpeakerInfo { sid: sid.into(), level, active };
        let three = [speaker("PA_A", 0.1, true), speaker("PA_BOX", 0.5, true), speaker("PA_X", 1.0, true)];
        assert_eq!(roster.speakers(&three), ["pa_box", "pa_a"]);
        assert_eq!(
            roster.speakers(&[speaker("PA_B", 0.3, true), speaker("PA_BOX", 0.0, false)]),
            ["pa_b", "pa_a"]
        );
        roster.update(&[gone("PA_B")], false);
        assert_eq!(roster.speakers(&[]), ["pa_a"]);
    }
}
