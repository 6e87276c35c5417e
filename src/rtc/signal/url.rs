//! The address that a client opens: `wss://host/rtc?…`, LiveKit's first protocol (two peer connections).

/// The protocol version that we speak: two peer connections, the subscriber's primary, leave actions, room ids
/// that come later.
pub const PROTOCOL: u32 = 16;

/// What a client says about itself and what it wants, in the query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectQuery<'a> {
    /// Subscribe to everything that others publish, without asking.
    pub auto_subscribe: bool,
    /// The participant's sid, to go on with a connection that was lost; None to join anew.
    pub resume: Option<&'a str>,
}

/// Why a room server's address cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Not one of the four schemes.
    #[error("the room server's address {0:?} begins with none of ws://, wss://, http://, https://")]
    Scheme(String),
    /// No host after the scheme.
    #[error("the room server's address {0:?} has no host")]
    Host(String),
}

/// A room server's address, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    /// TLS or not.
    pub tls: bool,
    /// Name or address, IPv6 without brackets.
    pub host: String,
    /// The port, 80 or 443 when none was given.
    pub port: u16,
    /// Host and port as written.
    authority: String,
    /// What stands before `/rtc`, without a slash at its end.
    path: String,
}

impl ServerUrl {
    /// Reads `ws://`, `wss://`, `http://` or `https://` addresses; a query and a fragment are dropped.
    ///
    /// # Errors
    /// [`UrlError`] for other schemes and for addresses without a host or with a bad port.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or_else(|| UrlError::Scheme(text.into()))?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "ws" | "http" => false,
            "wss" | "https" => true,
            _ => return Err(UrlError::Scheme(text.into())),
        };
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = split_port(authority).ok_or_else(|| UrlError::Host(text.into()))?;
        if host.is_empty() || host.contains('@') {
            return Err(UrlError::Host(text.into()));
        }
        let port = port.unwrap_or(if tls { 443 } else { 80 });
        let path = path.trim_end_matches('/').trim_end_matches("/rtc").trim_end_matches('/');
        Ok(ServerUrl { tls, host: host.into(), port, authority: authority.into(), path: path.into() })
    }

    /// The address to open. The token is not in it: it goes into a header, so that no log gets it.
    pub fn rtc(&self, query: &ConnectQuery<'_>) -> String {
        let scheme = if self.tls { "wss" } else { "ws" };
        let (authority, path) = (&self.authority, &self.path);
        let auto = u8::from(query.auto_subscribe);
        let mut url = format!(
            "{scheme}://{authority}{path}/rtc?protocol={PROTOCOL}&client_protocol=0&sdk=other&version={}&os=linux\
             &auto_subscribe={auto}&adaptive_stream=0",
            env!("CARGO_PKG_VERSION")
        );
        if let Some(sid) = query.resume {
            // A sid is letters, digits and underscores; anything else would be a server's mischief.
            let sid: String = sid.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            url.push_str(&format!("&reconnect=1&reconnect_reason=1&sid={sid}"));
        }
        url
    }
}

/// Host without brackets, and the port if there is one; None when the port is no number.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        return match after.strip_prefix(':') {
            Some(port) => Some((host, Some(port.parse().ok()?))),
            None => after.is_empty().then_some((host, None)),
        };
    }
    match authority.split_once(':') {
        Some((host, port)) => Some((host, Some(port.parse().ok()?))),
        None => Some((authority, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOIN: ConnectQuery<'static> = ConnectQuery { auto_subscribe: false, resume: None };

    #[test]
    fn all_four_schemes_and_a_path_before_rtc_work() {
        for (text, start) in [
            ("ws://127.0.0.1:7880", "ws://127.0.0.1:7880/rtc?"),
            ("https://live.example.com/", "wss://live.example.com/rtc?"),
            ("http://[::1]:80/a/b/", "ws://[::1]:80/a/b/rtc?"),
            ("wss://x.example/rtc", "wss://x.example/rtc?"),
            ("WSS://x.example?y=1", "wss://x.example/rtc?"),
        ] {
            let url = ServerUrl::parse(text).unwrap().rtc(&JOIN);
            assert!(url.starts_with(start), "{text}: {url}");
        }
        let url = ServerUrl::parse("https://[::1]").unwrap();
        assert_eq!((url.host.as_str(), url.port, url.tls), ("::1", 443, true));
    }

    #[test]
    fn a_resume_names_the_participant() {
        let url = ServerUrl::parse("ws://h").unwrap();
        let query = ConnectQuery { auto_subscribe: false, resume: Some("PA_x&y=1") };
        assert!(url.rtc(&query).ends_with("&reconnect=1&reconnect_reason=1&sid=PA_xy1"));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in
            ["", "127.0.0.1:7880", "ftp://x", "ws://", "ws:///rtc", "ws://h:port", "ws://[::1", "ws://a@b"]
        {
            assert!(ServerUrl::parse(bad).is_err(), "{bad}");
        }
    }
}
