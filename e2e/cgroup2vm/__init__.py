"""Runs tests on a kernel with cgroup version 2, whatever this machine has.

    python3 -m e2e.cgroup2vm [PYTEST_ARGUMENT ...]     (tests/kernel, unless other paths are given)

A small virtual machine boots Debian's kernel and Python from memory, runs pytest on this checkout and ends,
within seconds. It is emulated, about ten times slower than this machine: /dev/kvm may be there and not work
(where we are in a virtual machine ourselves), emulation works everywhere. What it boots is made once from
Debian packages and kept in the cache (see ``e2e.cluster``).

- ``image``: the kernel and the root file system
- ``machine``: one run
"""
