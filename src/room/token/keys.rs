//! The keys that tokens are signed with: read from text, verifying and minting.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::claims::{AppToken, Claims, GuestRight, Key, Minted, MintedApp, MintedDigest};
use super::{KeysError, TokenError};
use crate::base::ids;
use crate::room::Grant;

/// How far the clocks of app server and box may be apart, for `exp` and `nbf`.
pub const LEEWAY: Duration = Duration::from_secs(60);
/// Longest token that is looked at, in bytes.
pub const TOKEN_BYTES: usize = 16 * 1024;
/// Shortest secret, in characters.
pub const SECRET_CHARACTERS: usize = 32;

/// The box's keys, by name; never empty. Shows no secret in `Debug`.
#[derive(Clone)]
pub struct Keys(BTreeMap<String, String>);

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keys").field(&self.0.keys().collect::<Vec<_>>()).finish()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    keys: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct TokenHeader {
    alg: Option<String>,
}

impl Keys {
    /// Reads the text of a keys file: TOML, a table `[keys]` of `name = "secret"`.
    ///
    /// # Errors
    /// [`KeysError`] with the line or the key's name; never with a secret.
    pub fn parse(text: &str) -> Result<Keys, KeysError> {
        let file: File = toml::from_str(text).map_err(|error| {
            let line = error
                .span()
                .map_or(0, |span| text.bytes().take(span.start).filter(|b| *b == b'\n').count() + 1);
            // Display would quote the line, and with it the secret.
            KeysError::Syntax { line, reason: error.message().lines().next().unwrap_or_default().to_owned() }
        })?;
        Keys::new(file.keys)
    }

    /// Keys by name and secret.
    ///
    /// # Errors
    /// [`KeysError::Empty`], [`KeysError::Name`] and [`KeysError::ShortSecret`].
    pub fn new(keys: BTreeMap<String, String>) -> Result<Keys, KeysError> {
        for (name, secret) in &keys {
            if !(1..=64).contains(&name.chars().count()) || name.chars().any(char::is_control) {
                return Err(KeysError::Name { name: name.chars().take(64).collect() });
            }
            let found = secret.chars().count();
            if found < SECRET_CHARACTERS {
                return Err(KeysError::ShortSecret { name: name.clone(), found });
            }
        }
        if keys.is_empty() { Err(KeysError::Empty) } else { Ok(Keys(keys)) }
    }

    /// One random key, `box…`, with a secret of 256 bits.
    pub fn random() -> Keys {
        Keys(BTreeMap::from([(format!("box{}", ids::random(9)), ids::secret())]))
    }

    /// The text that [`Keys::parse`] reads. Holds the secrets: only for the keys file.
    pub fn to_toml(&self) -> String {
        let line = |(name, secret): (&String, &String)| {
            format!("{} = {}\n", toml::Value::from(name.as_str()), toml::Value::from(secret.as_str()))
        };
        format!("[keys]\n{}", self.0.iter().map(line).collect::<String>())
    }

    /// The key that [`Keys::mint`] signs with: the first by name.
    pub fn first(&self) -> &str {
        self.0.keys().next().map_or("", String::as_str)
    }

    /// Verifies `token` (without `Bearer `) at `now` and says what it allows. Whether it is for the right room is
    /// the caller's question: [`Grant::may_join`].
    ///
    /// # Errors
    /// [`TokenError`] says what is wrong.
    pub fn verify(&self, token: &str, now: SystemTime) -> Result<Grant, TokenError> {
        let (name, secret) = self.key_of(token)?;
        let mut validation = Validation::new(Algorithm::HS256);
        // exp and nbf are checked below, against the `now` that came in.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let key = DecodingKey::from_secret(secret.as_bytes());
        let value: serde_json::Value = jsonwebtoken::decode(token, &key, &validation)
            .map_err(|_| TokenError::Signature { key: name.to_owned() })?
            .claims;
        let claims: Claims = serde_json::from_value(value).map_err(|error| {
            TokenError::Claim(format!("of the wrong type: {error}").chars().take(200).collect())
        })?;
        check_time(&claims, now)?;
        claims.grant()
    }

