//! How long it takes from joining to the first decoded picture in Chromium: the unmodified JS SDK, one page that
//! publishes and one after the other that watches.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::server::{Kind, Server, token};

/// Times that somebody joins, on each server and round.
const JOINS: usize = 5;
/// Each server in turn, so many times.
const ROUNDS: usize = 2;
/// For one server and round.
const LIMIT: Duration = Duration::from_secs(120);

/// Prints a row for each server.
pub async fn measure(kinds: &[Kind]) {
    let modules = std::env::var("ROOMD_TEST_NODE_MODULES").expect("ROOMD_TEST_NODE_MODULES");
    let mut taken: BTreeMap<&str, [Vec<f64>; 2]> = BTreeMap::new();
    for _ in 0..ROUNDS {
        for kind in kinds {
            let server = Server::start(*kind).await;
            let tokens = (0..=JOINS).map(|index| token("bench", &format!("page-{index}")));
            let child = Command::new("node")
                .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/sfu/join.mjs"))
                .arg(server.url.replace("ws:", "http:"))
                .args(tokens)
                .env("NODE_MODULES", &modules)
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .expect("node");
            let done =
                tokio::time::timeout(LIMIT, child.wait_with_output()).await.expect("in time").expect("node");
            assert!(done.status.success(), "join.mjs: {}", done.status);
            let joins: Vec<serde_json::Value> = serde_json::from_slice(&done.stdout).expect("JSON");
            let all = taken.entry(kind.name()).or_default();
            for (times, name) in all.iter_mut().zip(["connected", "decoded"]) {
                times.extend(joins.iter().filter_map(|join| join[name].as_f64()));
            }
        }
    }
    println!("server         ms to connected, to the first decoded picture: median (lowest to highest)");
    for (name, times) in &mut taken {
        let [connected, decoded] = times.each_mut().map(|times| {
            times.sort_by(f64::total_cmp);
            let at = |index: usize| times.get(index).copied().unwrap_or(f64::NAN);
            format!("{:.0} ({:.0} to {:.0})", at(times.len() / 2), at(0), at(times.len().saturating_sub(1)))
        });
        println!("{name:14} {connected}, {decoded}; {} joins", times[1].len());
    }
}
