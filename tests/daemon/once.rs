//! Commands over a bad link to a box that dies again and again: each is run once, and whoever waits gets an answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rumqttc::mqttbytes::v5::{Packet, PublishProperties};
use rumqttc::{AsyncClient, Event, MqttOptions, PublishOptions, QoS};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::badlink::BadLink;
use crate::broker::Broker;
use crate::gate;
use crate::roomd::Roomd;

/// How long a command is good, and its asker waits.
const EXPIRY: Duration = Duration::from_secs(120);
/// An asker that has heard nothing for so long gives its command again.
const REPEAT: Duration = Duration::from_millis(700);

/// How much of it: `COMMANDSxKILLS` in `ROOMD_TEST_ONCE`, for the whole of it `1000x50`.
fn scale() -> (usize, usize) {
    let given = std::env::var("ROOMD_TEST_ONCE").ok();
    let parsed = given.as_deref().and_then(|text| {
        let (commands, kills) = text.split_once('x')?;
        Some((commands.parse().ok()?, kills.parse().ok()?))
    });
    assert!(given.is_none() || parsed.is_some(), "ROOMD_TEST_ONCE: like 1000x50");
    parsed.unwrap_or((200, 10))
}

/// Gives commands as fleet software would.
#[derive(Clone)]
struct Asker {
    client: AsyncClient,
    id: String,
    waiting: Arc<Mutex<BTreeMap<String, mpsc::Sender<Value>>>>,
    done: Arc<AtomicUsize>,
    repeated: Arc<AtomicUsize>,
}

impl Asker {
    async fn connect(port: u16, id: &str) -> Asker {
        let mut options = MqttOptions::new("fleet", ("127.0.0.1", port));
        options.set_outgoing_inflight_upper_limit(64).set_max_packet_size(Some(64 * 1024));
        let (client, mut events) = AsyncClient::builder(options).capacity(64).build();
        client.subscribe("roomd/v1/default/c/fleet/#", QoS::AtLeastOnce).await.expect("subscribed");
        let waiting: Arc<Mutex<BTreeMap<String, mpsc::Sender<Value>>>> = Arc::default();
        let to = waiting.clone();
        tokio::spawn(async move {
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        let reply: Value = serde_json::from_slice(&publish.payload).expect("a reply is JSON");
                        let key = reply["id"].as_str().unwrap_or_default().to_owned();
                        if let Some(asker) = to.lock().unwrap().get(&key) {
                            let _ = asker.try_send(reply);
                        }
                    }
                    Ok(_) => {}
                    // At the test's end; before it the next command could not be published.
                    Err(_) => return,
                }
            }
        });
        Asker { client, id: id.to_owned(), waiting, done: Arc::default(), repeated: Arc::default() }
    }

    async fn publish(&self, issuer: &str, name: &str, params: &str, correlation: &str, left: Duration) {
        let properties = PublishProperties {
            message_expiry_interval: Some(left.as_secs().max(1) as u32),
            response_topic: Some("roomd/v1/default/c/fleet/replies".to_owned()),
            correlation_data: Some(correlation.as_bytes().to_vec().into()),
            user_properties: vec![("issuer".to_owned(), issuer.to_owned())],
            ..PublishProperties::default()
        };
        let topic = format!("roomd/v1/default/d/{}/cmd/{name}", self.id);
        let options = PublishOptions::at_least_once().properties(properties);
        self.client.publish(topic, params.to_owned(), options).await.expect("published");
    }

    /// Gives a command until it is answered; its answer. `busy` and `not_ready` are worth a repetition.
    async fn ask(&self, issuer: &str, name: &str, params: &str, correlation: &str) -> Value {
        let (sender, mut replies) = mpsc::channel(16);
        self.waiting.lock().unwrap().insert(correlation.to_owned(), sender);
        let began = Instant::now();
        let mut times = 0;
        let reply = loop {
            let left = EXPIRY.saturating_sub(began.elapsed());
            assert!(!left.is_zero(), "{name} {correlation}: lost, without an answer after {EXPIRY:?}");
            // Every fifth is given twice at once.
            let copies = if self.done.load(Ordering::SeqCst).is_multiple_of(5) { 2 } else { 1 };
            for _ in 0..copies {
                self.publish(issuer, name, params, correlation, left).await;
            }
            times += copies;
            match tokio::time::timeout(REPEAT, replies.recv()).await {
                Ok(Some(reply)) if reply["code"] == "busy" || reply["code"] == "not_ready" => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Ok(reply) => break reply.expect("the sender is kept"),
                Err(_) => {}
            }
        };
        self.waiting.lock().unwrap().remove(correlation);
        self.done.fetch_add(1, Ordering::SeqCst);
        self.repeated.fetch_add(times - 1, Ordering::SeqCst);
        reply
    }
}

