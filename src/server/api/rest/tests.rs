//! The REST calls, without sockets: every path of the interface's description, and every answer against its schema.

use serde_json::{Value, json};

use super::document;
use crate::base::clock;
use crate::room::Grant;
use crate::server::api::testing::{Server, admin};
use crate::store::Report;

impl Server {
    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.call("POST", path, &admin(), body).await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.call("GET", path, &admin(), Value::Null).await
    }
}

/// Whether `value` fits `schema`, as far as the description uses JSON Schema; else what does not.
fn fits(value: &Value, schema: &Value, document: &Value) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        return fits(value, document.pointer(&reference[1..]).ok_or(reference)?, document);
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        kind => kind.as_str().into_iter().collect(),
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if !kinds.contains(&kind) {
        return Err(format!("{value} is no {kinds:?}"));
    }
    if let Some(known) = schema["enum"].as_array().filter(|known| !known.contains(value)) {
        return Err(format!("{value} is none of {known:?}"));
    }
    for item in value.as_array().into_iter().flatten() {
        fits(item, &schema["items"], document)?;
    }
    let Some(properties) = schema["properties"].as_object() else { return Ok(()) };
    for (name, value) in value.as_object().into_iter().flatten() {
        fits(value, properties.get(name).ok_or(format!("{name} is not described"))?, document)?;
    }
    let missing = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|name| value.get(name.as_str().unwrap()).is_none());
    missing.map_or(Ok(()), |name| Err(format!("{name} is missing")))
}

fn check(method: &str, path: &str, answer: &Value) {
    let document = document();
    let schema =
        &document["paths"][path][method]["responses"]["200"]["content"]["application/json"]["schema"];
    assert!(!schema.is_null(), "{method} {path} is not described");
    fits(answer, schema, &document).unwrap_or_else(|error| panic!("{method} {path}: {error}: {answer}"));
}

#[tokio::test]
async fn every_described_path_is_served_and_needs_a_token() {
    let server = Server::start();
    for (path, operations) in document()["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let path = path.replace("{id}", "x");
            let (status, ..) = server.send(&method.to_uppercase(), &path, &[], "").await;
            assert_eq!(status.as_u16(), 401, "{method} {path}");
        }
    }
    assert_eq!(server.send("GET", "/openapi.json", &[], "").await.0.as_u16(), 200);
    assert_eq!(server.get("/v2/nothing").await.0, 404);
    assert_eq!(server.call("DELETE", "/v2/rooms", &admin(), Value::Null).await.0, 405);
}

#[tokio::test]
async fn a_room_is_made_found_by_both_ids_listed_and_deactivated() {
    let server = Server::start();
    let body = json!({"customRoomId": "daily", "type": "interactive",
        "webhook": {"endPoint": "https://app.example/hook", "events": ["room_started"]},
        "autoCloseConfig": {"type": "session-ends", "duration": 60}});
    let (status, room) = server.post("/v2/rooms", body.clone()).await;
    assert_eq!(status, 200, "{room}");
    check("post", "/v2/rooms", &room);
    let id = room["roomId"].as_str().unwrap();
    let shape: Vec<usize> = id.split('-').map(str::len).collect();
    assert_eq!(shape, [4, 4, 4], "{id}");
    assert!(room["streamId"].is_string() && room["webhook"]["events"] == json!(["room_started"]));
    let (status, taken) = server.post("/v2/rooms", body).await;
    assert_eq!((status, &taken["error"]["field"]), (409, &json!("customRoomId")));
    let (_, plain) = server.post("/v2/rooms", Value::Null).await;
    check("post", "/v2/rooms", &plain);
    for name in [id, "daily"] {
        let (status, found) = server.get(&format!("/v2/rooms/{name}")).await;
        assert_eq!((status, &found["id"]), (200, &room["id"]));
        check("get", "/v2/rooms/{id}", &found);
        let (status, found) = server.get(&format!("/v2/rooms/validate/{name}")).await;
        assert_eq!(status, 200);
        check("get", "/v2/rooms/validate/{id}", &found);
    }
    let (_, rooms) = server.get("/v2/rooms?perPage=1&page=2").await;
    check("get", "/v2/rooms", &rooms);
    assert_eq!((&rooms["pageInfo"]["total"], rooms["data"].as_array().unwrap().len()), (&json!(2), 1));
    let (status, room) = server.post("/v2/rooms/deactivate", json!({"roomId": "daily"})).await;
    assert_eq!((status, &room["disabled"]), (200, &json!(true)));
    check("post", "/v2/rooms/deactivate", &room);
    assert_eq!(server.get("/v2/rooms/validate/daily").await.0, 409);
    assert!(server.rooms.directory().check(id).is_err());
}

