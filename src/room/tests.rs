//! Membership on virtual time.

use std::time::{Duration, SystemTime};

use livekit_protocol as proto;

use super::membership::DEPARTURE_TIMEOUT;
use super::*;
use crate::base::clock::MediaTime;

fn joining(identity: &str) -> Joining {
    let grant = Grant {
        identity: identity.into(),
        room: "hall".into(),
        room_join: true,
        can_subscribe: true,
        ..Grant::default()
    };
    Joining { room: "hall".into(), grant, ..Joining::default() }
}

fn wall() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

#[test]
fn a_room_begins_with_its_first_participant_and_ends_some_time_after_the_last() {
    let mut rooms = Rooms::default();
    let first = rooms.admit(joining("anna"), wall()).unwrap();
    assert!(matches!(first.events[..], [Event::RoomStarted { .. }, Event::ParticipantJoined { .. }]));
    let second = rooms.admit(joining("bert"), wall()).unwrap();
    assert!(matches!(second.events[..], [Event::ParticipantJoined { .. }]));
    let room = rooms.get("hall").unwrap();
    assert_eq!(room.others(first.key).iter().map(|p| p.identity.as_str()).collect::<Vec<_>>(), ["bert"]);
    let left = MediaTime::from_millis(1000);
    assert!(rooms.leave("hall", first.key, left).is_some());
    assert!(rooms.leave("hall", second.key, left).is_some());
    assert!(rooms.leave("hall", second.key, left).is_none());
    assert!(rooms.sweep(left + DEPARTURE_TIMEOUT - Duration::from_millis(1)).is_empty());
    rooms.admit(joining("carl"), wall()).unwrap();
    assert!(rooms.sweep(left + DEPARTURE_TIMEOUT).is_empty(), "somebody came");
    let key = rooms.get("hall").unwrap().participants[0].key;
    rooms.leave("hall", key, left);
    assert!(matches!(rooms.sweep(left + DEPARTURE_TIMEOUT)[..], [Event::RoomFinished { .. }]));
    assert_eq!(rooms.iter().count(), 0);
}

#[test]
fn the_same_identity_replaces_the_first() {
    let mut rooms = Rooms::default();
    let first = rooms.admit(joining("anna"), wall()).unwrap();
    let second = rooms.admit(joining("anna"), wall()).unwrap();
    assert_eq!(second.replaced.unwrap().key, first.key);
    assert_ne!(first.key, second.key);
    assert_eq!(rooms.get("hall").unwrap().participants.len(), 1);
}

#[test]
fn hidden_participants_are_neither_shown_nor_counted() {
    let mut rooms = Rooms::default();
    let mut ghost = joining("ghost");
    ghost.grant.hidden = true;
    rooms.admit(ghost, wall()).unwrap();
    let anna = rooms.admit(joining("anna"), wall()).unwrap();
    let room = rooms.get("hall").unwrap();
    assert!(room.others(anna.key).is_empty());
    assert_eq!(room.info().num_participants, 1);
}

#[test]
fn a_token_for_another_room_and_senseless_names_are_refused() {
    let mut rooms = Rooms::default();
    let elsewhere = Joining { room: "attic".into(), ..joining("anna") };
    assert_eq!(rooms.admit(elsewhere, wall()).unwrap_err(), Refusal::NotAllowed { room: "attic".into() });
    assert_eq!(rooms.admit(joining(""), wall()).unwrap_err(), Refusal::Name { what: "identity" });
    let long = "x".repeat(300);
    assert_eq!(rooms.admit(joining(&long), wall()).unwrap_err(), Refusal::Name { what: "identity" });
    assert_eq!(rooms.iter().count(), 0);
}

#[test]
fn every_change_of_a_participant_gets_a_newer_version() {
    let mut rooms = Rooms::default();
    let key = rooms.admit(joining("anna"), wall()).unwrap().key;
    let participant = rooms.get_mut("hall").unwrap().participant_mut(key).unwrap();
    let before = participant.info().version;
    participant.touch();
    assert!(participant.info().version > before);
    let farewell = participant.farewell(Departure::Removed.reason());
    assert!(farewell.version > participant.info().version);
}

fn update(identity: &str, permission: proto::ParticipantPermission) -> proto::UpdateParticipantRequest {
    let permission = Some(permission);
    proto::UpdateParticipantRequest { identity: identity.into(), permission, ..Default::default() }
}

/// What an ordinary participant may do.
fn ordinary() -> proto::ParticipantPermission {
    proto::ParticipantPermission {
        can_subscribe: true,
        can_publish: true,
        can_publish_data: true,
        ..Default::default()
    }
}

fn waiting(identity: &str) -> Joining {
    let mut joining = joining(identity);
    (joining.grant.waiting, joining.grant.hidden, joining.grant.can_subscribe) = (true, true, false);
    joining
}

