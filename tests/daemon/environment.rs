//! A broken environment of the unit: each a clear error, or a warning and a box that runs; never a panic.

use std::path::Path;
use std::process::Command;

use crate::gate;
use crate::roomd::Roomd;

fn roomd() -> Command {
    Command::new(env!("CARGO_BIN_EXE_roomd"))
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[test]
fn nonsense_from_the_service_manager_is_warned_of_and_the_box_runs() {
    let _gate = gate::undisturbed();
    let long = "x".repeat(5000);
    let nonsense = [
        ("NOTIFY_SOCKET", "/no/such/socket", "NOTIFY_SOCKET"),
        ("NOTIFY_SOCKET", "", "NOTIFY_SOCKET"),
        ("NOTIFY_SOCKET", &long, "NOTIFY_SOCKET"),
        ("WATCHDOG_USEC", "soon", "WATCHDOG_USEC"),
        ("WATCHDOG_USEC", "-1", "WATCHDOG_USEC"),
        ("WATCHDOG_USEC", "0", "WATCHDOG_USEC"),
        ("JOURNAL_STREAM", "not:numbers", "ready"),
        ("CREDENTIALS_DIRECTORY", "/no/such/folder", "CREDENTIALS_DIRECTORY"),
        ("LISTEN_FDS", "many", "ready"),
    ];
    for (name, value, said) in nonsense {
        let mut command = roomd();
        command.env(name, value);
        let mut roomd = Roomd::launch_by(command, folder(), "");
        roomd.wait_for("the box to be ready", |roomd| roomd.log().contains("ready"));
        roomd.wait_for("the words about it", |roomd| roomd.log().contains(said));
        roomd.ask(&["ping"]);
        let (status, _) = roomd.stop();
        assert!(status.success(), "{name}={value:.20}: {status}");
    }
}

#[test]
fn a_box_runs_without_any_environment() {
    let _gate = gate::undisturbed();
    let mut command = roomd();
    command.env_clear();
    let mut roomd = Roomd::launch_by(command, folder(), "");
    roomd.wait_for("the box to be ready", |roomd| roomd.ctl(&["info"]).status.success());
    roomd.ask(&["join", "lobby"]);
    roomd.stop();
}

/// Starts a box with its state in `state`, which must fail, and returns what it says.
fn refused(state: &Path) -> String {
    let dir = folder();
    let mut roomd = Roomd::launch(dir, &format!("[box]\nstate_dir = \"{}\"", state.display()));
    let (status, dir) = roomd.ended();
    assert_eq!(status.code(), Some(1), "{status}");
    std::fs::read_to_string(dir.path().join("roomd.log")).expect("a log")
}

#[test]
fn a_state_directory_that_cannot_be_used_is_said_with_its_path_and_key() {
    let _gate = gate::undisturbed();
    let dir = folder();
    let file = dir.path().join("file");
    std::fs::write(&file, "no folder").expect("it is written");
    let read_only = dir.path().join("read-only");
    std::fs::create_dir(&read_only).expect("a folder");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "ro", "tmpfs"]).arg(&read_only).status();
    assert!(mounted.is_ok_and(|status| status.success()), "this test mounts: it needs CAP_SYS_ADMIN");
    let said = refused(&read_only.join("state"));
    let _ = Command::new("umount").arg("-l").arg(&read_only).status();
    for word in ["read-only/state", "Read-only file system", "box.state_dir"] {
        assert!(said.contains(word), "{word} is missing in\n{said}");
    }
    let said = refused(&file);
    for word in [file.to_str().expect("UTF-8"), "box.state_dir"] {
        assert!(said.contains(word), "{word} is missing in\n{said}");
    }
    let said = refused(Path::new("/proc/no/such"));
    assert!(said.contains("/proc/no/such") && said.contains("box.state_dir"), "{said}");
}
