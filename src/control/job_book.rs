//! Which jobs there are and how far each is. Pure: the time and the machine's boot are told, and what is to be kept,
//! told and done is asked for.
//!
//! Every change of a job's status is kept on the disk before anything is done for it, so that a job that was begun is
//! known after a power cut: an upload begins anew, a reboot has succeeded when the kernel was booted anew. An enrolment is
//! handed over once, and its token forgotten; who carries it out is asked what came of it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Code;
use super::enrolment::EnrolmentOrder;
use super::job::{Job, JobStatus, LogUpload, Op, Progress, When};

/// Jobs remembered, those that have ended included until the fleet has taken them away. When it is full, those are
/// forgotten whose deadline has passed (they would not be run again); else a new job is `busy`.
pub const REMEMBERED: usize = 32;

/// What an enrolment that was handed over waits for: where this unit is not installed, its deadline ends it.
const ENROLLING: &str = "waiting_for_roomd-reprovision.path";

/// A job as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The order as it came, as long as it has not ended or, with a token in it, was handed over; it may hold secrets.
    order: Option<String>,
    /// By this the order is known again.
    fingerprint: u64,
    /// ms since 1970; None: the order could not be read.
    deadline_ms: Option<i64>,
    status: JobStatus,
    /// The kernel's boot in which a reboot is asked for.
    boot: Option<String>,
    /// It was asked for: not again, even where a restart leaves the boot's id as it was (a container).
    #[serde(default)]
    asked: bool,
    /// While an enrolment runs: the label of its token.
    #[serde(default)]
    enrolment: Option<String>,
}

/// Something to be done, once everything of [`JobBook::unkept`] is on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask the machine to restart.
    Reboot(String),
    /// Send a log until the deadline (ms since 1970).
    Upload(String, LogUpload, i64),
    /// Stop sending.
    Abort(String),
    /// Hand over an order to enrol.
    Enrol(String, Box<EnrolmentOrder>),
    /// Take it back.
    Withdraw(String),
}

/// An enrolment that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolling {
    /// The job.
    pub id: String,
    /// Of its token.
    pub label: String,
    /// It was handed over.
    pub asked: bool,
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// It is known, in the book.
    Known,
    /// Its id is taken by another order, which goes on.
    Taken,
    /// There is no room for it: this is its status, and nothing is kept.
    Full(JobStatus),
}

#[derive(Debug)]
struct Entry {
    row: Row,
    op: Option<Op>,
    /// Its action was given out in this run of the process.
    begun: bool,
}

impl Entry {
    fn is_uploading(&self) -> bool {
        self.begun && !self.row.status.status.is_end() && matches!(self.op, Some(Op::LogUpload(_)))
    }
}

/// The jobs.
#[derive(Debug)]
pub struct JobBook {
    boot: String,
    jobs: BTreeMap<String, Entry>,
    unkept: BTreeSet<String>,
    untold: BTreeSet<String>,
    ended: BTreeSet<String>,
    aborted: BTreeSet<String>,
    withdrawn: BTreeSet<String>,
}

impl JobBook {
    /// Without any job, in this `boot` of the kernel.
    pub fn new(boot: &str) -> Self {
        JobBook {
            boot: boot.to_owned(),
            jobs: BTreeMap::new(),
            unkept: BTreeSet::new(),
            untold: BTreeSet::new(),
            ended: BTreeSet::new(),
            aborted: BTreeSet::new(),
            withdrawn: BTreeSet::new(),
        }
    }

