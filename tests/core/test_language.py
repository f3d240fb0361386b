"""The mapping language: from the cells of any HR system to people and profiles (docs/mapping.md)."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.accounts import Known, referred_key
from connector.core.export import Row
from connector.core.mapping import BoundMapping, Mapping, Person, Rejection, bind, load_mapping
from connector.core.mapping.values import date_format
from connector.errors import ConfigurationError, ExportError

ADA = Known("0a", "ada@contoso.com")
BO = Known("0b", "bo@contoso.com")

LEAST = """
format = 1
{top}
[key]
{key}
[account]
{account}
{parts}
[[property]]
name = "accounts"
label = "personAccount"
"""


def a_mapping(
    parts: str = "", *, top: str = "", key: str = 'column = "Id"', account: str = 'column = "Account"', last: str = ""
) -> Mapping:
    """Return a small mapping: ``parts`` are tables before its properties, ``last`` further properties."""
    text = LEAST.format(top=top, key=key, account=account, parts=parts) + last
    return load_mapping("ours", text.encode())


def mistakes(parts: str = "", **more: str) -> str:
    """Return what is wrong with a mapping, one problem per line."""
    with pytest.raises(ConfigurationError) as raised:
        a_mapping(parts, **more)
    return "\n".join(raised.value.problems)


def bound_to(mapping: Mapping, row: dict[str, str], today: date | None = None) -> tuple[BoundMapping, list[str]]:
    """Return a mapping bound to the header of one row, and the row's cells."""
    row = {"Id": "E1", "Account": "ada@contoso.com", **row}
    return bind(mapping, list(row), today=today), list(row.values())


def read(mapping: Mapping, row: dict[str, str], today: date | None = None) -> Person | Rejection:
    """Return what a mapping makes of one row."""
    bound, cells = bound_to(mapping, row, today)
    return bound.person(Row(1, cells))


def person(mapping: Mapping, row: dict[str, str], today: date | None = None) -> Person:
    """Return whom a good row speaks of."""
    found = read(mapping, row, today)
    assert isinstance(found, Person), found
    return found


def codes(mapping: Mapping, row: dict[str, str], today: date | None = None) -> list[str]:
    """Return the codes of a row's problems, none when it is accepted."""
    found = read(mapping, row, today)
    return [problem.code for problem in found.problems] if isinstance(found, Rejection) else []


def sends(mapping: Mapping, row: dict[str, str], references: list[Known | None] | None = None) -> Any:
    """Return what the property ``extra`` holds of one row; None when it holds nothing."""
    bound, cells = bound_to(mapping, row)
    known = [None] * len(person(mapping, row).references) if references is None else references
    return bound.entities(cells, ADA, known).get("extra")


def name_from(spec: str, *, parts: str = "") -> Mapping:
    """Return a mapping that fills the display name of a person in one way."""
    return a_mapping(
        parts, last=f'\n[[property]]\nname = "extra"\nlabel = "personName"\n[property.fields]\ndisplayName = {spec}\n'
    )


def field_from(label: str, path: str, spec: str, *, parts: str = "") -> Mapping:
    """Return a mapping that fills one field of one label in one way."""
    return a_mapping(
        parts, last=f'\n[[property]]\nname = "extra"\nlabel = "{label}"\n[property.fields]\n"{path}" = {spec}\n'
    )


# --- where text comes from --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "row", "expected"),
    [
        ('"Name"', {"Name": "  Ada  "}, "Ada"),
        ('{ columns = ["First", "Last"] }', {"First": "Ada", "Last": "King"}, "Ada King"),
        ('{ columns = ["First", "Middle", "Last"] }', {"First": "Ada", "Middle": " ", "Last": "King"}, "Ada King"),
        ('{ columns = ["Last", "First"], join = ", " }', {"First": "Ada", "Last": "King"}, "King, Ada"),
        ('{ columns = ["Last", "First"], join = ", " }', {"First": "Ada", "Last": ""}, "Ada"),
        ('{ template = "{First} {Last}" }', {"First": "Ada", "Last": "King"}, "Ada King"),
        ('{ template = "{First} {Middle} {Last}" }', {"First": "Ada", "Middle": "", "Last": "King"}, "Ada King"),
        ('{ template = "Dr. {Last}" }', {"Last": "King"}, "Dr. King"),
        ('{ template = "{{{Last}}}" }', {"Last": "King"}, "{King}"),
        ('{ template = "{ Last Name }!" }', {"last_name": "King"}, "King!"),
        ('{ template = "{A: b} {B}" }', {"A: b": "x", "B": "y"}, "x y"),
        ('{ column = "Name", case = "upper" }', {"Name": "Ada"}, "ADA"),
        ('{ column = "Name", case = "lower" }', {"Name": "ADA"}, "ada"),
        ('{ column = "Name", case = "title" }', {"Name": "ADA KING"}, "Ada King"),
        ('{ column = "Name", extract = "^(.*) \\\\(\\\\d+\\\\)$" }', {"Name": "Ana Ruiz (1001)"}, "Ana Ruiz"),
        ('{ column = "Name", extract = "[A-Z][a-z]+" }', {"Name": "1 Ada!"}, "Ada"),
        ('{ column = "Name", translate = { "x" = "Ada", "Y " = "Bo" } }', {"Name": "X"}, "Ada"),
        ('{ column = "Name", translate = { "x" = "Ada", "Y " = "Bo" } }', {"Name": "y"}, "Bo"),
        ('{ column = "Name", extract = "(\\\\d)", translate = { "1" = "one" } }', {"Name": "no 1"}, "one"),
        ('{ column = "Name", translate = { "1" = "one" }, case = "upper" }', {"Name": "1"}, "ONE"),
        ('{ column = "Name", translate = { "1" = "one" }, otherwise = "keep" }', {"Name": "2"}, "2"),
        ('{ column = "Name", extract = "(\\\\d)", otherwise = "keep" }', {"Name": "none"}, "none"),
    ],
)
def test_text_is_taken_from_a_row_in_many_ways(spec, row, expected):
    """Columns, joins, templates, extracts, translations and case give the text that is sent."""
    assert sends(name_from(spec), row) == {"displayName": expected}


