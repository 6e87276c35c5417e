//! The state document: everything that is true now (contract, section 5). Times are RFC 3339, UTC.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a source or sink is; stands in `media` because devices tell it.
pub use crate::media::DeviceStatus;

/// The whole document. `seq` grows by one with every change that anyone can see.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct State {
    /// Number of this version within this run; starts at 1.
    pub seq: u64,
    /// When it became so.
    pub ts: String,
    /// The room that the box is in or wants to be in.
    pub room: Option<Room>,
    /// The recording of the box's own stream.
    pub recording: Recording,
    /// Going live.
    pub live: Live,
    /// The picture's source.
    pub camera: Camera,
    /// The sound's source.
    pub microphone: Microphone,
    /// Where the others are heard.
    pub speaker: Speaker,
    /// Version of the fleet's desired configuration in force; 0: none.
    pub config_version: u64,
    /// The box is giving a sign, because somebody wants to see which one it is.
    #[serde(default)]
    pub identifying: bool,
}

/// The room the box is in, or on the way to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Room {
    /// Its name.
    pub name: String,
    /// The server's URL.
    pub url: String,
    /// How far the joining is.
    pub status: RoomStatus,
    /// Why it is not joined, or joined but not everything is sent, for people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// How many are in it, the box included; 0 until joined.
    pub participants: u32,
}

/// How far the box is into its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoomStatus {
    /// Signalling and connecting.
    Joining,
    /// Sending and receiving.
    Joined,
    /// The connection was lost a moment ago and is being resumed; media may still flow.
    Resuming,
    /// Waiting before the next attempt.
    BackingOff,
}

/// The recording.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Recording {
    /// Whether it records.
    pub on: bool,
    /// Its id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<String>,
    /// What it shows: `box`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source: Option<String>,
    /// The file being written.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub file: Option<String>,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub started_at: Option<String>,
    /// Bytes written and synced so far; refreshed every few seconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bytes: Option<u64>,
    /// How it goes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<RecordingStatus>,
    /// Why it failed or cannot start, for people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

/// How a recording goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordingStatus {
    /// Every part is on the disk within its time.
    Recording,
    /// Syncing lags: a power cut now would lose more than a second.
    StorageSlow,
    /// Less than `recording.min_free` is left: stopped, the file is whole.
    DiskFull,
    /// Writing failed; it is tried again in a new file.
    Retrying,
}

/// Where the box's stream goes live.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Live {
    /// Whether it is wanted.
    pub on: bool,
    /// One entry a destination.
    pub destinations: Vec<LiveDestination>,
}

/// One destination of the stream. The stream key is not in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LiveDestination {
    /// Server and application.
    pub url: String,
    /// How it goes.
    pub status: LiveStatus,
    /// Bytes of the stream that the server's kernel has acknowledged, over all connections; refreshed every few
    /// seconds.
    pub bytes_acked: u64,
    /// Why it did not work the last time, for people; absent once it works again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_error: Option<String>,
    /// When it is tried again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next_try: Option<String>,
}

/// How a destination is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LiveStatus {
    /// Not yet, or not yet again: nothing of the stream was acknowledged.
    Connecting,
    /// The stream is sent and acknowledged.
    Live,
    /// Connected, but nothing was acknowledged for 10 s although there was something to send.
    Stalled,
    /// Waiting before the next attempt.
    Retrying,
    /// Taking leave of the server, by order.
    Stopped,
}

/// The picture's source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Camera {
    /// Whether it delivers.
    pub status: DeviceStatus,
    /// Which it is: `test`, `file:PATH` or a device.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device: Option<String>,
    /// `1280x720@30 I420`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub format: Option<String>,
    /// Why it does not deliver, for people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

/// The sound's source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Microphone {
    /// Whether it delivers.
    pub status: DeviceStatus,
    /// Which it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device: Option<String>,
    /// Whether it is silent by order.
    pub muted: bool,
    /// Why it does not deliver, for people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

/// Where the others are heard.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Speaker {
    /// Whether it plays.
    pub status: DeviceStatus,
    /// Which it is: `file:PATH` or a device.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device: Option<String>,
    /// Why it does not play, for people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}