fn admitting(identity: &str) -> Joining {
    let mut joining = joining(identity);
    joining.grant.may_admit = true;
    joining
}

fn identities(room: &Room, viewer: MemberKey) -> Vec<String> {
    room.others(viewer).into_iter().map(|other| other.identity).collect()
}

#[test]
fn who_waits_sees_nobody_and_is_seen_only_by_those_who_may_admit_until_it_is_let_in() {
    let mut rooms = Rooms::default();
    let host = rooms.admit(admitting("host"), wall()).unwrap().key;
    let anna = rooms.admit(joining("anna"), wall()).unwrap().key;
    let guest = rooms.admit(waiting("guest"), wall()).unwrap().key;
    let room = rooms.get_mut("hall").unwrap();
    assert_eq!(identities(room, host), ["anna", "guest"]);
    assert_eq!(identities(room, anna), ["host"]);
    assert!(identities(room, guest).is_empty());
    let info = room.participant(guest).unwrap().info();
    assert_eq!(info.attributes.get(WAITING).map(String::as_str), Some("true"));
    let told = room.info_for(room.participant(guest).unwrap());
    assert_eq!((room.info().num_participants, told.num_participants), (2, 0));
    let grant = room.participant(anna).unwrap().grant.clone();
    let refused = room.update(&grant, &update("guest", ordinary())).unwrap_err();
    assert_eq!(refused, Refusal::NotModerator { room: "hall".into() });
    let grant = room.participant(host).unwrap().grant.clone();
    assert_eq!(room.update(&grant, &update("guest", ordinary())), Ok(guest));
    assert_eq!(identities(room, anna), ["host", "guest"]);
    assert_eq!(identities(room, guest), ["host", "anna"]);
    let info = room.participant(guest).unwrap().info();
    assert!(!info.attributes.contains_key(WAITING) && info.permission == Some(ordinary()));
}

#[test]
fn who_may_admit_gives_what_everyone_has_and_moderates_nobody() {
    let mut rooms = Rooms::default();
    let host = rooms.admit(admitting("host"), wall()).unwrap().key;
    rooms.admit(joining("anna"), wall()).unwrap();
    rooms.admit(waiting("guest"), wall()).unwrap();
    let room = rooms.get_mut("hall").unwrap();
    let grant = room.participant(host).unwrap().grant.clone();
    let refused = Err(Refusal::NotModerator { room: "hall".into() });
    assert_eq!(room.update(&grant, &update("anna", ordinary())), refused);
    #[allow(deprecated)] // Still served.
    let recorder = proto::ParticipantPermission { recorder: true, ..ordinary() };
    let hidden = proto::ParticipantPermission { hidden: true, ..ordinary() };
    for more in [recorder, hidden] {
        assert_eq!(room.update(&grant, &update("guest", more)), refused);
    }
    let renamed = proto::UpdateParticipantRequest { name: "x".into(), ..update("guest", ordinary()) };
    assert_eq!(room.update(&grant, &renamed), refused);
    let of = |identity: &str| room.identity(identity).unwrap().clone();
    assert!(room.may_remove(&grant, &of("guest")) && !room.may_remove(&grant, &of("anna")));
    let moderator = Grant { room_admin: true, ..grant };
    assert!(room.may_remove(&moderator, &of("anna")));
    assert!(room.update(&moderator, &renamed).is_ok());
}

#[test]
fn nobody_is_let_into_a_full_room_and_recorders_take_no_place() {
    let mut rooms = Rooms::default();
    let two = RoomOptions { max_participants: Some(2), ..RoomOptions::default() };
    rooms.create("hall", two, wall(), MediaTime::ZERO).unwrap();
    let full = Refusal::Full { what: "participants", limit: 2 };
    let mut host = admitting("host");
    host.grant.room_admin = true;
    let moderator = host.grant.clone();
    rooms.admit(host, wall()).unwrap();
    rooms.admit(waiting("guest"), wall()).unwrap();
    rooms.admit(joining("anna"), wall()).unwrap();
    assert_eq!(rooms.admit(joining("bert"), wall()).unwrap_err(), full);
    assert!(rooms.admit(joining("anna"), wall()).is_ok(), "she takes her own place");
    let mut recorder = joining("recorder");
    recorder.grant.recorder = true;
    assert!(rooms.admit(recorder, wall()).is_ok());
    let room = rooms.get_mut("hall").unwrap();
    assert_eq!(room.update(&moderator, &update("guest", ordinary())), Err(full));
    assert!(room.identity("guest").unwrap().grant.waiting);
}

