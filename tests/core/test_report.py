"""The run report: the documented names, everything counted, nothing personal in the numbers."""

from __future__ import annotations

from dataclasses import asdict, fields, replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.report import Counts, ListedRow, Report, dump_report, listed, load_report

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_COUNT = st.integers(0, 2**50)

REPORT = Report(
    run="20261123T020004Z-1a2b",
    connection="contosohr",
    trigger="timer",
    outcome="held",
    started="2026-11-23T02:00:04Z",
    finished="2026-11-23T02:00:10Z",
    export={"name": "people.csv", "etag": "0x1", "rows": 3, "encoding": "utf-8", "delimiter": ","},
    counts=Counts(people=2, rejected=1, unmatched=1, held=1),
    guards=(
        {"name": "deletions", "limit": "3", "found": "4", "tripped": True},
        {"name": "everyone", "limit": "1", "found": "2", "tripped": False},
    ),
    plan="sha256:abc",
    unmatched_people=({"key": "E1", "reason": "no_account"},),
    rows=(ListedRow(2, "E2", ("bad_date",), "HireDate is not a date"),),
)


def test_the_body_has_the_documented_names():
    """The counts stand at the top level; every documented member is there."""
    body = REPORT.body()

    assert set(body) >= {
        *("run", "connection", "trigger", "outcome", "error", "export", "people", "rejected", "unmatched", "unchanged"),
        *("created", "updated", "deleted", "held", "failed", "grace", "transferred", "warnings", "guards", "plan"),
        *("graph", "started", "finished", "slices"),
    }
    assert (body["people"], body["rejected"], body["held"], body["created"]) == (2, 1, 1, 0)
    assert body["graph"] == {"requests": 0, "throttled": 0, "seconds": 0.0}
    assert orjson.loads(dump_report(REPORT)) == orjson.loads(orjson.dumps(body))


@pytest.mark.parametrize("outcome", ["completed", "unchanged", "held", "refused", "partial", "superseded", "failed"])
def test_every_outcome_has_all_counts_and_an_error(outcome):
    """Where nothing happened there are zeros, and null for no error; a plan's hash only where there is one."""
    body = Report("r", "c", "timer", outcome, "now").body()

    assert all(body[field.name] == 0 for field in fields(Counts))
    assert body["error"] is None
    assert "plan" not in body
    assert "plan" in replace(REPORT, outcome=outcome).body()


def test_the_numbers_for_the_log_hold_nothing_personal():
    """Neither rows nor people nor export names, which HR chooses, go into a log line."""
    numbers = REPORT.numbers()

    said = orjson.dumps(numbers).decode()
    assert numbers["run"] == REPORT.run
    assert (numbers["people"], numbers["guards"]) == (2, ["deletions"])
    assert not any(word in said for word in ("E1", "E2", "people.csv", "HireDate"))


def test_an_error_is_told_in_the_log():
    """The code and the sentence of a refusal are what an alert shows."""
    report = replace(REPORT, error={"code": "empty_file", "message": "the file is empty"})

    assert report.numbers()["error"] == {"code": "empty_file", "message": "the file is empty"}


@pytest.mark.parametrize("code", ["missing_column", "duplicate_column"])
def test_an_error_that_speaks_of_headers_is_told_by_its_code(code):
    """In a file without header the first person stands where the header should."""
    report = replace(REPORT, error={"code": code, "message": "did you mean 'ada@contoso.com'?"})

    assert report.numbers()["error"] == {"code": code}


def test_a_list_of_runs_shows_no_people():
    """Lists of reports leave out the rows and the unmatched; the numbers stay."""
    body = listed(REPORT.body())

    assert "rows" not in body
    assert "unmatched_people" not in body
    assert body["rejected"] == 1


@given(
    st.builds(
        Report,
        run=_TEXT,
        connection=_TEXT,
        trigger=_TEXT,
        outcome=st.sampled_from(["completed", "partial"]),
        started=_TEXT,
        finished=_TEXT,
        reasons=st.lists(_TEXT, max_size=2).map(tuple),
        export=st.none() | st.dictionaries(_TEXT, _TEXT, max_size=2),
        counts=st.builds(Counts, *[_COUNT for _ in fields(Counts)]),
        warnings=st.dictionaries(_TEXT, _COUNT, max_size=2),
        guards=st.lists(st.dictionaries(_TEXT, _TEXT, max_size=2), max_size=2).map(tuple),
        plan=st.none() | _TEXT,
        graph=st.dictionaries(_TEXT, _COUNT, max_size=2),
        slices=_COUNT,
        error=st.none() | st.dictionaries(_TEXT, _TEXT, max_size=2),
        unmatched_people=st.lists(st.dictionaries(_TEXT, _TEXT, max_size=2), max_size=2).map(tuple),
        rows=st.lists(
            st.builds(ListedRow, _COUNT, _TEXT, st.lists(_TEXT, max_size=2).map(tuple), _TEXT), max_size=2
        ).map(tuple),
        quarantine=st.none() | _TEXT,
    )
)
def test_a_report_stored_beside_an_unfinished_run_is_read_as_it_was(report):
    """The next slice goes on with what this one reported."""
    assert load_report(orjson.loads(orjson.dumps(asdict(report)))) == report
