//! All destinations: started, kept and stopped as the order says.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::task::{self, Job};
use super::{Config, Destination, Report};
use crate::base::Shutdown;
use crate::control::LiveStatus;
use crate::media::Stream;

/// Longest that taking leave of all destinations may take; each has a bound of its own below this.
const STOP: Duration = Duration::from_secs(4);

/// How every destination is, in the order in which they were given; those being left are last.
pub type Reports = watch::Receiver<Vec<Report>>;

/// Pushes one stream to any number of destinations. Needs a tokio runtime. Dropping it ends all of them at once.
#[derive(Debug)]
pub struct Pusher {
    config: Arc<Config>,
    stream: Stream,
    reports: watch::Sender<Vec<Report>>,
    running: Vec<Running>,
    leaving: JoinSet<Option<Report>>,
    last_id: u64,
}

#[derive(Debug)]
struct Running {
    id: u64,
    destination: Destination,
    stop: Shutdown,
    task: JoinHandle<Option<Report>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Pusher {
    /// Pushes nowhere yet.
    pub fn new(config: Config, stream: Stream) -> Pusher {
        Pusher {
            config: Arc::new(config),
            stream,
            reports: watch::Sender::new(Vec::new()),
            running: Vec::new(),
            leaving: JoinSet::new(),
            last_id: 0,
        }
    }

    /// How every destination is.
    pub fn reports(&self) -> Reports {
        self.reports.subscribe()
    }

    /// From now on to exactly these, each once. Those that are pushed to already go on undisturbed; the others are
    /// started, or taken leave of (see [`Pusher::left`]).
    pub fn set(&mut self, destinations: Vec<Destination>) {
        // Those that were ended by earlier orders and have ended since.
        while self.leaving.try_join_next().is_some() {}
        let mut before = std::mem::take(&mut self.running);
        for destination in destinations {
            let at = before.iter().position(|running| running.destination == destination);
            let running = match at {
                Some(at) => before.swap_remove(at),
                None => self.start(destination),
            };
            self.running.push(running);
        }
        for running in before {
            running.stop.cancel();
            self.leaving.spawn(ended(running));
        }
        let place = |report: &Report| self.running.iter().position(|running| running.id == report.id);
        self.reports.send_modify(|reports| reports.sort_by_key(|report| place(report).unwrap_or(usize::MAX)));
    }

    fn start(&mut self, destination: Destination) -> Running {
        self.last_id += 1;
        let job = Job {
            id: self.last_id,
            destination: destination.clone(),
            config: self.config.clone(),
            stream: self.stream.clone(),
            reports: self.reports.clone(),
            stop: Shutdown::new(),
        };
        self.reports.send_modify(|reports| reports.push(begun(&job)));
        let (id, stop) = (job.id, job.stop.clone());
        Running { id, destination, stop, task: tokio::spawn(task::run(job)) }
    }

    /// Waits until all that was ended is ended, at most 4 s; what came of each, in the order in which they began.
    pub async fn left(&mut self) -> Vec<Report> {
        let mut reports = Vec::new();
        let leaving = async {
            while let Some(report) = self.leaving.join_next().await {
                reports.extend(report.ok().flatten());
            }
        };
        if tokio::time::timeout(STOP, leaving).await.is_err() {
            tracing::warn!("a destination did not end in time, cutting it off");
            self.leaving.shutdown().await;
        }
        reports.sort_by_key(|report: &Report| report.id);
        reports
    }
}

/// The end of one that was told to stop.
async fn ended(mut running: Running) -> Option<Report> {
    (&mut running.task).await.ok().flatten()
}

fn begun(job: &Job) -> Report {
    Report {
        id: job.id,
        url: job.destination.url.clone(),
        status: LiveStatus::Connecting,
        acked_bytes: 0,
        last_error: None,
        next_try: None,
        failures: 0,
        lost: 0,
        rtt: None,
        sent: Default::default(),
    }
}
