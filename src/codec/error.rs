//! What can go wrong while encoding or decoding.

use crate::base::thread::ThreadError;
use crate::base::units::Size;
use crate::media::Layer;

/// An encoder or decoder failed. Starting it again is worth a try.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// openh264 refused a picture or its settings.
    #[error("H.264 encoder of layer {} at {size}: {source}", layer.rid())]
    H264Encode {
        /// The layer that it encodes.
        layer: Layer,
        /// Size of the picture.
        size: Size,
        /// What openh264 said.
        source: openh264::Error,
    },
    /// A picture that no layer can be made of: a quarter of it would be empty.
    #[error("a picture of {size} cannot be scaled to layer {}", layer.rid())]
    Scale {
        /// The layer asked for.
        layer: Layer,
        /// Size of the full picture.
        size: Size,
    },
    /// An H.264 access unit that openh264 cannot decode.
    #[error("H.264 decoder: {source}")]
    H264Decode {
        /// What openh264 said.
        source: openh264::Error,
    },
    /// libopus refused sound, a packet or a setting.
    #[error("Opus {what}: {source}")]
    Opus {
        /// `encode`, `decode`, or the setting.
        what: &'static str,
        /// What libopus said.
        source: opus::Error,
    },
    /// fdk-aac refused sound or a setting.
    #[error("AAC encoder: {message}")]
    Aac {
        /// What fdk-aac said.
        message: String,
    },
    /// The thread of the encoder.
    #[error(transparent)]
    Thread(#[from] ThreadError),
}
