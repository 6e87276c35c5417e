use proptest::prelude::*;
use serde_json::json;

use super::*;

const BOOT: &str = "boot-1";
/// Deadline of every job here, in ms since 1970.
const DEADLINE: i64 = 1_795_291_200_000;
const BEFORE: i64 = DEADLINE - 1000;

fn reboot(when: &str) -> Vec<u8> {
    json!({"op": "reboot", "args": {"when": when}, "deadline": "2026-11-21T20:00:00Z"})
        .to_string()
        .into_bytes()
}

fn upload() -> Vec<u8> {
    let args =
        json!({"since": "2026-11-21T00:00:00Z", "until": "2026-11-21T01:00:00Z", "url": "https://h/s3cret"});
    json!({"op": "log_upload", "args": args, "deadline": "2026-11-21T20:00:00Z"}).to_string().into_bytes()
}

fn reprovision(token: &str) -> Vec<u8> {
    let args = json!({"enroll_url": "https://h/v1", "token": token, "fleet": "lab"});
    json!({"op": "reprovision", "args": args, "deadline": "2026-11-21T20:00:00Z"}).to_string().into_bytes()
}

fn status(book: &JobBook, id: &str) -> (Progress, String, Option<Code>) {
    let status = &book.jobs[id].row.status;
    (status.status, status.step.clone(), status.code)
}

/// What a process that starts now finds on the disk.
fn again(book: &JobBook, boot: &str) -> JobBook {
    let mut next = JobBook::new(boot);
    for (id, entry) in &book.jobs {
        let row = serde_json::from_value(json!(entry.row)).unwrap();
        next.restore(id, row, "later");
    }
    next
}

#[test]
fn a_reboot_waits_until_the_box_is_idle_and_has_succeeded_in_the_next_boot() {
    let mut book = JobBook::new(BOOT);
    assert_eq!(book.receive("r", &reboot("idle"), BEFORE, "t"), Received::Known);
    assert_eq!(book.turn(BEFORE, false, "t"), []);
    assert_eq!(status(&book, "r"), (Progress::Queued, "waiting_until_idle".into(), None));
    assert_eq!(book.turn(BEFORE, true, "t"), [Action::Reboot("r".into())]);
    assert_eq!(book.turn(BEFORE, true, "t"), [], "asked for once");
    assert_eq!(status(&book, "r"), (Progress::Running, "restarting".into(), None));

    let mut same = again(&book, BOOT);
    assert_eq!(same.turn(BEFORE, true, "t"), [Action::Reboot("r".into())], "nobody was asked yet");
    assert_eq!(same.turn(DEADLINE, true, "t"), []);
    assert_eq!(status(&same, "r"), (Progress::Failed, "restarting".into(), Some(Code::Timeout)));

    book.asked("r");
    assert_eq!(
        again(&book, BOOT).turn(BEFORE, true, "t"),
        [],
        "it was asked for: only the deadline is waited for"
    );
    let mut next = again(&book, "boot-2");
    assert_eq!(next.turn(DEADLINE + 1, true, "t"), [], "however late it is");
    assert_eq!(status(&next, "r"), (Progress::Succeeded, "done".into(), Some(Code::Ok)));
    assert_eq!(next.receive("r", &reboot("idle"), BEFORE, "t"), Received::Known, "the broker sends it again");
    assert_eq!(again(&next, "boot-3").turn(BEFORE, true, "t"), [], "it is not done again");
    assert_eq!(next.ended().len(), 1);
}

#[test]
fn a_reboot_at_once_does_not_wait_and_one_that_never_comes_to_it_is_timed_out() {
    let mut book = JobBook::new(BOOT);
    book.receive("now", &reboot("now"), BEFORE, "t");
    assert_eq!(book.turn(BEFORE, false, "t"), [Action::Reboot("now".into())]);
    book.receive("idle", &reboot("idle"), BEFORE, "t");
    book.turn(BEFORE, false, "t");
    book.turn(DEADLINE, false, "t");
    assert_eq!(status(&book, "idle"), (Progress::TimedOut, "waiting_until_idle".into(), Some(Code::Timeout)));
    book.receive("late", &reboot("now"), DEADLINE, "t");
    assert_eq!(status(&book, "late"), (Progress::TimedOut, "queued".into(), Some(Code::Expired)));
    assert_eq!(book.turn(DEADLINE, true, "t"), []);
}