@pytest.mark.parametrize(
    ("spec", "row"),
    [
        ('"Name"', {"Name": " "}),
        ('"Name"', {"Other": "x"}),
        ('{ columns = ["First", "Last"] }', {"First": "", "Last": ""}),
        ('{ template = "Dr. {Last}" }', {"Last": ""}),
        ('{ column = "Name", blanks = ["N/A", "-"] }', {"Name": "n/a"}),
        ('{ template = "{Name}@x", blanks = ["-"] }', {"Name": "-"}),
        ('{ column = "Name", translate = { "1" = "one" }, otherwise = "omit" }', {"Name": "2"}),
        ('{ column = "Name", translate = { "none" = "" } }', {"Name": "None"}),
        ('{ column = "Name", extract = "\\\\d+", otherwise = "omit" }', {"Name": "Ada"}),
    ],
)
def test_blank_text_is_left_out(spec, row):
    """Nothing is sent of what is blank, counts as blank, or is left out by the mapping."""
    assert sends(name_from(spec), row) is None


def test_words_of_the_whole_file_count_as_blank_everywhere():
    """``[file] blanks`` holds for fields, keys, accounts and references alike."""
    mapping = name_from('"Name"', parts='[file]\nblanks = ["NULL"]')

    assert sends(mapping, {"Name": "null"}) is None
    assert codes(mapping, {"Id": "NULL"}) == ["missing_key"]
    assert codes(mapping, {"Account": "NULL"}) == ["missing_account"]


@pytest.mark.parametrize(
    "spec",
    ['{ column = "Name", translate = { "1" = "one" } }', '{ column = "Name", extract = "\\\\d+" }'],
)
def test_text_that_the_mapping_does_not_know_is_not_allowed(spec):
    """A word without translation, or a cell without a match, rejects its row: silently leaving it out loses data."""
    assert codes(name_from(spec), {"Name": "two"}) == ["not_allowed"]


# --- values -----------------------------------------------------------------------------------------------------------

_START = ("personCurrentPosition", "detail.startMonthYear")


@pytest.mark.parametrize(
    ("written", "cell", "expected"),
    [
        ("YYYY-MM-DD", "2019-03-15", "2019-03-15"),
        ("MM/DD/YYYY", "03/15/2019", "2019-03-15"),
        ("M/D/YY", "3/5/19", "2019-03-05"),
        ("DD-MMM-YYYY", "15-Mar-2021", "2021-03-15"),
        ("DD-MMM-YY", "01-JAN-69", "1969-01-01"),
        ("DD-MMM-YY", "01-JAN-68", "2068-01-01"),
        ("MMM D, YYYY", "Mar 15, 2019", "2019-03-15"),
        ("D. MMMM YYYY", "15. März 2019", "2019-03-15"),
        ("D MMMM YYYY", "1 août 2019", "2019-08-01"),
        ("DD.MM.YYYY", "15.03.2019", "2019-03-15"),
        ("YYYYMMDD", "20190315", "2019-03-15"),
        ("YYYY/MM/DD", "2019/03/15", "2019-03-15"),
        ("M/D/YYYY", "3/15/2019 0:00", "2019-03-15"),
        ("MM/DD/YYYY", "03/15/2019 12:00:00 AM", "2019-03-15"),
        ("YYYY-MM-DD", "2019-03-15T00:00:00.000Z", "2019-03-15"),
        ("YYYY-MM-DD", "2019-04-23T15:18:02.4675041+05:30", "2019-04-23"),
    ],
)
def test_dates_are_read_as_they_are_written_and_sent_in_iso(written, cell, expected):
    """Every way of writing dates that was met in HR exports can be said in the mapping."""
    mapping = field_from(*_START, f'{{ column = "X", dates = ["{written}"] }}')

    assert sends(mapping, {"X": cell}) == {"detail": {"startMonthYear": expected}}


MONTHS = {
    "English": "January February March April May June July August September October November December",
    "English, short": "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec",
    "German": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "German, short": "Jän. Feb. Mrz Apr Mai Jun Jul Aug Sept. Okt Nov Dez",
    "French": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "French, short": "janv. févr. mars avr. mai juin juil. août sept. oct. nov. déc.",
    "Spanish": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "Spanish, short": "ene feb mar abr may jun jul ago sep oct nov dic",
    "Italian": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "Italian, short": "gen feb mar apr mag giu lug ago set ott nov dic",
    "Dutch": "januari februari maart april mei juni juli augustus september oktober november december",
    "Dutch, short": "jan feb mrt apr mei jun jul aug sep okt nov dec",
    "Portuguese": "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
    "Portuguese, short": "jan fev mar abr mai jun jul ago set out nov dez",
    "Norwegian": "januar februar mars april mai juni juli august september oktober november desember",
    "Norwegian, short": "jan. feb. mar. apr. mai jun. jul. aug. sep. okt. nov. des.",
    "Swedish": "januari februari mars april maj juni juli augusti september oktober november december",
    "Danish": "januar februar marts april maj juni juli august september oktober november december",
}


