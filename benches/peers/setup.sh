#!/usr/bin/env bash
# Brings the systems that nerd is measured against to .deps/peers, a virtual environment with exact versions.
# Idempotent: a second run ends at once, until requirements.txt changes. Prints the environment's Python.
set -euo pipefail
cd "$(dirname "$0")/../.."

wanted=benches/peers/requirements.txt
target=.deps/peers
say() { printf 'peers: %s\n' "$*" >&2; }

stamp="$target/complete-$(sha256sum "$wanted" | cut -c1-12)"
if [ ! -f "$stamp" ]; then
    interpreter=$(command -v python3.11 || true)
    [ -n "$interpreter" ] && "$interpreter" -c 'import venv, ensurepip' 2>/dev/null || {
        say "CPython 3.11 with venv is needed: torch 2.4.0 has no wheel for a later one that the others share"
        exit 1
    }
    say "installing (about 3 GB, mostly torch's own dependencies; done once)"
    [ -x "$target/bin/python" ] || "$interpreter" -m venv "$target"
    "$target/bin/python" -m pip install --disable-pip-version-check --progress-bar off --quiet --requirement "$wanted" >&2
    rm -f "$target"/complete-*
    : >"$stamp"
    say "ready in $target"
fi
printf '%s\n' "$target/bin/python"
