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

from connector.core.export import MAX_CELL, Layout, column_key, open_export
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
    _, rows = read(b"Id,Name\nE1,Ren\xe9\nE2,Gr\xc3\xa4ce\n")

    assert rows[0].cells[1].encode("utf-8", "surrogateescape") == b"Ren\xe9"
    assert rows[1].cells == ["E2", "Gräce"]


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
        (b"Id,Stra\xdfe\nE1,Hauptstr\xc3\xa4\n", "undecodable"),
        (b"Id," + b",".join(b"c%d" % number for number in range(100_000)) + b"\nE1\n", "undecodable"),
        (bytes(range(256)) * 100, "undecodable"),
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


TITLED = (
    "Worker Report - as of 09/01/2026\n\nEmployee ID;Salary;Work Email\n1001;1,5;ana@contoso.com\n"
    "1002;2,75;ruiz@contoso.com\nTotal;4,25;\nPage 1 of 1\n"
)


FOUND = Layout()


def found(data: bytes, layout: Layout = FOUND) -> tuple[Export, list[Row]]:
    """Read an export of which the mapping wants key and account."""
    required, known = ("EmployeeId", "WorkEmail"), ("EmployeeId", "WorkEmail", "Salary")
    export = open_export("people.csv", io.BytesIO(data), required=required, known=known, layout=layout)
    return export, list(export.rows)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be", "windows-1252", "latin-1"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_around_header_and_data_are_skipped_and_counted(encoding, end):
    """Titles before the header and totals after the data are no rows; their line numbers are known."""
    export, rows = found(TITLED.replace("\n", end).replace("Salary", "Salaire é").encode(encoding))

    assert (export.header, export.delimiter) == (("Employee ID", "Salaire é", "Work Email"), ";")
    assert [(row.number, row.cells[0], row.problem) for row in rows] == [(1, "1001", ""), (2, "1002", "")]
    assert export.skipped == [1, 6, 7]
    assert export.encoding == {"latin-1": "windows-1252"}.get(encoding, encoding)


@pytest.mark.parametrize(
    "last",
    ["Grand Total,,12", "2 records", "Rows: 2", "Seite 1 von 2", "*** End of report ***", "Exported by Ada on 1 May"],
)
def test_what_reports_end_with_is_no_row(last):
    """The usual last lines of reports, in a row of any width."""
    export, rows = found(f"EmployeeID,Salary,WorkEmail\n1,2,a@contoso.com\n{last}\n".encode())

    assert (len(rows), export.skipped) == (1, [3])


@pytest.mark.parametrize(
    "last", ["1002", "1002,3", "Total", "1002,3,total@contoso.com", "Total,,b@contoso.com", "Ada Lovelace"]
)
def test_what_data_follows_or_may_be_a_person_is_a_row(last):
    """A row that was cut off, or that something follows, is never silently left out."""
    _, rows = found(f"EmployeeID,Salary,WorkEmail\n{last}\n1,2,a@contoso.com\n".encode())
    assert len(rows) == 2

    _, rows = found(f"EmployeeID,Salary,WorkEmail\n1,2,a@contoso.com\n{last}\n".encode())
    assert len(rows) == (1 if last == "Total" else 2)


def test_a_line_apart_after_the_data_is_a_footer():
    """Several words alone behind a blank line belong to nobody."""
    export, rows = found(
        b"EmployeeID,Salary,WorkEmail\n1,2,a@contoso.com\n\nContoso Ltd, confidential\n".replace(b"d, ", b"d ")
    )

    assert (len(rows), export.skipped) == (1, [4])


def test_successfactors_second_header_row_is_skipped():
    """The labels under the keys are nobody's data; which row the mapping names does not matter."""
    keys = b"STATUS,USERID,FIRSTNAME,EMAIL\nStatus,User ID,First Name,Email Address\nactive,u1,Ada,a@contoso.com\n"

    for required in (("USERID", "EMAIL"), ("UserId", "EmailAddress")):
        export = open_export("people.csv", io.BytesIO(keys), required=required)
        rows = list(export.rows)

        assert [row.cells[1] for row in rows] == ["u1"]
        assert len(export.skipped) == 1


