//! From settings to a running box, and back: everything is opened in order, and stopped in the reverse one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::{info, warn};

use super::identity::{self, IdentityError};
use super::lanes;
use super::logging::{self, LoggingError};
use super::media::{Media, MediaHub};
use super::mutator::{self, LaneOutputs, Mutator};
use super::recording::Recordings;
use super::room::Rooms;
use super::settings;
use super::supervise::{Board, Subsystem, supervise};
use crate::base::{Shutdown, clock, ids};
use crate::config::Settings;
use crate::control::queue::Policy;
use crate::control::{ControlHandle, Desired, RoomJoin, StatePublisher};
use crate::local;
use crate::record;
use crate::store::{Store, StoreError};

/// Worker threads for everything that waits: sockets, timers, disks. The work itself has its own threads.
const WORKERS: usize = 2;
/// Longest that each part may take to stop.
const STOP: Duration = Duration::from_secs(5);
/// How often the supervisor loop says that it turns.
const BEAT: Duration = Duration::from_secs(1);

/// Why the box does not start.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// No log.
    #[error(transparent)]
    Logging(#[from] LoggingError),
    /// The state directory or the box's id.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A setting that only its subsystem understands.
    #[error("{0}")]
    Setting(#[from] settings::SettingError),
    /// The control socket.
    #[error(transparent)]
    Local(#[from] local::Error),
    /// The runtime or the signal handlers.
    #[error("the system refused {what}: {source}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// The system's words.
        source: std::io::Error,
    },
}

/// Runs the box until SIGTERM or SIGINT; a second signal ends the process at once.
///
/// # Errors
/// [`DaemonError`] when it cannot start. Whatever fails later is started again and told in the state.
pub fn run(settings: Settings) -> Result<(), DaemonError> {
    logging::start(&settings.log)?;
    info!(version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), "starting");
    for key in &settings.without_effect {
        warn!(key, "valid, and without effect in this version");
    }
    // A second provider comes in with some library: rustls would panic where none is chosen.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_name("net")
        .enable_all()
        .build()
        .map_err(|source| DaemonError::System { what: "a runtime", source })?;
    let ended = runtime.block_on(life(settings));
    // Blocking calls that still hang (a dead disk) must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    info!("stopped");
    ended
}
