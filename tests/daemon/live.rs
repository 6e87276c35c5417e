//! Going live to a real nginx, measured from what it recorded.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::broker::Broker;
use crate::nginx::Nginx;
pub use crate::nginx::free_port;
use crate::roomd::Roomd;
use crate::{film, gate};

const KEY: &str = "s3cret-key-of-the-stream";

/// `roomctl live on` to these URLs, all under [`KEY`], and the reply.
fn go_live(roomd: &Roomd, urls: &[&str]) -> Value {
    std::fs::write(roomd.path("key"), format!("{KEY}\n")).expect("the key is written");
    let file = roomd.path("key").display().to_string();
    let mut arguments = vec!["live", "on"];
    for url in urls {
        arguments.extend(["--output", *url, "--key-file", file.as_str()]);
    }
    let output = roomd.ctl(&arguments);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn destination(roomd: &Roomd, number: usize) -> Value {
    roomd.state()["live"]["destinations"][number].clone()
}

/// Lets time pass while the box runs.
fn pass(roomd: &mut Roomd, seconds: u64) {
    for _ in 0..seconds {
        let began = Instant::now();
        roomd.wait_for("a second to pass", |_| began.elapsed() >= Duration::from_secs(1));
    }
}

/// Waits until destination `number` has this status.
fn wait_for(roomd: &mut Roomd, number: usize, status: &str) {
    roomd.wait_for(&format!("destination {number} to be {status}"), |roomd| {
        destination(roomd, number)["status"] == status
    });
}

/// The number behind `name=` in the box's last word on a destination.
fn told(roomd: &Roomd, url: &str, name: &str) -> u64 {
    let log = roomd.log();
    let line = log.lines().rfind(|line| line.contains("no longer live there") && line.contains(url));
    let line = line.unwrap_or_else(|| panic!("nothing about {url} in\n{log}"));
    let word = line.split_whitespace().find_map(|word| word.strip_prefix(&format!("{name}=")));
    word.and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("no {name} in {line}"))
}

/// Packets of `kind` in a file.
fn packets(probe: &Value, kind: &str) -> u64 {
    let count = film::stream(probe, kind)["nb_read_packets"].as_str();
    count.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no {kind} packets in {probe}"))
}

/// Times in seconds and keyframe flags of a file's packets of `kind` (`v`, `a`), as they stand in it.
fn times(file: &Path, kind: &str) -> Vec<(f64, bool)> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", kind, "-show_entries", "packet=pts_time,flags"])
        .args(["-of", "csv=p=0"])
        .arg(file)
        .output()
        .expect("ffprobe runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let packet = |line: &str| {
        let (time, flags) = line.split_once(',')?;
        Some((time.parse().ok()?, flags.starts_with('K')))
    };
    text.lines().filter_map(packet).collect()
}

/// Begins with a keyframe at 0, never goes back, has no hole, and decodes.
fn assert_whole(file: &Path) {
    let (pictures, sounds) = (times(file, "v"), times(file, "a"));
    assert!(pictures.len() > 10 && sounds.len() > 10, "{} pictures", pictures.len());
    assert_eq!(pictures[0], (0.0, true), "the first picture of {}", file.display());
    assert!(sounds[0].0 < 0.1, "the first sound at {}", sounds[0].0);
    for (kind, packets) in [("pictures", &pictures), ("sound", &sounds)] {
        for pair in packets.windows(2) {
            let step = pair[1].0 - pair[0].0;
            // A busy machine may leave out a picture; a reader that was dropped to the next keyframe lacks more.
            assert!((0.0..=0.3).contains(&step), "{kind}: {} s after {} s", pair[1].0, pair[0].0);
        }
    }
    film::decodes_without_error(file);
}

/// The key stands nowhere but in the database, which only its owner can read.
fn assert_secret(roomd: &Roomd, replies: &[&Value]) {
    let address = roomd.address("http");
    let metrics = admin_metrics(roomd, &address);
    assert!(metrics.contains("roomd_live_acked_bytes_total{destination=\"0\",url=\"rtmp://"), "{metrics}");
    let mut shown = vec![("log", roomd.log()), ("state", roomd.state().to_string()), ("metrics", metrics)];
    shown.extend(replies.iter().map(|reply| ("reply", reply.to_string())));
    for (what, text) in shown {
        assert!(!text.contains(KEY), "the stream key stands in the {what}: {text}");
    }
    for entry in std::fs::read_dir(roomd.path("state")).expect("the state directory").flatten() {
        let mode = std::os::unix::fs::PermissionsExt::mode(&entry.metadata().expect("a file").permissions());
        let bytes = std::fs::read(entry.path()).unwrap_or_default();
        let holds = bytes.windows(KEY.len()).any(|part| part == KEY.as_bytes());
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(!holds || (name.starts_with("roomd.db") && mode & 0o077 == 0), "{name} {mode:o}");
    }
}

