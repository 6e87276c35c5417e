//! A task of the daemon that needs no restart, with its own stop.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::JoinHandle;
use tracing::warn;

use crate::base::Shutdown;
use crate::base::pulse::Pulse;

/// Longest that a task may take to stop.
const STOP: Duration = Duration::from_secs(5);

/// A named task that ends by its own token.
#[derive(Debug)]
pub struct Task {
    name: &'static str,
    shutdown: Shutdown,
    task: JoinHandle<()>,
}

impl Task {
    /// Starts `run`, which gets the token that asks it to end. Should it panic, the watchdog finds its pulse silent:
    /// nobody but a new process would start it again.
    pub fn spawn<Running>(name: &'static str, run: impl FnOnce(Shutdown) -> Running) -> Task
    where
        Running: Future<Output = ()> + Send + 'static,
    {
        let shutdown = Shutdown::new();
        let running = AssertUnwindSafe(run(shutdown.clone())).catch_unwind();
        let task = tokio::spawn(async move {
            let pulse = Pulse::vital(name);
            if running.await.is_err() {
                pulse.beat();
                std::mem::forget(pulse);
            }
        });
        Task { name, shutdown, task }
    }

    /// Asks it to end and waits, at most 5 s; then it is cut off and a warning says so.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        if tokio::time::timeout(STOP, &mut self.task).await.is_err() {
            warn!(task = self.name, "did not stop in time, cutting it off");
            self.task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::pulse;

    #[tokio::test]
    async fn a_task_that_panics_leaves_a_pulse_that_falls_silent_and_one_that_ends_leaves_none() {
        let seen = |name| pulse::seen().iter().any(|seen| seen.name == name && seen.vital);
        Task::spawn("ends-well", |_| async {}).stop().await;
        assert!(!seen("ends-well"));
        Task::spawn("panics", |_| async { panic!("as this test wants") }).stop().await;
        assert!(seen("panics"));
    }
}
