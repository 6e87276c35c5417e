//! Which rooms there are and who is in them.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use livekit_protocol as proto;

use super::stage::Stage;
use super::{Event, Grant, MemberKey, Participant, Refusal};
use crate::base::clock::MediaTime;
use crate::base::ids;

/// Most participants in a room; one more is refused.
const MAX_PARTICIPANTS: usize = 500;
/// Longest name of a room or a participant, and longest identity, in bytes.
pub(super) const MAX_NAME_BYTES: usize = 256;
/// Most bytes of a participant's metadata, and of its attributes together.
pub(super) const MAX_METADATA_BYTES: usize = 64 * 1024;
/// How long a room outlives its last participant, unless it was created otherwise.
pub const DEPARTURE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a room that was created stays when nobody comes, unless it was created otherwise.
pub const EMPTY_TIMEOUT: Duration = Duration::from_secs(300);

/// How a room shall be; None: as it is, or the default for a new one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomOptions {
    /// How long it stays when nobody comes.
    pub empty_timeout: Option<Duration>,
    /// How long it outlives its last participant.
    pub departure_timeout: Option<Duration>,
    /// Most participants; recorders and those who wait are not counted.
    pub max_participants: Option<u32>,
    /// Free text for everyone in it.
    pub metadata: Option<String>,
    /// After how long it ends whoever is in it.
    pub lifetime: Option<Duration>,
    /// How long viewers shall hold pictures back, from and to.
    pub playout_delay: Option<(Duration, Duration)>,
    /// A participant's camera and microphone make one stream for viewers, who then play them in step.
    pub sync_streams: Option<bool>,
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
    /// Free text for everyone in it.
    pub metadata: String,
    /// Who stands out.
    pub stage: Stage,
    /// See [`RoomOptions::playout_delay`].
    pub playout_delay: Option<(Duration, Duration)>,
    /// See [`RoomOptions::sync_streams`].
    pub sync_streams: bool,
    codecs: Vec<proto::Codec>,
    max_participants: Option<u32>,
    empty_timeout: Duration,
    departure_timeout: Duration,
    lifetime: Option<Duration>,
    /// When its lifetime is over; set when it is first looked for.
    ends: Option<MediaTime>,
    /// Since when nobody is in it; None: somebody is.
    empty_since: Option<MediaTime>,
    /// Somebody was in it.
    used: bool,
}

impl Room {
    fn new(name: &str, created: SystemTime) -> Room {
        Room {
            sid: ids::prefixed("RM"),
            name: name.to_owned(),
            created,
            participants: Vec::new(),
            metadata: String::new(),
            stage: Stage::default(),
            playout_delay: None,
            sync_streams: false,
            codecs: Vec::new(),
            max_participants: None,
            empty_timeout: EMPTY_TIMEOUT,
            departure_timeout: DEPARTURE_TIMEOUT,
            lifetime: None,
            ends: None,
            empty_since: None,
            used: false,
        }
    }

    /// Changes what `options` gives.
    pub fn set(&mut self, options: RoomOptions) {
        self.empty_timeout = options.empty_timeout.unwrap_or(self.empty_timeout);
        self.departure_timeout = options.departure_timeout.unwrap_or(self.departure_timeout);
        self.lifetime = options.lifetime.or(self.lifetime);
        self.max_participants = options.max_participants.or(self.max_participants);
        self.playout_delay = options.playout_delay.or(self.playout_delay);
        self.sync_streams = options.sync_streams.unwrap_or(self.sync_streams);
        self.metadata = options.metadata.unwrap_or_else(|| std::mem::take(&mut self.metadata));
    }

    /// Whether one more may come; `replaced` leaves for it.
    pub(super) fn has_place(&self, grant: &Grant, replaced: Option<MemberKey>) -> Result<(), Refusal> {
        let counted = |p: &&Participant| Some(p.key) != replaced;
        if self.participants.iter().filter(counted).count() >= MAX_PARTICIPANTS {
            return Err(Refusal::Full { what: "participants", limit: MAX_PARTICIPANTS });
        }
        let attends = |grant: &Grant| !grant.recorder && !grant.waiting;
        let limit = self.max_participants.unwrap_or(u32::MAX) as usize;
        let attending = self.participants.iter().filter(counted).filter(|p| attends(&p.grant)).count();
        if attends(grant) && attending >= limit {
            return Err(Refusal::Full { what: "participants", limit });
        }
        Ok(())
    }

