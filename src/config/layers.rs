//! Where settings come from: reads the files and the environment and lays them over each other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::reader::{Origin, Reader};
use super::{ConfigError, Problem, Settings, resolve};

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
/// `file` is the main file; when it is None, `/etc/roomd/roomd.toml` is read if it exists. Its neighbour `roomd.d/`
/// and the state directory's `conf.d/` follow.
///
/// # Errors
/// [`ConfigError`] with every problem found.
pub fn load(file: Option<&Path>, environment: &Environment) -> Result<Settings, ConfigError> {
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
            reader.problem(Problem { origin, key: String::new(), message });
        }
    }
}

fn add_text(reader: &mut Reader, origin: &str, text: &str) {
    let table = match text.parse::<Table>() {
        Ok(table) => table,
        Err(error) => {
            let message = format!("is not TOML: {}", error.message());
            return reader.problem(Problem { origin: origin.to_owned(), key: String::new(), message });
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
            }),
        }
    }
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
