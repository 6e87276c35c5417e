//! A real mosquitto, and its own clients as fleet software: everything by MQTT 5 as the contract wants it.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::roomd::PATIENCE;

/// A mosquitto on a port of its own; ended by its pid when dropped.
pub struct Broker {
    pub port: u16,
    dir: tempfile::TempDir,
    child: Option<Child>,
}

impl Broker {
    /// Running.
    pub fn start() -> Broker {
        let mut broker = Broker::absent();
        broker.launch();
        broker
    }

    /// Only its port is chosen.
    pub fn absent() -> Broker {
        Broker { port: free_port(), dir: tempfile::tempdir().expect("a temporary folder"), child: None }
    }

    /// Starts it on its port and waits until it listens.
    pub fn launch(&mut self) {
        let user = std::env::var("USER").unwrap_or_else(|_| "root".to_owned());
        let config = format!(
            "listener {} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\npersistence false\nuser {user}\n",
            self.port
        );
        let file = self.dir.path().join("mosquitto.conf");
        std::fs::write(&file, config).expect("mosquitto.conf is written");
        let log = File::create(self.dir.path().join("mosquitto.log")).expect("a log");
        let child = Command::new(program()).arg("-c").arg(&file).stdout(Stdio::null()).stderr(log).spawn();
        self.child = Some(child.expect("mosquitto starts"));
        until("mosquitto listens", || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
    }

    /// `mqtt://…`
    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// `[mqtt]` of a box at this broker.
    pub fn config(&self) -> String {
        format!("[mqtt]\nurl = \"{}\"\n", self.url())
    }

    /// Sends it a signal by name: `STOP` and `CONT` make it slow.
    pub fn signal(&self, name: &str) {
        let pid = self.child.as_ref().expect("it runs").id().to_string();
        let status = Command::new("kill").args([&format!("-{name}"), &pid]).status();
        assert!(status.is_ok_and(|status| status.success()), "kill -{name}");
    }

    /// One of mosquitto's client programs, connected to this broker by MQTT 5.
    pub fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(["-V", "5", "-h", "127.0.0.1", "-p", &self.port.to_string(), "-q", "1"]);
        command
    }

    /// Gives a command to the box `id` and waits for the reply.
    pub fn ask(&self, id: &str, name: &str, params: &str, correlation: &str) -> Value {
        // Every asker has a response topic of its own: replies to others do not come here.
        let response = format!("{}{correlation}-{}", response_topics(), call_number());
        let output = self
            .client("mosquitto_rr")
            .args(["-t", &command(id, name), "-e", &response, "-W", "25", "-m", params])
            .args(properties(correlation, Some(30)))
            .output()
            .expect("mosquitto_rr runs");
        let text = String::from_utf8_lossy(&output.stdout);
        serde_json::from_str(&text).unwrap_or_else(|error| {
            panic!("{name} {params}: {error}: {text:?} {}", String::from_utf8_lossy(&output.stderr))
        })
    }

