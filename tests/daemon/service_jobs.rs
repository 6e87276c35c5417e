//! Jobs of a whole system (see `world`): its journal goes to a real HTTPS server, and it is restarted.

use std::path::Path;

use serde_json::{Value, json};

use crate::gate;
use crate::jobs::in_seconds;
use crate::service::{OPERATOR, enrol, provisioning_file};
use crate::world::World;

const CONFIG: &str = r#"
[mqtt]
url = "mqtt://127.0.0.1:1883"
[camera]
source = "none"
[microphone]
source = "none"
[speaker]
sink = "none"
"#;

/// Keeps what is retained across a restart, as the fleet's own broker is not restarted with the box.
const BROKER: &str = "
listener 1883 127.0.0.1
allow_anonymous true
user root
persistence true
persistence_location /var/lib/broker/
";

/// Takes a PUT with the right signature, but the first one.
const SERVER: &str = r#"
import http.server, ssl
tries = 0
class Taker(http.server.BaseHTTPRequestHandler):
    # The journal is searched for what was signed.
    def log_message(self, *_):
        pass
    def do_PUT(self):
        global tries
        tries += 1
        body = self.rfile.read(int(self.headers["Content-Length"]))
        good = self.path == "/bucket/log.gz?X-Amz-Signature=s3cret"
        if good and tries > 1:
            open("/opt/log.gz", "wb").write(body)
        self.send_response(403 if not good else 503 if tries == 1 else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", 8443), Taker)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/opt/cert.pem", "/opt/key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"#;

/// Broker, HTTPS server and box, in a system that has just booted; the box's id.
fn start(world: &mut World) -> String {
    let own = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
    world.write("/opt/cert.pem", &own.cert.pem());
    world.write("/opt/key.pem", &own.signing_key.serialize_pem());
    world.write("/opt/server.py", SERVER);
    world.write("/etc/broker.conf", BROKER);
    world.write("/etc/roomd/roomd.toml", CONFIG);
    // The kernel under this system is not booted anew with it: its place tells another boot, as in a container.
    let boot = world.must(&["cat", "/proc/sys/kernel/random/uuid"]);
    world.write("/opt/boot-id", &boot);
    let more = "[Service]\nEnvironment=SSL_CERT_FILE=/opt/cert.pem\n\
                BindReadOnlyPaths=/opt/boot-id:/proc/sys/kernel/random/boot_id\n";
    world.write("/etc/systemd/system/roomd.service.d/test.conf", more);
    let broker = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"];
    let broker = broker.into_iter().find(|path| Path::new(path).exists()).expect("mosquitto is installed");
    world.must(&["mkdir", "-p", "/var/lib/broker"]);
    world.must(&["systemctl", "daemon-reload"]);
    world.must(&["systemd-run", "--unit=broker", broker, "-c", "/etc/broker.conf"]);
    world.must(&["systemd-run", "--unit=taker", "/usr/bin/python3", "/opt/server.py"]);
    world.must(&["systemctl", "start", "roomd.service", "roomd-reboot.path"]);
    world.ask(&["info"])["id"].as_str().expect("an id").to_owned()
}

fn put(world: &mut World, id: &str, job: &str, op: &str, args: &Value) {
    let topic = format!("roomd/v1/default/d/{id}/job/{job}");
    let order = json!({"op": op, "args": args, "deadline": in_seconds(600)}).to_string();
    world.wait_for("the broker", |world| {
        let publish = ["mosquitto_pub", "-V", "5", "-q", "1", "-r", "-t", &topic, "-m", &order];
        world.run(&publish).status.success()
    });
}

/// Waits for the end of a job.
fn ended(world: &mut World, id: &str, job: &str) -> Value {
    let topic = format!("roomd/v1/default/d/{id}/job/{job}/status");
    let mut status = Value::Null;
    world.wait_for("the job's end", |world| {
        let output = world.run(&["mosquitto_sub", "-V", "5", "-C", "1", "-W", "1", "-t", &topic]);
        status = serde_json::from_slice(&output.stdout).unwrap_or_default();
        status["code"].is_string()
    });
    status
}

#[test]
fn a_job_sends_the_journal_to_a_server_and_another_restarts_the_machine_and_says_so_after_its_boot() {
    let _gate = gate::undisturbed();
    let mut world = World::boot();
    let id = start(&mut world);
    let url = "https://127.0.0.1:8443/bucket/log.gz?X-Amz-Signature=";
    let args = |signature: &str| json!({"since": in_seconds(-3600), "until": in_seconds(60), "url": format!("{url}{signature}")});
    put(&mut world, &id, "log", "log_upload", &args("s3cret"));
    let status = ended(&mut world, &id, "log");
    assert_eq!((&status["status"], &status["percent"]), (&json!("succeeded"), &json!(100)), "{status}");
    let log = world.must(&["gzip", "-dc", "/opt/log.gz"]);
    assert!(log.contains("roomd") && log.contains("ready"), "{log}");
    assert!(log.contains("Started roomd"), "what systemd says too: {log}");
    put(&mut world, &id, "wrong", "log_upload", &args("wr0ng"));
    let status = ended(&mut world, &id, "wrong");
    assert_eq!((&status["status"], &status["code"]), (&json!("failed"), &json!("upstream")), "{status}");
    assert!(status["message"].as_str().is_some_and(|message| message.contains("403")), "{status}");
    let journal = world.journal();
    assert!(!journal.contains("s3cret") && !journal.contains("wr0ng"), "{journal}");

    put(&mut world, &id, "restart", "reboot", &json!({"when": "now"}));
    let mut world = world.boot_again();
    assert_eq!(start(&mut world), id);
    let status = ended(&mut world, &id, "restart");
    assert_eq!((&status["status"], &status["code"]), (&json!("succeeded"), &json!("ok")), "{status}");
    assert_eq!(ended(&mut world, &id, "log")["status"], "succeeded");
    assert!(!world.inside("/run/roomd/reboot-requested").exists(), "it was restarted once");
}

/// Has the box enrol anew with `file`, and follows the job to its end.
fn reprovision(world: &World, file: &str) -> Value {
    world.write("/root/order.json", file);
    let command =
        format!("{} job run reprovision --deadline 5m --args - < /root/order.json", OPERATOR.join(" "));
    let output = world.run(&["sh", "-c", &command]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}\n{}", world.journal()))
}

#[test]
fn a_job_gives_the_box_a_new_key_and_one_with_a_wrong_token_leaves_it_as_it_was() {
    let _gate = gate::undisturbed();
    let mut world = World::boot();
    let first = enrol(&mut world);
    world.must(&["systemctl", "start", "roomd-reprovision.path"]);
    let identity =
        |world: &World| world.must(&["sh", "-c", "cd /var/lib/roomd/identity && sha256sum mqtt-*"]);
    let ping = |world: &mut World| {
        world.wait_for("the box to answer", |world| {
            world.run(&[&OPERATOR[..], &["ping"]].concat()).status.success()
        });
    };
    let (before, process) = (identity(&world), world.show("roomd.service", "MainPID"));

    let (file, token) = provisioning_file(&world);
    let status = reprovision(&world, &file.replace(&token, "s3cret-guess"));
    assert_eq!((&status["status"], &status["code"]), (&json!("failed"), &json!("unauthorized")), "{status}");
    assert!(status["message"].as_str().is_some_and(|message| message.contains("token_unknown")), "{status}");
    ping(&mut world);
    assert_eq!(world.show("roomd.service", "MainPID"), process);
    assert!(before.lines().all(|line| identity(&world).contains(line)), "{}", identity(&world));
    assert_eq!(world.must(&["ls", "/run/roomd"]), "control.sock");
    assert_eq!(world.show("roomd-provision.service", "ExecMainStatus"), "78");

    // A file that nobody has taken away since it was refused does not keep the job's from its turn.
    world.write("/etc/roomd/roomd-provision.json", "{}");
    let status = reprovision(&world, &file);
    assert_eq!((&status["status"], &status["code"]), (&json!("succeeded"), &json!("ok")), "{status}");
    ping(&mut world);
    assert_ne!(world.show("roomd.service", "MainPID"), process, "it goes by the new one");
    let after = identity(&world);
    assert_eq!(after.lines().count(), 3, "{after}");
    assert!(after.lines().all(|line| !before.contains(line)), "key, certificate, authority: {after}");
    assert_eq!(world.must(&["ls", "/run/roomd"]), "control.sock");
    assert_eq!(world.must(&["find", "/var/lib/roomd", "!", "-user", "roomd"]), "");
    let journal = world.journal();
    for secret in [&first, &token, "s3cret-guess"] {
        assert!(!journal.contains(secret), "no token in the log");
    }
}

#[test]
fn an_enrolment_server_that_is_away_is_tried_until_the_deadline_and_keeps_the_box_from_nothing() {
    let _gate = gate::undisturbed();
    let mut world = World::boot();
    enrol(&mut world);
    world.must(&["systemctl", "start", "roomd-reprovision.path"]);
    let (file, token) = provisioning_file(&world);
    world.write("/root/order.json", &file.replace(":8443/", ":8444/"));
    let command = "job run reprovision --deadline 70s --args - < /root/order.json > /root/end.json";
    let command = format!("{} {command}", OPERATOR.join(" "));
    world.must(&["systemd-run", "--unit=operator", "sh", "-c", &command]);
    world.wait_for("an attempt to fail", |world| {
        world.show("roomd-provision.service", "SubState") == "auto-restart"
    });
    let process = world.show("roomd.service", "MainPID");
    world.must(&["systemctl", "kill", "--signal=KILL", "roomd.service"]);
    world.wait_for("the box to be back", |world| {
        world.show("roomd.service", "ActiveState") == "active"
            && world.show("roomd.service", "MainPID") != process
    });
    assert_eq!(
        world.show("roomd-provision.service", "SubState"),
        "auto-restart",
        "nobody had to wait for it"
    );
    assert!(world.inside("/run/roomd/roomd-provision.json").exists(), "it is still to be done");
    world.wait_for("the job's end", |world| world.show("operator.service", "ActiveState") != "active");
    let end = std::fs::read_to_string(world.inside("/root/end.json")).expect("the end");
    assert!(end.contains("\"timed_out\""), "{end}");
    assert_eq!(world.must(&["ls", "/run/roomd"]), "control.sock");
    assert!(world.run(&[&OPERATOR[..], &["ping"]].concat()).status.success());
    assert!(!world.journal().contains(&token), "no token in the log");
}
