"""What ``make serve`` runs, from the outside: a process, what it prints, and the commands beside it."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from connector.settings import Settings
from tests.tenant.contoso import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMAND = [sys.executable, "-m", "tests.tenant"]
ONCE_A_YEAR = "0 0 0 1 1 *"
"""A schedule that leaves every further run to whoever asks for it."""


@contextmanager
def serving(folder: Path, *arguments: str, **settings: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run ``make serve``'s command until the block ends; give what it printed until it was up, and the process.

    ``settings`` are the connector's, as its environment has them.
    """
    command = [*COMMAND, "serve", "--free-ports", "--folder", str(folder), *arguments]
    environment = {**_environment(), "PYTHONUNBUFFERED": "1", "COLUMNS": "200", **settings}
    with subprocess.Popen(  # noqa: S603
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout
        printed = list(itertools.takewhile(lambda line: line != "Ctrl-C stops it all.\n", process.stdout))
        try:
            yield "".join(printed), process
        finally:
            process.terminate()
            process.wait(60)


def drop(folder: Path, *exports: str) -> None:
    """Drop further exports on the tenant that is being served from this folder."""
    command = [*COMMAND, "drop", "--folder", str(folder), *exports]
    subprocess.run(command, cwd=ROOT, check=True, timeout=60, capture_output=True)  # noqa: S603


def connector(*arguments: str, exit_code: int = 0) -> dict[str, Any]:
    """Run the connector's command line, and return the JSON it prints."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "connector", *arguments, "--json"],
        cwd=ROOT,
        env=_environment(),
        check=False,
        timeout=120,
        capture_output=True,
    )
    assert done.returncode == exit_code, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
