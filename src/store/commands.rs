//! Commands that were taken on, until they may be forgotten: so that none is run twice.

use rusqlite::Transaction;

use super::{Store, StoreError};
use crate::control::dedupe::Key;

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandRow {
    /// What it is known by.
    pub key: Key,
    /// The contract's name of it.
    pub name: String,
    /// When it was taken on, in ms since 1970; for people.
    pub accepted_ms: i64,
    /// The boot of the kernel in which it was taken on.
    pub boot: String,
    /// When it may be forgotten, in ms of that boot's monotonic clock.
    pub forget_ms: i64,
    /// How long it had to be remembered when it was taken on, in ms; what counts in another boot.
    pub lifetime_ms: i64,
    /// The name and the value (JSON) of what it wished for; gone once it is answered.
    pub wish: Option<(String, String)>,
    /// The reply (JSON); None: none yet.
    pub reply: Option<String>,
}

impl Store {
    /// Writes, all or nothing: the row of a command, the wish that it changes, and that these `forgotten` commands
    /// are needed no more. On the disk when this returns.
    ///
    /// # Errors
    /// [`StoreError::Statement`]; then everything is as it was.
    pub fn keep_command(
        &self,
        row: Option<&CommandRow>,
        wish: Option<(&str, &str)>,
        forgotten: &[Key],
    ) -> Result<(), StoreError> {
        let mut connection = self.connection();
        let transaction = connection.transaction()?;
        if let Some((name, value)) = wish {
            super::write_desired(&transaction, name, value)?;
        }
        if let Some(row) = row {
            insert(&transaction, row)?;
        }
        delete(&transaction, forgotten)?;
        Ok(transaction.commit()?)
    }

    /// Writes the reply to a command; on the disk when this returns. One that is forgotten already stays so.
    ///
    /// # Errors
    /// [`StoreError::Statement`]; then it has none.
    pub fn answer_command(&self, key: &Key, reply: &str) -> Result<(), StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(
            "UPDATE command SET reply = ?3, wish = NULL, value = NULL WHERE issuer = ?1 AND correlation = ?2",
        )?;
        statement.execute((&key.issuer, &key.correlation, reply))?;
        Ok(())
    }

    /// Every command that is remembered.
    ///
    /// # Errors
    /// [`StoreError::Statement`].
    pub fn commands(&self) -> Result<Vec<CommandRow>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare(
            "SELECT issuer, correlation, name, accepted_ms, boot, forget_ms, lifetime_ms, wish, value, reply
             FROM command",
        )?;
        let rows = statement.query_map([], |row| {
            let (wish, value): (Option<String>, Option<String>) = (row.get(7)?, row.get(8)?);
            Ok(CommandRow {
                key: Key { issuer: row.get(0)?, correlation: row.get(1)? },
                name: row.get(2)?,
                accepted_ms: row.get(3)?,
                boot: row.get(4)?,
                forget_ms: row.get(5)?,
                lifetime_ms: row.get(6)?,
                wish: wish.zip(value),
                reply: row.get(9)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn insert(transaction: &Transaction<'_>, row: &CommandRow) -> rusqlite::Result<()> {
    let (wish, value) = row.wish.clone().unzip();
    let mut statement = transaction.prepare_cached(
        "INSERT OR REPLACE INTO command
         (issuer, correlation, name, accepted_ms, boot, forget_ms, lifetime_ms, wish, value, reply)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    let key = &row.key;
    let (forget, lifetime) = (row.forget_ms, row.lifetime_ms);
    statement.execute(rusqlite::params![
        key.issuer,
        key.correlation,
        row.name,
        row.accepted_ms,
        row.boot,
        forget,
        lifetime,
        wish,
        value,
        row.reply
    ])?;
    Ok(())
}

fn delete(transaction: &Transaction<'_>, keys: &[Key]) -> rusqlite::Result<()> {
    let mut statement =
        transaction.prepare_cached("DELETE FROM command WHERE issuer = ?1 AND correlation = ?2")?;
    for key in keys {
        statement.execute((&key.issuer, &key.correlation))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(n: u8, wish: bool) -> CommandRow {
        CommandRow {
            key: Key { issuer: "app".into(), correlation: vec![n, 0, 255] },
            name: "room.leave".into(),
            accepted_ms: 7,
            boot: "b".into(),
            forget_ms: 8,
            lifetime_ms: 9,
            wish: wish.then(|| ("room".into(), "null".into())),
            reply: None,
        }
    }

    #[test]
    fn a_command_is_written_with_its_wish_or_not_at_all_and_its_reply_takes_the_wishs_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("roomd.db");
        let store = Store::open(&path).unwrap();
        let one = row(1, true);
        store.keep_command(Some(&one), Some(("room", "null")), &[]).unwrap();
        store.keep_command(Some(&row(2, false)), None, &[]).unwrap();
        drop(store);
        let store = Store::open(&path).unwrap();
        assert_eq!(store.desired("room").unwrap().as_deref(), Some("null"));
        assert_eq!(store.commands().unwrap(), [one.clone(), row(2, false)]);
        store.answer_command(&one.key, "{}").unwrap();
        let answered = CommandRow { wish: None, reply: Some("{}".into()), ..one.clone() };
        store.keep_command(None, None, &[row(2, false).key]).unwrap();
        assert_eq!(store.commands().unwrap(), [answered]);
        store.answer_command(&row(9, false).key, "{}").unwrap();
        assert_eq!(store.commands().unwrap().len(), 1);
        // A table that is gone stands for a disk that fails in the middle.
        store.connection().execute_batch("DROP TABLE command").unwrap();
        assert!(store.keep_command(Some(&row(3, true)), Some(("room", "7")), &[]).is_err());
        assert_eq!(store.desired("room").unwrap().as_deref(), Some("null"));
    }
}
