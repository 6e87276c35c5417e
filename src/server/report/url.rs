//! Where webhooks go.

use std::fmt;

use axum::http::Uri;
use axum::http::uri::Scheme;

/// Longest URL, in bytes.
const MAX_BYTES: usize = 2048;

/// An `http` or `https` URL. `Debug` and `Display` leave out path and query: they may hold a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl(Uri);

impl WebhookUrl {
    /// What is allowed, for errors.
    pub const ALLOWED: &str = "http://HOST[:PORT]/PATH or https://…, without a user, at most 2048 bytes";

    /// Reads one; None for anything that is not [`WebhookUrl::ALLOWED`].
    pub fn parse(text: &str) -> Option<WebhookUrl> {
        let uri: Uri = text.parse().ok()?;
        let known = matches!(uri.scheme_str(), Some("http" | "https"));
        let host = uri.host().is_some_and(|host| !host.is_empty());
        let user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
        (known && host && !user && text.len() <= MAX_BYTES).then_some(WebhookUrl(uri))
    }

    /// All of it.
    pub fn reveal(&self) -> String {
        self.0.to_string()
    }

    pub(super) fn tls(&self) -> bool {
        self.0.scheme() == Some(&Scheme::HTTPS)
    }

    /// Without the brackets of an IPv6 address.
    pub(super) fn host(&self) -> &str {
        self.0.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    pub(super) fn port(&self) -> u16 {
        self.0.port_u16().unwrap_or(if self.tls() { 443 } else { 80 })
    }

    /// For the `Host` header.
    pub(super) fn authority(&self) -> &str {
        self.0.authority().map_or("", |authority| authority.as_str())
    }

    /// For the request line.
    pub(super) fn path_and_query(&self) -> &str {
        self.0.path_and_query().map_or("/", |path| path.as_str())
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/…", self.0.scheme_str().unwrap_or_default(), self.authority())
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_url_is_taken_apart_and_its_path_is_not_shown() {
        let url = WebhookUrl::parse("https://[::1]:8443/hook?key=SECRET").unwrap();
        assert_eq!((url.tls(), url.host(), url.port()), (true, "::1", 8443));
        assert_eq!((url.authority(), url.path_and_query()), ("[::1]:8443", "/hook?key=SECRET"));
        assert!(!format!("{url} {url:?}").contains("SECRET"));
        let plain = WebhookUrl::parse("http://app.example").unwrap();
        assert_eq!((plain.tls(), plain.port(), plain.path_and_query()), (false, 80, "/"));
        assert_eq!(WebhookUrl::parse(&url.reveal()), Some(url));
        for wrong in
            ["", "app.example", "/hook", "ftp://a/b", "http://", "http://user:pw@host/", "http://a b/"]
        {
            assert!(WebhookUrl::parse(wrong).is_none(), "{wrong}");
        }
        assert!(WebhookUrl::parse(&format!("http://a/{}", "x".repeat(3000))).is_none());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_what_it_takes_it_takes_again(text in "(https?://)?\\PC{0,60}") {
            if let Some(url) = WebhookUrl::parse(&text) {
                let _ = (url.host(), url.port(), url.path_and_query(), url.to_string());
                prop_assert!(WebhookUrl::parse(&url.reveal()).is_some());
            }
        }
    }
}
