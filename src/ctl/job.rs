//! `roomctl job` and `roomctl logs`: long work that a box does on its own, and how far it is.

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use clap::Subcommand;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Args, Error, Exit, target};
use crate::base::{clock, ids};
use crate::control::topics::{Topics, check_name};
use crate::mqtt::{self, Asker};

/// Columns of the progress bar.
const BAR: usize = 30;

/// What is done with jobs.
#[derive(Clone, Debug, Subcommand)]
pub enum JobOrder {
    /// Have the box do a job and follow it to its end
    #[command(after_help = "Examples:\n  roomctl --box lobby job run reboot\n  \
        roomctl --box lobby job run reboot --args '{\"when\": \"now\"}' --deadline 10m\n  \
        roomctl --box lobby job run reprovision --args - < roomd-provision.json")]
    Run {
        /// What: reboot, log_upload, reprovision
        op: String,
        /// Its arguments; - reads them from the standard input, as is good for secrets
        #[arg(long, value_name = "JSON", default_value = "{}")]
        args: String,
        /// How long it may take; then it is given up
        #[arg(long, value_name = "TIME", default_value = "1h", value_parser = super::time::duration)]
        deadline: Duration,
        /// Its id [default: a random one]
        #[arg(long, value_name = "ID")]
        id: Option<String>,
    },
    /// Follow a job that was ordered before to its end
    Watch {
        /// Its id
        id: String,
    },
}

/// What `roomctl logs` takes.
#[derive(Clone, Debug, clap::Args)]
pub struct LogsArgs {
    /// From when on: a time (RFC 3339), or so long ago (90s, 15m, 24h, 7d)
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = moment)]
    since: OffsetDateTime,
    /// Until when [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<OffsetDateTime>,
    /// File with the HTTPS URL that the box PUTs the compressed log to (a presigned one is a secret); - is the standard
    /// input
    #[arg(long, value_name = "FILE", conflicts_with = "follow")]
    url_file: Option<PathBuf>,
    /// Go on with what is logged from now on (this machine's box only)
    #[arg(long, short)]
    follow: bool,
}

/// A time, or how long ago.
fn moment(text: &str) -> Result<OffsetDateTime, String> {
    let ago = |span: Duration| OffsetDateTime::from(clock::wall() - span);
    super::time::duration(text).map(ago).or_else(|_| {
        let allowed = "allowed are times like 2026-11-21T20:00:00Z, and spans: 90s, 15m, 24h, 7d";
        OffsetDateTime::parse(text, &Rfc3339).map_err(|_| allowed.to_owned())
    })
}

/// A job, to be followed.
struct Job {
    asker: Asker,
    topic: String,
    id: String,
}

impl Job {
    async fn open(args: &Args, id: &str) -> Result<Job, Error> {
        check_name("job", id).map_err(mqtt::Error::from)?;
        let connection = &args.connection;
        let box_id = connection.box_id.as_deref();
        let box_id = box_id.ok_or_else(|| Error::Usage("this needs --box, or ROOMCTL_BOX".to_owned()))?;
        let topics = Topics::new(&connection.fleet, box_id).map_err(mqtt::Error::from)?;
        let asker = target::asker(connection).await?;
        let mut job = Job { asker, topic: topics.of_box(&format!("job/{id}")), id: id.to_owned() };
        let status = job.status_topic();
        job.asker.subscribe(&[status]).await?;
        Ok(job)
    }

    fn status_topic(&self) -> String {
        format!("{}/status", self.topic)
    }

    /// Follows it to its end, at most for `patience`.
    async fn follow(
        &mut self,
        patience: Duration,
        each_as_json: bool,
        args: &Args,
        out: &mut dyn Write,
        err: &mut dyn Write,
    ) -> Result<Value, Error> {
        let (deadline, topic) = (clock::now() + patience, self.status_topic());
        loop {
            let Ok(heard) = tokio::time::timeout_at(deadline.into(), self.asker.hear()).await else {
                let what =
                    format!("job {}: no end within {} s; `job watch` goes on", self.id, patience.as_secs());
                return Err(Error::Silent(what));
            };
            let heard = heard?;
            let Ok(status) = serde_json::from_slice::<Value>(&heard.payload) else { continue };
            if heard.topic != topic {
                continue;
            }
            let state = status["status"].as_str().unwrap_or_default();
            let over = !["queued", "running"].contains(&state);
            match (args.json, args.terminal) {
                (true, _) if each_as_json => writeln!(out, "{status}")?,
                (true, _) => {}
                (false, true) if !over => write!(err, "\r{}\u{1b}[K", line(&status, true))?,
                (false, true) => write!(err, "\r\u{1b}[K")?,
                (false, false) if !over => writeln!(out, "{}", line(&status, false))?,
                (false, false) => {}
            }
            out.flush()?;
            err.flush()?;
            if over {
                return Ok(status);
            }
        }
    }
}

/// `[#####-----] 50 %  running: upload`
fn line(status: &Value, bar: bool) -> String {
    let text = |key: &str| status[key].as_str().unwrap_or_default().replace(char::is_control, " ");
    let percent = status["percent"].as_u64().unwrap_or(0).min(100) as usize;
    let full = percent * BAR / 100;
    let bar = match bar {
        true => format!("[{}{}] ", "#".repeat(full), "-".repeat(BAR - full)),
        false => String::new(),
    };
    let colon = |text: String| if text.is_empty() { text } else { format!(": {text}") };
    format!("{bar}{percent:3} %  {}{}{}", text("status"), colon(text("step")), colon(text("message")))
}

