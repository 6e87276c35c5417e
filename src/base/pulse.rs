//! Signs of life. Whoever turns in a loop holds a [`Pulse`] and beats it at every turn; the daemon's supervising loop
//! looks at all of them and says who no longer turns.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::clock::{self, MediaTime};

/// Every pulse of the process; one entry each, gone with its owner.
static PULSES: Mutex<Vec<Arc<Shown>>> = Mutex::new(Vec::new());

#[derive(Debug)]
struct Shown {
    name: &'static str,
    vital: bool,
    /// Media time in ns; 0: at rest.
    last: AtomicU64,
}

/// The sign of life of one thread or task. Beating costs one store. At rest until the first beat.
#[derive(Debug)]
pub struct Pulse(Arc<Shown>);

impl Pulse {
    /// Of a part without which the box is of no use and that only a new process brings back.
    pub fn vital(name: &'static str) -> Pulse {
        Pulse::register(name, true)
    }

    /// Of a part that a driver or a disk may hold for as long as it likes: when it does not beat that is told, and
    /// the rest goes on.
    pub fn told(name: &'static str) -> Pulse {
        Pulse::register(name, false)
    }

    fn register(name: &'static str, vital: bool) -> Pulse {
        let shown = Arc::new(Shown { name, vital, last: AtomicU64::new(0) });
        pulses().push(shown.clone());
        Pulse(shown)
    }

    /// It turns.
    pub fn beat(&self) {
        self.0.last.store(clock::media_now().as_nanos().max(1), Ordering::Relaxed);
    }

    /// Until the next beat nothing is expected: it waits for something that may take for ever.
    pub fn rest(&self) {
        self.0.last.store(0, Ordering::Relaxed);
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        pulses().retain(|shown| !Arc::ptr_eq(shown, &self.0));
    }
}

fn pulses() -> std::sync::MutexGuard<'static, Vec<Arc<Shown>>> {
    PULSES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One pulse as it is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whose it is.
    pub name: &'static str,
    /// See [`Pulse::vital`].
    pub vital: bool,
    /// The last beat.
    pub last: MediaTime,
}

/// All pulses of the process that are not at rest.
pub fn seen() -> Vec<Seen> {
    let seen = |shown: &Arc<Shown>| {
        let last = shown.last.load(Ordering::Relaxed);
        (last != 0).then(|| Seen { name: shown.name, vital: shown.vital, last: MediaTime::from_nanos(last) })
    };
    pulses().iter().filter_map(seen).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pulse_is_seen_from_its_first_beat_until_it_rests_or_its_owner_is_gone() {
        let mine = || seen().into_iter().find(|seen| seen.name == "only-this-test");
        let pulse = Pulse::vital("only-this-test");
        assert_eq!(mine(), None);
        pulse.beat();
        let first = mine().unwrap();
        assert!(first.vital);
        pulse.rest();
        assert_eq!(mine(), None);
        pulse.beat();
        assert!(mine().unwrap().last >= first.last);
        drop(pulse);
        assert_eq!(mine(), None);
    }
}
