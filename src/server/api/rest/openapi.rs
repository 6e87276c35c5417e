//! The interface in one document, OpenAPI 3.1: what `/openapi.json` and `roomd openapi` show. A test walks every path of
//! it and compares the answers with the schemas.

use serde_json::{Map, Value, json};

use crate::server::api::whip;

/// One call.
struct Operation {
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    /// Of the query, beside `page` and `perPage` of lists.
    query: &'static [&'static str],
    /// The schema of the body.
    body: Option<&'static str>,
    /// The schema of the answer, or of a list's items.
    answer: &'static str,
    list: bool,
}

const fn get(path: &'static str, summary: &'static str, answer: &'static str) -> Operation {
    Operation { method: "get", path, summary, query: &[], body: None, answer, list: false }
}

const fn list(path: &'static str, summary: &'static str, answer: &'static str) -> Operation {
    Operation { list: true, ..get(path, summary, answer) }
}

const fn post(
    path: &'static str,
    summary: &'static str,
    body: &'static str,
    answer: &'static str,
) -> Operation {
    Operation { method: "post", body: Some(body), ..get(path, summary, answer) }
}

const OPERATIONS: [Operation; 12] = [
    post("/v2/rooms", "Makes a room that is there before anybody comes", "NewRoom", "Room"),
    list("/v2/rooms", "The rooms that were made, newest first", "Room"),
    get("/v2/rooms/{id}", "One room, by its id or custom id", "Room"),
    get("/v2/rooms/validate/{id}", "The room, if it can be joined", "Room"),
    post("/v2/rooms/deactivate", "Nobody may join any more; whoever is in is put out", "RoomId", "Room"),
    Operation { query: &["roomId"], ..list("/v2/sessions", "Sessions of rooms, newest first", "Session") },
    get("/v2/sessions/{id}", "One session", "Session"),
    list("/v2/sessions/{id}/participants", "Who was in, in order of coming", "Stay"),
    list("/v2/sessions/{id}/participants/active", "Who is in", "Stay"),
    post("/v2/sessions/end", "Puts everybody out and ends the session", "RoomId", "Ended"),
    post("/v2/sessions/participants/remove", "Puts one participant out", "Participant", "Removed"),
    post("/v2/tokens", "A join token, valid for six hours", "NewToken", "Token"),
];

/// The document.
pub fn document() -> Value {
    let mut paths: Map<String, Value> = whip::paths();
    for operation in &OPERATIONS {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method] = operation.describe();
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "roomd",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Rooms, sessions and tokens for app servers; WHIP and WHEP for their clients. Times are RFC 3339, UTC.",
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {
                "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                "description": "HS256, signed with a key of the keys file: `apikey`, `permissions: [\"allow_mod\"]`, `version: 2`, or \
                    LiveKit's shape with `video.roomAdmin`. With or without `Bearer`, or as `?access_token=`.",
            }},
            "responses": {"Error": {
                "description": "Not done",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            }},
            "schemas": schemas(),
        },
    })
}

impl Operation {
    fn describe(&self) -> Value {
        let mut parameters: Vec<Value> = Vec::new();
        if self.path.contains("{id}") {
            parameters
                .push(json!({"name": "id", "in": "path", "required": true, "schema": {"type": "string"}}));
        }
        let text = |name: &&str| json!({"name": name, "in": "query", "schema": {"type": "string"}});
        parameters.extend(self.query.iter().map(text));
        if self.list {
            let number = |name: &str, most: u32| json!({"name": name, "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": most}});
            parameters.extend([number("page", 1_000_000), number("perPage", 100)]);
        }
        let item = reference(self.answer);
        let answer = match self.list {
            false => item,
            true => object(
                &[("pageInfo", reference("PageInfo")), ("data", json!({"type": "array", "items": item}))],
                &["pageInfo", "data"],
            ),
        };
        let mut described = json!({
            "summary": self.summary,
            "parameters": parameters,
            "responses": {
                "200": {"description": "Done", "content": {"application/json": {"schema": answer}}},
                "default": {"$ref": "#/components/responses/Error"},
            },
        });
        if let Some(body) = self.body {
            described["requestBody"] =
                json!({"required": true, "content": {"application/json": {"schema": reference(body)}}});
        }
        described
    }
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

