//! Where a job sends something, or asks for it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Longest URL, in bytes.
const MAX_URL: usize = 2048;

/// An `https` URL whose path may be a secret (a presigned one is): neither `Debug` nor `Display` show more than its host.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("format" = "uri", "pattern" = "^https://"))]
pub struct HttpsUrl {
    host: String,
    port: u16,
    /// As in the `Host` header.
    authority: String,
    /// Begins with a slash.
    path_and_query: String,
}

impl HttpsUrl {
    /// What is allowed, for errors.
    pub const ALLOWED: &str = "https://HOST[:PORT]/PATH, without a user, at most 2048 bytes";

    /// Reads one; None for anything that is not [`HttpsUrl::ALLOWED`].
    pub fn parse(text: &str) -> Option<HttpsUrl> {
        let rest = text.strip_prefix("https://")?;
        if text.len() > MAX_URL || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (host, port) = match authority.strip_prefix('[') {
            Some(v6) => {
                let (host, port) = v6.split_once(']')?;
                host.parse::<std::net::Ipv6Addr>().ok()?;
                (host, port.strip_prefix(':').or(port.is_empty().then_some("443"))?)
            }
            None => authority.split_once(':').unwrap_or((authority, "443")),
        };
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
        let port = port.parse().ok().filter(|port| *port > 0)?;
        let path = path.split('#').next().unwrap_or_default();
        let slash = if path.starts_with('/') { "" } else { "/" };
        (!host.is_empty() && host.bytes().all(fits)).then(|| HttpsUrl {
            host: host.to_owned(),
            port,
            authority: authority.to_owned(),
            path_and_query: format!("{slash}{path}"),
        })
    }

    /// Name or address, IPv6 without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// 1 to 65535.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// For the `Host` header.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// For the request line; secret.
    pub fn path_and_query(&self) -> &str {
        &self.path_and_query
    }
}

impl TryFrom<String> for HttpsUrl {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        HttpsUrl::parse(&text).ok_or_else(|| format!("url: allowed is {}", HttpsUrl::ALLOWED))
    }
}

impl From<HttpsUrl> for String {
    fn from(url: HttpsUrl) -> String {
        format!("https://{}{}", url.authority, url.path_and_query)
    }
}

impl fmt::Display for HttpsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}/…", self.authority)
    }
}

impl fmt::Debug for HttpsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
