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
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| Panicked)
}