#[tokio::test]
async fn a_session_tells_who_was_in_and_is_ended() {
    let server = Server::start();
    server.rooms.create_room("hall".into(), Default::default()).await.unwrap();
    let (sid, room, at_ms) = ("RM_1".to_owned(), "hall".to_owned(), 1_000);
    let (one, two) = ("PA_1".to_owned(), "PA_2".to_owned());
    let joined = |sid: &String, at_ms| Report::Joined {
        session: "RM_1".into(),
        sid: sid.clone(),
        identity: sid.to_lowercase(),
        name: "Anna".into(),
        at_ms,
    };
    let left = Report::Left { sid: one.clone(), at_ms: 3_000, reason: "left".into() };
    let started = Report::SessionStarted { sid, room, at_ms };
    server.store.report(&[started, joined(&one, 1_500), joined(&two, 2_000), left]).unwrap();
    let (status, sessions) = server.get("/v2/sessions?roomId=hall").await;
    assert_eq!(status, 200, "{sessions}");
    check("get", "/v2/sessions", &sessions);
    let session = &sessions["data"][0];
    assert_eq!((&session["id"], &session["status"]), (&json!("RM_1"), &json!("ongoing")));
    assert_eq!(session["start"], "1970-01-01T00:00:01Z");
    check("get", "/v2/sessions/{id}", &server.get("/v2/sessions/RM_1").await.1);
    for (path, identities) in [("", json!(["pa_1", "pa_2"])), ("/active", json!(["pa_2"]))] {
        let (_, stays) = server.get(&format!("/v2/sessions/RM_1/participants{path}")).await;
        check("get", &format!("/v2/sessions/{{id}}/participants{path}"), &stays);
        let found: Vec<&Value> =
            stays["data"].as_array().unwrap().iter().map(|stay| &stay["participantId"]).collect();
        assert_eq!(json!(found), identities);
    }
    let nobody = json!({"roomId": "hall", "participantId": "nobody"});
    assert_eq!(server.post("/v2/sessions/participants/remove", nobody).await.0, 404);
    let (status, ended) = server.post("/v2/sessions/end", json!({"roomId": "hall"})).await;
    assert_eq!(status, 200);
    check("post", "/v2/sessions/end", &ended);
    assert_eq!(server.post("/v2/sessions/end", json!({"roomId": "hall"})).await.0, 404);
}

#[tokio::test]
async fn a_token_is_made_for_one_room_and_says_what_was_asked() {
    let server = Server::start();
    let (_, room) = server.post("/v2/rooms", json!({"customRoomId": "show", "type": "interactive"})).await;
    let body = json!({"roomId": "show", "participantId": "p1", "permissions": ["allow_join"]});
    let (status, error) = server.post("/v2/tokens", body).await;
    assert_eq!((status, &error["error"]["field"]), (400, &json!("role")), "an interactive room needs one");
    let body =
        json!({"roomId": "show", "participantId": "p1", "permissions": ["allow_join"], "role": "viewer"});
    let (status, made) = server.post("/v2/tokens", body).await;
    assert_eq!(status, 200, "{made}");
    check("post", "/v2/tokens", &made);
    let grant = server.keys.verify(made["token"].as_str().unwrap(), clock::wall()).unwrap();
    assert_eq!(grant.room, room["roomId"].as_str().unwrap());
    assert!(grant.room_join && grant.can_subscribe && !grant.can_publish && !grant.room_admin);
    let body = json!({"roomId": "other", "participantId": "p1", "permissions": ["ask_join"]});
    let (_, made) = server.post("/v2/tokens", body.clone()).await;
    assert!(server.keys.verify(made["token"].as_str().unwrap(), clock::wall()).unwrap().waiting);
    let one_room = Grant { room: "hall".into(), ..admin() };
    assert_eq!(server.call("POST", "/v2/tokens", &one_room, body).await.0, 403, "not for another room");
}

#[tokio::test]
async fn what_is_wrong_is_told_by_its_field_and_who_may_not_gets_403() {
    let server = Server::start();
    for (path, body, field) in [
        ("/v2/rooms", json!({"type": "party"}), "type"),
        ("/v2/rooms", json!({"customRoomId": ""}), "customRoomId"),
        ("/v2/rooms", json!({"colour": "red"}), "colour"),
        ("/v2/rooms", json!({"webhook": {}}), "webhook.endPoint"),
        ("/v2/rooms", json!({"webhook": {"endPoint": "ftp://x"}}), "webhook.endPoint"),
        ("/v2/rooms", json!({"webhook": {"endPoint": "http://x", "events": ["party"]}}), "webhook.events"),
        ("/v2/rooms", json!({"autoCloseConfig": {"type": "session-ends"}}), "autoCloseConfig.duration"),
        ("/v2/rooms", json!({"autoCloseConfig": {"duration": 0}}), "autoCloseConfig.duration"),
        ("/v2/rooms/deactivate", json!({}), "roomId"),
        ("/v2/sessions/end", json!({"roomId": 5}), "roomId"),
        ("/v2/sessions/participants/remove", json!({"roomId": "a"}), "participantId"),
        ("/v2/tokens", json!({"roomId": "a", "participantId": "b"}), "permissions"),
        ("/v2/tokens", json!({"roomId": "a", "participantId": "b", "permissions": ["all"]}), "permissions"),
    ] {
        let (status, error) = server.post(path, body.clone()).await;
        assert_eq!((status, &error["error"]["field"]), (400, &json!(field)), "{path} {body}: {error}");
        let schema = json!({"$ref": "#/components/schemas/Error"});
        fits(&error, &schema, &document()).unwrap();
    }
    let guest = Grant { identity: "guest".into(), room: "hall".into(), room_join: true, ..Grant::default() };
    for (method, path) in [
        ("POST", "/v2/rooms"),
        ("GET", "/v2/rooms"),
        ("GET", "/v2/rooms/hall"),
        ("GET", "/v2/sessions"),
        ("GET", "/v2/sessions?roomId=hall"),
        ("GET", "/v2/sessions/RM_1"),
    ] {
        assert_eq!(server.call(method, path, &guest, Value::Null).await.0, 403, "{method} {path}");
    }
    assert_eq!(server.get("/v2/rooms/none-such-room").await.0, 404);
    assert_eq!(server.get("/v2/rooms?perPage=1000").await.1["error"]["field"], "perPage");
}
