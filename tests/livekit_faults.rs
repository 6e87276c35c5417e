//! What can befall the participant on a real livekit-server, and what the box shows of it.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod interop;
mod relay;

use std::net::{TcpListener, UdpSocket};
use std::ops::RangeInclusive;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use interop::proxy::room_service;
use interop::through::Through;
use interop::{Box_, LiveKit, guest, token, until};
use roomd::participant::{Error, Event, TokenSource};
use roomd::rtc::signal::proto::signal_request::Message as Request;
use roomd::rtc::signal::proto::signal_response::Message as Response;
use roomd::rtc::signal::proto::simulate_scenario::Scenario;
use roomd::rtc::signal::proto::{
    CandidateProtocol, DisconnectReason, LeaveRequest, SimulateScenario, leave_request,
};
use serde_json::json;

/// Longest until the box is in the room again: resuming for 10 s, two delays, joining.
const AGAIN: Duration = Duration::from_secs(40);

struct Stay {
    server: LiveKit,
    through: Through,
    the_box: Box_,
}

impl Stay {
    async fn begin(room: &'static str, tokens: TokenSource) -> Option<Stay> {
        Stay::begin_on(LiveKit::start().await?, room, tokens, 0..=u16::MAX).await
    }

    /// The relay lets in only what comes `from` these ports.
    async fn begin_on(
        server: LiveKit,
        room: &'static str,
        tokens: TokenSource,
        from: RangeInclusive<u16>,
    ) -> Option<Stay> {
        let through = Through::to(&server, 1).await;
        through.relay.let_in(from);
        let the_box = Box_::join(through.url(), tokens);
        the_box.until_joined().await;
        let stay = Stay { server, through, the_box };
        stay.until_published(room).await;
        Some(stay)
    }

    /// The server has both tracks of the box, and packets of both flow.
    async fn until_published(&self, room: &str) {
        let port = self.server.port;
        until("both tracks are published", AGAIN, || async move {
            let room = room_service(port, room, "ListParticipants", json!({"room": room})).await;
            let all = room["participants"].as_array().cloned().unwrap_or_default();
            all.iter()
                .any(|one| one["identity"] == "box" && one["tracks"].as_array().is_some_and(|t| t.len() == 2))
        })
        .await;
        let before = self.through.relay.up().passed;
        let flows = || async { self.through.relay.up().passed > before + 100 };
        until("media flows", AGAIN, flows).await;
    }

    fn simulate(&self, scenario: Scenario) {
        self.the_box.forget();
        self.through.say(Request::Simulate(SimulateScenario { scenario: Some(scenario) }));
    }

    async fn until_again(&self, what: &str) -> Vec<Event> {
        let joined = |event: &Event| matches!(event, Event::Joined { .. });
        self.the_box.until_event(what, AGAIN, joined).await;
        self.the_box.events.lock().unwrap().clone()
    }
}

fn tokens(room: &'static str) -> TokenSource {
    TokenSource::new(move || async move { Ok(token("box", room, 3600)) })
}

fn anew(events: &[Event]) -> bool {
    events.iter().any(|event| matches!(event, Event::Joining))
}

