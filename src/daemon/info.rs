//! The `info` document: what the box is. It does not change while the process runs.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::asyncapi;
use super::serving::Serving;
use crate::config::Settings;
use crate::control::Command;
use crate::mqtt;

/// The document, as MQTT, the control socket and the CLI show it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Info {
    /// The box's id.
    id: String,
    /// For people.
    name: String,
    /// Which fleet it belongs to.
    fleet: String,
    /// Who it is in a room.
    identity: String,
    /// Of roomd.
    version: &'static str,
    /// The machine.
    hardware: mqtt::Hardware,
    /// What it can do.
    capabilities: Capabilities,
    /// The names of the commands.
    commands: Vec<&'static str>,
    /// Hash of the interface's document: boxes that have the same speak the same.
    schema: String,
    /// Where it listens; chosen at its start.
    addresses: Addresses,
}

/// What the box can do.
#[derive(Clone, Debug, Serialize, JsonSchema)]
struct Capabilities {
    /// Its picture.
    video: VideoCapabilities,
    /// What it can record.
    recording: Vec<&'static str>,
    /// Whether it serves rooms itself.
    room_server: bool,
}

/// How the picture is encoded.
#[derive(Clone, Debug, Serialize, JsonSchema)]
struct VideoCapabilities {
    /// `openh264`.
    encoder: &'static str,
    /// `h264`.
    codec: &'static str,
    /// WIDTHxHEIGHT of the full layer.
    size: String,
    /// Pictures per second.
    fps: u32,
    /// Whether lower layers are offered.
    simulcast: bool,
}

/// Where the box listens; null: nowhere.
#[derive(Clone, Debug, Serialize, JsonSchema)]
struct Addresses {
    /// Plain HTTP.
    http: Option<String>,
    /// HTTPS.
    https: Option<String>,
    /// UDP port of the media.
    rtc_udp: Option<u16>,
    /// TCP port of the media.
    rtc_tcp: Option<u16>,
}

/// What is known of this box.
pub fn info(settings: &Settings, box_id: &str, identity: &str, serving: Option<&Serving>) -> Value {
    let addresses = serving.map(|serving| serving.http.addresses);
    let text = |address: Option<SocketAddr>| address.map(|address| address.to_string());
    json!(Info {
        id: box_id.to_owned(),
        name: settings.device.name.clone(),
        fleet: settings.device.fleet.clone(),
        identity: identity.to_owned(),
        version: env!("CARGO_PKG_VERSION"),
        hardware: mqtt::hardware(),
        capabilities: Capabilities {
            video: VideoCapabilities {
                encoder: "openh264",
                codec: "h264",
                size: settings.camera.size.to_string(),
                fps: settings.camera.fps,
                simulcast: settings.video.simulcast,
            },
            recording: vec!["box"],
            room_server: serving.is_some(),
        },
        commands: Command::NAMES.to_vec(),
        schema: asyncapi::hash(),
        addresses: Addresses {
            http: text(addresses.and_then(|addresses| addresses.http)),
            https: text(addresses.and_then(|addresses| addresses.https)),
            rtc_udp: serving.map(|serving| serving.rooms.ports().udp),
            rtc_tcp: serving.map(|serving| serving.rooms.ports().tcp),
        },
    })
}
