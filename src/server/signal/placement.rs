//! On which shard each room lives.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::room::{Event, Refusal};

/// Most rooms at once; one more is refused.
const MAX_ROOMS: usize = 1000;

/// A room counts for at least so many people: more are to come.
const EXPECTED: usize = 4;

/// One room that is there, or that somebody is on the way to.
#[derive(Debug)]
struct Place {
    shard: usize,
    /// Once it is there.
    sid: Option<String>,
    /// How many are in it, and how many are on the way to it.
    people: usize,
    coming: usize,
}

/// Every room's place. A room stays where it is until it has ended and nobody is on the way to it.
#[derive(Debug)]
struct Table {
    rooms: HashMap<String, Place>,
    /// By sid, the names of those that are there.
    names: HashMap<String, String>,
    shards: usize,
    together: usize,
}

impl Table {
    /// Somebody is on the way to `room`: to which shard.
    fn enter(&mut self, room: &str) -> Result<usize, Refusal> {
        if let Some(place) = self.rooms.get_mut(room) {
            place.coming += 1;
            return Ok(place.shard);
        }
        if self.rooms.len() >= MAX_ROOMS {
            return Err(Refusal::Full { what: "rooms", limit: MAX_ROOMS });
        }
        let shard = self.choose();
        self.rooms.insert(room.to_owned(), Place { shard, sid: None, people: 0, coming: 1 });
        Ok(shard)
    }

    /// Where a new room goes: few people stay together, more are spread.
    fn choose(&self) -> usize {
        let mut people = vec![0; self.shards];
        for place in self.rooms.values() {
            if let Some(people) = people.get_mut(place.shard) {
                *people += (place.people + place.coming).max(EXPECTED);
            }
        }
        if people.first().is_none_or(|first| *first < self.together) {
            return 0;
        }
        let fewest = people.iter().enumerate().min_by_key(|(_, people)| **people);
        fewest.map_or(0, |(shard, _)| shard)
    }

    /// One that was on the way to `room` is there, or will not come.
    fn arrived(&mut self, room: &str) {
        self.change(room, |place| place.coming = place.coming.saturating_sub(1));
    }

    fn change(&mut self, room: &str, how: impl FnOnce(&mut Place)) {
        let Some(place) = self.rooms.get_mut(room) else { return };
        how(place);
        if place.coming == 0 && place.sid.is_none() {
            self.rooms.remove(room);
        }
    }

    /// The shard of a room by its name or sid; of one that there is none of: the first.
    fn find(&self, name_or_sid: &str) -> usize {
        let by_sid = || self.rooms.get(self.names.get(name_or_sid)?);
        self.rooms.get(name_or_sid).or_else(by_sid).map_or(0, |place| place.shard)
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::RoomStarted { room } => {
                self.names.insert(room.sid.clone(), room.name.clone());
                self.change(&room.name, |place| place.sid = Some(room.sid.clone()));
            }
            Event::RoomFinished { room, .. } => {
                self.names.remove(&room.sid);
                self.change(&room.name, |place| (place.sid, place.people) = (None, 0));
            }
            Event::ParticipantJoined { room, .. } => self.change(&room.name, |place| place.people += 1),
            Event::ParticipantLeft { room, .. } => {
                self.change(&room.name, |place| place.people = place.people.saturating_sub(1));
            }
            _ => {}
        }
    }
}

/// The places of all rooms, for everyone who has something for one.
#[derive(Debug)]
pub(super) struct Placement(Mutex<Table>);

impl Placement {
    /// No rooms yet. New ones go to the first shard while it has fewer than `together` people, then to the one that
    /// has the fewest.
    pub fn new(shards: usize, together: usize) -> Self {
        let table = Table { rooms: HashMap::new(), names: HashMap::new(), shards, together };
        Placement(Mutex::new(table))
    }

    /// Somebody, or an order that makes the room, is on the way to `room`, which has a place then.
    ///
    /// # Errors
    /// [`Refusal::Full`].
    pub fn enter(self: &Arc<Self>, room: &str) -> Result<Passage, Refusal> {
        let shard = self.table().enter(room)?;
        Ok(Passage { placement: Arc::clone(self), room: room.to_owned(), shard })
    }

