//! What forwarding costs: one 720p publisher (three layers, Opus) and N subscribers, none of which decodes.
//!
//! ```text
//! cargo bench --bench sfu                        ours, N = 1, 10, 50, 100, 300
//! cargo bench --bench sfu -- livekit 1 10 50     livekit-server, named by ROOMD_TEST_LIVEKIT_SERVER
//! ```
//! The server is another process; its threads are read by their own CPU clocks while the subscribers count packets.
#![allow(clippy::disallowed_methods)]

#[path = "../../tests/rooms/client.rs"]
#[allow(dead_code)]
mod client;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use client::{Client, Doing};
use roomd::base::{Shutdown, clock};
use roomd::room::Grant;
use roomd::room::token::Keys;
use roomd::rtc::sfu::{Codecs, NodeIp};
use roomd::server::signal::{self, Config};

const KEY: &str = "devkey";
const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// Until layers, estimates and dynacast have settled.
const SETTLE: Duration = Duration::from_secs(12);
const MEASURE: Duration = Duration::from_secs(10);

/// A server of its own process, ended by its pid.
struct Server {
    child: Child,
    url: String,
    _config: Option<tempfile::NamedTempFile>,
}

impl Server {
    fn ours() -> Server {
        let own = std::env::current_exe().expect("own path");
        let mut child = Command::new(own)
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("server");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("stdout")).read_line(&mut line).expect("its address");
        Server { child, url: format!("ws://{}", line.trim()), _config: None }
    }

    async fn livekit() -> Server {
        let program = std::env::var("ROOMD_TEST_LIVEKIT_SERVER").expect("ROOMD_TEST_LIVEKIT_SERVER");
        let free =
            || std::net::TcpListener::bind("127.0.0.1:0").expect("port").local_addr().expect("port").port();
        let (http, tcp, udp) = (free(), free(), free());
        let mut config = tempfile::NamedTempFile::new().expect("file");
        write!(
            config,
            "port: {http}\nbind_addresses: [\"127.0.0.1\"]\nkeys: {{{KEY}: \"{SECRET}\"}}\nrtc:\n  node_ip: 127.0.0.1\n  \
             use_external_ip: false\n  enable_loopback_candidate: true\n  interfaces: {{includes: [lo]}}\n  \
             udp_port: {udp}\n  tcp_port: {tcp}\n  stun_servers: [\"127.0.0.1:3478\"]\n  \
             congestion_control: {{enabled: true, use_send_side_bwe: true}}\nroom:\n  \
             enabled_codecs: [{{mime: audio/opus}}, {{mime: video/h264}}]\nlogging: {{level: error}}\n",
        )
        .expect("config");
        let child = Command::new(program).arg("--config").arg(config.path()).spawn().expect("livekit-server");
        while tokio::net::TcpStream::connect(("127.0.0.1", http)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Server { child, url: format!("ws://127.0.0.1:{http}"), _config: Some(config) }
    }

    /// CPU time of all its threads so far.
    fn cpu(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("its threads");
        let nanos = tasks.filter_map(|task| {
            let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanos.sum())
    }

    /// Resident memory in kB.
    fn memory_kb(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The server's process: the room server on a bare listener, until its input ends.
async fn serve() {
    let shutdown = Shutdown::new();
    let node_ip = NodeIp::Fixed(std::net::Ipv4Addr::LOCALHOST.into());
    let config = Config { rtc_udp: 0, rtc_tcp: 0, node_ip, codecs: Codecs::default() };
    let handle = signal::start(config, shutdown.clone()).expect("room server");
    let keys = Arc::new(Keys::new(BTreeMap::from([(KEY.into(), SECRET.into())])).expect("keys"));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listener");
    println!("{}", listener.local_addr().expect("address"));
    let router = signal::routes(handle, keys);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let _ = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await;
    shutdown.cancel();
}

fn token(identity: &str) -> String {
    let keys = Keys::new(BTreeMap::from([(KEY.into(), SECRET.into())])).expect("keys");
    let grant = Grant {
        identity: identity.into(),
        room: "bench".into(),
        room_join: true,
        can_publish: true,
        can_subscribe: true,
        can_publish_data: true,
        ..Grant::default()
    };
    keys.mint(&grant, Duration::from_secs(3600), clock::wall())
}

async fn measure(server: &Server, subscribers: usize) {
    let doing = Doing { video: true, audio: Some(20) };
    let publisher = Client::join(&server.url, &token("camera"), doing).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before_kb = server.memory_kb();
    let mut viewers = Vec::new();
    for index in 0..subscribers {
        viewers.push(Client::join(&server.url, &token(&format!("viewer-{index}")), Doing::default()).await);
    }
    tokio::time::sleep(SETTLE).await;
    let packets = || -> [u64; 4] {
        viewers.iter().fold([0; 4], |mut sum, viewer| {
            let mut seen = viewer.seen.lock().expect("seen");
            seen.pictures.clear();
            sum.iter_mut().zip(seen.video.iter().chain([&seen.audio])).for_each(|(sum, count)| *sum += count);
            sum
        })
    };
    let (begun, cpu) = (packets(), server.cpu());
    tokio::time::sleep(MEASURE).await;
    let (ended, cpu) = (packets(), server.cpu() - cpu);
    let passed: Vec<u64> = ended.iter().zip(begun).map(|(ended, begun)| ended - begun).collect();
    let all: u64 = passed.iter().sum();
    let memory_kb = server.memory_kb().saturating_sub(before_kb) / subscribers as u64;
    println!(
        "N = {subscribers:3}: {:6.2} us a packet, {:7.0} packets a second (q, h, f, audio {passed:?}), {:5.1} % of a core, \
         {memory_kb} kB a subscriber",
        cpu.as_secs_f64() * 1e6 / all.max(1) as f64,
        all as f64 / MEASURE.as_secs_f64(),
        cpu.as_secs_f64() / MEASURE.as_secs_f64() * 100.0,
    );
    drop((publisher, viewers));
    tokio::time::sleep(Duration::from_secs(3)).await;
}

#[tokio::main]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    if words.iter().any(|word| word == "serve") {
        return serve().await;
    }
    let given: Vec<usize> = words.iter().filter_map(|word| word.parse().ok()).collect();
    let counts = if given.is_empty() { vec![1, 10, 50, 100, 300] } else { given };
    let livekit = words.iter().any(|word| word == "livekit");
    println!("{}", if livekit { "livekit-server" } else { "ours" });
    for subscribers in counts {
        // A process of its own each time: what the last one left behind is not counted.
        let server = if livekit { Server::livekit().await } else { Server::ours() };
        measure(&server, subscribers).await;
    }
}
