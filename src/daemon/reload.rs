//! The configuration is read again, at SIGHUP and when the fleet desires another one. What can change while the box
//! runs changes, what cannot is named, and a configuration with a problem changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::logging::LogLevel;
use super::room::RoomConfig;
use super::settings;
use crate::audio::Voice;
use crate::config::{ConfigError, Effective, Settings};
use crate::control::config_document::DesiredConfig;
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
    "control.groups",
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
    /// `control.groups`.
    pub groups: watch::Sender<Vec<String>>,
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
        self.groups.send_if_modified(|groups| {
            let changed = *groups != settings.control.groups;
            groups.clone_from(&settings.control.groups);
            changed
        });
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

/// Reads the configuration as the process read it at its start, with what the fleet desires.
pub type Read = Box<dyn Fn(Option<&DesiredConfig>) -> Result<Settings, ConfigError> + Send>;

/// What the running box goes by.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InForce {
    /// By section and key; for the keys in `restart_needed` as it still is.
    pub effective: Value,
    /// Keys that were changed and wait for a restart.
    pub restart_needed: BTreeSet<String>,
}

/// Carries out reloads.
pub struct Reloader {
    read: Read,
    changeable: Changeable,
    /// The fleet's wish.
    desired: Option<DesiredConfig>,
    /// The keys that were given, as the running box goes by them.
    given: BTreeMap<String, toml::Value>,
    in_force: watch::Sender<InForce>,
}

impl Reloader {
    /// For a box that was started with `settings`, which hold the fleet's `desired` ones.
    pub fn new(
        read: Read,
        changeable: Changeable,
        settings: &Settings,
        desired: Option<DesiredConfig>,
    ) -> Self {
        let effective = Effective::of(settings).document();
        let in_force = watch::Sender::new(InForce { effective, restart_needed: BTreeSet::new() });
        Reloader { read, changeable, desired, given: settings.given.clone(), in_force }
    }

    /// What the running box goes by, and each change of it.
    pub fn in_force(&self) -> watch::Receiver<InForce> {
        self.in_force.subscribe()
    }

    /// What the box would go by with `desired`; changes nothing.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem found.
    pub fn check(&self, desired: Option<&DesiredConfig>) -> Result<Settings, ConfigError> {
        (self.read)(desired)
    }

    /// Brings `settings` into force, which were read with `desired`. What somebody should still do about it, if
    /// anything.
    pub fn apply(&mut self, settings: &Settings, desired: Option<DesiredConfig>) -> Option<String> {
        self.desired = desired;
        let changed = changed(&self.given, &settings.given);
        self.changeable.apply(settings);
        for key in &changed.live {
            match settings.given.get(key) {
                Some(value) => self.given.insert(key.clone(), value.clone()),
                None => self.given.remove(key),
            };
        }
        let now = Effective::of(settings).document();
        let in_force = InForce {
            effective: merged(&self.in_force.borrow().effective, &now),
            restart_needed: changed.restart,
        };
        let list = |keys: &BTreeSet<String>| keys.iter().cloned().collect::<Vec<_>>().join(", ");
        info!(changed = list(&changed.live), "reloaded");
        let note = (!in_force.restart_needed.is_empty())
            .then(|| format!("needs a restart: {}", list(&in_force.restart_needed)));
        if let Some(note) = &note {
            warn!("{note}");
        }
        self.in_force.send_replace(in_force);
        note
    }

    /// Reads and applies; the log tells what came of it. What somebody should still do about it, if anything.
    pub fn reload(&mut self) -> Option<String> {
        match self.check(self.desired.as_ref()) {
            Ok(settings) => self.apply(&settings, self.desired.clone()),
            Err(ConfigError(problems)) => {
                for problem in &problems {
                    error!("{problem}");
                }
                error!(problems = problems.len(), "not reloaded: everything stays as it was");
                Some(format!("configuration not reloaded, problems: {}", problems.len()))
            }
        }
    }
}

/// `before`, with the changeable keys as they are `now`.
fn merged(before: &Value, now: &Value) -> Value {
    let mut merged = before.clone();
    for (section, key) in CHANGEABLE.iter().filter_map(|key| key.split_once('.')) {
        let Some(Value::Object(keys)) = merged.get_mut(section) else { continue };
        match now.get(section).and_then(|section| section.get(key)) {
            Some(value) => keys.insert(key.to_owned(), value.clone()),
            None => keys.remove(key),
        };
    }
    merged
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

    #[test]
    fn what_waits_for_a_restart_is_told_as_it_still_is() {
        let before =
            serde_json::json!({"log": {"level": "info"}, "camera": {"fps": 30}, "room": {"identity": "a"}});
        let now = serde_json::json!({"log": {"level": "debug"}, "camera": {"fps": 15}, "room": {}});
        let told = serde_json::json!({"log": {"level": "debug"}, "camera": {"fps": 30}, "room": {}});
        assert_eq!(merged(&before, &now), told);
    }
}
