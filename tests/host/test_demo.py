"""``make demo`` and ``make serve`` do what the README says, from the outside."""

from __future__ import annotations

import csv
import itertools
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from connector.settings import Settings
from tests.tenant.contoso import CASTS, ROOT, SAMPLES, Cast
from tests.tenant.engines import best_engine
from tests.tenant.stories import STORIES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.host, pytest.mark.azurite]

COMMAND = [sys.executable, "-m", "tests.tenant"]
ONCE_A_YEAR = "0 0 0 1 1 *"
"""A schedule that leaves the second night to whoever asks for it."""


@pytest.fixture(scope="module", params=list(CASTS.values()), ids=list(CASTS))
def cast(request: pytest.FixtureRequest) -> Cast:
    """Return who plays: the demo is told under either contract."""
    chosen: Cast = request.param
    return chosen


@pytest.fixture(scope="module")
def told(cast: Cast, tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Return what the demo printed, and the folder it left."""
    folder = tmp_path_factory.mktemp("demo") / "kept"
    command = [*COMMAND, "demo", "--contract", cast.contract, "--folder", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)  # noqa: S603
    return done, folder


def test_the_demo_comes_out_as_told(told: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    """It checks its own story, so exit code 0 says it all."""
    done, folder = told

    assert done.returncode == 0, done.stdout + done.stderr
    assert "As told." in done.stdout
    assert f"runs through {best_engine().name}" in " ".join(done.stdout.split())
    assert (folder / "story.txt").read_text(encoding="utf-8").split() == done.stdout.split()


def test_the_demo_leaves_its_reports(told: tuple[subprocess.CompletedProcess[str], Path], cast: Cast) -> None:
    """Per night a report for machines and one for people; per bad row a file that HR can mend."""
    _, folder = told

    story = STORIES[cast.contract]
    quarantined = [path.read_text(encoding="utf-8") for path in (folder / "quarantine").glob("*.csv")]

    assert len(list((folder / "reports").glob("*.json"))) == len(story.nights)
    assert len(list((folder / "reports").glob("*.html"))) == len(story.nights)
    assert quarantined
    assert all(story.rejected in text for text in quarantined)


def test_the_demos_log_has_no_personal_data(told: tuple[subprocess.CompletedProcess[str], Path], cast: Cast) -> None:
    """No name, UPN, mail, phone or key of anyone in the samples is in anything the connector logged."""
    _, folder = told
    log = (folder / "connector.log").read_text(encoding="utf-8").casefold()
    personal = {
        row[column].casefold()
        for night in cast.nights
        for row in csv.DictReader((SAMPLES / night).read_text(encoding="utf-8").splitlines())
        for column in ("EmployeeId", "UserPrincipalName", "DisplayName", "FirstName", "LastName", "Phone", "UPN")
        if row.get(column)
    }
    upns = {value for value in personal if "@" in value}
    personal |= {upn.partition("@")[0] for upn in upns}
    personal |= {upn.replace("@", "_at_").replace(".", "_dot_") for upn in upns}  # item ids of the walkthrough

    assert "sync.completed" in log
    assert personal
    assert not [value for value in personal if re.search(rf"(?<![^\W_]){re.escape(value)}(?![^\W_])", log)]


@contextmanager
def serving(folder: Path, *arguments: str, **settings: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run ``make serve``'s command until the block ends; give what it printed until it was up, and the process."""
    command = [*COMMAND, "serve", "--free-ports", "--folder", str(folder), *arguments]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "200", **settings}
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serving_ends_with_its_signal(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM alike stop everything in order, and leave no file behind."""
    folder = tmp_path / "serve"
    with serving(folder) as (printed, process):
        process.send_signal(number)

        assert process.wait(60) == 0
    assert "x-functions-key" in printed
    assert not folder.exists()


def dropped(folder: Path, *exports: str) -> None:
    """Drop further exports on the tenant that is being served."""
    command = [*COMMAND, "drop", "--folder", str(folder), *exports]
    subprocess.run(command, cwd=ROOT, check=True, timeout=60, capture_output=True)  # noqa: S603


def connector(folder: Path, *arguments: str) -> dict[str, Any]:
    """Run the command line with the settings of the tenant that is being served; return what it prints."""
    settings = str(folder / "local.settings.json")
    command = [sys.executable, "-m", "connector", "--settings", settings, *arguments, "--json"]
    environment = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=120, capture_output=True)  # noqa: S603
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_serving_a_packaged_mapping_shows_its_sample(tmp_path: Path) -> None:
    """One command tells the first night: what was skipped, which row is wrong and why, and how people look now."""
    folder = tmp_path / "serve"
    sample = "samples/workday-2026-11-20.csv"
    with serving(folder, "--mapping", "workday", "--hr", sample, SYNC_SCHEDULE=ONCE_A_YEAR) as (printed, _):
        told = " ".join(printed.split())
        dropped(folder, "samples/workday-2026-11-21.csv")
        night = connector(folder, "sync")

    assert "completed, 12 created, 1 rejected" in told
    assert "3 lines are neither header nor data: 1, 2, 19" in told
    assert "1 row is bad_date: Hire Date" in told
    for shown in ("Helena Lindqvist", "Chief Executive Officer", "Madrid", "+34 91 555 0102 (business)"):
        assert shown in told
    assert "tests.tenant drop samples/workday-2026-11-21.csv" in told
    assert (night["updated"], night["deleted"], night["created"]) == (1, 1, 0)


def test_serving_says_what_is_wrong_before_anything_starts(tmp_path: Path) -> None:
    """Every mistake in a mapping of one's own is told at once; a mapping or a file that is not there, too."""
    mapping = tmp_path / "mine.toml"
    mapping.write_text('format = 1\n[key]\ncolumm = "Id"\n[account]\ncolumn = "Upn"\nmatch = "upn"\n', encoding="utf-8")
    wrong = {
        str(mapping): ("line 3: key: columm", "line 6: account: match"),
        "peoplesoft": ("peoplesoft", "workday"),
        str(tmp_path / "gone.toml"): ("gone.toml",),
    }

    for given, words in wrong.items():
        with serving(tmp_path / "serve", "--mapping", given, "--hr", "samples/people-2026-11-20.csv") as (
            printed,
            process,
        ):
            assert process.wait(60) == 1
        assert all(word in printed for word in words), printed
