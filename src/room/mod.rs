//! L2: rooms: membership, grants, tokens, events. Pure.

mod grant;
pub mod token;

pub use grant::Grant;