/// `/metrics`, with a session of its own.
fn admin_metrics(roomd: &Roomd, address: &str) -> String {
    let links = roomd.ask(&["admin-link"]);
    let link = links["data"]["urls"][0].as_str().expect("a link").to_owned();
    let path = link.split_once(address).expect("the plain listener's link").1.to_owned();
    let answer = crate::http::get(address, &path, &[]);
    let cookie = answer.header("set-cookie").expect("a session");
    let cookie = format!("Cookie: {}", cookie.split(';').next().unwrap_or_default());
    crate::http::get(address, "/metrics", &[&cookie]).text()
}

#[test]
fn nginx_gets_every_frame_of_a_minute_and_a_port_nobody_listens_on_says_why_and_when_next() {
    let _gate = gate::undisturbed();
    let (nginx, mut roomd) = (Nginx::start(None), Roomd::start(""));
    let unheard = format!("rtmp://127.0.0.1:{}/live", free_port());
    let reply = go_live(&roomd, &[&nginx.url(), &unheard]);
    assert_eq!(
        (&reply["ok"], &reply["message"]),
        (&json!(true), &json!("live to 1 of 2 destinations")),
        "{reply}"
    );
    assert_eq!(reply["data"]["destinations"][0]["status"], "live", "{reply}");
    pass(&mut roomd, 60);
    let (heard, refused) = (destination(&roomd, 0), destination(&roomd, 1));
    assert_eq!((&heard["status"], &heard["last_error"]), (&json!("live"), &Value::Null), "{heard}");
    assert!(heard["bytes_acked"].as_u64().is_some_and(|bytes| bytes > 1_000_000), "{heard}");
    assert_eq!(refused["url"], unheard);
    assert!(refused["last_error"].as_str().is_some_and(|error| error.contains("refused")), "{refused}");
    assert!(refused["next_try"].as_str().is_some() || refused["status"] == "connecting", "{refused}");
    assert_eq!(refused["bytes_acked"], 0);

    assert_secret(&roomd, &[&reply]);
    let off = roomd.ask(&["live", "off"]);
    assert_eq!(roomd.state()["live"], json!({"on": false, "destinations": []}));
    assert!(off["data"]["destinations"][0]["bytes_acked"].as_u64() >= heard["bytes_acked"].as_u64(), "{off}");
    let files = nginx.recorded(KEY);
    assert_eq!(files.len(), 1, "one connection: {files:?}");
    let probe = film::probe(&files[0]);
    let (pictures, sounds) = (packets(&probe, "video"), packets(&probe, "audio"));
    eprintln!("{pictures} pictures and {sounds} packets of sound arrived");
    assert_eq!(
        (pictures, sounds),
        (told(&roomd, &nginx.url(), "pictures"), told(&roomd, &nginx.url(), "sounds"))
    );
    assert_eq!(told(&roomd, &nginx.url(), "lost"), 0);
    assert!(pictures >= 60 * 15, "{pictures} pictures of a minute");
    assert_whole(&files[0]);
    let log = nginx.log();
    let after = log.split_once("publish: name=").expect("nginx was published to").1;
    let (ended, hung_up) = (after.find("deleteStream"), after.find("disconnect"));
    assert!(
        ended.is_some() && ended < hung_up.or(Some(usize::MAX)),
        "the stream's end is told first: {after}"
    );
    roomd.stop();
}

#[test]
fn an_nginx_that_is_killed_and_comes_back_after_thirty_seconds_gets_the_stream_from_a_keyframe_on() {
    let _gate = gate::undisturbed();
    let (mut nginx, mut roomd) = (Nginx::start(None), Roomd::start(""));
    go_live(&roomd, &[&nginx.url()]);
    pass(&mut roomd, 3);
    let before = destination(&roomd, 0)["bytes_acked"].as_u64();
    nginx.kill();
    wait_for(&mut roomd, 0, "retrying");
    pass(&mut roomd, 30);
    let waiting = destination(&roomd, 0);
    assert!(
        waiting["last_error"].as_str().is_some_and(|error| error.contains("cannot connect")),
        "{waiting}"
    );
    nginx.launch();
    wait_for(&mut roomd, 0, "live");
    pass(&mut roomd, 3);
    let after = destination(&roomd, 0);
    assert_eq!(after["last_error"], Value::Null);
    assert!(after["bytes_acked"].as_u64() > before, "counted on: {before:?} {after}");
    roomd.ask(&["live", "off"]);
    let files = nginx.recorded(KEY);
    assert_eq!(files.len(), 2, "{files:?}");
    assert_whole(&files[1]);
    roomd.stop();
}

