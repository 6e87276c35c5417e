//! Tokens that must not open anything.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use roomd::room::Grant;
use roomd::room::token::{GuestRight, Keys};

use crate::gate;
use crate::http;
use crate::pair::{Pair, keys};
use crate::roomd::Roomd;

const MINUTE: Duration = Duration::from_secs(60);

/// Each bad token with the status and a word that the reason must hold.
fn bad_tokens(keys: &Keys) -> Vec<(&'static str, String, u16, &'static str)> {
    let now = SystemTime::now();
    let grant = Pair::joining("mallory");
    let good = keys.mint(&grant, MINUTE, now);
    let (head, signature) =
        (good.split('.').next().unwrap_or_default(), good.rsplit('.').next().unwrap_or_default());
    let claims = good.split('.').nth(1).unwrap_or_default();
    let encoded = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let expired = keys.mint(&grant, MINUTE, now - Duration::from_secs(7200));
    let early = keys.mint(&grant, MINUTE, now + Duration::from_secs(7200));
    let forged = Keys::new([(keys.first().to_owned(), "f".repeat(40))].into()).expect("keys");
    let none = encoded(r#"{"alg":"none","typ":"JWT"}"#);
    let endless = encoded(&format!(
        r#"{{"iss":"{}","sub":"mallory","video":{{"roomJoin":true,"room":"lobby"}}}}"#,
        keys.first()
    ));
    let no_join = keys.mint(&Grant { room_join: false, ..grant.clone() }, MINUTE, now);
    let no_room = keys.mint(&Grant { room: String::new(), ..grant.clone() }, MINUTE, now);
    vec![
        ("expired", expired, 401, "expired"),
        ("not yet valid", early, 401, "valid"),
        ("alg none", format!("{none}.{claims}."), 401, "signed"),
        ("alg none with a signature", format!("{none}.{claims}.{signature}"), 401, "signed"),
        ("alg nOnE", format!("{}.{claims}.", encoded(r#"{"alg":"nOnE"}"#)), 401, "signed"),
        ("without its signature", format!("{head}.{claims}."), 401, "signed"),
        ("another algorithm", format!("{}.{claims}.{signature}", encoded(r#"{"alg":"HS512"}"#)), 401, "HS"),
        ("another's signature", forged.mint(&grant, MINUTE, now), 401, "signature"),
        ("another's key", Keys::random().mint(&grant, MINUTE, now), 401, "key"),
        ("changed claims", format!("{head}.{endless}.{signature}"), 401, "signature"),
        ("no token", String::new(), 401, "token"),
        ("garbage", "garbage".to_owned(), 401, "JWT"),
        ("garbage in three parts", "a.b.c".to_owned(), 401, "JWT"),
        ("long garbage", "x".repeat(20_000), 401, "JWT"),
        ("without the right to join", no_join, 403, "join"),
        ("without a room", no_room, 401, "room"),
    ]
}

#[test]
fn a_bad_token_opens_no_signalling_and_the_reason_shows_neither_token_nor_secret() {
    let _gate = gate::undisturbed();
    let roomd = Roomd::start("");
    let address = roomd.address("http");
    let (keys, secret) = keys(&roomd);
    let upgrade = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    let mut shown = Vec::new();
    for (what, token, status, word) in bad_tokens(&keys) {
        let authorization = format!("Authorization: Bearer {token}");
        let mut answers = vec![
            http::get(&address, "/rtc/validate", &[&authorization]),
            http::get(&address, "/rtc", &[&upgrade[..], &[&authorization]].concat()),
        ];
        // A request line has less room than the headers.
        if token.len() < 8000 {
            let query = format!("?access_token={token}&protocol=16");
            answers.push(http::get(&address, &format!("/rtc/validate{query}"), &[]));
            answers.push(http::get(&address, &format!("/rtc{query}"), &upgrade));
        }
        for answer in answers {
            let reason = answer.text();
            assert_eq!(answer.status, status, "{what}: {answer:?}");
            assert!(
                reason.to_lowercase().contains(&word.to_lowercase()),
                "{what}: {word:?} is not in {reason:?}"
            );
            assert!(
                token.len() < 10 || !answer.head.contains(&token) && !reason.contains(&token),
                "{what}: {reason}"
            );
            assert!(!reason.contains(&secret), "{what}: {reason}");
        }
        shown.push(token);
    }
    let log = roomd.log();
    assert!(!log.contains(&secret), "the secret is in the log");
    let signatures = shown.iter().filter_map(|token| token.rsplit('.').next()).filter(|part| part.len() > 20);
    for part in signatures {
        assert!(!log.contains(part), "a token is in the log");
    }
    roomd.stop();
}

#[test]
fn a_token_for_another_room_opens_only_that_one_and_never_the_box() {
    let _gate = gate::undisturbed();
    let roomd = Roomd::start("");
    let address = roomd.address("http");
    let (keys, _) = keys(&roomd);
    let elsewhere = Grant { room: "elsewhere".to_owned(), room_admin: true, ..Pair::joining("mallory") };
    let guest = keys.mint_guest("lobby", "", GuestRight::Join, MINUTE, SystemTime::now());
    for token in [keys.mint(&elsewhere, MINUTE, SystemTime::now()), guest] {
        let header = format!("Authorization: {token}");
        for path in ["/box/state", "/box/info", "/box/recordings", "/metrics"] {
            let answer = http::get(&address, path, &[&header]);
            assert_eq!(answer.status, 403, "{path}: {answer:?}");
            assert!(answer.text().contains("roomAdmin"), "{path}: {answer:?}");
        }
        let order = http::request(&address, "POST /box/cmd/room.leave", &[&header, "Content-Length: 0"]);
        assert_eq!(order.status, 403, "{order:?}");
        assert_eq!(http::get(&address, "/rtc/validate", &[&header]).status, 200);
    }
    roomd.stop();
}
