//! `roomd asyncapi`: what the box really says and takes is what the document says.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::broker::Broker;
use crate::gate;
use crate::jobs::in_seconds;
use crate::roomd::{PATIENCE, Roomd};

/// Everything that goes over a broker, a line each: topic, tab, payload.
struct Recorder {
    child: Child,
    file: PathBuf,
}

impl Recorder {
    fn start(broker: &Broker, file: &Path) -> Recorder {
        let output = File::create(file).expect("a file for what is heard");
        let child = broker
            .client("mosquitto_sub")
            .args(["-t", "roomd/#", "-F", "%t\t%p"])
            .stdout(output)
            .spawn()
            .expect("mosquitto_sub runs");
        Recorder { child, file: file.to_owned() }
    }

    fn wait_for(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        let heard = || std::fs::read_to_string(&self.file).unwrap_or_default();
        while !heard().contains(text) {
            assert!(Instant::now() < deadline, "waited in vain for {text}; heard\n{}", heard());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `roomd asyncapi`, in a file.
fn document(dir: &Path) -> PathBuf {
    let file = dir.join("asyncapi.json");
    let output = File::create(&file).expect("a file for the document");
    let status = Command::new(env!("CARGO_BIN_EXE_roomd")).arg("asyncapi").stdout(output).status();
    assert!(status.is_ok_and(|status| status.success()), "roomd asyncapi");
    file
}

fn needed(variable: &str) -> PathBuf {
    let value = std::env::var_os(variable).map(PathBuf::from);
    value
        .unwrap_or_else(|| panic!("{variable} is not set: scripts/install.sh tests puts what it names there"))
}

#[test]
fn every_message_of_a_busy_box_is_as_the_document_says() {
    let _gate = gate::undisturbed();
    let broker = Broker::start();
    let dir = tempfile::tempdir().expect("a temporary folder");
    let recorder = Recorder::start(&broker, &dir.path().join("messages"));
    let config = format!("[room]\nname = \"lobby\"\n{}home_assistant = true\n", broker.config());
    let mut roomd = Roomd::start(&config);
    let id = roomd.ask(&["info"])["id"].as_str().expect("an id").to_owned();
    roomd.wait_for("the box in its room", |roomd| roomd.state()["room"]["status"] == "joined");

    let outputs = json!([{"url": "rtmp://127.0.0.1:9/live", "streamKey": "s3cret"}]);
    for (number, (name, parameters, ok)) in [
        ("ping", json!({}), true),
        ("recording.set", json!({"on": true, "id": "checked"}), true),
        ("microphone.set", json!({"muted": true}), true),
        ("microphone.set", json!({"muted": false}), false),
        ("camera.set", json!({"on": false}), true),
        ("recording.set", json!({"on": false}), true),
        ("room.join", json!({"room": "hall"}), true),
        ("room.leave", json!({}), true),
    ]
    .into_iter()
    .enumerate()
    {
        let reply = broker.ask(&id, name, &parameters.to_string(), &format!("c{number}"));
        assert_eq!(reply["ok"], ok, "{name} {parameters}: {reply}");
    }
    let live = json!({"on": true, "outputs": outputs}).to_string();
    let properties = crate::broker::properties("live", Some(30));
    broker.order(&id, "live.set", &live, &properties, &[]);
    roomd.wait_for("a destination", |roomd| {
        roomd.state()["live"]["destinations"][0]["last_error"].is_string()
    });
    broker.ask(&id, "live.set", r#"{"on": false}"#, "off");

    broker.put(&id, "config/desired", &json!({"version": 1, "config": {"camera": {"fps": 15}}}).to_string());
    broker.wait(&id, "config/reported", |report| report["config_version"] == 1);
    broker.put(
        &id,
        "config/desired",
        &json!({"version": 2, "config": {"camera": {}, "live": {"destinations": []}}}).to_string(),
    );
    broker.wait(&id, "config/reported", |report| report["config_version"] == 2);
    let job = json!({"op": "reboot", "args": {"when": "idle"}, "deadline": in_seconds(3600)}).to_string();
    broker.put(&id, "job/r1", &job);
    broker.wait(&id, "job/r1/status", |status| status["status"] == "running");
    broker.put(&id, "job/r1", "");
    broker.wait(&id, "job/r1/status", |status| status.is_null());
    broker.plain(&format!("roomd/v1/default/d/{id}/set/room"), "studio", &[]);
    recorder.wait_for("/tele/media\t");
    recorder.wait_for("/tele/health\t");
    roomd.stop();
    recorder.wait_for("\"offline\"");
    check(dir.path(), &recorder);
}

fn check(dir: &Path, recorder: &Recorder) {
    let meta = needed("ROOMD_TEST_NODE_MODULES").join("@asyncapi/specs/schemas/3.0.0.json");
    assert!(meta.exists(), "{}: scripts/install.sh tests installs it", meta.display());
    let output = Command::new(needed("ROOMD_TEST_PYTHON"))
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/validate.py"))
        .args([&document(dir), &recorder.file, &meta])
        .stdin(Stdio::null())
        .output()
        .expect("Python runs");
    let (said, faults) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{faults}\n{said}");
    for channel in [
        "status",
        "info",
        "state",
        "configDesired",
        "configReported",
        "job",
        "jobStatus",
        "event",
        "reply",
        "set",
        "health",
        "media",
        "cmd_ping",
        "cmd_recording_set",
        "cmd_live_set",
        "cmd_camera_set",
        "cmd_microphone_set",
        "cmd_room_join",
        "cmd_room_leave",
    ] {
        assert!(said.contains(&format!("ok {channel} ")), "{channel} was not seen:\n{said}");
    }
}
