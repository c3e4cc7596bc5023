#!/bin/sh
# Runs inside the file system of the node image while it is built: what kind's own base image does after its
# packages are installed (images/base/Dockerfile of sigs.k8s.io/kind).
set -eu

chmod 755 /kind /kind/bin /kind/bin/* /usr/local/bin/*
mkdir -p /kind/manifests /etc/kubernetes/manifests /etc/cni/net.d

# a node starts what kind tells it to, and nothing that belongs to a machine
find /lib/systemd/system/sysinit.target.wants/ -name systemd-tmpfiles-setup.service -delete
rm -f /lib/systemd/system/multi-user.target.wants/* /etc/systemd/system/*.wants/* \
  /lib/systemd/system/local-fs.target.wants/* /lib/systemd/system/basic.target.wants/* \
  /lib/systemd/system/sockets.target.wants/*udev* /lib/systemd/system/sockets.target.wants/*initctl*
echo ReadKMsg=no >> /etc/systemd/journald.conf
ln -sf /usr/lib/systemd/systemd /sbin/init
systemctl enable kubelet.service containerd.service undo-mount-hacks.service
# it registers formats with the kernel, which the host shares
systemctl mask systemd-binfmt.service

# without rlimits, since raising one needs a capability that a host may lack
ctr oci spec |
  jq '.hooks.createContainer += [{"path": "/kind/bin/mount-product-files.sh"}] | del(.process.rlimits)' \
    > /etc/containerd/cri-base.json

rm -rf /usr/share/doc /usr/share/man /usr/share/info /var/cache/* /var/log/*.log /var/log/apt
