//! Takes every order in: each command once, whoever repeats it and whenever the box dies. Pure; the daemon's one
//! mutator drives it.
//!
//! ```text
//! order ─▶ Answer      known already, refused, so already
//!       ─▶ Wait        it runs: the asker gets its reply
//!       ─▶ Keep ─▶ (the daemon writes the command's row and the change, in one transaction) ─▶ kept ─▶ start …
//!                                                                        could not be written ─▶ not_kept
//! start ─▶ Action … finish ─▶ Answer ─▶ (the daemon writes the reply into the row, then says it)
//! ```
//! Nothing is done for a command that has no row, and nothing is said that the row does not have. A box that dies
//! between finds the row: without it the command was not run, with a reply it is answered from there, and without a
//! reply the outcome is that of the lane that is brought to what the command wished for, or `unknown`.

use std::time::Instant;

use super::dedupe::{Duplicates, Identity, Key, Remembered, Seen};
use super::queue::{ASKERS_PER_ACTION, Action, Change, Deed, Lane, Policy, RequestQueue, Verdict};
use super::rate::{BURST, RATE, RateLimits};
use super::{Code, Command, Desired, Origin, Reply};

/// Who waits for an outcome.
#[derive(Debug, PartialEq)]
pub struct Asker<T>(Who<T>);

#[derive(Debug, PartialEq)]
enum Who<T> {
    /// One that is known by nothing (control socket, page).
    Direct(T),
    /// Everyone who asked for the command of this key.
    Of(Key),
}

/// Something to say.
#[derive(Debug, PartialEq)]
pub struct Answer<T> {
    /// To whom; perhaps to nobody.
    pub askers: Vec<T>,
    /// What.
    pub reply: Reply,
    /// The command whose row must have the reply before it is said.
    pub write: Option<Key>,
}

/// What the intake says to an order.
#[derive(Debug)]
pub enum Taken<T> {
    /// This, at once. Neither: its outcome is on its way.
    Now(Outcome<T>),
    /// To be written before anything is done.
    Keep(Box<Pending<T>>),
}

/// What comes of an order.
#[derive(Debug)]
pub struct Outcome<T> {
    /// To be said.
    pub answers: Vec<Answer<T>>,
    /// To be done; its outcome goes to [`Intake::acted`], if somebody waits for it.
    pub deed: Option<(Deed, Option<Asker<T>>)>,
}

impl<T> From<Vec<Answer<T>>> for Outcome<T> {
    fn from(answers: Vec<Answer<T>>) -> Self {
        Outcome { answers, deed: None }
    }
}

/// An order that is taken on as soon as it is written.
#[derive(Debug)]
pub struct Pending<T> {
    name: &'static str,
    identity: Option<Identity>,
    verdict: Verdict,
    asker: T,
    forgotten: Vec<Key>,
}

impl<T> Pending<T> {
    /// The contract's name of the command.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The row to write, if the command is known by something.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// The change to write, if any.
    pub fn change(&self) -> Option<&Change> {
        match &self.verdict {
            Verdict::Accept(change) => Some(change),
            _ => None,
        }
    }

    /// What the command wishes for, for its row: a key and a value of [`Desired`].
    pub fn wish(&self, desired: &Desired) -> Option<(&'static str, String)> {
        let key = match &self.verdict {
            // That everybody was put out cannot be told from the wish.
            Verdict::Accept(Change::RoomEnd) | Verdict::Answer(_) | Verdict::Do(_) => return None,
            Verdict::Accept(change) => return Some((change.key(), change.value().to_string())),
            Verdict::Attach(lane) => lane.key(),
        };
        Some((key, desired.value(key).to_string()))
    }

    /// The reply to write, if it is known already.
    pub fn reply(&self) -> Option<Reply> {
        match &self.verdict {
            Verdict::Answer(reply) => Some(reply.clone()),
            // The process that restarts cannot say so afterwards, and must not restart again.
            Verdict::Do(Deed::Restart) => Some(restarting()),
            _ => None,
        }
    }

    /// Rows to delete by the way: they are needed no more.
    pub fn forgotten(&self) -> &[Key] {
        &self.forgotten
    }
}

/// See the module's text. `T` is the way back to an asker; every one handed in comes out again exactly once.
#[derive(Debug)]
pub struct Intake<T> {
    queue: RequestQueue<Asker<T>>,
    duplicates: Duplicates<T>,
    limits: RateLimits,
}

