//! A disk that fills.

use std::path::PathBuf;
use std::process::Command;

use crate::broker::Broker;
use crate::film;
use crate::gate;
use crate::roomd::Roomd;

/// A tiny file system in memory; gone when dropped.
pub struct TinyDisk(pub tempfile::TempDir);

impl TinyDisk {
    pub fn new(size: &str) -> TinyDisk {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let options = format!("size={size}");
        let output =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir.path()).output();
        let output = output.expect("mount runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.success(),
            "{said}: this test needs the right CAP_SYS_ADMIN (to mount; run as root)"
        );
        TinyDisk(dir)
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        // Lazily: it must go even if something still holds a file on it.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// Records until `disk` has less than `min_free` or nothing left, and checks what came of it.
fn fill(min_free: &str, other_bytes: usize) {
    let disk = TinyDisk::new("3m");
    let folder = disk.0.path().display();
    let config =
        format!("[recording]\ndir = \"{folder}\"\nmin_free = \"{min_free}\"\n[room]\nname = \"lobby\"");
    let mut roomd = Roomd::start(&config);
    roomd.wait_for("the box in its room", |roomd| roomd.state()["room"]["status"] == "joined");
    // Most of it is somebody else's: little of the test picture fits.
    std::fs::write(disk.0.path().join("other"), vec![0; other_bytes]).expect("there is room for it");
    assert_eq!(roomd.ask(&["record", "on"])["ok"], true);
    roomd.wait_for("the disk to be full", |roomd| roomd.state()["recording"]["status"] == "disk_full");
    let state = roomd.state();
    let reason = state["recording"]["reason"].as_str().unwrap_or_default().to_owned();
    assert!(reason.contains("free") || reason.contains("space"), "{state}");
    assert_eq!(state["room"]["status"], "joined", "the rest goes on: {state}");
    assert_eq!(state["camera"]["status"], "running", "{state}");
    roomd.wait_for("the recording to have ended", |roomd| roomd.log().contains("recording stopped"));
    let files = recordings(&disk);
    assert_eq!(files.len(), 1, "{files:?}");
    film::decodes_without_error(&files[0]);
    assert!(film::duration(&film::probe(&files[0])) > 0.3, "{files:?}");

    // Room again: the next order records again.
    std::fs::remove_file(disk.0.path().join("other")).expect("it was there");
    assert_eq!(roomd.ask(&["record", "on"])["ok"], true);
    roomd.wait_for("a recording that goes well", |roomd| {
        let state = roomd.state();
        state["recording"]["status"] == "recording" && state["recording"]["file"].is_string()
    });
    assert_eq!(roomd.ask(&["record", "off"])["ok"], true);
    roomd.stop();
}

fn recordings(disk: &TinyDisk) -> Vec<PathBuf> {
    let folder = std::fs::read_dir(disk.0.path().join("box")).expect("the recording's folder");
    folder.map(|entry| entry.expect("an entry").path()).collect()
}

#[test]
fn a_recording_ends_whole_before_it_takes_the_free_space_that_shall_stay() {
    let _gate = gate::undisturbed();
    fill("1MiB", 1700 * 1024);
}

#[test]
fn a_recording_that_meets_a_full_disk_in_the_middle_of_a_part_ends_whole() {
    let _gate = gate::undisturbed();
    fill("1KiB", 2800 * 1024);
}

#[test]
fn a_command_that_cannot_be_remembered_because_the_disk_is_full_is_refused_and_run_once_there_is_room() {
    let _gate = gate::undisturbed();
    let (disk, broker) = (TinyDisk::new("4m"), Broker::start());
    let config = format!("{}[box]\nstate_dir = \"{}\"\n", broker.config(), disk.0.path().display());
    let roomd = Roomd::start(&config);
    let id = roomd.ask(&["info"])["id"].as_str().expect("an id").to_owned();
    assert_eq!(broker.ask(&id, "ping", "{}", "ping")["ok"], true);
    let filler = disk.0.path().join("filler");
    let filled = std::fs::write(&filler, vec![0; 8 << 20]).expect_err("it does not fit");
    assert_eq!(filled.kind(), std::io::ErrorKind::StorageFull);
    let mute = || broker.ask(&id, "microphone.set", r#"{"muted": true}"#, "mute");
    let refused = mute();
    assert_eq!((&refused["code"], &refused["retryable"]), (&"not_ready".into(), &true.into()), "{refused}");
    assert!(refused["message"].to_string().contains("disk is full"), "{refused}");
    assert_eq!(roomd.state()["microphone"]["muted"], false, "never run unremembered");
    assert_eq!(broker.ask(&id, "ping", "{}", "ping")["ok"], true, "the rest goes on");
    std::fs::remove_file(&filler).expect("it is there");
    let done = mute();
    assert_eq!(done["ok"], true, "{done}");
    assert_eq!((mute(), &roomd.state()["microphone"]["muted"]), (done, &true.into()));
    roomd.stop();
}
