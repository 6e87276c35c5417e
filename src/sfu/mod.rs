//! L2: what a selective forwarding unit decides: routes, layers, shares of bandwidth, sequence numbers, speakers. Pure.
//!
//! ```text
//!  publisher's packet ─▶ Route ─┬─ Forwarder (subscriber 1): layer, sequence, timestamp ─▶ rtc
//!  (layer, ssrc, seq, ts)       └─ Forwarder (subscriber 2) …
//! ```
//! Nothing here knows sockets or the WebRTC library: packets come in as numbers, numbers come out.

pub mod allocation;
pub mod congestion;
pub mod dynacast;
pub mod forward;
pub mod keyframe;
pub mod layer;
pub mod losses;
pub mod loudest;
pub mod pausing;
pub mod picture;
pub mod quality;
pub mod rate;
pub mod repair;
pub mod route;
pub mod sender_clock;
pub mod sequence;
pub mod spatial;
pub mod speaker;
pub mod timestamp;
pub mod trials;
pub mod vp9;

#[cfg(test)]
mod tests;

pub use allocation::{Allocator, Demand, Share};
pub use congestion::Congestion;
pub use forward::{Forwarder, Incoming, Outgoing};
pub use layer::{LayerSizes, Wish};
pub use picture::PictureIds;
pub use repair::RepairTime;
pub use route::{Layering, Route, Subscriber};
pub use spatial::Spatial;
pub use timestamp::SenderReport;
