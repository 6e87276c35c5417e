//! The commands of an earlier run, from the store and into it: what the pure part knows as moments of this run stands
//! there in the kernel's monotonic clock.

use std::time::{Duration, Instant};

use tracing::warn;

use crate::base::clock;
use crate::control::dedupe::{GRACE, Identity, MAX_EXPIRY, Remembered};
use crate::control::intake::Pending;
use crate::control::{Desired, Reply};
use crate::store::{CommandRow, Store};
use crate::sys;

/// Writes rows, as of this boot of the kernel.
#[derive(Debug)]
pub struct Rows {
    /// Empty when the kernel does not tell.
    boot: String,
}

impl Rows {
    /// Asks the kernel which boot this is.
    pub fn of_this_boot() -> Rows {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Rows { boot: boot.trim().to_owned() }
    }

    /// What is remembered of earlier runs at `now`; what may be forgotten is deleted. A reply that cannot be read
    /// counts as none.
    pub fn read(&self, store: &Store, now: Instant) -> Vec<Remembered> {
        let rows = store.commands().unwrap_or_else(|error| {
            warn!(%error, "the commands of earlier runs cannot be read: one that comes again would be run again");
            Vec::new()
        });
        let now_ms = now_ms();
        let (kept, old): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|row| row.reply.is_none() || self.left(row, now_ms) > Duration::ZERO);
        let forgotten: Vec<_> = old.into_iter().map(|row| row.key).collect();
        if let Err(error) = store.keep_command(None, None, &forgotten) {
            warn!(%error, "old commands cannot be deleted");
        }
        let remembered = kept.into_iter().map(|row| Remembered {
            forget_at: now + self.left(&row, now_ms).max(GRACE),
            reply: row.reply.as_deref().and_then(|json| serde_json::from_str(json).ok()),
            wish: row.wish,
            key: row.key,
        });
        remembered.collect()
    }

    /// How long a row is still needed. Those due are kept for [`GRACE`] more by whoever asks: a duplicate may have
    /// made that longer without a word in the store.
    fn left(&self, row: &CommandRow, now_ms: i64) -> Duration {
        let longest = (MAX_EXPIRY + GRACE).as_millis() as i64;
        let left = match !self.boot.is_empty() && row.boot == self.boot {
            true => row.forget_ms.saturating_sub(now_ms).saturating_add(GRACE.as_millis() as i64),
            false => row.lifetime_ms,
        };
        Duration::from_millis(u64::try_from(left.min(longest)).unwrap_or(0))
    }

    /// The row of a command that is about to be taken on.
    pub fn row<T>(&self, pending: &Pending<T>, desired: &Desired, now: Instant) -> Option<CommandRow> {
        let identity: &Identity = pending.identity()?;
        let lifetime_ms = identity.forget_at().saturating_duration_since(now).as_millis() as i64;
        let wish = pending.wish(desired).map(|(key, value)| (key.to_owned(), value));
        let since_1970 = clock::wall().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Some(CommandRow {
            key: identity.key.clone(),
            name: pending.name().to_owned(),
            accepted_ms: since_1970.as_millis() as i64,
            boot: self.boot.clone(),
            forget_ms: now_ms() + lifetime_ms,
            lifetime_ms,
            wish,
            reply: pending.reply().as_ref().map(json),
        })
    }
}

/// A reply as the row has it.
pub fn json(reply: &Reply) -> String {
    serde_json::json!(reply).to_string()
}

fn now_ms() -> i64 {
    (sys::monotonic_micros() / 1000) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::dedupe::Key;

    fn row(n: u8, boot: &str, forget_in: Duration, reply: Option<&str>) -> CommandRow {
        CommandRow {
            key: Key { issuer: "app".into(), correlation: vec![n] },
            name: "room.leave".into(),
            accepted_ms: 0,
            boot: boot.into(),
            forget_ms: now_ms() + forget_in.as_millis() as i64,
            lifetime_ms: 70_000,
            wish: None,
            reply: reply.map(str::to_owned),
        }
    }

    #[test]
    fn rows_of_this_boot_keep_their_time_those_of_another_get_all_of_it_again_and_old_ones_go() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("roomd.db")).unwrap();
        let (rows, now) = (Rows { boot: "this".into() }, clock::now());
        let reply = json(&Reply::ok("done", serde_json::Value::Null));
        let (hour, minute) = (Duration::from_secs(3600), Duration::from_secs(60));
        for row in [
            row(1, "this", hour, Some(&reply)),
            row(2, "other", Duration::ZERO, Some(&reply)),
            row(3, "this", Duration::ZERO, None),
            CommandRow { forget_ms: now_ms() - 61_000, ..row(4, "this", hour, Some(&reply)) },
            CommandRow { lifetime_ms: i64::MAX, ..row(5, "other", hour, Some("no reply")) },
        ] {
            store.keep_command(Some(&row), None, &[]).unwrap();
        }
        let read = rows.read(&store, now);
        let left: Vec<_> = read.iter().map(|one| (one.key.correlation[0], one.forget_at - now)).collect();
        let about = |n: u8, expected: Duration| {
            let (_, left) = left.iter().find(|(found, _)| *found == n).unwrap();
            assert!(left.abs_diff(expected) < Duration::from_secs(5), "{n}: {left:?}");
        };
        about(1, hour + minute);
        about(2, Duration::from_secs(70));
        about(3, minute);
        about(5, hour + minute);
        assert_eq!((read.len(), store.commands().unwrap().len()), (4, 4));
        assert!(read.iter().all(|one| one.reply.is_some() == (one.key.correlation[0] < 3)));
    }
}
