//! `docs/lab.sh`, as it is printed: a new box from nothing to a recording.

use std::path::Path;
use std::process::Command;

use crate::{broker, film, gate};

#[test]
fn the_lab_script_takes_a_new_box_from_nothing_to_a_recording() {
    let _gate = gate::undisturbed();
    let dir = tempfile::tempdir().expect("a temporary folder");
    let programs = Path::new(env!("CARGO_BIN_EXE_roomd")).parent().expect("a folder");
    let path = std::env::var("PATH").unwrap_or_default();
    let (https, mqtts) = (broker::free_port(), broker::free_port());
    let output = Command::new("timeout")
        .args(["120", "bash"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/lab.sh"))
        .arg(dir.path())
        .env("PATH", format!("{}:{path}:/usr/sbin", programs.display()))
        .envs([("HTTPS_PORT", https.to_string()), ("MQTTS_PORT", mqtts.to_string())])
        // So that it can run beside others, and has something to show.
        .envs([("ROOMD_SERVER__ENABLED", "false"), ("ROOMD_SPEAKER__SINK", "none")])
        .envs([("ROOMD_CAMERA__SOURCE", "test"), ("ROOMD_CAMERA__SIZE", "640x360")])
        .envs([("ROOMD_MICROPHONE__SOURCE", "test"), ("ROOMD_RECORDING__MIN_FREE", "1MiB")])
        .output()
        .expect("timeout runs (Debian: coreutils)");
    let said = format!(
        "{}{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        std::fs::read_to_string(dir.path().join("roomd.log")).unwrap_or_default()
    );
    assert!(output.status.success(), "{}\n{said}", output.status);
    let file =
        said.split_whitespace().find(|word| word.ends_with(".mp4")).unwrap_or_else(|| panic!("{said}"));
    let probe = film::probe(Path::new(file));
    assert_eq!(film::stream(&probe, "video")["codec_name"], "h264", "{probe}");
    assert_eq!(film::stream(&probe, "audio")["codec_name"], "aac", "{probe}");
    assert!(film::duration(&probe) > 3.0, "{probe}");
    film::decodes_without_error(Path::new(file));
    assert!(!dir.path().join("roomd-provision.json").exists(), "the token is gone");
}
