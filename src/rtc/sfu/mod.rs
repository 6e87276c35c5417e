//! The room server's WebRTC endpoints: one UDP and one TCP port, ICE-lite, driven without I/O inside the library.
//!
//! [`Endpoints`] has the connections of one shard; what comes by the ports is handed to it by [`inlet`], what it sends goes
//! out by [`sockets`]. A connection is a publisher's (the client offers,
//! [`publisher`]) or a subscriber's (we offer, [`subscriber`]), or both at once (the client offers, [`single`]), or
//! that of a client that offers once and watches what it is given (`fixed`). What the library cannot be trusted with is
//! checked before ([`sdp::OfferRules`]) and caught behind ([`guard`]).

pub mod addresses;
mod connection;
pub mod dependency;
pub mod endpoints;
mod fixed;
pub mod framing;
pub mod guard;
pub mod inlet;
mod mailbox;
pub mod publisher;
pub mod sdp;
pub mod settings;
pub mod single;
mod slot;
pub mod socket;
pub mod sockets;
pub mod stun;
pub mod subscriber;
pub mod tcp;
mod timers;
mod train;
pub mod whereabouts;

pub use addresses::NodeIp;
pub use connection::{Connection, Traffic};
pub use endpoints::{ConnectionKey, Endpoints, Ports, Role};
pub use settings::{Codecs, VideoCodec};