@pytest.mark.parametrize("language", MONTHS)
def test_months_are_known_by_name(language):
    """The twelve of each language that the documentation lists, in full and as exports shorten them."""
    mapping = field_from(*_START, '{ column = "X", dates = ["D MMMM YYYY"] }')

    sent = [sends(mapping, {"X": f"5 {name} 2019"}) for name in MONTHS[language].split()]

    assert sent == [{"detail": {"startMonthYear": f"2019-{month:02}-05"}} for month in range(1, 13)]


@pytest.mark.parametrize(
    ("written", "cell"),
    [
        ("MM/DD/YYYY", "15/03/2019"),
        ("MM/DD/YYYY", "3/5/2019"),
        ("DD.MM.YYYY", "31.02.2019"),
        ("DD.MM.YYYY", "15.03.19"),
        ("DD-MMM-YYYY", "15-Foo-2021"),
        ("YYYY-MM-DD", "2019-03-15 and more"),
        ("YYYY-MM-DD", "0000-01-01"),
    ],
)
def test_what_is_not_written_so_is_a_bad_date(written, cell):
    """A date in another form, or of a day that never was, rejects its row and is never guessed."""
    mapping = field_from(*_START, f'{{ column = "X", dates = ["{written}"] }}')

    assert codes(mapping, {"X": cell}) == ["bad_date"]


def test_a_field_may_have_several_ways_of_writing_dates():
    """The formats are tried in turn; without its own a field has those of the file."""
    own = field_from(*_START, '{ column = "X", dates = ["DD.MM.YYYY", "YYYY-MM-DD"] }')
    of_the_file = field_from(*_START, '"X"', parts='[file]\ndates = ["DD.MM.YYYY", "YYYY-MM-DD"]')

    for mapping in (own, of_the_file):
        assert sends(mapping, {"X": "01.02.2020"}) == sends(mapping, {"X": "2020-02-01"})
        assert codes(mapping, {"X": "02/01/2020"}) == ["bad_date"]


@given(
    day=st.dates(date(1969, 1, 1), date(2068, 12, 31)),
    written=st.sampled_from(["YYYY-MM-DD", "DD.MM.YY", "D/M/YYYY", "MMMM D, YYYY", "DD-MMM-YYYY", "YYYYMMDD"]),
)
def test_a_date_reads_as_it_was_written(day, written):
    """Writing a day and reading it again gives the day, in every format."""
    each = date_format(written)

    assert each.read(each.write(day)) == day


@pytest.mark.parametrize(
    ("parts", "cell", "expected"),
    [
        ("", "59.91", 59.91),
        ("", "-7", -7.0),
        ('decimal = ","', "59,91", 59.91),
        ('decimal = ","', "1.234,5", 1234.5),
        ('decimal = ","', "1\u202f234,5", 1234.5),
        ('decimal = "."', "1,234.5", 1234.5),
        ('decimal = "."', "1'234.5", 1234.5),
    ],
)
def test_numbers_are_read_as_they_are_written(parts, cell, expected):
    """The decimal sign is the mapping's; the other one, spaces and apostrophes group thousands."""
    mapping = field_from("personAddresses", "geoCoordinates.altitude", '"X"', parts=f"[file]\n{parts}")

    assert sends(mapping, {"X": cell}) == [{"geoCoordinates": {"altitude": expected}}]


@pytest.mark.parametrize(
    ("parts", "cell"), [("", "1,234"), ("", "59,91"), ('decimal = ","', "1.23"), ("", "1e3"), ("", "٣")]
)
def test_a_number_that_may_mean_another_is_bad(parts, cell):
    """Who does not say how decimals are written gets no guess: 1,234 may be a thousand or a little more than one."""
    mapping = field_from("personAddresses", "geoCoordinates.altitude", '"X"', parts=f"[file]\n{parts}")

    assert codes(mapping, {"X": cell}) == ["bad_number"]


def test_words_for_yes_and_no_are_the_mappings():
    """Other words than the mapping's for true and false are not allowed."""
    mapping = field_from("personCurrentPosition", "isCurrent", '{ column = "X", true = ["Ja", "1"], false = ["Nein"] }')

    assert sends(mapping, {"X": "ja"}) == {"isCurrent": True}
    assert sends(mapping, {"X": "NEIN"}) == {"isCurrent": False}
    assert codes(mapping, {"X": "true"}) == ["not_allowed"]


def test_words_of_an_enumeration_are_translated():
    """HR's words become Graph's; a word that the table lacks rejects the row."""
    mapping = a_mapping(
        last="""
[[property]]
name = "extra"
label = "personPhones"
[property.fields]
number = "Phone"
type = { column = "Kind", translate = { "Mobil" = "mobile", "Büro" = "business" } }
"""
    )

    assert sends(mapping, {"Phone": "1", "Kind": "BÜRO"}) == [{"number": "1", "type": "business"}]
    assert codes(mapping, {"Phone": "1", "Kind": "Fax"}) == ["not_allowed"]


