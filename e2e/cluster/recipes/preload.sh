#!/bin/sh
# Runs in a container of the node image while it is built: puts the images of /images into its containerd, so that a
# cluster starts without a registry. They stay packed, which keeps the node image small.
set -eu
containerd > /tmp/containerd.log 2>&1 &
tries=0
until ctr version > /dev/null 2>&1; do
  tries=$((tries + 1))
  if [ "$tries" -gt 100 ]; then
    cat /tmp/containerd.log
    exit 1
  fi
  sleep 0.1
done
for image in /images/*.tar; do
  ctr --namespace k8s.io images import --label io.cri-containerd.pinned=pinned --all-platforms --no-unpack \
    --digests "$image"
done
kill $!
wait $! || true
rm -rf /images /tmp/containerd.log
