#!/bin/sh
# Makes the plain iptables commands in the file system of the kube-proxy image ($1), where the packages are unpacked and
# not configured, so that no alternatives exist.
set -eu
for family in iptables ip6tables; do
  for suffix in "" -save -restore; do
    ln -s xtables-nft-multi "$1/usr/sbin/$family$suffix"
  done
done
