//! A mosquitto of our own, a box without media, and somebody who asks it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use roomd::base::{Shutdown, clock};
use roomd::control::dedupe::{Duplicates, Seen};
use roomd::control::{Command, ControlHandle, Origin, Reply, StatePublisher};
use roomd::mqtt::{self, Access, BridgeStatus, Config, Connection, Endpoint, Feeds};
use rumqttc::mqttbytes::v5::{Packet, Publish, PublishProperties};
use rumqttc::{AsyncClient, Event, MqttOptions, PublishOptions, QoS};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::Command as Process;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

mod broker;

pub use broker::Broker;

/// Bound of every wait: only a failing test takes so long.
const PATIENCE: Duration = Duration::from_secs(20);

pub async fn patiently<T>(what: &str, waiting: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(PATIENCE, waiting).await;
    outcome.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// A topic of the tested box.
pub fn topic(leaf: &str) -> String {
    format!("roomd/v1/default/d/box1/{leaf}")
}

pub fn command(name: &str) -> String {
    topic(&format!("cmd/{name}"))
}

/// A command's properties as the contract wants them.
pub fn properties(correlation: &str) -> PublishProperties {
    PublishProperties {
        message_expiry_interval: Some(30),
        response_topic: Some("roomd/v1/default/c/app/reply".to_owned()),
        correlation_data: Some(correlation.as_bytes().to_vec().into()),
        ..PublishProperties::default()
    }
}

pub fn at_the_box() -> Origin {
    Origin { issuer: "test".to_owned(), local: true }
}

/// Signs a broker's certificate and a box's.
pub struct Authority {
    dir: tempfile::TempDir,
}

impl Authority {
    pub fn new() -> Authority {
        use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, content: String| std::fs::write(dir.path().join(name), content).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "test authority");
        write("ca.pem", params.self_signed(&key).unwrap().pem());
        let issuer = Issuer::new(params, key);
        for (name, subject) in [("broker", "127.0.0.1"), ("box", "box1")] {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(vec![subject.to_owned()]).unwrap();
            params.distinguished_name.push(rcgen::DnType::CommonName, subject);
            write(&format!("{name}.pem"), params.signed_by(&key, &issuer).unwrap().pem());
            write(&format!("{name}.key"), key.serialize_pem());
        }
        Authority { dir }
    }

    /// Lets the box trust this authority, and be trusted by it.
    pub fn grant(&self, access: &mut Access) {
        let file = |name: &str| Some(self.dir.path().join(name));
        access.endpoint.tls = true;
        (access.ca_file, access.cert_file, access.key_file) =
            (file("ca.pem"), file("box.pem"), file("box.key"));
    }
}

/// A server that answers everything with garbage; its port. Ends with the test's runtime.
pub async fn noise_server() -> u16 {
    use tokio::io::AsyncWriteExt;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut seed = 7u8;
        while let Ok((mut stream, _)) = listener.accept().await {
            let noise: Vec<u8> = (0..200u8).map(|n| n.wrapping_mul(seed).wrapping_add(0x20)).collect();
            seed = seed.wrapping_add(31);
            let _ = stream.write_all(&noise).await;
        }
    });
    port
}

/// A broker that lets everybody in and refuses every subscription (mosquitto's ACL files never refuse one); its port.
pub async fn refusing_server() -> u16 {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut packet = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut packet).await {
                let answer = match packet[0] {
                    0x10 => vec![0x20, 3, 0, 0, 0],
                    0x82 => {
                        let header = if packet[1] < 0x80 { 2 } else { 3 };
                        let mut filters = &packet[header + 3..length];
                        let mut codes = Vec::new();
                        while let [high, low, rest @ ..] = filters {
                            filters = &rest[usize::from(u16::from_be_bytes([*high, *low])) + 1..];
                            codes.push(0x87);
                        }
                        let id = [packet[header], packet[header + 1], 0];
                        [&[0x90, codes.len() as u8 + 3][..], &id, &codes].concat()
                    }
                    _ => continue,
                };
                let _ = stream.write_all(&answer).await;
            }
        }
    });
    port
}

/// The bridge with a mutator that says yes and keeps a record.
pub struct TestBox {
    pub state: StatePublisher,
    pub control: ControlHandle,
    pub feeds: Feeds,
    pub status: watch::Receiver<BridgeStatus>,
    ran: Arc<Mutex<Vec<Command>>>,
    data: Arc<Mutex<Option<Value>>>,
    held: watch::Sender<bool>,
    shutdown: Shutdown,
    bridge: JoinHandle<Result<(), mqtt::Error>>,
    _info: watch::Sender<Value>,
}

impl TestBox {
    pub async fn start(broker: &Broker) -> TestBox {
        TestBox::with(broker, |_| {}).await
    }

