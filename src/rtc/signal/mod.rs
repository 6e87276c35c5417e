//! The LiveKit signalling wire: protobuf messages in binary WebSocket frames, after a request to `/rtc`.
//!
//! [`frame`] is the encoding, shared by both ends; [`url`] and [`client`] are the joining side. The server's
//! side (`server`) reads requests with the same [`frame`] functions, and what a client says when it joins by
//! `/rtc/v1` with [`join_request`].

pub mod client;
pub mod frame;
pub mod gzip;
pub mod join_request;
pub mod url;

/// The messages themselves, as published by LiveKit.
pub use livekit_protocol as proto;
