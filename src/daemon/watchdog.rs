//! The supervising loop: looks at every pulse, and says to whom it concerns that the process lives and what it does.
//!
//! A vital part that does not beat keeps the beat of the whole process back: the service manager kills and restarts it.
//! A part that a driver may hold (camera, microphone, speaker) is only told: a restart would drop the call for a device
//! that may hang again. Subsystems that have failed and wait for their next start have no pulse, and that is fine.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior};
use tracing::{error, info};

use super::manager::Manager;
use super::reload::Reloader;
use super::status;
use crate::base::clock::{self, MediaTime};
use crate::base::pulse::{self, Pulse, Seen};
use crate::control::{State, StatePublisher};
use crate::server::http::Health;

/// How often the loop turns, unless the service manager wants to hear more of it.
const TURN: Duration = Duration::from_secs(1);

/// A part whose last beat is older does not turn any more, where the service manager says nothing of its own.
const STUCK_AFTER: Duration = Duration::from_secs(30);
/// The looking loop itself did not turn for so long: the whole process was stopped, or the machine slept.
const FROZEN: Duration = Duration::from_secs(3);

/// What a look has shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Look {
    /// Everything vital turns.
    alive: bool,
    /// Who does not turn, by name.
    stuck: BTreeSet<&'static str>,
}

/// What the loop holds.
pub struct Supervisor {
    manager: Manager,
    state: watch::Receiver<Arc<State>>,
    health: Health,
    watchdog: Watchdog,
    turn: Interval,
    /// Beaten by a task that the runtime's workers run: they turn too.
    net: Arc<Pulse>,
    stuck: BTreeSet<&'static str>,
    /// What the last reload left to be done.
    note: Option<String>,
}

impl Supervisor {
    /// Begins now.
    pub fn new(manager: Manager, state: StatePublisher, health: Health) -> Self {
        let interval = manager.watchdog();
        // Twice within the interval, as sd_watchdog_enabled(3) advises.
        let mut turn = tokio::time::interval(interval.map_or(TURN, |interval| TURN.min(interval / 2)));
        turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Supervisor {
            manager,
            state: state.subscribe(),
            health,
            watchdog: Watchdog::new(clock::media_now(), interval),
            turn,
            net: Arc::new(Pulse::vital("net")),
            stuck: BTreeSet::new(),
            note: None,
        }
    }

    /// Waits for the next turn and does it. Cancel-safe.
    pub async fn turn(&mut self) {
        self.turn.tick().await;
        let net = self.net.clone();
        tokio::spawn(async move { net.beat() });
        let look = self.watchdog.look(clock::media_now(), &pulse::seen());
        for name in look.stuck.difference(&self.stuck) {
            error!(name, alive = look.alive, "does not turn any more");
        }
        for name in self.stuck.difference(&look.stuck) {
            info!(name, "turns again, or is gone");
        }
        self.stuck = look.stuck;
        if look.alive {
            self.health.beat();
            self.manager.beat();
        }
        let mut line = status::line(&self.state.borrow(), &self.stuck);
        if let Some(note) = &self.note {
            line = format!("{line}; {note}");
        }
        self.manager.status(line);
    }

    /// Reads the configuration again.
    pub fn reload(&mut self, reloader: &mut Reloader) {
        info!("reading the configuration again");
        self.manager.reloading();
        self.note = reloader.reload();
        self.manager.ready();
    }

    /// The loop has ended: everything is being stopped.
    pub fn stopping(mut self) {
        self.manager.stopping();
    }
}

/// Judges beats by the time; pure.
#[derive(Debug)]
struct Watchdog {
    stuck_after: Duration,
    last_look: MediaTime,
    /// No age is counted from before this.
    thawed: MediaTime,
}

impl Watchdog {
    /// Begins `now`. `interval`: how often the service manager wants to hear a beat, and so how long a part may be
    /// silent.
    fn new(now: MediaTime, interval: Option<Duration>) -> Self {
        Watchdog { stuck_after: interval.unwrap_or(STUCK_AFTER), last_look: now, thawed: now }
    }

    /// Judges what is `seen`; to be called about once a second.
    fn look(&mut self, now: MediaTime, seen: &[Seen]) -> Look {
        if now.since(self.last_look) > FROZEN {
            self.thawed = now;
        }
        self.last_look = now;
        let silent = |seen: &&Seen| now.since(seen.last.max(self.thawed)) > self.stuck_after;
        let stuck: Vec<&Seen> = seen.iter().filter(silent).collect();
        let alive = !stuck.iter().any(|seen| seen.vital);
        Look { alive, stuck: stuck.iter().map(|seen| seen.name).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> MediaTime {
        MediaTime::from_millis(seconds * 1000)
    }

    fn seen(name: &'static str, vital: bool, last: u64) -> Seen {
        Seen { name, vital, last: at(last) }
    }

    #[test]
    fn a_vital_part_that_is_silent_for_too_long_is_the_end_and_another_is_only_told() {
        let mut watchdog = Watchdog::new(at(0), None);
        let parts = [seen("sfu", true, 0), seen("capture-video", false, 0)];
        for now in 0..=30 {
            assert_eq!(watchdog.look(at(now), &parts), Look { alive: true, stuck: BTreeSet::new() });
        }
        let camera_only = watchdog.look(at(31), &[seen("sfu", true, 30), parts[1]]);
        assert_eq!(camera_only, Look { alive: true, stuck: ["capture-video"].into() });
        let both = watchdog.look(at(32), &parts);
        assert_eq!(both, Look { alive: false, stuck: ["capture-video", "sfu"].into() });
        assert!(watchdog.look(at(33), &[seen("sfu", true, 33)]).alive, "it turns again");
    }

    #[test]
    fn nobody_is_silent_while_the_whole_process_stands_still() {
        let mut watchdog = Watchdog::new(at(0), Some(Duration::from_secs(10)));
        let part = [seen("sfu", true, 0)];
        assert!(watchdog.look(at(100), &part).alive);
        for now in 101..=110 {
            assert!(watchdog.look(at(now), &part).alive, "{now}");
        }
        assert!(!watchdog.look(at(111), &part).alive);
    }
}
