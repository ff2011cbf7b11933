#!/usr/bin/env bash
# A private PostgreSQL cluster in a directory of its own; never the machine's server.
#
#   postgres.sh ensure                              finds the server's binaries, or installs the distribution's package
#   postgres.sh start DIR [--fast] [--idle-stop S] [--set NAME=VALUE]…
#                                                   starts the cluster (made on first use), prints its DATABASE_URL
#   postgres.sh url DIR | stop DIR | remove DIR
#
# --fast drops durability (tests). --set gives the server a parameter of its configuration. --idle-stop ends the cluster when nobody was connected for S seconds.
# Only the URL goes to standard output. Safe to call from many processes at once.
set -euo pipefail

say() { printf 'postgres: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}

server_binaries() {
    local candidate
    for candidate in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -rV) /usr/pgsql-*/bin /usr/local/pgsql/bin; do
        [ -x "$candidate/initdb" ] && [ -x "$candidate/pg_ctl" ] && echo "$candidate" && return
    done
    if command -v initdb >/dev/null && command -v pg_ctl >/dev/null; then
        dirname "$(readlink -f "$(command -v initdb)")"
        return
    fi
    return 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

ensure() {
    server_binaries >/dev/null && return
    command -v apt-get >/dev/null || fail "no PostgreSQL server found, and no apt-get to install one: install PostgreSQL 13 or later"
    [ "$(id -u)" = 0 ] || command -v sudo >/dev/null || fail "no PostgreSQL server found: install the package postgresql"
    say "installing the distribution's PostgreSQL (its own cluster is neither made nor started)"
    as_root mkdir -p /etc/postgresql-common
    [ -e /etc/postgresql-common/createcluster.conf ] || echo 'create_main_cluster = false' | as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
    as_root env DEBIAN_FRONTEND=noninteractive sh -c 'apt-get update -q && apt-get install -y -q --no-install-recommends postgresql' >&2
    server_binaries >/dev/null || fail "the package postgresql brought no server binaries"
}

# The server refuses to run as root: then an ordinary user owns the cluster.
server_user() {
    if [ "$(id -u)" != 0 ]; then id -un; elif id postgres >/dev/null 2>&1; then echo postgres; else echo nobody; fi
}

as_server_user() {
    if [ "$(id -u)" = 0 ]; then setpriv --reuid "$(server_user)" --regid "$(id -g "$(server_user)")" --clear-groups env HOME=/tmp "$@"; else "$@"; fi
}

# The cluster lies in DIR, or under /tmp where the server's user may not reach DIR (a project below /root).
data_directory() {
    mkdir -p "$1"
    if as_server_user test -x "$1"; then
        echo "$1/data"
    else
        echo "/tmp/nerd-postgres-$(printf '%s' "$1" | sha256sum | cut -c1-12)/data"
    fi
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

running() { as_server_user "$binaries/pg_ctl" status -D "$data" >/dev/null 2>&1; }

make_cluster() {
    say "making a cluster in $data"
    local parent password
    parent=$(dirname "$data")
    mkdir -p "$parent/socket"
    [ "$(id -u)" != 0 ] || chown "$(server_user)" "$parent" "$parent/socket"
    chmod 700 "$parent/socket"
    password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    printf '%s\n' "$password" >"$parent/password"
    chmod 600 "$parent/password"
    [ "$(id -u)" != 0 ] || chown "$(server_user)" "$parent/password"
    as_server_user "$binaries/initdb" -D "$data" -U nerd --auth=scram-sha-256 --pwfile="$parent/password" --encoding=UTF8 --locale=C.UTF-8 --no-sync >/dev/null
}

start() {
    local fast=no idle=0 parameters=
    shift
    while [ $# -gt 0 ]; do
        case "$1" in
        --fast) fast=yes ;;
        --idle-stop)
            idle=$2
            shift
            ;;
        --set)
            parameters="$parameters -c $2"
            shift
            ;;
        *) fail "unknown option $1" ;;
        esac
        shift
    done
    [ -f "$data/PG_VERSION" ] || make_cluster
    touch "$(dirname "$data")/used"
    if ! running; then
        local port options socket
        port=$(free_port)
        socket=$(dirname "$data")/socket
        # A socket's path may have 107 bytes; TCP serves where it would be longer.
        [ ${#socket} -lt 85 ] || socket=
        options="-c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories='$socket' -c max_connections=300 -c logging_collector=off$parameters"
        [ "$fast" = no ] || options="$options -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
        as_server_user "$binaries/pg_ctl" start -w -t 60 -D "$data" -l "$(dirname "$data")/server.log" -o "$options" >/dev/null 9>&- ||
            fail "the server did not start: see $(dirname "$data")/server.log"
        echo "$port" >"$(dirname "$data")/port"
        if [ "$idle" -gt 0 ]; then setsid "$0" watch "$directory" "$idle" </dev/null >/dev/null 2>&1 9>&- & fi
    fi
    url
}

url() {
    echo "postgresql://nerd:$(cat "$(dirname "$data")/password")@127.0.0.1:$(cat "$(dirname "$data")/port")/postgres"
}

connected() { grep -qs "^PPid:[[:space:]]*$(head -1 "$data/postmaster.pid")\$" $(grep -ls '^postgres: nerd' /proc/[0-9]*/cmdline | sed 's/cmdline$/status/'); }

# Ends the cluster when its last use (a call of `start`, a client connected) lies back too long.
watch() {
    local used
    used=$(dirname "$data")/used
    while running; do
        sleep 5
        ! connected || touch "$used"
        if [ $(($(date +%s) - $(stat -c %Y "$used"))) -gt "$1" ]; then
            exec 9>"$lock"
            flock 9
            [ $(($(date +%s) - $(stat -c %Y "$used"))) -le "$1" ] || stop
            flock -u 9
        fi
    done
}

stop() {
    ! running || as_server_user "$binaries/pg_ctl" stop -w -m fast -D "$data" >/dev/null 9>&-
}

[ $# -ge 1 ] || fail "usage: postgres.sh ensure | start DIR | url DIR | stop DIR | remove DIR"
command=$1
if [ "$command" = ensure ]; then
    ensure
    exit
fi
[ $# -ge 2 ] || fail "usage: postgres.sh $command DIR"
mkdir -p "$2"
directory=$(cd "$2" && pwd)
binaries=$(server_binaries) || fail "no PostgreSQL server binaries: run postgres.sh ensure"
data=$(data_directory "$directory")
lock=$directory/lock
case "$command" in
watch) watch "$3" ;;
start)
    exec 9>"$lock"
    flock 9
    shift
    start "$@"
    ;;
url) url ;;
stop) stop ;;
remove)
    stop
    rm -rf "$(dirname "$data")" "$directory"
    ;;
*) fail "unknown command $command" ;;
esac
