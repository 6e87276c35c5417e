use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use livekit_protocol::TrackSource;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::room::Grant;

const SECRET: &str = "a-secret-of-at-least-32-characters";
const NOW: u64 = 1_800_000_000;

fn keys() -> Keys {
    Keys::new(BTreeMap::from([("devkey".to_owned(), SECRET.to_owned())])).unwrap()
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn signed(claims: &Value) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key).unwrap()
}

fn verified(claims: Value) -> Result<Grant, TokenError> {
    keys().verify(&signed(&claims), at(NOW))
}

#[test]
fn what_is_minted_verifies_to_the_same_grant() {
    let grant = Grant {
        identity: "ann".into(),
        name: "Ann".into(),
        metadata: "{}".into(),
        room: "lobby".into(),
        room_join: true,
        can_subscribe: true,
        hidden: true,
        can_publish_sources: vec![TrackSource::Camera, TrackSource::ScreenShareAudio],
        can_update_own_metadata: true,
        attributes: BTreeMap::from([("role".to_owned(), "host".to_owned())]),
        waiting: true,
        may_admit: true,
        ..Grant::default()
    };
    let token = keys().mint(&grant, Duration::from_secs(60), at(NOW));
    assert_eq!(keys().verify(&token, at(NOW)), Ok(grant.clone()));
    assert!(grant.may_join("lobby") && !grant.may_join("attic"));
}

#[test]
fn absent_livekit_rights_to_send_and_receive_mean_true() {
    let grant = verified(json!({"iss": "devkey", "sub": "ann", "exp": NOW + 60, "nbf": NOW,
        "video": {"room": "lobby", "roomJoin": true, "ingressAdmin": true}, "kind": "standard"}))
    .unwrap();
    assert!(grant.can_publish && grant.can_subscribe && grant.can_publish_data && !grant.room_admin);
    let grant = verified(json!({"iss": "devkey", "sub": "ann", "exp": NOW + 60,
        "video": {"roomJoin": true, "canPublish": false}}))
    .unwrap();
    assert!(!grant.can_publish && !grant.can_publish_data && grant.can_subscribe && grant.may_join("any"));
}

#[test]
fn absent_app_server_permissions_mean_none() {
    let app = |extra: Value| {
        let mut claims = json!({"apikey": "devkey", "version": 2, "exp": NOW + 60, "iat": NOW});
        claims.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        verified(claims).unwrap()
    };
    assert_eq!(app(json!({})), Grant::default());
    let join = app(json!({"permissions": ["allow_join"], "roomId": "abcd-efgh-ijkl", "participantId": "p1"}));
    assert!(
        join.may_join("abcd-efgh-ijkl") && !join.may_join("other") && join.can_publish && !join.room_admin
    );
    assert_eq!(join.identity, "p1");
    assert!(join.may_admit("abcd-efgh-ijkl") && !join.may_admit("other") && !join.waiting);
    let viewer = app(json!({"permissions": ["allow_join"], "role": "viewer"}));
    assert!(viewer.room_join && viewer.can_subscribe && !viewer.can_publish && viewer.can_publish_data);
    let asking = app(json!({"permissions": ["ask_join"]}));
    assert!(
        !asking.identity.is_empty()
            && asking.room_join
            && asking.hidden
            && !asking.can_publish
            && !asking.can_subscribe
            && asking.waiting
            && !asking.may_admit("any")
            && asking.can_update_own_metadata
    );
    let named = app(json!({"permissions": ["ask_join"], "name": "Ann"}));
    assert!(named.waiting && !named.can_update_own_metadata, "the app server has said who asks");
    let rest = app(json!({"permissions": ["allow_join", "allow_mod"], "roles": ["crawler"]}));
    assert!(!rest.room_join && rest.room_admin && rest.may_change_box());
    let rtc = app(json!({"permissions": ["allow_join", "allow_mod"], "roles": ["rtc"]}));
    assert!(rtc.room_join && !rtc.room_admin);
    let one_room = app(json!({"permissions": ["allow_mod"], "roomId": "lobby"}));
    assert!(!one_room.room_create && !one_room.room_list);
    assert!(one_room.may_moderate("lobby") && !one_room.may_moderate("attic") && !one_room.may_change_box());
}

#[test]
fn a_guest_link_serves_many_each_under_its_own_identity() {
    let link = |right| keys().mint_guest("lobby", "Ann", right, Duration::from_secs(60), at(NOW));
    let token = link(GuestRight::Join);
    let (one, two) = (keys().verify(&token, at(NOW)).unwrap(), keys().verify(&token, at(NOW)).unwrap());
    assert!(one.may_join("lobby") && !one.may_join("attic") && one.can_publish && !one.room_admin);
    assert_eq!(one.name, "Ann");
    assert!(one.identity.starts_with("guest-") && one.identity != two.identity);
    let asks = keys().verify(&link(GuestRight::Ask), at(NOW)).unwrap();
    assert!(asks.waiting && !asks.may_admit("lobby"));
    let host = keys().verify(&link(GuestRight::Moderate), at(NOW)).unwrap();
    assert!(host.may_join("lobby") && host.may_moderate("lobby") && !host.may_moderate("attic"));
    assert!(!host.may_change_box() && !host.room_create);
}

#[test]
fn a_token_is_valid_from_nbf_to_exp_with_a_minute_of_leeway() {
    let claims = json!({"iss": "devkey", "nbf": NOW, "exp": NOW + 100});
    let at = |seconds| keys().verify(&signed(&claims), at(seconds));
    assert!(at(NOW - 60).is_ok() && at(NOW + 160).is_ok());
    assert!(matches!(at(NOW - 61), Err(TokenError::NotYet { .. })));
    assert_eq!(at(NOW + 161), Err(TokenError::Expired { at: "2027-01-15T08:01:40Z".into() }));
}

