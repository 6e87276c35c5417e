//! Jobs: long work that the fleet orders by a retained document, `job/{id}`, and follows by another one,
//! `job/{id}/status` (contract, section 5).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::enrolment::EnrolmentOrder;
use super::https_url::HttpsUrl;
use super::{Code, State};

/// `job/{id}`: what is to be done, and until when.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Job {
    /// What, with its arguments.
    #[serde(flatten)]
    pub op: Op,
    /// RFC 3339; what has not come to its end by then is given up.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub deadline: OffsetDateTime,
}

/// What a job does. (`update` is known and `unsupported`.)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "op", content = "args", rename_all = "snake_case")]
pub enum Op {
    /// Restarts the machine.
    Reboot(Reboot),
    /// Sends the journal of a range of time somewhere.
    LogUpload(LogUpload),
    /// Enrols the box anew: the same as `roomd-provision.json`.
    Reprovision(Box<EnrolmentOrder>),
}

/// Arguments of `reboot`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reboot {
    /// When.
    #[serde(default)]
    pub when: When,
}

/// When the machine is restarted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// As soon as the box is in no room, records nothing and is not live.
    #[default]
    Idle,
    /// At once; recordings are finished first.
    Now,
}

/// Arguments of `log_upload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogUpload {
    /// RFC 3339.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub since: OffsetDateTime,
    /// RFC 3339, after `since`.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub until: OffsetDateTime,
    /// Where the compressed text is PUT.
    pub url: HttpsUrl,
}

/// `job/{id}/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobStatus {
    /// How far it is.
    pub status: Progress,
    /// What is being done, or waited for, in one word.
    pub step: String,
    /// Of the whole job, 0 to 100.
    #[schemars(range(max = 100))]
    pub percent: u8,
    /// How it ended; null until then.
    pub code: Option<Code>,
    /// For people.
    pub message: String,
    /// Since when it is so, RFC 3339.
    pub ts: String,
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// Accepted; waits.
    Queued,
    /// Being done.
    Running,
    /// Done.
    Succeeded,
    /// It did not work.
    Failed,
    /// It was never begun: it makes no sense, or this box cannot do it.
    Rejected,
    /// Its deadline came first.
    TimedOut,
}

impl Progress {
    /// Nothing more happens.
    pub const fn is_end(self) -> bool {
        !matches!(self, Progress::Queued | Progress::Running)
    }
}

/// Why a job is rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobError {
    /// `bad_request` or `unsupported`.
    pub code: Code,
    /// The field, and what is allowed; never a value, which may be a secret.
    pub message: String,
}

fn bad(message: impl Into<String>) -> JobError {
    JobError { code: Code::BadRequest, message: message.into() }
}

impl Job {
    /// Reads a job.
    ///
    /// # Errors
    /// [`JobError`].
    pub fn parse(json: &[u8]) -> Result<Job, JobError> {
        let value: Value = serde_json::from_slice(json)
            .map_err(|error| bad(format!("no JSON at line {}, column {}", error.line(), error.column())))?;
        let Value::Object(mut fields) = value else {
            return Err(bad("an object {op, args, deadline} is wanted"));
        };
        let op = fields.remove("op");
        let args = fields.remove("args").unwrap_or_else(|| Value::Object(Map::new()));
        let deadline = fields.remove("deadline");
        if let Some(key) = fields.keys().next() {
            let key: String = key.chars().take(64).collect();
            return Err(bad(format!("{key:?}: unknown; allowed are op, args and deadline")));
        }
        let op = match op.as_ref().and_then(Value::as_str) {
            Some("reboot") => arguments(args).map(Op::Reboot)?,
            Some("log_upload") => Op::LogUpload(arguments::<LogUpload>(args)?.checked()?),
            Some("reprovision") => {
                let order = EnrolmentOrder::parse(args.to_string().as_bytes());
                Op::Reprovision(Box::new(order.map_err(|error| bad(format!("args: {error}")))?))
            }
            Some("update") => return Err(unsupported("this version of roomd cannot do that")),
            Some(_) => return Err(unsupported("op: known are reboot, log_upload and reprovision")),
            None => return Err(bad("op: a text is wanted")),
        };
        let deadline = deadline.as_ref().and_then(Value::as_str);
        let deadline = deadline.and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
        let deadline = deadline.ok_or_else(|| bad("deadline: a time like 2026-11-21T20:00:00Z is wanted"))?;
        Ok(Job { op, deadline })
    }

