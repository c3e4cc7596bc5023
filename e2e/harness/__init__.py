"""What the tests, the benchmark and the demo share: the cluster, the cgroup files, tenants, waiting.

- ``cluster``: the API server, by the official client
- ``cgroups``, ``readings``: the truth about limits and use, read from the nodes' cgroup files
- ``controls``: what the operator has set of CPU, at any moment and for next to nothing
- ``tenants``: manifests of quotas and agents
- ``agents``: telling a running workload what to use
- ``services``, ``administration``: Redis and PostgreSQL, who is let in there, and what they hold
- ``served``: tenants whose agents serve customers over WebSockets, and those customers
- ``sessions``: telling a tenant's agent what to do, from tests that aren't async
- ``canaries``: whether something of one tenant is found with another
- ``noise``: hogs and their victim, what becomes of them
- ``stress``, ``stressed``, ``harm``: stress-ng's stressors, where they run, and what comes of each
- ``leaks``, ``leaking``: agents that leak, what is told of them, and where they do so
- ``beside``: what takes long and needs little, beside other things
- ``usage``: use, limits and weights over time, for charts
- ``node_agent``: the operator's agents, and what their metrics say
- ``side_by_side``: the node agent against the cgroup files
- ``forwarding``: ports of pods on this machine
- ``wait``: conditions with a deadline
- ``figures``: medians and percentiles, and the reports that they go to
- ``fixtures``: all that for pytest
- ``selection``: which tests of the suite run
"""
