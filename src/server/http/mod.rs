//! The box's HTTP service: pages, `/box/*`, health, metrics and, merged in, the room server's signalling. One
//! router on two listeners: plain on loopback, TLS for everyone else (contract, section 3).
//!
//! | file | what |
//! |---|---|
//! | `listener` | sockets: accepting, TLS, limits, draining |
//! | `access` | who may: session cookie, token; cross-site requests |
//! | `routes` | the table of paths; health, metrics, `/ca.crt`, `/admin` |
//! | `box_api` | `/box/*`: state, events, commands, links |
//! | `picture`, `recordings`, `pages` | JPEG, files with ranges, the embedded pages |

mod access;
mod addresses;
mod box_api;
mod headers;
mod health;
pub(crate) mod listener;
mod pages;
mod picture;
mod range;
mod recordings;
mod refusal;
mod routes;
mod snapshot;
#[cfg(test)]
mod tests;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use prometheus_client::registry::Registry;
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use super::admin::Admin;
use super::tls::{Source, Tls, TlsError};
use crate::base::{Shutdown, clock};
use crate::control::ControlHandle;
use crate::media::{LatestPicture, Meter};
use crate::room::token::{GuestRight, Keys};

pub use access::{token_of, token_of_parts};
pub use addresses::Addresses;
pub use health::Health;
pub use listener::Via;
#[cfg(any(test, fuzzing))]
pub(crate) use range::check as check_range;
pub use recordings::{RecordingEntry, Recordings};
pub(in crate::server) use refusal::Refusal;
pub use snapshot::Snapshot;

/// How long open requests may take to end once the box stops; then they are cut.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);
/// How often the machine's addresses and the certificate files are looked at.
const CERTIFICATE_CHECK: Duration = Duration::from_secs(10);

/// Connections that the kernel keeps for us; as tokio's own listeners have it.
const BACKLOG: i32 = 1024;

/// How the service shall be.
#[derive(Clone, Debug)]
pub struct Config {
    /// Plain HTTP; must be a loopback address. Port 0: any free one. None: off.
    pub listen: Option<SocketAddr>,
    /// HTTPS. Port 0: any free one. None: off.
    pub listen_tls: Option<SocketAddr>,
    /// Where certificates come from.
    pub certificates: Source,
    /// The box's id.
    pub box_id: String,
    /// The box's name, for people.
    pub box_name: String,
}

/// What the service shows and gives orders to.
#[derive(Clone)]
pub struct Deps {
    /// Where orders go and the state is read.
    pub control: ControlHandle,
    /// The newest camera picture.
    pub picture: LatestPicture,
    /// How loud the microphone is.
    pub meter: Meter,
    /// Lists the recordings, newest first. Called on a thread that may block.
    pub recordings: Recordings,
    /// Verifies and mints tokens.
    pub keys: Arc<Keys>,
    /// Links and sessions.
    pub admin: Admin,
    /// What `/metrics` shows.
    pub registry: Arc<Registry>,
    /// What `/healthz` and `/readyz` show.
    pub health: Health,
    /// The room server's paths (`/rtc…`, `/twirp/…`); must have no fallback.
    pub rtc: Router,
}

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Plain HTTP is for this machine only: browsers give pages no camera on it, and it shows every token.
    #[error(
        "server.listen {address}: plain HTTP is served on loopback only (127.0.0.1 or [::1]); \
         use server.listen_tls for the network"
    )]
    NotLoopback {
        /// The configured address.
        address: SocketAddr,
    },
    /// The address is taken, or not this machine's.
    #[error("{key} {address}: {source}")]
    Bind {
        /// `server.listen` or `server.listen_tls`.
        key: &'static str,
        /// The configured address.
        address: SocketAddr,
        /// The system's words.
        source: std::io::Error,
    },
    /// No certificate.
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
}

/// The running service. It ends by the shutdown token that it was started with.
#[derive(Debug)]
pub struct Http {
    /// Where it listens.
    pub addresses: Addresses,
    admin: Admin,
    keys: Arc<Keys>,
    picture: Arc<picture::Pictures>,
    snapshots: snapshot::Snapshots,
    tasks: TaskTracker,
    shutdown: Shutdown,
    cut: Shutdown,
}

/// What the handlers share.
struct App {
    config: Config,
    deps: Deps,
    addresses: Addresses,
    tls: Option<Arc<Tls>>,
    picture: Arc<picture::Pictures>,
    snapshots: snapshot::Snapshots,
    shutdown: Shutdown,
}

