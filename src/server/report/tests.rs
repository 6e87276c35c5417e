//! Real receivers on loopback.

use std::collections::BTreeMap;
use std::sync::Mutex;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::Value;

use super::*;
use crate::room::Departure;

/// What a receiver got, and what it shall answer.
#[derive(Default)]
struct Inbox {
    got: Mutex<Vec<(HeaderMap, String)>>,
    /// Statuses still to be answered; then 200.
    answers: Mutex<Vec<u16>>,
    come: Notify,
}

async fn receive(State(inbox): State<Arc<Inbox>>, headers: HeaderMap, body: String) -> StatusCode {
    inbox.got.lock().unwrap().push((headers, body));
    inbox.come.notify_one();
    let status = inbox.answers.lock().unwrap().pop().unwrap_or(200);
    StatusCode::from_u16(status).unwrap()
}

impl Inbox {
    /// A receiver that answers `answers`, last first, and then 200.
    async fn open(answers: &[u16]) -> (Arc<Inbox>, WebhookUrl, JoinHandle<()>) {
        let inbox = Arc::new(Inbox { answers: Mutex::new(answers.to_vec()), ..Inbox::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = WebhookUrl::parse(&format!("http://{}/hook", listener.local_addr().unwrap())).unwrap();
        let router = Router::new().route("/hook", post(receive)).with_state(inbox.clone());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (inbox, url, serving)
    }

    /// Waits until it has `count` messages; they are `event` and `id`.
    async fn wait(&self, count: usize) -> Vec<(String, String)> {
        let enough = async {
            while self.got.lock().unwrap().len() < count {
                self.come.notified().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), enough).await.expect("the messages come");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let read = |body: &String| {
            let value: Value = serde_json::from_str(body).unwrap();
            (text(&value["event"]), text(&value["id"]))
        };
        self.got.lock().unwrap().iter().map(|(_, body)| read(body)).collect()
    }
}

fn keys() -> Arc<Keys> {
    let secret = "0123456789012345678901234567890123456789".to_owned();
    Arc::new(Keys::new(BTreeMap::from([("k".to_owned(), secret)])).unwrap())
}

fn room(name: &str) -> proto::Room {
    proto::Room { sid: format!("RM_{name}"), name: name.into(), ..Default::default() }
}

fn anna() -> proto::ParticipantInfo {
    proto::ParticipantInfo { sid: "PA_1".into(), identity: "anna".into(), ..Default::default() }
}

fn life(name: &str) -> [Event; 4] {
    let (reason, departure) = (proto::RoomEndReason::RoomEndIdleTimeout, Departure::Left);
    [
        Event::RoomStarted { room: room(name) },
        Event::ParticipantConnected { room: room(name), participant: anna() },
        Event::ParticipantLeft { room: room(name), participant: anna(), departure, connected: true },
        Event::RoomFinished { room: room(name), reason },
    ]
}

const ORDER: [&str; 4] = ["room_started", "participant_joined", "participant_left", "room_finished"];

#[tokio::test]
async fn a_receiver_that_fails_at_first_gets_everything_in_order_under_the_same_ids() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("roomd.db")).unwrap();
    let (inbox, url, _serving) = Inbox::open(&[500, 302]).await;
    let (tell, events) = broadcast::channel(16);
    let reports = start(vec![url], events, store.clone(), keys());
    life("hall").into_iter().for_each(|event| drop(tell.send(event)));
    let got = inbox.wait(6).await;
    assert_eq!(got[0], got[1], "tried again as it was");
    assert_eq!(got[1], got[2]);
    let names: Vec<&str> = got[2..].iter().map(|(event, _)| event.as_str()).collect();
    assert_eq!(names, ORDER);
    drop(tell);
    reports.stop().await;
    assert!(store.webhook_heads().unwrap().is_empty());
    let attended = store.attendance("RM_hall", false, 0, 10).unwrap();
    assert_eq!((attended.len(), attended[0].reason.as_deref()), (1, Some("left")));
}

