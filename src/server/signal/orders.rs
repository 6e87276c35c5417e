//! The room server's orders, for the APIs: each with the grant of whoever asks. See [`Refusal`] for what can be wrong.

use std::sync::Arc;
use std::time::Duration;

use livekit_protocol as proto;
use tokio::sync::oneshot;

use super::Handle;
use super::engine::Engine;
use crate::room::{Grant, Refusal, RoomOptions};

/// Why a method of a participant has no result.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RpcFailure {
    /// The call was not made.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The participant answered with an error.
    #[error("RpcError {}: {}", .0.code, .0.message)]
    Failed(proto::RpcError),
    /// It left before it answered.
    #[error("the participant left before it answered")]
    Left,
    /// It did not answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

impl Handle {
    /// Makes a room, or changes the one of this name.
    pub async fn create_room(&self, name: String, options: RoomOptions) -> Result<proto::Room, Refusal> {
        let passage = self.placement.enter(&name)?;
        let shard = self.shard(passage.shard);
        let make = move |engine: &mut Engine| {
            let made = engine.create_room(&name, options);
            // It is there now, or will not be.
            drop(passage);
            made
        };
        shard.order(make).await?
    }

    /// The rooms of these names; of no name: all.
    pub async fn list_rooms(&self, names: Vec<String>) -> Result<Vec<proto::Room>, Refusal> {
        let (names, mut rooms) = (Arc::new(names), Vec::new());
        for shard in 0..self.requests.len() {
            let names = Arc::clone(&names);
            rooms.extend(self.shard(shard).order(move |engine| engine.list_rooms(&names)).await?);
        }
        rooms.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(rooms)
    }

    /// Puts everybody out of a room, by name or sid, and ends it.
    pub async fn delete_room(&self, grant: Grant, room: String) -> Result<(), Refusal> {
        self.shard_of(&room).order(move |engine| engine.delete_room(&grant, &room)).await?
    }

    /// Everybody in a room, hidden participants too.
    pub async fn list_participants(
        &self,
        grant: Grant,
        room: String,
    ) -> Result<Vec<proto::ParticipantInfo>, Refusal> {
        self.shard_of(&room).order(move |engine| engine.list_participants(&grant, &room)).await?
    }

    /// One of a room.
    pub async fn get_participant(
        &self,
        grant: Grant,
        room: String,
        identity: String,
    ) -> Result<proto::ParticipantInfo, Refusal> {
        self.shard_of(&room).order(move |engine| engine.get_participant(&grant, &room, &identity)).await?
    }

    /// Puts one out; whoever waits is turned away.
    pub async fn remove_participant(
        &self,
        grant: Grant,
        room: String,
        identity: String,
    ) -> Result<(), Refusal> {
        self.shard_of(&room).order(move |engine| engine.remove_participant(&grant, &room, &identity)).await?
    }

    /// Mutes a track.
    pub async fn mute_track(
        &self,
        grant: Grant,
        request: proto::MuteRoomTrackRequest,
    ) -> Result<proto::TrackInfo, Refusal> {
        self.shard_of(&request.room).order(move |engine| engine.mute_track(&grant, &request)).await?
    }

    /// Changes a participant: what it may do, its name, metadata and attributes.
    pub async fn update_participant(
        &self,
        grant: Grant,
        request: proto::UpdateParticipantRequest,
    ) -> Result<proto::ParticipantInfo, Refusal> {
        self.shard_of(&request.room).order(move |engine| engine.update_participant(&grant, &request)).await?
    }

    /// Subscribes or unsubscribes a participant.
    pub async fn update_subscriptions(
        &self,
        grant: Grant,
        request: proto::UpdateSubscriptionsRequest,
    ) -> Result<(), Refusal> {
        self.shard_of(&request.room).order(move |engine| engine.update_subscriptions(&grant, request)).await?
    }

    /// Sends a data message to participants.
    pub async fn send_data(&self, grant: Grant, request: proto::SendDataRequest) -> Result<(), Refusal> {
        self.shard_of(&request.room).order(move |engine| engine.send_data(&grant, request)).await?
    }

    /// Changes the text for everyone in a room.
    pub async fn update_room_metadata(
        &self,
        grant: Grant,
        request: proto::UpdateRoomMetadataRequest,
    ) -> Result<proto::Room, Refusal> {
        self.shard_of(&request.room).order(move |engine| engine.update_room_metadata(&grant, request)).await?
    }

    /// Calls a method of a participant and waits for its answer.
    pub async fn perform_rpc(
        &self,
        grant: Grant,
        request: proto::PerformRpcRequest,
        timeout: Duration,
    ) -> Result<String, RpcFailure> {
        let (reply, answer) = oneshot::channel();
        let timeout_ms = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        self.shard_of(&request.room)
            .order(move |engine| engine.perform_rpc(&grant, &request, timeout_ms, reply))
            .await??;
        match tokio::time::timeout(timeout, answer).await {
            Ok(Ok(Ok(payload))) => Ok(payload),
            Ok(Ok(Err(error))) => Err(RpcFailure::Failed(error)),
            Ok(Err(_)) => Err(RpcFailure::Left),
            Err(_) => Err(RpcFailure::Timeout(timeout)),
        }
    }
}