#[test]
fn an_upload_begins_anew_after_a_restart_and_its_order_is_not_kept_beyond_its_end() {
    let mut book = JobBook::new(BOOT);
    book.receive("a", &upload(), BEFORE, "t");
    book.receive("b", &upload(), BEFORE, "t");
    book.receive("r", &reboot("idle"), BEFORE, "t");
    let actions = book.turn(BEFORE, true, "t");
    assert!(
        matches!(&actions[..], [Action::Upload(id, _, DEADLINE)] if id == "a"),
        "one at a time: {actions:?}"
    );
    book.progress("a", "sending", 40, "t");
    assert_eq!(book.jobs["a"].row.status.percent, 40);
    let mut next = again(&book, "boot-2");
    assert_eq!(status(&next, "a").0, Progress::Queued);
    assert!(matches!(&next.turn(BEFORE, true, "t")[..], [Action::Upload(id, ..)] if id == "a"));
    next.finished("a", Code::Ok, "sent", "t");
    next.progress("a", "sending", 50, "t");
    assert_eq!(status(&next, "a"), (Progress::Succeeded, "done".into(), Some(Code::Ok)));
    assert!(!json!(next.jobs["a"].row).to_string().contains("s3cret"));
    assert!(matches!(&next.turn(BEFORE, true, "t")[..], [Action::Upload(id, ..)] if id == "b"));
    assert_eq!(next.turn(DEADLINE, true, "t"), [Action::Abort("b".into())]);
    assert_eq!(status(&next, "b").0, Progress::TimedOut);
    assert_eq!(status(&next, "r").0, Progress::TimedOut, "it waited for the uploads");
}

/// The one order to enrol among `actions`.
fn handed_over(actions: &[Action], id: &str) {
    assert!(matches!(actions, [Action::Enrol(of, order)] if of == id && order.fleet == "lab"), "{actions:?}");
}

#[test]
fn an_enrolment_is_handed_over_once_its_token_is_forgotten_and_the_next_one_waits() {
    let mut book = JobBook::new(BOOT);
    book.receive("a", &reprovision("s3cret"), BEFORE, "t");
    book.receive("b", &reprovision("other"), BEFORE, "t");
    book.receive("r", &reboot("idle"), BEFORE, "t");
    handed_over(&book.turn(BEFORE, true, "t"), "a");
    assert_eq!(book.turn(BEFORE, true, "t"), [], "one at a time, and no restart meanwhile");
    let waits = (Progress::Running, "waiting_for_roomd-reprovision.path".to_owned(), None);
    assert_eq!(status(&book, "a"), waits);
    let mut next = again(&book, BOOT);
    handed_over(&next.turn(BEFORE, true, "t"), "a");

    next.asked("a");
    assert!(!format!("{:?}{}", next.jobs["a"], json!(next.jobs["a"].row)).contains("s3cret"));
    let mut next = again(&next, BOOT);
    assert_eq!((next.turn(BEFORE, true, "t"), status(&next, "a")), (vec![], waits));
    let enrolling = next.enrolling().unwrap();
    assert_eq!((enrolling.id.as_str(), enrolling.label.len(), enrolling.asked), ("a", 16, true));
    next.finished("a", Code::Unauthorized, "token_unknown", "t");
    assert_eq!(status(&next, "a").0, Progress::Failed);

    handed_over(&next.turn(BEFORE, true, "t"), "b");
    assert_ne!(next.enrolling().unwrap().label, enrolling.label);
    next.asked("b");
    assert_eq!(next.turn(DEADLINE, true, "t"), [Action::Withdraw("b".into())]);
    assert_eq!((status(&next, "b").0, next.enrolling()), (Progress::TimedOut, None));
    assert_eq!(status(&next, "r").0, Progress::TimedOut);
}

#[test]
fn an_enrolment_that_is_taken_away_is_withdrawn() {
    let mut book = JobBook::new(BOOT);
    book.receive("a", &reprovision("s3cret"), BEFORE, "t");
    book.turn(BEFORE, true, "t");
    book.asked("a");
    book.removed("a");
    assert_eq!(book.turn(BEFORE, true, "t"), [Action::Withdraw("a".into())]);
    assert_eq!(book.enrolling(), None);
}

