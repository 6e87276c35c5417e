//! What the room server costs: forwarding to N subscribers, many rooms for long, and how soon a browser sees a picture.
//!
//! ```text
//! cargo bench --bench sfu                              ours without and with estimation, livekit-server; N = 1 to 100
//! cargo bench --bench sfu -- ours livekit 50 300       these servers and these N
//! cargo bench --bench sfu -- rooms MINUTES             25 rooms of 4 on ours (10 minutes when not said)
//! cargo bench --bench sfu -- join [ours|livekit ...]   join to first decoded picture in Chromium, on both in turn
//! ```
//! Servers: `ours`, `ours-plain`, `livekit`, `livekit-plain`, `janus` (Debian's package; needs root); plain: without
//! bandwidth estimation. livekit-server is named by ROOMD_TEST_LIVEKIT_SERVER, the browser's modules by
//! ROOMD_TEST_NODE_MODULES.
//!
//! The server is another process. Its threads are read by their own CPU clocks while this process publishes, subscribes
//! and counts; what this process costs is not in any figure.
#![allow(clippy::disallowed_methods)]

#[path = "../../tests/rooms/client.rs"]
#[allow(dead_code)]
mod client;
mod forwarding;
mod janus;
mod join;
mod rooms;
mod server;

use server::Kind;

#[tokio::main]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let has = |name: &str| words.iter().any(|word| word == name);
    let numbers: Vec<usize> = words.iter().filter_map(|word| word.parse().ok()).collect();
    let kinds: Vec<Kind> = words.iter().filter_map(|word| Kind::parse(word)).collect();
    let or = |kinds: Vec<Kind>, usual: &[&str]| match kinds.is_empty() {
        true => usual.iter().filter_map(|name| Kind::parse(name)).collect(),
        false => kinds,
    };
    if has("serve") {
        return server::serve(!has("plain")).await;
    }
    println!("load average {}", std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim());
    if has("rooms") {
        return rooms::measure(numbers.first().copied().unwrap_or(10)).await;
    }
    if has("join") {
        return join::measure(&or(kinds, &["ours", "livekit"])).await;
    }
    let counts = if numbers.is_empty() { vec![1, 10, 50, 100] } else { numbers };
    let kinds = or(kinds, &["ours-plain", "ours", "livekit"]);
    if kinds.contains(&Kind::Janus) {
        janus::in_namespace();
    }
    println!("{}", forwarding::HEAD);
    for subscribers in counts {
        for kind in &kinds {
            println!("{}", forwarding::measure(*kind, subscribers).await);
        }
    }
}
