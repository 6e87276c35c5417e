//! What gets lost of what is sent, over some time.

use std::time::Duration;

use crate::base::clock::MediaTime;

/// Losses since the first figure.
#[derive(Clone, Copy, Debug, Default)]
pub struct Losses {
    began: Option<MediaTime>,
    sent: u64,
    lost: f32,
}

impl Losses {
    /// Of `packets` that were sent lately a `share`, 0 to 1, was lost.
    pub fn add(&mut self, share: f32, packets: u64, now: MediaTime) {
        self.began.get_or_insert(now);
        self.sent += packets;
        self.lost += share * packets as f32;
    }

    /// Packets that were lost.
    pub fn lost(&self) -> f32 {
        self.lost
    }

    /// The share that was lost, 0 to 1.
    pub fn share(&self) -> f32 {
        if self.sent == 0 { 0.0 } else { self.lost / self.sent as f32 }
    }

    /// Some(share) once `window` has passed since the first figure; then it begins anew.
    pub fn over(&mut self, window: Duration, now: MediaTime) -> Option<f32> {
        self.began.filter(|began| now.since(*began) >= window)?;
        Some(std::mem::take(self).share())
    }
}
