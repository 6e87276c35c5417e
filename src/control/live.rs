//! `live.set`: where the box's stream shall go.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Destinations that the box pushes to at once.
pub const MAX_OUTPUTS: usize = 8;
/// Longest URL and longest stream key, in bytes.
const MAX_TEXT: usize = 512;

/// Parameters of `live.set`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LiveSet {
    /// Whether the stream shall go live.
    pub on: bool,
    /// What is shown.
    #[serde(default)]
    pub source: LiveSource,
    /// Where to, 1 to [`MAX_OUTPUTS`]; absent: as it is when it is live already, else the configured destinations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Vec<Output>>,
    /// How a room is composed; without effect on the box's own stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<serde_json::Map<String, serde_json::Value>>,
}

/// What goes live. (Rooms come with composing.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LiveSource {
    /// The box's own camera and microphone.
    #[default]
    Box,
}

/// One destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The server and its application.
    pub url: LiveUrl,
    /// What lets one publish there.
    #[serde(rename = "streamKey")]
    pub key: StreamKey,
}

impl LiveSet {
    /// Checks what serde does not.
    pub(super) fn checked(self) -> Result<LiveSet, String> {
        let Some(outputs) = &self.outputs else { return Ok(self) };
        if outputs.is_empty() || outputs.len() > MAX_OUTPUTS {
            return Err(format!("outputs: {} given, 1 to {MAX_OUTPUTS} are allowed", outputs.len()));
        }
        let twice =
            outputs.iter().enumerate().find(|(at, output)| outputs.iter().take(*at).any(|o| o == *output));
        match twice {
            Some((_, output)) => Err(format!("outputs: {} is given twice with the same key", output.url)),
            None => Ok(self),
        }
    }
}

/// What is wrong with a [`LiveUrl`] or a [`StreamKey`]. Never quotes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OutputError(&'static str);

/// `rtmp://HOST[:PORT]/APP` or `rtmps://…`, without any secret in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct LiveUrl {
    tls: bool,
    host: String,
    port: u16,
    app: String,
}

impl LiveUrl {
    /// Reads one. The port is 1935, for `rtmps` 443, if none is given.
    ///
    /// # Errors
    /// [`OutputError`] says what is allowed; secrets (a user, a query) are not: they belong to the key.
    pub fn parse(text: &str) -> Result<LiveUrl, OutputError> {
        let bad = Err(OutputError("url: allowed is rtmp://HOST[:PORT]/APP or rtmps://HOST[:PORT]/APP"));
        let (tls, rest) = match (text.strip_prefix("rtmp://"), text.strip_prefix("rtmps://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return bad,
        };
        if text.len() > MAX_TEXT || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return bad;
        }
        let Some((authority, path)) = rest.split_once('/') else { return bad };
        if authority.contains('@') || rest.contains(['?', '#']) {
            return Err(OutputError(
                "url: no user, '?' or '#' in it: what is secret belongs into the stream key",
            ));
        }
        let Some((host, port)) = host_and_port(authority) else { return bad };
        let Ok(port) = port.map_or(Ok(if tls { 443 } else { 1935 }), str::parse) else { return bad };
        let app = path.trim_matches('/');
        if app.is_empty() || port == 0 {
            return bad;
        }
        Ok(LiveUrl { tls, host: host.to_owned(), port, app: app.to_owned() })
    }

    /// Whether the connection is encrypted.
    pub fn tls(&self) -> bool {
        self.tls
    }

    /// A name or an address, IPv6 without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// 1 to 65535.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The application: the path without slashes around it.
    pub fn app(&self) -> &str {
        &self.app
    }
}

/// Host and port of `host`, `host:port`, `[v6]` or `[v6]:port`.
fn host_and_port(authority: &str) -> Option<(&str, Option<&str>)> {
    let (host, rest) = match authority.strip_prefix('[') {
        Some(v6) => {
            let (host, rest) = v6.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, rest)
        }
        None => {
            let (host, rest) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
            (!host.is_empty() && host.bytes().all(fits)).then_some(())?;
            (host, rest)
        }
    };
    match rest {
        "" => Some((host, None)),
        _ => rest.strip_prefix(':').map(|port| (host, Some(port))),
    }
}

