//! `roomctl box list`, `box watch`, and orders to a group.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::time::Duration;

use clap::Subcommand;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::boxes::Boxes;
use super::table::{self, Look, Tone, cell};
use super::{Args, Error, Exit, target};
use crate::base::clock;
use crate::control::{Code, Reply};
use crate::mqtt::{Asker, Heard};
use crate::sys;

/// What is asked about all boxes of a fleet.
#[derive(Clone, Debug, Subcommand)]
pub enum BoxOrder {
    /// List the fleet's boxes: who they are, whether they are there, what they do
    #[command(
        after_help = "Examples:\n  roomctl box list\n  roomctl box list --json | jq -r '.[] | select(.status == \"offline\").box'"
    )]
    List,
    /// Watch the fleet's boxes: a table that changes with them; one line a change where there is no terminal
    #[command(after_help = "Ctrl-C ends it. With --json: one document a change, all boxes first.")]
    Watch,
}

/// Between two drawings of the table.
const REDRAW: Duration = Duration::from_millis(250);
/// The ages and lengths in it grow.
const TICK: Duration = Duration::from_secs(1);

/// Lists, or watches, the fleet.
pub(super) async fn boxes(order: &BoxOrder, args: &Args, out: &mut dyn Write) -> Result<Exit, Error> {
    let mut asker = target::asker(&args.connection).await?;
    let mut boxes = Boxes::new(&args.connection.fleet);
    learn(&mut asker, &mut boxes).await?;
    match order {
        BoxOrder::List => list(&boxes, args, out)?,
        BoxOrder::Watch if args.terminal && !args.json => screen(&mut asker, &mut boxes, args, out).await?,
        BoxOrder::Watch => changes(&mut asker, &mut boxes, args, out).await?,
    }
    asker.close().await;
    Ok(Exit::Done)
}

/// Everything that is retained about every box.
async fn learn(asker: &mut Asker, boxes: &mut Boxes) -> Result<(), Error> {
    asker.subscribe(&boxes.filters()).await?;
    let hear = |heard: Heard| {
        boxes.hear(&heard.topic, &heard.payload);
    };
    Ok(asker.settle(hear).await?)
}

fn list(boxes: &Boxes, args: &Args, out: &mut dyn Write) -> Result<(), Error> {
    let rows = boxes.rows();
    if args.json {
        let all: Vec<Value> = rows.iter().map(|row| row.json()).collect();
        return Ok(writeln!(out, "{}", json!(all))?);
    }
    for line in table::boxes(&rows, clock::wall().into(), look(args)) {
        writeln!(out, "{line}")?;
    }
    Ok(writeln!(out, "{}", table::summary(&rows))?)
}

fn look(args: &Args) -> Look {
    match args.terminal {
        true => Look { width: size().0, colour: std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty()) },
        false => Look::PLAIN,
    }
}

fn size() -> (usize, usize) {
    use std::os::fd::AsFd;
    sys::terminal_size(std::io::stdout().as_fd()).unwrap_or((80, 24))
}

/// The table on the whole terminal, drawn anew when something changes, until Ctrl-C.
async fn screen(asker: &mut Asker, boxes: &mut Boxes, args: &Args, out: &mut dyn Write) -> Result<(), Error> {
    // The other screen, without a cursor; what was on this one comes back at the end.
    write!(out, "\u{1b}[?1049h\u{1b}[?25l")?;
    let watched = watch_screen(asker, boxes, args, out).await;
    write!(out, "\u{1b}[?25h\u{1b}[?1049l")?;
    out.flush()?;
    watched
}

async fn watch_screen(
    asker: &mut Asker,
    boxes: &mut Boxes,
    args: &Args,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let mut resized = signal(SignalKind::window_change())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    loop {
        draw(boxes, args, out)?;
        let drawn = clock::now();
        tokio::select! {
            _ = interrupted.recv() => return Ok(()),
            _ = terminated.recv() => return Ok(()),
            _ = resized.recv() => {}
            () = tokio::time::sleep(TICK) => {}
            heard = asker.hear() => { take(boxes, &heard?); }
        }
        // What comes within a moment is drawn together.
        while let Ok(heard) = tokio::time::timeout_at((drawn + REDRAW).into(), asker.hear()).await {
            take(boxes, &heard?);
        }
    }
}

