//! L3 service: encoders and decoders, and the threads that encode the box's picture and sound once for all readers.
//!
//! Each of [`full`], [`lower`], [`opus`] and [`aac`] is one thread with its own error, to be supervised on its own:
//!
//! ```no_run
//! # use roomd::{base::Shutdown, capture, codec, media};
//! # async fn example() {
//! let (shutdown, stream) = (Shutdown::new(), media::Stream::new());
//! let (pictures, sound) = (media::VideoFrames::new(), media::AudioFrames::new());
//! let pictures_out = capture::PictureOut { frames: pictures.clone(), ..Default::default() };
//! let sound_out = capture::SoundOut { frames: sound.clone(), ..Default::default() };
//! let config = capture::Config::default();
//! let (video, audio) = (codec::VideoConfig::default(), codec::AudioConfig::default());
//! let reader = stream.subscribe("example", media::Wants::RECORDING);
//! tokio::join!(
//!     async { capture::camera(&config, &pictures_out, &shutdown).await.expect("camera") },
//!     async { capture::microphone(&config, &sound_out, &shutdown).await.expect("microphone") },
//!     async { codec::full(video, &pictures, &stream, &shutdown).await.expect("full picture") },
//!     async { codec::lower(video, &pictures, &stream, &shutdown).await.expect("lower layers") },
//!     async { codec::opus(audio, &sound, &stream, &shutdown).await.expect("Opus") },
//!     async { codec::aac(&sound, &stream, &shutdown).await.expect("AAC") },
//! );
//! # }
//! ```

use std::time::Duration;

mod aac;
mod error;
pub mod h264;
mod opus;
mod sound;
mod video;

pub use self::aac::{AAC_BITRATE, AAC_SAMPLES, AUDIO_SPECIFIC_CONFIG, AacEncoder};
pub use self::opus::{OpusDecoder, OpusEncoder};
pub use error::CodecError;
pub use sound::{AudioConfig, aac, opus};
pub use video::{VideoConfig, full, lower};

/// How often a thread without frames looks whether it should end.
const POLL: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
