"""The quarantine file: HR's own rows with a reason, ready to be mended and dropped back."""

from __future__ import annotations

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.export import open_export
from connector.core.mapping import Problem, Rejection
from connector.core.quarantine import quarantine_file, quarantine_name

HEADER = ("EmployeeId", "Name")
BAD_DATE = Problem("bad_date", "HireDate is not a date")


def a_rejection(*cells: str, row: int = 7, problems: tuple[Problem, ...] = (BAD_DATE,)) -> Rejection:
    """Return a rejected row."""
    return Rejection(row, cells[0] if cells else "", problems, cells)


def table(data: bytes) -> list[list[str]]:
    """Return the lines of a quarantine file in UTF-8."""
    return list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))


def file_of(*rejections: Rejection, header: tuple[str, ...] = HEADER, **changed: str) -> bytes:
    """Return the quarantine file of these rows."""
    return quarantine_file(header, rejections, **{"delimiter": ",", "encoding": "utf-8", **changed})


def test_the_name_tells_export_and_run():
    """The export's full name, the run, and what it is, under the connection."""
    assert quarantine_name("contosohr", "people.csv", "r1") == "contosohr/people.csv.r1.rejected.csv"


def test_rows_keep_their_columns_and_get_a_reason():
    """The input's own columns, then row number, code and sentence; several problems are all told."""
    several = (BAD_DATE, Problem("not_allowed", "Status is unknown"))

    data = file_of(a_rejection("E1", "Ada"), a_rejection("E2", 'Grace, "Amazing"', row=9, problems=several))

    assert table(data) == [
        ["EmployeeId", "Name", "_row", "_error_code", "_error"],
        ["E1", "Ada", "7", "bad_date", "HireDate is not a date"],
        ["E2", 'Grace, "Amazing"', "9", "bad_date", "HireDate is not a date; Status is unknown"],
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    ("encoding", "start"),
    [
        ("utf-8", b"\xef\xbb\xbf"),
        ("utf-16", "\ufeff".encode("utf-16-le")),
        ("windows-1252", b"EmployeeId"),
    ],
)
def test_delimiter_and_encoding_are_the_inputs_own(delimiter, encoding, start):
    """HR's spreadsheet opens the file as it opened the export; a byte order mark tells it the encoding."""
    data = file_of(a_rejection("E1", "Zoë"), delimiter=delimiter, encoding=encoding)

    export = open_export("x.csv", io.BytesIO(data))
    assert data.startswith(start)
    assert (export.delimiter, export.encoding) == (delimiter, encoding)
    assert [row.cells[:2] for row in export.rows] == [["E1", "Zoë"]]


def test_dropped_back_it_is_a_correction():
    """Its header says so, whatever the file is called by then."""
    assert open_export("people.csv", io.BytesIO(file_of(a_rejection("E1", "Ada")))).is_correction


def test_a_correction_of_a_correction_has_our_columns_once():
    """Row, code and sentence of the last time are replaced, not repeated."""
    header = (*HEADER, "_row", "_error_code", "_error")

    data = file_of(a_rejection("E1", "Ada", "3", "bad_row", "it has 3 cells", row=1), header=header)

    assert table(data) == [
        ["EmployeeId", "Name", "_row", "_error_code", "_error"],
        ["E1", "Ada", "1", "bad_date", "HireDate is not a date"],
    ]


@pytest.mark.parametrize("spelling", ["_Error_Code", "error code", "ERROR_CODE", "Row", "Error"])
def test_our_columns_are_known_in_any_spelling(spelling):
    """A spreadsheet, or a person, may have changed their case; a header must not name a column twice."""
    data = file_of(a_rejection("E1", "Ada", "old"), header=(*HEADER, spelling))

    header = open_export("people.csv", io.BytesIO(data)).header
    assert header == ("EmployeeId", "Name", "_row", "_error_code", "_error")


@pytest.mark.parametrize(
    ("cells", "line"),
    [
        ((), ["", ""]),
        (("E1",), ["E1", ""]),
        (("E1", "Ada", "Lovelace", "x"), ["E1", "Ada", "Lovelace", "x"]),
    ],
)
def test_a_row_of_another_width_loses_nothing(cells, line):
    """Missing cells are blank; cells beyond the header are kept, so that HR sees what was there."""
    data = file_of(a_rejection(*cells))

    assert table(data)[1] == [*line, "7", "bad_date", "HireDate is not a date"]