def test_parts_of_a_cell_are_each_brought_into_form():
    """``split`` and ``list`` come first; extract, translate and blanks are about the parts."""
    split = a_mapping(
        last="""
[[property]]
name = "extra"
label = "personSkills"
[property.fields]
displayName = { column = "X", split = ";", extract = "([^:]+)", case = "title" }
"""
    )
    listed = field_from(
        "personEducationalActivities",
        "program.fieldsOfStudy",
        '{ column = "X", list = ",", translate = { "m" = "Maths", "p" = "Physics" } }',
    )

    assert sends(split, {"X": "python: 5; go: 2;;Python: 1"}) == [{"displayName": "Python"}, {"displayName": "Go"}]
    assert sends(listed, {"X": "m, p,M"}) == [{"program": {"fieldsOfStudy": ["Maths", "Physics"]}}]
    assert codes(listed, {"X": "m,x"}) == ["not_allowed"]


def test_several_columns_can_be_split_as_one():
    """Numbered columns (Skill 1, Skill 2) are joined and split again: one entity for each that is filled."""
    mapping = a_mapping(
        last="""
[[property]]
name = "extra"
label = "personSkills"
[property.fields]
displayName = { columns = ["Skill 1", "Skill 2", "Skill 3"], join = "|", split = "|" }
"""
    )

    found = sends(mapping, {"Skill 1": "Go", "Skill 2": "", "Skill 3": "Chess"})

    assert found == [{"displayName": "Go"}, {"displayName": "Chess"}]


# --- blank cells ------------------------------------------------------------------------------------------------------


def test_a_blank_cell_can_clear_what_entra_says():
    """With "clear" an empty text is sent, which overrides Entra's; a column that is not there clears nothing."""
    cleared = name_from('{ column = "Nick", blank = "clear" }')

    assert sends(cleared, {"Nick": ""}) == {"displayName": ""}
    assert sends(cleared, {"Nick": "Ada"}) == {"displayName": "Ada"}
    assert sends(cleared, {"Other": ""}) is None


def test_a_custom_property_can_be_cleared_too():
    """A custom property has a column, or a value that is made like any field's."""
    mapping = a_mapping(
        last='\n[[property]]\nname = "extra"\nvalue = { template = "{Site}-{Badge}", blank = "clear" }\n'
    )

    assert sends(mapping, {"Site": "OSL", "Badge": "7"}) == "OSL-7"
    assert sends(mapping, {"Site": "", "Badge": ""}) == ""


def test_a_custom_property_can_hold_a_date():
    """With formats, text that stands as a date is sent in ISO, and anything else rejects the row."""
    mapping = a_mapping(last='\n[[property]]\nname = "extra"\nvalue = { column = "X", dates = ["DD.MM.YYYY"] }\n')

    assert sends(mapping, {"X": "01.02.2020"}) == "2020-02-01"
    assert codes(mapping, {"X": "soon"}) == ["bad_date"]


# --- several entities -------------------------------------------------------------------------------------------------

MAILS = """
[[property]]
name = "extra"
label = "personEmails"
[[property.entity]]
address = "Work Mail"
type = { constant = "work" }
[[property.entity]]
address = "Other Mail"
type = { constant = "other" }
"""


def test_column_groups_make_several_entities():
    """Each group makes one entity, if any of its columns is filled; equal ones are sent once."""
    mapping = a_mapping(last=MAILS)

    assert sends(mapping, {"Work Mail": "a@x.org", "Other Mail": "b@x.org"}) == [
        {"address": "a@x.org", "type": "work"},
        {"address": "b@x.org", "type": "other"},
    ]
    assert sends(mapping, {"Work Mail": "", "Other Mail": "b@x.org"}) == [{"address": "b@x.org", "type": "other"}]
    assert sends(mapping, {"Work Mail": "", "Other Mail": ""}) is None


def test_more_groups_than_graph_takes_are_refused_row_by_row():
    """Four groups of e-mail addresses may stand in a mapping; a person may have three."""
    groups = "".join(f'[[property.entity]]\naddress = "M{number}"\n' for number in range(4))
    mapping = a_mapping(last=f'\n[[property]]\nname = "extra"\nlabel = "personEmails"\n{groups}')
    three = {f"M{number}": f"{number}@x.org" for number in range(3)}

    assert len(sends(mapping, {**three, "M3": ""})) == 3
    assert len(sends(mapping, {**three, "M3": "0@x.org"})) == 3
    assert codes(mapping, {**three, "M3": "3@x.org"}) == ["too_many"]


def test_two_addresses_of_one_type_are_too_many():
    """Graph takes one address of each type; where types come from cells, the row is held to it."""
    mapping = a_mapping(
        last="""
[[property]]
name = "extra"
label = "personAddresses"
[[property.entity]]
"detail.city" = "City 1"
"detail.type" = "Type 1"
[[property.entity]]
"detail.city" = "City 2"
"detail.type" = "Type 2"
"""
    )
    row = {"City 1": "Oslo", "Type 1": "business", "City 2": "Bergen", "Type 2": "other"}

    assert codes(mapping, row) == []
    assert codes(mapping, {**row, "Type 2": "business"}) == ["too_many"]
    assert codes(mapping, {**row, "Type 2": "business", "City 2": "Oslo"}) == []


