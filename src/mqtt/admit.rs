//! Decides about every message that arrives as a command, before anything is done. Pure.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;

use super::link::Message;
use crate::control::dedupe::{Key, MAX_EXPIRY};
use crate::control::topics::{Topics, check_name};
use crate::control::{Code, Command, Origin, Reply};

/// Longest Correlation Data, in bytes.
const MAX_CORRELATION_BYTES: usize = 128;
/// Largest `spread_s` of a group's command: the longest expiry.
const MAX_SPREAD_S: f64 = 3600.0;

/// Where a reply goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) topic: String,
    pub(super) correlation: Bytes,
}

impl Destination {
    /// The asker's own id: its Correlation Data as text, or in hexadecimal when it is none.
    pub(super) fn id(&self) -> String {
        match std::str::from_utf8(&self.correlation) {
            Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
            _ => self.correlation.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}

/// A command that may be run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Admitted {
    pub(super) command: Command,
    pub(super) origin: Origin,
    pub(super) key: Key,
    pub(super) destination: Destination,
    pub(super) expiry: Duration,
    /// It is run at a moment of the box's choice within this time, at most [`Admitted::expiry`].
    pub(super) spread: Duration,
}

/// What is to be done with a message.
#[derive(Debug, PartialEq)]
pub(super) enum Admission {
    /// Not a command.
    Ignore,
    /// Refused, and there is nowhere to say so.
    Unanswerable(&'static str),
    /// Refused with this reply.
    Refuse(Destination, Reply),
    /// To be run, unless it is a duplicate.
    Run(Box<Admitted>),
}

/// Judges `message`; `issuers` may command, everybody if it is empty.
pub(super) fn admit(topics: &Topics, issuers: &[String], message: &Message) -> Admission {
    let Some(addressed) = topics.addressed(&message.topic) else { return Admission::Ignore };
    let Some(response) = &message.response_topic else {
        return Admission::Unanswerable("it has no Response Topic");
    };
    let Ok(client) = topics.client_of_response(response) else {
        return Admission::Unanswerable(
            "its Response Topic is not of the form roomd/v1/{fleet}/c/{client}/…",
        );
    };
    let correlation = message.correlation.clone().unwrap_or_default();
    let fits = (1..=MAX_CORRELATION_BYTES).contains(&correlation.len());
    let kept = if fits { correlation } else { Bytes::new() };
    let destination = Destination { topic: response.clone(), correlation: kept };
    if !fits {
        let message = format!("Correlation Data of 1 to {MAX_CORRELATION_BYTES} bytes is required");
        return Admission::Refuse(destination, Reply::refused(Code::BadRequest, message));
    }
    let judged = spread(addressed.group, &message.payload).and_then(|(spread, payload)| {
        let (command, issuer, expiry) = judge(addressed.name, client, issuers, message, &payload)?;
        Ok((command, issuer, expiry, spread))
    });
    match judged {
        Err(reply) => Admission::Refuse(destination, reply),
        Ok((command, issuer, expiry, spread)) => {
            // Less is left of the expiry each time that it is sent again.
            let spread = spread.min(expiry);
            let key = Key { issuer: issuer.clone(), correlation: destination.correlation.to_vec() };
            let origin = Origin { issuer, local: false };
            Admission::Run(Box::new(Admitted { command, origin, key, destination, expiry, spread }))
        }
    }
}

/// `spread_s` of a group's command, and the parameters without it.
fn spread<'a>(group: Option<&str>, payload: &'a [u8]) -> Result<(Duration, Cow<'a, [u8]>), Reply> {
    let whole = (Duration::ZERO, Cow::Borrowed(payload));
    if group.is_none() {
        return Ok(whole);
    }
    // What is no object the command refuses with its own words.
    let Ok(mut parameters) = serde_json::from_slice::<serde_json::Map<_, _>>(payload) else {
        return Ok(whole);
    };
    let Some(value) = parameters.remove("spread_s") else { return Ok(whole) };
    let seconds =
        value.as_f64().filter(|seconds| (0.0..=MAX_SPREAD_S).contains(seconds)).ok_or_else(|| {
            let given: String = value.to_string().chars().take(64).collect();
            let message = format!("spread_s {given}: a number from 0 to {MAX_SPREAD_S}");
            Reply::refused(Code::BadRequest, message)
        })?;
    let rest = serde_json::Value::Object(parameters).to_string().into_bytes();
    Ok((Duration::from_secs_f64(seconds), Cow::Owned(rest)))
}

fn judge(
    name: &str,
    client: &str,
    issuers: &[String],
    message: &Message,
    payload: &[u8],
) -> Result<(Command, String, Duration), Reply> {
    let bad = |reason: &str| Reply::refused(Code::BadRequest, reason);
    if message.retain {
        return Err(bad("retained commands are refused: they would run again at every reconnect"));
    }
    let expiry_s = message.expiry_s.ok_or_else(|| bad("a Message Expiry Interval is required"))?;
    if u64::from(expiry_s) > MAX_EXPIRY.as_secs() {
        return Err(bad(&format!("Message Expiry Interval {expiry_s}: at most {} s", MAX_EXPIRY.as_secs())));
    }
    let issuer = message.user_property("issuer").unwrap_or(client);
    check_name("issuer", issuer).map_err(|error| bad(&error.to_string()))?;
    if !issuers.is_empty() && !issuers.iter().any(|allowed| allowed == issuer) {
        let reason = format!("issuer {issuer:?} is not in mqtt.issuers");
        return Err(Reply::refused(Code::Unauthorized, reason));
    }
    if expiry_s == 0 {
        return Err(Reply::refused(Code::Expired, "it arrived after its expiry; not run"));
    }
    let command = Command::parse(name, payload).map_err(|error| bad(&error.to_string()))?;
    Ok((command, issuer.to_owned(), Duration::from_secs(u64::from(expiry_s))))
}

/// A message of `topic` and `payload` that has everything else, from an asker named by the payload too.
#[cfg(any(test, fuzzing))]
pub(crate) fn judge_any(topics: &Topics, topic: &str, payload: &[u8]) {
    let text = String::from_utf8_lossy(payload);
    let message = Message {
        topic: topic.to_owned(),
        payload: Bytes::copy_from_slice(payload),
        expiry_s: Some(10),
        response_topic: topics.response("app").ok(),
        correlation: Some(Bytes::copy_from_slice(topic.as_bytes())),
        ..Message::default()
    };
    let _ = admit(topics, &[], &message);
    let _ = admit(topics, &[], &Message { response_topic: Some(text.into_owned()), ..message });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics() -> Topics {
        Topics::new("default", "box1").unwrap()
    }

    fn ping() -> Message {
        Message {
            topic: "roomd/v1/default/d/box1/cmd/ping".into(),
            expiry_s: Some(10),
            response_topic: Some("roomd/v1/default/c/app/reply".into()),
            correlation: Some(Bytes::from_static(b"7")),
            ..Message::default()
        }
    }

    fn refusal(message: &Message) -> Reply {
        match admit(&topics(), &[], message) {
            Admission::Refuse(_, reply) => reply,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_proper_command_is_run_for_its_client_or_its_issuer() {
        let Admission::Run(run) = admit(&topics(), &[], &ping()) else { panic!() };
        assert_eq!(
            (run.command, run.origin.issuer.as_str(), run.origin.local),
            (Command::Ping, "app", false)
        );
        let mut named = ping();
        named.user_properties.push(("issuer".into(), "alice".into()));
        let Admission::Run(run) = admit(&topics(), &["alice".into()], &named) else { panic!() };
        assert_eq!((run.key.issuer.as_str(), run.expiry.as_secs()), ("alice", 10));
        let not_listed = admit(&topics(), &["bob".into()], &named);
        assert!(matches!(not_listed, Admission::Refuse(_, reply) if reply.code == Code::Unauthorized));
    }

    #[test]
    fn retained_and_expiry_less_and_expired_commands_are_refused() {
        assert_eq!(refusal(&Message { retain: true, ..ping() }).code, Code::BadRequest);
        assert_eq!(refusal(&Message { expiry_s: None, ..ping() }).code, Code::BadRequest);
        assert!(refusal(&Message { expiry_s: Some(3601), ..ping() }).message.contains("3600"));
        assert_eq!(refusal(&Message { expiry_s: Some(0), ..ping() }).code, Code::Expired);
    }

    #[test]
    fn without_a_place_to_answer_to_nothing_is_run_or_said() {
        for response_topic in [None, Some("roomd/v1/default/d/box1/status"), Some("x"), Some("roomd/v1/#")] {
            let message = Message { response_topic: response_topic.map(str::to_owned), ..ping() };
            assert!(matches!(admit(&topics(), &[], &message), Admission::Unanswerable(_)));
        }
        let correlations = [None, Some(Bytes::new()), Some(Bytes::from(vec![0; 129]))];
        for correlation in correlations {
            assert_eq!(refusal(&Message { correlation, ..ping() }).code, Code::BadRequest);
        }
    }

    #[test]
    fn unknown_commands_name_the_known_ones_and_noise_never_panics() {
        let unknown = Message { topic: "roomd/v1/default/d/box1/cmd/dance".into(), ..ping() };
        assert!(refusal(&unknown).message.contains("room.join"));
        for noise in [&b"\xff\xfe"[..], b"[", b"7", b"null", b"{\"x\":1}"] {
            let message = Message { payload: Bytes::copy_from_slice(noise), ..ping() };
            assert_eq!(refusal(&message).code, Code::BadRequest);
        }
    }

    #[test]
    fn a_groups_command_may_be_spread_and_one_to_a_box_may_not() {
        let to = |topic: &str, payload: &'static str| {
            let payload = Bytes::from_static(payload.as_bytes());
            admit(&topics(), &[], &Message { topic: topic.into(), payload, ..ping() })
        };
        let group = "roomd/v1/default/g/floor2/cmd/room.join";
        for (payload, spread) in [
            (r#"{"room":"a","spread_s":2.5}"#, Duration::from_millis(2500)),
            (r#"{"room":"a","spread_s":0}"#, Duration::ZERO),
            (r#"{"room":"a"}"#, Duration::ZERO),
            // Of the ten seconds that the message lives.
            (r#"{"room":"a","spread_s":3600}"#, Duration::from_secs(10)),
        ] {
            let Admission::Run(run) = to(group, payload) else { panic!("{payload}") };
            assert_eq!((run.command.name(), run.spread), ("room.join", spread), "{payload}");
        }
        for (topic, payload, word) in [
            (group, r#"{"room":"a","spread_s":-1}"#, "spread_s -1: a number from 0 to 3600"),
            (group, r#"{"room":"a","spread_s":"soon"}"#, "spread_s"),
            (group, r#"{"room":"a","spread_s":1e300}"#, "3600"),
            (group, "[1]", "room.join"),
            ("roomd/v1/default/d/box1/cmd/room.join", r#"{"room":"a","spread_s":1}"#, "spread_s"),
        ] {
            match to(topic, payload) {
                Admission::Refuse(_, reply) => assert!(reply.message.contains(word), "{}", reply.message),
                other => panic!("{payload}: {other:?}"),
            }
        }
    }

    #[test]
    fn an_id_is_text_or_hexadecimal() {
        let id = |bytes: &[u8]| {
            Destination { topic: String::new(), correlation: Bytes::copy_from_slice(bytes) }.id()
        };
        assert_eq!(id(b"job-7"), "job-7");
        assert_eq!(id(&[0xff, 0x01]), "ff01");
        assert_eq!(id(&[0x01]), "01");
    }
}
