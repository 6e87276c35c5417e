//! A room server on loopback for tests: signalling on a bare listener, no TLS, no pages.
#![allow(dead_code)]

pub mod client;
pub mod gateway;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use roomd::base::{Shutdown, clock};
use roomd::room::Grant;
use roomd::room::token::Keys;
use roomd::rtc::sfu::{Codecs, NodeIp};
use roomd::server::api;
use roomd::server::signal::{self, Config, Handle};
use roomd::store::Store;

pub use client::grant;

/// The server of one test; stops when dropped.
pub struct RoomServer {
    pub address: SocketAddr,
    pub handle: Handle,
    pub keys: Arc<Keys>,
    shutdown: Shutdown,
    _dir: tempfile::TempDir,
}

pub const KEY: &str = "devkey";
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";

impl RoomServer {
    /// Starts it; must be called in a tokio runtime.
    pub async fn start() -> RoomServer {
        RoomServer::start_with(Codecs::default()).await
    }

    /// The same, with other codecs.
    pub async fn start_with(codecs: Codecs) -> RoomServer {
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_ansi(false)
            .with_writer(std::io::stderr)
            .try_init();
        let shutdown = Shutdown::new();
        let node_ip = NodeIp::Fixed(std::net::Ipv4Addr::LOCALHOST.into());
        let config = Config { rtc_udp: 0, rtc_tcp: 0, node_ip, codecs, bandwidth_estimation: true };
        let handle = signal::start(config, shutdown.clone()).expect("room server");
        let keys = Arc::new(Keys::new(BTreeMap::from([(KEY.into(), SECRET.into())])).expect("keys"));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listener");
        let address = listener.local_addr().expect("address");
        let dir = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(&dir.path().join("roomd.db")).expect("store");
        // A page of our own origin, from where a browser lets scripts reach loopback.
        let page = axum::routing::get(|| async { axum::response::Html("<!doctype html><body></body>") });
        let router = signal::routes(handle.clone(), Arc::clone(&keys))
            .merge(api::routes(handle.clone(), Arc::clone(&keys), store))
            .route("/test.html", page);
        let stop = shutdown.clone().cancelled_owned();
        tokio::spawn(async move { axum::serve(listener, router).with_graceful_shutdown(stop).await });
        RoomServer { address, handle, keys, shutdown, _dir: dir }
    }

    /// A token for `room` with every usual right.
    pub fn token(&self, room: &str, identity: &str) -> String {
        self.token_for(&grant(room, identity))
    }

    pub fn token_for(&self, grant: &Grant) -> String {
        self.keys.mint(grant, Duration::from_secs(600), clock::wall())
    }

    /// Where its media goes by UDP.
    pub fn media(&self) -> SocketAddr {
        (std::net::Ipv4Addr::LOCALHOST, self.handle.ports().udp).into()
    }

    pub fn ws_url(&self) -> String {
        format!("ws://{}", self.address)
    }

    pub fn http_url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for RoomServer {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// The value of an environment variable that names a tool; None: skip, which must be allowed explicitly.
pub fn tool(variable: &str, what: &str) -> Option<String> {
    match std::env::var(variable) {
        Ok(value) => Some(value),
        Err(_) if std::env::var("ROOMD_TEST_ALLOW_SKIP").is_ok_and(|v| v == "1") => {
            eprintln!("SKIPPED: {variable} is not set ({what})");
            None
        }
        Err(_) => panic!("{variable} must name {what}; ROOMD_TEST_ALLOW_SKIP=1 skips this test"),
    }
}

/// Runs a script with a bound; panics with its output when it fails. Its last line of output is JSON.
pub async fn run_script(
    program: &str,
    arguments: &[&str],
    envs: &[(&str, &str)],
    limit: Duration,
) -> serde_json::Value {
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).envs(envs.iter().copied()).kill_on_drop(true);
    let output = tokio::time::timeout(limit, command.output()).await;
    let output = output.expect("the script took too long").expect("the script cannot be started");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}\n{stdout}\n{stderr}");
    let last = stdout.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|_| panic!("no JSON: {stdout}\n{stderr}"))
}
