//! What the safe wrapper of openh264 does not offer.

use std::ffi::c_int;
use std::ptr::from_mut;

use openh264::encoder::Encoder;
use openh264_sys2::{ENCODER_OPTION_TRACE_LEVEL, WELS_LOG_QUIET};

/// Keeps openh264 from writing to stderr; to be called before the first picture, since initialising is when it
/// talks (about frame skipping being off, which is what we want).
pub fn silence(encoder: &mut Encoder) {
    let mut level: c_int = WELS_LOG_QUIET;
    // SAFETY: the option takes a pointer to an int, is allowed before initialisation and keeps no pointer. Its
    // result is of no use: the worst is a line on stderr.
    unsafe { encoder.raw_api().set_option(ENCODER_OPTION_TRACE_LEVEL, from_mut(&mut level).cast()) };
}