fn resuming(events: &[Event]) -> bool {
    events.iter().any(|event| matches!(event, Event::Resuming { .. }))
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_server_simulates_the_box_is_in_the_room_again() {
    let Some(stay) = Stay::begin("faults", tokens("faults")).await else { return };
    for (what, scenario) in [
        ("the node fails", Scenario::NodeFailure(true)),
        ("the session moves to another node", Scenario::Migration(true)),
        ("the server says that it stops", Scenario::ServerLeave(true)),
    ] {
        stay.simulate(scenario);
        let events = stay.until_again(what).await;
        assert!(anew(&events), "{what}: {events:?}");
        stay.until_published("faults").await;
    }
    stay.simulate(Scenario::SpeakerUpdate(1));
    let speaks =
        |event: &Event| matches!(event, Event::ActiveSpeakers(who) if who.contains(&"box".to_owned()));
    stay.the_box.until_event("the box speaks", AGAIN, speaks).await;
    stay.the_box.leave().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signalling_connection_that_breaks_while_it_is_resumed_is_resumed_once_more() {
    let Some(stay) = Stay::begin("twice", tokens("twice")).await else { return };
    for (what, scenario) in [
        ("with messages", Scenario::DisconnectSignalOnResume(true)),
        ("without a message", Scenario::DisconnectSignalOnResumeNoMessages(true)),
    ] {
        stay.simulate(scenario);
        // The scenario must be known before the connection is gone.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before = stay.through.opened.lock().unwrap().len();
        stay.through.cut();
        let events = stay.until_again(what).await;
        assert!(resuming(&events) && !anew(&events), "{what}: {events:?}");
        stay.until_published("twice").await;
        let opened = stay.through.opened.lock().unwrap()[before..].to_vec();
        assert!(opened.len() >= 2, "{what}: {} connections", opened.len());
        assert!(opened.iter().all(|(path, _)| path.contains("reconnect=1")), "{what}");
    }
    stay.the_box.leave().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_told_to_come_back_as_new_does() {
    let Some(stay) = Stay::begin("anew", tokens("anew")).await else { return };
    stay.the_box.forget();
    stay.through.tell(Response::Leave(LeaveRequest {
        action: leave_request::Action::Reconnect as i32,
        reason: DisconnectReason::StateMismatch as i32,
        ..Default::default()
    }));
    let events = stay.until_again("back").await;
    let reason =
        |event: &Event| matches!(event, Event::BackingOff { reason, .. } if reason == "STATE_MISMATCH");
    assert!(events.iter().any(reason) && anew(&events) && !resuming(&events), "{events:?}");
    stay.until_published("anew").await;
    stay.the_box.leave().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_wants_ice_over_tcp_gets_the_box_back_all_the_same() {
    let Some(stay) = Stay::begin("tcp", tokens("tcp")).await else { return };
    stay.simulate(Scenario::SwitchCandidateProtocol(CandidateProtocol::Tcp as i32));
    // Of TCP the box has no candidates: the path is lost, and the resume finds it again.
    let lost = |event: &Event| matches!(event, Event::Resuming { .. });
    stay.the_box.until_event("the path is lost", AGAIN, lost).await;
    stay.until_again("back").await;
    stay.until_published("tcp").await;
    stay.the_box.leave().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_that_the_server_renews_resumes_and_outlives_the_first_one() {
    // The server allows for clocks that are 60 s apart: good for about 12 s more.
    let first = token("box", "renewed", -48);
    let Some(stay) = Stay::begin("renewed", TokenSource::fixed(first.clone())).await else { return };
    tokio::time::sleep(Duration::from_secs(14)).await;
    stay.the_box.forget();
    stay.through.cut();
    let events = stay.until_again("resumed").await;
    assert!(resuming(&events) && !anew(&events), "{events:?}");
    stay.the_box.forget();
    stay.through.tell(Response::Leave(LeaveRequest {
        action: leave_request::Action::Reconnect as i32,
        ..Default::default()
    }));
    let events = stay.until_again("joined anew").await;
    assert!(anew(&events), "{events:?}");
    let opened = stay.through.opened.lock().unwrap().clone();
    assert_eq!(opened[0].1, format!("Bearer {first}"));
    assert!(opened.len() >= 3 && opened[1..].iter().all(|(_, bearer)| !bearer.contains(&first)));
    stay.until_published("renewed").await;
    stay.the_box.leave().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_replaced_or_whose_room_is_deleted_stays_out() {
    let Some(stay) = Stay::begin("replaced", tokens("replaced")).await else { return };
    let second = Box_::join(stay.server.url(), tokens("replaced"));
    second.until_joined().await;
    let left = |wanted: &'static str| move |event: &Event| matches!(event, Event::Left { reason } if reason == wanted);
    stay.the_box.until_event("replaced", AGAIN, left("DUPLICATE_IDENTITY")).await;
    assert!(matches!(stay.the_box.leave().await, Err(Error::Left { .. })));
    let port = stay.server.port;
    room_service(port, "replaced", "DeleteRoom", json!({"room": "replaced"})).await;
    second.until_event("deleted", AGAIN, left("ROOM_DELETED")).await;
    assert!(matches!(second.leave().await, Err(Error::Left { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_direct_path_is_open_media_goes_by_turn() {
    let turn = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let ports = 21_000..=21_999;
    let section = format!(
        "turn: {{enabled: true, udp_port: {turn}, bind_addresses: [127.0.0.1], relay_range_start: {}, \
         relay_range_end: {}, allow_restricted_peer_cidrs: [127.0.0.0/8]}}\n",
        ports.start(),
        ports.end()
    );
    let Some(server) = LiveKit::start_with(&section).await else { return };
    let Some(stay) = Stay::begin_on(server, "turn", tokens("turn"), ports).await else { return };
    let up = stay.through.relay.up();
    assert!(up.blocked > 0, "the direct path was tried: {up:?}");
    let url = stay.server.url();
    let Some(met) = guest(&url, "turn", 8, &[]).await else { return };
    assert!(met["frames"].as_u64().unwrap() >= 60 && met["audio_packets"].as_u64().unwrap() > 200, "{met}");
    stay.the_box.leave().await.unwrap();
}

/// A Redis of its own, ended by its pid.
struct Redis {
    port: u16,
    child: Child,
}

impl Redis {
    async fn start() -> Redis {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", "/tmp", "--port"])
            .arg(port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server (Debian: redis-server) is installed: scripts/install.sh test");
        let answers = || async move { tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() };
        until("Redis answers", Duration::from_secs(20), answers).await;
        Redis { port, child }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_on_another_node_is_joined_and_survives_that_node() {
    let redis = Redis::start().await;
    let section = format!("redis: {{address: \"127.0.0.1:{}\"}}\n", redis.port);
    let Some(mut host) = LiveKit::start_with(&section).await else { return };
    // The room is where its first participant came when there was no other node.
    let url = host.url();
    let first = tokio::spawn(async move { guest(&url, "nodes", 20, &[]).await });
    let port = host.port;
    let opened = || async move {
        let room = room_service(port, "nodes", "ListParticipants", json!({"room": "nodes"})).await;
        room["participants"].as_array().is_some_and(|all| !all.is_empty())
    };
    until("the room is on the first node", AGAIN, opened).await;
    let Some(other) = LiveKit::start_with(&section).await else { return };
    let the_box = Box_::join(other.url(), tokens("nodes"));
    the_box.until_joined().await;
    let Some(met) = first.await.unwrap() else { return };
    assert!(met["frames"].as_u64().unwrap() > 30 && met["participants"] == json!(["box"]), "{met}");

    the_box.forget();
    host.kill();
    let lost = |event: &Event| matches!(event, Event::Resuming { .. } | Event::BackingOff { .. });
    the_box.until_event("the loss of the node is noticed", AGAIN, lost).await;
    let joined = |event: &Event| matches!(event, Event::Joined { .. });
    the_box.until_event("in the room on the other node", Duration::from_secs(90), joined).await;
    assert!(anew(&the_box.events.lock().unwrap()), "another node knows nothing of the session");
    let Some(met) = guest(&other.url(), "nodes", 8, &[]).await else { return };
    assert!(met["frames"].as_u64().unwrap() >= 60, "{met}");
    the_box.leave().await.unwrap();
}
