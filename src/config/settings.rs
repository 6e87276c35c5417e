//! The checked settings, one struct a section of the contract.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use crate::audio::VoiceConfig;
use crate::base::units::{Bitrate, Size};
use crate::control::live::LiveUrl;
use crate::server::report::WebhookUrl;

/// Everything that can be set, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `[box]`
    pub device: BoxSettings,
    /// `[control]`
    pub control: ControlSettings,
    /// `[camera]`
    pub camera: CameraSettings,
    /// `microphone.source`, as written
    pub microphone: String,
    /// `speaker.sink`, as written
    pub speaker: String,
    /// `[video]`
    pub video: VideoSettings,
    /// `[audio]`
    pub audio: AudioSettings,
    /// `[room]`
    pub room: RoomSettings,
    /// `[server]`; None when it is not enabled
    pub server: Option<ServerSettings>,
    /// `[tls]`
    pub tls: TlsSettings,
    /// `[mqtt]`; None without a URL
    pub mqtt: Option<MqttSettings>,
    /// `[recording]`
    pub recording: RecordingSettings,
    /// `[live]`
    pub live: LiveSettings,
    /// `[log]`
    pub log: LogSettings,
    /// Keys that were set, are valid, and have no effect in this version.
    pub without_effect: Vec<&'static str>,
    /// Every key that was set, `section.key`, as it was written.
    pub given: BTreeMap<String, toml::Value>,
}

/// `[box]`: who this box is.
#[derive(Clone, Debug)]
pub struct BoxSettings {
    /// None: random at first start, kept in the state directory.
    pub id: Option<String>,
    /// For people; by default the hostname.
    pub name: String,
    /// Which fleet it belongs to.
    pub fleet: String,
    /// Where everything that must survive lives.
    pub state_dir: PathBuf,
}

/// `[control]`.
#[derive(Clone, Debug)]
pub struct ControlSettings {
    /// The Unix control socket.
    pub socket: PathBuf,
    /// Whether an order from afar may unmute the microphone.
    pub allow_remote_unmute: bool,
    /// Groups whose commands are taken too; at most 32.
    pub groups: Vec<String>,
}

/// `[camera]`.
#[derive(Clone, Debug)]
pub struct CameraSettings {
    /// As written: `auto`, `/dev/videoN`, `test`, `file:PATH`, `none`.
    pub source: String,
    /// What the camera's controls shall be set to, by the driver's name of the control.
    pub controls: BTreeMap<String, i64>,
    /// The picture's size.
    pub size: Size,
    /// Pictures per second, 1 to 60.
    pub fps: u32,
}

/// `[video]`.
#[derive(Clone, Debug)]
pub struct VideoSettings {
    /// Of the full layer.
    pub bitrate: Bitrate,
    /// Whether the H.264 of a camera that encodes itself may be passed on (`encoder = "auto"`).
    pub pass_on: bool,
    /// Whether the lower layers are offered.
    pub simulcast: bool,
    /// Seconds between two keyframes, 1 to 10.
    pub keyframe_interval_s: u32,
}

/// `[audio]`.
#[derive(Clone, Debug)]
pub struct AudioSettings {
    /// Of Opus.
    pub bitrate: Bitrate,
    /// What is done to the voice of a microphone that is a device.
    pub voice: VoiceConfig,
}

/// `[room]`: the room to join at start, and where.
#[derive(Clone, Debug)]
pub struct RoomSettings {
    /// The LiveKit server; None: the embedded one.
    pub url: Option<String>,
    /// The room joined at start when nothing else was ordered.
    pub name: Option<String>,
    /// The box's identity; None: `box-<id>`.
    pub identity: Option<String>,
    /// How the box gets its tokens for a remote server.
    pub token: Option<RoomToken>,
}

/// Where tokens for a remote server come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomToken {
    /// A file that somebody renews; read anew at each join.
    File(PathBuf),
    /// The server's key, and the file with its secret.
    Key {
        /// The key's name.
        api_key: String,
        /// The file with its secret.
        secret_file: PathBuf,
    },
}

/// `[server]`: the embedded room server.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Plain HTTP, loopback only.
    pub listen: SocketAddr,
    /// HTTPS for everyone else; None: off.
    pub listen_tls: Option<SocketAddr>,
    /// The one UDP port of the media.
    pub rtc_udp: u16,
    /// The one TCP port of the media, for clients without UDP.
    pub rtc_tcp: u16,
    /// The address that clients send media to; None: every unicast address.
    pub node_ip: Option<IpAddr>,
    /// Codecs that may be published: `opus`, `h264`, `vp8`, `vp9`, `av1`.
    pub codecs: Vec<String>,
    /// Whether what each subscriber's network carries is estimated and decides on layers.
    pub bandwidth_estimation: bool,
    /// Keys and secrets; None: made at first start in the state directory.
    pub keys_file: Option<PathBuf>,
    /// Where webhooks of every room go.
    pub webhook_urls: Vec<WebhookUrl>,
}

/// `[tls]`.
#[derive(Clone, Debug, Default)]
pub struct TlsSettings {
    /// Certificate chain and key (PEM); None: from the box's own CA.
    pub files: Option<(PathBuf, PathBuf)>,
}

/// `[mqtt]`.
#[derive(Clone, Debug)]
pub struct MqttSettings {
    /// `mqtt://` or `mqtts://`.
    pub url: String,
    /// None: `roomd-<box id>`.
    pub client_id: Option<String>,
    /// For the broker's login.
    pub username: Option<String>,
    /// Its password.
    pub password_file: Option<PathBuf>,
    /// A token used as the password; read again when it changes.
    pub jwt_file: Option<PathBuf>,
    /// Whom to trust for `mqtts`; None: the public authorities.
    pub ca_file: Option<PathBuf>,
    /// A client certificate and its key (PEM).
    pub client_cert: Option<(PathBuf, PathBuf)>,
    /// Who may command; empty: whoever the broker lets through.
    pub issuers: Vec<String>,
    /// Longest delay of the first attempt after a connection was lost, in seconds: 1 to 600.
    pub reconnect_spread_s: u32,
    /// Whether Home Assistant is told of the box, and `set/*` taken.
    pub home_assistant: bool,
}

/// `[recording]`.
#[derive(Clone, Debug)]
pub struct RecordingSettings {
    /// Where the files go.
    pub dir: PathBuf,
    /// Bytes of the disk that a recording leaves free.
    pub min_free_bytes: u64,
}

/// `[live]`.
#[derive(Clone, Debug, Default)]
pub struct LiveSettings {
    /// Where the stream goes when an order names no other destinations; at most 8.
    pub destinations: Vec<LiveDestinationSettings>,
    /// Certificates (PEM) trusted for `rtmps` beside the public authorities.
    pub ca_file: Option<PathBuf>,
}

/// One of `live.destinations`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveDestinationSettings {
    /// The server and its application.
    pub url: LiveUrl,
    /// The file with the stream key; read at each connection.
    pub stream_key_file: PathBuf,
}

/// `[log]`.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// `error`, `warn`, `info`, `debug` or `trace`, or a filter (`info,roomd::mqtt=debug`).
    pub level: String,
    /// Whether to log to journald; None: when systemd started us.
    pub journal: Option<bool>,
}
