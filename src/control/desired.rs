//! What the box shall be doing: the part of the world that survives a restart.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::live::{LiveSource, Output};
use super::{RecordingSource, RoomJoin};
use crate::media::ControlValues;

/// What was last accepted, whether or not it could be done yet. Persisted key by key before it is acted on, so
/// that after a crash the world can be brought to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desired {
    /// The room to be in; None: no room.
    pub room: Option<RoomJoin>,
    /// The recording to be made; None: no recording.
    pub recording: Option<DesiredRecording>,
    /// Where the stream shall go live; None: nowhere.
    pub live: Option<DesiredLive>,
    /// How the camera shall be.
    pub camera: DesiredCamera,
    /// Whether the microphone shall be silent.
    pub muted: bool,
}

/// A recording that shall go on; after a crash in a new file of the same id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DesiredRecording {
    /// Its id: 1 to 64 of `A-Z a-z 0-9 _ -`.
    pub id: String,
    /// What it shows.
    pub source: RecordingSource,
}

/// How the camera shall be, beyond its configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DesiredCamera {
    /// It is not seen.
    pub off: bool,
    /// Values of its controls by their names.
    pub controls: ControlValues,
}

/// A stream that shall go live, and go on after a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DesiredLive {
    /// What it shows.
    pub source: LiveSource,
    /// Where to; None: the configured destinations.
    pub outputs: Option<Vec<Output>>,
}

/// A stored wish that cannot be read (written by another version, or damaged).
#[derive(Debug, thiserror::Error)]
#[error("the stored wish {key:?} cannot be read: {source}")]
pub struct DesiredError {
    /// Its key in the store.
    pub key: &'static str,
    /// What is wrong with it.
    pub source: serde_json::Error,
}

impl Desired {
    /// Key of the room wanted (JSON: a `room.join`'s parameters, or null).
    pub const ROOM: &'static str = "room";
    /// Key of the recording wanted (JSON: `{id, source}`, or null).
    pub const RECORDING: &'static str = "recording";
    /// Key of going live (JSON: `{source, outputs}` with the stream keys, or null).
    pub const LIVE: &'static str = "live";
    /// Key of the camera (JSON: `{off, controls}`).
    pub const CAMERA: &'static str = "camera";
    /// Key of the microphone's silence (JSON: a boolean).
    pub const MUTED: &'static str = "muted";
    /// Every key.
    pub const KEYS: [&'static str; 5] =
        [Desired::ROOM, Desired::RECORDING, Desired::LIVE, Desired::CAMERA, Desired::MUTED];

    /// What is wished for under `key`, as it is stored; null for a key that there is none of.
    pub fn value(&self, key: &str) -> Value {
        match key {
            Desired::ROOM => json!(self.room),
            Desired::RECORDING => json!(self.recording),
            Desired::LIVE => json!(self.live),
            Desired::CAMERA => json!(self.camera),
            Desired::MUTED => json!(self.muted),
            _ => Value::Null,
        }
    }

    /// Takes over what was stored under `key` as `json`. Unknown keys are left alone (a newer roomd's).
    ///
    /// # Errors
    /// [`DesiredError`]; then this field stays as it was.
    pub fn restore(&mut self, key: &str, json: &str) -> Result<(), DesiredError> {
        fn read<T: for<'a> Deserialize<'a>>(key: &'static str, json: &str) -> Result<T, DesiredError> {
            serde_json::from_str(json).map_err(|source| DesiredError { key, source })
        }
        match key {
            Desired::ROOM => self.room = read(Desired::ROOM, json)?,
            Desired::RECORDING => self.recording = read(Desired::RECORDING, json)?,
            Desired::LIVE => self.live = read(Desired::LIVE, json)?,
            Desired::CAMERA => self.camera = read(Desired::CAMERA, json)?,
            Desired::MUTED => self.muted = read(Desired::MUTED, json)?,
            _ => {}
        }
        Ok(())
    }
}
