//! [`Link`] by rumqttc-next. Each connection has its own event loop: nothing is resent behind our back (the library
//! resends for ever what a broker finds too large), credentials are fresh, and what must survive a reconnect is
//! kept by the bridge.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use rumqttc::mqttbytes::v5::{
    ConnectReturnCode, LastWill, LastWillProperties, Packet, PubAckReason, PublishProperties,
};
use rumqttc::{
    AckMode, AsyncClient, ConnectionError, DisconnectReasonCode, EventLoop, MqttOptions, NetworkOptions,
    PersistedAckMode, PersistedSession, PublishNoticeError, PublishOptions, PublishResult, QoS,
    RetainForwardRule, SessionStore, SessionStoreError, SessionStoreKey, StateError, SubscribeFilterInput,
    SubscribeReasonCode, TlsConfiguration, Transport,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::link::{
    Acknowledgement, Delivery, Down, Event, Filter, Full, Link, Message, Publication, Receipt,
};
use super::{Access, Error, tls};

/// The contract's figures.
const ASKER_KEEP_ALIVE_S: u16 = 20;
const SESSION_EXPIRY_S: u32 = 3600;
pub(super) const RECEIVE_MAXIMUM: u16 = 16;
const MAX_PACKET_BYTES: u32 = 16 * 1024;
/// Unacknowledged publications of ours. (The library's default sets 14 MiB aside.)
const IN_FLIGHT: u16 = 32;
/// Requests on their way to the event loop; when full, [`Full`].
const REQUESTS: usize = 64;
/// Events on their way from it; when full it waits, and the broker with it.
const EVENTS: usize = 32;

/// What distinguishes the box's connection from an asker's.
pub(super) enum Role {
    /// Its session outlives a connection; the last will is published when it breaks.
    Box { will: Publication, will_delay_s: u32, keep_alive_s: u16 },
    /// Nothing remains.
    Asker,
}

/// A connection by rumqttc.
pub(super) struct RumqttLink {
    client: AsyncClient,
    events: mpsc::Receiver<Event>,
    poll: JoinHandle<()>,
    down: Option<Down>,
}

impl RumqttLink {
    /// Starts to connect; [`Event::Up`] or [`Event::Down`] tells of the outcome.
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::Tls`] for what the settings name.
    pub(super) fn open(access: &Access, role: Role) -> Result<RumqttLink, Error> {
        let options = options(access, role)?;
        let (client, event_loop) = AsyncClient::builder(options).capacity(REQUESTS).build();
        let (sender, events) = mpsc::channel(EVENTS);
        let poll = tokio::spawn(poll(event_loop, sender));
        Ok(RumqttLink { client, events, poll, down: None })
    }
}

impl Drop for RumqttLink {
    fn drop(&mut self) {
        self.poll.abort();
    }
}

fn options(access: &Access, role: Role) -> Result<MqttOptions, Error> {
    let endpoint = &access.endpoint;
    let mut options = MqttOptions::new(access.client_id.clone(), (endpoint.host.clone(), endpoint.port));
    options
        .set_keep_alive(ASKER_KEEP_ALIVE_S)
        .set_receive_maximum(Some(RECEIVE_MAXIMUM))
        .set_max_packet_size(Some(MAX_PACKET_BYTES))
        .set_outgoing_inflight_upper_limit(IN_FLIGHT)
        .set_ack_mode(AckMode::Manual);
    // Else a reply waits for the acknowledgement of the packet before it: 40 ms.
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
    if let Some((user, password)) = access.credentials()? {
        options.set_credentials(user, password);
    }
    if endpoint.tls {
        let config = TlsConfiguration::Rustls(tls::client_config(access)?);
        options.set_transport(Transport::tls_with_config(config));
    }
    if let Role::Box { will, will_delay_s, keep_alive_s } = role {
        options
            .set_keep_alive(keep_alive_s)
            .set_clean_start(false)
            .set_session_expiry_interval(Some(SESSION_EXPIRY_S))
            .set_session_store(NothingInFlight)
            .set_last_will(last_will(will, will_delay_s));
    }
    Ok(options)
}

fn last_will(will: Publication, delay_s: u32) -> LastWill {
    let properties = LastWillProperties {
        delay_interval: Some(delay_s),
        payload_format_indicator: Some(1),
        message_expiry_interval: None,
        content_type: Some("application/json".to_owned()),
        response_topic: None,
        correlation_data: None,
        user_properties: Vec::new(),
    };
    LastWill::new(will.topic, will.payload, QoS::AtLeastOnce, will.retain, Some(properties))
}

/// Tells the library that our side of the session is known and empty, which it is: nothing of ours is kept in the
/// library beyond a connection, and only QoS 1 is used. Without it a session that the broker kept is refused for
/// ever (`Strict`), or may neither subscribe nor publish with QoS 1 (`AllowBrokerOnly`, 0.34).
#[derive(Debug)]
struct NothingInFlight;

type SessionStoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, SessionStoreError>> + Send + 'a>>;

impl SessionStore for NothingInFlight {
    fn load<'a>(&'a self, key: &'a SessionStoreKey) -> SessionStoreFuture<'a, Option<PersistedSession>> {
        let session = PersistedSession {
            format_version: 1,
            client_id: key.client_id().to_owned(),
            clean_start: false,
            session_expiry_interval: Some(SESSION_EXPIRY_S),
            outgoing_inflight_upper_limit: Some(IN_FLIGHT),
            ack_mode: PersistedAckMode::Manual,
            last_pkid: 0,
            last_puback: 0,
            replay: Vec::new(),
            incoming_qos2: Vec::new(),
        };
        Box::pin(std::future::ready(Ok(Some(session))))
    }

    fn save<'a>(&'a self, _: &'a SessionStoreKey, _: &'a PersistedSession) -> SessionStoreFuture<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn clear<'a>(&'a self, _: &'a SessionStoreKey) -> SessionStoreFuture<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Drives the event loop until its first error; polling on would reconnect without a pause.
async fn poll(mut event_loop: EventLoop, events: mpsc::Sender<Event>) {
    loop {
        let event = match event_loop.poll().await {
            Ok(rumqttc::Event::Incoming(packet)) => incoming(packet),
            Ok(_) => None,
            Err(error) => {
                let _ = events.send(Event::Down(down(&error))).await;
                return;
            }
        };
        if let Some(event) = event
            && events.send(event).await.is_err()
        {
            return;
        }
    }
}

fn incoming(packet: Packet) -> Option<Event> {
    match packet {
        Packet::ConnAck(connack) => {
            let max_packet_bytes = connack.properties.and_then(|properties| properties.max_packet_size);
            Some(Event::Up { max_packet_bytes })
        }
        Packet::SubAck(suback) => {
            let refusal = |code: &SubscribeReasonCode| match code {
                SubscribeReasonCode::Success(_) => None,
                refused => Some(format!("{refused:?}")),
            };
            Some(Event::Subscribed(suback.return_codes.iter().map(refusal).collect()))
        }
        Packet::Publish(publish) => Some(Event::Message(Box::new(message(publish)))),
        _ => None,
    }
}

fn message(publish: rumqttc::Publish) -> Message {
    let acknowledgement = match publish.qos {
        QoS::AtLeastOnce => Some(rumqttc::ManualAck::PubAck(rumqttc::PubAck::new(publish.pkid, None))),
        QoS::ExactlyOnce => Some(rumqttc::ManualAck::PubRec(rumqttc::PubRec::new(publish.pkid, None))),
        QoS::AtMostOnce => None,
    };
    let properties = publish.properties.unwrap_or_default();
    Message {
        topic: String::from_utf8_lossy(&publish.topic).into_owned(),
        payload: publish.payload,
        retain: publish.retain,
        expiry_s: properties.message_expiry_interval,
        response_topic: properties.response_topic,
        correlation: properties.correlation_data,
        user_properties: properties.user_properties,
        acknowledgement,
    }
}

fn down(error: &ConnectionError) -> Down {
    use {ConnectReturnCode as Refused, DisconnectReasonCode as Reason};
    let overloaded = match error {
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. }) => matches!(
            reason_code,
            Reason::ServerBusy
                | Reason::UseAnotherServer
                | Reason::QuotaExceeded
                | Reason::MessageRateTooHigh
                | Reason::ConnectionRateExceeded
        ),
        ConnectionError::ConnectionRefused(code) => matches!(
            code,
            Refused::ServerBusy
                | Refused::ServerUnavailable
                | Refused::UseAnotherServer
                | Refused::QuotaExceeded
                | Refused::ConnectionRateExceeded
        ),
        _ => false,
    };
    let reason = match error {
        ConnectionError::ConnectionRefused(code) => format!("the broker refused: {code:?}"),
        ConnectionError::NotConnAck(_) => "it does not answer like an MQTT 5 broker".to_owned(),
        ConnectionError::MqttState(StateError::AwaitPingResp) => "the broker stopped answering".to_owned(),
        ConnectionError::MqttState(StateError::ServerDisconnect {
            reason_code: Reason::SessionTakenOver,
            ..
        }) => "somebody else has connected with the same client id (mqtt.client_id: each box its own)"
            .to_owned(),
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. }) => {
            format!("the broker hung up: {reason_code:?}")
        }
        other => other.to_string(),
    };
    Down { reason, overloaded }
}

impl Link for RumqttLink {
    async fn event(&mut self) -> Event {
        if let Some(down) = &self.down {
            return Event::Down(down.clone());
        }
        let event = self.events.recv().await.unwrap_or_else(|| {
            Event::Down(Down { reason: "the connection was closed".to_owned(), overloaded: false })
        });
        if let Event::Down(down) = &event {
            self.down = Some(down.clone());
        }
        event
    }

    fn subscribe(&mut self, filters: &[Filter]) -> Result<(), Full> {
        let filters = filters.iter().map(|filter| {
            let rule = match filter.retained {
                true => RetainForwardRule::OnEverySubscribe,
                false => RetainForwardRule::Never,
            };
            // Retain As Published, so that a command published retained can be told from others.
            SubscribeFilterInput::new(filter.topic.clone(), QoS::AtLeastOnce)
                .preserve_retain(true)
                .retain_forward_rule(rule)
        });
        self.client.try_subscribe_many(filters).map_err(|_| Full)
    }

    fn unsubscribe(&mut self, topics: &[String]) -> Result<(), Full> {
        self.client.try_unsubscribe_many(topics.iter().cloned()).map_err(|_| Full)
    }

    fn publish(&mut self, publication: &Publication) -> Result<Receipt, Full> {
        let properties = PublishProperties {
            payload_format_indicator: Some(1),
            message_expiry_interval: publication.expiry_s,
            response_topic: publication.response_topic.clone(),
            correlation_data: publication.correlation.clone(),
            user_properties: publication.user_properties.clone(),
            content_type: Some("application/json".to_owned()),
            ..PublishProperties::default()
        };
        let qos = if publication.at_most_once { QoS::AtMostOnce } else { QoS::AtLeastOnce };
        let options = PublishOptions::new(qos).retain(publication.retain).properties(properties);
        let (topic, payload) = (publication.topic.clone(), publication.payload.clone());
        let notice = self.client.try_publish_tracked(topic, payload, options).map_err(|_| Full)?;
        Ok(Box::pin(async move { delivery(notice.wait_async().await) }))
    }

    fn acknowledge(&mut self, message: Acknowledgement) {
        // Cannot be full: at most RECEIVE_MAXIMUM are unacknowledged. If it is gone, the broker sends it again.
        if let Some(message) = message {
            let _ = self.client.try_manual_ack(message);
        }
    }

    async fn close(mut self) {
        if self.down.is_none() && self.client.try_disconnect().is_ok() {
            let drained = async { while !matches!(self.event().await, Event::Down(_)) {} };
            let _ = tokio::time::timeout(Duration::from_secs(1), drained).await;
        }
    }
}

fn delivery(result: Result<PublishResult, PublishNoticeError>) -> Delivery {
    match result {
        Ok(PublishResult::Qos1(ack)) => match ack.reason {
            PubAckReason::Success => Delivery::Taken,
            PubAckReason::NoMatchingSubscribers => Delivery::NoSubscribers,
            refused => Delivery::Refused(format!("{refused:?}")),
        },
        Ok(_) => Delivery::Taken,
        Err(PublishNoticeError::V5PubAck(reason)) => Delivery::Refused(format!("{reason:?}")),
        Err(PublishNoticeError::Recv | PublishNoticeError::SessionReset) => Delivery::Lost,
        Err(other) => Delivery::Refused(other.to_string()),
    }
}
