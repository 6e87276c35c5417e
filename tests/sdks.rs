//! The three unmodified SDKs (JS in Chromium, Python, Node) and the box in one room: each publishes and gets all others.
//! The same on our server and on livekit-server. `benches/sdks.py` has them meet for a minute and prints the figures.
// Real processes take real time, and a test that cannot go on may panic.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod interop;
mod relay;
mod rooms;

use std::process::Stdio;
use std::time::Duration;

use interop::proxy::room_service;
use interop::{Box_, LiveKit, signed, token};
use livekit_protocol as proto;
use roomd::participant::TokenSource;
use rooms::{RoomServer, tool};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

const ROOM: &str = "hall";
/// Three SDKs are load enough for a machine.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
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
async fn three_sdks_and_the_box_see_hear_tell_call_share_mute_and_lose_each_other_on_our_server() {
    let server = RoomServer::start().await;
    meet(server.address.port()).await;
}

/// Our server is held to what it does here.
#[tokio::test(flavor = "multi_thread")]
async fn three_sdks_and_the_box_see_hear_tell_call_share_mute_and_lose_each_other_on_livekit_server() {
    let Some(server) = LiveKit::start().await else { return };
    meet(server.port).await;
}

/// All of it, on whichever server listens at `port`: nothing here knows which.
async fn meet(port: u16) {
    let _turn = ONE_AT_A_TIME.lock().await;
    let Some(python) = tool("ROOMD_TEST_PYTHON", "a Python with livekit and numpy") else { return };
    if tool("ROOMD_TEST_NODE_MODULES", "modules with playwright-core, livekit-client and rtc-node").is_none()
    {
        return;
    }
    let (http, ws) = (format!("http://127.0.0.1:{port}"), format!("ws://127.0.0.1:{port}"));
    let the_box = Box_::join(ws.clone(), TokenSource::fixed(token("box", ROOM, 3600)));
    the_box.until_joined().await;
    let [a, b, c] = ["js", "python", "node"].map(viewer_token);
    let joined = tokio::join!(
        Actor::join("js", "node", "browser/actor.mjs", &http, &a),
        Actor::join("python", &python, "interop/actor.py", &ws, &b),
        Actor::join("node", "node", "interop/actor.mjs", &ws, &c),
    );
    let mut actors: [Actor; 3] = joined.into();

    viewers_publish_once_they_are_promoted(port, &mut actors).await;
    everyone_decodes_what_everyone_sends(&mut actors).await;
    everyone_is_told_and_answers(&mut actors).await;
    everyone_sees_everyones_screen(&mut actors).await;
    mutes_and_departures_are_seen(port, &mut actors).await;
    for actor in &mut actors {
        let _ = actor.input.write_all(b"[\"quit\"]\n").await;
    }
    let _ = the_box.leave().await;
}

/// A token to watch and write, but not to publish.
fn viewer_token(identity: &str) -> String {
    let video = json!({"room": ROOM, "roomJoin": true, "canPublish": false});
    signed(json!({"sub": identity, "video": video}), 3600)
}

/// Asks the server's RoomService, as any app server does.
async fn order(port: u16, method: &str, mut body: Value) -> Value {
    body["room"] = json!(ROOM);
    room_service(port, ROOM, method, body).await
}

async fn allow(port: u16, identity: &str, publish: bool) {
    let permission = json!({"canSubscribe": true, "canPublishData": true, "canPublish": publish});
    order(port, "UpdateParticipant", json!({"identity": identity, "permission": permission})).await;
}

async fn viewers_publish_once_they_are_promoted(port: u16, actors: &mut [Actor; 3]) {
    let answers = all(actors, &json!(["publish"])).await;
    for (actor, refused) in actors.iter().zip(answers) {
        assert!(refused["refused"].is_string(), "{} may publish: {refused}", actor.identity);
    }
    for actor in actors.iter_mut() {
        assert_eq!(actor.tell(json!(["seen"])).await["tracks"], json!(["box camera", "box microphone"]));
        allow(port, actor.identity, true).await;
    }
    for actor in actors.iter_mut() {
        // A client hears of its promotion a moment later.
        actor.until("it may publish", "publish", |answer| answer["refused"].is_null()).await;
    }
    for actor in actors.iter_mut() {
        let wanted = tracks(&others(actor.identity, true), &["camera", "microphone"]);
        actor.until("all are on stage", "seen", |seen| seen["tracks"] == json!(wanted)).await;
    }
}

/// `anna camera`, `anna microphone`, `bert camera`, …
fn tracks(identities: &[&str], sources: &[&str]) -> Vec<String> {
    identities.iter().flat_map(|who| sources.iter().map(move |source| format!("{who} {source}"))).collect()
}

async fn everyone_sees_everyones_screen(actors: &mut [Actor; 3]) {
    for index in 0..actors.len() {
        let sharing = actors[index].identity;
        let track = json!(format!("{sharing} screen"));
        actors[index].tell(json!(["share"])).await;
        for actor in actors.iter_mut().filter(|actor| actor.identity != sharing) {
            actor.until("the screen is seen", "stats", |stats| count(&stats["screens"][sharing]) > 0).await;
            assert!(has(&actor.tell(json!(["seen"])).await["tracks"], &track), "{}", actor.identity);
        }
        actors[index].tell(json!(["unshare"])).await;
        for actor in actors.iter_mut().filter(|actor| actor.identity != sharing) {
            actor.until("the screen is gone", "seen", |seen| !has(&seen["tracks"], &track)).await;
        }
    }
}

fn has(list: &Value, item: &Value) -> bool {
    list.as_array().is_some_and(|list| list.contains(item))
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

async fn mutes_and_departures_are_seen(port: u16, actors: &mut [Actor; 3]) {
    let [js, python, node] = actors;
    js.tell(json!(["mute"])).await;
    python.tell(json!(["mute"])).await;
    // The Node SDK has no mute of its own: a moderator does it.
    let info = order(port, "GetParticipant", json!({"identity": "node"})).await;
    let published = info["tracks"].as_array().unwrap();
    let microphone = published.iter().find(|track| track["name"] == "microphone").unwrap();
    let mute = json!({"identity": "node", "track_sid": microphone["sid"], "muted": true});
    order(port, "MutePublishedTrack", mute).await;
    for actor in [&mut *js, &mut *python, &mut *node] {
        let others = others(actor.identity, false);
        let sees = |seen: &Value| others.iter().all(|other| has(&seen["muted"], &json!(other)));
        actor.until("the others are muted", "seen", sees).await;
    }
    // Back from the stage.
    allow(port, "python", false).await;
    let wanted = [("js", ["box", "node"]), ("node", ["box", "js"])];
    for (actor, (identity, others)) in [&mut *js, &mut *node].into_iter().zip(wanted) {
        assert_eq!(actor.identity, identity);
        let wanted = json!(tracks(&others, &["camera", "microphone"]));
        actor.until("one is a viewer again", "seen", |seen| seen["tracks"] == wanted).await;
    }
    order(port, "RemoveParticipant", json!({"identity": "node"})).await;
    let removed = proto::DisconnectReason::ParticipantRemoved as i32;
    node.until("it is removed", "seen", |seen| seen["reason"] == removed).await;
    for actor in [&mut *js, &mut *python] {
        actor.until("the other is removed", "seen", |seen| seen["left"] == json!(["node"])).await;
    }
    order(port, "DeleteRoom", json!({})).await;
    let deleted = proto::DisconnectReason::RoomDeleted as i32;
    for actor in [js, python] {
        actor.until("the room has ended", "seen", |seen| seen["reason"] == deleted).await;
    }
}