def test_bytes_that_were_no_text_go_out_as_they_came():
    """HR sees the cell that cannot be read exactly as it was."""
    data = file_of(a_rejection("E1", "Ren\udce9"))

    assert b"Ren\xe9" in data


@pytest.mark.parametrize(
    "cell",
    ["=1+1", "+44 20", "-", "@x", "\t=1", "\rx", "\uff1d1", "'=1", "''-2", " =1", '"=1', "\u200b\n=1", "'\u2019@x"],
)
def test_formula_looking_cells_do_nothing_in_a_spreadsheet_and_come_back_unharmed(cell):
    """They stand behind an apostrophe, which shows as text; read again, they are what HR wrote."""
    data = file_of(a_rejection("E1", cell))

    assert table(data)[1][1] == f"'{cell}"
    assert next(open_export("people.csv", io.BytesIO(data)).rows).cells[1] == cell


@pytest.mark.parametrize("cell", ["a=b", "'quoted'", "'", "O'Neil", " x=1", "5-3", "''", '"a"-b'])
def test_other_cells_are_not_touched(cell):
    """What HR wrote comes back as HR wrote it, or the correction would change people."""
    assert table(file_of(a_rejection("E1", cell)))[1][1] == cell


def test_a_formula_looking_cell_that_hr_mends_needs_no_apostrophe():
    """A number typed over without it is taken as it stands."""
    mended = file_of(a_rejection("E1", "+44 2O")).replace(b"'+44 2O", b"+44 20")

    assert next(open_export("people.csv", io.BytesIO(mended)).rows).cells[1] == "+44 20"


@pytest.mark.parametrize("header", ["=Name", "+Name"])
def test_formula_looking_headers_keep_their_names(header):
    """A column is found again by the name that it had."""
    data = file_of(a_rejection("E1", "Ada"), header=("EmployeeId", header))

    assert f"'{header}".encode() in data
    assert open_export("people.csv", io.BytesIO(data)).header[1] == header


def test_text_that_would_be_taken_for_another_encoding_goes_out_in_utf_8():
    """A few letters of Windows-1252 can look like UTF-8; nobody's name may change on its way back."""
    data = file_of(a_rejection("E1", "Â¡"), encoding="windows-1252")

    assert next(open_export("people.csv", io.BytesIO(data)).rows).cells[1] == "Â¡"


_ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_BEFORE = st.text("' \"\u00a0\u200b\n\u201c", max_size=3)
_CELLS = _ANY | st.builds(str.__add__, _BEFORE, st.sampled_from("=+-@\t\r\uff0b\uff0d\uff1d\uff20") | _ANY)


@given(
    rows=st.lists(st.tuples(_CELLS, _CELLS), min_size=1, max_size=4),
    delimiter=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-16", "utf-16-le", "utf-16-be", "windows-1252", "latin-1"]),
)
def test_what_was_rejected_is_read_again_cell_for_cell(rows, delimiter, encoding):
    """Whatever the cells hold, the file can be opened, is a correction, and has every row."""
    rejections = [a_rejection(*cells, row=number) for number, cells in enumerate(rows, 1)]

    data = quarantine_file(HEADER, rejections, delimiter=delimiter, encoding=encoding)

    export = open_export("people.csv", io.BytesIO(data))
    assert export.is_correction
    assert [tuple(row.cells[:2]) for row in export.rows] == rows


@given(cell=_CELLS, delimiter=st.sampled_from(",;\t|"))
def test_no_cell_begins_with_a_formula(cell, delimiter):
    """Whatever stands before it that a program might trim, and whatever separates the cells."""
    data = file_of(a_rejection("E1", cell), delimiter=delimiter)

    shown = next(iter([*csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), delimiter=delimiter)][1:]))[1]
    assert not re.match(r"[\s\"\u200b\u201c]*[=+\-@\uff0b\uff0d\uff1d\uff20]", shown)
    assert shown in {cell, f"'{cell}"}