#[test]
fn what_makes_no_sense_is_rejected_and_remembered_and_what_is_taken_away_is_forgotten() {
    let mut book = JobBook::new(BOOT);
    book.receive("bad", b"{", BEFORE, "t");
    assert_eq!(status(&book, "bad"), (Progress::Rejected, "queued".into(), Some(Code::BadRequest)));
    book.receive("new", br#"{"op":"update","args":{}}"#, BEFORE, "t");
    assert_eq!(status(&book, "new").2, Some(Code::Unsupported));
    book.receive("u", &upload(), BEFORE, "t");
    assert_eq!(book.receive("u", &reboot("now"), BEFORE, "t"), Received::Taken);
    book.turn(BEFORE, true, "t");
    book.kept();
    book.untold();
    for id in ["u", "bad", "nobody-knows-it"] {
        book.removed(id);
    }
    assert!(book.unkept().iter().all(|(_, row)| row.is_none()));
    assert_eq!(book.untold().iter().filter(|(_, status)| status.is_none()).count(), 3);
    assert_eq!(book.turn(BEFORE, true, "t"), [Action::Abort("u".into())]);
}

#[test]
fn the_book_has_an_end_and_makes_room_for_new_jobs_by_forgetting_those_that_cannot_come_again() {
    let mut book = JobBook::new(BOOT);
    for n in 0..REMEMBERED {
        assert_eq!(book.receive(&n.to_string(), &upload(), BEFORE, "t"), Received::Known);
    }
    let Received::Full(status) = book.receive("one more", &upload(), BEFORE, "t") else {
        panic!("there is room")
    };
    assert_eq!((status.status, status.code), (Progress::Rejected, Some(Code::Busy)));
    book.finished("1", Code::Ok, "", "t");
    assert!(
        matches!(book.receive("one more", &upload(), BEFORE, "t"), Received::Full(_)),
        "it could come again"
    );
    let other = String::from_utf8(upload()).unwrap().replace("2026-11-21T20:00:00Z", "2026-11-22T20:00:00Z");
    book.turn(DEADLINE, true, "t");
    assert_eq!(book.receive("one more", other.as_bytes(), DEADLINE, "t"), Received::Known);
    assert_eq!(book.jobs.len(), 1);
}

#[derive(Clone, Debug)]
enum Step {
    Receive(u8, u8),
    Remove(u8),
    Turn {
        later_ms: i64,
        idle: bool,
        disk_full: bool,
    },
    Finish(u8, bool),
    /// The power fails before anything of the last turn was kept, or after.
    Crash {
        kept: bool,
        reboot: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..4u8, 0..5u8).prop_map(|(id, what)| Step::Receive(id, what)),
        1 => (0..4u8).prop_map(Step::Remove),
        4 => (0..300i64, any::<bool>(), proptest::bool::weighted(0.1))
            .prop_map(|(later_ms, idle, disk_full)| Step::Turn { later_ms, idle, disk_full }),
        2 => (0..4u8, any::<bool>()).prop_map(|(id, ok)| Step::Finish(id, ok)),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(kept, reboot)| Step::Crash { kept, reboot }),
    ]
}

/// The world around the book: disk, broker (which sends everything again after a crash), machine.
#[derive(Default)]
struct World {
    disk: BTreeMap<String, Row>,
    broker: BTreeMap<String, Vec<u8>>,
    ended: BTreeMap<String, Progress>,
    reboots: BTreeMap<String, BTreeSet<u32>>,
    /// The job whose order to enrol lies there.
    handed_over: Option<String>,
    now_ms: i64,
    boot: u32,
}

impl World {
    fn keep(&mut self, book: &mut JobBook) {
        for (id, row) in book.unkept() {
            match row {
                Some(row) => {
                    let text = json!(row).to_string();
                    assert!(!row.asked || !text.contains("s3cret"), "kept longer than needed: {text}");
                    self.disk.insert(id, row);
                }
                None => drop(self.disk.remove(&id)),
            }
        }
        book.kept();
    }

    /// Ends are final, and told once in each run.
    fn look(&mut self, book: &mut JobBook) {
        for (id, status) in book.untold() {
            match status {
                None => drop(self.ended.remove(&id)),
                Some(status) if status.status.is_end() => {
                    let first = *self.ended.entry(id.clone()).or_insert(status.status);
                    assert_eq!(first, status.status, "{id} has ended twice");
                }
                Some(status) => {
                    assert!(!self.ended.contains_key(&id), "{id} goes on after its end: {status:?}")
                }
            }
        }
    }

