//! The fleet's configuration as documents: `config/desired` in, `config/reported` out (contract, section 5).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Largest `config/desired`, in bytes; the box takes no larger MQTT packet anyway.
pub const MAX_BYTES: usize = 16 * 1024;
/// Largest version: what every JSON reader holds exactly (2^53 - 1).
pub const MAX_VERSION: u64 = (1 << 53) - 1;
/// Errors told of one document; the last one says how many more there are.
pub const MAX_ERRORS: usize = 16;

/// `config/desired`: the fleet's wish, whole. An empty payload takes it back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DesiredConfig {
    /// Grows with every change, 1 to 2^53 - 1.
    #[schemars(range(min = 1, max = MAX_VERSION))]
    pub version: u64,
    /// Sections with their keys, as in `roomd.toml`; what it does not name stays as the box's own files say.
    pub config: Map<String, Value>,
}

/// Something wrong with a desired configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigFault {
    /// `section.key`, or empty for the document as a whole.
    pub path: String,
    /// What kind of fault.
    pub code: FaultCode,
    /// For people: the value and what is allowed.
    pub message: String,
}

/// Kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FaultCode {
    /// No such section or key in this version of roomd.
    UnknownKey,
    /// Wrong type, or out of range.
    BadValue,
    /// A key that the fleet may not set.
    Forbidden,
    /// It contradicts another key, or lacks one.
    Conflict,
    /// No JSON, no such document, or too large.
    BadDocument,
    /// A version before the one in force.
    OldVersion,
    /// The version in force, with another content.
    SameVersion,
    /// One of the box's own files has become unreadable: nothing can be judged before it is mended.
    LocalConfig,
    /// The box could not start with it, and has gone back.
    StartFailed,
    /// It could not be kept on the disk.
    NotKept,
}

impl ConfigFault {
    /// A fault of the document as a whole.
    pub fn whole(code: FaultCode, message: impl Into<String>) -> Self {
        ConfigFault { path: String::new(), code, message: message.into() }
    }
}

/// `config/reported`: what the box made of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReportedConfig {
    /// Version of the document that this is about, the last one received; 0: there is none; null: it could not be
    /// read.
    pub desired_version: Option<u64>,
    /// What became of it.
    pub status: ConfigStatus,
    /// Version in force; differs from `desired_version` after a rejection. 0: none.
    pub config_version: u64,
    /// What the running box goes by, by section and key, whoever set it. Paths of files, never what is in them.
    pub effective: Value,
    /// Keys that have been changed and wait for a restart.
    pub restart_needed: Vec<String>,
    /// Why it was rejected.
    pub errors: Vec<ConfigFault>,
}

/// What became of a desired configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConfigStatus {
    /// Kept and in force, but for the keys in `restart_needed`.
    Applied,
    /// Nothing of it is in force.
    Rejected,
}

/// A document that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Its version, if it could be read.
    pub version: Option<u64>,
    /// At least one, at most [`MAX_ERRORS`].
    pub errors: Vec<ConfigFault>,
}

impl Rejection {
    /// With `errors` cut to [`MAX_ERRORS`].
    pub fn new(version: Option<u64>, mut errors: Vec<ConfigFault>) -> Self {
        if let Some(last) = errors.get(MAX_ERRORS - 1) {
            let (left_out, code) = (errors.len() - MAX_ERRORS, last.code);
            if left_out > 0 {
                errors.truncate(MAX_ERRORS - 1);
                errors.push(ConfigFault::whole(code, format!("and {} more", left_out + 1)));
            }
        }
        Rejection { version, errors }
    }
}

/// How a document stands to the one in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It says the same: nothing is to be done.
    Same,
    /// It is newer: to be checked, kept and applied.
    Newer,
}

impl DesiredConfig {
    /// Reads a document. Its sections and keys are not looked at yet.
    ///
    /// # Errors
    /// [`Rejection`] says what is wrong, and never quotes the document.
    pub fn parse(json: &[u8]) -> Result<DesiredConfig, Rejection> {
        let whole =
            |message: String| Rejection::new(None, vec![ConfigFault::whole(FaultCode::BadDocument, message)]);
        if json.len() > MAX_BYTES {
            return Err(whole(format!("{} bytes given, at most {MAX_BYTES} are allowed", json.len())));
        }
        let value: Value = serde_json::from_slice(json)
            .map_err(|error| whole(format!("no JSON at line {}, column {}", error.line(), error.column())))?;
        let Value::Object(mut document) = value else {
            return Err(whole("an object {version, config} is wanted".to_owned()));
        };
        let version = document.remove("version").and_then(|version| version.as_u64());
        let version = version.filter(|version| (1..=MAX_VERSION).contains(version));
        let fault = |path: &str, message: String| {
            let code = FaultCode::BadDocument;
            Rejection::new(version, vec![ConfigFault { path: path.to_owned(), code, message }])
        };
        let config = document.remove("config");
        if let Some(key) = document.keys().next() {
            let key: String = key.chars().take(64).collect();
            return Err(fault(&key, "unknown; allowed are version and config".to_owned()));
        }
        let Some(Value::Object(config)) = config else {
            return Err(fault("config", "an object of sections is wanted".to_owned()));
        };
        let Some(version) = version else {
            return Err(fault("version", format!("a whole number from 1 to {MAX_VERSION} is wanted")));
        };
        Ok(DesiredConfig { version, config })
    }

