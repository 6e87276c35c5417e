//! The MQTT interface as an AsyncAPI 3.0 document, generated from the types that are read and written.

use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use super::info::Info;
use crate::config;
use crate::control::config_document::{DesiredConfig, ReportedConfig};
use crate::control::event::Event;
use crate::control::job::{Job, JobStatus};
use crate::control::live::LiveSet;
use crate::control::presence::Status;
use crate::control::telemetry;
use crate::control::{Command, MicrophoneSet, Nothing, RecordingSet, Reply, RoomJoin, State};

/// Whose topics these are.
const BOX: &str = "roomd/v1/{fleet}/d/{box}/";
const GROUP: &str = "roomd/v1/{fleet}/g/{group}/";
/// Version of AsyncAPI's MQTT bindings.
const BINDING: &str = "0.2.0";

/// Who writes a topic.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writer {
    Box,
    Fleet,
}

/// One topic below the box's root.
struct Topic {
    /// `config/desired`; parameters in braces.
    leaf: &'static str,
    writer: Writer,
    qos: u8,
    retained: bool,
    about: &'static str,
}

const fn topic(leaf: &'static str, writer: Writer, qos: u8, retained: bool, about: &'static str) -> Topic {
    Topic { leaf, writer, qos, retained, about }
}

const STATUS: Topic = topic("status", Writer::Box, 1, true, "Whether the box is there; its last will.");
const INFO: Topic = topic("info", Writer::Box, 1, true, "What the box is.");
const STATE: Topic = topic("state", Writer::Box, 1, true, "Everything that is true now, on change.");
const DESIRED: Topic =
    topic("config/desired", Writer::Fleet, 1, true, "The fleet's configuration; empty: taken back.");
const REPORTED: Topic = topic("config/reported", Writer::Box, 1, true, "What the box made of it.");
const JOB: Topic = topic("job/{job}", Writer::Fleet, 1, true, "Long work; empty: its end was read.");
const JOB_STATUS: Topic = topic("job/{job}/status", Writer::Box, 1, true, "How far it is.");
const HEALTH: Topic = topic("tele/health", Writer::Box, 0, false, "How the machine is, every 60 s ± 10 %.");
const MEDIA: Topic = topic("tele/media", Writer::Box, 0, false, "How the media flow, every 10 s.");
const EVENT: Topic = topic("event/{type}", Writer::Box, 1, false, "What has happened; expires after 24 h.");
const SET: Topic = topic(
    "set/{what}",
    Writer::Fleet,
    1,
    false,
    "Plain orders of home automation; only with mqtt.home_assistant. Retained ones are ignored.",
);

/// The document under construction.
struct Document {
    generator: SchemaGenerator,
    channels: Map<String, Value>,
    operations: Map<String, Value>,
    messages: Map<String, Value>,
}

/// The whole document.
pub fn document() -> Value {
    let mut settings = SchemaSettings::draft07();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let mut document = Document {
        generator: settings.into_generator(),
        channels: Map::new(),
        operations: Map::new(),
        messages: Map::new(),
    };
    document.publications();
    for name in Command::NAMES {
        if let Some(schema) = parameters(name, &mut document.generator) {
            document.command(name, schema);
        }
    }
    document.reply();
    document.finish()
}

