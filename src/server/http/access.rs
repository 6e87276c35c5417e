//! Who may see and change the box: an admin session's cookie, or a token with the right.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Uri, header};

use super::App;
use super::listener::Via;
use super::refusal::Refusal;
use crate::base::clock;

/// The session's cookie.
pub(super) const COOKIE: &str = "roomd_session";

/// Proof that the request may see and change the box.
pub(super) struct Access {
    /// It came over the loopback listener.
    pub(super) local: bool,
}

impl FromRequestParts<Arc<App>> for Access {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let local = parts.extensions.get::<Via>().is_some_and(|via| via.local);
        if cookies(&parts.headers).any(|secret| app.deps.admin.is_session(secret)) {
            same_origin(parts)?;
            return Ok(Access { local });
        }
        let token = token_of_parts(parts).ok_or_else(|| {
            Refusal::unauthenticated(
                "no admin session: run `roomctl admin-link` on the box and open the link that it prints, or send a \
                 token with roomAdmin or allow_mod",
            )
        })?;
        let grant = app
            .deps
            .keys
            .verify(token, clock::wall())
            .map_err(|error| Refusal::unauthenticated(error.to_string()))?;
        if grant.may_change_box() {
            Ok(Access { local })
        } else {
            Err(Refusal::forbidden(
                "this needs a token with roomAdmin or allow_mod that is not for one room only",
            ))
        }
    }
}

/// The token of a request: `Authorization` with or without `Bearer`, else `?access_token=`.
pub fn token_of_parts(parts: &Parts) -> Option<&str> {
    token_of(&parts.headers, &parts.uri)
}

/// As [`token_of_parts`].
pub fn token_of<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    let authorization =
        headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).map(str::trim);
    let from_header = authorization.map(|value| match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ if value.eq_ignore_ascii_case("bearer") => "",
        _ => value,
    });
    // A JWT has no character that a query would escape.
    let from_query = || uri.query()?.split('&').find_map(|pair| pair.strip_prefix("access_token="));
    from_header.or_else(from_query).filter(|token| !token.is_empty())
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// A cookie comes along by itself, so what changes something must come from the box's own pages: belt to the
/// cookie's SameSite=Strict, which does not tell apart two ports of one host.
fn same_origin(parts: &Parts) -> Result<(), Refusal> {
    if matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let text = |name: header::HeaderName| parts.headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let site = parts.headers.get("sec-fetch-site").map(|value| value.to_str().unwrap_or("?"));
    let secure = parts.extensions.get::<Via>().is_some_and(|via| via.tls);
    let scheme = if secure { "https" } else { "http" };
    let origin_fits = match (text(header::ORIGIN), text(header::HOST)) {
        (Some(origin), Some(host)) => origin.eq_ignore_ascii_case(&format!("{scheme}://{host}")),
        (Some(_), None) => false,
        (None, _) => true,
    };
    if origin_fits && matches!(site, None | Some("same-origin" | "none")) {
        Ok(())
    } else {
        Err(Refusal::forbidden("a request from another site's page"))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn parts(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_token_is_found_in_the_header_with_or_without_bearer_and_in_the_query() {
        for (uri, value, found) in [
            ("/", "Bearer a.b.c", Some("a.b.c")),
            ("/", "bearer  a.b.c ", Some("a.b.c")),
            ("/", "a.b.c", Some("a.b.c")),
            ("/?access_token=q", "a.b.c", Some("a.b.c")),
            ("/?access_token=q", "Bearer ", None),
            ("/", "", None),
        ] {
            assert_eq!(
                token_of_parts(&parts("GET", uri, &[("authorization", value)])),
                found,
                "{uri} {value}"
            );
        }
        assert_eq!(token_of_parts(&parts("GET", "/?a=b&access_token=q.r.s&x", &[])), Some("q.r.s"));
        assert_eq!(token_of_parts(&parts("GET", "/?not_access_token=q", &[])), None);
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let parts =
            parts("GET", "/", &[("cookie", "a=b; roomd_session=x; roomd_session2=y"), ("cookie", "z")]);
        assert_eq!(cookies(&parts.headers).collect::<Vec<_>>(), ["x"]);
    }

    #[test]
    fn what_changes_something_must_come_from_the_boxs_own_page() {
        let post = |headers: &[(&str, &str)]| same_origin(&parts("POST", "/", headers)).is_ok();
        assert!(post(&[]));
        assert!(post(&[("host", "box:1"), ("origin", "http://box:1"), ("sec-fetch-site", "same-origin")]));
        assert!(!post(&[("host", "box:1"), ("origin", "http://box:2")]));
        assert!(!post(&[("host", "box:1"), ("origin", "https://box:1")]));
        assert!(!post(&[("host", "box:1"), ("origin", "null")]));
        assert!(!post(&[("sec-fetch-site", "cross-site")]));
        assert!(!post(&[("sec-fetch-site", "same-site")]));
        assert!(same_origin(&parts("GET", "/", &[("sec-fetch-site", "cross-site")])).is_ok());
    }
}
