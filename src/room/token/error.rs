//! What can be wrong with keys and tokens. No message holds a secret or a token.

/// Why a token is refused. Safe to show to whoever sent it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// There is none.
    #[error("no token: send `Authorization: Bearer <jwt>` or `?access_token=`")]
    Missing,
    /// It is not a JWT.
    #[error("not a JWT: {0}")]
    Malformed(&'static str),
    /// `alg` is `none`, or there is no signature.
    #[error("the token is unsigned; it must be signed with HS256")]
    Unsigned,
    /// Signed, but not with HS256.
    #[error("the token is signed with {found:?}; only HS256 is accepted")]
    Algorithm {
        /// The header's `alg`, cut to 16 characters.
        found: String,
    },
    /// No key of this name.
    #[error("the token's key {key:?} is not known here")]
    UnknownKey {
        /// `iss` or `apikey`, cut to 64 characters.
        key: String,
    },
    /// The signature was not made with this key's secret.
    #[error("the token's signature does not fit the key {key:?}")]
    Signature {
        /// The key's name.
        key: String,
    },
    /// Properly signed, but a claim is missing or has the wrong type.
    #[error("claim {0}")]
    Claim(String),
    /// Too old.
    #[error("the token expired at {at}")]
    Expired {
        /// `exp`, RFC 3339.
        at: String,
    },
    /// Too young.
    #[error("the token is not valid before {from} (is this machine's clock right?)")]
    NotYet {
        /// `nbf`, RFC 3339.
        from: String,
    },
}

/// Why the text of a keys file is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// Not the expected TOML.
    #[error("line {line}: {reason}; expected a table [keys] of lines: name = \"secret\"")]
    Syntax {
        /// Line, from 1; 0 when the parser does not say.
        line: usize,
        /// The parser's words, without the line's text.
        reason: String,
    },
    /// Nothing in the table.
    #[error("[keys] is empty; it needs at least one line: name = \"secret\"")]
    Empty,
    /// A name that cannot stand in a token.
    #[error("key {name:?}: a name has 1 to 64 characters, without control characters")]
    Name {
        /// The name, cut to 64 characters.
        name: String,
    },
    /// A secret that can be guessed.
    #[error("key {name:?}: its secret has {found} characters; at least 32 are needed")]
    ShortSecret {
        /// The key's name.
        name: String,
        /// Characters found.
        found: usize,
    },
}
