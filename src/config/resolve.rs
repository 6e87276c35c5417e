//! From values to [`Settings`]: defaults, ranges, and what only the combination shows.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use super::reader::Reader;
use super::settings::*;
use crate::audio::VoiceConfig;
use crate::base::units::{Bitrate, Size};
use crate::capture::Source;
use crate::control::live::{LiveUrl, MAX_OUTPUTS};
use crate::control::topics::check_name;
use crate::playback::Sink;
use crate::server::report::WebhookUrl;

/// Groups that a box may be in; each is a subscription at the broker.
const MAX_GROUPS: usize = 32;

pub(crate) const STATE_DIR: &str = "/var/lib/roomd";

/// Keys of the contract that later versions act upon.
const LATER: [(&str, &str); 7] = [
    ("control", "cpu_budget"),
    ("recording", "max_total"),
    ("recording", "max_age"),
    ("recording", "upload_url"),
    ("recording", "delete_after_upload"),
    ("live", "rtmp_listen"),
    ("live", "dvr_window_s"),
];

/// `vod` too, named apart only because its whole section comes later.
const LATER_VOD: [(&str, &str); 2] = [("vod", "max_upload"), ("vod", "concurrent_jobs")];

/// Reads every key; `credentials` is `$CREDENTIALS_DIRECTORY`, where `*_file` keys that are absent look.
pub(super) fn settings(reader: &mut Reader, credentials: Option<&Path>) -> Settings {
    let device = device(reader);
    let without_effect = LATER
        .iter()
        .chain(&LATER_VOD)
        .filter(|(section, key)| reader.given(section, key))
        .map(|&(_, key)| key)
        .collect();
    Settings {
        control: control(reader),
        camera: camera(reader),
        microphone: source(reader, "microphone", Source::MICROPHONE, |text| Source::microphone(text).is_ok()),
        speaker: reader
            .parsed("speaker", "sink", "\"auto\", \"alsa:NAME\", \"file:PATH\" or \"none\"", |text| {
                Sink::parse(text).is_ok().then(|| text.to_owned())
            })
            .unwrap_or_else(|| "auto".to_owned()),
        video: video(reader),
        audio: audio(reader),
        room: room(reader, credentials),
        server: server(reader, credentials),
        tls: tls(reader, credentials),
        mqtt: mqtt(reader, credentials),
        recording: recording(reader, &device.state_dir),
        live: live(reader),
        log: log(reader),
        device,
        without_effect,
        given: reader.all_given(),
    }
}

fn kbps(number: i64) -> Bitrate {
    Bitrate::kbps(number as u32)
}

fn device(reader: &mut Reader) -> BoxSettings {
    let name = "1 to 63 of A-Z a-z 0-9 . _ -";
    let word = |text: &str| {
        let fits = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
        ((1..=63).contains(&text.len()) && text.bytes().all(fits)).then(|| text.to_owned())
    };
    BoxSettings {
        id: reader.parsed("box", "id", name, word),
        name: reader
            .parsed("box", "name", "1 to 64 characters", |text| {
                (1..=64).contains(&text.chars().count()).then(|| text.to_owned())
            })
            .unwrap_or_else(|| gethostname::gethostname().to_string_lossy().into_owned()),
        fleet: reader.parsed("box", "fleet", name, word).unwrap_or_else(|| "default".to_owned()),
        state_dir: reader.path("box", "state_dir").unwrap_or_else(|| STATE_DIR.into()),
    }
}

fn control(reader: &mut Reader) -> ControlSettings {
    let groups = reader.list("control", "groups").unwrap_or_default();
    let wrong = groups.iter().find_map(|group| check_name("group", group).err());
    if let Some(error) = wrong {
        reader.refuse("control", "groups", error.to_string());
    } else if groups.len() > MAX_GROUPS {
        let message = format!("{} given, at most {MAX_GROUPS} groups are allowed", groups.len());
        reader.refuse("control", "groups", message);
    }
    ControlSettings {
        socket: reader.path("control", "socket").unwrap_or_else(|| "/run/roomd/control.sock".into()),
        allow_remote_unmute: reader.flag("control", "allow_remote_unmute", false),
        groups,
    }
}

