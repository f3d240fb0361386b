"""``make demo`` and ``make serve`` do what the README says, from the outside."""

from __future__ import annotations

import csv
import re
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.host.serving import COMMAND, serving
from tests.tenant import TESTED_CONTRACTS
from tests.tenant.contoso import CASTS, ROOT, SAMPLES, Cast
from tests.tenant.engines import best_engine
from tests.tenant.stories import STORIES

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.host, pytest.mark.azurite]


@pytest.fixture(scope="module", params=[CASTS[name] for name in TESTED_CONTRACTS], ids=TESTED_CONTRACTS)
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serving_ends_with_its_signal(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM alike stop everything in order, and leave no file behind."""
    folder = tmp_path / "serve"
    with serving(folder) as (printed, process):
        process.send_signal(number)

        assert process.wait(60) == 0
    assert "x-functions-key" in printed
    assert not folder.exists()
