#!/usr/bin/env bash
# Chromium, for the tests of the live page; never for the daemon.
#
#   chromium.sh ensure     finds one, or installs the distribution's package
#   chromium.sh path       prints where it lies; ensures it first
#
# NERD_WITHOUT_CHROMIUM=1 goes without: the tests that need it then say so and are not run.
set -euo pipefail

say() { printf 'chromium: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

path() { command -v chromium || command -v chromium-browser || command -v google-chrome-stable || command -v google-chrome; }

ensure() {
    ! path >/dev/null || return 0
    command -v apt-get >/dev/null || fail "no Chromium found, and no apt-get to install one: install Chromium 112 or later, or set NERD_WITHOUT_CHROMIUM=1"
    [ "$(id -u)" = 0 ] || command -v sudo >/dev/null || fail "no Chromium found: install the package chromium, or set NERD_WITHOUT_CHROMIUM=1"
    say "installing the distribution's Chromium"
    as_root env DEBIAN_FRONTEND=noninteractive sh -c 'apt-get update -q && apt-get install -y -q --no-install-recommends chromium fonts-dejavu-core' >&2 ||
        fail "the package chromium could not be had: install Chromium 112 or later, or set NERD_WITHOUT_CHROMIUM=1"
    path >/dev/null || fail "the package chromium brought no program"
}

case "${1:-}" in
ensure)
    if [ "${NERD_WITHOUT_CHROMIUM:-}" = 1 ]; then
        say "NERD_WITHOUT_CHROMIUM=1: the live page is not tested in a browser"
    else
        ensure
    fi
    ;;
path)
    ensure
    path
    ;;
*) fail "usage: chromium.sh ensure | path" ;;
esac
