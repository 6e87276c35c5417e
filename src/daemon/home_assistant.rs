//! Home Assistant: told of the box by one discovery document, and obeyed where it sets something. Only with
//! `mqtt.home_assistant`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::RngExt;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use crate::base::{Shutdown, clock};
use crate::control::plain::{self, Limit};
use crate::control::topics::Topics;
use crate::control::{ControlHandle, Origin};
use crate::mqtt::{Arrived, Documents, Place};

/// Longest wait before a Home Assistant that has come online is told again: it hears of all its devices then.
const REPUBLISH_WITHIN: Duration = Duration::from_secs(10);

/// The box as one device: its switches and sensors read our own documents by templates.
pub fn discovery(topics: &Topics, name: &str) -> Value {
    let [state, health, media] = ["state", "tele/health", "tele/media"].map(|leaf| topics.of_box(leaf));
    let id = format!("roomd_{}", topics.box_id());
    let on = |what: &str| format!("{{{{ 'ON' if {what} else 'OFF' }}}}");
    let switch = |key: &str, name: &str, icon: &str, template: String| {
        json!({"platform": "switch", "unique_id": format!("{id}_{key}"), "name": name, "icon": icon,
            "state_topic": state, "value_template": template, "command_topic": topics.of_box(&format!("set/{key}"))})
    };
    let sensor = |key: &str, name: &str, topic: &str, template: &str| {
        json!({"platform": "sensor", "unique_id": format!("{id}_{key}"), "name": name, "state_topic": topic,
            "value_template": template})
    };
    let measured = |mut sensor: Value, class: &str, unit: &str, expire_after_s: u32| {
        sensor["device_class"] = json!(class);
        sensor["unit_of_measurement"] = json!(unit);
        sensor["state_class"] = json!("measurement");
        sensor["expire_after"] = json!(expire_after_s);
        sensor
    };
    let room_status = "{{ value_json.room.status if value_json.room else 'none' }}";
    let bitrate = "{{ (value_json.tracks | sum(attribute='bitrate_bps') / 1000) | round }}";
    let temperature = "{{ value_json.temperature_c | default(none) }}";
    let disk = "{{ (value_json.disk.free_bytes / 1e9) | round(1) if value_json.disk is defined else none }}";
    json!({
        "device": {"identifiers": [id], "name": name, "manufacturer": "roomd", "model": "meeting room",
            "sw_version": env!("CARGO_PKG_VERSION")},
        "origin": {"name": "roomd", "sw_version": env!("CARGO_PKG_VERSION")},
        "availability_topic": topics.of_box("status"),
        "availability_template": "{{ 'online' if value_json.state == 'online' else 'offline' }}",
        "qos": 1,
        "components": {
            "record": switch("record", "Recording", "mdi:record-rec", on("value_json.recording.on")),
            "live": switch("live", "Live", "mdi:broadcast", on("value_json.live.on")),
            "microphone":
                switch("microphone", "Microphone", "mdi:microphone", on("not value_json.microphone.muted")),
            "room": {"platform": "text", "unique_id": format!("{id}_room"), "name": "Room", "icon": "mdi:door",
                "state_topic": state, "command_topic": topics.of_box("set/room"), "max": 128,
                "value_template": "{{ value_json.room.name if value_json.room else '' }}"},
            "room_status": sensor("room_status", "Room status", &state, room_status),
            "bitrate": measured(sensor("bitrate", "Bitrate", &media, bitrate), "data_rate", "kbit/s", 35),
            "temperature":
                measured(sensor("temperature", "Temperature", &health, temperature), "temperature", "°C", 180),
            "disk": measured(sensor("disk", "Disk free", &health, disk), "data_size", "GB", 180),
        },
    })
}

/// Remembers across restarts that Home Assistant was told, so that it is told too when the option goes.
#[derive(Debug)]
pub struct Announced(PathBuf);

impl Announced {
    /// In `state_dir`.
    pub fn new(state_dir: &Path) -> Self {
        Announced(state_dir.join("home-assistant.announced"))
    }

