//! A fleet at one broker: memory of a box's bridge, and the return after the broker was killed.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use roomd::base::{Shutdown, clock};
use roomd::control::{ControlHandle, StatePublisher};
use roomd::mqtt::{self, Access, BridgeStatus, Config, Connection, Endpoint, Feeds};
use serde_json::json;
use tokio::sync::watch;

use crate::broker::Broker;

const BOXES: usize = 500;
/// How long the broker is away.
const AWAY: Duration = Duration::from_secs(2);

pub async fn run() {
    let mut broker = Broker::start();
    let shutdown = Shutdown::new();
    let connects: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let before = resident_kib();
    let mut boxes = Vec::new();
    for n in 0..BOXES {
        boxes.push(start(n, broker.port, &connects, &shutdown));
        // They are switched on one after the other.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    online(&boxes).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after = resident_kib();
    println!(
        "{BOXES} boxes online: {} KiB resident, {:.0} KiB a box",
        after,
        (after - before) as f64 / BOXES as f64
    );

    // A connection that has lasted is a good one.
    connects.lock().unwrap().clear();
    broker.kill();
    tokio::time::sleep(AWAY).await;
    let back = Instant::now();
    broker.restart();
    while connects.lock().unwrap().len() < BOXES {
        assert!(back.elapsed() < Duration::from_secs(200), "{} are back", connects.lock().unwrap().len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    online(&boxes).await;
    let times = connects.lock().unwrap().clone();
    let within = |from: &Instant| {
        times.iter().filter(|at| (*from..*from + Duration::from_secs(1)).contains(*at)).count()
    };
    println!(
        "broker killed, back after {} s: all {BOXES} online {:.1} s after its return, at most {} in any second",
        AWAY.as_secs(),
        times.iter().max().map_or(0.0, |last| (*last - back).as_secs_f64()),
        times.iter().map(within).max().unwrap_or(0)
    );
    shutdown.cancel();
    for (_, running) in boxes {
        let _ = running.await;
    }
}

/// A box: how its bridge is, and its end.
type Member = (watch::Receiver<BridgeStatus>, tokio::task::JoinHandle<()>);

fn start(n: usize, port: u16, connects: &Arc<Mutex<Vec<Instant>>>, shutdown: &Shutdown) -> Member {
    let endpoint = Endpoint { host: "127.0.0.1".to_owned(), port, tls: false };
    let id = format!("box{n}");
    let config = Config::new(Access { endpoint, ..Access::default() }, "bench", &id, "boot");
    let (control, mut orders) = ControlHandle::new(&StatePublisher::new(clock::wall));
    let (info, info_receiver) = watch::channel(json!({"id": id}));
    let status = watch::Sender::new(BridgeStatus::default());
    let (seen, mut watched) = (status.subscribe(), status.subscribe());
    let (connects, shutdown) = (connects.clone(), shutdown.clone());
    tokio::spawn(async move {
        let mut known = 0;
        while watched.changed().await.is_ok() {
            let connections = watched.borrow_and_update().connections;
            if connections > known {
                known = connections;
                connects.lock().unwrap().push(Instant::now());
            }
        }
    });
    let running = tokio::spawn(async move {
        let _held = info;
        tokio::select! {
            ended = mqtt::run(config, control, Feeds::new(info_receiver), status, shutdown) => ended.unwrap(),
            () = async { while orders.recv().await.is_some() {} } => {}
        }
    });
    (seen, running)
}

async fn online(boxes: &[Member]) {
    for (status, _) in boxes {
        let mut status = status.clone();
        status.wait_for(|status| status.connection == Connection::Online).await.unwrap();
    }
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
