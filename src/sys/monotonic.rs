//! The monotonic clock as a number that other processes share; `Instant` keeps its own to itself.

/// Microseconds of `CLOCK_MONOTONIC`. (sd-notify's own counts in 32 bits where `time_t` has 32.)
pub fn monotonic_micros() -> i128 {
    // SAFETY: timespec is plain numbers, for which zero is a value.
    let mut now: libc::timespec = unsafe { std::mem::zeroed() };
    // SAFETY: `now` is ours to write for the time of the call, which cannot fail for this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now.tv_sec as i128 * 1_000_000 + now.tv_nsec as i128 / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_goes_back() {
        let first = monotonic_micros();
        assert!(first > 0 && monotonic_micros() >= first);
    }
}
