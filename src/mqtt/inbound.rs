//! What arrives beside commands, on its way to the daemon: acknowledged once it was taken there.

use std::future::Future;
use std::pin::Pin;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::feeds::{Arrived, Feeds, Sink};
use super::link::{Acknowledgement, Filter, Message};
use crate::control::topics::{HOME_ASSISTANT_STATUS, Incoming, Topics};

/// Messages that wait for the daemon. With QoS 1 the receive maximum allows fewer; what somebody sends with QoS 0
/// beyond it is dropped.
const WAITING: usize = 32;

/// What a message is.
pub(super) enum Route {
    /// Neither a document nor plain.
    Other,
    /// Nobody wants it.
    Ignored,
    /// For this sink, under this name.
    Sink(Sink, String),
    /// Home Assistant says that it is online.
    HomeAssistantOnline,
}

/// What to subscribe to for those who want something.
pub(super) fn filters(feeds: &Feeds, topics: &Topics) -> Vec<Filter> {
    let wanted = [
        (feeds.config.is_some(), topics.of_box("config/desired"), true),
        (feeds.jobs.is_some(), topics.of_box("job/+"), true),
        (feeds.set.is_some(), topics.of_box("set/+"), false),
        (feeds.home_assistant.is_some(), HOME_ASSISTANT_STATUS.to_owned(), false),
    ];
    let wanted = wanted.into_iter().filter(|(wanted, _, _)| *wanted);
    wanted.map(|(_, topic, retained)| Filter { topic, retained }).collect()
}

/// Who takes `message`.
pub(super) fn route(feeds: &Feeds, topics: &Topics, message: &Message) -> Route {
    if message.topic == HOME_ASSISTANT_STATUS {
        return if message.payload == "online" { Route::HomeAssistantOnline } else { Route::Ignored };
    }
    let (sink, name) = match topics.incoming(&message.topic) {
        None => return Route::Other,
        Some(Incoming::ConfigDesired) => (&feeds.config, ""),
        Some(Incoming::Job(id)) => (&feeds.jobs, id),
        // What is retained would be done again at every connect.
        Some(Incoming::Set(_)) if message.retain => return Route::Ignored,
        Some(Incoming::Set(name)) => (&feeds.set, name),
    };
    sink.clone().map_or(Route::Ignored, |sink| Route::Sink(sink, name.to_owned()))
}

/// Resolves to the acknowledgement of a message that was taken; None: it was not.
type Handed = Pin<Box<dyn Future<Output = Option<Acknowledgement>> + Send>>;

/// Messages that wait to be taken, in the order in which they came.
#[derive(Default)]
pub(super) struct Inbound(FuturesUnordered<Handed>);

impl Inbound {
    /// Hands `message` over.
    pub(super) fn push(&mut self, sink: Sink, name: &str, message: Message) {
        let Message { payload, acknowledgement, .. } = message;
        if self.0.len() >= WAITING && acknowledgement.is_none() {
            return;
        }
        let (arrived, taken) = Arrived::new(name, payload);
        self.0.push(Box::pin(async move {
            let _ = sink.send(arrived).await;
            taken.await.is_ok().then_some(acknowledgement)
        }));
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The next that was taken, or refused; never, while none waits.
    pub(super) async fn taken(&mut self) -> Option<Acknowledgement> {
        match self.0.next().await {
            Some(handed) => handed,
            None => std::future::pending().await,
        }
    }
}
