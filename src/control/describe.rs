//! The interface in one document, and its hash: by it a fleet server tells boxes apart that speak differently.

use serde_json::{Value, json};

use super::Command;

/// Commands with their parameters, the state document's parts, and the codes: what `schema` hashes. A change to
/// any of them must show here (a test compares it with the types).
pub fn describe() -> Value {
    json!({
        "commands": {
            "ping": {},
            "room.join": {"room": "string", "url?": "string", "token?": "string"},
            "room.leave": {},
            "room.end": {},
            "recording.set": {"on": "boolean", "id?": "string", "source?": "box"},
            "live.set": {"on": "boolean", "source?": "box", "config?": "object",
                "outputs?": [{"url": "string", "streamKey": "string"}]},
            "microphone.set": {"muted": "boolean"},
            "layout.set": "object",
            "snapshot": {},
            "identify": {},
            "restart": {},
        },
        "state": {
            "seq": "integer", "ts": "time",
            "room": {"name": "string", "url": "string", "reason?": "string", "participants": "integer",
                "status": ["joining", "joined", "resuming", "backing_off"]},
            "recording": {"on": "boolean", "id?": "string", "source?": "string", "file?": "string",
                "started_at?": "time", "bytes?": "integer", "reason?": "string",
                "status?": ["recording", "storage_slow", "disk_full", "retrying"]},
            "live": {"on": "boolean", "destinations": [{"url": "string", "bytes_acked": "integer",
                "last_error?": "string", "next_try?": "time",
                "status": ["connecting", "live", "stalled", "retrying", "stopped"]}]},
            "camera": {"status": DEVICE, "device?": "string", "format?": "string", "reason?": "string"},
            "microphone": {"status": DEVICE, "device?": "string", "muted": "boolean", "reason?": "string"},
            "speaker": {"status": DEVICE, "device?": "string", "reason?": "string"},
            "config_version": "integer", "identifying": "boolean",
        },
        "reply": {"id": "string", "ok": "boolean", "message": "string", "retryable": "boolean", "data": "any",
            "code": ["ok", "bad_request", "unauthorized", "unsupported", "busy", "conflict", "not_ready",
                "device_missing", "expired", "timeout", "upstream", "unknown", "internal"]},
    })
}

const DEVICE: [&str; 4] = ["starting", "running", "off", "failed"];

/// Hash of [`describe`]: 64-bit FNV-1a in hexadecimal. The same on every box that speaks the same.
pub fn schema_hash() -> String {
    let hash = describe()
        .to_string()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

/// The names of the commands, for the `info` document.
pub fn commands() -> Value {
    json!(Command::NAMES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Reply, State};

    fn keys(value: &Value) -> Vec<String> {
        let mut keys: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
        keys.sort();
        keys
    }

    #[test]
    fn the_description_names_what_the_types_have() {
        let described = describe();
        let mut names = Command::NAMES.map(str::to_owned).to_vec();
        names.sort();
        assert_eq!(keys(&described["commands"]), names);
        let state = json!(State::default());
        assert_eq!(keys(&described["state"]), keys(&state));
        for part in ["recording", "live", "camera", "microphone", "speaker"] {
            let known = keys(&described["state"][part]);
            assert!(keys(&state[part]).iter().all(|key| known.contains(key)), "{part}");
        }
        assert_eq!(keys(&described["reply"]), keys(&json!(Reply::ok("", Value::Null))));
    }

    #[test]
    fn the_hash_is_stable_within_a_build() {
        assert_eq!(schema_hash(), schema_hash());
        assert_eq!(schema_hash().len(), 16);
    }
}
