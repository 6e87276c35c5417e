//! Jobs at a real broker. What only a whole system shows (its journal, its restart) stands in `service`.

use std::process::Command;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::broker::Broker;
use crate::gate;
use crate::roomd::Roomd;

/// So many seconds from now, RFC 3339.
pub fn in_seconds(seconds: i64) -> String {
    let at = OffsetDateTime::now_utc() + time::Duration::seconds(seconds);
    at.format(&Rfc3339).expect("a time")
}

fn at(broker: &Broker) -> (Roomd, String) {
    let roomd = Roomd::start(&broker.config());
    let id = roomd.ask(&["info"])["id"].as_str().expect("an id").to_owned();
    (roomd, id)
}

fn order(op: &str, args: &Value, deadline: &str) -> String {
    json!({"op": op, "args": args, "deadline": deadline}).to_string()
}

/// `status/step/code`
fn short(status: &Value) -> String {
    let text = |key: &str| status[key].as_str().unwrap_or("-").to_owned();
    format!("{}/{}/{}", text("status"), text("step"), text("code"))
}

#[test]
fn a_reboot_waits_until_the_box_is_idle_is_asked_for_and_has_failed_when_it_never_comes() {
    let _gate = gate::undisturbed();
    let broker = Broker::start();
    let (mut roomd, id) = at(&broker);
    roomd.ask(&["record", "on"]);
    broker.put(&id, "job/r1", &order("reboot", &json!({"when": "idle"}), &in_seconds(25)));
    let is = |what: &'static str| move |status: &Value| short(status) == what;
    broker.wait(&id, "job/r1/status", is("queued/waiting_until_idle/-"));
    let request = roomd.path("reboot-requested");
    assert!(!request.exists(), "it records");
    roomd.ask(&["record", "off"]);
    broker.wait(&id, "job/r1/status", is("running/restarting/-"));
    roomd.wait_for("the request", |_| request.exists());
    assert_eq!(std::fs::read_to_string(&request).expect("it is there"), "r1");

    // A process that dies now finds the machine in the same boot: somebody else has the request by now.
    std::fs::remove_file(&request).expect("it was there");
    let dir = roomd.kill();
    let roomd = Roomd::start_in(dir, &broker.config());
    let request = roomd.path("reboot-requested");
    let failed = broker.wait(&id, "job/r1/status", is("failed/restarting/timeout"));
    assert_eq!(failed["percent"], 50, "{failed}");

    // Read: the box forgets it, and what it has said.
    broker.put(&id, "job/r1", "");
    broker.wait(&id, "job/r1/status", Value::is_null);
    assert!(!request.exists(), "it was asked for once");
    let dir = roomd.kill();
    let roomd = Roomd::start_in(dir, &broker.config());
    assert_eq!(broker.ask(&id, "ping", "{}", "back")["ok"], true);
    assert_eq!(broker.retained(&id, "job/r1/status"), Value::Null);
    assert!(!roomd.path("reboot-requested").exists());
    roomd.stop();
}

#[test]
fn an_order_to_enrol_anew_is_handed_over_and_taken_back_at_the_deadline_where_nobody_takes_it() {
    let _gate = gate::undisturbed();
    let broker = Broker::start();
    let (mut roomd, id) = at(&broker);
    let args = json!({"enroll_url": "https://127.0.0.1:1/v1", "token": "s3cret", "fleet": "default"});
    broker.put(&id, "job/e1", &order("reprovision", &args, &in_seconds(20)));
    let is = |what: &'static str| move |status: &Value| short(status) == what;
    broker.wait(&id, "job/e1/status", is("running/waiting_for_roomd-reprovision.path/-"));
    let request = roomd.path("roomd-provision.json");
    roomd.wait_for("the order", |_| request.exists());
    let given: Value = serde_json::from_slice(&std::fs::read(&request).expect("it is there")).expect("JSON");
    assert_eq!(given, args);
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&request.metadata().expect("it is there").permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert!(!roomd.log().contains("s3cret"), "{}", roomd.log());

    let dir = roomd.kill();
    let mut roomd = Roomd::start_in(dir, &broker.config());
    let request = roomd.path("roomd-provision.json");
    let ended = broker.wait(&id, "job/e1/status", |status| status["code"].is_string());
    assert_eq!(short(&ended), "timed_out/waiting_for_roomd-reprovision.path/timeout", "{ended}");
    roomd.wait_for("the order to be taken back", |_| !request.exists());
    assert!(!roomd.log().contains("s3cret"), "{}", roomd.log());

    // One whose order vanishes with its folder cannot be told about.
    broker.put(&id, "job/e2", &order("reprovision", &args, &in_seconds(600)));
    roomd.wait_for("the order", |_| request.exists());
    broker.wait(&id, "job/e2/status", is("running/waiting_for_roomd-reprovision.path/-"));
    std::fs::remove_file(&request).expect("it was there");
    broker.wait(&id, "job/e2/status", is("failed/waiting_for_roomd-reprovision.path/unknown"));
    roomd.stop();
}