/// An object that has these properties and no others.
fn object(properties: &[(&str, Value)], required: &[&str]) -> Value {
    let properties: Map<String, Value> =
        properties.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

fn text() -> Value {
    json!({"type": "string"})
}

fn maybe(kind: &str) -> Value {
    json!({"type": [kind, "null"]})
}

fn time() -> Value {
    json!({"type": "string", "format": "date-time"})
}

fn maybe_time() -> Value {
    json!({"type": ["string", "null"], "format": "date-time"})
}

fn one_of(words: &[&str]) -> Value {
    json!({"type": "string", "enum": words})
}

fn schemas() -> Value {
    let id = || json!({"type": "string", "minLength": 1, "maxLength": 256});
    let kind = || one_of(&["meeting", "interactive"]);
    let links = |names: &[&str]| object(&names.iter().map(|name| (*name, text())).collect::<Vec<_>>(), names);
    let permissions =
        json!({"type": "array", "minItems": 1, "items": one_of(&["allow_join", "allow_mod", "ask_join"])});
    json!({
        "NewRoom": object(&[
            ("customRoomId", id()), ("type", kind()), ("webhook", reference("Webhook")),
            ("autoCloseConfig", reference("AutoClose")),
        ], &[]),
        "Webhook": object(&[
            ("endPoint", json!({"type": "string", "format": "uri", "maxLength": 2048})),
            ("events", json!({"type": "array", "items": one_of(&crate::server::report::EVENTS),
                "description": "Empty: all"})),
        ], &["endPoint"]),
        "AutoClose": object(&[
            ("type", one_of(&["session-ends", "session-end-and-deactivate"])),
            ("duration", json!({"type": "integer", "minimum": 1, "maximum": 10080, "description": "Minutes"})),
        ], &["duration"]),
        "Room": object(&[
            ("id", text()), ("roomId", text()), ("customRoomId", maybe("string")), ("type", kind()),
            ("streamId", maybe("string")), ("webhook", maybe("object")), ("autoCloseConfig", maybe("object")),
            ("disabled", json!({"type": "boolean"})), ("createdAt", time()), ("updatedAt", time()),
            ("links", links(&["getRoom", "getSessions", "guestPage"])),
        ], &["id", "roomId", "type", "disabled", "createdAt", "updatedAt", "links"]),
        "RoomId": object(&[("roomId", id())], &["roomId"]),
        "Session": object(&[
            ("id", text()), ("roomId", text()), ("status", one_of(&["ongoing", "ended"])), ("start", time()),
            ("end", maybe_time()), ("reason", maybe("string")), ("links", links(&["getRoom", "getSession"])),
        ], &["id", "roomId", "status", "start", "links"]),
        "Stay": object(&[
            ("id", text()), ("participantId", text()), ("name", text()), ("joinedAt", time()),
            ("leftAt", maybe_time()), ("reason", maybe("string")),
        ], &["id", "participantId", "name", "joinedAt"]),
        "Ended": object(&[("roomId", text()), ("status", one_of(&["ended"]))], &["roomId", "status"]),
        "Participant": object(&[("roomId", id()), ("participantId", id())], &["roomId", "participantId"]),
        "Removed": object(&[("roomId", text()), ("participantId", text()), ("status", one_of(&["removed"]))],
            &["roomId", "participantId", "status"]),
        "NewToken": object(&[
            ("roomId", id()), ("participantId", id()), ("permissions", permissions),
            ("role", one_of(&["host", "viewer"])),
        ], &["roomId", "participantId", "permissions"]),
        "Token": object(&[
            ("token", text()), ("roomId", text()), ("participantId", text()), ("expiresAt", time()),
        ], &["token", "roomId", "participantId", "expiresAt"]),
        "PageInfo": object(&["currentPage", "perPage", "lastPage", "total"].map(|name| (name, json!({"type": "integer"}))),
            &["currentPage", "perPage", "lastPage", "total"]),
        "Error": object(&[("error", object(&[("code", text()), ("message", text()), ("field", text())],
            &["code", "message"]))], &["error"]),
    })
}
