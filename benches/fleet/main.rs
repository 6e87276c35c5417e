//! What the fleet's protocol costs: `cargo bench --bench fleet [-- answers | return]`. Needs mosquitto (Debian).
//!
//! `answers`: command to reply at a real `roomd`, over a real broker on loopback. `return`: 500 boxes (the real bridge,
//! no media) whose broker is killed and started again.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod answers;
mod broker;
mod crowd;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let runs = |name: &str| wanted.is_empty() || wanted.iter().any(|arg| arg == name);
    if runs("answers") {
        runtime.block_on(answers::run());
    }
    if runs("return") {
        runtime.block_on(crowd::run());
    }
}
