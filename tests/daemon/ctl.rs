//! `roomctl`'s exit codes, and noise on the control socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;

use rand::{Rng, SeedableRng};
use serde_json::Value;

use crate::gate;
use crate::roomd::{PATIENCE, Roomd};

#[test]
fn roomctl_says_by_its_exit_code_whether_it_was_done_refused_misused_or_not_reached() {
    let _gate = gate::undisturbed();
    let mut roomd = Roomd::start("");
    let code = |roomd: &Roomd, arguments: &[&str]| roomd.ctl(arguments).status.code();
    for done in [&["ping"][..], &["state"], &["info"], &["mute"], &["record", "on", "--id", "one"]] {
        assert_eq!(code(&roomd, done), Some(0), "{done:?}");
    }
    let again = roomd.ask(&["record", "on"]);
    assert_eq!(again["data"]["id"], "one", "on while on is done, under the running id: {again}");
    let refused = roomd.ctl(&["record", "on", "--id", "two"]);
    let said: Value = serde_json::from_slice(&refused.stdout).expect("JSON");
    assert_eq!((refused.status.code(), said["code"].as_str()), (Some(1), Some("conflict")), "{said}");
    for bad in [&["cmd", "dance"][..], &["join", "a/b"], &["cmd", "recording.set", r#"{"on": 1}"#]] {
        let output = roomd.ctl(bad);
        let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(
            (output.status.code(), said["code"].as_str()),
            (Some(1), Some("bad_request")),
            "{bad:?}: {said}"
        );
    }
    for misused in [&["dance"][..], &["record", "maybe"], &["cmd", "ping", "{"], &["--box", "x", "ping"]] {
        assert_eq!(code(&roomd, misused), Some(2), "{misused:?}");
    }
    roomd.signal("KILL");
    let (_, dir) = roomd.ended();
    for socket in ["control.sock", "nothing.sock"] {
        let output = Command::new(env!("CARGO_BIN_EXE_roomctl"))
            .arg("--socket")
            .arg(dir.path().join(socket))
            .arg("ping")
            .output()
            .expect("roomctl runs");
        assert_eq!(output.status.code(), Some(3), "{socket}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("roomctl: "), "it says why: {output:?}");
    }
}

/// What the box answers to `bytes`, up to its hanging up or the first line.
fn answer(roomd: &Roomd, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(roomd.path("control.sock")).expect("the socket is open");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    // The box may have hung up before all of it is written.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut line = String::new();
    let _ = BufReader::new(stream.take(1 << 20)).read_line(&mut line);
    line
}

#[test]
fn noise_on_the_control_socket_is_answered_or_hung_up_on_and_the_box_goes_on() {
    let _gate = gate::undisturbed();
    let roomd = Roomd::start("");
    for request in
        ["nonsense\n", "{}\n", "[]\n", "null\n", "{\"cmd\": 7}\n", "{\"cmd\": \"ping\", \"x\": 1}\n"]
    {
        let line = answer(&roomd, request.as_bytes());
        let said: Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{request:?}: {error}: {line:?}"));
        assert_eq!(said["code"], "bad_request", "{request:?}: {said}");
    }
    let long = answer(&roomd, &[b'x'; 300_000]);
    assert!(long.is_empty() || long.contains("bytes long"), "{long}");
    let deep = format!("{}\n", "[".repeat(50_000));
    assert!(answer(&roomd, deep.as_bytes()).contains("bad_request"));
    let mut rng = rand::rngs::StdRng::seed_from_u64(7);
    for length in [1, 10, 100, 1000, 10_000] {
        let mut noise = vec![0; length];
        rng.fill_bytes(&mut noise);
        noise.push(b'\n');
        answer(&roomd, &noise);
    }
    // More clients than there are places, none of them saying anything.
    let idle: Vec<UnixStream> =
        (0..100).filter_map(|_| UnixStream::connect(roomd.path("control.sock")).ok()).collect();
    assert!(answer(&roomd, b"{\"cmd\": \"ping\"}\n").contains("busy"));
    drop(idle);
    let mut roomd = roomd;
    roomd.wait_for("a free place", |roomd| roomd.ctl(&["ping"]).status.success());
    roomd.stop();
}
