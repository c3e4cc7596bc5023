"""Cgroup files, both versions. ``open_tree`` finds the node's containers, ``open_reader`` reads one of them."""
