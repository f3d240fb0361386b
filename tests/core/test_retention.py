"""What is kept of what we write, and what goes."""

from __future__ import annotations

import pytest

from connector.core.head import ExportMark, Head, Held, RunMark
from connector.core.retention import KEPT_REPORTS, MOST_DELETED, kept_copies, old_ledgers, old_reports


def runs(count: int) -> list[str]:
    """Return the names of so many runs, oldest first."""
    return [f"202611{1 + number // 24:02}T{number % 24:02}0004Z-{number:04x}" for number in range(count)]


def reports(names: list[str]) -> list[str]:
    """Return the two reports of each run."""
    return [f"contosohr/{run}.{kind}" for run in names for kind in ("html", "json")]


@pytest.mark.parametrize(("count", "gone"), [(0, 0), (89, 0), (90, 0), (91, 2), (100, 20)])
def test_the_reports_of_the_last_90_runs_stay(count, gone):
    """Both of each run; the oldest go."""
    names = reports(runs(count))

    assert KEPT_REPORTS == 90
    assert old_reports(names, Head()) == names[:gone]


def test_reports_the_head_speaks_of_stay_however_old():
    """Whoever approves what is held must be able to read what it is."""
    names = runs(200)
    head = Head(last_run=names[0], held=Held("sha256:1", 1, names[1]), run=RunMark(names[2], (1,), None, "", ""))

    gone = old_reports(reports(names), head)

    assert not set(gone) & set(reports(names[:3]))
    assert gone[:2] == reports(names[3:4])


def test_what_is_no_report_of_a_run_stays():
    """Whatever else somebody keeps there is not ours to tidy away."""
    others = ["contosohr/notes.json", "contosohr/20261101T000004Z-0001.json.bak", "contosohr/index.html"]

    assert old_reports([*others, *reports(runs(90))], Head()) == []


def test_only_so_much_goes_at_a_time():
    """The end of a run is bounded, whatever has piled up."""
    assert len(old_reports(reports(runs(600)), Head())) == MOST_DELETED


def test_three_generations_stay():
    """The present one and the two there are before it, whatever their numbers; none after it is touched."""
    names = [f"ledger/{number:08d}" for number in (1, 2, 5, 6, 9, 12)]

    assert old_ledgers(reversed(names), "ledger/00000009") == names[:2]
    assert old_ledgers(names[:3], names[2]) == []


def test_copies_of_the_last_two_applied_exports_stay():
    """With all their files, the corrections since, and what is being applied."""

    def mark(name: str, *members: str) -> ExportMark:
        return ExportMark(name, "", 0, copy=name, members=tuple(map(mark, members)))

    head = Head(
        applied=mark("b", "b2"),
        previous=mark("a", "a2"),
        partials=(mark("c"), mark("d")),
        run=RunMark("r", (1,), mark("e"), "", ""),
    )

    assert kept_copies(head) == {"a", "a2", "b", "b2", "c", "d", "e"}
    assert kept_copies(Head()) == frozenset()
