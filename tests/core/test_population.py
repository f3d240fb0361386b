"""Everybody one or several files speak of, and the rows that contradict each other."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.contracts import preview
from connector.core.mapping import Mapping, load_mapping
from connector.core.population import ExportFile, Reading, is_correction, read_population, rows_of
from connector.errors import ExportError

HEADER = "EmployeeId,UserPrincipalName,JobTitle,Status"


@cache
def the_default() -> Mapping:
    """Return the default mapping as shipped."""
    path = Path(__file__).parents[2] / "connector" / "mappings" / "default.toml"
    return load_mapping("default", path.read_bytes())


def a_file(*rows: str, header: str = HEADER, name: str = "people.csv") -> ExportFile:
    """Return a file of these rows; one of a single word is that person's, in scope, with an account of that name."""
    lines = [row if "," in row else f"{row},{row.lower()}@contoso.com,Engineer," for row in rows]
    data = "\n".join([header, *lines, ""]).encode("utf-8", "surrogateescape")
    return ExportFile(name, lambda: io.BytesIO(data))


def read(*files: ExportFile, complete: bool = True) -> Reading:
    """Read these files."""
    return read_population(files, the_default(), complete=complete, new=True)


def preview_id(key: str, upn: str) -> str:
    """Return the item id of the contract preview."""
    return preview.item_id("contosohr", key=key, upn=upn)


def rejected(reading: Reading) -> list[tuple[int, str, str]]:
    """Return row, key and code of every rejection."""
    return [(rejection.row, rejection.key, rejection.code) for rejection in reading.rejections]


def test_people_are_read_in_the_files_order():
    """Good rows become people by key, with the row they stand in; the facts of the file go into the report."""
    reading = read(a_file("E2", "E1", header=HEADER.replace("JobTitle", "PayBand")))

    assert [(person.key, person.row) for person in reading.population.people.values()] == [("E2", 1), ("E1", 2)]
    assert (reading.rows, reading.files[0].encoding, reading.files[0].delimiter) == (2, "utf-8", ",")
    assert reading.files[0].header == ("EmployeeId", "UserPrincipalName", "PayBand", "Status")
    assert reading.facts["ignored_columns"] == ["PayBand"]
    assert "JobTitle" in reading.facts["missing_columns"]
    assert not reading.rejections


def test_the_header_is_found_by_the_mappings_columns():
    """Titles and totals are counted and listed by line number, never as people; the file's look is a fact of it."""
    title = a_file("E1", "E2", "Total,2", header="Worker Report\n\n" + HEADER)

    reading = read(title)

    assert list(reading.population.people) == ["E1", "E2"]
    facts = {name: reading.facts[name] for name in ("rows", "skipped", "skipped_lines", "final_newline")}
    assert facts == {"rows": 2, "skipped": 2, "skipped_lines": [1, 6], "final_newline": True}
    assert not reading.rejections


def test_what_the_mapping_fixes_about_the_file_is_not_found():
    """Encoding, delimiter and header rows of the mapping decide."""
    text = b'[file]\nencoding = "windows-1252"\ndelimiter = ";"\nheader_rows = 2\n'
    path = Path(__file__).parents[2] / "connector" / "mappings" / "default.toml"
    fixed = load_mapping("fixed", path.read_bytes().replace(b"[key]", text + b"[key]", 1))
    data = "EmployeeId;UserPrincipalName\nNumber;Address\nÂ¡;a@contoso.com\n".encode("windows-1252")

    reading = read_population([ExportFile("x.csv", lambda: io.BytesIO(data))], fixed, complete=True, new=True)

    assert list(reading.population.people) == ["Â¡"]
    assert (reading.files[0].encoding, reading.files[0].delimiter, reading.facts["skipped_lines"]) == (
        "windows-1252",
        ";",
        [2],
    )


def test_a_bad_row_leaves_the_others_alone():
    """Rejections are counted by row, with key and code; nobody else is affected."""
    reading = read(a_file("E1", "E2,,Engineer,", "E3,e3@contoso.com,Engineer,Unknown word", "E4"))

    assert list(reading.population.people) == ["E1", "E4"]
    assert rejected(reading) == [(2, "E2", "missing_account"), (3, "E3", "not_allowed")]
    assert reading.population.rejected == {"E2", "E3"}
    assert reading.population.unreadable == 0


