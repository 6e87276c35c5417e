//! A TCP proxy whose connections can be cut, and LiveKit's server API over plain HTTP.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::token;

/// Passes connections on to a port of this machine.
pub struct Proxy {
    pub port: u16,
    connections: Arc<Mutex<Vec<JoinHandle<()>>>>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub async fn to(port: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own_port = listener.local_addr().unwrap().port();
        let connections = Arc::new(Mutex::new(Vec::new()));
        let all = connections.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((mut inside, _)) = listener.accept().await {
                let pass = tokio::spawn(async move {
                    let Ok(mut outside) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                    let _ = tokio::io::copy_bidirectional(&mut inside, &mut outside).await;
                });
                all.lock().unwrap().push(pass);
            }
        });
        Proxy { port: own_port, connections, accepting }
    }

    /// Breaks every connection; new ones are passed on again.
    pub fn cut(&self) {
        for connection in self.connections.lock().unwrap().drain(..) {
            connection.abort();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

/// Calls LiveKit's RoomService.
pub async fn room_service(port: u16, room: &str, method: &str, body: serde_json::Value) -> serde_json::Value {
    let body = body.to_string();
    let request = format!(
        "POST /twirp/livekit.RoomService/{method} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Authorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        token("app", room, 3600),
        body.len(),
    );
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let json = answer.find("\r\n\r\n").map(|at| answer[at..].trim()).unwrap_or_default();
    assert!(answer.starts_with("HTTP/1.1 200"), "{method}: {answer}");
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{method}: {error}: {answer}"))
}
