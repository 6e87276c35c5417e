//! The lanes of the request queue: one action that runs, one that waits.

use super::queue::{Action, Change, Lane};

/// Something accepted, with everyone who waits for its end.
#[derive(Debug)]
pub(super) struct Entry<T> {
    change: Change,
    ticket: u64,
    pub(super) askers: Vec<T>,
}

impl<T> Entry<T> {
    pub(super) fn new(change: Change) -> Self {
        Entry { change, ticket: 0, askers: Vec::new() }
    }
}

/// One lane.
#[derive(Debug)]
pub(super) struct LaneState<T> {
    running: Option<Entry<T>>,
    waiting: Option<Entry<T>>,
    /// The world is as desired, as far as is known.
    pub(super) settled: bool,
}

impl<T> Default for LaneState<T> {
    /// Nothing runs and nothing is desired, which is so.
    fn default() -> Self {
        LaneState { running: None, waiting: None, settled: true }
    }
}

impl<T> LaneState<T> {
    /// Something is on its way.
    pub(super) fn busy(&self) -> bool {
        self.running.is_some() || self.waiting.is_some()
    }

    /// The entry that the lane will end with.
    pub(super) fn newest(&mut self) -> Option<&mut Entry<T>> {
        self.waiting.as_mut().or(self.running.as_mut())
    }

    /// Queues `entry`; returns the askers of what it replaces (with `preempt` also of what runs).
    pub(super) fn push(&mut self, entry: Entry<T>, preempt: bool) -> Vec<T> {
        let mut given_up = self.waiting.replace(entry).map(|old| old.askers).unwrap_or_default();
        if preempt && let Some(running) = self.running.take() {
            given_up.extend(running.askers);
        }
        self.settled = false;
        given_up
    }
}

/// All lanes, and the numbering of their actions.
#[derive(Debug)]
pub(super) struct Lanes<T> {
    room: LaneState<T>,
    recording: LaneState<T>,
    live: LaneState<T>,
    camera: LaneState<T>,
    microphone: LaneState<T>,
    last_ticket: u64,
}

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        let (room, recording, live, camera, microphone) = Default::default();
        Lanes { room, recording, live, camera, microphone, last_ticket: 0 }
    }
}

impl<T> Lanes<T> {
    pub(super) fn peek(&self, lane: Lane) -> &LaneState<T> {
        match lane {
            Lane::Room => &self.room,
            Lane::Recording => &self.recording,
            Lane::Live => &self.live,
            Lane::Camera => &self.camera,
            Lane::Microphone => &self.microphone,
        }
    }

    pub(super) fn get(&mut self, lane: Lane) -> &mut LaneState<T> {
        match lane {
            Lane::Room => &mut self.room,
            Lane::Recording => &mut self.recording,
            Lane::Live => &mut self.live,
            Lane::Camera => &mut self.camera,
            Lane::Microphone => &mut self.microphone,
        }
    }

    /// Lets what waits in `lane` run, if nothing runs there.
    pub(super) fn start(&mut self, lane: Lane) -> Option<Action> {
        let ticket = self.last_ticket + 1;
        let state = self.get(lane);
        if state.running.is_some() {
            return None;
        }
        let mut entry = state.waiting.take()?;
        entry.ticket = ticket;
        let action = Action { ticket, change: entry.change.clone() };
        state.running = Some(entry);
        self.last_ticket = ticket;
        Some(action)
    }

    /// Ends the action `ticket`, if it still runs; returns its askers.
    pub(super) fn finish(&mut self, ticket: u64, ok: bool) -> Vec<T> {
        for lane in Lane::ALL {
            let state = self.get(lane);
            if state.running.as_ref().is_some_and(|entry| entry.ticket == ticket) {
                state.settled = ok && state.waiting.is_none();
                return state.running.take().map(|entry| entry.askers).unwrap_or_default();
            }
        }
        Vec::new()
    }

    /// Ends everything; returns all askers.
    pub(super) fn drain(&mut self) -> Vec<T> {
        let mut askers = Vec::new();
        for lane in Lane::ALL {
            let state = self.get(lane);
            for entry in [state.running.take(), state.waiting.take()].into_iter().flatten() {
                askers.extend(entry.askers);
            }
            state.settled = false;
        }
        askers
    }
}
