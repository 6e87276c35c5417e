//! Where settings come from: reads the files and the environment and lays them over each other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::reader::{DESIRED, Origin, Reader};
use super::{ConfigError, Problem, Settings, resolve};
use crate::control::config_document::{DesiredConfig, FaultCode};

/// The environment variables that matter: those that begin with `ROOMD_`, and `CREDENTIALS_DIRECTORY`.
#[derive(Clone, Debug, Default)]
pub struct Environment(pub BTreeMap<String, String>);

impl Environment {
    /// This process's.
    pub fn of_process() -> Self {
        let ours = |name: &str| name.starts_with("ROOMD_") || name == "CREDENTIALS_DIRECTORY";
        let pairs = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok().filter(|name| ours(name))?;
            Some((name, value.to_string_lossy().into_owned()))
        });
        Environment(pairs.collect())
    }
}

/// Reads every layer and checks it.
///
/// `file` is the main file; when it is None, `/etc/roomd/roomd.toml` is read if it exists. Its neighbour `roomd.d/`,
/// the state directory's `conf.d/` and the fleet's `desired` configuration follow.
///
/// # Errors
/// [`ConfigError`] with every problem found.
pub fn load(
    file: Option<&Path>,
    environment: &Environment,
    desired: Option<&DesiredConfig>,
) -> Result<Settings, ConfigError> {
    let mut reader = Reader::default();
    let default = PathBuf::from("/etc/roomd/roomd.toml");
    let main = file.unwrap_or(&default);
    if file.is_some() || main.exists() {
        add_file(&mut reader, main);
    }
    if let Some(dir) = main.parent() {
        add_dir(&mut reader, &dir.join("roomd.d"));
    }
    add_environment(&mut reader, environment);
    // The state directory decides where conf.d is; the environment, which wins, is laid over once more after it.
    let state_dir = reader.peek_text("box", "state_dir").unwrap_or_else(|| resolve::STATE_DIR.to_owned());
    add_dir(&mut reader, &Path::new(&state_dir).join("conf.d"));
    if let Some(desired) = desired {
        add_desired(&mut reader, desired);
    }
    add_environment(&mut reader, environment);
    let credentials = environment.0.get("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    settings(reader, credentials.as_deref())
}

fn settings(mut reader: Reader, credentials: Option<&Path>) -> Result<Settings, ConfigError> {
    let settings = resolve::settings(&mut reader, credentials);
    match reader.finish() {
        problems if problems.is_empty() => Ok(settings),
        problems => Err(ConfigError(problems)),
    }
}

/// Checks the text of one file as [`load`] does, and reads nothing else.
#[cfg(any(test, fuzzing))]
pub(crate) fn check(text: &str) -> Result<Settings, ConfigError> {
    let mut reader = Reader::default();
    add_text(&mut reader, "text", text);
    settings(reader, None)
}

/// Checks a desired configuration as [`load`] does for a box without any file.
#[cfg(any(test, fuzzing))]
pub(crate) fn check_desired(desired: &DesiredConfig) -> Result<Settings, ConfigError> {
    let mut reader = Reader::default();
    add_desired(&mut reader, desired);
    settings(reader, None)
}

/// Every key that is known, `section.key`.
#[cfg(test)]
pub(super) fn known_keys() -> std::collections::BTreeSet<String> {
    let mut reader = Reader::default();
    resolve::settings(&mut reader, None);
    reader.known()
}

/// Lays every `*.toml` of `dir` over what is there, in the order of their names; a missing directory is empty.
fn add_dir(reader: &mut Reader, dir: &Path) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    for file in files {
        add_file(reader, &file);
    }
}

fn add_file(reader: &mut Reader, path: &Path) {
    let origin = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => add_text(reader, &origin, &text),
        Err(error) => {
            let message = format!("cannot be read: {error}");
            let code = FaultCode::BadDocument;
            reader.problem(Problem { origin, key: String::new(), message, code });
        }
    }
}

fn add_text(reader: &mut Reader, origin: &str, text: &str) {
    let table = match text.parse::<Table>() {
        Ok(table) => table,
        Err(error) => {
            let message = format!("is not TOML: {}", error.message());
            let (origin, code) = (origin.to_owned(), FaultCode::BadDocument);
            return reader.problem(Problem { origin, key: String::new(), message, code });
        }
    };
    for (section, value) in table {
        match value {
            Value::Table(keys) => {
                for (key, value) in keys {
                    reader.set(&section, &key, value, Origin::File(origin.to_owned()));
                }
            }
            other => reader.problem(Problem {
                origin: origin.to_owned(),
                key: section,
                message: format!("{} given, a section is expected ([box], [camera], ...)", other.type_str()),
                code: FaultCode::BadValue,
            }),
        }
    }
}

/// Keys that the fleet may not set: who the box is, where it keeps its state, how it is reached, and where it logs, which
/// it does before it knows what the fleet desires.
pub(super) fn is_forbidden(section: &str, key: &str) -> bool {
    section == "mqtt"
        || matches!((section, key), ("box", "id" | "state_dir") | ("control", "socket") | ("log", "journal"))
}

fn add_desired(reader: &mut Reader, desired: &DesiredConfig) {
    let problem =
        |key: String, code, message: String| Problem { origin: DESIRED.to_owned(), key, message, code };
    for (section, keys) in &desired.config {
        let Some(keys) = keys.as_object() else {
            let message = "a section is expected, an object like {\"name\": \"…\"}".to_owned();
            reader.problem(problem(short(section), FaultCode::BadValue, message));
            continue;
        };
        for (key, value) in keys {
            let path = short(&format!("{section}.{key}"));
            if is_forbidden(section, key) {
                let message = "the fleet may not set it: allowed in the box's own files".to_owned();
                reader.problem(problem(path, FaultCode::Forbidden, message));
                continue;
            }
            match toml_value(value) {
                Ok(value) => reader.set(section, key, value, Origin::Desired),
                Err(message) => reader.problem(problem(path, FaultCode::BadValue, message.to_owned())),
            }
        }
    }
}

/// A name of the fleet's, cut to 128 characters.
fn short(name: &str) -> String {
    name.chars().take(128).collect()
}

fn toml_value(value: &serde_json::Value) -> Result<Value, &'static str> {
    use serde_json::Value as Json;
    Ok(match value {
        Json::Null => return Err("null given; leave out what is not to be set"),
        Json::Bool(flag) => Value::Boolean(*flag),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Value::Integer(whole),
            (None, Some(fraction)) if !number.is_u64() => Value::Float(fraction),
            _ => return Err("the number is out of range, allowed are 64 bits with a sign"),
        },
        Json::String(text) => Value::String(text.clone()),
        Json::Array(items) => Value::Array(items.iter().map(toml_value).collect::<Result<_, _>>()?),
        Json::Object(fields) => {
            let each = |(key, value): (&String, &Json)| toml_value(value).map(|value| (key.clone(), value));
            Value::Table(fields.iter().map(each).collect::<Result<_, _>>()?)
        }
    })
}

fn add_environment(reader: &mut Reader, environment: &Environment) {
    for (name, value) in &environment.0 {
        let Some((section, key)) = name.strip_prefix("ROOMD_").and_then(|rest| rest.split_once("__")) else {
            continue;
        };
        let (section, key) = (section.to_ascii_lowercase(), key.to_ascii_lowercase());
        reader.set(&section, &key, Value::String(value.clone()), Origin::Environment);
    }
}
