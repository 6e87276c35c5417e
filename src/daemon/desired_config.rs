//! The fleet's desired configuration: checked as a whole, kept on the disk, then applied, and reported.
//!
//! A box that dies between any two of these steps is right again at its next start: what is kept is applied there, and
//! what is not kept is sent again by the broker. A configuration with which the box cannot start is left out at the
//! start after that, so that nobody can lock himself out from afar.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use super::reload::{InForce, Read, Reloader};
use super::run::DaemonError;
use crate::base::Shutdown;
use crate::config::{ConfigError, Settings};
use crate::control::StatePublisher;
use crate::control::config_document::{
    ConfigFault, ConfigStatus, DesiredConfig, FaultCode, Rejection, ReportedConfig, Standing,
};
use crate::control::event::EventKind;
use crate::mqtt::{Arrived, Documents, Events, Place};
use crate::store::{Store, StoreError};

/// Its name among the wishes of the database: a [`DesiredConfig`] as JSON, or null.
const KEPT: &str = "config";
/// The name of the one that kept the box from starting: a [`Failed`] as JSON, or null.
const FAILED: &str = "config_failed";

/// A kept configuration with which the box could not start.
#[derive(Debug, Serialize, Deserialize)]
struct Failed {
    config: DesiredConfig,
    reason: String,
}

/// What the box makes of the fleet's wish.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// The wish in force.
    pub in_force: Option<DesiredConfig>,
    /// The last one that was rejected, since the one in force.
    rejection: Option<Rejection>,
}

impl Outcome {
    fn rejected(in_force: Option<DesiredConfig>, rejection: Rejection) -> Outcome {
        Outcome { in_force, rejection: Some(rejection) }
    }

    fn version(&self) -> u64 {
        self.in_force.as_ref().map_or(0, |desired| desired.version)
    }

    fn report(&self, running: &InForce) -> ReportedConfig {
        let version = self.version();
        let (desired_version, status, errors) = match &self.rejection {
            None => (Some(version), ConfigStatus::Applied, Vec::new()),
            Some(Rejection { version, errors }) => (*version, ConfigStatus::Rejected, errors.clone()),
        };
        ReportedConfig {
            desired_version,
            status,
            config_version: version,
            effective: running.effective.clone(),
            restart_needed: running.restart_needed.iter().cloned().collect(),
            errors,
        }
    }
}

/// The settings to start with: `local` ones, with the kept wish over them where that is possible.
pub fn at_start(local: Settings, read: &Read, store: &Store) -> (Settings, Outcome) {
    let desired = match kept::<DesiredConfig>(store, KEPT) {
        Ok(None) => return (local, Outcome::default()),
        Ok(Some(desired)) => desired,
        Err(error) => {
            warn!(%error, "the fleet's configuration cannot be read, starting without it");
            return (local, Outcome::default());
        }
    };
    let failed = kept::<Failed>(store, FAILED).ok().flatten().filter(|failed| failed.config == desired);
    if let Some(Failed { reason, .. }) = failed {
        warn!(
            version = desired.version,
            reason, "the box did not start with the fleet's configuration: left out"
        );
        let rejection = Rejection::new(Some(desired.version), vec![start_failed(reason)]);
        return (local, Outcome::rejected(None, rejection));
    }
    match read(Some(&desired)) {
        Ok(settings) => {
            info!(version = desired.version, "with the fleet's configuration");
            (settings, Outcome { in_force: Some(desired), rejection: None })
        }
        Err(problems) => {
            warn!(version = desired.version, %problems, "starting without the fleet's configuration");
            let rejection = Rejection::new(Some(desired.version), problems.faults());
            (local, Outcome::rejected(None, rejection))
        }
    }
}

fn start_failed(reason: String) -> ConfigFault {
    ConfigFault::whole(FaultCode::StartFailed, reason)
}

/// The box does not start because of `error`: when the wish in force may be why, the next start is without it.
pub fn blame(store: &Store, outcome: &Outcome, error: &DaemonError) {
    let Some(config) = &outcome.in_force else { return };
    let sets = |section: &str| config.config.contains_key(section);
    let suspect = match error {
        DaemonError::Serving(_) => sets("server") || sets("tls"),
        DaemonError::Setting(_) => true,
        _ => false,
    };
    if suspect {
        error!(version = config.version, "the next start is without the fleet's configuration");
        let failed = Failed { config: config.clone(), reason: error.to_string() };
        if let Err(error) = store.set_desired(FAILED, &json!(failed).to_string()) {
            error!(%error, "that could not be kept");
        }
    }
}

