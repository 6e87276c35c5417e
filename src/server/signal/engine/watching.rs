//! Those who get one picture and one sound, of whatever stands out in the room (WHEP): which, and that their streams go
//! on as one when it changes.

use std::collections::HashMap;

use super::Engine;
use super::media::Destination;
use crate::base::clock::MediaTime;
use crate::base::units::ClockRate;
use crate::media::Layer;
use crate::room::MemberKey;
use crate::sfu::{Forwarder, Incoming, Outgoing, Wish};

/// What one of them gets.
#[derive(Debug)]
pub(super) struct Watch {
    sound: Part,
    picture: Part,
}

/// One stream, on which tracks take turns.
#[derive(Debug)]
struct Part {
    numbers: Forwarder,
    turn: u32,
}

impl Part {
    fn new(rate: ClockRate) -> Part {
        let mut numbers = Forwarder::new(rate);
        numbers.set_target(Some(Layer::Full));
        Part { numbers, turn: 0 }
    }
}

impl Default for Watch {
    fn default() -> Self {
        Watch { sound: Part::new(ClockRate::AUDIO), picture: Part::new(ClockRate::VIDEO) }
    }
}

impl Watch {
    fn part(&mut self, video: bool) -> &mut Part {
        if video { &mut self.picture } else { &mut self.sound }
    }
}

/// The numbers of a copy on a stream where tracks take turns: they go on where the turn before ended. For all other
/// streams those that the track's route gave it.
pub(super) fn in_turn(
    watches: &mut HashMap<MemberKey, Watch>,
    to: &Destination,
    video: bool,
    out: Outgoing,
    arrival: MediaTime,
) -> Option<Outgoing> {
    let Some(turn) = to.turn else { return Some(out) };
    let packet = Incoming {
        layer: Layer::Full,
        spatial: None,
        ssrc: turn,
        sequence: out.sequence,
        timestamp: out.timestamp,
        bytes: 0,
        // Each route begins with one.
        keyframe: true,
        picture: out.picture,
        // Another participant's clock is not to be compared.
        report: None,
        arrival,
    };
    let mapped = watches.get_mut(&to.member)?.part(video).numbers.forward(&packet)?;
    Some(Outgoing { ends_picture: out.ends_picture, ..mapped })
}

impl Engine {
    /// Gives everyone who watches what stands out now.
    pub(super) fn show_stages(&mut self) {
        let keys: Vec<MemberKey> = self.watches.keys().copied().collect();
        for key in keys {
            for video in [false, true] {
                let shown = self.members.get(&key).and_then(|member| member.subscriber.shown(video));
                let next = self.standing_out(key, video, shown);
                if next != shown || next.is_some_and(|track| !self.gets(key, track)) {
                    self.show(key, video, shown, next);
                }
            }
        }
    }

    fn standing_out(&self, key: MemberKey, video: bool, shown: Option<u64>) -> Option<u64> {
        let member = self.members.get(&key)?;
        let room = self.rooms.get(&member.room)?;
        let viewer = room.participant(key).filter(|viewer| viewer.grant.can_subscribe)?;
        let shown = shown.and_then(|track| self.tracks.get(&track)).map(|track| track.sid.as_str());
        let found = room.stage.track(&room.participants, video, shown, |publisher, track| {
            publisher.key != key
                && viewer.sees(publisher)
                && !member.unwanted.contains(&track.sid)
                && self.admits(publisher.key, key, &track.sid)
        })?;
        self.tracks.iter().find(|(_, track)| track.sid == found.sid).map(|(track, _)| *track)
    }

    fn gets(&self, key: MemberKey, track: u64) -> bool {
        let route = self.tracks.get(&track).map(|track| &track.route);
        route.is_some_and(|route| route.subscribers().iter().any(|subscriber| subscriber.to.member == key))
    }

    fn show(&mut self, key: MemberKey, video: bool, shown: Option<u64>, next: Option<u64>) {
        let Some(member) = self.members.get_mut(&key) else { return };
        if !member.subscriber.show(video, next) {
            return;
        }
        let connection = member.subscriber.key;
        if let Some(before) = shown.and_then(|track| self.tracks.get_mut(&track)) {
            before.route.unsubscribe(|to| to.member == key);
        }
        let (track, watch) = (next.and_then(|track| self.tracks.get_mut(&track)), self.watches.get_mut(&key));
        if let (Some(track), Some(watch)) = (track, watch) {
            let part = watch.part(video);
            part.turn = part.turn.wrapping_add(1);
            let to = Destination { turn: Some(part.turn), ..Destination::new(key, connection) };
            track.route.subscribe(to, Wish::default());
        }
        self.sync_routes(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtc::sfu::ConnectionKey;

    #[test]
    fn the_numbers_go_on_from_turn_to_turn_and_other_streams_are_left_alone() {
        let key = MemberKey(1);
        let mut watches = HashMap::from([(key, Watch::default())]);
        let other = Destination::new(key, ConnectionKey::default());
        let out = |sequence, timestamp| Outgoing { sequence, timestamp, picture: None, ends_picture: false };
        let ms = MediaTime::from_millis;
        assert_eq!(in_turn(&mut watches, &other, true, out(9, 9), ms(0)), Some(out(9, 9)));
        let mut send = |turn, sequence, timestamp, at| {
            let to = Destination { turn: Some(turn), ..other };
            in_turn(&mut watches, &to, true, out(sequence, timestamp), ms(at)).expect("a copy")
        };
        assert_eq!(send(1, 1, 5_000, 0), out(1, 5_000));
        assert_eq!(send(1, 3, 8_000, 33), out(3, 8_000), "a gap stays one");
        // Another track, whose numbers begin anew; 100 ms later.
        let first = send(2, 1, 4_000_000_000, 133);
        assert_eq!(first, out(4, 8_000 + 9_000));
        assert_eq!(send(2, 2, 4_000_003_000, 166), out(5, first.timestamp + 3_000));
        assert_eq!(send(3, 1, 77, 166).sequence, 6);
    }
}
