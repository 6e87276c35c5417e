//! The threads that encode sound: Opus for rooms, AAC for recordings.

use std::sync::Arc;

use super::{AacEncoder, CodecError, OpusEncoder, POLL};
use crate::base::Shutdown;
use crate::base::pulse::Pulse;
use crate::base::thread;
use crate::base::units::Bitrate;
use crate::media::{AudioFrame, AudioFrames, FrameReader, Received, Stream};

/// Frames of 20 ms that may wait for an encoder: 200 ms without CPU are absorbed. When it is full the oldest is
/// dropped; Opus has a gap then (concealed by the receiver), AAC silence.
const FRAMES: usize = 10;

/// How sound is encoded for rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioConfig {
    /// Of Opus, 6 to 510 kbit/s.
    pub bitrate: Bitrate,
}

impl Default for AudioConfig {
    fn default() -> Self {
        AudioConfig { bitrate: Bitrate::kbps(48) }
    }
}

/// Encodes Opus on the thread `encode-opus` while a reader of `stream` wants it. Ends when `shutdown` is cancelled
/// or `frames` is closed (then what is queued is encoded first).
///
/// # Errors
/// When libopus refuses the bitrate or fails.
pub async fn opus(
    config: AudioConfig,
    frames: &AudioFrames,
    stream: &Stream,
    shutdown: &Shutdown,
) -> Result<(), CodecError> {
    let (mut sound, stream) = (frames.subscribe(FRAMES), stream.clone());
    let work = move |shutdown: &Shutdown| {
        let mut encoder = OpusEncoder::new(config.bitrate)?;
        each("encode-opus", &mut sound, shutdown, |frame| {
            if stream.demand().opus {
                stream.publish(&encoder.encode(frame)?);
            }
            Ok(())
        })
    };
    thread::run("encode-opus", shutdown, work).await?
}

/// As [`opus`], for AAC, on the thread `encode-aac`. At the end, and when the last reader has gone, it publishes
/// what the encoder still holds.
///
/// # Errors
/// When fdk-aac fails.
pub async fn aac(frames: &AudioFrames, stream: &Stream, shutdown: &Shutdown) -> Result<(), CodecError> {
    let (mut sound, stream) = (frames.subscribe(FRAMES), stream.clone());
    let work = move |shutdown: &Shutdown| {
        let mut encoder = AacEncoder::new();
        each("encode-aac", &mut sound, shutdown, |frame| {
            if stream.demand().aac {
                encoder.encode(frame, |unit| stream.publish(&unit))
            } else {
                encoder.finish(|unit| stream.publish(&unit))
            }
        })?;
        encoder.finish(|unit| stream.publish(&unit))
    };
    thread::run("encode-aac", shutdown, work).await?
}

fn each(
    name: &'static str,
    sound: &mut FrameReader<Arc<AudioFrame>>,
    shutdown: &Shutdown,
    mut encode: impl FnMut(&AudioFrame) -> Result<(), CodecError>,
) -> Result<(), CodecError> {
    let (pulse, mut dropped) = (Pulse::vital(name), 0);
    while !shutdown.is_cancelled() {
        pulse.beat();
        match sound.recv(POLL) {
            Received::Frame(frame) => encode(&frame)?,
            Received::Nothing => {}
            Received::Closed => break,
        }
        if sound.dropped() > dropped {
            dropped = sound.dropped();
            tracing::debug!(dropped, "the encoder was late: 20 ms frames dropped");
        }
    }
    Ok(())
}
