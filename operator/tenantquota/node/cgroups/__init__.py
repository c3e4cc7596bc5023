"""Cgroup files of both versions; ``node.NodeCgroups`` is the way in.

- ``parsing``: what the files say, pure
- ``files``: held open or opened each time, every failure counted
- ``v1``, ``v2``: which files a container's figures are in; ``reader`` is what they have in common
- ``layout``, ``tree``: where containers are, and which there are now
"""
