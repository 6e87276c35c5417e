//! Who may use the machine's cores at the same time.
//!
//! All tests are threads of one process. A browser alone fills a small machine's two cores: whatever else measures
//! time then would measure the browser. So a browser test is alone, and tests that measure the box's timing may run
//! beside each other but never beside a browser. Tests that measure nothing need no gate.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

static GATE: RwLock<()> = RwLock::new(());

/// For a test with a browser: until this is dropped no other test is in the gate.
pub fn alone() -> RwLockWriteGuard<'static, ()> {
    // A test that failed in here has left nothing behind that matters to the next.
    GATE.write().unwrap_or_else(PoisonError::into_inner)
}

/// For a test that measures the box's timing: until this is dropped no browser runs.
pub fn undisturbed() -> RwLockReadGuard<'static, ()> {
    GATE.read().unwrap_or_else(PoisonError::into_inner)
}
