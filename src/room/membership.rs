//! Which rooms there are and who is in them.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use livekit_protocol as proto;
use thiserror::Error;

use super::{Event, Grant, MemberKey, Participant};
use crate::base::clock::MediaTime;
use crate::base::ids;

/// Most rooms at once; one more is refused.
const MAX_ROOMS: usize = 1000;
/// Most participants in a room; one more is refused.
const MAX_PARTICIPANTS: usize = 500;
/// Longest room name and identity, in bytes.
const MAX_NAME_BYTES: usize = 256;
/// Most bytes of a participant's metadata, and of its attributes together.
const MAX_METADATA_BYTES: usize = 64 * 1024;
/// How long a room outlives its last participant.
pub const DEPARTURE_TIMEOUT: Duration = Duration::from_secs(20);

/// Why somebody may not join.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The token is not for this room.
    #[error("the token does not allow joining room {room:?}")]
    NotAllowed {
        /// The room asked for.
        room: String,
    },
    /// A name is empty or too long.
    #[error("{what} must be 1 to {MAX_NAME_BYTES} bytes long")]
    Name {
        /// `room` or `identity`.
        what: &'static str,
    },
    /// Metadata or attributes are too long.
    #[error("metadata and attributes may have {MAX_METADATA_BYTES} bytes each")]
    Metadata,
    /// Too many rooms or participants.
    #[error("{what}: at most {limit}")]
    Full {
        /// Of what there are too many.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
}

/// Somebody who wants to join.
#[derive(Clone, Debug, Default)]
pub struct Joining {
    /// The room.
    pub room: String,
    /// What its token allows.
    pub grant: Grant,
    /// What the client says about itself.
    pub attributes: HashMap<String, String>,
}

/// The outcome of a join.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// The new participant.
    pub key: MemberKey,
    /// Who had the same identity and is out now.
    pub replaced: Option<Participant>,
    /// What happened.
    pub events: Vec<Event>,
}

/// One room.
#[derive(Clone, Debug)]
pub struct Room {
    /// `RM_…`.
    pub sid: String,
    /// Its name.
    pub name: String,
    /// Since when it exists.
    pub created: SystemTime,
    /// In order of joining.
    pub participants: Vec<Participant>,
    empty_since: Option<MediaTime>,
}

impl Room {
    /// What clients are told about it. Hidden participants are not counted.
    pub fn info(&self) -> proto::Room {
        let created = self.created.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let seen = || self.participants.iter().filter(|p| !p.grant.hidden);
        proto::Room {
            sid: self.sid.clone(),
            name: self.name.clone(),
            departure_timeout: DEPARTURE_TIMEOUT.as_secs() as u32,
            creation_time: created.as_secs() as i64,
            creation_time_ms: created.as_millis() as i64,
            num_participants: seen().count() as u32,
            num_publishers: seen().filter(|p| !p.tracks.is_empty()).count() as u32,
            active_recording: self.participants.iter().any(|p| p.grant.recorder),
            ..Default::default()
        }
    }

    /// The participant with this key.
    pub fn participant(&self, key: MemberKey) -> Option<&Participant> {
        self.participants.iter().find(|p| p.key == key)
    }

    /// The same, to change.
    pub fn participant_mut(&mut self, key: MemberKey) -> Option<&mut Participant> {
        self.participants.iter_mut().find(|p| p.key == key)
    }

    /// The participant of this identity.
    pub fn identity(&self, identity: &str) -> Option<&Participant> {
        self.participants.iter().find(|p| p.grant.identity == identity)
    }

    /// What `key` is told about the others: all but itself and the hidden ones.
    pub fn others(&self, key: MemberKey) -> Vec<proto::ParticipantInfo> {
        let visible = |p: &&Participant| p.key != key && !p.grant.hidden;
        self.participants.iter().filter(visible).map(Participant::info).collect()
    }
}

/// All rooms, by name.
#[derive(Clone, Debug, Default)]
pub struct Rooms {
    rooms: BTreeMap<String, Room>,
    keys: u64,
}

