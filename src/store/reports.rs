//! What happened in rooms: sessions (one stay of a room, from its first participant to its end), who attended them,
//! and the webhooks that tell of it; all that belongs to one moment in one transaction.

use rusqlite::{OptionalExtension, Row, Transaction};

use super::webhooks::{self, NewWebhook};
use super::{Store, StoreError};

/// Sessions that began longer ago than this are forgotten, in ms.
const KEPT_MS: i64 = 90 * 24 * 3600 * 1000;
/// Most sessions kept; the oldest go first.
const MAX_SESSIONS: i64 = 50_000;
/// Most stays kept of one session; further ones are not entered.
const MAX_STAYS: i64 = 10_000;

/// One thing to be kept. Times are in ms since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A room began.
    SessionStarted {
        /// `RM_…`.
        sid: String,
        /// The room's name.
        room: String,
        /// When.
        at_ms: i64,
    },
    /// It ended; whoever is said to be in it still is not.
    SessionEnded {
        /// `RM_…`.
        sid: String,
        /// When.
        at_ms: i64,
        /// Why.
        reason: String,
    },
    /// Somebody is in.
    Joined {
        /// Into which session, `RM_…`.
        session: String,
        /// `PA_…`.
        sid: String,
        /// Who.
        identity: String,
        /// As the others see it.
        name: String,
        /// When.
        at_ms: i64,
    },
    /// Somebody is not any more.
    Left {
        /// `PA_…`.
        sid: String,
        /// When.
        at_ms: i64,
        /// Why.
        reason: String,
    },
    /// Nobody may join a room any more.
    RoomDisabled {
        /// The room's id.
        id: String,
        /// When.
        at_ms: i64,
    },
    /// A message for a receiver.
    Webhook(NewWebhook),
}

/// A session. Times are in ms since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// `RM_…`.
    pub sid: String,
    /// The room's name.
    pub room: String,
    /// When it began.
    pub started_ms: i64,
    /// When it ended; None: it goes on.
    pub ended_ms: Option<i64>,
    /// Why it ended.
    pub reason: Option<String>,
}

/// Somebody's stay in a session. Times are in ms since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttendanceRow {
    /// `PA_…`.
    pub sid: String,
    /// Who.
    pub identity: String,
    /// As the others saw it.
    pub name: String,
    /// From when.
    pub joined_ms: i64,
    /// Until when; None: it is in.
    pub left_ms: Option<i64>,
    /// Why it left.
    pub reason: Option<String>,
}

/// A session that an earlier run did not end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenSession {
    /// The session.
    pub session: SessionRow,
    /// When that run was alive last, in ms since 1970.
    pub seen_ms: i64,
    /// Who was in.
    pub present: Vec<AttendanceRow>,
}

impl Store {
    /// Keeps all of it or nothing; on the disk when this returns. Tells how many messages found the outbox full.
    ///
    /// # Errors
    /// [`StoreError::Statement`].
    pub fn report(&self, reports: &[Report]) -> Result<usize, StoreError> {
        let mut connection = self.connection();
        let transaction = connection.transaction()?;
        let mut dropped = 0;
        for report in reports {
            dropped += usize::from(!keep(&transaction, report)?);
        }
        transaction.commit()?;
        Ok(dropped)
    }

    /// The sessions that go on were alive at `now_ms`.
    ///
    /// # Errors
    /// [`StoreError::Statement`].
    pub fn touch_sessions(&self, now_ms: i64) -> Result<(), StoreError> {
        let connection = self.connection();
        connection.execute("UPDATE session SET seen_ms = ?1 WHERE ended_ms IS NULL", [now_ms])?;
        Ok(())
    }