    /// Takes over what was kept by an earlier run.
    pub fn restore(&mut self, id: &str, row: Row, ts: &str) {
        let parsed = row.order.as_ref().map(|order| Job::parse(order.as_bytes()));
        let op = match parsed {
            Some(Ok(job)) => Some(job.op),
            _ => None,
        };
        let rebooting = matches!(op, Some(Op::Reboot(_))) && row.status.status == Progress::Running;
        let booted = rebooting && row.boot.as_ref() != Some(&self.boot);
        let enrolling = row.enrolment.is_some();
        let (unreadable, running) =
            (op.is_none() && !enrolling && !row.status.status.is_end(), row.status.status);
        let begun = row.asked;
        self.jobs.insert(id.to_owned(), Entry { row, op, begun });
        self.untold.insert(id.to_owned());
        if booted {
            self.end(id, Progress::Succeeded, Code::Ok, "the machine was restarted", ts);
        } else if unreadable {
            self.end(id, Progress::Failed, Code::Unknown, "what was kept of it cannot be read", ts);
        } else if running == Progress::Running && !rebooting && !enrolling {
            self.change(id, Progress::Queued, "again_after_restart", 0, "", ts);
        }
    }

    /// The order `id` has arrived, again perhaps.
    pub fn receive(&mut self, id: &str, payload: &[u8], now_ms: i64, ts: &str) -> Received {
        let fingerprint = fingerprint(payload);
        if let Some(known) = self.jobs.get(id) {
            return if known.row.fingerprint == fingerprint { Received::Known } else { Received::Taken };
        }
        let mut status = JobStatus {
            status: Progress::Queued,
            step: "queued".to_owned(),
            percent: 0,
            code: None,
            message: String::new(),
            ts: ts.to_owned(),
        };
        if self.jobs.len() >= REMEMBERED {
            self.make_room(now_ms);
        }
        if self.jobs.len() >= REMEMBERED {
            let message =
                format!("{REMEMBERED} jobs are remembered already: take away those that have ended");
            status = JobStatus {
                status: Progress::Rejected,
                step: "refused".to_owned(),
                code: Some(Code::Busy),
                message,
                ..status
            };
            return Received::Full(status);
        }
        let parsed = Job::parse(payload);
        let deadline_ms = parsed.as_ref().ok().map(Job::deadline_ms);
        let order = String::from_utf8(payload.to_vec()).ok();
        let row = Row { order, fingerprint, deadline_ms, status, boot: None, asked: false, enrolment: None };
        let op = parsed.as_ref().ok().map(|job| job.op.clone());
        self.jobs.insert(id.to_owned(), Entry { row, op, begun: false });
        self.touch(id);
        match parsed {
            Err(error) => self.end(id, Progress::Rejected, error.code, &error.message, ts),
            Ok(job) if job.deadline_ms() <= now_ms => {
                self.end(
                    id,
                    Progress::TimedOut,
                    Code::Expired,
                    "it came after its deadline and was not begun",
                    ts,
                );
            }
            Ok(_) => {}
        }
        Received::Known
    }

    /// The fleet has taken the order `id` away: it is forgotten, and given up if it had not ended.
    pub fn removed(&mut self, id: &str) {
        self.stop(id);
        self.jobs.remove(id);
        self.ended.remove(id);
        self.touch(id);
    }

    /// A job that runs is so far.
    pub fn progress(&mut self, id: &str, step: &str, percent: u8, ts: &str) {
        let Some(entry) = self.jobs.get_mut(id) else { return };
        let status = &mut entry.row.status;
        if status.status == Progress::Running && (status.step != step || status.percent != percent) {
            (status.step, status.percent, status.ts) = (step.to_owned(), percent.min(99), ts.to_owned());
            self.untold.insert(id.to_owned());
        }
    }

    /// A job that runs has ended: `ok` says that it is done.
    pub fn finished(&mut self, id: &str, code: Code, message: &str, ts: &str) {
        let progress = if code == Code::Ok { Progress::Succeeded } else { Progress::Failed };
        self.end(id, progress, code, message, ts);
    }

    /// The machine was asked to restart, or the order to enrol was handed over.
    pub fn asked(&mut self, id: &str) {
        if let Some(entry) = self.jobs.get_mut(id) {
            entry.row.asked = true;
            if entry.row.enrolment.is_some() {
                (entry.row.order, entry.op) = (None, None);
            }
            self.unkept.insert(id.to_owned());
        }
    }

