#!/bin/sh
# Makes a database in PGDATA if there is none and serves it. For tests: what it has is gone when its pod is, so nothing
# waits for a disk (fsync and its kin are off).
#
# 250 connections: 100 agents with 2 each, and some to look at what they have.
set -eu

if [ ! -e "$PGDATA/made" ]; then
  rm -rf "$PGDATA"  # of a start that was cut off
  (umask 077 && printf '%s\n' "$POSTGRES_PASSWORD" > /tmp/password)
  initdb --username=postgres --pwfile=/tmp/password --auth-local=peer --auth-host=scram-sha-256 \
    --locale=C --encoding=UTF8 --no-sync
  rm /tmp/password
  echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
  # by a server that nobody else reaches, and not by single-user mode: that gives tables numbers of the system's, and
  # row security looks at no table of the system
  pg_ctl start --silent --wait --options="-c listen_addresses='' -c unix_socket_directories=/tmp -c fsync=off"
  psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --host=/tmp --username=postgres --file=/service/schema.sql postgres
  pg_ctl stop --silent --wait
  touch "$PGDATA/made"
fi

exec postgres -c listen_addresses='*' -c unix_socket_directories=/run/postgresql \
  -c max_connections=250 -c shared_buffers=64MB -c jit=off -c max_parallel_workers=0 \
  -c fsync=off -c synchronous_commit=off -c full_page_writes=off \
  -c wal_level=minimal -c max_wal_senders=0 -c min_wal_size=32MB -c max_wal_size=64MB
