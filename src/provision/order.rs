//! `roomd-provision.json`: where the box is to enrol, and the right to do so once.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use axum::http::Uri;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;

use super::Error;
use crate::control::topics::check_name;

/// Where the file is looked for, in this order; the first one found counts.
pub const PLACES: [&str; 3] =
    ["/boot/firmware/roomd-provision.json", "/boot/roomd-provision.json", "/etc/roomd/roomd-provision.json"];

/// Largest file, in bytes.
const FILE_BYTES: u64 = 64 * 1024;
/// Longest token, in characters.
const TOKEN_CHARACTERS: usize = 1024;

/// The file that counts: `given`, else the first of [`PLACES`] that is there.
///
/// # Errors
/// [`Error::NoFile`].
pub fn find(given: Option<&Path>) -> Result<PathBuf, Error> {
    match given {
        Some(path) if path.exists() => Ok(path.to_owned()),
        Some(path) => Err(Error::NoFile { looked: path.display().to_string() }),
        None => {
            let found = PLACES.iter().map(PathBuf::from).find(|path| path.exists());
            found.ok_or_else(|| Error::NoFile { looked: PLACES.join(", ") })
        }
    }
}

/// A checked `roomd-provision.json`.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) url: EnrollUrl,
    pub(super) token: Token,
    pub(super) fleet: String,
    pub(super) name: Option<String>,
    /// PEM: the only authority that the enrolment server is trusted by; None: the public web's.
    pub(super) ca: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    enroll_url: String,
    token: String,
    fleet: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    ca: Option<String>,
}

/// The single-use token. Shown by nothing.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(secret)")
    }
}

impl Token {
    /// It itself, for the server alone.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }

    /// A name for it that gives nothing away: 16 hexadecimal digits.
    pub(super) fn label(&self) -> String {
        sha256_hex(self.0.as_bytes()).chars().take(16).collect()
    }
}

/// Lower-case hexadecimal SHA-256.
pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What lies in the file's place.
pub(super) enum Found {
    /// An order.
    Order(Box<Order>),
    /// Nothing but zeros: it was being erased when the power failed.
    Erased,
}

/// Reads and checks the file.
pub(super) fn read(path: &Path) -> Result<Found, Error> {
    let bad = |reason: String| Error::File { path: path.to_owned(), reason };
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| bad(format!("cannot be read: {error}")))?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err(bad(format!("larger than {FILE_BYTES} bytes")));
    }
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok(Found::Erased);
    }
    parse(&bytes).map(|order| Found::Order(Box::new(order))).map_err(bad)
}

/// Reads and checks the file's content; the error quotes nothing that may be the token.
pub(super) fn parse(bytes: &[u8]) -> Result<Order, String> {
    // Windows editors begin with a byte order mark.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let file: File = serde_json::from_slice(bytes).map_err(|error| {
        let text = error.to_string();
        // The names of fields may be told, values not.
        let known = ["missing field", "unknown field", "duplicate field", "EOF"];
        let told = if known.iter().any(|word| text.starts_with(word)) { text } else { place(&error) };
        format!("not {{enroll_url, token, fleet, name?, ca?}}, all texts: {told}")
    })?;
    let url = EnrollUrl::parse(&file.enroll_url)
        .ok_or("enroll_url: allowed is https://HOST[:PORT]/PATH, without a user, at most 2048 bytes")?;
    let fits = |text: &str| {
        (1..=TOKEN_CHARACTERS).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
    };
    if !fits(&file.token) {
        return Err(format!(
            "token: allowed are 1 to {TOKEN_CHARACTERS} printable ASCII characters without spaces"
        ));
    }
    check_name("fleet", &file.fleet).map_err(|error| error.to_string())?;
    if file.name.as_ref().is_some_and(|name| !name_fits(name)) {
        return Err("name: allowed are 1 to 64 characters, no control characters".to_owned());
    }
    if let Some(pem) = &file.ca {
        let first = CertificateDer::pem_slice_iter(pem.as_bytes()).next();
        first.and_then(Result::ok).ok_or("ca: not a certificate in PEM (with \\n for its line ends)")?;
    }
    Ok(Order { url, token: Token(file.token), fleet: file.fleet, name: file.name, ca: file.ca })
}

