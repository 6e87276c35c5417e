//! The calls, without sockets.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use livekit_protocol as proto;
use proptest::prelude::*;
use prost::Message;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tower::ServiceExt;

use super::{Arc, Keys, Router, guard, routes};
use crate::base::{Shutdown, clock};
use crate::room::Grant;
use crate::rtc::sfu::{Codecs, NodeIp};
use crate::server::signal::{self, Config};
use crate::store::Store;

struct Server {
    router: Router,
    keys: Arc<Keys>,
    shutdown: Shutdown,
    _dir: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

fn admin() -> Grant {
    Grant { room_admin: true, room_create: true, room_list: true, ..Grant::default() }
}

impl Server {
    fn start() -> Server {
        let shutdown = Shutdown::new();
        let node_ip = NodeIp::Fixed(std::net::Ipv4Addr::LOCALHOST.into());
        let codecs = Codecs::default();
        let config = Config { rtc_udp: 0, rtc_tcp: 0, node_ip, codecs, bandwidth_estimation: true };
        let rooms = signal::start(config, shutdown.clone()).unwrap();
        let secret = "0123456789012345678901234567890123456789".to_owned();
        let keys = Arc::new(Keys::new(BTreeMap::from([("k".to_owned(), secret)])).unwrap());
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("roomd.db")).unwrap();
        Server { router: routes(rooms, keys.clone(), store), keys, shutdown, _dir: dir }
    }

    async fn post(&self, path: &str, kind: &str, grant: &Grant, body: Vec<u8>) -> (StatusCode, Vec<u8>) {
        let token = self.keys.mint(grant, Duration::from_secs(60), clock::wall());
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header("content-type", kind)
            .header("authorization", format!("Bearer {token}"))
            .body(Body::from(body))
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        (status, axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec())
    }

    /// A call in JSON.
    async fn call(&self, method: &str, grant: &Grant, body: Value) -> (u16, Value) {
        let path = format!("/twirp/livekit.RoomService/{method}");
        let (status, body) = self.post(&path, "application/json", grant, body.to_string().into()).await;
        (status.as_u16(), serde_json::from_slice(&body).unwrap())
    }
}

#[tokio::test]
async fn a_room_is_created_listed_changed_and_deleted_in_json_and_protobuf() {
    let server = Server::start();
    let body = json!({"name": "hall", "empty_timeout": 60, "maxParticipants": 5, "metadata": "a"});
    let (status, room) = server.call("CreateRoom", &admin(), body).await;
    assert_eq!(status, 200, "{room}");
    assert_eq!(
        (&room["name"], &room["emptyTimeout"], &room["maxParticipants"]),
        (&json!("hall"), &json!(60), &json!(5))
    );
    let request = proto::ListRoomsRequest { names: vec!["hall".into(), "none".into()] };
    let path = "/twirp/livekit.RoomService/ListRooms";
    let (status, body) = server.post(path, "application/protobuf", &admin(), request.encode_to_vec()).await;
    assert_eq!(status, StatusCode::OK);
    let rooms = proto::ListRoomsResponse::decode(body.as_slice()).unwrap().rooms;
    assert_eq!((rooms.len(), rooms[0].metadata.as_str()), (1, "a"));
    let change = json!({"room": rooms[0].sid, "metadata": "b"});
    assert_eq!(server.call("UpdateRoomMetadata", &admin(), change).await.1["metadata"], "b");
    assert_eq!(server.call("DeleteRoom", &admin(), json!({"room": "hall"})).await.0, 200);
    assert_eq!(server.call("ListRooms", &admin(), json!({})).await.1, json!({}));
}