fn end(status: &Value, args: &Args, told: bool, out: &mut dyn Write) -> Result<Exit, Error> {
    if !args.json {
        let code = status["code"].as_str().filter(|code| *code != "ok");
        let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
        writeln!(out, "{}{code}", line(status, false))?;
    } else if !told {
        writeln!(out, "{status}")?;
    }
    Ok(if status["status"] == "succeeded" { Exit::Done } else { Exit::Refused })
}

/// Runs, or follows, a job.
pub(super) async fn job(
    order: &JobOrder,
    args: &Args,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<Exit, Error> {
    match order {
        JobOrder::Run { op, args: given, deadline, id } => {
            let read = (given == "-").then(|| std::io::read_to_string(std::io::stdin()));
            let read = read.transpose().map_err(|error| Error::Usage(format!("--args -: {error}")))?;
            let arguments = serde_json::from_str(read.as_deref().unwrap_or(given))
                .map_err(|error| Error::Usage(format!("--args is not JSON: {error}")))?;
            run((op, arguments), *deadline, id.clone(), args, out, err).await
        }
        JobOrder::Watch { id } => {
            let mut job = Job::open(args, id).await?;
            let patience = Duration::from_secs(args.connection.timeout.into());
            let status = job.follow(patience, true, args, out, err).await?;
            job.asker.close().await;
            end(&status, args, true, out)
        }
    }
}

/// Orders a job, follows it to its end, and lets the box forget it.
async fn run(
    (op, arguments): (&str, Value),
    deadline: Duration,
    id: Option<String>,
    args: &Args,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<Exit, Error> {
    let id = id.unwrap_or_else(|| ids::random(8));
    let mut job = Job::open(args, &id).await?;
    let until = OffsetDateTime::from(clock::wall() + deadline).replace_nanosecond(0);
    let until = until.ok().and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default();
    let document = json!({"op": op, "args": arguments, "deadline": until});
    let topic = job.topic.clone();
    job.asker.keep(&topic, Some(&document)).await?;
    if !args.json {
        writeln!(err, "job {id}: {op}, until {until}")?;
    }
    // The box brings it to an end by itself, at its deadline at the latest.
    let patience = deadline + Duration::from_secs(args.connection.timeout.into());
    let status = job.follow(patience, false, args, out, err).await?;
    job.asker.keep(&topic, None).await?;
    job.asker.close().await;
    end(&status, args, false, out)
}

/// Shows this machine's log, or has a box send its own.
pub(super) async fn logs(
    logs: &LogsArgs,
    args: &Args,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<Exit, Error> {
    let rfc3339 =
        |at: OffsetDateTime| at.to_offset(time::UtcOffset::UTC).format(&Rfc3339).unwrap_or_default();
    if args.connection.broker.is_none() {
        return journal(logs);
    }
    let Some(file) = &logs.url_file else {
        return Err(Error::Usage("a box sends its log to an HTTPS URL: --url-file is needed".to_owned()));
    };
    let url = match file.as_os_str() == "-" {
        true => std::io::read_to_string(std::io::stdin()),
        false => std::fs::read_to_string(file),
    };
    let url = url.map_err(|error| Error::Usage(format!("{}: {error}", file.display())))?;
    let until = logs.until.unwrap_or_else(|| clock::wall().into());
    let arguments = json!({"since": rfc3339(logs.since), "until": rfc3339(until), "url": url.trim()});
    run(("log_upload", arguments), Duration::from_secs(3600), None, args, out, err).await
}

/// `journalctl` of this machine, on our own terminal.
fn journal(logs: &LogsArgs) -> Result<Exit, Error> {
    let at = |time: OffsetDateTime| format!("@{}", time.unix_timestamp());
    let mut command = Command::new("journalctl");
    command.args(["--unit=roomd.service", "--since", &at(logs.since)]);
    if let Some(until) = logs.until {
        command.args(["--until", &at(until)]);
    }
    if logs.follow {
        command.arg("--follow");
    }
    let status =
        command.status().map_err(|error| Error::Nothing(format!("journalctl cannot be run: {error}")))?;
    Ok(if status.success() { Exit::Done } else { Exit::Refused })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_with_and_without_a_bar() {
        let status = json!({"status": "running", "percent": 50, "step": "upload", "message": "a\u{1b}b"});
        assert_eq!(line(&status, false), " 50 %  running: upload: a b");
        assert!(line(&status, true).starts_with("[###############---------------] "));
        for odd in [json!(null), json!({"percent": 4000}), json!({"percent": "x", "status": 1})] {
            let _ = line(&odd, true);
        }
    }

    #[test]
    fn moments_are_times_or_spans() {
        assert!(moment("2026-11-21T20:00:00Z").unwrap().unix_timestamp() == 1_795_291_200);
        assert!(moment("15m").unwrap() < OffsetDateTime::from(clock::wall()));
        assert!(moment("yesterday").is_err());
    }
}