/// Hash of [`document`]: 64-bit FNV-1a in hexadecimal. The same on every box that speaks the same.
pub fn hash() -> String {
    let bytes = document().to_string();
    let hash = bytes
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

/// The parameters of a command; None for one that is not described here.
fn parameters(name: &str, generator: &mut SchemaGenerator) -> Option<Schema> {
    Some(match name {
        "ping" | "room.leave" | "room.end" | "snapshot" | "identify" | "restart" => {
            generator.subschema_for::<Nothing>()
        }
        "layout.set" => generator.subschema_for::<Map<String, Value>>(),
        "room.join" => generator.subschema_for::<RoomJoin>(),
        "recording.set" => generator.subschema_for::<RecordingSet>(),
        "live.set" => generator.subschema_for::<LiveSet>(),
        "microphone.set" => generator.subschema_for::<MicrophoneSet>(),
        _ => return None,
    })
}

impl Document {
    fn publications(&mut self) {
        self.topic::<Status>(&STATUS, "status");
        self.topic::<Info>(&INFO, "info");
        self.topic::<State>(&STATE, "state");
        self.topic::<DesiredConfig>(&DESIRED, "configDesired");
        self.topic::<ReportedConfig>(&REPORTED, "configReported");
        self.topic::<Job>(&JOB, "job");
        self.topic::<JobStatus>(&JOB_STATUS, "jobStatus");
        self.topic::<telemetry::Health>(&HEALTH, "health");
        self.topic::<telemetry::Media>(&MEDIA, "media");
        self.topic::<Event>(&EVENT, "event");
        let plain =
            json!({"type": "string", "description": "ON, OFF, or the name of a room", "maxLength": 128});
        self.channel(&SET, "set", plain);
    }

    fn topic<T: JsonSchema>(&mut self, topic: &Topic, name: &'static str) {
        let schema = self.generator.subschema_for::<T>().to_value();
        self.channel(topic, name, schema);
    }

    /// A channel with its one message, and the operation of the box on it.
    fn channel(&mut self, topic: &Topic, name: &str, payload: Value) {
        let content = if topic.leaf == SET.leaf { "text/plain" } else { "application/json" };
        self.messages.insert(
            name.to_owned(),
            json!({"name": name, "summary": topic.about, "contentType": content, "payload": payload}),
        );
        self.address(name, &format!("{BOX}{}", topic.leaf), &[name], topic.about);
        let action = if topic.writer == Writer::Box { "send" } else { "receive" };
        self.operations.insert(
            name.to_owned(),
            json!({
                "action": action,
                "summary": topic.about,
                "channel": {"$ref": format!("#/channels/{name}")},
                "messages": [{"$ref": format!("#/channels/{name}/messages/{name}")}],
                "bindings": {"mqtt": {"qos": topic.qos, "retain": topic.retained, "bindingVersion": BINDING}},
            }),
        );
    }

    fn address(&mut self, name: &str, address: &str, messages: &[&str], about: &str) {
        let described = [
            ("fleet", "The fleet that the box belongs to.", None),
            ("box", "The box's id.", None),
            ("group", "One of the groups in control.groups.", None),
            ("job", "1 to 64 of A-Z a-z 0-9 _ - . chosen by who orders.", None),
            ("type", "What has happened.", None),
            ("what", "What is set.", Some(json!(["record", "live", "microphone", "room"]))),
        ];
        let mut parameters = Map::new();
        for (parameter, text, choice) in described {
            if address.contains(&format!("{{{parameter}}}")) {
                let mut described = json!({"description": text});
                if let (Some(choice), Value::Object(described)) = (choice, &mut described) {
                    described.insert("enum".to_owned(), choice);
                }
                parameters.insert(parameter.to_owned(), described);
            }
        }
        let messages: Map<String, Value> = messages
            .iter()
            .map(|name| ((*name).to_owned(), json!({"$ref": format!("#/components/messages/{name}")})))
            .collect();
        let channel =
            json!({"address": address, "description": about, "parameters": parameters, "messages": messages});
        self.channels.insert(name.to_owned(), channel);
    }

    /// A command to the box and to its groups.
    fn command(&mut self, name: &str, parameters: Schema) {
        let message = format!("cmd_{}", name.replace('.', "_"));
        let about = format!("The parameters of {name}; an empty payload is {{}}.");
        self.messages.insert(
            message.clone(),
            json!({
                "name": name,
                "summary": about,
                "contentType": "application/json",
                "headers": {"$ref": "#/components/schemas/CommandHeaders"},
                "correlationId": {"location": "$message.header#/correlationData"},
                "payload": parameters.to_value(),
            }),
        );
        for (channel, root) in [(message.clone(), BOX), (format!("group_{message}"), GROUP)] {
            self.address(&channel, &format!("{root}cmd/{name}"), &[&message], &about);
            self.operations.insert(
                channel.clone(),
                json!({
                    "action": "receive",
                    "summary": about,
                    "channel": {"$ref": format!("#/channels/{channel}")},
                    "messages": [{"$ref": format!("#/channels/{channel}/messages/{message}")}],
                    "bindings": {"mqtt": {"qos": 1, "retain": false, "bindingVersion": BINDING}},
                    "reply": {
                        "address": {"location": "$message.header#/responseTopic"},
                        "channel": {"$ref": "#/channels/reply"},
                        "messages": [{"$ref": "#/channels/reply/messages/reply"}],
                    },
                }),
            );
        }
    }

    fn reply(&mut self) {
        let payload = self.generator.subschema_for::<Reply>().to_value();
        self.messages.insert(
            "reply".to_owned(),
            json!({
                "name": "reply",
                "summary": "The one answer to a command, with its correlation data.",
                "contentType": "application/json",
                "headers": {"$ref": "#/components/schemas/ReplyHeaders"},
                "correlationId": {"location": "$message.header#/correlationData"},
                "payload": payload,
            }),
        );
        let messages = json!({"reply": {"$ref": "#/components/messages/reply"}});
        let about = "The Response Topic of a command; begins with roomd/v1/{fleet}/c/{client}/.";
        let channel = json!({"address": null, "description": about, "messages": messages});
        self.channels.insert("reply".to_owned(), channel);
    }

    fn finish(mut self) -> Value {
        let mut schemas = self.generator.take_definitions(true);
        // What only the configuration itself knows.
        for (document, key, schema) in [
            ("DesiredConfig", "config", config::desired_schema()),
            ("ReportedConfig", "effective", config::effective_schema()),
        ] {
            if let Some(place) =
                schemas.get_mut(document).and_then(|kind| kind.pointer_mut(&format!("/properties/{key}")))
            {
                *place = schema;
            }
        }
        schemas.insert("CommandHeaders".to_owned(), command_headers());
        schemas.insert("ReplyHeaders".to_owned(), reply_headers());
        json!({
            "asyncapi": "3.0.0",
            "info": {
                "title": "roomd",
                "version": env!("CARGO_PKG_VERSION"),
                "description": "A box that is a managed meeting room, by MQTT 5. Receive maximum 16, packets of at \
                                most 16 KiB.",
                "license": {"name": "MIT OR Apache-2.0"},
            },
            "defaultContentType": "application/json",
            "servers": {"broker": {
                "host": "broker.example:8883",
                "protocol": "mqtts",
                "protocolVersion": "5.0",
                "description": "What mqtt.url names.",
                "bindings": {"mqtt": {"cleanSession": false, "keepAlive": 20, "sessionExpiryInterval": 3600,
                    "maximumPacketSize": 16384, "bindingVersion": BINDING}},
            }},
            "channels": self.channels,
            "operations": self.operations,
            "components": {"messages": self.messages, "schemas": schemas},
        })
    }
}

fn command_headers() -> Value {
    json!({
        "type": "object",
        "description": "MQTT 5 properties.",
        "properties": {
            "responseTopic": {"type": "string", "maxLength": 256,
                "description": "Begins with roomd/v1/{fleet}/c/{client}/."},
            "correlationData": {"type": "string", "minLength": 1, "maxLength": 128,
                "description": "With the issuer it names the command: a duplicate is answered and not run."},
            "messageExpiryInterval": {"type": "integer", "minimum": 1, "description": "Seconds."},
            "issuer": {"type": "string", "description": "User property; absent: the {client} of the Response Topic."},
        },
        "required": ["responseTopic", "correlationData", "messageExpiryInterval"],
    })
}

fn reply_headers() -> Value {
    json!({
        "type": "object",
        "description": "MQTT 5 properties.",
        "properties": {
            "correlationData": {"type": "string"},
            "messageExpiryInterval": {"type": "integer", "minimum": 1, "description": "Seconds."},
            "status": {"type": "string", "description": "User property: like an HTTP status."},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `$ref` of a document.
    fn references(node: &Value, found: &mut Vec<String>) {
        match node {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_command_is_described_and_every_reference_leads_somewhere() {
        let document = document();
        for name in Command::NAMES {
            let address = format!("{BOX}cmd/{name}");
            let channels = document["channels"].as_object().unwrap();
            assert!(channels.values().any(|channel| channel["address"] == address.as_str()), "{name}");
        }
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 100);
        for reference in found {
            let place = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(place).is_some(), "{reference}");
        }
    }

    #[test]
    fn the_fleet_sees_what_it_may_set_and_the_hash_is_stable() {
        let document = document();
        let config = &document["components"]["schemas"]["DesiredConfig"]["properties"]["config"];
        assert_eq!(config["properties"]["camera"]["properties"]["fps"]["maximum"], 60, "{config}");
        assert!(config["properties"]["mqtt"].is_null());
        let effective = &document["components"]["schemas"]["ReportedConfig"]["properties"]["effective"];
        assert!(effective["properties"]["mqtt"].is_object());
        assert_eq!((hash(), hash().len()), (hash(), 16));
    }
}
