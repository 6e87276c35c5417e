//! What the service manager hears of the process (sd_notify(3)). Without one, nothing is said.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::warn;

use crate::sys;

/// Longest line for people: `systemctl status` shows it whole, and a datagram has room for it.
const LONGEST_STATUS: usize = 300;

/// The way to the service manager.
#[derive(Debug, Default)]
pub struct Manager {
    /// As last said.
    status: String,
    /// Saying something has failed; that is logged once.
    deaf: bool,
}

impl Manager {
    /// How often it wants to hear a beat; None: it does not watch.
    pub fn watchdog(&self) -> Option<Duration> {
        let interval = sd_notify::watchdog_enabled().filter(|interval| !interval.is_zero());
        let given = std::env::var_os("WATCHDOG_USEC");
        if let (None, Some(given)) = (interval, given)
            && std::env::var_os("WATCHDOG_PID").is_none()
        {
            warn!(WATCHDOG_USEC = %given.to_string_lossy(), "is no time; going on without a watchdog");
        }
        interval
    }

    /// Joins are accepted.
    pub fn ready(&mut self) {
        self.say(&[NotifyState::Ready]);
    }

    /// The configuration is read again; ends with [`Manager::ready`].
    pub fn reloading(&mut self) {
        self.say(&[NotifyState::Reloading, NotifyState::MonotonicUsec(sys::monotonic_micros())]);
    }

    /// Everything is being stopped.
    pub fn stopping(&mut self) {
        self.say(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
    }

    /// The process is alive.
    pub fn beat(&mut self) {
        self.say(&[NotifyState::Watchdog]);
    }

    /// What is going on, for people: one line, said when it is another one.
    pub fn status(&mut self, text: String) {
        let mut line = text.replace(char::is_control, " ");
        if line.len() > LONGEST_STATUS {
            line.truncate(line.floor_char_boundary(LONGEST_STATUS));
            line.push('…');
        }
        if line != self.status {
            self.say(&[NotifyState::Status(&line)]);
            self.status = line;
        }
    }

    fn say(&mut self, what: &[NotifyState]) {
        if let Err(error) = sd_notify::notify(what)
            && !std::mem::replace(&mut self.deaf, true)
        {
            warn!(%error, "the service manager cannot be told anything (NOTIFY_SOCKET)");
        }
    }
}
