#!/bin/sh
# Beside PostgreSQL: ends the sessions whose agents no longer renew them. One connection, one statement every 3 s.
set -eu

until pg_isready --quiet --host=/run/postgresql; do sleep 1; done
printf '%s\n' 'DELETE FROM auth_sessions WHERE expires_at < now() \watch 3' |
  exec psql --quiet --host=/run/postgresql --username=postgres --dbname=agents --output=/dev/null
