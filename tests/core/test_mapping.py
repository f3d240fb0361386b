"""The mapping file, the default mapping, and what both make of rows."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.accounts import Known
from connector.core.entities import LABELS, UNSUPPORTED
from connector.core.export import Row
from connector.core.mapping import (
    MAX_KEY,
    MAX_VALUE,
    BoundMapping,
    Mapping,
    Person,
    Rejection,
    bind,
    load_mapping,
)
from connector.errors import ConfigurationError, ExportError

DEFAULT = (Path(__file__).parents[2] / "connector" / "mappings" / "default.toml").read_bytes()

ADA = Known(id="aaaaaaaa-0000-4000-8000-000000000001", upn="Ada@contoso.com")
BOSS = Known(id="bbbbbbbb-0000-4000-8000-000000000002", upn="boss@contoso.com")

FULL_ROW = {
    "EmployeeId": "E1",
    "UserPrincipalName": "ada@contoso.com",
    "DisplayName": "Ada Lovelace",
    "FirstName": "Ada",
    "LastName": "Lovelace",
    "JobTitle": "Engineer",
    "Department": "R&D",
    "Division": "Product",
    "Company": "Contoso",
    "CostCenter": "CC1",
    "OfficeLocation": "London",
    "HireDate": "2021-03-01",
    "ManagerId": "E9",
    "Email": "ada.lovelace@contoso.com",
    "Phone": "+44 20 7946 0001",
    "Skills": "Python; SQL;;Python ; Zoë's method",
    "FavoriteColor": "blue",
    "Status": "Active",
}

FULL_ITEM: dict[str, Any] = {
    "accounts": {"userPrincipalName": ADA.upn, "externalDirectoryObjectId": ADA.id},
    "name": {"displayName": "Ada Lovelace", "first": "Ada", "last": "Lovelace"},
    "positions": {
        "detail": {
            "employeeId": "E1",
            "jobTitle": "Engineer",
            "startMonthYear": "2021-03-01",
            "company": {
                "displayName": "Contoso",
                "division": "Product",
                "department": "R&D",
                "costCenter": "CC1",
                "officeLocation": "London",
            },
        },
        "isCurrent": True,
        "manager": {"relationship": "manager", "userId": BOSS.id, "userPrincipalName": BOSS.upn},
    },
    "emails": [{"address": "ada.lovelace@contoso.com", "type": "work"}],
    "phones": [{"number": "+44 20 7946 0001", "type": "business"}],
    "skills": [{"displayName": "Python"}, {"displayName": "SQL"}, {"displayName": "Zoë's method"}],
    "favoriteColor": "blue",
}


@cache
def the_default() -> Mapping:
    """Return the default mapping as shipped."""
    return load_mapping("default", DEFAULT)


def read(row: dict[str, str], mapping: Mapping | None = None) -> Person | Rejection:
    """Return what a mapping makes of one row."""
    return bind(mapping or the_default(), list(row)).person(Row(1, list(row.values())))


def accepted(row: dict[str, str]) -> Person:
    """Return whom a good row speaks of."""
    person = read(row)
    assert isinstance(person, Person)
    return person


def codes(row: dict[str, str], mapping: Mapping | None = None) -> list[str]:
    """Return the error codes of a row, in order; none when it is accepted."""
    found = read(row, mapping)
    return [problem.code for problem in found.problems] if isinstance(found, Rejection) else []


def render(row: dict[str, str], manager: Known | None = BOSS) -> dict[str, Any]:
    """Return the properties of one row's item."""
    bound = bind(the_default(), list(row))
    return bound.entities(list(row.values()), ADA, [manager for _ in bound.references])


def without(*names: str, **changed: str) -> dict[str, str]:
    """Return the full row with cells blanked and cells changed."""
    return {**FULL_ROW, **dict.fromkeys(names, ""), **changed}


# --- the default mapping ----------------------------------------------------------------------------------------------


def test_a_full_row_becomes_exactly_the_documented_properties():
    """Every column of the default mapping lands where the interface says, and nothing else is there."""
    assert render(FULL_ROW) == FULL_ITEM


def test_a_column_that_fills_two_fields_is_wrong_once():
    """HR mends one cell, so it is told once, in however many fields the cell would stand."""
    fields = ('startDate = "Day"', 'endDate = "Day"')
    row = {"Id": "1", "Account": "ada@contoso.com", "Day": "soon"}

    assert codes(row, ours(property_of("personCertifications", *fields))) == ["bad_date"]