impl<T> Intake<T> {
    /// Begins by bringing the world, which is doing nothing, to `desired`. The answers are those to commands that
    /// an earlier run left without one; nobody waits for them yet.
    pub fn new(policy: Policy, desired: Desired, remembered: Vec<Remembered>) -> (Self, Vec<Answer<T>>) {
        let (duplicates, limits) = (Duplicates::default(), RateLimits::default());
        let mut intake = Intake { queue: RequestQueue::new(policy, desired), duplicates, limits };
        let mut answers = Vec::new();
        for one in remembered {
            intake.duplicates.restore(&one);
            if one.reply.is_none() {
                answers.extend(intake.interrupted(one));
            }
        }
        (intake, answers)
    }

    /// A command whose outcome the box did not live to see: that of the lane, if that goes for what the command
    /// wished for. None: the lane will tell.
    fn interrupted(&mut self, command: Remembered) -> Option<Answer<T>> {
        let lane = command.wish.and_then(|(key, value)| {
            let wish: serde_json::Value = serde_json::from_str(&value).ok()?;
            (self.desired().value(&key) == wish).then(|| Lane::of_key(&key)).flatten()
        });
        let unknown = |message: &str| Reply::refused(Code::Unknown, message);
        let asker = Asker(Who::Of(command.key));
        let (asker, reply) = match lane {
            None => (asker, unknown("the box died before it could answer, and cannot tell what came of it")),
            Some(lane) if self.queue.busy(lane) => {
                let (asker, _) = self.queue.attach(lane, asker)?;
                (asker, unknown("the box died before it could answer; the state shows what came of it"))
            }
            Some(_) => (asker, Reply::ok("so since the box was started again", serde_json::Value::Null)),
        };
        Some(self.resolve(asker, reply))
    }

    /// What was last accepted.
    pub fn desired(&self) -> &Desired {
        self.queue.desired()
    }

    /// Takes a changed policy; it holds for orders to come.
    pub fn set_policy(&mut self, policy: Policy) {
        self.queue.set_policy(policy);
    }

    /// Takes an order at `now`. One with an identity is a command from afar: known by it, limited, and not run after
    /// its time. `new_id` is asked for the id of a recording that was given none.
    pub fn order(
        &mut self,
        command: &Command,
        origin: &Origin,
        identity: Option<Identity>,
        asker: T,
        now: Instant,
        new_id: impl FnOnce() -> String,
    ) -> Taken<T> {
        let (identity, asker) = match identity {
            None => (None, asker),
            Some(identity) => match self.admit(command, identity, asker, now) {
                Ok(admitted) => admitted,
                Err(taken) => return *taken,
            },
        };
        let verdict = self.queue.decide(command, origin, new_id);
        if let Verdict::Attach(lane) = &verdict
            && self.queue.crowded(*lane)
        {
            // Not remembered: asked again it may find room.
            let message = format!("{ASKERS_PER_ACTION} wait for the same already");
            return Taken::Now(vec![say(asker, Reply::refused(Code::Busy, message))].into());
        }
        let forgotten = self.duplicates.take_forgotten();
        let pending = Pending { name: command.name(), identity, verdict, asker, forgotten };
        if pending.identity.is_some() || pending.change().is_some() {
            return Taken::Keep(Box::new(pending));
        }
        Taken::Now(self.kept(pending))
    }

    /// Whether a command from afar is to be judged at all: its identity, if it must be remembered, and its asker.
    fn admit(
        &mut self,
        command: &Command,
        identity: Identity,
        asker: T,
        now: Instant,
    ) -> Result<(Option<Identity>, T), Box<Taken<T>>> {
        let answer = |asker, reply| Err(Box::new(Taken::Now(vec![say(asker, reply)].into())));
        let refuse =
            |asker, code, message: &str| answer(asker, Reply::refused(code, format!("{message}; not run")));
        let remembered = !command.changes_nothing();
        let asker = match remembered {
            false => asker,
            true => match self.duplicates.seen(&identity, asker, now) {
                Seen::New(asker) => asker,
                Seen::Running => return Err(Box::new(Taken::Now(Vec::new().into()))),
                Seen::Answered(asker, reply) => return answer(asker, reply),
                Seen::Crowded(asker) => {
                    let reply = Reply::refused(Code::Busy, "enough wait for its reply already");
                    return answer(asker, reply);
                }
                Seen::Full(asker) => return refuse(asker, Code::Busy, "too many commands are remembered"),
            },
        };
        if now >= identity.expires {
            return refuse(asker, Code::Expired, "it expired while it waited in the box");
        }
        let issuer = &identity.key.issuer;
        if let Err(wait) = self.limits.take(issuer, now) {
            let message = format!(
                "issuer {issuer:?} may give {BURST} commands at once and {RATE} a second, the next in {} ms",
                wait.as_millis().max(1)
            );
            return refuse(asker, Code::Busy, &message);
        }
        Ok((remembered.then_some(identity), asker))
    }

