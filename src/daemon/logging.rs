//! Where log lines go: to journald with their fields when systemd started us, to stderr otherwise. Code logs by
//! `tracing` only; libraries that use `log` are caught too.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::UtcTime;

use crate::config::LogSettings;

/// Why logging could not start.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// journald was asked for and cannot be reached.
    #[error("cannot log to journald: {0} (log.journal = \"auto\" falls back to stderr)")]
    Journal(std::io::Error),
}

/// Changes the level of the running log; takes what `log.level` takes.
pub struct LogLevel(Box<dyn Fn(&str) + Send + Sync>);

impl LogLevel {
    /// From now on.
    pub fn set(&self, level: &str) {
        (self.0)(level);
    }
}

/// Starts logging for the whole process; once.
///
/// # Errors
/// [`LoggingError::Journal`] only when `log.journal = true`.
pub fn start(settings: &LogSettings) -> Result<LogLevel, LoggingError> {
    let wanted = settings.journal.unwrap_or_else(systemd_journal_logger::connected_to_journal);
    if wanted {
        match to_journal(&settings.level) {
            Ok(()) => return Ok(LogLevel(Box::new(set_journal_level))),
            Err(error) if settings.journal == Some(true) => return Err(LoggingError::Journal(error)),
            Err(_) => {}
        }
    }
    let lines = tracing_subscriber::fmt()
        .with_timer(UtcTime::rfc_3339())
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .with_env_filter(filter(&settings.level))
        .with_filter_reloading();
    let handle = lines.reload_handle();
    // A second call in one process (tests) keeps the first.
    let _ = lines.try_init();
    Ok(LogLevel(Box::new(move |level| drop(handle.reload(filter(level))))))
}

fn filter(level: &str) -> EnvFilter {
    EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"))
}

/// `tracing` without a subscriber hands every event to `log` (its `log` feature), and that goes to the journal.
fn to_journal(level: &str) -> Result<(), std::io::Error> {
    let logger = systemd_journal_logger::JournalLog::new()?.with_syslog_identifier("roomd".to_owned());
    let _ = logger.install();
    set_journal_level(level);
    Ok(())
}

/// The journal filters by module itself; of a filter the first plain level counts.
fn set_journal_level(level: &str) {
    let first = level.split(',').find(|part| !part.contains('=')).unwrap_or("info");
    log::set_max_level(first.parse().unwrap_or(log::LevelFilter::Info));
}
