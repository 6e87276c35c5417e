//! Proves at build time that the encoder will have its assembly: openh264's build drops it silently when nasm
//! is missing, and is then 2.0 to 2.6 times slower (`src/sys/openh264_asm.rs` checks the link as well).

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=PATH");
    println!("cargo::rerun-if-changed=build.rs");
    let arch = std::env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    if arch == "x86_64" && !Command::new("nasm").arg("-v").output().is_ok_and(|out| out.status.success()) {
        println!(
            "cargo::error=nasm is missing: without it openh264 is built without its x86-64 assembly and is 2.0 to \
             2.6 times slower. Install it (Debian: apt-get install nasm), run `cargo clean -p openh264-sys2` if \
             it was already built without, and build again."
        );
    }
}
