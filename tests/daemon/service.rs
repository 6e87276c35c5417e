//! The units as they are installed, under a real systemd (see `world`).

use std::path::PathBuf;
use std::process::Command;

use crate::world::{World, repository};
use crate::{film, gate};

/// A box that can be measured: test picture and sound, as little work as possible.
const CONFIG: &str = r#"
[camera]
source = "test"
size = "320x180"
fps = 10
[microphone]
source = "test"
[speaker]
sink = "none"
[recording]
min_free = "1MiB"
"#;

/// What `systemd-analyze security` may say at most, in tenths.
const EXPOSURE: &str = "13";

#[test]
fn the_service_is_exposed_no_more_than_1_3() {
    let output = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", "--threshold", EXPOSURE])
        .arg(repository().join("systemd/roomd.service"))
        .output()
        .expect("systemd-analyze runs (Debian: systemd)");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_unit_is_valid_and_a_box_with_nothing_at_all_starts() {
    let _gate = gate::undisturbed();
    let mut world = World::boot();
    let units = [
        "roomd.service",
        "roomd-provision.service",
        "roomd-reboot.path",
        "roomd-reboot.service",
        "roomd-reprovision.path",
    ];
    let said = world.must(&[&["systemd-analyze", "verify"], &units[..]].concat());
    assert_eq!(said, "");
    world.must(&[
        "systemctl",
        "enable",
        "roomd.service",
        "roomd-provision.service",
        "roomd-reboot.path",
        "roomd-reprovision.path",
    ]);

    // No configuration, no camera, no sound card, no network but loopback, no broker; and an enrolment that fails.
    world.write("/etc/roomd/roomd-provision.json", "{}");
    world.must(&["systemctl", "start", "--no-block", "roomd-provision.service", "roomd.service"]);
    world.wait_for("the unit to be active", |world| world.show("roomd.service", "ActiveState") == "active");
    assert_eq!(world.show("roomd.service", "NRestarts"), "0");
    let status = world.show("roomd-provision.service", "ExecMainStatus");
    assert_eq!(status, "78", "the file is no good, and nobody tries it again");
    let owner = world.must(&["stat", "-c", "%U", "/var/lib/roomd", "/var/lib/roomd/keys.toml"]);
    assert_eq!(owner, "roomd\nroomd", "enrolment, which is root's, leaves the state to the daemon");
    assert_eq!(world.ask(&["join", "lobby"])["ok"], true);
    world.wait_for("the line for people", |world| {
        world.show("roomd.service", "StatusText").starts_with("in lobby")
    });
    let status = world.must(&["systemctl", "status", "--no-pager", "roomd.service"]);
    assert!(status.contains("Status: \"in lobby"), "{status}");
}

/// The operator's `roomctl` in [`World`].
pub const OPERATOR: [&str; 9] = [
    "roomctl",
    "--broker=mqtts://localhost:8883",
    "--ca-file=/root/fleet/ca.crt",
    "--cert-file=/root/fleet/operator.crt",
    "--key-file=/root/fleet/operator.key",
    "--timeout=5",
    "--json",
    "--box",
    "first",
];

/// A `roomd-provision.json` for the box `first`, and its token.
pub fn provisioning_file(world: &World) -> (String, String) {
    let file = world.must(&["roomctl", "enroll-server", "token", "/root/fleet", "--for", "first"]);
    let token = file.split("\"token\": \"").nth(1).and_then(|rest| rest.split('"').next());
    let token = token.expect("a token").to_owned();
    (file, token)
}

/// Enrolment server, broker, and the box `first`, which enrols at its first start; its token.
pub fn enrol(world: &mut World) -> String {
    world.must(&["mkdir", "-p", "/root"]);
    world.must(&["roomctl", "enroll-server", "init", "/root/fleet", "--host", "localhost"]);
    world.must(&["systemd-run", "--unit=broker", "mosquitto", "-c", "/root/fleet/mosquitto.conf"]);
    world.must(&["systemd-run", "--unit=enrolment", "roomctl", "enroll-server", "run", "/root/fleet"]);
    let (file, token) = provisioning_file(world);
    world.write("/etc/roomd/roomd.toml", &format!("[box]\nid = \"first\"\n{CONFIG}"));
    world.write("/etc/roomd/roomd-provision.json", &file);
    // As at boot: one transaction, the order is the units' own.
    let began = std::time::Instant::now();
    world.must(&["systemctl", "start", "--no-block", "roomd-provision.service", "roomd.service"]);
    world.wait_for("the box to answer at the fleet's broker", |world| {
        world.run(&[&OPERATOR[..], &["ping"]].concat()).status.success()
    });
    println!(
        "from the start of the units to an answer over the broker: {:.1} s",
        began.elapsed().as_secs_f64()
    );
    token
}

#[test]
fn a_box_with_a_provisioning_file_enrols_at_its_first_start_and_is_online() {
    let _gate = gate::undisturbed();
    let mut world = World::boot();
    let token = enrol(&mut world);
    assert_eq!(world.show("roomd-provision.service", "ExecMainStatus"), "0");
    assert!(!world.inside("/etc/roomd/roomd-provision.json").exists(), "the token is gone");
    let owners = world.must(&["find", "/var/lib/roomd", "!", "-user", "roomd"]);
    assert_eq!(owners, "", "everything is the daemon's");
    let open = world.must(&["find", "/var/lib/roomd/identity", "/var/lib/roomd/conf.d", "-perm", "/077"]);
    assert_eq!(open, "", "and nobody else's");
    assert!(!world.journal().contains(&token), "no token in the log");
}

#[test]
fn the_service_has_its_devices_groups_and_credentials_and_nothing_else() {
    let _gate = gate::undisturbed();
    let world = World::boot();
    for class in ["video4linux", "media", "alsa", "dma_heap", "drm"] {
        let allowed = world.show("roomd.service", "DeviceAllow");
        assert!(allowed.contains(&format!("char-{class} rw")), "{class} is missing in {allowed}");
    }
    // The same unit with a question instead of the daemon.
    world.must(&["cp", "/usr/lib/systemd/system/roomd.service", "/etc/systemd/system/question.service"]);
    world.write("/etc/systemd/system/question.service.d/question.conf", QUESTION);
    world.write("/usr/local/bin/question", ASK);
    world.write("/etc/credstore/roomd.mqtt.password", "s3cret");
    world.write("/opt/video", "of the group video");
    world.must(&["chmod", "0755", "/usr/local/bin/question"]);
    world.must(&["chown", "root:video", "/opt/video"]);
    world.must(&["chmod", "0640", "/opt/video"]);
    world.must(&["mknod", "-m", "0666", "/dev/other", "c", "10", "1"]);
    world.must(&["systemctl", "daemon-reload"]);
    world.must(&["systemctl", "start", "question.service"]);
    let journal = world.journal();
    for answer in [
        "user=roomd",
        "capabilities=0000000000000000",
        "credential=s3cret",
        "other credentials=none",
        "file of the group video=of the group video",
        "device of another class=Operation not permitted",
        "/etc=Read-only file system",
        "home=Permission denied",
        "/var/lib/roomd=written",
        "new namespace=Operation not permitted",
    ] {
        assert!(journal.contains(answer), "{answer} is missing in\n{journal}");
    }
}

const QUESTION: &str = "
[Service]
Type=oneshot
Restart=no
WatchdogSec=0
ExecStart=
ExecStart=/usr/local/bin/question
";

const ASK: &str = r#"#!/bin/sh
# The last words of what a command says.
fails() { "$@" 2>&1 | sed 's/.*: //' | tail -n 1; }
echo "user=$(id -un)"
echo "capabilities=$(sed -n 's/^CapEff:\t*//p' /proc/self/status)"
echo "credential=$(cat "$CREDENTIALS_DIRECTORY/mqtt.password")"
echo "other credentials=$(ls "$CREDENTIALS_DIRECTORY" | grep -v '^mqtt.password$' || echo none)"
echo "file of the group video=$(cat /opt/video)"
echo "device of another class=$(fails sh -c ': < /dev/other')"
echo "/etc=$(fails touch /etc/roomd/roomd.toml)"
echo "home=$(fails ls /root/.)"
echo "/var/lib/roomd=$(touch /var/lib/roomd/touched && echo written)"
echo "new namespace=$(fails unshare --user true)"
"#;

#[test]
fn a_stopped_box_is_killed_by_the_watchdog_and_goes_on_recording_and_a_reboot_finishes_the_file() {
    let _gate = gate::undisturbed();
    let mut world = World::boot();
    world.write("/etc/roomd/roomd.toml", CONFIG);
    world.must(&["systemctl", "start", "roomd.service", "roomd-reboot.path"]);
    let id = world.ask(&["record", "on"])["data"]["id"].as_str().expect("an id").to_owned();
    let first = recorded_file(&mut world, None);

    world.must(&["systemctl", "kill", "--kill-whom=main", "--signal=STOP", "roomd.service"]);
    world.wait_for("the watchdog", |world| world.show("roomd.service", "NRestarts") == "1");
    assert!(world.journal().contains("Watchdog timeout (limit 30s)"), "{}", world.journal());
    world.wait_for("the box to be back", |world| world.show("roomd.service", "ActiveState") == "active");
    let second = recorded_file(&mut world, Some(&first));
    assert_eq!(world.state()["recording"]["id"], id.as_str(), "under the id that was ordered");
    assert!(first.to_string_lossy().contains(&id) && second.to_string_lossy().contains(&id));
    film::decodes_without_error(&first);
    assert!(film::duration(&film::probe(&first)) > 0.5);

    reload(&mut world);

    // As the daemon would: it may write below /run/roomd, and has no other right.
    let request =
        "echo job-7 > /run/roomd/reboot.tmp && mv /run/roomd/reboot.tmp /run/roomd/reboot-requested";
    world.must(&["runuser", "-u", "roomd", "--", "sh", "-c", request]);
    world.goes_down();
    film::decodes_without_error(&second);
    assert!(film::duration(&film::probe(&second)) > 0.5);
}

/// The file that is being recorded, other than `before`, once something is in it; as seen from outside.
fn recorded_file(world: &mut World, before: Option<&PathBuf>) -> PathBuf {
    let mut found = None;
    world.wait_for("a recording with something in it", |world| {
        let recording = world.state()["recording"].clone();
        let file = recording["file"].as_str().and_then(|file| file.strip_prefix("/var/lib/"));
        let file = file.map(|file| world.lib().join(file)).filter(|file| Some(file) != before);
        let filled = file.as_ref().is_some_and(|file| file.metadata().is_ok_and(|meta| meta.len() > 30_000));
        found = file;
        filled
    });
    found.expect("it was found")
}

/// `systemctl reload` ends when the box has said that it is ready again, and its process stays.
fn reload(world: &mut World) {
    let process = world.show("roomd.service", "MainPID");
    world.write("/etc/roomd/roomd.d/1.toml", "[log]\nlevel = \"debug\"\n[server]\nrtc_udp = 7900\n");
    world.must(&["systemctl", "reload", "roomd.service"]);
    world.wait_for("the line for people", |world| {
        world.show("roomd.service", "StatusText").contains("needs a restart: server.rtc_udp")
    });
    assert_eq!(world.show("roomd.service", "MainPID"), process);
    assert_eq!(world.show("roomd.service", "ActiveState"), "active");
}
