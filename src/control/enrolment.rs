//! Where a box is to enrol, and the right to do so once: what `roomd-provision.json` says, and the job `reprovision`.

use std::fmt;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::https_url::HttpsUrl;
use super::topics::check_name;

/// Longest token, in characters.
const TOKEN_CHARACTERS: usize = 1024;

/// A checked order; written as JSON it is a `roomd-provision.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct EnrolmentOrder {
    /// The enrolment server.
    pub enroll_url: HttpsUrl,
    /// The right to enrol one box once; a secret.
    pub token: EnrolmentToken,
    /// The fleet that the box is to join: 1 to 64 of `A-Z a-z 0-9 _ - .`.
    pub fleet: String,
    /// What people call the box: 1 to 64 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// PEM: the only authority that the enrolment server is trusted by; None: the public web's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}

/// As it is written; what kind of value each is, is looked at later, because serde's errors quote values.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    enroll_url: Value,
    token: Value,
    fleet: Value,
    #[serde(default)]
    name: Option<Value>,
    #[serde(default)]
    ca: Option<Value>,
}

/// The single-use token: 1 to 1024 printable ASCII characters. Shown by nothing, written only into orders.
#[derive(Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct EnrolmentToken(String);

impl fmt::Debug for EnrolmentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnrolmentToken(secret)")
    }
}

impl EnrolmentToken {
    /// It itself, for the server alone.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// A name for it that gives nothing away: 16 hexadecimal digits.
    pub fn label(&self) -> String {
        sha256_hex(self.0.as_bytes()).chars().take(16).collect()
    }
}

/// Lower-case hexadecimal SHA-256.
pub fn sha256_hex(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl EnrolmentOrder {
    /// Reads and checks one.
    ///
    /// # Errors
    /// For people: the field, and what is allowed. It quotes nothing that may be the token.
    pub fn parse(bytes: &[u8]) -> Result<EnrolmentOrder, String> {
        let fields: Fields = serde_json::from_slice(bytes).map_err(|error| {
            let text = error.to_string();
            // The names of fields may be told, values not.
            let known = ["missing field", "unknown field", "duplicate field", "EOF"];
            let told = match known.iter().any(|word| text.starts_with(word)) {
                true => text.chars().take(200).collect(),
                false => format!("line {}, column {}", error.line(), error.column()),
            };
            format!("not {{enroll_url, token, fleet, name?, ca?}}, all texts: {told}")
        })?;
        let enroll_url = HttpsUrl::parse(&text("enroll_url", fields.enroll_url)?)
            .ok_or_else(|| format!("enroll_url: allowed is {}", HttpsUrl::ALLOWED))?;
        let token = text("token", fields.token)?;
        let fits =
            (1..=TOKEN_CHARACTERS).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic());
        if !fits {
            let allowed = format!("1 to {TOKEN_CHARACTERS} printable ASCII characters without spaces");
            return Err(format!("token: allowed are {allowed}"));
        }
        let fleet = text("fleet", fields.fleet)?;
        check_name("fleet", &fleet).map_err(|error| error.to_string())?;
        let name = fields.name.map(|name| text("name", name)).transpose()?;
        if name.as_ref().is_some_and(|name| !name_fits(name)) {
            return Err("name: allowed are 1 to 64 characters, no control characters".to_owned());
        }
        let ca = fields.ca.map(|ca| text("ca", ca)).transpose()?;
        if let Some(pem) = &ca {
            let first = CertificateDer::pem_slice_iter(pem.as_bytes()).next();
            first.and_then(Result::ok).ok_or("ca: not a certificate in PEM (with \\n for its line ends)")?;
        }
        Ok(EnrolmentOrder { enroll_url, token: EnrolmentToken(token), fleet, name, ca })
    }

    /// `host:port` of the server, for errors.
    pub fn server(&self) -> String {
        format!("{}:{}", self.enroll_url.host(), self.enroll_url.port())
    }
}

fn text(field: &str, value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(format!("{field}: a text is wanted")),
    }
}

/// Whether `name` can be a box's, for people.
pub fn name_fits(name: &str) -> bool {
    (1..=64).contains(&name.chars().count()) && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn good() -> Value {
        json!({"enroll_url": "https://enrol.example/v1", "token": "s3cret", "fleet": "default"})
    }

    #[test]
    fn an_order_is_read_shows_no_secret_and_is_written_as_it_came() {
        let order = EnrolmentOrder::parse(good().to_string().as_bytes()).unwrap();
        assert_eq!(
            (order.server().as_str(), order.enroll_url.path_and_query()),
            ("enrol.example:443", "/v1")
        );
        assert!(!format!("{order:?}").contains("s3cret"));
        assert_eq!(order.token.label().len(), 16);
        assert_eq!(json!(order), good());
    }

    #[test]
    fn what_is_wrong_with_an_order_is_said_without_its_token() {
        for (key, value, word) in [
            ("enroll_url", json!("http://enrol.example/"), "https://"),
            ("enroll_url", json!("https://me:s3cret@enrol.example/"), "without a user"),
            ("token", json!(""), "token"),
            ("token", json!("s3cret with spaces"), "token"),
            ("token", json!({"s3cret": 1}), "token: a text"),
            ("fleet", json!("a/b"), "fleet"),
            ("name", json!("x".repeat(65)), "name"),
            ("ca", json!("s3cret"), "PEM"),
            ("ca", json!(["s3cret"]), "ca: a text"),
            ("colour", json!("red"), "unknown field `colour`"),
        ] {
            let mut order = good();
            order[key] = value;
            let error = EnrolmentOrder::parse(order.to_string().as_bytes()).unwrap_err();
            assert!(error.contains(word) && !error.contains("s3cret"), "{key}: {error}");
        }
        for (text, word) in
            [("", "EOF"), ("{}", "missing field `enroll_url`"), ("[1]", "line 1"), ("{\"a", "EOF")]
        {
            assert!(EnrolmentOrder::parse(text.as_bytes()).unwrap_err().contains(word), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, url in "(https://)?\\PC{0,40}") {
            let _ = EnrolmentOrder::parse(&bytes);
            let mut order = good();
            order["enroll_url"] = json!(url);
            if let Ok(order) = EnrolmentOrder::parse(order.to_string().as_bytes()) {
                prop_assert!(!order.enroll_url.host().is_empty());
            }
        }
    }
}