fn source(reader: &mut Reader, section: &str, allowed: &str, fits: impl Fn(&str) -> bool) -> String {
    let parse = |text: &str| fits(text).then(|| text.to_owned());
    reader.parsed(section, "source", allowed, parse).unwrap_or_else(|| "auto".to_owned())
}

/// Names and numbers; the camera itself says which it has and in which range.
fn controls(reader: &mut Reader) -> BTreeMap<String, i64> {
    let allowed = "a table like {brightness = 128, exposure_auto = 1}: whole numbers, or true and false";
    let number = |value: &toml::Value| match value {
        toml::Value::Integer(number) => Some(*number),
        toml::Value::Boolean(flag) => Some(i64::from(*flag)),
        _ => None,
    };
    let parse = |value: &toml::Value, _| {
        let each = |(name, value): (&String, &toml::Value)| Some((name.clone(), number(value)?));
        value.as_table()?.iter().map(each).collect()
    };
    reader.get("camera", "controls", allowed, parse).unwrap_or_default()
}

fn audio(reader: &mut Reader) -> AudioSettings {
    AudioSettings {
        bitrate: kbps(reader.number("audio", "bitrate_kbps", 6..=510, 48)),
        voice: VoiceConfig {
            echo_cancellation: reader.flag("audio", "echo_cancellation", true),
            noise_suppression: reader.flag("audio", "noise_suppression", true),
            gain_control: reader.flag("audio", "gain_control", true),
        },
    }
}

fn camera(reader: &mut Reader) -> CameraSettings {
    let size = "WIDTHxHEIGHT, both even, 160x90 to 3840x2160";
    CameraSettings {
        source: source(reader, "camera", Source::CAMERA, |text| Source::camera(text).is_ok()),
        controls: controls(reader),
        size: reader.parsed("camera", "size", size, Size::parse).unwrap_or(Size::new(1280, 720)),
        fps: reader.number("camera", "fps", 1..=60, 30) as u32,
    }
}

fn video(reader: &mut Reader) -> VideoSettings {
    let encoder = "\"auto\" or \"openh264\" (\"v4l2m2m\" comes later)";
    let known = |text: &str| matches!(text, "auto" | "openh264").then_some(text == "auto");
    let pass_on = reader.parsed("video", "encoder", encoder, known).unwrap_or(true);
    VideoSettings {
        pass_on,
        bitrate: kbps(reader.number("video", "bitrate_kbps", 100..=50_000, 2000)),
        simulcast: reader.flag("video", "simulcast", true),
        keyframe_interval_s: reader.number("video", "keyframe_interval_s", 1..=10, 2) as u32,
    }
}

/// A `*_file` key, else the credential of the key's name without `_file` when systemd hands one in.
fn secret_file(reader: &mut Reader, credentials: Option<&Path>, section: &str, key: &str) -> Option<PathBuf> {
    let given = reader.path(section, key);
    given.or_else(|| {
        let name = key.strip_suffix("_file").unwrap_or(key);
        let path = credentials?.join(format!("{section}.{name}"));
        path.exists().then_some(path)
    })
}

fn room(reader: &mut Reader, credentials: Option<&Path>) -> RoomSettings {
    let url = reader.parsed("room", "url", "\"\", or a ws://, wss://, http:// or https:// URL", |text| {
        let known = ["ws://", "wss://", "http://", "https://"].iter().any(|scheme| text.starts_with(scheme));
        (known || text.is_empty()).then(|| text.to_owned())
    });
    let url = url.filter(|url| !url.is_empty());
    let token_file = secret_file(reader, credentials, "room", "token_file");
    let secret_file = secret_file(reader, credentials, "room", "api_secret_file");
    let token = match (token_file, reader.filled("room", "api_key"), secret_file) {
        (Some(_), Some(_), _) => {
            reader.conflict("room", "token_file", "give either token_file or api_key with api_secret_file");
            None
        }
        (Some(file), None, _) => Some(RoomToken::File(file)),
        (None, Some(api_key), Some(secret_file)) => Some(RoomToken::Key { api_key, secret_file }),
        (None, Some(_), None) => {
            reader.conflict("room", "api_key", "needs api_secret_file as well");
            None
        }
        (None, None, _) => None,
    };
    RoomSettings {
        url,
        token,
        name: reader.filled("room", "name"),
        identity: reader.filled("room", "identity"),
    }
}