@pytest.mark.parametrize(
    ("column", "path"),
    [
        ("DisplayName", ("name", "displayName")),
        ("FirstName", ("name", "first")),
        ("LastName", ("name", "last")),
        ("JobTitle", ("positions", "detail", "jobTitle")),
        ("HireDate", ("positions", "detail", "startMonthYear")),
        ("Company", ("positions", "detail", "company", "displayName")),
        ("Division", ("positions", "detail", "company", "division")),
        ("Department", ("positions", "detail", "company", "department")),
        ("CostCenter", ("positions", "detail", "company", "costCenter")),
        ("OfficeLocation", ("positions", "detail", "company", "officeLocation")),
        ("Email", ("emails",)),
        ("Phone", ("phones",)),
        ("Skills", ("skills",)),
        ("FavoriteColor", ("favoriteColor",)),
    ],
)
@pytest.mark.parametrize("blank", ["", "  \t", None])
def test_a_blank_cell_is_left_out(column, path, blank):
    """A blank cell, or a column that is not there, leaves out its field alone: an empty one would override Entra's."""
    row = {name: cell for name, cell in FULL_ROW.items() if name != column} | ({column: blank} if blank else {})
    expected = orjson.loads(orjson.dumps(FULL_ITEM))
    place = expected
    for step in path[:-1]:
        place = place[step]
    del place[path[-1]]

    assert render(row) == expected


def test_an_entity_that_would_hold_constants_only_is_left_out():
    """No e-mail, phone, name or skill means no entity; the position keeps the key."""
    row = {"EmployeeId": "E1", "UserPrincipalName": "ada@contoso.com", "Email": " ", "Skills": " ; "}

    assert render(row) == {
        "accounts": FULL_ITEM["accounts"],
        "positions": {"detail": {"employeeId": "E1"}, "isCurrent": True},
    }


def test_a_manager_without_account_is_left_out():
    """A reference that leads to nobody leaves out the manager and nothing else."""
    expected = {**FULL_ITEM, "positions": {k: v for k, v in FULL_ITEM["positions"].items() if k != "manager"}}

    assert render(FULL_ROW, manager=None) == expected


def test_a_person_is_what_the_row_says():
    """Key, account, references and status come from their columns, without surrounding white space."""
    person = accepted(without(EmployeeId=" E1 ", UserPrincipalName=" ada@contoso.com", ManagerId="E9 "))

    assert (person.key, person.account, person.references) == ("E1", "ada@contoso.com", ("E9",))
    assert (person.leaver, person.row) == (False, 1)


@pytest.mark.parametrize(
    ("word", "leaver"),
    [
        ("Active", False),
        ("ACTIVE", False),
        (" on Leave ", False),
        ("", False),
        ("Terminated", True),
        ("left", True),
        ("INACTIVE", True),
        ("Former", True),
    ],
)
def test_status_words_are_compared_without_case(word, leaver):
    """The documented words decide who is in scope and who has left; blank is in scope."""
    assert accepted(without(Status=word)).leaver is leaver


def test_without_a_status_column_everybody_is_in_scope():
    """The status column is not required."""
    row = {name: cell for name, cell in FULL_ROW.items() if name != "Status"}

    assert accepted(row).leaver is False