    /// The key that `token` says it is signed with, after the checks that need no key.
    fn key_of(&self, token: &str) -> Result<(&str, &str), TokenError> {
        if token.is_empty() {
            return Err(TokenError::Missing);
        }
        if token.len() > TOKEN_BYTES {
            return Err(TokenError::Malformed("longer than 16 KiB"));
        }
        let mut parts = token.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenError::Malformed("it has not three parts"));
        };
        let header: TokenHeader =
            part(header).ok_or(TokenError::Malformed("its header is not base64url JSON"))?;
        match header.alg.as_deref() {
            Some("HS256") if signature.is_empty() => return Err(TokenError::Unsigned),
            Some("HS256") => {}
            Some(none) if none.eq_ignore_ascii_case("none") => return Err(TokenError::Unsigned),
            Some(other) => return Err(TokenError::Algorithm { found: other.chars().take(16).collect() }),
            None => return Err(TokenError::Malformed("its header has no alg")),
        }
        let key: Key = part(claims).ok_or(TokenError::Malformed("its claims are not base64url JSON"))?;
        let name = key.name().ok_or(TokenError::Malformed("it names no key (iss or apikey)"))?;
        match self.0.get_key_value(&name) {
            Some((name, secret)) => Ok((name, secret)),
            None => Err(TokenError::UnknownKey { key: name.chars().take(64).collect() }),
        }
    }

    /// A token that allows `grant` from `now` on for `ttl`: LiveKit's shape, signed with [`Keys::first`].
    pub fn mint(&self, grant: &Grant, ttl: Duration, now: SystemTime) -> String {
        let (from, to) = seconds(now, ttl);
        self.signed(&Minted::new(grant, self.first(), from, to))
    }

    /// The token that goes with a message: by `sha256` (of the body, base64) whoever knows the secret can tell that
    /// it is ours and whole. LiveKit's form.
    pub fn sign_body(&self, sha256: &str, ttl: Duration, now: SystemTime) -> String {
        let (from, to) = seconds(now, ttl);
        self.signed(&MintedDigest { iss: self.first(), nbf: from, exp: to, sha256 })
    }

    /// A token in the app-server shape.
    pub fn mint_app(&self, token: &AppToken<'_>, ttl: Duration, now: SystemTime) -> String {
        let (from, to) = seconds(now, ttl);
        self.signed(&MintedApp::new(token, self.first(), from, to))
    }

    /// A token with which any number of guests may come to `room`, each under a random identity; `name` (may be
    /// empty) is what the others see.
    pub fn mint_guest(
        &self,
        room: &str,
        name: &str,
        right: GuestRight,
        ttl: Duration,
        now: SystemTime,
    ) -> String {
        let (permissions, roles) = right.claims();
        self.mint_app(&AppToken { room, name, permissions, roles, ..AppToken::default() }, ttl, now)
    }

    fn signed(&self, claims: &impl Serialize) -> String {
        let key = EncodingKey::from_secret(self.0.values().next().map_or(&[][..], String::as_bytes));
        // Fails only for keys of another kind than the algorithm's, and for claims that are no JSON object.
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key).unwrap_or_default()
    }
}

fn seconds(now: SystemTime, ttl: Duration) -> (u64, u64) {
    let from = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    (from, from.saturating_add(ttl.as_secs()))
}

fn part<T: for<'a> Deserialize<'a>>(text: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

fn check_time(claims: &Claims, now: SystemTime) -> Result<(), TokenError> {
    let exp =
        claims.exp.ok_or_else(|| TokenError::Claim("exp is missing: a token must expire".to_owned()))?;
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let leeway = LEEWAY.as_secs_f64();
    // JSON knows neither NaN nor infinity.
    if now > exp + leeway {
        return Err(TokenError::Expired { at: said(exp) });
    }
    match claims.nbf {
        Some(nbf) if now + leeway < nbf => Err(TokenError::NotYet { from: said(nbf) }),
        _ => Ok(()),
    }
}

/// A NumericDate for people.
fn said(seconds: f64) -> String {
    // Saturating; what RFC 3339 cannot say is shown as the number.
    time::OffsetDateTime::from_unix_timestamp(seconds as i64)
        .ok()
        .and_then(|at| at.format(&time::format_description::well_known::Rfc3339).ok())
        .unwrap_or_else(|| format!("{seconds}"))
}
