//! The guest page with several guests in a real browser.

use serde_json::{Value, json};

use crate::pair::keys;
use crate::roomd::Roomd;
use crate::{gate, guest};

/// Runs a script of `tests/browser` that drives several guests of a box in its room, and tells what it saw.
fn drive(script: &str) -> Value {
    let mut roomd = Roomd::start("[room]\nname = \"lobby\"");
    roomd.wait_for("the box in its room", |roomd| roomd.state()["room"]["status"] == "joined");
    let (keys, secret) = keys(&roomd);
    let wish = json!({
        "base": format!("http://{}", roomd.address("http")),
        "key": keys.first(),
        "secret": secret,
        "screenshots": std::env::var("ROOMD_TEST_SCREENSHOTS").ok(),
    });
    let seen = guest::browse(&[], roomd.dir.path(), script, &wish);
    let seen = seen.unwrap_or_else(|said| panic!("{script}:\n{said}\n--- roomd's log\n{}", roomd.log()));
    assert_eq!(seen["troubles"], json!([]), "errors in a page: {seen}");
    for (page, barriers) in seen["barriers"].as_object().expect("barriers") {
        assert_eq!(*barriers, json!([]), "{page} cannot be used by everybody");
    }
    roomd.stop();
    seen
}

/// The tiles in sight stand apart and within the stage; who is large.
fn main_tile(tiles: &Value) -> &str {
    assert_eq!(tiles["wrong"], false, "tiles lie on each other or outside: {tiles}");
    tiles["main"].as_str().unwrap_or_else(|| panic!("no main tile in {tiles}"))
}

#[test]
fn guests_see_each_other_chat_share_a_screen_change_devices_and_come_back_after_a_loss() {
    let _gate = gate::alone();
    let seen = drive("room.mjs");
    assert_eq!(seen["camera_taken_along"], true, "the camera chosen before joining is not published: {seen}");
    assert_eq!(seen["camera_changed"], true, "{seen}");
    for page in ["laptop", "phone", "after"] {
        assert_eq!(main_tile(&seen[page]), "", "{seen}");
        assert_eq!(seen[page]["shown"].as_array().map(Vec::len), Some(4), "{page}: {seen}");
    }

    // Chat: text stays text, nobody's typing is lost, an endless message is cut.
    assert_eq!((&seen["chat_text"], &seen["chat_elements"]), (&json!(true), &json!(0)), "{seen}");
    assert_eq!(seen["chat_name"], "Anna <i>María</i> Ruiz");
    assert_eq!(seen["too_long"], "A message may have 2,000 characters; this one has 2,001.");
    assert_eq!((&seen["kept"], &seen["messages"]), (&json!(2001), &json!(3)), "{seen}");

    // The screen is large for the others, not for whoever shares it; a pinned tile is large until it is not.
    assert_eq!(main_tile(&seen["screen"]["laptop"]), "screen-anna");
    assert_eq!(main_tile(&seen["screen"]["phone"]), "screen-anna");
    assert_eq!(seen["screen"]["own"], "");
    assert_eq!((&seen["pinned"], &seen["unpinned"]), (&json!("tile-bert"), &json!("")));

    // By keyboard: into the chat, back to its button, along the bar.
    assert_eq!((&seen["chat_focused"], &seen["focus_back"]), (&json!("x"), &json!("toggle-chat")), "{seen}");
    assert_eq!(seen["stage_inert"], true, "what the chat covers on a phone can still be reached");
    let bar = "toggle-microphone toggle-camera toggle-screen toggle-chat toggle-people open-devices leave";
    assert_eq!(seen["bar"], json!(bar.split(' ').collect::<Vec<_>>()));
    assert_eq!(seen["unmute"], "Unmute your microphone");

    let banner = seen["banner"].as_array().expect("banner");
    assert!(banner[0].as_str().is_some_and(|told| told.starts_with("Connection lost")), "{banner:?}");
    assert_eq!(banner.last(), Some(&json!("")), "the banner goes with the loss");
    assert_eq!(
        (&seen["ending"], &seen["ending_focused"]),
        (&json!("You left the room"), &json!("ending-title"))
    );
}

