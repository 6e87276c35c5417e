//! A guest in headless Chromium, and what it saw.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::parts;
use crate::roomd::Roomd;

/// The guest's own beep: 1.5 kHz for 120 ms at every full second.
pub const GUEST_BEEP_HZ: f64 = 1500.0;

/// How a guest comes.
pub struct Guest<'a> {
    /// The guest link.
    pub link: &'a str,
    /// How long it watches.
    pub seconds: u64,
    /// Put before the command: `ip netns exec NAME`.
    pub within: &'a [&'a str],
    /// Its home directory, where it keeps the authorities that it trusts.
    pub home: &'a Path,
    /// Pictures taken at the end: file and window size.
    pub screenshots: Value,
}

/// Lets a guest watch `roomd` and tells what it saw: the JSON of `tests/browser/guest.mjs`.
pub fn visit(roomd: &Roomd, guest: &Guest) -> Value {
    let identity = roomd.ask(&["info"])["identity"].as_str().expect("the box's identity").to_owned();
    let wish = json!({
        "link": guest.link,
        "identity": identity,
        "seconds": guest.seconds,
        "sound": sound(roomd.dir.path()),
        "profile": roomd.path("profile"),
        "screenshots": guest.screenshots,
    });
    let seen = browse(guest.within, guest.home, "guest.mjs", &wish);
    let seen =
        seen.unwrap_or_else(|said| panic!("the guest failed:\n{said}\n--- roomd's log\n{}", roomd.log()));
    println!("the guest saw {seen}");
    seen
}

/// Runs a script of `tests/browser` with a wish; its JSON, or what it said on its error output.
pub fn browse(within: &[&str], home: &Path, script: &str, wish: &Value) -> Result<Value, String> {
    let script = format!("{}/tests/browser/{script}", env!("CARGO_MANIFEST_DIR"));
    let wish = wish.to_string();
    let words = [within, &["node", &script, &wish]].concat();
    let (program, arguments) = words.split_first().expect("node at least");
    let output = Command::new(program)
        .args(arguments)
        .env("ROOMD_TEST_NODE_MODULES", parts::node_modules())
        .env("HOME", home)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let said =
        || format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        return Err(said());
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {}", said()))
}

/// Ten seconds of the guest's beeps as a WAV file, which Chromium plays round and round as its microphone.
fn sound(dir: &Path) -> PathBuf {
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

/// A guest link of the box's own making to the address that begins with `base`, like `http://`.
pub fn link(roomd: &Roomd, base: &str) -> String {
    let links = roomd.ask(&["guest-link", "lobby"]);
    let links = links["data"]["urls"].as_array().expect("links");
    let found = links.iter().filter_map(Value::as_str).find(|link| link.starts_with(base));
    found.unwrap_or_else(|| panic!("no link that begins with {base} in {links:?}")).to_owned()
}

/// The picture came as it was sent: at least 98 % of it, without a freeze, and with sound.
pub fn check(seen: &Value, seconds: u64) {
    let number = |key: &str| seen[key].as_f64().unwrap_or_else(|| panic!("no {key} in {seen}"));
    let sent = number("elapsed_s") * 30.0;
    assert!(number("elapsed_s") >= seconds as f64 * 0.9, "{seen}");
    assert!(number("decoded") >= sent * 0.98, "decoded {} of {sent} sent: {seen}", number("decoded"));
    assert_eq!(number("freezes"), 0.0, "{seen}");
    assert!(number("read") >= number("decoded") * 0.98, "every decoded frame is looked at: {seen}");
    assert!(number("readable") >= number("read") * 0.98, "{seen}");
    assert!(number("distinct") >= number("readable") * 0.98, "{seen}");
    assert!(seen["audio"]["energy"].as_f64().is_some_and(|energy| energy > 0.0), "the box is heard: {seen}");
}

/// `{file: window size}` for two window sizes, when somebody wants to look (`ROOMD_TEST_SCREENSHOTS` is a folder).
pub fn screenshots(name: &str) -> Value {
    let Some(dir) = std::env::var_os("ROOMD_TEST_SCREENSHOTS").map(PathBuf::from) else { return json!({}) };
    let file = |size: &str| dir.join(format!("{name}-{size}.png")).display().to_string();
    json!({
        file("laptop"): {"width": 1280, "height": 800},
        file("phone"): {"width": 390, "height": 844},
    })
}