fn server(reader: &mut Reader, credentials: Option<&Path>) -> Option<ServerSettings> {
    let enabled = reader.flag("server", "enabled", true);
    let listen = reader
        .parsed("server", "listen", "ADDRESS:PORT on loopback, like 127.0.0.1:7880", |text| {
            text.parse().ok().filter(|address: &SocketAddr| address.ip().is_loopback())
        })
        .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 7880)));
    let listen_tls =
        reader.parsed("server", "listen_tls", "\"\" (off) or ADDRESS:PORT, like 0.0.0.0:7443", |text| {
            if text.is_empty() { Some(None) } else { text.parse::<SocketAddr>().ok().map(Some) }
        });
    let node_ip = reader.parsed("server", "node_ip", "\"auto\" or an IP address", |text| match text {
        "auto" => Some(None),
        _ => text.parse::<IpAddr>().ok().map(Some),
    });
    let codecs = reader.get(
        "server",
        "codecs",
        "a list of \"opus\", \"h264\", \"vp8\", \"vp9\" and \"av1\"",
        |value, environment| {
            let texts: Vec<&str> = match value {
                toml::Value::Array(items) => items.iter().map(toml::Value::as_str).collect::<Option<_>>()?,
                toml::Value::String(text) if environment => text.split(',').map(str::trim).collect(),
                _ => return None,
            };
            let known = |text: &&str| matches!(*text, "opus" | "h264" | "vp8" | "vp9" | "av1");
            texts.iter().all(known).then(|| texts.into_iter().map(str::to_owned).collect::<Vec<_>>())
        },
    );
    let urls = reader.list("server", "webhook_urls").unwrap_or_default();
    let webhook_urls: Vec<WebhookUrl> = urls.iter().filter_map(|url| WebhookUrl::parse(url)).collect();
    if webhook_urls.len() < urls.len() {
        reader.refuse("server", "webhook_urls", format!("each must be {}", WebhookUrl::ALLOWED));
    }
    let settings = ServerSettings {
        listen,
        listen_tls: listen_tls.unwrap_or_else(|| Some(SocketAddr::from(([0, 0, 0, 0], 7443)))),
        rtc_udp: reader.number("server", "rtc_udp", 0..=65535, 7882) as u16,
        rtc_tcp: reader.number("server", "rtc_tcp", 0..=65535, 7881) as u16,
        node_ip: node_ip.flatten(),
        codecs: codecs.unwrap_or_else(|| vec!["opus".to_owned(), "h264".to_owned()]),
        bandwidth_estimation: reader.flag("server", "bandwidth_estimation", true),
        keys_file: secret_file(reader, credentials, "server", "keys_file"),
        webhook_urls,
    };
    enabled.then_some(settings)
}

fn tls(reader: &mut Reader, credentials: Option<&Path>) -> TlsSettings {
    let cert = secret_file(reader, credentials, "tls", "cert_file");
    let key = secret_file(reader, credentials, "tls", "key_file");
    TlsSettings { files: both(reader, "tls", cert, key) }
}

/// Certificate and key go together.
fn both(
    reader: &mut Reader,
    section: &str,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Option<(PathBuf, PathBuf)> {
    match (cert, key) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (Some(_), None) => {
            reader.conflict(section, "cert_file", "needs key_file as well");
            None
        }
        (None, Some(_)) => {
            reader.conflict(section, "key_file", "needs cert_file as well");
            None
        }
    }
}

