"""The head: the one mutable truth, written and read as JSON."""

from __future__ import annotations

from dataclasses import fields, replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.head import (
    Approval,
    ExportMark,
    Head,
    Held,
    Lost,
    Refused,
    RunMark,
    dump_head,
    load_head,
    moment,
)
from connector.core.ledger import DueTimes
from connector.core.mapping import Fill
from connector.errors import StoreError
from tests.core.people import DAY, NOW

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_COUNT = st.integers(0, 2**50)
_FILES = st.builds(ExportMark, name=_TEXT, etag=_TEXT, modified=st.floats(0, 2**40), sha256=_TEXT, copy=_TEXT)
_MARKS = st.builds(
    ExportMark,
    name=_TEXT,
    etag=_TEXT,
    modified=st.floats(0, 2**40),
    sha256=_TEXT,
    copy=_TEXT,
    rows=_COUNT,
    partial=st.booleans(),
    manifest=_TEXT,
    members=st.lists(_FILES, max_size=2).map(tuple),
    released=st.lists(_TEXT, max_size=2).map(tuple),
    released_under=_TEXT,
    fill=st.builds(Fill, _COUNT, st.dictionaries(_TEXT, _COUNT, max_size=2)),
)
_RUNS = st.builds(
    RunMark,
    id=_TEXT,
    epochs=st.lists(_COUNT, max_size=3).map(tuple),
    export=st.none() | _MARKS,
    circumstances=_TEXT,
    full=st.booleans(),
)
_HEADS = st.builds(
    Head,
    epoch=_COUNT,
    incarnation=_TEXT,
    connection_etag=_TEXT,
    generation=_COUNT,
    held_items=_COUNT,
    people=_COUNT,
    applied=st.none() | _MARKS,
    previous=st.none() | _MARKS,
    partials=st.lists(_MARKS, max_size=2).map(tuple),
    refused=st.lists(
        st.builds(
            Refused,
            *(_TEXT, _TEXT, _TEXT, _TEXT, _TEXT),
            members=st.lists(st.tuples(_TEXT, _TEXT), max_size=2).map(tuple),
            plan=_TEXT,
            guards=st.lists(_TEXT, max_size=2).map(tuple),
            run=_TEXT,
            modified=st.floats(0, 2e9),
        ),
        max_size=2,
    ).map(tuple),
    run=st.none() | _RUNS,
    held=st.none() | st.builds(Held, _TEXT, _COUNT, _TEXT, st.booleans()),
    approvals=st.lists(st.builds(Approval, _TEXT, _TEXT, _COUNT, st.booleans()), max_size=2).map(tuple),
    pace=st.dictionaries(_TEXT, st.floats(0, 100), max_size=2),
    deletions=st.lists(st.tuples(_COUNT, _COUNT), max_size=2).map(tuple),
    due=st.builds(DueTimes, _COUNT, _COUNT, _COUNT, _COUNT),
    circumstances=_TEXT,
    mapping=_TEXT,
    covered=st.tuples(_TEXT, _TEXT),
    failures=_COUNT,
    retry_at=_COUNT,
    failed_export=st.tuples(_TEXT, _TEXT),
    tried=st.lists(_TEXT, max_size=2).map(tuple),
    last_run=_TEXT,
    verified=_TEXT,
    lost=st.none() | st.builds(Lost, _COUNT, _TEXT, st.booleans()),
)


@given(_HEADS)
def test_a_head_is_read_as_it_was_written(head):
    """Every field survives, types and all."""
    assert load_head(dump_head(head)) == head


def test_every_field_of_a_head_is_tried():
    """The round trip above leaves no field at its default but the format."""
    tried = set(_HEADS.wrapped_strategy.kwargs)  # type: ignore[attr-defined]

    assert {field.name for field in fields(Head)} - tried == {"format"}


def _without(name: str) -> bytes:
    raw = orjson.loads(dump_head(Head()))
    del raw[name]
    return orjson.dumps(raw)


def _with(**changed: object) -> bytes:
    return orjson.dumps({**orjson.loads(dump_head(Head())), **changed})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        _without("deletions"),
        _with(format=2),
        _with(surprise=1),
        _with(applied={"name": "x"}),
        _with(applied="x"),
        _with(run=[1]),
        _with(refused=[1]),
        _with(deletions=[1]),
        _with(due=None),
    ],
)
def test_what_is_no_head_is_refused(data):
    """Nothing is guessed: a head of another release, or a broken one, stops every run."""
    with pytest.raises(StoreError) as raised:
        load_head(data)

    assert raised.value.code == "head_corrupt"


def test_a_head_of_an_earlier_release_does_not_tell_how_its_export_was_read():
    """What is not known of the last export is compared with nothing."""
    known = {
        "name": "people.csv",
        "etag": "0x1",
        "modified": 5.0,
        "sha256": "",
        "copy": "",
        "rows": 0,
        "partial": False,
    }

    mark = load_head(_with(applied=known)).applied

    assert mark == ExportMark("people.csv", "0x1", 5.0)
    assert (mark.encoding, mark.skipped, mark.final_newline, mark.fill) == ("", None, None, Fill())


def test_a_failed_run_is_tried_less_and_less_often():
    """At the next tick, then doubling, to a day at most; the export is remembered, so that a newer one is not kept."""
    export = ExportMark("people.csv", "0x1", 5.0)
    head, waits = Head(), []
    for _ in range(12):
        head = head.failed(export, now=NOW)
        waits.append(head.retry_at - NOW)

    assert waits[0] <= 15 * 60
    assert waits[1:3] == [2 * waits[0], 4 * waits[0]]
    assert waits[-1] == DAY
    assert head.failed_export == ("people.csv", "0x1")
    assert head.failed(None, now=NOW).failed_export == ("", "")


def test_moments_are_iso_in_utc():
    """Reports tell moments to the second, with a Z."""
    assert moment(0) == "1970-01-01T00:00:00Z"
    assert moment(1_800_000_000.9) == "2027-01-15T08:00:00Z"


def test_a_head_of_an_earlier_release_is_read():
    """It knows no sets, no days that turn and no approvals: what it says of exports is said of single files."""
    head = Head(applied=ExportMark("a.csv", "0x1", NOW), refused=(Refused("b.csv", "0x2", "then", "truncated"),))
    raw = orjson.loads(dump_head(head))
    for name in ("manifest", "members"):
        del raw["applied"][name], raw["refused"][0][name]
    for name in ("released", "released_under"):
        del raw["applied"][name]
    for name in ("plan", "guards", "run"):
        del raw["refused"][0][name]
    del raw["due"]["turn"], raw["approvals"]

    assert load_head(orjson.dumps(raw)) == head


def test_a_set_is_told_by_all_its_files():
    """Another version, or other contents, of any file make another set; of a single file its own say all."""
    one, two = ExportMark("a.csv", "0x1", NOW, sha256="aa"), ExportMark("b.csv", "0x2", NOW, sha256="bb")
    both = ExportMark("a.csv", "0x1", NOW, sha256="aa", manifest="0xm", members=(two,))
    other = replace(both, members=(replace(two, etag="0x3", sha256="cc"),))

    assert (one.version, one.digest, one.files) == ("0x1", "aa", (one,))
    assert both.files == (both, two)
    assert len({one.version, both.version, other.version, replace(both, manifest="0xn").version}) == 4
    assert len({one.digest, both.digest, other.digest}) == 3
