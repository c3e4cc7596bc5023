#!/bin/sh
# Runs inside the file system of the Python base image while it is built: makes Debian's Python look like the one of
# the official python image, so that one Dockerfile builds on both.
set -eu
rm -f /usr/lib/python3*/EXTERNALLY-MANAGED
ln -s /usr/bin/python3 /usr/local/bin/python
ln -s /usr/bin/python3 /usr/local/bin/python3
ln -s /usr/bin/pip3 /usr/local/bin/pip
