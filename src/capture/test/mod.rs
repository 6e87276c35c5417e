//! The test source: a picture and a sound from which latency and lip-sync can be measured.
//!
//! Every full second of the media clock a beep sounds for [`BEEP`], and pictures captured in that time show a flash.

pub(super) mod canvas;
pub(super) mod font;
mod picture;
mod tone;

pub use picture::TestPicture;
pub use tone::Tone;

use std::time::Duration;

/// How long the beep sounds and the flash shows.
pub const BEEP: Duration = Duration::from_millis(100);
