use clap::Parser;
use serde_json::{Value, json};

use super::*;
use crate::control::State;

fn parsed(line: &str) -> Args {
    Args::try_parse_from(std::iter::once("roomctl").chain(line.split(' '))).unwrap()
}

#[test]
fn every_order_becomes_its_command() {
    for (line, name, params) in [
        ("ping", "ping", json!({})),
        ("join lobby", "room.join", json!({"room": "lobby"})),
        ("join lobby --url ws://x", "room.join", json!({"room": "lobby", "url": "ws://x"})),
        ("leave", "room.leave", json!({})),
        ("end", "room.end", json!({})),
        ("record on --id a", "recording.set", json!({"on": true, "id": "a"})),
        ("record off", "recording.set", json!({"on": false})),
        ("live on", "live.set", json!({"on": true})),
        ("live off", "live.set", json!({"on": false})),
        ("camera off", "camera.set", json!({"on": false})),
        ("camera set gain=-3 zoom=1", "camera.set", json!({"controls": {"gain": -3, "zoom": 1}})),
        ("mute", "microphone.set", json!({"muted": true})),
        ("unmute", "microphone.set", json!({"muted": false})),
        ("state --watch", "state", Value::Null),
        ("admin-link", "admin.link", Value::Null),
        ("cmd room.join {\"room\":\"x\"}", "room.join", json!({"room": "x"})),
    ] {
        assert_eq!(parsed(line).order.request().unwrap(), (name.to_owned(), params), "{line}");
    }
    assert!(matches!(parsed("cmd x nonsense").order.request(), Err(Error::Usage(_))));
    assert!(Args::try_parse_from(["roomctl", "record", "maybe"]).is_err());
    assert!(Args::try_parse_from(["roomctl", "camera", "set", "gain=much"]).is_err());
}

#[test]
fn each_output_takes_the_key_of_its_own_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(file("a"), "key a\n").unwrap();
    std::fs::write(file("b"), "key b").unwrap();
    let outputs = "live on --output rtmp://a/x --output rtmp://b/y";
    let both = format!("{outputs} --key-file {} --key-file {}", file("a"), file("b"));
    let expected =
        json!([{"url": "rtmp://a/x", "streamKey": "key a"}, {"url": "rtmp://b/y", "streamKey": "key b"}]);
    assert_eq!(parsed(&both).order.request().unwrap().1["outputs"], expected);
    for wrong in [
        format!("{outputs} --key-file {}", file("a")),
        format!("{outputs} --key-file {} --key-file {}", file("a"), file("missing")),
        outputs.replace("on", "off"),
    ] {
        assert!(matches!(parsed(&wrong).order.request(), Err(Error::Usage(_))), "{wrong}");
    }
}

#[tokio::test]
async fn a_broker_without_a_box_and_a_box_without_a_broker_are_usage_errors() {
    for line in ["--broker mqtt://h ping", "--box a ping", "--broker http://h --box a ping"] {
        let exit = run(&parsed(line), &mut Vec::new(), &mut Vec::new()).await;
        assert_eq!(exit, Exit::Usage, "{line}");
    }
    assert!(Args::try_parse_from(["roomctl", "--cert-file", "c", "ping"]).is_err());
}

#[tokio::test]
async fn a_box_that_is_not_there_is_said_as_text_and_as_json() {
    let socket = "--socket /nonexistent/control.sock";
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = run(&parsed(&format!("{socket} ping")), &mut out, &mut err).await;
    assert_eq!((exit, out.len()), (Exit::Unreachable, 0));
    assert!(String::from_utf8(err).unwrap().contains("is roomd running?"));
    let mut out = Vec::new();
    run(&parsed(&format!("{socket} ping --json")), &mut out, &mut Vec::new()).await;
    let document: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(document["code"], "unreachable");
}

#[test]
fn a_refusal_and_the_state_read_well() {
    let mut out = Vec::new();
    let refusal = Reply::refused(Code::Conflict, "recording \"a\" is running: stop it first");
    output::reply(false, &Order::Leave, &refusal, &mut out).unwrap();
    output::document(false, "state", &json!(State::default()), false, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.starts_with("refused: conflict: recording \"a\""));
    assert!(text.contains("room       none\nrecording  off\nlive       off\ncamera     starting\n"));
}