/// Why what was kept cannot be used.
#[derive(Debug, thiserror::Error)]
enum KeptError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("what is kept under {0:?} is damaged")]
    Damaged(&'static str),
}

fn kept<T: for<'a> Deserialize<'a>>(store: &Store, name: &'static str) -> Result<Option<T>, KeptError> {
    match store.desired(name)? {
        None => Ok(None),
        Some(json) => serde_json::from_str(&json).map_err(|_| KeptError::Damaged(name)),
    }
}

/// Takes the fleet's wishes while the box runs.
pub struct Wishes {
    /// Who brings settings into force.
    pub reloader: Arc<Mutex<Reloader>>,
    /// Where a wish is kept.
    pub store: Store,
    /// Where `config_version` stands.
    pub state: StatePublisher,
    /// Where the report goes.
    pub documents: Documents,
    /// Who hears of it.
    pub events: Events,
    /// What became of the wish kept before this start.
    pub outcome: Outcome,
}

impl Wishes {
    /// Runs until `shutdown`.
    pub async fn run(mut self, mut arriving: mpsc::Receiver<Arrived>, shutdown: Shutdown) {
        let mut in_force = self.reloader().in_force();
        self.report(&in_force);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                Ok(()) = in_force.changed() => self.report(&in_force),
                Some(arrived) = arriving.recv() => {
                    self.take(&arrived.payload).await;
                    self.report(&in_force);
                    arrived.taken();
                }
            }
        }
    }

    fn reloader(&self) -> std::sync::MutexGuard<'_, Reloader> {
        self.reloader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn take(&mut self, payload: &[u8]) {
        let before = self.outcome.clone();
        if let Err(rejection) = self.try_take(payload).await {
            self.outcome.rejection = Some(rejection);
        }
        // A broker sends it again at every connection: only what is new is told.
        if self.outcome == before {
            return;
        }
        let version = self.outcome.version();
        match &self.outcome.rejection {
            None => {
                info!(version, "the fleet's configuration is in force");
                self.events.push(EventKind::ConfigApplied, json!({"config_version": version}));
            }
            Some(Rejection { version: desired, errors }) => {
                warn!(?desired, in_force = version, ?errors, "the fleet's configuration is rejected");
                let data = json!({"desired_version": desired, "config_version": version, "errors": errors});
                self.events.push(EventKind::ConfigRejected, data);
            }
        }
    }

    /// What was kept before this start and left out is no bar: it is judged again, unless the box failed with it.
    async fn try_take(&mut self, payload: &[u8]) -> Result<(), Rejection> {
        let desired = match payload {
            [] => None,
            payload => Some(DesiredConfig::parse(payload)?),
        };
        let version = desired.as_ref().map_or(Some(0), |desired| Some(desired.version));
        let rejected = |faults| Rejection::new(version, faults);
        if let Some(desired) = &desired {
            if desired.against(self.outcome.in_force.as_ref())? == Standing::Same {
                self.outcome.rejection = None;
                return Ok(());
            }
            let failed = kept::<Failed>(&self.store, FAILED).ok().flatten();
            if let Some(failed) = failed.filter(|failed| failed.config == *desired) {
                return Err(rejected(vec![start_failed(failed.reason)]));
            }
        }
        let checked = self.reloader().check(desired.as_ref());
        let settings = checked.map_err(|error: ConfigError| rejected(error.faults()))?;
        self.keep(&desired)
            .await
            .map_err(|reason| rejected(vec![ConfigFault::whole(FaultCode::NotKept, reason)]))?;
        self.reloader().apply(&settings, desired.clone());
        self.outcome = Outcome { in_force: desired, rejection: None };
        Ok(())
    }

    /// On the disk when this returns Ok.
    async fn keep(&self, desired: &Option<DesiredConfig>) -> Result<(), String> {
        let (store, json) = (self.store.clone(), json!(desired).to_string());
        match tokio::task::spawn_blocking(move || store.set_desired(KEPT, &json)).await {
            Ok(kept) => kept.map_err(|error| error.to_string()),
            Err(_) => Err("writing it failed".to_owned()),
        }
    }

    fn report(&self, in_force: &watch::Receiver<InForce>) {
        let version = self.outcome.version();
        self.state.update(|state| state.config_version = version);
        let report = self.outcome.report(&in_force.borrow());
        if self.documents.set(Place::ConfigReported, json!(report)).is_err() {
            warn!("there is no room for the report of the configuration");
        }
    }
}
