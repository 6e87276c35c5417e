use super::*;
use std::path::Path;

use crate::control::config_document::FaultCode;

fn load_text(text: &str, environment: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("roomd.toml");
    std::fs::write(&file, text).unwrap();
    let environment =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    load(Some(&file), &Environment(environment), None)
}

#[test]
fn an_empty_file_is_a_working_box() {
    let settings = load_text("", &[]).unwrap();
    assert_eq!(settings.camera.size.to_string(), "1280x720");
    let server = settings.server.unwrap();
    assert_eq!(server.listen.to_string(), "127.0.0.1:7880");
    assert_eq!(server.listen_tls.unwrap().to_string(), "0.0.0.0:7443");
    assert!(server.bandwidth_estimation);
    assert!(settings.mqtt.is_none());
    assert_eq!(settings.recording.dir, Path::new("/var/lib/roomd/recordings"));
    assert_eq!(settings.recording.min_free_bytes, 1 << 30);
}

#[test]
fn bandwidth_estimation_can_be_switched_off() {
    let settings = load_text("[server]\nbandwidth_estimation = false\n", &[]).unwrap();
    assert!(!settings.server.unwrap().bandwidth_estimation);
}

#[test]
fn every_problem_is_listed_with_file_key_value_and_what_is_allowed() {
    let text = r#"
        top = 1
        [camera]
        size = "1281x720"
        fps = 0
        colour = "red"
        [server]
        listen = "0.0.0.0:80"
        [mqtt]
        url = "mqtt://user:password@host"
        key_file = "/k"
        [recording]
        min_free = "lots"
        [vidoe]
        bitrate_kbps = 1
        [video]
        bitrate_kbps = "fast"
        [room]
        api_key = "k"
    "#;
    let ConfigError(problems) = load_text(text, &[]).unwrap_err();
    let said = ConfigError(problems.clone()).to_string();
    for word in [
        "top",
        "camera.size: \"1281x720\" given, allowed is WIDTHxHEIGHT",
        "camera.fps: 0 given, allowed is a whole number from 1 to 60",
        "camera.colour: unknown key; known in [camera] are controls, fps, size, source",
        "server.listen",
        "mqtt.url",
        "mqtt.key_file: needs cert_file",
        "recording.min_free",
        "vidoe.bitrate_kbps: unknown section",
        "video.bitrate_kbps: \"fast\" given",
        "room.api_key: needs api_secret_file",
    ] {
        assert!(said.contains(word), "{word} is missing in:\n{said}");
    }
    assert_eq!(problems.len(), 11, "{said}");
    assert!(problems.iter().all(|problem| problem.origin.ends_with("roomd.toml")));
}

#[test]
fn the_environment_wins_and_speaks_every_type() {
    let environment = [
        ("ROOMD_CAMERA__FPS", "15"),
        ("ROOMD_VIDEO__SIMULCAST", "false"),
        ("ROOMD_MQTT__ISSUERS", "a, b"),
        ("ROOMD_MQTT__URL", "mqtt://localhost"),
        ("ROOMD_SERVER__LISTEN_TLS", ""),
    ];
    let settings = load_text("[camera]\nfps = 25\n[video]\nsimulcast = true", &environment).unwrap();
    assert_eq!(settings.camera.fps, 15);
    assert!(!settings.video.simulcast);
    assert_eq!(settings.mqtt.unwrap().issuers, ["a", "b"]);
    assert!(settings.server.unwrap().listen_tls.is_none());
    let ConfigError(problems) = load_text("", &[("ROOMD_CAMERA__FPS", "many")]).unwrap_err();
    assert_eq!(problems[0].origin, "environment");
}

#[test]
fn later_directories_win_over_the_file_in_the_order_of_names() {
    let dir = tempfile::tempdir().unwrap();
    let (file, state) = (dir.path().join("roomd.toml"), dir.path().join("state"));
    std::fs::create_dir_all(dir.path().join("roomd.d")).unwrap();
    std::fs::create_dir_all(state.join("conf.d")).unwrap();
    let main = format!("[box]\nstate_dir = {:?}\nname = \"a\"\nfleet = \"a\"\nid = \"a\"", state.display());
    std::fs::write(&file, main).unwrap();
    std::fs::write(dir.path().join("roomd.d/2.toml"), "[box]\nname = \"c\"\nfleet = \"c\"").unwrap();
    std::fs::write(dir.path().join("roomd.d/1.toml"), "[box]\nname = \"b\"\nfleet = \"b\"").unwrap();
    std::fs::write(state.join("conf.d/1.toml"), "[box]\nfleet = \"d\"").unwrap();
    let device = load(Some(&file), &Environment::default(), None).unwrap().device;
    assert_eq!((device.id.as_deref(), device.name.as_str(), device.fleet.as_str()), (Some("a"), "c", "d"));
}