impl fmt::Display for LiveUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, usual) = if self.tls { ("rtmps", 443) } else { ("rtmp", 1935) };
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{scheme}://{open}{}{close}", self.host)?;
        if self.port != usual {
            write!(f, ":{}", self.port)?;
        }
        write!(f, "/{}", self.app)
    }
}

impl TryFrom<String> for LiveUrl {
    type Error = OutputError;
    fn try_from(text: String) -> Result<Self, OutputError> {
        LiveUrl::parse(&text)
    }
}

impl From<LiveUrl> for String {
    fn from(url: LiveUrl) -> String {
        url.to_string()
    }
}

/// A stream key. `Debug` does not show it; it is only written into the database.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct StreamKey(String);

impl StreamKey {
    /// Takes one, without the white space around it.
    ///
    /// # Errors
    /// [`OutputError`]: empty, too long, or more than one line.
    pub fn parse(text: &str) -> Result<StreamKey, OutputError> {
        let key = text.trim();
        let fits = (1..=MAX_TEXT).contains(&key.len()) && !key.chars().any(char::is_control);
        fits.then(|| StreamKey(key.to_owned()))
            .ok_or(OutputError("streamKey: allowed is one line of 1 to 512 bytes"))
    }

    /// The key itself, for the wire.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl TryFrom<String> for StreamKey {
    type Error = OutputError;
    fn try_from(text: String) -> Result<Self, OutputError> {
        StreamKey::parse(&text)
    }
}

impl From<StreamKey> for String {
    fn from(key: StreamKey) -> String {
        key.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_with_their_usual_ports_and_shown_as_short_as_possible() {
        for (text, host, port, app, shown) in [
            ("rtmp://a.example/live", "a.example", 1935, "live", "rtmp://a.example/live"),
            ("rtmps://a.example/live2/", "a.example", 443, "live2", "rtmps://a.example/live2"),
            ("rtmp://10.0.0.1:1936/a/b", "10.0.0.1", 1936, "a/b", "rtmp://10.0.0.1:1936/a/b"),
            ("rtmps://[::1]:443/x", "::1", 443, "x", "rtmps://[::1]/x"),
        ] {
            let url = LiveUrl::parse(text).unwrap();
            assert_eq!((url.host(), url.port(), url.app()), (host, port, app), "{text}");
            assert_eq!(url.to_string(), shown);
            assert_eq!(LiveUrl::parse(shown), Ok(url));
        }
    }

    #[test]
    fn other_urls_and_secrets_in_urls_are_refused() {
        for bad in [
            "",
            "http://a/live",
            "rtmp://",
            "rtmp://a",
            "rtmp://a/",
            "rtmp:///live",
            "rtmp://a:/live",
            "rtmp://a:0/live",
            "rtmp://a:70000/live",
            "rtmp://[::1/live",
            "rtmp://[x]/live",
            "rtmp://a b/live",
            "rtmp://user:pw@a/live",
            "rtmp://a/live?key=1",
            "rtmp://a/li\nve",
        ] {
            let error = LiveUrl::parse(bad).unwrap_err().to_string();
            assert!(error.starts_with("url: ") && !error.contains("pw"), "{bad}: {error}");
        }
    }

    #[test]
    fn a_key_is_one_line_and_never_shown() {
        let key = StreamKey::parse(" abc?x=1\n").unwrap();
        assert_eq!((key.reveal(), format!("{key:?}").as_str()), ("abc?x=1", "(secret)"));
        assert!(StreamKey::parse(" ").is_err() && StreamKey::parse("a\nb").is_err());
        assert!(StreamKey::parse(&"x".repeat(513)).is_err());
    }
}
