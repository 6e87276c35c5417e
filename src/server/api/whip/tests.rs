//! WHIP and WHEP as far as HTTP and SDP go, without sockets; media flows in `tests/browser.rs`.

use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use livekit_protocol as proto;
use str0m::Rtc;
use str0m::media::{Direction, MediaKind};

use super::{FRAGMENT, SDP};
use crate::base::clock;
use crate::room::{Grant, RoomOptions};
use crate::server::api::testing::{Server, admin};

fn offer(direction: Direction) -> String {
    let mut rtc = Rtc::new(clock::now());
    let mut api = rtc.sdp_api();
    for kind in [MediaKind::Audio, MediaKind::Video] {
        api.add_media(kind, direction, Some("stream".into()), Some(format!("{kind:?}")), None);
    }
    api.apply().expect("an offer").0.to_sdp_string()
}

fn guest(identity: &str) -> Grant {
    Grant {
        identity: identity.into(),
        room: "hall".into(),
        room_join: true,
        can_publish: true,
        can_subscribe: true,
        ..Grant::default()
    }
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
}

impl Server {
    async fn offers(&self, path: &str, grant: &Grant, offer: String) -> (u16, HeaderMap, String) {
        let token = format!("Bearer {}", self.token(grant));
        let headers = [("authorization", token.as_str()), ("content-type", SDP)];
        let (status, headers, body) = self.send("POST", path, &headers, offer).await;
        (status.as_u16(), headers, String::from_utf8(body).unwrap())
    }

    async fn participants(&self) -> Vec<proto::ParticipantInfo> {
        self.rooms.list_participants(admin(), "hall".into()).await.unwrap_or_default()
    }

    async fn ends(&self, path: &str, grant: &Grant) -> StatusCode {
        self.send("DELETE", path, &[("authorization", &self.token(grant))], "").await.0
    }
}

/// A line's value.
fn line<'t>(text: &'t str, start: &str) -> &'t str {
    text.lines().find_map(|line| line.strip_prefix(start)).unwrap_or_else(|| panic!("no {start} in {text}"))
}