    fn start(&mut self) -> JobBook {
        let mut book = JobBook::new(&self.boot.to_string());
        for (id, row) in &self.disk {
            book.restore(id, row.clone(), "t");
        }
        // As the daemon does; an order that was not noted as handed over is handed over again.
        if book.enrolling().is_none_or(|enrolling| !enrolling.asked) {
            self.handed_over = None;
        }
        for (id, payload) in &self.broker {
            book.receive(id, payload, self.now_ms, "t");
        }
        book
    }

    fn act(&mut self, book: &mut JobBook, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Reboot(id) => {
                    assert_eq!(
                        self.disk[&id].boot.as_deref(),
                        Some(self.boot.to_string().as_str()),
                        "kept before it is done"
                    );
                    self.reboots.entry(id.clone()).or_default().insert(self.boot);
                    book.asked(&id);
                }
                Action::Enrol(id, order) => {
                    let row = &self.disk[&id];
                    assert_eq!(row.enrolment, Some(order.token.label()), "kept before it is done");
                    assert!(!row.asked, "{id} is handed over twice");
                    assert_eq!(self.handed_over.replace(id.clone()), None, "one at a time");
                    book.asked(&id);
                }
                Action::Withdraw(id) => {
                    self.handed_over.take_if(|of| *of == id);
                }
                Action::Upload(..) | Action::Abort(_) => {}
            }
        }
    }
}

proptest! {
    #[test]
    fn every_job_ends_once_whatever_breaks_and_a_machine_is_restarted_once_for_each(
        steps in proptest::collection::vec(step(), 0..60)
    ) {
        let mut world = World { now_ms: BEFORE - 10_000, ..World::default() };
        let mut book = world.start();
        for step in steps {
            match step {
                Step::Receive(id, what) => {
                    let id = id.to_string();
                    let payload = [reboot("idle"), reboot("now"), upload(), b"?".to_vec(), reprovision("s3cret")][usize::from(what)].clone();
                    if !world.broker.contains_key(&id) {
                        book.receive(&id, &payload, world.now_ms, "t");
                        // Acknowledged once it is kept.
                        world.keep(&mut book);
                        world.broker.insert(id, payload);
                    }
                }
                Step::Remove(id) => {
                    world.broker.remove(&id.to_string());
                    world.reboots.remove(&id.to_string());
                    book.removed(&id.to_string());
                    world.keep(&mut book);
                }
                Step::Turn { later_ms, idle, disk_full } => {
                    world.now_ms += later_ms;
                    let actions = book.turn(world.now_ms, idle, "t");
                    if disk_full {
                        actions.iter().for_each(|action| book.postponed(action));
                        continue;
                    }
                    world.keep(&mut book);
                    world.act(&mut book, actions);
                }
                Step::Finish(id, ok) => {
                    let id = id.to_string();
                    let enrolled = book.enrolling().is_some_and(|enrolling| enrolling.id == id && enrolling.asked);
                    if enrolled || book.jobs.get(&id).is_some_and(Entry::is_uploading) {
                        world.handed_over.take_if(|of| enrolled && *of == id);
                        book.finished(&id, if ok { Code::Ok } else { Code::Upstream }, "", "t");
                        world.keep(&mut book);
                    }
                }
                Step::Crash { kept, reboot } => {
                    book.turn(world.now_ms, true, "t");
                    if kept {
                        world.keep(&mut book);
                    }
                    world.boot += u32::from(reboot);
                    book = world.start();
                    world.keep(&mut book);
                }
            }
            world.look(&mut book);
        }
        world.now_ms = DEADLINE;
        let actions = book.turn(DEADLINE, false, "t");
        prop_assert!(actions.iter().all(|action| matches!(action, Action::Abort(_) | Action::Withdraw(_))));
        for (id, entry) in &book.jobs {
            prop_assert!(entry.row.status.status.is_end(), "{} never ends: {:?}", id, entry.row.status);
        }
        for (id, boots) in &world.reboots {
            prop_assert!(boots.len() <= 1, "{} has restarted the machine in {:?}", id, boots);
        }
    }
}
