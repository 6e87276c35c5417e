//! What can befall the participant on a real livekit-server, and what the box shows of it.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod interop;
mod relay;

use std::time::Duration;

use interop::proxy::room_service;
use interop::through::Through;
use interop::{Box_, LiveKit, token, until};
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
        let server = LiveKit::start().await?;
        let through = Through::to(&server, 1).await;
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