# --- other people -----------------------------------------------------------------------------------------------------


def reference(spec: str, field: str = "manager") -> Mapping:
    """Return a mapping whose position refers to somebody in one way."""
    return field_from("personCurrentPosition", field, spec)


@pytest.mark.parametrize(
    ("spec", "cell", "expected"),
    [
        ('{ person = "Boss", by = "key", relationship = "manager" }', "E2", "E2"),
        ('{ person = "Boss", relationship = "manager" }', "", ""),
        ('{ person = "Boss", blanks = ["NO_MANAGER"], relationship = "manager" }', "no_manager", ""),
        ('{ person = "Boss", extract = "\\\\((\\\\w+)\\\\)", relationship = "manager" }', "Ana Ruiz (E2)", "E2"),
        ('{ person = "Boss", by = "mail", relationship = "manager" }', "bo@x.org", referred_key("mail:bo@x.org")),
        (
            '{ person = "Boss", by = "userPrincipalName", relationship = "manager" }',
            "bo@x.org",
            referred_key("bo@x.org"),
        ),
        (
            '{ template = "{Boss}@x.org", by = "userPrincipalName", relationship = "manager" }',
            "bo",
            referred_key("bo@x.org"),
        ),
    ],
)
def test_a_manager_is_named_by_key_or_account(spec, cell, expected):
    """References are keys of others, or ways to ask Entra for somebody."""
    assert person(reference(spec), {"Boss": cell}).references == (expected,)


def test_a_manager_that_cannot_be_read_is_not_allowed():
    """A cell in which the mapping finds no key rejects the row, as in any other field."""
    spec = '{ person = "Boss", extract = "\\\\((\\\\w+)\\\\)", relationship = "manager" }'

    assert codes(reference(spec), {"Boss": "Ana Ruiz"}) == ["not_allowed"]


def test_colleagues_may_be_listed_by_mail():
    """Each part of the cell is one colleague; nobody is their own, in whatever way they are named."""
    mapping = a_mapping(
        account='column = "Account"\nmatch = "mail"',
        last='\n[[property]]\nname = "extra"\nlabel = "personCurrentPosition"\n[property.fields]\n'
        'colleagues = { person = "Team", list = ",", by = "mail", relationship = "colleague" }\n',
    )

    found = person(mapping, {"Team": "bo@x.org, ada@contoso.com,, bo@x.org"})

    assert found.references == ("", referred_key("mail:bo@x.org"))
    assert sends(mapping, {"Team": "bo@x.org"}, [None, BO]) == {
        "colleagues": [{"relationship": "colleague", "userId": BO.id, "userPrincipalName": BO.upn}]
    }


# --- accounts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("account", "cell", "expected"),
    [
        ('column = "Account"', "Ada@contoso.com", "Ada@contoso.com"),
        ('template = "{Account}@contoso.com"', "EMP7", "EMP7@contoso.com"),
        ('template = "{Account}@contoso.com"\ncase = "lower"', "EMP7", "emp7@contoso.com"),
        ('column = "Account"\nmatch = "mail"', "ada@contoso.com", "mail:ada@contoso.com"),
        ('column = "Account"\nmatch = "employeeId"', "0042", "employeeId:0042"),
        (
            'column = "Account"\nmatch = "id"',
            "10a1d484-cd1a-4162-a5a4-832370bac356",
            "id:10a1d484-cd1a-4162-a5a4-832370bac356",
        ),
    ],
)
def test_an_account_is_asked_for_in_four_ways(account, cell, expected):
    """What Entra is asked for is made from the row: a name, an address, an employee number or an object id."""
    assert person(a_mapping(account=account), {"Account": cell}).account == expected


@pytest.mark.parametrize(
    ("account", "cell", "expected"),
    [
        ('column = "Account"', "ada", "bad_account"),
        ('column = "Account"', "mail:ada@contoso.com", "bad_account"),
        ('column = "Account"\nmatch = "mail"', "ada", "bad_account"),
        ('column = "Account"\nmatch = "employeeId"', "12345678901234567", "bad_account"),
        ('column = "Account"\nmatch = "id"', "10a1d484", "bad_account"),
        ('column = "Account"\nextract = "\\\\d+@.*"', "ada@contoso.com", "bad_account"),
        ('template = "{Account}@contoso.com"', "", "missing_account"),
        ('template = "{Id}.{Account}@contoso.com"', " ", "missing_account"),
    ],
)
def test_what_can_be_nobodys_account_is_refused(account, cell, expected):
    """Text that no user can have is told at once instead of being asked for in vain."""
    assert codes(a_mapping(account=account), {"Account": cell}) == [expected]


def test_a_long_cell_is_told_without_counting_what_is_in_it():
    """A cell that is too long is not made into entities first: of a megabyte that would take minutes."""
    mapping = field_from("personEmails", "address", '{ column = "Mails", split = ";" }')

    assert codes(mapping, {"Mails": "a@x;b@x;c@x;d@x"}) == ["too_many"]
    assert codes(mapping, {"Mails": ";".join(f"{number}@x" for number in range(5_000))}) == ["too_long"]