fn mqtt(reader: &mut Reader, credentials: Option<&Path>) -> Option<MqttSettings> {
    let url = reader.parsed("mqtt", "url", "\"\" (off), mqtt://HOST[:PORT] or mqtts://HOST[:PORT]", |text| {
        let known = text.is_empty() || text.starts_with("mqtt://") || text.starts_with("mqtts://");
        (known && !text.contains('@')).then(|| text.to_owned())
    });
    let cert = secret_file(reader, credentials, "mqtt", "cert_file");
    let key = secret_file(reader, credentials, "mqtt", "key_file");
    let settings = MqttSettings {
        url: url.unwrap_or_default(),
        client_id: reader.filled("mqtt", "client_id"),
        username: reader.filled("mqtt", "username"),
        password_file: secret_file(reader, credentials, "mqtt", "password_file"),
        jwt_file: secret_file(reader, credentials, "mqtt", "jwt_file"),
        ca_file: reader.path("mqtt", "ca_file"),
        client_cert: both(reader, "mqtt", cert, key),
        issuers: reader.list("mqtt", "issuers").unwrap_or_default(),
        reconnect_spread_s: reader.number("mqtt", "reconnect_spread_s", 1..=600, 20) as u32,
        home_assistant: reader.flag("mqtt", "home_assistant", false),
    };
    (!settings.url.is_empty()).then_some(settings)
}

fn recording(reader: &mut Reader, state_dir: &Path) -> RecordingSettings {
    let bytes = "a size like \"500MiB\", \"1GiB\" or \"2TB\"";
    RecordingSettings {
        dir: reader.path("recording", "dir").unwrap_or_else(|| state_dir.join("recordings")),
        min_free_bytes: reader.parsed("recording", "min_free", bytes, bytes_of).unwrap_or(1 << 30),
    }
}

/// `1GiB` and its kind: a whole number and a unit, with or without a space.
fn bytes_of(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim_start() {
        "" | "B" => 1,
        "kB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

fn live(reader: &mut Reader) -> LiveSettings {
    let given = reader.get("live", "destinations", "", |value, _| Some(value.clone()));
    let destinations = given.map(|value| destinations(&value)).unwrap_or(Ok(Vec::new()));
    // The value is not shown: somebody may have written a key into it.
    let destinations = destinations.unwrap_or_else(|message| {
        reader.refuse("live", "destinations", message);
        Vec::new()
    });
    LiveSettings { destinations, ca_file: reader.path("live", "ca_file") }
}

fn destinations(value: &toml::Value) -> Result<Vec<LiveDestinationSettings>, String> {
    let allowed = format!(
        "allowed is a list of at most {MAX_OUTPUTS} of {{url = \"rtmp://HOST/APP\", stream_key_file = \"PATH\"}}"
    );
    let items = value.as_array().filter(|items| items.len() <= MAX_OUTPUTS).ok_or(allowed.clone())?;
    let each = |(number, item): (usize, &toml::Value)| {
        let text = |key: &str| item.get(key)?.as_str();
        let known = item.as_table().is_some_and(|table| table.len() == 2);
        let (Some(url), Some(file), true) = (text("url"), text("stream_key_file"), known) else {
            return Err(format!("number {}: {allowed}", number + 1));
        };
        let url = LiveUrl::parse(url).map_err(|error| format!("number {}: {error}", number + 1))?;
        Ok(LiveDestinationSettings { url, stream_key_file: PathBuf::from(file) })
    };
    items.iter().enumerate().map(each).collect()
}

fn log(reader: &mut Reader) -> LogSettings {
    let level = "error, warn, info, debug, trace, or a filter like info,roomd::mqtt=debug";
    let filter = |text: &str| {
        text.parse::<tracing_subscriber::filter::targets::Targets>().is_ok().then(|| text.to_owned())
    };
    let journal = reader.get("log", "journal", "\"auto\", true or false", |value, environment| match value {
        toml::Value::Boolean(flag) => Some(Some(*flag)),
        toml::Value::String(text) if text == "auto" => Some(None),
        toml::Value::String(text) if environment => text.parse().ok().map(Some),
        _ => None,
    });
    LogSettings {
        level: reader.parsed("log", "level", level, filter).unwrap_or_else(|| "info".to_owned()),
        journal: journal.flatten(),
    }
}
