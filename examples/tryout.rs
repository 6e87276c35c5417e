use std::time::Duration;
use roomd::base::{Shutdown, clock, ids};
use roomd::control::queue::*;
use roomd::control::*;
use roomd::{local, mqtt};
use serde_json::json;
#[tokio::main(flavor = "current_thread")]
async fn main() {
    tracing_subscriber::fmt().with_env_filter("info,roomd=debug").init();
    let port: u16 = std::env::args().nth(1).unwrap().parse().unwrap();
    let sock = std::env::args().nth(2).unwrap();
    let state = StatePublisher::new(clock::wall);
    let (control, mut orders) = ControlHandle::new(&state);
    let st = state.clone();
    tokio::spawn(async move {
        let mut q: RequestQueue<tokio::sync::oneshot::Sender<Reply>> = RequestQueue::new(Policy::default(), Desired::default());
        let (done_tx, mut done) = tokio::sync::mpsc::channel::<(u64, Reply)>(16);
        loop {
            tokio::select! {
                Some(o) = orders.recv() => {
                    let answers = match q.decide(&o.command, &o.origin, || ids::random(12)) {
                        Verdict::Answer(r) => vec![(o.reply, r)],
                        Verdict::Attach(l) => q.attach(l, o.reply).into_iter().collect(),
                        Verdict::Accept(c) => { println!("persist {} {}", c.key(), c.value()); q.accept(c, o.reply) }
                    };
                    for (t, r) in answers { let _ = t.send(r); }
                }
                Some((ticket, reply)) = done.recv() => for (t, r) in q.finish(ticket, &reply) { let _ = t.send(r); },
            }
            while let Some(a) = q.start() {
                let (tx, st) = (done_tx.clone(), st.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    let data = match a.change {
                        Change::Room(r) => { st.update(|s| s.room = r.map(|r| Room { name: r.room, url: "ws://127.0.0.1:7880".into(), status: RoomStatus::Joined, reason: None, participants: 1 })); json!(null) }
                        Change::Recording(r) => { let id = r.map(|r| r.id); let d = json!({"id": id}); st.update(|s| { s.recording.on = id.is_some(); s.recording.id = id; }); d }
                        Change::Muted(m) => { st.update(|s| s.microphone.muted = m); json!(null) }
                    };
                    let _ = tx.send((a.ticket, Reply::ok("done", data))).await;
                });
            }
        }
    });
    let (_i, info) = tokio::sync::watch::channel(json!({"version": "0.1.0", "hardware": mqtt::hardware(), "commands": describe::commands(), "schema": describe::schema_hash()}));
    let (stx, _srx) = tokio::sync::watch::channel(mqtt::BridgeStatus::default());
    let shutdown = Shutdown::new();
    let server = local::Server::bind(std::path::Path::new(&sock)).unwrap();
    tokio::spawn(server.run(control.clone(), info.clone(), std::sync::Arc::new(|| vec!["http://127.0.0.1:7880/#admin=abc".into()]), shutdown.clone()));
    let access = mqtt::Access { endpoint: mqtt::Endpoint::parse(&format!("mqtt://127.0.0.1:{port}")).unwrap(), client_id: "box1".into(), ..Default::default() };
    let cfg = mqtt::Config::new(access, "default", "box1", &ids::random(8));
    let s2 = shutdown.clone();
    tokio::spawn(async move { let _ = tokio::signal::ctrl_c().await; s2.cancel(); });
    mqtt::run(cfg, control, info, stx, shutdown).await.unwrap();
}