    /// Started, and online.
    pub async fn with(broker: &Broker, change: impl FnOnce(&mut Config)) -> TestBox {
        let testbox = TestBox::offline(broker, change).await;
        testbox.until_online().await;
        testbox
    }

    pub async fn offline(broker: &Broker, change: impl FnOnce(&mut Config)) -> TestBox {
        TestBox::offline_at(broker.port, change).await
    }

    pub async fn offline_at(port: u16, change: impl FnOnce(&mut Config)) -> TestBox {
        TestBox::launch(port, change, |_| {})
    }

    /// With what the daemon would give it to publish; not online yet.
    pub fn fed(broker: &Broker, feed: impl FnOnce(&mut Feeds)) -> TestBox {
        TestBox::launch(broker.port, |_| {}, feed)
    }

    /// With both; not online yet.
    pub fn launch(port: u16, change: impl FnOnce(&mut Config), feed: impl FnOnce(&mut Feeds)) -> TestBox {
        let endpoint = Endpoint { host: "127.0.0.1".to_owned(), port, tls: false };
        let access = Access { endpoint, client_id: "box1".to_owned(), ..Access::default() };
        let mut config = Config::new(access, "default", "box1", "boot1");
        config.reconnect = (Duration::from_millis(20), Duration::from_millis(100));
        config.reconnect_spread = Duration::from_millis(100);
        change(&mut config);
        let state = StatePublisher::new(|| SystemTime::UNIX_EPOCH);
        let (control, orders) = ControlHandle::new(&state);
        let (ran, data, held) = (Arc::default(), Arc::default(), watch::Sender::new(false));
        tokio::spawn(mutate(orders, Arc::clone(&ran), Arc::clone(&data), held.subscribe()));
        let (info, info_receiver) = watch::channel(json!({"version": "test"}));
        let mut feeds = Feeds::new(info_receiver);
        feed(&mut feeds);
        let (status_sender, status) = watch::channel(BridgeStatus::default());
        let shutdown = Shutdown::new();
        let running = mqtt::run(config, control.clone(), feeds.clone(), status_sender, shutdown.clone());
        let bridge = tokio::spawn(running);
        TestBox { state, control, feeds, status, ran, data, held, shutdown, bridge, _info: info }
    }

    /// Waits until the bridge's status is `so`.
    pub async fn until(&self, so: impl Fn(&BridgeStatus) -> bool) {
        let mut status = self.status.clone();
        let waited = tokio::time::timeout(PATIENCE, status.wait_for(|status| so(status))).await;
        assert!(waited.is_ok(), "waited in vain: {:?}", self.status.borrow());
    }

    /// Everything that was run, in order.
    pub fn ran(&self) -> Vec<Command> {
        self.ran.lock().unwrap().clone()
    }

    /// Lets commands other than `ping` wait.
    pub fn hold(&self) {
        self.held.send_replace(true);
    }

    pub fn release(&self) {
        self.held.send_replace(false);
    }

    pub fn answer_with(&self, data: Value) {
        *self.data.lock().unwrap() = Some(data);
    }

    pub async fn until_online(&self) {
        self.until(|status| status.connection == Connection::Online).await;
    }

    /// As the daemon stops it.
    pub async fn stop(self) {
        self.shutdown.cancel();
        patiently("the bridge's end", self.bridge).await.unwrap().unwrap();
    }

    /// As a crash does.
    pub fn kill(self) {
        self.bridge.abort();
    }
}

async fn mutate(
    mut orders: mpsc::Receiver<roomd::control::Order>,
    ran: Arc<Mutex<Vec<Command>>>,
    data: Arc<Mutex<Option<Value>>>,
    held: watch::Receiver<bool>,
) {
    let duplicates = Arc::new(Mutex::new(Duplicates::default()));
    while let Some(order) = orders.recv().await {
        let Some(identity) = order.identity else {
            let _ = order.reply.send(Reply::ok("done", Value::Null));
            continue;
        };
        let seen = duplicates.lock().unwrap().seen(&identity, order.reply, clock::now());
        let asker = match seen {
            Seen::New(asker) => asker,
            Seen::Answered(asker, reply) => {
                let _ = asker.send(reply);
                continue;
            }
            Seen::Running => continue,
            Seen::Crowded(_) | Seen::Full(_) => panic!("the test orders too much"),
        };
        duplicates.lock().unwrap().begin(&identity, asker);
        ran.lock().unwrap().push(order.command.clone());
        let (data, mut held, duplicates) = (Arc::clone(&data), held.clone(), Arc::clone(&duplicates));
        tokio::spawn(async move {
            if order.command != Command::Ping {
                let _ = held.wait_for(|held| !held).await;
            }
            let Origin { issuer, local } = order.origin;
            let told = json!({"command": order.command.name(), "issuer": issuer, "local": local});
            let data = data.lock().unwrap().clone().unwrap_or(told);
            let reply = Reply::ok("done", data);
            for asker in duplicates.lock().unwrap().answered(&identity.key, &reply) {
                let _ = asker.send(reply.clone());
            }
        });
    }
}

