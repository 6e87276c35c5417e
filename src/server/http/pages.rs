//! The pages of `web/`, embedded in the binary (debug builds read them from the disk).

use std::borrow::Cow;
use std::io::Read;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::refusal::Refusal;

/// `web/dist`, whose scripts and styles are gzip (`web/pack.mjs`). Debug builds do without it; the build script refuses release builds without it.
#[derive(RustEmbed)]
#[folder = "web/dist"]
#[cfg_attr(debug_assertions, allow_missing = true)]
struct Dist;

const NOT_BUILT: &str = "<!doctype html><title>roomd</title><p>The pages are not built: run \
     <code>npm ci &amp;&amp; npm run build</code> in <code>web/</code>, then reload.";

/// `GET /`.
pub(super) async fn index(headers: HeaderMap) -> Response<Body> {
    page("index.html", &headers)
}

/// `GET /rooms/{room}`.
pub(super) async fn room(headers: HeaderMap) -> Response<Body> {
    page("room.html", &headers)
}

fn page(name: &str, headers: &HeaderMap) -> Response<Body> {
    match find(name) {
        Some(found) => answer(name, found, headers),
        None => (StatusCode::SERVICE_UNAVAILABLE, Html(NOT_BUILT)).into_response(),
    }
}

/// Every other path: a file of `web/dist`, or 404.
pub(super) async fn asset(method: Method, uri: Uri, headers: HeaderMap) -> Response<Body> {
    let name = uri.path().trim_start_matches('/');
    if !matches!(method, Method::GET | Method::HEAD) || name.contains("..") {
        return Refusal::not_found("no such path").into_response();
    }
    match find(name) {
        Some(found) => answer(name, found, &headers),
        None => Refusal::not_found("no such path").into_response(),
    }
}

/// A file as it is kept.
struct Found {
    data: Cow<'static, [u8]>,
    /// SHA-256.
    hash: [u8; 32],
    /// It is gzip.
    packed: bool,
}

fn find(name: &str) -> Option<Found> {
    let found = |packed| {
        move |file: EmbeddedFile| Found { hash: file.metadata.sha256_hash(), data: file.data, packed }
    };
    let packed = || Dist::get(&format!("{name}.gz")).map(found(true));
    Dist::get(name).map(found(false)).or_else(packed)
}

/// Names of Vite's assets hold a hash of their content: they never change. The rest is asked for again.
fn answer(name: &str, found: Found, headers: &HeaderMap) -> Response<Body> {
    let immutable = name.starts_with("assets/");
    let caching = if immutable { "public, max-age=31536000, immutable" } else { "no-cache" };
    let Found { data, hash, packed } = found;
    let as_it_is = packed && takes_gzip(headers);
    let hash: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    // What is sent otherwise is another thing (RFC 9110 §8.8.3).
    let tag = format!("\"{hash}{}\"", if packed && !as_it_is { "-plain" } else { "" });
    let same = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|known| known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag));
    let common = [
        (header::CACHE_CONTROL, caching.to_owned()),
        (header::ETAG, tag),
        (header::VARY, "accept-encoding".to_owned()),
    ];
    if same {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    let kind = [(header::CONTENT_TYPE, kind(name))];
    if as_it_is {
        return (common, kind, [(header::CONTENT_ENCODING, "gzip")], data.into_owned()).into_response();
    }
    match if packed { unpacked(&data) } else { Ok(data) } {
        Ok(data) => (common, kind, data.into_owned()).into_response(),
        Err(_) => Refusal::not_found("no such path").into_response(),
    }
}

fn kind(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

/// `Accept-Encoding` (RFC 9110 §12.5.3); every browser's holds gzip.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let given = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    given.flat_map(|value| value.split(',')).any(|one| {
        let mut words = one.split(';').map(str::trim);
        let named = words.next().is_some_and(|coding| coding.eq_ignore_ascii_case("gzip") || coding == "*");
        let refused = words.filter_map(|word| word.strip_prefix("q=")).any(|q| q.parse() == Ok(0.0));
        named && !refused
    })
}

/// For who takes no gzip.
fn unpacked(gzip: &[u8]) -> std::io::Result<Cow<'static, [u8]>> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(gzip).read_to_end(&mut plain)?;
    Ok(Cow::Owned(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(accept: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT_ENCODING, accept.parse().unwrap())])
    }

    async fn sent(accept: &str) -> (HeaderMap, Vec<u8>) {
        let mut packed = flate2::read::GzEncoder::new(b"let a = 1;".as_slice(), flate2::Compression::best());
        let mut data = Vec::new();
        packed.read_to_end(&mut data).unwrap();
        let found = Found { data: Cow::Owned(data), hash: [7; 32], packed: true };
        let response = answer("assets/a.js", found, &asks(accept));
        let headers = response.headers().clone();
        (headers, axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec())
    }

    #[tokio::test]
    async fn a_packed_file_goes_out_as_it_is_to_who_takes_gzip_and_unpacked_to_others() {
        let (headers, body) = sent("br, gzip;q=0.8").await;
        assert_eq!(headers[header::CONTENT_ENCODING], "gzip");
        assert_eq!(headers[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
        assert_eq!(unpacked(&body).unwrap().as_ref(), b"let a = 1;");
        let (plain, body) = sent("br, gzip;q=0").await;
        assert_eq!((plain.get(header::CONTENT_ENCODING), body.as_slice()), (None, b"let a = 1;".as_slice()));
        assert_ne!(plain[header::ETAG], headers[header::ETAG]);
        assert!([plain, headers].iter().all(|headers| headers[header::VARY] == "accept-encoding"));
        assert!(takes_gzip(&asks("*")) && takes_gzip(&asks("GZIP")) && !takes_gzip(&asks("")));
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
