//! The MQTT bridge with everything that feeds it.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::{mpsc, watch};

use super::home_assistant::{self, Announced};
use super::supervise::{Board, Subsystem, supervise};
use super::task::Task;
use super::telemetry::{Sources, Telemetry};
use crate::base::Shutdown;
use crate::control::event::{EventKind, Transitions};
use crate::control::topics::Topics;
use crate::control::{ControlHandle, State};
use crate::mqtt::{self, Events, Feeds};

/// How long the broker may take to hear that the box goes offline.
const STOP: Duration = Duration::from_secs(5);
/// How long whoever feeds the bridge may take to end.
const FEEDER_STOP: Duration = Duration::from_secs(1);
/// Plain orders on their way; beyond it they wait at the broker.
const PLAIN_ORDERS: usize = 16;

/// What the bridge is made of.
pub struct Parts {
    /// The broker, and who the box is there.
    pub config: mqtt::Config,
    /// Where orders go.
    pub control: ControlHandle,
    /// What is measured.
    pub hub: super::media::MediaHub,
    /// Where the stream goes live.
    pub live: crate::push::Reports,
    /// Where recordings go.
    pub recordings: watch::Receiver<crate::record::Config>,
    /// The box's name; only with `mqtt.home_assistant`.
    pub home_assistant: Option<String>,
    /// Where it is remembered that Home Assistant was told.
    pub state_dir: PathBuf,
    /// How it goes.
    pub status: watch::Sender<mqtt::BridgeStatus>,
}

/// The running bridge.
pub struct Bridge {
    feeds: Feeds,
    announced: Announced,
    events: Task,
    feeders: Vec<Subsystem>,
    orders: Option<Task>,
    subsystem: Subsystem,
}

impl Bridge {
    /// Starts it, with `feeds` as far as others feed it.
    pub fn start(parts: Parts, mut feeds: Feeds, board: &Board) -> Bridge {
        let (announced, births) = (Announced::new(&parts.state_dir), watch::Sender::new(0));
        let (mut feeders, mut orders) = (Vec::new(), None);
        // A name that cannot stand in a topic ends the bridge at once, with its own words.
        let topics = Topics::new(&parts.config.fleet, &parts.config.box_id).ok();
        match parts.home_assistant.as_ref().zip(topics) {
            Some((name, topics)) => {
                announced.tell(&feeds.documents, home_assistant::discovery(&topics, name));
                feeders.push(announcing(&mut feeds, &births, board));
                orders = Some(obeying(&mut feeds, parts.control.clone()));
            }
            None => announced.take_back(&feeds.documents),
        }
        feeders.push(measuring(&parts, &mut feeds, births, board));
        let data = json!({"version": env!("CARGO_PKG_VERSION"), "boot_id": parts.config.boot_id});
        feeds.events.push(EventKind::BoxStarted, data);
        let (seen, told) = (parts.control.state(), feeds.events.clone());
        let events = Task::spawn("events", |shutdown| happenings(seen, told, shutdown));
        let (config, control, fed, status) = (parts.config, parts.control, feeds.clone(), parts.status);
        let run =
            move |shutdown| mqtt::run(config.clone(), control.clone(), fed.clone(), status.clone(), shutdown);
        let subsystem = supervise(board, "mqtt", run, |_| {});
        Bridge { feeds, announced, events, feeders, orders, subsystem }
    }

    /// The box has been told to stop: said before the rest of it ends.
    pub fn stopping(&self) {
        self.feeds.events.push(EventKind::BoxStopping, json!({}));
    }

    /// Tells what happened last, then offline.
    pub async fn stop(self) {
        if let Some(orders) = self.orders {
            orders.stop().await;
        }
        for feeder in self.feeders {
            feeder.stop(FEEDER_STOP).await;
        }
        self.events.stop().await;
        self.subsystem.stop(STOP).await;
        self.announced.forget_removed(&self.feeds.documents);
    }
}

/// Tells Home Assistant again whenever it comes online.
fn announcing(feeds: &mut Feeds, births: &watch::Sender<u64>, board: &Board) -> Subsystem {
    feeds.home_assistant = Some(births.clone());
    let (documents, births) = (feeds.documents.clone(), births.subscribe());
    let run = move |shutdown| well(home_assistant::announce(documents.clone(), births.clone(), shutdown));
    supervise(board, "home-assistant", run, |_| {})
}

/// Takes plain orders.
fn obeying(feeds: &mut Feeds, control: ControlHandle) -> Task {
    let (sink, arriving) = mpsc::channel(PLAIN_ORDERS);
    feeds.set = Some(sink);
    Task::spawn("plain-orders", |shutdown| home_assistant::obey(arriving, control, shutdown))
}

/// Measures for the fleet.
fn measuring(parts: &Parts, feeds: &mut Feeds, births: watch::Sender<u64>, board: &Board) -> Subsystem {
    let (health, media) = (watch::Sender::new(json!(null)), watch::Sender::new(json!(null)));
    (feeds.health, feeds.media) = (health.subscribe(), media.subscribe());
    let (state, hub, live) = (parts.control.state(), parts.hub.clone(), parts.live.clone());
    let recordings = parts.recordings.clone();
    let run = move |shutdown| {
        let (state, hub, live) = (state.clone(), hub.clone(), live.clone());
        let (recordings, births) = (recordings.clone(), births.subscribe());
        let sources = Sources { state, hub, live, recordings, births };
        well(Telemetry::new(sources, health.clone(), media.clone()).run(shutdown))
    };
    supervise(board, "telemetry", run, |_| {})
}

/// A task that cannot fail but by a panic.
async fn well(task: impl Future<Output = ()>) -> Result<(), Infallible> {
    task.await;
    Ok(())
}

/// Makes events of what changes in the state, the last change included.
async fn happenings(mut state: watch::Receiver<Arc<State>>, events: Events, shutdown: Shutdown) {
    let mut transitions = Transitions::default();
    let mut going_on = true;
    while going_on {
        going_on = matches!(shutdown.run_until_cancelled(state.changed()).await, Some(Ok(())));
        let now = state.borrow_and_update().clone();
        for (kind, data) in transitions.next(&now) {
            events.push(kind, data);
        }
    }
}
