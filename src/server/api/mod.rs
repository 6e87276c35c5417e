//! The server's APIs for app servers and moderators.
//!
//! | file | what |
//! |---|---|
//! | `guard` | who asks, how often, how much |
//! | `twirp` | Twirp (version 7): protobuf and JSON bodies, its errors |
//! | `room_service` | `livekit.RoomService` |
//! | `rest` | `/v2/*`, `/openapi.json` |
//! | `whip` | `/whip/v1`, `/whep/v1` |

mod guard;
mod rest;
mod room_service;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod twirp;
mod whip;

use std::sync::Arc;

use axum::Router;
use axum::routing::any;

use super::signal::Handle;
use crate::room::token::Keys;
use crate::store::{Store, StoreError};
use guard::Rates;

pub use rest::document;
#[cfg(any(test, fuzzing))]
pub(crate) use whip::read_sdp;

/// What the calls need.
#[derive(Clone)]
struct Api {
    rooms: Handle,
    keys: Arc<Keys>,
    store: Store,
    rates: Arc<Rates>,
    sessions: Arc<whip::Sessions>,
}

/// The paths of the APIs: `/twirp/…`, `/v2/…`, `/openapi.json`, `/whip/v1`, `/whep/v1`.
pub fn routes(rooms: Handle, keys: Arc<Keys>, store: Store) -> Router {
    rest::routes()
        .route("/twirp/livekit.RoomService/{method}", any(room_service::serve))
        .route("/twirp/{*path}", any(twirp::unknown))
        .merge(whip::routes())
        .with_state(Api { rooms, keys, store, rates: Arc::default(), sessions: Arc::default() })
}

/// The body of a call, in every way in which one is read. `name` is a method of `RoomService`, or a query.
#[cfg(any(test, fuzzing))]
pub(crate) fn read_any(name: &str, body: &[u8]) {
    rest::read_any(name, body);
    room_service::read_any(name, body);
}

/// Tells the room server of the rooms that app servers have made.
///
/// # Errors
/// [`StoreError`].
pub fn register_rooms(rooms: &Handle, store: &Store) -> Result<(), StoreError> {
    let mut directory = rooms.directory_mut();
    for row in store.rooms(0, i64::MAX)? {
        directory.set(&row.id, rest::registered(&row));
    }
    Ok(())
}
