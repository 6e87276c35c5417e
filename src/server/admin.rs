//! Who may change the box by its page: single-use links that become sessions. All in memory: a restart ends them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::base::{clock, ids};

/// How long an unused link is good.
pub const LINK_LIFETIME: Duration = Duration::from_secs(10 * 60);
/// How long a session lasts.
pub const SESSION_LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);
/// Unused links; one more and the oldest is void.
const LINKS: usize = 16;
/// Sessions; one more and the oldest ends.
const SESSIONS: usize = 64;
/// 32 characters of 5 bits.
const SECRET_LENGTH: usize = 32;

/// The links and sessions of one box. Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub struct Admin(Arc<Mutex<Both>>);

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Admin")
    }
}

#[derive(Default)]
struct Both {
    links: Secrets,
    sessions: Secrets,
}

impl Admin {
    /// A fresh single-use code, good for 10 minutes. The link is `<base>/admin?code=<code>`.
    pub fn new_link(&self) -> String {
        self.new_link_at(clock::now())
    }

    /// Exchanges an unused code for a session's secret; none for a used, old or invented one.
    pub(super) fn redeem(&self, code: &str) -> Option<String> {
        self.redeem_at(code, clock::now())
    }

    /// Whether this is the secret of a session that still lasts.
    pub(super) fn is_session(&self, secret: &str) -> bool {
        self.is_session_at(secret, clock::now())
    }

    fn new_link_at(&self, now: Instant) -> String {
        self.both().links.add(now, LINK_LIFETIME, LINKS)
    }

    fn redeem_at(&self, code: &str, now: Instant) -> Option<String> {
        let mut both = self.both();
        let at = both.links.find(code, now)?;
        both.links.0.remove(at);
        Some(both.sessions.add(now, SESSION_LIFETIME, SESSIONS))
    }

    fn is_session_at(&self, secret: &str, now: Instant) -> bool {
        self.both().sessions.find(secret, now).is_some()
    }

    fn both(&self) -> MutexGuard<'_, Both> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Secrets with the moment they end, oldest first.
#[derive(Default)]
struct Secrets(VecDeque<(String, Instant)>);

impl Secrets {
    fn add(&mut self, now: Instant, lifetime: Duration, most: usize) -> String {
        self.0.retain(|(_, end)| now < *end);
        while self.0.len() >= most {
            self.0.pop_front();
        }
        let secret = ids::random(SECRET_LENGTH);
        self.0.push_back((secret.clone(), now + lifetime));
        secret
    }

    /// Looks at every one, in a time that does not tell how much of `secret` was right.
    fn find(&mut self, secret: &str, now: Instant) -> Option<usize> {
        self.0.retain(|(_, end)| now < *end);
        let mut found = None;
        for (index, (known, _)) in self.0.iter().enumerate() {
            if same(known.as_bytes(), secret.as_bytes()) {
                found = Some(index);
            }
        }
        found
    }
}

/// Equality in a time that depends on the lengths only.
fn same(a: &[u8], b: &[u8]) -> bool {
    let difference = a.iter().zip(b).fold(0, |all, (a, b)| std::hint::black_box(all | (a ^ b)));
    a.len() == b.len() && difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_works_once_and_for_ten_minutes() {
        let (admin, start) = (Admin::default(), clock::now());
        let code = admin.new_link_at(start);
        let session = admin.redeem_at(&code, start + Duration::from_secs(599)).unwrap();
        assert_ne!(code, session);
        assert_eq!(admin.redeem_at(&code, start + Duration::from_secs(599)), None);
        let late = admin.new_link_at(start);
        assert_eq!(admin.redeem_at(&late, start + LINK_LIFETIME), None);
        for wrong in ["", "x", &code[1..], &"a".repeat(100_000)] {
            assert_eq!(admin.redeem_at(wrong, start), None);
        }
    }

    #[test]
    fn a_session_lasts_twelve_hours() {
        let (admin, start) = (Admin::default(), clock::now());
        let session = admin.redeem_at(&admin.new_link_at(start), start).unwrap();
        assert!(admin.is_session_at(&session, start + SESSION_LIFETIME - Duration::from_secs(1)));
        assert!(!admin.is_session_at(&session, start + SESSION_LIFETIME));
    }

    #[test]
    fn links_and_sessions_are_bounded_and_the_oldest_goes() {
        let (admin, start) = (Admin::default(), clock::now());
        let links: Vec<_> = (0..LINKS + 1).map(|_| admin.new_link_at(start)).collect();
        assert_eq!(admin.redeem_at(&links[0], start), None);
        let mut sessions = vec![];
        for _ in 0..SESSIONS + 1 {
            sessions.push(admin.redeem_at(&admin.new_link_at(start), start).unwrap());
        }
        assert!(!admin.is_session_at(&sessions[0], start));
        assert!(sessions[1..].iter().all(|session| admin.is_session_at(session, start)));
    }
}
