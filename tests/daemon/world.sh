#!/bin/sh
# Boots this machine's systemd as the system manager of a system of its own: PID, mount, network, UTS, IPC and cgroup
# namespaces, and this machine's files with a layer in memory over them. Outside nothing changes, and when the manager
# ends, everything is gone.
#
#   world.sh FOLDER CGROUP
#
# FOLDER holds `installed`, laid over the system's files, and `lib`, which becomes its /var/lib; the layer itself comes
# into `layer`. CGROUP: an empty group of cgroup2, the system's root group.
set -eu

if [ $# -eq 2 ]; then
  echo $$ > "$2/cgroup.procs"
  exec unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child --propagation private sh "$0" "$1"
fi

folder=$1/layer
mount -t tmpfs -o mode=0755 tmpfs "$folder"
mkdir "$folder/upper" "$folder/work" "$folder/root"
mount -t overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" overlay "$folder/root"
cd "$folder/root"
mount -t proc proc proc
# What of them belongs to the whole machine is not for this system to change.
mount --bind -o ro proc/sys proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
for each in run dev tmp var/log; do mount -t tmpfs -o mode=0755 tmpfs $each; done
chmod 1777 tmp
mount --bind "$1/lib" var/lib
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mknod -m 0666 dev/null c 1 3
mknod -m 0666 dev/zero c 1 5
mknod -m 0666 dev/full c 1 7
mknod -m 0666 dev/random c 1 8
mknod -m 0666 dev/urandom c 1 9
mknod -m 0666 dev/tty c 5 0
# No service of this machine: only systemd's own, and roomd's.
rm -rf etc/systemd/system etc/machine-id
mkdir -p etc/systemd/system
: > etc/machine-id
: > etc/fstab
cp -a "$1/installed/." .
mkdir old
pivot_root . old
umount -l /old
# systemd hands credentials to a service through a mount that must spread.
mount --make-rshared /
# As a package does when it is installed.
systemd-sysusers
systemd-tmpfiles --create roomd.conf
# Neither clock nor modules nor the machine itself are this system's.
exec env -i container=roomd PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  setpriv --bounding-set -sys_time,-sys_module,-sys_rawio,-syslog \
  /lib/systemd/systemd --unit=basic.target --log-target=journal --show-status=no