fn take(boxes: &mut Boxes, heard: &Heard) -> Option<String> {
    boxes.hear(&heard.topic, &heard.payload)
}

fn draw(boxes: &Boxes, args: &Args, out: &mut dyn Write) -> Result<(), Error> {
    let (rows, (_, height)) = (boxes.rows(), size());
    let now: time::OffsetDateTime = clock::wall().into();
    let connection = &args.connection;
    let broker = connection.broker.as_deref().unwrap_or_default();
    let mut lines = vec![
        format!(
            "fleet {} at {broker}   {:02}:{:02}:{:02} UTC   Ctrl-C ends",
            connection.fleet,
            now.hour(),
            now.minute(),
            now.second()
        ),
        table::summary(&rows),
        String::new(),
    ];
    lines.extend(table::boxes(&rows, now, look(args)));
    if lines.len() > height {
        let hidden = lines.len() + 1 - height;
        lines.truncate(height.saturating_sub(1));
        lines.push(format!("… and {hidden} more: a larger terminal shows them, `box list` all"));
    }
    // Each line over the old one, so that nothing flickers.
    write!(out, "\u{1b}[H{}\u{1b}[K\u{1b}[J", lines.join("\u{1b}[K\r\n"))?;
    Ok(out.flush()?)
}

/// One line a change, all boxes first, until the connection ends or Ctrl-C.
async fn changes(
    asker: &mut Asker,
    boxes: &mut Boxes,
    args: &Args,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let mut told = BTreeMap::new();
    for row in boxes.rows() {
        tell(&row.id.clone(), boxes, &mut told, args, out)?;
    }
    let mut interrupted = signal(SignalKind::interrupt())?;
    loop {
        let heard = tokio::select! {
            _ = interrupted.recv() => return Ok(()),
            heard = asker.hear() => heard?,
        };
        if let Some(id) = take(boxes, &heard) {
            tell(&id, boxes, &mut told, args, out)?;
        }
    }
}

/// Tells of a box unless it was just as it is now.
fn tell(
    id: &str,
    boxes: &Boxes,
    told: &mut BTreeMap<String, Value>,
    args: &Args,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let row = boxes.row(id);
    let document = row.as_ref().map_or_else(|| json!({"box": id, "status": "removed"}), |row| row.json());
    if told.insert(id.to_owned(), document.clone()).as_ref() == Some(&document) {
        return Ok(());
    }
    match row {
        _ if args.json => writeln!(out, "{document}")?,
        None => writeln!(out, "{id}  removed")?,
        Some(row) => {
            let lines = table::boxes(&[row], clock::wall().into(), Look::PLAIN);
            writeln!(out, "{}", lines.last().map(String::as_str).unwrap_or_default())?;
        }
    }
    Ok(out.flush()?)
}

/// What became of an order at one box.
enum Outcome {
    Replied(Reply),
    /// It is said to be offline; it may still do it when it is back in time.
    Offline,
    Silent,
}