def test_of_a_leaver_only_the_key_must_be_right():
    """HR often blanks the rest of a row when somebody leaves; nothing of it is sent."""
    assert accepted(without("UserPrincipalName", Status="Left", HireDate="unknown")).leaver


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (FULL_ROW, []),
        (without("EmployeeId"), ["missing_key"]),
        (without("EmployeeId", Status="Left"), ["missing_key"]),
        (without("UserPrincipalName"), ["missing_account"]),
        (without(UserPrincipalName="ada"), ["bad_account"]),
        (without(UserPrincipalName="ada lovelace@contoso.com"), ["bad_account"]),
        (without(UserPrincipalName="ada@contoso@com"), ["bad_account"]),
        (without(UserPrincipalName="a" * 1100 + "@contoso.com"), ["bad_account"]),
        (without(UserPrincipalName="o'neil@contoso.com"), []),
        (without(HireDate="01.03.2021"), ["bad_date"]),
        (without(HireDate="2021-02-29"), ["bad_date"]),
        (without(HireDate="2021-3-1"), ["bad_date"]),
        (without(HireDate="20210301"), ["bad_date"]),
        (without(HireDate="\u0662\u0660\u0662\u0661-03-01"), ["bad_date"]),
        (without(Status="Retired?"), ["not_allowed"]),
        (without(EmployeeId="x" * MAX_KEY), []),
        (without(EmployeeId="x" * (MAX_KEY + 1)), ["too_long"]),
        (without(JobTitle="x" * MAX_VALUE), []),
        (without(JobTitle="x" * (MAX_VALUE + 1)), ["too_long"]),
        (without(JobTitle="Engi\x00neer"), ["too_long"]),
        (without(JobTitle="Ing\udce9nieur"), ["bad_text"]),
        (without("EmployeeId", "UserPrincipalName", HireDate="soon"), ["missing_key", "missing_account", "bad_date"]),
        ({**FULL_ROW, "Notes": "\x00" + "x" * MAX_VALUE + "\udce9"}, []),
    ],
)
def test_a_bad_row_has_a_code_for_every_problem(row, expected):
    """Each problem of a row has its documented code, all are told at once, and only mapped columns count."""
    assert codes(row) == expected


def test_a_row_of_another_width_is_a_bad_row():
    """A row that does not fit the header belongs to nobody that could be told."""
    bound = bind(the_default(), list(FULL_ROW))

    rejection = bound.person(Row(7, ["E1", "ada@contoso.com"], "it has 2 cells; the header has 18"))

    assert isinstance(rejection, Rejection)
    assert (rejection.row, rejection.key, rejection.code) == (7, "", "bad_row")
    assert rejection.cells == ("E1", "ada@contoso.com")


@pytest.mark.parametrize(("key", "told"), [("E1", "E1"), ("E\udce91", ""), ("", "")])
def test_whose_row_was_undecodable_is_told_when_the_key_is_not(key, told):
    """The person of a row with undecodable text is protected by the key, if that can be read."""
    rejection = read(without(EmployeeId=key, JobTitle="Ing\udce9nieur"))

    assert isinstance(rejection, Rejection)
    assert (rejection.key, rejection.code) == (told, "bad_text")


def test_a_reason_repeats_no_cell():
    """What is said about a row goes into reports and, by its code, into logs: it holds no value of the row."""
    row = without(EmployeeId="K" * 300, UserPrincipalName="Mallory", HireDate="Fools' day", Status="Gone fishing")

    rejection = read(row)

    assert isinstance(rejection, Rejection)
    said = " ".join(problem.message for problem in rejection.problems)
    assert len(rejection.problems) == 4
    assert not any(word in said for word in ("KKK", "Mallory", "Fools", "fishing"))


# --- binding to a header ----------------------------------------------------------------------------------------------


def test_headers_are_matched_without_regard_to_spelling():
    """Case, spaces, underscores and hyphens make no difference; columns that nobody maps are listed."""
    header = ["employee_id", "USER PRINCIPAL NAME", "Job-Title", "PayBand", ""]

    bound = bind(the_default(), header)

    assert bound.key_of([" E1 ", "", "", "", ""]) == "E1"
    assert bound.ignored == ("PayBand",)
    assert "JobTitle" not in bound.absent
    assert "HireDate" in bound.absent


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (["EmployeId", "UserPrincipalName"], ["EmployeeId is missing; did you mean 'EmployeId'?"]),
        (["EmployeeId", "UPN"], ["UserPrincipalName is missing"]),
        (["User", "Colour"], ["EmployeeId is missing", "UserPrincipalName is missing"]),
        (["Employee Number", "User Principal"], ["EmployeeId is missing", "did you mean 'User Principal'?"]),
    ],
)
def test_a_missing_required_column_is_named_with_a_guess(header, said):
    """Without key or account column the file is refused; a similar header is offered."""
    with pytest.raises(ExportError) as raised:
        bind(the_default(), header)

    assert raised.value.code == "missing_column"
    assert all(words in raised.value.message for words in said)


