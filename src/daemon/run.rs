//! From settings to a running box, and back: the process, its signals and its end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use super::desired_config;
use super::fleet::Fleet;
use super::identity::{self, IdentityError};
use super::logging::{self, LogLevel, LoggingError};
use super::manager::Manager;
use super::reload::{Read, Reloader};
use super::running::Running;
use super::serving::ServingError;
use super::settings;
use super::watchdog::Supervisor;
use crate::base::Shutdown;
use crate::config::Settings;
use crate::local;
use crate::store::{Store, StoreError};

/// Worker threads for everything that waits: sockets, timers, disks. The work itself has its own threads.
const WORKERS: usize = 2;
/// The exit code after a second signal: ended by SIGINT, as shells count.
const EXIT_SECOND_SIGNAL: i32 = 130;

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
    /// The room server.
    #[error(transparent)]
    Serving(#[from] ServingError),
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

/// Runs the box until SIGTERM or SIGINT; a second signal ends the process at once. SIGHUP reads the configuration again,
/// by `read`.
///
/// # Errors
/// [`DaemonError`] when it cannot start. Whatever fails later is started again and told in the state.
pub fn run(settings: Settings, read: Read) -> Result<(), DaemonError> {
    let log = logging::start(&settings.log)?;
    info!(version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), "starting");
    for key in &settings.without_effect {
        warn!(key, "valid, and without effect in this version");
    }
    if let Some(folder) = std::env::var_os("CREDENTIALS_DIRECTORY")
        && !std::path::Path::new(&folder).is_dir()
    {
        warn!(CREDENTIALS_DIRECTORY = %folder.to_string_lossy(), "is no folder; going on without credentials");
    }
    // A second provider comes in with some library: rustls would panic where none is chosen.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_name("net")
        .enable_all()
        .build()
        .map_err(|source| DaemonError::System { what: "a runtime", source })?;
    let ended = runtime.block_on(life(settings, read, log));
    // Blocking calls that still hang (a dead disk) must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    info!("stopped");
    ended
}

/// From the first thing opened to the last one closed.
async fn life(settings: Settings, read: Read, log: LogLevel) -> Result<(), DaemonError> {
    let mut signals = Signals::listen()?;
    let mut manager = Manager::default();
    let restart = Shutdown::new();
    let kept = Kept::open(&settings)?;
    let (settings, outcome) = desired_config::at_start(settings, &read, &kept.store);
    log.set(&settings.log.level);
    let (in_force, store) = (settings.clone(), kept.store.clone());
    let (mut running, changeable, arrivals, needs) = match Running::start(settings, log, kept, &restart).await
    {
        Ok(started) => started,
        Err(error) => {
            desired_config::blame(&store, &outcome, &error);
            return Err(error);
        }
    };
    let reloader = Reloader::new(read, changeable, &in_force, outcome.in_force.clone());
    let reloader = Arc::new(Mutex::new(reloader));
    running.fleet = Some(Fleet::start(arrivals, needs, reloader.clone(), outcome));
    running.health.set_ready(true);
    info!("ready");
    manager.ready();
    let mut supervisor = Supervisor::new(manager, running.state.clone(), running.health.clone());
    loop {
        tokio::select! {
            () = supervisor.turn() => {}
            () = restart.cancelled() => {
                info!("stopping, to be started again");
                break;
            }
            signal = signals.next() => match signal {
                Signal::Reload => supervisor.reload(&mut reloader.lock().unwrap_or_else(PoisonError::into_inner)),
                Signal::Stop(name) => {
                    info!(signal = name, "stopping");
                    break;
                }
            }
        }
    }
    supervisor.stopping();
    tokio::spawn(async move {
        loop {
            if let Signal::Stop(name) = signals.next().await {
                warn!(signal = name, "second signal: ending at once");
                std::process::exit(EXIT_SECOND_SIGNAL);
            }
        }
    });
    running.stop().await;
    Ok(())
}

/// SIGTERM, SIGINT and SIGHUP.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

enum Signal {
    /// End, because of the signal of this name.
    Stop(&'static str),
    /// Read the configuration again.
    Reload,
}

impl Signals {
    fn listen() -> Result<Signals, DaemonError> {
        let one =
            |kind| signal(kind).map_err(|source| DaemonError::System { what: "a signal handler", source });
        Ok(Signals {
            terminate: one(SignalKind::terminate())?,
            interrupt: one(SignalKind::interrupt())?,
            hangup: one(SignalKind::hangup())?,
        })
    }

    /// The next one.
    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Signal::Stop("SIGINT"),
            _ = self.hangup.recv() => Signal::Reload,
        }
    }
}

/// What is on the disk, and who the box is by it.
pub(super) struct Kept {
    pub(super) box_id: String,
    pub(super) store: Store,
}

impl Kept {
    fn open(settings: &Settings) -> Result<Kept, DaemonError> {
        let state_dir = &settings.device.state_dir;
        let made = identity::box_id(state_dir)?;
        let box_id = settings.device.id.clone().unwrap_or(made);
        Ok(Kept { box_id, store: Store::open(&state_dir.join("roomd.db"))? })
    }
}