#[test]
fn in_a_crowd_who_speaks_comes_into_sight_and_nobody_else_moves() {
    let _gate = gate::alone();
    let seen = drive("crowd.mjs");
    for page in ["laptop", "phone"] {
        assert_eq!(main_tile(&seen["before"][page]), "", "{seen}");
    }
    assert!(seen["more"].as_str().is_some_and(|more| more.ends_with("others out of sight")), "{seen}");
    let tiles = |of: &Value| of["shown"].as_array().cloned().expect("tiles");
    let (before, after) = (tiles(&seen["before"]["phone"]), tiles(&seen["after"]));
    assert!(!before.contains(&seen["speaker"]) && after.contains(&seen["speaker"]), "{seen}");
    assert_eq!(before.len(), after.len(), "{seen}");
    let stayed = after.iter().filter(|tile| before.contains(tile)).count();
    assert_eq!(stayed, before.len() - 1, "{seen}");
    assert_eq!(main_tile(&seen["after"]), "", "{seen}");
    assert_eq!(main_tile(&seen["speaker_view"]), seen["speaker"], "{seen}");
    assert_eq!(tiles(&seen["alone"]).len(), 3, "{seen}");
}

#[test]
fn guests_are_let_in_or_turned_away_muted_called_on_to_the_stage_removed_and_sent_home() {
    let _gate = gate::alone();
    let seen = drive("door.mjs");
    assert_eq!(seen["guest_moderates"], 0, "a guest without the right is offered moderation: {seen}");
    let shown = seen["while_waiting"]["host"].as_array().expect("tiles");
    assert_eq!(shown.len(), 3, "who waits has no tile: {seen}");
    assert_eq!(seen["while_waiting"]["zoe_knows"], 0, "who waits knows nobody: {seen}");
    assert_eq!((&seen["zoe_called"], &seen["turned_away"]), (&json!("Zoe"), &json!("You were not let in")));
    assert_eq!(seen["viewer_chat"], true);
    assert_eq!(seen["focus_after_mute"], "Stop camera: Bert", "the focus is lost with the button");
    assert_eq!((&seen["confirm_focus"], &seen["still_there"]), (&json!("Cancel"), &json!(1)), "{seen}");
    assert_eq!(seen["removed"], "You were removed");
    assert_eq!(seen["room_ended"], json!(["The room has ended", "The room has ended"]));
}

#[test]
fn a_guest_sees_that_the_box_records_and_when_it_no_longer_does() {
    let _gate = gate::alone();
    let mut roomd = Roomd::start("[room]\nname = \"lobby\"");
    roomd.wait_for("the box in its room", |roomd| roomd.state()["room"]["status"] == "joined");
    let picture = match std::env::var_os("ROOMD_TEST_SCREENSHOTS") {
        Some(dir) => std::path::PathBuf::from(dir).join("guest-recorded.png"),
        None => roomd.path("seen.png"),
    };
    let _ = std::fs::remove_file(&picture);
    let wish = json!({
        "link": guest::link(&roomd, "http://"),
        "profile": roomd.path("profile"),
        "picture": picture,
    });
    let home = roomd.dir.path().to_owned();
    let browsing = std::thread::spawn(move || guest::browse(&[], &home, "sign.mjs", &wish));
    roomd.wait_for("the guest in the room", |roomd| roomd.state()["room"]["participants"] == 2);
    assert_eq!(roomd.ask(&["record", "on"])["ok"], true);
    roomd.wait_for("the sign to be seen", |_| picture.exists());
    assert_eq!(roomd.ask(&["record", "off"])["ok"], true);
    let seen = browsing.join().expect("the guest");
    let seen =
        seen.unwrap_or_else(|said| panic!("the guest failed:\n{said}\n--- roomd's log\n{}", roomd.log()));
    assert_eq!(seen, json!({"text": "Recording", "before": false, "after": false}));
    roomd.stop();
}
