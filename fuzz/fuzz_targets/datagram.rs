#![no_main]

libfuzzer_sys::fuzz_target!(init: roomd::fuzz::abort_on_panic(), |bytes: &[u8]| roomd::fuzz::run("datagram", bytes));
