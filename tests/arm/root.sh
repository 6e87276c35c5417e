#!/usr/bin/env bash
# Makes the root file system with systemd, for the scenarios that need a service manager, and prints its file. It is
# made once for each set of package versions, and kept in $ROOMD_TEST_PARTS/arm. Packages are unpacked and not run;
# the guest's init adds busybox, and systemd itself makes the users at the first boot, which every boot is.
set -euo pipefail
cd "$(dirname "$0")"
cache=${ROOMD_TEST_PARTS:-$HOME/.cache/roomd-test}/arm
packages=(systemd systemd-sysv udev libasound2 libstdc++6 alsa-utils)

suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
hash=$({ apt-get download --print-uris "${packages[@]/%/:arm64}" 2>/dev/null; cat root.sh; } | sha256sum | cut -c1-16)
image=$cache/root-$hash.img
[ -e "$image" ] && { echo "$image"; exit; }

[ "$(id -u)" -eq 0 ] || { echo "only root can make the root file system: its files have owners" >&2; exit 1; }
echo "== making the board's root file system: $image" >&2
mkdir -p "$cache"
work=$(mktemp -d "$cache/making.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root
mmdebstrap --quiet --architectures=arm64 --variant=extract --mode=root --include="$(IFS=,; echo "${packages[*]}")" "$suite" "$root"

rm -rf "$root"/usr/share/{doc,man,locale,info} "$root"/var/lib/apt/lists/*
mkdir -p "$root"/{proc,sys,run,share,root}
echo board >"$root/etc/hostname"
echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
: >"$root/etc/fstab"
units=$root/etc/systemd/system
mkdir -p "$units/systemd-udev-trigger.service.d"
# All devices of an emulated machine take half a minute.
cat >"$units/systemd-udev-trigger.service.d/board.conf" <<'UNIT'
[Service]
ExecStart=
ExecStart=udevadm trigger --action=add --subsystem-match=video4linux --subsystem-match=sound --subsystem-match=media
UNIT
cat >"$units/scenario.service" <<'UNIT'
[Unit]
Description=The scenario, and then the end
SuccessAction=poweroff-force
FailureAction=poweroff-force
[Service]
Type=oneshot
ExecStart=/bin/sh -c "sh /share/guest/scenario.sh; echo $$? >/share/results/exit; sync"
StandardOutput=file:/share/results/scenario.log
StandardError=inherit
TimeoutStartSec=240
UNIT
cat >"$units/default.target" <<'UNIT'
[Unit]
Requires=basic.target scenario.service
After=basic.target
UNIT
for unit in serial-getty@ getty@ systemd-hwdb-update ldconfig systemd-journal-catalog-update systemd-firstboot; do
  ln -s /dev/null "$units/$unit.service"
done

truncate -s 300M "$work/root.img"
/sbin/mke2fs -q -t ext4 -O ^has_journal -d "$root" "$work/root.img"
mv "$work/root.img" "$image"
echo "$image"
