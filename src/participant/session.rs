//! One stay in the room: the signalling connection, the two WebRTC connections, and who is there.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use super::machine::Input;
use super::publish::{self, Demand, MICROPHONE};
use super::receive::{self, Source, Sources};
use super::roster::{Change, Roster};
use super::{Config, Event, Listener, open};
use crate::base::clock;
use crate::media::{Stream, Wants};
use crate::rtc::peer::{
    EVENT_CAPACITY, IceServer, PeerError, PeerEvent, PeerSettings, PeerState, PublisherPeer, Side,
    SubscriberPeer, media_sources,
};
use crate::rtc::signal::client::{SignalError, SignalSocket};
use crate::rtc::signal::proto::signal_request::Message as Request;
use crate::rtc::signal::proto::signal_response::Message as Response;
use crate::rtc::signal::proto::{
    self, ClientConfigSetting, DisconnectReason, JoinResponse, LeaveRequest, MuteTrackRequest,
    ParticipantInfo, Ping, ReconnectResponse, SessionDescription, SignalTarget, SyncState, TrackInfo,
    TrackPublishedResponse, TrickleRequest, UpdateSubscription, request_response,
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

/// What a session waits for.
pub(super) enum Wake {
    Signal(Result<Response, SignalError>),
    Peer(Side, PeerEvent),
    PingDue,
    PumpEnded(Result<(), PeerError>),
}

/// The server's timers.
struct Heartbeat {
    interval: tokio::time::Interval,
    timeout: Duration,
    heard: Instant,
    rtt_ms: i64,
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
    wants: watch::Sender<Wants>,
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
    /// Builds the connections and announces what we publish and want to hear.
    pub async fn start(
        context: Arc<Context>,
        socket: SignalSocket,
        join: JoinResponse,
        token: String,
        muted: bool,
    ) -> Result<(Self, Input), SessionError> {
        let own = join.participant.as_ref().ok_or(SessionError::NoParticipant)?;
        let settings = settings(&context, &join);
        let (peer_events_in, peer_events) = mpsc::channel(EVENT_CAPACITY);
        let (subscriber, packets) = SubscriberPeer::new(&settings, peer_events_in.clone()).await?;
        let (sources, announced) = watch::channel(Sources::default());
        let receiver = tokio::spawn(receive::run(packets, announced, context.listener.clone()));
        let tracks = publish::tracks(&context.config);
        let may_publish = own.permission.as_ref().is_none_or(|permission| permission.can_publish);
        let publisher = if may_publish && (tracks.video.is_some() || tracks.audio.is_some()) {
            let stream = context.stream.clone();
            let on_keyframe_request = move |layer| stream.request_keyframe(layer);
            Some(PublisherPeer::new(&settings, &tracks, on_keyframe_request, peer_events_in).await?)
        } else {
            None
        };
        let demand = Demand::new(&context.config, muted);
        let mut session = Session {
            sid: own.sid.clone(),
            token,
            socket: Some(socket),
            heartbeat: Heartbeat::new(&join),
            peer_events,
            publisher,
            pump: None,
            subscriber,
            _receiver: AbortOnDropHandle::new(receiver),
            sources,
            demand,
            wants: watch::Sender::new(demand.wants()),
            roster: Roster::new(own),
            published: HashMap::new(),
            described: None,
            full_update_due: false,
            resuming: false,
            context,
        };
        session.announce().await?;
        session.participants(&join.other_participants, false).await?;
        let joined =
            Input::Joined { publisher: session.publisher.is_some(), subscriber: join.subscriber_primary };
        Ok((session, joined))
    }

    async fn announce(&mut self) -> Result<(), SessionError> {
        let Some(publisher) = &self.publisher else { return Ok(()) };
        let sdp = publisher.offer(false).await?;
        for request in publish::announcements(&self.context.config, self.demand.audio_muted) {
            self.send(Request::AddTrack(request)).await?;
        }
        self.send(Request::Offer(description("offer", sdp, 0))).await
    }

    /// Goes on with a new signalling connection.
    pub async fn resume(
        &mut self,
        socket: SignalSocket,
        _response: ReconnectResponse,
    ) -> Result<Option<Input>, SessionError> {
        self.socket = Some(socket);
        self.heartbeat.heard = clock::now();
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
                self.heartbeat.heard = clock::now();
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
            Wake::PingDue => self.ping().await.map(|()| None),
            Wake::PumpEnded(ended) => Ok(ended.map(|()| None)?),
        }
    }

    async fn message(&mut self, message: Response) -> Result<Option<Input>, SessionError> {
        match message {
            Response::Offer(offer) => self.offered(offer).await?,
            Response::Answer(answer) => return self.answered(answer.sdp).await,
            Response::Trickle(trickle) => self.trickled(trickle).await?,
            Response::Update(update) => {
                let complete = std::mem::take(&mut self.full_update_due);
                return self.participants(&update.participants, complete).await;
            }
            Response::TrackPublished(TrackPublishedResponse { cid, track: Some(track) }) => {
                let differs = cid == MICROPHONE && track.muted != self.demand.audio_muted;
                self.published.insert(cid, track);
                if differs {
                    self.send_mute().await?;
                }
            }
            Response::Mute(mute) => self.muted_by_room(&mute).await?,
            Response::SubscribedQualityUpdate(update) => {
                self.demand.quality_update(&update);
                self.update_wants();
            }
            Response::SpeakersChanged(changed) => {
                let speakers = self.roster.speakers(&changed.speakers);
                (self.context.events)(Event::ActiveSpeakers(speakers));
            }
            Response::RefreshToken(token) => self.token = token,
            Response::PongResp(pong) => {
                let now_ms = wall_ms();
                self.heartbeat.rtt_ms = now_ms.saturating_sub(pong.last_ping_timestamp).clamp(0, 60_000);
            }
            Response::Leave(request) => return Ok(Some(Input::Leave(open::leave(&request)))),
            Response::RequestResponse(response) if response.reason != request_response::Reason::Ok as i32 => {
                tracing::warn!(
                    reason = response.reason,
                    message = response.message,
                    "the server refused a request"
                );
            }
            other => tracing::trace!(?other, "not for us"),
        }
        Ok(None)
    }

    async fn offered(&mut self, offer: SessionDescription) -> Result<(), SessionError> {
        let sdp = self.subscriber.offer(offer.sdp.clone()).await?;
        let sources = media_sources(&offer.sdp).into_iter().map(|source| {
            let identity = self.roster.identity_of(&source.track, &source.stream);
            (source.ssrc, Source { identity, track_sid: source.track })
        });
        self.sources.send_replace(Arc::new(sources.collect()));
        let answer = description("answer", sdp, offer.id);
        self.described = Some((offer, answer.clone()));
        self.send(Request::Answer(answer)).await
    }

    async fn answered(&mut self, sdp: String) -> Result<Option<Input>, SessionError> {
        let Some(publisher) = &self.publisher else { return Ok(None) };
        publisher.answer(sdp).await?;
        Ok(std::mem::take(&mut self.resuming).then_some(Input::Resumed))
    }

    async fn trickled(&mut self, trickle: TrickleRequest) -> Result<(), SessionError> {
        if trickle.candidate_init.is_empty() {
            return Ok(());
        }
        let added = match (SignalTarget::try_from(trickle.target), &self.publisher) {
            (Ok(SignalTarget::Publisher), Some(publisher)) => {
                publisher.add_candidate(&trickle.candidate_init).await
            }
            (Ok(SignalTarget::Subscriber), _) => self.subscriber.add_candidate(&trickle.candidate_init).await,
            _ => Ok(()),
        };
        // One path less; the others decide.
        if let Err(error) = added {
            tracing::warn!(%error, "candidate left out");
        }
        Ok(())
    }

    async fn participants(
        &mut self,
        infos: &[ParticipantInfo],
        complete: bool,
    ) -> Result<Option<Input>, SessionError> {
        let Change { subscribe, unsubscribe, participants, can_publish } =
            self.roster.update(infos, complete);
        for (track_sids, on) in [(unsubscribe, false), (subscribe, true)] {
            if !track_sids.is_empty() {
                self.send(Request::Subscription(subscription(track_sids, on))).await?;
            }
        }
        if let Some(count) = participants {
            (self.context.events)(Event::ParticipantsChanged(count));
        }
        let config = &self.context.config;
        let let_in =
            can_publish == Some(true) && self.publisher.is_none() && (config.audio || config.video.is_some());
        Ok(let_in
            .then(|| Input::Leave(super::machine::Leave::Reconnect("permission to publish given".into()))))
    }

    async fn muted_by_room(&mut self, mute: &MuteTrackRequest) -> Result<(), SessionError> {
        let cid = self.published.iter().find(|(_, track)| track.sid == mute.sid).map(|(cid, _)| cid.as_str());
        match cid {
            Some(MICROPHONE) if mute.muted && !self.demand.audio_muted => {
                self.set_muted(true).await?;
                (self.context.events)(Event::MutedByRoom);
            }
            // The people in the room own their microphone: nobody afar turns it on. Say so.
            Some(MICROPHONE) => self.send_mute().await?,
            Some(_) => {
                self.demand.video_muted = mute.muted;
                self.update_wants();
            }
            None => {}
        }
        Ok(())
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
        if self.socket.is_some() && clock::now().duration_since(self.heartbeat.heard) > self.heartbeat.timeout
        {
            return Err(SignalError::Timeout(self.heartbeat.timeout).into());
        }
        let ping = Ping { timestamp: wall_ms(), rtt: self.heartbeat.rtt_ms };
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

impl Heartbeat {
    fn new(join: &JoinResponse) -> Self {
        let seconds = |asked: i32, usual: u64, range: std::ops::RangeInclusive<u64>| {
            let asked = u64::try_from(asked).ok().filter(|asked| *asked > 0).unwrap_or(usual);
            Duration::from_secs(asked.clamp(*range.start(), *range.end()))
        };
        let period = seconds(join.ping_interval, 5, 1..=60);
        let mut interval = tokio::time::interval(period);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let timeout = seconds(join.ping_timeout, 15, 5..=120).max(period * 2);
        Heartbeat { interval, timeout, heard: clock::now(), rtt_ms: 0 }
    }
}

fn settings(context: &Context, join: &JoinResponse) -> PeerSettings {
    let server = |server: &proto::IceServer| IceServer {
        urls: server.urls.clone(),
        username: server.username.clone(),
        credential: server.credential.clone(),
    };
    let forced = |configuration: &proto::ClientConfiguration| {
        configuration.force_relay == ClientConfigSetting::Enabled as i32
    };
    PeerSettings {
        ice_servers: join.ice_servers.iter().map(server).collect(),
        relay_only: join.client_configuration.as_ref().is_some_and(forced),
        loopback: context.loopback,
    }
}

fn description(kind: &str, sdp: String, id: u32) -> SessionDescription {
    SessionDescription { r#type: kind.into(), sdp, id, ..Default::default() }
}

fn subscription(track_sids: Vec<String>, subscribe: bool) -> UpdateSubscription {
    UpdateSubscription { track_sids, subscribe, participant_tracks: Vec::new() }
}

fn wall_ms() -> i64 {
    let since = clock::wall().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(0)
}
