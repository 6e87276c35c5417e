#!/bin/sh
# Boots this machine's own systemd as the system manager of a world of its own: PID, mount, network, UTS, IPC and cgroup
# namespaces; this machine's files with a layer over them that is thrown away. Nothing outside is changed.
#
#   boot.sh FOLDER CGROUP DESTDIR
#
# FOLDER: empty, gets the layer. CGROUP: an empty cgroup2 group, the manager's root. DESTDIR: what `make install` made.
# Prints the manager's pid (seen from outside) as the first line and stays until it ends.
set -eu
folder=$1 cgroup=$2 destdir=$3
here=$(cd "$(dirname "$0")" && pwd)
echo $$ > "$cgroup/cgroup.procs"
exec unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child --propagation private \
  sh "$here/world.sh" "$folder" "$destdir"
