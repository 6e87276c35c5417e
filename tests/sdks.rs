//! The three unmodified SDKs (JS in Chromium, Python, Node) and the box in one room: each publishes and gets all others.
// Real processes take real time, and a test that cannot go on may panic.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod interop;
mod relay;
mod rooms;

use std::process::Stdio;
use std::time::Duration;

use interop::Box_;
use livekit_protocol as proto;
use roomd::participant::TokenSource;
use roomd::room::Grant;
use rooms::{RoomServer, tool};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// How long an actor may take for one word.
const MOMENT: Duration = Duration::from_secs(40);
/// Pictures that each sends to be counted, ten a second.
const FRAMES: u64 = 100;

/// A process that takes part by one SDK and does what it is told.
struct Actor {
    identity: &'static str,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Actor {
    async fn join(identity: &'static str, program: &str, script: &str, url: &str, token: &str) -> Actor {
        let modules = std::env::var("ROOMD_TEST_NODE_MODULES").unwrap_or_default();
        let mut child = Command::new(program)
            .args([&format!("{}/tests/{script}", env!("CARGO_MANIFEST_DIR")), url, token])
            .env("NODE_MODULES", modules)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut actor = Actor { identity, input, output: BufReader::new(output).lines(), _child: child };
        assert_eq!(actor.answer("join").await, "joined");
        actor
    }

    async fn answer(&mut self, to: &str) -> Value {
        loop {
            let line = tokio::time::timeout(MOMENT, self.output.next_line()).await;
            let line = line.unwrap_or_else(|_| panic!("{}: no answer to {to}", self.identity)).unwrap();
            let line = line.unwrap_or_else(|| panic!("{} ended at {to}", self.identity));
            // Libraries print, too.
            let said: Value = serde_json::from_str(&line).unwrap_or_default();
            if let Some(answer) = said.get("answer") {
                return answer.clone();
            }
            eprintln!("{}: {line}", self.identity);
        }
    }

    async fn tell(&mut self, words: Value) -> Value {
        self.input.write_all(format!("{words}\n").as_bytes()).await.unwrap();
        self.answer(&words.to_string()).await
    }