def test_header_rows_that_nothing_tells_can_be_told():
    """A second header row in other words is skipped where the mapping says that there are two."""
    data = b"EmployeeId,Salary,WorkEmail\nNumber,Pay,Address\n1,2,a@contoso.com\n"

    assert [row.cells[0] for row in found(data)[1]] == ["Number", "1"]
    assert [row.cells[0] for row in found(data, Layout(header_rows=2))[1]] == ["1"]


def test_a_correction_has_one_header_row():
    """A quarantine file was written by us: its first row of data is somebody's, however many rows the input had."""
    data = b"EmployeeId,Salary,WorkEmail,_row,_error_code,_error\n1,2,a@contoso.com,7,bad_date,x\n"

    assert [row.cells[0] for row in found(data, Layout(header_rows=2))[1]] == ["1"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_can_be_fixed_where_the_file_has_no_mark(encoding):
    """The order of its bytes is found, whether a mark tells it or not."""
    export, rows = found(TITLED.encode(encoding), Layout(encoding="utf-16"))

    assert export.encoding == encoding
    assert [row.cells[0] for row in rows] == ["1001", "1002"]


def test_a_repeated_header_is_no_row():
    """Reports that were joined have their header again in the middle."""
    part = b"EmployeeId,Salary,WorkEmail\n1,2,a@contoso.com\n"

    export, rows = found(part + part)

    assert [row.cells[0] for row in rows] == ["1", "1"]
    assert export.skipped == [3]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [("Zoë", "windows-1252"), ("5 € “x”", "windows-1252"), ("Zoë", "utf-8"), ("Ada", "utf-8"), ("Łódź", "utf-8")],
)
def test_the_encoding_is_found(text, encoding):
    """One letter is enough to tell UTF-8 from Windows-1252."""
    export, rows = found(f"EmployeeId,Salary,WorkEmail\n1,{text},a@contoso.com\n".encode(encoding))

    assert (export.encoding, rows[0].cells[1]) == (encoding, text)


def test_encoding_and_delimiter_can_be_fixed():
    """What is fixed is not found."""
    data = "EmployeeId;WorkEmail\n1;Â¡@contoso.com\n".encode("windows-1252")

    export, rows = found(data, Layout(encoding="windows-1252", delimiter=";"))

    assert (export.encoding, rows[0].cells[1]) == ("windows-1252", "Â¡@contoso.com")
    assert found(data, Layout(delimiter=","))[0].header == ("EmployeeId;WorkEmail",)


@pytest.mark.parametrize(("data", "ends"), [(PLAIN, True), (PLAIN.rstrip(), False), (PLAIN[:-1], True)])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be"])
def test_whether_the_last_line_ends_is_known(data, ends, encoding):
    """A missing line break at the end is a fact about the file."""
    assert read(data.decode().encode(encoding))[0].final_newline is ends


_SMALL = TITLED.replace("1001", "Zoë") + "1003;5,5;x@contoso.com\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "windows-1252"])
@pytest.mark.parametrize("text", [_SMALL, TITLED, TITLED.replace("1001", '"10""0\n1"')])
def test_a_cut_anywhere_makes_no_other_people(text, encoding):
    """Cut at any byte, a file is refused, has no end of line, or has some of its rows and no others."""
    data = text.encode(encoding)
    whole = [row.cells for row in found(data)[1] if not row.problem]

    for end in range(len(data)):
        with contextlib.suppress(ExportError):
            export, rows = found(data[:end])
            if export.final_newline and column_key("EmployeeId") in map(column_key, export.header):
                cells = [row.cells for row in rows if not row.problem]
                assert [row for row in cells if row not in whole and "\udcc3" not in row[0]] == []


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
    """Whatever the file is, reading it to the end either works or raises ExportError with a code of the docs."""
    for required in ((), ("Id", "Name")):
        code, skipped, numbers = outcome(prefix + data, name, required)

        assert code in {"", "empty_file", "undecodable", "duplicate_column", "truncated"}
        assert numbers == list(range(1, len(numbers) + 1))
        assert skipped == sorted(set(skipped))


def outcome(data: bytes, name: str, required: tuple[str, ...]) -> tuple[str, list[int], list[int]]:
    """Return the code of a refusal, else the skipped lines and the numbers of the rows."""
    try:
        export = open_export(name, io.BytesIO(data), required=required, known=required)
        return "", export.skipped, [row.number for row in export.rows]
    except ExportError as error:
        return error.code, [], []


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
