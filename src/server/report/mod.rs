//! What happens in rooms is kept (sessions: who was in, when) and told to app servers (webhooks).
//!
//! ```text
//!  room events ──▶ writer ──one transaction──▶ roomd.db ──▶ sender ──POST──▶ app servers
//! ```
//! A webhook is in the outbox before anything is sent, and stays until it was taken by a 2xx or is 24 hours old, across
//! restarts: it arrives at least once, with the same `id` at each attempt, and in order per room and receiver.
//!
//! | file | what |
//! |---|---|
//! | `payload` | from events to reports and LiveKit's webhooks |
//! | `lanes` | what is sent next, and when again |
//! | `sender` | sends |
//! | `post`, `url` | one POST; where to |

mod lanes;
mod payload;
mod post;
mod sender;
#[cfg(test)]
mod tests;
mod url;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use livekit_protocol as proto;
use tokio::sync::{Notify, broadcast};
use tokio::task::JoinHandle;
use tracing::{error, warn};

use crate::base::{Shutdown, clock, ids};
use crate::room::Event;
use crate::room::token::Keys;
use crate::store::{NewWebhook, Report, RoomRow, Store, StoreError};
use payload::Told;

pub use payload::EVENTS;
pub use url::WebhookUrl;

/// Events written in one transaction, at most.
const BATCH: usize = 256;
/// How often it is noted that sessions go on: after a crash they end then.
const SEEN_EVERY: Duration = Duration::from_secs(60);
/// How long the last messages may take when the box stops; the others are sent after its next start.
const LAST_MESSAGES: Duration = Duration::from_secs(2);

/// The running reports.
#[derive(Debug)]
pub struct Reports {
    writer: JoinHandle<()>,
    sender: JoinHandle<()>,
    stop: Shutdown,
}

/// Starts them. First what an earlier run left open is ended. `urls` get everything; `events` ends when the room server
/// has ended, and with it the writer.
pub fn start(
    urls: Vec<WebhookUrl>,
    events: broadcast::Receiver<Event>,
    store: Store,
    keys: Arc<Keys>,
) -> Reports {
    let (fresh, stop) = (Arc::new(Notify::new()), Shutdown::new());
    let sender = sender::Sender::new(store.clone(), keys);
    let sender = tokio::spawn(sender.run(fresh.clone(), stop.clone()));
    let writer = Writer { urls: urls.into(), store, fresh };
    let writer = tokio::spawn(writer.run(events));
    Reports { writer, sender, stop }
}

impl Reports {
    /// Waits for the writer, and a moment for the last messages. The room server must have been asked to end.
    pub async fn stop(mut self) {
        if tokio::time::timeout(LAST_MESSAGES, &mut self.writer).await.is_err() {
            warn!("the reports of the last events were not written in time");
            self.writer.abort();
        }
        self.stop.cancel();
        if tokio::time::timeout(LAST_MESSAGES, &mut self.sender).await.is_err() {
            self.sender.abort();
        }
    }
}

struct Writer {
    urls: Arc<[WebhookUrl]>,
    store: Store,
    fresh: Arc<Notify>,
}

