//! libFuzzer on the entry of `roomd::fuzz` that `FUZZ_TARGET` names.
#![no_main]

use std::sync::OnceLock;

static ENTRY: OnceLock<fn(&[u8])> = OnceLock::new();

fn choose() {
    let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names an entry of roomd::fuzz");
    let _ = ENTRY.set(roomd::fuzz::entry(&name));
    roomd::fuzz::abort_on_panic();
}

libfuzzer_sys::fuzz_target!(init: choose(), |bytes: &[u8]| (ENTRY.get().expect("chosen"))(bytes));
