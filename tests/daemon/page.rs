//! The box's page in a real browser.

use serde_json::{Value, json};

use crate::roomd::Roomd;
use crate::{film, gate, guest, live, pair};

/// A fresh admin link under the box's plain listener.
fn admin_link(roomd: &Roomd) -> String {
    let links = roomd.ask(&["admin-link"]);
    let link = links["data"]["urls"].as_array().and_then(|urls| urls.first()?.as_str());
    link.unwrap_or_else(|| panic!("no admin link in {links}")).to_owned()
}

fn owner(roomd: &Roomd) -> Value {
    let wish = json!({
        "link": admin_link(roomd),
        "profile": roomd.path("profile"),
        "record_ms": 4000,
        "live": {"url": format!("rtmp://127.0.0.1:{}/live", live::free_port()), "key": "s3cret-of-the-page"},
        "screenshots": guest::screenshots("box"),
    });
    let seen = guest::browse(&[], roomd.dir.path(), "box.mjs", &wish);
    let seen =
        seen.unwrap_or_else(|said| panic!("the owner failed:\n{said}\n--- roomd's log\n{}", roomd.log()));
    let page = seen["live_page"].as_str().unwrap_or_default();
    assert!(!page.is_empty() && !page.contains("s3cret-of-the-page"), "a stream key in the page");
    seen
}

#[test]
fn the_owner_opens_the_box_once_by_a_link_sees_it_records_and_plays_the_recording() {
    let _gate = gate::alone();
    let mut roomd = Roomd::start("[room]\nname = \"lobby\"");
    roomd.wait_for("the box in its room", |roomd| roomd.state()["room"]["status"] == "joined");
    let seen = owner(&roomd);

    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    assert!(text(&seen["without_link"]).contains("roomctl admin-link"), "{seen}");
    assert_eq!(seen["second_use"]["status"], 401, "a link works once: {seen}");
    assert!(text(&seen["second_use"]["text"]).contains("does not work"), "{seen}");
    assert_eq!(seen["picture"]["shown"], true, "{seen}");
    assert!(seen["picture"]["width"].as_u64().is_some_and(|width| width >= 320), "{seen}");
    assert!(text(&seen["guest_link"]).contains("/rooms/lobby#t="), "{seen}");
    let token = text(&seen["ask_link"]).split("#t=").nth(1).expect("a link that asks").to_owned();
    let asks = pair::keys(&roomd).0.verify(&token, std::time::SystemTime::now()).expect("a good token");
    assert!(asks.waiting && !asks.can_subscribe, "{asks:?}");

    assert!(text(&seen["live"]).contains("Not live, next try"), "{seen}");
    assert!(text(&seen["level"]).contains(" dB"), "the microphone's meter shows the test sound: {seen}");

    assert_eq!(seen["on_air"]["text"], "Being recorded", "{seen}");
    assert!(text(&seen["on_air"]["title"]).starts_with("● Being recorded"), "{seen}");
    assert_eq!(seen["off_air"], false, "{seen}");
    let recording = &seen["during"]["recording"];
    assert_eq!((&recording["on"], &recording["status"]), (&json!(true), &json!("recording")), "{seen}");
    assert_eq!(seen["after"]["recording"]["on"], false, "{seen}");
    assert_eq!(roomd.state()["recording"]["on"], false);
    assert!(text(&seen["camera_off"]).contains("By order"), "{seen}");
    let file = std::path::PathBuf::from(text(&recording["file"]));
    let probe = film::probe(&file);
    let seconds = film::duration(&probe);
    assert!((3.0..30.0).contains(&seconds), "{seconds} s in {}", file.display());
    film::decodes_without_error(&file);

    assert_eq!((&seen["played"]["width"], &seen["played"]["error"]), (&json!(1280), &Value::Null), "{seen}");
    let played = seen["played"]["duration"].as_f64().unwrap_or_default();
    assert!((played - seconds).abs() < 0.5, "{played} s played of {seconds} s");
    roomd.stop();
}

#[test]
fn the_page_without_a_session_says_how_to_get_one_and_shows_nothing() {
    let _gate = gate::undisturbed();
    let roomd = Roomd::start("");
    let address = roomd.address("http");
    for path in ["/box/state", "/box/info", "/box/picture.jpg", "/box/recordings", "/metrics"] {
        let answer = crate::http::get(&address, path, &["Cookie: roomd_session=guess"]);
        assert_eq!(answer.status, 401, "{path}: {answer:?}");
        assert!(answer.text().contains("roomctl admin-link"), "{path}: {}", answer.text());
    }
    let answer = crate::http::request(&address, "POST /box/cmd/recording.set", &["Content-Length: 0"]);
    assert_eq!(answer.status, 401, "{answer:?}");
}