def test_the_cells_digest_tells_what_the_mapping_reads():
    """It is the same wherever the columns stand and whatever others hold, and another when a mapped cell is."""
    person = accepted(FULL_ROW)
    reordered = dict(reversed(FULL_ROW.items()))

    assert accepted(reordered).cells == person.cells
    assert accepted({"Notes": "anything", **FULL_ROW}).cells == person.cells
    assert accepted(without(JobTitle=" Engineer ")).cells == person.cells
    assert accepted(without("JobTitle")).cells != person.cells


@pytest.mark.parametrize(
    ("one", "other"), [("JobTitle", "Department"), ("JobTitle", "Division"), ("Phone", "FirstName")]
)
def test_a_cell_under_another_header_is_another_cell(one, other):
    """When HR mends a header, the same bytes mean something else, so everyone is rendered again."""
    before = {"EmployeeId": "E1", "UserPrincipalName": "ada@contoso.com", one: "Sales", "FavoriteColor": "red"}
    after = {(other if name == one else name): cell for name, cell in before.items()}
    swapped = {"EmployeeId": "E1", "UserPrincipalName": "ada@contoso.com", one: "a", other: "b"}
    swapped_back = {"EmployeeId": "E1", "UserPrincipalName": "ada@contoso.com", other: "a", one: "b"}

    assert accepted(before).cells != accepted(after).cells
    assert accepted(swapped).cells != accepted(swapped_back).cells


# --- laws -------------------------------------------------------------------------------------------------------------

_CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x1f"), max_size=12)
_WORDS = _CELLS.filter(lambda cell: "\x00" not in cell)
_GOOD_ROWS = st.fixed_dictionaries(
    dict.fromkeys(FULL_ROW, _WORDS)
    | {
        "EmployeeId": _WORDS.filter(str.strip),
        "UserPrincipalName": st.sampled_from(["ada@contoso.com", "Zoë.O'Neil@contoso.com "]),
        "HireDate": st.dates().map(str) | st.just(""),
        "Email": st.sampled_from(["ada.lovelace@contoso.com", " zoë@contoso.com ", ""]),
        "Skills": st.lists(_WORDS, max_size=4).map(";".join),
        "Status": st.sampled_from(["Active", "", "On leave"]),
    }
)
_ROWS = st.fixed_dictionaries(
    dict.fromkeys(FULL_ROW, _CELLS)
    | {
        "EmployeeId": st.just("E1") | _CELLS,
        "UserPrincipalName": st.just("ada@contoso.com") | _CELLS,
        "HireDate": st.dates().map(str) | _CELLS,
        "Status": st.sampled_from(["Active", "", "Left"]) | _CELLS,
    }
)


@given(row=_GOOD_ROWS, manager=st.sampled_from([BOSS, None]))
def test_what_is_accepted_is_something_graph_understands(row, manager):
    """Everything rendered from an accepted row passes the models of the profile's entities, dates included."""
    assert codes(row) == []

    properties = render(row, manager)

    labels = {part.name: part.label for part in the_default().file.property}
    for name, value in properties.items():
        label = labels[name]
        if label is None:
            assert isinstance(value, str)
            assert value.strip()
            continue
        assert isinstance(value, list) is LABELS[label].several
        for entity in value if isinstance(value, list) else [value]:
            read_back = LABELS[label].entity.model_validate_json(orjson.dumps(entity))
            assert orjson.loads(read_back.model_dump_json(exclude_unset=True)) == entity


@given(row=_ROWS)
def test_a_row_is_a_person_or_has_reasons(row):
    """No row at all ends in anything but a person or a rejection with documented codes."""
    documented = {"missing_key", "missing_account", "bad_account", "bad_date", "not_allowed", "too_long", "bad_text"}

    assert set(codes(row)) <= documented


@given(row=_GOOD_ROWS, column=st.sampled_from(sorted(set(FULL_ROW) - {"Status", "HireDate", "Email"})), cell=_WORDS)
def test_the_cells_digest_changes_exactly_when_a_mapped_cell_does(row, column, cell):
    """Two rows have the same digest if and only if their mapped cells are equal without surrounding white space."""
    one, two = read(row), read({**row, column: cell})

    if isinstance(one, Person) and isinstance(two, Person):
        assert (one.cells == two.cells) is (row[column].strip() == cell.strip())


# --- the file ---------------------------------------------------------------------------------------------------------

LEAST = """
format = 1
[key]
column = "Id"
[account]
column = "Account"
[[property]]
name = "accounts"
label = "personAccount"
"""


