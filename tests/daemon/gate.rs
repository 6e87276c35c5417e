//! Who may use the machine's cores at the same time.
//!
//! All tests are threads of one process. A browser alone fills a small machine's two cores: another box beside it
//! would show as frozen pictures, and the browser as late access units. So a browser test is alone; all other tests
//! that start a box may run beside each other, but never beside a browser.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

static GATE: RwLock<()> = RwLock::new(());

/// For a test with a browser: until this is dropped no other test is in the gate.
pub fn alone() -> RwLockWriteGuard<'static, ()> {
    // A test that failed in here has left nothing behind that matters to the next.
    GATE.write().unwrap_or_else(PoisonError::into_inner)
}

/// For every other test that starts a box: until this is dropped no browser runs.
pub fn undisturbed() -> RwLockReadGuard<'static, ()> {
    GATE.read().unwrap_or_else(PoisonError::into_inner)
}
