//! `roomctl` at a fleet: real boxes' bridges, a real broker, the real program.

use std::process::Stdio;

use roomd::mqtt::{Arrived, Feeds, Place};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{ChildStdout, Command as Process};
use tokio::sync::{mpsc, watch};

use super::support::{self, Asker, Broker, TestBox, patiently, properties};

/// A box that says that it is in `group`.
async fn member(broker: &Broker, id: &str, group: &str) -> TestBox {
    let groups = vec![group.to_owned()];
    let reported = json!({"effective": {"control": {"groups": groups}}});
    let testbox = at(broker, id, |feeds| feeds.groups = watch::channel(groups).1);
    testbox.feeds.documents.set(Place::ConfigReported, reported).unwrap();
    testbox.until_online().await;
    testbox
}

fn at(broker: &Broker, id: &str, feed: impl FnOnce(&mut Feeds)) -> TestBox {
    let change = |config: &mut roomd::mqtt::Config| {
        config.box_id = id.to_owned();
        config.access.client_id = id.to_owned();
    };
    TestBox::launch(broker.port, change, feed)
}

async fn asked(broker: &Broker, arguments: &[&str]) -> (i32, Value) {
    let (exit, out) = support::roomctl(broker, "box1", &[&["--json"], arguments].concat()).await;
    (exit, serde_json::from_str(&out).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {out}")))
}

/// Something retained at the broker of a box that is not there.
async fn left_behind(broker: &Broker, id: &str, leaf: &str, document: Value) {
    let asker = Asker::connect(broker).await;
    let topic = format!("roomd/v1/default/d/{id}/{leaf}");
    asker.publish_retained(&topic, &document.to_string(), properties("x")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_boxes_are_listed_with_what_is_retained_of_them() {
    let broker = Broker::start().await;
    let (a, b) = (member(&broker, "a", "floor1").await, member(&broker, "b", "floor2").await);
    left_behind(&broker, "gone", "status", json!({"state": "offline", "ts": "2026-01-01T00:00:00Z"})).await;
    let rows = patiently("every box", async {
        loop {
            let (exit, rows) = asked(&broker, &["box", "list"]).await;
            assert_eq!(exit, 0, "{rows}");
            if rows.as_array().is_some_and(|rows| rows.len() == 3) {
                return rows;
            }
        }
    });
    let rows = rows.await;
    let of = |id: &str| rows.as_array().unwrap().iter().find(|row| row["box"] == id).unwrap().clone();
    assert_eq!((&of("a")["status"], &of("b")["version"]), (&json!("online"), &json!("test")));
    assert_eq!(
        (&of("gone")["status"], &of("gone")["since"]),
        (&json!("offline"), &json!("2026-01-01T00:00:00Z"))
    );
    let (exit, text) = support::roomctl(&broker, "box1", &["box", "list"]).await;
    assert!(exit == 0 && text.starts_with("BOX ") && text.contains("3 boxes: 2 online"), "{text}");
    a.stop().await;
    b.stop().await;
}

async fn line(lines: &mut Lines<BufReader<ChildStdout>>) -> Value {
    let line = patiently("a line", lines.next_line()).await.unwrap().expect("it goes on");
    serde_json::from_str(&line).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_change_of_a_watched_fleet_is_one_line() {
    let broker = Broker::start().await;
    let a = member(&broker, "a", "floor1").await;
    let mut watching = Process::new(env!("CARGO_BIN_EXE_roomctl"))
        .args(["--broker", &format!("mqtt://127.0.0.1:{}", broker.port), "--json", "box", "watch"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    while line(&mut lines).await["status"] != "online" {}
    a.state.update(|state| state.microphone.muted = true);
    assert_eq!(line(&mut lines).await["muted"], true);
    a.stop().await;
    assert_eq!(line(&mut lines).await["status"], "offline");
    let b = member(&broker, "b", "floor1").await;
    let mut row = line(&mut lines).await;
    while row["status"] != "online" {
        assert_eq!(row["box"], "b", "{row}");
        row = line(&mut lines).await;
    }
    b.stop().await;
    let pid = watching.id().unwrap().to_string();
    assert!(Process::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
    assert!(patiently("its end", watching.wait()).await.unwrap().success(), "Ctrl-C is no failure");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_to_a_group_tells_who_did_it_who_refused_and_who_was_silent() {
    let broker = Broker::start().await;
    let boxes = [member(&broker, "a", "floor1").await, member(&broker, "b", "floor1").await];
    let elsewhere = member(&broker, "c", "floor2").await;
    let group = |arguments: &'static [&'static str]| {
        let broker = &broker;
        async move { asked(broker, &[&["--group", "floor1", "--timeout", "3"], arguments].concat()).await }
    };
    let (exit, outcome) = group(&["mute"]).await;
    assert_eq!((exit, &outcome["ok"]), (0, &json!(true)), "{outcome}");
    let ids: Vec<&Value> = outcome["boxes"].as_array().unwrap().iter().map(|one| &one["box"]).collect();
    assert_eq!(ids, ["a", "b"]);
    assert_eq!(boxes.each_ref().map(|one| one.ran().len()), [1, 1]);
    assert!(elsewhere.ran().is_empty());

    let (exit, outcome) = group(&["cmd", "dance"]).await;
    assert_eq!((exit, &outcome["boxes"][0]["reply"]["code"]), (1, &json!("bad_request")), "{outcome}");

    boxes[1].hold();
    let (exit, outcome) = group(&["mute"]).await;
    assert_eq!(
        (exit, &outcome["boxes"][0]["reply"]["ok"], &outcome["boxes"][1]["reply"]),
        (3, &json!(true), &Value::Null)
    );
    let (exit, text) =
        support::roomctl(&broker, "box1", &["--group", "floor1", "--timeout", "3", "mute"]).await;
    assert!(exit == 3 && text.contains("group floor1: 1 done, 0 refused, 1 silent"), "{text}");
    assert_eq!(support::roomctl(&broker, "box1", &["--group", "floor1", "state"]).await.0, 2);
    assert_eq!(support::roomctl(&broker, "box1", &["--group", "nobodys", "ping"]).await.0, 3);
    for one in boxes {
        one.kill();
    }
    elsewhere.stop().await;
}

/// What has arrived for the box, taken.
async fn arrived(arriving: &mut mpsc::Receiver<Arrived>) -> (String, Value) {
    let arrived = patiently("something for the box", arriving.recv()).await.unwrap();
    let document = serde_json::from_slice(&arrived.payload).unwrap_or_default();
    let name = arrived.name.clone();
    arrived.taken();
    (name, document)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_is_sent_under_the_next_version_and_what_the_box_makes_of_it_is_told() {
    let broker = Broker::start().await;
    let (sink, mut arriving) = mpsc::channel(4);
    let testbox = at(&broker, "box1", |feeds| feeds.config = Some(sink));
    let documents = testbox.feeds.documents.clone();
    let report = |version: u64, status: &str, errors: Value| {
        let effective = json!({"camera": {"fps": 15}});
        let report = json!({"desired_version": version, "config_version": version, "status": status,
            "effective": effective, "restart_needed": ["camera.size"], "errors": errors});
        documents.set(Place::ConfigReported, report).unwrap();
    };
    report(7, "applied", json!([]));
    testbox.until_online().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.toml");
    std::fs::write(&file, "[camera]\nfps = 15\n").unwrap();
    let set = ["config", "set", file.to_str().unwrap()];

    let (told, ()) = tokio::join!(support::roomctl(&broker, "box1", &set), async {
        let (_, desired) = arrived(&mut arriving).await;
        assert_eq!(desired, json!({"version": 8, "config": {"camera": {"fps": 15}}}));
        report(8, "applied", json!([]));
    });
    assert_eq!(told, (0, "version 8: applied\nafter a restart: camera.size\n".to_owned()));
    assert_eq!(asked(&broker, &["config", "get"]).await.1["desired_version"], 8);
    assert_eq!(asked(&broker, &["config", "diff"]).await.0, 0);

    std::fs::write(&file, "[camera]\nfps = 99\n").unwrap();
    let (told, ()) = tokio::join!(support::roomctl(&broker, "box1", &set), async {
        assert_eq!(arrived(&mut arriving).await.1["version"], 9);
        report(9, "rejected", json!([{"path": "camera.fps", "code": "bad_value", "message": "1 to 60"}]));
    });
    assert!(told.0 == 1 && told.1.contains("camera.fps  bad_value  1 to 60"), "{told:?}");
    let (exit, difference) = asked(&broker, &["config", "diff"]).await;
    assert_eq!((exit, &difference["differences"][0]["desired"]), (1, &json!(99)), "{difference}");

    let (told, ()) = tokio::join!(asked(&broker, &["config", "clear"]), async {
        assert_eq!(arrived(&mut arriving).await.1, Value::Null);
        report(0, "applied", json!([]));
    });
    assert_eq!(told.0, 0);
    let (exit, nothing) = asked(&broker, &["config", "get", "--desired"]).await;
    assert_eq!((exit, &nothing["code"]), (1, &json!("not_found")));
    testbox.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_followed_to_its_end_and_then_forgotten() {
    let broker = Broker::start().await;
    let (sink, mut arriving) = mpsc::channel(4);
    let testbox = at(&broker, "box1", |feeds| feeds.jobs = Some(sink));
    testbox.until_online().await;
    let documents = testbox.feeds.documents.clone();
    let say = |status: &str, percent: u64, code: Value| {
        let status =
            json!({"status": status, "step": "upload", "percent": percent, "code": code, "message": ""});
        documents.set(Place::JobStatus("j1".to_owned()), status).unwrap();
    };
    for (end, code, exit) in [("succeeded", "ok", 0), ("failed", "upstream", 1), ("timed_out", "timeout", 1)]
    {
        let run = ["job", "run", "log_upload", "--args", r#"{"url": "https://x"}"#, "--id", "j1"];
        let ((told, text), ()) = tokio::join!(support::roomctl(&broker, "box1", &run), async {
            let (name, job) = arrived(&mut arriving).await;
            assert_eq!(
                (name.as_str(), &job["op"], &job["args"]["url"]),
                ("j1", &json!("log_upload"), &json!("https://x"))
            );
            assert!(job["deadline"].as_str().is_some_and(|at| at.ends_with('Z')), "{job}");
            say("running", 40, Value::Null);
            let watched = support::roomctl(&broker, "box1", &["job", "watch", "j1", "--timeout", "1"]).await;
            assert!(watched.0 == 3 && watched.1.contains("running"), "not over yet: {watched:?}");
            say(end, 100, json!(code));
            let (name, removed) = arrived(&mut arriving).await;
            assert_eq!((name.as_str(), removed), ("j1", Value::Null), "its end was read");
            documents.clear(Place::JobStatus("j1".to_owned())).unwrap();
        });
        assert!(told == exit && text.contains(" 40 %  running: upload") && text.contains(end), "{text}");
    }
    assert_eq!(support::roomctl(&broker, "box1", &["job", "run", "x", "--args", "{"]).await.0, 2);
    testbox.stop().await;
}
