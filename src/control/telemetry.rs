//! Measurements: `tele/health` and `tele/media` (contract, section 5). What cannot be measured is left out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{DeviceStatus, LiveStatus};

/// Largest payload of either, in bytes.
pub const MAX_BYTES: usize = 1024;

/// `tele/health`: how the machine and its devices are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// When it was measured, RFC 3339, UTC.
    pub ts: String,
    /// Seconds since the machine was booted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub uptime_s: Option<u64>,
    /// Since the last measurement.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cpu: Option<Cpu>,
    /// Of the hottest sensor of the processor, in degrees Celsius.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub temperature_c: Option<f64>,
    /// Memory.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub memory: Option<Memory>,
    /// The file system of the recordings.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub disk: Option<Disk>,
    /// What slows the processor down; only where the hardware tells (Raspberry Pi).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub throttling: Option<Throttling>,
    /// The wall clock.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub clock: Option<Clock>,
    /// The picture's source.
    pub camera: CameraHealth,
    /// The sound's source.
    pub microphone: MicrophoneHealth,
    /// Something had no place in [`MAX_BYTES`].
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub truncated: bool,
}

/// Shares of all processors, 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cpu {
    /// Of the whole machine.
    pub machine: f64,
    /// Of roomd.
    pub process: f64,
}

/// Bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Memory {
    /// Of the machine.
    pub total_bytes: u64,
    /// What new programs could get without swapping.
    pub available_bytes: u64,
    /// roomd's, in RAM.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub process_bytes: Option<u64>,
}

/// Bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Disk {
    /// What roomd may still write.
    pub free_bytes: u64,
}

/// What slows the processor down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Throttling {
    /// Now: `under_voltage`, `frequency_capped`, `throttled`, `temperature_limit`.
    pub now: Vec<String>,
    /// Since the machine was booted.
    pub since_boot: Vec<String>,
}

/// The wall clock, as far as the machine knows without asking anybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Clock {
    /// Whether the kernel, or the machine's time service, says that it follows a time server.
    pub synchronized: bool,
    /// The kernel's own bound of the error, in milliseconds; it grows until a server is heard again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub max_error_ms: Option<f64>,
    /// What the kernel still corrects, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub offset_ms: Option<f64>,
}

/// The picture's source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CameraHealth {
    /// As in the state.
    pub status: DeviceStatus,
    /// Pictures that were damaged and left out, since the start.
    pub damaged: u64,
}

/// The sound's source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MicrophoneHealth {
    /// As in the state.
    pub status: DeviceStatus,
    /// Whether it is silent by order.
    pub muted: bool,
    /// Of the loudest 20 ms of the last second, muted or not: 0 is the loudest, -127 silence.
    pub peak_dbov: i16,
}

/// `tele/media`: what is encoded, sent and received, over the last seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Media {
    /// When it was measured, RFC 3339, UTC.
    pub ts: String,
    /// The tracks of the box's own stream that somebody reads.
    pub tracks: Vec<Track>,
    /// The way to the room's server; absent while the box is in no room.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub uplink: Option<Uplink>,
    /// What comes from the room.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub received: Option<Received>,
    /// Where the stream goes live, in the order of the state document.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub destinations: Vec<Destination>,
    /// Readers of the stream that were too slow, and the access units that they lost since the start.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub losses: Vec<(String, u64)>,
    /// Something had no place in [`MAX_BYTES`].
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub truncated: bool,
}

/// One track of the box's own stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Track {
    /// `video-full`, `video-half`, `video-quarter`, `opus`, `aac`.
    pub name: String,
    /// Bits per second.
    pub bitrate_bps: u64,
    /// Pictures, or packets of sound, per second.
    pub rate: f64,
    /// Mean time that a picture took to encode, in milliseconds; only of pictures encoded here.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub encode_ms: Option<f64>,
    /// Pictures that the encoder left out because it was late.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub dropped: u64,
}

