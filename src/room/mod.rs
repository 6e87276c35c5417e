//! L2: rooms: membership, grants, tokens, events. Pure.

mod grant;

pub use grant::Grant;
