//! The last resort against panics of the WebRTC library.

use std::panic::{AssertUnwindSafe, catch_unwind};

use thiserror::Error;

/// The library panicked; the connection it was working on must not be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the WebRTC library panicked")]
pub struct Panicked;

/// Runs `work`, which touches one connection only.
///
/// Known ways to make the library panic are refused before they reach it; this is for the unknown ones, so
/// that one participant's bytes never end everybody's meeting. Whoever gets the error drops the connection,
/// so that no broken invariant is seen again.
///
/// # Errors
/// [`Panicked`].
pub fn guard<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    #[cfg(any(test, fuzzing))]
    let _within = Within::enter();
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| Panicked)
}

/// Whether this thread is within [`guard`]: fuzzing must tell a panic that is caught from one that is not.
#[cfg(any(test, fuzzing))]
pub fn is_guarded() -> bool {
    GUARDS.get() > 0
}

#[cfg(any(test, fuzzing))]
thread_local! {
    static GUARDS: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

#[cfg(any(test, fuzzing))]
struct Within;

#[cfg(any(test, fuzzing))]
impl Within {
    fn enter() -> Within {
        GUARDS.set(GUARDS.get() + 1);
        Within
    }
}

#[cfg(any(test, fuzzing))]
impl Drop for Within {
    fn drop(&mut self) {
        GUARDS.set(GUARDS.get() - 1);
    }
}
