//! Whether the box's camera is seen.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The one switch that covers the camera, for all that shows its pictures. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Shutter(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    closed: bool,
    closings: u64,
}

impl Shutter {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes or opens it. After it returns no picture comes through a closed one: one that is just coming through is
    /// waited for.
    pub fn set(&self, closed: bool) {
        let mut inner = self.lock();
        inner.closings += u64::from(closed && !inner.closed);
        inner.closed = closed;
    }

    /// Whether it is closed now.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// How often it was closed. For those who must notice it even when it is open again.
    pub fn closings(&self) -> u64 {
        self.lock().closings
    }

    /// Does `show`, which must be short, if it is open; whether it was.
    pub fn while_open(&self, show: impl FnOnce()) -> bool {
        let inner = self.lock();
        if !inner.closed {
            show();
        }
        !inner.closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_comes_through_a_closed_shutter_and_each_closing_counts_once() {
        let (shutter, mut shown) = (Shutter::default(), 0);
        assert!(shutter.while_open(|| shown += 1));
        shutter.set(true);
        shutter.clone().set(true);
        assert!(!shutter.while_open(|| shown += 1) && shutter.is_closed());
        shutter.set(false);
        assert!(shutter.while_open(|| shown += 1));
        assert_eq!((shown, shutter.closings()), (2, 1));
    }
}
