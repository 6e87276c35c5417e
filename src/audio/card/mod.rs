//! Sound cards by ALSA (through cpal): which there are, opening one for hearing or playing, keeping it open.
//!
//! [`list`] tells what may be configured; a [`Keeper`] opens a card, watches it and opens it again after it failed.
//! Its driver gets [`Event`]s: everything that happens in cpal's callbacks comes by a bounded queue, so nothing there
//! can block or panic into the driver, and a simulated card is a queue too.

mod choose;
mod keep;
mod names;
mod open;
mod sample;
mod stats;
#[cfg(test)]
pub mod testing;

pub use keep::{Cards, Keeper};
pub use names::{Card, list};
pub use open::{Event, Line, Opened, Side, open};
pub use stats::CardStats;

use super::drift::ResampleError;

/// A card could not be opened, or failed. Opening it again later is worth a try.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CardError {
    /// There is none, or none that hears (plays).
    #[error("no sound card for the {side}")]
    None {
        /// `microphone` or `speaker`.
        side: &'static str,
    },
    /// There is none of that name now.
    #[error("no sound card {name} for the {side}; there are {known}")]
    Unknown {
        /// As configured.
        name: String,
        /// `microphone` or `speaker`.
        side: &'static str,
        /// What there is.
        known: String,
    },
    /// The system refuses: it is in use, not permitted, or broken.
    #[error("{side} {name}: {message}")]
    Refused {
        /// The card's ALSA name.
        name: String,
        /// `microphone` or `speaker`.
        side: &'static str,
        /// What ALSA said.
        message: String,
    },
    /// It offers nothing that can be made from or into the box's sound.
    #[error("{side} {name} offers only {offers}: try plug{name}")]
    NoFormat {
        /// The card's ALSA name.
        name: String,
        /// `microphone` or `speaker`.
        side: &'static str,
        /// `i16 44100 Hz 2 channels`, …
        offers: String,
    },
    /// Nothing has been heard from it (or asked by it) for 500 ms.
    #[error("{side} {name} has stalled")]
    Stalled {
        /// The card's ALSA name.
        name: String,
        /// `microphone` or `speaker`.
        side: &'static str,
    },
    /// It runs much faster than real time: no card, but a file or nothing.
    #[error("{side} {name} does not keep time: it takes no longer for a second of sound than for none")]
    NoClock {
        /// The card's ALSA name.
        name: String,
        /// `microphone` or `speaker`.
        side: &'static str,
    },
    /// Its rate cannot be resampled.
    #[error("{side} {name}: {message}")]
    Resample {
        /// The card's ALSA name.
        name: String,
        /// `microphone` or `speaker`.
        side: &'static str,
        /// What the resampler said.
        message: String,
    },
}

impl CardError {
    /// `error` of the resampler, of the card `name`.
    pub fn resample(name: &str, side: &'static str, error: &ResampleError) -> Self {
        CardError::Resample { name: name.to_owned(), side, message: error.to_string() }
    }
}
