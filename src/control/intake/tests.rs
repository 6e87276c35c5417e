//! The whole way of a command, from a broker that delivers at least once to an asker that repeats itself, with a box
//! that dies between any two steps. Virtual time, no I/O: every interleaving of a small world is walked through, and
//! random ones of a larger.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::base::clock;
use crate::control::{MicrophoneSet, RecordingSet, RecordingSource, RoomJoin};

/// How long a command is good.
const EXPIRY: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The asker gives its command, or repeats it because it has heard nothing.
    Publish(usize),
    /// The broker delivers the next message.
    Deliver,
    /// The row and the change are on the disk.
    Commit,
    /// They could not be written.
    Fail,
    /// The box goes on after writing.
    Go,
    Start,
    Finish(bool),
    /// A reply is in its row.
    Write,
    /// A reply is at the asker, and the command acknowledged.
    Send,
    /// The box dies, and is started again.
    Crash,
    Wait(Duration),
}

/// A command at the broker, or on its way to the box and not acknowledged.
#[derive(Clone, Debug)]
struct Message {
    command: usize,
    expires: Instant,
}

/// What stands on the disk about a command.
#[derive(Clone, Debug)]
struct Row {
    identity: Identity,
    wish: Option<(String, String)>,
    reply: Option<Reply>,
}

struct World {
    now: Instant,
    commands: Vec<Command>,
    /// When each expires, once it was given.
    expires: Vec<Option<Instant>>,
    queue: VecDeque<Message>,
    unacknowledged: Vec<Message>,
    desired: Desired,
    rows: BTreeMap<usize, Row>,
    /// How often each was run: its change written.
    runs: Vec<usize>,
    heard: Vec<Vec<Reply>>,
    deeds: Vec<Deed>,
    // What dies with the box. Askers are named by their command.
    intake: Intake<usize>,
    pending: Option<(usize, Box<Pending<usize>>)>,
    committed: bool,
    running: Vec<Action>,
    unwritten: VecDeque<Answer<usize>>,
    unsent: VecDeque<(Option<usize>, Vec<usize>, Reply)>,
}

fn key(command: usize) -> Key {
    Key { issuer: "app".into(), correlation: vec![command as u8] }
}

fn index(key: &Key) -> usize {
    usize::from(key.correlation[0])
}

impl World {
    fn new(commands: &[Command]) -> World {
        let (intake, _) = Intake::new(Policy::default(), Desired::default(), Vec::new());
        World {
            now: clock::now(),
            commands: commands.to_vec(),
            expires: vec![None; commands.len()],
            queue: VecDeque::new(),
            unacknowledged: Vec::new(),
            desired: Desired::default(),
            rows: BTreeMap::new(),
            runs: vec![0; commands.len()],
            heard: vec![Vec::new(); commands.len()],
            deeds: Vec::new(),
            intake,
            pending: None,
            committed: false,
            running: Vec::new(),
            unwritten: VecDeque::new(),
            unsent: VecDeque::new(),
        }
    }

    /// Whether the asker of a command has an answer that is worth no repetition.
    fn content(&self, command: usize) -> bool {
        self.heard[command].iter().any(|reply| !matches!(reply.code, Code::Busy | Code::NotReady))
    }

    fn waits(&self, command: usize) -> bool {
        self.expires[command].is_none_or(|expires| self.now < expires) && !self.content(command)
    }

    /// What can happen now, apart from the asker, the disk's failures, time and death.
    fn progress(&self) -> Vec<Step> {
        if self.pending.is_some() {
            return vec![if self.committed { Step::Go } else { Step::Commit }];
        }
        let possible = [
            (!self.queue.is_empty(), Step::Deliver),
            (!self.running.is_empty(), Step::Finish(true)),
            (!self.unwritten.is_empty(), Step::Write),
            (!self.unsent.is_empty(), Step::Send),
        ];
        possible.into_iter().filter(|(possible, _)| *possible).map(|(_, step)| step).collect()
    }