    /// The enrolment that runs: whoever knows what came of it says so by [`JobBook::finished`].
    pub fn enrolling(&self) -> Option<Enrolling> {
        self.jobs.iter().find_map(|(id, entry)| {
            let label = entry.row.enrolment.clone()?;
            Some(Enrolling { id: id.clone(), label, asked: entry.row.asked })
        })
    }

    /// What is due `now`; `idle`: a restart would disturb nobody.
    pub fn turn(&mut self, now_ms: i64, idle: bool, ts: &str) -> Vec<Action> {
        self.deadlines(now_ms, ts);
        let mut actions: Vec<Action> =
            std::mem::take(&mut self.aborted).into_iter().map(Action::Abort).collect();
        actions.extend(std::mem::take(&mut self.withdrawn).into_iter().map(Action::Withdraw));
        let mut uploading = self.jobs.values().any(Entry::is_uploading);
        let mut enrolling = self.enrolling().is_some();
        for (id, op, progress, deadline_ms) in self.open(|entry| !entry.begun) {
            match op {
                Some(Op::Reboot(_)) if progress == Progress::Running => {
                    actions.push(Action::Reboot(id.clone()))
                }
                Some(Op::Reboot(reboot))
                    if reboot.when == When::Idle && (!idle || uploading || enrolling) =>
                {
                    self.change(&id, Progress::Queued, "waiting_until_idle", 0, "", ts);
                    continue;
                }
                Some(Op::Reboot(_)) => {
                    self.change(&id, Progress::Running, "restarting", 50, "", ts);
                    if let Some(entry) = self.jobs.get_mut(&id) {
                        entry.row.boot = Some(self.boot.clone());
                    }
                    actions.push(Action::Reboot(id.clone()));
                }
                Some(Op::LogUpload(_)) if uploading => continue,
                Some(Op::LogUpload(upload)) => {
                    uploading = true;
                    self.change(&id, Progress::Running, "collecting", 0, "", ts);
                    actions.push(Action::Upload(id.clone(), upload, deadline_ms));
                }
                Some(Op::Reprovision(_)) if enrolling && progress == Progress::Queued => continue,
                Some(Op::Reprovision(order)) => {
                    enrolling = true;
                    self.change(&id, Progress::Running, ENROLLING, 50, "", ts);
                    if let Some(entry) = self.jobs.get_mut(&id) {
                        entry.row.enrolment = Some(order.token.label());
                    }
                    actions.push(Action::Enrol(id.clone(), order));
                }
                None => continue,
            }
            if let Some(entry) = self.jobs.get_mut(&id) {
                entry.begun = true;
            }
        }
        actions
    }

    /// What must be on the disk before the actions are done: the row, or None when it is to be forgotten. Asked for
    /// again until [`JobBook::kept`].
    pub fn unkept(&self) -> Vec<(String, Option<Row>)> {
        self.unkept.iter().map(|id| (id.clone(), self.jobs.get(id).map(|entry| entry.row.clone()))).collect()
    }

    /// All of the last [`JobBook::unkept`] is on the disk.
    pub fn kept(&mut self) {
        self.unkept.clear();
    }

    /// An action could not be done because nothing can be kept: it is given out again.
    pub fn postponed(&mut self, action: &Action) {
        match action {
            Action::Reboot(id) | Action::Upload(id, ..) | Action::Enrol(id, _) => {
                if let Some(entry) = self.jobs.get_mut(id) {
                    entry.begun = false;
                }
            }
            Action::Abort(id) => drop(self.aborted.insert(id.clone())),
            Action::Withdraw(id) => drop(self.withdrawn.insert(id.clone())),
        }
    }

    /// Statuses to be published since the last call; None: to be removed.
    pub fn untold(&mut self) -> Vec<(String, Option<JobStatus>)> {
        let untold = std::mem::take(&mut self.untold);
        untold
            .into_iter()
            .map(|id| (id.clone(), self.jobs.get(&id).map(|entry| entry.row.status.clone())))
            .collect()
    }

