//! The request queue: decides about every order before anything is done. Pure; the daemon's one mutator drives it.
//!
//! ```text
//! decide ─▶ Answer      already so, refused: answered at once
//!        ─▶ Accept ─▶ (the daemon persists the change) ─▶ accept ─▶ start ─▶ Action … finish ─▶ answers
//! ```
//! There is one [`Lane`] each for the room, recording, going live and the microphone: they do not wait for each
//! other. Within a lane at most one action runs and one waits; a newer order takes the place of one that waits,
//! whose askers get `conflict`. An action about the room or going live is given up at once for a newer one (joining
//! and connecting can take for ever); the others are short and are waited for.

use serde_json::{Value, json};

use super::lane::{Entry, Lanes};
use super::live::LiveSet;
use super::{
    Code, Command, Desired, DesiredLive, DesiredRecording, MicrophoneSet, Origin, RecordingSet, Reply,
    RoomJoin,
};

/// Askers that may wait for one action. Beyond it they get `busy`.
pub const ASKERS_PER_ACTION: usize = 32;

/// Parts of the world that change independently of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Which room the box is in.
    Room,
    /// The recording.
    Recording,
    /// Where the stream goes live.
    Live,
    /// The microphone's silence.
    Microphone,
}

impl Lane {
    /// All of them, in the order in which a restart brings them back.
    pub const ALL: [Lane; 4] = [Lane::Microphone, Lane::Recording, Lane::Live, Lane::Room];

    /// The key of [`Desired`] that it brings about.
    pub fn key(self) -> &'static str {
        match self {
            Lane::Room => Desired::ROOM,
            Lane::Recording => Desired::RECORDING,
            Lane::Live => Desired::LIVE,
            Lane::Microphone => Desired::MUTED,
        }
    }

    /// The lane that brings about `key`.
    pub fn of_key(key: &str) -> Option<Lane> {
        Lane::ALL.into_iter().find(|lane| lane.key() == key)
    }
}

/// What the box allows; from its configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Whether somebody who is not at the box may unmute its microphone.
    pub allow_remote_unmute: bool,
    /// Whether destinations for going live are configured.
    pub live_configured: bool,
    /// Whether the rooms that the box joins are, unless it is told otherwise, those of another server.
    pub rooms_elsewhere: bool,
}

/// A new value of one part of [`Desired`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Be in this room, or in none.
    Room(Option<RoomJoin>),
    /// Be in no room, and let the one that the box was in be no more.
    RoomEnd,
    /// Make this recording, or none.
    Recording(Option<DesiredRecording>),
    /// Go live like this, or not.
    Live(Option<DesiredLive>),
    /// Be silent, or not.
    Muted(bool),
}

impl Change {
    /// The part of the world that it is about.
    pub fn lane(&self) -> Lane {
        match self {
            Change::Room(_) | Change::RoomEnd => Lane::Room,
            Change::Recording(_) => Lane::Recording,
            Change::Live(_) => Lane::Live,
            Change::Muted(_) => Lane::Microphone,
        }
    }

    /// The key to persist it under; one of [`Desired::KEYS`].
    pub fn key(&self) -> &'static str {
        self.lane().key()
    }

    /// The value to persist, as JSON; [`Desired::restore`] reads it.
    pub fn value(&self) -> Value {
        match self {
            Change::Room(room) => json!(room),
            Change::RoomEnd => Value::Null,
            Change::Recording(recording) => json!(recording),
            Change::Live(live) => json!(live),
            Change::Muted(muted) => json!(muted),
        }
    }
}

/// What the queue says to an order.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Nothing to do: this is the answer.
    Answer(Reply),
    /// The same is on its way already: hand the asker to [`RequestQueue::attach`].
    Attach(Lane),
    /// To be done: persist it, then hand it to [`RequestQueue::accept`].
    Accept(Change),
    /// To be done beside the lanes.
    Do(Deed),
}

/// Something that is done once and leaves nothing desired behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A picture of the camera is put under a URL.
    Snapshot,
    /// The box gives a sign.
    Identify,
    /// The process ends in order.
    Restart,
}

/// Something to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// Names it in [`RequestQueue::finish`].
    pub ticket: u64,
    /// What the world shall be brought to. For the room and going live: what was being done about it is given up.
    pub change: Change,
}

/// The queue. `T` is the way back to an asker; every one handed in comes out again exactly once.
#[derive(Debug)]
pub struct RequestQueue<T> {
    policy: Policy,
    desired: Desired,
    lanes: Lanes<T>,
}