    /// The option is on: tells, and remembers it.
    pub fn tell(&self, documents: &Documents, document: Value) {
        if let Err(error) = std::fs::write(&self.0, b"") {
            warn!(file = %self.0.display(), %error, "cannot remember that Home Assistant was told of the box");
        }
        if let Err(error) = documents.set(Place::HomeAssistant, document) {
            warn!(%error, "Home Assistant is not told of the box");
        }
    }

    /// The option is off: takes back what was told, if anything was.
    pub fn take_back(&self, documents: &Documents) {
        if self.0.exists()
            && let Err(error) = documents.clear(Place::HomeAssistant)
        {
            warn!(%error, "Home Assistant still knows the box");
        }
    }

    /// To be called at the end: what the broker has removed need not be removed again.
    pub fn forget_removed(&self, documents: &Documents) {
        if self.0.exists() && !documents.holds(&Place::HomeAssistant) {
            let _ = std::fs::remove_file(&self.0);
        }
    }
}

/// Tells Home Assistant again each time that it comes online.
pub async fn announce(documents: Documents, mut births: watch::Receiver<u64>, shutdown: Shutdown) {
    while let Some(Ok(())) = shutdown.run_until_cancelled(births.changed()).await {
        let delay = rand::rng().random_range(Duration::ZERO..REPUBLISH_WITHIN);
        if shutdown.run_until_cancelled(tokio::time::sleep(delay)).await.is_none() {
            return;
        }
        documents.again(Place::HomeAssistant);
    }
}

/// Does what is set by plain topics; what comes of it shows in the state.
pub async fn obey(mut arriving: mpsc::Receiver<Arrived>, control: ControlHandle, shutdown: Shutdown) {
    let mut limit = Limit::default();
    while let Some(Some(arrived)) = shutdown.run_until_cancelled(arriving.recv()).await {
        let name = arrived.name.clone();
        if !limit.allows(clock::now()) {
            warn!(name, "more is set by plain topics than is taken, left out");
            arrived.taken();
            continue;
        }
        match plain::parse(&name, &arrived.payload) {
            Err(error) => warn!(%error, "not set"),
            Ok(command) => {
                let origin = Origin { issuer: plain::ISSUER.to_owned(), local: false };
                let answer = control.order(command, origin);
                tokio::spawn(async move {
                    let reply = answer.await;
                    info!(name, code = ?reply.code, message = reply.message, "set");
                });
            }
        }
        arrived.taken();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_box_is_one_device_whose_parts_read_our_documents_and_set_by_plain_topics() {
        let topics = Topics::new("default", "hall.1").unwrap();
        let document = discovery(&topics, "Hall 1");
        assert!(document.to_string().len() < 8192, "{}", document.to_string().len());
        assert_eq!(document["availability_topic"], "roomd/v1/default/d/hall.1/status");
        let parts = document["components"].as_object().unwrap();
        for (key, part) in parts {
            assert_eq!(part["unique_id"], format!("roomd_hall.1_{key}"));
            let settable = ["switch", "text"].contains(&part["platform"].as_str().unwrap());
            assert_eq!(part.get("command_topic").is_some(), settable, "{key}");
            if settable {
                let topic = part["command_topic"].as_str().unwrap();
                let name = topic.strip_prefix("roomd/v1/default/d/hall.1/set/").unwrap();
                let unknown = matches!(plain::parse(name, b"ON"), Err(plain::PlainError::UnknownName(_)));
                assert!(!unknown, "{name}");
            }
        }
    }

    #[test]
    fn what_was_told_once_is_taken_back_and_what_never_was_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (announced, documents) = (Announced::new(dir.path()), Documents::default());
        announced.take_back(&documents);
        assert!(!documents.holds(&Place::HomeAssistant));
        announced.tell(&documents, json!({}));
        let documents = Documents::default();
        announced.take_back(&documents);
        assert!(documents.holds(&Place::HomeAssistant), "to be removed");
        announced.forget_removed(&documents);
        assert!(announced.0.exists(), "the broker does not have it yet");
        announced.forget_removed(&Documents::default());
        assert!(!announced.0.exists());
    }
}