def test_rows_whose_key_cannot_be_read_may_be_anybodys():
    """A blank key, a ragged row and a broken one are counted: with them, absence proves nothing."""
    reading = read(a_file("E1", ",e2@contoso.com,Engineer,", "E3,x", "E\udce9,e4@contoso.com,Zoë,"))

    assert reading.population.unreadable == 3
    assert reading.population.rejected == frozenset()
    assert [code for _, _, code in rejected(reading)] == ["missing_key", "bad_row", "bad_text"]


def test_two_rows_for_one_key_are_both_rejected():
    """Which of them is right cannot be told, so the person stays as is; quarantine has both rows with their cells."""
    reading = read(a_file("E1,e1@contoso.com,Engineer,", "E2", "E1,e1@contoso.com,Director,"))

    assert list(reading.population.people) == ["E2"]
    assert rejected(reading) == [(1, "E1", "duplicate_key"), (3, "E1", "duplicate_key")]
    assert [rejection.cells[2] for rejection in reading.rejections] == ["Engineer", "Director"]
    assert reading.population.rejected == {"E1"}


@pytest.mark.parametrize("second", ["E1,e1@contoso.com,Director,Left", "E1,,Director,Active"])
def test_a_second_row_is_a_contradiction_whatever_it_says(second):
    """Also a leaver's row, and a row that is bad for another reason, make a key ambiguous."""
    reading = read(a_file("E1", second, "E2"))

    assert list(reading.population.people) == ["E2"]
    assert rejected(reading)[0] == (1, "E1", "duplicate_key")
    assert reading.population.rejected == {"E1"}


def test_two_active_keys_for_one_account_are_both_rejected():
    """An account belongs to one person; spellings do not matter."""
    reading = read(a_file("E1,ada@contoso.com,Engineer,", "E2,ADA@contoso.com ,Director,", "E3"))

    assert list(reading.population.people) == ["E3"]
    assert rejected(reading) == [(1, "E1", "duplicate_account"), (2, "E2", "duplicate_account")]
    assert reading.population.rejected == {"E1", "E2"}


def test_a_leaver_does_not_hold_an_account():
    """Somebody rehired under a new key has the account of the key that left."""
    reading = read(a_file("E1,ada@contoso.com,Engineer,Left", "E2,ada@contoso.com,Director,"))

    assert [(person.key, person.leaver) for person in reading.population.people.values()] == [
        ("E1", True),
        ("E2", False),
    ]
    assert not reading.rejections


def test_two_people_of_one_item_id_are_both_rejected():
    """Where ids are made of UPNs, two of them may come to the same id, in whatever spelling; one person can have it."""
    files = [a_file("E1,a.b@contoso.com,Engineer,", "E2,A_dot_b@contoso.com,Director,", "E3")]

    by_account = read_population(files, the_default(), complete=True, new=True, item_id=preview_id)

    assert list(by_account.population.people) == ["E3"]
    assert rejected(by_account) == [(1, "E1", "duplicate_key"), (2, "E2", "duplicate_key")]
    assert rejected(read(*files)) == []


def test_an_account_too_long_for_an_item_id_is_rejected():
    """Graph takes 128 characters; written out, a UPN may have more."""
    long = f"{'.' * 25}@contoso.com"

    reading = read_population(
        [a_file(f"E1,{long},Engineer,", "E2")], the_default(), complete=True, new=True, item_id=preview_id
    )

    assert list(reading.population.people) == ["E2"]
    assert rejected(reading) == [(1, "E1", "too_long")]


def test_two_keys_for_one_account_in_two_files_are_both_left_aside():
    """Each file is right by itself; together they contradict each other, and HR gets the newer one's row back."""
    reading = read(a_file("E1,ada@contoso.com,Engineer,", "E3"), a_file("E2,ada@contoso.com,Director,", "E4"))

    assert list(reading.population.people) == ["E3", "E4"]
    assert rejected(reading) == [(1, "E2", "duplicate_account")]
    assert reading.population.rejected == {"E1", "E2"}


def test_rejections_are_in_the_order_of_rows():
    """HR finds the rows of the quarantine file in the order in which they were exported."""
    reading = read(a_file("E1", "E2,,Engineer,", "E1,e1@contoso.com,Director,", "E3,,Engineer,"))

    assert [row for row, _, _ in rejected(reading)] == [1, 2, 3, 4]


