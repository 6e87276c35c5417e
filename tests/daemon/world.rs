//! A real systemd with a whole system of its own: `world.sh` boots this machine's systemd in namespaces, over this
//! machine's files, with what `make install` puts into a system.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest for anything in there: the watchdog's 30 s and its restart on a busy machine included.
const PATIENCE: Duration = Duration::from_secs(120);

/// A booted system; gone when dropped. It has a loopback interface, no other device, and no service but roomd's.
pub struct World {
    outside: Child,
    manager: u32,
    group: PathBuf,
    dir: tempfile::TempDir,
}

impl World {
    /// Boots; panics with the right that is missing.
    pub fn boot() -> World {
        let dir = tempfile::tempdir().expect("a temporary folder");
        install(&dir.path().join("installed"));
        for folder in ["layer", "lib"] {
            fs::create_dir(dir.path().join(folder)).expect("a folder");
        }
        World::boot_in(dir)
    }

    /// The system has gone down, and boots again: what was in `/var/lib` is there, everything else is as installed.
    pub fn boot_again(mut self) -> World {
        self.goes_down();
        let empty = tempfile::tempdir().expect("a temporary folder");
        World::boot_in(std::mem::replace(&mut self.dir, empty))
    }

    fn boot_in(dir: tempfile::TempDir) -> World {
        let group = own_group();
        let log = fs::File::create(dir.path().join("boot.log")).expect("a log");
        let outside = Command::new("sh")
            .arg(repository().join("tests/daemon/world.sh"))
            .args([dir.path(), &group])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("sh runs");
        let mut world = World { outside, manager: 0, group, dir };
        world.wait_for("systemd to start", |world| {
            world.manager = world.first_child();
            world.manager != 0 && world.inside("/run/systemd/private").exists()
        });
        world.wait_for("systemd to have booted", |world| {
            let state = world.run(&["systemctl", "is-system-running"]).stdout;
            matches!(String::from_utf8_lossy(&state).trim(), "running" | "degraded")
        });
        world
    }

    /// The process that is systemd, seen from outside; 0 when there is none yet.
    fn first_child(&self) -> u32 {
        let pid = self.outside.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        children.split_whitespace().next().and_then(|child| child.parse().ok()).unwrap_or(0)
    }

    /// A path of the system, seen from outside.
    pub fn inside(&self, path: &str) -> PathBuf {
        Path::new(&format!("/proc/{}/root", self.manager)).join(path.trim_start_matches('/'))
    }

    /// What survives the system: its `/var/lib`.
    pub fn lib(&self) -> PathBuf {
        self.dir.path().join("lib")
    }

    /// Writes a file of the system.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.inside(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Runs a command in the system, as root.
    pub fn run(&self, command: &[&str]) -> Output {
        let target = self.manager.to_string();
        Command::new("nsenter")
            .args(["--target", &target, "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup"])
            .args(["--root", "--wd", "--"])
            .args(command)
            .stdin(Stdio::null())
            .output()
            .expect("nsenter runs (Debian: util-linux)")
    }

    /// As [`World::run`]; it must succeed. What it wrote.
    pub fn must(&self, command: &[&str]) -> String {
        let output = self.run(command);
        let (said, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(
            output.status.success(),
            "{command:?}: {}\n{said}{errors}\n{}",
            output.status,
            self.journal()
        );
        said.trim().to_owned()
    }

    /// One property of a unit.
    pub fn show(&self, unit: &str, property: &str) -> String {
        self.must(&["systemctl", "show", "--value", "--property", property, unit])
    }

    /// `roomctl`'s JSON, which must say that it is done.
    pub fn ask(&self, arguments: &[&str]) -> Value {
        let text = self.must(&[&["roomctl", "--json"], arguments].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// The state document; null while the box cannot be asked.
    pub fn state(&self) -> Value {
        let output = self.run(&["roomctl", "--json", "state"]);
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
    }

    /// Everything that roomd, and systemd about it, has logged.
    pub fn journal(&self) -> String {
        let output = self.run(&["journalctl", "--no-pager", "--output=short-precise"]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Polls `until` it is true; panics with the journal when it never is.
    pub fn wait_for(&mut self, what: &str, mut until: impl FnMut(&mut World) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !until(self) {
            if let Ok(Some(status)) = self.outside.try_wait() {
                panic!("waiting for {what}: the system ended with {status}\n{}", self.boot_log());
            }
            let journal = || if self.manager == 0 { self.boot_log() } else { self.journal() };
            assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}\n{}", journal());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until the system has gone down by itself.
    pub fn goes_down(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while self.outside.try_wait().expect("it can be waited for").is_none() {
            assert!(Instant::now() < deadline, "the system does not go down\n{}", self.journal());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn boot_log(&self) -> String {
        let mut text = String::new();
        let log = fs::File::open(self.dir.path().join("boot.log"));
        let _ = log.and_then(|mut log| log.read_to_string(&mut text));
        format!(
            "{text}\nThis test boots systemd in namespaces: it needs root with CAP_SYS_ADMIN, and cgroup2"
        )
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Its first process takes everything with it; `unshare` has ended then too.
        if self.manager != 0 && matches!(self.outside.try_wait(), Ok(None)) {
            if std::thread::panicking() {
                eprintln!("--- the system's journal\n{}", self.journal());
            }
            let _ = Command::new("kill").args(["-KILL", &self.manager.to_string()]).status();
        }
        let _ = self.outside.kill();
        let _ = self.outside.wait();
        remove_groups(&self.group);
    }
}

pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `make install` of the programs under test.
fn install(destination: &Path) {
    let programs = Path::new(env!("CARGO_BIN_EXE_roomd")).parent().expect("a folder");
    let output = Command::new("make")
        .args(["--silent", "install"])
        .arg(format!("BIN={}", programs.display()))
        .arg(format!("DESTDIR={}", destination.display()))
        .current_dir(repository())
        .output()
        .expect("make runs");
    assert!(output.status.success(), "make install: {}", String::from_utf8_lossy(&output.stderr));
}

/// A fresh group below this process's own in the cgroup2 hierarchy.
fn own_group() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts can be listed");
    let root = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let (path, kind) = (fields.nth(1)?, fields.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(path))
    });
    let root = root.expect("a cgroup2 hierarchy is mounted: systemd needs one");
    let own = fs::read_to_string("/proc/self/cgroup").expect("the own group can be read");
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).expect("a group in cgroup2").to_owned();
    static MADE: AtomicU32 = AtomicU32::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let group = root.join(own).join(format!("roomd-test-{}-{number}", std::process::id()));
    fs::create_dir(&group).unwrap_or_else(|error| {
        panic!("{}: {error}: this test makes a cgroup; run it as root", group.display())
    });
    group
}

/// Groups are removed from the leaves on; the kernel may need a moment to see that they are empty.
fn remove_groups(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&entry.path());
        }
    }
    for _ in 0..50 {
        if fs::remove_dir(group).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
