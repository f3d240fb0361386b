"""Files that are damaged, cut off, or made to harm: a clear refusal or rejected rows, in bounded memory and time."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import subprocess
import sys
import time
import tracemalloc
import zipfile
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.export import MAX_CELL, MAX_COLUMNS, MAX_ROW, Row, open_export
from connector.core.mapping import Mapping, Rejection, bind, load_mapping
from connector.core.population import ExportFile, read_population
from connector.core.quarantine import quarantine_file
from connector.errors import ExportError
from tests.core.hostile import CASES, COLUMNS, Repeated

if TYPE_CHECKING:
    from collections.abc import Callable

    from connector.core.population import Reading

T = TypeVar("T")
TODAY = date(2026, 11, 23)
ROOT = Path(__file__).parents[2]

FILE_CODES = {"empty_file", "missing_column", "duplicate_column", "undecodable", "truncated"}
"""Why a file as a whole may be refused while it is read (interface §8)."""
ROW_CODES = {
    "missing_key", "duplicate_key", "missing_account", "bad_account", "duplicate_account", "bad_date", "bad_number",
    "not_allowed", "too_many", "too_long", "bad_row", "bad_text",
}  # fmt: skip
"""Why a row may be rejected."""


@cache
def mappings() -> dict[str, Mapping]:
    """Return the mappings that come with the connector."""
    folder = ROOT / "connector" / "mappings"
    return {path.stem: load_mapping(path.stem, path.read_bytes()) for path in sorted(folder.glob("*.toml"))}


@cache
def exports() -> dict[str, bytes]:
    """Return real exports, the first lines of each."""
    found = {path.name: path.read_bytes() for path in sorted((ROOT / "samples").rglob("*.csv"))}
    found |= {path.name: path.read_bytes() for path in sorted((ROOT / "tests" / "hr_samples").glob("*.csv"))}
    heads = {name: b"".join(data.splitlines(keepends=True)[:9]) for name, data in found.items()}
    heads["titled.csv"] = "Mitarbeiter\n\nEmployeeId;UserPrincipalName;Büro\n1;a@contoso.com;x\n\nTotal;1;\n".encode()
    return heads


# --- damaged files ----------------------------------------------------------------------------------------------------

_ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "latin-1")
_MARKS = (b"", codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE)
_JUNK = (
    b"\0",
    b"\xff",
    b'"',
    b'""',
    b"\r",
    b"\n",
    b"\xc3",
    b"\x1a",
    b"\xed\xa0\x80",
    b",",
    b";",
    b"\t",
    b"=1",
    b"\x1f",
)


@st.composite
def _damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    """Draw a real export with some things done to it, and its name."""
    text = exports()[draw(st.sampled_from(sorted(exports())))].decode("utf-8-sig")
    lines = text.splitlines(keepends=True)
    for _ in range(draw(st.integers(0, 3))):
        one, other = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
        match draw(st.sampled_from(["repeat", "remove", "swap", "join"])):
            case "repeat":
                lines[other:other] = [lines[one]] * draw(st.integers(1, 4))
            case "remove" if len(lines) > 1:
                del lines[one]
            case "swap":
                lines[one], lines[other] = lines[other], lines[one]
            case _:
                lines[one] = lines[one].rstrip("\r\n")
    data = bytearray("".join(lines).encode(draw(st.sampled_from(_ENCODINGS)), "replace"))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["flip", "insert", "cut", "drop"])):
            case "flip" if place < len(data):
                data[place] = draw(st.integers(0, 255))
            case "insert":
                data[place:place] = draw(st.sampled_from(_JUNK)) * draw(st.sampled_from([1, 1, 2, 500]))
            case "cut":
                del data[place:]
            case _:
                del data[place : place + 3]
    return draw(_packed(draw(st.sampled_from(_MARKS)) + bytes(data)))


@st.composite
def _packed(draw: st.DrawFn, data: bytes) -> tuple[str, bytes]:
    """Draw how a file is packed, if it is, what is done to it then, and under which name it comes."""
    name = draw(st.sampled_from(["people.csv", "people.csv", "people.csv.gz", "people.zip"]))
    how = draw(st.sampled_from([name, name, name, "people.csv", "people.zip"]))
    if how.endswith(".gz"):
        data = gzip.compress(data, mtime=0)
    elif how.endswith(".zip"):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", draw(st.sampled_from([zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED]))) as archive:
            archive.writestr("people.csv", data)
        data = stream.getvalue()
    if how != "people.csv" and data:
        broken = bytearray(data)
        for _ in range(draw(st.integers(0, 2))):
            broken[draw(st.integers(0, len(broken) - 1))] = draw(st.integers(0, 255))
        data = bytes(broken[: len(broken) - draw(st.sampled_from([0, 0, 0, 1, 9, 40]))])
    return name, data


_ANYTHING = st.tuples(st.sampled_from(["people.csv", "people.csv.gz", "people.zip"]), st.binary(max_size=400))


@given(file=_damaged() | _ANYTHING, mapping=st.sampled_from(sorted(mappings())))
def test_whatever_a_file_holds_it_is_refused_with_a_code_or_read_within_the_limits(file, mapping):
    """No bytes raise anything else, make more columns than are allowed, or a row longer than one may be."""
    name, data = file
    wanted = mappings()[mapping]

    export = unless_refused(lambda: open_export(name, io.BytesIO(data), required=wanted.required, known=wanted.columns))
    if export is None:
        return
    rows = unless_refused(lambda: list(export.rows))

    if rows is None:
        return
    assert 0 < len(export.header) <= MAX_COLUMNS
    assert [row.number for row in rows] == list(range(1, len(rows) + 1))
    assert all(len(row.cells) == len(export.header) or row.problem for row in rows)
    assert all(len(cell) <= MAX_CELL for row in rows for cell in row.cells)
    assert all(sum(map(len, row.cells)) <= MAX_ROW for row in rows)
    assert export.skipped == sorted(set(export.skipped))


@given(file=_damaged() | _ANYTHING, mapping=st.sampled_from(sorted(mappings())))
def test_whatever_a_file_holds_people_are_read_or_rejected_with_a_code(file, mapping):
    """Every row is somebody, or has a documented reason that repeats nothing of it, and goes into a readable file."""
    name, data = file

    reading = unless_refused(lambda: people(data, name, mappings()[mapping]))

    if reading is None:
        return
    assert {problem.code for each in reading.rejections for problem in each.problems} <= ROW_CODES
    assert len({each.row for each in reading.rejections}) == len(reading.rejections)
    assert reading.population.people.keys().isdisjoint(reading.population.rejected)
    for one in reading.files:
        mended = quarantine_file(one.header, one.rejections, delimiter=one.delimiter, encoding=one.encoding)
        if one.rejections:
            assert open_export("people.csv", io.BytesIO(mended), required=mappings()[mapping].required).is_correction


def unless_refused(make: Callable[[], T]) -> T | None:
    """Return what is made, or None for a refusal that has a documented code."""
    try:
        return make()
    except ExportError as error:
        refused = error.code
    assert refused in FILE_CODES
    return None


def people(data: bytes, name: str, mapping: Mapping) -> Reading:
    """Read a file as one population."""
    file = ExportFile(name, lambda: io.BytesIO(data))
    return read_population([file], mapping, complete=True, new=True, today=TODAY)


# --- harmful files ----------------------------------------------------------------------------------------------------

ROOM = 128
"""MiB that reading may take, whatever the file. A row has at most 2,000,000 characters; where they are 660,000 cells,
Python's strings and the list of them take 80 MiB, two such rows never stand side by side, and nothing else of a file
is kept but its first lines."""
PACE = 5
"""Seconds of computing for a MiB: ten times what the slowest takes here. Work that grows with the square of a file's
size takes hundreds."""


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Any]:
    """Return what became of every harmful file, read in a process of its own."""
    command = [sys.executable, "-m", "tests.core.hostile"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr[-2000:]
    return {outcome["case"]: outcome for outcome in map(json.loads, done.stdout.splitlines())}


@pytest.mark.once
@pytest.mark.parametrize("case", CASES)
def test_a_harmful_file_ends_in_a_refusal_or_in_bad_rows(outcomes, case):
    """Refused with its code; or the row that does harm is bad, and those before and after it are read."""
    outcome, expected = outcomes[case], CASES[case]

    assert outcome["code"] == expected.code
    if not expected.code and expected.bad is not None:
        assert outcome["bad"] == expected.bad


@pytest.mark.once
@pytest.mark.parametrize("case", CASES)
def test_a_harmful_file_costs_bounded_memory_and_time(outcomes, case):
    """Memory is bounded by the longest row, time by the size of the file."""
    outcome = outcomes[case]

    assert outcome["grown"] < ROOM
    assert outcome["seconds"] < 1 + PACE * CASES[case].size


@pytest.mark.once
@pytest.mark.parametrize("bad", [False, True])
def test_reading_ten_times_the_rows_takes_no_more_memory(bad):
    """Of what was read nothing stays, be it right or wrong."""
    peaks = []
    for count in (8_000, 80_000):
        row = b'1,"%s" c\n' % (b"b" * 60) if bad else b"1,zo\xc3\xab%s@contoso.com\n" % (b"b" * 50)
        stream = io.BufferedReader(Repeated(row, len(row) * count))
        tracemalloc.start()
        rows = sum(bool(row.problem) is bad for row in open_export("people.csv", stream, required=COLUMNS).rows)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert rows >= count

    assert peaks[1] < 1.2 * peaks[0] + 100_000


@pytest.mark.once
def test_rejected_rows_that_would_fill_the_memory_refuse_the_file():
    """Their cells are kept for the quarantine file, but not any number of them."""
    header = b"EmployeeId,UserPrincipalName\n"
    stream = Repeated(b"a," * 900_000 + b"\n", 40 * 1_800_001, before=header)
    file = ExportFile("people.csv", lambda: io.BufferedReader(stream))
    tracemalloc.start()

    with pytest.raises(ExportError) as raised:
        read_population([file], mappings()["default"], complete=True, new=True, today=TODAY)

    assert raised.value.code == "too_many_rejected"
    assert tracemalloc.get_traced_memory()[1] < 256 << 20
    tracemalloc.stop()


# --- cut off ----------------------------------------------------------------------------------------------------------

_CUT = """
EmployeeId,UserPrincipalName,DisplayName,HireDate,Skills,Status
1001,adele@contoso.com,"Vance, Adele",2021-03-01,"Python;
SQL",Active
1002,zoë@contoso.com,"Zoë ""Z"" Ø",2021-03-02,,On leave
1003,max@contoso.com,Max,2021-03-03,Go,Terminated
1004,kim@contoso.com,Kim,2021-02-30,Go,Active
""".lstrip()


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_cut_at_any_byte_changes_nobody(end, encoding):
    """It is refused, or leaves the last line without an end, or loses whole rows: nobody is read as somebody else."""
    data = _CUT.replace("\n", end).encode(encoding)
    mapping = mappings()["default"]
    whole = people(data, "people.csv", mapping).population.people
    assert len(whole) == 3

    refused = set()
    for cut in range(len(data)):
        try:
            reading = people(data[:cut], "people.csv", mapping)
        except ExportError as error:
            refused.add(error.code)
            continue
        found = reading.population.people
        same = [key for key, person in found.items() if person == whole.get(key)]
        if reading.facts["final_newline"]:
            assert list(found) == same
        else:
            assert [*found][: len(found) - 1] == same[: len(found) - 1]
        assert {each.code for each in reading.rejections} <= {
            "bad_row",
            "bad_date",
            "not_allowed",
            "bad_text",
            "bad_account",
        }

    assert {"empty_file", "missing_column", "truncated"} <= refused <= FILE_CODES


@pytest.mark.parametrize("kind", ["gz", "zip"])
def test_a_packed_file_cut_at_any_byte_is_refused(kind):
    """Half an archive is no archive."""
    data = _CUT.encode()
    stream = io.BytesIO()
    if kind == "gz":
        stream.write(gzip.compress(data, mtime=0))
    else:
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("people.csv", data)
    packed = stream.getvalue()

    for cut in range(len(packed)):
        with pytest.raises(ExportError) as raised:
            people(packed[:cut], f"people.csv.{kind}", mappings()["default"])
        assert raised.value.code in {"truncated", "empty_file"}


# --- cells that are made to harm --------------------------------------------------------------------------------------


def test_a_long_cell_keeps_no_pattern_busy():
    """What is longer than may be sent is rejected before the mapping's patterns search it, some of which take long."""
    text = """
        format = 1
        key = { column = "Id", extract = '([0-9a-f]+)$' }
        account = { column = "Upn", extract = '(\\S+)>' }
        [status]
        column = "Status"
        in_scope = ["x"]
        leaver = ["y"]
        [[property]]
        name = "accounts"
        label = "personAccount"
        [[property]]
        name = "floor"
        value = { column = "Floor", extract = '(\\d+)th floor' }
    """
    header = ["Id", "Upn", "Status", "Floor"]
    bound = bind(load_mapping("ours", text.encode()), header)
    started = time.process_time()

    for column in range(len(header)):
        cells = ["1", "<a@contoso.com>", "x", "12th floor"]
        cells[column] = "1" * 900_000 + "\n"
        found = bound.person(Row(1, cells))
        assert isinstance(found, Rejection)
        assert "too_long" in {problem.code for problem in found.problems}

    assert time.process_time() - started < 5