/// The way to the room's server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Uplink {
    /// What of ours arrived, in bits per second.
    pub bitrate_bps: u64,
    /// Share of the packets that did not arrive, 0 to 1.
    pub loss: f64,
    /// Shortest time from a packet's departure to the report of its arrival, in milliseconds: the round trip and
    /// what the server waits before it reports.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rtt_ms: Option<f64>,
    /// Mean change of the time that packets take, in milliseconds (RFC 3550 §6.4.1).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub jitter_ms: Option<f64>,
}

/// What comes from the room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Received {
    /// Longest time for which a participant's sound is held to smooth its jitter, in milliseconds.
    pub jitter_buffer_ms: f64,
    /// Packets in whose place sound was made up.
    pub concealed: u64,
}

/// One destination of the stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Destination {
    /// Server and application.
    pub url: String,
    /// As in the state.
    pub status: LiveStatus,
    /// What the server's kernel acknowledged, in bits per second.
    pub bitrate_bps: u64,
    /// Pictures put on the wire per second.
    pub rate: f64,
    /// Round trip by the kernel's measure, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rtt_ms: Option<f64>,
    /// Access units lost because the server was too slow.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub dropped: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// `measured` in at most [`MAX_BYTES`] of JSON: what stands first in `least_important` goes first.
pub fn fitting(measured: impl Serialize, least_important: &[&str]) -> Value {
    let mut value = serde_json::to_value(measured).unwrap_or_default();
    for member in least_important {
        while value.to_string().len() > MAX_BYTES {
            let Some(members) = value.as_object_mut() else { return value };
            let emptied = match members.get_mut(*member) {
                None => break,
                Some(Value::Array(list)) => {
                    list.pop();
                    list.is_empty()
                }
                Some(_) => true,
            };
            if emptied {
                members.remove(*member);
            }
            members.insert("truncated".to_owned(), Value::Bool(true));
        }
    }
    value
}

/// What of [`Health`] goes first when it does not fit.
pub const HEALTH_LEAST: &[&str] = &["throttling", "clock", "uptime_s", "disk", "memory"];
/// What of [`Media`] goes first when it does not fit; of lists the last entries.
pub const MEDIA_LEAST: &[&str] = &["losses", "received", "destinations", "tracks"];

/// `number` with three digits after the point: telemetry is small.
pub fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_known_is_left_out() {
        let value = json!(Health::default());
        for absent in ["temperature_c", "throttling", "clock", "disk", "truncated"] {
            assert!(value.get(absent).is_none(), "{absent}");
        }
        assert_eq!(value["microphone"]["muted"], false);
    }

    #[test]
    fn what_does_not_fit_goes_from_the_least_important_on_and_says_so() {
        let to = |n: usize| Destination {
            url: format!("rtmp://server-{n}.example/{}", "a".repeat(60)),
            status: LiveStatus::Live,
            bitrate_bps: 2_000_000,
            rate: 30.0,
            rtt_ms: Some(12.5),
            dropped: 0,
        };
        let track = Track { name: "video-full".to_owned(), ..Track::default() };
        let mut media =
            Media { tracks: vec![track], losses: vec![("recorder".into(), 7)], ..Media::default() };
        media.destinations = (0..2).map(to).collect();
        let whole = fitting(&media, MEDIA_LEAST);
        assert_eq!((whole.get("truncated"), whole["losses"][0][1].as_u64()), (None, Some(7)));
        media.destinations = (0..8).map(to).collect();
        let cut = fitting(&media, MEDIA_LEAST);
        assert!(cut.to_string().len() <= MAX_BYTES, "{cut}");
        assert_eq!((cut["truncated"].as_bool(), cut.get("losses")), (Some(true), None));
        assert!(cut["destinations"].as_array().is_some_and(|list| (2..8).contains(&list.len())), "{cut}");
        assert_eq!(cut["tracks"][0]["name"], "video-full");
        let back: Media = serde_json::from_value(cut).unwrap();
        assert!(back.truncated);
    }
}
