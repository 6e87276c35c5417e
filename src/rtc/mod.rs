//! L3: WebRTC endpoints and sockets; hides the libraries that speak it.

pub mod peer;
pub mod sfu;
pub mod signal;
