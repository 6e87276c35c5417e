//! What both connections share: building, offers and answers, candidates that come too early, events.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::mpsc;
use webrtc::error::Error;
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceCandidateInit,
    RTCIceConnectionState, RTCPeerConnectionIceEvent, RTCPeerConnectionState, RTCSdpType,
    RTCSessionDescription, Registry,
};

use super::engine;
use super::{PeerError, PeerEvent, PeerSettings, PeerState, Side};

/// Candidates kept until there is a remote description; more than any server has addresses.
const MAX_EARLY_CANDIDATES: usize = 128;

pub(super) struct Connection {
    pub side: Side,
    pub pc: Arc<dyn PeerConnection>,
    /// None once there is a remote description.
    early: Mutex<Option<Vec<RTCIceCandidateInit>>>,
}

impl Connection {
    pub async fn new(
        side: Side,
        settings: &PeerSettings,
        registry: Registry,
        events: mpsc::Sender<(Side, PeerEvent)>,
    ) -> Result<Self, PeerError> {
        let failed = |what| move |source| PeerError::Rtc { side, what, source: Box::new(source) };
        let pc = PeerConnectionBuilder::new()
            .with_configuration(engine::configuration(settings))
            .with_media_engine(engine::media_engine().map_err(failed("codecs"))?)
            .with_setting_engine(engine::setting_engine())
            .with_interceptor_registry(registry)
            .with_handler(Arc::new(Handler { side, events }))
            .with_udp_addrs(engine::udp_addresses(settings))
            .build()
            .await
            .map_err(failed("building"))?;
        Ok(Connection { side, pc: Arc::new(pc), early: Mutex::new(Some(Vec::new())) })
    }

    pub fn failed(&self, what: &'static str) -> impl FnOnce(Error) -> PeerError + use<> {
        let side = self.side;
        move |source| PeerError::Rtc { side, what, source: Box::new(source) }
    }

    /// Makes an offer of what is attached and applies it locally.
    pub async fn offer(&self, restart_ice: bool) -> Result<String, PeerError> {
        if restart_ice {
            self.pc.restart_ice().await.map_err(self.failed("ICE restart"))?;
        }
        let offer = self.pc.create_offer(None).await.map_err(self.failed("offer"))?;
        let sdp = offer.sdp.clone();
        self.pc.set_local_description(offer).await.map_err(self.failed("local offer"))?;
        Ok(sdp)
    }

    /// Applies what the other side says, and the candidates that came before it.
    pub async fn set_remote(&self, kind: RTCSdpType, sdp: String) -> Result<(), PeerError> {
        let description = match kind {
            RTCSdpType::Offer => RTCSessionDescription::offer(sdp),
            _ => RTCSessionDescription::answer(sdp),
        };
        let description = description.map_err(self.failed("remote description"))?;
        // In a task of its own: what a server's SDP makes the library panic about ends this connection only.
        let pc = self.pc.clone();
        let applied = tokio::spawn(async move { pc.set_remote_description(description).await }).await;
        applied.map_err(|_| PeerError::Panicked(self.side))?.map_err(self.failed("remote description"))?;
        let early = self.early.lock().unwrap_or_else(PoisonError::into_inner).take();
        for candidate in early.into_iter().flatten() {
            self.add(candidate).await;
        }
        Ok(())
    }

    /// Takes a candidate of the other side, now or once there is a remote description.
    pub async fn add_candidate(&self, json: &str) -> Result<(), PeerError> {
        let candidate: RTCIceCandidateInit = serde_json::from_str(json)?;
        if let Some(early) = self.early.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            if early.len() < MAX_EARLY_CANDIDATES {
                early.push(candidate);
            }
            return Ok(());
        }
        self.add(candidate).await;
        Ok(())
    }

    /// A candidate that does not work is one path less, no failure.
    async fn add(&self, candidate: RTCIceCandidateInit) {
        if let Err(error) = self.pc.add_ice_candidate(candidate).await {
            tracing::debug!(side = ?self.side, %error, "candidate left out");
        }
    }

    pub async fn close(&self) {
        if let Err(error) = self.pc.close().await {
            tracing::debug!(side = ?self.side, %error, "closing");
        }
    }
}

/// Passes the library's callbacks on; runs on the connection's task, never waits.
struct Handler {
    side: Side,
    events: mpsc::Sender<(Side, PeerEvent)>,
}

impl Handler {
    fn tell(&self, event: PeerEvent) {
        if let Err(mpsc::error::TrySendError::Full((side, event))) = self.events.try_send((self.side, event))
        {
            tracing::warn!(?side, ?event, "event lost: the session is too slow");
        }
    }
}

#[async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        let json = event.candidate.to_json().ok().and_then(|init| serde_json::to_string(&init).ok());
        if let Some(json) = json {
            self.tell(PeerEvent::Candidate(json));
        }
    }

    async fn on_ice_connection_state_change(&self, state: RTCIceConnectionState) {
        if state == RTCIceConnectionState::Connected {
            self.tell(PeerEvent::State(PeerState::PathFound));
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        let state = match state {
            RTCPeerConnectionState::Connecting => PeerState::Connecting,
            RTCPeerConnectionState::Connected => PeerState::Connected,
            RTCPeerConnectionState::Disconnected => PeerState::Disconnected,
            RTCPeerConnectionState::Failed => PeerState::Failed,
            // New is no news, and closing is always our own doing.
            _ => return,
        };
        self.tell(PeerEvent::State(state));
    }
}