def ours(text: str) -> Mapping:
    """Return the least mapping with something added."""
    return load_mapping("ours", (LEAST + text).encode())


def mistakes(text: str) -> tuple[str, ...]:
    """Return what is wrong with the least mapping when something is added."""
    with pytest.raises(ConfigurationError) as raised:
        ours(text)
    return raised.value.problems


def property_of(label: str, *fields: str, name: str = "extra") -> str:
    """Return a property with a label and fields as TOML."""
    return f'\n[[property]]\nname = "{name}"\nlabel = "{label}"\n[property.fields]\n' + "\n".join(fields)


def addresses(fields: str, *ways: str) -> str:
    """Return a property of addresses with fields, written in other ways than the documented one."""
    return '\n[[property]]\nname = "extra"\nlabel = "personAddresses"\n' + "\n".join(
        [*ways, "[property.fields]", fields]
    )


def test_the_default_mapping_is_found_right():
    """The default mapping loads, and its key and account columns come first."""
    mapping = the_default()

    assert mapping.name == "default"
    assert mapping.columns[:3] == ("EmployeeId", "UserPrincipalName", "Status")
    assert set(mapping.columns) == set(FULL_ROW)


def test_the_digest_changes_with_the_text():
    """A mapping whose text changes is another mapping."""
    assert load_mapping("default", DEFAULT).digest == the_default().digest
    assert load_mapping("default", DEFAULT + b"\n").digest != the_default().digest


@pytest.mark.parametrize(
    ("added", "said"),
    [
        *((property_of(label, 'x = "A"'), "use the field manager or colleagues") for label in sorted(UNSUPPORTED)),
        (property_of("personAwards", 'displayName = { constant = " " }', 'webUrl = "A"'), "constant does not fit"),
        (property_of("personAwards", 'issuedDate = { constant = "1.3.2021" }', 'webUrl = "A"'), "allowed: date"),
        (property_of("personSkills", 'displayName = { column = "A", list = ";" }'), "holds one value, not a list"),
        (property_of("personSkills", 'categories = { column = "A", list = ";", split = "," }'), "not both"),
        (property_of("personSkills", 'collaborationTags = { constant = "x" }', 'webUrl = "A"'), "allowed: askMeAbout"),
        (
            property_of(
                "personSkills",
                *(f'{name} = {{ column = "{name}", split = ";" }}' for name in ("webUrl", "displayName")),
            ),
            "only one column of a property can be split",
        ),
        (property_of("personAddresses", '"detail.city" = { column = "A", split = ";" }'), "one of each detail.type"),
        (property_of("personAnniversaries", 'date = { column = "A", split = ";" }'), "one of each type"),
        ('\n[[property]]\nname = "extra"\ncolumn = "A"\naddress_shape = "flat"', "personAddresses alone"),
        (addresses('displayName = "A"', 'address_shape = "flat"'), "a flat address has the fields of detail alone"),
        (addresses('"detail.type" = "A"', 'address_shape = "round"'), "address_shape: must be one of"),
        (
            addresses('"detail.city" = "A"\n"detail.type" = { constant = "unknown" }', 'address_types = "Home"'),
            "allowed: home, business, other",
        ),
        (property_of("personSkill", 'displayName = "A"'), "did you mean personSkills?"),
        (property_of("personName", 'firstName = "A"'), "personName has no field firstName; did you mean"),
        (property_of("personName", 'first = "A"', name="accounts"), "name: the name accounts stands twice"),
        (property_of("personAccount"), "label personAccount: stands on two properties"),
        (property_of("personEmails", 'type = { constant = "work" }'), "constants only"),
        (property_of("personEmails", 'address = "A"', 'type = { constant = "Work" }'), "type: constant: the constant"),
        (property_of("personName", 'first = { column = "A", split = ";" }'), "personName holds one"),
        (property_of("personCurrentPosition", 'manager = "A"'), "manager: takes a reference"),
        (
            property_of("personCurrentPosition", '"detail.role" = { person = "A", relationship = "manager" }'),
            "does not take a reference",
        ),
        (
            property_of("personCurrentPosition", 'manager = { person = "A", relationship = "boss" }'),
            "relationship 'boss' does not exist",
        ),
        (
            property_of("personCurrentPosition", 'manager = { person = "A", list = ";", relationship = "manager" }'),
            "holds one person, not a list",
        ),
        (property_of("personCurrentPosition", 'colleagues = { column = "A", list = ";" }'), "takes a reference"),
        (property_of("personCurrentPosition", '"detail.company" = "A"'), "has no field detail.company"),
        (property_of("personName"), "takes fields, not a column"),
        ('\n[[property]]\nname = "extra"', "a property without label is a custom property"),
        ('\n[[property]]\nname = "too-odd"\ncolumn = "A"', "name: must be 1 to 32 letters"),
        ('\n[[property]]\nname = "extra"\ncolum = "A"', "colum: is no key here; did you mean column?"),
        ('\n[status]\ncolumn = "S"\nin_scope = ["on"]\nleaver = ["ON", "off"]', "status word 'on': stands twice"),
        ('\n[status]\ncolumn = "S"\nin_scope = ["on"]\nleaver = ["on ", "off"]', "status word 'on': stands twice"),
        ("\n[surprise]", "surprise"),
    ],
)
def test_a_mistake_in_the_mapping_is_one_sentence(added, said):
    """Each mistake is told with the mapping's name and its place, with a guess where there is one."""
    found = mistakes(added)

    assert all(problem.startswith("mapping ours: ") for problem in found)
    assert any(said in problem for problem in found)


