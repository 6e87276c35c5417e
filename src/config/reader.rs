//! Typed access to the laid-over values. Every key that is asked for becomes known; every wrong value becomes a
//! [`Problem`] and reads as its default, so that one pass lists everything; whatever was never asked for is unknown.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use toml::Value;

use super::Problem;
use crate::control::config_document::FaultCode;

/// What the fleet's desired configuration is called where a file's path would stand.
pub const DESIRED: &str = "desired config";

/// Longest value that is repeated in a problem, in characters.
const MAX_SHOWN: usize = 100;

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    File(String),
    Desired,
    Environment,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(path) => f.write_str(path),
            Origin::Desired => f.write_str(DESIRED),
            Origin::Environment => f.write_str("environment"),
        }
    }
}

type Key = (String, String);

/// The values of all layers, the last one given winning.
#[derive(Debug, Default)]
pub(super) struct Reader {
    values: BTreeMap<Key, (Value, Origin)>,
    known: BTreeSet<Key>,
    problems: Vec<Problem>,
}

impl Reader {
    pub(super) fn set(&mut self, section: &str, key: &str, value: Value, origin: Origin) {
        self.values.insert((section.to_owned(), key.to_owned()), (value, origin));
    }

    pub(super) fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// A text without asking for it officially.
    pub(super) fn peek_text(&self, section: &str, key: &str) -> Option<String> {
        let (value, _) = self.values.get(&(section.to_owned(), key.to_owned()))?;
        value.as_str().map(str::to_owned)
    }

    /// The value as `parse` reads it; None when it is absent, or wrong (then noted as a problem).
    pub(super) fn get<T>(
        &mut self,
        section: &str,
        key: &str,
        allowed: &str,
        parse: impl FnOnce(&Value, bool) -> Option<T>,
    ) -> Option<T> {
        let id = (section.to_owned(), key.to_owned());
        self.known.insert(id.clone());
        let (value, origin) = self.values.get(&id)?;
        let parsed = parse(value, *origin == Origin::Environment);
        if parsed.is_none() {
            let mut shown = value.to_string();
            if let Some((end, _)) = shown.char_indices().nth(MAX_SHOWN) {
                shown.truncate(end);
                shown.push('…');
            }
            let message = format!("{shown} given, allowed is {allowed}");
            self.problems.push(Problem {
                origin: origin.to_string(),
                key: format!("{section}.{key}"),
                message,
                code: FaultCode::BadValue,
            });
        }
        parsed
    }

    pub(super) fn text(&mut self, section: &str, key: &str) -> Option<String> {
        self.get(section, key, "a text", |value, _| value.as_str().map(str::to_owned))
    }

    /// A text that may also be left empty, which means absent.
    pub(super) fn filled(&mut self, section: &str, key: &str) -> Option<String> {
        self.text(section, key).filter(|text| !text.is_empty())
    }

    pub(super) fn path(&mut self, section: &str, key: &str) -> Option<PathBuf> {
        self.filled(section, key).map(PathBuf::from)
    }

    pub(super) fn flag(&mut self, section: &str, key: &str, default: bool) -> bool {
        let parse = |value: &Value, environment: bool| match value {
            Value::Boolean(flag) => Some(*flag),
            Value::String(text) if environment => text.parse().ok(),
            _ => None,
        };
        self.get(section, key, "true or false", parse).unwrap_or(default)
    }

    pub(super) fn number(
        &mut self,
        section: &str,
        key: &str,
        range: RangeInclusive<i64>,
        default: i64,
    ) -> i64 {
        let allowed = format!("a whole number from {} to {}", range.start(), range.end());
        let parse = |value: &Value, environment: bool| {
            let number = match value {
                Value::Integer(number) => Some(*number),
                Value::String(text) if environment => text.parse().ok(),
                _ => None,
            };
            number.filter(|number| range.contains(number))
        };
        self.get(section, key, &allowed, parse).unwrap_or(default)
    }

    /// A list of texts; in the environment separated by commas.
    pub(super) fn list(&mut self, section: &str, key: &str) -> Option<Vec<String>> {
        self.get(section, key, "a list of texts", |value, environment| match value {
            Value::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
            Value::String(text) if environment => Some(
                text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect(),
            ),
            _ => None,
        })
    }

    /// A text that `parse` understands.
    pub(super) fn parsed<T>(
        &mut self,
        section: &str,
        key: &str,
        allowed: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        self.get(section, key, allowed, |value, _| value.as_str().and_then(parse))
    }

    /// Notes a problem that only the meaning of a value shows.
    pub(super) fn refuse(&mut self, section: &str, key: &str, message: impl Into<String>) {
        self.note(section, key, FaultCode::BadValue, message);
    }

    /// Notes that a key contradicts another one, or lacks it.
    pub(super) fn conflict(&mut self, section: &str, key: &str, message: impl Into<String>) {
        self.note(section, key, FaultCode::Conflict, message);
    }

    fn note(&mut self, section: &str, key: &str, code: FaultCode, message: impl Into<String>) {
        let origin = self.values.get(&(section.to_owned(), key.to_owned()));
        let origin = origin.map_or_else(|| "defaults".to_owned(), |(_, origin)| origin.to_string());
        self.problems.push(Problem {
            origin,
            key: format!("{section}.{key}"),
            message: message.into(),
            code,
        });
    }

    /// Whether a value was given at all.
    pub(super) fn given(&mut self, section: &str, key: &str) -> bool {
        let id = (section.to_owned(), key.to_owned());
        self.known.insert(id.clone());
        self.values.contains_key(&id)
    }

    /// Every key that was asked for, `section.key`.
    #[cfg(test)]
    pub(super) fn known(&self) -> BTreeSet<String> {
        self.known.iter().map(|(section, key)| format!("{section}.{key}")).collect()
    }

    /// Every value that was given, by `section.key`.
    pub(super) fn all_given(&self) -> BTreeMap<String, Value> {
        let given = |((section, key), (value, _)): (&Key, &(Value, Origin))| {
            (format!("{section}.{key}"), value.clone())
        };
        self.values.iter().map(given).collect()
    }

    /// Every problem found, unknown keys included.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        for ((section, key), (_, origin)) in &self.values {
            if self.known.contains(&(section.clone(), key.clone())) {
                continue;
            }
            let keys: Vec<&str> = self
                .known
                .iter()
                .filter(|(known, _)| known == section)
                .map(|(_, key)| key.as_str())
                .collect();
            let message = if keys.is_empty() {
                let sections: BTreeSet<&str> =
                    self.known.iter().map(|(section, _)| section.as_str()).collect();
                format!("unknown section; known are {}", sections.into_iter().collect::<Vec<_>>().join(", "))
            } else {
                format!("unknown key; known in [{section}] are {}", keys.join(", "))
            };
            self.problems.push(Problem {
                origin: origin.to_string(),
                key: format!("{section}.{key}"),
                message,
                code: FaultCode::UnknownKey,
            });
        }
        self.problems
    }
}
