"""What bytes an export may be made of, and what is said about those it may not."""

from __future__ import annotations

import contextlib
import gzip
import io
import zipfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector.core.export import MAX_CELL, column_key, open_export
from connector.errors import ExportError

if TYPE_CHECKING:
    from connector.core.export import Export, Row

PLAIN = b"EmployeeId,Name\r\nE1,Ada\r\nE2,Grace\r\n"
TABLE = [["E1", "Ada"], ["E2", "Grace"]]


def read(data: bytes, name: str = "people.csv") -> tuple[Export, list[Row]]:
    """Open an export and read it to its end."""
    export = open_export(name, io.BytesIO(data))
    return export, list(export.rows)


def refusal(data: bytes, name: str = "people.csv") -> str:
    """Return the code under which an export is refused."""
    with pytest.raises(ExportError) as raised:
        read(data, name)
    return raised.value.code


def zipped(*files: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a .zip with these members."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return stream.getvalue()


def packed_by(method: int) -> bytes:
    """Return a .zip whose member says that it is packed by this method (12: bzip2)."""
    data = bytearray(zipped(("people.csv", PLAIN), method=zipfile.ZIP_STORED))
    data[8] = data[data.index(b"PK\x01\x02") + 10] = method
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "encoding", "delimiter"),
    [
        (PLAIN, "utf-8", ","),
        (PLAIN.replace(b"\r\n", b"\n"), "utf-8", ","),
        (PLAIN.replace(b"\r\n", b"\r"), "utf-8", ","),
        (PLAIN.rstrip(), "utf-8", ","),
        (PLAIN.replace(b",", b";"), "utf-8", ";"),
        (PLAIN.replace(b",", b"\t"), "utf-8", "\t"),
        (PLAIN.replace(b",", b"|"), "utf-8", "|"),
        (b"\xef\xbb\xbf" + PLAIN, "utf-8", ","),
        (PLAIN.decode().encode("utf-16"), "utf-16", ","),
        (b"\xff\xfe" + PLAIN.decode().encode("utf-16-le"), "utf-16", ","),
        (b"\xfe\xff" + PLAIN.decode().encode("utf-16-be"), "utf-16", ","),
        (b"\r\n\r\n" + PLAIN, "utf-8", ","),
        (b"EmployeeId,Name\n\nE1,Ada\n,\n \nE2,Grace\n\n\n", "utf-8", ","),
        (b'"EmployeeId","Name"\n"E1","Ada"\n"E2","Grace"\n', "utf-8", ","),
        (b" EmployeeId ,\xe2\x80\x8bName\nE1,Ada\nE2,Grace\n", "utf-8", ","),
    ],
)
def test_the_same_table_is_read_however_it_is_written(data, encoding, delimiter):
    """Delimiter, byte order mark, UTF-16, line ends, blank lines and quotes make no difference to what is read."""
    export, rows = read(data)

    assert export.header == ("EmployeeId", "Name")
    assert (export.encoding, export.delimiter) == (encoding, delimiter)
    assert [(row.number, row.cells, row.problem) for row in rows] == [(1, TABLE[0], ""), (2, TABLE[1], "")]


def test_the_delimiter_is_the_one_outside_quotes():
    """A column name in quotes may hold commas without their counting as delimiters."""
    export, rows = read(b'"Name, first, middle, last";Id\n"Lovelace, Ada";1\n')

    assert (export.delimiter, export.header) == (";", ("Name, first, middle, last", "Id"))
    assert rows[0].cells == ["Lovelace, Ada", "1"]


def test_a_quoted_cell_may_hold_anything():
    """Line ends, delimiters and doubled quotes inside quotes belong to the cell, also in the header."""
    export, rows = read(b'Id,"Office\nLocation"\nE1,"Main ""east""\r\nwing, 2"\nE2,x\n')

    assert column_key(export.header[1]) == column_key("OfficeLocation")
    assert [row.cells for row in rows] == [["E1", 'Main "east"\r\nwing, 2'], ["E2", "x"]]


@pytest.mark.parametrize(
    ("line", "cells"),
    [(b"E1", ["E1"]), (b"E1,Ada,Lovelace", ["E1", "Ada", "Lovelace"]), (b"E1,Ada,", ["E1", "Ada", ""])],
)
def test_a_row_of_another_width_is_a_problem_of_its_own(line, cells):
    """A ragged row keeps its number and cells, says so, and the rows after it are read."""
    _, rows = read(b"Id,Name\n" + line + b"\nE2,Grace\n")

    assert (rows[0].number, rows[0].cells) == (1, cells)
    assert rows[0].problem == f"it has {len(cells)} cells; the header has 2"
    assert (rows[1].number, rows[1].cells, rows[1].problem) == (2, ["E2", "Grace"], "")