def test_half_a_name_names_nobody():
    """Whoever is named by a template is named by all of it: what is left of it may well be somebody else's name."""
    boss = '{ template = "{First}.{Last}@x.org", by = "mail", relationship = "manager" }'
    mapping = a_mapping(
        key='template = "{Company}-{Id}"',
        last=f'\n[[property]]\nname = "extra"\nlabel = "personCurrentPosition"\n[property.fields]\nmanager = {boss}\n',
    )

    assert codes(mapping, {"Company": "", "First": "Bo", "Last": "Ek"}) == ["missing_key"]
    assert person(mapping, {"Company": "A", "First": "Bo", "Last": ""}).references == ("",)
    assert person(mapping, {"Company": "A", "First": "Bo", "Last": "Ek"}).references == (
        referred_key("mail:Bo.Ek@x.org"),
    )


def test_all_columns_of_key_and_account_must_be_there():
    """Without one of them the file is no export; the message names it."""
    mapping = a_mapping(account='template = "{User}@{Domain}"')

    with pytest.raises(ExportError, match="the column Domain is missing") as raised:
        bind(mapping, ["Id", "User", "Domaine"])

    assert raised.value.code == "missing_column"
    assert "did you mean 'Domaine'" in raised.value.message


# --- who counts -------------------------------------------------------------------------------------------------------

STATUS = '[status]\ncolumn = "State"\nin_scope = ["Active"]\non_leave = ["LOA"]\nleaver = ["Inactive"]\n'
LEAVE = '[leave]\ncolumn = "Away"\nwords = ["True", "yes"]\n'


@pytest.mark.parametrize(
    ("parts", "row", "leaver"),
    [
        (STATUS, {"State": "active"}, False),
        (STATUS, {"State": "loa"}, False),
        (STATUS, {"State": "INACTIVE"}, True),
        (STATUS + LEAVE, {"State": "Inactive", "Away": "TRUE"}, False),
        (STATUS + LEAVE, {"State": "Inactive", "Away": "False"}, True),
        (STATUS + LEAVE, {"State": "Inactive", "Away": ""}, True),
        (STATUS + LEAVE.replace("yes", " yes "), {"State": "Inactive", "Away": "Yes"}, False),
        (STATUS.replace("Active", "Active "), {"State": "Active"}, False),
        (STATUS + LEAVE, {"State": "Active", "Away": "True"}, False),
    ],
)
def test_who_is_on_leave_has_not_left(parts, row, leaver):
    """Words for leave, in the status or in a column of its own, keep somebody whom the status calls inactive."""
    assert person(a_mapping(parts), row).leaver is leaver


@pytest.mark.parametrize(
    ("parts", "row", "outside"),
    [
        ('[[scope]]\ncolumn = "Type"\nis = ["Employee", ""]', {"Type": "employee "}, False),
        ('[[scope]]\ncolumn = "Type"\nis = ["Employee", ""]', {"Type": ""}, False),
        ('[[scope]]\ncolumn = "Type"\nis = ["Employee"]', {"Type": "Vendor"}, True),
        ('[[scope]]\ncolumn = "Type"\nis_not = ["Vendor"]', {"Type": "Intern"}, False),
        ('[[scope]]\ncolumn = "Type"\nis_not = ["Vendor"]', {"Type": "VENDOR"}, True),
        (
            '[[scope]]\ncolumn = "Type"\nis = ["Employee"]\n[[scope]]\ncolumn = "Land"\nis = ["NO"]',
            {"Type": "Employee", "Land": "SE"},
            True,
        ),
    ],
)
def test_filters_tell_who_is_in_scope(parts, row, outside):
    """All filters must hold; words are compared without case, and "" is the blank cell."""
    assert person(a_mapping(parts), row).outside is outside


def test_a_row_out_of_scope_need_not_be_right():
    """What nobody sends is not validated: not its values, and not even its key or account."""
    mapping = a_mapping('[[scope]]\ncolumn = "Type"\nis = ["Employee"]\n' + STATUS)

    assert person(mapping, {"Id": "", "Account": "?", "Type": "Vacancy", "State": "?"}).outside
    assert codes(mapping, {"Id": "", "Account": "?", "Type": "Employee", "State": "?"}) == [
        "missing_key",
        "not_allowed",
        "bad_account",
    ]


@pytest.mark.parametrize(
    ("parts", "missing"),
    [
        ('[[scope]]\ncolumn = "Type"\nis = ["Employee"]', "Type"),
        (STATUS + LEAVE, "Away"),
        ('[effective]\nfrom = "From"\nuntil = "To"\n', "To"),
        ('[effective]\nfrom = "From"\n', "From"),
    ],
)
def test_a_file_without_a_column_that_tells_who_counts_is_refused(parts, missing):
    """Otherwise everybody would be in scope, or gone who is on leave, or back who left long ago."""
    mapping = a_mapping(parts)
    header = [name for name in ("Id", "Account", "State", "Type", "Away", "From", "To") if name != missing]

    with pytest.raises(ExportError, match=f"the column {missing} is missing") as raised:
        bind(mapping, header, today=date(2026, 11, 23))

    assert raised.value.code == "missing_column"


# --- effective dates --------------------------------------------------------------------------------------------------

DATED = '[effective]\nfrom = "From"\nuntil = "To"\n'
TODAY = date(2026, 11, 23)


def standing(row: dict[str, str]) -> tuple[bool, bool]:
    """Return whether a row's person is outside, and whether they have left, today."""
    found = person(a_mapping(DATED), row, TODAY)
    return found.outside, found.leaver


