//! A box that starts with nothing around it, and is whole as things appear.

use std::process::Command;

use serde_json::Value;

use crate::gate;
use crate::roomd::Roomd;

/// A network of its own with nothing in it, not even loopback's address; removed when dropped.
struct Nowhere(String);

impl Nowhere {
    fn new() -> Nowhere {
        let nowhere = Nowhere(format!("roomd-nowhere-{}", std::process::id()));
        nowhere.ip(&["netns", "add", &nowhere.0]);
        nowhere
    }

    fn ip(&self, arguments: &[&str]) {
        let output = Command::new("ip").args(arguments).output().expect("ip runs (Debian: iproute2)");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "ip {arguments:?}: {said}; this test needs CAP_NET_ADMIN (root)");
    }

    /// `ip` in there.
    fn inside(&self, arguments: &[&str]) {
        self.ip(&[&["-n", &self.0], arguments].concat());
    }

    /// A command in there.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0, program]);
        command
    }
}

impl Drop for Nowhere {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

/// The network and the broker that come later.
const ADDRESS: &str = "192.0.2.7";
const PORT: u16 = 1883;

#[test]
fn a_box_that_starts_without_network_or_broker_takes_both_as_they_appear() {
    let _gate = gate::undisturbed();
    let nowhere = Nowhere::new();
    // As systemd has it before any network: loopback only.
    nowhere.inside(&["link", "set", "lo", "up"]);
    let config = format!(
        "[server]\nlisten_tls = \"{ADDRESS}:7443\"\nnode_ip = \"auto\"\n\
         [mqtt]\nurl = \"mqtt://{ADDRESS}:{PORT}\"\n[room]\nname = \"lobby\"\n"
    );
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut roomd = Roomd::launch_by(nowhere.command(env!("CARGO_BIN_EXE_roomd")), dir, &config);
    roomd.wait_for("the box in its own room", |roomd| {
        roomd.ctl(&["ping"]).status.success() && roomd.state()["room"]["status"] == "joined"
    });
    assert!(roomd.log().contains("no interface has this address yet"), "{}", roomd.log());

    nowhere.inside(&["link", "add", "late", "type", "veth", "peer", "name", "other"]);
    nowhere.inside(&["addr", "add", &format!("{ADDRESS}/24"), "dev", "late"]);
    nowhere.inside(&["link", "set", "late", "up"]);
    nowhere.inside(&["link", "set", "other", "up"]);
    let broker = broker(&nowhere, roomd.path("mosquitto.conf"));
    // Over TLS at the new address, by the box's own authority: the certificate has learnt the address.
    let authority = roomd.path("state/ca.crt");
    roomd.wait_for("the certificate to name the new address", |roomd| {
        let http = format!("http://{}/ca.crt", roomd.address("http"));
        let fetched = nowhere.command("curl").args(["-sf", &http, "-o"]).arg(&authority).status();
        let url = format!("https://{ADDRESS}:7443/healthz");
        let healthy = nowhere.command("curl").args(["-sf", &url, "--cacert"]).arg(&authority).output();
        fetched.is_ok_and(|status| status.success()) && healthy.is_ok_and(|output| output.status.success())
    });
    let id = roomd.ask(&["info"])["id"].as_str().expect("an id").to_owned();
    roomd.wait_for("the box at its broker", |_| {
        let topic = format!("roomd/v1/default/d/{id}/status");
        let heard = nowhere
            .command("mosquitto_sub")
            .args(["-V", "5", "-h", ADDRESS, "-t", &topic, "-C", "1", "-W", "2"])
            .output()
            .expect("mosquitto_sub runs");
        let status: Value = serde_json::from_slice(&heard.stdout).unwrap_or(Value::Null);
        status["state"] == "online"
    });
    roomd.stop();
    drop(broker);
}

/// A broker in there; ended by its pid when dropped.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn broker(nowhere: &Nowhere, config: std::path::PathBuf) -> Running {
    let user = std::env::var("USER").unwrap_or_else(|_| "root".to_owned());
    let text = format!("listener {PORT} {ADDRESS}\nallow_anonymous true\npersistence false\nuser {user}\n");
    std::fs::write(&config, text).expect("mosquitto.conf is written");
    let child =
        nowhere.command("mosquitto").arg("-c").arg(&config).stderr(std::process::Stdio::null()).spawn();
    Running(child.expect("mosquitto starts (Debian: mosquitto)"))
}
