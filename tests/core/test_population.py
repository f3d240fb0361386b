"""Everybody one or several files speak of, and the rows that contradict each other."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.accounts import referred_key
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


def test_rows_that_say_the_same_are_one():
    """The same row twice is no contradiction; a column that is not mapped makes no difference."""
    rows = ["E1,e1@contoso.com,Engineer,,a", "E2,e2@contoso.com,Engineer,,a", "E1 , e1@contoso.com,Engineer,,b"]

    reading = read(a_file(*rows, header=HEADER + ",PayBand"))

    assert set(reading.population.people) == {"E1", "E2"}
    assert reading.population.people["E1"].row == 1
    assert (reading.rejections, reading.facts["identical_rows"], reading.rows) == ((), 1, 3)


def test_several_rows_of_a_leaver_are_one():
    """Nothing of somebody who left is sent, so their rows cannot contradict each other."""
    reading = read(a_file("E1,e1@contoso.com,Engineer,Left", "E1,,Director,Terminated"))

    assert reading.population.people["E1"].leaver
    assert not reading.rejections


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


# --- several files of one export --------------------------------------------------------------------------------------


def test_files_of_one_export_are_equals():
    """Neither file has the last word: rows of one key that differ are all left aside, each for its own file."""
    first, second = a_file("E1", "E2", name="a.csv"), a_file("E3", "E2,e2@contoso.com,Chief,", name="b.csv")

    reading = read(first, replace(second, joins=True))

    assert set(reading.population.people) == {"E1", "E3"}
    assert [(file.name, [each.row for each in file.rejections]) for file in reading.files] == [
        ("a.csv", [2]),
        ("b.csv", [2]),
    ]
    assert [rejection.cells[2] for rejection in reading.rejections] == ["Engineer", "Chief"]
    assert reading.population.files == {"E1": 0, "E3": 1}
    assert [(file["name"], file["rows"]) for file in reading.facts["files"]] == [("a.csv", 2), ("b.csv", 2)]


def test_an_account_in_two_files_of_an_export_belongs_to_nobody():
    """Two active keys for one account are both rejected, in whichever file they stand."""
    second = a_file("E2,ada@contoso.com,Director,", "E4")

    reading = read(a_file("E1,ada@contoso.com,Engineer,", "E3"), replace(second, joins=True))

    assert set(reading.population.people) == {"E3", "E4"}
    assert [(row, key, code) for row, key, code in rejected(reading)] == [
        (1, "E1", "duplicate_account"),
        (1, "E2", "duplicate_account"),
    ]


def test_a_later_export_is_laid_over_a_set():
    """Person by person; the row of each is found in its file among all."""
    members = [a_file("E1", "E2"), replace(a_file("E3"), joins=True)]

    reading = read(*members, a_file("E3,e3@contoso.com,Chief,", "E2,,Engineer,"))

    assert reading.population.files == {"E1": 0, "E2": 0, "E3": 2}
    assert [(file.rows, len(file.rejections)) for file in reading.files] == [(2, 1)]


def test_a_file_of_several_is_named_when_it_cannot_be_used():
    """Of a set, the error says which file it is about; of a single file there is no need."""
    with pytest.raises(ExportError) as of_a_set:
        read(a_file("E1"), replace(a_file(name="empty.csv"), joins=True))
    with pytest.raises(ExportError) as alone:
        read(a_file(name="empty.csv"))

    assert (of_a_set.value.code, of_a_set.value.file) == ("empty_file", "empty.csv")
    assert alone.value.file == ""


# --- ranks ------------------------------------------------------------------------------------------------------------

DATED = HEADER + ",From,Until"
TODAY = date(2026, 3, 10)


@cache
def dated() -> Mapping:
    """Return a mapping whose rows count from one day to another, and that leaves agency staff out."""
    path = Path(__file__).parents[2] / "connector" / "mappings" / "default.toml"
    more = b'[effective]\nfrom = "From"\nuntil = "Until"\n[[scope]]\ncolumn = "Agency"\nis = [""]\n[status]'
    return load_mapping("dated", path.read_bytes().replace(b"[status]", more, 1))


def on(*files: ExportFile, today: date = TODAY) -> Reading:
    """Read these files on a day."""
    return read_population(files, dated(), complete=True, new=True, today=today)


def a_dated_file(*rows: str, agency: bool = False) -> ExportFile:
    """Return a file of rows key, title, status, first and last day."""
    lines = []
    for row in rows:
        key, rest = row.split(",", 1)
        lines.append(f"{key},{key.lower()}@contoso.com,{rest}" + ("" if agency else ","))
    return a_file(*lines, header=DATED + ",Agency")


@pytest.mark.parametrize(
    ("rows", "row", "leaver"),
    [
        (["E1,Engineer,,2020-01-01,2026-03-09", "E1,Chief,,2026-03-10,"], 2, False),
        (["E1,Engineer,,2020-01-01,2026-03-10", "E1,Chief,,2026-03-11,"], 1, False),
        (["E1,Engineer,,2020-01-01,", "E1,Chief,,2026-03-01,"], 2, False),
        (["E1,Engineer,,2020-01-01,2025-12-31", "E1,Chief,,2026-01-01,2026-03-09"], 2, True),
        (["E1,Engineer,,2020-01-01,2026-03-09", "E1,Chief,,2026-03-11,"], 1, True),
    ],
)
def test_the_row_of_today_counts(rows: list[str], row: int, leaver: bool):  # noqa: FBT001
    """Of a person's dated rows, the one that counts today is taken; without one, the last that has ended."""
    reading = on(a_dated_file(*rows))

    person = reading.population.people["E1"]
    assert (person.row, person.leaver, reading.rejections) == (row, leaver, ())
    assert reading.facts["outranked_rows"] == 1