    /// Forgets sessions that are too old or too many.
    ///
    /// # Errors
    /// [`StoreError::Statement`].
    pub fn prune_sessions(&self, now_ms: i64) -> Result<(), StoreError> {
        self.connection().execute(
            "DELETE FROM session WHERE ended_ms IS NOT NULL AND (started_ms < ?1 OR sid IN
               (SELECT sid FROM session ORDER BY started_ms DESC LIMIT -1 OFFSET ?2))",
            (now_ms - KEPT_MS, MAX_SESSIONS),
        )?;
        Ok(())
    }

    /// The sessions that are not ended, with who is in them.
    ///
    /// # Errors
    /// [`StoreError::Statement`].
    pub fn open_sessions(&self) -> Result<Vec<OpenSession>, StoreError> {
        let found = {
            let connection = self.connection();
            let mut statement = connection.prepare(
                "SELECT sid, room, started_ms, ended_ms, reason, seen_ms FROM session WHERE ended_ms IS NULL",
            )?;
            let rows = statement.query_map([], |row| Ok((read_session(row)?, row.get(5)?)))?;
            rows.collect::<Result<Vec<_>, _>>()?
        };
        let mut open = Vec::new();
        for (session, seen_ms) in found {
            let present = self.attendance(&session.sid, true, 0, i64::MAX)?;
            open.push(OpenSession { session, seen_ms, present });
        }
        Ok(open)
    }

    /// Sessions, newest first; of one room when it is named.
    ///
    /// # Errors
    /// [`StoreError::Statement`].
    pub fn sessions(&self, room: Option<&str>, skip: i64, most: i64) -> Result<Vec<SessionRow>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(
            "SELECT sid, room, started_ms, ended_ms, reason FROM session WHERE ?1 IS NULL OR room = ?1
             ORDER BY started_ms DESC, sid LIMIT ?2 OFFSET ?3",
        )?;
        let rows = statement.query_map((room, most, skip), read_session)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many sessions there are.
    ///
    /// # Errors
    /// [`StoreError::Statement`].
    pub fn count_sessions(&self, room: Option<&str>) -> Result<u64, StoreError> {
        let connection = self.connection();
        let mut statement =
            connection.prepare_cached("SELECT COUNT(*) FROM session WHERE ?1 IS NULL OR room = ?1")?;
        let count: i64 = statement.query_row([room], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }

    /// One session.
    ///
    /// # Errors
    /// [`StoreError::Statement`].
    pub fn session(&self, sid: &str) -> Result<Option<SessionRow>, StoreError> {
        let connection = self.connection();
        let mut statement = connection
            .prepare_cached("SELECT sid, room, started_ms, ended_ms, reason FROM session WHERE sid = ?1")?;
        Ok(statement.query_row([sid], read_session).optional()?)
    }

    /// Who attended a session, in order of coming; only who is in it still when `present`.
    ///
    /// # Errors
    /// [`StoreError::Statement`].
    pub fn attendance(
        &self,
        session: &str,
        present: bool,
        skip: i64,
        most: i64,
    ) -> Result<Vec<AttendanceRow>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(
            "SELECT sid, identity, name, joined_ms, left_ms, reason FROM attendance
             WHERE session = ?1 AND (NOT ?2 OR left_ms IS NULL) ORDER BY joined_ms, sid LIMIT ?3 OFFSET ?4",
        )?;
        let rows = statement.query_map((session, present, most, skip), read_attendance)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many stays [`Store::attendance`] has in all.
    ///
    /// # Errors
    /// [`StoreError::Statement`].
    pub fn count_attendance(&self, session: &str, present: bool) -> Result<u64, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(
            "SELECT COUNT(*) FROM attendance WHERE session = ?1 AND (NOT ?2 OR left_ms IS NULL)",
        )?;
        let count: i64 = statement.query_row((session, present), |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }
}

/// False: a message found the outbox full.
fn keep(transaction: &Transaction<'_>, report: &Report) -> Result<bool, rusqlite::Error> {
    match report {
        Report::SessionStarted { sid, room, at_ms } => {
            let mut statement = transaction.prepare_cached(
                "INSERT OR IGNORE INTO session (sid, room, started_ms, seen_ms) VALUES (?1, ?2, ?3, ?3)",
            )?;
            statement.execute((sid, room, at_ms))?;
        }
        Report::SessionEnded { sid, at_ms, reason } => {
            let mut left = transaction.prepare_cached(
                "UPDATE attendance SET left_ms = ?2, reason = ?3 WHERE session = ?1 AND left_ms IS NULL",
            )?;
            left.execute((sid, at_ms, reason))?;
            let mut ended = transaction.prepare_cached(
                "UPDATE session SET ended_ms = ?2, reason = ?3 WHERE sid = ?1 AND ended_ms IS NULL",
            )?;
            ended.execute((sid, at_ms, reason))?;
        }
        Report::Joined { session, sid, identity, name, at_ms } => {
            let mut statement = transaction.prepare_cached(
                "INSERT OR IGNORE INTO attendance (sid, session, identity, name, joined_ms)
                 SELECT ?1, ?2, ?3, ?4, ?5 WHERE EXISTS (SELECT 1 FROM session WHERE sid = ?2)
                   AND (SELECT COUNT(*) FROM attendance WHERE session = ?2) < ?6",
            )?;
            statement.execute((sid, session, identity, name, at_ms, MAX_STAYS))?;
        }
        Report::Left { sid, at_ms, reason } => {
            let mut statement = transaction.prepare_cached(
                "UPDATE attendance SET left_ms = ?2, reason = ?3 WHERE sid = ?1 AND left_ms IS NULL",
            )?;
            statement.execute((sid, at_ms, reason))?;
        }
        Report::RoomDisabled { id, at_ms } => {
            let mut statement =
                transaction.prepare_cached("UPDATE room SET disabled = 1, updated_ms = ?2 WHERE id = ?1")?;
            statement.execute((id, at_ms))?;
        }
        Report::Webhook(message) => return webhooks::put(transaction, message),
    }
    Ok(true)
}

