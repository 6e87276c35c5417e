//! The connection that receives the others' sound.

use rtc::interceptor::{NackGeneratorBuilder, ReceiverReportBuilder, Slot};
use tokio::sync::mpsc;
use webrtc::peer_connection::{RTCSdpType, Registry};

use super::connection::Connection;
use super::receive::{RECEIVE_CAPACITY, ReceivedPacket, Tap};
use super::{PeerError, PeerEvent, PeerSettings, Side};

/// Receives from a room server.
pub struct SubscriberPeer {
    connection: Connection,
}

impl SubscriberPeer {
    /// A connection that waits for the server's offer, and where its packets come out.
    ///
    /// # Errors
    /// [`PeerError`] when no socket can be bound.
    pub async fn new(
        settings: &PeerSettings,
        events: mpsc::Sender<(Side, PeerEvent)>,
    ) -> Result<(Self, mpsc::Receiver<ReceivedPacket>), PeerError> {
        let (packets, received) = mpsc::channel(RECEIVE_CAPACITY);
        let registry = Registry::new()
            // Unlimited is the library's default: a hundred retransmissions for one lost packet.
            .with(Slot::NackGenerator, NackGeneratorBuilder::new().with_max_nacks_per_packet(3).build())
            .with(Slot::ReceiverReport, ReceiverReportBuilder::new().build())
            .with(Slot::from(14_000), Tap::new(packets));
        let connection = Connection::new(Side::Subscriber, settings, registry, events).await?;
        Ok((SubscriberPeer { connection }, received))
    }

    /// Takes the server's offer and makes the answer.
    ///
    /// # Errors
    /// [`PeerError`] for an offer that is none.
    pub async fn offer(&self, sdp: String) -> Result<String, PeerError> {
        self.connection.set_remote(RTCSdpType::Offer, sdp).await?;
        let pc = &self.connection.pc;
        let answer = pc.create_answer(None).await.map_err(self.connection.failed("answer"))?;
        let sdp = answer.sdp.clone();
        pc.set_local_description(answer).await.map_err(self.connection.failed("local answer"))?;
        Ok(sdp)
    }

    /// A candidate of the server (JSON), at any time.
    ///
    /// # Errors
    /// [`PeerError::Candidate`] when it is no JSON.
    pub async fn add_candidate(&self, json: &str) -> Result<(), PeerError> {
        self.connection.add_candidate(json).await
    }

    /// Ends it.
    pub async fn close(&self) {
        self.connection.close().await;
    }
}
