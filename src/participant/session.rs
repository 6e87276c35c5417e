//! One stay in the room: the signalling connection, the two WebRTC connections, and who is there.

mod heartbeat;
mod message;
mod start;
mod upstream;

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use self::heartbeat::Heartbeat;
use super::machine::Input;
use super::publish::{self, Demand, MICROPHONE};
use super::receive::Sources;
use super::roster::Roster;
use super::uplink::Uplink;
use super::{Attributes, Config, Event, Listener};
use crate::media::{Stream, Wants};
use crate::rtc::peer::{PeerError, PeerEvent, PeerState, PublisherPeer, Side, SubscriberPeer};
use crate::rtc::signal::client::{SignalError, SignalSocket};
use crate::rtc::signal::proto::signal_request::Message as Request;
use crate::rtc::signal::proto::signal_response::Message as Response;
use crate::rtc::signal::proto::{
    DisconnectReason, LeaveRequest, MuteTrackRequest, ReconnectResponse, SessionDescription, SignalTarget,
    SyncState, TrackInfo, TrackPublishedResponse, TrickleRequest, UpdateParticipantMetadata,
    UpdateSubscription,
};

/// What every session of this box needs.
pub(super) struct Context {
    pub config: Config,
    /// The server is on this machine.
    pub loopback: bool,
    pub stream: Stream,
    pub listener: Arc<dyn Listener>,
    pub events: Box<dyn Fn(Event) + Send + Sync>,
}

/// Why a session cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    #[error(transparent)]
    Signal(#[from] SignalError),
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error("the join response names no participant")]
    NoParticipant,
}

impl From<SessionError> for Input {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Signal(error) => Input::SignalLost(error.to_string()),
            other => Input::SessionFailed(other.to_string()),
        }
    }
}

/// What a session waits for. One at a time, moved once: boxing would buy nothing.
#[allow(clippy::large_enum_variant)]
pub(super) enum Wake {
    Signal(Result<Response, SignalError>),
    Peer(Side, PeerEvent),
    PingDue,
    UplinkDue,
    PumpEnded(Result<(), PeerError>),
}

pub(super) struct Session {
    context: Arc<Context>,
    sid: String,
    token: String,
    /// None while it is being resumed.
    socket: Option<SignalSocket>,
    heartbeat: Heartbeat,
    peer_events: mpsc::Receiver<(Side, PeerEvent)>,
    publisher: Option<PublisherPeer>,
    pump: Option<AbortOnDropHandle<Result<(), PeerError>>>,
    subscriber: SubscriberPeer,
    _receiver: AbortOnDropHandle<()>,
    sources: watch::Sender<Sources>,
    demand: Demand,
    /// What everybody in the room knows of the box.
    attributes: Attributes,
    wants: watch::Sender<Wants>,
    /// None without a camera.
    uplink: Option<Uplink>,
    /// When the uplink is looked at though nothing is reported.
    uplink_tick: tokio::time::Interval,
    roster: Roster,
    /// By the client's id.
    published: HashMap<String, TrackInfo>,
    /// The subscriber connection's last offer and answer, for a resume.
    described: Option<(SessionDescription, SessionDescription)>,
    /// The next participant update names everybody.
    full_update_due: bool,
    /// The next answer to our offer ends a resume.
    resuming: bool,
}

impl Session {
    /// Goes on with a new signalling connection.
    pub async fn resume(
        &mut self,
        socket: SignalSocket,
        _response: ReconnectResponse,
    ) -> Result<Option<Input>, SessionError> {
        self.socket = Some(socket);
        self.heartbeat.heard();
        self.full_update_due = true;
        let (offer, answer) = self.described.clone().unzip();
        let published = |(cid, track): (&String, &TrackInfo)| TrackPublishedResponse {
            cid: cid.clone(),
            track: Some(track.clone()),
        };
        let state = SyncState {
            offer,
            answer,
            subscription: Some(subscription(self.roster.heard(), true)),
            publish_tracks: self.published.iter().map(published).collect(),
            ..Default::default()
        };
        self.send(Request::SyncState(state)).await?;
        self.send_mute().await?;
        self.send_attributes().await?;
        let Some(publisher) = &self.publisher else { return Ok(Some(Input::Resumed)) };
        self.resuming = true;
        let sdp = publisher.offer(true).await?;
        self.send(Request::Offer(description("offer", sdp, 0))).await?;
        Ok(None)
    }

    /// The signalling connection is of no use any more.
    pub fn detach(&mut self) {
        self.socket = None;
    }

    /// The participant's sid and its newest token, for a resume.
    pub fn credentials(&self) -> (String, String) {
        (self.sid.clone(), self.token.clone())
    }

    /// How many are in the room, the box included.
    pub fn participant_count(&self) -> u32 {
        self.roster.participants()
    }

