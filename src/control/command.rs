//! What can be ordered, by the names and parameters of the contract (section 5, Commands).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::live::LiveSet;

/// One order with its parameters. All are set-style: giving one twice is the same as giving it once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `ping {}`: answers at once.
    Ping,
    /// `room.join`: join a room, leaving the one that the box is in.
    RoomJoin(RoomJoin),
    /// `room.leave {}`.
    RoomLeave,
    /// `room.end {}`: everybody is put out of the box's room, and it ends.
    RoomEnd,
    /// `recording.set`.
    RecordingSet(RecordingSet),
    /// `live.set`.
    LiveSet(LiveSet),
    /// `microphone.set`.
    MicrophoneSet(MicrophoneSet),
    /// `layout.set {…}`: how a room is composed.
    LayoutSet,
    /// `snapshot {}`: a picture of the camera under a URL.
    Snapshot,
    /// `identify {}`: the box gives a sign, to be told from others.
    Identify,
    /// `restart {}`: everything is ended in order, and the process is started again by its service manager.
    Restart,
}

/// Parameters of `room.join`. Its `Debug` does not show the token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoomJoin {
    /// The room's name: 1 to 128 characters.
    pub room: String,
    /// The LiveKit server (`ws`, `wss`, `http` or `https`); absent: the configured one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// A join token for that server; absent: the box mints its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

impl std::fmt::Debug for RoomJoin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let token = self.token.as_ref().map(|_| "(secret)");
        f.debug_struct("RoomJoin")
            .field("room", &self.room)
            .field("url", &self.url)
            .field("token", &token)
            .finish()
    }
}

/// Parameters of `recording.set`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordingSet {
    /// Whether it should record.
    pub on: bool,
    /// The id that the recording shall have: 1 to 64 of `A-Z a-z 0-9 _ -`; absent: the box chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What to record.
    #[serde(default)]
    pub source: RecordingSource,
}

/// What a recording shows. (`room` and `participant:ID` come with composing.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RecordingSource {
    /// The box's own camera and microphone.
    #[default]
    Box,
}

/// Parameters of `microphone.set`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MicrophoneSet {
    /// Whether the box's microphone is silent.
    pub muted: bool,
}

/// Why an order could not be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// No such command.
    #[error("unknown command {name:?}; known are {}", Command::NAMES.join(", "))]
    UnknownName {
        /// The name given, cut to 64 characters.
        name: String,
    },
    /// The parameters do not fit the command.
    #[error("{name}: {reason}")]
    BadParameters {
        /// The command.
        name: &'static str,
        /// What is wrong, with the field and what is allowed.
        reason: String,
    },
}

impl Command {
    /// Every name that [`Command::parse`] knows.
    pub const NAMES: [&'static str; 11] = [
        "ping",
        "room.join",
        "room.leave",
        "room.end",
        "recording.set",
        "live.set",
        "microphone.set",
        "layout.set",
        "snapshot",
        "identify",
        "restart",
    ];

    /// The contract's name of this command.
    pub fn name(&self) -> &'static str {
        match self {
            Command::Ping => "ping",
            Command::RoomJoin(_) => "room.join",
            Command::RoomLeave => "room.leave",
            Command::RoomEnd => "room.end",
            Command::RecordingSet(_) => "recording.set",
            Command::LiveSet(_) => "live.set",
            Command::MicrophoneSet(_) => "microphone.set",
            Command::LayoutSet => "layout.set",
            Command::Snapshot => "snapshot",
            Command::Identify => "identify",
            Command::Restart => "restart",
        }
    }

    /// Running it again cannot be seen, so it need not be remembered.
    pub fn changes_nothing(&self) -> bool {
        matches!(self, Command::Ping | Command::LayoutSet | Command::Snapshot)
    }

    /// Reads a command from its name and its parameters as JSON; an empty payload is `{}`.
    ///
    /// # Errors
    /// [`CommandError`] says which command, which field and what is allowed.
    pub fn parse(name: &str, json: &[u8]) -> Result<Command, CommandError> {
        let json = if json.trim_ascii().is_empty() { b"{}" } else { json };
        match name {
            "ping" => parameters::<Nothing>("ping", json).map(|_| Command::Ping),
            "room.join" => parameters("room.join", json).and_then(checked_join).map(Command::RoomJoin),
            "room.leave" => parameters::<Nothing>("room.leave", json).map(|_| Command::RoomLeave),
            "room.end" => parameters::<Nothing>("room.end", json).map(|_| Command::RoomEnd),
            "recording.set" => {
                parameters("recording.set", json).and_then(checked_recording).map(Command::RecordingSet)
            }
            "live.set" => live(json).map(Command::LiveSet),
            "microphone.set" => parameters("microphone.set", json).map(Command::MicrophoneSet),
            "layout.set" => parameters::<Anything>("layout.set", json).map(|_| Command::LayoutSet),
            "snapshot" => parameters::<Nothing>("snapshot", json).map(|_| Command::Snapshot),
            "identify" => parameters::<Nothing>("identify", json).map(|_| Command::Identify),
            "restart" => parameters::<Nothing>("restart", json).map(|_| Command::Restart),
            _ => Err(CommandError::UnknownName { name: name.chars().take(64).collect() }),
        }
    }
}

