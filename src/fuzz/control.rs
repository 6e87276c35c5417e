//! Orders, tokens, addresses and settings.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};

use super::split;
use crate::config::Effective;
use crate::control::Command;
use crate::control::config_document::DesiredConfig;
use crate::control::job_book::JobBook;
use crate::control::live::LiveUrl;
use crate::control::plain;
use crate::control::topics::Topics;
use crate::room::token::Keys;
use crate::rtc::signal::url::{ConnectQuery, ServerUrl};
use crate::server::report::WebhookUrl;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn keys() -> Keys {
    Keys::new(BTreeMap::from([("key".to_owned(), SECRET.to_owned())])).unwrap_or_else(|_| Keys::random())
}

/// A method's name, a newline, the body. The name also stands for a query.
pub fn api(bytes: &[u8]) {
    let (name, body) = split(bytes, b'\n');
    let name = String::from_utf8_lossy(name);
    crate::server::api::read_any(&name, body);
}

/// A command's name or topic, a newline, its parameters.
pub fn command(bytes: &[u8]) {
    static TOPICS: OnceLock<Topics> = OnceLock::new();
    let (name, parameters) = split(bytes, b'\n');
    let name = String::from_utf8_lossy(name);
    let parsed = Command::parse(&name, parameters);
    if let Ok(command) = &parsed {
        assert!(Command::NAMES.contains(&command.name()));
    }
    let topics = TOPICS.get_or_init(|| Topics::new("fleet", "box").unwrap_or_else(|error| panic!("{error}")));
    let _ = topics.addressed(&name);
    let _ = topics.client_of_response(&name);
    crate::mqtt::judge(topics, &name, parameters);
}

/// A configuration file's text.
pub fn config(bytes: &[u8]) {
    if let Err(error) = crate::config::check(&String::from_utf8_lossy(bytes)) {
        assert!(!error.0.is_empty());
    }
}

/// The fleet's configuration, and the settings that it makes.
pub fn desired(bytes: &[u8]) {
    match DesiredConfig::parse(bytes) {
        Err(rejection) => assert!(!rejection.errors.is_empty()),
        Ok(desired) => {
            let _ = desired.against(Some(&DesiredConfig { version: 1 << 20, ..desired.clone() }));
            match crate::config::check_desired(&desired) {
                Err(error) => assert!(!error.faults().is_empty()),
                Ok(settings) => drop(Effective::of(&settings).document()),
            }
        }
    }
}

/// A job, taken into the book and brought to its end.
pub fn job(bytes: &[u8]) {
    let mut book = JobBook::new("boot");
    book.receive("id", bytes, 0, "");
    let actions = book.turn(0, true, "");
    assert!(actions.len() <= 1);
    book.progress("id", "step", 200, "");
    for (id, row) in book.unkept() {
        if let Some(row) = row {
            JobBook::new("next").restore(&id, row, "");
        }
    }
    book.turn(i64::MAX, true, "");
    assert!(
        book.untold().iter().all(|(_, status)| status.as_ref().is_none_or(|status| status.status.is_end()))
    );
}

/// What a client of the control socket says, line by line.
pub fn local(bytes: &[u8]) {
    crate::local::read_any(bytes);
}

/// Everything that is read when a box enrols, at either end; a zero byte between two of them.
pub fn provision(bytes: &[u8]) {
    bytes.split(|byte| *byte == 0).for_each(crate::provision::read_any);
}

/// What home automation sets: its name, a newline, the payload. What is taken for an order is one.
pub fn set(bytes: &[u8]) {
    let (name, payload) = split(bytes, b'\n');
    if let Ok(command) = plain::parse(&String::from_utf8_lossy(name), payload) {
        assert!(Command::NAMES.contains(&command.name()));
    }
}

/// A token; and claims under a valid signature, an unusual header before them.
pub fn token(bytes: &[u8]) {
    let (keys, now) = (keys(), SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    let text = String::from_utf8_lossy(bytes);
    crate::mqtt::token_life(bytes);
    let _ = keys.verify(&text, now);
    let _ = Keys::parse(&text);
    for header in [r#"{"alg":"HS256","typ":"JWT"}"#, r#"{"alg":"HS256","kid":"key"}"#] {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(bytes));
        let secret = EncodingKey::from_secret(SECRET.as_bytes());
        let Ok(signature) = jsonwebtoken::crypto::sign(message.as_bytes(), &secret, Algorithm::HS256) else {
            continue;
        };
        if let Ok(grant) = keys.verify(&format!("{message}.{signature}"), now) {
            // What is allowed can be given on.
            let again = keys.verify(&keys.mint(&grant, Duration::from_secs(60), now), now);
            assert_eq!(again.map(|again| again.room), Ok(grant.room));
        }
    }
}

/// Every kind of address that is read from outside, and a range of bytes.
pub fn url(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(url) = LiveUrl::parse(&text) {
        assert!(!url.host().is_empty() && url.port() > 0 && !url.app().is_empty());
    }
    if let Some(url) = WebhookUrl::parse(&text) {
        assert_eq!(WebhookUrl::parse(&url.reveal()), Some(url));
    }
    if let Ok(url) = ServerUrl::parse(&text) {
        let _ = url.rtc(&ConnectQuery { auto_subscribe: true, resume: Some(&text) });
    }
    for length in [0, 1, 1000, u64::MAX] {
        crate::server::http::check_range(&text, length);
    }
}
