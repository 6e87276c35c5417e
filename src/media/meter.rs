//! How loud the microphone is right now, for meters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::level::dbov;

/// Shows the level of the last 20 ms. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Meter(Arc<AtomicU8>);

impl Default for Meter {
    fn default() -> Self {
        Meter(Arc::new(AtomicU8::new(127)))
    }
}

impl Meter {
    /// Takes the level of `samples`.
    pub fn show(&self, samples: &[i16]) {
        self.0.store(dbov(samples), Ordering::Relaxed);
    }

    /// -dBov (RFC 6464 §3): 0 is the loudest, 127 silence.
    pub fn dbov(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }
}
