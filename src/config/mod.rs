//! L4: configuration: files and environment in, typed and checked [`Settings`] out.
//!
//! Layers, last wins: defaults, `roomd.toml`, `roomd.d/*.toml` in order, the state directory's `conf.d/*.toml`, the
//! fleet's desired configuration, environment `ROOMD_<SECTION>__<KEY>`. Nothing is opened or changed before every
//! problem was listed.

mod effective;
mod layers;
mod problem;
mod reader;
mod resolve;
mod settings;

pub use effective::{Effective, desired_schema, effective_schema};
pub use layers::{Environment, load};
#[cfg(any(test, fuzzing))]
pub(crate) use layers::{check, check_desired};
pub use problem::{ConfigError, Problem};
pub use reader::DESIRED;
pub(crate) use resolve::STATE_DIR;
pub use settings::{
    AudioSettings, BoxSettings, CameraSettings, ControlSettings, LiveDestinationSettings, LiveSettings,
    LogSettings, MqttSettings, RecordingSettings, RoomSettings, RoomToken, ServerSettings, Settings,
    TlsSettings, VideoSettings,
};

#[cfg(test)]
mod tests;