#[test]
fn each_refusal_names_its_reason_but_no_secret() {
    let raw = |header: &str, claims: &str, signature: &str| {
        format!("{}.{}.{signature}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
    };
    let good = format!(r#"{{"iss":"devkey","exp":{}}}"#, NOW + 60);
    let foreign = |key: &str, secret: &str, alg| {
        let claims = json!({"iss": key, "exp": NOW + 60});
        jsonwebtoken::encode(&Header::new(alg), &claims, &EncodingKey::from_secret(secret.as_bytes()))
            .unwrap()
    };
    let other = "another-secret-of-at-least-32-characters";
    for (token, word) in [
        (String::new(), "no token"),
        ("abc".into(), "three parts"),
        ("a.b.c".into(), "header"),
        ("x".repeat(TOKEN_BYTES + 1), "16 KiB"),
        (raw(r#"{"alg":"none"}"#, &good, ""), "unsigned"),
        (raw(r#"{"alg":"None"}"#, &good, "AAAA"), "unsigned"),
        (raw(r#"{"alg":"HS256"}"#, &good, ""), "unsigned"),
        (raw(r#"{"alg":"HS256"}"#, &good, "AAAA"), "does not fit"),
        (raw(r#"{"alg":"RS256"}"#, &good, "AAAA"), "RS256"),
        (raw(r#"{"alg":"HS256"}"#, "[]", "AAAA"), "claims"),
        (foreign("devkey", SECRET, Algorithm::HS512), "HS512"),
        (foreign("devkey", other, Algorithm::HS256), "does not fit"),
        (foreign("nokey", SECRET, Algorithm::HS256), "nokey"),
        (signed(&json!({"iss": "devkey"})), "exp"),
        (signed(&json!({"iss": "devkey", "exp": "tomorrow"})), "wrong type"),
        (signed(&json!({"iss": "devkey", "exp": NOW + 9, "video": {"roomJoin": true}})), "identity"),
        (signed(&json!({"apikey": "devkey", "exp": NOW + 9, "version": 1})), "version 1"),
        (signed(&json!({"apikey": "devkey", "exp": NOW + 9, "role": "king"})), "king"),
        (
            signed(&json!({"iss": "devkey", "exp": NOW + 9, "video": {"canPublishSources": ["smell"]}})),
            "canPublishSources",
        ),
    ] {
        let error = keys().verify(&token, at(NOW)).unwrap_err().to_string();
        assert!(error.contains(word), "{token}: {error}");
        assert!(!error.contains(SECRET) && (token.len() < 20 || !error.contains(&token)), "{error}");
    }
}

#[test]
fn a_changed_byte_of_the_claims_breaks_the_signature() {
    let token = signed(&json!({"iss": "devkey", "exp": NOW + 60, "video": {"room": "a"}}));
    let changed = signed(&json!({"iss": "devkey", "exp": NOW + 60, "video": {"room": "b"}}));
    let (signature, claims) = (token.rsplit('.').next().unwrap(), changed.rsplit_once('.').unwrap().0);
    let forged = format!("{claims}.{signature}");
    assert!(matches!(keys().verify(&forged, at(NOW)), Err(TokenError::Signature { .. })));
}

#[test]
fn a_keys_file_is_read_back_and_its_errors_hide_the_secret() {
    let made = Keys::random();
    let read = Keys::parse(&made.to_toml()).unwrap();
    assert_eq!(read.first(), made.first());
    let token = made.mint(&Grant::default(), Duration::from_secs(1), at(NOW));
    assert!(read.verify(&token, at(NOW)).is_ok());
    assert!(!format!("{made:?}").contains(made.to_toml().rsplit('"').nth(1).unwrap()));
    for (text, word) in [
        ("", "keys"),
        ("[keys]", "empty"),
        ("[keys]\na = \"tooshort-SECRET\"", "15"),
        ("[keys]\na = 5", "line 2"),
        ("[keys]\na = \"SECRET", "line 2"),
        ("[keys]\n\n\nSECRET SECRET", "line 4"),
        ("[keys]\na = \"0123456789012345678901234567890123456789\"\n[other]\n", "other"),
        ("[keys]\n\"\" = \"0123456789012345678901234567890123456789\"", "name"),
    ] {
        let error = Keys::parse(text).unwrap_err().to_string();
        assert!(error.contains(word) && !error.contains("SECRET"), "{text:?}: {error}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_verify_panic(token in ".{0,200}") {
        let _ = keys().verify(&token, at(NOW));
    }

    #[test]
    fn no_signed_claims_make_verify_panic(exp in any::<f64>(), nbf in any::<f64>(), extra in "[a-z]{0,8}") {
        let claims = json!({"iss": "devkey", "sub": extra, "exp": exp, "nbf": nbf, "video": {"room": extra}});
        let _ = keys().verify(&signed(&claims), at(NOW));
    }

    #[test]
    fn no_parts_make_verify_panic(header in "\\PC{0,40}", claims in "\\PC{0,40}", signature in "[A-Za-z0-9_-]{0,43}") {
        let token = format!("{}.{}.{signature}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        prop_assert!(keys().verify(&token, at(NOW)).is_err());
    }

    #[test]
    fn no_text_makes_a_keys_file_panic(text in "(\\[keys\\]\n)?\\PC{0,80}") {
        let _ = Keys::parse(&text);
    }
}
