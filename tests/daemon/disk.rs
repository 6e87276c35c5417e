//! A disk that fills.

use std::path::PathBuf;
use std::process::Command;

use crate::film;
use crate::roomd::Roomd;

/// A tiny file system in memory; gone when dropped.
struct TinyDisk(tempfile::TempDir);

impl TinyDisk {
    fn new(size: &str) -> TinyDisk {
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

#[test]
fn a_disk_that_fills_ends_the_recording_with_a_whole_file_and_nothing_else() {
    let disk = TinyDisk::new("3m");
    let config = format!(
        "[recording]\ndir = \"{}\"\nmin_free = \"1MiB\"\n[room]\nname = \"lobby\"",
        disk.0.path().display()
    );
    let mut roomd = Roomd::start(&config);
    roomd.wait_for("the box in its room", |roomd| roomd.state()["room"]["status"] == "joined");
    // The rest of it is somebody else's: less than two seconds of the test picture fit.
    std::fs::write(disk.0.path().join("other"), vec![0; 1700 * 1024]).expect("there is room for it");
    assert_eq!(roomd.ask(&["record", "on"])["ok"], true);
    roomd.wait_for("the disk to be full", |roomd| roomd.state()["recording"]["status"] == "disk_full");
    let state = roomd.state();
    let reason = state["recording"]["reason"].as_str().unwrap_or_default().to_owned();
    assert!(reason.contains("free") || reason.contains("space"), "{state}");
    assert_eq!(state["room"]["status"], "joined", "the rest goes on: {state}");
    assert_eq!(state["camera"]["status"], "running", "{state}");

    let folder = disk.0.path().join("box");
    let files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the recording's folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let whole = |file: &PathBuf| {
        film::decodes_without_error(file);
        film::duration(&film::probe(file))
    };
    roomd.wait_for("the recording to have ended", |roomd| roomd.log().contains("recording stopped"));
    assert!(whole(&files[0]) > 0.3, "{files:?}");

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
