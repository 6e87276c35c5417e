//! The `info` document: what the box is. It does not change while the process runs.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::serving::Serving;
use crate::config::Settings;
use crate::control::describe;
use crate::mqtt;

/// Versions, hardware, capabilities, commands, addresses and the interface's hash, as MQTT, the control socket and
/// the CLI show them.
pub fn info(settings: &Settings, box_id: &str, identity: &str, serving: Option<&Serving>) -> Value {
    let addresses = serving.map(|serving| serving.http.addresses);
    let text = |address: Option<SocketAddr>| address.map(|address| address.to_string());
    json!({
        "id": box_id,
        "name": settings.device.name,
        "fleet": settings.device.fleet,
        "identity": identity,
        "version": env!("CARGO_PKG_VERSION"),
        "hardware": mqtt::hardware(),
        "capabilities": {
            "video": {
                "encoder": "openh264",
                "codec": "h264",
                "size": settings.camera.size.to_string(),
                "fps": settings.camera.fps,
                "simulcast": settings.video.simulcast,
            },
            "recording": ["box"],
            "live": ["box"],
            "room_server": serving.is_some(),
        },
        "commands": describe::commands(),
        "schema": describe::schema_hash(),
        "addresses": {
            "http": text(addresses.and_then(|addresses| addresses.http)),
            "https": text(addresses.and_then(|addresses| addresses.https)),
            "rtc_udp": serving.map(|serving| serving.rooms.ports().udp),
            "rtc_tcp": serving.map(|serving| serving.rooms.ports().tcp),
        },
    })
}
