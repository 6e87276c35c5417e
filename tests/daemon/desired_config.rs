//! The fleet's desired configuration at a real broker: `config/desired` and `config/reported`.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::{Value, json};

use crate::broker::{Broker, properties};
use crate::disk::TinyDisk;
use crate::gate;
use crate::roomd::Roomd;

fn at(broker: &Broker, more: &str) -> (Roomd, String) {
    let roomd = Roomd::start(&format!("{}{more}", broker.config()));
    let id = id(&roomd);
    (roomd, id)
}

fn id(roomd: &Roomd) -> String {
    roomd.ask(&["info"])["id"].as_str().expect("an id").to_owned()
}

/// Desires `config` as `version`, and waits for the report of it.
fn desire(broker: &Broker, id: &str, version: u64, config: &Value) -> Value {
    broker.put(id, "config/desired", &json!({"version": version, "config": config}).to_string());
    broker.wait(id, "config/reported", |report| report["desired_version"] == version)
}

/// `path: code` of every error.
fn errors(report: &Value) -> Vec<String> {
    let text = |error: &Value, key: &str| error[key].as_str().unwrap_or_default().to_owned();
    let error = |error: &Value| format!("{}: {}", text(error, "path"), text(error, "code"));
    report["errors"].as_array().map(|errors| errors.iter().map(error).collect()).unwrap_or_default()
}