    /// What was pending is written: it is taken on.
    pub fn kept(&mut self, pending: Pending<T>) -> Outcome<T> {
        let Pending { identity, verdict, asker, .. } = pending;
        let asker = match identity {
            None => Asker(Who::Direct(asker)),
            Some(identity) => {
                self.duplicates.begin(&identity, asker);
                Asker(Who::Of(identity.key))
            }
        };
        match verdict {
            // Written together with the row.
            Verdict::Answer(reply) => vec![Answer { write: None, ..self.resolve(asker, reply) }].into(),
            Verdict::Do(Deed::Restart) => {
                let answers = vec![Answer { write: None, ..self.resolve(asker, restarting()) }];
                Outcome { answers, deed: Some((Deed::Restart, None)) }
            }
            Verdict::Do(deed) => Outcome { answers: Vec::new(), deed: Some((deed, Some(asker))) },
            Verdict::Attach(lane) => {
                let refused = self.queue.attach(lane, asker);
                self.resolve_all(refused).into()
            }
            Verdict::Accept(change) => {
                let superseded = self.queue.accept(change, asker);
                self.resolve_all(superseded).into()
            }
        }
    }

    /// What was pending could not be written, for `reason`: it is not run, and may be tried again.
    pub fn not_kept(&self, pending: Pending<T>, reason: &str) -> Answer<T> {
        let message = format!("it could not be kept, so it is not run: {reason}");
        say(pending.asker, Reply::refused(Code::NotReady, message))
    }

    /// The next thing to do; None: nothing, until an order is kept or an action has finished.
    pub fn start(&mut self) -> Option<Action> {
        self.queue.start()
    }

    /// An action has come to its end with `reply`; see [`RequestQueue::finish`].
    pub fn finish(&mut self, ticket: u64, reply: &Reply) -> Vec<Answer<T>> {
        let answers = self.queue.finish(ticket, reply);
        self.resolve_all(answers)
    }

    /// A deed has come to its end with `reply`.
    pub fn acted(&mut self, asker: Asker<T>, reply: Reply) -> Answer<T> {
        self.resolve(asker, reply)
    }

    /// See [`RequestQueue::unsettle`].
    pub fn unsettle(&mut self, lane: Lane) {
        self.queue.unsettle(lane);
    }

    /// Everyone who still waits, told `reply`; for the end of the process. Their commands' rows stay without a
    /// reply: the next run knows better.
    pub fn drain(&mut self, reply: &Reply) -> Vec<Answer<T>> {
        let answers = self.queue.drain(reply).into_iter().map(|(asker, reply)| match asker.0 {
            Who::Direct(asker) => say(asker, reply),
            Who::Of(key) => Answer { askers: self.duplicates.dismiss(&key), reply, write: None },
        });
        answers.collect()
    }

    /// Drops what is due to be forgotten.
    pub fn forget(&mut self, now: Instant) {
        self.duplicates.forget(now);
    }

    fn resolve(&mut self, asker: Asker<T>, reply: Reply) -> Answer<T> {
        match asker.0 {
            Who::Direct(asker) => say(asker, reply),
            Who::Of(key) => {
                let askers = self.duplicates.answered(&key, &reply);
                Answer { askers, reply, write: Some(key) }
            }
        }
    }

    fn resolve_all(&mut self, answers: impl IntoIterator<Item = (Asker<T>, Reply)>) -> Vec<Answer<T>> {
        answers.into_iter().map(|(asker, reply)| self.resolve(asker, reply)).collect()
    }
}

fn restarting() -> Reply {
    let message = "restarting: the process ends in order, and its service manager starts it again";
    Reply::ok(message, serde_json::Value::Null)
}

/// To somebody for whom no row has to be written.
fn say<T>(asker: T, reply: Reply) -> Answer<T> {
    Answer { askers: vec![asker], reply, write: None }
}

#[cfg(test)]
mod tests;
