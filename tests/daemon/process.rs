//! The life of the process: configuration, start, stop, signals.

use std::process::Command;

use crate::gate;
use crate::roomd::Roomd;

fn roomd_with(config: &str, arguments: &[&str]) -> std::process::Output {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("roomd.toml");
    std::fs::write(&file, config).unwrap();
    Command::new(env!("CARGO_BIN_EXE_roomd")).args(arguments).arg("--config").arg(&file).output().unwrap()
}

#[test]
fn a_bad_configuration_lists_every_problem_and_exits_78_before_anything_is_opened() {
    let _gate = gate::undisturbed();
    let config = "[camera]\nsize = \"huge\"\nlens = 1\n[server]\nlisten = \"0.0.0.0:80\"\n[box]\nstate_dir = \"/proc/no\"";
    for arguments in [&["check"][..], &["run"]] {
        let output = roomd_with(config, arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{said}");
        for word in ["camera.size", "\"huge\"", "camera.lens", "unknown key", "server.listen", "loopback"] {
            assert!(said.contains(word), "{word} is missing in\n{said}");
        }
    }
}

#[test]
fn a_good_configuration_is_said_to_be_good() {
    let _gate = gate::undisturbed();
    let output = roomd_with("[camera]\nsource = \"test\"", &["check"]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("good"));
}

#[test]
fn the_box_tells_its_story_and_stops_in_order_on_sigterm() {
    let _gate = gate::undisturbed();
    let roomd = Roomd::start("");
    roomd.ask(&["record", "on"]);
    let (status, dir) = roomd.stop();
    assert!(status.success(), "{status}");
    let log = std::fs::read_to_string(dir.path().join("roomd.log")).unwrap();
    let mut rest = log.as_str();
    for line in ["starting", "ready", "stopping", "stopped"] {
        let at = rest.find(line).unwrap_or_else(|| panic!("{line:?} is missing, or out of order, in\n{log}"));
        rest = &rest[at..];
    }
    assert!(!dir.path().join("control.sock").exists(), "the control socket is removed");
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    let _gate = gate::undisturbed();
    let mut roomd = Roomd::start("");
    // Stopped and continued between the signals, so that the first cannot have been finished before the second.
    roomd.signal("STOP");
    roomd.signal("TERM");
    roomd.signal("INT");
    roomd.signal("CONT");
    let (status, _dir) = roomd.ended();
    assert!(status.success() || status.code() == Some(130), "{status}");
}

#[test]
fn orders_survive_a_restart() {
    let _gate = gate::undisturbed();
    let roomd = Roomd::start("");
    roomd.ask(&["mute"]);
    roomd.ask(&["join", "lobby"]);
    let id = roomd.ask(&["record", "on"])["data"]["id"].as_str().expect("an id").to_owned();
    let mut roomd = Roomd::start_in(roomd.kill(), "");
    roomd.wait_for("what was ordered before the kill", |roomd| {
        let state = roomd.state();
        state["microphone"]["muted"] == true
            && state["room"]["status"] == "joined"
            && state["recording"]["on"] == true
            && state["recording"]["id"] == id.as_str()
    });
}
