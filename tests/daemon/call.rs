//! A guest in a real browser talks to a real box.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::roomd::Roomd;
use crate::{film, gate, parts};

/// The guest's own beep: 1.5 kHz for 120 ms at every full second.
const GUEST_BEEP_HZ: f64 = 1500.0;

/// Ten seconds of the guest's beeps as a WAV file, which Chromium plays round and round as its microphone.
fn guest_sound(dir: &Path) -> PathBuf {
    let file = dir.join("guest.wav");
    let beep = format!(
        "sine=f={GUEST_BEEP_HZ}:r=48000:d=10,volume='if(lt(mod(t,1),0.12),1,0)':eval=frame,asetnsamples=480"
    );
    let done = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-f", "lavfi", "-i", &beep, "-ac", "1", "-c:a", "pcm_s16le"])
        .arg(&file)
        .status()
        .expect("ffmpeg runs");
    assert!(done.success());
    file
}

/// Lets a guest watch the box for `seconds`; what it saw. `within` is put before the command (`ip netns exec NAME`).
fn guest(roomd: &Roomd, link: &str, seconds: u64, within: &[&str], more: Value) -> Value {
    let identity = roomd.ask(&["info"])["identity"].as_str().expect("the box's identity").to_owned();
    let mut wish = json!({
        "link": link,
        "identity": identity,
        "seconds": seconds,
        "sound": guest_sound(roomd.dir.path()),
        "profile": roomd.path("profile"),
    });
    for (key, value) in more.as_object().expect("an object") {
        wish[key] = value.clone();
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/guest.mjs");
    let words: Vec<String> = within.iter().map(|word| (*word).to_owned()).collect();
    let (program, arguments) = match words.split_first() {
        Some((program, rest)) => (program.clone(), [rest, &["node".to_owned()]].concat()),
        None => ("node".to_owned(), Vec::new()),
    };
    let output = Command::new(program)
        .args(arguments)
        .args([script, &wish.to_string()])
        .env("ROOMD_TEST_NODE_MODULES", parts::node_modules())
        .output()
        .expect("node runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the guest failed:\n{said}\n--- roomd's log\n{}", roomd.log());
    serde_json::from_slice(&output.stdout).expect("the guest says what it saw")
}

/// A guest link of the box's own making, for `listener` (`http` or `https`).
fn guest_link(roomd: &Roomd, listener: &str) -> String {
    let links = roomd.ask(&["guest-link", "lobby"]);
    let links = links["data"]["urls"].as_array().expect("links");
    let fits = |link: &&Value| link.as_str().is_some_and(|link| link.starts_with(&format!("{listener}://")));
    links.iter().find(fits).and_then(Value::as_str).expect("a link of that kind").to_owned()
}

fn check(seen: &Value, seconds: u64) {
    println!("the guest saw {seen}");
    let number = |key: &str| seen[key].as_f64().unwrap_or_else(|| panic!("no {key} in {seen}"));
    let sent = number("elapsed_s") * 30.0;
    assert!(number("elapsed_s") >= seconds as f64 * 0.9, "{seen}");
    assert!(number("decoded") >= sent * 0.98, "decoded {} of {sent} sent: {seen}", number("decoded"));
    assert_eq!(number("freezes"), 0.0, "{seen}");
    assert!(number("readable") >= number("presented") * 0.98, "{seen}");
    assert!(number("distinct") >= number("readable") * 0.98, "{seen}");
    assert!(seen["audio"]["energy"].as_f64().is_some_and(|energy| energy > 0.0), "the box is heard: {seen}");
}

fn check_beeps(speaker: &Path, seconds: u64) {
    let beeps = film::beeps(speaker, GUEST_BEEP_HZ);
    // The first and last second may be cut by joining and leaving.
    assert!(beeps.len() as u64 + 2 >= seconds, "beeps at {beeps:?}");
    for pair in beeps.windows(2).skip(2) {
        assert!((pair[1] - pair[0] - 1.0).abs() < 0.1, "one beep a second: {beeps:?}");
    }
}

#[test]
fn a_guest_sees_and_hears_the_box_for_thirty_seconds_and_is_heard() {
    let _gate = gate::alone();
    let mut roomd = Roomd::start("[room]\nname = \"lobby\"");
    roomd.wait_for("the box in its room", |roomd| roomd.state()["room"]["status"] == "joined");
    let shots = std::env::var_os("ROOMD_TEST_SCREENSHOTS").map(PathBuf::from);
    let shots = shots.map_or(json!({}), |dir| {
        json!({
            dir.join("guest-laptop.png").display().to_string(): {"width": 1280, "height": 800},
            dir.join("guest-phone.png").display().to_string(): {"width": 390, "height": 844},
        })
    });
    let link = guest_link(&roomd, "http");
    let seen = guest(&roomd, &link, 30, &[], json!({"screenshots": shots}));
    check(&seen, 30);
    let (_, dir) = roomd.stop();
    check_beeps(&dir.path().join("speaker.wav"), 30);
}
