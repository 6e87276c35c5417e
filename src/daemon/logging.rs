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

/// Starts logging for the whole process; once.
///
/// # Errors
/// [`LoggingError::Journal`] only when `log.journal = true`.
pub fn start(settings: &LogSettings) -> Result<(), LoggingError> {
    let wanted = settings.journal.unwrap_or_else(systemd_journal_logger::connected_to_journal);
    if wanted {
        match to_journal(&settings.level) {
            Ok(()) => return Ok(()),
            Err(error) if settings.journal == Some(true) => return Err(LoggingError::Journal(error)),
            Err(_) => {}
        }
    }
    let filter = EnvFilter::try_new(&settings.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_timer(UtcTime::rfc_3339())
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // A second call in one process (tests) keeps the first.
    let _ = lines.try_init();
    Ok(())
}

/// `tracing` without a subscriber hands every event to `log` (its `log` feature), and that goes to the journal.
fn to_journal(level: &str) -> Result<(), std::io::Error> {
    let logger = systemd_journal_logger::JournalLog::new()?.with_syslog_identifier("roomd".to_owned());
    let _ = logger.install();
    let first = level.split(',').find(|part| !part.contains('=')).unwrap_or("info");
    log::set_max_level(first.parse().unwrap_or(log::LevelFilter::Info));
    Ok(())
}
