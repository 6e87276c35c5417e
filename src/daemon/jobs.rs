//! Carries out the fleet's jobs: keeps what the pure book says, tells it, and only then does it.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::json;
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use super::log_upload::{self, Uploading};
use crate::base::{Shutdown, clock};
use crate::control::enrolment::EnrolmentOrder;
use crate::control::event::EventKind;
use crate::control::job::{JobStatus, LogUpload, Progress, is_idle};
use crate::control::job_book::{Action, JobBook, Received};
use crate::control::{Code, State, rfc3339};
use crate::mqtt::{Arrived, Documents, Events, Place};
use crate::provision::{self, Handover};
use crate::store::Store;

/// How often deadlines are looked at.
const TURN: Duration = Duration::from_secs(1);
/// News of jobs that run; those who tell wait for a place.
const NEWS: usize = 16;
/// Where the kernel says which boot this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What a job that runs tells.
#[derive(Debug)]
pub enum News {
    /// Job, what it is at, percent.
    Progress(String, &'static str, u8),
    /// Job, outcome, for people.
    Ended(String, Code, String),
}

/// What jobs need of the box.
pub struct Jobs {
    /// Where they are kept.
    pub store: Store,
    /// Whether the box is idle.
    pub state: watch::Receiver<Arc<State>>,
    /// Where their statuses go.
    pub documents: Documents,
    /// Who hears of their ends.
    pub events: Events,
    /// Where a restart of the machine, and an enrolment, is asked for: `/run/roomd`.
    pub runtime_dir: PathBuf,
    /// For what is on its way out; and where an enrolment shows.
    pub state_dir: PathBuf,
}

/// The folder that a service may write below `/run`, else the one of the control socket.
pub fn runtime_dir(socket: &Path) -> PathBuf {
    let given = std::env::var_os("RUNTIME_DIRECTORY").map(PathBuf::from);
    given.unwrap_or_else(|| socket.parent().map(Path::to_owned).unwrap_or_default())
}

impl Jobs {
    /// Runs until `shutdown`. What has not ended by then goes on at the next start.
    pub async fn run(self, mut arriving: mpsc::Receiver<Arrived>, shutdown: Shutdown) {
        let boot = std::fs::read_to_string(BOOT_ID).unwrap_or_default();
        let (tell, mut news) = mpsc::channel(NEWS);
        let handover = Handover::new(&self.runtime_dir);
        let book = JobBook::new(boot.trim());
        let mut work = Work { book, jobs: self, tell, handover, uploads: BTreeMap::new() };
        work.restore().await;
        loop {
            work.settle().await;
            tokio::select! {
                () = shutdown.cancelled() => return,
                Some(arrived) = arriving.recv() => work.arrived(arrived).await,
                Some(news) = news.recv() => work.heard(news),
                Ok(()) = work.jobs.state.changed() => drop(work.jobs.state.borrow_and_update()),
                () = tokio::time::sleep(TURN) => {}
            }
        }
    }
}

struct Work {
    book: JobBook,
    jobs: Jobs,
    tell: mpsc::Sender<News>,
    handover: Handover,
    /// Dropping one ends it.
    uploads: BTreeMap<String, Uploading>,
}

impl Work {
    async fn restore(&mut self) {
        let store = self.jobs.store.clone();
        let rows = tokio::task::spawn_blocking(move || store.jobs()).await;
        let rows = match rows {
            Ok(Ok(rows)) => rows,
            Ok(Err(error)) => return warn!(%error, "the jobs of an earlier run cannot be read"),
            Err(error) => return warn!(%error, "reading the jobs of an earlier run failed"),
        };
        for (id, json) in rows {
            match serde_json::from_str(&json) {
                Ok(row) => self.book.restore(&id, row, &stamp()),
                Err(_) => warn!(id, "what was kept of this job is damaged: it is forgotten"),
            }
        }
        match self.book.enrolling() {
            // This process goes by it, so it is done.
            Some(enrolling) if provision::is_in_force(&self.jobs.state_dir, &enrolling.label) => {
                self.book.finished(&enrolling.id, Code::Ok, "the box is enrolled anew", &stamp());
            }
            Some(_) => {}
            // Of a job that has ended meanwhile.
            None => self.withdraw(),
        }
    }

    /// What came of the order that was handed over, other than that it is in force.
    fn look_at_enrolment(&mut self) {
        let Some(enrolling) = self.book.enrolling().filter(|enrolling| enrolling.asked) else { return };
        // In this order: it is removed last.
        let waits = self.handover.is_given();
        if let Some(failure) = self.handover.failure(&enrolling.label) {
            self.book.finished(&enrolling.id, failure.code, &failure.message, &stamp());
        } else if !waits && !provision::is_in_force(&self.jobs.state_dir, &enrolling.label) {
            let message =
                "the order has gone with its folder before anything came of it; its token may be used up";
            self.book.finished(&enrolling.id, Code::Unknown, message, &stamp());
        }
    }

