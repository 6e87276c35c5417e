//! What a card has been through, for metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

/// Counted by a driver, read by whoever wants to know. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct CardStats(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    xruns: AtomicU64,
    reopened: AtomicU64,
    drift_ppb: AtomicI32,
}

impl CardStats {
    /// Sound was lost: the card was not read (or written) in time.
    pub fn xrun(&self) {
        self.0.xruns.fetch_add(1, Ordering::Relaxed);
    }

    /// The card failed and has to be opened again.
    pub fn failed(&self) {
        self.0.reopened.fetch_add(1, Ordering::Relaxed);
    }

    /// The card's clock is taken to run so much slower than nominal.
    pub fn drifts(&self, ppm: f64) {
        self.0.drift_ppb.store((ppm * 1000.0) as i32, Ordering::Relaxed);
    }

    /// Times that sound was lost.
    pub fn xruns(&self) -> u64 {
        self.0.xruns.load(Ordering::Relaxed)
    }

    /// Times that the card failed.
    pub fn failures(&self) -> u64 {
        self.0.reopened.load(Ordering::Relaxed)
    }

    /// How much slower than nominal the card's clock is taken to run.
    pub fn drift_ppm(&self) -> f64 {
        f64::from(self.0.drift_ppb.load(Ordering::Relaxed)) / 1000.0
    }
}