    fn is_over(&self, now: MediaTime) -> bool {
        let timeout = if self.used { self.departure_timeout } else { self.empty_timeout };
        self.empty_since.is_some_and(|at| now.since(at) >= timeout)
    }

    /// What clients are told about it. Hidden participants are not counted.
    pub fn info(&self) -> proto::Room {
        let created = self.created.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let seen = || self.participants.iter().filter(|p| !p.grant.hidden);
        proto::Room {
            sid: self.sid.clone(),
            name: self.name.clone(),
            empty_timeout: self.empty_timeout.as_secs() as u32,
            departure_timeout: self.departure_timeout.as_secs() as u32,
            max_participants: self.max_participants.unwrap_or(0),
            metadata: self.metadata.clone(),
            enabled_codecs: self.codecs.clone(),
            creation_time: created.as_secs() as i64,
            creation_time_ms: created.as_millis() as i64,
            num_participants: seen().count() as u32,
            num_publishers: seen().filter(|p| !p.tracks.is_empty()).count() as u32,
            active_recording: self.participants.iter().any(|p| p.grant.recorder),
            ..Default::default()
        }
    }

    /// What `participant` is told about it. Whoever waits is not in yet: what is said in the room, and how many are
    /// there, is not its business.
    pub fn info_for(&self, participant: &Participant) -> proto::Room {
        let mut info = self.info();
        if participant.grant.waiting {
            (info.metadata, info.num_participants, info.num_publishers) = (String::new(), 0, 0);
        }
        info
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

    /// What `key` is told about the others: those that it sees.
    pub fn others(&self, key: MemberKey) -> Vec<proto::ParticipantInfo> {
        let Some(viewer) = self.participant(key) else { return Vec::new() };
        let seen = |p: &&Participant| p.key != key && viewer.sees(p);
        self.participants.iter().filter(seen).map(Participant::info).collect()
    }

    /// Who sees `participant`, itself left out; it need not be in the room any more.
    pub fn viewers(&self, participant: &Participant) -> Vec<MemberKey> {
        let sees = |p: &&Participant| p.key != participant.key && p.sees(participant);
        self.participants.iter().filter(sees).map(|p| p.key).collect()
    }
}

/// All rooms, by name.
#[derive(Clone, Debug, Default)]
pub struct Rooms {
    rooms: BTreeMap<String, Room>,
    keys: u64,
    codecs: Vec<proto::Codec>,
}

impl Rooms {
    /// None yet; clients are told that these MIME types may be published in them.
    pub fn with_codecs(mime_types: &[&str]) -> Rooms {
        let codec = |mime: &&str| proto::Codec { mime: (*mime).to_owned(), ..Default::default() };
        Rooms { codecs: mime_types.iter().map(codec).collect(), ..Rooms::default() }
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Room> {
        self.rooms.values()
    }

    /// All, by name, to change.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Room> {
        self.rooms.values_mut()
    }

    /// One.
    pub fn get(&self, name: &str) -> Option<&Room> {
        self.rooms.get(name)
    }

    /// One, to change.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Room> {
        self.rooms.get_mut(name)
    }

    /// The room of this name or sid.
    pub fn find(&self, name_or_sid: &str) -> Option<&Room> {
        let by_sid = || self.rooms.values().find(|room| room.sid == name_or_sid);
        self.rooms.get(name_or_sid).or_else(by_sid)
    }

    /// Makes a room, or changes the one of this name.
    ///
    /// # Errors
    /// [`Refusal`]; nothing has changed then.
    pub fn create(
        &mut self,
        name: &str,
        options: RoomOptions,
        wall: SystemTime,
        now: MediaTime,
    ) -> Result<Vec<Event>, Refusal> {
        check_name("room", name)?;
        if options.metadata.as_ref().is_some_and(|metadata| metadata.len() > MAX_METADATA_BYTES) {
            return Err(Refusal::Metadata);
        }
        let is_new = self.need(name, wall);
        let Some(room) = self.rooms.get_mut(name) else { return Ok(Vec::new()) };
        room.set(options);
        if is_new {
            room.empty_since = Some(now);
            return Ok(vec![Event::RoomStarted { room: room.info() }]);
        }
        Ok(Vec::new())
    }

