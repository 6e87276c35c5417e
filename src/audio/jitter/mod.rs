//! The jitter buffer of one received track: holds packets for as long as the network's jitter asks (20 to 200 ms),
//! gives them when they are to be played, and says when one has to be made up for; pure.
//!
//! [`Delay`] finds how long, [`JitterBuffer`] keeps order and time, [`stretch`] takes back or adds what the delay
//! changes and the sender's clock drifts, a pitch period at a time.

mod buffer;
mod delay;
pub mod stretch;

pub use buffer::{JitterBuffer, Packet, Step, Tempo};
pub use delay::Delay;

#[cfg(test)]
mod tests;