    /// Does it; false: nothing came of it.
    fn step(&mut self, step: Step) -> bool {
        match step {
            Step::Publish(command) => {
                let expires = *self.expires[command].get_or_insert(self.now + EXPIRY);
                self.queue.push_back(Message { command, expires });
            }
            Step::Deliver if self.pending.is_none() => return self.deliver(),
            Step::Commit if !self.committed => return self.commit(),
            Step::Fail if !self.committed => {
                let Some((_, pending)) = self.pending.take() else { return false };
                let answer = self.intake.not_kept(*pending, "disk full");
                self.answer([answer]);
            }
            Step::Go if self.committed => {
                let Some((_, pending)) = self.pending.take() else { return false };
                self.committed = false;
                let outcome = self.intake.kept(*pending);
                self.outcome(outcome);
            }
            Step::Start if self.pending.is_none() => {
                let Some(action) = self.intake.start() else { return false };
                self.running.push(action);
            }
            Step::Finish(ok) if self.pending.is_none() => {
                let Some(action) = self.running.pop() else { return false };
                let reply = match ok {
                    true => Reply::ok("done", json!(action.change.key())),
                    false => Reply::refused(Code::Upstream, "failed"),
                };
                let answers = self.intake.finish(action.ticket, &reply);
                self.answer(answers);
            }
            Step::Write => {
                let Some(answer) = self.unwritten.pop_front() else { return false };
                let written = answer.write.as_ref().map(index);
                if let Some(row) = written.and_then(|command| self.rows.get_mut(&command)) {
                    (row.reply, row.wish) = (Some(answer.reply.clone()), None);
                }
                self.unsent.push_back((written, answer.askers, answer.reply));
            }
            Step::Send => {
                let Some((_, askers, reply)) = self.unsent.pop_front() else { return false };
                for asker in askers {
                    self.heard[asker].push(reply.clone());
                    self.unacknowledged.retain(|message| message.command != asker);
                }
            }
            Step::Crash => self.crash(),
            Step::Wait(time) => {
                self.now += time;
                self.intake.forget(self.now);
            }
            _ => return false,
        }
        true
    }

    fn deliver(&mut self) -> bool {
        let Some(message) = self.queue.pop_front() else { return false };
        if self.now >= message.expires {
            // The broker's doing.
            return true;
        }
        let asker = message.command;
        let identity = Identity { key: key(asker), expires: message.expires };
        self.unacknowledged.push(message);
        let origin = Origin { issuer: "app".into(), local: false };
        let (command, new_id) = (&self.commands[asker], || format!("id{asker}"));
        match self.intake.order(command, &origin, Some(identity), asker, self.now, new_id) {
            Taken::Now(outcome) => self.outcome(outcome),
            Taken::Keep(pending) => self.pending = Some((asker, pending)),
        }
        true
    }

    fn commit(&mut self) -> bool {
        let Some((command, pending)) = &self.pending else { return false };
        let identity = pending.identity().unwrap().clone();
        assert!(self.now < identity.expires + EXPIRY, "long expired");
        let wish = pending.wish(self.intake.desired()).map(|(key, value)| (key.to_owned(), value));
        let reply = pending.reply();
        if let Some(change) = pending.change() {
            self.runs[*command] += 1;
            self.desired.restore(change.key(), &change.value().to_string()).unwrap();
        }
        for key in pending.forgotten() {
            self.rows.remove(&index(key));
        }
        self.rows.insert(*command, Row { identity, wish, reply });
        self.committed = true;
        true
    }

    /// A deed is done at once; how often is counted by who asked for it.
    fn outcome(&mut self, outcome: Outcome<usize>) {
        self.answer(outcome.answers);
        if let Some((deed, asker)) = outcome.deed {
            self.deeds.push(deed);
            let answer = asker.map(|asker| self.intake.acted(asker, Reply::ok("done", json!("deed"))));
            self.answer(answer);
        }
    }

    fn answer(&mut self, answers: impl IntoIterator<Item = Answer<usize>>) {
        for answer in answers {
            match answer.write {
                Some(_) => self.unwritten.push_back(answer),
                None => self.unsent.push_back((None, answer.askers, answer.reply)),
            }
        }
    }

    fn crash(&mut self) {
        for message in self.unacknowledged.drain(..).rev() {
            self.queue.push_front(message);
        }
        (self.pending, self.committed) = (None, false);
        self.running.clear();
        self.unwritten.clear();
        self.unsent.clear();
        let remembered = self.rows.values().map(|row| Remembered {
            key: row.identity.key.clone(),
            forget_at: row.identity.forget_at(),
            wish: row.wish.clone(),
            reply: row.reply.clone(),
        });
        let (intake, late) = Intake::new(Policy::default(), self.desired.clone(), remembered.collect());
        self.intake = intake;
        self.answer(late);
    }

