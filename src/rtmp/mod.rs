//! L2: RTMP as a publisher speaks it (Adobe's RTMP 1.0 specification): handshake, chunks, AMF0, FLV tag bodies, and
//! the [`Publisher`] that puts them together. Bytes in, bytes and events out; no sockets, no clocks.
//!
//! Written here rather than taken: `shiguredo_rtmp` ends the process on nested AMF0 (its stack overflows), drops a
//! connection whose server acknowledges seldom, ignores the stream id that the server gives, and has neither
//! onMetaData nor unpublish. Its server is the independent peer of the tests.

mod amf;
mod chunk;
mod event;
mod flv;
mod handshake;
mod publisher;

pub use event::{Event, RtmpError};
pub use publisher::{Address, Publisher, Sent, Sound};

#[cfg(test)]
mod tests;
