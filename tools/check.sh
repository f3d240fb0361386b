#!/bin/sh
# What CI runs, in the order in which a person wants to fail. Where an older supported Python is there too, the tests
# run again on it; its environment is made while the first checks run.
set -eu

bin=.venv/bin
newest=$($bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
oldest_python=$(tools/python.sh --oldest)
oldest=$("$oldest_python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')

step() { printf '\n== %s\n' "$*"; }

making=''
if [ "$oldest" != "$newest" ]; then
    "$oldest_python" tools/environment.py ".venv-$oldest" requirements-dev.txt >.venv/older.log 2>&1 </dev/null &
    making=$!
    trap 'kill "$making" 2>/dev/null || true' EXIT
    trap 'exit 130' INT TERM
fi

step "format" && $bin/ruff format --check
step "lint" && $bin/ruff check
step "types" && $bin/mypy
step "layers" && $bin/lint-imports
step "tests on Python $newest, with coverage"
$bin/python -m pytest --cov --cov-report=term-missing:skip-covered "$@"

if [ -n "$making" ]; then
    step "tests on Python $oldest"
    wait "$making" || { cat .venv/older.log >&2 && exit 1; }
    ".venv-$oldest/bin/python" -m pytest "$@"
fi
