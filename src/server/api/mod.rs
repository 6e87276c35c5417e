//! The server's APIs for app servers and moderators.
//!
//! | file | what |
//! |---|---|
//! | `guard` | who asks, how often, how much |
//! | `twirp` | Twirp (version 7): protobuf and JSON bodies, its errors |
//! | `room_service` | `livekit.RoomService` |

mod guard;
mod room_service;
#[cfg(test)]
mod tests;
mod twirp;

use std::sync::Arc;

use axum::Router;
use axum::routing::any;

use super::signal::Handle;
use crate::room::token::Keys;
use guard::Rates;

/// What the calls need.
#[derive(Clone)]
struct Api {
    rooms: Handle,
    keys: Arc<Keys>,
    rates: Arc<Rates>,
}

/// The paths of the APIs: `/twirp/…`.
pub fn routes(rooms: Handle, keys: Arc<Keys>) -> Router {
    Router::new()
        .route("/twirp/livekit.RoomService/{method}", any(room_service::serve))
        .route("/twirp/{*path}", any(twirp::unknown))
        .with_state(Api { rooms, keys, rates: Arc::default() })
}