#[test]
fn a_room_that_was_created_waits_for_its_first_participant_and_is_changed_by_a_second_order() {
    let mut rooms = Rooms::default();
    let seconds = Duration::from_secs;
    let options = RoomOptions {
        empty_timeout: Some(seconds(60)),
        departure_timeout: Some(seconds(5)),
        metadata: Some("first".into()),
        ..RoomOptions::default()
    };
    let at = MediaTime::from_millis(1000);
    let events = rooms.create("hall", options, wall(), at).unwrap();
    assert!(matches!(&events[..], [Event::RoomStarted { room }] if room.metadata == "first"));
    let sid = rooms.get("hall").unwrap().sid.clone();
    assert_eq!(rooms.find(&sid).unwrap().name, "hall");
    let more = RoomOptions { metadata: Some("second".into()), ..RoomOptions::default() };
    assert!(rooms.create("hall", more, wall(), at + seconds(30)).unwrap().is_empty());
    let info = rooms.get("hall").unwrap().info();
    assert_eq!((info.metadata.as_str(), info.empty_timeout, info.departure_timeout), ("second", 60, 5));
    assert!(rooms.sweep(at + seconds(59)).is_empty());
    let key = rooms.admit(joining("anna"), wall()).unwrap().key;
    assert!(rooms.sweep(at + seconds(600)).is_empty(), "somebody is in it");
    rooms.leave("hall", key, at + seconds(600));
    assert!(rooms.sweep(at + seconds(604)).is_empty());
    let over = rooms.sweep(at + seconds(605));
    let idle = proto::RoomEndReason::RoomEndIdleTimeout;
    assert!(matches!(&over[..], [Event::RoomFinished { reason, .. }] if *reason == idle));
    let nobody = rooms.create("attic", RoomOptions::default(), wall(), at).unwrap();
    assert_eq!(nobody.len(), 1);
    assert!(rooms.sweep(at + seconds(299)).is_empty() && rooms.sweep(at + seconds(300)).len() == 1);
}

#[test]
fn a_room_with_a_lifetime_is_over_after_it_whoever_is_in() {
    let mut rooms = Rooms::default();
    rooms.admit(joining("anna"), wall()).unwrap();
    let hour = Duration::from_secs(3600);
    rooms.get_mut("hall").unwrap().set(RoomOptions { lifetime: Some(hour), ..RoomOptions::default() });
    let at = MediaTime::from_millis(500);
    assert!(rooms.overdue(at).is_empty() && rooms.overdue(at + hour - Duration::from_millis(1)).is_empty());
    assert_eq!(rooms.overdue(at + hour), ["hall"]);
}

#[test]
fn what_is_too_long_or_the_servers_own_is_refused_and_changes_nothing() {
    let mut rooms = Rooms::default();
    let long = RoomOptions { metadata: Some("x".repeat(70_000)), ..RoomOptions::default() };
    assert_eq!(rooms.create("hall", long, wall(), MediaTime::ZERO), Err(Refusal::Metadata));
    assert_eq!(rooms.iter().count(), 0);
    let key = rooms.admit(joining("anna"), wall()).unwrap().key;
    let room = rooms.get_mut("hall").unwrap();
    let moderator = Grant { room_admin: true, ..Grant::default() };
    let request = |attributes: &[(&str, String)], name: &str| proto::UpdateParticipantRequest {
        identity: "anna".into(),
        name: name.into(),
        attributes: attributes.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
        ..Default::default()
    };
    let own = request(&[("roomd.waiting", "true".into())], "");
    assert_eq!(room.update(&moderator, &own), Err(Refusal::Attribute));
    let much = request(&[("a", "x".repeat(70_000))], "");
    assert_eq!(room.update(&moderator, &much), Err(Refusal::Metadata));
    assert!(room.update(&moderator, &request(&[], &"x".repeat(300))).is_err());
    let nobody = proto::UpdateParticipantRequest { identity: "bert".into(), ..Default::default() };
    assert_eq!(room.update(&moderator, &nobody), Err(Refusal::no("participant", "bert")));
    assert!(room.participant(key).unwrap().attributes.is_empty());
    let hand = request(&[("hand", "up".into()), ("gone", String::new())], "Anna");
    room.update(&moderator, &hand).unwrap();
    let anna = room.participant(key).unwrap();
    assert_eq!((anna.grant.name.as_str(), anna.attributes.len()), ("Anna", 1));
    assert_eq!(anna.grant.attributes.get("hand").map(String::as_str), Some("up"), "its next token says so");
}

fn publishes(rooms: &mut Rooms, key: MemberKey, source: proto::TrackSource) {
    let track = proto::TrackInfo { sid: "TR_1".into(), source: source as i32, ..Default::default() };
    rooms.get_mut("hall").unwrap().participant_mut(key).unwrap().tracks.push(track);
}

