//! `roomctl` as the tool of a fleet of real boxes.

use std::process::Command;

use serde_json::{Value, json};

use crate::broker::Broker;
use crate::gate;
use crate::roomd::Roomd;

/// As little work as possible.
const LIGHT: &str =
    "[camera]\nsource = \"none\"\n[microphone]\nsource = \"none\"\n[speaker]\nsink = \"none\"\n";

/// `roomctl` at the broker: its exit code and its JSON.
fn ctl(broker: &Broker, arguments: &[&str]) -> (Option<i32>, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_roomctl"))
        .args(["--broker", &broker.url(), "--json", "--timeout", "20"])
        .args(arguments)
        .output()
        .expect("roomctl runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let document =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}{said}"));
    (output.status.code(), document)
}

#[test]
fn boxes_are_configured_into_a_group_ordered_together_and_do_their_jobs() {
    let _gate = gate::undisturbed();
    let broker = Broker::start();
    let config = format!("{}{LIGHT}", broker.config());
    let boxes = [Roomd::start(&config), Roomd::start(&config)];
    let ids = boxes.each_ref().map(|one| one.ask(&["info"])["id"].as_str().expect("an id").to_owned());
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (good, bad) = (dir.path().join("good.toml"), dir.path().join("bad.toml"));
    std::fs::write(&good, "[control]\ngroups = [\"floor1\"]\n").expect("a file");
    std::fs::write(&bad, "[control]\ngroups = [\"floor1\"]\n[camera]\nfps = 900\n").expect("a file");
    let (good, bad) = (good.display().to_string(), bad.display().to_string());

    for id in &ids {
        let (code, reported) = ctl(&broker, &["--box", id, "config", "set", &good]);
        assert_eq!(
            (code, &reported["status"], &reported["desired_version"]),
            (Some(0), &json!("applied"), &json!(1))
        );
    }
    let (code, listed) = ctl(&broker, &["box", "list"]);
    let online = listed.as_array().into_iter().flatten().filter(|row| row["status"] == "online").count();
    assert_eq!((code, online), (Some(0), 2), "{listed}");
    let (code, outcome) = ctl(&broker, &["--group", "floor1", "mute"]);
    assert_eq!((code, &outcome["ok"]), (Some(0), &json!(true)), "{outcome}");
    assert_eq!(outcome["boxes"].as_array().map(Vec::len), Some(2), "{outcome}");
    assert!(boxes.iter().all(|one| one.state()["microphone"]["muted"] == true));
    let (code, outcome) = ctl(&broker, &["--group", "floor1", "unmute"]);
    let refused = &outcome["boxes"][0]["reply"]["code"];
    assert_eq!(
        (code, refused),
        (Some(1), &json!("unauthorized")),
        "their people own their microphones: {outcome}"
    );

    let (code, reported) = ctl(&broker, &["--box", &ids[0], "config", "set", &bad]);
    assert_eq!((code, &reported["errors"][0]["path"]), (Some(1), &json!("camera.fps")), "{reported}");
    let (code, difference) = ctl(&broker, &["--box", &ids[0], "config", "diff"]);
    assert_eq!((code, &difference["differences"][0]["key"]), (Some(1), &json!("camera.fps")), "{difference}");
    let (code, _) = ctl(&broker, &["--box", &ids[0], "config", "set", &good]);
    assert_eq!(code, Some(0), "the next version mends it");
    let (code, difference) = ctl(&broker, &["--box", &ids[0], "config", "diff"]);
    assert_eq!((code, &difference["differences"]), (Some(0), &json!([])), "{difference}");

    let (code, ended) = ctl(&broker, &["--box", &ids[1], "job", "run", "update"]);
    assert_eq!(
        (code, &ended["status"], &ended["code"]),
        (Some(1), &json!("rejected"), &json!("unsupported")),
        "{ended}"
    );
    for one in boxes {
        one.stop();
    }
}
