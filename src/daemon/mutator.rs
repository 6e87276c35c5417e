//! The one task that changes the world: takes orders from every bridge, lets the pure queue judge them, persists
//! what is accepted, hands it to the lane that does it, and answers.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{info, warn};

use crate::base::pulse::Pulse;
use crate::base::{Shutdown, ids};
use crate::control::queue::{Action, Change, Lane, Policy, RequestQueue, Verdict};
use crate::control::{Code, Desired, Order, Reply};
use crate::store::Store;

/// Actions on their way to one lane: the queue lets one run and, for the room and going live, one more take its place.
const LANE_CAPACITY: usize = 4;
/// Ends of actions on their way back; lanes wait for a place.
const DONE_CAPACITY: usize = 16;
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
    queue: RequestQueue<oneshot::Sender<Reply>>,
    policy: watch::Receiver<Policy>,
    pulse: Pulse,
    store: Store,
    orders: mpsc::Receiver<Order>,
    lanes: LaneInputs,
    done: mpsc::Receiver<Done>,
}

impl Mutator {
    /// A mutator that begins by bringing the world to `desired`, and the ends for its lanes.
    pub fn new(
        policy: watch::Receiver<Policy>,
        desired: Desired,
        store: Store,
        orders: mpsc::Receiver<Order>,
    ) -> (Mutator, LaneOutputs) {
        let (room, room_actions) = mpsc::channel(LANE_CAPACITY);
        let (recording, recording_actions) = mpsc::channel(LANE_CAPACITY);
        let (live, live_actions) = mpsc::channel(LANE_CAPACITY);
        let (microphone, microphone_actions) = mpsc::channel(LANE_CAPACITY);
        let (done_sender, done) = mpsc::channel(DONE_CAPACITY);
        let lanes = LaneInputs { room, recording, live, microphone };
        let queue = RequestQueue::new(*policy.borrow(), desired);
        let pulse = Pulse::vital("mutator");
        let mutator = Mutator { queue, policy, pulse, store, orders, lanes, done };
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
        loop {
            self.pulse.beat();
            while let Some(action) = self.queue.start() {
                self.hand_out(action).await;
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(TURN) => {}
                Ok(()) = self.policy.changed() => self.queue.set_policy(*self.policy.borrow_and_update()),
                Some(order) = self.orders.recv() => self.judge(order).await,
                Some(done) = self.done.recv() => match done {
                    Done::Finished(ticket, reply) => answer(self.queue.finish(ticket, &reply)),
                    Done::Unsettled(lane) => self.queue.unsettle(lane),
                },
            }
        }
        let stopping =
            Reply::refused(Code::NotReady, "the box is stopping; the order stands for its next start");
        answer(self.queue.drain(&stopping));
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
            answer(
                self.queue
                    .finish(ticket, &Reply::refused(Code::Internal, "this part of the box has stopped")),
            );
        }
    }

    async fn judge(&mut self, order: Order) {
        let (command, origin) = (&order.command, &order.origin);
        let verdict = self.queue.decide(command, origin, || ids::random(10));
        info!(command = command.name(), issuer = origin.issuer, verdict = word(&verdict), "order");
        match verdict {
            Verdict::Answer(reply) => answer(Some((order.reply, reply))),
            Verdict::Attach(lane) => answer(self.queue.attach(lane, order.reply)),
            Verdict::Accept(change) => match self.persist(&change).await {
                Ok(()) => answer(self.queue.accept(change, order.reply)),
                Err(reply) => answer(Some((order.reply, reply))),
            },
        }
    }

    /// On the disk when this returns Ok: after a crash the box knows what it was told.
    async fn persist(&self, change: &Change) -> Result<(), Reply> {
        let (store, key, value) = (self.store.clone(), change.key(), change.value().to_string());
        // A dead disk is no reason to start again: it would be as dead then.
        self.pulse.rest();
        let written = tokio::task::spawn_blocking(move || store.set_desired(key, &value)).await;
        self.pulse.beat();
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                warn!(%error, "an order could not be kept, so it is not done");
                Err(Reply::refused(Code::Internal, format!("the order could not be kept: {error}")))
            }
            Err(_) => Err(Reply::refused(Code::Internal, "the order could not be kept")),
        }
    }
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Answer(reply) if reply.ok => "already so",
        Verdict::Answer(_) => "refused",
        Verdict::Attach(_) => "under way",
        Verdict::Accept(_) => "accepted",
    }
}

/// An asker that hung up does not mind.
fn answer(answers: impl IntoIterator<Item = (oneshot::Sender<Reply>, Reply)>) {
    for (asker, reply) in answers {
        let _ = asker.send(reply);
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
