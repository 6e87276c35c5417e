//! What is known of a fleet's boxes, from their retained documents. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The documents that [`Boxes`] is made from.
pub(super) const LEAVES: [&str; 4] = ["status", "info", "state", "config/reported"];

/// The boxes of one fleet.
#[derive(Debug)]
pub(super) struct Boxes {
    root: String,
    known: BTreeMap<String, Known>,
}

#[derive(Debug, Default)]
struct Known {
    documents: BTreeMap<&'static str, Value>,
}

/// One box, on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) name: String,
    /// `online`, `offline`, `updating`; `unknown` without a status.
    pub(super) status: String,
    /// Since when it is so.
    pub(super) since: Option<OffsetDateTime>,
    /// Name, how far the joining is, and how many are in it.
    pub(super) room: Option<(String, String, u64)>,
    /// The one that is wanted.
    pub(super) recording: Option<Recording>,
    /// Destinations that take the stream, and all.
    pub(super) live: Option<(usize, usize)>,
    pub(super) muted: bool,
    /// Something that should work and does not.
    pub(super) trouble: Option<String>,
    pub(super) version: String,
}

/// A recording that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recording {
    pub(super) id: String,
    pub(super) started: Option<OffsetDateTime>,
    /// Something is being written.
    pub(super) works: bool,
}

impl Boxes {
    pub(super) fn new(fleet: &str) -> Boxes {
        Boxes { root: format!("roomd/v1/{fleet}/d/"), known: BTreeMap::new() }
    }

    /// What to subscribe to.
    pub(super) fn filters(&self) -> Vec<String> {
        LEAVES.iter().map(|leaf| format!("{}+/{leaf}", self.root)).collect()
    }

    /// Takes in a message; tells whose it was when it changes anything.
    pub(super) fn hear(&mut self, topic: &str, payload: &[u8]) -> Option<String> {
        let (id, leaf) = topic.strip_prefix(&self.root)?.split_once('/')?;
        let leaf = LEAVES.into_iter().find(|known| *known == leaf)?;
        if payload.is_empty() {
            let known = self.known.get_mut(id)?;
            known.documents.remove(leaf)?;
            if known.documents.is_empty() {
                self.known.remove(id);
            }
            return Some(id.to_owned());
        }
        let document: Value = serde_json::from_slice(payload).ok()?;
        let known = self.known.entry(id.to_owned()).or_default();
        if leaf == "status" && known.documents.get(leaf).is_some_and(|before| is_late(before, &document)) {
            return None;
        }
        known.documents.insert(leaf, document);
        Some(id.to_owned())
    }

    /// Every box, by its id.
    pub(super) fn rows(&self) -> Vec<Row> {
        self.known.iter().map(|(id, known)| known.row(id)).collect()
    }

    pub(super) fn row(&self, id: &str) -> Option<Row> {
        self.known.get(id).map(|known| known.row(id))
    }

    /// The boxes that say that they are in `group`.
    pub(super) fn members(&self, group: &str) -> BTreeSet<String> {
        let is_in = |known: &Known| {
            let groups = &known.document("config/reported")["effective"]["control"]["groups"];
            groups.as_array().into_iter().flatten().any(|name| name == group)
        };
        self.known.iter().filter(|(_, known)| is_in(known)).map(|(id, _)| id.clone()).collect()
    }
}

/// A last will that comes after the box is back: it is about an earlier connection.
fn is_late(before: &Value, now: &Value) -> bool {
    let same_run = before["boot_id"] == now["boot_id"];
    let number = |status: &Value| status["conn_seq"].as_u64().unwrap_or(0);
    match same_run {
        true => number(now) < number(before),
        // RFC 3339 in UTC: the order of the texts is that of the times.
        false => now["state"] == "offline" && now["ts"].as_str() < before["ts"].as_str(),
    }
}

impl Known {
    fn document(&self, leaf: &str) -> &Value {
        self.documents.get(leaf).unwrap_or(&Value::Null)
    }

    fn row(&self, id: &str) -> Row {
        let (status, info, state) = (self.document("status"), self.document("info"), self.document("state"));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let room = state["room"].as_object().map(|room| {
            let of = |key: &str| room.get(key).map(text).unwrap_or_default();
            (of("name"), of("status"), room.get("participants").and_then(Value::as_u64).unwrap_or(0))
        });
        let recording = &state["recording"];
        let recording = (recording["on"] == true).then(|| Recording {
            id: text(&recording["id"]),
            started: time_of(&recording["started_at"]),
            works: !matches!(recording["status"].as_str(), Some("disk_full" | "retrying")),
        });
        let destinations = state["live"]["destinations"].as_array().map(Vec::as_slice).unwrap_or_default();
        let works = destinations.iter().filter(|to| to["status"] == "live").count();
        Row {
            id: id.to_owned(),
            name: text(&info["name"]),
            status: status["state"].as_str().unwrap_or("unknown").to_owned(),
            since: time_of(&status["ts"]),
            room,
            recording,
            live: (state["live"]["on"] == true).then_some((works, destinations.len())),
            muted: state["microphone"]["muted"] == true,
            trouble: trouble(state),
            version: text(&info["version"]),
        }
    }
}

