//! The box's side of an enrolment. Safe against a power cut at any moment:
//!
//! 1. the key is made and kept under a name made from the token, so that the same token is always asked with the same
//!    key, which the server answers again;
//! 2. certificate and authority lie beside it before anything refers to them;
//! 3. `conf.d/50-enrolment.toml`, replaced in one step, is what takes the box into the fleet;
//! 4. the file with the token goes last. Found again after 3, nothing but its removal is left to do.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

use super::api::{Answer, Broker, Refusal, Request};
use super::https::{Answered, Failure};
use super::order::Found;
use super::{Error, accept, https, order};
use crate::base::not_before::NotBefore;
use crate::base::private_file::{self, Owner};
use crate::base::{clock, ids};
use crate::control::enrolment::EnrolmentOrder;
use crate::daemon;
use crate::https::Failure as Https;

/// How long the network is waited for.
const PATIENCE: Duration = Duration::from_secs(25);
/// Between two attempts to reach the server.
const PAUSE: Duration = Duration::from_secs(1);
/// What takes the box into its fleet, in the state directory.
const CONFIGURATION: &str = "conf.d/50-enrolment.toml";

/// Where the box's things are.
#[derive(Clone, Debug)]
pub struct Place {
    /// `roomd-provision.json`.
    pub file: PathBuf,
    /// The daemon's state directory; whoever owns it gets what is written.
    pub state_dir: PathBuf,
    /// The id that the configuration gives the box; None: the one kept in the state directory, made now if need be.
    pub box_id: Option<String>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enrolled {
    /// The box is in the fleet.
    Now {
        /// Its id.
        box_id: String,
        /// Its fleet.
        fleet: String,
        /// The broker's URL.
        broker: String,
        /// The certificates were judged by the floor, because the clock is earlier.
        by_floor: bool,
    },
    /// It was before; only the file with the token was left.
    Before,
}

/// Enrols the box as the file at `place` says.
///
/// # Errors
/// [`Error`]; [`Error::is_final`] tells whether to try again.
pub async fn enrol(place: &Place) -> Result<Enrolled, Error> {
    let order = match order::read(&place.file)? {
        Found::Order(order) => order,
        Found::Erased if place.state_dir.join(CONFIGURATION).exists() => return forget(place),
        Found::Erased => {
            let reason = "was erased, and the box is not enrolled: a new file is needed".to_owned();
            return Err(Error::File { path: place.file.clone(), reason });
        }
    };
    let state = State::open(&place.state_dir)?;
    let kept = Kept::of(&order, &state);
    if is_in_force(&state.dir, &kept.label) {
        return forget(place);
    }
    let box_id = state.box_id(place.box_id.as_deref())?;
    let key = kept.key(&state)?;
    let time = NotBefore::of([place.file.as_path()]);
    let answered = ask(&order, &box_id, &key, time).await?;
    let answer = checked(&order, &answered, &key.serialize_pem())?;
    kept.put(&state, &answer, answered.date.unwrap_or(time.now()).max(time.now()))?;
    erase(&place.file)?;
    kept.remove_older(&state);
    let Answer { box_id, fleet, mqtt: Broker { url: broker, .. }, .. } = answer;
    Ok(Enrolled::Now { box_id, fleet, broker, by_floor: time.clock_is_wrong() })
}

fn forget(place: &Place) -> Result<Enrolled, Error> {
    erase(&place.file).map(|()| Enrolled::Before)
}

/// The daemon may have taken its order back meanwhile: then it is gone already.
fn erase(file: &Path) -> Result<(), Error> {
    match private_file::erase(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(disk("remove", file)(error)),
        _ => Ok(()),
    }
}

/// Whether the enrolment by the token with this `label` is the one that the configuration stands for.
pub fn is_in_force(state_dir: &Path, label: &str) -> bool {
    let text = fs::read_to_string(state_dir.join(CONFIGURATION)).unwrap_or_default();
    text.contains(&format!("mqtt-{label}.crt"))
        && ["crt", "key"].iter().all(|end| kept_file(state_dir, label, end).exists())
}

fn kept_file(state_dir: &Path, label: &str, end: &str) -> PathBuf {
    state_dir.join("identity").join(format!("mqtt-{label}.{end}"))
}

fn disk(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Disk { doing, path, source }
}

/// The state directory, and whose it is.
struct State {
    dir: PathBuf,
    owner: Owner,
}

impl State {
    fn open(dir: &Path) -> Result<State, Error> {
        let dir = std::path::absolute(dir).map_err(disk("find", dir))?;
        fs::create_dir_all(&dir).map_err(disk("make", &dir))?;
        let about = fs::metadata(&dir).map_err(disk("look at", &dir))?;
        let state = State { owner: Owner { uid: about.uid(), gid: about.gid() }, dir };
        for folder in ["identity", "conf.d"] {
            let path = state.dir.join(folder);
            private_file::make_folder(state.owner, &path).map_err(disk("make", &path))?;
        }
        Ok(state)
    }

    fn write(&self, path: &Path, content: &str) -> Result<(), Error> {
        private_file::write_for(self.owner, path, content.as_bytes()).map_err(disk("write", path))
    }