impl Writer {
    async fn run(self, mut events: broadcast::Receiver<Event>) {
        self.end_what_was_left_open().await;
        let mut seen = tokio::time::interval(SEEN_EVERY);
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Ok(event) => self.write(event, &mut events).await,
                    Err(broadcast::error::RecvError::Lagged(lost)) => {
                        error!(lost, "room events came faster than they could be written: sessions and webhooks miss them");
                    }
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                _ = seen.tick() => self.blocking(|store, _| {
                    let now_ms = ms(clock::wall());
                    store.touch_sessions(now_ms)?;
                    store.prune_sessions(now_ms)?;
                    Ok(0)
                }).await,
            }
        }
    }

    async fn end_what_was_left_open(&self) {
        self.blocking(|store, urls| {
            let open = store.open_sessions()?;
            let reports = open.iter().flat_map(|open| {
                let room = open.session.room.clone();
                payload::told_late(open).into_iter().map(move |told| (room.clone(), told))
            });
            write(store, urls, reports.collect(), ms(clock::wall()))
        })
        .await;
    }

    /// Writes `first` and what else has come meanwhile.
    async fn write(&self, first: Event, events: &mut broadcast::Receiver<Event>) {
        let at_ms = ms(clock::wall());
        let mut told = vec![(room_of(&first), payload::told(&first, at_ms))];
        while told.len() < BATCH {
            let Ok(event) = events.try_recv() else { break };
            told.push((room_of(&event), payload::told(&event, at_ms)));
        }
        self.blocking(move |store, urls| write(store, urls, told, at_ms)).await;
    }

    async fn blocking(
        &self,
        work: impl FnOnce(&Store, &[WebhookUrl]) -> Result<usize, StoreError> + Send + 'static,
    ) {
        let (store, urls) = (self.store.clone(), Arc::clone(&self.urls));
        let done = tokio::task::spawn_blocking(move || work(&store, &urls)).await;
        match done {
            Ok(Ok(0)) => {}
            Ok(Ok(dropped)) => error!(dropped, "the outbox is full: webhooks are lost"),
            Ok(Err(error)) => error!(%error, "what happened in the rooms could not be kept"),
            // The runtime is going down.
            Err(_) => {}
        }
        self.fresh.notify_one();
    }
}

/// Tells how many messages found the outbox full.
fn write(
    store: &Store,
    urls: &[WebhookUrl],
    told: Vec<(String, Told)>,
    at_ms: i64,
) -> Result<usize, StoreError> {
    let mut reports = Vec::new();
    for (room, Told { kept, webhook }) in told {
        reports.extend(kept);
        let Some(event) = webhook else { continue };
        let mut urls: Vec<String> = urls.iter().map(WebhookUrl::reveal).collect();
        urls.extend(url_of(store.room(&room)?, &event.event).filter(|url| !urls.contains(url)));
        reports.extend(messages(&room, event, urls, at_ms).into_iter().map(Report::Webhook));
    }
    if reports.is_empty() { Ok(0) } else { store.report(&reports) }
}

/// Where the room's own webhooks go, if it wants this one.
fn url_of(row: Option<RoomRow>, event: &str) -> Option<String> {
    let webhook: serde_json::Value = serde_json::from_str(&row?.webhook?).ok()?;
    let wanted = webhook["events"].as_array().filter(|wanted| !wanted.is_empty());
    let wants = wanted.is_none_or(|wanted| wanted.iter().any(|name| name == event));
    webhook["endPoint"].as_str().filter(|_| wants).map(str::to_owned)
}

/// One message a receiver, each with the event's one id.
fn messages(room: &str, event: proto::WebhookEvent, urls: Vec<String>, at_ms: i64) -> Vec<NewWebhook> {
    let id = ids::prefixed("EV");
    let body = payload::json(&proto::WebhookEvent { id: id.clone(), ..event }).to_string();
    let message = |url| NewWebhook {
        url,
        room: room.to_owned(),
        id: id.clone(),
        body: body.clone(),
        created_ms: at_ms,
    };
    urls.into_iter().map(message).collect()
}

fn room_of(event: &Event) -> String {
    match event {
        Event::RoomStarted { room }
        | Event::RoomFinished { room, .. }
        | Event::ParticipantJoined { room, .. }
        | Event::ParticipantConnected { room, .. }
        | Event::ParticipantLeft { room, .. }
        | Event::TrackPublished { room, .. }
        | Event::TrackUnpublished { room, .. } => room.name.clone(),
        Event::StageChanged { room, .. } | Event::RoomDisabled { room } => room.clone(),
    }
}

/// Milliseconds since 1970.
pub(super) fn ms(at: SystemTime) -> i64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
