use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;

async fn both() -> Service {
    started(|config| config.listen_tls = any_port()).await.unwrap()
}

/// A TLS connection that trusts what `/ca.crt` offers, and nothing else.
async fn secure(server: &Service, name: &'static str) -> std::io::Result<TlsStream<TcpStream>> {
    let offered = server.get("/ca.crt", &[]).await;
    assert_eq!(offered.header("content-type"), Some("application/x-x509-ca-cert"));
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&offered.body).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(server.http.addresses.https.unwrap()).await.unwrap();
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(name).unwrap(), stream).await
}

#[tokio::test]
async fn who_trusts_the_boxs_authority_reaches_it_by_name_and_by_address() {
    let mut server = both().await;
    server.answer_orders();
    server.health.beat();
    for name in ["localhost", "127.0.0.1"] {
        let stream = secure(&server, name).await.unwrap();
        assert_eq!(exchange(stream, request("GET", "/healthz", &[], "").as_bytes()).await.status, 200);
    }
    assert!(secure(&server, "example.org").await.is_err());
    let path = format!("/admin?code={}", server.admin.new_link());
    let stream = secure(&server, "localhost").await.unwrap();
    let answer = exchange(stream, request("GET", &path, &[], "").as_bytes()).await;
    let cookie = answer.header("set-cookie").unwrap().to_owned();
    assert!(cookie.contains("; Secure"), "{cookie}");
    // From the network, so not local: it may not unmute.
    let headers = [JSON, ("Cookie", cookie.split(';').next().unwrap()), ("Origin", "https://box:1")];
    let stream = secure(&server, "localhost").await.unwrap();
    let answer = exchange(stream, request("POST", "/box/cmd/ping", &headers, "{}").as_bytes()).await;
    assert_eq!(answer.json()["data"]["local"], false);
}

#[tokio::test]
async fn a_websocket_works_over_tls_and_plain_bytes_do_not_stop_the_listener() {
    let server = both().await;
    let plain = TcpStream::connect(server.http.addresses.https.unwrap()).await.unwrap();
    assert_ne!(exchange(plain, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.status, 200);
    let stream = secure(&server, "localhost").await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async("wss://localhost/rtc", stream).await.unwrap();
    use futures_util::{SinkExt, StreamExt};
    let hello = tokio_tungstenite::tungstenite::Message::text("hello");
    socket.send(hello.clone()).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), hello);
}

#[tokio::test]
async fn without_an_authority_of_its_own_there_is_nothing_to_trust() {
    let server = Service::plain().await;
    assert_eq!(server.get("/ca.crt", &[]).await.status, 404);
    let missing =
        Source::Files { cert_file: "/nonexistent/c.pem".into(), key_file: "/nonexistent/k.pem".into() };
    let error = started(|config| {
        config.listen_tls = any_port();
        config.certificates = missing;
    });
    assert!(error.await.err().unwrap().to_string().contains("/nonexistent/c.pem"));
}
