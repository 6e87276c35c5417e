//! One real `roomd` in a folder of its own, on free ports, ended by its pid.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Longest that anything asked of a running box may take before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A running box; killed when dropped.
pub struct Roomd {
    child: Child,
    pub dir: tempfile::TempDir,
}

impl Roomd {
    /// Starts one with `extra` appended to a configuration on free ports, and waits until it is ready.
    pub fn start(extra: &str) -> Roomd {
        let dir = tempfile::tempdir().expect("a temporary folder");
        Roomd::start_in(dir, extra)
    }

    /// As [`Roomd::start`], in a folder that an earlier box has left.
    pub fn start_in(dir: tempfile::TempDir, extra: &str) -> Roomd {
        let mut roomd = Roomd::launch(dir, extra);
        roomd.wait_for("the box to be ready", |roomd| roomd.ctl(&["info"]).status.success());
        roomd
    }

    /// Starts one without waiting.
    pub fn launch(dir: tempfile::TempDir, extra: &str) -> Roomd {
        Roomd::launch_by(Command::new(env!("CARGO_BIN_EXE_roomd")), dir, extra)
    }

    /// As [`Roomd::launch`], by a command that becomes `roomd` with the arguments added to it.
    pub fn launch_by(mut command: Command, dir: tempfile::TempDir, extra: &str) -> Roomd {
        let config = dir.path().join("roomd.toml");
        File::create(&config)
            .and_then(|mut file| file.write_all(configuration(dir.path(), extra).as_bytes()))
            .expect("the configuration is written");
        let log = File::options()
            .create(true)
            .append(true)
            .open(dir.path().join("roomd.log"))
            .expect("the log can be opened");
        let child = command
            .args(["run", "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("roomd starts");
        Roomd { child, dir }
    }

    /// Writes the configuration anew; the box reads it when it is told to.
    pub fn configure(&self, extra: &str) {
        configuration(self.dir.path(), extra);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the box has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("roomd.log")).unwrap_or_default()
    }

    /// `roomctl` on this box.
    pub fn ctl(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_roomctl"))
            .arg("--socket")
            .arg(self.path("control.sock"))
            .arg("--json")
            .args(arguments)
            .output()
            .expect("roomctl runs")
    }

    /// `roomctl`'s JSON, which must say that it is done; its `data` where it has one.
    pub fn ask(&self, arguments: &[&str]) -> Value {
        let output = self.ctl(arguments);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "roomctl {arguments:?}: {text}{}\n{}",
            String::from_utf8_lossy(&output.stderr),
            self.log()
        );
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// The state document.
    pub fn state(&self) -> Value {
        self.ask(&["state"])
    }

    /// `http` or `https`: the address that the box has chosen, like `127.0.0.1:34567`.
    pub fn address(&self, listener: &str) -> String {
        let info = self.ask(&["info"]);
        let address = info["addresses"][listener].as_str();
        address.unwrap_or_else(|| panic!("no {listener} address in {info}")).to_owned()
    }

    /// Polls `until` it is true; panics with the box's log when [`PATIENCE`] is over or the box has ended.
    pub fn wait_for(&mut self, what: &str, until: impl Fn(&Roomd) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !until(self) {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("waiting for {what}: roomd ended with {status}\n{}", self.log());
            }
            assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Sends a signal by name (`TERM`, `KILL`, `STOP` ...).
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "kill -{name}");
    }

    /// SIGTERM, and the exit status; panics when the box does not end.
    pub fn stop(mut self) -> (ExitStatus, tempfile::TempDir) {
        self.signal("TERM");
        self.ended()
    }

    /// SIGKILL; what the box has left behind.
    pub fn kill(mut self) -> tempfile::TempDir {
        self.signal("KILL");
        self.ended().1
    }

    /// A panic that a supervisor has caught is a defect all the same.
    fn assert_no_panic(&self) {
        let log = self.log();
        assert!(!log.contains("panicked at") && !log.contains("panic:"), "a panic in roomd's log\n{log}");
    }

    /// Waits until the box ends by itself.
    pub fn ended(&mut self) -> (ExitStatus, tempfile::TempDir) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("roomd can be waited for") {
                self.assert_no_panic();
                let empty = tempfile::tempdir().expect("a temporary folder");
                return (status, std::mem::replace(&mut self.dir, empty));
            }
            assert!(Instant::now() < deadline, "roomd does not end\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Roomd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- roomd's log\n{}", self.log());
        } else {
            self.assert_no_panic();
        }
    }
}

fn configuration(dir: &Path, extra: &str) -> String {
    let quoted = |name: &str| json!(dir.join(name)).to_string();
    // A section of `extra` replaces the keys given here by standing in a later file.
    let later = dir.join("roomd.d");
    std::fs::create_dir_all(&later).expect("roomd.d is made");
    std::fs::write(later.join("test.toml"), extra).expect("roomd.d/test.toml is written");
    format!(
        r#"
        [box]
        state_dir = {state}
        name = "test box"
        [control]
        socket = {socket}
        [camera]
        source = "test"
        [microphone]
        source = "test"
        [speaker]
        sink = "file:{speaker}"
        [server]
        listen = "127.0.0.1:0"
        listen_tls = ""
        rtc_udp = 0
        rtc_tcp = 0
        node_ip = "127.0.0.1"
        [recording]
        min_free = "1MiB"
        [log]
        level = "info,roomd=debug"
        "#,
        state = quoted("state"),
        socket = quoted("control.sock"),
        speaker = dir.join("speaker.wav").display(),
    )
}