def test_all_mistakes_of_a_mapping_are_told_at_once():
    """Properties that are wrong in several ways give one error with a sentence for each."""
    found = mistakes(
        property_of("personName", 'firstName = "A"', 'lastName = "B"')
        + property_of("personSkil", 'displayName = "C"', name="skills")
        + property_of("personEmails", 'type = { constant = "work" }', name="emails")
    )

    assert len(found) == 4


def test_a_mapping_without_account_is_refused():
    """Graph ignores people without account, so a property must carry it."""
    with pytest.raises(ConfigurationError, match="personAccount"):
        load_mapping("ours", LEAST.replace("personAccount", "personName").encode() + b'[property.fields]\nfirst = "A"')


@pytest.mark.parametrize("text", [b"", b"format = 2", b"not TOML", b"\xff\xfe\x00", b"format = 1\nproperty = 3"])
def test_what_is_no_mapping_is_refused(text):
    """Anything that is not a mapping file of this format is a ConfigurationError with the mapping's name."""
    with pytest.raises(ConfigurationError, match="mapping ours: "):
        load_mapping("ours", text)


def test_every_label_is_carried_out_or_refused():
    """Of the labels in Graph's enumeration, the 20 supported ones can be mapped and the other five never."""
    assert not set(LABELS) & UNSUPPORTED
    assert (len(LABELS), len(UNSUPPORTED)) == (20, 5)


@pytest.mark.parametrize(
    ("field", "cell", "expected"),
    [
        ('"detail.layer" = "X"', "3", []),
        ('"detail.layer" = "X"', "three", ["bad_number"]),
        ('"detail.layer" = "X"', "3.5", ["bad_number"]),
        ('"isCurrent" = "X"', "TRUE", []),
        ('"isCurrent" = "X"', "maybe", ["not_allowed"]),
        ('"detail.endMonthYear" = "X"', "2021-13-01", ["bad_date"]),
        ('categories = { column = "X", list = ";" }', "a; b;;a", []),
        ('categories = { column = "X", list = ";" }', " ; ", []),
    ],
)
def test_cells_are_held_to_the_type_of_their_field(field, cell, expected):
    """Numbers, switches and dates are checked before anything is sent."""
    mapping = ours(property_of("personCurrentPosition", field))

    assert codes({"Id": "E1", "Account": "ada@contoso.com", "X": cell}, mapping) == expected


@pytest.mark.parametrize(
    ("field", "cell", "expected"),
    [
        ('proficiency = "X"', "expert", []),
        ('proficiency = "X"', "Expert", ["not_allowed"]),
        ('proficiency = { column = "X", split = ";" }', "expert; elementary;", []),
        ('proficiency = { column = "X", split = ";" }', "expert; wizard", ["not_allowed"]),
        ('collaborationTags = "X"', "askMeAbout", []),
        ('collaborationTags = "X"', "askMeAbout; ableToMentor", ["not_allowed"]),
        ('collaborationTags = { column = "X", list = ";" }', "askMeAbout; ableToMentor;", []),
        ('collaborationTags = { column = "X", list = ";" }', "askMeAbout; askHim", ["not_allowed"]),
    ],
)
def test_an_enumeration_takes_its_members_only(field, cell, expected):
    """Graph ignores unknown members silently, so a cell that holds one rejects its row; also among several parts."""
    mapping = ours(property_of("personSkills", field))

    assert codes({"Id": "E1", "Account": "ada@contoso.com", "X": cell}, mapping) == expected


