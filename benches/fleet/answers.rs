//! Command to reply: pings, which change nothing, and mutes, which are written to the disk twice.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rumqttc::mqttbytes::v5::{Packet, PublishProperties};
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, NetworkOptions, PublishOptions, QoS};
use serde_json::{Value, json};

use crate::broker::Broker;

const PINGS: usize = 1500;
/// As many as a box remembers at once, less some.
const MUTES: usize = 900;

struct Roomd(Child);

impl Drop for Roomd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub async fn run() {
    let (broker, dir) = (Broker::start(), tempfile::tempdir().unwrap());
    let config = format!(
        "[box]\nid = \"bench\"\nstate_dir = {state}\n[control]\nsocket = {socket}\nallow_remote_unmute = true\n\
         [camera]\nsource = \"none\"\n[microphone]\nsource = \"none\"\n[speaker]\nsink = \"none\"\n\
         [server]\nenabled = false\n[mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\n[log]\nlevel = \"warn\"\n",
        state = json!(dir.path().join("state")),
        socket = json!(dir.path().join("control.sock")),
        port = broker.port
    );
    let file = dir.path().join("roomd.toml");
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_roomd"));
    let child = command.args(["run", "--config"]).arg(&file).stdout(Stdio::null()).spawn().unwrap();
    let _roomd = Roomd(child);

    let mut options = MqttOptions::new("bench", ("127.0.0.1", broker.port));
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options.set_network_options(network).set_outgoing_inflight_upper_limit(32);
    let (client, mut events) = AsyncClient::builder(options).capacity(32).build();
    client.subscribe("roomd/v1/default/c/bench/#", QoS::AtLeastOnce).await.unwrap();
    client.subscribe("roomd/v1/default/d/bench/status", QoS::AtLeastOnce).await.unwrap();
    while next(&mut events).await["state"] != "online" {}
    for (name, count) in [("ping", PINGS), ("microphone.set", MUTES)] {
        let mut times = Vec::with_capacity(count);
        for n in 0..count {
            let params = if name == "ping" { json!({}) } else { json!({"muted": n % 2 == 0}) };
            times.push(ask(&client, &mut events, name, &params, n).await);
        }
        times.sort();
        let at = |share: f64| times[((count - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        println!(
            "{name}: {count} commands, p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms",
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }
}

/// The payload of the next message, as JSON.
async fn next(events: &mut EventLoop) -> Value {
    loop {
        if let Event::Incoming(Packet::Publish(publish)) = events.poll().await.unwrap() {
            return serde_json::from_slice(&publish.payload).unwrap();
        }
    }
}

async fn ask(client: &AsyncClient, events: &mut EventLoop, name: &str, params: &Value, n: usize) -> Duration {
    let correlation = format!("{name}-{n}");
    let properties = PublishProperties {
        message_expiry_interval: Some(10),
        response_topic: Some("roomd/v1/default/c/bench/reply".to_owned()),
        correlation_data: Some(correlation.clone().into()),
        // No issuer gives more than it may.
        user_properties: vec![("issuer".to_owned(), format!("issuer{}", n % 100))],
        ..PublishProperties::default()
    };
    let began = Instant::now();
    let options = PublishOptions::at_least_once().properties(properties);
    let topic = format!("roomd/v1/default/d/bench/cmd/{name}");
    client.publish(topic, params.to_string(), options).await.unwrap();
    let reply = next(events).await;
    let took = began.elapsed();
    assert_eq!((&reply["id"], &reply["ok"]), (&json!(correlation), &json!(true)), "{reply}");
    took
}