fn place(error: &serde_json::Error) -> String {
    format!("line {}, column {}", error.line(), error.column())
}

/// Whether `name` can be a box's, for people.
pub(super) fn name_fits(name: &str) -> bool {
    (1..=64).contains(&name.chars().count()) && !name.chars().any(char::is_control)
}

/// An `https` URL. `Debug` and `Display` show its host and port only: the rest may be a secret.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct EnrollUrl(Uri);

impl EnrollUrl {
    pub(super) fn parse(text: &str) -> Option<EnrollUrl> {
        let uri: Uri = text.parse().ok()?;
        let authority = uri.authority()?;
        let fits = uri.scheme_str() == Some("https") && !authority.as_str().contains('@');
        (fits && !authority.host().is_empty() && text.len() <= 2048).then_some(EnrollUrl(uri))
    }

    /// Without the brackets of an IPv6 address.
    pub(super) fn host(&self) -> &str {
        self.0.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    pub(super) fn port(&self) -> u16 {
        self.0.port_u16().unwrap_or(443)
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

impl fmt::Display for EnrollUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0.host().unwrap_or_default(), self.port())
    }
}

impl fmt::Debug for EnrollUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn good() -> Value {
        json!({"enroll_url": "https://enrol.example/v1", "token": "s3cret", "fleet": "default"})
    }

    #[test]
    fn a_file_is_read_and_shows_no_secret() {
        let order = parse(format!("\u{feff}{}", good()).as_bytes()).unwrap();
        assert_eq!(
            (order.url.host(), order.url.port(), order.url.path_and_query()),
            ("enrol.example", 443, "/v1")
        );
        assert!(!format!("{order:?}").contains("s3cret"));
        assert_eq!(order.token.label().len(), 16);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_without_its_token() {
        for (key, value, word) in [
            ("enroll_url", json!("http://enrol.example/"), "https://"),
            ("enroll_url", json!("https://me:s3cret@enrol.example/"), "without a user"),
            ("token", json!(""), "token"),
            ("token", json!("s3cret with spaces"), "token"),
            ("token", json!({"s3cret": 1}), "line 1"),
            ("fleet", json!("a/b"), "fleet"),
            ("name", json!("x".repeat(65)), "name"),
            ("ca", json!("s3cret"), "PEM"),
            ("colour", json!("red"), "unknown field `colour`"),
        ] {
            let mut file = good();
            file[key] = value;
            let error = parse(file.to_string().as_bytes()).unwrap_err();
            assert!(error.contains(word) && !error.contains("s3cret"), "{key}: {error}");
        }
        for (text, word) in
            [("", "EOF"), ("{}", "missing field `enroll_url`"), ("[1]", "line 1"), ("{\"a", "EOF")]
        {
            assert!(parse(text.as_bytes()).unwrap_err().contains(word), "{text}");
        }
    }

    #[test]
    fn a_file_of_zeros_was_erased_and_a_huge_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("roomd-provision.json");
        std::fs::write(&path, [0; 200]).unwrap();
        assert!(matches!(read(&path), Ok(Found::Erased)));
        std::fs::write(&path, vec![b' '; 70_000]).unwrap();
        assert!(read(&path).err().unwrap().to_string().contains("larger than 65536"));
        assert!(find(Some(&dir.path().join("none"))).unwrap_err().is_final());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, url in "(https://)?\\PC{0,40}") {
            let _ = parse(&bytes);
            let mut file = good();
            file["enroll_url"] = json!(url);
            if let Ok(order) = parse(file.to_string().as_bytes()) {
                prop_assert!(!order.url.host().is_empty());
            }
        }
    }
}