    /// Jobs that have ended since the last call.
    pub fn ended(&mut self) -> Vec<(String, JobStatus)> {
        let ended = std::mem::take(&mut self.ended);
        let status = |id: String| Some((id.clone(), self.jobs.get(&id)?.row.status.clone()));
        ended.into_iter().filter_map(status).collect()
    }

    /// Jobs that have not ended, and for which `fits`: id, what, how far, deadline.
    fn open(&self, fits: impl Fn(&Entry) -> bool) -> Vec<(String, Option<Op>, Progress, i64)> {
        let open = |(_, entry): &(&String, &Entry)| !entry.row.status.status.is_end() && fits(entry);
        let seen = |(id, entry): (&String, &Entry)| {
            (id.clone(), entry.op.clone(), entry.row.status.status, entry.row.deadline_ms.unwrap_or(i64::MAX))
        };
        self.jobs.iter().filter(open).map(seen).collect()
    }

    fn deadlines(&mut self, now_ms: i64, ts: &str) {
        for (id, op, progress, _) in
            self.open(|entry| entry.row.deadline_ms.is_some_and(|deadline| deadline <= now_ms))
        {
            self.stop(&id);
            match (op, progress) {
                (Some(Op::Reboot(_)), Progress::Running) => {
                    let message = "the machine was asked to restart, and has not until the deadline";
                    self.end(&id, Progress::Failed, Code::Timeout, message, ts);
                }
                _ => self.end(&id, Progress::TimedOut, Code::Timeout, "its deadline came first", ts),
            }
        }
    }

    /// What is being done for a job is to be stopped.
    fn stop(&mut self, id: &str) {
        let Some(entry) = self.jobs.get(id) else { return };
        if entry.is_uploading() {
            self.aborted.insert(id.to_owned());
        } else if entry.row.enrolment.is_some() {
            self.withdrawn.insert(id.to_owned());
        }
    }

    /// Forgets ended jobs that would not be run again.
    fn make_room(&mut self, now_ms: i64) {
        let past = |entry: &Entry| {
            entry.row.status.status.is_end()
                && entry.row.deadline_ms.is_none_or(|deadline| deadline <= now_ms)
        };
        let past: Vec<String> =
            self.jobs.iter().filter(|(_, entry)| past(entry)).map(|(id, _)| id.clone()).collect();
        for id in past {
            self.jobs.remove(&id);
            self.touch(&id);
        }
    }

    fn touch(&mut self, id: &str) {
        self.unkept.insert(id.to_owned());
        self.untold.insert(id.to_owned());
    }

    fn change(&mut self, id: &str, progress: Progress, step: &str, percent: u8, message: &str, ts: &str) {
        let Some(entry) = self.jobs.get_mut(id) else { return };
        let status = &mut entry.row.status;
        if (status.status, status.step.as_str()) == (progress, step) {
            return;
        }
        *status = JobStatus {
            status: progress,
            step: step.to_owned(),
            percent,
            code: status.code,
            message: message.to_owned(),
            ts: ts.to_owned(),
        };
        self.touch(id);
    }

    fn end(&mut self, id: &str, progress: Progress, code: Code, message: &str, ts: &str) {
        let Some(entry) = self.jobs.get_mut(id).filter(|entry| !entry.row.status.status.is_end()) else {
            return;
        };
        let percent = if progress == Progress::Succeeded { 100 } else { entry.row.status.percent };
        // Where it was when it ended says more than that it ended.
        let step = std::mem::take(&mut entry.row.status.step);
        let step = if progress == Progress::Succeeded { "done".to_owned() } else { step };
        let message = message.to_owned();
        entry.row.status =
            JobStatus { status: progress, step, percent, code: Some(code), message, ts: ts.to_owned() };
        (entry.row.order, entry.row.enrolment) = (None, None);
        entry.op = None;
        self.ended.insert(id.to_owned());
        self.touch(id);
    }
}

/// 64-bit FNV-1a.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests;
