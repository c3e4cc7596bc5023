#!/bin/sh
# Serves an empty Redis; for tests, so nothing is kept on a disk. Full means an error for who writes, and no lost keys.
set -eu

exec redis-server - << END
bind * -::*
save ""
appendonly no
maxmemory 256mb
maxmemory-policy noeviction
maxclients 1000
user default on >$REDIS_PASSWORD ~* &* +@all
END
