//! The servers, each a process of its own.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use roomd::base::{Shutdown, clock};
use roomd::room::token::Keys;
use roomd::rtc::sfu::{Codecs, NodeIp};
use roomd::server::signal::{self, Config};

use crate::client::grant;
use crate::janus;

const KEY: &str = "devkey";
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ours,
    /// Without bandwidth estimation.
    OursPlain,
    LiveKit,
    LiveKitPlain,
    /// Estimates nothing.
    Janus,
}

impl Kind {
    const ALL: [Kind; 5] = [Kind::Ours, Kind::OursPlain, Kind::LiveKit, Kind::LiveKitPlain, Kind::Janus];

    /// None: no server is called so.
    pub fn parse(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Kind::Ours => "ours",
            Kind::OursPlain => "ours-plain",
            Kind::LiveKit => "livekit",
            Kind::LiveKitPlain => "livekit-plain",
            Kind::Janus => "janus",
        }
    }
}

/// A server, ended by its pid.
pub struct Server {
    child: Child,
    pub url: String,
    _config: tempfile::TempDir,
}

impl Server {
    pub async fn start(kind: Kind) -> Server {
        let config = tempfile::tempdir().expect("a temporary folder");
        let (child, url) = match kind {
            Kind::Ours => ours(true),
            Kind::OursPlain => ours(false),
            Kind::LiveKit => livekit(config.path(), true).await,
            Kind::LiveKitPlain => livekit(config.path(), false).await,
            Kind::Janus => janus::start(config.path()).await,
        };
        Server { child, url, _config: config }
    }

    /// CPU time of all its threads so far.
    pub fn cpu(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("its threads");
        let nanos = tasks.filter_map(|task| {
            let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanos.sum())
    }

    /// Resident memory in kB.
    pub fn memory_kb(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ours ends with its input; the others need not say anything more.
        let waits = if self.child.stdin.take().is_some() { 20 } else { 0 };
        for _ in 0..waits {
            std::thread::sleep(Duration::from_millis(100));
            if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return;
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ours(estimation: bool) -> (Child, String) {
    let own = std::env::current_exe().expect("own path");
    let mut child = Command::new(own)
        .arg("serve")
        .args((!estimation).then_some("plain"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("server");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("stdout")).read_line(&mut line).expect("its address");
    (child, format!("ws://{}", line.trim()))
}

async fn livekit(dir: &std::path::Path, estimation: bool) -> (Child, String) {
    let program = std::env::var("ROOMD_TEST_LIVEKIT_SERVER").expect("ROOMD_TEST_LIVEKIT_SERVER");
    let free =
        || std::net::TcpListener::bind("127.0.0.1:0").expect("port").local_addr().expect("port").port();
    let (http, tcp, udp) = (free(), free(), free());
    let config = format!(
        "port: {http}\nbind_addresses: [\"127.0.0.1\"]\nkeys: {{{KEY}: \"{SECRET}\"}}\nrtc:\n  node_ip: 127.0.0.1\n  \
         use_external_ip: false\n  enable_loopback_candidate: true\n  interfaces: {{includes: [lo]}}\n  \
         udp_port: {udp}\n  tcp_port: {tcp}\n  stun_servers: [\"127.0.0.1:3478\"]\n  \
         congestion_control: {{enabled: {estimation}, use_send_side_bwe: {estimation}}}\nroom:\n  \
         enabled_codecs: [{{mime: audio/opus}}, {{mime: video/h264}}]\nlogging: {{level: error}}\n",
    );
    let path = dir.join("livekit.yaml");
    std::fs::write(&path, config).expect("configuration");
    let child = Command::new(program).arg("--config").arg(path).spawn().expect("livekit-server");
    while tokio::net::TcpStream::connect(("127.0.0.1", http)).await.is_err() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    (child, format!("ws://127.0.0.1:{http}"))
}

/// The process of our own server: the room server on a bare listener, until its input ends.
pub async fn serve(bandwidth_estimation: bool) {
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .try_init();
    let shutdown = Shutdown::new();
    let node_ip = NodeIp::Fixed(std::net::Ipv4Addr::LOCALHOST.into());
    let codecs = Codecs::default();
    let config = Config { rtc_udp: 0, rtc_tcp: 0, node_ip, codecs, bandwidth_estimation };
    let handle = signal::start(config, shutdown.clone()).expect("room server");
    let keys = Arc::new(Keys::new(BTreeMap::from([(KEY.into(), SECRET.into())])).expect("keys"));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listener");
    println!("{}", listener.local_addr().expect("address"));
    let router = signal::routes(handle.clone(), keys);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let _ = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await;
    let counters = handle.counters();
    let unsent = counters.unsent_datagrams.load(Ordering::Relaxed);
    if unsent > 0 {
        eprintln!("the kernel did not take {unsent} datagrams");
    }
    shutdown.cancel();
}

/// A token for `room` with every usual right.
pub fn token(room: &str, identity: &str) -> String {
    let keys = Keys::new(BTreeMap::from([(KEY.into(), SECRET.into())])).expect("keys");
    keys.mint(&grant(room, identity), Duration::from_secs(3600), clock::wall())
}
