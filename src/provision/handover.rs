//! How the daemon, which has no rights, has the box enrolled anew: it puts the order into its runtime directory, where
//! `systemd/roomd-reprovision.path` sees it, and is told there why nothing came of it. What came of it shows in the
//! configuration.

use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Error;
use super::enrol::{Enrolled, Place, enrol};
use super::order::{self, Found};
use crate::base::private_file::{self, Owner};
use crate::control::Code;
use crate::control::enrolment::EnrolmentOrder;

/// Where `roomctl provision` finds the daemon's order.
pub(super) const HANDED_OVER: &str = "/run/roomd/roomd-provision.json";
/// The order, in the runtime directory.
const ORDER: &str = "roomd-provision.json";
/// Beside it: why it was given up.
const RESULT: &str = "reprovision-result";
/// Largest result, in bytes.
const RESULT_BYTES: u64 = 4096;
/// Longest message in it, in characters.
const MESSAGE_CHARACTERS: usize = 600;

/// Why an order was given up: one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Of its token; None: it could not be read.
    pub label: Option<String>,
    /// As a job tells it.
    pub code: Code,
    /// For people.
    pub message: String,
}

/// The runtime directory, seen by the daemon.
#[derive(Clone, Debug)]
pub struct Handover(PathBuf);

impl Handover {
    /// In `runtime_dir`.
    pub fn new(runtime_dir: &Path) -> Handover {
        Handover(runtime_dir.to_owned())
    }

    /// Hands over `order`, in one step; what was said of earlier ones is forgotten.
    ///
    /// # Errors
    /// The system's.
    pub fn give(&self, order: &EnrolmentOrder) -> io::Result<()> {
        remove(&self.0.join(RESULT))?;
        private_file::write(&self.0.join(ORDER), json!(order).to_string().as_bytes())
    }

    /// Takes back what was handed over, unless it is gone already, and forgets what was said of it.
    ///
    /// # Errors
    /// The system's.
    pub fn take_back(&self) -> io::Result<()> {
        remove(&self.0.join(ORDER))?;
        remove(&self.0.join(RESULT))
    }

    /// Whether an order lies there. It goes after everything that comes of it is there.
    pub fn is_given(&self) -> bool {
        self.0.join(ORDER).exists()
    }

    /// Why the order with the token of this `label` was given up.
    pub fn failure(&self, label: &str) -> Option<Failure> {
        let mut text = String::new();
        let file = std::fs::File::open(self.0.join(RESULT)).ok()?;
        file.take(RESULT_BYTES).read_to_string(&mut text).ok()?;
        let failure: Failure = serde_json::from_str(&text).ok()?;
        failure.label.as_ref().is_none_or(|of| of == label).then_some(failure)
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// As [`enrol()`]. What the daemon has handed over is removed also when it is given up: else it would be tried for ever.
///
/// # Errors
/// As [`enrol()`].
pub async fn attempt(place: &Place) -> Result<Enrolled, Error> {
    attempt_with(place, Path::new(HANDED_OVER)).await
}

pub(super) async fn attempt_with(place: &Place, handed_over: &Path) -> Result<Enrolled, Error> {
    let enrolled = enrol(place).await;
    if let Err(error) = &enrolled
        && error.is_final()
        && place.file == handed_over
    {
        give_up(&place.file, error);
    }
    enrolled
}

/// The reason first, so that an order which is gone has always left its trace. What cannot be told is still removed.
fn give_up(file: &Path, error: &Error) {
    if file.symlink_metadata().is_err() {
        return; // Taken back.
    }
    let label = match order::read(file) {
        Ok(Found::Order(order)) => Some(order.token.label()),
        _ => None,
    };
    let message = error.to_string().chars().filter(|c| !c.is_control()).take(MESSAGE_CHARACTERS).collect();
    let line = json!(Failure { label, code: error.code(), message }).to_string();
    if let Some(dir) = file.parent()
        && let Ok(about) = dir.metadata()
    {
        let owner = Owner { uid: about.uid(), gid: about.gid() };
        let _ = private_file::write_for(owner, &dir.join(RESULT), line.as_bytes());
    }
    if private_file::erase(file).is_err() {
        let _ = std::fs::remove_file(file);
    }
}