    fn check(&self) {
        for (command, runs) in self.runs.iter().enumerate() {
            assert!(*runs <= 1, "command {command} was run {runs} times");
            let deeds = self.deeds.iter().filter(|deed| **deed == Deed::Restart).count();
            assert!(deeds <= 1, "restarted {deeds} times");
            let said_not_run = |reply: &Reply| reply.message.contains("not run");
            if *runs == 1 && self.heard[command].iter().any(|r| r.code == Code::Expired && said_not_run(r)) {
                panic!("command {command} was run and is said to have expired");
            }
        }
        if self.pending.is_none() {
            assert_eq!(self.intake.desired(), &self.desired, "the disk and the box differ");
        }
    }

    /// Lets everything happen that still can, without failures; every asker that still waits has its answer then.
    fn settle(&mut self) {
        for _ in 0..20 {
            let waiting: Vec<usize> = (0..self.commands.len())
                .filter(|command| self.expires[*command].is_some() && self.waits(*command))
                .collect();
            for command in waiting {
                self.step(Step::Publish(command));
            }
            for _ in 0..200 {
                let mut moved = self.step(Step::Start);
                for step in self.progress() {
                    moved |= self.step(step);
                }
                self.check();
                if !moved {
                    break;
                }
            }
        }
        for command in 0..self.commands.len() {
            let lost = self.expires[command].is_some() && self.waits(command);
            assert!(!lost, "the asker of command {command} waits in vain");
        }
        assert!(self.unacknowledged.is_empty(), "{:?}", self.unacknowledged);
    }
}

fn record(on: bool) -> Command {
    Command::RecordingSet(RecordingSet { on, id: None, source: RecordingSource::Box })
}

/// Walks through every order in which the steps of one or two commands can happen, with two deaths, a repetition and
/// a disk that is full once.
fn walk(commands: &[Command], deaths: usize, repetitions: usize) -> usize {
    let mut script: Vec<(usize, usize)> = Vec::new();
    let mut walks = 0;
    loop {
        let mut world = World::new(commands);
        let (mut died, mut repeated, mut failed, mut at) = (0, 0, 0, 0);
        for command in 0..commands.len() {
            world.step(Step::Publish(command));
        }
        loop {
            // As the mutator does.
            while world.step(Step::Start) {}
            let mut possible = world.progress();
            if possible.is_empty() {
                break;
            }
            if died < deaths {
                possible.push(Step::Crash);
            }
            if repeated < repetitions {
                possible.push(Step::Publish(0));
            }
            if failed < 1 && possible.contains(&Step::Commit) {
                possible.push(Step::Fail);
            }
            if at == script.len() {
                script.push((0, possible.len()));
            }
            let step = possible[script[at].0];
            at += 1;
            died += usize::from(step == Step::Crash);
            repeated += usize::from(matches!(step, Step::Publish(_)));
            failed += usize::from(step == Step::Fail);
            assert!(world.step(step), "{step:?}");
            world.check();
        }
        world.settle();
        walks += 1;
        script.truncate(at);
        while let Some((choice, of)) = script.pop() {
            if choice + 1 < of {
                script.push((choice + 1, of));
                break;
            }
        }
        if script.is_empty() {
            return walks;
        }
    }
}

#[test]
fn in_every_order_of_deaths_repetitions_and_a_full_disk_a_command_is_run_once_and_answered() {
    let walks = walk(&[record(true)], 2, 1);
    assert!(walks > 1000, "{walks}");
    assert!(walk(&[record(true), record(false)], 1, 0) > 1000);
    walk(&[Command::Restart], 2, 1);
}

