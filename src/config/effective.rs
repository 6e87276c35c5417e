//! What the box goes by, as a document with the sections and keys of the contract: for `config/reported`, and as the
//! schema of what the fleet may set.

use std::collections::BTreeMap;
use std::path::Path;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde_json::Value;

use super::layers::is_forbidden;
use super::settings::{MqttSettings, RoomToken, ServerSettings, Settings};

/// The configuration with its defaults. Paths of files stand in it, never what is in them; URLs are without user and
/// query. Keys without effect in this version are left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Effective {
    #[serde(rename = "box")]
    device: Device,
    control: Control,
    camera: Camera,
    microphone: Microphone,
    speaker: Speaker,
    video: Video,
    audio: Audio,
    room: Room,
    server: Server,
    tls: Tls,
    mqtt: Mqtt,
    recording: Recording,
    live: Live,
    vod: Vod,
    log: Log,
}

/// Sections of optional keys, each serialized only where there is something to say.
macro_rules! sections {
    ($($(#[$about:meta])* $name:ident { $($(#[$note:meta])* $key:ident: $kind:ty,)* })*) => { $(
        $(#[$about])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
        struct $name {
            $(
                $(#[$note])*
                #[serde(skip_serializing_if = "Option::is_none")]
                $key: Option<$kind>,
            )*
        }
    )* };
}

sections! {
    /// Who the box is.
    Device {
        /// Random at first start.
        id: String,
        /// For people.
        #[schemars(length(min = 1, max = 64))]
        name: String,
        /// First level of its topics.
        #[schemars(regex(pattern = r"^[A-Za-z0-9._-]{1,63}$"))]
        fleet: String,
        /// Where everything that must survive lives.
        state_dir: String,
    }
    /// How it is ordered.
    Control {
        /// The Unix control socket.
        socket: String,
        /// Whether an order from afar may unmute the microphone.
        allow_remote_unmute: bool,
        /// Groups whose commands are taken too.
        #[schemars(length(max = 32), inner(regex(pattern = r"^[A-Za-z0-9._-]{1,64}$")))]
        groups: Vec<String>,
        /// Share of all cores.
        cpu_budget: f64,
    }
    /// The picture.
    Camera {
        /// `auto`, `/dev/videoN`, `test`, `file:PATH` or `none`.
        source: String,
        /// WIDTHxHEIGHT, both even, 160x90 to 3840x2160.
        #[schemars(regex(pattern = r"^[0-9]+x[0-9]+$"))]
        size: String,
        /// Pictures per second.
        #[schemars(range(min = 1, max = 60))]
        fps: u32,
        /// By the driver's names; booleans count as 0 and 1.
        controls: BTreeMap<String, Number>,
    }
    /// The sound.
    Microphone {
        /// `auto`, `alsa:NAME`, `test`, `file:PATH` or `none`.
        source: String,
    }
    /// Where the others are heard.
    Speaker {
        /// `auto`, `alsa:NAME`, `file:PATH` or `none`.
        sink: String,
    }
    /// How the picture is encoded.
    Video {
        /// `auto` or `openh264`.
        encoder: String,
        /// Of the full layer.
        #[schemars(range(min = 100, max = 50_000))]
        bitrate_kbps: u32,
        /// Whether lower layers are offered.
        simulcast: bool,
        /// Seconds.
        #[schemars(range(min = 1, max = 10))]
        keyframe_interval_s: u32,
    }
    /// What is done to the sound.
    Audio {
        /// Of Opus.
        #[schemars(range(min = 6, max = 510))]
        bitrate_kbps: u32,
        /// Of a microphone that is a device.
        echo_cancellation: bool,
        /// Of a microphone that is a device.
        noise_suppression: bool,
        /// Of a microphone that is a device.
        gain_control: bool,
    }
    /// The room to join, and where.
    Room {
        /// The LiveKit server; empty: the embedded one.
        url: String,
        /// Joined at start; empty: none.
        name: String,
        /// Who the box is in a room; absent: `box-<id>`.
        identity: String,
        /// Where join tokens are read.
        token_file: String,
        /// The server's key, with `api_secret_file`.
        api_key: String,
        /// Its secret.
        api_secret_file: String,
    }
    /// The embedded room server.
    Server {
        /// Whether it runs.
        enabled: bool,
        /// Plain HTTP, loopback only.
        listen: String,
        /// HTTPS; empty: off.
        listen_tls: String,
        /// UDP port of the media.
        rtc_udp: u16,
        /// TCP port of the media.
        rtc_tcp: u16,
        /// `auto`, or the address that clients send media to.
        node_ip: String,
        /// `opus`, `h264`, `vp8`, `vp9`, `av1`.
        codecs: Vec<String>,
        /// Whether what each subscriber's network carries is estimated.
        bandwidth_estimation: bool,
        /// Keys and secrets.
        keys_file: String,
        /// Where webhooks go; told without their paths.
        webhook_urls: Vec<String>,
    }
    /// The certificate for HTTPS; without it the box's own CA issues one.
    Tls {
        /// PEM.
        cert_file: String,
        /// PEM.
        key_file: String,
    }
    /// The broker.
    Mqtt {
        /// Empty: none.
        url: String,
        /// Absent: made from the box's id.
        client_id: String,
        /// For the broker's login.
        username: String,
        /// Its password.
        password_file: String,
        /// A token used as the password.
        jwt_file: String,
        /// Whom to trust.
        ca_file: String,
        /// PEM.
        cert_file: String,
        /// PEM.
        key_file: String,
        /// Who may command; empty: whoever the broker lets through.
        issuers: Vec<String>,
        /// Longest delay of the first attempt after a connection was lost, in seconds: 1 to 600.
        reconnect_spread_s: u32,
        /// Whether plain topics for home automation are taken.
        home_assistant: bool,
    }
    /// Recordings.
    Recording {
        /// Where they go.
        dir: String,
        /// What is left free on the disk, like `1GiB`.
        min_free: String,
        /// Not used by this version.
        max_total: String,
        /// Not used by this version.
        max_age: String,
        /// Not used by this version.
        upload_url: String,
        /// Not used by this version.
        delete_after_upload: bool,
    }
    /// Going live.
    Live {
        /// Where to, when an order names no other destinations.
        #[schemars(length(max = 8))]
        destinations: Vec<Destination>,
        /// PEM, trusted for `rtmps` beside the public authorities.
        ca_file: String,
        /// Not used by this version.
        rtmp_listen: String,
        /// Not used by this version.
        dvr_window_s: u32,
    }
    /// Not used by this version.
    Vod {
        /// Not used by this version.
        max_upload: String,
        /// Not used by this version.
        concurrent_jobs: u32,
    }
    /// The log.
    Log {
        /// `error`, `warn`, `info`, `debug`, `trace`, or a filter like `info,roomd::mqtt=debug`.
        level: String,
        /// `auto`, true or false.
        journal: Auto,
    }
}

/// One destination of the stream.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
struct Destination {
    /// `rtmp://HOST[:PORT]/APP` or `rtmps://…`.
    url: String,
    /// The file with the stream key.
    stream_key_file: String,
}

/// A control's value.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
enum Number {
    Whole(i64),
    #[allow(dead_code)] // It is only taken, and told as a number.
    Flag(bool),
}

/// `auto`, or yes or no.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
enum Auto {
    Word(String),
    Flag(bool),
}

impl Effective {
    /// What `settings` say.
    pub fn of(settings: &Settings) -> Effective {
        let s = settings;
        let voice = &s.audio.voice;
        let destination = |one: &super::LiveDestinationSettings| Destination {
            url: one.url.to_string(),
            stream_key_file: text(&one.stream_key_file),
        };
        let (cert_file, key_file) = pair(s.tls.files.as_ref());
        Effective {
            device: Device {
                id: s.device.id.clone(),
                name: Some(s.device.name.clone()),
                fleet: Some(s.device.fleet.clone()),
                state_dir: Some(text(&s.device.state_dir)),
            },
            control: Control {
                socket: Some(text(&s.control.socket)),
                allow_remote_unmute: Some(s.control.allow_remote_unmute),
                groups: Some(s.control.groups.clone()),
                cpu_budget: None,
            },
            camera: Camera {
                source: Some(s.camera.source.clone()),
                size: Some(s.camera.size.to_string()),
                fps: Some(s.camera.fps),
                controls: Some(
                    s.camera.controls.iter().map(|(name, v)| (name.clone(), Number::Whole(*v))).collect(),
                ),
            },
            microphone: Microphone { source: Some(s.microphone.clone()) },
            speaker: Speaker { sink: Some(s.speaker.clone()) },
            video: Video {
                encoder: Some(if s.video.pass_on { "auto" } else { "openh264" }.to_owned()),
                bitrate_kbps: Some(s.video.bitrate.as_kbps()),
                simulcast: Some(s.video.simulcast),
                keyframe_interval_s: Some(s.video.keyframe_interval_s),
            },
            audio: Audio {
                bitrate_kbps: Some(s.audio.bitrate.as_kbps()),
                echo_cancellation: Some(voice.echo_cancellation),
                noise_suppression: Some(voice.noise_suppression),
                gain_control: Some(voice.gain_control),
            },
            room: Room::of(settings),
            server: s.server.as_ref().map_or_else(Server::off, Server::of),
            tls: Tls { cert_file, key_file },
            mqtt: s.mqtt.as_ref().map_or_else(Mqtt::off, Mqtt::of),
            recording: Recording {
                dir: Some(text(&s.recording.dir)),
                min_free: Some(size(s.recording.min_free_bytes)),
                ..Recording::default()
            },
            live: Live {
                destinations: Some(s.live.destinations.iter().map(destination).collect()),
                ca_file: s.live.ca_file.as_deref().map(text),
                ..Live::default()
            },
            vod: Vod::default(),
            log: Log {
                level: Some(s.log.level.clone()),
                journal: Some(s.log.journal.map_or_else(|| Auto::Word("auto".to_owned()), Auto::Flag)),
            },
        }
    }

    /// As JSON: sections with their keys.
    pub fn document(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

impl Room {
    fn of(settings: &Settings) -> Room {
        let room = &settings.room;
        let mut told = Room {
            url: Some(room.url.as_deref().map(without_secrets).unwrap_or_default()),
            name: Some(room.name.clone().unwrap_or_default()),
            identity: room.identity.clone(),
            ..Room::default()
        };
        match &room.token {
            Some(RoomToken::File(file)) => told.token_file = Some(text(file)),
            Some(RoomToken::Key { api_key, secret_file }) => {
                told.api_key = Some(api_key.clone());
                told.api_secret_file = Some(text(secret_file));
            }
            None => {}
        }
        told
    }
}

impl Server {
    fn off() -> Server {
        Server { enabled: Some(false), ..Server::default() }
    }

    fn of(settings: &ServerSettings) -> Server {
        Server {
            enabled: Some(true),
            listen: Some(settings.listen.to_string()),
            listen_tls: Some(settings.listen_tls.map(|address| address.to_string()).unwrap_or_default()),
            rtc_udp: Some(settings.rtc_udp),
            rtc_tcp: Some(settings.rtc_tcp),
            node_ip: Some(settings.node_ip.map_or_else(|| "auto".to_owned(), |address| address.to_string())),
            codecs: Some(settings.codecs.clone()),
            bandwidth_estimation: Some(settings.bandwidth_estimation),
            keys_file: settings.keys_file.as_deref().map(text),
            webhook_urls: Some(settings.webhook_urls.iter().map(ToString::to_string).collect()),
        }
    }
}

impl Mqtt {
    fn off() -> Mqtt {
        Mqtt { url: Some(String::new()), ..Mqtt::default() }
    }

    fn of(settings: &MqttSettings) -> Mqtt {
        let (cert_file, key_file) = pair(settings.client_cert.as_ref());
        Mqtt {
            url: Some(without_secrets(&settings.url)),
            client_id: settings.client_id.clone(),
            username: settings.username.clone(),
            password_file: settings.password_file.as_deref().map(text),
            jwt_file: settings.jwt_file.as_deref().map(text),
            ca_file: settings.ca_file.as_deref().map(text),
            cert_file,
            key_file,
            issuers: Some(settings.issuers.clone()),
            reconnect_spread_s: Some(settings.reconnect_spread_s),
            home_assistant: Some(settings.home_assistant),
        }
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn pair(files: Option<&(std::path::PathBuf, std::path::PathBuf)>) -> (Option<String>, Option<String>) {
    files.map(|(cert, key)| (text(cert), text(key))).unzip()
}

/// A URL without user, query and fragment.
fn without_secrets(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

/// In the largest unit that it is a whole number of.
fn size(bytes: u64) -> String {
    let units = [("TiB", 1u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let unit = units.into_iter().find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor));
    unit.map_or_else(|| format!("{bytes}B"), |(name, factor)| format!("{}{name}", bytes / factor))
}

/// The schema of [`Effective`] (JSON Schema, draft 7), each section in its place.
pub fn effective_schema() -> Value {
    let mut settings = SchemaSettings::draft07();
    (settings.inline_subschemas, settings.meta_schema) = (true, None);
    settings.into_generator().into_root_schema_for::<Effective>().to_value()
}

/// What the fleet may set: [`effective_schema`] without the keys that are the box's own.
pub fn desired_schema() -> Value {
    let mut schema = effective_schema();
    let Value::Object(root) = &mut schema else { return schema };
    root.remove("required");
    root.remove("title");
    root.insert("additionalProperties".to_owned(), Value::Bool(false));
    let Some(Value::Object(sections)) = root.get_mut("properties") else { return schema };
    sections.remove("mqtt");
    for (section, keys) in sections.iter_mut() {
        let Value::Object(keys) = keys else { continue };
        keys.insert("additionalProperties".to_owned(), Value::Bool(false));
        if let Some(Value::Object(keys)) = keys.get_mut("properties") {
            keys.retain(|key, _| !is_forbidden(section, key));
        }
    }
    schema
}

#[cfg(test)]
mod tests;
