//! Settings, and the way from a URL to a connection's options.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;

use super::Error;

/// How to reach a broker and prove who we are; for the box and for `roomctl`.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Where.
    pub endpoint: Endpoint,
    /// MQTT client id; must be unique at the broker. Empty, for a box: its id.
    pub client_id: String,
    /// User name; with a `jwt_file` and none given the client id is sent.
    pub username: Option<String>,
    /// Its first line is the password.
    pub password_file: Option<PathBuf>,
    /// A JWT sent as the password. Read again at each connect: whoever writes it renews it.
    pub jwt_file: Option<PathBuf>,
    /// PEM; absent: the public web's authorities.
    pub ca_file: Option<PathBuf>,
    /// PEM, for a client certificate; together with `key_file`.
    pub cert_file: Option<PathBuf>,
    /// PEM.
    pub key_file: Option<PathBuf>,
}

/// Settings of the bridge.
#[derive(Clone, Debug)]
pub struct Config {
    /// The broker.
    pub access: Access,
    /// First level of the box's topics.
    pub fleet: String,
    /// The box's id, its second.
    pub box_id: String,
    /// Names this run of the process, so that a late last will can be told from a new one.
    pub boot_id: String,
    /// Who may command; empty: whoever the broker lets through. May change at any time.
    pub issuers: watch::Receiver<Vec<String>>,
    /// How long the broker waits before it publishes the last will, in seconds; a short break stays unseen.
    pub will_delay_s: u32,
    /// After a silence of this length the broker must prove that it still delivers; see `watchdog`.
    pub probe_after: Duration,
    /// How long the line may be silent before the broker is asked whether it is there, in seconds. A connection that is
    /// half open is noticed after twice as long.
    pub keep_alive_s: u16,
    /// Longest delay after the first attempt at the process's start has failed, and longest of all.
    pub reconnect: (Duration, Duration),
    /// How often `access.jwt_file` is looked at.
    pub token_look: Duration,
    /// Longest delay of the first attempt after a connection was lost: the whole fleet may have lost it.
    pub reconnect_spread: Duration,
}

impl Config {
    /// The contract's settings for this box at this broker.
    pub fn new(access: Access, fleet: &str, box_id: &str, boot_id: &str) -> Self {
        Config {
            access,
            fleet: fleet.to_owned(),
            box_id: box_id.to_owned(),
            boot_id: boot_id.to_owned(),
            issuers: watch::channel(Vec::new()).1,
            will_delay_s: 15,
            probe_after: Duration::from_secs(60),
            keep_alive_s: 20,
            reconnect: (Duration::from_secs(1), Duration::from_secs(60)),
            token_look: Duration::from_secs(10),
            reconnect_spread: Duration::from_secs(20),
        }
    }
}

/// A broker's address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// Host name or address; IPv6 without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether TLS is spoken.
    pub tls: bool,
}

impl Endpoint {
    /// Reads `mqtt://host[:port]` (1883) or `mqtts://host[:port]` (8883). The error never repeats the URL: people
    /// put passwords into URLs.
    ///
    /// # Errors
    /// [`Error::Url`].
    pub fn parse(url: &str) -> Result<Endpoint, Error> {
        let bad = |reason| Error::Url { reason };
        let (rest, tls, default_port) = if let Some(rest) = url.strip_prefix("mqtt://") {
            (rest, false, 1883)
        } else if let Some(rest) = url.strip_prefix("mqtts://") {
            (rest, true, 8883)
        } else {
            return Err(bad("unknown scheme"));
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains('@') {
            return Err(bad("it holds a user or a password (use username and password_file)"));
        }
        let (host, port) = match rest.strip_prefix('[') {
            Some(v6) => {
                let (host, after) = v6.split_once(']').ok_or(bad("unclosed ["))?;
                (host, after.strip_prefix(':'))
            }
            None => match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if host.is_empty() || !host.chars().all(allowed) {
            return Err(bad("not a host name or address"));
        }
        let port = port.map_or(Ok(default_port), str::parse).map_err(|_| bad("not a port"))?;
        Ok(Endpoint { host: host.to_owned(), port, tls })
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        write!(f, "{scheme}://{open}{}{close}:{}", self.host, self.port)
    }
}

impl Access {
    /// User name and password as they stand in the files now.
    pub(super) fn credentials(&self) -> Result<Option<(String, Vec<u8>)>, Error> {
        let secret = match (&self.jwt_file, &self.password_file) {
            (Some(path), _) => Some(first_line("jwt_file", path)?),
            (None, Some(path)) => Some(first_line("password_file", path)?),
            (None, None) => None,
        };
        let user = self.username.clone().filter(|name| !name.is_empty());
        Ok(match (user, secret) {
            (None, None) => None,
            (user, secret) => {
                Some((user.unwrap_or_else(|| self.client_id.clone()), secret.unwrap_or_default()))
            }
        })
    }
}

pub(super) fn first_line(key: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    let content = read(key, path)?;
    Ok(content.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii().to_vec())
}

pub(super) fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::File { key, path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_errors_do_not_repeat_them() {
        let plain = Endpoint { host: "broker.lan".into(), port: 1883, tls: false };
        assert_eq!(Endpoint::parse("mqtt://broker.lan").unwrap(), plain);
        let tls = Endpoint { host: "::1".into(), port: 8884, tls: true };
        assert_eq!(Endpoint::parse("mqtts://[::1]:8884/").unwrap(), tls);
        assert_eq!(tls.to_string(), "mqtts://[::1]:8884");
        for bad in [
            "",
            "broker",
            "http://x",
            "mqtt://",
            "mqtt://:1",
            "mqtt://h:x",
            "mqtt://h:70000",
            "mqtt://me:s3cret@h",
            "mqtt://h/s3cret",
            "mqtts://[::1",
        ] {
            let error = Endpoint::parse(bad).unwrap_err().to_string();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn secrets_are_read_anew_each_time_and_a_missing_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("jwt");
        let access = Access { client_id: "box1".into(), jwt_file: Some(file.clone()), ..Access::default() };
        assert!(access.credentials().unwrap_err().to_string().contains("jwt_file"));
        for token in ["one", "two"] {
            std::fs::write(&file, format!("{token}\n")).unwrap();
            let expected = ("box1".to_owned(), token.as_bytes().to_vec());
            assert_eq!(access.credentials().unwrap(), Some(expected));
        }
        assert_eq!(Access::default().credentials().unwrap(), None);
    }
}
