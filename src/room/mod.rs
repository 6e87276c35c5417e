//! L2: rooms: membership, grants, tokens, events. Pure: the time comes in.

mod directory;
mod event;
mod grant;
mod membership;
mod moderation;
mod participant;
mod refusal;
mod stage;
pub mod token;

#[cfg(test)]
mod tests;

pub use directory::{Directory, Registered};
pub use event::{Departure, Event};
pub use grant::Grant;
pub use membership::{Admitted, Joining, Room, RoomOptions, Rooms};
pub use participant::{MemberKey, Participant, RESERVED, WAITING};
pub use refusal::Refusal;
pub use stage::{Stage, StagePart};
