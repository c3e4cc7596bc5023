"""The node agent: what every tenant's containers use, read once a second from the cgroup files of its node.

- ``cgroups``: where containers are and what their files say; nothing above it knows cgroup versions
- ``processes``: threads' run delay, processes and open files
- ``sampler``: once a second, all of it, into the windows of ``containers``; ``ticks`` says when
- ``window``: the last minute of a container in a few kilobytes

The arithmetic is in ``domain.usage``. Who owns a container comes from outside (``containers.Owners``).
Nothing here imports an API client, asyncio or pydantic: what the agent loads counts against what it costs.
"""
