#!/bin/sh
# Compiles requirements.txt and requirements-dev.txt from their .in files: every transitive version pinned, for all
# Pythons this project runs on. Pins that still fit are kept; UPGRADE=1 takes the newest of everything left open.
set -eu

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT INT TERM
"$(tools/python.sh)" -m venv "$tools"
"$tools/bin/python" -m pip install --quiet --disable-pip-version-check uv==0.13.9

export UV_CUSTOM_COMPILE_COMMAND='make lock' UV_CACHE_DIR="$tools/cache"
for name in requirements requirements-dev; do
    [ $name = requirements ] && constraint='' || constraint='--constraint requirements.txt'
    # shellcheck disable=SC2086
    "$tools/bin/uv" pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-emit-find-links \
        ${UPGRADE:+--upgrade} $constraint "$name.in" --output-file "$name.txt" >/dev/null
    echo "$name.txt: $(grep -c == "$name.txt") packages"
done
