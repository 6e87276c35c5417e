//! What is wrong with a configuration: all of it, each with file, key, value and what is allowed.

use std::fmt;

use crate::control::config_document::{ConfigFault, FaultCode};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands: a file's path, or `environment`.
    pub origin: String,
    /// `section.key`, or the section, or empty for a file that cannot be read.
    pub key: String,
    /// What is wrong, with the value and what is allowed; never a secret.
    pub message: String,
    /// What kind of fault it is, for the fleet.
    pub code: FaultCode,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => write!(f, "{}: {}", self.origin, self.message),
            key => write!(f, "{}: {key}: {}", self.origin, self.message),
        }
    }
}

/// Every problem of a configuration, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(pub Vec<Problem>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl ConfigError {
    /// As it is told to the fleet; a problem of the box's own files is named with its file.
    pub fn faults(self) -> Vec<ConfigFault> {
        let fault = |problem: Problem| match problem.origin == super::DESIRED {
            true => ConfigFault { path: problem.key, code: problem.code, message: problem.message },
            false => ConfigFault {
                path: problem.key.clone(),
                code: local(problem.code),
                message: problem.to_string(),
            },
        };
        self.0.into_iter().map(fault).collect()
    }
}

/// What contradicts a key of the box's own files is still a conflict; else the files themselves are broken.
fn local(code: FaultCode) -> FaultCode {
    if code == FaultCode::Conflict { code } else { FaultCode::LocalConfig }
}