    /// The deadline in ms since 1970.
    pub fn deadline_ms(&self) -> i64 {
        i64::try_from(self.deadline.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
    }
}

fn unsupported(message: &str) -> JobError {
    JobError { code: Code::Unsupported, message: message.to_owned() }
}

/// serde quotes a wrong value in its error: that is left out.
fn arguments<T: for<'a> Deserialize<'a>>(args: Value) -> Result<T, JobError> {
    serde_json::from_value(args).map_err(|error| {
        let error = error.to_string();
        let quotes =
            ["invalid type", "invalid value", "unknown variant"].iter().any(|start| error.contains(start));
        match error.rsplit_once("expected ").filter(|_| quotes) {
            Some((_, wanted)) => bad(format!("args: a wrong value, wanted is {wanted}")),
            None => bad(format!("args: {error:.200}")),
        }
    })
}

impl LogUpload {
    fn checked(self) -> Result<LogUpload, JobError> {
        if self.since >= self.until {
            return Err(bad("args: until must be after since"));
        }
        Ok(self)
    }
}

/// Nobody is disturbed by a restart: no room, no recording, not live.
pub fn is_idle(state: &State) -> bool {
    state.room.is_none() && !state.recording.on && !state.live.on
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn jobs_are_read() {
        let job = Job::parse(br#"{"op":"reboot","deadline":"2026-11-21T20:00:00Z"}"#).unwrap();
        assert_eq!(
            (job.op.clone(), job.deadline_ms()),
            (Op::Reboot(Reboot { when: When::Idle }), 1_795_291_200_000)
        );
        let text = json!({"op": "log_upload", "deadline": "2026-11-21T21:00:00+01:00", "args": {
            "since": "2026-11-21T00:00:00Z", "until": "2026-11-21T01:00:00Z", "url": "https://[::1]:8443/b?sign=s3cret"}});
        let job = Job::parse(text.to_string().as_bytes()).unwrap();
        assert!(!format!("{job:?}").contains("s3cret"));
        let Op::LogUpload(upload) = &job.op else { panic!("{job:?}") };
        assert_eq!(
            (upload.url.host(), upload.url.port(), upload.url.authority()),
            ("::1", 8443, "[::1]:8443")
        );
        assert_eq!(upload.url.path_and_query(), "/b?sign=s3cret");
        assert_eq!(Job::parse(&serde_json::to_vec(&job).unwrap()), Ok(job));
        let args = json!({"enroll_url": "https://h/s3cret", "token": "s3cret", "fleet": "f", "name": "Hall"});
        let text = json!({"op": "reprovision", "deadline": "2026-11-21T20:00:00Z", "args": args});
        let job = Job::parse(text.to_string().as_bytes()).unwrap();
        assert!(!format!("{job:?}").contains("s3cret"));
        assert_eq!(serde_json::to_value(&job).unwrap(), text);
    }

    #[test]
    fn what_is_wrong_with_a_job_is_said_without_its_values() {
        let upload = |since: &str, until: &str, url: &str| {
            let args = json!({"since": since, "until": until, "url": url});
            json!({"op": "log_upload", "args": args, "deadline": "2026-11-21T20:00:00Z"}).to_string()
        };
        let (day, next) = ("2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z");
        let deep = "[".repeat(5000);
        for (text, code, word) in [
            ("".to_owned(), Code::BadRequest, "no JSON"),
            (deep, Code::BadRequest, "no JSON"),
            ("7".to_owned(), Code::BadRequest, "object"),
            (r#"{"op":"reboot"}"#.to_owned(), Code::BadRequest, "deadline"),
            (r#"{"op":"reboot","deadline":99999999999999999999}"#.to_owned(), Code::BadRequest, "deadline"),
            (r#"{"op":"reboot","deadline":"soon"}"#.to_owned(), Code::BadRequest, "deadline"),
            (
                r#"{"op":"reboot","args":{"when":"s3cret"},"deadline":"x"}"#.to_owned(),
                Code::BadRequest,
                "idle",
            ),
            (r#"{"op":"reboot","args":{"how":"s3cret"},"deadline":"x"}"#.to_owned(), Code::BadRequest, "how"),
            (r#"{"op":"reboot","args":["s3cret"],"deadline":"x"}"#.to_owned(), Code::BadRequest, "args"),
            (r#"{"op":"reboot","more":"s3cret"}"#.to_owned(), Code::BadRequest, "more"),
            (r#"{"op":7}"#.to_owned(), Code::BadRequest, "op"),
            (r#"{"op":"dance"}"#.to_owned(), Code::Unsupported, "reboot"),
            (r#"{"op":"update","args":{"url":"s3cret"}}"#.to_owned(), Code::Unsupported, "cannot"),
            (r#"{"op":"reprovision"}"#.to_owned(), Code::BadRequest, "args: not {enroll_url"),
            (
                r#"{"op":"reprovision","args":{"enroll_url":"https://h/","token":["s3cret"],"fleet":"f"}}"#
                    .to_owned(),
                Code::BadRequest,
                "args: token",
            ),
            (upload(day, next, "http://s3cret"), Code::BadRequest, "https://"),
            (upload(day, next, "https://s3cret@h/"), Code::BadRequest, "https://"),
            (upload(day, next, "https://"), Code::BadRequest, "https://"),
            (upload(next, day, "https://h/s3cret"), Code::BadRequest, "until"),
            (upload("s3cret", day, "https://h/s3cret"), Code::BadRequest, "args"),
        ] {
            let error = Job::parse(text.as_bytes()).unwrap_err();
            assert_eq!(error.code, code, "{text:.80}");
            assert!(
                error.message.contains(word) && !error.message.contains("s3cret"),
                "{text:.80}: {}",
                error.message
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(https://)?\\PC{0,60}", bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(url) = HttpsUrl::parse(&text) {
                let shown = url.to_string();
                prop_assert_eq!(HttpsUrl::parse(&String::from(url.clone())), Some(url));
                prop_assert!(shown.ends_with("/…"));
            }
            let _ = Job::parse(&bytes);
        }
    }
}
