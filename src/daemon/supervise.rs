//! Keeps each subsystem running: one that fails or panics is started again with backoff and reported, the rest
//! goes on. Each has its own stop, so that the daemon can stop them in order.

use std::collections::BTreeMap;
use std::error::Error;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use crate::base::Shutdown;
use crate::base::backoff::Backoff;

/// First and longest delay before a failed subsystem is started again.
const RESTART_FLOOR: Duration = Duration::from_millis(500);
const RESTART_CEILING: Duration = Duration::from_secs(30);
/// A subsystem that ran this long before it failed starts with the first delay again.
const STABLE_AFTER: Duration = Duration::from_secs(60);

/// How a subsystem is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It runs.
    Running,
    /// It failed and waits to be started again.
    BackingOff {
        /// Its error, for people.
        reason: String,
    },
    /// It ended because it was asked to, or because its work is done.
    Stopped,
}

/// One line of the board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How it is.
    pub health: Health,
    /// How often it was started again since the daemon started.
    pub restarts: u64,
}

/// How every subsystem is; cheap to clone, all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Mutex<BTreeMap<&'static str, Report>>>);

impl Board {
    /// All reports by name.
    pub fn reports(&self) -> BTreeMap<&'static str, Report> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, name: &'static str, health: Health) {
        let mut reports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let report = reports.entry(name).or_insert(Report { health: Health::Stopped, restarts: 0 });
        report.restarts += u64::from(matches!(health, Health::BackingOff { .. }));
        report.health = health;
    }
}

/// A subsystem under supervision; dropping it does not stop it.
#[derive(Debug)]
pub struct Subsystem {
    name: &'static str,
    shutdown: Shutdown,
    task: JoinHandle<()>,
}

impl Subsystem {
    /// Waits at most `bound` for it to end by itself (its input has ended), then stops it.
    pub async fn finish(mut self, bound: Duration) {
        if tokio::time::timeout(bound, &mut self.task).await.is_err() {
            self.stop(bound).await;
        }
    }

    /// Asks it to stop and waits at most `bound`; when that passes it is cut off and a warning says so.
    pub async fn stop(mut self, bound: Duration) {
        self.shutdown.cancel();
        if tokio::time::timeout(bound, &mut self.task).await.is_err() {
            warn!(subsystem = self.name, ?bound, "did not stop in time, cutting it off");
            self.task.abort();
        }
    }
}

/// Starts `run` under supervision. `run` gets a token that asks it to end; when it returns an error or panics
/// before that it is called again after a backoff. `tell` hears of every change of its health.
pub fn supervise<Run, Running, Failure>(
    board: &Board,
    name: &'static str,
    mut run: Run,
    tell: impl Fn(&Health) + Send + Sync + 'static,
) -> Subsystem
where
    Run: FnMut(Shutdown) -> Running + Send + 'static,
    Running: Future<Output = Result<(), Failure>> + Send + 'static,
    Failure: Error + Send + 'static,
{
    let shutdown = Shutdown::new();
    let (board, token) = (board.clone(), shutdown.clone());
    let task = tokio::spawn(async move {
        let mut backoff = Backoff::new(RESTART_FLOOR, RESTART_CEILING);
        let report = |health: Health| {
            tell(&health);
            board.set(name, health);
        };
        while !token.is_cancelled() {
            report(Health::Running);
            let began = tokio::time::Instant::from_std(crate::base::clock::now());
            let ended = tokio::spawn(run(token.child_token())).await;
            let Some(reason) = failure(ended) else { break };
            if token.is_cancelled() {
                error!(subsystem = name, reason, "failed while stopping");
                break;
            }
            if began.elapsed() >= STABLE_AFTER {
                backoff.reset();
            }
            let delay = backoff.next_delay(&mut rand::rng());
            error!(subsystem = name, reason, ?delay, "failed, starting it again after the delay");
            report(Health::BackingOff { reason });
            tokio::select! {
                () = tokio::time::sleep(delay) => info!(subsystem = name, "starting again"),
                () = token.cancelled() => {}
            }
        }
        report(Health::Stopped);
    });
    Subsystem { name, shutdown, task }
}

/// Why it ended, if it did not end well.
fn failure<Failure: Error>(ended: Result<Result<(), Failure>, tokio::task::JoinError>) -> Option<String> {
    match ended {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(with_sources(&error)),
        Err(error) if error.is_panic() => Some(match error.into_panic().downcast::<String>() {
            Ok(text) => format!("panic: {text}"),
            Err(other) => format!("panic: {}", other.downcast_ref::<&str>().unwrap_or(&"(no text)")),
        }),
        Err(_) => None,
    }
}

/// An error and everything that caused it, on one line.
pub fn with_sources(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // thiserror's `{source}` in a message has already said it.
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test(start_paused = true)]
    async fn a_subsystem_that_fails_or_panics_is_started_again_and_reported() {
        let board = Board::default();
        let starts = Arc::new(AtomicU32::new(0));
        let (counted, (told, mut heard)) = (starts.clone(), tokio::sync::mpsc::channel(64));
        let run = move |shutdown: Shutdown| {
            let start = counted.fetch_add(1, Ordering::SeqCst);
            async move {
                match start {
                    0 => Err(std::io::Error::other("no such thing")),
                    1 => panic!("broken invariant"),
                    _ => {
                        shutdown.cancelled().await;
                        Ok(())
                    }
                }
            }
        };
        let subsystem = supervise(&board, "thing", run, move |health| {
            let _ = told.try_send(health.clone());
        });
        let mut reasons = Vec::new();
        while reasons.len() < 2 {
            if let Some(Health::BackingOff { reason }) = heard.recv().await {
                reasons.push(reason);
            }
        }
        assert_eq!(reasons, ["no such thing", "panic: broken invariant"]);
        assert_eq!(heard.recv().await, Some(Health::Running));
        assert_eq!(board.reports()["thing"], Report { health: Health::Running, restarts: 2 });
        subsystem.stop(Duration::from_secs(5)).await;
        assert_eq!(board.reports()["thing"].health, Health::Stopped);
        assert_eq!(starts.load(Ordering::SeqCst), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_will_not_stop_is_cut_off() {
        let run = |_| std::future::pending::<Result<(), std::io::Error>>();
        let subsystem = supervise(&Board::default(), "deaf", run, |_| {});
        subsystem.stop(Duration::from_secs(2)).await;
    }
}