#[test]
fn what_the_fleet_desires_is_in_force_at_once_and_after_a_power_cut_without_any_broker() {
    let _gate = gate::undisturbed();
    let broker = Broker::start();
    let (roomd, box_id) = at(&broker, "");
    let report = broker.wait(&box_id, "config/reported", |report| report.is_object());
    assert_eq!((&report["desired_version"], &report["status"]), (&json!(0), &json!("applied")), "{report}");
    assert_eq!(report["effective"]["camera"]["fps"], 30, "{report}");
    roomd.ask(&["mute"]);
    let unmute =
        |name: &str| broker.ask(&box_id, "microphone.set", r#"{"muted": false}"#, name)["code"].clone();
    assert_eq!(unmute("before"), "unauthorized");

    let config =
        json!({"control": {"allow_remote_unmute": true}, "camera": {"fps": 15}, "box": {"name": "hall"}});
    let report = desire(&broker, &box_id, 3, &config);
    assert_eq!((&report["status"], &report["config_version"]), (&json!("applied"), &json!(3)), "{report}");
    assert_eq!(report["restart_needed"], json!(["box.name", "camera.fps"]), "{report}");
    assert_eq!(report["effective"]["camera"]["fps"], 30, "as it still is: {report}");
    assert_eq!(report["effective"]["control"]["allow_remote_unmute"], true, "{report}");
    assert_eq!(unmute("after"), "ok");
    assert_eq!(roomd.state()["config_version"], 3);

    let dir = roomd.kill();
    let extra = broker.config();
    drop(broker);
    let roomd = Roomd::start_in(dir, &extra);
    assert_eq!(roomd.ask(&["info"])["capabilities"]["video"]["fps"], 15);
    assert_eq!(roomd.ask(&["info"])["name"], "hall");
    assert_eq!(roomd.state()["config_version"], 3);
    roomd.stop();
}

#[test]
fn a_bad_configuration_is_rejected_as_a_whole_and_an_old_one_too_and_the_one_in_force_stays() {
    let _gate = gate::undisturbed();
    let broker = Broker::start();
    let (roomd, id) = at(&broker, "");
    let good = json!({"recording": {"min_free": "2MiB"}});
    assert_eq!(desire(&broker, &id, 5, &good)["status"], "applied");
    let bad = json!({
        "camera": {"lens": 1, "fps": 0, "size": null}, "box": {"id": "me", "state_dir": "/"}, "mqtt": {"url": ""},
        "control": {"socket": "/s", "groups": ["a b"]}, "recording": {"min_free": "3MiB"}, "vidoe": {"x": 1},
        "audio": 7, "video": {"bitrate_kbps": 18_446_744_073_709_551_615u64}, "room": {"api_key": "k"},
        "log": {"journal": true},
    });
    let report = desire(&broker, &id, 6, &bad);
    assert_eq!((&report["status"], &report["config_version"]), (&json!("rejected"), &json!(5)), "{report}");
    let mut said = errors(&report);
    said.sort();
    let expected = [
        "audio: bad_value",
        "box.id: forbidden",
        "box.state_dir: forbidden",
        "camera.fps: bad_value",
        "camera.lens: unknown_key",
        "camera.size: bad_value",
        "control.groups: bad_value",
        "control.socket: forbidden",
        "log.journal: forbidden",
        "mqtt.url: forbidden",
        "room.api_key: conflict",
        "video.bitrate_kbps: bad_value",
        "vidoe.x: unknown_key",
    ];
    assert_eq!(said, expected, "{report}");
    assert_eq!(report["effective"]["recording"]["min_free"], "2MiB", "{report}");

    assert_eq!(errors(&desire(&broker, &id, 4, &json!({}))), ["version: old_version"]);
    broker.put(&id, "config/desired", &json!({"version": 5, "config": {}}).to_string());
    let same = broker.wait(&id, "config/reported", |report| errors(report) == ["version: same_version"]);
    assert_eq!(same["desired_version"], 5);
    let deep = format!("{{\"version\":7,\"config\":{}1{}}}", "{\"a\":".repeat(900), "}".repeat(900));
    for torn in ["{\"version\": 7, \"config\"", "[]", &deep] {
        assert_eq!(desire(&broker, &id, 5, &good)["status"], "applied", "it is what is in force");
        broker.put(&id, "config/desired", torn);
        let report = broker.wait(&id, "config/reported", |report| report["status"] == "rejected");
        assert_eq!(
            (&report["desired_version"], errors(&report)),
            (&Value::Null, vec![": bad_document".to_owned()])
        );
    }
    assert_eq!(roomd.state()["config_version"], 5);

    broker.put(&id, "config/desired", "");
    let none = broker.wait(&id, "config/reported", |report| report["desired_version"] == 0);
    assert_eq!(
        (&none["status"], &none["effective"]["recording"]["min_free"]),
        (&json!("applied"), &json!("1MiB"))
    );
    assert_eq!(roomd.state()["config_version"], 0);
    assert_eq!(desire(&broker, &id, 1, &good)["status"], "applied", "versions begin anew");
    roomd.stop();
}

#[test]
fn a_box_takes_the_commands_of_its_groups_as_long_as_it_is_in_them() {
    let _gate = gate::undisturbed();
    let broker = Broker::start();
    let (mut roomd, id) = at(&broker, "");
    let mute = |muted: bool, name: &str| {
        let output = broker
            .client("mosquitto_pub")
            .args(["-t", "roomd/v1/default/g/floor2/cmd/microphone.set"])
            .args(["-m", &json!({"muted": muted}).to_string()])
            .args(properties(name, Some(30)))
            .args(["-D", "publish", "response-topic", "roomd/v1/default/c/fleet/orders"])
            .output()
            .expect("mosquitto_pub runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    desire(&broker, &id, 1, &json!({"control": {"groups": ["floor2"], "allow_remote_unmute": true}}));
    roomd.wait_for("the group's command", |roomd| {
        mute(true, "1");
        roomd.state()["microphone"]["muted"] == true
    });
    desire(&broker, &id, 2, &json!({"control": {"groups": ["floor3"], "allow_remote_unmute": true}}));
    mute(false, "2");
    assert_eq!(broker.ask(&id, "ping", "{}", "after")["ok"], true);
    assert_eq!(roomd.state()["microphone"]["muted"], true, "it is another group's command by now");
    roomd.stop();
}

#[test]
fn a_configuration_with_which_the_box_cannot_start_is_left_out_at_the_start_after_that() {
    let _gate = gate::undisturbed();
    let broker = Broker::start();
    let (roomd, id) = at(&broker, "");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let config = json!({"server": {"listen": address}});
    let report = desire(&broker, &id, 9, &config);
    assert_eq!(report["restart_needed"], json!(["server.listen"]), "{report}");
    let (_, dir) = roomd.stop();
    let mut failing = Roomd::launch(dir, &broker.config());
    let (status, dir) = failing.ended();
    assert_eq!(status.code(), Some(1), "the port is taken");
    let roomd = Roomd::start_in(dir, &broker.config());
    let report = broker.wait(&id, "config/reported", |report| report["status"] == "rejected");
    assert_eq!((&report["desired_version"], &report["config_version"]), (&json!(9), &json!(0)), "{report}");
    assert_eq!(errors(&report), [": start_failed"]);
    assert_eq!(roomd.state()["config_version"], 0);
    assert_eq!(desire(&broker, &id, 10, &json!({}))["status"], "applied");
    roomd.stop();
}

#[test]
fn a_box_that_is_killed_at_any_moment_comes_back_with_what_is_desired() {
    let _gate = gate::undisturbed();
    let broker = Broker::start();
    let (mut roomd, id) = at(&broker, "");
    for version in 1..=8u64 {
        let config = json!({"recording": {"min_free": format!("{version}MiB")}});
        broker.put(&id, "config/desired", &json!({"version": version, "config": config}).to_string());
        std::thread::sleep(Duration::from_millis(version * version));
        let dir = roomd.kill();
        roomd = Roomd::start_in(dir, &broker.config());
        let report = broker.wait(&id, "config/reported", |report| report["config_version"] == version);
        assert_eq!(report["effective"]["recording"]["min_free"], format!("{version}MiB"), "{report}");
        assert_eq!((&report["status"], errors(&report)), (&json!("applied"), vec![]), "{report}");
    }
    roomd.stop();
}

#[test]
fn a_full_disk_rejects_a_configuration_makes_a_job_wait_and_loses_nothing() {
    let _gate = gate::undisturbed();
    let broker = Broker::start();
    let disk = TinyDisk::new("4m");
    let folder = disk.0.path();
    let dir = tempfile::tempdir().expect("a temporary folder");
    let recordings = dir.path().join("recordings").display().to_string();
    let state = format!("[box]\nstate_dir = {:?}\n[recording]\ndir = {recordings:?}\n", folder.display());
    let roomd = Roomd::start_in(dir, &format!("{}{state}", broker.config()));
    let id = id(&roomd);
    assert_eq!(desire(&broker, &id, 1, &json!({"recording": {"min_free": "2MiB"}}))["status"], "applied");
    let filler = folder.join("filler");
    let _ = std::fs::write(&filler, vec![0; 4 << 20]);
    // What fits into what is left of the journal's last page is no wish of this size.
    let names: Vec<String> = (0..32).map(|n| format!("group-{n:0>50}")).collect();
    let mut version = 2;
    let report = loop {
        let report = desire(
            &broker,
            &id,
            version,
            &json!({"control": {"groups": names, "allow_remote_unmute": version % 2 == 0}}),
        );
        if report["status"] == "rejected" || version > 2000 {
            break report;
        }
        version += 1;
    };
    assert_eq!(errors(&report), [": not_kept"], "{report}");
    assert_eq!(report["config_version"], version - 1, "{report}");
    let order = json!({"op": "dance", "args": {}, "deadline": "2099-01-01T00:00:00Z"}).to_string();
    broker.put(&id, "job/j1", &order);
    let waiting = broker.wait(&id, "job/j1/status", |status| status["step"] == "waiting_for_disk");
    assert_eq!(waiting["status"], "queued", "{waiting}");
    assert_eq!(broker.ask(&id, "ping", "{}", "meanwhile")["ok"], true);
    std::fs::remove_file(&filler).expect("it was there");
    broker.wait(&id, "job/j1/status", |status| status["status"] == "rejected");
    assert_eq!(desire(&broker, &id, version + 1, &json!({}))["status"], "applied");
    roomd.stop();
}
