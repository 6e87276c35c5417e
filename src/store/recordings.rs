//! The catalogue of recordings: one row a file.

use std::time::Duration;

use rusqlite::Row;

use super::{Store, StoreError};

/// What became of a recorded file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileStatus {
    /// It is being written, or was when the box died.
    Recording,
    /// Whole, finished by who wrote it.
    Finished,
    /// The box died while it was written; cut after its last whole part at the next start.
    Recovered,
    /// It could not be read at a start; left as it was found.
    Damaged,
}

impl FileStatus {
    const ALL: [FileStatus; 4] =
        [FileStatus::Recording, FileStatus::Finished, FileStatus::Recovered, FileStatus::Damaged];

    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            FileStatus::Recording => "recording",
            FileStatus::Finished => "finished",
            FileStatus::Recovered => "recovered",
            FileStatus::Damaged => "damaged",
        }
    }

    /// The status of a word in the database; `Damaged` for one that a newer roomd wrote.
    fn of(word: &str) -> FileStatus {
        FileStatus::ALL.into_iter().find(|status| status.as_str() == word).unwrap_or(FileStatus::Damaged)
    }
}

/// One file of a recording. A recording that goes on after a crash or an error has several, with one id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingRow {
    /// The recording's id.
    pub id: String,
    /// The file, relative to the folder of recordings; unique.
    pub file: String,
    /// The room, or `box` for the box's own stream.
    pub room: String,
    /// When the file was begun, RFC 3339.
    pub started_at: String,
    /// What became of it.
    pub status: FileStatus,
    /// Length in time; 0 while it is written.
    pub duration: Duration,
    /// Length in bytes; 0 while it is written.
    pub bytes: u64,
}

impl Store {
    /// Enters a file, or replaces what was said about it; on the disk when this returns.
    ///
    /// # Errors
    /// [`StoreError::Statement`].
    pub fn put_recording(&self, row: &RecordingRow) -> Result<(), StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(
            "INSERT OR REPLACE INTO recording (id, file, room, started_at, status, duration_ms, bytes)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?;
        let duration_ms = i64::try_from(row.duration.as_millis()).unwrap_or(i64::MAX);
        let bytes = i64::try_from(row.bytes).unwrap_or(i64::MAX);
        let status = row.status.as_str();
        statement.execute((&row.id, &row.file, &row.room, &row.started_at, status, duration_ms, bytes))?;
        Ok(())
    }

    /// Every file, newest first.
    ///
    /// # Errors
    /// [`StoreError::Statement`].
    pub fn recordings(&self) -> Result<Vec<RecordingRow>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(
            "SELECT id, file, room, started_at, status, duration_ms, bytes FROM recording
             ORDER BY started_at DESC, file DESC",
        )?;
        let rows = statement.query_map([], read_row)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn read_row(row: &Row<'_>) -> Result<RecordingRow, rusqlite::Error> {
    Ok(RecordingRow {
        id: row.get(0)?,
        file: row.get(1)?,
        room: row.get(2)?,
        started_at: row.get(3)?,
        status: FileStatus::of(&row.get::<_, String>(4)?),
        duration: Duration::from_millis(u64::try_from(row.get::<_, i64>(5)?).unwrap_or(0)),
        bytes: u64::try_from(row.get::<_, i64>(6)?).unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_entered_replaced_and_listed_newest_first() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("roomd.db")).unwrap();
        let row = |file: &str, started_at: &str, status| RecordingRow {
            id: "r1".into(),
            file: file.into(),
            room: "box".into(),
            started_at: started_at.into(),
            status,
            duration: Duration::from_millis(1500),
            bytes: 7,
        };
        store.put_recording(&row("box/a.mp4", "2026-01-01T00:00:00Z", FileStatus::Recording)).unwrap();
        store.put_recording(&row("box/b.mp4", "2026-01-01T00:00:01Z", FileStatus::Recording)).unwrap();
        let finished = row("box/a.mp4", "2026-01-01T00:00:00Z", FileStatus::Finished);
        store.put_recording(&finished).unwrap();
        let rows = store.recordings().unwrap();
        assert_eq!(rows.iter().map(|row| row.file.as_str()).collect::<Vec<_>>(), ["box/b.mp4", "box/a.mp4"]);
        assert_eq!(rows[1], finished);
    }
}
