//! From the checked settings to each subsystem's own `Config`.

use std::time::Duration;

use super::media::MediaConfig;
use super::room::{Embedded, RoomConfig};
use super::serving::Serving;
use crate::capture::{self, CaptureError, Source};
use crate::codec::{AUDIO_SPECIFIC_CONFIG, AudioConfig, VideoConfig};
use crate::config::{LiveDestinationSettings, LiveSettings, MqttSettings, RecordingSettings, Settings};
use crate::control::queue::Policy;
use crate::media::AUDIO_RATE;
use crate::playback::{PlaybackError, Sink};
use crate::{mqtt, participant, push, record, rtmp};
use tokio::sync::watch;

/// A setting that the subsystem itself refuses, although its form is right.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    /// `camera.source` or `microphone.source`.
    #[error("{key}: {source}")]
    Source {
        /// The key.
        key: &'static str,
        /// The subsystem's words.
        source: CaptureError,
    },
    /// `speaker.sink`.
    #[error("speaker.sink: {0}")]
    Sink(#[from] PlaybackError),
    /// `[mqtt]`.
    #[error(transparent)]
    Mqtt(#[from] mqtt::Error),
}

/// `[camera]`, `[microphone]`, `[speaker]`, `[video]` and `[audio]`.
///
/// # Errors
/// [`SettingError::Source`] and [`SettingError::Sink`].
pub fn media(settings: &Settings) -> Result<MediaConfig, SettingError> {
    let source = |key, parsed: Result<Source, CaptureError>| {
        parsed.map_err(|source| SettingError::Source { key, source })
    };
    let (fps, video) = (settings.camera.fps, &settings.video);
    Ok(MediaConfig {
        capture: capture::Config {
            camera: source("camera.source", Source::camera(&settings.camera.source))?,
            microphone: source("microphone.source", Source::microphone(&settings.microphone))?,
            size: settings.camera.size,
            fps,
            controls: settings.camera.controls.clone(),
            encoding: video.pass_on.then(|| capture::Encoding {
                bitrate: video.bitrate,
                keyframe_interval: Duration::from_secs(video.keyframe_interval_s.into()),
            }),
            name: settings.device.name.clone(),
        },
        video: VideoConfig { fps, bitrate: video.bitrate, keyframe_interval_s: video.keyframe_interval_s },
        simulcast: video.simulcast,
        audio: AudioConfig { bitrate: settings.audio.bitrate },
        voice: settings.audio.voice,
        speaker: Sink::parse(&settings.speaker)?,
    })
}

/// `[room]`, and the way to the embedded server.
pub fn room(settings: &Settings, media: &MediaConfig, box_id: &str, serving: Option<&Serving>) -> RoomConfig {
    let embedded = serving.and_then(|serving| {
        let url = format!("ws://{}", serving.http.addresses.http?);
        Some(Embedded { url, keys: serving.keys.clone(), rooms: serving.rooms.clone() })
    });
    let video = participant::VideoConfig {
        size: media.capture.size,
        fps: media.capture.fps,
        bitrate: media.video.bitrate,
        simulcast: media.simulcast,
    };
    RoomConfig {
        identity: identity(settings, box_id),
        name: settings.device.name.clone(),
        url: settings.room.url.clone(),
        token: settings.room.token.clone(),
        embedded,
        video: (media.capture.camera != Source::None).then_some(video),
        audio: media.capture.microphone != Source::None,
    }
}

/// Who the box is in a room.
pub fn identity(settings: &Settings, box_id: &str) -> String {
    settings.room.identity.clone().unwrap_or_else(|| format!("box-{box_id}"))
}

/// What of `[control]` the request queue goes by.
pub fn policy(settings: &Settings) -> Policy {
    Policy {
        allow_remote_unmute: settings.control.allow_remote_unmute,
        live_configured: !settings.live.destinations.is_empty(),
        rooms_elsewhere: settings.room.url.is_some(),
    }
}

/// `[recording]`.
pub fn recording(settings: &RecordingSettings) -> record::Config {
    record::Config { dir: settings.dir.clone(), min_free_bytes: settings.min_free_bytes }
}

/// `[live]`: what all destinations share, and those that are configured.
pub fn live(settings: &LiveSettings) -> (push::Config, Vec<push::Destination>) {
    let sound = rtmp::Sound { config: AUDIO_SPECIFIC_CONFIG.to_vec(), rate: AUDIO_RATE, channels: 1 };
    let destination = |one: &LiveDestinationSettings| push::Destination {
        url: one.url.clone(),
        key: push::Key::File(one.stream_key_file.clone()),
    };
    let config = push::Config { ca_file: settings.ca_file.clone(), sound };
    (config, settings.destinations.iter().map(destination).collect())
}

/// `[mqtt]`; who may command comes by `issuers`, which change live.
///
/// # Errors
/// [`SettingError::Mqtt`] for a URL that cannot be used.
pub fn mqtt(
    settings: &MqttSettings,
    fleet: &str,
    box_id: &str,
    boot_id: &str,
    issuers: watch::Receiver<Vec<String>>,
) -> Result<mqtt::Config, SettingError> {
    let (cert_file, key_file) = settings.client_cert.clone().unzip();
    let access = mqtt::Access {
        endpoint: mqtt::Endpoint::parse(&settings.url)?,
        client_id: settings.client_id.clone().unwrap_or_else(|| format!("roomd-{box_id}")),
        username: settings.username.clone(),
        password_file: settings.password_file.clone(),
        jwt_file: settings.jwt_file.clone(),
        ca_file: settings.ca_file.clone(),
        cert_file,
        key_file,
    };
    let mut config = mqtt::Config::new(access, fleet, box_id, boot_id);
    config.issuers = issuers;
    config.reconnect_spread = Duration::from_secs(settings.reconnect_spread_s.into());
    Ok(config)
}
