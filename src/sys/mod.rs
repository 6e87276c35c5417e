//! L0: all `unsafe` code of the crate: what the operating system and C libraries offer without a safe wrapper.

pub mod child;
mod free_space;
pub mod jpeg;
mod monotonic;
mod ntp;
pub mod openh264;
pub mod openh264_asm;
pub mod scale;
mod tcp_info;
mod terminal;
pub mod v4l2;
pub mod yuv;

// The C library's mathematics, before the compiler's own: without FMA in the target's base set (x86-64), every
// `mul_add` of the voice is a call of `fmaf`, and the C library's chooses the instruction when it is loaded, not at
// each call.
#[link(name = "m")]
unsafe extern "C" {}

pub use free_space::free_bytes;
pub use monotonic::monotonic_micros;
pub use ntp::{ClockState, clock_state};
pub use tcp_info::{SendState, send_state};
pub use terminal::terminal_size;
