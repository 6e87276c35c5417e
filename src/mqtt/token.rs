//! The token that a connection was made with (`mqtt.jwt_file`): when somebody has renewed it, the connection is made
//! anew with the new one, before the broker ends the old one.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::config::first_line;

/// The claims that say how long a token is good (RFC 7519), in seconds since 1970.
#[derive(Deserialize)]
struct Claims {
    exp: f64,
    iat: Option<f64>,
}

/// What a look at the file has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Nothing new; look again then.
    Wait(Instant),
    /// There is a new token.
    Renewed,
    /// It is in the last tenth of its life, and there is no new one. Said once; look again then.
    Late(Instant),
}

/// A token in use. Has no `Debug`: it is a secret.
pub(super) struct Token {
    file: PathBuf,
    used: Vec<u8>,
    late_at: Option<Instant>,
    look_at: Instant,
    every: Duration,
}

impl Token {
    /// The one that stands in `file` now, which is looked at `every` so often: each box begins at a moment of its own,
    /// so a fleet does not move as one. None: it cannot be read.
    pub(super) fn read(file: &Path, every: Duration, now: Instant, wall: SystemTime) -> Option<Token> {
        let used = first_line("jwt_file", file).ok()?;
        let left = life(&used, wall);
        let late_at = left.map(|(left, whole)| now + left.saturating_sub(whole / 10));
        Some(Token { file: file.to_owned(), used, late_at, look_at: now + every, every })
    }

    /// Looks at the file if that is due at `now`.
    pub(super) fn look(&mut self, now: Instant) -> Look {
        if now < self.look_at {
            return Look::Wait(self.look_at);
        }
        self.look_at = now + self.every;
        // One that is just being written, or gone, is not used before it must be.
        match first_line("jwt_file", &self.file) {
            Ok(found) if found != self.used && !found.is_empty() => Look::Renewed,
            _ if self.late_at.is_some_and(|late_at| now >= late_at) => {
                self.late_at = None;
                Look::Late(self.look_at)
            }
            _ => Look::Wait(self.look_at),
        }
    }
}

/// How long a token is still good, and its whole life. None: it is none, or does not say. Nothing is verified: that
/// is the broker's part.
fn life(token: &[u8], wall: SystemTime) -> Option<(Duration, Duration)> {
    let claims = token.split(|byte| *byte == b'.').nth(1)?;
    let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    let now = wall.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs_f64();
    let span = |from: f64| Duration::try_from_secs_f64((claims.exp - from).max(0.0)).ok();
    let left = span(now)?;
    // Far more than anyone means, and what an `Instant` surely holds.
    let most = Duration::from_secs(10 * 365 * 86_400);
    Some((left.min(most), span(claims.iat.unwrap_or(now))?.clamp(left.min(most), most)))
}

/// Reads anything as a token.
#[cfg(any(test, fuzzing))]
pub(crate) fn life_of_any(token: &[u8]) {
    let _ = life(token, SystemTime::UNIX_EPOCH);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock;

    const S: Duration = Duration::from_secs(1);

    fn wall() -> SystemTime {
        SystemTime::UNIX_EPOCH + 1_000_000 * S
    }

    fn token(claims: &str) -> Vec<u8> {
        format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims)).into_bytes()
    }

    #[test]
    fn a_life_is_read_from_the_claims_and_nonsense_has_none() {
        let life = |claims: &str| life(&token(claims), wall());
        assert_eq!(life(r#"{"exp": 1000600, "iat": 999400}"#), Some((600 * S, 1200 * S)));
        assert_eq!(life(r#"{"exp": 1000600}"#), Some((600 * S, 600 * S)));
        assert_eq!(life(r#"{"exp": 5}"#).map(|(left, _)| left), Some(Duration::ZERO));
        assert!(life(r#"{"exp": 1e300}"#).is_none_or(|(left, _)| left <= 10 * 365 * 86_400 * S));
        for nonsense in ["{}", "[]", "", r#"{"exp": "soon"}"#, r#"{"exp": null}"#] {
            assert_eq!(life(nonsense), None, "{nonsense}");
        }
        assert_eq!(super::life(b"no token", wall()), None);
        assert_eq!(super::life(b"a.!!.b", wall()), None);
    }

    #[test]
    fn a_new_token_is_noticed_and_a_missing_one_is_told_in_the_last_tenth() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("jwt");
        assert!(Token::read(&file, 10 * S, clock::now(), wall()).is_none());
        std::fs::write(&file, token(r#"{"exp": 1000600, "iat": 1000000}"#)).unwrap();
        let now = clock::now();
        let mut used = Token::read(&file, 10 * S, now, wall()).unwrap();
        assert_eq!(used.look(now), Look::Wait(now + 10 * S));
        assert_eq!(used.look(now + 539 * S), Look::Wait(now + 549 * S));
        assert_eq!(used.look(now + 549 * S), Look::Late(now + 559 * S));
        assert_eq!(used.look(now + 559 * S), Look::Wait(now + 569 * S));
        std::fs::remove_file(&file).unwrap();
        assert_eq!(used.look(now + 569 * S), Look::Wait(now + 579 * S));
        std::fs::write(&file, token(r#"{"exp": 1001200}"#)).unwrap();
        assert_eq!(used.look(now + 578 * S), Look::Wait(now + 579 * S), "not yet");
        assert_eq!(used.look(now + 579 * S), Look::Renewed);
    }
}
