//! `roomctl enroll-server`: a fleet's own authority, single-use tokens, and the HTTPS API that boxes enrol at. Small on
//! purpose: for labs, and as the reference of the API (`design/provisioning.md`).
//!
//! Everything is in one folder: `enroll.json` (settings), `authority.json` and `server.json` (certificates with their
//! keys), `enroll.db` (tokens), and for other programs `ca.crt`, `server.crt`, `server.key`, `operator.crt`,
//! `operator.key`, `mosquitto.conf`, `mosquitto.acl`.

mod mosquitto;
mod serve;
mod tokens;

use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;

pub use serve::Listening;
#[cfg(any(test, fuzzing))]
pub(super) use serve::read_csr;
use tokens::Tokens;
pub use tokens::{Minted, TokenWish};

use crate::base::{clock, private_file};
use crate::control::topics::{TopicError, check_name};
use crate::server::tls::authority::{self, Stored};
use crate::server::tls::{TlsError, current_names};

/// The operator's name at the broker. No box can have it: ids hold no colon.
pub const OPERATOR: &str = "operator:fleet";

/// Why the server cannot do it.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A file of the folder.
    #[error("{path}: {reason}")]
    File {
        /// Which.
        path: PathBuf,
        /// What is the matter.
        reason: String,
    },
    /// There is no server in this folder yet.
    #[error("{dir}: no enrolment server here: make one by `roomctl enroll-server init {dir}`")]
    NotMade {
        /// The folder.
        dir: PathBuf,
    },
    /// A server was made here before.
    #[error("{dir}: there is an enrolment server here already; its authority is not made anew")]
    Made {
        /// The folder.
        dir: PathBuf,
    },
    /// A name that cannot be one.
    #[error(transparent)]
    Name(#[from] TopicError),
    /// A certificate could not be made or used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The tokens cannot be read or written.
    #[error("the tokens: {0}")]
    Tokens(#[from] rusqlite::Error),
    /// The address is taken, or not this machine's.
    #[error("cannot listen at {address}: {source}")]
    Bind {
        /// Which.
        address: String,
        /// The system's words.
        source: std::io::Error,
    },
}

/// What was decided when the server was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The fleet that it enrols into.
    pub fleet: String,
    /// What boxes call this machine; stands in its certificate, beside its names and addresses.
    pub host: String,
    /// Where it and the broker listen; unspecified: everywhere.
    pub bind: IpAddr,
    /// The enrolment server's port.
    pub port: u16,
    /// The broker's port.
    pub broker_port: u16,
}

impl Settings {
    /// `https://…`, for `enroll_url`.
    pub fn enroll_url(&self) -> String {
        format!("https://{}:{}/v1/enroll", self.host, self.port)
    }

    /// `mqtts://…`
    pub fn broker_url(&self) -> String {
        format!("mqtts://{}:{}", self.host, self.broker_port)
    }
}

/// An enrolment server's folder, opened.
#[derive(Debug)]
pub struct EnrollServer {
    dir: PathBuf,
    /// As it was made.
    pub settings: Settings,
    authority: Stored,
    server: Stored,
    tokens: Tokens,
}

impl EnrollServer {
    /// Makes the folder `dir` with everything in it: authority, certificates, mosquitto's files.
    ///
    /// # Errors
    /// [`ServerError::Made`] when there is one already.
    pub fn init(dir: &Path, settings: Settings) -> Result<EnrollServer, ServerError> {
        check_name("fleet", &settings.fleet)?;
        let dir = std::path::absolute(dir).map_err(|error| bad(dir, &error))?;
        if dir.join("enroll.json").exists() {
            return Err(ServerError::Made { dir });
        }
        let now = now();
        keep(&dir.join("authority.json"), &authority::make_authority(&settings.fleet, now)?)?;
        // Last of what cannot be made again: with it the folder counts as made.
        keep(&dir.join("enroll.json"), &settings)?;
        let made = EnrollServer::open(&dir)?;
        let key = rcgen::KeyPair::generate().map_err(TlsError::Make)?;
        let certificate = authority::make_client(&made.authority, OPERATOR, &key, now)?;
        made.write("operator.key", &key.serialize_pem())?;
        made.write("operator.crt", &certificate)?;
        Ok(made)
    }

    /// Opens what [`EnrollServer::init`] has made; its certificate is made anew where names or time want it.
    ///
    /// # Errors
    /// [`ServerError`].
    pub fn open(dir: &Path) -> Result<EnrollServer, ServerError> {
        let dir = std::path::absolute(dir).map_err(|error| bad(dir, &error))?;
        let settings: Settings =
            read(&dir.join("enroll.json"))?.ok_or(ServerError::NotMade { dir: dir.clone() })?;
        let authority: Stored =
            read(&dir.join("authority.json"))?.ok_or(ServerError::NotMade { dir: dir.clone() })?;
        let mut names = current_names();
        names.push(settings.host.clone());
        names.sort();
        names.dedup();
        let server = match read::<Stored>(&dir.join("server.json"))? {
            Some(server) if !authority::must_reissue(&server, &authority, &names, now()) => server,
            _ => {
                let made = authority::make_server(&authority, &names, now())?;
                keep(&dir.join("server.json"), &made)?;
                made
            }
        };
        let tokens = Tokens::open(&dir.join("enroll.db"))?;
        let opened = EnrollServer { dir, settings, authority, server, tokens };
        opened.write("ca.crt", &opened.authority.certificate)?;
        opened.write("server.crt", &opened.server.certificate)?;
        opened.write("server.key", &opened.server.key)?;
        opened.write("mosquitto.acl", &mosquitto::acl(&opened.settings))?;
        opened.write("mosquitto.conf", &mosquitto::configuration(&opened.settings, &opened.dir))?;
        Ok(opened)
    }

    /// Mints a token: the content of a `roomd-provision.json`, which holds the authority that signs this server's
    /// certificate as the only one to trust.
    ///
    /// # Errors
    /// [`ServerError::Name`] and [`ServerError::Tokens`].
    pub fn mint(&self, wish: &TokenWish) -> Result<(Value, Minted), ServerError> {
        if let Some(id) = &wish.box_id {
            check_name("box", id)?;
        }
        let minted = self.tokens.mint(wish, now())?;
        let mut file = json!({
            "enroll_url": self.settings.enroll_url(),
            "token": minted.token,
            "fleet": self.settings.fleet,
            "ca": self.authority.certificate,
        });
        if let Some(name) = &wish.name {
            file["name"] = json!(name);
        }
        Ok((file, minted))
    }

    fn write(&self, name: &str, content: &str) -> Result<(), ServerError> {
        let path = self.dir.join(name);
        if std::fs::read_to_string(&path).is_ok_and(|found| found == content) {
            return Ok(());
        }
        private_file::write(&path, content.as_bytes()).map_err(|error| bad(&path, &error))
    }
}

fn now() -> OffsetDateTime {
    clock::wall().into()
}

fn bad(path: &Path, reason: &impl ToString) -> ServerError {
    ServerError::File { path: path.to_owned(), reason: reason.to_string() }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, ServerError> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| bad(path, &error)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(bad(path, &error)),
    }
}

fn keep(path: &Path, value: &impl Serialize) -> Result<(), ServerError> {
    let json = serde_json::to_vec_pretty(value).map_err(|error| bad(path, &error))?;
    private_file::write(path, &json).map_err(|error| bad(path, &error))
}