impl<T> RequestQueue<T> {
    /// A queue whose first actions bring the world, which is doing nothing, to `desired`.
    pub fn new(policy: Policy, desired: Desired) -> Self {
        let mut queue = RequestQueue { policy, lanes: Lanes::default(), desired };
        let changes = [
            queue.desired.muted.then_some(Change::Muted(true)),
            queue.desired.recording.clone().map(|recording| Change::Recording(Some(recording))),
            queue.desired.live.clone().map(|live| Change::Live(Some(live))),
            queue.desired.room.clone().map(|room| Change::Room(Some(room))),
        ];
        for change in changes.into_iter().flatten() {
            queue.lanes.get(change.lane()).push(Entry::new(change), false);
        }
        queue
    }

    /// What was last accepted.
    pub fn desired(&self) -> &Desired {
        &self.desired
    }

    /// Takes a changed policy; it holds for orders to come.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// Judges an order; changes nothing. `new_id` is asked for the id of a recording that was given none.
    pub fn decide(&self, command: &Command, origin: &Origin, new_id: impl FnOnce() -> String) -> Verdict {
        match command {
            Command::Ping => Verdict::Answer(Reply::ok("pong", Value::Null)),
            Command::RoomJoin(join) => self.room(join),
            Command::RoomLeave => self.leave(),
            Command::RoomEnd => self.end(),
            Command::RecordingSet(set) => self.recording(set, new_id),
            Command::LiveSet(set) => self.live(set),
            Command::LayoutSet => {
                let message = "layout.set is about composed rooms, which this version does not make";
                Verdict::Answer(Reply::refused(Code::Unsupported, message))
            }
            Command::Snapshot => Verdict::Do(Deed::Snapshot),
            Command::Identify => Verdict::Do(Deed::Identify),
            Command::Restart => Verdict::Do(Deed::Restart),
            Command::MicrophoneSet(set) => self.microphone(*set == MicrophoneSet { muted: true }, origin),
        }
    }

    /// Takes on a change that was judged [`Verdict::Accept`] and persisted. Answers those whom it supersedes.
    pub fn accept(&mut self, change: Change, asker: T) -> Vec<(T, Reply)> {
        match &change {
            Change::Room(room) => self.desired.room.clone_from(room),
            Change::RoomEnd => self.desired.room = None,
            Change::Recording(recording) => self.desired.recording.clone_from(recording),
            Change::Live(live) => self.desired.live.clone_from(live),
            Change::Muted(muted) => self.desired.muted = *muted,
        }
        let lane = change.lane();
        let mut entry = Entry::new(change);
        entry.askers.push(asker);
        let given_up = self.lanes.get(lane).push(entry, matches!(lane, Lane::Room | Lane::Live));
        given_up
            .into_iter()
            .map(|asker| (asker, Reply::refused(Code::Conflict, "superseded by a newer order")))
            .collect()
    }

    /// Lets an asker wait for what is on its way already; answers it at once when nothing is, or too many wait.
    pub fn attach(&mut self, lane: Lane, asker: T) -> Option<(T, Reply)> {
        match self.lanes.get(lane).newest() {
            None => Some((asker, Reply::refused(Code::Internal, "nothing to wait for"))),
            Some(entry) if entry.askers.len() >= ASKERS_PER_ACTION => {
                let message = format!("{ASKERS_PER_ACTION} wait for the same already");
                Some((asker, Reply::refused(Code::Busy, message)))
            }
            Some(entry) => {
                entry.askers.push(asker);
                None
            }
        }
    }

    /// Whether something is on its way in `lane`.
    pub fn busy(&self, lane: Lane) -> bool {
        self.lanes.peek(lane).busy()
    }

    /// Whether no more askers may wait for what is on its way in `lane`.
    pub fn crowded(&mut self, lane: Lane) -> bool {
        self.lanes.get(lane).newest().is_some_and(|entry| entry.askers.len() >= ASKERS_PER_ACTION)
    }

    /// The next thing to do; None: nothing, until an order is accepted or an action has finished.
    pub fn start(&mut self) -> Option<Action> {
        Lane::ALL.into_iter().find_map(|lane| self.lanes.start(lane))
    }

    /// An action has come to its end with `reply`; answers everyone who waited for it. What it was about stays
    /// desired even if it failed: the same order given again starts it again. An action given up meanwhile is
    /// answered already, so its end says nothing.
    pub fn finish(&mut self, ticket: u64, reply: &Reply) -> Vec<(T, Reply)> {
        let askers = self.lanes.finish(ticket, reply.ok);
        askers.into_iter().map(|asker| (asker, reply.clone())).collect()
    }

