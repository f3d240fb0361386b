"""The benchmark as a smoke test: it produces its numbers, and what it counts is right. Its times mean nothing here."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree as ET

import pytest

from tests.bench import plots
from tests.bench.__main__ import SECTIONS
from tests.bench.company import COLUMNS, MAPPED, Churn, Company, object_id_of
from tests.bench.results import ROOT, Result

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once

PEOPLE = 400
CHURN = Churn(changed=0.01, joined=0.005, left=0.02)

PARTS: Final = ("machine", "bars", "sizes", "scale", "told")
"""What of the page about performance is written by a program."""

BARS: Final[dict[str, set[str]]] = {
    "reading": {"B1"},
    "ledger": {"B3"},
    "ingest": {"B4"},
    "accounts": {"B6"},
    "cold": {"B9"},
    "scale": set(),
}
"""Which bars a section is there for, among others."""


def night_of(company: Company, night: int, folder: Path) -> dict[str, dict[str, str]]:
    """Return a night's rows by key, as whoever reads the file has them, in its order."""
    path = folder / f"{company.seed}-{night}.csv"
    company.write(path, night=night)
    with path.open(encoding="utf-8", newline="") as stream:
        return {row["EmployeeId"]: row for row in csv.DictReader(stream)}


def mapped(row: dict[str, str]) -> list[str]:
    """Return the cells that the default mapping reads."""
    return [row[column] for column in MAPPED]


def test_an_unchanged_export_has_other_bytes_for_everyone(tmp_path: Path):
    """Without churn a night has the same mapped cells in another order, and another cell in one unmapped column."""
    company = Company(PEOPLE)

    before, after = (night_of(company, night, tmp_path) for night in (0, 1))

    assert len(before) == PEOPLE
    assert len(COLUMNS) == 30
    assert {key: mapped(row) for key, row in after.items()} == {key: mapped(row) for key, row in before.items()}
    assert list(after) != list(before)
    assert all(after[key]["VacationDays"] != row["VacationDays"] for key, row in before.items())


def test_churn_is_exactly_as_large_as_it_says(tmp_path: Path):
    """Every night so many change, join and leave as their shares say, others each time; its counts say the same."""
    met: set[str] = set()
    company = Company(PEOPLE, churn=CHURN)
    nights = [night_of(company, night, tmp_path) for night in range(4)]

    for night in (1, 2, 3):
        before, after = nights[night - 1], nights[night]
        left = {key for key, row in after.items() if row["Status"] == "Terminated"}
        stayed = after.keys() & before.keys() - left
        changed = {key for key in stayed if mapped(after[key]) != mapped(before[key])}
        counts = company.counts(night)
        assert (len(after.keys() - before.keys()), len(left)) == (2, 8)
        assert len(before.keys() - after.keys()) == (8 if night > 1 else 0)
        assert 0 < len(changed) <= 4  # whoever has left does not count
        assert (counts.rows, counts.created, counts.deleted) == (len(after), 2, 8)
        assert counts.updated == len(changed)
        assert not changed & met
        met |= changed


def test_managers_are_there_and_have_ten_reports(tmp_path: Path):
    """Everybody but the first reports to somebody who is there, ten people to each."""
    company = Company(PEOPLE, churn=CHURN)

    rows = night_of(company, 3, tmp_path)

    reports = [row["ManagerId"] for row in rows.values() if row["ManagerId"]]
    assert len(reports) == len(rows) - 1
    assert set(reports) <= rows.keys()
    assert max(map(reports.count, set(reports))) == 10


