//! The jobs that the fleet has ordered.

use super::{Store, StoreError};

impl Store {
    /// Every job: its id, and what was kept of it (JSON).
    ///
    /// # Errors
    /// [`StoreError::Statement`].
    pub fn jobs(&self) -> Result<Vec<(String, String)>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached("SELECT id, value FROM job ORDER BY id")?;
        let rows = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Keeps (or forgets, where there is no value) these jobs, all or none of them; on the disk when this returns.
    ///
    /// # Errors
    /// [`StoreError::Statement`]; then everything is as it was.
    pub fn keep_jobs(&self, changes: &[(String, Option<String>)]) -> Result<(), StoreError> {
        let mut connection = self.connection();
        let transaction = connection.transaction()?;
        for (id, value) in changes {
            match value {
                Some(value) => transaction.execute(
                    "INSERT INTO job (id, value) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET value = ?2",
                    (id, value),
                )?,
                None => transaction.execute("DELETE FROM job WHERE id = ?1", [id])?,
            };
        }
        Ok(transaction.commit()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_kept_changed_and_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("roomd.db");
        let store = Store::open(&path).unwrap();
        let row = |id: &str, value: Option<&str>| (id.to_owned(), value.map(str::to_owned));
        store.keep_jobs(&[row("b", Some("1")), row("a", Some("1"))]).unwrap();
        store.keep_jobs(&[row("b", None), row("a", Some("2")), row("c", None)]).unwrap();
        drop(store);
        assert_eq!(Store::open(&path).unwrap().jobs().unwrap(), [("a".to_owned(), "2".to_owned())]);
    }
}