#[test]
fn the_presenter_stands_out_then_the_speaker_then_whoever_did_before() {
    let mut rooms = Rooms::default();
    let [anna, bert, carl] =
        ["anna", "bert", "carl"].map(|identity| rooms.admit(joining(identity), wall()).unwrap().key);
    let next = |rooms: &Rooms, stage: &Stage, speaking: &[(MemberKey, f32)]| {
        stage.next(&rooms.get("hall").unwrap().participants, speaking)
    };
    let stage = next(&rooms, &Stage::default(), &[]);
    assert_eq!(stage, Stage::default(), "nobody publishes");
    publishes(&mut rooms, bert, proto::TrackSource::Camera);
    let stage = next(&rooms, &stage, &[]);
    assert_eq!(stage.main, Some(bert));
    let stage = next(&rooms, &stage, &[(anna, 0.3), (bert, 0.2)]);
    assert_eq!((stage.speaker, stage.main), (Some(anna), Some(anna)));
    let stage = next(&rooms, &stage, &[(bert, 0.3), (anna, 0.25)]);
    assert_eq!(stage.speaker, Some(anna), "she still speaks, and he is hardly louder");
    let stage = next(&rooms, &stage, &[(bert, 0.5), (anna, 0.25)]);
    assert_eq!(stage.speaker, Some(bert));
    let quiet = next(&rooms, &stage, &[]);
    assert_eq!((quiet.speaker, quiet.main), (None, Some(bert)));
    let parts: Vec<_> = stage.changes(&quiet).collect();
    assert_eq!(parts, [(StagePart::ActiveSpeaker, None)]);
    publishes(&mut rooms, carl, proto::TrackSource::ScreenShare);
    let stage = next(&rooms, &quiet, &[(anna, 0.9)]);
    assert_eq!(stage, Stage { speaker: Some(anna), presenter: Some(carl), main: Some(carl) });
    publishes(&mut rooms, anna, proto::TrackSource::ScreenShare);
    assert_eq!(next(&rooms, &stage, &[]).presenter, Some(carl), "he was first");
    rooms.leave("hall", carl, MediaTime::ZERO);
    assert_eq!(next(&rooms, &stage, &[]).main, Some(anna));
}

#[test]
fn who_gets_one_picture_and_one_sound_gets_the_screen_else_the_main_camera_and_who_speaks() {
    let mut rooms = Rooms::default();
    let [anna, bert, carl] =
        ["anna", "bert", "carl"].map(|identity| rooms.admit(joining(identity), wall()).unwrap().key);
    let mut publish = |key, sid: &str, kind, source: proto::TrackSource| {
        let (sid, r#type) = (sid.to_owned(), kind as i32);
        let track = proto::TrackInfo { sid, r#type, source: source as i32, ..Default::default() };
        rooms.get_mut("hall").unwrap().participant_mut(key).unwrap().tracks.push(track);
    };
    let (audio, video) = (proto::TrackType::Audio, proto::TrackType::Video);
    for (key, name) in [(anna, "anna"), (bert, "bert")] {
        publish(key, &format!("{name}'s camera"), video, proto::TrackSource::Camera);
        publish(key, &format!("{name}'s voice"), audio, proto::TrackSource::Microphone);
    }
    publish(bert, "screen", video, proto::TrackSource::ScreenShare);
    publish(carl, "carl's voice", audio, proto::TrackSource::Microphone);
    let participants = &mut rooms.get_mut("hall").unwrap().participants;
    let track = |participants: &[Participant], stage: &Stage, video, shown: &str| {
        let may = |_: &Participant, track: &proto::TrackInfo| track.sid != "carl's voice";
        stage.track(participants, video, Some(shown), may).map(|track| track.sid.clone()).unwrap_or_default()
    };
    let presents = Stage { speaker: Some(anna), presenter: Some(bert), main: Some(bert) };
    assert_eq!(track(participants, &presents, true, ""), "screen");
    assert_eq!(track(participants, &presents, false, ""), "anna's voice");
    let quiet = Stage { speaker: None, presenter: None, main: Some(anna) };
    assert_eq!(track(participants, &quiet, true, "bert's camera"), "anna's camera");
    assert_eq!(track(participants, &quiet, false, "bert's voice"), "bert's voice", "he may go on");
    assert_eq!(track(participants, &quiet, false, ""), "anna's voice");
    let carl_speaks = Stage { speaker: Some(carl), presenter: None, main: Some(carl) };
    assert_eq!(track(participants, &carl_speaks, true, "bert's camera"), "bert's camera", "he has none");
    assert_eq!(track(participants, &carl_speaks, false, "gone"), "anna's voice", "his is not allowed");
    participants.iter_mut().flat_map(|p| &mut p.tracks).for_each(|track| track.muted = true);
    assert_eq!(track(participants, &presents, true, "screen"), "");
}