def test_it_is_the_same_company_every_time(tmp_path: Path):
    """The same numbers make the same bytes, another seed makes other people; object ids are everybody's own."""
    for name in ("one", "two"):
        Company(PEOPLE, churn=CHURN).write(tmp_path / name, night=2)
    other = night_of(Company(PEOPLE, seed=2), 0, tmp_path)

    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert other["E0000007"] != night_of(Company(PEOPLE), 0, tmp_path)["E0000007"]
    assert len({object_id_of(number) for number in range(PEOPLE)}) == PEOPLE


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Return what ``make bench SHORT=1`` leaves behind."""
    path = tmp_path_factory.mktemp("bench") / "results.json"
    command = [sys.executable, "-m", "tests.bench", "--short", "--results", str(path)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    found: list[dict[str, Any]] = json.loads(path.read_bytes())
    return found


def test_every_result_has_what_programs_read(results: list[dict[str, Any]]):
    """Each result has the members that outside programs rely on; ``ok`` says what its own numbers say."""
    for result in results:
        assert list(result) == ["bar", "name", "value", "unit", "reference", "ratio", "limit", "ok"]
        assert isinstance(result["value"], int | float)
        assert result["value"] >= 0
        if result["reference"]:
            assert result["ratio"] == pytest.approx(result["value"] / result["reference"])
        assert isinstance(result["ok"], bool)
    assert len({result["name"] for result in results}) == len(results)


def test_the_bars_of_each_section_are_there(results: list[dict[str, Any]]):
    """No section has gone without a word, and whatever has a bar has its limit."""
    bars = {result["bar"] for result in results} - {""}

    assert bars >= {bar for section in SECTIONS for bar in BARS[section]}
    assert all(result["limit"] is not None for result in results if result["bar"])


def test_counts_are_right(results: list[dict[str, Any]]):
    """What was unchanged makes no request to Graph, and what has changed one for each person."""
    requests = {result["name"]: result["value"] for result in results if "Graph requests" in result["name"]}

    assert requests["300 people, unchanged: Graph requests"] == 0
    assert requests["300 people, 1 % changed: Graph requests; people"] == 3


def test_a_first_load_goes_on_from_slice_to_slice(results: list[dict[str, Any]]):
    """Even a few people take several slices when these are short; all are held to having sent everybody once."""
    found = {result["name"].rpartition(", ")[2]: result["value"] for result in results if "virtual" in result["name"]}

    assert found["first load: slices"] > 1
    assert found["a night of 1 % churn: Graph requests per change"] >= 1


def test_the_page_is_written_from_what_was_measured():
    """The page has a place for each table; what is measured again takes the place of what stood there."""
    page = plots.PAGE.read_text(encoding="utf-8")

    once = plots.with_parts(page, dict.fromkeys(PARTS, "| 1 |"))
    twice = plots.with_parts(once, dict.fromkeys(PARTS, "| 2 |"))

    assert once.count("| 1 |") == twice.count("| 2 |") == len(PARTS)
    assert "| 1 |" not in twice
    with pytest.raises(ValueError, match="no place for weather"):
        plots.with_parts(page, {"weather": "fine"})


def test_a_bar_is_drawn_by_what_it_allows():
    """A limit from above is used up as far as the value goes, one from below as far as the value stays behind it."""
    shares = [
        plots.share_of_limit(Result("B1", "seconds", 6, "s", 2, 4, "ratio")),
        plots.share_of_limit(Result("B1", "memory", 300, "MB", 27, 150)),
        plots.share_of_limit(Result("B4", "rate", 150, "/s", 100, 0.9, "ratio", at_least=True)),
        plots.share_of_limit(Result("B1", "requests", 0, "", limit=0)),
        plots.share_of_limit(Result("", "told", 5, "s", 1)),
    ]

    assert shares == [0.75, 2, pytest.approx(0.6), None, None]


def test_pictures_can_be_shown():
    """Every picture is well-formed, whatever the names in it."""
    told = [Result("B1", "people < 5 & more", 4, "s", 1, 3, "ratio"), Result("B3", "size", 80, "MB", None, 100)]
    part = {"began": 0, "ended": 40, "put": 900, "peak": 80.5}
    life = {"people": 1000, "slices": [part, {**part, "began": 900, "ended": 904, "put": 100}], "nights": [part]}

    pictures = [plots.bars_picture(told), plots.load_picture([life]), plots.memory_picture([life, life])]

    assert [ET.fromstring(each).tag for each in pictures] == ["{http://www.w3.org/2000/svg}svg"] * 3  # noqa: S314
    assert 'class="bad"' in pictures[0]