#[test]
fn after_a_death_a_command_has_the_lanes_outcome_or_is_unknown() {
    let mut world = World::new(&[record(true), record(false), Command::RoomEnd]);
    let steps = [Step::Publish(0), Step::Deliver, Step::Commit, Step::Crash];
    assert!(steps.iter().all(|step| world.step(*step)));
    world.settle();
    assert_eq!(
        world.heard[0].last().map(|reply| (reply.ok, reply.data.clone())),
        Some((true, json!("recording")))
    );
    // Somebody else wished for something else before it was done.
    let mut world = World::new(&[record(true), record(false)]);
    for step in [Step::Publish(0), Step::Deliver, Step::Commit, Step::Go, Step::Start] {
        assert!(world.step(step));
    }
    for step in [Step::Publish(1), Step::Deliver, Step::Commit, Step::Crash] {
        assert!(world.step(step));
    }
    world.settle();
    assert_eq!(world.heard[0].last().map(|reply| reply.code), Some(Code::Unknown));
    assert_eq!(world.heard[1].last().map(|reply| reply.code), Some(Code::Ok), "no recording is so at once");
}

#[test]
fn too_many_too_late_and_what_cannot_be_kept_is_refused_and_may_be_tried_again() {
    let mut world = World::new(&[record(true), record(false)]);
    let rate = |world: &mut World, n: u32| {
        let origin = Origin { issuer: "app".into(), local: false };
        let identity = Identity { key: key(200), expires: world.now + EXPIRY };
        let taken = (0..n).map(|_| {
            world.intake.order(&Command::Ping, &origin, Some(identity.clone()), 0, world.now, String::new)
        });
        taken.filter(|taken| matches!(taken, Taken::Now(now) if now.answers[0].reply.ok)).count()
    };
    assert_eq!(rate(&mut world, BURST + 5), BURST as usize);
    world.step(Step::Publish(0));
    world.step(Step::Deliver);
    world.step(Step::Send);
    let busy = world.heard[0].pop().unwrap();
    assert_eq!((busy.code, busy.retryable), (Code::Busy, true));
    assert!(busy.message.contains("20 a second") && busy.message.contains("\"app\""), "{}", busy.message);
    world.step(Step::Wait(Duration::from_secs(3)));
    world.step(Step::Publish(0));
    assert!([Step::Deliver, Step::Fail, Step::Send].iter().all(|step| world.step(*step)));
    let full = world.heard[0].pop().unwrap();
    assert_eq!((full.code, full.retryable), (Code::NotReady, true));
    assert!(full.message.contains("disk full"), "{}", full.message);
    assert_eq!(rate(&mut world, 1), 1, "the issuer is not at fault");
    world.settle();
    assert_eq!((world.runs[0], world.heard[0].len()), (1, 1));
    // A command that waited in the box for longer than it is good.
    let late = Identity { key: key(1), expires: world.now };
    let origin = Origin { issuer: "app".into(), local: false };
    let taken = world.intake.order(&record(false), &origin, Some(late), 1, world.now, String::new);
    assert!(matches!(taken, Taken::Now(now) if now.answers[0].reply.code == Code::Expired));
}

fn step(commands: usize) -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..commands).prop_map(Step::Publish),
        4 => Just(Step::Deliver),
        4 => Just(Step::Commit),
        4 => Just(Step::Go),
        1 => Just(Step::Fail),
        3 => Just(Step::Start),
        3 => prop_oneof![3 => Just(true), 1 => Just(false)].prop_map(Step::Finish),
        3 => Just(Step::Write),
        3 => Just(Step::Send),
        1 => Just(Step::Crash),
        1 => (0u64..4000).prop_map(|ms| Step::Wait(Duration::from_millis(ms))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: proptest::test_runner::RngSeed::Fixed(20_261_121),
        failure_persistence: None,
        cases: 512,
        ..ProptestConfig::default()
    })]
    #[test]
    fn whatever_happens_no_command_is_run_twice_and_no_asker_that_still_waits_is_left_alone(
        steps in proptest::collection::vec(step(7), 0..120)
    ) {
        let join = |room: &str| Command::RoomJoin(RoomJoin { room: room.into(), url: None, token: None });
        let commands = [
            Command::Restart,
            record(true),
            record(false),
            join("a"),
            join("b"),
            Command::RoomLeave,
            Command::MicrophoneSet(MicrophoneSet { muted: true }),
        ];
        let mut world = World::new(&commands);
        for step in steps {
            if let Step::Publish(command) = step && !world.waits(command) {
                continue;
            }
            world.step(step);
            world.check();
        }
        world.settle();
    }
}