@pytest.mark.parametrize(
    ("label", "field", "good", "bad"),
    [
        ("personWebSite", "webUrl", ["https://contoso.com", "HTTP://intra:8080/a?b=c#d"], ["contoso.com", "file:///a"]),
        ("personAwards", "thumbnailUrl", ["https://contoso.com/a.png"], ["https://", "https://a b", "javascript:x"]),
        ("personName", "languageTag", ["en", "nb-NO", "zh-Hant-TW"], ["English", "en_US", "en-"]),
        ("personLanguages", "tag", ["de-DE", "sgn-ase"], ["e", "de DE"]),
        ("personEmails", "address", ["zoë@contoso.com", "o'neil+x@a.b"], ["ada", "@b", "Ada <a@b>", "a@b, c@d"]),
        ("personAddresses", "geoCoordinates.latitude", ["-90", "59.91", "90.0"], ["90.1", "-91", "north"]),
        ("personAddresses", "geoCoordinates.longitude", ["180", "-180"], ["180.000001", "360"]),
    ],
)
def test_text_has_the_form_that_its_field_wants(label, field, good, bad):
    """What is no address, no tag and no place on earth would be ignored silently, so its row is rejected."""
    mapping = ours(property_of(label, f'"{field}" = "X"'))
    code = "bad_number" if "geo" in field else "not_allowed"

    assert [codes({"Id": "E1", "Account": "a@b", "X": cell}, mapping) for cell in good] == [[]] * len(good)
    assert [codes({"Id": "E1", "Account": "a@b", "X": cell}, mapping) for cell in bad] == [[code]] * len(bad)


@pytest.mark.parametrize(
    ("cell", "expected"), [("a@x;b@x;c@x", []), ("a@x;b@x;a@x;c@x;", []), ("a@x;b@x;c@x;d@x", ["too_many"])]
)
def test_more_than_graph_takes_is_too_many(cell, expected):
    """A profile has at most three e-mail addresses; Graph ignores the rest silently."""
    mapping = ours(property_of("personEmails", 'address = { column = "X", split = ";" }'))

    assert codes({"Id": "E1", "Account": "ada@contoso.com", "X": cell}, mapping) == expected


def test_constants_and_split_fields_make_one_entity_per_part():
    """Each part of a split cell makes an entity with the constants of the property."""
    mapping = ours(
        property_of("personEmails", 'address = { column = "X", split = "," }', 'type = { constant = "other" }')
    )
    bound: BoundMapping = bind(mapping, ["Id", "Account", "X"])

    filled = bound.entities(["E1", "ada@contoso.com", "a@x.org, b@x.org"], ADA, [])

    assert filled["extra"] == [
        {"address": "a@x.org", "type": "other"},
        {"address": "b@x.org", "type": "other"},
    ]


def filled(text: str, cell: str) -> Any:
    """Return what one more property of the least mapping makes of one cell, which stands in column X."""
    bound = bind(ours(text), ["Id", "Account", "X"])
    return bound.entities(["E1", "ada@contoso.com", cell], ADA, []).get("extra")


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("Physics", {"fieldsOfStudy": ["Physics"]}),
        ("Physics; Maths;;Physics ", {"fieldsOfStudy": ["Physics", "Maths"]}),
        (" ; ", None),
        ("", None),
    ],
)
def test_the_parts_of_a_cell_are_one_list_in_one_entity(cell, expected):
    """With ``list`` they stay together, each once and without blanks; nothing is left of a cell without any."""
    text = property_of("personEducationalActivities", '"program.fieldsOfStudy" = { column = "X", list = ";" }')

    assert filled(text, cell) == ([{"program": expected}] if expected else None)


def test_a_list_without_separator_holds_the_whole_cell():
    """A plain column, a part of a split one or a constant is a list of one."""
    tagged = property_of("personSkills", 'collaborationTags = { constant = "askMeAbout" }', 'categories = "X"')

    assert filled(tagged, "a;b") == [{"collaborationTags": ["askMeAbout"], "categories": ["a;b"]}]


