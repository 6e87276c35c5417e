//! What is printed: one JSON document, or text for people.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::Order;
use crate::control::Reply;

/// Shows the reply to an order.
pub(super) fn reply(as_json: bool, order: &Order, reply: &Reply, out: &mut impl Write) -> io::Result<()> {
    if as_json {
        return writeln!(out, "{}", json!(reply));
    }
    if !reply.ok {
        let again = if reply.retryable { " (try again later)" } else { "" };
        return writeln!(out, "refused: {}: {}{again}", code(reply), reply.message);
    }
    if let Order::AdminLink | Order::GuestLink { .. } = order {
        let urls = reply.data["urls"].as_array().map(Vec::as_slice).unwrap_or_default();
        return urls.iter().filter_map(Value::as_str).try_for_each(|url| writeln!(out, "{url}"));
    }
    let message = if reply.message.is_empty() { "ok" } else { &reply.message };
    writeln!(out, "{message}")?;
    match &reply.data {
        Value::Object(data) => rows(&Value::Object(data.clone()), "  ", out),
        Value::Null => Ok(()),
        data => writeln!(out, "  {data}"),
    }
}

pub(super) fn code(reply: &Reply) -> String {
    json!(reply.code).as_str().unwrap_or("unknown").to_owned()
}

/// Shows the document `name`.
pub(super) fn document(
    as_json: bool,
    name: &str,
    document: &Value,
    watch: bool,
    out: &mut impl Write,
) -> io::Result<()> {
    match (as_json, name) {
        (true, _) => writeln!(out, "{document}"),
        (false, "state") => {
            state(document, out)?;
            if watch { writeln!(out) } else { Ok(()) }
        }
        (false, _) => rows(document, "", out),
    }
}

/// The state, a line a subject; then why something is not as it should be.
fn state(state: &Value, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "state      version {} of {}", state["seq"], text(&state["ts"]))?;
    match &state["room"] {
        Value::Null => writeln!(out, "room       none")?,
        room => writeln!(
            out,
            "room       {}: {}, {} participant(s), at {}{}",
            text(&room["name"]),
            text(&room["status"]),
            room["participants"],
            text(&room["url"]),
            because(room)
        )?,
    }
    let recording = &state["recording"];
    match recording["on"].as_bool() {
        Some(true) => writeln!(
            out,
            "recording  on: {} ({}, {} bytes) {}{}",
            text(&recording["id"]),
            text(&recording["status"]),
            recording["bytes"].as_u64().unwrap_or(0),
            text(&recording["file"]),
            because(recording)
        )?,
        _ => writeln!(out, "recording  off{}", because(recording))?,
    }
    let live = &state["live"];
    writeln!(out, "live       {}", if live["on"] == true { "on" } else { "off" })?;
    for to in live["destinations"].as_array().into_iter().flatten() {
        let (status, url) = (text(&to["status"]), text(&to["url"]));
        let error = to["last_error"].as_str().map(|error| format!(" ({error})")).unwrap_or_default();
        let next = to["next_try"].as_str().map(|at| format!(", next try {at}")).unwrap_or_default();
        writeln!(out, "           {status}: {url}, {} bytes acknowledged{error}{next}", to["bytes_acked"])?;
    }
    for device in ["camera", "microphone", "speaker"] {
        let about = &state[device];
        let muted = if about["muted"] == true { ", muted" } else { "" };
        let which = [&about["device"], &about["format"]].into_iter().filter_map(Value::as_str);
        let which: Vec<_> = which.collect();
        let (status, why) = (text(&about["status"]), because(about));
        writeln!(out, "{device:<10} {status}{muted}{}{}{why}", space(&which), which.join(" "))?;
    }
    Ok(())
}

fn space(which: &[&str]) -> &'static str {
    if which.is_empty() { "" } else { ": " }
}

fn because(about: &Value) -> String {
    about["reason"].as_str().map(|reason| format!(" ({reason})")).unwrap_or_default()
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Nested objects as indented rows.
fn rows(value: &Value, indent: &str, out: &mut impl Write) -> io::Result<()> {
    let Some(object) = value.as_object() else { return writeln!(out, "{indent}{}", text(value)) };
    for (key, value) in object {
        match value {
            Value::Object(_) => {
                writeln!(out, "{indent}{key}")?;
                rows(value, &format!("{indent}  "), out)?;
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                writeln!(out, "{indent}{key}")?;
                items.iter().try_for_each(|item| rows(item, &format!("{indent}  "), out))?;
            }
            Value::Array(items) => {
                let items: Vec<_> = items.iter().map(text).collect();
                writeln!(out, "{indent}{key:<16} {}", items.join(", "))?;
            }
            plain => writeln!(out, "{indent}{key:<16} {}", text(plain))?,
        }
    }
    Ok(())
}
