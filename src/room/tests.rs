//! Membership on virtual time.

use std::time::{Duration, SystemTime};

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
