//! A network of two: this machine and a namespace that plays another one, joined by a pair of veth interfaces.
//! Nothing else can be reached from in there: it has no default route.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A namespace with one way out: to [`Network::here`]. Removed when dropped.
pub struct Network {
    /// The namespace's name.
    pub name: String,
    /// This machine's address on the pair, like `10.213.7.1`.
    pub here: String,
}

impl Network {
    /// Makes one; panics with the right that is missing.
    pub fn new() -> Network {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        // Interface names have at most 15 characters; process ids at most 7 digits.
        let name = format!("rt{}n{number}", std::process::id());
        may("CAP_SYS_ADMIN (to make a network namespace; run as root)", &["netns", "add", &name]);
        // From here on dropping it cleans up.
        let mut network = Network { name: name.clone(), here: String::new() };
        let (ours, theirs) = (format!("{name}a"), format!("{name}b"));
        let pair = ["link", "add", &ours, "type", "veth", "peer", "name", &theirs, "netns", &name];
        may("CAP_NET_ADMIN (to make a veth pair; run as root)", &pair);
        let (here, there) = free_subnet();
        for command in [
            vec!["addr", "add", &format!("{here}/30"), "dev", &ours],
            vec!["link", "set", &ours, "up"],
            vec!["-n", &name, "addr", "add", &format!("{there}/30"), "dev", &theirs],
            vec!["-n", &name, "link", "set", &theirs, "up"],
            vec!["-n", &name, "link", "set", "lo", "up"],
        ] {
            may("CAP_NET_ADMIN (to set addresses; run as root)", &command);
        }
        network.here = here;
        network
    }

    /// What to put before a command that shall run in there.
    pub fn within(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.name]
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The pair goes with the namespace.
        let _ = ip(&["netns", "del", &self.name]);
    }
}

/// The two addresses of a /30 that no interface of this machine is in.
fn free_subnet() -> (String, String) {
    let listed = ip(&["-o", "addr"]).expect("addresses can be listed");
    let pid = std::process::id();
    let subnet = |n: u32| format!("10.{}.{}.", 200 + (pid + n) / 250 % 50, (pid + n) % 250);
    let free = (0..12_500).map(subnet).find(|subnet| !listed.contains(&format!(" {subnet}")));
    let subnet = free.expect("a subnet that is free");
    (format!("{subnet}1"), format!("{subnet}2"))
}

fn may(right: &str, arguments: &[&str]) {
    if let Err(said) = ip(arguments) {
        panic!("`ip {}`: {said}; this test needs the right {right}", arguments.join(" "));
    }
}

fn ip(arguments: &[&str]) -> Result<String, String> {
    let output =
        Command::new("ip").args(arguments).output().map_err(|error| format!("ip (iproute2): {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(String::from_utf8_lossy(&output.stdout).into_owned()) } else { Err(said) }
}