def test_a_row_that_does_not_count_may_be_wrong():
    """What stood in a row that has ended is nobody's concern any more; a wrong row of today is."""
    past = on(a_dated_file("E1,Engineer,Odd word,2020-01-01,2026-03-09", "E1,Chief,,2026-03-10,"))
    today = on(a_dated_file("E1,Engineer,,2020-01-01,2026-03-09", "E1,Chief,Odd word,2026-03-10,"))

    assert (set(past.population.people), past.rejections) == ({"E1"}, ())
    assert not today.population.people
    assert today.population.rejected == {"E1"}
    assert rejected(today) == [(2, "E1", "not_allowed")]


def test_rows_of_one_day_contradict_each_other():
    """Two rows that begin on the same day and differ are both left aside."""
    reading = on(a_dated_file("E1,Engineer,,2026-01-01,", "E1,Chief,,2026-01-01,", "E1,Boss,,2020-01-01,"))

    assert rejected(reading) == [(1, "E1", "duplicate_key"), (2, "E1", "duplicate_key")]
    assert reading.population.rejected == {"E1"}


def test_the_next_day_that_turns_is_found():
    """The earliest day on which any row begins or ceases to count; None when nothing turns any more."""
    rows = ["E1,Engineer,,2020-01-01,2026-03-20", "E2,Chief,,2026-03-15,", "E3,Boss,,2026-04-01,"]

    assert on(a_dated_file(*rows)).turn == date(2026, 3, 15).toordinal()
    assert on(a_dated_file(*rows), today=date(2026, 3, 15)).turn == date(2026, 3, 21).toordinal()
    assert on(a_dated_file(*rows), today=date(2026, 4, 1)).turn is None
    assert on(a_dated_file(rows[0]), a_dated_file(rows[1])).turn == date(2026, 3, 15).toordinal()


def test_a_row_to_come_displaces_nobody():
    """A later export's row that has not begun leaves the earlier one's in place; one that has takes it."""
    files = a_dated_file("E1,Engineer,,2020-01-01,"), a_dated_file("E1,Chief,,2026-03-11,")

    before, after = on(*files), on(*files, today=date(2026, 3, 11))

    assert (before.population.files["E1"], before.population.people["E1"].outside) == (0, False)
    assert after.population.files["E1"] == 1


def test_a_row_out_of_scope_yields_to_one_in_scope():
    """Somebody of ours who also has a row that a filter leaves out is still of ours."""
    rows = "E1,Engineer,,2020-01-01,,", "E1,Chief,,2026-01-01,,Agency", "E2,Temp,,2020-01-01,,Agency"

    reading = on(a_dated_file(*rows, agency=True))

    people = reading.population.people
    assert (people["E1"].row, people["E1"].outside, people["E2"].outside) == (1, False, True)
    assert reading.rejections == ()


@pytest.mark.parametrize(
    ("rows", "out_of_scope", "outranked"),
    [
        (["E1,Engineer,,2020-01-01,,", "E1,Chief,,2026-03-11,,"], 0, 1),
        (["E1,Engineer,,2020-01-01,,", "E1,Temp,,2020-01-01,,Agency"], 0, 1),
        (["E1,Engineer,,2026-03-11,,", "E1,Temp,,2026-03-12,,"], 1, 1),
        (["E1,Engineer,,2020-01-01,,Agency", "E1,Temp,,2020-01-01,,Agency"], 2, 0),
        (["E1,Engineer,,2020-01-01,,Agency", "E2,Temp,,2026-03-11,,"], 2, 0),
    ],
)
def test_every_row_is_counted_once(rows: list[str], out_of_scope: int, outranked: int):
    """A row that does not count because another one of its key does is not out of scope as well."""
    facts = on(a_dated_file(*rows, agency=True)).facts

    found = (facts["out_of_scope_rows"], facts["outranked_rows"], facts["identical_rows"])
    assert found == (out_of_scope, outranked, 0)


