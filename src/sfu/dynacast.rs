//! Which layers of a track are worth encoding.

use std::time::Duration;

use crate::base::clock::MediaTime;

/// How long a layer stays on after its last watcher went: layouts flicker, encoders should not.
pub const OFF_DELAY: Duration = Duration::from_secs(5);

/// Follows what is watched and says when the publisher must be told. On at once, off after [`OFF_DELAY`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Dynacast {
    told: Option<[bool; 3]>,
    stale: bool,
    last_watched: [Option<MediaTime>; 3],
}

impl Dynacast {
    /// The publisher may not have heard what it was told.
    pub fn tell_again(&mut self) {
        self.stale = true;
    }

    /// Layers watched now → what to tell the publisher, smallest first; None when it knows already.
    pub fn update(&mut self, watched: [bool; 3], now: MediaTime) -> Option<[bool; 3]> {
        let again = std::mem::take(&mut self.stale);
        let mut on = watched;
        for (layer, on) in on.iter_mut().enumerate() {
            if *on {
                self.last_watched[layer] = Some(now);
            } else {
                let told = self.told.is_some_and(|told| told[layer]);
                *on = told && self.last_watched[layer].is_some_and(|at| now.since(at) < OFF_DELAY);
            }
        }
        if self.told == Some(on) && !again {
            return None;
        }
        self.told = Some(on);
        Some(on)
    }
}