impl Rooms {
    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Room> {
        self.rooms.values()
    }

    /// One.
    pub fn get(&self, name: &str) -> Option<&Room> {
        self.rooms.get(name)
    }

    /// One, to change.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Room> {
        self.rooms.get_mut(name)
    }

    /// Lets somebody in, or says why not. The room is made when there is none; whoever is in it under the same
    /// identity is put out.
    ///
    /// # Errors
    /// [`Refusal`]; nothing has changed then.
    pub fn admit(&mut self, joining: Joining, wall: SystemTime) -> Result<Admitted, Refusal> {
        let Joining { room: name, grant, attributes } = joining;
        check(&name, &grant, &attributes)?;
        if !self.rooms.contains_key(&name) && self.rooms.len() >= MAX_ROOMS {
            return Err(Refusal::Full { what: "rooms", limit: MAX_ROOMS });
        }
        let full = |room: &Room| {
            room.participants.len() >= MAX_PARTICIPANTS && room.identity(&grant.identity).is_none()
        };
        if self.rooms.get(&name).is_some_and(full) {
            return Err(Refusal::Full { what: "participants", limit: MAX_PARTICIPANTS });
        }
        let mut events = Vec::new();
        self.keys += 1;
        let key = MemberKey(self.keys);
        let room = self.rooms.entry(name.clone()).or_insert_with(|| {
            let room = Room {
                sid: ids::prefixed("RM"),
                name,
                created: wall,
                participants: Vec::new(),
                empty_since: None,
            };
            events.push(Event::RoomStarted { room: room.info() });
            room
        });
        let before = room.participants.iter().position(|p| p.grant.identity == grant.identity);
        let replaced = before.map(|index| room.participants.remove(index));
        let mut participant = Participant::new(key, ids::prefixed("PA"), grant, wall);
        participant.attributes = attributes;
        events.push(Event::ParticipantJoined { room: room.name.clone(), participant: participant.info() });
        room.participants.push(participant);
        room.empty_since = None;
        Ok(Admitted { key, replaced, events })
    }

    /// Takes somebody out of `room`. The room stays for [`DEPARTURE_TIMEOUT`] more.
    pub fn leave(&mut self, room: &str, key: MemberKey, now: MediaTime) -> Option<Participant> {
        let room = self.rooms.get_mut(room)?;
        let index = room.participants.iter().position(|p| p.key == key)?;
        let participant = room.participants.remove(index);
        if room.participants.is_empty() {
            room.empty_since = Some(now);
        }
        Some(participant)
    }

    /// Takes away `room` at once; its participants must be out.
    pub fn end(&mut self, room: &str) -> Option<Event> {
        self.rooms.remove(room).map(|room| Event::RoomFinished { room: room.info() })
    }

    /// Takes away the rooms that have been empty for long enough.
    pub fn sweep(&mut self, now: MediaTime) -> Vec<Event> {
        let over = |room: &Room| room.empty_since.is_some_and(|at| now.since(at) >= DEPARTURE_TIMEOUT);
        let names: Vec<String> = self.rooms.values().filter(|r| over(r)).map(|r| r.name.clone()).collect();
        names.iter().filter_map(|name| self.end(name)).collect()
    }
}

fn check(room: &str, grant: &Grant, attributes: &HashMap<String, String>) -> Result<(), Refusal> {
    if !grant.may_join(room) {
        return Err(Refusal::NotAllowed { room: room.chars().take(64).collect() });
    }
    for (what, name) in [("room", room), ("identity", &grant.identity)] {
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            return Err(Refusal::Name { what });
        }
    }
    let attributes_bytes: usize = attributes.iter().map(|(key, value)| key.len() + value.len()).sum();
    if grant.metadata.len() > MAX_METADATA_BYTES || attributes_bytes > MAX_METADATA_BYTES {
        return Err(Refusal::Metadata);
    }
    Ok(())
}
