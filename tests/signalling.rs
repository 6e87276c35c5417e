//! Signalling without an SDK: what is refused, and that nobody else notices.
// Real processes take real time, and a test that cannot go on may panic.
#![allow(clippy::disallowed_methods)]

mod rooms;

use std::time::Duration;

use base64::Engine;
use futures_util::{SinkExt, StreamExt};
use livekit_protocol as proto;
use prost::Message as _;
use proto::signal_request::Message as Request;
use proto::signal_response::Message as Response;
use roomd::room::{Departure, Event, Grant, Refusal, Registered, WAITING};
use rooms::{RoomServer, grant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

struct Client(WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>);

impl Client {
    async fn open(server: &RoomServer, token: &str, more: &str) -> Client {
        let url = format!("{}/rtc?protocol=17&access_token={token}{more}", server.ws_url());
        Client(connect_async(url).await.expect("upgrade").0)
    }

    async fn join(server: &RoomServer, identity: &str) -> (Client, Box<proto::JoinResponse>) {
        let mut client = Client::open(server, &server.token("hall", identity), "").await;
        let Some(Response::Join(join)) = client.next().await else { panic!("no join response") };
        (client, Box::new(join))
    }

    async fn send(&mut self, request: Request) {
        let bytes = proto::SignalRequest { message: Some(request) }.encode_to_vec();
        self.0.send(Message::Binary(bytes.into())).await.expect("send");
    }

    /// The next message; None at the end.
    async fn next(&mut self) -> Option<Response> {
        loop {
            let frame = tokio::time::timeout(Duration::from_secs(10), self.0.next()).await.expect("silence");
            match frame? {
                Ok(Message::Binary(bytes)) => {
                    return proto::SignalResponse::decode(bytes).expect("protobuf").message;
                }
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    async fn until<T>(&mut self, what: &str, mut pick: impl FnMut(Response) -> Option<T>) -> T {
        while let Some(response) = self.next().await {
            if let Some(found) = pick(response) {
                return found;
            }
        }
        panic!("the connection ended before: {what}");
    }

    async fn leave_reason(&mut self) -> i32 {
        self.until("leave", |r| if let Response::Leave(leave) = r { Some(leave.reason) } else { None }).await
    }

    async fn sees_leave(&mut self, identity: &str) {
        let gone = proto::participant_info::State::Disconnected as i32;
        let is = |p: &proto::ParticipantInfo| p.identity == identity && p.state == gone;
        let pick = |r| matches!(r, Response::Update(u) if u.participants.iter().any(is)).then_some(());
        self.until("the others are told", pick).await;
    }
}

/// As it stands in the URL of `/rtc/v1`, not compressed.
fn join_request(request: &proto::JoinRequest) -> String {
    let wrapped = proto::WrappedJoinRequest { join_request: request.encode_to_vec(), ..Default::default() };
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(wrapped.encode_to_vec())
}

fn offer(sdp: &str) -> Request {
    Request::Offer(proto::SessionDescription {
        r#type: "offer".into(),
        sdp: sdp.into(),
        ..Default::default()
    })
}

async fn get(server: &RoomServer, path: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(server.address).await.expect("connect");
    let request = format!("GET {path} HTTP/1.1\r\nHost: box\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("write");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("read");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn the_join_response_says_what_clients_need_and_a_subscriber_offer_and_a_fresh_token_follow() {
    let server = RoomServer::start().await;
    let (_anna, _) = Client::join(&server, "anna").await;
    let (mut bert, join) = Client::join(&server, "bert").await;
    assert_eq!((join.ping_interval, join.ping_timeout), (5, 15));
    assert!(join.subscriber_primary && join.ice_servers.is_empty());
    let mimes: Vec<&str> = join.enabled_publish_codecs.iter().map(|codec| codec.mime.as_str()).collect();
    assert_eq!(mimes, ["audio/opus", "video/h264"]);
    assert_eq!(join.other_participants.iter().map(|p| p.identity.as_str()).collect::<Vec<_>>(), ["anna"]);
    let sdp =
        bert.until("offer", |r| if let Response::Offer(offer) = r { Some(offer.sdp) } else { None }).await;
    assert!(
        sdp.contains("m=application") && sdp.contains("a=ice-lite") && sdp.contains(" 127.0.0.1 "),
        "{sdp}"
    );
    let fresh = bert.until("token", |r| if let Response::RefreshToken(t) = r { Some(t) } else { None }).await;
    server.keys.verify(&fresh, roomd::base::clock::wall()).expect("valid");
    bert.send(Request::PingReq(proto::Ping { timestamp: 42, rtt: 1 })).await;
    let pong = |r| if let Response::PongResp(pong) = r { Some(pong.last_ping_timestamp) } else { None };
    assert_eq!(bert.until("pong", pong).await, 42);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_sends_nonsense_is_put_out_and_nobody_else_notices() {
    let server = RoomServer::start().await;
    let (mut anna, _) = Client::join(&server, "anna").await;
    let two_codecs = "v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 108\r\na=mid:0\r\na=rtpmap:108 opus/48000/2\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 108\r\na=mid:1\r\na=rtpmap:108 H264/90000\r\n";
    let state_mismatch = proto::DisconnectReason::StateMismatch as i32;
    for (identity, sdp) in [("empty", ""), ("nonsense", "v=0\r\nm=\r\n"), ("two-codecs", two_codecs)] {
        let (mut mallory, _) = Client::join(&server, identity).await;
        mallory.send(offer(sdp)).await;
        assert_eq!(mallory.leave_reason().await, state_mismatch, "{identity}");
        anna.sees_leave(identity).await;
    }
    let (mut mallory, _) = Client::join(&server, "bytes").await;
    mallory.0.send(Message::Binary(vec![0xff; 40].into())).await.expect("send");
    assert_eq!(mallory.leave_reason().await, state_mismatch);
    anna.sees_leave("bytes").await;
    let (mut mallory, _) = Client::join(&server, "long").await;
    let _ = mallory.0.send(Message::Binary(vec![0; 70 * 1024].into())).await;
    anna.sees_leave("long").await;
    while mallory.next().await.is_some() {}
    let (mut mallory, _) = Client::join(&server, "answer").await;
    let answer =
        proto::SessionDescription { r#type: "answer".into(), sdp: "v=0\r\n".into(), ..Default::default() };
    mallory.send(Request::Answer(answer)).await;
    assert_eq!(mallory.leave_reason().await, state_mismatch);
    anna.sees_leave("answer").await;
    // The one who did nothing wrong is still served.
    anna.send(Request::Ping(1)).await;
    anna.until("pong", |r| matches!(r, Response::Pong(_)).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_join_requests_are_checked_before_the_upgrade() {
    let server = RoomServer::start().await;
    let token = server.token("hall", "anna");
    assert!(get(&server, &format!("/rtc/validate?access_token={token}")).await.ends_with("success"));
    assert!(get(&server, "/rtc/validate").await.starts_with("HTTP/1.1 401"));
    assert!(get(&server, "/rtc/validate?access_token=a.b.c").await.starts_with("HTTP/1.1 401"));
    let mut none = grant("hall", "anna");
    none.room_join = false;
    let none = server.token_for(&none);
    assert!(get(&server, &format!("/rtc/validate?access_token={none}")).await.starts_with("HTTP/1.1 403"));
    for path in ["/rtc/v1", "/rtc"] {
        let answer = get(&server, &format!("{path}?access_token={token}")).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "no WebSocket, {path}: {answer}");
    }
    let request = join_request(&proto::JoinRequest { reconnect: true, ..Default::default() });
    for (parameter, status, says) in [
        (format!("&join_request={request}"), 200, "success"),
        (String::new(), 400, "join_request is required"),
        ("&join_request=%25".to_owned(), 400, "join_request is not base64url"),
        ("&join_request=CAE".to_owned(), 400, "join_request: gzip data ends too early"),
    ] {
        let answer = get(&server, &format!("/rtc/v1/validate?access_token={token}{parameter}")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.ends_with(says), "{answer}");
    }
    assert!(get(&server, "/rtc/v1/validate").await.starts_with("HTTP/1.1 401"));
    let refused = connect_async(format!("{}/rtc?access_token=x", server.ws_url())).await;
    assert!(refused.unwrap_err().to_string().contains("401"));
}

/// A client's offer that sends sound in as many sections.
fn sound_offer(sections: usize) -> String {
    let mut rtc = str0m::Rtc::new(std::time::Instant::now());
    let mut api = rtc.sdp_api();
    for section in 0..sections {
        let (stream, track) = (Some("stream".to_owned()), Some(format!("cid-{section}")));
        let (kind, direction) = (str0m::media::MediaKind::Audio, str0m::media::Direction::SendOnly);
        api.add_media(kind, direction, stream, track, None);
    }
    api.apply().expect("an offer").0.to_sdp_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_offer_brings_every_track_and_the_next_waits_for_the_clients_connection_but_not_for_ever() {
    let server = RoomServer::start().await;
    let announce = |cid: &str| {
        Request::AddTrack(proto::AddTrackRequest { cid: cid.into(), r#type: 0, ..Default::default() })
    };
    let (mut anna, _) = Client::join(&server, "anna").await;
    anna.send(announce("cid-0")).await;
    anna.send(announce("cid-1")).await;
    anna.send(offer(&sound_offer(2))).await;
    anna.until("answer", |r| matches!(r, Response::Answer(_)).then_some(())).await;

    let (mut bert, _) = Client::join(&server, "bert").await;
    let offered = |r| if let Response::Offer(offer) = r { Some(offer) } else { None };
    let first = bert.until("offer", offered).await;
    assert_eq!(first.sdp.matches("m=audio").count(), 2, "{}", first.sdp);
    let mut rtc = str0m::Rtc::new(std::time::Instant::now());
    let parsed = str0m::change::SdpOffer::from_sdp_string(&first.sdp).expect("an offer");
    let sdp = rtc.sdp_api().accept_offer(parsed).expect("accepted").to_sdp_string();
    let answer =
        proto::SessionDescription { r#type: "answer".into(), sdp, id: first.id, ..Default::default() };
    bert.send(Request::Answer(answer)).await;

    // A track goes while its viewer has not connected, which this one never does.
    let (mut carl, _) = Client::join(&server, "carl").await;
    carl.send(announce("cid-0")).await;
    carl.send(offer(&sound_offer(1))).await;
    let third = |r| matches!(r, Response::Update(u) if u.participants.iter().any(|p| p.tracks.len() == 1));
    bert.until("carl's track", |r| third(r).then_some(())).await;
    bert.send(Request::Ping(1)).await;
    let mut said = Vec::new();
    while said.len() < 2 {
        match bert.next().await.expect("open") {
            Response::Pong(_) => said.push("pong".to_owned()),
            Response::Offer(offer) => said.push(format!("{} tracks", offer.sdp.matches("m=audio").count())),
            _ => {}
        }
    }
    assert_eq!(said, ["pong", "3 tracks"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_offers_only_a_codec_that_the_room_does_not_take_publishes_nothing_and_stays() {
    let server = RoomServer::start().await;
    let (mut anna, _) = Client::join(&server, "anna").await;
    let track = proto::AddTrackRequest { cid: "cid-0".into(), r#type: 1, ..Default::default() };
    anna.send(Request::AddTrack(track)).await;
    let mut rtc = str0m::RtcConfig::new().clear_codecs().enable_vp8(true).build(std::time::Instant::now());
    let mut api = rtc.sdp_api();
    let (kind, direction) = (str0m::media::MediaKind::Video, str0m::media::Direction::SendOnly);
    api.add_media(kind, direction, Some("stream".into()), Some("cid-0".into()), None);
    anna.send(offer(&api.apply().expect("an offer").0.to_sdp_string())).await;
    anna.until("answer", |r| matches!(r, Response::Answer(_)).then_some(())).await;
    let admin = Grant { room_admin: true, ..Grant::default() };
    let seen = server.handle.get_participant(admin, "hall".into(), "anna".into()).await.expect("in the room");
    assert_eq!((seen.tracks.len(), seen.is_publisher), (0, false), "{seen:?}");
}

/// A client's offer with one section for audio to receive, and data channels.
fn receiving_offer() -> (str0m::Rtc, str0m::change::SdpPendingOffer, String) {
    let mut rtc = str0m::Rtc::new(std::time::Instant::now());
    let mut api = rtc.sdp_api();
    api.add_channel("_reliable".to_owned());
    api.add_media(str0m::media::MediaKind::Audio, str0m::media::Direction::RecvOnly, None, None, None);
    let (offer, pending) = api.apply().expect("an offer");
    let sdp = offer.to_sdp_string();
    (rtc, pending, sdp)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_request_is_answered_in_order_and_a_client_with_too_few_sections_is_asked_for_more() {
    let server = RoomServer::start().await;
    let (_, _, sdp) = receiving_offer();
    let track =
        |cid: &str, kind: i32| proto::AddTrackRequest { cid: cid.into(), r#type: kind, ..Default::default() };
    let publisher_offer = Some(proto::SessionDescription { id: 7, sdp, ..Default::default() });
    let request = proto::JoinRequest {
        client_info: Some(proto::ClientInfo { protocol: 16, ..Default::default() }),
        connection_settings: Some(proto::ConnectionSettings { auto_subscribe: true, ..Default::default() }),
        add_track_requests: vec![track("mic", 0), track("cam", 1)],
        publisher_offer,
        ..Default::default()
    };
    let url = format!(
        "{}/rtc/v1?access_token={}&join_request={}",
        server.ws_url(),
        server.token("hall", "anna"),
        join_request(&request)
    );
    let mut anna = Client(connect_async(url).await.expect("upgrade").0);
    let Some(Response::Join(join)) = anna.next().await else { panic!("no join response") };
    assert!(!join.subscriber_primary, "there is no subscriber's connection");
    let mut said = Vec::new();
    while said.len() < 3 {
        match anna.next().await.expect("open") {
            Response::TrackPublished(published) => said.push(published.cid),
            Response::Answer(answer) => {
                assert_eq!((answer.id, answer.mid_to_track_id.len()), (7, 0));
                assert!(
                    answer.sdp.contains("a=inactive") && answer.sdp.contains("m=application"),
                    "{}",
                    answer.sdp
                );
                said.push("answer".to_owned());
            }
            Response::Offer(_) => panic!("the server never offers here"),
            _ => {}
        }
    }
    assert_eq!(said, ["mic", "cam", "answer"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn stays_end_by_replacement_removal_the_rooms_end_and_what_cannot_be_resumed() {
    let server = RoomServer::start().await;
    let mut events = server.handle.events();
    let (mut first, _) = Client::join(&server, "anna").await;
    let (mut second, _) = Client::join(&server, "anna").await;
    assert_eq!(first.leave_reason().await, proto::DisconnectReason::DuplicateIdentity as i32);
    let (admin, hall) = (Grant { room_admin: true, ..Grant::default() }, || "hall".to_owned());
    let remove = || server.handle.remove_participant(admin.clone(), hall(), "anna".into());
    remove().await.expect("she is there");
    assert_eq!(second.leave_reason().await, proto::DisconnectReason::ParticipantRemoved as i32);
    assert_eq!(remove().await, Err(Refusal::no("participant", "anna")));
    let (mut third, _) = Client::join(&server, "carl").await;
    server.handle.delete_room(admin.clone(), hall()).await.expect("it is there");
    assert_eq!(third.leave_reason().await, proto::DisconnectReason::RoomDeleted as i32);
    assert_eq!(server.handle.delete_room(admin, hall()).await, Err(Refusal::no("room", "hall")));
    let more = "&reconnect=1&sid=PA_nobody";
    let mut late = Client::open(&server, &server.token("hall", "anna"), more).await;
    let Some(Response::Leave(leave)) = late.next().await else { panic!("no leave") };
    assert_eq!(leave.action, proto::leave_request::Action::Reconnect as i32);
    let mut departures = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let Event::ParticipantLeft { departure, .. } = event {
            departures.push(departure);
        }
    }
    assert_eq!(departures, [Departure::Replaced, Departure::Removed, Departure::RoomEnded]);
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_are_enforced_and_hidden_participants_unseen() {
    let server = RoomServer::start().await;
    let mut ghost = grant("hall", "ghost");
    (ghost.hidden, ghost.can_publish) = (true, false);
    let (mut anna, _) = Client::join(&server, "anna").await;
    let mut ghost = Client::open(&server, &server.token_for(&ghost), "").await;
    let Some(Response::Join(join)) = ghost.next().await else { panic!("no join response") };
    assert_eq!(join.other_participants.len(), 1);
    let request = proto::AddTrackRequest { cid: "c".into(), r#type: 1, ..Default::default() };
    ghost.send(Request::AddTrack(request.clone())).await;
    let refused = |r| if let Response::RequestResponse(r) = r { Some(r.reason) } else { None };
    assert_eq!(ghost.until("refusal", refused).await, proto::request_response::Reason::NotAllowed as i32);
    anna.send(Request::AddTrack(request)).await;
    let mut seen = Vec::new();
    let published = |r| match r {
        Response::TrackPublished(published) => Some(published.cid),
        Response::Update(update) => {
            seen.extend(update.participants.into_iter().map(|p| p.identity));
            None
        }
        _ => None,
    };
    assert_eq!(anna.until("published", published).await, "c");
    assert!(!seen.contains(&"ghost".to_owned()), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_vanishes_before_media_connects_is_gone_within_seconds() {
    let server = RoomServer::start().await;
    let (anna, _) = Client::join(&server, "anna").await;
    drop(anna);
    let mut rooms = server.handle.watch_rooms();
    let gone = rooms.wait_for(|s| s.rooms.iter().any(|room| room.participants.is_empty()));
    tokio::time::timeout(Duration::from_secs(15), gone).await.expect("gone").expect("server runs");
}

/// An `ask_join` token's grant.
fn asking(identity: &str) -> Grant {
    Grant {
        identity: identity.into(),
        room: "hall".into(),
        room_join: true,
        hidden: true,
        waiting: true,
        ..Grant::default()
    }
}

fn ordinary() -> proto::ParticipantPermission {
    proto::ParticipantPermission {
        can_subscribe: true,
        can_publish: true,
        can_publish_data: true,
        ..Default::default()
    }
}

/// Picks what an update says about `identity`: the newest if it says several.
fn news<'a>(identity: &'a str) -> impl FnMut(Response) -> Option<proto::ParticipantInfo> + 'a {
    move |response| match response {
        Response::Update(update) => update.participants.into_iter().rfind(|p| p.identity == identity),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_to_join_waits_unseen_and_is_let_in_or_turned_away() {
    let server = RoomServer::start().await;
    let host_grant = Grant { may_admit: true, ..grant("hall", "host") };
    let mut host = Client::open(&server, &server.token_for(&host_grant), "").await;
    let (mut anna, _) = Client::join(&server, "anna").await;
    let mut guest = Client::open(&server, &server.token_for(&asking("guest")), "").await;
    let Some(Response::Join(join)) = guest.next().await else { panic!("no join response") };
    assert!(join.other_participants.is_empty(), "whoever waits sees nobody");
    let own = join.participant.expect("itself");
    assert_eq!(own.attributes.get(WAITING).map(String::as_str), Some("true"));
    let asked = host.until("the host is asked", news("guest")).await;
    assert!(asked.attributes.contains_key(WAITING) && asked.permission.is_some_and(|p| p.hidden));
    let mut late = Client::open(
        &server,
        &server.token_for(&Grant { identity: "late".into(), ..host_grant.clone() }),
        "",
    )
    .await;
    let Some(Response::Join(join)) = late.next().await else { panic!("no join response") };
    assert!(
        join.other_participants.iter().any(|p| p.identity == "guest"),
        "one who comes later is asked too"
    );
    let request = proto::UpdateParticipantRequest {
        room: "hall".into(),
        identity: "guest".into(),
        permission: Some(ordinary()),
        ..Default::default()
    };
    let refused = server.handle.update_participant(grant("hall", "anna"), request.clone()).await;
    assert_eq!(refused, Err(Refusal::NotModerator { room: "hall".into() }));
    server.handle.update_participant(host_grant.clone(), request).await.expect("let in");
    let mut others = Vec::new();
    let itself = guest.until("the guest is told", |response| match response {
        Response::Update(update) => {
            let (own, other): (Vec<_>, Vec<_>) =
                update.participants.into_iter().partition(|p| p.identity == "guest");
            others.extend(other.into_iter().map(|p| p.identity));
            own.into_iter().next()
        }
        _ => None,
    });
    assert_eq!(itself.await.permission, Some(ordinary()));
    assert_eq!(others, ["host", "anna", "late"]);
    let renewed =
        guest.until("token", |r| if let Response::RefreshToken(t) = r { Some(t) } else { None }).await;
    let renewed = server.keys.verify(&renewed, roomd::base::clock::wall()).expect("valid");
    assert!(!renewed.waiting && renewed.can_publish && !renewed.hidden);
    let seen = anna.until("the others see the guest", news("guest")).await;
    assert!(!seen.attributes.contains_key(WAITING));
    let mut second = Client::open(&server, &server.token_for(&asking("second")), "").await;
    host.until("the host is asked again", news("second")).await;
    server
        .handle
        .remove_participant(host_grant.clone(), "hall".into(), "second".into())
        .await
        .expect("turned away");
    assert_eq!(second.leave_reason().await, proto::DisconnectReason::UserRejected as i32);
    host.sees_leave("second").await;
    let refused = server.handle.remove_participant(host_grant, "hall".into(), "guest".into()).await;
    assert_eq!(refused, Err(Refusal::NotModerator { room: "hall".into() }), "who is in is for moderators");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_participant_may_do_changes_live_and_everyone_is_told() {
    let server = RoomServer::start().await;
    let (mut anna, _) = Client::join(&server, "anna").await;
    let (mut bert, _) = Client::join(&server, "bert").await;
    let admin = Grant { room_admin: true, ..Grant::default() };
    let request = |permission| proto::UpdateParticipantRequest {
        room: "hall".into(),
        identity: "bert".into(),
        permission: Some(permission),
        attributes: [("hand".to_owned(), "up".to_owned())].into(),
        ..Default::default()
    };
    let viewer = proto::ParticipantPermission { can_publish: false, ..ordinary() };
    server.handle.update_participant(admin.clone(), request(viewer.clone())).await.expect("demoted");
    let raised = |p: proto::ParticipantInfo| Some(p).filter(|p| p.attributes.contains_key("hand"));
    let seen = anna.until("anna is told", |r| news("bert")(r).and_then(raised)).await;
    assert_eq!(seen.permission, Some(viewer));
    bert.until("bert is told", |r| news("bert")(r).and_then(raised)).await;
    let publish =
        || Request::AddTrack(proto::AddTrackRequest { cid: "c".into(), r#type: 1, ..Default::default() });
    bert.send(publish()).await;
    let refused = |r| if let Response::RequestResponse(r) = r { Some(r.reason) } else { None };
    assert_eq!(bert.until("refusal", refused).await, proto::request_response::Reason::NotAllowed as i32);
    server.handle.update_participant(admin.clone(), request(ordinary())).await.expect("promoted");
    bert.send(publish()).await;
    bert.until("published", |r| matches!(r, Response::TrackPublished(_)).then_some(())).await;
    let hidden = proto::ParticipantPermission { hidden: true, ..ordinary() };
    server.handle.update_participant(admin.clone(), request(hidden)).await.expect("hidden");
    anna.sees_leave("bert").await;
    server.handle.update_participant(admin.clone(), request(ordinary())).await.expect("shown");
    let back = anna.until("anna sees bert again", news("bert")).await;
    assert_ne!(back.state, proto::participant_info::State::Disconnected as i32);
    let metadata = proto::UpdateRoomMetadataRequest { room: "hall".into(), metadata: "topic".into() };
    server.handle.update_room_metadata(admin, metadata).await.expect("changed");
    let room =
        |r| if let Response::RoomUpdate(update) = r { update.room.map(|room| room.metadata) } else { None };
    assert_eq!(anna.until("room update", room).await, "topic");
}

/// An offer that sends one audio track `mic`.
fn sending_offer() -> String {
    let mut rtc = str0m::Rtc::new(std::time::Instant::now());
    let mut api = rtc.sdp_api();
    let (audio, send) = (str0m::media::MediaKind::Audio, str0m::media::Direction::SendOnly);
    api.add_media(audio, send, Some("stream".to_owned()), Some("mic".to_owned()), None);
    api.apply().expect("an offer").0.to_sdp_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_resumes_is_told_what_it_missed_and_whoever_is_of_another_mind_starts_over() {
    let server = RoomServer::start().await;
    let (mut anna, join) = Client::join(&server, "anna").await;
    let (mut bert, _) = Client::join(&server, "bert").await;
    let sid = join.participant.expect("itself").sid;
    let more = format!("&reconnect=1&sid={sid}");
    anna.0.close(None).await.expect("close");
    while anna.next().await.is_some() {}
    bert.send(Request::Leave(proto::LeaveRequest::default())).await;
    while bert.next().await.is_some() {}
    let mut anna = Client::open(&server, &server.token("hall", "anna"), &more).await;
    let Some(Response::Reconnect(reconnect)) = anna.next().await else { panic!("no reconnect response") };
    assert_eq!((reconnect.last_message_seq, reconnect.server_info.is_some()), (0, true));
    let update = |r| if let Response::Update(update) = r { Some(update.participants) } else { None };
    let seen = anna.until("who is there", update).await;
    let gone = proto::participant_info::State::Disconnected as i32;
    let seen: Vec<_> = seen.iter().map(|p| (p.identity.as_str(), p.state == gone)).collect();
    assert_eq!(seen, [("bert", true), ("anna", false)]);
    let restarted = |r| if let Response::Offer(offer) = r { Some(offer.sdp) } else { None };
    assert!(anna.until("an offer", restarted).await.contains("a=ice-ufrag:"));
    let track = proto::TrackInfo { sid: "TR_never".into(), ..Default::default() };
    let publish_tracks = vec![proto::TrackPublishedResponse { cid: "c".into(), track: Some(track) }];
    anna.send(Request::SyncState(proto::SyncState { publish_tracks, ..Default::default() })).await;
    let leave =
        anna.until("leave", |r| if let Response::Leave(leave) = r { Some(leave) } else { None }).await;
    assert_eq!(leave.action, proto::leave_request::Action::Reconnect as i32);
    assert_eq!(leave.reason, proto::DisconnectReason::StateMismatch as i32);
}

#[tokio::test(flavor = "multi_thread")]
async fn publishers_choose_who_may_have_their_tracks_and_those_are_told() {
    let server = RoomServer::start().await;
    let (mut anna, _) = Client::join(&server, "anna").await;
    let (mut bert, _) = Client::join(&server, "bert").await;
    let request = proto::AddTrackRequest { cid: "mic".into(), ..Default::default() };
    anna.send(Request::AddTrack(request)).await;
    anna.send(offer(&sending_offer())).await;
    let published = |r| if let Response::TrackPublished(p) = r { p.track } else { None };
    let sid = anna.until("published", published).await.sid;
    let allow = |all_participants, named: &[&str]| {
        let named = named.iter().map(|identity| proto::TrackPermission {
            participant_identity: (*identity).to_owned(),
            all_tracks: true,
            ..Default::default()
        });
        let track_permissions = named.collect();
        Request::SubscriptionPermission(proto::SubscriptionPermission { all_participants, track_permissions })
    };
    let told = |r| match r {
        Response::SubscriptionPermissionUpdate(update) => Some((update.track_sid, update.allowed)),
        _ => None,
    };
    let is_published = |p: &proto::ParticipantInfo| p.identity == "anna" && !p.tracks.is_empty();
    let seen = |r| matches!(r, Response::Update(u) if u.participants.iter().any(is_published)).then_some(());
    bert.until("the track", seen).await;
    anna.send(allow(false, &["carl"])).await;
    assert_eq!(bert.until("shut out", told).await, (sid.clone(), false));
    anna.send(allow(false, &["carl", "bert"])).await;
    assert_eq!(bert.until("let in", told).await, (sid.clone(), true));
    anna.send(allow(false, &[])).await;
    assert_eq!(bert.until("shut out again", told).await, (sid.clone(), false));
    let (mut late, _) = Client::join(&server, "late").await;
    assert_eq!(late.until("shut out from the beginning", told).await, (sid, false));
    let track_sids = vec!["TR_never".to_owned()];
    let subscription = proto::UpdateSubscription { track_sids, subscribe: true, ..Default::default() };
    bert.send(Request::Subscription(subscription)).await;
    let refused =
        |r| if let Response::SubscriptionResponse(s) = r { Some((s.track_sid, s.err)) } else { None };
    let not_found = proto::SubscriptionError::SeTrackNotfound as i32;
    assert_eq!(bert.until("no such track", refused).await, ("TR_never".to_owned(), not_found));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_speaks_json_is_answered_in_json() {
    let server = RoomServer::start().await;
    let (mut anna, _) = Client::join(&server, "anna").await;
    anna.0.send(Message::Text(r#"{"pingReq":{"timestamp":"42","rtt":"1"}}"#.into())).await.expect("send");
    let answer = tokio::time::timeout(Duration::from_secs(10), async {
        loop {
            if let Message::Text(text) = anna.0.next().await.expect("open").expect("a frame") {
                let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
                if json.get("pongResp").is_some() {
                    return json;
                }
            }
        }
    });
    assert_eq!(answer.await.expect("an answer")["pongResp"]["lastPingTimestamp"], "42");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_whoever_may_sets_its_own_metadata_when_it_joins() {
    let server = RoomServer::start().await;
    let request = proto::JoinRequest { metadata: "mine".into(), ..Default::default() };
    let path = |token: &str| {
        format!("/rtc/v1/validate?access_token={token}&join_request={}", join_request(&request))
    };
    let refused = get(&server, &path(&server.token("hall", "anna"))).await;
    assert!(refused.starts_with("HTTP/1.1 403") && refused.contains("canUpdateOwnMetadata"), "{refused}");
    let mut may = grant("hall", "anna");
    may.can_update_own_metadata = true;
    assert!(get(&server, &path(&server.token_for(&may))).await.ends_with("success"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_made_for_later_is_joined_by_its_other_name_and_closes_for_good_when_its_time_is_up() {
    let server = RoomServer::start().await;
    let mut events = server.handle.events();
    let lifetime = Some(Duration::from_millis(300));
    let room = Registered { custom_id: Some("daily".into()), lifetime, once: true, ..Registered::default() };
    server.handle.directory_mut().set("abcd-efgh-ijkl", room);
    let token = server.token("daily", "anna");
    let mut anna = Client::open(&server, &token, "").await;
    let Some(Response::Join(join)) = anna.next().await else { panic!("no join response") };
    assert_eq!(join.room.expect("a room").name, "abcd-efgh-ijkl");
    assert_eq!(anna.leave_reason().await, proto::DisconnectReason::RoomDeleted as i32);
    let disabled = async {
        while !matches!(events.recv().await, Ok(Event::RoomDisabled { room }) if room == "abcd-efgh-ijkl") {}
    };
    tokio::time::timeout(Duration::from_secs(10), disabled).await.expect("told");
    let answer = get(&server, &format!("/rtc/validate?access_token={token}")).await;
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("deactivated"), "{answer}");
}
