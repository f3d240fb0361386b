"""The short digests of single cells: which column changed, how filled it is, and when nobody can say."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.export import Row
from connector.core.mapping import Fill, Mapping, Person, bind, changed_fields, fill_of, load_mapping

DEFAULT = (Path(__file__).parents[2] / "connector" / "mappings" / "default.toml").read_text()
MAPPING = load_mapping("default", DEFAULT.encode())

ADA = {
    "EmployeeId": "E1",
    "UserPrincipalName": "ada@contoso.com",
    "JobTitle": "Engineer",
    "Phone": "+44 20 7946 0001",
    "Skills": "Python;SQL",
    "Status": "Active",
    "DeskNumber": "4",
}


def person(mapping: Mapping = MAPPING, **cells: str) -> Person:
    """Return whom Ada's row speaks of, with some cells changed."""
    row = {**ADA, **cells}
    found = bind(mapping, list(row)).person(Row(1, list(row.values())))
    assert isinstance(found, Person)
    return found


def changed(before: Person, after: Person, mapping: Mapping = MAPPING) -> list[str] | None:
    """Return the columns that differ; None where that cannot be told."""
    places = changed_fields(before.fields, after.fields)
    return None if places is None else [mapping.columns[place] for place in places]


def with_blanks(*words: str) -> Mapping:
    """Return the default mapping with words that count as blank everywhere."""
    listed = ", ".join(f'"{word}"' for word in words)
    return load_mapping("ours", DEFAULT.replace("[key]", f"[file]\nblanks = [{listed}]\n\n[key]", 1).encode())


@pytest.mark.parametrize(
    ("cells", "columns"),
    [
        ({}, []),
        ({"JobTitle": "Chef"}, ["JobTitle"]),
        ({"JobTitle": "", "Phone": "+44 20 7946 0002"}, ["JobTitle", "Phone"]),
        ({"JobTitle": " Engineer "}, []),
        ({"DeskNumber": "5"}, []),
        ({"Skills": "Python\x1fSQL"}, ["Skills"]),
        ({"Status": "On leave"}, ["Status"]),
    ],
)
def test_every_mapped_cell_that_changed_is_told(cells, columns):
    """By its column, whatever stands in it; spaces around it and columns that are not mapped are no matter."""
    assert changed(person(), person(**cells)) == columns


@given(st.dictionaries(st.sampled_from(["JobTitle", "Phone", "FirstName"]), st.text("ab \x1f", max_size=4)))
def test_a_separator_within_a_cell_moves_no_other(cells):
    """Each cell is digested by itself, even if it holds what stands between cells elsewhere."""
    before, after = person(), person(**cells)

    assert set(changed(before, after) or ()) <= {name for name in cells if cells[name].strip() != ADA.get(name, "")}


def test_a_shifted_column_is_told_for_everybody_it_concerns():
    """The same cell under another header is a change of both columns."""
    one, other = person(JobTitle="Chef", Phone=""), person(JobTitle="", Phone="Chef")

    assert changed(one, other) == ["JobTitle", "Phone"]


def test_another_mapping_of_the_same_columns_can_be_compared():
    """What becomes of a cell does not matter, only what stands in it."""
    other = load_mapping("ours", DEFAULT.replace('blank = "in_scope"', 'blank = "leaver"', 1).encode())

    assert other.digest != MAPPING.digest
    assert changed(person(), person(other, JobTitle="Chef")) == ["JobTitle"]


def test_a_mapping_of_other_columns_cannot_be_compared():
    """One more column, other words for blank: then nobody can say what changed."""
    more = DEFAULT + '\n[[property]]\nname = "desk"\ncolumn = "DeskNumber"\n'

    assert changed(person(), person(load_mapping("ours", more.encode()))) is None
    assert changed(person(), person(with_blanks("N/A"))) is None
    assert changed(person(with_blanks("N/A")), person(with_blanks("-"))) is None
    assert changed_fields(b"", person().fields) is None


def test_words_for_blank_are_blank_cells():
    """A cell that counts as blank is no other than one that is."""
    mapping = with_blanks("N/A")

    assert changed(person(mapping, Phone=""), person(mapping, Phone="n/a"), mapping) == []
    assert fill_of([person(mapping, Phone=" N/A ")], mapping.columns).filled["Phone"] == 0
    assert fill_of([person(Phone="N/A")], MAPPING.columns).filled["Phone"] == 1


def test_a_word_for_blank_counts_where_every_field_takes_it_for_one():
    """The manager's column alone has a word for nobody; in another column it is text."""
    text = DEFAULT.replace('person = "ManagerId"', 'person = "ManagerId", blanks = ["NONE"]', 1)
    mapping = load_mapping("ours", text.encode())

    assert mapping.blanks["ManagerId"] == {"none"}
    assert changed(person(mapping, ManagerId=""), person(mapping, ManagerId="None"), mapping) == []
    assert changed(person(mapping, JobTitle=""), person(mapping, JobTitle="None"), mapping) == ["JobTitle"]


def test_columns_are_as_filled_as_their_cells():
    """Of those who are sent: a leaver's cells do not count, nor those of somebody out of scope."""
    people = [person(), person(Phone=""), person(Phone="  "), person(Status="Left"), Person("X", "", False, (), b"", 0)]

    fill = fill_of(people, MAPPING.columns)

    assert (fill.people, fill.filled["Phone"], fill.filled["JobTitle"], fill.filled["Company"]) == (3, 1, 3, 0)
    assert fill_of([], MAPPING.columns) == Fill(0, dict.fromkeys(MAPPING.columns, 0))


def test_short_digests_are_short():
    """A byte for each cell, and four for all."""
    assert len(person().fields) == 4 + len(MAPPING.columns)
