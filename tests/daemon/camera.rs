//! The camera put off and on by order.

use std::time::{Duration, SystemTime};

use roomd::capture::timestamp;
use serde_json::{Value, json};

use crate::broker::Broker;
use crate::roomd::Roomd;
use crate::{film, gate};

fn camera(roomd: &Roomd) -> Value {
    roomd.state()["camera"].clone()
}

fn pass(roomd: &mut Roomd, time: Duration) {
    let until = std::time::Instant::now() + time;
    roomd.wait_for("the time to pass", |_| std::time::Instant::now() >= until);
}

/// When, in the pixels' units, each picture of the newest recording was taken; None: no test picture.
fn recorded(dir: &std::path::Path) -> Vec<Option<u64>> {
    let folder = std::fs::read_dir(dir.join("state/recordings/box")).expect("recordings");
    let mut files: Vec<_> = folder.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "mp4"));
    files.sort();
    let file = files.last().expect("a recording");
    film::decodes_without_error(file);
    film::pictures(file).iter().map(|picture| picture.shown).collect()
}

#[test]
fn a_camera_that_is_off_is_a_slate_for_everybody_over_a_restart_until_somebody_at_the_box_puts_it_on() {
    let _gate = gate::undisturbed();
    let broker = Broker::start();
    let mut roomd = Roomd::start(&broker.config());
    let id = roomd.ask(&["info"])["id"].as_str().expect("an id").to_owned();
    roomd.wait_for("pictures", |roomd| camera(roomd)["status"] == "running");
    let set =
        |correlation: &str, params: Value| broker.ask(&id, "camera.set", &params.to_string(), correlation);
    roomd.ask(&["record", "on"]);
    pass(&mut roomd, Duration::from_secs(2));
    let reply = set("off", json!({"on": false}));
    let off = timestamp::ticks(SystemTime::now());
    assert_eq!(reply["ok"], true, "{reply}");
    assert_eq!((&camera(&roomd)["status"], &camera(&roomd)["reason"]), (&json!("off"), &json!("by order")));
    assert_eq!(set("off again", json!({"on": false}))["ok"], true);
    assert_eq!(set("on", json!({"on": true}))["code"], "unauthorized");
    assert_eq!(set("brighter", json!({"controls": {"brightness": 9}}))["code"], "unsupported");
    assert_eq!(set("nothing", json!({}))["code"], "bad_request");
    let picture = broker.ask(&id, "snapshot", "{}", "picture");
    assert_eq!(picture["ok"], true, "the slate: {picture}");
    pass(&mut roomd, Duration::from_secs(2));
    let on = timestamp::ticks(SystemTime::now());
    roomd.ask(&["camera", "on"]);
    roomd.wait_for("pictures again", |roomd| camera(roomd)["status"] == "running");
    pass(&mut roomd, Duration::from_secs(2));
    roomd.ask(&["record", "off"]);
    let shown = recorded(roomd.dir.path());
    let of = |from, to| shown.iter().flatten().filter(|at| (from..to).contains(*at)).count();
    assert!(of(0, off) > 20 && of(on, u64::MAX) > 20, "the test picture before and after: {shown:?}");
    assert_eq!(of(off, on), 0, "while it was off: {shown:?}");
    assert!(shown.iter().filter(|at| at.is_none()).count() > 20, "the slate: {shown:?}");

    roomd.ask(&["camera", "off"]);
    let (_, dir) = roomd.stop();
    let mut roomd = Roomd::start_in(dir, &broker.config());
    assert_eq!(camera(&roomd)["reason"], "by order");
    roomd.ask(&["record", "on"]);
    pass(&mut roomd, Duration::from_secs(2));
    roomd.ask(&["record", "off"]);
    let shown = recorded(roomd.dir.path());
    assert!(shown.len() > 20 && shown.iter().all(Option::is_none), "off since before the start: {shown:?}");
    roomd.stop();
}