    /// Waits for whatever comes next. Cancel-safe.
    pub async fn wait(&mut self) -> Wake {
        let signal = async {
            match &mut self.socket {
                Some(socket) => socket.recv().await,
                None => std::future::pending().await,
            }
        };
        let pumped = async {
            match &mut self.pump {
                Some(pump) => pump.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            message = signal => Wake::Signal(message),
            Some((side, event)) = self.peer_events.recv() => Wake::Peer(side, event),
            _ = self.heartbeat.interval.tick() => Wake::PingDue,
            _ = self.uplink_tick.tick(), if self.uplink.is_some() => Wake::UplinkDue,
            ended = pumped => {
                self.pump = None;
                Wake::PumpEnded(ended.unwrap_or(Err(PeerError::NotNegotiated("task: it panicked"))))
            }
        }
    }

    /// Does what has to be done; an input for the machine comes out when it concerns the connection.
    pub async fn handle(&mut self, wake: Wake) -> Result<Option<Input>, SessionError> {
        match wake {
            Wake::Signal(message) => {
                self.heartbeat.heard();
                self.message(message?).await
            }
            Wake::Peer(side, PeerEvent::Candidate(candidate_init)) => {
                let target = match side {
                    Side::Publisher => SignalTarget::Publisher,
                    Side::Subscriber => SignalTarget::Subscriber,
                };
                let trickle = TrickleRequest { candidate_init, target: target as i32, r#final: false };
                self.send(Request::Trickle(trickle)).await?;
                Ok(None)
            }
            Wake::Peer(side, PeerEvent::State(state)) => {
                tracing::debug!(?side, ?state, "connection");
                if (side, state) == (Side::Publisher, PeerState::Connected) {
                    self.start_pump().await?;
                }
                Ok(Some(Input::Peer(side, state)))
            }
            Wake::Peer(_, PeerEvent::Feedback(fates)) => {
                self.uplink_reported(&fates);
                Ok(None)
            }
            Wake::UplinkDue => {
                self.uplink_due();
                Ok(None)
            }
            Wake::PingDue => self.ping().await.map(|()| None),
            Wake::PumpEnded(ended) => Ok(ended.map(|()| None)?),
        }
    }

    /// The people turned the microphone off or on.
    pub async fn set_muted(&mut self, muted: bool) -> Result<(), SessionError> {
        if self.demand.audio_muted == muted {
            return Ok(());
        }
        self.demand.audio_muted = muted;
        self.update_wants();
        self.send_mute().await
    }

    /// Lets everybody know `attributes` of the box; what is the same for the server changes nothing there.
    pub async fn set_attributes(&mut self, attributes: Attributes) -> Result<(), SessionError> {
        self.attributes = attributes;
        self.send_attributes().await
    }

    async fn send_attributes(&mut self) -> Result<(), SessionError> {
        if self.attributes.is_empty() {
            return Ok(());
        }
        let attributes = self.attributes.clone().into_iter().collect();
        let request = UpdateParticipantMetadata { attributes, ..Default::default() };
        self.send(Request::UpdateMetadata(request)).await
    }

    async fn send_mute(&mut self) -> Result<(), SessionError> {
        let muted = self.demand.audio_muted;
        let Some(track) = self.published.get_mut(MICROPHONE) else { return Ok(()) };
        track.muted = muted;
        let sid = track.sid.clone();
        self.send(Request::Mute(MuteTrackRequest { sid, muted })).await
    }

    fn update_wants(&self) {
        let wants = self.demand.wants();
        self.wants.send_if_modified(|current| std::mem::replace(current, wants) != wants);
    }

    async fn start_pump(&mut self) -> Result<(), SessionError> {
        let Some(publisher) = self.publisher.as_ref().filter(|_| self.pump.is_none()) else { return Ok(()) };
        let (video, audio) = (publisher.video_sender(), publisher.audio_sender().await?);
        let reader = self.context.stream.subscribe("room", self.demand.wants());
        let pump = tokio::spawn(publish::pump(reader, video, audio, self.wants.subscribe()));
        self.pump = Some(AbortOnDropHandle::new(pump));
        Ok(())
    }

    async fn ping(&mut self) -> Result<(), SessionError> {
        if self.socket.is_some() && self.heartbeat.is_over() {
            return Err(SignalError::Timeout(self.heartbeat.timeout).into());
        }
        let ping = self.heartbeat.ping();
        self.send(Request::PingReq(ping)).await
    }

    /// Sends, or leaves it when there is no connection: a resume tells the server everything again.
    async fn send(&mut self, request: Request) -> Result<(), SessionError> {
        match &mut self.socket {
            Some(socket) => Ok(socket.send(request).await?),
            None => Ok(()),
        }
    }

    /// Ends it; `goodbye` tells the server first.
    pub async fn end(mut self, goodbye: bool) {
        if goodbye {
            let reason = DisconnectReason::ClientInitiated as i32;
            let request = LeaveRequest { reason, ..Default::default() };
            if let Err(error) = self.send(Request::Leave(request)).await {
                tracing::debug!(%error, "leaving");
            }
        }
        self.pump = None;
        if let Some(publisher) = &self.publisher {
            publisher.close().await;
        }
        self.subscriber.close().await;
        if let Some(socket) = self.socket.take() {
            socket.close().await;
        }
    }
}

fn description(kind: &str, sdp: String, id: u32) -> SessionDescription {
    SessionDescription { r#type: kind.into(), sdp, id, ..Default::default() }
}

fn subscription(track_sids: Vec<String>, subscribe: bool) -> UpdateSubscription {
    UpdateSubscription { track_sids, subscribe, participant_tracks: Vec::new() }
}
