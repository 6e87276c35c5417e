//! The box's side against the server's, over real TLS on loopback.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::handover::attempt_with;
use super::server::{EnrollServer, Settings, TokenWish};
use super::*;
use crate::base::Shutdown;
use crate::base::private_file::power;
use crate::config::{self, Environment};
use crate::control::enrolment::EnrolmentOrder;

/// A free port; somebody else may take it before it is used, which on loopback hardly happens.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A server's folder, served, and a box's.
struct Lab {
    dir: tempfile::TempDir,
    shutdown: Shutdown,
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Lab {
    /// Its server is made and not started.
    fn quiet() -> Lab {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings {
            fleet: "lab".into(),
            host: "localhost".into(),
            bind: "127.0.0.1".parse().unwrap(),
            port: free_port(),
            broker_port: 8883,
        };
        EnrollServer::init(&dir.path().join("server"), settings).unwrap();
        Lab { dir, shutdown: Shutdown::new() }
    }

    async fn start() -> Lab {
        let lab = Lab::quiet();
        let listening = lab.server().listen().await.unwrap();
        tokio::spawn(listening.run(lab.shutdown.clone()));
        lab
    }

    fn server(&self) -> EnrollServer {
        EnrollServer::open(&self.dir.path().join("server")).unwrap()
    }

    fn token(&self, box_id: Option<&str>, valid: Duration) -> Value {
        let wish = TokenWish { box_id: box_id.map(str::to_owned), name: Some("Lobby".into()), valid };
        self.server().mint(&wish).unwrap().0
    }

    fn place(&self, name: &str) -> Place {
        let dir = self.dir.path().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        Place { file: dir.join("roomd-provision.json"), state_dir: dir.join("state"), box_id: None }
    }

    /// A place with a good file in it.
    fn ordered(&self, name: &str) -> Place {
        let place = self.place(name);
        write(&place, &self.token(None, HOUR));
        place
    }

    /// How many tokens were used.
    fn used(&self) -> i64 {
        let db = rusqlite::Connection::open(self.dir.path().join("server/enroll.db")).unwrap();
        db.query_row("SELECT count(*) FROM token WHERE key IS NOT NULL", [], |row| row.get(0)).unwrap()
    }
}

const HOUR: Duration = Duration::from_secs(3600);

fn write(place: &Place, file: &Value) {
    std::fs::write(&place.file, file.to_string()).unwrap();
}

/// The settings of a box with this state directory.
fn settings(state_dir: &Path) -> config::Settings {
    let state_dir = state_dir.display().to_string();
    let environment = Environment([("ROOMD_BOX__STATE_DIR".to_owned(), state_dir)].into());
    let none = PathBuf::from("/dev/null");
    config::load(Some(&none), &environment, None).unwrap()
}

fn mode(path: &Path) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions()) & 0o777
}

#[tokio::test]
async fn a_box_is_enrolled_with_a_key_of_its_own_and_its_configuration_is_good() {
    let lab = Lab::start().await;
    let place = lab.ordered("box");
    let Enrolled::Now { box_id, fleet, broker, by_floor } = enrol(&place).await.unwrap() else { panic!() };
    assert_eq!((fleet.as_str(), broker.as_str(), by_floor), ("lab", "mqtts://localhost:8883", false));
    assert!(!place.file.exists(), "the token is gone");
    let settings = settings(&place.state_dir);
    assert_eq!(settings.device.id.as_deref(), Some(box_id.as_str()));
    assert_eq!(std::fs::read_to_string(place.state_dir.join("box-id")).unwrap(), box_id);
    assert_eq!((settings.device.name.as_str(), settings.device.fleet.as_str()), ("Lobby", "lab"));
    let mqtt = settings.mqtt.unwrap();
    let (certificate, key) = mqtt.client_cert.unwrap();
    for path in
        [&certificate, &key, &mqtt.ca_file.unwrap(), &place.state_dir.join("conf.d/50-enrolment.toml")]
    {
        assert_eq!(mode(path), 0o600, "{}", path.display());
    }
    assert!(std::fs::read_to_string(certificate).unwrap().contains("BEGIN CERTIFICATE"));
    assert!(enrol(&place).await.unwrap_err().is_final(), "there is no file any more");
}

