//! Proves at build time that the encoder will have its assembly: openh264's build drops it silently when nasm
//! is missing, and is then 2.0 to 2.6 times slower (`src/sys/openh264_asm.rs` checks the link as well). And that a
//! release has its pages; it never builds them (`make` does).

use std::process::Command;

fn main() {
    jpeg();
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
    // Only then: a watched file that is missing would run this script, and build the crate, every time.
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        println!("cargo::rerun-if-changed=web/dist/index.html");
        if !std::path::Path::new("web/dist/index.html").exists() {
            println!(
                "cargo::error=web/dist/index.html is missing: a release carries its pages. Build them first \
                 (`npm ci && npm run build` in web/), or take them from a release tarball."
            );
        }
    }
}

/// `src/sys/jpeg.c`, with the headers of the libjpeg-turbo that is linked.
fn jpeg() {
    println!("cargo::rerun-if-changed=src/sys/jpeg.c");
    let mut build = cc::Build::new();
    match std::env::var("DEP_TURBOJPEG_INCLUDE") {
        Ok(include) => build.includes(include.split(',')),
        // Another libjpeg's headers must not be taken instead.
        Err(_) => return println!("cargo::error=turbojpeg-sys does not say where its headers are"),
    };
    build.file("src/sys/jpeg.c").warnings(true).extra_warnings(true).compile("roomd_jpeg");
}
