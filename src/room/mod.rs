//! L2: rooms: membership, grants, tokens, events. Pure: the time comes in.

mod event;
mod grant;
mod membership;
mod participant;
pub mod token;

#[cfg(test)]
mod tests;

pub use event::{Departure, Event};
pub use grant::Grant;
pub use membership::{Admitted, Joining, Refusal, Room, Rooms};
pub use participant::{MemberKey, Participant};