    /// Asks for `word` until its answer is as wanted.
    async fn until(&mut self, what: &str, word: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = tokio::time::Instant::now() + MOMENT;
        loop {
            let answer = self.tell(json!([word])).await;
            if wanted(&answer) {
                return answer;
            }
            assert!(tokio::time::Instant::now() < deadline, "{} never: {what}: {answer}", self.identity);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// All of them do the same at the same time.
async fn all(actors: &mut [Actor; 3], words: &Value) -> [Value; 3] {
    let [a, b, c] = actors;
    tokio::join!(a.tell(words.clone()), b.tell(words.clone()), c.tell(words.clone())).into()
}

/// Everyone but `identity`, the box included or not.
fn others(identity: &str, with_box: bool) -> Vec<&'static str> {
    let all = ["box", "js", "node", "python"];
    all.into_iter().filter(|other| *other != identity && (with_box || *other != "box")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_sdks_and_the_box_see_hear_tell_call_mute_and_lose_each_other() {
    let Some(python) = tool("ROOMD_TEST_PYTHON", "a Python with livekit and numpy") else { return };
    if tool("ROOMD_TEST_NODE_MODULES", "modules with playwright-core, livekit-client and rtc-node").is_none()
    {
        return;
    }
    let server = RoomServer::start().await;
    let tokens = ["js", "python", "node"].map(|identity| server.token("hall", identity));
    let box_token = server.token("hall", "box");
    let the_box =
        Box_::join(server.ws_url(), TokenSource::new(move || std::future::ready(Ok(box_token.clone()))));
    the_box.until_joined().await;
    let (http, ws) = (server.http_url(), server.ws_url());
    let [a, b, c] = &tokens;
    let joined = tokio::join!(
        Actor::join("js", "node", "browser/actor.mjs", &http, a),
        Actor::join("python", &python, "interop/actor.py", &ws, b),
        Actor::join("node", "node", "interop/actor.mjs", &ws, c),
    );
    let mut actors: [Actor; 3] = joined.into();
    all(&mut actors, &json!(["publish"])).await;

    everyone_decodes_what_everyone_sends(&mut actors).await;
    everyone_is_told_and_answers(&mut actors).await;
    mutes_and_departures_are_seen(&server, &mut actors).await;
    for actor in &mut actors {
        let _ = actor.input.write_all(b"[\"quit\"]\n").await;
    }
    let _ = the_box.leave().await;
}

async fn everyone_decodes_what_everyone_sends(actors: &mut [Actor; 3]) {
    // Until every picture and sound has begun.
    for round in 0.. {
        all(actors, &json!(["frames", 5])).await;
        let stats = all(actors, &json!(["stats"])).await;
        let begun = |(actor, stats): (&Actor, &Value)| {
            let has = |what: &str, who: &str| stats[what][who].as_u64().is_some_and(|count| count > 0);
            others(actor.identity, true).iter().all(|other| has("frames", other))
                && others(actor.identity, false).iter().all(|other| has("heard", other))
        };
        if actors.iter().zip(&stats).all(begun) {
            break;
        }
        assert!(round < 40, "not everything is seen and heard: {stats:?}");
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = all(actors, &json!(["stats"])).await;
    all(actors, &json!(["frames", FRAMES])).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = all(actors, &json!(["stats"])).await;
    eprintln!("before {before:?}\nafter {after:?}");
    let sent: Vec<(&str, u64)> = (0..actors.len())
        .map(|index| (actors[index].identity, count(&after[index]["sent"]) - count(&before[index]["sent"])))
        .collect();
    // A busy machine's encoders leave pictures out; half of them are enough to count.
    assert!(sent.iter().all(|(_, sent)| *sent * 2 >= FRAMES), "{sent:?} of {FRAMES}");
    for (index, actor) in actors.iter().enumerate() {
        let decoded = |who: &str| count(&after[index]["frames"][who]) - count(&before[index]["frames"][who]);
        for (other, sent) in sent.iter().filter(|(other, _)| *other != actor.identity) {
            let decoded = decoded(other);
            assert!(decoded * 100 >= sent * 98, "{} decoded {decoded} of {other}'s {sent}", actor.identity);
        }
        // The box goes on all the time.
        assert!(decoded("box") > 0, "{} decoded nothing of the box", actor.identity);
    }
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

async fn everyone_is_told_and_answers(actors: &mut [Actor; 3]) {
    for actor in actors.iter_mut() {
        actor.tell(json!(["say", format!("from {}", actor.identity)])).await;
    }
    for actor in actors.iter_mut() {
        let told: Vec<String> =
            others(actor.identity, false).iter().map(|other| format!("from {other}")).collect();
        let seen =
            actor.until("the messages", "seen", |seen| seen["data"].as_array().is_some_and(|d| d.len() >= 2));
        assert_eq!(seen.await["data"], json!(told), "{}", actor.identity);
    }
    for index in 0..actors.len() {
        let (caller, called) = (actors[index].identity, actors[(index + 1) % actors.len()].identity);
        let answer = actors[index].tell(json!(["call", called])).await;
        assert_eq!(answer, format!("{called} greets {caller}: hello"));
    }
}

async fn mutes_and_departures_are_seen(server: &RoomServer, actors: &mut [Actor; 3]) {
    let moderator = Grant { room: "hall".into(), room_admin: true, ..Grant::default() };
    let [js, python, node] = actors;
    js.tell(json!(["mute"])).await;
    python.tell(json!(["mute"])).await;
    // The Node SDK has no mute of its own: a moderator does it.
    let info = server.handle.get_participant(moderator.clone(), "hall".into(), "node".into()).await.unwrap();
    let microphone = info.tracks.iter().find(|track| track.r#type == proto::TrackType::Audio as i32).unwrap();
    let mute = proto::MuteRoomTrackRequest {
        room: "hall".into(),
        identity: "node".into(),
        track_sid: microphone.sid.clone(),
        muted: true,
    };
    server.handle.mute_track(moderator.clone(), mute).await.unwrap();
    for actor in [&mut *js, &mut *python, &mut *node] {
        let sees = |seen: &Value| {
            others(actor.identity, false)
                .iter()
                .all(|o| seen["muted"].as_array().unwrap().contains(&json!(o)))
        };
        actor.until("the others are muted", "seen", sees).await;
    }
    server.handle.remove_participant(moderator.clone(), "hall".into(), "node".into()).await.unwrap();
    let removed = proto::DisconnectReason::ParticipantRemoved as i32;
    node.until("it is removed", "seen", |seen| seen["reason"] == removed).await;
    for actor in [&mut *js, &mut *python] {
        actor.until("the other is removed", "seen", |seen| seen["left"] == json!(["node"])).await;
    }
    server.handle.delete_room(moderator, "hall".into()).await.unwrap();
    let deleted = proto::DisconnectReason::RoomDeleted as i32;
    for actor in [js, python] {
        actor.until("the room has ended", "seen", |seen| seen["reason"] == deleted).await;
    }
}
