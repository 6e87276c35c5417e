//! What the service manager hears: a socket of ours in place of systemd's. And the reload, which it asks for.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::broker::Broker;
use crate::gate;
use crate::roomd::{PATIENCE, Roomd};

/// How often the box shall beat here, in µs: much shorter than the unit's 30 s.
const WATCHDOG_USEC: &str = "4000000";

/// A service manager that only listens.
struct Manager {
    socket: UnixDatagram,
    dir: tempfile::TempDir,
}

impl Manager {
    fn new() -> Manager {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let socket = UnixDatagram::bind(dir.path().join("notify")).expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Manager { socket, dir }
    }

    /// A box that is watched by this one.
    fn start(&self, extra: &str) -> Roomd {
        let mut command = Command::new(env!("CARGO_BIN_EXE_roomd"));
        command.env("NOTIFY_SOCKET", self.dir.path().join("notify")).env("WATCHDOG_USEC", WATCHDOG_USEC);
        Roomd::launch_by(command, tempfile::tempdir().expect("a temporary folder"), extra)
    }

    fn next(&self) -> String {
        let mut bytes = [0; 4096];
        let length = self.socket.recv(&mut bytes).expect("the box says something in time");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    /// Reads on until one of the messages holds `words`.
    fn hears(&self, words: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut heard = Vec::new();
        while Instant::now() < deadline {
            heard.push(self.next());
            if let Some(message) = heard.last().filter(|message| message.contains(words)) {
                return message.clone();
            }
        }
        panic!("{words:?} was not said, but {heard:?}");
    }

    /// Whether a beat comes within `patience`.
    fn hears_a_beat_within(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            self.socket.set_read_timeout(Some(left.max(Duration::from_millis(1)))).expect("a timeout");
            let mut bytes = [0; 4096];
            match self.socket.recv(&mut bytes) {
                Ok(length) if bytes[..length].starts_with(b"WATCHDOG=1") => return true,
                _ => {}
            }
        }
        self.socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        false
    }
}

#[test]
fn the_service_manager_hears_ready_what_goes_on_beats_a_reload_and_the_end() {
    let _gate = gate::undisturbed();
    let manager = Manager::new();
    let roomd = manager.start("");
    manager.hears("READY=1");
    manager.hears("WATCHDOG=1");
    manager.hears("WATCHDOG=1");
    roomd.ask(&["join", "lobby"]);
    roomd.ask(&["record", "on"]);
    manager.hears("STATUS=in lobby, recording\n");
    roomd.signal("HUP");
    let reloading = manager.hears("RELOADING=1");
    let since: u64 = reloading
        .lines()
        .find_map(|line| line.strip_prefix("MONOTONIC_USEC=")?.parse().ok())
        .unwrap_or_else(|| panic!("no time in {reloading}"));
    assert!(since > 0);
    manager.hears("READY=1");
    roomd.signal("TERM");
    manager.hears("STOPPING=1");
}

#[test]
fn a_camera_thread_that_hangs_is_only_told_and_a_room_server_that_hangs_keeps_the_beat_back() {
    let _gate = gate::undisturbed();
    let manager = Manager::new();
    let roomd = manager.start("");
    manager.hears("READY=1");
    manager.hears("WATCHDOG=1");
    {
        let _held = Held::thread(&roomd, "capture-video");
        manager.hears("stuck: capture-video");
        manager.hears("WATCHDOG=1");
        assert_eq!(roomd.state()["microphone"]["status"], "running", "the rest goes on");
    }
    manager.hears("STATUS=in no room\n");
    {
        let _held = Held::thread(&roomd, "sfu");
        manager.hears("stuck: sfu");
        assert!(!manager.hears_a_beat_within(Duration::from_secs(3)), "the beat is kept back");
        assert!(roomd.log().contains("does not turn any more"), "{}", roomd.log());
    }
    manager.hears("WATCHDOG=1");
    roomd.stop();
}

