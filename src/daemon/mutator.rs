//! The one task that changes the world: takes orders from every bridge, lets the pure intake judge them, writes down
//! what is taken on, hands it to the lane that does it, writes the outcome down, and answers.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::deeds::Deeds;
use super::remembered::{self, Rows};
use crate::base::pulse::Pulse;
use crate::base::{Shutdown, clock, ids};
use crate::control::intake::{self, Answer, Intake, Outcome, Pending, Taken};
use crate::control::queue::{Action, Lane, Policy};
use crate::control::{Code, Desired, Order, Reply};
use crate::store::Store;

/// The way back to whoever gave an order.
type Asker = oneshot::Sender<Reply>;

/// Actions on their way to one lane: the queue lets one run and, for the room and going live, one more take its place.
const LANE_CAPACITY: usize = 4;
/// Ends of actions on their way back; lanes wait for a place.
const DONE_CAPACITY: usize = 16;
/// Deeds that are done at the same time. Beyond it they are refused with `busy`.
const DEEDS: usize = 8;
/// How often the mutator turns when there is nothing to do, so that it is seen to live.
const TURN: Duration = Duration::from_secs(1);

/// What a lane says to the mutator.
#[derive(Debug)]
pub enum Done {
    /// The action with this ticket has come to its end.
    Finished(u64, Reply),
    /// The world has left what is desired by itself.
    Unsettled(Lane),
}

/// Where actions go, one queue a lane.
#[derive(Debug)]
pub struct LaneInputs {
    room: mpsc::Sender<Action>,
    recording: mpsc::Sender<Action>,
    live: mpsc::Sender<Action>,
    microphone: mpsc::Sender<Action>,
}

/// The ends that the lanes hold.
#[derive(Debug)]
pub struct LaneOutputs {
    /// Actions about the room.
    pub room: mpsc::Receiver<Action>,
    /// Actions about the recording.
    pub recording: mpsc::Receiver<Action>,
    /// Actions about going live.
    pub live: mpsc::Receiver<Action>,
    /// Actions about the microphone.
    pub microphone: mpsc::Receiver<Action>,
    /// The way back.
    pub done: mpsc::Sender<Done>,
}

/// The mutator, before it runs.
#[derive(Debug)]
pub struct Mutator {
    intake: Intake<Asker>,
    /// To commands that an earlier run left without an answer.
    late: Vec<Answer<Asker>>,
    rows: Rows,
    policy: watch::Receiver<Policy>,
    pulse: Pulse,
    store: Store,
    orders: mpsc::Receiver<Order>,
    lanes: LaneInputs,
    done: mpsc::Receiver<Done>,
    deeds: Deeds,
    acting: JoinSet<(Option<intake::Asker<Asker>>, Reply)>,
}

impl Mutator {
    /// A mutator that begins by bringing the world to `desired`, and the ends for its lanes. It knows the commands
    /// that are in `store`.
    pub fn new(
        policy: watch::Receiver<Policy>,
        desired: Desired,
        store: Store,
        orders: mpsc::Receiver<Order>,
        deeds: Deeds,
    ) -> (Mutator, LaneOutputs) {
        let (room, room_actions) = mpsc::channel(LANE_CAPACITY);
        let (recording, recording_actions) = mpsc::channel(LANE_CAPACITY);
        let (live, live_actions) = mpsc::channel(LANE_CAPACITY);
        let (microphone, microphone_actions) = mpsc::channel(LANE_CAPACITY);
        let (done_sender, done) = mpsc::channel(DONE_CAPACITY);
        let lanes = LaneInputs { room, recording, live, microphone };
        let rows = Rows::of_this_boot();
        let remembered = rows.read(&store, clock::now());
        let (intake, late) = Intake::new(*policy.borrow(), desired, remembered);
        let (pulse, acting) = (Pulse::vital("mutator"), JoinSet::new());
        let mutator =
            Mutator { intake, late, rows, policy, pulse, store, orders, lanes, done, deeds, acting };
        let outputs = LaneOutputs {
            room: room_actions,
            recording: recording_actions,
            live: live_actions,
            microphone: microphone_actions,
            done: done_sender,
        };
        (mutator, outputs)
    }

    /// Runs until `shutdown`; whoever still waits then is told so. What was accepted stays desired.
    pub async fn run(mut self, shutdown: Shutdown) {
        let late = std::mem::take(&mut self.late);
        self.answer(late);
        loop {
            self.pulse.beat();
            while let Some(action) = self.intake.start() {
                self.hand_out(action).await;
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(TURN) => self.intake.forget(clock::now()),
                Ok(()) = self.policy.changed() => self.intake.set_policy(*self.policy.borrow_and_update()),
                Some(order) = self.orders.recv() => self.judge(order).await,
                Some(done) = self.done.recv() => match done {
                    Done::Finished(ticket, reply) => {
                        let answers = self.intake.finish(ticket, &reply);
                        self.answer(answers);
                    }
                    Done::Unsettled(lane) => self.intake.unsettle(lane),
                },
                Some(Ok((asker, reply))) = self.acting.join_next() => {
                    let answer = asker.map(|asker| self.intake.acted(asker, reply));
                    self.answer(answer);
                }
            }
        }
        let stopping =
            Reply::refused(Code::NotReady, "the box is stopping; the order stands for its next start");
        let answers = self.intake.drain(&stopping);
        self.answer(answers);
    }

