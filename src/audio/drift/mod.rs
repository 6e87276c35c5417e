//! Sound cards have clocks of their own: what they hear and play is brought on to the media clock by slow resampling.
//!
//! [`Drift`] watches how far a card has run away and steers; [`Capturing`] makes frames of the media clock out of what
//! a card hears, [`Playing`] the card's samples out of the mix. All pure: times come with what is observed.

mod capturing;
mod playing;
mod resampler;
mod steer;

pub use capturing::{Capturing, Heard};
pub use playing::{Playing, Pulled};
pub use resampler::ResampleError;
pub use steer::Drift;

#[cfg(test)]
mod tests;
