//! What the fleet says beside commands, and who takes it: its configuration and its jobs.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;

use super::desired_config::{Outcome, Wishes};
use super::jobs::Jobs;
use super::reload::Reloader;
use super::task::Task;
use crate::control::StatePublisher;
use crate::mqtt::{Arrived, Feeds};
use crate::store::Store;

/// Messages that wait to be taken. When it is full the bridge waits, and the broker with it.
const WAITING: usize = 16;

/// The daemon's ends of what the bridge hands over.
pub struct Arrivals {
    config: mpsc::Receiver<Arrived>,
    jobs: mpsc::Receiver<Arrived>,
}

impl Arrivals {
    /// Has the bridge of `feeds` hand over configurations and jobs.
    pub fn of(feeds: &mut Feeds) -> Arrivals {
        let (config, configs) = mpsc::channel(WAITING);
        let (job, jobs) = mpsc::channel(WAITING);
        feeds.config = Some(config);
        feeds.jobs = Some(job);
        Arrivals { config: configs, jobs }
    }
}

/// The tasks that take them.
pub struct Fleet {
    wishes: Task,
    jobs: Task,
}

/// What they need of the box.
pub struct Needs {
    /// What is published.
    pub feeds: Feeds,
    /// Where it is kept.
    pub store: Store,
    /// What is so.
    pub state: StatePublisher,
    /// Where a restart of the machine is asked for.
    pub runtime_dir: PathBuf,
    /// For what is on its way out.
    pub state_dir: PathBuf,
}

impl Fleet {
    /// Begins; `outcome` is what became of the configuration kept before this start.
    pub fn start(
        arrivals: Arrivals,
        needs: Needs,
        reloader: Arc<Mutex<Reloader>>,
        outcome: Outcome,
    ) -> Fleet {
        let Needs { feeds, store, state, runtime_dir, state_dir } = needs;
        let (documents, events) = (feeds.documents, feeds.events);
        let jobs = Jobs {
            store: store.clone(),
            state: state.subscribe(),
            documents: documents.clone(),
            events: events.clone(),
            runtime_dir,
            state_dir,
        };
        let wishes = Wishes { reloader, store, state, documents, events, outcome };
        Fleet {
            wishes: Task::spawn("desired-config", |shutdown| wishes.run(arrivals.config, shutdown)),
            jobs: Task::spawn("jobs", |shutdown| jobs.run(arrivals.jobs, shutdown)),
        }
    }

    /// Takes nothing more.
    pub async fn stop(self) {
        self.wishes.stop().await;
        self.jobs.stop().await;
    }
}
