//! A guest in a real browser talks to a real box.

use std::path::Path;

use crate::guest::{self, GUEST_BEEP_HZ, Guest};
use crate::roomd::Roomd;
use crate::{film, gate};

fn check_beeps(speaker: &Path, seconds: u64) {
    let mut beeps = film::beeps(speaker, GUEST_BEEP_HZ);
    // A beep lasts 0.12 s: a second start so soon is the same beep behind a moment's hole.
    beeps.dedup_by(|later, earlier| *later - *earlier < 0.2);
    // The first and last second may be cut by joining and leaving.
    assert!(beeps.len() as u64 + 2 >= seconds, "beeps at {beeps:?}");
    for pair in beeps.windows(2).skip(2) {
        assert!((pair[1] - pair[0] - 1.0).abs() < 0.1, "one beep a second: {beeps:?}");
    }
}

#[test]
fn a_guest_sees_and_hears_the_box_for_thirty_seconds_and_is_heard() {
    let _gate = gate::alone();
    let mut roomd = Roomd::start("[room]\nname = \"lobby\"");
    roomd.wait_for("the box in its room", |roomd| roomd.state()["room"]["status"] == "joined");
    let link = guest::link(&roomd, "http://");
    let screenshots = guest::screenshots("guest");
    let guest = Guest { link: &link, seconds: 30, within: &[], home: roomd.dir.path(), screenshots };
    let seen = guest::visit(&roomd, &guest);
    guest::check(&seen, 30);
    let (_, dir) = roomd.stop();
    check_beeps(&dir.path().join("speaker.wav"), 30);
}
