//! Who stands out in a room: the active speaker, the active presenter, and whom a picture of the room shows large.

use livekit_protocol as proto;

use super::{MemberKey, Participant};

/// A speaker takes over from one who still speaks only when it is this much louder (as an amplitude).
const LOUDER: f32 = 1.5;

/// Who stands out now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stage {
    /// Who speaks, or None in silence.
    pub speaker: Option<MemberKey>,
    /// Who shares its screen.
    pub presenter: Option<MemberKey>,
    /// The presenter, else the speaker, else who was it before, else the first one that publishes.
    pub main: Option<MemberKey>,
}

/// A part of [`Stage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StagePart {
    /// [`Stage::speaker`].
    ActiveSpeaker,
    /// [`Stage::presenter`].
    ActivePresenter,
    /// [`Stage::main`].
    MainParticipant,
}

impl Stage {
    /// The stage after this one: `participants` are in the room, `speaking` speak, each with its level, loudest first.
    pub fn next(&self, participants: &[Participant], speaking: &[(MemberKey, f32)]) -> Stage {
        let find = |key: MemberKey| participants.iter().find(|p| p.key == key && !p.grant.hidden);
        let heard: Vec<&(MemberKey, f32)> = speaking.iter().filter(|(key, _)| find(*key).is_some()).collect();
        let level =
            self.speaker.and_then(|key| heard.iter().find(|(heard, _)| *heard == key)).map(|(_, l)| *l);
        let speaker = match (heard.first(), level) {
            (Some((_, loudest)), Some(level)) if *loudest < level * LOUDER => self.speaker,
            (loudest, _) => loudest.map(|(key, _)| *key),
        };
        let presents = |p: &&Participant| !p.grant.hidden && p.tracks.iter().any(is_screen);
        let kept = self.presenter.filter(|key| find(*key).as_ref().is_some_and(presents));
        let presenter = kept.or_else(|| participants.iter().rfind(presents).map(|p| p.key));
        let before = self.main.filter(|key| find(*key).is_some());
        let first = || participants.iter().find(|p| !p.grant.hidden && !p.tracks.is_empty()).map(|p| p.key);
        Stage { speaker, presenter, main: presenter.or(speaker).or(before).or_else(first) }
    }

    /// What they see or hear who get one picture and one sound: the screen, else the camera, of whom a picture of the
    /// room shows large; who speaks. Where there is none, what they got before (`shown`, a track's sid), else any. Muted
    /// tracks, and those that `may` forbids, are left out.
    pub fn track<'p>(
        &self,
        participants: &'p [Participant],
        video: bool,
        shown: Option<&str>,
        may: impl Fn(&Participant, &proto::TrackInfo) -> bool,
    ) -> Option<&'p proto::TrackInfo> {
        let kind = if video { proto::TrackType::Video } else { proto::TrackType::Audio } as i32;
        let fits =
            |p: &Participant, track: &proto::TrackInfo| track.r#type == kind && !track.muted && may(p, track);
        let all: Vec<(MemberKey, &proto::TrackInfo)> = participants
            .iter()
            .flat_map(|p| p.tracks.iter().filter(|track| fits(p, track)).map(|track| (p.key, track)))
            .collect();
        let of = |who: Option<MemberKey>| {
            all.iter().filter(move |(key, _)| Some(*key) == who).map(|(_, track)| *track)
        };
        let before = || all.iter().map(|(_, track)| *track).find(|track| Some(track.sid.as_str()) == shown);
        let found = match video {
            true => of(self.main).find(|track| is_screen(track)).or(of(self.main).next()).or_else(before),
            false => of(self.speaker).next().or_else(before).or(of(self.main).next()),
        };
        found.or(all.first().map(|(_, track)| *track))
    }

    /// What is different in `after`.
    pub fn changes(&self, after: &Stage) -> impl Iterator<Item = (StagePart, Option<MemberKey>)> {
        let parts = [
            (StagePart::ActiveSpeaker, self.speaker, after.speaker),
            (StagePart::ActivePresenter, self.presenter, after.presenter),
            (StagePart::MainParticipant, self.main, after.main),
        ];
        parts.into_iter().filter(|(_, before, after)| before != after).map(|(part, _, after)| (part, after))
    }
}

fn is_screen(track: &proto::TrackInfo) -> bool {
    track.source == proto::TrackSource::ScreenShare as i32 && !track.muted
}
