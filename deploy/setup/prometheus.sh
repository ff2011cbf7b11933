#!/usr/bin/env bash
# Prometheus' two programs, for the tests of alerts and dashboards; never a service.
#
#   prometheus.sh ensure           finds them, or unpacks those of the distribution's package into .deps/prometheus
#   prometheus.sh path PROGRAM     prints where `prometheus` or `promtool` lies; ensures it first
#   prometheus.sh rules            checks the shipped configuration with its rules, and runs the rules' tests
#
# The package is unpacked, not installed: so no service is made, none is started, and no right of root is needed (but where the
# package lists were never fetched). Safe to call from many processes at once.
set -euo pipefail
cd "$(dirname "$0")/../.."
own=$PWD/.deps/prometheus

say() { printf 'prometheus: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

path() {
    if [ -x "$own/$1" ]; then echo "$own/$1"; else command -v "$1"; fi
}

ensure() {
    mkdir -p .deps
    exec 9>.deps/prometheus.lock
    flock 9
    ! path prometheus >/dev/null || ! path promtool >/dev/null || return 0
    command -v apt-get >/dev/null || fail "no prometheus and promtool found, and no apt-get to bring them: install Prometheus 2.42 or later"
    say "unpacking the distribution's package (it is not installed, no service is made)"
    local scratch
    scratch=$(mktemp -d)
    trap "rm -rf '$scratch'" EXIT
    # apt drops its rights for a download where it may write as its own user.
    chmod 777 "$scratch"
    (
        cd "$scratch"
        apt-get download -q prometheus >/dev/null 2>&1 || { as_root apt-get update -q >&2 && apt-get download -q prometheus >&2; }
        dpkg-deb --extract prometheus_*.deb unpacked
    ) || fail "the package prometheus could not be had: install Prometheus 2.42 or later"
    mkdir -p "$own"
    # By a rename, so that nobody runs half a file.
    for program in prometheus promtool; do
        cp "$scratch/unpacked/usr/bin/$program" "$own/.$program"
        mv "$own/.$program" "$own/$program"
    done
}

case "${1:-}" in
ensure) ensure ;;
path)
    [ $# = 2 ] || fail "usage: prometheus.sh path prometheus | promtool"
    ensure
    path "$2"
    ;;
rules)
    ensure
    promtool=$(path promtool)
    # The configurations name both files of rules.
    "$promtool" check config config/prometheus/*.yml
    "$promtool" test rules dashboards/tests/*.yml
    ;;
*) fail "usage: prometheus.sh ensure | path PROGRAM | rules" ;;
esac
