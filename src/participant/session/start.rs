//! The beginning of a stay: connections built, tracks announced.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use super::super::machine::Input;
use super::super::publish::{self, Demand};
use super::super::receive::{self, Sources};
use super::super::roster::Roster;
use super::super::uplink::Uplink;
use super::heartbeat::Heartbeat;
use super::{Context, Session, SessionError, description};
use crate::rtc::peer::{
    EVENT_CAPACITY, IceServer, PeerEvent, PeerSettings, PublisherPeer, Side, SubscriberPeer,
};
use crate::rtc::signal::client::SignalSocket;
use crate::rtc::signal::proto::signal_request::Message as Request;
use crate::rtc::signal::proto::{self, ClientConfigSetting, JoinResponse, ParticipantInfo};

/// How often the uplink is looked at though nothing is reported.
const UPLINK_TICK: Duration = Duration::from_millis(500);

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
        let (tell, peer_events) = mpsc::channel(EVENT_CAPACITY);
        let (subscriber, packets) = SubscriberPeer::new(&settings, tell.clone()).await?;
        let (sources, announced) = watch::channel(Sources::default());
        let receiver = tokio::spawn(receive::run(packets, announced, context.listener.clone()));
        let demand = Demand::new(&context.config, muted);
        let mut session = Session {
            sid: own.sid.clone(),
            token,
            socket: Some(socket),
            heartbeat: Heartbeat::new(&join),
            peer_events,
            publisher: publisher(&context, &settings, own, tell).await?,
            pump: None,
            subscriber,
            _receiver: AbortOnDropHandle::new(receiver),
            sources,
            demand,
            attributes: Default::default(),
            wants: watch::Sender::new(demand.wants()),
            uplink: context.config.video.as_ref().map(|video| Uplink::new(publish::bitrates(video))),
            uplink_tick: tokio::time::interval(UPLINK_TICK),
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

    /// The tracks first, then the offer that holds them: the server matches them by the client's ids.
    async fn announce(&mut self) -> Result<(), SessionError> {
        let Some(publisher) = &self.publisher else { return Ok(()) };
        let sdp = publisher.offer(false).await?;
        for request in publish::announcements(&self.context.config, self.demand.audio_muted) {
            self.send(Request::AddTrack(request)).await?;
        }
        self.send(Request::Offer(description("offer", sdp, 0))).await
    }
}

/// The publishing connection, when there is something to publish and we may.
async fn publisher(
    context: &Context,
    settings: &PeerSettings,
    own: &ParticipantInfo,
    tell: mpsc::Sender<(Side, PeerEvent)>,
) -> Result<Option<PublisherPeer>, SessionError> {
    let tracks = publish::tracks(&context.config);
    let allowed = own.permission.as_ref().is_none_or(|permission| permission.can_publish);
    if !allowed || (tracks.video.is_none() && tracks.audio.is_none()) {
        return Ok(None);
    }
    let stream = context.stream.clone();
    let on_keyframe_request = move |layer| stream.request_keyframe(layer);
    Ok(Some(PublisherPeer::new(settings, &tracks, on_keyframe_request, tell).await?))
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
