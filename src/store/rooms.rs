//! The rooms that app servers have made.

use rusqlite::{OptionalExtension, Row};

use super::{Store, StoreError};

/// Most rooms; one more is refused.
pub const MAX_ROOMS: u64 = 50_000;

/// A room that an app server has made. Times are in ms since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomRow {
    /// Its id, and its name for clients.
    pub id: String,
    /// The app server's own name for it; unique.
    pub custom_id: Option<String>,
    /// `meeting` or `interactive`.
    pub kind: String,
    /// Of an interactive room.
    pub stream_id: Option<String>,
    /// JSON: where its webhooks go, and which.
    pub webhook: Option<String>,
    /// JSON: when its sessions end by themselves.
    pub auto_close: Option<String>,
    /// Nobody may join any more.
    pub disabled: bool,
    /// When it was made.
    pub created_ms: i64,
    /// When it was changed.
    pub updated_ms: i64,
}

const COLUMNS: &str =
    "id, custom_id, kind, stream_id, webhook, auto_close, disabled, created_ms, updated_ms FROM room";

impl Store {
    /// Enters a new room. False: its id or custom id is taken.
    ///
    /// # Errors
    /// [`StoreError::Statement`].
    pub fn add_room(&self, row: &RoomRow) -> Result<bool, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(
            "INSERT OR IGNORE INTO room
               (id, custom_id, kind, stream_id, webhook, auto_close, disabled, created_ms, updated_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?;
        let RoomRow { id, custom_id, kind, stream_id, webhook, auto_close, disabled, .. } = row;
        let times = (row.created_ms, row.updated_ms);
        let added = statement
            .execute((id, custom_id, kind, stream_id, webhook, auto_close, disabled, times.0, times.1))?;
        Ok(added > 0)
    }

    /// Nobody may join any more.
    ///
    /// # Errors
    /// [`StoreError::Statement`].
    pub fn disable_room(&self, id: &str, now_ms: i64) -> Result<(), StoreError> {
        let connection = self.connection();
        let mut statement = connection
            .prepare_cached("UPDATE room SET disabled = 1, updated_ms = ?2 WHERE id = ?1 AND NOT disabled")?;
        statement.execute((id, now_ms))?;
        Ok(())
    }

    /// One room, by its id.
    ///
    /// # Errors
    /// [`StoreError::Statement`].
    pub fn room(&self, id: &str) -> Result<Option<RoomRow>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} WHERE id = ?1"))?;
        Ok(statement.query_row([id], read_row).optional()?)
    }

    /// Rooms, newest first.
    ///
    /// # Errors
    /// [`StoreError::Statement`].
    pub fn rooms(&self, skip: i64, most: i64) -> Result<Vec<RoomRow>, StoreError> {
        let connection = self.connection();
        let mut statement = connection
            .prepare_cached(&format!("SELECT {COLUMNS} ORDER BY created_ms DESC, id LIMIT ?1 OFFSET ?2"))?;
        let rows = statement.query_map((most, skip), read_row)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many rooms there are.
    ///
    /// # Errors
    /// [`StoreError::Statement`].
    pub fn count_rooms(&self) -> Result<u64, StoreError> {
        let count: i64 = self.connection().query_row("SELECT COUNT(*) FROM room", [], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }
}

fn read_row(row: &Row<'_>) -> Result<RoomRow, rusqlite::Error> {
    Ok(RoomRow {
        id: row.get(0)?,
        custom_id: row.get(1)?,
        kind: row.get(2)?,
        stream_id: row.get(3)?,
        webhook: row.get(4)?,
        auto_close: row.get(5)?,
        disabled: row.get(6)?,
        created_ms: row.get(7)?,
        updated_ms: row.get(8)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_entered_once_found_listed_and_disabled() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("roomd.db")).unwrap();
        let row = |id: &str, custom_id: Option<&str>, created_ms| RoomRow {
            id: id.into(),
            custom_id: custom_id.map(str::to_owned),
            kind: "meeting".into(),
            created_ms,
            ..RoomRow::default()
        };
        assert!(store.add_room(&row("a", Some("daily"), 1)).unwrap());
        assert!(!store.add_room(&row("b", Some("daily"), 2)).unwrap(), "the custom id is taken");
        assert!(!store.add_room(&row("a", None, 2)).unwrap());
        assert!(store.add_room(&row("b", None, 2)).unwrap() && store.add_room(&row("c", None, 3)).unwrap());
        let ids: Vec<_> = store.rooms(1, 5).unwrap().into_iter().map(|row| row.id).collect();
        assert_eq!((ids, store.count_rooms().unwrap()), (vec!["b".to_owned(), "a".to_owned()], 3));
        store.disable_room("a", 9).unwrap();
        let found = store.room("a").unwrap().unwrap();
        assert_eq!((found.disabled, found.updated_ms), (true, 9));
        assert!(store.room("daily").unwrap().is_none());
    }
}