    /// The world has left what was desired by itself (a recording broke): the same order shall act again.
    pub fn unsettle(&mut self, lane: Lane) {
        self.lanes.get(lane).settled = false;
    }

    /// Everyone who still waits, answered with `reply`; for the end of the process.
    pub fn drain(&mut self, reply: &Reply) -> Vec<(T, Reply)> {
        self.lanes.drain().into_iter().map(|asker| (asker, reply.clone())).collect()
    }

    /// `same`: the order asks for what is desired.
    fn judge(&self, same: bool, change: Change, already: impl FnOnce() -> Reply) -> Verdict {
        let lane = self.lanes.peek(change.lane());
        match same {
            true if lane.busy() => Verdict::Attach(change.lane()),
            true if lane.settled => Verdict::Answer(already()),
            _ => Verdict::Accept(change),
        }
    }

    fn room(&self, join: &RoomJoin) -> Verdict {
        let same = self.desired.room.as_ref().is_some_and(|wanted| {
            let token = join.token.is_none() || join.token == wanted.token;
            wanted.room == join.room && wanted.url == join.url && token
        });
        // The same without a token: the one given before is still good.
        let wanted = if same { self.desired.room.clone() } else { Some(join.clone()) };
        self.judge(same, Change::Room(wanted), || {
            Reply::ok("already in this room", json!({"room": join.room}))
        })
    }

    fn leave(&self) -> Verdict {
        let same = self.desired.room.is_none();
        self.judge(same, Change::Room(None), || Reply::ok("already in no room", Value::Null))
    }

    fn end(&self) -> Verdict {
        match &self.desired.room {
            None => self.leave(),
            Some(room) if room.url.is_some() || self.policy.rooms_elsewhere => {
                let message =
                    "the room is another server's: only rooms of the box's own server are ended from here";
                Verdict::Answer(Reply::refused(Code::Unsupported, message))
            }
            Some(_) => Verdict::Accept(Change::RoomEnd),
        }
    }

    fn recording(&self, set: &RecordingSet, new_id: impl FnOnce() -> String) -> Verdict {
        let running = match (&self.desired.recording, set.on) {
            (None, false) => {
                return self.judge(true, Change::Recording(None), || Reply::ok("not recording", Value::Null));
            }
            (Some(_), false) => return Verdict::Accept(Change::Recording(None)),
            (None, true) => {
                let id = set.id.clone().unwrap_or_else(new_id);
                return Verdict::Accept(Change::Recording(Some(DesiredRecording { id, source: set.source })));
            }
            (Some(running), true) => running,
        };
        if set.id.as_ref().is_some_and(|id| *id != running.id) || set.source != running.source {
            let mut reply = Reply::refused(
                Code::Conflict,
                format!("recording {:?} is running: stop it first", running.id),
            );
            reply.data = json!({"id": running.id});
            return Verdict::Answer(reply);
        }
        let already = || Reply::ok("already recording", json!({"id": running.id}));
        self.judge(true, Change::Recording(Some(running.clone())), already)
    }

    fn live(&self, set: &LiveSet) -> Verdict {
        let wanted = match (&self.desired.live, set.on, &set.outputs) {
            (_, false, _) => None,
            // Live already, and nothing said about where to: as it is.
            (Some(running), true, None) => Some(running.clone()),
            (None, true, None) if !self.policy.live_configured => {
                let message = "no destination: give outputs ([{url, streamKey}]), or set live.destinations";
                return Verdict::Answer(Reply::refused(Code::BadRequest, message));
            }
            (_, true, outputs) => Some(DesiredLive { source: set.source, outputs: outputs.clone() }),
        };
        let already = if wanted.is_some() { "already live" } else { "already not live" };
        let same = self.desired.live == wanted;
        self.judge(same, Change::Live(wanted), || Reply::ok(already, Value::Null))
    }

    fn microphone(&self, muted: bool, origin: &Origin) -> Verdict {
        let same = self.desired.muted == muted;
        if !muted && !same && !origin.local && !self.policy.allow_remote_unmute {
            let message = "unmuting from afar is not allowed: control.allow_remote_unmute is false";
            return Verdict::Answer(Reply::refused(Code::Unauthorized, message));
        }
        let already = || Reply::ok(if muted { "already muted" } else { "already unmuted" }, Value::Null);
        self.judge(same, Change::Muted(muted), already)
    }
}

#[cfg(test)]
mod tests;
