"""What goes to Azure: host.json agrees with the code, and .funcignore lets through what is needed and nothing else."""

from __future__ import annotations

import json
from fnmatch import fnmatch

import pytest

from connector import settings
from tests.tenant.contoso import ROOT


def test_the_bound_of_a_slice_is_the_hosts_timeout() -> None:
    """The number that SLICE_SECONDS is held to in the code is the one that the host goes by."""
    host = json.loads((ROOT / "host.json").read_text(encoding="utf-8"))
    hours, minutes, seconds = map(int, host["functionTimeout"].split(":"))

    assert hours * 3600 + minutes * 60 + seconds == settings._FUNCTION_TIMEOUT


def deployed(path: str) -> bool:
    """Tell whether .funcignore lets a file through; its patterns are names and globs, wherever they stand."""
    lines = (ROOT / ".funcignore").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert not [pattern for pattern in patterns if "/" in pattern or pattern.startswith("!")]
    return not any(fnmatch(part, pattern) for part in path.split("/") for pattern in patterns)


def test_what_the_app_needs_is_deployed() -> None:
    """Code, mappings and templates, and what the host and the remote build read."""
    files = (path.relative_to(ROOT).as_posix() for path in (ROOT / "connector").rglob("*") if path.is_file())
    package = [path for path in files if "__pycache__" not in path]

    assert {"connector/mappings/default.toml", "connector/pages/report.html.jinja"} <= set(package)
    assert [path for path in (*package, "function_app.py", "host.json", "requirements.txt") if not deployed(path)] == []


@pytest.mark.parametrize(
    "path",
    [
        "tests/tenant/entra.py",
        "samples/people-2026-11-20.csv",
        "local.settings.json",
        "local.settings.sample.json",
        ".serve/local.settings.json",
        ".demo/connector.log",
        ".git/config",
        ".venv/bin/python",
        "requirements-dev.txt",
    ],
)
def test_what_it_does_not_need_is_not_deployed(path: str) -> None:
    """Least of all whatever holds secrets or people."""
    assert not deployed(path)
