//! L3: what must survive a restart: the SQLite database `roomd.db` in the state directory.
//!
//! One connection behind a mutex, WAL, `synchronous=FULL`: a call returns when its change is on the disk. Calls
//! block for a sync, so async code makes them from `tokio::task::spawn_blocking`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

mod commands;
mod jobs;
mod recordings;
mod reports;
mod rooms;
mod webhooks;

pub use commands::CommandRow;
pub use recordings::{FileStatus, RecordingRow};
pub use reports::{AttendanceRow, OpenSession, Report, SessionRow};
pub use rooms::{MAX_ROOMS, RoomRow};
pub use webhooks::{NewWebhook, WebhookRow};

/// Why the database could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It could not be opened or brought to this version.
    #[error("cannot open the database {path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// SQLite's own words.
        source: rusqlite::Error,
    },
    /// It was written by a newer roomd.
    #[error(
        "the database {path} has version {found}, this roomd knows up to {known}: install the newer roomd"
    )]
    TooNew {
        /// The file.
        path: PathBuf,
        /// `user_version` found.
        found: i64,
        /// The newest known here.
        known: i64,
    },
    /// A statement failed (disk full, I/O error, ...).
    #[error("database: {0}")]
    Statement(#[from] rusqlite::Error),
}

/// Changes of the schema, oldest first; `user_version` counts those applied. Never edit one that was released.
const MIGRATIONS: &[&str] = &[
    "CREATE TABLE desired (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
     CREATE TABLE recording (
       id TEXT NOT NULL, file TEXT PRIMARY KEY, room TEXT NOT NULL, started_at TEXT NOT NULL,
       status TEXT NOT NULL, duration_ms INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0
     ) STRICT;",
    "CREATE TABLE room (
       id TEXT PRIMARY KEY, custom_id TEXT UNIQUE, kind TEXT NOT NULL, stream_id TEXT, webhook TEXT, auto_close TEXT,
       disabled INTEGER NOT NULL DEFAULT 0, created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL
     ) STRICT;
     CREATE TABLE session (
       sid TEXT PRIMARY KEY, room TEXT NOT NULL, started_ms INTEGER NOT NULL, seen_ms INTEGER NOT NULL,
       ended_ms INTEGER, reason TEXT
     ) STRICT;
     CREATE INDEX session_room ON session (room, started_ms);
     CREATE INDEX session_time ON session (started_ms);
     CREATE TABLE attendance (
       sid TEXT PRIMARY KEY, session TEXT NOT NULL REFERENCES session ON DELETE CASCADE, identity TEXT NOT NULL,
       name TEXT NOT NULL, joined_ms INTEGER NOT NULL, left_ms INTEGER, reason TEXT
     ) STRICT;
     CREATE INDEX attendance_session ON attendance (session, joined_ms);
     CREATE TABLE webhook (
       number INTEGER PRIMARY KEY AUTOINCREMENT, url TEXT NOT NULL, room TEXT NOT NULL, id TEXT NOT NULL,
       body TEXT NOT NULL, created_ms INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
       next_ms INTEGER NOT NULL DEFAULT 0
     ) STRICT;
     CREATE INDEX webhook_lane ON webhook (url, room, number);",
    "CREATE TABLE command (
       issuer TEXT NOT NULL, correlation BLOB NOT NULL, name TEXT NOT NULL, accepted_ms INTEGER NOT NULL,
       boot TEXT NOT NULL, forget_ms INTEGER NOT NULL, lifetime_ms INTEGER NOT NULL, wish TEXT, value TEXT,
       reply TEXT, PRIMARY KEY (issuer, correlation)
     ) STRICT, WITHOUT ROWID;",
    "CREATE TABLE job (id TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;",
];

/// The open database. Cheap to clone; all clones are one connection.
#[derive(Clone, Debug)]
pub struct Store {
    connection: Arc<Mutex<Connection>>,
}

/// Makes the file readable for its owner only, before anything is in it: tokens and stream keys that were ordered are
/// kept here. SQLite gives its journal the same mode.
fn for_its_owner_only(path: &Path) -> rusqlite::Result<()> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let file = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    let closed = file.and_then(|file| file.set_permissions(std::fs::Permissions::from_mode(0o600)));
    closed.map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

impl Store {
    /// Opens `path`, creating it where it is missing, and brings its schema to this version.
    ///
    /// # Errors
    /// [`StoreError::Open`] and [`StoreError::TooNew`].
    pub fn open(path: &Path) -> Result<Store, StoreError> {
        let opened =
            for_its_owner_only(path).and_then(|()| Connection::open(path)).and_then(|mut connection| {
                connection.pragma_update(None, "journal_mode", "WAL")?;
                connection.pragma_update(None, "synchronous", "FULL")?;
                connection.pragma_update(None, "foreign_keys", "ON")?;
                let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
                for (index, change) in MIGRATIONS.iter().enumerate().skip(usize::try_from(found).unwrap_or(0))
                {
                    let transaction = connection.transaction()?;
                    transaction.execute_batch(change)?;
                    transaction.pragma_update(None, "user_version", index as i64 + 1)?;
                    transaction.commit()?;
                }
                Ok((connection, found))
            });
        let (connection, found) =
            opened.map_err(|source| StoreError::Open { path: path.to_owned(), source })?;
        let known = MIGRATIONS.len() as i64;
        if found > known {
            return Err(StoreError::TooNew { path: path.to_owned(), found, known });
        }
        Ok(Store { connection: Arc::new(Mutex::new(connection)) })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was wished for under `name` (JSON), if anything.
    ///
    /// # Errors
    /// [`StoreError::Statement`].
    pub fn desired(&self, name: &str) -> Result<Option<String>, StoreError> {
        use rusqlite::OptionalExtension;
        let connection = self.connection();
        let mut statement = connection.prepare_cached("SELECT value FROM desired WHERE name = ?1")?;
        Ok(statement.query_row([name], |row| row.get(0)).optional()?)
    }

    /// Keeps what is wished for under `name` (JSON); on the disk when this returns.
    ///
    /// # Errors
    /// [`StoreError::Statement`]; then the old wish stands.
    pub fn set_desired(&self, name: &str, value: &str) -> Result<(), StoreError> {
        Ok(write_desired(&self.connection(), name, value)?)
    }
}

fn write_desired(connection: &Connection, name: &str, value: &str) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO desired (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2",
    )?;
    statement.execute([name, value])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_survive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("roomd.db");
        let store = Store::open(&path).unwrap();
        assert_eq!(store.desired("room").unwrap(), None);
        store.keep_command(None, Some(("room", "1")), &[]).unwrap();
        store.keep_command(None, Some(("room", "2")), &[]).unwrap();
        for file in ["roomd.db", "roomd.db-wal"] {
            let mode = std::fs::metadata(dir.path().join(file)).unwrap().permissions();
            assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600, "{file}");
        }
        drop(store);
        assert_eq!(Store::open(&path).unwrap().desired("room").unwrap().as_deref(), Some("2"));
    }

    #[test]
    fn a_newer_database_and_a_file_that_is_none_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("roomd.db");
        drop(Store::open(&path).unwrap());
        Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
        assert!(matches!(Store::open(&path), Err(StoreError::TooNew { found: 99, .. })));
        let noise = dir.path().join("noise.db");
        std::fs::write(&noise, vec![7; 5000]).unwrap();
        assert!(matches!(Store::open(&noise), Err(StoreError::Open { .. })));
    }
}
