//! Whether the server's answer can be lived with, and the configuration that it becomes. Nothing is written before.

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::api::Answer;
use crate::control::enrolment::name_fits;
use crate::control::topics::check_name;
use crate::mqtt::Endpoint;

/// Reads `body` as an answer for the box whose key is `key` (PEM).
pub(super) fn check(body: &[u8], key: &str) -> Result<Answer, String> {
    let answer: Answer =
        serde_json::from_slice(body).map_err(|error| format!("not the JSON expected: {error}"))?;
    // A box's id is shorter than other names: it stands in the certificate and in file names.
    check_name("box", &answer.box_id).map_err(|error| error.to_string())?;
    if answer.box_id.len() > 63 {
        return Err("box: longer than 63 characters".to_owned());
    }
    check_name("fleet", &answer.fleet).map_err(|error| error.to_string())?;
    if answer.name.as_ref().is_some_and(|name| !name_fits(name)) {
        return Err("name: allowed are 1 to 64 characters, no control characters".to_owned());
    }
    let endpoint = Endpoint::parse(&answer.mqtt.url).map_err(|error| error.to_string())?;
    if !endpoint.tls {
        return Err(
            "mqtt.url: must begin with mqtts://: the certificate means nothing without TLS".to_owned()
        );
    }
    for (what, text) in [("username", &answer.mqtt.username), ("client_id", &answer.mqtt.client_id)] {
        if text.as_ref().is_some_and(|text| text.len() > 128 || text.chars().any(char::is_control)) {
            return Err(format!("mqtt.{what}: allowed are at most 128 bytes, no control characters"));
        }
    }
    if let Some(ca) = &answer.mqtt.ca {
        chain("mqtt.ca", ca)?;
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| "the own key is none".to_owned())?;
    CertifiedKey::from_der(chain("certificate", &answer.certificate)?, key, &aws_lc_rs::default_provider())
        .map_err(|error| format!("certificate: {error}"))?;
    Ok(answer)
}

fn chain(what: &str, pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match read {
        Ok(chain) if chain.is_empty() => Err(format!("{what}: no certificate in PEM")),
        Ok(chain) => Ok(chain),
        Err(error) => Err(format!("{what}: {error}")),
    }
}

/// Where what belongs to the configuration lies.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) key: String,
    pub(super) certificate: String,
    pub(super) ca: String,
}

/// The file for `conf.d/`.
pub(super) fn configuration(answer: &Answer, files: &Files) -> String {
    let mut text = "# By `roomctl provision`. The next enrolment replaces it; local changes belong into \
                    /etc/roomd/roomd.d/.\n[box]\n"
        .to_owned();
    let mut line = |key: &str, value: &str| {
        text.push_str(&format!("{key} = {}\n", toml::Value::from(value)));
    };
    line("id", &answer.box_id);
    line("fleet", &answer.fleet);
    if let Some(name) = &answer.name {
        line("name", name);
    }
    let mut mqtt = toml::Table::new();
    let mut set = |key: &str, value: Option<&String>| {
        if let Some(value) = value {
            mqtt.insert(key.to_owned(), value.as_str().into());
        }
    };
    set("url", Some(&answer.mqtt.url));
    set("client_id", answer.mqtt.client_id.as_ref());
    set("username", answer.mqtt.username.as_ref());
    set("ca_file", answer.mqtt.ca.as_ref().map(|_| &files.ca));
    set("cert_file", Some(&files.certificate));
    set("key_file", Some(&files.key));
    format!("{text}[mqtt]\n{mqtt}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config;
    use crate::provision::api::Broker;

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(body: Vec<u8>, text in "\\PC{0,40}") {
            let _ = check(&body, &text);
            let answer = serde_json::json!({"box": text, "fleet": text, "certificate": text, "mqtt": {"url": text}});
            prop_assert!(check(answer.to_string().as_bytes(), &text).is_err());
        }

        #[test]
        fn whatever_names_are_accepted_the_configuration_says_them_and_nothing_else(
            name in "\\PC{1,64}", username in "\\PC{1,32}",
        ) {
            let answer = Answer {
                box_id: "box1".to_owned(),
                fleet: "lab".to_owned(),
                name: Some(name.clone()),
                certificate: String::new(),
                mqtt: Broker {
                    url: "mqtts://broker".to_owned(),
                    ca: None,
                    username: Some(username.clone()),
                    client_id: None,
                },
            };
            let file = |name: &str| format!("/var/lib/roomd/identity/{name}");
            let files = Files { key: file("k"), certificate: file("c"), ca: file("a") };
            let settings = config::check(&configuration(&answer, &files)).unwrap();
            prop_assert_eq!(&settings.device.name, &name);
            prop_assert_eq!(settings.given.len(), 7, "id, fleet, name; url, username, cert_file, key_file");
            prop_assert_eq!(settings.mqtt.and_then(|mqtt| mqtt.username), Some(username));
        }
    }
}