#[tokio::test]
async fn a_publisher_is_a_participant_until_it_ends_its_session() {
    let server = Server::start();
    let (camera, offer) = (guest("camera"), offer(Direction::SendOnly));
    let (status, headers, answer) = server.offers("/whip/v1", &camera, offer.clone()).await;
    assert_eq!(status, 201, "{answer}");
    assert_eq!((header(&headers, "content-type"), header(&headers, "accept-patch")), (SDP, FRAGMENT));
    assert_eq!(answer.matches("a=recvonly").count(), 2, "{answer}");
    let (session, etag) = (header(&headers, "location").to_owned(), header(&headers, "etag").to_owned());
    assert!(session.starts_with("/whip/v1/") && etag.starts_with('"'), "{headers:?}");
    let participants = server.participants().await;
    assert_eq!((participants.len(), participants[0].identity.as_str()), (1, "camera"));
    let sources: Vec<i32> = participants[0].tracks.iter().map(|track| track.source).collect();
    assert_eq!(sources, [proto::TrackSource::Microphone as i32, proto::TrackSource::Camera as i32]);

    let token = server.token(&camera);
    let patch = async |if_match: &str, fragment: String| {
        let all = [("authorization", token.as_str()), ("content-type", FRAGMENT), ("if-match", if_match)];
        let headers = if if_match.is_empty() { &all[..2] } else { &all[..] };
        let (status, headers, body) = server.send("PATCH", &session, headers, fragment).await;
        (status.as_u16(), header(&headers, "etag").to_owned(), String::from_utf8(body).unwrap())
    };
    let own = format!(
        "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n\
         a=candidate:1 1 udp 2130706431 192.0.2.1 9999 typ host\r\n",
        line(&offer, "a=ice-ufrag:"),
        line(&offer, "a=ice-pwd:")
    );
    assert_eq!(patch(&etag, own.clone()).await.0, 204);
    assert_eq!(patch("", own.clone()).await.0, 428);
    assert_eq!(patch("\"other\"", own.clone()).await.0, 412);
    assert_eq!(patch(&etag, "candidate".into()).await.0, 400);
    let other = "a=ice-ufrag:anew\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n".to_owned();
    let (status, renewed, fragment) = patch("*", other).await;
    assert_eq!(status, 200, "{fragment}");
    assert!(renewed != etag && renewed.starts_with('"'), "{renewed}");
    assert_ne!(line(&fragment, "a=ice-ufrag:"), line(&answer, "a=ice-ufrag:"));
    assert!(fragment.contains("a=candidate:"), "{fragment}");
    assert_eq!(patch(&etag, own).await.0, 412, "of the ICE session before");
    assert_eq!(server.participants().await[0].tracks.len(), 2, "the tracks stay");

    let stranger = Grant { room: "attic".into(), ..guest("camera") };
    assert_eq!(server.ends(&session, &stranger).await, StatusCode::NOT_FOUND);
    assert_eq!(server.ends(&session, &guest("another")).await, StatusCode::NOT_FOUND);
    assert_eq!(server.ends(&session, &camera).await, StatusCode::OK);
    assert!(server.participants().await.is_empty());
    assert_eq!(server.ends(&session, &camera).await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_viewer_is_shown_or_hidden_by_its_token_and_gets_one_stream_a_kind() {
    let server = Server::start();
    let hidden = Grant { hidden: true, can_publish: false, ..guest("viewer") };
    let (status, headers, answer) = server.offers("/whep/v1", &hidden, offer(Direction::RecvOnly)).await;
    assert_eq!(status, 201, "{answer}");
    assert!(header(&headers, "location").starts_with("/whep/v1/"));
    assert_eq!(answer.matches("a=sendonly").count(), 2, "{answer}");
    let rooms = server.rooms.list_rooms(Vec::new()).await.unwrap();
    assert_eq!(rooms[0].num_participants, 0, "hidden");
    assert_eq!(server.participants().await[0].identity, "viewer", "but there");
}

#[tokio::test]
async fn whoever_is_removed_has_no_session_any_more_and_limits_count_it() {
    let server = Server::start();
    let one = RoomOptions { max_participants: Some(1), ..RoomOptions::default() };
    server.rooms.create_room("hall".into(), one).await.unwrap();
    let begin =
        async |identity: &str| server.offers("/whip/v1", &guest(identity), offer(Direction::SendOnly)).await;
    let (_, headers, _) = begin("camera").await;
    let (status, _, why) = begin("second").await;
    assert!(status == 409 && why.contains("at most 1"), "{status} {why}");
    let removed = server.rooms.remove_participant(admin(), "hall".into(), "camera".into()).await;
    assert_eq!(removed, Ok(()));
    let ends = async {
        while server.ends(header(&headers, "location"), &guest("camera")).await != StatusCode::NOT_FOUND {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ends).await.expect("the session ends");
    assert_eq!(begin("second").await.0, 201);
}

#[tokio::test]
async fn what_is_wrong_is_told_and_joins_nobody() {
    let server = Server::start();
    let publishing = || offer(Direction::SendOnly);
    let mute = Grant { can_publish: false, ..guest("a") };
    let blind = Grant { can_subscribe: false, ..guest("a") };
    let asking = Grant { waiting: true, ..guest("a") };
    let outside = Grant { room_join: false, ..guest("a") };
    let only_vp8 = publishing().replace("H264/90000", "H265/90000");
    let only_high = publishing().replace("profile-level-id=42", "profile-level-id=64");
    let only_high = only_high.replace("profile-level-id=4d", "profile-level-id=64");
    for (path, grant, offer, status, word) in [
        ("/whip/v1", guest("a"), "hello".to_owned(), 400, "v=0"),
        ("/whip/v1", guest("a"), publishing().replace("a=mid:", "a=mud:"), 400, "a=mid"),
        ("/whip/v1", guest("a"), offer(Direction::RecvOnly), 422, "sends"),
        ("/whep/v1", guest("a"), publishing(), 422, "receives"),
        ("/whip/v1", guest("a"), only_vp8, 422, "H264 is taken"),
        ("/whip/v1", guest("a"), only_high, 422, "baseline"),
        ("/whip/v1", guest("a"), publishing().replace("a=fingerprint", "a=fungerprint"), 422, "not accepted"),
        ("/whip/v1", guest("a"), " ".repeat(300_000), 413, "256 KiB"),
        ("/whip/v1", Grant { room: String::new(), ..guest("a") }, publishing(), 401, "names no room"),
        ("/whip/v1", outside, publishing(), 403, "joining"),
        ("/whip/v1", mute, publishing(), 403, "publishing"),
        ("/whip/v1", asking, publishing(), 403, "asking"),
        ("/whep/v1", blind, offer(Direction::RecvOnly), 403, "watching"),
    ] {
        let (found, _, body) = server.offers(path, &grant, offer).await;
        let error: serde_json::Value = serde_json::from_str(&body).unwrap();
        let message = error["error"]["message"].as_str().unwrap_or_default();
        assert!(found == status && message.contains(word), "{path} {word}: {found} {body}");
    }
    assert!(server.participants().await.is_empty());

    let expired =
        server.keys.mint(&guest("a"), Duration::from_secs(60), clock::wall() - Duration::from_secs(3600));
    for (token, kind, status, word) in [
        (String::new(), SDP, 401, "no token"),
        (expired, SDP, 401, "expired"),
        (server.token(&guest("a")), "application/json", 415, "application/sdp"),
    ] {
        let headers = [("authorization", token.as_str()), ("content-type", kind)];
        let (found, headers, body) = server.send("POST", "/whip/v1", &headers, publishing()).await;
        let body = String::from_utf8(body).unwrap();
        assert!(found.as_u16() == status && body.contains(word), "{word}: {found} {body}");
        assert_eq!(header(&headers, "access-control-allow-origin"), "*", "errors too can be read by pages");
    }
}

#[tokio::test]
async fn pages_of_other_origins_may_come_and_other_methods_are_named() {
    let server = Server::start();
    for path in ["/whip/v1", "/whep/v1", "/whip/v1/x", "/whep/v1/x"] {
        let (status, headers, _) =
            server.send("OPTIONS", path, &[("origin", "https://other.example")], "").await;
        assert_eq!((status.as_u16(), header(&headers, "access-control-allow-origin")), (200, "*"), "{path}");
        let allowed = header(&headers, "access-control-allow-headers");
        assert!(allowed.contains("authorization") && allowed.contains("if-match"), "{allowed}");
        assert_eq!(header(&headers, "accept-post"), SDP);
        let (status, headers, _) = server.send("GET", path, &[], "").await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
        assert!(header(&headers, "allow").contains("OPTIONS"), "{headers:?}");
    }
}
