//! The rules of the architecture, checked on the source text: who may use whom, where `unsafe` may stand, how big
//! a file may be. `design/architecture.md` says why.

use std::fs;
use std::path::{Path, PathBuf};

const L0: &[&str] = &["base", "sys"];
const L1: &[&str] = &["media"];
const L2: &[&str] = &["mp4", "rtmp", "sfu", "room", "control"];
/// Services that other L3 modules may use.
const SERVICES: &[&str] = &["codec", "audio", "rtc", "https", "store"];
const DRIVERS: &[&str] = &["capture", "playback", "participant", "server", "record", "push", "mqtt", "local"];
const L4: &[&str] = &["config", "daemon", "ctl", "provision", "fuzz"];

/// Words that would make a pure module impure: sockets, files, threads, clocks.
const IMPURE: &[&str] = &[
    "std::net::Tcp",
    "std::net::Udp",
    "tokio::net",
    "std::fs",
    "tokio::fs",
    "std::thread",
    "tokio::spawn",
    "clock::now",
    "clock::wall",
    "clock::media_now",
    "Instant::now",
    "SystemTime::now",
];

/// Every Rust file under src/, with its path from there.
fn sources() -> Vec<(PathBuf, String)> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).expect("src is readable") {
            let path = entry.expect("src is readable").path();
            match path.is_dir() {
                true => walk(&path, found),
                false if path.extension().is_some_and(|extension| extension == "rs") => found.push(path),
                false => {}
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &mut found);
    assert!(found.len() > 20, "the source tree was found");
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("source is UTF-8");
        (path.strip_prefix(&root).expect("under src").to_owned(), text)
    };
    found.into_iter().map(read).collect()
}

/// `server` of `server/http/routes.rs`; None for lib.rs, main.rs and bin/.
fn module_of(path: &Path) -> Option<String> {
    let first = path.components().next()?.as_os_str().to_str()?;
    (path.components().count() > 1 && first != "bin").then(|| first.to_owned())
}

/// Code lines without comments.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Modules named by `crate::…` in a line, `crate::{a, b::c}` included.
fn uses(line: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        let rest = &line[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => found.extend(list.split(',').map(|item| word(item.trim()))),
            None => found.push(word(rest)),
        }
    }
    found
}

fn allowed(user: &str, used: &str) -> bool {
    if user == used {
        return true;
    }
    let is = |layer: &[&str], module: &str| layer.contains(&module);
    match user {
        _ if is(L0, user) => is(L0, used),
        _ if is(L1, user) => is(L0, used),
        _ if is(L2, user) => is(L0, used) || is(L1, used),
        _ if is(SERVICES, user) => is(L0, used) || is(L1, used) || is(L2, used),
        _ if is(DRIVERS, user) => is(L0, used) || is(L1, used) || is(L2, used) || is(SERVICES, used),
        _ => true,
    }
}

#[test]
fn every_module_has_a_layer_and_uses_only_those_above_it() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let Some(module) = module_of(&path) else { continue };
        let layers = [L0, L1, L2, SERVICES, DRIVERS, L4];
        assert!(
            layers.iter().any(|layer| layer.contains(&module.as_str())),
            "{module} has no layer: add it here"
        );
        for (number, line) in code(&text) {
            for used in uses(line) {
                let known = layers.iter().any(|layer| layer.contains(&used.as_str()));
                if known && !allowed(&module, &used) {
                    wrong.push(format!("src/{}:{number}: {module} may not use {used}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pure_modules_touch_no_sockets_files_threads_or_clocks() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let pure = module_of(&path).is_some_and(|module| L2.contains(&module.as_str()));
        if !pure || path.ends_with("tests.rs") {
            continue;
        }
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in code(text) {
            for word in IMPURE.iter().filter(|word| line.contains(**word)) {
                wrong.push(format!("src/{}:{number}: {word} in a pure module", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_stands_only_in_sys() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        if module_of(&path).as_deref() == Some("sys") {
            continue;
        }
        let blocks = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"];
        for (number, line) in code(&text).filter(|(_, line)| blocks.iter().any(|block| line.contains(block)))
        {
            wrong.push(format!("src/{}:{number}: {}", path.display(), line.trim()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_file_grows_past_five_hundred_lines() {
    let big: Vec<String> = sources()
        .into_iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > 500)
        .map(|(path, lines)| format!("src/{}: {lines} lines: split it by meaning", path.display()))
        .collect();
    assert!(big.is_empty(), "{}", big.join("\n"));
}

#[test]
fn the_checks_themselves_see_what_they_should() {
    assert_eq!(uses("use crate::{base::clock, mqtt};"), ["base", "mqtt"]);
    assert_eq!(uses("    crate::daemon::run()"), ["daemon"]);
    assert!(!allowed("media", "control") && !allowed("record", "mqtt") && !allowed("control", "server"));
    assert!(allowed("record", "store") && allowed("daemon", "mqtt") && allowed("mp4", "media"));
}