#[test]
fn destinations_are_read_and_what_is_wrong_with_them_is_said_without_showing_them() {
    let good =
        "[live]\ndestinations = [{url = \"rtmps://a/live\", stream_key_file = \"/k\"}]\nca_file = \"/ca\"";
    let live = load_text(good, &[]).unwrap().live;
    assert_eq!(live.destinations[0].url.to_string(), "rtmps://a/live");
    assert_eq!((live.destinations.len(), live.ca_file.as_deref()), (1, Some(Path::new("/ca"))));
    let many = ["{url = \"rtmp://a/b\", stream_key_file = \"/k\"}"; 9].join(", ");
    for (bad, word) in [
        ("\"s3cret\"", "a list of"),
        ("[{url = \"rtmp://a/live\", stream_key = \"s3cret\"}]", "number 1: allowed is"),
        ("[{url = \"rtmp://a/live\", stream_key_file = \"/k\", key = \"s3cret\"}]", "stream_key_file"),
        ("[{url = \"rtmp://a/live?s3cret\", stream_key_file = \"/k\"}]", "number 1: url: no user"),
        (format!("[{many}]").as_str(), "at most 8"),
    ] {
        let said = load_text(&format!("[live]\ndestinations = {bad}"), &[]).unwrap_err().to_string();
        assert!(said.contains("live.destinations: ") && said.contains(word), "{said}");
        assert!(!said.contains("s3cret"), "{said}");
    }
}

#[test]
fn a_file_that_is_missing_or_no_toml_is_said() {
    let ConfigError(problems) =
        load(Some(Path::new("/nonexistent.toml")), &Environment::default(), None).unwrap_err();
    assert!(problems[0].to_string().starts_with("/nonexistent.toml: cannot be read"));
    let ConfigError(problems) = load_text("[box", &[]).unwrap_err();
    assert!(problems[0].message.contains("is not TOML"));
}

#[test]
fn what_the_fleet_desires_wins_over_the_files_and_loses_against_the_environment() {
    use crate::control::config_document::DesiredConfig;
    let dir = tempfile::tempdir().unwrap();
    let (file, state) = (dir.path().join("roomd.toml"), dir.path().join("state"));
    std::fs::create_dir_all(state.join("conf.d")).unwrap();
    std::fs::write(&file, format!("[box]\nstate_dir = {:?}\n[camera]\nfps = 10", state.display())).unwrap();
    std::fs::write(state.join("conf.d/1.toml"), "[camera]\nfps = 11\n[room]\ntoken_file = \"/t\"").unwrap();
    let wish =
        |json: &str| DesiredConfig::parse(format!(r#"{{"version":1,"config":{json}}}"#).as_bytes()).unwrap();
    let load = |json: &str, environment: &Environment| load(Some(&file), environment, Some(&wish(json)));
    let set = Environment([("ROOMD_CAMERA__FPS".to_owned(), "13".to_owned())].into());
    let fps = |environment| load(r#"{"camera":{"fps":12}}"#, environment).unwrap().camera.fps;
    assert_eq!((fps(&Environment::default()), fps(&set)), (12, 13));
    let faults = load(r#"{"room":{"api_key":"k","api_secret_file":"/s"}}"#, &Environment::default())
        .unwrap_err()
        .faults();
    assert_eq!((faults[0].path.as_str(), faults[0].code), ("room.token_file", FaultCode::Conflict));
    assert!(faults[0].message.contains("conf.d/1.toml"), "the file that it contradicts: {faults:?}");
    std::fs::write(state.join("conf.d/1.toml"), "[camera]\nfps = \"s\"").unwrap();
    let faults = load("{}", &Environment::default()).unwrap_err().faults();
    assert_eq!(faults[0].code, FaultCode::LocalConfig);
}
