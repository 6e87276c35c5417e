//! L3: the embedded room server: signalling, the SFU driver, tokens, pages.

pub mod signal;