#[test]
fn rtmps_goes_through_a_tls_terminator_and_a_certificate_for_another_name_is_refused() {
    let _gate = gate::undisturbed();
    let authority = rcgen::KeyPair::generate().expect("a key");
    let mut about = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
    about.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = about.self_signed(&authority).expect("a certificate");
    let issuer = rcgen::Issuer::from_params(&about, &authority);
    let key = rcgen::KeyPair::generate().expect("a key");
    let names = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
    let certificate = names.signed_by(&key, &issuer).expect("a certificate");

    let nginx = Nginx::start(Some((&certificate.pem(), &key.serialize_pem())));
    let dir = tempfile::tempdir().expect("a temporary folder");
    let ca_file = dir.path().join("ca.pem");
    std::fs::write(&ca_file, root.pem()).expect("written");
    let mut roomd = Roomd::start(&format!("[live]\nca_file = {ca_file:?}"));
    let good = format!("rtmps://localhost:{}/live", nginx.rtmps);
    let wrong = format!("rtmps://127.0.0.1:{}/live", nginx.rtmps);
    let reply = go_live(&roomd, &[&good, &wrong]);
    assert_eq!(reply["data"]["destinations"][0]["status"], "live", "{reply}\n{}", nginx.log());
    let error = destination(&roomd, 1)["last_error"].as_str().unwrap_or_default().to_owned();
    assert!(error.contains("TLS with 127.0.0.1 failed") && error.contains("name"), "{error}");
    pass(&mut roomd, 4);
    roomd.ask(&["live", "off"]);
    let files = nginx.recorded(KEY);
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(packets(&film::probe(&files[0]), "video"), told(&roomd, &good, "pictures"));
    assert_whole(&files[0]);

    // Without the authority: refused.
    let roomd = Roomd::start("");
    let reply = go_live(&roomd, &[&good]);
    assert_eq!(reply["code"], "upstream", "{reply}");
    assert!(reply["message"].as_str().is_some_and(|text| text.contains("UnknownIssuer")), "{reply}");
}

#[test]
fn orders_are_refused_repeated_replaced_and_kept_over_a_kill() {
    let _gate = gate::undisturbed();
    let (nginx, broker) = (Nginx::start(None), Broker::start());
    let mut roomd = Roomd::start(&broker.config());
    let id = roomd.ask(&["info"])["id"].as_str().expect("an id").to_owned();
    let none = roomd.ctl(&["live", "on"]);
    let text = String::from_utf8_lossy(&none.stdout).into_owned();
    assert!(text.contains("bad_request") && text.contains("live.destinations"), "{text}");
    let output = |key: &str| json!({"url": nginx.url(), "streamKey": key});
    let nine: Vec<Value> = (0..9).map(|number| output(&number.to_string())).collect();
    let refused = broker.ask(&id, "live.set", &json!({"on": true, "outputs": nine}).to_string(), "c1");
    assert_eq!(refused["code"], "bad_request", "{refused}");

    let both = json!({"on": true, "outputs": [output("stays"), output("goes")]}).to_string();
    let reply = broker.ask(&id, "live.set", &both, "c2");
    assert_eq!(
        (&reply["ok"], &reply["message"]),
        (&json!(true), &json!("live to 2 of 2 destinations")),
        "{reply}"
    );
    assert_eq!(broker.ask(&id, "live.set", &both, "c3")["message"], "already live");
    let other = json!({"on": true, "outputs": [output("comes"), output("stays")]}).to_string();
    assert_eq!(broker.ask(&id, "live.set", &other, "c4")["ok"], true);
    pass(&mut roomd, 2);

    // What was ordered goes on after a kill.
    let mut roomd = Roomd::start_in(roomd.kill(), &broker.config());
    roomd.wait_for("the stream as before the kill", |roomd| {
        (0..2).all(|number| destination(roomd, number)["status"] == "live")
    });
    assert_eq!(nginx.recorded("stays").len(), 2, "one connection before the kill and one after it");
    assert_eq!((nginx.recorded("goes").len(), nginx.recorded("comes").len()), (1, 2));
    roomd.stop();
    assert_whole(&nginx.recorded("stays")[0]);
}

#[test]
fn configured_destinations_are_used_when_an_order_names_none() {
    let _gate = gate::undisturbed();
    let (nginx, dir) = (Nginx::start(None), tempfile::tempdir().expect("a temporary folder"));
    let file = dir.path().join("key");
    let config = format!("[live]\ndestinations = [{{url = {:?}, stream_key_file = {file:?}}}]", nginx.url());
    let mut roomd = Roomd::start(&config);
    let refused = String::from_utf8_lossy(&roomd.ctl(&["live", "on"]).stdout).into_owned();
    assert!(refused.contains(&file.display().to_string()), "the missing key file is named: {refused}");
    std::fs::write(&file, KEY).expect("written");
    wait_for(&mut roomd, 0, "live");
    assert_eq!(roomd.ask(&["live", "on"])["ok"], true);
    roomd.stop();
    assert_eq!(nginx.recorded(KEY).len(), 1);
}
