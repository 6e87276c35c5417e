//! The calls, without sockets.

use std::sync::LazyLock;

use axum::http::StatusCode;
use livekit_protocol as proto;
use proptest::prelude::*;
use prost::Message;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::guard;
use super::testing::{Server, admin};
use crate::room::Grant;

impl Server {
    async fn twirp_bytes(
        &self,
        path: &str,
        kind: &str,
        grant: &Grant,
        body: Vec<u8>,
    ) -> (StatusCode, Vec<u8>) {
        let token = format!("Bearer {}", self.token(grant));
        let headers = [("content-type", kind), ("authorization", &token)];
        let (status, _, body) = self.send("POST", path, &headers, body).await;
        (status, body)
    }

    /// A call in JSON.
    async fn twirp(&self, method: &str, grant: &Grant, body: Value) -> (u16, Value) {
        self.call("POST", &format!("/twirp/livekit.RoomService/{method}"), grant, body).await
    }
}

#[tokio::test]
async fn a_room_is_created_listed_changed_and_deleted_in_json_and_protobuf() {
    let server = Server::start();
    let body = json!({"name": "hall", "empty_timeout": 60, "maxParticipants": 5, "metadata": "a"});
    let (status, room) = server.twirp("CreateRoom", &admin(), body).await;
    assert_eq!(status, 200, "{room}");
    assert_eq!(
        (&room["name"], &room["emptyTimeout"], &room["maxParticipants"]),
        (&json!("hall"), &json!(60), &json!(5))
    );
    assert_eq!(room["enabledCodecs"], json!([{"mime": "audio/opus"}, {"mime": "video/h264"}]));
    let request = proto::ListRoomsRequest { names: vec!["hall".into(), "none".into()] };
    let path = "/twirp/livekit.RoomService/ListRooms";
    let (status, body) =
        server.twirp_bytes(path, "application/protobuf", &admin(), request.encode_to_vec()).await;
    assert_eq!(status, StatusCode::OK);
    let rooms = proto::ListRoomsResponse::decode(body.as_slice()).unwrap().rooms;
    assert_eq!((rooms.len(), rooms[0].metadata.as_str()), (1, "a"));
    let change = json!({"room": rooms[0].sid, "metadata": "b"});
    assert_eq!(server.twirp("UpdateRoomMetadata", &admin(), change).await.1["metadata"], "b");
    assert_eq!(server.twirp("DeleteRoom", &admin(), json!({"room": "hall"})).await.0, 200);
    assert_eq!(server.twirp("ListRooms", &admin(), json!({})).await.1, json!({}));
    // App servers ask before anybody has come.
    let nobody = server.twirp("ListParticipants", &admin(), json!({"room": "hall"})).await;
    assert_eq!(nobody, (200, json!({})));
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
        (
            "CreateRoom",
            &admin(),
            json!({"name": "a", "maxPlayoutDelay": 10_001}),
            400,
            "invalid_argument",
            "10000",
        ),
        (
            "CreateRoom",
            &admin(),
            json!({"name": "a", "minPlayoutDelay": 5, "maxPlayoutDelay": 4}),
            400,
            "invalid_argument",
            "5 ms",
        ),
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
        let (found, error) = server.twirp(method, grant, body.clone()).await;
        assert_eq!((found, error["code"].as_str()), (status, Some(code)), "{method} {body}: {error}");
        assert!(error["msg"].as_str().unwrap().contains(word), "{method} {body}: {error}");
    }
}

#[tokio::test]
async fn what_is_no_call_is_told_apart_from_a_call_without_a_token() {
    let server = Server::start();
    let path = "/twirp/livekit.RoomService/ListRooms";
    let ask = async |method: &str, path: &str, kind: &str, token: &str| {
        let headers = [("content-type", kind), ("authorization", token)];
        server.send(method, path, &headers, "{}").await.0.as_u16()
    };
    assert_eq!(ask("POST", path, "application/json", "Bearer a.b.c").await, 401);
    assert_eq!(ask("POST", path, "application/json", "").await, 401);
    assert_eq!(ask("GET", path, "application/json", "").await, 404);
    assert_eq!(ask("POST", path, "text/plain", "").await, 404);
    assert_eq!(ask("POST", "/twirp/livekit.Nothing/At", "application/json", "").await, 404);
    for (service, method) in [
        ("Egress", "ListEgress"),
        ("Ingress", "ListIngress"),
        ("SIP", "ListSIPInboundTrunk"),
        ("AgentDispatchService", "ListDispatch"),
    ] {
        let path = format!("/twirp/livekit.{service}/{method}");
        let (status, error) = server.call("POST", &path, &admin(), json!({})).await;
        assert_eq!((status, error["code"].as_str()), (501, Some("unimplemented")), "{error}");
        assert!(error["msg"].as_str().unwrap().contains(service), "{error}");
    }
    let (status, _) =
        server.twirp_bytes(path, "application/json", &admin(), vec![b' '; guard::BODY_BYTES + 1]).await;
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
            let (status, _) = runtime.block_on(server.twirp_bytes(&path, kind, &admin(), body.clone()));
            prop_assert!(status != StatusCode::INTERNAL_SERVER_ERROR);
        }
    }
}
