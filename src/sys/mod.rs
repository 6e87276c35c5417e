//! L0: all `unsafe` code of the crate: what the operating system and C libraries offer without a safe wrapper.

mod free_space;

pub use free_space::free_bytes;
