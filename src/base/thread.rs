//! Named OS threads for the parts that compute or block: capture, encoders, playback.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::Shutdown;

/// Why a thread gave no result.
#[derive(Debug, thiserror::Error)]
pub enum ThreadError {
    /// The system has no room for another thread.
    #[error("thread {name} could not be started: {source}")]
    Spawn {
        /// The thread's name.
        name: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A bug: it panicked; the panic's message is in the log.
    #[error("thread {name} panicked")]
    Panicked {
        /// The thread's name.
        name: &'static str,
    },
}

/// Runs `work` on its own thread called `name` (at most 15 bytes are kept by Linux) and waits for its result.
/// `work` gets a token that is cancelled with `shutdown`, and also when the future is dropped: a thread never
/// outlives its interest by more than the time `work` takes to look.
///
/// # Errors
/// When the thread cannot be started, or panics.
pub async fn run<T: Send + 'static>(
    name: &'static str,
    shutdown: &Shutdown,
    work: impl FnOnce(&Shutdown) -> T + Send + 'static,
) -> Result<T, ThreadError> {
    let token = shutdown.child_token();
    let _cancel_on_drop = token.clone().drop_guard();
    let (done, result) = oneshot::channel();
    let body = move || {
        if let Ok(value) = catch_unwind(AssertUnwindSafe(|| work(&token))) {
            // Nobody waits any more: nothing to tell.
            let _ = done.send(value);
        }
    };
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(|source| ThreadError::Spawn { name, source })?;
    result.await.map_err(|_| ThreadError::Panicked { name })
}

/// Starts `work` on a thread of its own called `name` that nobody has to wait for: one that may hang in a driver, which
/// nothing can end.
///
/// # Errors
/// When the thread cannot be started.
pub fn start(
    name: &'static str,
    work: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, ThreadError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|source| ThreadError::Spawn { name, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_thread_gives_its_result_or_says_that_it_panicked() {
        let shutdown = Shutdown::new();
        let name = run("answer", &shutdown, |_| std::thread::current().name().map(str::to_owned)).await;
        assert_eq!(name.unwrap().as_deref(), Some("answer"));
        let gone = run("bug", &shutdown, |_| panic!("as this test wants")).await;
        assert!(matches!(gone, Err(ThreadError::Panicked { name: "bug" })));
    }
}