def test_a_stray_quote_spoils_one_row():
    """A quote that is not doubled spoils its row; the next line is read as usual."""
    _, rows = read(b'Id,Name\nE1,"Ada" Lovelace\nE2,Grace\nE3,the "Duke"\n')

    assert [(row.number, bool(row.problem)) for row in rows] == [(1, True), (2, False), (3, False)]
    assert rows[1].cells == ["E2", "Grace"]
    assert rows[2].cells == ["E3", 'the "Duke"']


def test_a_very_long_cell_spoils_one_row():
    """A cell beyond the limit spoils its row; the next line is read as usual."""
    long = b"x" * (MAX_CELL + 1)

    _, rows = read(b"Id,Name\nE1," + long + b"\nE2,Grace\n")

    assert [(row.number, bool(row.problem)) for row in rows] == [(1, True), (2, False)]


def test_undecodable_bytes_stay_in_their_cell():
    """Bytes that are no UTF-8 are kept as they are, for the mapping to reject that row alone."""
    _, rows = read(b"Id,Name\nE1,Ren\xe9\nE2,Grace\n")

    assert rows[0].cells[1].encode("utf-8", "surrogateescape") == b"Ren\xe9"
    assert rows[1].cells == ["E2", "Grace"]


def test_a_nul_byte_stays_in_its_cell():
    """A NUL byte ends neither the file nor the reading."""
    _, rows = read(b"Id,Name\nE1,A\x00da\nE2,Grace\n")

    assert [row.cells for row in rows] == [["E1", "A\x00da"], ["E2", "Grace"]]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty_file"),
        (b"\xef\xbb\xbf", "empty_file"),
        (b"\xff\xfe", "empty_file"),
        (b"\n\r\n  \n", "empty_file"),
        (b",,,\n,,\n", "empty_file"),
        (b"Id,Name,id\nE1,Ada,E1\n", "duplicate_column"),
        (b"Employee Id,EMPLOYEE_ID\nE1,E1\n", "duplicate_column"),
        (b"Id,Stra\xdfe\nE1,Hauptstr\n", "undecodable"),
        (b"\xff\xfeI\x00d\x00,", "undecodable"),
        (b"\xff\xfe" + "Id,Näme\nE1,Ada\n".encode("utf-16-le")[:-1], "undecodable"),
        (b"\xff\xfeI\x00d\x00\n\x00\x00\xd8\x41\x00", "undecodable"),
        (b'Id,Name\nE1,"Ada\n', "truncated"),
        (b'"Id,Name\nE1,Ada\n', "truncated"),
        (b"PK\x03\x04 no text at all \xff\xfe", "undecodable"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(data, code):
    """Empty, ambiguous, undecodable and cut-off files are refused as a whole, each with its code."""
    assert refusal(data) == code


def test_columns_without_a_name_are_no_duplicates():
    """Spreadsheets leave empty columns behind; nobody can map them, so they do no harm."""
    export, rows = read(b"Id,Name,,\nE1,Ada,,\n")

    assert export.header == ("Id", "Name", "", "")
    assert rows[0].problem == ""


def test_a_refusal_repeats_no_cell():
    """A file without header is refused without telling its first person's address, which would stand in every log."""
    with pytest.raises(ExportError) as raised:
        read(b"E1,ada@contoso.com,Ada,ada@contoso.com\nE2,grace@contoso.com,Grace,grace@contoso.com\n")

    assert raised.value.code == "duplicate_column"
    assert "ada" not in raised.value.message
    assert "2" in raised.value.message
    assert "4" in raised.value.message


def test_a_file_with_a_header_only_has_no_rows():
    """A header without rows can be opened; whoever reads the people refuses it."""
    export, rows = read(b"EmployeeId,Name\n")

    assert export.header == ("EmployeeId", "Name")
    assert rows == []


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("people.csv.gz", gzip.compress(PLAIN)),
        ("PEOPLE.CSV.GZ", gzip.compress(PLAIN)),
        ("people.csv.gz", gzip.compress(PLAIN.decode().encode("utf-16"))),
        ("people.csv.gz", gzip.compress(PLAIN[:20]) + gzip.compress(PLAIN[20:])),
        ("people.zip", zipped(("people.csv", PLAIN))),
        ("people.zip", zipped(("folder/PEOPLE.CSV", PLAIN), ("readme.txt", b"hello"))),
        ("people.zip", zipped(("people.csv", b"\xef\xbb\xbf" + PLAIN), method=zipfile.ZIP_STORED)),
    ],
)
def test_packed_files_are_unpacked(name, data):
    """A .gz, and a .zip that holds one CSV, are read as what they hold."""
    _, rows = read(data, name)

    assert [row.cells for row in rows] == TABLE


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("people.zip", zipped(), "undecodable"),
        ("people.zip", zipped(("readme.txt", b"hello")), "undecodable"),
        ("people.zip", zipped(("a.csv", PLAIN), ("b.csv", PLAIN)), "undecodable"),
        ("people.zip", zipped(("people.csv", b"")), "empty_file"),
        ("people.zip", packed_by(12), "undecodable"),
        ("people.zip", PLAIN, "truncated"),
        ("people.zip", zipped(("people.csv", PLAIN * 100))[:-40], "truncated"),
        ("people.zip", zipped(("people.csv", PLAIN), method=zipfile.ZIP_STORED).replace(b"Ada", b"Bob"), "truncated"),
        ("people.csv.gz", PLAIN, "truncated"),
        ("people.csv.gz", b"", "empty_file"),
        ("people.csv.gz", gzip.compress(b""), "empty_file"),
        ("people.csv.gz", gzip.compress(PLAIN)[:15], "truncated"),
        ("people.csv.gz", gzip.compress(PLAIN)[:-4], "truncated"),
        ("people.csv.gz", gzip.compress(PLAIN)[:12] + b"\xff\xff\xff" + gzip.compress(PLAIN)[15:], "truncated"),
    ],
)
def test_packed_files_that_cannot_be_unpacked_are_refused(name, data, code):
    """No or several CSVs in a .zip, and anything broken, are refused as a whole."""
    assert refusal(data, name) == code


