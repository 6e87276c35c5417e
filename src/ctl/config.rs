//! `roomctl config`: what the fleet wants of a box, and what the box made of it.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::table::{self, Look, Tone, cell};
use super::{Args, Error, Exit, target};
use crate::base::clock;
use crate::control::topics::Topics;
use crate::mqtt::{self, Asker};

/// Largest configuration file, in bytes; a box takes no larger document anyway.
const FILE_BYTES: usize = 16 * 1024;

/// What is done with a box's configuration.
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigOrder {
    /// Show what the box goes by (or, with --desired, what the fleet wants)
    Get {
        /// The fleet's wish instead
        #[arg(long)]
        desired: bool,
    },
    /// Give the box its whole configuration, and wait for what it makes of it
    ///
    /// The file holds sections and keys as in roomd.toml; what it does not name stays as the box's own files say. It
    /// replaces what was wished for before, under the next version.
    #[command(after_help = "Examples:\n  roomctl --box lobby config set lobby.toml\n  \
        echo '[camera]\nfps = 15' | roomctl --box lobby config set -")]
    Set {
        /// TOML, or JSON where its name ends with .json; - is the standard input (TOML)
        file: PathBuf,
        /// The document's version [default: one more than the box's]
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
        number: Option<u64>,
    },
    /// Take the fleet's wish back: the box goes by its own files again
    Clear,
    /// Compare the fleet's wish with what the box goes by; exit code 1 if they differ
    Diff,
}

/// The two documents of one box.
struct Documents {
    asker: Asker,
    topics: Topics,
    desired: Value,
    reported: Value,
}

impl Documents {
    async fn read(args: &Args) -> Result<Documents, Error> {
        let connection = &args.connection;
        let box_id = connection.box_id.as_deref();
        let box_id = box_id.ok_or_else(|| Error::Usage("this needs --box, or ROOMCTL_BOX".to_owned()))?;
        let topics = Topics::new(&connection.fleet, box_id).map_err(mqtt::Error::from)?;
        let asker = target::asker(connection).await?;
        let mut documents = Documents { asker, topics, desired: Value::Null, reported: Value::Null };
        let (desired, reported) = (documents.topic("desired"), documents.topic("reported"));
        documents.asker.subscribe(&[desired.clone(), reported.clone()]).await?;
        let mut found = BTreeMap::new();
        documents.asker.settle(|heard| drop(found.insert(heard.topic, heard.payload))).await?;
        let document =
            |topic| found.get(topic).and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or_default();
        documents.desired = document(&desired);
        documents.reported = document(&reported);
        Ok(documents)
    }

    fn topic(&self, leaf: &str) -> String {
        self.topics.of_box(&format!("config/{leaf}"))
    }

    /// The next version.
    fn next(&self) -> u64 {
        let version = |document: &Value, key: &str| document[key].as_u64().unwrap_or(0);
        let reported = &self.reported;
        let newest = [
            version(&self.desired, "version"),
            version(reported, "desired_version"),
            version(reported, "config_version"),
        ];
        newest.into_iter().max().unwrap_or(0) + 1
    }
}

/// Does `order` with the box's configuration.
pub(super) async fn config(order: &ConfigOrder, args: &Args, out: &mut dyn Write) -> Result<Exit, Error> {
    // What cannot be sent is told before anybody is asked.
    let wish = match order {
        ConfigOrder::Set { file, .. } => Some(read(file)?),
        _ => None,
    };
    let mut documents = Documents::read(args).await?;
    let exit = match order {
        ConfigOrder::Get { desired } => {
            let (document, what) = match desired {
                true => (&documents.desired, "the fleet wishes for nothing"),
                false => (&documents.reported, "the box has reported no configuration at this broker"),
            };
            if document.is_null() {
                return Err(Error::Nothing(what.to_owned()));
            }
            if args.json {
                writeln!(out, "{document}")?
            } else {
                writeln!(out, "{document:#}")?
            }
            Exit::Done
        }
        ConfigOrder::Set { number, .. } => {
            let version = number.unwrap_or_else(|| documents.next());
            let document = json!({"version": version, "config": wish});
            let topic = documents.topic("desired");
            documents.asker.keep(&topic, Some(&document)).await?;
            reported(&mut documents, version, args, out).await?
        }
        ConfigOrder::Clear => {
            let topic = documents.topic("desired");
            documents.asker.keep(&topic, None).await?;
            reported(&mut documents, 0, args, out).await?
        }
        ConfigOrder::Diff => diff(&documents, args, out)?,
    };
    documents.asker.close().await;
    Ok(exit)
}

/// Sections and keys from a file.
fn read(file: &Path) -> Result<Map<String, Value>, Error> {
    let bad = |reason: String| Error::Usage(format!("{}: {reason}", file.display()));
    let text = match file.as_os_str() == "-" {
        true => std::io::read_to_string(std::io::stdin()),
        false => std::fs::read_to_string(file),
    };
    let text = text.map_err(|error| bad(format!("cannot be read: {error}")))?;
    if text.len() > FILE_BYTES {
        return Err(bad(format!("{} bytes; at most {FILE_BYTES} can be sent", text.len())));
    }
    let value: Result<Value, String> = match file.extension().is_some_and(|extension| extension == "json") {
        true => serde_json::from_str(&text).map_err(|error| format!("is not JSON: {error}")),
        false => toml::from_str(&text).map_err(|error| format!("is not TOML: {}", error.message())),
    };
    match value.map_err(bad)? {
        Value::Object(sections) if sections.values().all(Value::is_object) => Ok(sections),
        _ => Err(bad("must hold sections with keys, as roomd.toml does".to_owned())),
    }
}

