//! What the kernel knows of its wall clock's error.

use std::io;

/// The wall clock by the kernel's own account (`adjtimex`, read only).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockState {
    /// Whether it follows a time server.
    pub synchronized: bool,
    /// Bound of its error, in microseconds.
    pub max_error_us: i64,
    /// What is still being corrected, in nanoseconds.
    pub offset_ns: i64,
}

/// Asks the kernel.
///
/// # Errors
/// The system's: not allowed (a sandbox against setting the clock forbids asking too).
pub fn clock_state() -> io::Result<ClockState> {
    // SAFETY: timex is plain numbers, for which zero is a value; `modes` 0 changes nothing.
    let mut found: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `found` is ours to write for the time of the call.
    let state = unsafe { libc::adjtimex(&mut found) };
    if state < 0 {
        return Err(io::Error::last_os_error());
    }
    let synchronized = state != libc::TIME_ERROR && found.status & libc::STA_UNSYNC == 0;
    let unit = if found.status & libc::STA_NANO != 0 { 1 } else { 1000 };
    // On 32-bit targets these fields are 32 bits wide.
    #[allow(clippy::unnecessary_cast)]
    let (max_error_us, offset) = (found.maxerror as i64, found.offset as i64);
    Ok(ClockState { synchronized, max_error_us, offset_ns: offset.saturating_mul(unit) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_a_bound_of_its_error_or_that_it_may_not() {
        match clock_state() {
            Ok(state) => assert!(state.max_error_us >= 0, "{state:?}"),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::PermissionDenied),
        }
    }
}