/// Binds, makes or reads the certificate, and serves until `shutdown`.
///
/// # Errors
/// [`Error`] when an address or a certificate is not to be had; nothing is left running then.
pub async fn start(config: Config, deps: Deps, shutdown: Shutdown) -> Result<Http, Error> {
    if let Some(address) = config.listen.filter(|address| !address.ip().is_loopback()) {
        return Err(Error::NotLoopback { address });
    }
    let plain = bind("server.listen", config.listen).await?;
    let secure = bind("server.listen_tls", config.listen_tls).await?;
    let tls = match &secure {
        Some(_) => Some(Arc::new(open_certificates(config.certificates.clone()).await?)),
        None => None,
    };
    let addresses = Addresses { http: local(&plain), https: local(&secure) };
    let (tasks, cut) = (TaskTracker::new(), Shutdown::new());
    let (admin, keys) = (deps.admin.clone(), deps.keys.clone());
    let picture = Arc::new(picture::Pictures::new(deps.picture.clone()));
    let snapshots = snapshot::Snapshots::default();
    let app = Arc::new(App {
        picture: picture.clone(),
        snapshots: snapshots.clone(),
        config,
        deps,
        addresses,
        tls: tls.clone(),
        shutdown: shutdown.clone(),
    });
    let router = routes::router(app);
    let serving =
        listener::Serving { router, tasks: tasks.clone(), shutdown: shutdown.clone(), cut: cut.clone() };
    if let Some(socket) = plain {
        tasks.spawn(listener::run(socket, None, serving.clone()));
    }
    if let (Some(socket), Some(tls)) = (secure, tls) {
        tasks.spawn(listener::run(socket, Some(tls.server_config()?), serving));
        tasks.spawn(keep_certificate(tls, shutdown.clone()));
    }
    tracing::info!(%addresses, "HTTP service");
    Ok(Http { addresses, admin, keys, picture, snapshots, tasks, shutdown, cut })
}

impl Http {
    /// A fresh single-use admin link, under each address it can be opened by. Opening one voids the others.
    pub fn admin_links(&self) -> Vec<String> {
        let code = self.admin.new_link();
        self.addresses.urls().map(|base| format!("{base}/admin?code={code}")).collect()
    }

    /// Takes a picture of the camera and puts it under a URL for a while.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn snapshot(&self) -> Result<Snapshot, String> {
        let jpeg = self.picture.jpeg().await.map_err(|refusal| refusal.message().to_owned())?;
        let (bytes, path) = (jpeg.len(), self.snapshots.keep(jpeg, clock::now()));
        Snapshot::at(&path, self.addresses.urls(), bytes).ok_or_else(|| "the box has no address".to_owned())
    }

    /// A link for any number of guests to `room`, under each address it can be opened by.
    pub fn guest_links(&self, room: &str) -> Vec<String> {
        let path = box_api::guest_path(&self.keys, room, "", GuestRight::default(), clock::wall());
        self.addresses.urls().map(|base| format!("{base}{path}")).collect()
    }

    /// Waits for the shutdown token, then for open requests, at most 3 s; then cuts them.
    pub async fn finished(&self) {
        self.shutdown.cancelled().await;
        self.tasks.close();
        if tokio::time::timeout(DRAIN_TIMEOUT, self.tasks.wait()).await.is_err() {
            tracing::info!(connections = self.tasks.len(), "cutting HTTP connections that did not end");
            self.cut.cancel();
            self.tasks.wait().await;
        }
    }
}

async fn bind(key: &'static str, address: Option<SocketAddr>) -> Result<Option<TcpListener>, Error> {
    match address {
        None => Ok(None),
        Some(address) => {
            let bound = match TcpListener::bind(address).await {
                Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {
                    tracing::warn!(key, %address, "no interface has this address yet; served once one has it");
                    bind_before_it_exists(address)
                }
                bound => bound,
            };
            bound.map(Some).map_err(|source| Error::Bind { key, address, source })
        }
    }
}

/// Listens at an address that this machine may get later (`IP_FREEBIND`): a box starts without its network.
fn bind_before_it_exists(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    match address {
        SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
        SocketAddr::V6(_) => socket.set_freebind_v6(true)?,
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn local(listener: &Option<TcpListener>) -> Option<SocketAddr> {
    listener.as_ref().and_then(|listener| listener.local_addr().ok())
}

async fn open_certificates(source: Source) -> Result<Tls, Error> {
    match tokio::task::spawn_blocking(move || Tls::open(source, clock::wall().into())).await {
        Ok(opened) => Ok(opened?),
        // The runtime is going down.
        Err(_) => Err(Error::Tls(TlsError::Stopping)),
    }
}

/// Every 10 s until `shutdown`: another address or a near end makes a new certificate.
async fn keep_certificate(tls: Arc<Tls>, shutdown: Shutdown) {
    let mut last_error = String::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(CERTIFICATE_CHECK) => {}
            () = shutdown.cancelled() => return,
        }
        let tls = tls.clone();
        match tokio::task::spawn_blocking(move || tls.refresh(clock::wall().into())).await {
            Ok(Ok(_)) => last_error.clear(),
            Ok(Err(error)) => {
                let error = error.to_string();
                if error != last_error {
                    tracing::warn!(error, "the TLS certificate could not be renewed; the old one stays");
                    last_error = error;
                }
            }
            Err(_) => return,
        }
    }
}