    /// Publishes a command without waiting for anything; `more` are options of `mosquitto_pub`.
    pub fn order(&self, id: &str, name: &str, params: &str, properties: &[String], more: &[&str]) {
        let file = self.dir.path().join("payload");
        std::fs::write(&file, params).expect("the payload is written");
        let output = self
            .client("mosquitto_pub")
            .args(["-t", &command(id, name), "-f", &file.display().to_string()])
            .args(properties)
            .args(["-D", "publish", "response-topic", &format!("{}orders", response_topics())])
            .args(more)
            .output()
            .expect("mosquitto_pub runs");
        assert!(output.status.success(), "mosquitto_pub: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Publishes a retained document below the box's topics, or takes it away with an empty `payload`.
    pub fn put(&self, id: &str, leaf: &str, payload: &str) {
        let file = self.dir.path().join("document");
        std::fs::write(&file, payload).expect("the payload is written");
        let topic = format!("roomd/v1/default/d/{id}/{leaf}");
        let mut client = self.client("mosquitto_pub");
        client.args(["-r", "-t", &topic]);
        match payload {
            "" => client.arg("-n"),
            _ => client.arg("-f").arg(&file),
        };
        let output = client.output().expect("mosquitto_pub runs");
        assert!(output.status.success(), "mosquitto_pub: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// The retained document below the box's topics; null where there is none.
    pub fn retained(&self, id: &str, leaf: &str) -> Value {
        let topic = format!("roomd/v1/default/d/{id}/{leaf}");
        let output = self
            .client("mosquitto_sub")
            .args(["-C", "1", "-W", "1", "--retained-only", "-t", &topic])
            .output()
            .expect("mosquitto_sub runs");
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
    }

    /// Waits for a retained document for which `fits`.
    pub fn wait(&self, id: &str, leaf: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let document = self.retained(id, leaf);
            if fits(&document) {
                return document;
            }
            assert!(Instant::now() < deadline, "waited in vain for {leaf}, which is {document}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Publishes as home automation does: by MQTT 3.1.1, without any properties.
    pub fn plain(&self, topic: &str, payload: &str, more: &[&str]) {
        let mut command = Command::new("mosquitto_pub");
        command.args(["-V", "311", "-h", "127.0.0.1", "-p", &self.port.to_string(), "-q", "1", "-t", topic]);
        match payload {
            "" => command.arg("-n"),
            _ => command.args(["-m", payload]),
        };
        let output = command.args(more).output().expect("mosquitto_pub runs");
        assert!(output.status.success(), "mosquitto_pub: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Hears everything below the box's topics, what Home Assistant is told, and the replies to [`Broker::order`],
    /// from now on.
    pub fn listen(&self, name: &str) -> Ear {
        let file = self.dir.path().join(name);
        let output = File::create(&file).expect("a file for what is heard");
        let child = self
            .client("mosquitto_sub")
            .args(["-t", "roomd/v1/default/d/+/#", "-t", "homeassistant/device/+/config"])
            .args(["-t", &format!("{}orders", response_topics())])
            .args(["-F", "%t %r %p"])
            .stdout(output)
            .spawn()
            .expect("mosquitto_sub runs");
        Ear { file, child }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A port that nobody has at the moment.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|probe| probe.local_addr()).expect("a port").port()
}

/// A message that was heard.
#[derive(Debug)]
pub struct Heard {
    pub topic: String,
    pub retained: bool,
    pub document: Value,
}

/// A running `mosquitto_sub`.
pub struct Ear {
    file: PathBuf,
    child: Child,
}

impl Ear {
    /// Everything so far, in order.
    pub fn heard(&self) -> Vec<Heard> {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let message = |line: &str| {
            let mut words = line.splitn(3, ' ');
            let (topic, retained, payload) = (words.next()?, words.next()?, words.next()?);
            let document = serde_json::from_str(payload).unwrap_or(Value::Null);
            Some(Heard { topic: topic.to_owned(), retained: retained == "1", document })
        };
        whole.lines().filter_map(message).collect()
    }

    /// The documents on the topic that ends with `leaf`, in order.
    pub fn documents(&self, leaf: &str) -> Vec<Value> {
        let fits = |heard: &Heard| heard.topic.ends_with(&format!("/{leaf}"));
        self.heard().into_iter().filter(fits).map(|heard| heard.document).collect()
    }

    /// Waits for a document on `leaf` for which `fits`.
    pub fn wait(&self, leaf: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(document) = self.documents(leaf).into_iter().find(|document| fits(document)) {
                return document;
            }
            assert!(Instant::now() < deadline, "waited in vain for {leaf}; heard {:#?}", self.heard());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The properties of a command, as options of mosquitto's clients.
pub fn properties(correlation: &str, expiry_s: Option<u32>) -> Vec<String> {
    let mut options: Vec<String> =
        ["-D", "publish", "correlation-data", correlation].map(str::to_owned).to_vec();
    if let Some(expiry) = expiry_s {
        options.extend(["-D", "publish", "message-expiry-interval", &expiry.to_string()].map(str::to_owned));
    }
    options
}

fn command(id: &str, name: &str) -> String {
    format!("roomd/v1/default/d/{id}/cmd/{name}")
}

fn response_topics() -> &'static str {
    "roomd/v1/default/c/fleet/"
}

/// Different at each call in this process.
fn call_number() -> u64 {
    static CALLS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

fn program() -> &'static str {
    let places = ["/usr/sbin/mosquitto", "/usr/bin/mosquitto", "/usr/local/sbin/mosquitto"];
    let found = places.into_iter().find(|path| Path::new(path).exists());
    found.expect("mosquitto is installed (Debian: mosquitto, mosquitto-clients)")
}

fn until(what: &str, so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