    /// Makes the room when there is none; true: there was none.
    fn need(&mut self, name: &str, wall: SystemTime) -> bool {
        if self.rooms.contains_key(name) {
            return false;
        }
        let room = Room { codecs: self.codecs.clone(), ..Room::new(name, wall) };
        self.rooms.insert(name.to_owned(), room);
        true
    }

    /// Lets somebody in, or says why not. The room is made when there is none; whoever is in it under the same
    /// identity is put out.
    ///
    /// # Errors
    /// [`Refusal`]; nothing has changed then.
    pub fn admit(&mut self, joining: Joining, wall: SystemTime) -> Result<Admitted, Refusal> {
        let Joining { room: name, grant, attributes } = joining;
        check(&name, &grant, &attributes)?;
        if let Some(room) = self.rooms.get(&name) {
            room.has_place(&grant, room.identity(&grant.identity).map(|before| before.key))?;
        }
        let mut events = Vec::new();
        let is_new = self.need(&name, wall);
        self.keys += 1;
        let key = MemberKey(self.keys);
        let Some(room) = self.rooms.get_mut(&name) else { return Err(Refusal::no("room", &name)) };
        if is_new {
            events.push(Event::RoomStarted { room: room.info() });
        }
        let before = room.participants.iter().position(|p| p.grant.identity == grant.identity);
        let replaced = before.map(|index| room.participants.remove(index));
        let mut participant = Participant::new(key, ids::prefixed("PA"), grant, wall);
        participant.merge_attributes(attributes);
        let info = participant.info();
        room.participants.push(participant);
        (room.empty_since, room.used) = (None, true);
        events.push(Event::ParticipantJoined { room: room.info(), participant: info });
        Ok(Admitted { key, replaced, events })
    }

    /// Takes somebody out of `room`. The room stays for its departure timeout.
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
    pub fn end(&mut self, room: &str, reason: proto::RoomEndReason) -> Option<Event> {
        self.rooms.remove(room).map(|room| Event::RoomFinished { room: room.info(), reason })
    }

    /// The rooms whose lifetime is over: to be ended.
    pub fn overdue(&mut self, now: MediaTime) -> Vec<String> {
        let mut over = Vec::new();
        for room in self.rooms.values_mut() {
            let Some(lifetime) = room.lifetime else { continue };
            if *room.ends.get_or_insert(now + lifetime) <= now {
                over.push(room.name.clone());
            }
        }
        over
    }

    /// Takes away the rooms that have been empty for long enough.
    pub fn sweep(&mut self, now: MediaTime) -> Vec<Event> {
        let over = self.rooms.values().filter(|room| room.is_over(now));
        let names: Vec<String> = over.map(|room| room.name.clone()).collect();
        let idle = proto::RoomEndReason::RoomEndIdleTimeout;
        names.iter().filter_map(|name| self.end(name, idle)).collect()
    }
}

fn check(room: &str, grant: &Grant, attributes: &HashMap<String, String>) -> Result<(), Refusal> {
    if !grant.may_join(room) {
        return Err(Refusal::NotAllowed { room: room.chars().take(64).collect() });
    }
    check_name("room", room)?;
    check_name("identity", &grant.identity)?;
    check_texts(grant, attributes)
}

fn check_name(what: &'static str, name: &str) -> Result<(), Refusal> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err(Refusal::Name { what });
    }
    Ok(())
}

pub(super) fn check_texts(grant: &Grant, attributes: &HashMap<String, String>) -> Result<(), Refusal> {
    let set: usize = grant.attributes.iter().map(|(key, value)| key.len() + value.len()).sum();
    let said: usize = attributes.iter().map(|(key, value)| key.len() + value.len()).sum();
    let longest = grant.metadata.len().max(set).max(said);
    if longest > MAX_METADATA_BYTES {
        return Err(Refusal::Metadata);
    }
    if grant.name.len() > MAX_NAME_BYTES {
        return Err(Refusal::Name { what: "name" });
    }
    Ok(())
}
