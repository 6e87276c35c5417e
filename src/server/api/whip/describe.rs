//! The paths as the interface's description (OpenAPI 3.1) has them.

use serde_json::{Map, Value, json};

use super::{FRAGMENT, SDP};

/// Path → its operations.
pub(in crate::server::api) fn paths() -> Map<String, Value> {
    let mut paths = Map::new();
    for (path, summary) in [
        ("/whip/v1", "Publishes a camera, a microphone or both into the token's room (WHIP, RFC 9725)"),
        ("/whep/v1", "Watches what stands out in the token's room (WHEP)"),
    ] {
        paths.insert(path.to_owned(), json!({"post": begin(summary)}));
        paths.insert(format!("{path}/{{id}}"), json!({"patch": change(), "delete": end()}));
    }
    paths
}

fn content(kind: &str) -> Value {
    json!({kind: {"schema": {"type": "string"}}})
}

fn text(description: &str) -> Value {
    json!({"description": description, "schema": {"type": "string"}})
}

fn id() -> Value {
    json!({"name": "id", "in": "path", "required": true, "schema": {"type": "string"}})
}

fn begin(summary: &str) -> Value {
    json!({
        "summary": summary,
        "requestBody": {"required": true, "content": content(SDP), "description": "The offer"},
        "responses": {
            "201": {"description": "The answer", "content": content(SDP), "headers": {
                "Location": text("The session's path"),
                "ETag": text("The ICE session"),
                "Accept-Patch": text(FRAGMENT),
            }},
            "default": {"$ref": "#/components/responses/Error"},
        },
    })
}

fn change() -> Value {
    json!({
        "summary": "More candidates, or with other credentials an ICE restart",
        "parameters": [id(), {"name": "If-Match", "in": "header", "required": true, "schema": {"type": "string"},
            "description": "The ETag; \"*\" to restart ICE"}],
        "requestBody": {"required": true, "content": content(FRAGMENT)},
        "responses": {
            "200": {"description": "ICE restarts", "content": content(FRAGMENT),
                "headers": {"ETag": text("The new ICE session")}},
            "204": {"description": "Candidates taken"},
            "default": {"$ref": "#/components/responses/Error"},
        },
    })
}

fn end() -> Value {
    json!({
        "summary": "Ends the session: the participant leaves",
        "parameters": [id()],
        "responses": {
            "200": {"description": "It has left"},
            "default": {"$ref": "#/components/responses/Error"},
        },
    })
}