/// An MQTT 5 client that knows nothing of our code.
pub struct Asker {
    client: AsyncClient,
    arrived: mpsc::Receiver<Publish>,
    subscribed: watch::Receiver<usize>,
    kept: Vec<Publish>,
    pings: usize,
}

impl Asker {
    /// Connected, and subscribed to its replies.
    pub async fn connect(broker: &Broker) -> Asker {
        let mut options = MqttOptions::new("app", ("127.0.0.1", broker.port));
        options.set_max_packet_size(Some(256 * 1024)).set_outgoing_inflight_upper_limit(32);
        let mut network = rumqttc::NetworkOptions::new();
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        let (client, mut event_loop) = AsyncClient::builder(options).capacity(32).build();
        let (sender, arrived) = mpsc::channel(256);
        let (subscriptions, subscribed) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok(event) = event_loop.poll().await {
                match event {
                    Event::Incoming(Packet::Publish(publish)) => drop(sender.send(publish).await),
                    Event::Incoming(Packet::SubAck(_)) => subscriptions.send_modify(|count| *count += 1),
                    _ => {}
                }
            }
        });
        let mut asker = Asker { client, arrived, subscribed, kept: Vec::new(), pings: 0 };
        asker.subscribe("roomd/v1/default/c/app/#").await;
        asker
    }

    pub async fn subscribe(&mut self, filter: &str) {
        let before = *self.subscribed.borrow();
        self.client.subscribe(filter, QoS::AtLeastOnce).await.unwrap();
        patiently("SUBACK", self.subscribed.wait_for(|count| *count > before)).await.unwrap();
    }

    pub async fn publish(&self, topic: &str, payload: &str, properties: PublishProperties) {
        let options = PublishOptions::at_least_once().properties(properties);
        self.client.publish(topic, payload.to_owned(), options).await.unwrap();
    }

    /// Retained at the broker when this returns.
    pub async fn publish_retained(&self, topic: &str, payload: &str, properties: PublishProperties) {
        let options = PublishOptions::at_least_once().retained().properties(properties);
        let notice = self.client.publish_tracked(topic, payload.to_owned(), options).await.unwrap();
        patiently("PUBACK", notice.wait_async()).await.unwrap();
    }

    async fn next(&mut self, wanted: impl Fn(&Publish) -> bool) -> Publish {
        if let Some(at) = self.kept.iter().position(&wanted) {
            return self.kept.remove(at);
        }
        loop {
            let publish = patiently("a message", self.arrived.recv()).await.expect("the asker is connected");
            if wanted(&publish) {
                return publish;
            }
            self.kept.push(publish);
        }
    }

    /// The next message on a topic of the box, subscribed to before.
    pub async fn message(&mut self, leaf: &str) -> Publish {
        let topic = topic(leaf);
        self.next(|publish| publish.topic == topic.as_bytes()).await
    }

    /// The next reply and its properties.
    pub async fn reply(&mut self) -> (Value, PublishProperties) {
        let publish = self.next(|publish| publish.topic.starts_with(b"roomd/v1/default/c/app/")).await;
        (serde_json::from_slice(&publish.payload).unwrap(), publish.properties.unwrap_or_default())
    }

    /// Orders `ping` and takes its reply, which must be the next one.
    pub async fn ping(&mut self) -> Value {
        self.pings += 1;
        let correlation = format!("ping{}", self.pings);
        self.publish(&command("ping"), "", properties(&correlation)).await;
        let reply = self.reply().await.0;
        assert_eq!(reply["id"], correlation.as_str(), "{reply}");
        reply
    }

    /// The next version of a document of the box, subscribed to before.
    pub async fn document(&mut self, leaf: &str) -> Value {
        self.next_document(leaf, |_| true).await
    }

    pub async fn next_document(&mut self, leaf: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let topic = topic(leaf);
        loop {
            let publish = self.next(|publish| publish.topic == topic.as_bytes()).await;
            let document = serde_json::from_slice(&publish.payload).unwrap();
            if wanted(&document) {
                return document;
            }
        }
    }
}

/// Runs the real `roomctl`: its exit code and what it printed.
pub async fn roomctl(broker: &Broker, box_id: &str, args: &[&str]) -> (i32, String) {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_roomctl"));
    let url = format!("mqtt://127.0.0.1:{}", broker.port);
    let running = Process::new(program)
        .args(["--broker", &url, "--box", box_id])
        .args(args)
        .kill_on_drop(true)
        .output();
    let output = patiently("roomctl", running).await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap_or(-1), text)
}
