//! L0: all `unsafe` code of the crate: what the operating system and C libraries offer without a safe wrapper.

pub mod child;
mod free_space;
pub mod jpeg;
mod monotonic;
pub mod openh264;
pub mod openh264_asm;
pub mod scale;
mod tcp_info;
mod terminal;
pub mod v4l2;
pub mod yuv;

pub use free_space::free_bytes;
pub use monotonic::monotonic_micros;
pub use tcp_info::{SendState, send_state};
pub use terminal::terminal_size;
