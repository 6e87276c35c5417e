//! The tokens: single use, with an end, kept as hashes in a small database. What a token was used for is kept with it,
//! so that the same key is given the same certificate again: a box may lose its power before it has the answer.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use time::OffsetDateTime;

use crate::base::ids;
use crate::control::enrolment::sha256_hex;

/// Tokens that are kept; of more, the oldest that are over go.
const TOKENS: i64 = 100_000;

/// What a new token shall be for.
#[derive(Clone, Debug)]
pub struct TokenWish {
    /// The only box that may use it, and whose earlier key it may replace; None: any box that is not enrolled yet.
    pub box_id: Option<String>,
    /// What people shall call the box.
    pub name: Option<String>,
    /// How long it is good.
    pub valid: Duration,
}

/// A token that was made.
#[derive(Clone)]
pub struct Minted {
    /// The token itself: a secret.
    pub token: String,
    /// When it ends, RFC 3339.
    pub expires: String,
}

/// What a token was good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Redeemed {
    /// PEM.
    pub(super) certificate: String,
    /// What the token calls the box.
    pub(super) name: Option<String>,
}

/// Why a token is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The certificate could not be made; the token stays good.
    Failed(String),
    Unknown,
    Expired,
    Used,
    OtherBox,
    BoxTaken,
}

#[derive(Debug)]
pub(super) struct Tokens(Mutex<Connection>);

impl Tokens {
    pub(super) fn open(path: &Path) -> rusqlite::Result<Tokens> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS token (
               hash TEXT PRIMARY KEY, expires INTEGER NOT NULL, box TEXT, name TEXT,
               key TEXT, used_by TEXT, certificate TEXT
             ) STRICT;
             CREATE INDEX IF NOT EXISTS token_box ON token (used_by);",
        )?;
        Ok(Tokens(Mutex::new(connection)))
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn mint(&self, wish: &TokenWish, now: OffsetDateTime) -> rusqlite::Result<Minted> {
        let token = ids::secret();
        let expires = now.saturating_add(wish.valid.try_into().unwrap_or(time::Duration::DAY));
        let connection = self.connection();
        connection.execute(
            "INSERT INTO token (hash, expires, box, name) VALUES (?1, ?2, ?3, ?4)",
            (sha256_hex(token.as_bytes()), expires.unix_timestamp(), &wish.box_id, &wish.name),
        )?;
        connection.execute(
            "DELETE FROM token WHERE key IS NULL AND expires < ?1
               AND (SELECT count(*) FROM token) > ?2",
            (now.unix_timestamp(), TOKENS),
        )?;
        Ok(Minted { token, expires: crate::control::rfc3339(expires.into()) })
    }

    /// Uses `token` for the box `box_id` whose key has `fingerprint`: `issue` makes its certificate, once.
    pub(super) fn redeem(
        &self,
        token: &str,
        box_id: &str,
        fingerprint: &str,
        now: OffsetDateTime,
        issue: impl FnOnce() -> Result<String, String>,
    ) -> rusqlite::Result<Result<Redeemed, Refused>> {
        let hash = sha256_hex(token.as_bytes());
        let mut connection = self.connection();
        // Nobody else between the question and the answer.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let row = transaction
            .query_row(
                "SELECT expires, box, name, key, used_by, certificate FROM token WHERE hash = ?1",
                [&hash],
                |row| {
                    Ok(Row {
                        expires: row.get(0)?,
                        only_box: row.get(1)?,
                        name: row.get(2)?,
                        key: row.get(3)?,
                        used_by: row.get(4)?,
                        certificate: row.get(5)?,
                    })
                },
            )
            .optional()?;
        let others: i64 = transaction.query_row(
            "SELECT count(*) FROM token WHERE used_by = ?1 AND key <> ?2",
            (box_id, fingerprint),
            |row| row.get(0),
        )?;
        let row = match row
            .ok_or(Refused::Unknown)
            .and_then(|row| row.judge(box_id, fingerprint, now.unix_timestamp(), others > 0).map(|()| row))
        {
            Ok(row) => row,
            Err(refused) => return Ok(Err(refused)),
        };
        let name = row.name;
        if let Some(certificate) = row.certificate {
            return Ok(Ok(Redeemed { certificate, name }));
        }
        let certificate = match issue() {
            Ok(certificate) => certificate,
            Err(reason) => return Ok(Err(Refused::Failed(reason))),
        };
        transaction.execute(
            "UPDATE token SET key = ?2, used_by = ?3, certificate = ?4 WHERE hash = ?1",
            (&hash, fingerprint, box_id, &certificate),
        )?;
        transaction.commit()?;
        Ok(Ok(Redeemed { certificate, name }))
    }
}

