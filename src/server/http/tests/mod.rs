//! The whole service on real sockets.

mod access;
mod serving;
mod tls;

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::WebSocketUpgrade;
use axum::extract::ws::Message;
use axum::routing::get;
use prometheus_client::metrics::gauge::Gauge;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::*;
use crate::control::{Order, Reply, StatePublisher};
use crate::room::Grant;

/// A running service with its insides.
struct Service {
    http: Http,
    admin: Admin,
    keys: Arc<Keys>,
    health: Health,
    picture: LatestPicture,
    meter: Meter,
    state: StatePublisher,
    orders: mpsc::Receiver<Order>,
    shutdown: Shutdown,
    dir: TempDir,
}

fn any_port() -> Option<SocketAddr> {
    Some(([127, 0, 0, 1], 0).into())
}

fn config(dir: &TempDir) -> Config {
    Config {
        listen: any_port(),
        listen_tls: None,
        certificates: Source::Own { state_dir: dir.path().to_owned(), box_id: "b7".into() },
        box_id: "b7".into(),
        box_name: "Box 7".into(),
    }
}

async fn started(change: impl FnOnce(&mut Config)) -> Result<Service, Error> {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&dir);
    change(&mut config);
    let state = StatePublisher::new(clock::wall);
    let (control, orders) = ControlHandle::new(&state);
    let secret = "0123456789012345678901234567890123456789".to_owned();
    let keys = Arc::new(Keys::new(BTreeMap::from([("k".to_owned(), secret)])).unwrap());
    let mut registry = Registry::with_prefix("roomd");
    registry.register("up", "Test", Gauge::<i64>::default());
    let file = dir.path().join("one.mp4");
    std::fs::write(&file, (0..=255).collect::<Vec<u8>>()).unwrap();
    let (admin, health, picture, shutdown) =
        (Admin::default(), Health::default(), LatestPicture::default(), Shutdown::new());
    let meter = Meter::default();
    let deps = Deps {
        control,
        picture: picture.clone(),
        meter: meter.clone(),
        recordings: Arc::new(move || {
            let entry = |id: &str, path: &std::path::Path| RecordingEntry {
                id: id.into(),
                room: "box".into(),
                file: path.file_name().unwrap().to_string_lossy().into_owned(),
                path: path.to_owned(),
                started_at: "2026-11-20T00:00:00Z".into(),
                duration_ms: 1000,
                bytes: 256,
                status: "finished".into(),
            };
            Ok(vec![entry("r1", &file), entry("r2", &file.with_file_name("gone.mp4"))])
        }),
        keys: keys.clone(),
        admin: admin.clone(),
        registry: Arc::new(registry),
        health: health.clone(),
        rtc: Router::new().route("/rtc", get(echo)).route("/panics", get(panicking)),
    };
    let http = start(config, deps, shutdown.clone()).await?;
    Ok(Service { http, admin, keys, health, picture, meter, state, orders, shutdown, dir })
}

/// Sends back one message.
async fn echo(upgrade: WebSocketUpgrade) -> axum::response::Response {
    upgrade.on_upgrade(|mut socket| async move {
        if let Some(Ok(Message::Text(text))) = socket.recv().await {
            let _ = socket.send(Message::Text(text)).await;
        }
    })
}

async fn panicking() -> &'static str {
    panic!("on purpose")
}

/// An answer, read to its end.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Writes `request` and reads until the other end closes.
async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &[u8]) -> Answer {
    let read = async {
        stream.write_all(request).await.unwrap();
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes).await;
        bytes
    };
    let bytes = tokio::time::timeout(Duration::from_secs(30), read).await.expect("an answer");
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(bytes.len());
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head, body: bytes.get(end + 4..).unwrap_or_default().to_vec() }
}

fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: box:1\r\nConnection: close\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    text + &format!("Content-Length: {}\r\n\r\n{body}", body.len())
}

const JSON: (&str, &str) = ("Content-Type", "application/json");

impl Service {
    async fn plain() -> Service {
        started(|_| {}).await.unwrap()
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.http.addresses.http.unwrap()).await.unwrap()
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        exchange(self.connect().await, request(method, path, headers, body).as_bytes()).await
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", path, headers, "").await
    }

    /// A fresh admin session's `Cookie` header.
    async fn session(&self) -> String {
        let answer = self.get(&format!("/admin?code={}", self.admin.new_link()), &[]).await;
        answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
    }

    fn token(&self, grant: Grant) -> String {
        self.keys.mint(&grant, Duration::from_secs(60), clock::wall())
    }

    /// Answers every order with ok, and says by whom it was.
    fn answer_orders(&mut self) {
        let (_, nothing) = mpsc::channel(1);
        let mut orders = std::mem::replace(&mut self.orders, nothing);
        tokio::spawn(async move {
            while let Some(order) = orders.recv().await {
                let data = serde_json::json!({"issuer": order.origin.issuer, "local": order.origin.local});
                let _ = order.reply.send(Reply::ok(order.command.name(), data));
            }
        });
    }
}
