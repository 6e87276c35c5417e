//! Join and admin tokens: HS256 JWT (RFC 7519) signed with a key's secret, in two claim shapes that become one
//! [`Grant`](super::Grant). Pure: the time comes in, and files are read elsewhere.
//!
//! | shape | key | who | rights |
//! |---|---|---|---|
//! | LiveKit | `iss` | `sub` | `video: {room, roomJoin, …}`; absent `canPublish` and `canSubscribe` mean true |
//! | app server | `apikey` | `participantId` | `permissions`, `roles`, `roomId`; what is missing means none |

mod claims;
mod error;
mod keys;

pub use claims::{AppToken, GuestRight};
pub use error::{KeysError, TokenError};
pub use keys::{Keys, LEEWAY, SECRET_CHARACTERS, TOKEN_BYTES};

#[cfg(test)]
mod tests;