@pytest.mark.parametrize(
    ("row", "outside", "leaver"),
    [
        ({"From": "2020-01-01", "To": ""}, False, False),
        ({"From": "", "To": ""}, False, False),
        ({"From": "2026-11-23", "To": "2026-11-23"}, False, False),
        ({"From": "2026-11-24", "To": ""}, True, False),
        ({"From": "2020-01-01", "To": "2026-11-22"}, False, True),
        ({"From": "", "To": "2026-11-22"}, False, True),
    ],
)
def test_a_row_counts_from_its_first_to_its_last_day(row, outside, leaver):
    """Both days are included; before them the person is not there yet, after them they have left."""
    assert standing(row) == (outside, leaver)


def test_rows_of_one_person_are_ranked():
    """What counts today stands above what is over, that above what has not begun; the later first day decides."""
    rows = [
        {"From": "2027-06-01", "To": ""},
        {"From": "2027-01-01", "To": ""},
        {"From": "2010-01-01", "To": "2012-12-31"},
        {"From": "2023-01-01", "To": "2024-12-31"},
        {"From": "", "To": ""},
        {"From": "2013-01-01", "To": ""},
        {"From": "2025-01-01", "To": ""},
    ]

    ranks = [person(a_mapping(DATED), row, TODAY).rank for row in rows]

    assert ranks == sorted(ranks)
    assert len(set(ranks)) == len(ranks)


@pytest.mark.parametrize("row", [{"From": "soon", "To": ""}, {"From": "2026-01-02", "To": "2026-01-01"}])
def test_a_row_whose_days_cannot_be_read_is_a_bad_date_above_all(row):
    """It may be the one that counts today, so no other row of that person is taken in its place."""
    found = read(a_mapping(DATED), row, TODAY)

    assert isinstance(found, Rejection)
    assert found.code == "bad_date"
    assert found.rank > person(a_mapping(DATED), {"From": "2026-11-23", "To": ""}, TODAY).rank


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"From": "2026-12-01", "To": "2027-01-31"}, [date(2026, 12, 1), date(2027, 2, 1)]),
        ({"From": "2020-01-01", "To": "2026-11-23"}, [date(2026, 11, 24)]),
        ({"From": "2020-01-01", "To": ""}, []),
        ({"From": "2020-01-01", "To": "2026-11-22"}, []),
        ({"From": "?", "To": ""}, []),
        ({"From": "2020-01-01", "To": "9999-12-31"}, []),
        ({"From": "9999-12-31", "To": "9999-12-31"}, [date(9999, 12, 31)]),
    ],
)
def test_the_days_on_which_something_turns_are_known(row, expected):
    """A row begins to count on its first day, and ceases on the day after its last; no day follows the year 9999."""
    bound, cells = bound_to(a_mapping(DATED), row, TODAY)

    assert [date.fromordinal(day) for day in bound.turns(cells)] == expected


def test_a_row_that_is_over_or_has_not_begun_need_not_be_right():
    """History rows keep what was once wrong; nothing of them is sent."""
    mapping = a_mapping(
        DATED, last='\n[[property]]\nname = "extra"\nvalue = { column = "X", dates = ["DD.MM.YYYY"] }\n'
    )

    assert person(mapping, {"From": "", "To": "2020-01-01", "X": "?"}, TODAY).leaver
    assert person(mapping, {"From": "2030-01-01", "To": "", "X": "?", "Account": "?"}, TODAY).outside


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hr-delta-2026.csv", True),
        ("daily/HR-DELTA-1.CSV", True),
        ("hr-delta-2026.csv.gz", True),
        ("hr-2026.csv", False),
        ("hr-2026.csv.gz", False),
        ("delta.zip", True),
    ],
)
def test_a_files_name_tells_that_it_is_partial(name, expected):
    """The mapping's patterns are matched with the last part of the name, packed or not, without case."""
    mapping = a_mapping('[file]\npartial = ["*-delta-*.csv", "delta.*"]')

    assert mapping.is_partial(name) is expected


# --- mistakes ---------------------------------------------------------------------------------------------------------


