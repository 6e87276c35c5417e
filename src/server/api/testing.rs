//! The APIs without sockets, for tests.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use serde_json::Value;
use tower::ServiceExt;

use super::{Arc, Keys, Router, routes};
use crate::base::{Shutdown, clock};
use crate::room::Grant;
use crate::rtc::sfu::{Codecs, NodeIp};
use crate::server::signal::{self, Config, Handle, Shards};
use crate::store::Store;

pub struct Server {
    pub router: Router,
    pub rooms: Handle,
    pub keys: Arc<Keys>,
    pub store: Store,
    shutdown: Shutdown,
    _dir: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

pub fn admin() -> Grant {
    Grant { room_admin: true, room_create: true, room_list: true, ..Grant::default() }
}

impl Server {
    pub fn start() -> Server {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("roomd.db")).unwrap();
        let shutdown = Shutdown::new();
        let node_ip = NodeIp::Fixed(std::net::Ipv4Addr::LOCALHOST.into());
        let codecs = Codecs::default();
        let shards = Shards::default();
        let config = Config { rtc_udp: 0, rtc_tcp: 0, node_ip, codecs, bandwidth_estimation: true, shards };
        let rooms = signal::start(config, shutdown.clone()).unwrap();
        let secret = "0123456789012345678901234567890123456789".to_owned();
        let keys = Arc::new(Keys::new(BTreeMap::from([("k".to_owned(), secret)])).unwrap());
        let router = routes(rooms.clone(), keys.clone(), store.clone());
        Server { router, rooms, keys, store, shutdown, _dir: dir }
    }

    pub fn token(&self, grant: &Grant) -> String {
        self.keys.mint(grant, Duration::from_secs(60), clock::wall())
    }

    /// A request without a token but those in `headers`.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> (StatusCode, HeaderMap, Vec<u8>) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        (parts.status, parts.headers, axum::body::to_bytes(body, 1 << 20).await.unwrap().to_vec())
    }

    /// A call of REST; Null is no body.
    pub async fn call(&self, method: &str, path: &str, grant: &Grant, body: Value) -> (u16, Value) {
        let (token, kind) = (self.token(grant), "application/json");
        let headers = [("authorization", token.as_str()), ("content-type", kind)];
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let (status, _, body) = self.send(method, path, &headers, body).await;
        (status.as_u16(), serde_json::from_slice(&body).unwrap())
    }
}