/// Parameters of a command that has none.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// Any object.
type Anything = serde_json::Map<String, serde_json::Value>;

fn parameters<'a, T: Deserialize<'a>>(name: &'static str, json: &'a [u8]) -> Result<T, CommandError> {
    serde_json::from_slice(json).map_err(|error| bad(name, error.to_string()))
}

/// A stream key given in the wrong place is not quoted in the error.
fn live(json: &[u8]) -> Result<LiveSet, CommandError> {
    let set: LiveSet = serde_json::from_slice(json).map_err(|error| {
        let error = error.to_string();
        let unquoted =
            error.split_once("invalid type: ").and_then(|(_, rest)| rest.rsplit_once(", expected"));
        bad(
            "live.set",
            unquoted.map_or(error.clone(), |(_, wanted)| format!("invalid type, expected{wanted}")),
        )
    })?;
    set.checked().map_err(|reason| bad("live.set", reason))
}

fn bad(name: &'static str, reason: impl Into<String>) -> CommandError {
    CommandError::BadParameters { name, reason: reason.into() }
}

fn checked_join(join: RoomJoin) -> Result<RoomJoin, CommandError> {
    let length = join.room.chars().count();
    if !(1..=128).contains(&length) || join.room.chars().any(|c| c.is_control() || c == '/') {
        return Err(bad("room.join", "room: 1 to 128 characters without '/' and control characters"));
    }
    if let Some(url) = &join.url {
        let known = ["ws://", "wss://", "http://", "https://"].iter().any(|scheme| url.starts_with(scheme));
        if !known {
            return Err(bad(
                "room.join",
                format!("url {url:?}: must start with ws://, wss://, http:// or https://"),
            ));
        }
    }
    Ok(join)
}

fn checked_recording(set: RecordingSet) -> Result<RecordingSet, CommandError> {
    let fits = |id: &String| {
        (1..=64).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    };
    match &set.id {
        Some(id) if !fits(id) => Err(bad("recording.set", "id: 1 to 64 of A-Z a-z 0-9 _ -")),
        _ => Ok(set),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_shown_by_debug() {
        let join = Command::parse("room.join", br#"{"room":"a","token":"s3cret"}"#);
        assert!(!format!("{join:?}").contains("s3cret"));
    }

    #[test]
    fn a_stream_key_is_shown_neither_by_debug_nor_by_an_error() {
        let output = r#"{"url":"rtmp://a/live","streamKey":"s3cret"}"#;
        let set = Command::parse("live.set", format!(r#"{{"on":true,"outputs":[{output}]}}"#).as_bytes());
        assert!(
            matches!(&set, Ok(Command::LiveSet(set)) if set.on) && !format!("{set:?}").contains("s3cret")
        );
        let nine = [output; 9].join(",");
        for outputs in [
            format!("[{output},{output}]"),
            format!("[{nine}]"),
            "\"s3cret\"".to_owned(),
            r#"["s3cret, expected"]"#.to_owned(),
            r#"[{"url":"rtmp://s3cret@a/live","streamKey":"k"}]"#.to_owned(),
            r#"[{"url":{"s3cret":1},"streamKey":"k"}]"#.to_owned(),
        ] {
            let json = format!(r#"{{"on":true,"outputs":{outputs}}}"#);
            let error = Command::parse("live.set", json.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("live.set: ") && !error.contains("s3cret"), "{json}: {error}");
        }
    }

    #[test]
    fn parameters_are_checked_and_the_error_names_the_field() {
        assert_eq!(Command::parse("ping", b""), Ok(Command::Ping));
        let join = Command::parse("room.join", br#"{"room":"lobby"}"#);
        assert!(matches!(join, Ok(Command::RoomJoin(RoomJoin { ref room, .. })) if room == "lobby"));
        for (name, json, word) in [
            ("room.join", r#"{"room":""}"#, "128"),
            ("room.join", r#"{"room":"a","colour":1}"#, "colour"),
            ("room.join", r#"{"room":"a","url":"ftp://x"}"#, "wss://"),
            ("recording.set", r#"{"on":"yes"}"#, "boolean"),
            ("recording.set", r#"{"on":true,"id":"../x"}"#, "id"),
            ("recording.set", r#"{"on":true,"source":"moon"}"#, "moon"),
            ("microphone.set", "{}", "muted"),
            ("live.set", "{}", "on"),
            ("live.set", r#"{"on":true,"source":"moon"}"#, "moon"),
            ("live.set", r#"{"on":true,"outputs":[]}"#, "1 to 8"),
            ("live.set", r#"{"on":true,"outputs":[{"url":"http://a/b","streamKey":"k"}]}"#, "rtmps://"),
            ("live.set", r#"{"on":true,"outputs":[{"url":"rtmp://a/b"}]}"#, "streamKey"),
            ("live.set", r#"{"on":true,"outputs":[{"url":"rtmp://a/b","streamKey":""}]}"#, "one line"),
            ("restart", r#"{"now":true}"#, "now"),
            ("layout.set", "7", "map"),
            ("dance", "{}", "ping"),
        ] {
            let error = Command::parse(name, json.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(word), "{name} {json}: {error}");
        }
    }
}