/// One thread of a box that stands still, as in a driver that does not answer; it goes on when this is dropped.
struct Held(libc::pid_t);

impl Held {
    fn thread(roomd: &Roomd, name: &str) -> Held {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", roomd.pid())).expect("threads");
        let mut tasks = tasks.flatten();
        let called = |path: &std::path::Path| std::fs::read_to_string(path.join("comm")).unwrap_or_default();
        let task = tasks.find(|task| called(&task.path()).trim() == name);
        let id = task.unwrap_or_else(|| panic!("a thread {name}")).file_name();
        let id: libc::pid_t = id.to_string_lossy().parse().expect("a number");
        let nothing = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: stops another process's thread; nothing of this one is touched.
        let attached = unsafe { libc::ptrace(libc::PTRACE_ATTACH, id, nothing, nothing) };
        let error = std::io::Error::last_os_error();
        assert_eq!(attached, 0, "{error}: this test holds a thread still (CAP_SYS_PTRACE; run as root)");
        // SAFETY: waits for it to stand still; no status is asked for.
        unsafe { libc::waitpid(id, std::ptr::null_mut(), libc::__WALL) };
        Held(id)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let nothing = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: as above.
        unsafe { libc::ptrace(libc::PTRACE_DETACH, self.0, nothing, nothing) };
    }
}

/// Writes the box's configuration anew, with `extra`, and asks it to read it.
fn reload(roomd: &Roomd, extra: &str) {
    roomd.configure(extra);
    roomd.signal("HUP");
}

#[test]
fn a_reload_changes_what_can_change_names_what_cannot_and_a_bad_file_changes_nothing() {
    let _gate = gate::undisturbed();
    let broker = Broker::start();
    let mut roomd = Roomd::start(&broker.config());
    let id = roomd.ask(&["info"])["id"].as_str().expect("an id").to_owned();
    roomd.ask(&["mute"]);
    let unmute = |correlation: &str| {
        broker.ask(&id, "microphone.set", r#"{"muted": false}"#, correlation)["code"].to_string()
    };
    assert_eq!(unmute("1"), "\"unauthorized\"");

    let live = format!("{}[control]\nallow_remote_unmute = true\nsocket = \"/elsewhere\"", broker.config());
    reload(&roomd, &live);
    roomd.wait_for("the reload", |roomd| roomd.log().contains("reloaded"));
    assert!(roomd.log().contains("needs a restart: control.socket"), "{}", roomd.log());
    assert_eq!(unmute("2"), "\"ok\"");

    let bad = format!("{live}\n[camera]\nlens = 1\nfps = 0\n[mqtt]\nissuers = [\"somebody else\"]");
    reload(&roomd, &bad.replace(&broker.config(), ""));
    roomd.wait_for("the refusal", |roomd| roomd.log().contains("not reloaded"));
    for problem in ["camera.lens: unknown key", "camera.fps: 0 given"] {
        assert!(roomd.log().contains(problem), "{problem} is missing in {}", roomd.log());
    }
    roomd.ask(&["mute"]);
    assert_eq!(unmute("3"), "\"ok\"", "as it was before");

    reload(&roomd, &format!("{}issuers = [\"somebody-else\"]", broker.config()));
    roomd.wait_for("the second reload", |roomd| roomd.log().matches("reloaded changed").count() == 2);
    assert_eq!(unmute("4"), "\"unauthorized\"", "the asker is no issuer any more");
    reload(&roomd, &format!("{}[recording]\nmin_free = \"9000TB\"", broker.config()));
    roomd.wait_for("the third reload", |roomd| roomd.log().matches("reloaded changed").count() == 3);
    roomd.ask(&["record", "on"]);
    roomd.wait_for("a disk that is too full by now", |roomd| {
        roomd.state()["recording"]["status"] == "disk_full"
    });
    roomd.stop();
}
