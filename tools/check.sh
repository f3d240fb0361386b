#!/bin/sh
# What CI runs, in the order in which a person wants to fail. Where an older supported Python is there too, the tests
# run on it at the same time: its environment is made while the first checks run, and its output is shown at the end.
# Counting coverage costs as much as the tests do, so nights and doors run under both contracts on the older Python then,
# and under the default one where coverage is counted. What is long and not about the Python it runs on (marked once) runs
# on the older one alone, too; and hypothesis, which tries the same everywhere, tries less where coverage is counted.
set -eu

bin=.venv/bin
newest=$($bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
oldest_python=$(tools/python.sh --oldest)
oldest=$("$oldest_python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
log=.venv/older.log

step() { printf '\n== %s\n' "$*"; }

on_oldest() {
    "$oldest_python" tools/environment.py ".venv-$oldest" requirements-dev.txt || return
    exec ".venv-$oldest/bin/python" -m pytest -p no:cacheprovider -rs "$@"
}

older=''
contracts=labels,preview
elsewhere=
if [ "$oldest" != "$newest" ]; then
    on_oldest "$@" >"$log" 2>&1 </dev/null &
    older=$!
    contracts=labels
    elsewhere=yes
    trap 'kill "$older" 2>/dev/null || true' EXIT
    trap 'exit 130' INT TERM
fi

step "format" && $bin/ruff format --check
step "lint" && $bin/ruff check
step "types" && $bin/mypy
step "layers" && $bin/lint-imports
step "tests on Python $newest, with coverage"
CONTRACTS=$contracts RUNS_ELSEWHERE_TOO=$elsewhere $bin/python -m pytest -rs --cov --cov-report=term-missing:skip-covered "$@"

if [ -n "$older" ]; then
    step "tests on Python $oldest"
    wait "$older" && passed=0 || passed=$?
    older=''
    cat "$log"
    exit "$passed"
fi