#[test]
fn what_makes_no_sense_cannot_be_done_or_comes_late_is_told_and_stays_so_after_a_restart() {
    let _gate = gate::undisturbed();
    let broker = Broker::start();
    let (roomd, id) = at(&broker);
    let later = in_seconds(3600);
    let range =
        json!({"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z", "url": "https://h/s3cret"});
    let token = json!({"enroll_url": "https://h/", "token": "s3cret s3cret", "fleet": "f"});
    let cases = [
        ("torn", "{\"op\":\"reboot\"".to_owned(), "rejected/queued/bad_request"),
        ("late", order("reboot", &json!({}), &in_seconds(-5)), "timed_out/queued/expired"),
        ("update", order("update", &json!({"url": "s3cret"}), &later), "rejected/queued/unsupported"),
        ("reprovision", order("reprovision", &json!({}), &later), "rejected/queued/bad_request"),
        ("token", order("reprovision", &token, &later), "rejected/queued/bad_request"),
        ("dance", order("dance", &json!({}), &later), "rejected/queued/unsupported"),
        ("range", order("log_upload", &range, &later), "rejected/queued/bad_request"),
        ("args", order("reboot", &json!({"when": "s3cret"}), &later), "rejected/queued/bad_request"),
    ];
    for (job, order, _) in &cases {
        broker.put(&id, &format!("job/{job}"), order);
    }
    let told = |roomd: &Roomd| {
        for (job, _, expected) in &cases {
            let status = broker.wait(&id, &format!("job/{job}/status"), |status| status.is_object());
            assert_eq!(&short(&status), expected, "{job}: {status}");
            assert!(!status.to_string().contains("s3cret"), "{status}");
        }
        assert!(!roomd.log().contains("s3cret"), "{}", roomd.log());
        assert!(!roomd.path("reboot-requested").exists());
    };
    told(&roomd);
    let dir = roomd.kill();
    let roomd = Roomd::start_in(dir, &broker.config());
    told(&roomd);
    roomd.stop();
}

#[test]
fn a_box_without_a_journal_says_so() {
    let _gate = gate::undisturbed();
    let broker = Broker::start();
    let mut command = Command::new(env!("CARGO_BIN_EXE_roomd"));
    command.env("PATH", "/nonexistent");
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut roomd = Roomd::launch_by(command, dir, &broker.config());
    roomd.wait_for("the box to be ready", |roomd| roomd.ctl(&["info"]).status.success());
    let id = roomd.ask(&["info"])["id"].as_str().expect("an id").to_owned();
    let args = json!({"since": in_seconds(-60), "until": in_seconds(0), "url": "https://127.0.0.1:1/s3cret"});
    broker.put(&id, "job/log", &order("log_upload", &args, &in_seconds(60)));
    let status = broker.wait(&id, "job/log/status", |status| status["status"] == "failed");
    assert_eq!(status["code"], "unsupported", "{status}");
    assert!(!roomd.log().contains("s3cret"), "{}", roomd.log());
    roomd.stop();
}
