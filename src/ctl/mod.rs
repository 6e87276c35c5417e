//! L4: `roomctl`, the operator's command line: one box, over its control socket or by MQTT, or a whole fleet.
//!
//! | file | what |
//! |---|---|
//! | `args`, `output`, `target` | orders to one box and what comes back |
//! | `fleet`, `boxes`, `table` | all boxes: list, live table, orders to groups |
//! | `config`, `job` | desired and reported configuration; jobs and logs |
//! | `token`, `provision`, `generate` | tokens; enrolment; completions and manual pages |

mod args;
mod boxes;
mod config;
mod fleet;
mod generate;
mod job;
mod output;
mod provision;
mod table;
mod target;
mod time;
mod token;

use std::io::{self, Write};

pub use args::{Args, Connection, Order};
pub use config::ConfigOrder;
pub use fleet::BoxOrder;
pub use job::{JobOrder, LogsArgs};
pub use provision::{EnrollOrder, ProvisionArgs};
use target::Target;
pub use token::TokenOrder;

use crate::control::{Code, Reply};
use crate::{local, mqtt};

/// How it ended; the program's exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// The box refused.
    Refused = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The box or the broker was not reached, or did not answer in time.
    Unreachable = 3,
    /// `provision`: the file or its token is no good (`EX_CONFIG` of sysexits.h).
    Never = 78,
}

/// Why the box gave no reply.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Local(#[from] local::ClientError),
    #[error(transparent)]
    Mqtt(#[from] mqtt::Error),
    #[error("{0}")]
    Usage(String),
    /// What was asked for is not there.
    #[error("{0}")]
    Nothing(String),
    /// Sent, and nothing was heard.
    #[error("{0}")]
    Silent(String),
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

/// Does what `args` say: the outcome goes to `out`, errors to `err`.
pub async fn run(args: &Args, out: &mut impl Write, err: &mut impl Write) -> Exit {
    match perform(args, out, err).await {
        Ok(exit) => exit,
        // The reader of a pipe has had enough.
        Err(Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
        Err(error) => {
            let (exit, code) = match &error {
                Error::Usage(_)
                | Error::Mqtt(mqtt::Error::Url { .. } | mqtt::Error::Name(_) | mqtt::Error::File { .. }) => {
                    (Exit::Usage, "usage")
                }
                Error::Nothing(_) => (Exit::Refused, "not_found"),
                Error::Silent(_) => (Exit::Unreachable, "timeout"),
                _ => (Exit::Unreachable, "unreachable"),
            };
            if args.json {
                let document = serde_json::json!({"ok": false, "code": code, "message": error.to_string()});
                let _ = writeln!(out, "{document}");
            } else {
                let _ = writeln!(err, "roomctl: {error}");
            }
            exit
        }
    }
}

async fn perform(args: &Args, out: &mut impl Write, err: &mut impl Write) -> Result<Exit, Error> {
    match &args.order {
        Order::Box(order) => return fleet::boxes(order, args, out).await,
        Order::Config(order) => return config::config(order, args, out).await,
        Order::Job(order) => return job::job(order, args, out, err).await,
        Order::Logs(logs) => return job::logs(logs, args, out, err).await,
        Order::Token(order) => return token::token(order, args.json, out),
        Order::Provision(enrolment) => return provision::provision(enrolment, args.json, out).await,
        Order::EnrollServer(order) => return provision::enroll_server(order, args, out).await,
        Order::Completions { shell } => return Ok(generate::completions(*shell, out)),
        Order::Man { dir } => return generate::manual(dir),
        _ => {}
    }
    let (name, mut params) = args.order.request()?;
    if let Some(group) = &args.connection.group {
        if name.contains("link") || matches!(name.as_str(), "state" | "info") {
            return Err(Error::Usage(format!("--group: {} is for one box", name.replace('.', "-"))));
        }
        if let (Some(spread), Some(params)) = (args.connection.spread, params.as_object_mut()) {
            params.insert("spread_s".to_owned(), spread.into());
        }
        return fleet::group(group, (&name, &params), args, out, err).await;
    }
    let mut target = Target::open(&args.connection).await?;
    let watch = matches!(args.order, Order::State { watch: true });
    let exit = match name.as_str() {
        "state" | "info" => document(args, &mut target, &name, watch, out).await?,
        _ => {
            let reply = target.request(&name, &params).await?;
            output::reply(args.json, &args.order, &reply, out)?;
            exit(&reply)
        }
    };
    target.close().await;
    Ok(exit)
}

fn exit(reply: &Reply) -> Exit {
    match reply.code {
        _ if reply.ok => Exit::Done,
        Code::Timeout => Exit::Unreachable,
        _ => Exit::Refused,
    }
}

/// Shows a document, and with `watch` each later version until the other side ends.
async fn document(
    args: &Args,
    target: &mut Target,
    name: &str,
    watch: bool,
    out: &mut impl Write,
) -> Result<Exit, Error> {
    let mut document = target.document(name, watch).await?;
    loop {
        output::document(args.json, name, &document, watch, out)?;
        out.flush()?;
        if !watch {
            return Ok(Exit::Done);
        }
        document = target.next_document(name).await?;
    }
}

#[cfg(test)]
mod tests;