fn trouble(state: &Value) -> Option<String> {
    let device = ["camera", "microphone", "speaker"].into_iter().find_map(|device| {
        let status = state[device]["status"].as_str()?;
        (!["running", "off", "none", "starting"].contains(&status)).then(|| format!("{device} {status}"))
    });
    let recording = || {
        let status = state["recording"]["status"].as_str()?;
        (status != "recording").then(|| status.replace('_', " "))
    };
    device.or_else(recording)
}

fn time_of(value: &Value) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(value.as_str()?, &Rfc3339).ok()
}

impl Row {
    /// For scripts.
    pub(super) fn json(&self) -> Value {
        let time = |at: OffsetDateTime| at.format(&Rfc3339).ok();
        json!({
            "box": self.id,
            "name": self.name,
            "status": self.status,
            "since": self.since.and_then(time),
            "room": self.room.as_ref().map(|(name, status, participants)| {
                json!({"name": name, "status": status, "participants": participants})
            }),
            "recording": self.recording.as_ref().map(|one| {
                json!({"id": one.id, "started_at": one.started.and_then(time), "works": one.works})
            }),
            "live": self.live.map(|(live, all)| json!({"live": live, "destinations": all})),
            "muted": self.muted,
            "trouble": self.trouble,
            "version": self.version,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: &str, boot: &str, number: u64, ts: &str) -> String {
        json!({"state": state, "boot_id": boot, "conn_seq": number, "ts": ts}).to_string()
    }

    #[test]
    fn documents_become_rows_and_removed_ones_go() {
        let mut boxes = Boxes::new("f");
        for (leaf, document) in [
            ("status", json!({"state": "online", "ts": "2026-01-01T00:00:00Z"})),
            ("info", json!({"name": "Lobby", "version": "1.2.3"})),
            (
                "state",
                json!({"room": {"name": "stage", "status": "joined", "participants": 3},
                "recording": {"on": true, "id": "r", "started_at": "2026-01-01T00:00:00Z", "status": "disk_full"},
                "live": {"on": true, "destinations": [{"status": "live"}, {"status": "retrying"}]},
                "microphone": {"muted": true, "status": "running"}, "camera": {"status": "running"}}),
            ),
            ("config/reported", json!({"effective": {"control": {"groups": ["floor1"]}}})),
        ] {
            assert_eq!(
                boxes.hear(&format!("roomd/v1/f/d/a/{leaf}"), document.to_string().as_bytes()),
                Some("a".into())
            );
        }
        let row = boxes.row("a").unwrap();
        assert_eq!(
            (row.name.as_str(), row.status.as_str(), row.version.as_str()),
            ("Lobby", "online", "1.2.3")
        );
        assert_eq!((row.live, row.muted, row.trouble.as_deref()), (Some((1, 2)), true, Some("disk full")));
        assert_eq!(row.json()["room"]["participants"], 3);
        assert_eq!((boxes.members("floor1").len(), boxes.members("floor2").len()), (1, 0));
        for (topic, payload) in [
            ("roomd/v1/f/d/a/nothing", "{}"),
            ("roomd/v1/g/d/a/status", "{}"),
            ("roomd/v1/f/d/a/status", "{nonsense"),
            ("roomd/v1/f/d/b/status", ""),
            ("", ""),
        ] {
            assert_eq!(boxes.hear(topic, payload.as_bytes()), None, "{topic}");
        }
        assert_eq!(boxes.rows().len(), 1);
        for leaf in LEAVES {
            boxes.hear(&format!("roomd/v1/f/d/a/{leaf}"), b"");
        }
        assert!(boxes.rows().is_empty());
    }

    #[test]
    fn a_last_will_that_comes_late_is_not_believed() {
        let mut boxes = Boxes::new("f");
        let mut hear = |document: String| {
            boxes.hear("roomd/v1/f/d/a/status", document.as_bytes());
            boxes.row("a").unwrap().status
        };
        assert_eq!(hear(status("online", "run1", 2, "2026-01-01T00:00:02Z")), "online");
        assert_eq!(
            hear(status("offline", "run1", 1, "2026-01-01T00:00:01Z")),
            "online",
            "of the connection before"
        );
        assert_eq!(hear(status("offline", "run0", 9, "2026-01-01T00:00:01Z")), "online", "of the run before");
        assert_eq!(hear(status("offline", "run1", 2, "2026-01-01T00:00:02Z")), "offline");
        assert_eq!(hear(status("online", "run2", 1, "2026-01-01T00:00:03Z")), "online");
    }

    proptest::proptest! {
        #[test]
        fn no_message_makes_it_panic(leaf in "(status|info|state|config/reported)", text in "\\PC{0,40}") {
            let mut boxes = Boxes::new("f");
            for payload in [text.clone(), json!({"room": text, "recording": text, "live": [text]}).to_string()] {
                boxes.hear(&format!("roomd/v1/f/d/a/{leaf}"), payload.as_bytes());
            }
            let _ = (boxes.rows().iter().map(Row::json).count(), boxes.members("x"));
        }
    }
}