    /// The shard of a room by its name or sid; of one that there is none of: the first.
    pub fn find(&self, name_or_sid: &str) -> usize {
        self.table().find(name_or_sid)
    }

    /// What has happened in the rooms.
    pub fn note(&self, event: &Event) {
        self.table().note(event);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a room's place until it is dropped.
#[derive(Debug)]
pub(super) struct Passage {
    placement: Arc<Placement>,
    room: String,
    /// Where the room is.
    pub shard: usize,
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.placement.table().arrived(&self.room);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::Departure;
    use livekit_protocol as proto;

    fn room(name: &str) -> proto::Room {
        proto::Room { name: name.to_owned(), sid: format!("RM_{name}"), ..Default::default() }
    }

    fn started(name: &str) -> Event {
        Event::RoomStarted { room: room(name) }
    }

    fn finished(name: &str) -> Event {
        Event::RoomFinished { room: room(name), reason: proto::RoomEndReason::RoomEndApiDelete }
    }

    fn joined(name: &str) -> Event {
        Event::ParticipantJoined { room: room(name), participant: Default::default() }
    }

    fn left(name: &str) -> Event {
        let (room, participant, departure) = (room(name), Default::default(), Departure::Left);
        Event::ParticipantLeft { room, participant, departure, connected: true }
    }

    /// `people` join a room; on which shard.
    fn fill(placement: &Arc<Placement>, name: &str, people: usize) -> usize {
        let passages: Vec<Passage> = (0..people).map(|_| placement.enter(name).unwrap()).collect();
        placement.note(&started(name));
        (0..people).for_each(|_| placement.note(&joined(name)));
        passages[0].shard
    }

    #[test]
    fn few_people_stay_together_and_more_rooms_go_where_the_fewest_are() {
        let placement = Arc::new(Placement::new(3, 5));
        let places = ["a", "b", "c", "d", "e", "f"].map(|name| fill(&placement, name, 3));
        assert_eq!(places, [0, 0, 1, 2, 1, 2]);
        placement.note(&finished("a"));
        assert_eq!(fill(&placement, "g", 9), 0, "there is place again where most are together");
        (0..3).for_each(|_| placement.note(&left("d")));
        assert_eq!(fill(&placement, "d", 1), 2, "an empty room stays where it is");
        let alone = Arc::new(Placement::new(1, 0));
        assert_eq!(["a", "b"].map(|name| fill(&alone, name, 100)), [0, 0]);
    }

    #[test]
    fn those_on_the_way_count_and_keep_a_room_where_it_is() {
        let placement = Arc::new(Placement::new(2, 1));
        let first = placement.enter("a").unwrap();
        let other = placement.enter("b").unwrap();
        let late = placement.enter("b").unwrap();
        assert_eq!((first.shard, other.shard, late.shard), (0, 1, 1));
        placement.note(&started("b"));
        placement.note(&joined("b"));
        drop(other);
        placement.note(&left("b"));
        placement.note(&finished("b"));
        assert_eq!(placement.find("b"), 1, "somebody is on the way to it");
        assert_eq!(placement.enter("b").unwrap().shard, 1);
        drop(late);
        assert_eq!(placement.find("b"), 0, "there is none");
        drop(first);
        assert_eq!(placement.enter("b").unwrap().shard, 0, "a new one, and nobody is anywhere");
    }

    #[test]
    fn a_room_is_found_by_its_sid_while_it_is_there() {
        let placement = Arc::new(Placement::new(2, 1));
        fill(&placement, "a", 1);
        assert_eq!(fill(&placement, "b", 1), 1);
        assert_eq!(["b", "RM_b", "RM_a", "RM_x"].map(|room| placement.find(room)), [1, 1, 0, 0]);
        placement.note(&finished("b"));
        assert_eq!(placement.find("RM_b"), 0);
    }

    #[test]
    fn one_room_too_many_is_refused_whatever_shard_has_place() {
        let placement = Arc::new(Placement::new(2, 1));
        for number in 0..MAX_ROOMS {
            fill(&placement, &number.to_string(), 1);
        }
        assert_eq!(placement.enter("more").err(), Some(Refusal::Full { what: "rooms", limit: MAX_ROOMS }));
        assert!(placement.enter("7").is_ok(), "one that is there");
        placement.note(&finished("7"));
        assert!(placement.enter("more").is_ok());
    }
}
