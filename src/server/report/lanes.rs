//! Which message is sent next. Pure: the rows and the time come in.

use std::time::Duration;

use rand::RngExt;

use crate::store::WebhookRow;

/// How long a message is tried.
const LIFETIME_MS: i64 = 24 * 3600 * 1000;
/// Messages on their way at once; those to one receiver.
const AT_ONCE: usize = 16;
const AT_ONCE_A_URL: usize = 4;
/// The first pause after a failure; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// What is to be done now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// To be sent.
    pub send: Vec<WebhookRow>,
    /// Too old: to be given up.
    pub give_up: Vec<WebhookRow>,
    /// When to look again, in ms since 1970; None: only when something happens.
    pub look_at_ms: Option<i64>,
}

/// What to do with the lanes' first messages, `under_way` being those that are being sent.
pub(super) fn plan(heads: Vec<WebhookRow>, under_way: &[WebhookRow], now_ms: i64) -> Plan {
    let mut plan = Plan::default();
    for row in heads {
        if under_way.iter().any(|sent| sent.number == row.number) {
            continue;
        }
        if now_ms - row.message.created_ms >= LIFETIME_MS {
            plan.give_up.push(row);
            continue;
        }
        if row.next_ms > now_ms {
            plan.look_at_ms = Some(plan.look_at_ms.unwrap_or(i64::MAX).min(row.next_ms));
            continue;
        }
        let to_it = |sent: &&WebhookRow| sent.message.url == row.message.url;
        let busy = under_way.iter().chain(&plan.send).filter(to_it).count();
        if under_way.len() + plan.send.len() < AT_ONCE && busy < AT_ONCE_A_URL {
            plan.send.push(row);
        }
    }
    plan
}

/// When a message that was not taken at `now_ms` for the `attempts`th time before is tried again.
pub(super) fn next_ms(attempts: u32, now_ms: i64, rng: &mut impl rand::Rng) -> i64 {
    let doubled = FIRST_PAUSE.saturating_mul(1u32.checked_shl(attempts).unwrap_or(u32::MAX));
    let pause = doubled.min(LONGEST_PAUSE).mul_f64(rng.random_range(0.5..=1.0));
    now_ms.saturating_add(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::store::NewWebhook;

    fn row(number: i64, url: &str, next_ms: i64) -> WebhookRow {
        let message = NewWebhook {
            url: url.into(),
            room: number.to_string(),
            id: String::new(),
            body: String::new(),
            created_ms: 0,
        };
        WebhookRow { number, message, attempts: 0, next_ms }
    }

    fn numbers(rows: &[WebhookRow]) -> Vec<i64> {
        rows.iter().map(|row| row.number).collect()
    }

    #[test]
    fn what_is_due_is_sent_unless_it_is_on_its_way_already() {
        let heads = || vec![row(1, "a", 0), row(2, "b", 50), row(3, "c", 200), row(4, "d", 150)];
        let made = plan(heads(), &[row(1, "a", 0)], 100);
        assert_eq!((numbers(&made.send), made.look_at_ms), (vec![2], Some(150)));
        let made = plan(heads(), &[], LIFETIME_MS);
        assert_eq!((numbers(&made.give_up), made.send.len()), (vec![1, 2, 3, 4], 0));
    }

    #[test]
    fn a_receiver_that_hangs_holds_back_only_itself() {
        let slow = (0..100).map(|n| row(n, "slow", 0));
        let made = plan(slow.chain([row(100, "quick", 0)]).collect(), &[], 0);
        assert_eq!(numbers(&made.send), [0, 1, 2, 3, 100]);
        let urls: Vec<String> = (0..50).map(|n| format!("u{n}")).collect();
        let many = urls.iter().enumerate().map(|(n, url)| row(n as i64, url, 0)).collect();
        assert_eq!(plan(many, &[], 0).send.len(), AT_ONCE);
    }

    #[test]
    fn pauses_double_up_to_five_minutes() {
        let mut rng = rand::rngs::StdRng::seed_from_u64(7);
        for (attempts, longest_ms) in
            [(0, 1_000), (1, 2_000), (5, 32_000), (20, 300_000), (4_000_000_000, 300_000)]
        {
            let pause = next_ms(attempts, 10, &mut rng) - 10;
            assert!((longest_ms / 2..=longest_ms).contains(&pause), "{attempts}: {pause}");
        }
    }
}