def test_a_zip_with_a_password_is_refused():
    """An encrypted member cannot be read; the file is refused, not the process."""
    data = bytearray(zipped(("people.csv", PLAIN), method=zipfile.ZIP_STORED))
    data[6] |= 1  # the local header's flag for encryption
    data[data.index(b"PK\x01\x02") + 8] |= 1  # and the directory's

    assert refusal(bytes(data), "people.zip") == "truncated"


@pytest.mark.parametrize(
    ("header", "correction"),
    [(b"Id,_row,_error_code,_error", True), (b"Id,_Error-Code", True), (b"Id,Error", False), (b"Id,Name", False)],
)
def test_a_correction_is_known_by_its_header(header, correction):
    """A header with our own error code column is a quarantine file come back, whatever the file's name."""
    export = open_export("people.csv", io.BytesIO(header + b"\n"))

    assert export.is_correction is correction


@pytest.mark.parametrize("spelling", ["EmployeeId", "employee id", "EMPLOYEE_ID", "Employee-Id", " employeeid\u00a0"])
def test_headers_are_equal_without_regard_to_case_spaces_underscores_and_hyphens(spelling):
    """All spellings of a column have one form."""
    assert column_key(spelling) == "employeeid"


_BYTES = st.binary(max_size=300) | st.text(alphabet='a1,;"\n\r\t\x00é\ufeff ', max_size=80).map(str.encode)


@given(
    data=_BYTES,
    prefix=st.sampled_from(
        [b"", b"Id,Name\n", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"\x1f\x8b\x08", b"PK\x03\x04"]
    ),
    name=st.sampled_from(["people.csv", "people.csv.gz", "people.zip"]),
)
@example(data=b"\x00\x00\xd8", prefix=b"\xff\xfe", name="people.csv")
def test_nothing_but_a_refusal_comes_of_arbitrary_bytes(data, prefix, name):
    """Whatever the file is, reading it to the end either works or raises ExportError."""
    with contextlib.suppress(ExportError):
        export, rows = read(prefix + data, name)

        assert export.header
        assert [row.number for row in rows] == list(range(1, len(rows) + 1))


@given(
    packed=st.sampled_from(
        [
            ("people.csv.gz", gzip.compress(PLAIN * 30)),
            ("people.zip", zipped(("people.csv", PLAIN * 30))),
            ("people.zip", zipped(("people.csv", PLAIN * 30), method=zipfile.ZIP_STORED)),
        ]
    ),
    damage=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=3),
    cut=st.integers(0, 30),
)
def test_nothing_but_a_refusal_comes_of_damaged_packing(packed, damage, cut):
    """Whatever is flipped or cut off in a packed file, reading it either works or raises ExportError."""
    name, data = packed
    broken = bytearray(data[: len(data) - cut])
    for place, value in damage:
        broken[place % len(broken)] = value

    with contextlib.suppress(ExportError):
        read(bytes(broken), name)


@given(
    table=st.lists(
        st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), min_size=2, max_size=2).filter(
            lambda cells: any(cell.strip() for cell in cells)
        ),
        max_size=5,
    ),
    delimiter=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_is_written_by_the_rules_is_read_as_it_was(table, delimiter, encoding, end):
    """Any table, quoted by the rules of CSV, comes back cell for cell."""
    lines = [["Id", "Name"], *table]
    quoted = ((delimiter.join('"' + cell.replace('"', '""') + '"' for cell in line) + end) for line in lines)

    _, rows = read("".join(quoted).encode(encoding))

    assert [row.cells for row in rows] == table
