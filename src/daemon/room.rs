//! The room: one participant session at a time, told in the state.

use crate::control::{Reply, RoomJoin};

/// What the room's lane holds.
#[derive(Debug)]
pub struct Rooms {}

impl Rooms {
    /// Begins to join; how it goes shows in the state.
    pub fn join(&mut self, join: RoomJoin) -> Result<(), Reply> {
        let _ = join;
        Ok(())
    }

    /// Leaves the room if the box is in one.
    pub async fn leave(&mut self) {}
}