def test_a_later_file_takes_the_place_of_an_earlier_one():
    """Partial exports are laid over the last complete one; every person's row is found in the file it stands in."""
    complete, partial = a_file("E1", "E2", "E3"), a_file("E2,e2@contoso.com,Director,", "E4")

    reading = read(complete, partial)

    people, files = reading.population.people, reading.population.files
    assert {key: (files[key], people[key].row) for key in people} == {
        "E1": (0, 1),
        "E2": (1, 1),
        "E3": (0, 3),
        "E4": (1, 2),
    }


def test_a_row_rejected_earlier_and_mended_later_is_accepted():
    """A correction makes good what the complete export had wrong; a later mistake does not undo an accepted row."""
    mended = read(a_file("E1", "E2,,Engineer,"), a_file("E2"))
    spoiled = read(a_file("E1", "E2"), a_file("E2,,Engineer,"))

    assert (set(mended.population.people), mended.population.rejected) == ({"E1", "E2"}, frozenset())
    assert (set(spoiled.population.people), spoiled.population.rejected) == ({"E1", "E2"}, frozenset())
    assert spoiled.population.people["E2"].row == 2


@pytest.mark.parametrize(
    ("file", "code"),
    [
        (a_file(), "empty_file"),
        (ExportFile("people.csv", lambda: io.BytesIO(f"{HEADER}\n\n ,, ,\n".encode())), "empty_file"),
        (a_file("E1", header="EmployeeId,JobTitle"), "missing_column"),
        (a_file('E1,"e1@contoso.com,Engineer,'), "truncated"),
        (ExportFile("people.csv", lambda: io.BytesIO(b"")), "empty_file"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(file, code):
    """A header without rows, no key or account column, and a cut-off file are refused as a whole."""
    with pytest.raises(ExportError) as raised:
        read(file)

    assert raised.value.code == code


def test_no_file_is_no_population():
    """Reading nothing is refused rather than read as an empty company."""
    with pytest.raises(ExportError):
        read()


@pytest.mark.parametrize(
    ("file", "correction"),
    [
        (a_file("E1"), False),
        (a_file("E1,e1@contoso.com,,,1,bad_date,", header=HEADER + ",_row,_error_code,_error"), True),
        (ExportFile("people.csv", lambda: io.BytesIO(b"")), False),
        (ExportFile("people.zip", lambda: io.BytesIO(b"no zip")), False),
    ],
)
def test_a_correction_is_told_by_its_header(file, correction):
    """A quarantine file come back is known whatever its name; a file that cannot be read is none."""
    assert is_correction(file) is correction


def test_a_row_is_read_again_when_it_is_needed():
    """Cells are fetched by file and row, bound to the header of their own file."""
    files = [a_file("E1", "E2"), a_file("e3@contoso.com,E3", header="UserPrincipalName,EmployeeId")]

    rows = list(rows_of(files, the_default(), {(0, 2), (1, 1)}))

    assert [(number, row, bound.key_of(cells)) for number, row, cells, bound in rows] == [(0, 2, "E2"), (1, 1, "E3")]


_KEYS = st.sampled_from(["E1", "E2", "E3", ""])
_ROWS = st.lists(
    st.tuples(_KEYS, st.sampled_from(["a@x", "b@x", "c@x", "no account"]), st.sampled_from(["Active", "Left", "?"])),
    min_size=1,
    max_size=6,
)


@given(_ROWS)
def test_every_row_is_a_person_or_rejected(rows):
    """No row is lost or counted twice, no key is both accepted and rejected, and no account has two active keys."""
    reading = read(a_file(*(f"{key},{account},Engineer,{status}" for key, account, status in rows)))

    people = reading.population.people.values()
    found = [*(p.row for p in people), *(r.row for r in reading.rejections)]
    assert len(set(found)) == len(found)
    assert len(found) + reading.identical == len(rows)
    assert not set(reading.population.people) & reading.population.rejected
    active = [person.account for person in people if not person.leaver]
    assert len(active) == len(set(active))
    assert reading.population.unreadable == sum(not rejection.key for rejection in reading.rejections)
