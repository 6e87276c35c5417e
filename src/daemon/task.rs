//! A task of the daemon that needs no restart, with its own stop.

use std::time::Duration;

use tokio::task::JoinHandle;
use tracing::warn;

use crate::base::Shutdown;

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
    /// Starts `run`, which gets the token that asks it to end.
    pub fn spawn<Running>(name: &'static str, run: impl FnOnce(Shutdown) -> Running) -> Task
    where
        Running: Future<Output = ()> + Send + 'static,
    {
        let shutdown = Shutdown::new();
        let task = tokio::spawn(run(shutdown.clone()));
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