#[tokio::test]
async fn each_message_is_signed_with_its_own_digest() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("roomd.db")).unwrap();
    let (inbox, url, _serving) = Inbox::open(&[]).await;
    let (tell, events) = broadcast::channel(16);
    let _reports = start(vec![url], events, store, keys());
    tell.send(life("hall")[0].clone()).unwrap();
    inbox.wait(1).await;
    let got = inbox.got.lock().unwrap();
    let (headers, body) = &got[0];
    assert_eq!(headers["content-type"], "application/webhook+json");
    let token = headers["authorization"].to_str().unwrap();
    assert!(keys().verify(token, clock::wall()).is_ok());
    let claims = token.split('.').nth(1).unwrap();
    let claims = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, claims).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body.as_bytes());
    assert_eq!(claims["sha256"], base64::Engine::encode(&base64::engine::general_purpose::STANDARD, digest));
    assert_eq!(claims["iss"], "k");
}

#[tokio::test]
async fn what_was_not_taken_before_a_restart_comes_after_it_and_an_open_session_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("roomd.db");
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let url = WebhookUrl::parse(&format!("http://{address}/hook")).unwrap();
    let (tell, events) = broadcast::channel(16);
    let store = Store::open(&path).unwrap();
    let reports = start(vec![url.clone()], events, store.clone(), keys());
    life("hall").into_iter().take(2).for_each(|event| drop(tell.send(event)));
    drop(tell);
    reports.stop().await;
    let before = store.webhook_heads().unwrap()[0].message.id.clone();
    drop(store);

    // The same receiver, now there.
    let inbox = Arc::new(Inbox::default());
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let router = Router::new().route("/hook", post(receive)).with_state(inbox.clone());
    let _serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let (_tell, events) = broadcast::channel(16);
    let store = Store::open(&path).unwrap();
    let _reports = start(vec![url], events, store.clone(), keys());
    let got = inbox.wait(4).await;
    assert_eq!(got.iter().map(|(event, _)| event.as_str()).collect::<Vec<_>>(), ORDER);
    assert_eq!(got[0].1, before);
    assert!(store.open_sessions().unwrap().is_empty());
}

#[tokio::test]
async fn a_rooms_own_receiver_gets_what_it_wants_of_that_room() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("roomd.db")).unwrap();
    let (inbox, url, _serving) = Inbox::open(&[]).await;
    let wants = ["room_started", "room_finished"];
    let webhook = serde_json::json!({"endPoint": url.reveal(), "events": wants}).to_string();
    let row =
        RoomRow { id: "own".into(), kind: "meeting".into(), webhook: Some(webhook), ..RoomRow::default() };
    assert!(store.add_room(&row).unwrap());
    let (tell, events) = broadcast::channel(16);
    let reports = start(Vec::new(), events, store.clone(), keys());
    life("other").into_iter().chain(life("own")).for_each(|event| drop(tell.send(event)));
    let got = inbox.wait(2).await;
    drop(tell);
    reports.stop().await;
    assert_eq!(got.iter().map(|(event, _)| event.as_str()).collect::<Vec<_>>(), wants);
    assert!(store.webhook_heads().unwrap().is_empty() && inbox.got.lock().unwrap().len() == 2);
}

#[tokio::test]
async fn a_receiver_that_never_answers_holds_back_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("roomd.db")).unwrap();
    let hangs = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let slow = WebhookUrl::parse(&format!("http://{}/", hangs.local_addr().unwrap())).unwrap();
    let (inbox, url, _serving) = Inbox::open(&[]).await;
    let (tell, events) = broadcast::channel(64);
    let _reports = start(vec![slow, url], events, store, keys());
    for name in ["a", "b", "c", "d", "e", "f"] {
        life(name).into_iter().for_each(|event| drop(tell.send(event)));
    }
    let got = inbox.wait(24).await;
    assert_eq!(got.len(), 24);
}
