//! How loud the microphone is right now, for meters.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::level::dbov;

/// How many frames (1 s) the loudest is held.
const HELD: u8 = 50;
/// Silence, in -dBov.
const SILENCE: u8 = 127;

/// Shows the level of the last 20 ms and the loudest of the last second. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Meter(Arc<Levels>);

#[derive(Debug)]
struct Levels {
    now: AtomicU8,
    peak: Mutex<Peak>,
}

#[derive(Debug)]
struct Peak {
    level: u8,
    /// Frames since then.
    age: u8,
}

impl Default for Meter {
    fn default() -> Self {
        let peak = Mutex::new(Peak { level: SILENCE, age: 0 });
        Meter(Arc::new(Levels { now: AtomicU8::new(SILENCE), peak }))
    }
}

impl Meter {
    /// Takes the level of `samples`.
    pub fn show(&self, samples: &[i16]) {
        let level = dbov(samples);
        self.0.now.store(level, Ordering::Relaxed);
        let mut peak = self.0.peak.lock().unwrap_or_else(PoisonError::into_inner);
        peak.age += 1;
        if level <= peak.level || peak.age >= HELD {
            *peak = Peak { level, age: 0 };
        }
    }

    /// -dBov (RFC 6464 §3): 0 is the loudest, 127 silence.
    pub fn dbov(&self) -> u8 {
        self.0.now.load(Ordering::Relaxed)
    }

    /// As [`Meter::dbov`], of the loudest 20 ms; held for a second.
    pub fn peak_dbov(&self) -> u8 {
        self.0.peak.lock().unwrap_or_else(PoisonError::into_inner).level
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loudest_is_held_for_a_second() {
        let meter = Meter::default();
        assert_eq!((meter.dbov(), meter.peak_dbov()), (127, 127));
        meter.show(&[3_277; 960]);
        for _ in 1..HELD {
            meter.show(&[328; 960]);
            assert_eq!((meter.dbov(), meter.peak_dbov()), (40, 20));
        }
        meter.show(&[328; 960]);
        assert_eq!(meter.peak_dbov(), 40);
        meter.show(&[32_767; 960]);
        assert_eq!(meter.peak_dbov(), 0);
    }
}
