#!/usr/bin/env bash
# Cross-builds roomd and roomctl for the emulated board and prints the folder they are in.
# CARGO names another cargo; CARGO_TARGET_DIR is used as cargo does, the board has a folder of its own in it.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=aarch64-unknown-linux-gnu

[ -e web/dist/index.html ] || { echo "web/dist is missing: make web" >&2; exit 1; }
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export PKG_CONFIG_ALLOW_CROSS=1
export PKG_CONFIG_LIBDIR_aarch64_unknown_linux_gnu=/usr/lib/aarch64-linux-gnu/pkgconfig
"${CARGO:-cargo}" build --locked --profile board --target "$target" --bin roomd --bin roomctl >&2
echo "${CARGO_TARGET_DIR:-$PWD/target}/$target/board"
