#!/bin/sh
# Copies programs, and the libraries that they are linked with, to the folder $1. Needs a shell, coreutils and grep.
set -eu
kept=$1
shift
mkdir "$kept"
for loader in /lib*/ld-linux*.so.*; do
  for program; do
    linked=$("$loader" --list "$program" | grep -o '/[^ ]*')
    # shellcheck disable=SC2086 # one word each
    cp --dereference --parents "$program" $linked "$kept"
  done
done
