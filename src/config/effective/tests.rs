use std::collections::BTreeSet;

use super::*;
use crate::config::layers::known_keys;

/// `section.key` of every property.
fn keys(schema: &Value) -> BTreeSet<String> {
    let sections = schema["properties"].as_object().unwrap();
    let keys = |(section, kind): (&String, &Value)| {
        let keys = kind["properties"].as_object().unwrap_or_else(|| panic!("{section}: {kind}"));
        keys.keys().map(|key| format!("{section}.{key}")).collect::<Vec<_>>()
    };
    sections.iter().flat_map(keys).collect()
}

#[test]
fn the_schema_has_every_key_and_the_fleets_only_those_that_it_may_set() {
    let known = known_keys();
    assert_eq!(keys(&effective_schema()), known);
    let forbidden =
        |key: &String| key.split_once('.').is_some_and(|(section, key)| is_forbidden(section, key));
    let allowed: BTreeSet<_> = known.into_iter().filter(|key| !forbidden(key)).collect();
    assert!(!allowed.contains("box.id") && allowed.contains("box.name"));
    assert_eq!(keys(&desired_schema()), allowed);
}

#[test]
fn what_is_effective_can_be_desired_again_and_holds_no_secret() {
    let text = r#"
        [room]
        url = "wss://me:s3cret@rooms.example/path?key=s3cret"
        [server]
        webhook_urls = ["https://app.example/s3cret"]
        [live]
        destinations = [{url = "rtmps://a/live", stream_key_file = "/k"}]
        [camera]
        controls = {brightness = 7, auto = true}
        [control]
        groups = ["floor2"]
        [recording]
        min_free = "1536 MiB"
    "#;
    let settings = crate::config::check(text).unwrap();
    let mut document = Effective::of(&settings).document();
    assert!(!document.to_string().contains("s3cret"), "{document}");
    assert_eq!(document["room"]["url"], "wss://rooms.example/path");
    assert_eq!(document["camera"]["controls"]["auto"], 1);
    assert_eq!(
        (&document["recording"]["min_free"], &document["video"]["encoder"]),
        (&"1536MiB".into(), &"auto".into())
    );
    for (section, key) in
        [("box", "state_dir"), ("control", "socket"), ("log", "journal"), ("server", "webhook_urls")]
    {
        document[section].as_object_mut().unwrap().remove(key);
    }
    document.as_object_mut().unwrap().remove("mqtt");
    let wish = serde_json::json!({"version": 1, "config": document}).to_string();
    let desired = crate::control::config_document::DesiredConfig::parse(wish.as_bytes()).unwrap();
    let again = crate::config::check_desired(&desired).unwrap();
    assert_eq!(Effective::of(&again).document()["live"], document["live"]);
    assert_eq!(again.control.groups, ["floor2"]);
}