    /// How this document, just received, stands to the one in force.
    ///
    /// # Errors
    /// [`Rejection`] for an older one, and for one of the same version that says something else.
    pub fn against(&self, in_force: Option<&DesiredConfig>) -> Result<Standing, Rejection> {
        let Some(old) = in_force else { return Ok(Standing::Newer) };
        let rejected = |code, message: String| {
            Err(Rejection::new(
                Some(self.version),
                vec![ConfigFault { path: "version".to_owned(), code, message }],
            ))
        };
        match (self.version.cmp(&old.version), self.config == old.config) {
            (std::cmp::Ordering::Greater, _) => Ok(Standing::Newer),
            (_, true) => Ok(Standing::Same),
            (std::cmp::Ordering::Equal, false) => rejected(
                FaultCode::SameVersion,
                format!("{} is in force with another content; a change needs a higher version", self.version),
            ),
            (std::cmp::Ordering::Less, false) => rejected(
                FaultCode::OldVersion,
                format!("{} given, {} is in force: a higher one is wanted", self.version, old.version),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn document(version: u64, name: &str) -> DesiredConfig {
        let text = json!({"version": version, "config": {"box": {"name": name}}}).to_string();
        DesiredConfig::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn what_is_no_document_is_rejected_with_its_path_and_its_version_where_it_has_one() {
        let deep = format!("{{\"version\":1,\"config\":{}{}}}", "{\"a\":".repeat(500), "}".repeat(500));
        let huge = format!("{{\"version\":1,\"config\":{{}}}}{}", " ".repeat(MAX_BYTES));
        for (text, version, path, word) in [
            ("", None, "", "line 1"),
            ("{\"version\":1,\"config\":{", None, "", "no JSON"),
            ("[]", None, "", "object"),
            (&deep, None, "", "no JSON"),
            (&huge, None, "", "16384"),
            ("{\"version\":1e400,\"config\":{}}", None, "", "no JSON"),
            ("{\"config\":{}}", None, "version", "from 1"),
            ("{\"version\":0,\"config\":{}}", None, "version", "from 1"),
            ("{\"version\":-1,\"config\":{}}", None, "version", "from 1"),
            ("{\"version\":1.5,\"config\":{}}", None, "version", "from 1"),
            ("{\"version\":9007199254740992,\"config\":{}}", None, "version", "9007199254740991"),
            ("{\"version\":99999999999999999999999,\"config\":{}}", None, "version", "from 1"),
            ("{\"version\":7}", Some(7), "config", "object of sections"),
            ("{\"version\":7,\"config\":[]}", Some(7), "config", "object of sections"),
            ("{\"version\":7,\"config\":{},\"more\":\"s3cret\"}", Some(7), "more", "unknown"),
        ] {
            let rejection = DesiredConfig::parse(text.as_bytes()).unwrap_err();
            assert_eq!(rejection.version, version, "{text:.80}");
            let [fault] = rejection.errors.as_slice() else { panic!("{rejection:?}") };
            assert_eq!((fault.path.as_str(), fault.code), (path, FaultCode::BadDocument), "{text:.80}");
            assert!(fault.message.contains(word) && !fault.message.contains("s3cret"), "{}", fault.message);
        }
    }

    #[test]
    fn only_a_higher_version_changes_something() {
        let old = document(5, "a");
        assert_eq!(old.against(None), Ok(Standing::Newer));
        assert_eq!(document(6, "b").against(Some(&old)), Ok(Standing::Newer));
        assert_eq!(document(5, "a").against(Some(&old)), Ok(Standing::Same));
        assert_eq!(document(4, "a").against(Some(&old)), Ok(Standing::Same), "it says what is in force");
        let code = |version| document(version, "b").against(Some(&old)).unwrap_err().errors[0].code;
        assert_eq!((code(5), code(4)), (FaultCode::SameVersion, FaultCode::OldVersion));
    }

    #[test]
    fn many_errors_are_cut_and_counted() {
        let faults = |count| vec![ConfigFault::whole(FaultCode::BadValue, "x"); count];
        assert_eq!(Rejection::new(None, faults(MAX_ERRORS)).errors.len(), MAX_ERRORS);
        let many = Rejection::new(None, faults(MAX_ERRORS + 4)).errors;
        assert_eq!((many.len(), many[MAX_ERRORS - 1].message.as_str()), (MAX_ERRORS, "and 5 more"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_what_it_takes_it_takes_again(
            bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..200),
                "\\{\"version\":[0-9.e-]{1,20},\"config\":\\{(\"[a-z]\":[0-9\\[\\]{}\"]{0,9})?\\}\\}".prop_map(String::into_bytes),
            ]
        ) {
            match DesiredConfig::parse(&bytes) {
                Ok(document) => {
                    let again = serde_json::to_vec(&document).unwrap();
                    prop_assert_eq!(DesiredConfig::parse(&again), Ok(document));
                }
                Err(rejection) => prop_assert!(!rejection.errors.is_empty()),
            }
        }
    }
}
