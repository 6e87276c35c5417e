//! The life of one destination: attempt after attempt, for as long as the order stands.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::sync::watch;
use tracing::{info, warn};

use super::course::Course;
use super::session::Session;
use super::{Config, Destination, PushError, Reason, Report, connect};
use crate::base::{Shutdown, clock};
use crate::control::LiveStatus;
use crate::media::Stream;
use crate::rtmp::Sent;

/// How often a report changes when nothing but its numbers did.
const NUMBERS_EVERY: Duration = Duration::from_secs(5);

/// What a destination's task is given.
pub(super) struct Job {
    pub(super) id: u64,
    pub(super) destination: Destination,
    pub(super) config: Arc<Config>,
    pub(super) stream: Stream,
    pub(super) reports: watch::Sender<Vec<Report>>,
    pub(super) stop: Shutdown,
}

/// Runs `job` until it is stopped; its last report is taken off the board and returned.
pub(super) async fn run(job: Job) -> Option<Report> {
    let mut teller = Teller::new(job.id, job.reports.clone());
    let url = &job.destination.url;
    loop {
        teller.course.connecting();
        teller.next_try = None;
        teller.tell();
        // A panic is a fault of this attempt, not the end of the destination.
        let ended = AssertUnwindSafe(attempt(&job, &mut teller)).catch_unwind().await;
        let reason = match ended {
            Ok(Ok(())) => break,
            Ok(Err(reason)) => reason,
            Err(_) => Reason::Fault,
        };
        let error = PushError::at(url, reason).to_string();
        let delay = teller.failed(error.clone());
        warn!(%url, error, ?delay, "not live there, trying again after the delay");
        if job.stop.run_until_cancelled(tokio::time::sleep(delay)).await.is_none() {
            break;
        }
    }
    let report = teller.take_leave();
    if let Some(Report { acked_bytes, sent, lost, .. }) = &report {
        let (pictures, sounds) = (sent.pictures, sent.sounds);
        info!(%url, pictures, sounds, lost, acked_bytes, "no longer live there");
    }
    report
}

/// One connection; Ok when it ended by order.
async fn attempt(job: &Job, teller: &mut Teller) -> Result<(), Reason> {
    let connecting = async {
        let address = connect::address(&job.destination).await?;
        let wire = connect::connect(&job.config, &job.destination.url).await?;
        let mut session = Session::new(wire, address, job.config.sound.clone())?;
        session.handshake().await?;
        Ok::<Session, Reason>(session)
    };
    let mut session = match job.stop.run_until_cancelled(connecting).await {
        None => return Ok(()),
        Some(connected) => connected?,
    };
    info!(url = %job.destination.url, "the server takes the stream");
    session.stream(&job.stream, teller, &job.stop).await
}

/// Carries what is true of one destination to the board.
pub(super) struct Teller {
    pub(super) course: Course,
    id: u64,
    reports: watch::Sender<Vec<Report>>,
    last_error: Option<String>,
    next_try: Option<std::time::SystemTime>,
    failures: u64,
    /// Of this connection, and of those that have ended.
    counts: [(Sent, u64); 2],
    pub(super) rtt: Option<Duration>,
    numbers_at: Option<Instant>,
}

impl Teller {
    fn new(id: u64, reports: watch::Sender<Vec<Report>>) -> Teller {
        Teller {
            course: Course::new(),
            id,
            reports,
            last_error: None,
            next_try: None,
            failures: 0,
            counts: Default::default(),
            rtt: None,
            numbers_at: None,
        }
    }

    /// What was sent and lost on this connection.
    pub(super) fn count(&mut self, sent: Sent, lost: u64) {
        self.counts[0] = (sent, lost);
    }

    pub(super) fn connection_ended(&mut self) {
        self.counts = [Default::default(), self.total()];
        self.rtt = None;
    }

    pub(super) fn leaving(&mut self) {
        self.course.leaving();
        self.tell();
    }

    fn total(&self) -> (Sent, u64) {
        let [(now, lost), (earlier, lost_earlier)] = self.counts;
        let sent = Sent { pictures: now.pictures + earlier.pictures, sounds: now.sounds + earlier.sounds };
        (sent, lost + lost_earlier)
    }

    fn failed(&mut self, error: String) -> Duration {
        let delay = self.course.failed(&mut rand::rng());
        self.connection_ended();
        self.last_error = Some(error);
        self.next_try = Some(clock::wall() + delay);
        self.failures += 1;
        self.tell();
        delay
    }

    /// Puts the newest numbers on the board; whoever watches is woken for what matters, and else every
    /// [`NUMBERS_EVERY`].
    pub(super) fn tell(&mut self) {
        let now = clock::now();
        let status = self.course.status(now);
        if status == LiveStatus::Live {
            self.last_error = None;
        }
        let due = self.numbers_at.is_none_or(|at| now.saturating_duration_since(at) >= NUMBERS_EVERY);
        let (sent, lost) = self.total();
        let woken = self.reports.send_if_modified(|reports| {
            let Some(report) = reports.iter_mut().find(|report| report.id == self.id) else { return false };
            let matters = report.status != status
                || report.last_error != self.last_error
                || report.next_try != self.next_try;
            report.status = status;
            report.last_error.clone_from(&self.last_error);
            (report.next_try, report.failures) = (self.next_try, self.failures);
            (report.acked_bytes, report.sent, report.lost) = (self.course.acked_bytes(), sent, lost);
            report.rtt = self.rtt;
            matters || due
        });
        if woken {
            self.numbers_at = Some(now);
        }
    }

    fn take_leave(mut self) -> Option<Report> {
        self.leaving();
        let mut last = None;
        self.reports.send_modify(|reports| {
            let at = reports.iter().position(|report| report.id == self.id);
            last = at.map(|at| reports.remove(at));
        });
        last
    }
}