#[tokio::test]
async fn a_power_cut_at_any_step_costs_another_attempt_and_nothing_else() {
    let lab = Lab::start().await;
    for steps in 1.. {
        let place = lab.ordered(&format!("box{steps}"));
        power::fails_after(Some(steps));
        let cut = enrol(&place).await;
        let failed = power::is_off();
        power::fails_after(None);
        if !failed {
            assert!(steps > 20, "every write, rename and sync is a step: {steps}");
            cut.unwrap();
            break;
        }
        let error = cut.unwrap_err();
        assert!(error.to_string().contains("the power failed"), "step {steps}: {error}");
        let text = std::fs::read_to_string(place.state_dir.join("conf.d/50-enrolment.toml"));
        assert!(
            text.is_err() || settings(&place.state_dir).mqtt.is_some(),
            "whole or not at all, step {steps}"
        );
        // Until the token was erased the box gets where it was to get; afterwards it is there.
        if place.file.exists() {
            enrol(&place).await.unwrap_or_else(|error| panic!("step {steps}: {error}"));
        }
        assert!(settings(&place.state_dir).mqtt.is_some() && !place.file.exists(), "step {steps}");
        assert_eq!(lab.used(), i64::from(steps), "one token a box, used once");
    }
}

#[tokio::test]
async fn a_box_that_is_enrolled_again_gets_another_key_and_the_old_one_goes() {
    let lab = Lab::start().await;
    let place = lab.ordered("box");
    enrol(&place).await.unwrap();
    let first = settings(&place.state_dir).mqtt.unwrap().client_cert.unwrap();
    let id = std::fs::read_to_string(place.state_dir.join("box-id")).unwrap();

    write(&place, &lab.token(None, HOUR));
    let error = enrol(&place).await.unwrap_err();
    assert!(error.to_string().contains("box_taken") && error.is_final(), "{error}");
    assert!(first.0.exists() && settings(&place.state_dir).mqtt.unwrap().client_cert.unwrap() == first);

    write(&place, &lab.token(Some(&id), HOUR));
    enrol(&place).await.unwrap();
    let second = settings(&place.state_dir).mqtt.unwrap().client_cert.unwrap();
    assert!(second != first && second.1.exists() && !first.1.exists() && !first.0.exists());
}

#[tokio::test]
async fn bad_tokens_and_wrong_fleets_are_refused_for_good() {
    let lab = Lab::start().await;
    let place = lab.place("box");
    let mut unknown = lab.token(None, HOUR);
    unknown["token"] = "s3cret-guess".into();
    let mut elsewhere = lab.token(None, HOUR);
    elsewhere["fleet"] = "other".into();
    let mut lost = lab.token(None, HOUR);
    lost["enroll_url"] = lost["enroll_url"].as_str().unwrap().replace("/v1/enroll", "/nowhere").into();
    for (file, word) in [
        (unknown, "token_unknown"),
        (lab.token(None, Duration::ZERO), "token_expired"),
        (lab.token(Some("somebody"), HOUR), "another box"),
        (elsewhere, "wrong_fleet"),
        (lost, "404"),
    ] {
        write(&place, &file);
        let error = enrol(&place).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(word) && error.is_final(), "{word}: {text}");
        assert!(!text.contains(file["token"].as_str().unwrap()), "{text}");
        assert!(place.file.exists() && settings(&place.state_dir).mqtt.is_none());
    }
    assert_eq!(lab.used(), 0);
}

