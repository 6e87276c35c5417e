#!/usr/bin/env bash
# Makes the emulated board's kernel and initramfs out of Debian's arm64 packages, and prints their folder. It is made
# once for each set of package versions and of this folder's guest files, and kept in $ROOMD_TEST_PARTS/arm.
# No part of it is installed on the machine or run on it.
set -euo pipefail
cd "$(dirname "$0")"
cache=${ROOMD_TEST_PARTS:-$HOME/.cache/roomd-test}/arm

# With what it needs, loaded by the guest's init in this order; parameters stand behind the name.
modules=(
  virtio_pci
  virtio_blk
  ext4
  9pnet_virtio
  9p
  "vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=0"
  "snd-aloop pcm_substreams=1"
)
programs=(v4l2-ctl aplay)
# Used by roomd, whether a program needs them or not.
libraries=(libasound.so.2 libstdc++.so.6 libgcc_s.so.1 libm.so.6 libc.so.6)

kernel=$(apt-cache depends linux-image-arm64:arm64 | sed -n 's/.*Depends: //p')
packages=("$kernel" busybox-static:arm64 v4l-utils:arm64 libv4l-0:arm64 libv4lconvert0:arm64 libjpeg62-turbo:arm64
  alsa-utils:arm64 libasound2:arm64 libasound2-data libc6:arm64 libgcc-s1:arm64 libstdc++6:arm64)
[ -n "$kernel" ] || { echo "apt knows no arm64 packages: run scripts/install.sh arm" >&2; exit 1; }

hash=$({ apt-get download --print-uris "${packages[@]}"; cat image.sh init; } | sha256sum | cut -c1-16)
image=$cache/image-$hash
[ -e "$image/initramfs.gz" ] && { echo "$image"; exit; }

echo "== making the board's kernel and initramfs: $image" >&2
mkdir -p "$cache"
work=$(mktemp -d "$cache/making.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/debs" "$work/from" "$work/root"
(cd "$work/debs" && apt-get download -qq "${packages[@]}" 2>/dev/null) || {
  echo "the packages cannot be downloaded; are apt's lists too old (apt-get update)?" >&2
  exit 1
}
for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$work/from"; done

from=$work/from root=$work/root
mkdir -p "$root"/{bin,dev,system,proc,sys,tmp,run,share,lib/aarch64-linux-gnu,modules,usr/share}
cp "$from/bin/busybox" "$root/bin/"
ln -s busybox "$root/bin/sh"
cp -r "$from/usr/share/alsa" "$root/usr/share/"
install -m 755 init "$root/init"

# Copies a library, and what it and others like it need.
library() {
  local name=$1 file
  [ -e "$root/lib/aarch64-linux-gnu/$name" ] && return
  file=$(find "$from/lib" "$from/usr/lib" -name "$name" -print -quit)
  [ -n "$file" ] || { echo "$name is in none of the packages: ${packages[*]}" >&2; exit 1; }
  cp -L "$file" "$root/lib/aarch64-linux-gnu/"
  needed "$file"
}
needed() {
  local name
  for name in $(aarch64-linux-gnu-readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'); do library "$name"; done
}
for name in "${libraries[@]}"; do library "$name"; done
ln -s aarch64-linux-gnu/ld-linux-aarch64.so.1 "$root/lib/ld-linux-aarch64.so.1"
for program in "${programs[@]}"; do
  cp "$from/usr/bin/$program" "$root/bin/"
  needed "$from/usr/bin/$program"
done
ln -s aplay "$root/bin/arecord"

release=$(ls "$from/lib/modules")
/sbin/depmod -b "$from" "$release"
for module in "${modules[@]}"; do
  read -r name parameters <<<"$module"
  /sbin/modprobe -d "$from" -S "$release" --show-depends "$name" | while read -r _ file _; do
    name=$(basename "$file")
    [ -e "$root/modules/$name" ] && continue
    cp "$file" "$root/modules/"
    echo "$name" >>"$root/modules/order"
  done
  sed -i "\$s/\$/ $parameters/" "$root/modules/order"
done

(cd "$root" && find . | cpio --quiet -o -H newc -R 0:0 | gzip -1) >"$work/initramfs.gz"
mkdir "$work/image"
cp "$from"/boot/vmlinuz-* "$work/image/vmlinuz"
mv "$work/initramfs.gz" "$work/image/"
rm -rf "$image"
mv "$work/image" "$image"
echo "$image"