#[tokio::test]
async fn each_error_has_twirps_code_and_status_and_names_what_is_wrong() {
    let server = Server::start();
    let nobody = Grant::default();
    let one_room = Grant { room_admin: true, room: "hall".into(), ..Grant::default() };
    let long = "x".repeat(300);
    for (method, grant, body, status, code, word) in [
        ("CreateRoom", &nobody, json!({"name": "a"}), 403, "permission_denied", "roomCreate"),
        ("CreateRoom", &admin(), json!({"name": ""}), 400, "invalid_argument", "room"),
        ("CreateRoom", &admin(), json!({"name": long}), 400, "invalid_argument", "256"),
        ("CreateRoom", &admin(), json!({"name": "a", "egress": {}}), 400, "invalid_argument", "egress"),
        ("CreateRoom", &admin(), json!({"name": 5}), 400, "malformed", "string"),
        ("ListRooms", &one_room, json!({}), 403, "permission_denied", "roomList"),
        ("DeleteRoom", &admin(), json!({"room": "none"}), 404, "not_found", "none"),
        ("DeleteRoom", &one_room, json!({"room": "attic"}), 403, "permission_denied", "attic"),
        ("DeleteRoom", &one_room, json!({"room": "hall"}), 404, "not_found", "hall"),
        ("ListParticipants", &nobody, json!({"room": "hall"}), 403, "permission_denied", "hall"),
        ("GetParticipant", &one_room, json!({"room": "hall"}), 404, "not_found", "hall"),
        ("UpdateParticipant", &nobody, json!({"room": "hall"}), 403, "permission_denied", "allow_join"),
        ("MutePublishedTrack", &nobody, json!({"room": "hall"}), 403, "permission_denied", "hall"),
        ("UpdateSubscriptions", &nobody, json!({"room": "hall"}), 403, "permission_denied", "hall"),
        ("SendData", &nobody, json!({"room": "hall"}), 403, "permission_denied", "hall"),
        ("SendData", &admin(), json!({"data": "A".repeat(120_000)}), 400, "invalid_argument", "64000"),
        ("PerformRpc", &nobody, json!({"room": "hall"}), 403, "permission_denied", "hall"),
        ("PerformRpc", &admin(), json!({"responseTimeoutMs": 60_001}), 400, "invalid_argument", "60000"),
        ("MoveParticipant", &nobody, json!({"room": "hall"}), 403, "permission_denied", "hall"),
        ("MoveParticipant", &one_room, json!({"room": "hall"}), 501, "unimplemented", "between rooms"),
        ("ForwardParticipant", &one_room, json!({"room": "hall"}), 501, "unimplemented", "between rooms"),
        ("Nothing", &admin(), json!({}), 404, "bad_route", "Nothing"),
    ] {
        let (found, error) = server.call(method, grant, body.clone()).await;
        assert_eq!((found, error["code"].as_str()), (status, Some(code)), "{method} {body}: {error}");
        assert!(error["msg"].as_str().unwrap().contains(word), "{method} {body}: {error}");
    }
}

#[tokio::test]
async fn what_is_no_call_is_told_apart_from_a_call_without_a_token() {
    let server = Server::start();
    let path = "/twirp/livekit.RoomService/ListRooms";
    let ask = async |method: &str, path: &str, kind: &str, token: &str| {
        let request = Request::builder().method(method).uri(path).header("content-type", kind);
        let request = request.header("authorization", token).body(Body::from("{}")).unwrap();
        server.router.clone().oneshot(request).await.unwrap().status().as_u16()
    };
    assert_eq!(ask("POST", path, "application/json", "Bearer a.b.c").await, 401);
    assert_eq!(ask("POST", path, "application/json", "").await, 401);
    assert_eq!(ask("GET", path, "application/json", "").await, 404);
    assert_eq!(ask("POST", path, "text/plain", "").await, 404);
    assert_eq!(ask("POST", "/twirp/livekit.Nothing/At", "application/json", "").await, 404);
    let (status, _) =
        server.post(path, "application/json", &admin(), vec![b' '; guard::BODY_BYTES + 1]).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

const METHODS: [&str; 14] = [
    "CreateRoom",
    "ListRooms",
    "DeleteRoom",
    "UpdateRoomMetadata",
    "ListParticipants",
    "GetParticipant",
    "RemoveParticipant",
    "UpdateParticipant",
    "MutePublishedTrack",
    "UpdateSubscriptions",
    "SendData",
    "PerformRpc",
    "ForwardParticipant",
    "MoveParticipant",
];

proptest! {
    #[test]
    fn no_body_makes_a_call_fail_inside(method in 0..METHODS.len(), body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        static SERVER: LazyLock<(Runtime, Server)> = LazyLock::new(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            (runtime, Server::start())
        });
        let (runtime, server) = &*SERVER;
        let path = format!("/twirp/livekit.RoomService/{}", METHODS[method]);
        for kind in ["application/json", "application/protobuf"] {
            let (status, _) = runtime.block_on(server.post(&path, kind, &admin(), body.clone()));
            prop_assert!(status != StatusCode::INTERNAL_SERVER_ERROR);
        }
    }
}