#[tokio::test]
async fn what_the_daemon_hands_over_is_removed_when_it_is_given_up_and_the_reason_is_left() {
    let lab = Lab::start().await;
    let place = lab.ordered("box");
    enrol(&place).await.unwrap();
    let before = settings(&place.state_dir).mqtt.unwrap().client_cert.unwrap();
    let run = lab.dir.path().join("run");
    std::fs::create_dir(&run).unwrap();
    let handover = Handover::new(&run);
    let file = run.join("roomd-provision.json");
    let place = Place { file: file.clone(), ..place };
    let order = |text: &Value| EnrolmentOrder::parse(text.to_string().as_bytes()).unwrap();
    let names = || {
        let entries = std::fs::read_dir(&run).unwrap().flatten();
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect::<Vec<_>>()
    };

    let mut wrong = lab.token(None, HOUR);
    wrong["token"] = "s3cret-guess".into();
    let wrong = order(&wrong);
    handover.give(&wrong).unwrap();
    assert_eq!(mode(&file), 0o600);
    assert!(attempt_with(&place, &file).await.unwrap_err().is_final());
    assert_eq!(names(), ["reprovision-result"]);
    let line = std::fs::read_to_string(run.join("reprovision-result")).unwrap();
    assert!(!line.contains("s3cret") && line.lines().count() == 1, "{line}");
    assert_eq!(mode(&run.join("reprovision-result")), 0o600);
    let failure = handover.failure(&wrong.token.label()).unwrap();
    assert_eq!(failure.code, Code::Unauthorized);
    assert!(failure.message.contains("token_unknown"), "{}", failure.message);
    assert_eq!(handover.failure("0123456789abcdef"), None, "another token's");
    assert_eq!(settings(&place.state_dir).mqtt.unwrap().client_cert.unwrap(), before);

    // Nobody can make root read, or empty, another file through the daemon's folder.
    let victim = lab.dir.path().join("victim");
    std::fs::write(&victim, wrong.token.reveal()).unwrap();
    std::os::unix::fs::symlink(&victim, &file).unwrap();
    assert!(attempt_with(&place, &file).await.unwrap_err().is_final());
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), wrong.token.reveal());
    assert_eq!(names(), ["reprovision-result"]);

    // A server that is away: it stays, to be tried again.
    let (away, id) = (Lab::quiet(), std::fs::read_to_string(place.state_dir.join("box-id")).unwrap());
    let mut later = lab.token(Some(&id), HOUR);
    later["ca"] = away.token(None, HOUR)["ca"].clone();
    handover.give(&order(&later)).unwrap();
    assert!(!attempt_with(&place, &file).await.unwrap_err().is_final());
    assert_eq!(names(), ["roomd-provision.json"], "the earlier result is forgotten");

    let good = order(&lab.token(Some(&id), HOUR));
    handover.give(&good).unwrap();
    assert!(!is_in_force(&place.state_dir, &good.token.label()));
    attempt_with(&place, &file).await.unwrap();
    assert!(is_in_force(&place.state_dir, &good.token.label()) && names().is_empty() && !before.0.exists());
}

#[tokio::test]
async fn a_server_with_another_authority_is_not_told_the_token_and_may_come_back() {
    let (lab, other) = (Lab::start().await, Lab::quiet());
    let place = lab.place("box");
    let mut file = lab.token(None, HOUR);
    file["ca"] = other.token(None, HOUR)["ca"].clone();
    write(&place, &file);
    let error = enrol(&place).await.unwrap_err();
    assert!(error.to_string().contains("TLS") && !error.is_final(), "{error}");
    file.as_object_mut().unwrap().remove("ca");
    write(&place, &file);
    let error = enrol(&place).await.unwrap_err();
    assert!(error.to_string().contains("UnknownIssuer"), "the public web's authorities: {error}");
    assert_eq!(lab.used(), 0);
}

#[tokio::test]
async fn the_files_date_is_the_floor_for_a_clock_that_is_early_and_the_error_says_so() {
    let lab = Lab::start().await;
    let place = lab.ordered("box");
    // As if the clock were late by centuries: the server's certificate is over by the file's date.
    let file = std::fs::File::options().append(true).open(&place.file).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(7_000_000_000)).unwrap();
    let error = enrol(&place).await.unwrap_err().to_string();
    assert!(error.contains("2191-") && error.contains("the clock is earlier"), "{error}");
}

/// A server with the lab's certificate that answers whatever it is asked with `answer`, and then hangs or hangs up.
async fn liar(lab: &Lab, answer: Vec<u8>, hangs: bool) -> Value {
    let server = lab.server();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/v1/enroll", listener.local_addr().unwrap().port());
    let acceptor = TlsAcceptor::from(server.tls().unwrap());
    tokio::spawn(async move {
        let answer = Arc::new(answer);
        while let Ok((tcp, _)) = listener.accept().await {
            let (acceptor, answer) = (acceptor.clone(), Arc::clone(&answer));
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(tcp).await else { return };
                let mut request = vec![0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(&answer).await;
                if hangs {
                    std::future::pending::<()>().await;
                }
                let _ = stream.shutdown().await;
            });
        }
    });
    let mut file = lab.token(None, HOUR);
    file["enroll_url"] = url.into();
    file
}