    async fn hand_out(&mut self, action: Action) {
        let ticket = action.ticket;
        let lane = match action.change.lane() {
            Lane::Room => &self.lanes.room,
            Lane::Recording => &self.lanes.recording,
            Lane::Live => &self.lanes.live,
            Lane::Microphone => &self.lanes.microphone,
        };
        if lane.send(action).await.is_err() {
            let stopped = Reply::refused(Code::Internal, "this part of the box has stopped");
            let answers = self.intake.finish(ticket, &stopped);
            self.answer(answers);
        }
    }

    async fn judge(&mut self, order: Order) {
        let Order { command, origin, identity, reply } = order;
        let taken = self.intake.order(&command, &origin, identity, reply, clock::now(), || ids::random(10));
        info!(command = command.name(), issuer = origin.issuer, verdict = word(&taken), "order");
        match taken {
            Taken::Now(outcome) => self.outcome(outcome),
            Taken::Keep(pending) => match self.keep(&pending).await {
                Ok(()) => {
                    if let Some(identity) = pending.identity() {
                        let correlation = String::from_utf8_lossy(&identity.key.correlation).into_owned();
                        info!(command = pending.name(), correlation, "taken on");
                    }
                    let outcome = self.intake.kept(*pending);
                    self.outcome(outcome);
                }
                Err(reason) => {
                    warn!(reason, "an order could not be kept, so it is not done");
                    self.answer([self.intake.not_kept(*pending, &reason)]);
                }
            },
        }
    }

    fn outcome(&mut self, outcome: Outcome<Asker>) {
        self.answer(outcome.answers);
        let Some((deed, asker)) = outcome.deed else { return };
        if self.acting.len() >= DEEDS {
            let busy = Reply::refused(Code::Busy, format!("{DEEDS} such orders are being done already"));
            let answer = asker.map(|asker| self.intake.acted(asker, busy));
            return self.answer(answer);
        }
        let acting = tokio::spawn(self.deeds.clone().act(deed));
        self.acting.spawn(async move {
            let failed = || Reply::refused(Code::Internal, "doing it failed");
            (asker, acting.await.unwrap_or_else(|_| failed()))
        });
    }

    /// On the disk when this returns Ok: after a crash the box knows what it was told.
    async fn keep(&self, pending: &Pending<Asker>) -> Result<(), String> {
        let row = self.rows.row(pending, self.intake.desired(), clock::now());
        let wish = pending.change().map(|change| (change.key(), change.value().to_string()));
        let (store, forgotten) = (self.store.clone(), pending.forgotten().to_vec());
        // A dead disk is no reason to start again: it would be as dead then.
        self.pulse.rest();
        let writing = move || {
            let wish = wish.as_ref().map(|(key, value)| (*key, value.as_str()));
            store.keep_command(row.as_ref(), wish, &forgotten)
        };
        let written = tokio::task::spawn_blocking(writing).await;
        self.pulse.beat();
        match written {
            Ok(written) => written.map_err(|error| error.to_string()),
            Err(_) => Err("the box is stopping".to_owned()),
        }
    }

    /// Says what is to be said. What a command's row must have first is written beside the mutator's work: at most
    /// as many writes wait as commands are remembered.
    fn answer(&self, answers: impl IntoIterator<Item = Answer<Asker>>) {
        for Answer { askers, reply, write } in answers {
            let Some(key) = write else {
                tell(askers, &reply);
                continue;
            };
            let (store, json) = (self.store.clone(), remembered::json(&reply));
            tokio::spawn(async move {
                let writing = move || store.answer_command(&key, &json);
                // It has happened, so it is said all the same; after a crash it is `unknown`, or found out.
                if let Ok(Err(error)) = tokio::task::spawn_blocking(writing).await {
                    warn!(%error, "the reply to a command could not be kept");
                }
                tell(askers, &reply);
            });
        }
    }
}

/// An asker that hung up does not mind.
fn tell(askers: Vec<Asker>, reply: &Reply) {
    for asker in askers {
        let _ = asker.send(reply.clone());
    }
}

fn word(taken: &Taken<Asker>) -> &'static str {
    match taken {
        Taken::Now(Outcome { deed: Some(_), .. }) => "done",
        Taken::Now(outcome) => match outcome.answers.first() {
            Some(answer) if answer.reply.ok => "answered",
            Some(_) => "refused",
            None => "under way",
        },
        Taken::Keep(pending) if pending.change().is_some() => "accepted",
        Taken::Keep(_) => "noted",
    }
}

/// What the store remembers of the orders before this start; what cannot be read is told and left out.
pub fn restored(store: &Store) -> Desired {
    let mut desired = Desired::default();
    for key in Desired::KEYS {
        match store.desired(key) {
            Ok(Some(json)) => {
                if let Err(error) = desired.restore(key, &json) {
                    warn!(%error, "starting without it");
                }
            }
            Ok(None) => {}
            Err(error) => warn!(%error, key, "what was ordered before cannot be read, starting without it"),
        }
    }
    desired
}

/// For lanes: `ok` without data.
pub fn done(message: &str) -> Reply {
    Reply::ok(message, Value::Null)
}