fn read_session(row: &Row<'_>) -> Result<SessionRow, rusqlite::Error> {
    Ok(SessionRow {
        sid: row.get(0)?,
        room: row.get(1)?,
        started_ms: row.get(2)?,
        ended_ms: row.get(3)?,
        reason: row.get(4)?,
    })
}

fn read_attendance(row: &Row<'_>) -> Result<AttendanceRow, rusqlite::Error> {
    Ok(AttendanceRow {
        sid: row.get(0)?,
        identity: row.get(1)?,
        name: row.get(2)?,
        joined_ms: row.get(3)?,
        left_ms: row.get(4)?,
        reason: row.get(5)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(sid: &str, room: &str, at_ms: i64) -> Report {
        Report::SessionStarted { sid: sid.into(), room: room.into(), at_ms }
    }

    fn joined(session: &str, sid: &str, at_ms: i64) -> Report {
        let (identity, name) = (sid.to_lowercase(), String::new());
        Report::Joined { session: session.into(), sid: sid.into(), identity, name, at_ms }
    }

    #[test]
    fn who_was_in_and_when_is_kept_across_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("roomd.db");
        let store = Store::open(&path).unwrap();
        let left = Report::Left { sid: "PA_1".into(), at_ms: 30, reason: "left".into() };
        let reports =
            [started("RM_1", "hall", 10), joined("RM_1", "PA_1", 11), joined("RM_1", "PA_2", 12), left];
        store.report(&reports).unwrap();
        store.report(&[started("RM_2", "attic", 20), joined("RM_9", "PA_9", 21)]).unwrap();
        store.touch_sessions(40).unwrap();
        drop(store);
        let store = Store::open(&path).unwrap();
        let open = store.open_sessions().unwrap();
        assert_eq!(open.len(), 2);
        assert_eq!(
            (open[0].seen_ms, open[0].present.len(), open[0].present[0].sid.as_str()),
            (40, 1, "PA_2")
        );
        let ended = Report::SessionEnded { sid: "RM_1".into(), at_ms: 40, reason: "lost".into() };
        store.report(&[ended]).unwrap();
        let all = store.attendance("RM_1", false, 0, 10).unwrap();
        let times: Vec<_> =
            all.iter().map(|row| (row.joined_ms, row.left_ms, row.reason.as_deref())).collect();
        assert_eq!(times, [(11, Some(30), Some("left")), (12, Some(40), Some("lost"))]);
        assert_eq!(store.count_attendance("RM_1", true).unwrap(), 0);
        assert_eq!(store.session("RM_1").unwrap().unwrap().ended_ms, Some(40));
        assert!(store.session("RM_9").unwrap().is_none());
        let sids = |room, skip, most| {
            let rows = store.sessions(room, skip, most).unwrap();
            rows.into_iter().map(|row| row.sid).collect::<Vec<_>>()
        };
        assert_eq!(sids(None, 0, 10), ["RM_2", "RM_1"]);
        assert_eq!(
            (sids(Some("hall"), 0, 10), sids(None, 1, 10)),
            (vec!["RM_1".into()], vec!["RM_1".into()])
        );
        assert_eq!(store.count_sessions(None).unwrap(), 2);
    }

    #[test]
    fn old_sessions_are_forgotten_with_their_attendance_and_those_that_go_on_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("roomd.db")).unwrap();
        let ended = Report::SessionEnded { sid: "RM_1".into(), at_ms: 12, reason: "idle".into() };
        store.report(&[started("RM_1", "hall", 10), joined("RM_1", "PA_1", 11), ended]).unwrap();
        store.report(&[started("RM_2", "hall", 13)]).unwrap();
        store.prune_sessions(KEPT_MS + 10).unwrap();
        assert_eq!(store.count_sessions(None).unwrap(), 2);
        store.prune_sessions(KEPT_MS + 100).unwrap();
        assert_eq!(store.sessions(None, 0, 10).unwrap()[0].sid, "RM_2");
        assert_eq!(store.count_attendance("RM_1", false).unwrap(), 0);
    }
}