def name_mistakes(spec: str) -> str:
    """Return what is wrong with one way to fill a display name."""
    with pytest.raises(ConfigurationError) as raised:
        name_from(spec)
    return "\n".join(raised.value.problems)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("{ split = 1 }", "split"),
        ('{ join = ", " }', "exactly one of column, columns or template; it has none"),
        ('{ column = "A", template = "{B}" }', "it has column and template"),
        ('{ column = "A", join = ", " }', "it belongs to columns"),
        ('{ template = "no column" }', "names no column"),
        ('{ template = "{A" }', "a single { or } stands in it"),
        ('{ column = "A", extract = "(" }', "is no regular expression"),
        ('{ column = "A", extract = "x*" }', "matches nothing at all too"),
        ('{ column = "A", otherwise = "keep" }', "neither is there"),
        ('{ column = "A", translate = { "x" = "1", "X" = "2" } }', "stands twice"),
        ('{ column = "A", dates = ["dd/mm/yyyy"] }', "each once, such as DD.MM.YYYY"),
        ('{ column = "A", dates = ["DD/MM/YYYY", "MM/DD/YYYY"] }', "read one text as different days"),
        ('{ column = "A", decimal = "," }', "is about numbers"),
        ('{ column = "A", true = ["x"] }', "is about true and false"),
        ('{ column = "A", list = ";" }', "holds one value, not a list"),
    ],
)
def test_a_field_that_makes_no_sense_is_refused(spec, said):
    """Each mistake is told with what is allowed."""
    assert said in name_mistakes(spec)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"top": 'timezone = "Europe/Olso"'}, "did you mean Europe/Oslo?"),
        ({"parts": "[effective]\n"}, "takes from or until"),
        ({"parts": '[[scope]]\ncolumn = "X"'}, "takes either is or is_not"),
        ({"parts": '[leave]\ncolumn = "X"\nwords = ["y"]'}, "without [status] nobody does"),
        ({"parts": '[file]\npartial = ["*"]'}, "takes every file for a partial one"),
        ({"parts": '[file]\npartial = ["*.CSV"]'}, "takes every file for a partial one"),
        ({"parts": '[file]\ndelimiter = ","\ndecimal = ","\npartial = ["*"]'}, "takes every file for a partial one"),
        ({"parts": '[file]\ntrue = ["x"]\nfalse = ["X"]'}, "means true as well"),
        ({"key": 'template = "x"'}, "names no column"),
        ({"account": 'column = "A"\nmatch = "employeeid"'}, "account"),
        (
            {"last": MAILS.replace("personEmails", "personName").replace("address", "first")},
            "personName holds one entity",
        ),
        ({"last": MAILS + '[[property.entity]]\ntype = { constant = "work" }'}, "has constants only"),
        (
            {"last": MAILS.replace("[[property.entity]]", 'fields = { address = "X" }\n[[property.entity]]', 1)},
            "not both",
        ),
        (
            {
                "last": MAILS.replace("personEmails", "personAddresses")
                .replace("address", '"detail.city"')
                .replace("type", '"detail.type"')
                .replace('"work"', '"other"')
            },
            "one of each detail.type",
        ),
        ({"last": '\n[[property]]\nname = "extra"\nvalue = { column = "X", split = ";" }\n'}, "holds one text"),
        ({"last": '\n[[property]]\nname = "extra"\ncolumn = "Salary"\n'}, "visible to the whole organisation"),
        (
            {"top": 'allow_sensitive = ["Salray"]', "last": '\n[[property]]\nname = "e"\ncolumn = "Salary"\n'},
            "did you mean",
        ),
        ({"last": MAILS.replace('"other"', '"personal"')}, "private"),
    ],
)
def test_a_mapping_that_makes_no_sense_is_refused(more, said):
    """Parts are held to each other, and to what Graph takes, before anything is read or sent."""
    assert said in mistakes(**more)


@pytest.mark.parametrize(
    ("label", "path", "spec", "said"),
    [
        ("personPhones", "type", '{ column = "X", translate = { "Mobil" = "moblie" } }', "did you mean mobile?"),
        (
            "personCurrentPosition",
            "detail.startMonthYear",
            '{ column = "X", blank = "clear" }',
            "clear sends empty text",
        ),
        ("personSkills", "displayName", '{ column = "X", blank = "clear" }', "clear sends empty text"),
        ("personCurrentPosition", "detail.layer", '{ column = "X", dates = ["DD.MM.YYYY"] }', "is about dates"),
        (
            "personCurrentPosition",
            "manager",
            '{ relationship = "manager" }',
            "exactly one of person, columns or template",
        ),
        ("personCurrentPosition", "manager", '{ person = "X", relationship = "manger" }', "did you mean manager?"),
    ],
)
def test_a_field_is_held_to_what_its_label_takes(label, path, spec, said):
    """Enumerations, texts, lists and references each have their own ways to be filled."""
    with pytest.raises(ConfigurationError) as raised:
        field_from(label, path, spec)

    assert said in "\n".join(raised.value.problems)


def test_sensitive_columns_may_be_allowed():
    """Whoever writes the column's name twice means it; how names are spelt makes no difference."""
    mapping = a_mapping(
        top='allow_sensitive = ["home street"]', last='\n[[property]]\nname = "extra"\ncolumn = "HomeStreet"\n'
    )

    assert sends(mapping, {"HomeStreet": "Main St"}) == "Main St"


def test_words_that_count_as_blank_do_so_in_status_filters_and_dates():
    """``[file] blanks`` holds for every column, whatever the column is for."""
    blanks = '[file]\nblanks = ["n/a"]\n'
    scope = '[[scope]]\ncolumn = "Type"\nis = [""]\n'
    mapping = a_mapping(blanks + STATUS + DATED + scope)

    found = person(mapping, {"State": "N/A", "Type": "n/a", "From": "N/A", "To": "n/a"}, TODAY)

    assert (found.leaver, found.outside) == (False, False)


def test_a_column_that_says_of_what_type_others_are_may_be_allowed_too():
    """A type gives nothing away by itself, whatever the types are; a column with a telling name does."""
    last = """
[[property]]
name = "extra"
label = "personPhones"
[property.fields]
number = "Number"
type = { column = "KIND", translate = { "P" = "home" } }
"""

    said = mistakes(last=last)

    assert "the column Number looks like" in said
    assert "KIND" not in said
    assert codes(a_mapping(top='allow_sensitive = ["Number", "kind"]', last=last), {"Number": "1", "KIND": "P"}) == []
