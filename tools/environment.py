"""Make a virtual environment exactly as a requirements file says, unless it is there already.

    PYTHON tools/environment.py .venv requirements-dev.txt

Run by the interpreter that the environment is to be of; needs nothing but the standard library. A stamp written last
tells a whole environment from one whose making was interrupted, and names what it was made from.
"""

# ruff: noqa: INP001, T201 - a script, for a terminal

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path


def main(directory: Path, requirements: Path) -> int:
    """Bring the environment into being; return the exit code."""
    with requirements.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two makes at once: the second finds the work done
        wanted = _fingerprint(requirements)
        stamp = directory / ".made-from"
        if stamp.is_file() and stamp.read_text() == wanted and (directory / "bin" / "python").exists():
            return 0
        return _make(directory, requirements, stamp, wanted)


def _fingerprint(requirements: Path) -> str:
    parts = (requirements.read_bytes(), sys.version.encode(), sys.executable.encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _make(directory: Path, requirements: Path, stamp: Path, wanted: str) -> int:
    packages = sum(1 for line in requirements.read_text().splitlines() if "==" in line and not line.startswith("#"))
    version = ".".join(map(str, sys.version_info[:3]))
    print(f"{directory}: Python {version}, installing {packages} packages (a minute or two, once)", flush=True)
    began = time.monotonic()
    shutil.rmtree(directory, ignore_errors=True)
    environment = {
        name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    } | {"PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    pip = [str(directory / "bin" / "python"), "-m", "pip"]
    steps = (
        [sys.executable, "-m", "venv", str(directory)],
        # Everything is pinned, so there is nothing to resolve; and of msgraph's many modules few are ever imported:
        # compiling them all would take longer than installing them.
        [*pip, "install", "--quiet", "--no-compile", "--no-deps", "--requirement", str(requirements)],
        [*pip, "check", "--quiet"],
    )
    for step in steps:
        done = subprocess.run(  # noqa: S603
            step, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode:
            print(done.stdout, done.stderr, sep="", file=sys.stderr)
            print(f"{directory}: could not be made; failed: {' '.join(step)}", file=sys.stderr)
            return done.returncode
    stamp.write_text(wanted)
    print(f"{directory}: made in {time.monotonic() - began:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), Path(sys.argv[2])))