def test_distinct_types_make_distinct_addresses():
    """A split column of types makes one address per type; a type that stands twice makes one."""
    text = addresses('"detail.type" = { column = "X", split = ";" }\n"detail.city" = { constant = "Oslo" }')

    assert [one["detail"]["type"] for one in filled(text, "home; business;home")] == ["home", "business"]


def test_more_addresses_than_graph_takes_are_too_many():
    """A profile has at most three addresses."""
    mapping = ours(addresses('"detail.type" = { column = "X", split = ";" }'))
    row = {"Id": "E1", "Account": "ada@contoso.com", "X": "home;business;other"}

    assert codes(row, mapping) == []
    assert codes({**row, "X": "home;business;other;unknown"}, mapping) == ["too_many"]


@pytest.mark.parametrize(
    ("ways", "expected"),
    [
        ([], {"detail": {"city": "Oslo", "type": "business"}}),
        (['address_shape = "detail"', 'address_types = "home"'], {"detail": {"city": "Oslo", "type": "business"}}),
        (['address_shape = "flat"'], {"city": "Oslo", "type": "business"}),
        (['address_types = "Home"'], {"detail": {"city": "Oslo", "type": "Work"}}),
        (['address_shape = "flat"', 'address_types = "Home"'], {"city": "Oslo", "type": "Work"}),
    ],
)
@pytest.mark.parametrize(
    ("fields", "cell"),
    [
        ('"detail.city" = "X"\n"detail.type" = { constant = "business" }', "Oslo"),
        ('"detail.city" = { constant = "Oslo" }\n"detail.type" = "X"', "business"),
    ],
)
def test_addresses_are_written_as_the_mapping_says(fields, cell, ways, expected):
    """Fields and words stay the documented ones in the mapping; what is sent has the shape and spelling asked for."""
    assert filled(addresses(fields, *ways), cell) == [expected]


COLLEAGUES = 'colleagues = { person = "X", list = ";", relationship = "colleague" }'


def test_colleagues_are_references_behind_the_manager():
    """Their keys come from one cell, each once and without the person's own; the manager's place is kept first."""
    alone = ours(property_of("personCurrentPosition", COLLEAGUES))
    both = ours(
        property_of("personCurrentPosition", COLLEAGUES, 'manager = { person = "Boss", relationship = "manager" }')
    )
    row = {"Id": "E1", "Account": "ada@contoso.com", "X": "E2; E3;;E2;E1", "Boss": "E9"}

    for mapping, expected in ((alone, ("", "E2", "E3")), (both, ("E9", "E2", "E3"))):
        person = read(row, mapping)
        assert isinstance(person, Person)
        assert person.references == expected


@pytest.mark.parametrize(
    ("accounts", "expected"),
    [([None, BOSS, ADA], [BOSS, ADA]), ([None, None, ADA], [ADA]), ([None, None, None], [])],
)
def test_colleagues_are_sent_with_both_ids(accounts, expected):
    """Those whose account is known; without any, nothing is left of the position."""
    bound = bind(ours(property_of("personCurrentPosition", COLLEAGUES)), ["Id", "Account", "X"])

    entities = bound.entities(["E1", "ada@contoso.com", "E2;E3"], ADA, accounts).get("extra")

    related = [{"relationship": "colleague", "userId": other.id, "userPrincipalName": other.upn} for other in expected]
    assert entities == ({"colleagues": related} if related else None)


def test_each_list_of_people_has_its_own():
    """Colleagues and sponsors of a project are told apart, however many the first are."""
    sponsors = 'sponsors = { person = "Y", relationship = "sponsor" }'
    mapping = ours(property_of("personProjects", 'displayName = "Id"', COLLEAGUES, sponsors))
    bound = bind(mapping, ["Id", "Account", "X", "Y"])

    filled = bound.entities(["E1", "ada@contoso.com", "E2;E3", "E9"], ADA, [None, ADA, ADA, BOSS])

    projects: Any = filled["extra"]
    assert len(projects) == 1
    project = projects[0]
    assert [one["userId"] for one in project["colleagues"]] == [ADA.id, ADA.id]
    assert [one["userId"] for one in project["sponsors"]] == [BOSS.id]
