//! The outbox of webhooks: one row a message and receiver. The rows of one URL and one room are a lane: they are sent
//! in order, one at a time.

use rusqlite::{Row, Transaction};

use super::{Store, StoreError};

/// Most rows; messages that would be more are dropped, and counted by [`Store::report`].
const MAX_ROWS: i64 = 20_000;

/// A message for one receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewWebhook {
    /// Where it goes.
    pub url: String,
    /// Whose lane it is in.
    pub room: String,
    /// Its id, the same at every attempt.
    pub id: String,
    /// JSON.
    pub body: String,
    /// When it happened, in ms since 1970.
    pub created_ms: i64,
}

/// A message that waits to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookRow {
    /// Its place in the outbox.
    pub number: i64,
    /// The message.
    pub message: NewWebhook,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is to be tried, in ms since 1970.
    pub next_ms: i64,
}

/// Enters a message; false: the outbox is full.
pub(super) fn put(transaction: &Transaction<'_>, message: &NewWebhook) -> Result<bool, rusqlite::Error> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO webhook (url, room, id, body, created_ms)
         SELECT ?1, ?2, ?3, ?4, ?5 WHERE (SELECT COUNT(*) FROM webhook) < ?6",
    )?;
    let NewWebhook { url, room, id, body, created_ms } = message;
    Ok(statement.execute((url, room, id, body, created_ms, MAX_ROWS))? > 0)
}

impl Store {
    /// The first message of each lane, the one that is to be tried first at the front.
    ///
    /// # Errors
    /// [`StoreError::Statement`].
    pub fn webhook_heads(&self) -> Result<Vec<WebhookRow>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(
            "SELECT number, url, room, id, body, created_ms, attempts, next_ms FROM webhook
             WHERE number IN (SELECT MIN(number) FROM webhook GROUP BY url, room) ORDER BY next_ms, number",
        )?;
        let rows = statement.query_map([], read_row)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The message was taken, or is given up: out of the outbox.
    ///
    /// # Errors
    /// [`StoreError::Statement`].
    pub fn drop_webhook(&self, number: i64) -> Result<(), StoreError> {
        self.connection().prepare_cached("DELETE FROM webhook WHERE number = ?1")?.execute([number])?;
        Ok(())
    }

    /// The message was not taken: when to try again.
    ///
    /// # Errors
    /// [`StoreError::Statement`].
    pub fn delay_webhook(&self, number: i64, next_ms: i64) -> Result<(), StoreError> {
        let connection = self.connection();
        let mut statement = connection
            .prepare_cached("UPDATE webhook SET attempts = attempts + 1, next_ms = ?2 WHERE number = ?1")?;
        statement.execute((number, next_ms))?;
        Ok(())
    }
}

fn read_row(row: &Row<'_>) -> Result<WebhookRow, rusqlite::Error> {
    let message = NewWebhook {
        url: row.get(1)?,
        room: row.get(2)?,
        id: row.get(3)?,
        body: row.get(4)?,
        created_ms: row.get(5)?,
    };
    let attempts = u32::try_from(row.get::<_, i64>(6)?).unwrap_or(u32::MAX);
    Ok(WebhookRow { number: row.get(0)?, message, attempts, next_ms: row.get(7)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Report;

    #[test]
    fn each_lane_shows_its_first_message_until_that_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("roomd.db");
        let store = Store::open(&path).unwrap();
        let message = |room: &str, id: &str| NewWebhook {
            url: "http://a".into(),
            room: room.into(),
            id: id.into(),
            body: "{}".into(),
            created_ms: 5,
        };
        let reports =
            [("x", "1"), ("x", "2"), ("y", "3")].map(|(room, id)| Report::Webhook(message(room, id)));
        assert_eq!(store.report(&reports).unwrap(), 0);
        let ids = |store: &Store| {
            let heads = store.webhook_heads().unwrap();
            heads.iter().map(|row| row.message.id.clone()).collect::<Vec<_>>()
        };
        assert_eq!(ids(&store), ["1", "3"]);
        let first = store.webhook_heads().unwrap()[0].clone();
        store.delay_webhook(first.number, 99).unwrap();
        drop(store);
        let store = Store::open(&path).unwrap();
        assert_eq!(ids(&store), ["3", "1"], "in order of their next attempt, also after a restart");
        assert_eq!(store.webhook_heads().unwrap()[1].attempts, 1);
        store.drop_webhook(first.number).unwrap();
        assert_eq!(ids(&store), ["2", "3"]);
    }

    #[test]
    fn a_full_outbox_drops_the_newest_and_says_how_many() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("roomd.db")).unwrap();
        let report = |n: i64| {
            let (url, room) = ("http://a".into(), format!("r{}", n % 3));
            Report::Webhook(NewWebhook { url, room, id: n.to_string(), body: "{}".into(), created_ms: n })
        };
        let reports: Vec<Report> = (0..MAX_ROWS + 7).map(report).collect();
        assert_eq!(store.report(&reports).unwrap(), 7);
        assert_eq!(store.webhook_heads().unwrap().len(), 3);
    }
}