/// Recordings started and stopped, one after the other; the ids that the box has told.
async fn record(asker: Asker, pairs: usize, seed: u64) -> BTreeSet<String> {
    let (mut rng, mut ids) = (StdRng::seed_from_u64(seed), BTreeSet::new());
    for n in 0..pairs {
        let on = asker.ask("recorder", "recording.set", r#"{"on": true}"#, &format!("on{n}")).await;
        assert_eq!(on["ok"], true, "{on}");
        let id = on["data"]["id"].as_str().expect("the recording's id").to_owned();
        assert!(ids.insert(id), "{on}: the recording before was stopped");
        tokio::time::sleep(Duration::from_millis(rng.random_range(100..600))).await;
        let off = asker.ask("recorder", "recording.set", r#"{"on": false}"#, &format!("off{n}")).await;
        assert_eq!(off["ok"], true, "{off}");
        // A late repetition must not begin another recording.
        if rng.random_bool(0.3) {
            let again = asker.ask("recorder", "recording.set", r#"{"on": true}"#, &format!("on{n}")).await;
            assert_eq!(again["data"]["id"], on["data"]["id"], "{again}");
            asker.done.fetch_sub(1, Ordering::SeqCst);
        }
    }
    ids
}

/// Joins, mutes and pings.
async fn others(asker: Asker, kind: usize, count: usize) {
    for n in 0..count {
        let (name, params) = match (kind, n % 4) {
            (0, 3) => ("room.leave", "{}".to_owned()),
            (0, room) => ("room.join", format!(r#"{{"room": "room{room}"}}"#)),
            (1, _) => ("microphone.set", format!(r#"{{"muted": {}}}"#, n % 2 == 0)),
            _ => ("ping", "{}".to_owned()),
        };
        let issuer = format!("issuer{kind}");
        let reply = asker.ask(&issuer, name, &params, &format!("{name}-{n}")).await;
        let fits = match name {
            // The join goes on whatever becomes of its first attempt.
            "room.join" => ["ok", "upstream", "timeout"].iter().any(|code| reply["code"] == *code),
            _ => reply["ok"] == true,
        };
        assert!(fits, "{name} {params}: {reply}");
        let pause = if kind == 0 { 50 } else { 110 };
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

/// The ids of the recordings that have files: `<start>-<id>.mp4`, or `<start>-<id>-2.mp4` for one that went on within
/// the same second.
fn recorded(roomd: &Roomd) -> BTreeSet<String> {
    let files = std::fs::read_dir(roomd.path("state/recordings/box")).expect("recordings");
    let id = |name: String| {
        let mut parts = name.strip_suffix(".mp4")?.rsplit('-');
        parts.find(|part| part.len() == 10).map(str::to_owned)
    };
    files.filter_map(|file| id(file.ok()?.file_name().into_string().ok()?)).collect()
}

/// How often each command was taken on, by the box's own words.
fn taken_on(log: &str) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for line in log.lines().filter(|line| line.contains("mutator: taken on")) {
        let of = line.split("correlation=\"").nth(1).and_then(|rest| rest.split('"').next());
        *times.entry(of.expect("a correlation").to_owned()).or_default() += 1;
    }
    times
}

#[test]
fn commands_over_a_bad_link_to_a_box_that_is_killed_are_run_once_and_all_are_answered() {
    let _gate = gate::undisturbed();
    let (commands, kills) = scale();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let broker = Broker::start();
    let link = runtime.block_on(BadLink::to(broker.port, 20_261_121));
    let config = format!(
        "[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\nreconnect_spread_s = 1\n[control]\nallow_remote_unmute = true\n\
         [camera]\nsource = \"test\"\nsize = \"160x90\"\nfps = 10\n[video]\nsimulcast = false\n",
        link.port
    );
    let mut roomd = Roomd::start(&config);
    let id = roomd.ask(&["info"])["id"].as_str().expect("an id").to_owned();
    let asker = runtime.block_on(Asker::connect(broker.port, &id));
    let pairs = commands * 3 / 20;
    let joins = commands / 10;
    let mutes = (commands - 2 * pairs - joins) / 2;
    let pings = commands - 2 * pairs - joins - mutes;
    let recording = runtime.spawn(record(asker.clone(), pairs, 1));
    let rest: Vec<_> = [joins, mutes, pings]
        .into_iter()
        .enumerate()
        .map(|(kind, count)| runtime.spawn(others(asker.clone(), kind, count)))
        .collect();

    let began = Instant::now();
    let mut rng = StdRng::seed_from_u64(2);
    let mut killed = 0;
    let done = || asker.done.load(Ordering::SeqCst);
    let finished = |recording: &tokio::task::JoinHandle<_>, rest: &[tokio::task::JoinHandle<()>]| {
        recording.is_finished() && rest.iter().all(tokio::task::JoinHandle::is_finished)
    };
    while !finished(&recording, &rest) {
        std::thread::sleep(Duration::from_millis(rng.random_range(5..120)));
        if killed < kills && done() >= (killed + 1) * commands / (kills + 1) {
            roomd = Roomd::launch(roomd.kill(), &config);
            killed += 1;
        }
        assert!(began.elapsed() < EXPIRY * 10, "{} of {commands} after {:?}", done(), began.elapsed());
    }
    let ids = runtime.block_on(recording).expect("the recordings");
    for one in rest {
        runtime.block_on(one).expect("the other commands");
    }
    roomd.wait_for("the box to be ready", |roomd| roomd.ctl(&["info"]).status.success());
    let times = taken_on(&roomd.log());
    let twice: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "executed twice: {twice:?}");
    let files = recorded(&roomd);
    assert!(files.is_subset(&ids), "recordings that nobody ordered: {:?}", files.difference(&ids));
    // One that was killed before its first picture went on after the restart; only a very short one has no file.
    assert!(files.len() * 10 >= ids.len() * 8, "{} of {} recordings have files", files.len(), ids.len());
    assert_eq!((done(), killed), (commands, kills));
    println!(
        "{commands} commands ({} recordings, {} with files), {killed} kills, {} cuts, {} repetitions: \
         0 twice, 0 lost, in {:.0} s",
        ids.len(),
        files.len(),
        link.cuts(),
        asker.repeated.load(Ordering::SeqCst),
        began.elapsed().as_secs_f64()
    );
    roomd.stop();
}
