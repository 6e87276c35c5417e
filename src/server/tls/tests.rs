use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::{RootCertStore, SignatureScheme};
use rustls_pki_types::{ServerName, UnixTime};
use time::Duration;
use time::macros::datetime;

use super::*;

const NOW: OffsetDateTime = datetime!(2026-11-20 12:00 UTC);

fn names(extra: &[&str]) -> Vec<String> {
    wanted("box", extra.iter().map(|ip| ip.parse().unwrap()))
}

fn own_source(dir: &tempfile::TempDir) -> Source {
    Source::Own { state_dir: dir.path().to_owned(), box_id: "b7".into() }
}

/// Whether a client that trusts `tls`'s authority accepts its certificate for `name` at `at`.
fn accepted(tls: &Tls, name: &str, at: OffsetDateTime) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(tls.authority_pem().unwrap().as_bytes()).unwrap()).unwrap();
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(aws_lc_rs::default_provider()))
            .build()
            .unwrap();
    let key = tls.current.0.read().unwrap().clone();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let since = std::time::Duration::from_secs(at.unix_timestamp() as u64);
    let at = UnixTime::since_unix_epoch(since);
    assert!(verifier.supported_verify_schemes().contains(&SignatureScheme::ECDSA_NISTP256_SHA256));
    verifier.verify_server_cert(key.end_entity_cert().unwrap(), &[], &name, &[], at).map(|_| ())
}

#[test]
fn the_boxs_certificate_is_accepted_for_each_of_its_names_by_who_trusts_its_authority() {
    let dir = tempfile::tempdir().unwrap();
    let tls = Tls::open(own_source(&dir), NOW).unwrap();
    tls.refresh_for(&names(&["192.0.2.7", "::1", "127.0.0.1"]), NOW).unwrap();
    for name in ["localhost", "box", "box.local", "192.0.2.7", "127.0.0.1", "::1"] {
        accepted(&tls, name, NOW).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    assert!(accepted(&tls, "192.0.2.8", NOW).is_err());
    assert!(accepted(&tls, "example.org", NOW).is_err());
    assert!(accepted(&tls, "localhost", NOW + Duration::days(397)).is_err());
    tls.server_config().unwrap();
}

#[test]
fn a_new_address_or_a_near_end_makes_a_new_certificate_under_the_same_authority() {
    let dir = tempfile::tempdir().unwrap();
    let tls = Tls::open(own_source(&dir), NOW).unwrap();
    let ca = tls.authority_pem();
    assert!(tls.refresh_for(&names(&["192.0.2.7"]), NOW).unwrap());
    assert!(!tls.refresh_for(&names(&["192.0.2.7"]), NOW + Duration::days(300)).unwrap());
    assert!(tls.refresh_for(&names(&["192.0.2.9"]), NOW).unwrap());
    accepted(&tls, "192.0.2.9", NOW).unwrap();
    assert!(accepted(&tls, "192.0.2.7", NOW).is_err());
    let later = NOW + Duration::days(370);
    assert!(tls.refresh_for(&names(&["192.0.2.9"]), later).unwrap());
    accepted(&tls, "192.0.2.9", later).unwrap();
    assert_eq!(tls.authority_pem(), ca);
}

#[test]
fn a_restart_keeps_authority_and_certificate_and_both_are_private() {
    let dir = tempfile::tempdir().unwrap();
    let first = Tls::open(own_source(&dir), NOW).unwrap();
    let second = Tls::open(own_source(&dir), NOW).unwrap();
    assert_eq!(first.authority_pem(), second.authority_pem());
    assert_eq!(*first.made_from.lock().unwrap(), *second.made_from.lock().unwrap());
    for name in ["ca.json", "server.json"] {
        let mode = fs::metadata(dir.path().join("identity").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    fs::write(dir.path().join("identity/server.json"), "{ torn").unwrap();
    accepted(&Tls::open(own_source(&dir), NOW).unwrap(), "localhost", NOW).unwrap();
}

#[test]
fn a_box_that_wakes_up_in_1970_still_makes_a_certificate_for_today() {
    let dir = tempfile::tempdir().unwrap();
    let tls = Tls::open(own_source(&dir), OffsetDateTime::UNIX_EPOCH).unwrap();
    accepted(&tls, "localhost", datetime!(2026-06-01 0:00 UTC)).unwrap();
    let ca = tls.authority_pem();
    let later = datetime!(2027-06-01 0:00 UTC);
    assert!(tls.refresh(later).unwrap());
    accepted(&tls, "localhost", later).unwrap();
    assert_eq!(tls.authority_pem(), ca);
}

#[test]
fn an_authority_at_its_end_is_replaced_once_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let tls = Tls::open(own_source(&dir), NOW).unwrap();
    let ca = tls.authority_pem();
    let late = NOW + Duration::days(3640);
    assert!(tls.refresh(late).unwrap() && !tls.refresh(late).unwrap());
    assert_eq!(tls.authority_pem(), ca);
    let over = NOW + Duration::days(3652);
    assert!(tls.refresh(over).unwrap() && !tls.refresh(over).unwrap());
    assert_ne!(tls.authority_pem(), ca);
    accepted(&tls, "localhost", over).unwrap();
}

#[test]
fn given_files_are_used_read_again_and_their_errors_name_the_file() {
    let (dir, made) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (cert_file, key_file) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let source = Source::Files { cert_file: cert_file.clone(), key_file: key_file.clone() };
    let error = |source: &Source| Tls::open(source.clone(), NOW).unwrap_err().to_string();
    assert!(error(&source).contains("cert.pem"));
    let authority = authority::make_authority("x", NOW).unwrap();
    let write = || {
        let server = authority::make_server(&authority, &names(&[]), NOW).unwrap();
        fs::write(&cert_file, server.certificate).unwrap();
        server.key
    };
    let key = write();
    fs::write(&key_file, "nothing").unwrap();
    assert!(error(&source).contains("key.pem"));
    fs::write(&key_file, key).unwrap();
    let tls = Tls::open(source.clone(), NOW).unwrap();
    assert_eq!(tls.authority_pem(), None);
    assert!(!tls.refresh(NOW).unwrap());
    let new_key = write();
    // Half of a renewal: the key is still the old one.
    assert!(tls.refresh(NOW).is_err());
    fs::write(&key_file, new_key).unwrap();
    assert!(tls.refresh(NOW).unwrap());
    drop(made);
}