struct Row {
    expires: i64,
    only_box: Option<String>,
    name: Option<String>,
    key: Option<String>,
    used_by: Option<String>,
    certificate: Option<String>,
}

impl Row {
    fn judge(&self, box_id: &str, fingerprint: &str, now: i64, taken: bool) -> Result<(), Refused> {
        match (&self.key, &self.used_by) {
            // Asked again by the same box: also after its end.
            (Some(key), Some(by)) if key == fingerprint && by == box_id => Ok(()),
            (Some(_), _) => Err(Refused::Used),
            _ if now >= self.expires => Err(Refused::Expired),
            _ => match &self.only_box {
                Some(only) if only != box_id => Err(Refused::OtherBox),
                Some(_) => Ok(()),
                None if taken => Err(Refused::BoxTaken),
                None => Ok(()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-06-01 0:00 UTC);

    fn wish(box_id: Option<&str>) -> TokenWish {
        TokenWish { box_id: box_id.map(str::to_owned), name: None, valid: Duration::from_secs(60) }
    }

    #[test]
    fn a_token_serves_one_key_of_one_box_and_that_one_as_often_as_it_asks() {
        let dir = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(&dir.path().join("t.db")).unwrap();
        let later = NOW + time::Duration::HOUR;
        let ask = |token: &str, id: &str, key: &str, now| {
            let issued = tokens.redeem(token, id, key, now, || Ok(format!("certificate of {id} and {key}")));
            issued.unwrap().map(|redeemed| redeemed.certificate)
        };
        let token = tokens.mint(&wish(None), NOW).unwrap().token;
        let first = ask(&token, "a", "k1", NOW).unwrap();
        assert_eq!(ask(&token, "a", "k1", later).unwrap(), first, "also after its end");
        assert_eq!(ask(&token, "a", "k2", NOW), Err(Refused::Used));
        assert_eq!(ask(&token, "b", "k1", NOW), Err(Refused::Used));
        assert_eq!(ask("guessed", "b", "k1", NOW), Err(Refused::Unknown));

        let again = tokens.mint(&wish(None), NOW).unwrap().token;
        assert_eq!(ask(&again, "a", "k2", NOW), Err(Refused::BoxTaken), "nobody becomes another box");
        assert_eq!(ask(&again, "b", "k2", later), Err(Refused::Expired));
        let replacing = tokens.mint(&wish(Some("a")), NOW).unwrap().token;
        assert_eq!(ask(&replacing, "b", "k2", NOW), Err(Refused::OtherBox));
        assert_eq!(ask(&replacing, "a", "k2", NOW).unwrap(), "certificate of a and k2");
    }

    #[test]
    fn a_certificate_that_could_not_be_made_leaves_the_token_good() {
        let dir = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(&dir.path().join("t.db")).unwrap();
        let token = tokens.mint(&wish(None), NOW).unwrap().token;
        let failed = tokens.redeem(&token, "a", "k", NOW, || Err("no".to_owned())).unwrap();
        assert_eq!(failed, Err(Refused::Failed("no".to_owned())));
        assert!(tokens.redeem(&token, "b", "other", NOW, || Ok("yes".to_owned())).unwrap().is_ok());
    }
}