    /// The box's id, which the daemon would make at its first start.
    fn box_id(&self, configured: Option<&str>) -> Result<String, Error> {
        if let Some(id) = configured {
            return Ok(id.to_owned());
        }
        let path = self.dir.join("box-id");
        if !path.exists() {
            self.write(&path, &ids::random(8))?;
        }
        daemon::box_id(&self.dir).map_err(|error| Error::File { path, reason: error.to_string() })
    }
}

/// What is kept of one enrolment: files named after its token.
struct Kept {
    label: String,
    key: PathBuf,
    certificate: PathBuf,
    ca: PathBuf,
}

impl Kept {
    fn of(order: &EnrolmentOrder, state: &State) -> Kept {
        let label = order.token.label();
        let file = |end: &str| kept_file(&state.dir, &label, end);
        let (key, certificate, ca) = (file("key"), file("crt"), file("ca.crt"));
        Kept { label, key, certificate, ca }
    }

    /// The key of this enrolment, made now if there is none.
    fn key(&self, state: &State) -> Result<KeyPair, Error> {
        match fs::read_to_string(&self.key) {
            Ok(pem) => Ok(KeyPair::from_pem(&pem)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let key = KeyPair::generate()?;
                state.write(&self.key, &key.serialize_pem())?;
                Ok(key)
            }
            Err(error) => Err(disk("read", &self.key)(error)),
        }
    }

    /// Everything into its place, the configuration last. What is written is dated `now`, so that certificates can be
    /// judged by it while the clock is wrong.
    fn put(&self, state: &State, answer: &Answer, now: SystemTime) -> Result<(), Error> {
        state.write(&self.certificate, &answer.certificate)?;
        if let Some(ca) = &answer.mqtt.ca {
            state.write(&self.ca, ca)?;
        }
        if let Ok(file) = fs::File::options().append(true).open(&self.certificate) {
            // Only an aid, and not every file system can.
            let _ = file.set_modified(now);
        }
        let text = |path: &Path| path.display().to_string();
        let files =
            accept::Files { key: text(&self.key), certificate: text(&self.certificate), ca: text(&self.ca) };
        state.write(&state.dir.join(CONFIGURATION), &accept::configuration(answer, &files))
    }

    /// Keys and certificates of earlier enrolments. One that cannot be removed harms nobody.
    fn remove_older(&self, state: &State) {
        for entry in fs::read_dir(state.dir.join("identity")).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("mqtt-") && !name.starts_with(&format!("mqtt-{}.", self.label)) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Asks the server, waiting a while for the network.
async fn ask(
    order: &EnrolmentOrder,
    box_id: &str,
    key: &KeyPair,
    time: NotBefore,
) -> Result<Answered, Error> {
    let failed = |reason: String| Error::Network { server: order.server(), reason };
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, box_id);
    let request = Request {
        box_id: box_id.to_owned(),
        fleet: order.fleet.clone(),
        name: order.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        csr: params.serialize_request(key)?.pem()?,
    };
    let body = serde_json::json!(request).to_string();
    let tls = https::trust(order, time).map_err(failed)?;
    let deadline = clock::now() + PATIENCE;
    loop {
        let answered = https::post(order, tls.clone(), body.clone()).await;
        #[cfg(test)]
        private_file::step().map_err(disk("ask", Path::new("the server")))?;
        match answered {
            Ok(answered) => return Ok(answered),
            Err(Failure::Https(Https::Connect(_))) if clock::now() + PAUSE < deadline => {
                tokio::time::sleep(PAUSE).await
            }
            Err(failure) => return Err(failed(told(&failure, time))),
        }
    }
}

/// The failure, and what time it was taken to be where that may be the reason.
fn told(failure: &Failure, time: NotBefore) -> String {
    let text = failure.to_string();
    if !["xpired", "NotValidYet", "not valid yet"].iter().any(|word| text.contains(word)) {
        return text;
    }
    let at = crate::control::rfc3339(time.now());
    let by = if time.clock_is_wrong() {
        "the date of roomctl or of the file: the clock is earlier"
    } else {
        "the clock"
    };
    format!("{text} (by {by} it is {at})")
}

fn checked(order: &EnrolmentOrder, answered: &Answered, key: &str) -> Result<Answer, Error> {
    let server = order.server();
    match answered.status {
        200..300 => accept::check(&answered.body, key).map_err(|reason| Error::Answer { server, reason }),
        status => {
            let given: Option<Refusal> = serde_json::from_slice(&answered.body).ok();
            let (code, message) = match given {
                Some(refusal) => (refusal.error.code, refusal.error.message),
                None if (300..400).contains(&status) => {
                    ("http".to_owned(), "it redirects: enroll_url must be the address itself".to_owned())
                }
                None => ("http".to_owned(), "it gives no reason".to_owned()),
            };
            let told = |text: String| text.replace(order.token.reveal(), "…");
            let short = |text: String| told(text).chars().filter(|c| !c.is_control()).take(300).collect();
            Err(Error::Refused { server, status, code: short(code), message: short(message) })
        }
    }
}
