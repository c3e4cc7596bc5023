#!/bin/sh
# Run on a node with cgroup v1: has the kernel count what each container reads from and writes to the node's disk.
#
# Some kernels (6.18) count only on a disk on which a throttle rule was ever set. This sets one that throttles nothing
# (1 PiB/s), in a cgroup that is gone at once; what it started stays until the machine is restarted.
set -eu
blkio=/sys/fs/cgroup/blkio
[ -d $blkio ] || exit 0

device=$(stat -c '%Hd:%Ld' /var/lib/containerd)
disk=$(readlink -f "/sys/dev/block/$device")
if [ ! -d "$disk" ]; then
  echo "/var/lib/containerd is on no block device ($device): containers' I/O is not counted"
  exit 0
fi
if [ -e "$disk/partition" ]; then device=$(cat "${disk%/*}/dev"); fi

group=$(mktemp -d $blkio/tenantquota-count-io-XXXXXX)
trap 'rmdir "$group"' EXIT
echo "$device $((1 << 50))" > "$group/blkio.throttle.write_bps_device"
