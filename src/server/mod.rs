//! L3: the embedded room server: signalling, the SFU driver, tokens, pages.

pub mod admin;
pub mod api;
pub mod http;
pub mod keys;
pub mod report;
pub mod signal;
pub mod tls;
