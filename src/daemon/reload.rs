//! SIGHUP: the configuration is read again. What can change while the box runs changes, what cannot is named, and a
//! configuration with a problem changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::watch;
use tracing::{error, info, warn};

use super::logging::LogLevel;
use super::room::RoomConfig;
use super::settings;
use crate::audio::Voice;
use crate::config::{ConfigError, Settings};
use crate::control::queue::Policy;
use crate::{push, record};

/// Keys that a reload brings into force: `[room]` at the next join, `recording.min_free` at the next recording,
/// `live.destinations` at the next order to go live, the others at once. A key stands here when [`Changeable::apply`]
/// hands it on.
const CHANGEABLE: &[&str] = &[
    "audio.echo_cancellation",
    "audio.gain_control",
    "audio.noise_suppression",
    "control.allow_remote_unmute",
    "live.destinations",
    "log.level",
    "mqtt.issuers",
    "recording.min_free",
    "room.api_key",
    "room.api_secret_file",
    "room.identity",
    "room.token_file",
    "room.url",
];

/// The running parts that take new settings.
pub struct Changeable {
    /// `log.level`.
    pub log: LogLevel,
    /// `control.allow_remote_unmute`.
    pub policy: watch::Sender<Policy>,
    /// `recording.min_free`.
    pub recording: watch::Sender<record::Config>,
    /// `mqtt.issuers`.
    pub issuers: watch::Sender<Vec<String>>,
    /// `live.destinations`.
    pub destinations: watch::Sender<Vec<push::Destination>>,
    /// `[room]`.
    pub room: watch::Sender<RoomConfig>,
    /// `[audio]`.
    pub voice: Voice,
    /// Who the box is in a room when the configuration does not say.
    pub box_id: String,
}

impl Changeable {
    fn apply(&self, settings: &Settings) {
        self.log.set(&settings.log.level);
        self.policy.send_replace(settings::policy(settings));
        self.recording.send_modify(|recording| recording.min_free_bytes = settings.recording.min_free_bytes);
        let issuers = settings.mqtt.as_ref().map(|mqtt| mqtt.issuers.clone());
        self.issuers.send_replace(issuers.unwrap_or_default());
        self.destinations.send_replace(settings::live(&settings.live).1);
        self.room.send_modify(|room| {
            room.identity = settings::identity(settings, &self.box_id);
            room.url.clone_from(&settings.room.url);
            room.token.clone_from(&settings.room.token);
        });
        self.voice.configure(settings.audio.voice);
    }
}

/// Reads the configuration as the process read it at its start.
pub type Read = Box<dyn Fn() -> Result<Settings, ConfigError> + Send>;

/// Carries out reloads.
pub struct Reloader {
    read: Read,
    changeable: Changeable,
    /// What the running box goes by.
    in_force: BTreeMap<String, toml::Value>,
}

impl Reloader {
    /// For a box that was started with `settings`.
    pub fn new(read: Read, changeable: Changeable, settings: &Settings) -> Self {
        Reloader { read, changeable, in_force: settings.given.clone() }
    }

    /// Reads and applies; the log tells what came of it. What somebody should still do about it, if anything.
    pub fn reload(&mut self) -> Option<String> {
        let settings = match (self.read)() {
            Ok(settings) => settings,
            Err(ConfigError(problems)) => {
                for problem in &problems {
                    error!("{problem}");
                }
                error!(problems = problems.len(), "not reloaded: everything stays as it was");
                return Some(format!("configuration not reloaded, problems: {}", problems.len()));
            }
        };
        let changed = changed(&self.in_force, &settings.given);
        self.changeable.apply(&settings);
        for key in &changed.live {
            match settings.given.get(key) {
                Some(value) => self.in_force.insert(key.clone(), value.clone()),
                None => self.in_force.remove(key),
            };
        }
        let list = |keys: &BTreeSet<String>| keys.iter().cloned().collect::<Vec<_>>().join(", ");
        info!(changed = list(&changed.live), "reloaded");
        if changed.restart.is_empty() {
            return None;
        }
        let note = format!("needs a restart: {}", list(&changed.restart));
        warn!("{note}");
        Some(note)
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Changed {
    live: BTreeSet<String>,
    restart: BTreeSet<String>,
}

/// The keys that were given, changed or taken away.
fn changed(before: &BTreeMap<String, toml::Value>, now: &BTreeMap<String, toml::Value>) -> Changed {
    let keys = before.keys().chain(now.keys()).filter(|key| before.get(*key) != now.get(*key));
    let (live, restart) = keys.cloned().partition(|key| CHANGEABLE.contains(&key.as_str()));
    Changed { live, restart }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_told_apart_by_whether_it_can_change_live() {
        let given = |text: &[(&str, &str)]| {
            text.iter().map(|(key, value)| ((*key).to_owned(), toml::Value::from(*value))).collect()
        };
        let before = given(&[("log.level", "info"), ("server.listen", "a"), ("box.name", "x")]);
        let now = given(&[("log.level", "debug"), ("room.url", "wss://b"), ("box.name", "x")]);
        let changed = changed(&before, &now);
        assert_eq!(changed.live, ["log.level".to_owned(), "room.url".to_owned()].into());
        assert_eq!(changed.restart, ["server.listen".to_owned()].into());
    }
}