/// Gives an order to every box of `group` and tells what became of it at each.
pub(super) async fn group(
    group: &str,
    (name, params): (&str, &Value),
    args: &Args,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<Exit, Error> {
    let connection = &args.connection;
    let mut asker = target::asker(connection).await?;
    let mut boxes = Boxes::new(&connection.fleet);
    learn(&mut asker, &mut boxes).await?;
    let members = boxes.members(group);
    let timeout = Duration::from_secs(connection.timeout.into());
    let deadline = clock::now() + timeout;
    let topic = format!("roomd/v1/{}/g/{group}/cmd/{name}", connection.fleet);
    let correlation = asker.order(topic, params, timeout).await?;
    let mut replies: BTreeMap<String, Reply> = BTreeMap::new();
    let online = |boxes: &Boxes, id: &String| boxes.row(id).is_some_and(|row| row.status == "online");
    let mut unnamed = 0;
    loop {
        if args.terminal && !args.json {
            write!(err, "\r{} of {} answered\u{1b}[K", replies.len(), members.len().max(replies.len()))?;
            err.flush()?;
        }
        let all =
            !members.is_empty() && members.iter().all(|id| replies.contains_key(id) || !online(&boxes, id));
        if all {
            break;
        }
        let Ok(heard) = tokio::time::timeout_at(deadline.into(), asker.hear()).await else { break };
        let heard = heard?;
        take(&mut boxes, &heard);
        if heard.correlation.as_ref() == Some(&correlation)
            && let Ok(reply) = serde_json::from_slice(&heard.payload)
        {
            let from = heard.from.unwrap_or_else(|| {
                unnamed += 1;
                format!("(unnamed {unnamed})")
            });
            replies.insert(from, reply);
        }
    }
    if args.terminal && !args.json {
        write!(err, "\r\u{1b}[K")?;
    }
    asker.close().await;
    conclude(group, outcomes(&members, replies, &boxes), &boxes, args, out)
}

fn outcomes(
    members: &BTreeSet<String>,
    replies: BTreeMap<String, Reply>,
    boxes: &Boxes,
) -> BTreeMap<String, Outcome> {
    let silent = members.iter().map(|id| {
        let offline = boxes.row(id).is_some_and(|row| row.status == "offline");
        (id.clone(), if offline { Outcome::Offline } else { Outcome::Silent })
    });
    silent.chain(replies.into_iter().map(|(id, reply)| (id, Outcome::Replied(reply)))).collect()
}

/// The summary, and the exit code: all done, else refused by one, else not heard of.
fn conclude(
    group: &str,
    outcomes: BTreeMap<String, Outcome>,
    boxes: &Boxes,
    args: &Args,
    out: &mut dyn Write,
) -> Result<Exit, Error> {
    let is_done = |outcome: &Outcome| matches!(outcome, Outcome::Replied(reply) if reply.ok);
    let is_refused = |outcome: &Outcome| matches!(outcome, Outcome::Replied(reply) if !reply.ok && reply.code != Code::Timeout);
    let done = outcomes.values().filter(|outcome| is_done(outcome)).count();
    let refused = outcomes.values().filter(|outcome| is_refused(outcome)).count();
    let silent = outcomes.len() - done - refused;
    if args.json {
        let each = |(id, outcome): (&String, &Outcome)| match outcome {
            Outcome::Replied(reply) => json!({"box": id, "reply": reply}),
            Outcome::Offline => json!({"box": id, "reply": null, "status": "offline"}),
            Outcome::Silent => json!({"box": id, "reply": null}),
        };
        let all: Vec<Value> = outcomes.iter().map(each).collect();
        writeln!(out, "{}", json!({"ok": done == outcomes.len() && done > 0, "group": group, "boxes": all}))?;
    } else {
        let row = |(id, outcome): (&String, &Outcome)| {
            let name = boxes.row(id).map(|row| row.name).unwrap_or_default();
            let (what, tone, message) = match outcome {
                Outcome::Replied(reply) if reply.ok => ("done".to_owned(), Tone::Good, reply.message.clone()),
                Outcome::Replied(reply) => (super::output::code(reply), Tone::Bad, reply.message.clone()),
                Outcome::Offline => ("silent".to_owned(), Tone::Busy, "offline".to_owned()),
                Outcome::Silent => ("silent".to_owned(), Tone::Busy, String::new()),
            };
            vec![cell(id, Tone::Plain), cell(name, Tone::Plain), cell(what, tone), cell(message, Tone::Plain)]
        };
        let rows: Vec<_> = outcomes.iter().map(row).collect();
        for line in table::lines(&["BOX", "NAME", "OUTCOME", "MESSAGE"], &rows, look(args)) {
            writeln!(out, "{line}")?;
        }
        writeln!(out, "group {group}: {done} done, {refused} refused, {silent} silent")?;
    }
    Ok(match (done, refused, silent) {
        (_, 1.., _) => Exit::Refused,
        (1.., 0, 0) => Exit::Done,
        _ => Exit::Unreachable,
    })
}
