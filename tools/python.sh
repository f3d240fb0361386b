#!/bin/sh
# Prints the newest usable Python of those this project runs on: 3.13, 3.12, 3.11.
#
#   tools/python.sh            the newest
#   tools/python.sh --oldest   the oldest (the same one where only one is there)
#
# Looks on PATH and under pyenv. pyenv's shims answer only for the version that is switched on, so its interpreters are
# looked for themselves. Usable means that it starts, and that environments can be made with it: Debian, for one,
# ships a python3 without ensurepip.
set -eu

probe='
import sys
if sys.version_info < (3, 11) or sys.version_info >= (3, 14) or sys.implementation.name != "cpython":
    print("other %d.%d.%d" % sys.version_info[:3])
else:
    import importlib.util
    missing = [name for name in ("venv", "ensurepip", "ssl", "sqlite3", "zlib") if not importlib.util.find_spec(name)]
    try:
        import sqlite3, ssl, zlib
    except ImportError as error:
        missing.append(error.name or "a part of its library")
    minor = "%d.%d" % sys.version_info[:2]
    # Of an environment that is switched on (ours, perhaps, which may be made anew): the Python it was made with.
    python = sys.executable if sys.prefix == sys.base_prefix else sys._base_executable
    print("lacks %s %s" % (minor, "+".join(sorted(set(missing)))) if missing else "usable %s %s" % (minor, python))
'

rejected=''
note() { rejected="$rejected
  $1"; }

# Prints the interpreter and ends, if the command $1 is a Python of version $2 that can be used.
usable() {
    command -v "$1" >/dev/null 2>&1 || return 1
    path=$(command -v "$1")
    if ! answer=$("$path" -c "$probe" 2>/dev/null </dev/null); then
        return 1 # a shim of a version that is not switched on, or no Python at all
    fi
    case $answer in
        "usable $2 "*) printf '%s\n' "${answer#usable "$2" }" && exit 0 ;; # not the shim, but what it stands for
        "lacks $2 "*) note "$path is Python $2 without ${answer##* }" ;;
        other*) case $rejected in *"$path is"*) ;; *) note "$path is Python ${answer#other }" ;; esac ;;
    esac
    return 1
}

versions='3.13 3.12 3.11'
[ "${1:-}" = --oldest ] && versions='3.11 3.12 3.13'

for version in $versions; do
    for name in "python$version" python3 python; do
        usable "$name" "$version" || true
    done
    for root in "${PYENV_ROOT:-}" "${HOME:-}/.pyenv"; do
        [ -d "$root/versions" ] || continue
        # Names sort as text: of several patch releases any will do.
        for path in "$root/versions/$version".*/bin/"python$version"; do
            usable "$path" "$version" || true
        done
    done
done

{
    echo "people-connector needs Python 3.13, 3.12 or 3.11 with venv and ensurepip, on PATH or under pyenv."
    if [ -n "$rejected" ]; then
        echo "Found, but of no use:$rejected"
        case $rejected in *ensurepip*) echo "On Debian and Ubuntu the package python3-venv adds what is missing." ;; esac
    else
        echo "No Python was found at all."
    fi
} >&2
exit 1
