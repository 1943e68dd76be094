#!/bin/sh
# Makes a database cluster when there is none, then runs the server as user postgres.
# POSTGRES_PASSWORD is needed the first time; POSTGRES_USER and POSTGRES_DB default to postgres.
# /initdb/*.sql is carried out once, one statement per line.
set -eu
[ "${1:-}" = postgres ] || exec "$@"
data=${PGDATA:-/var/lib/postgresql/data}
user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}
mkdir -p "$data" /run/postgresql
chown -R postgres:postgres "$data" /run/postgresql
chmod 700 "$data"
as_postgres() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }

if [ ! -s "$data/PG_VERSION" ]; then
  : "${POSTGRES_PASSWORD:?is needed to make a database}"
  pwfile=/run/postgresql/password
  (umask 077; printf '%s\n' "$POSTGRES_PASSWORD" >"$pwfile")
  chown postgres "$pwfile"
  as_postgres initdb -D "$data" -U "$user" --pwfile="$pwfile" -E UTF8 --locale=C \
    --auth-local=trust --auth-host=scram-sha-256 >/dev/null
  rm -f "$pwfile"
  echo 'host all all all scram-sha-256' >>"$data/pg_hba.conf"
  single() { as_postgres postgres --single -D "$data" "$1" >/dev/null; }
  [ "$database" = postgres ] || echo "create database \"$database\"" | single postgres
  for file in /initdb/*.sql; do
    [ ! -e "$file" ] || single "$database" <"$file"
  done
fi
unset POSTGRES_PASSWORD
exec setpriv --reuid=postgres --regid=postgres --clear-groups \
  postgres -D "$data" -c listen_addresses='*' -c unix_socket_directories=/run/postgresql
