#!/usr/bin/env bash
# Boots the emulated board once for each scenario, and judges what it has brought back.
#
#   tests/arm/run.sh [SCENARIO...]      all of scenarios/ and systemd/ without arguments
#
# What came back from a scenario that failed is kept, and its folder named.
set -euo pipefail
cd "$(dirname "$0")"
# Longest that one boot may take, in seconds. An emulated machine on a busy one is slow; a hang is what this is for.
limit=300

boot() {
  local share=$1 scenario=$2 system=()
  local parameters="console=ttyAMA0 quiet panic=-1 limit=$((limit - 60))"
  if [ -e "systemd/$scenario.sh" ]; then
    system=(-drive "if=virtio,format=raw,file=$root,snapshot=on")
    parameters+=" system=1"
  fi
  timeout -k 10 "$limit" qemu-system-aarch64 -M virt,gic-version=3 -cpu cortex-a72 -smp 2 -m 1024 \
    -accel tcg,thread=multi -nodefaults -nographic -nic none -no-reboot -serial "file:$share/results/console.log" \
    -kernel "$image/vmlinuz" -initrd "$image/initramfs.gz" \
    -append "$parameters" "${system[@]}" -virtfs "local,path=$share,mount_tag=share,security_model=none,id=share"
}

# Whether the scenario ended well in the guest, and its evidence convinces.
judge() {
  local results=$1 scenario=$2
  [ -s "$results/scenario.log" ] && cat "$results/scenario.log"
  [ "$(cat "$results/exit" 2>/dev/null)" = 0 ] || {
    echo "the guest did not get through it; its console:"
    tail -n 15 "$results/console.log"
    return 1
  }
  python3 check.py "$scenario" "$results"
}

image=$(./image.sh)
root=$(./root.sh)
programs=$(./build.sh)
work=$(mktemp -d "${TMPDIR:-/tmp}/board.XXXXXX")
scenarios=("$@")
[ ${#scenarios[@]} -gt 0 ] || mapfile -t scenarios < <(basename -s .sh scenarios/*.sh systemd/*.sh)
python3 check.py tone "$work/tone.wav"

failed=()
for scenario in "${scenarios[@]}"; do
  share=$work/$scenario
  mkdir -p "$share"/{guest,results}
  make --no-print-directory -s -C ../.. install DESTDIR="$share/tree" BIN="$programs"
  cp guest.sh "$share/guest/"
  cp "$(find scenarios systemd -name "$scenario.sh" | grep .)" "$share/guest/scenario.sh"
  cp "$work/tone.wav" "$share/"
  printf '\n=== %s\n' "$scenario"
  began=$SECONDS
  if boot "$share" "$scenario" && judge "$share/results" "$scenario"; then
    echo "=== $scenario passed ($((SECONDS - began)) s)"
    rm -r "$share"
  else
    echo "=== $scenario FAILED ($((SECONDS - began)) s): see $share/results" >&2
    failed+=("$scenario")
  fi
done
if [ ${#failed[@]} -gt 0 ]; then
  printf '\nfailed: %s\n' "${failed[*]}" >&2
  exit 1
fi
rm -r "$work"
