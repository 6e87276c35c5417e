//! `set/{name}`: orders without MQTT 5, for home automation (contract, section 5). Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::live::{LiveSet, LiveSource};
use super::{Command, MicrophoneSet, RecordingSet, RecordingSource};

/// Who gives these orders, in the log.
pub const ISSUER: &str = "home-automation";

/// Orders that are taken within [`WINDOW`]. Beyond it they are left out: nobody waits for an answer.
const BURST: usize = 20;
/// See [`BURST`].
const WINDOW: Duration = Duration::from_secs(5);

/// Why it is no order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlainError {
    /// Nothing of this name can be set.
    #[error("set/{0}: known are record, live, microphone, room")]
    UnknownName(String),
    /// Neither on nor off.
    #[error("set/{name}: {payload:?} is neither ON nor OFF")]
    Payload {
        /// What was to be set.
        name: &'static str,
        /// What was given, cut to 32 characters.
        payload: String,
    },
    /// No room's name.
    #[error("set/room: {0}")]
    Room(String),
}

/// The command that `payload` at `set/{name}` stands for: `ON` and `OFF`; for the room its name, and `OFF` or nothing
/// to leave. The microphone that is `ON` is heard.
///
/// # Errors
/// [`PlainError`].
pub fn parse(name: &str, payload: &[u8]) -> Result<Command, PlainError> {
    let text = String::from_utf8_lossy(payload);
    let text = text.trim();
    let switch = |name: &'static str| match text {
        "ON" => Ok(true),
        "OFF" => Ok(false),
        _ => Err(PlainError::Payload { name, payload: text.chars().take(32).collect() }),
    };
    Ok(match name {
        "record" => {
            let on = switch("record")?;
            Command::RecordingSet(RecordingSet { on, id: None, source: RecordingSource::default() })
        }
        "live" => {
            let (on, source) = (switch("live")?, LiveSource::default());
            Command::LiveSet(LiveSet { on, source, outputs: None, config: None })
        }
        "microphone" => Command::MicrophoneSet(MicrophoneSet { muted: !switch("microphone")? }),
        "room" if matches!(text, "" | "OFF") => Command::RoomLeave,
        "room" => {
            let join = serde_json::json!({"room": text}).to_string();
            Command::parse("room.join", join.as_bytes())
                .map_err(|error| PlainError::Room(error.to_string()))?
        }
        _ => return Err(PlainError::UnknownName(name.chars().take(64).collect())),
    })
}

/// Lets only so many orders through.
#[derive(Debug, Default)]
pub struct Limit(VecDeque<Instant>);

impl Limit {
    /// Whether an order at `now` may be taken.
    pub fn allows(&mut self, now: Instant) -> bool {
        while self.0.front().is_some_and(|at| now.saturating_duration_since(*at) >= WINDOW) {
            self.0.pop_front();
        }
        let allowed = self.0.len() < BURST;
        if allowed {
            self.0.push_back(now);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock;
    use proptest::prelude::*;

    #[test]
    fn plain_words_are_commands() {
        for (name, payload, expected) in [
            ("record", "ON", Ok("recording.set")),
            ("record", "OFF\n", Ok("recording.set")),
            ("live", "ON", Ok("live.set")),
            ("microphone", "OFF", Ok("microphone.set")),
            ("room", "Board room 4", Ok("room.join")),
            ("room", "OFF", Ok("room.leave")),
            ("room", "", Ok("room.leave")),
            ("record", "on", Err("neither ON nor OFF")),
            ("record", "", Err("neither ON nor OFF")),
            ("room", "a/b", Err("128")),
            ("lights", "ON", Err("microphone")),
        ] {
            let parsed = parse(name, payload.as_bytes());
            match expected {
                Ok(command) => assert_eq!(parsed.unwrap().name(), command),
                Err(word) => assert!(parsed.unwrap_err().to_string().contains(word), "{name} {payload}"),
            }
        }
        let muted = parse("microphone", b"OFF");
        assert_eq!(muted, Ok(Command::MicrophoneSet(MicrophoneSet { muted: true })));
        assert!(matches!(parse("record", b"ON"), Ok(Command::RecordingSet(set)) if set.on));
    }

    #[test]
    fn only_so_many_orders_are_taken_at_once() {
        let (mut limit, now) = (Limit::default(), clock::now());
        assert_eq!((0..100).filter(|_| limit.allows(now)).count(), BURST);
        assert!(!limit.allows(now + WINDOW / 2));
        assert!(limit.allows(now + WINDOW));
    }

    proptest! {
        #[test]
        fn no_payload_is_too_strange(name in "[a-z]{0,8}|room|record", payload in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&name, &payload);
        }
    }
}
