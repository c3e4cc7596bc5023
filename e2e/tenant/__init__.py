"""A tenant's agent: serves customers over authenticated WebSockets, and misbehaves when told to.

    python3 -m e2e.tenant

- ``protocol``: the messages, and how they are written; the one place that defines them
- ``tokens``: whom a tenant lets in
- ``settings``: what the environment says, read once at the start
- ``accounts``: users and sessions in PostgreSQL
- ``context``: what the tenant remembers, and who is connected, in Redis
- ``resources``, ``leaks``: CPU, memory, files, processes and disk, used on command
- ``commands``: what each message does
- ``sessions``, ``server``: connections from the handshake to their end
- ``client``: the other side, for drivers and tests
"""