def test_whoever_goes_on_out_of_scope_has_not_left():
    """A row in scope that is over says no departure while one that a filter leaves out counts; else it does."""
    over = "E1,Engineer,,2020-01-01,2026-03-09,"

    moved = on(a_dated_file(over, "E1,Temp,,2026-03-10,,Agency", agency=True))
    left = on(a_dated_file(over, "E1,Temp,,2015-01-01,2019-12-31,Agency", agency=True))
    to_come = on(a_dated_file(over, "E1,Temp,,2026-03-11,,Agency", agency=True))
    unknown = on(a_dated_file(over, "E1,Temp,,some day,,Agency", agency=True))

    people = [each.population.people["E1"] for each in (moved, left, to_come, unknown)]
    assert [(person.outside, person.leaver) for person in people] == [
        (True, False),
        (False, True),
        (False, True),
        (True, False),
    ]


def test_a_spoilt_row_of_today_is_not_passed_over_for_an_older_one():
    """A row with bytes that are no text counts on its days like any other; unless it is over."""
    spoilt = on(a_dated_file("E1,Engineer,,2020-01-01,", "E1,Ch\udce4f,,2026-03-01,", "E2,Boss é,,,"))
    over = on(a_dated_file("E1,Engineer,,2020-01-01,", "E1,Ch\udce4f,,2019-01-01,2019-12-31", "E2,Boss é,,,"))

    assert rejected(spoilt) == [(2, "E1", "bad_text")]
    assert spoilt.population.rejected == {"E1"}
    assert over.population.people["E1"].row == 1


def test_accounts_out_of_scope_contradict_nobody():
    """A row that is left out may have the account of another one, in scope or not."""
    rows = [f"E{number},ada@contoso.com,Engineer,,,,{agency}" for number, agency in enumerate(["", "x", "y"], start=1)]

    reading = on(a_file(*rows, "E4,,Engineer,,,,z", ",,Temp,,,,z", header=DATED + ",Agency"))

    assert {key: person.outside for key, person in reading.population.people.items()} == {
        "E1": False,
        "E2": True,
        "E3": True,
        "E4": True,
    }
    assert not reading.rejections


def test_somebody_moves_out_of_scope_by_a_later_export():
    """A later row that a filter leaves out takes the place of an earlier one in scope."""
    files = (
        a_dated_file("E1,Engineer,,2020-01-01,"),
        a_dated_file("E1,Engineer,,2020-01-01,,Agency", agency=True),
    )

    assert on(*files).population.people["E1"].outside


# --- people who are referred to ---------------------------------------------------------------------------------------


@cache
def by_upn() -> Mapping:
    """Return the default mapping with managers named by UPN."""
    path = Path(__file__).parents[2] / "connector" / "mappings" / "default.toml"
    text = path.read_text()
    return load_mapping("by_upn", text.replace('by = "key"', 'by = "userPrincipalName"').encode())


def managed(*rows: str) -> Reading:
    """Read rows of key, account, manager's UPN and status, where managers are named by UPN."""
    file = a_file(*rows, header="EmployeeId,UserPrincipalName,ManagerId,Status")
    return read_population([file], by_upn(), complete=True, new=True)


def test_a_manager_named_by_account_is_the_one_who_has_it():
    """The reference becomes the key of whoever has that very account, in whatever spelling."""
    reading = managed("E1,ada@contoso.com,,", "E2,ben@contoso.com,ADA@contoso.com,")

    assert reading.population.people["E2"].references[0] == "E1"
    assert set(reading.population.people) == {"E1", "E2"}


def test_an_account_that_nobody_has_is_somebody_outside():
    """They are known under a key of their own, so that they can be looked up; nobody counts them."""
    reading = managed("E1,ada@contoso.com,boss@contoso.com,", "E2,ben@contoso.com,boss@contoso.com,")

    boss = reading.population.people[referred_key("boss@contoso.com")]
    assert (boss.account, boss.outside, boss.leaver) == ("boss@contoso.com", True, False)
    assert reading.population.people["E2"].references[0] == boss.key
    assert (reading.population.in_scope, reading.population.out_of_scope, reading.rows) == (2, 0, 2)


def test_who_has_an_account_now_is_preferred_to_who_had_it():
    """Somebody rehired under a new key is the manager, not the key that left."""
    rows = ["E3,ben@contoso.com,ada@contoso.com,", "E2,ada@contoso.com,,", "E1,ada@contoso.com,,Left"]

    assert managed(*rows).population.people["E3"].references[0] == "E2"
    assert managed(*reversed(rows)).population.people["E3"].references[0] == "E2"


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


def test_a_corrections_own_columns_are_not_told_as_ignored():
    """HR is told which of its columns nobody reads; those that the quarantine file added are none of them."""
    cells = "E1,e1@contoso.com,Engineer,,38,1,bad_date,no date"

    correction = read(a_file(cells, header=HEADER + ",Shoe,_row,_Error_Code,_error"))
    export = read(a_file(cells, header=HEADER + ",Shoe,_row,_code,_error"))

    assert correction.facts["ignored_columns"] == ["Shoe"]
    assert export.facts["ignored_columns"] == ["Shoe", "_row", "_code", "_error"]


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
