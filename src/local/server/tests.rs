use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::SystemTime;

use super::*;
use crate::control::{RecordingSet, StatePublisher};
use crate::local::{Client, MAX_LINE_BYTES};

struct Box {
    path: PathBuf,
    state: StatePublisher,
    shutdown: Shutdown,
    done: tokio::task::JoinHandle<()>,
    _dir: tempfile::TempDir,
}

/// A served socket whose mutator says yes to everything.
fn start() -> Box {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sub/control.sock");
    let state = StatePublisher::new(|| SystemTime::UNIX_EPOCH);
    let (control, mut orders) = ControlHandle::new(&state);
    tokio::spawn(async move {
        while let Some(order) = orders.recv().await {
            assert!(order.origin.local && order.origin.issuer == "local");
            let data = match order.command {
                Command::RecordingSet(RecordingSet { on, .. }) => json!({"on": on}),
                _ => Value::Null,
            };
            let _ = order.reply.send(Reply::ok("yes", data));
        }
    });
    let (_, info) = watch::channel(json!({"version": "1"}));
    let links: Links = Arc::new(|link| match link {
        Link::Admin => vec!["http://127.0.0.1:7880/admin#x".to_owned()],
        Link::Guest { room } => vec![format!("http://127.0.0.1:7880/rooms/{room}#t=x")],
    });
    let shutdown = Shutdown::new();
    let server = Server::bind(&path).unwrap();
    let done = tokio::spawn(server.run(control, info, links, shutdown.clone()));
    Box { path, state, shutdown, done, _dir: dir }
}

#[tokio::test]
async fn orders_state_info_and_links_are_answered_over_one_connection() {
    let server = start();
    let mut client = Client::connect(&server.path).await.unwrap();
    assert!(client.request("ping", &json!({})).await.unwrap().ok);
    let recording = client.request("recording.set", &json!({"on": true})).await.unwrap();
    assert_eq!(recording.data, json!({"on": true}));
    assert_eq!(client.request("state", &Value::Null).await.unwrap().data["seq"], 1);
    assert_eq!(client.request("info", &Value::Null).await.unwrap().data["version"], "1");
    let link = client.request("admin.link", &Value::Null).await.unwrap();
    assert_eq!(link.data["urls"][0], "http://127.0.0.1:7880/admin#x");
    let link = client.request("guest.link", &serde_json::json!({"room": "lobby"})).await.unwrap();
    assert_eq!(link.data["urls"][0], "http://127.0.0.1:7880/rooms/lobby#t=x");
    let bad = client.request("guest.link", &serde_json::json!({"room": "a/b"})).await.unwrap();
    assert_eq!(bad.code, crate::control::Code::BadRequest);
    let unknown = client.request("dance", &Value::Null).await.unwrap();
    assert_eq!(unknown.code, Code::BadRequest);
    assert!(unknown.message.contains("room.join") && unknown.message.contains("admin.link"));
}

#[tokio::test]
async fn the_state_is_watched_until_the_client_hangs_up() {
    let server = start();
    let mut client = Client::connect(&server.path).await.unwrap();
    client.send("state.watch", &Value::Null).await.unwrap();
    assert_eq!(client.next().await.unwrap().data["seq"], 1);
    server.state.update(|state| state.microphone.muted = true);
    let next = client.next().await.unwrap().data;
    assert_eq!((&next["seq"], &next["microphone"]["muted"]), (&json!(2), &json!(true)));
}

#[tokio::test]
async fn noise_is_answered_and_a_line_without_end_is_hung_up_on() {
    let server = start();
    let mut client = Client::connect(&server.path).await.unwrap();
    for noise in ["\u{0}\u{1}", "[]", "{}", "{\"cmd\":7}", "{\"cmd\":\"ping\",\"colour\":1}", "null"] {
        write_line(&mut client, noise.as_bytes()).await;
        assert_eq!(client.next().await.unwrap().code, Code::BadRequest, "{noise}");
    }
    assert!(client.request("ping", &json!({})).await.unwrap().ok);
    write_line(&mut client, &vec![b'x'; MAX_LINE_BYTES + 1]).await;
    assert_eq!(client.next().await.unwrap().code, Code::BadRequest);
    assert!(client.next().await.is_err());
}

async fn write_line(client: &mut Client, line: &[u8]) {
    // The server may hang up before it has taken all of it.
    let _ = client.write_raw(line).await;
}

#[tokio::test]
async fn one_client_too_many_is_told_so() {
    let server = start();
    let mut clients = Vec::new();
    for _ in 0..MAX_CLIENTS {
        let mut client = Client::connect(&server.path).await.unwrap();
        assert!(client.request("ping", &Value::Null).await.unwrap().ok);
        clients.push(client);
    }
    let mut extra = Client::connect(&server.path).await.unwrap();
    assert_eq!(extra.next().await.unwrap().code, Code::Busy);
}

#[tokio::test]
async fn a_dead_socket_is_replaced_a_living_one_and_a_file_are_not() {
    let server = start();
    let mode = std::fs::metadata(&server.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    assert!(matches!(Server::bind(&server.path), Err(Error::InUse { .. })));
    server.shutdown.cancel();
    server.done.await.unwrap();
    assert!(!server.path.exists());
    drop(std::os::unix::net::UnixListener::bind(&server.path).unwrap());
    assert!(server.path.exists());
    drop(Server::bind(&server.path).unwrap());
    std::fs::write(&server.path, "precious").unwrap();
    assert!(matches!(Server::bind(&server.path), Err(Error::NotASocket { .. })));
    assert_eq!(std::fs::read(&server.path).unwrap(), b"precious");
}