/// Waits for what the box makes of `version` (0: of none) and tells it.
async fn reported(
    documents: &mut Documents,
    version: u64,
    args: &Args,
    out: &mut dyn Write,
) -> Result<Exit, Error> {
    let (topic, timeout) = (documents.topic("reported"), Duration::from_secs(args.connection.timeout.into()));
    let deadline = clock::now() + timeout;
    let found = loop {
        let Ok(heard) = tokio::time::timeout_at(deadline.into(), documents.asker.hear()).await else {
            break None;
        };
        let heard = heard?;
        let document: Value = serde_json::from_slice(&heard.payload).unwrap_or_default();
        if heard.topic == topic && document["desired_version"].as_u64() == Some(version) {
            break Some(document);
        }
    };
    let Some(document) = found else {
        let after = timeout.as_secs();
        return Err(Error::Silent(format!(
            "version {version} is with the broker; the box has not reported on it within {after} s, and takes it when it \
             is online"
        )));
    };
    let applied = document["status"] == "applied";
    if args.json {
        writeln!(out, "{document}")?;
    } else {
        tell(&document, version, out)?;
    }
    Ok(if applied { Exit::Done } else { Exit::Refused })
}

fn tell(document: &Value, version: u64, out: &mut dyn Write) -> Result<(), Error> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    writeln!(out, "version {version}: {}", text(&document["status"]))?;
    let waiting: Vec<String> =
        document["restart_needed"].as_array().into_iter().flatten().map(text).collect();
    if !waiting.is_empty() {
        writeln!(out, "after a restart: {}", waiting.join(", "))?;
    }
    let errors = document["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let row = |error: &Value| {
        vec![
            cell(text(&error["path"]), Tone::Plain),
            cell(text(&error["code"]), Tone::Plain),
            cell(text(&error["message"]), Tone::Plain),
        ]
    };
    if !errors.is_empty() {
        let rows: Vec<_> = errors.iter().map(row).collect();
        table::lines(&["KEY", "CODE", "MESSAGE"], &rows, Look::PLAIN)
            .iter()
            .try_for_each(|line| writeln!(out, "{line}"))?;
    }
    Ok(())
}

/// Which wished keys the box does not go by.
fn diff(documents: &Documents, args: &Args, out: &mut dyn Write) -> Result<Exit, Error> {
    let effective = &documents.reported["effective"];
    let mut differences = Vec::new();
    for (section, keys) in documents.desired["config"].as_object().into_iter().flatten() {
        for (key, wanted) in keys.as_object().into_iter().flatten() {
            let found = &effective[section][key];
            if found != wanted {
                differences.push((format!("{section}.{key}"), wanted.clone(), found.clone()));
            }
        }
    }
    if args.json {
        let each = |(key, desired, effective): &(String, Value, Value)| json!({"key": key, "desired": desired, "effective": effective});
        let versions = (&documents.desired["version"], &documents.reported["config_version"]);
        let all: Vec<Value> = differences.iter().map(each).collect();
        writeln!(
            out,
            "{}",
            json!({"desired_version": versions.0, "config_version": versions.1, "differences": all})
        )?;
    } else if differences.is_empty() {
        writeln!(out, "the box goes by what the fleet wishes for")?;
    } else {
        let plain = |text: String| cell(text, Tone::Plain);
        let row = |(key, desired, effective): &(String, Value, Value)| {
            vec![plain(key.clone()), plain(desired.to_string()), plain(effective.to_string())]
        };
        let rows: Vec<_> = differences.iter().map(row).collect();
        table::lines(&["KEY", "DESIRED", "EFFECTIVE"], &rows, Look::PLAIN)
            .iter()
            .try_for_each(|line| writeln!(out, "{line}"))?;
    }
    Ok(if differences.is_empty() { Exit::Done } else { Exit::Refused })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toml_and_json_files_become_the_same_document_and_others_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let toml = read(&file("a.toml", "[camera]\nfps = 15\ncontrols = { gain = 3 }\n")).unwrap();
        let json = read(&file("a.json", r#"{"camera": {"fps": 15, "controls": {"gain": 3}}}"#)).unwrap();
        assert_eq!(toml, json);
        let large = format!("[log]\nlevel = \"{}\"", "x".repeat(20_000));
        for (name, text, word) in [
            ("b.toml", "fps = 15", "sections"),
            ("b.toml", "[camera", "is not TOML"),
            ("b.json", "[1]", "sections"),
            ("b.json", "{", "is not JSON"),
            ("b.toml", large.as_str(), "at most 16384"),
        ] {
            let error = read(&file(name, text)).unwrap_err().to_string();
            assert!(error.contains(word), "{text:.20}: {error}");
        }
        assert!(read(Path::new("/nonexistent")).is_err());
    }
}