#[tokio::test]
async fn a_server_that_lies_redirects_or_never_stops_talking_leaves_the_box_as_it_was() {
    let lab = Lab::quiet();
    let place = lab.place("box");
    let gigabyte =
        [b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n".to_vec(), vec![b'x'; 300_000]].concat();
    let not_ours = {
        // A right answer to somebody else.
        let real = Lab::start().await;
        let there = real.ordered("other");
        enrol(&there).await.unwrap();
        let chain =
            std::fs::read_to_string(settings(&there.state_dir).mqtt.unwrap().client_cert.unwrap().0).unwrap();
        let body = serde_json::json!({"box": "a", "fleet": "lab", "certificate": chain, "mqtt": {"url": "mqtts://b"}});
        let body = body.to_string();
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    };
    let head = |text: &str| format!("HTTP/1.1 {text}\r\n\r\n").into_bytes();
    for (answer, word, is_final) in [
        (gigabyte, "longer than 65536 bytes", false),
        (not_ours, "certificate", false),
        (head("307 Elsewhere\r\nlocation: https://localhost/\r\ncontent-length: 0"), "redirects", true),
        (head("503 Busy\r\ncontent-length: 0"), "503", false),
        (head("429 Slowly\r\ncontent-length: 0"), "429", false),
        (head("200 OK\r\ncontent-length: 2\r\n\r\n{}"), "cannot be used", false),
        (b"SSH-2.0-OpenSSH\r\n".to_vec(), "HTTP", false),
        (Vec::new(), "", false),
    ] {
        write(&place, &liar(&lab, answer, false).await);
        let error = enrol(&place).await.unwrap_err();
        assert!(error.to_string().contains(word) && error.is_final() == is_final, "{word}: {error}");
        assert!(place.file.exists() && settings(&place.state_dir).mqtt.is_none(), "{word}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_silent_or_not_there_is_not_waited_for_for_ever() {
    let lab = Lab::quiet();
    let place = lab.place("box");
    let file = liar(&lab, b"HTTP/1.1 200 OK\r\n".to_vec(), true).await;
    write(&place, &file);
    let error = enrol(&place).await.unwrap_err();
    assert!(error.to_string().contains("within 20 s") && !error.is_final(), "{error}");
    assert!(!error.to_string().contains(file["token"].as_str().unwrap()));
}

#[tokio::test]
async fn noise_at_the_server_is_answered_and_uses_up_no_token() {
    let lab = Lab::start().await;
    let server = lab.server();
    let mut roots = rustls::RootCertStore::empty();
    let file = lab.token(None, HOUR);
    use rustls::pki_types::pem::PemObject;
    let ca = rustls::pki_types::CertificateDer::from_pem_slice(file["ca"].as_str().unwrap().as_bytes());
    roots.add(ca.unwrap()).unwrap();
    let tls =
        rustls::ClientConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    let tls = tokio_rustls::TlsConnector::from(Arc::new(tls));
    let token = file["token"].as_str().unwrap();
    let large = format!("{{\"box\": \"{}\"", "x".repeat(20_000));
    for (head, body, status) in [
        ("POST /v1/enroll", "{}", "401"),
        ("POST /v1/enroll bearer", "{}", "400"),
        ("POST /v1/enroll bearer", "nonsense", "400"),
        ("POST /v1/enroll bearer", large.as_str(), "413"),
        ("POST /v1/enroll bearer", r#"{"box":"a","fleet":"lab","version":"1","csr":"none"}"#, "400"),
        ("POST /v1/enroll bearer", r#"{"box":"a/b","fleet":"lab","version":"1","csr":"none"}"#, "400"),
        ("GET /v1/enroll", "", "405"),
        ("POST /", "", "404"),
    ] {
        let tcp = tokio::net::TcpStream::connect(("127.0.0.1", server.settings.port)).await.unwrap();
        let mut stream = tls.connect("localhost".try_into().unwrap(), tcp).await.unwrap();
        let line = head.strip_suffix(" bearer").unwrap_or(head);
        let bearer = if head.ends_with("bearer") {
            format!("authorization: Bearer {token}\r\n")
        } else {
            String::new()
        };
        let request = format!(
            "{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{bearer}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{head} {body:.60}: {answer}");
        assert!(!answer.contains(token));
    }
    assert_eq!(lab.used(), 0);
}