    /// Everything that is due: kept first, then told, then done.
    async fn settle(&mut self) {
        self.look_at_enrolment();
        let idle = is_idle(&self.jobs.state.borrow());
        let actions = self.book.turn(now_ms(), idle, &stamp());
        if let Err(reason) = self.keep().await {
            warn!(reason, "jobs cannot be kept, so none is begun");
            return actions.iter().for_each(|action| self.book.postponed(action));
        }
        for (id, status) in self.book.untold() {
            match status {
                Some(status) => self.publish(id, &status),
                None => drop(self.jobs.documents.clear(Place::JobStatus(id))),
            }
        }
        let ended = self.book.ended();
        if !ended.is_empty() && self.book.enrolling().is_none() {
            self.withdraw();
        }
        for (id, status) in ended {
            info!(id, status = ?status.status, code = ?status.code, status.message, "job ended");
            let data =
                json!({"id": id, "status": status.status, "code": status.code, "message": status.message});
            self.jobs.events.push(EventKind::JobEnded, data);
        }
        for action in actions {
            match action {
                Action::Reboot(id) => self.reboot(&id),
                Action::Upload(id, upload, deadline_ms) => self.upload(id, upload, deadline_ms),
                Action::Abort(id) => drop(self.uploads.remove(&id)),
                Action::Enrol(id, order) => self.enrol(&id, &order),
                Action::Withdraw(_) => self.withdraw(),
            }
        }
        if let Err(reason) = self.keep().await {
            warn!(reason, "what was done for jobs cannot be kept");
        }
    }

    fn publish(&self, id: String, status: &JobStatus) {
        if self.jobs.documents.set(Place::JobStatus(id), json!(status)).is_err() {
            warn!("there is no room for the status of a job");
        }
    }

    /// On the disk when this returns Ok.
    async fn keep(&mut self) -> Result<(), String> {
        let unkept = self.book.unkept();
        if unkept.is_empty() {
            return Ok(());
        }
        let rows: Vec<(String, Option<String>)> =
            unkept.into_iter().map(|(id, row)| (id, row.map(|row| json!(row).to_string()))).collect();
        let store = self.jobs.store.clone();
        match tokio::task::spawn_blocking(move || store.keep_jobs(&rows)).await {
            Ok(Ok(())) => {
                self.book.kept();
                Ok(())
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("writing failed".to_owned()),
        }
    }

    async fn arrived(&mut self, arrived: Arrived) {
        let (id, ts) = (arrived.name.clone(), stamp());
        if arrived.payload.is_empty() {
            self.book.removed(&id);
        } else {
            info!(id, bytes = arrived.payload.len(), "a job has arrived");
            match self.book.receive(&id, &arrived.payload, now_ms(), &ts) {
                Received::Known => {}
                Received::Taken => {
                    warn!(id, "another job under the id of one that is known: it changes nothing")
                }
                Received::Full(status) => self.publish(id.clone(), &status),
            }
        }
        match self.keep().await {
            Ok(()) => arrived.taken(),
            // Not acknowledged: the broker sends it again, should this process end before there is room.
            Err(reason) => {
                warn!(id, reason, "a job cannot be kept");
                let message = format!("it waits until it can be kept: {reason}");
                let (status, step) = (Progress::Queued, "waiting_for_disk".to_owned());
                self.publish(id, &JobStatus { status, step, percent: 0, code: None, message, ts });
            }
        }
    }

    fn heard(&mut self, news: News) {
        match news {
            News::Progress(id, step, percent) => self.book.progress(&id, step, percent, &stamp()),
            News::Ended(id, code, message) => {
                self.uploads.remove(&id);
                self.book.finished(&id, code, &message, &stamp());
            }
        }
    }

    /// By the contract of `systemd/roomd-reboot.path`.
    fn reboot(&mut self, id: &str) {
        let dir = &self.jobs.runtime_dir;
        let (temporary, request) = (dir.join("reboot.tmp"), dir.join("reboot-requested"));
        let written = std::fs::File::create(&temporary)
            .and_then(|mut file| file.write_all(id.as_bytes()))
            .and_then(|()| std::fs::rename(&temporary, &request));
        match written {
            Ok(()) => {
                info!(id, request = %request.display(), "the machine is asked to restart");
                self.book.asked(id);
            }
            Err(error) => {
                let message = format!("cannot ask for it by {}: {error}", request.display());
                self.book.finished(id, Code::Internal, &message, &stamp());
            }
        }
    }

    /// By the contract of `systemd/roomd-reprovision.path`.
    fn enrol(&mut self, id: &str, order: &EnrolmentOrder) {
        match self.handover.give(order) {
            Ok(()) => {
                info!(id, server = order.server(), order.fleet, "the order to enrol is handed over");
                self.book.asked(id);
            }
            Err(error) => {
                let message = format!("cannot hand it over in {}: {error}", self.jobs.runtime_dir.display());
                self.book.finished(id, Code::Internal, &message, &stamp());
            }
        }
    }

    fn withdraw(&self) {
        if let Err(error) = self.handover.take_back() {
            warn!(%error, "the order to enrol cannot be taken back");
        }
    }

    fn upload(&mut self, id: String, upload: LogUpload, deadline_ms: i64) {
        info!(id, to = %upload.url, deadline_ms, "sending a log");
        let spool = self.jobs.state_dir.clone();
        let uploading = log_upload::start(id.clone(), upload, spool, self.tell.clone());
        self.uploads.insert(id, uploading);
    }
}

fn now_ms() -> i64 {
    let since = clock::wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn stamp() -> String {
    rfc3339(clock::wall())
}
