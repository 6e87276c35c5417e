//! A box tells an app server what happens in its rooms, also when either of them was away.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use roomd::room::Grant;
use serde_json::{Value, json};

use crate::gate;
use crate::http;
use crate::pair::keys;
use crate::parts;
use crate::roomd::Roomd;

/// An app server that takes webhooks, or refuses them.
#[derive(Default)]
struct AppServer {
    /// Each with its `Authorization`; refused ones are not kept.
    taken: Mutex<Vec<(String, String)>>,
    refusing: AtomicBool,
    refused: AtomicUsize,
}

impl AppServer {
    /// Serves until the test's end. Gives the URL too.
    fn start() -> (Arc<AppServer>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
        let server = Arc::new(AppServer::default());
        let serving = server.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
                serving.serve(&mut stream);
            }
        });
        (server, url)
    }

    fn serve(&self, stream: &mut (impl Read + Write)) {
        let (mut request, mut chunk) = (Vec::new(), [0; 4096]);
        let (head, body) = loop {
            match stream.read(&mut chunk) {
                Ok(read) if read > 0 => request.extend_from_slice(&chunk[..read]),
                _ => return,
            }
            let text = String::from_utf8_lossy(&request).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = header(head, "content-length").parse().unwrap_or(0);
            if body.len() >= length {
                break (head.to_owned(), body.to_owned());
            }
        };
        let refuse = self.refusing.load(Ordering::SeqCst);
        let status = if refuse { "503 Service Unavailable" } else { "200 OK" };
        if refuse {
            self.refused.fetch_add(1, Ordering::SeqCst);
        } else {
            assert_eq!(header(&head, "content-type"), "application/webhook+json");
            self.taken.lock().unwrap().push((header(&head, "authorization"), body));
        }
        let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }

    /// `event` of each, of the session `sid` when one is named.
    fn events(&self, sid: Option<&str>) -> Vec<String> {
        let taken = self.taken.lock().unwrap();
        let read = taken.iter().map(|(_, body)| serde_json::from_str::<Value>(body).expect("JSON"));
        read.filter(|event| sid.is_none_or(|sid| event["room"]["sid"] == sid))
            .map(|event| event["event"].as_str().unwrap_or_default().to_owned())
            .collect()
    }
}

fn header(head: &str, name: &str) -> String {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    let found = lines.find(|(found, _)| found.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
}

/// What the stock receiver of LiveKit's Python SDK reads out of them; it throws on a bad signature or digest.
const VERIFY: &str = "
import json, sys
from livekit import api
taken, key, secret = json.load(sys.stdin)
receiver = api.WebhookReceiver(api.TokenVerifier(key, secret))
print(json.dumps([receiver.receive(body, token).event for token, body in taken]))
";

fn verified(taken: &[(String, String)], key: &str, secret: &str) -> Value {
    let mut python = Command::new(parts::python())
        .args(["-c", VERIFY])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let input = json!([taken, key, secret]).to_string();
    python.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("Python reads");
    let output = python.wait_with_output().expect("Python ends");
    assert!(output.status.success(), "each is signed, whole and an event");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn an_app_server_hears_everything_in_order_although_it_refused_and_the_box_was_killed() {
    let _gate = gate::undisturbed();
    let (app, url) = AppServer::start();
    app.refusing.store(true, Ordering::SeqCst);
    let config = format!("[room]\nname = \"lobby\"\n[server]\nwebhook_urls = [\"{url}\"]");
    let mut roomd = Roomd::start(&config);
    roomd.wait_for("the box in its room", |roomd| roomd.state()["room"]["status"] == "joined");
    roomd.wait_for("refusals", |_| app.refused.load(Ordering::SeqCst) >= 2);
    assert!(app.events(None).is_empty());
    app.refusing.store(false, Ordering::SeqCst);
    roomd.wait_for("both tracks", |_| {
        app.events(None).iter().filter(|e| *e == "track_published").count() == 2
    });
    let begun = app.events(None);
    assert_eq!(begun[0], "room_started", "{begun:?}");
    assert!(begun.contains(&"participant_joined".to_owned()), "{begun:?}");

    let (keys, secret) = keys(&roomd);
    let token = keys.mint(
        &Grant { room_admin: true, room_list: true, ..Grant::default() },
        Duration::from_secs(60),
        SystemTime::now(),
    );
    let ask = |roomd: &Roomd, path: &str| -> Value {
        let answer = http::get(&roomd.address("http"), path, &[&format!("Authorization: {token}")]);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        serde_json::from_slice(&answer.body).expect("JSON")
    };
    let first =
        ask(&roomd, "/v2/sessions?roomId=lobby")["data"][0]["id"].as_str().unwrap_or_default().to_owned();
    let present = ask(&roomd, &format!("/v2/sessions/{first}/participants/active"));
    assert_eq!(present["data"][0]["participantId"], roomd.ask(&["info"])["identity"], "{present}");

    app.refusing.store(true, Ordering::SeqCst);
    let dir = roomd.kill();
    let mut roomd = Roomd::start_in(dir, &config);
    app.refusing.store(false, Ordering::SeqCst);
    let over = |sid: &str| app.events(Some(sid)).last().is_some_and(|last| last == "room_finished");
    roomd.wait_for("the end of the first session", |_| over(&first));
    let told = app.events(Some(&first));
    assert_eq!(told[told.len() - 2..], ["participant_left", "room_finished"], "{told:?}");
    roomd.wait_for("the box in its room again", |_| {
        app.events(None).iter().filter(|event| *event == "participant_joined").count() == 2
    });
    let sessions = ask(&roomd, "/v2/sessions?roomId=lobby");
    let (now, before) = (&sessions["data"][0], &sessions["data"][1]);
    assert_eq!(
        (&before["id"], &before["status"], &now["status"]),
        (&json!(first), &json!("ended"), &json!("ongoing"))
    );
    let second = now["id"].as_str().unwrap_or_default().to_owned();
    roomd.stop();
    assert!(over(&second), "a box that stops says goodbye: {:?}", app.events(Some(&second)));

    let taken = app.taken.lock().unwrap().clone();
    assert_eq!(verified(&taken, keys.first(), &secret), json!(app.events(None)));
}
