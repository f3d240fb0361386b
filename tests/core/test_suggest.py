"""A first mapping for a file that nobody has described yet."""

from __future__ import annotations

import contextlib
import csv
import io
import tomllib
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from connector.core.export import column_key, open_export
from connector.core.mapping import Mapping, Person, bind, load_mapping
from connector.core.mapping.values import date_format
from connector.core.sensitive import sensitive
from connector.core.suggest import KNOWN, Table, suggest
from connector.core.suggest.columns import FEW, formats
from connector.core.suggest.names import meaning
from connector.core.suggest.states import states
from connector.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

DATE_FORMATS = (
    "YYYY-MM-DD",
    "YYYYMMDD",
    "D.M.YYYY",
    "DD.MM.YY",
    "M/D/YY",
    "DD/MM/YYYY",
    "DD-MMM-YY",
    "D MMM YYYY",
    "MMM D, YYYY",
    "D. MMMM YYYY",
)
TODAY = date(2026, 11, 22)
ROOT = Path(__file__).parents[2]
SAMPLES = sorted((ROOT / "tests" / "hr_samples").glob("*.csv"))
OURS = sorted((ROOT / "samples").glob("*.csv"))


def suggested(header: Sequence[str], *rows: Sequence[str]) -> str:
    """Return the suggestion for a file with these rows."""
    table = Table(header)
    for row in rows:
        table.add(row)
    return suggest("people.csv", table)


def read(header: Sequence[str], *rows: Sequence[str]) -> Any:
    """Return what a suggestion says, which must load as it is."""
    text = suggested(header, *rows)
    load_mapping("suggested", text.encode())
    return tomllib.loads(text)


def fields(said: Any, label: str) -> Any:
    """Return the fields of a label's one entity, None if it has no property."""
    found = [part for part in said["property"] if part.get("label") == label]
    return found[0].get("fields") if found else None


def entities(said: Any, label: str) -> Any:
    """Return the groups of a label's entities."""
    return next(part["entity"] for part in said["property"] if part.get("label") == label)


def numbered(count: int, *cells: str) -> list[list[str]]:
    """Return rows with a number in front and the same cells behind."""
    return [[f"{1000 + number}", *cells] for number in range(count)]


# --- real files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_real_export_gets_a_mapping_that_takes_its_rows(path: Path) -> None:
    """What is suggested loads as it is, finds all its columns again, and makes people of the rows."""
    with path.open("rb") as stream:
        export = open_export(path.name, stream, known=KNOWN)
        rows = list(export.rows)
    table = Table(export.header)
    for row in rows:
        table.add(row.cells)

    mapping = load_mapping("suggested", suggest(path.name, table).encode())

    bound = bind(mapping, export.header, today=TODAY)
    assert bound.absent == ()
    assert all(isinstance(bound.person(row), Person) for row in rows)


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_each_of_our_own_samples_gets_a_mapping_too(path: Path) -> None:
    """They are made to look like exports of other systems, wrong rows among them: most rows become people."""
    with path.open("rb") as stream:
        export = open_export(path.name, stream, known=KNOWN)
        rows = list(export.rows)
    table = Table(export.header)
    for row in rows:
        if not row.problem:
            table.add(row.cells)

    mapping = load_mapping("suggested", suggest(path.name, table).encode())

    bound = bind(mapping, export.header, today=TODAY)
    people = [row for row in rows[mapping.file.file.header_rows - 1 :] if isinstance(bound.person(row), Person)]
    assert bound.absent == ()
    assert len(people) * 4 >= len(rows) * 3


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_suggestion_tells_no_names(path: Path) -> None:
    """Only words that many rows share are told, never a cell that is one person's."""
    with path.open("rb") as stream:
        export = open_export(path.name, stream, known=KNOWN)
        rows = [row.cells for row in export.rows]
    table = Table(export.header)
    for cells in rows:
        table.add(cells)

    text = suggest(path.name, table)

    private = [
        place for place, name in enumerate(export.header) if "name" in name.casefold() or "mail" in name.casefold()
    ]
    assert private
    told = set(text.replace('"', " ").replace(",", " ").split())
    assert not told & {cells[place] for cells in rows for place in private}


def test_the_repeating_numbers_of_a_real_export_are_told() -> None:
    """Microsoft's sample has worker ids that stand twice under different names: that is said where the key is."""
    path = next(path for path in SAMPLES if "contractors" in path.name)
    with path.open("rb") as stream:
        export = open_export(path.name, stream, known=KNOWN)
        rows = [row.cells for row in export.rows]
    ids = [cells[0] for cells in rows]

    text = suggested(export.header, *rows)

    assert f"of {len(ids)} cells of WorkerID, {len(ids) - len(set(ids))} hold a value that stands further up" in text


LOOKS = {
    "BambooHR": (
        "Employee #,First Name,Last Name,Job Title,Department,Hire Date,Employment Status,Status,Work Email,Home Phone",
        "12,Ana,Ruiz,Engineer,Eng,2019-03-15,Full-Time,Active,ana@contoso.com,555",
        "13,Bo,Li,Buyer,Eng,2018-03-15,Terminated,Inactive,bo@contoso.com,555",
    ),
    "ADP": (
        "Payroll Name,Position ID,Position Description,Home Department,Position Status,File #,Hire Date",
        '"Ruiz, Ana",P1,Engineer,Eng,A,12,03/15/2019',
        '"Li, Bo",P1,Buyer,Ops,T,13,12/31/2017',
    ),
    "Personio": (
        "Personalnummer;Vorname;Nachname;Geburtsdatum;E-Mail;Position;Abteilung;Vorgesetzter;Einstellungsdatum;Status",
        "12;Jörg;Müller;01.01.1980;j@contoso.de;Entwickler;IT;;15.03.2019;Aktiv",
        "13;Änne;Weiß;01.01.1980;a@contoso.de;Leiterin;IT;j@contoso.de;01.02.2018;Ausgeschieden",
    ),
    "Oracle": (
        "Person Number,Display Name,Job Name,Department Name,Assignment Status,Hire Date,Manager Person Number",
        "12,Ana Ruiz,Engineer,Eng,Active - Payroll Eligible,15-Mar-2021,13",
        "13,Bo Li,Buyer,Eng,Suspended - Payroll Eligible,01-JAN-19,",
    ),
    "French": (
        "Matricule;Nom;Prénom;Poste;Service;Statut;Date d'entrée;Salaire",
        "12;Dupont;Éloïse;Ingénieur;R&D;Actif;31/04/2019;1",
        "13;Petit;Zoé;Chef;R&D;Sorti;25/06/2018;2",
    ),
}


@pytest.mark.parametrize("look", LOOKS)
def test_exports_of_known_looks_are_known(look: str) -> None:
    """Key, names, title, department, status and dates are found; what is private is left out."""
    export = open_export("people.csv", io.BytesIO("\n".join(LOOKS[look]).encode()), known=KNOWN)

    said = read(export.header, *(row.cells for row in export.rows))

    assert set(fields(said, "personName")) >= ({"displayName"} if look == "Oracle" else {"first", "last"})
    position = fields(said, "personCurrentPosition")
    assert position.keys() >= {"detail.employeeId", "detail.jobTitle", "detail.company.department"}
    assert ("detail.startMonthYear" in position) is (look != "French")  # one of its dates does not exist
    assert len(said["status"]["in_scope"]) == len(said["status"]["leaver"]) == 1
    assert len(said["status"]["in_scope"][0]) < len("Full-Time") or look == "Oracle"
    assert not [name for name in str(said).split("'") if sensitive(name)]


# --- any file ---------------------------------------------------------------------------------------------------------

NAMES = st.one_of(st.sampled_from(KNOWN), st.text(min_size=1, max_size=20).map(str.strip).filter(column_key))
CELLS = st.one_of(
    st.sampled_from(
        ["", "Active", "T", "yes", "03/04/2021", "2021-03-04", "a@b.c", "Ruiz, Ana", "Ana (7)", "n/a", "1"]
    ),
    st.text(max_size=12),
)


@given(st.data(), st.lists(NAMES, min_size=1, max_size=12, unique_by=column_key))
def test_any_header_gets_a_mapping_or_hears_what_is_missing(data: st.DataObject, header: list[str]) -> None:
    """Whatever names and cells a file has: TOML that loads, or a refusal that asks for a key."""
    rows = data.draw(st.lists(st.lists(CELLS, min_size=len(header), max_size=len(header)), max_size=6))

    with contextlib.suppress(BadRequest):
        mapping = load_mapping("suggested", suggested(header, *rows).encode())

        assert bind(mapping, header, today=TODAY).absent == ()


@given(st.lists(NAMES, min_size=1, max_size=12, unique_by=column_key))
def test_no_sensitive_column_is_sent(header: list[str]) -> None:
    """A column that looks sensitive stands in a comment, with what it looks like."""
    header = [*(name for name in header if column_key(name) != "employeeid"), "Employee ID"]
    assume(len(set(map(column_key, header))) == len(header))

    text = suggested(header)

    mapping = load_mapping("suggested", text.encode())
    assert mapping.file.allow_sensitive == ()
    sent = set(mapping.columns[2:])
    assert not [name for name in sent if sensitive(name)]


def test_what_is_commented_out_is_right_toml_too() -> None:
    """Taking the # away from the proposals gives a mapping that loads: nobody must know TOML to use them."""
    header = ["Employee ID", 'Odd "name" \\ {x}', "Größe", "Employee  Badge", "社員", "Badge-Code"]
    text = suggested(header, *(["1", "a", "b", "c", "d", "e"], ["2", "a", "b", "c", "d", "e"]))
    start = text.index("# Not mapped. Each could")
    proposals = [
        line[2:] for line in text[start:].splitlines() if line.startswith(("# [[", "# name", "# desc", "# column"))
    ]

    mapping = load_mapping("suggested", (text + "\n" + "\n".join(proposals)).encode())

    assert [part.column for part in mapping.file.property if part.column] == header[1:]


# --- the key ----------------------------------------------------------------------------------------------------------


def test_the_key_is_the_id_that_nobody_shares() -> None:
    """Of two columns called like ids, the one that repeats is none."""
    rows = [["7", f"E{number}", "Ann"] for number in range(30)]

    said = read(["Employee ID", "Person Number", "First Name"], *rows)

    assert said["key"] == {"column": "Person Number"}


def test_of_two_ids_the_key_is_the_one_by_which_managers_are_named() -> None:
    """SuccessFactors has a user id and an employee number, and managers by user id."""
    said = read(["USERID", "EMPID", "MANAGER"], ["u1", "71", "NO_MANAGER"], ["u2", "72", "u1"], ["u3", "73", "u1"])

    assert said["key"] == {"column": "USERID"}
    assert fields(said, "personCurrentPosition")["manager"]["by"] == "key"


def test_a_key_may_repeat_here_and_there_if_managers_are_named_by_it() -> None:
    """One wrong row does not make a login the better key; it is told."""
    rows = [[str(number % 20), f"EMP{number}", "3"] for number in range(21)]
    text = suggested(["WorkerID", "UserID", "ManagerID"], *rows)

    assert tomllib.loads(text)["key"] == {"column": "WorkerID"}
    assert "of 21 cells of WorkerID, 1 holds a value that stands further up" in text


def test_an_id_inside_the_name_is_a_key() -> None:
    """Workday's roster may have the worker's number in brackets behind the name, and nowhere else."""
    header = ["Worker", "Business Title"]
    rows = [["Ana Ruiz (1001)", "Engineer"], ["Bo Li (1002)", "Engineer"], ["Bo Li (1003)", "Buyer"]]
    text = suggested(header, *rows)

    mapping = load_mapping("suggested", text.encode())

    table = io.StringIO()
    csv.writer(table).writerows([header, *rows])
    export = open_export("people.csv", io.BytesIO(table.getvalue().encode()))
    people = [bind(mapping, export.header, today=TODAY).person(row) for row in export.rows]
    assert [getattr(person, "key", None) for person in people] == ["1001", "1002", "1003"]


def test_a_file_without_a_key_is_refused() -> None:
    """Departments and names are nobody's key."""
    with pytest.raises(BadRequest, match="no column can be the person's key"):
        suggested(["Department", "First Name"], ["Sales", "Ann"], ["Sales", "Bob"])


# --- the account ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "cell", "match"),
    [
        ("User Principal Name", "ann{}@contoso.com", "userPrincipalName"),
        ("Username", "ann{}@contoso.com", "userPrincipalName"),
        ("Object ID", "aaaaaaaa-0000-4000-8000-00000000000{}", "id"),
        ("Work Email", "ann{}@contoso.com", "mail"),
    ],
)
def test_the_account_is_the_surest_that_the_file_has(name: str, cell: str, match: str) -> None:
    """A login with @ is a user principal name, a GUID an object id, a work mail address a mail address."""
    said = read(["Employee ID", name], *([str(number), cell.format(number)] for number in range(5)))

    assert said["account"] == {"column": name, "match": match}


def test_without_login_and_mail_the_number_is_the_account_and_a_template_is_shown() -> None:
    """Which domain logins have, only a person knows, so the template is a comment."""
    header = ["Employee ID", "User ID"]
    text = suggested(header, ["1", "EMP1"], ["2", "EMP2"])

    assert tomllib.loads(text)["account"] == {"column": "Employee ID", "match": "employeeId"}
    assert '# template = "{User ID}@YOUR-DOMAIN"' in text


def test_a_private_mail_address_is_no_account() -> None:
    """It looks sensitive, so it is neither sent nor used."""
    said = read(["Employee ID", "Personal Email"], ["1", "a@gmail.com"], ["2", "b@gmail.com"])

    assert said["account"]["match"] == "employeeId"
    assert fields(said, "personEmails") is None


# --- status -----------------------------------------------------------------------------------------------------------


def test_status_words_are_sorted_and_unknown_ones_are_left_to_a_person() -> None:
    """An unknown word must neither send nor delete anybody: it stands in no list, so its rows are rejected."""
    words = ["Active", "Terminated - Voluntary", "LOA", "Zorp", "Zorp", "Once"]
    header = ["Employee ID", "Status"]
    text = suggested(header, *([str(number), word] for number, word in enumerate(words)))

    assert tomllib.loads(text)["status"] == {
        "column": "Status",
        "in_scope": ["Active"],
        "on_leave": ["LOA"],
        "leaver": ["Terminated - Voluntary"],
    }
    assert "Zorp (2 rows)" in text
    assert "Once" not in text
    load_mapping("suggested", text.encode())


@pytest.mark.parametrize(
    ("words", "in_scope", "leaver"),
    [
        (["A", "L", "T"], ("A",), ("T",)),
        (["t", "f"], ("t",), ("f",)),
        (["Yes", "No"], ("Yes",), ("No",)),
        (["1", "0"], ("1",), ("0",)),
        (["Aktiv", "Ausgeschieden"], ("Aktiv",), ("Ausgeschieden",)),
        (["Actif", "Sorti"], ("Actif",), ("Sorti",)),
        (
            ["Suspended - Payroll Eligible", "Active - Payroll Eligible"],
            ("Active - Payroll Eligible",),
            ("Suspended - Payroll Eligible",),
        ),
    ],
)
def test_systems_have_their_own_words(words: list[str], in_scope: tuple[str, ...], leaver: tuple[str, ...]) -> None:
    """ADP's T has left, SuccessFactors' t is there."""
    found = states(dict.fromkeys(words, 1))

    assert (found.in_scope, found.leaver) == (in_scope, leaver)


def test_a_column_that_only_says_yes_today_says_no_tomorrow() -> None:
    """The other word is listed before it comes, so that the first leaver is one."""
    said = read(["Employee ID", "Active Status"], ["1", "Yes"], ["2", "Yes"])

    assert said["status"] == {"column": "Active Status", "in_scope": ["Yes"], "leaver": ["No"]}


def test_without_a_status_nobody_need_be_kept() -> None:
    """Who is on leave matters only where a status could say that they left."""
    with_status = read(["Employee ID", "Status", "On Leave"], ["1", "Inactive", "True"], ["2", "Active", "False"])
    without = read(["Employee ID", "On Leave"], ["1", "True"], ["2", "False"])

    assert with_status["leave"] == {"column": "On Leave", "words": ["True"]}
    assert "leave" not in without


def test_a_column_of_states_is_no_status() -> None:
    """In Spanish both are called Estado; the cells tell which it is."""
    header = ["Número de empleado", "Ciudad", "Estado"]
    of_places = read(header, ["1", "Monterrey", "NL"], ["2", "Monterrey", "NL"])
    of_people = read(header, ["1", "Monterrey", "Activo"], ["2", "Monterrey", "Zorp"])

    assert fields(of_places, "personAddresses")["detail.state"] == "Estado"
    assert "status" not in of_places
    assert of_people["status"]["column"] == "Estado"


def test_a_status_of_unknown_words_alone_sends_nobody() -> None:
    """Whoever reads it through decides; until then every row is rejected."""
    said = read(["Employee ID", "Status"], ["1", "Zorp"], ["2", "Zorp"], ["3", "Blub"])

    assert said["status"] == {"column": "Status", "in_scope": [], "leaver": []}


def test_a_column_of_who_is_gone_is_read_the_other_way_round() -> None:
    """Yes in "Terminated" is a leaver."""
    said = read(["Employee ID", "Terminated"], ["1", "Yes"], ["2", "No"])

    assert said["status"] == {"column": "Terminated", "in_scope": ["No"], "leaver": ["Yes"]}


def test_of_two_status_columns_the_one_counts_that_tells_who_left() -> None:
    """BambooHR has an employment status, full-time or part-time, and a status."""
    rows = [["1", "Full-Time", "Active"], ["2", "Part-Time", "Inactive"]]

    said = read(["Employee #", "Employment Status", "Status"], *rows)

    assert said["status"]["column"] == "Status"


# --- dates ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "dates"),
    [
        (["15.03.2019", "01.04.2020"], ["DD.MM.YYYY"]),
        (["03/15/2019", "01/02/2020"], ["MM/DD/YYYY"]),
        (["15/03/2019", "01/02/2020"], ["DD/MM/YYYY"]),
        (["3/15/2019", "11/12/2020"], ["M/D/YYYY"]),
        (["15-Mar-2019", "01-JAN-2019"], ["DD-MMM-YYYY"]),
        (["01-JAN-19", "15-MAR-20"], ["DD-MMM-YY"]),
        (["20190315", "20200101"], ["YYYYMMDD"]),
        (["2019/03/15", "2020/01/01"], ["YYYY/MM/DD"]),
        (["03/15/2019 12:00:00 AM", "01/02/2020 0:00"], ["MM/DD/YYYY"]),
        (["2019-03-15", "03/15/2019"], ["YYYY-MM-DD", "MM/DD/YYYY"]),
    ],
)
def test_dates_are_found_by_what_the_column_holds(cells: list[str], dates: list[str]) -> None:
    """One cell that can only be read one way decides for all."""
    said = read(["Employee ID", "Hire Date"], *([str(number), cell] for number, cell in enumerate(cells)))

    assert sorted(fields(said, "personCurrentPosition")["detail.startMonthYear"]["dates"]) == sorted(dates)


def test_dates_that_could_be_either_are_left_to_a_person() -> None:
    """With no day above 12 nothing tells whether it is the third of April or the fourth of March."""
    header = ["Employee ID", "Hire Date"]
    text = suggested(header, ["1", "03/04/2019"], ["2", "05/06/2019"])

    assert "detail.startMonthYear" not in fields(tomllib.loads(text), "personCurrentPosition")
    assert '# "detail.startMonthYear" = { column = "Hire Date", dates = ["DD/MM/YYYY"] }' in text
    assert "no cell tells" in text


def test_another_column_tells_how_dates_are_written() -> None:
    """One system writes all its dates in one way."""
    rows = [["1", "03/04/2019", "31/01/2020"], ["2", "05/06/2019", "01/02/2020"]]

    said = read(["Employee ID", "Hire Date", "Badge issued"], *rows)

    assert fields(said, "personCurrentPosition")["detail.startMonthYear"]["dates"] == ["DD/MM/YYYY"]


def test_dates_in_no_known_form_are_left_to_a_person() -> None:
    """A field of dates that rejects every row helps nobody."""
    text = suggested(["Employee ID", "Hire Date"], ["1", "spring 2019"], ["2", "week 7"])

    assert "detail.startMonthYear" not in fields(tomllib.loads(text), "personCurrentPosition")
    assert '# "detail.startMonthYear" = "Hire Date"' in text


def test_iso_dates_need_no_format() -> None:
    """They are what a mapping takes anyway."""
    said = read(["Employee ID", "Hire Date"], ["1", "2019-03-15"])

    assert fields(said, "personCurrentPosition")["detail.startMonthYear"] == "Hire Date"


@example("2021-02-30")
@given(st.text(max_size=20))
def test_any_text_can_be_asked_for_its_date(text: str) -> None:
    """It has formats only if they read it."""
    assert not formats(text) or any(character.isdigit() for character in text)


@given(
    st.dates(date(1970, 1, 1), date(2068, 12, 31)),
    st.sampled_from(DATE_FORMATS),
    st.sampled_from(["", " 00:00", "T12:30:00Z"]),
)
def test_a_date_is_known_in_the_format_it_was_written_in(day: date, text: str, time: str) -> None:
    """Whatever the day, and with a time behind it."""
    assert text in formats(date_format(text).write(day) + time)


# --- other people -----------------------------------------------------------------------------------------------------


def test_managers_are_found_by_key_when_they_are_keys() -> None:
    """SuccessFactors writes NO_MANAGER for the one at the top."""
    rows = [["1", "NO_MANAGER"], ["2", "1"], ["3", "1"]]

    said = read(["USERID", "MANAGER"], *rows)

    assert fields(said, "personCurrentPosition")["manager"] == {
        "person": "MANAGER",
        "by": "key",
        "relationship": "manager",
        "blanks": ["NO_MANAGER"],
    }


def test_managers_are_found_by_the_key_behind_their_name() -> None:
    """Workday writes Ana Ruiz (1001)."""
    rows = [["1001", ""], ["1002", "Ana Ruiz (1001)"], ["1003", "Bo Li (1002)"]]

    said = read(["Employee ID", "Worker's Manager"], *rows)

    manager = fields(said, "personCurrentPosition")["manager"]
    assert manager["by"] == "key"
    assert "extract" in manager


@pytest.mark.parametrize(("account", "by"), [("UPN", "userPrincipalName"), ("Work Email", "mail")])
def test_managers_are_found_by_what_accounts_are_found_by(account: str, by: str) -> None:
    """Their addresses stand in the column of accounts, or are mail addresses."""
    rows = [["1", "a@contoso.com", ""], ["2", "b@contoso.com", "a@contoso.com"]]

    said = read(["Employee ID", account, "Manager Email"], *rows)

    assert fields(said, "personCurrentPosition")["manager"]["by"] == by


def test_a_manager_who_is_only_named_is_left_to_a_person() -> None:
    """Two people may have one name."""
    text = suggested(["Employee ID", "Reports To"], ["1", ""], ["2", "Ana Ruiz"])

    assert "manager" not in fields(tomllib.loads(text), "personCurrentPosition")
    assert '# manager = { person = "Reports To"' in text


# --- names, mail, phones, places --------------------------------------------------------------------------------------


def test_a_name_that_is_written_last_first_is_taken_apart() -> None:
    """ADP's payroll name."""
    said = read(["File #", "Payroll Name"], ["1", "Ruiz, Ana"], ["2", "Li, Bo"])

    name = fields(said, "personName")
    assert set(name) == {"first", "last"}
    assert name["first"]["column"] == "Payroll Name"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (["ID", "Name", "Vorname"], {"last": "Name", "first": "Vorname"}),
        (["ID", "Name"], {"displayName": "Name"}),
        (["ID", "Nome", "Cognome"], {"first": "Nome", "last": "Cognome"}),
        (["ID", "Nome"], {"displayName": "Nome"}),
        (["ID", "Nom", "Prénom"], {"last": "Nom", "first": "Prénom"}),
        (["ID", "Nom"], {"displayName": "Nom"}),
    ],
)
def test_what_a_name_means_depends_on_the_columns_beside_it(header: list[str], expected: dict[str, str]) -> None:
    """A German Name beside a Vorname is a last name."""
    rows = [[str(number), *["Ann"] * (len(header) - 1)] for number in range(2)]

    assert fields(read(header, *rows), "personName") == expected


def test_several_addresses_and_phones_are_several_entities() -> None:
    """Each with its type; Graph takes three mail addresses."""
    header = ["Employee ID", "Work Email", "Alternate Email", "Work Phone", "Mobile Phone"]
    rows = [
        [str(number), f"a{number}@b.com", f"c{number}@b.com", "555 010 2030", "555 010 4050"] for number in range(3)
    ]

    said = read(header, *rows)

    assert entities(said, "personEmails") == [
        {"address": "Work Email", "type": {"constant": "work"}},
        {"address": "Alternate Email", "type": {"constant": "other"}},
    ]
    assert entities(said, "personPhones") == [
        {"number": "Work Phone", "type": {"constant": "business"}},
        {"number": "Mobile Phone", "type": {"constant": "mobile"}},
    ]


def test_streets_that_nearly_everybody_has_alone_are_homes() -> None:
    """Colleagues share an office, so such a column is proposed only."""
    header = ["Employee ID", "Street Address", "City"]
    homes = [[str(number), f"{number} Main Street", "Oslo"] for number in range(40)]
    offices = numbered(40, "1 Main Street", "Oslo")

    assert fields(read(header, *homes), "personAddresses") is None
    assert fields(read(header, *offices), "personAddresses") == {
        "detail.street": "Street Address",
        "detail.city": "City",
        "detail.type": {"constant": "business"},
    }


def test_a_name_that_would_be_shown_last_first_is_left_to_a_person() -> None:
    """Where the parts have columns of their own, the whole is not needed."""
    header = ["File #", "Payroll Name", "First Name", "Last Name"]
    text = suggested(header, ["1", "Ruiz, Ana", "Ana", "Ruiz"], ["2", "Li, Bo", "Bo", "Li"])

    assert fields(tomllib.loads(text), "personName") == {"first": "First Name", "last": "Last Name"}
    assert '# displayName = "Payroll Name"' in text


def test_studies_sites_and_notes_have_their_labels() -> None:
    """What people learned, where they are on the web, and what they say of themselves."""
    header = ["Employee ID", "University", "Degree", "Majors", "Website", "LinkedIn", "About Me"]
    row = ["1", "NTNU", "MSc", "Physics; Maths", "https://ann.example", "https://linkedin.example/ann", "I sail."]

    said = read(header, row, ["2", "", "", "Biology; Law", "", "", ""])

    assert fields(said, "personEducationalActivities") == {
        "institution.displayName": "University",
        "program.displayName": "Degree",
        "program.fieldsOfStudy": {"column": "Majors", "list": ";"},
    }
    assert fields(said, "personWebSite") == {"webUrl": "Website"}
    assert fields(said, "personWebAccounts") == {"webUrl": "LinkedIn", "service.name": {"constant": "LinkedIn"}}
    assert fields(said, "personNote")["detail.content"] == "About Me"


def test_what_is_no_address_on_the_web_is_not_sent_as_one() -> None:
    """Its rows would be rejected one by one."""
    said = read(["Employee ID", "Website", "LinkedIn"], ["1", "ask me", "ann"], ["2", "none", "bob"])

    assert fields(said, "personWebSite") is None
    assert fields(said, "personWebAccounts") is None


def test_kinds_of_workers_are_proposed_as_a_filter() -> None:
    """Whether contractors are to be sent, a person decides."""
    rows = [[str(number), "Employee" if number % 2 else "Contractor"] for number in range(6)]
    text = suggested(["Employee ID", "Worker Type"], *rows)

    assert "scope" not in tomllib.loads(text)
    assert '# is = ["Contractor", "Employee"]' in text


def test_lists_in_cells_are_split_where_the_cells_are() -> None:
    """The separator is the one the cells have."""
    said = read(["Employee ID", "Skills", "Languages"], ["1", "C; Go", "Norsk"], ["2", "SQL", "English"])

    assert fields(said, "personSkills") == {"displayName": {"column": "Skills", "split": ";"}}
    assert fields(said, "personLanguages") == {"displayName": "Languages"}


# --- headers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("EMPLOYEE_ID", "key"),
        ("empNo", "key"),
        ("Personalnummer", "key"),
        ("Matricule", "key"),
        ("Número de empleado", "key"),
        ("Personeelsnummer", "key"),
        ("Ansattnummer", "key"),
        ("Anställningsnummer", "key"),
        ("Matricola", "key"),
        ("Vorname", "first"),
        ("Prénom", "first"),
        ("Worker First Name", "first"),
        ("Nachname", "last"),
        ("Business Title", "jobTitle"),
        ("Poste", "jobTitle"),
        ("Home Department", "department"),
        ("Departmnet", "department"),
        ("Date d'entrée", "startDate"),
        ("Work Contact: Work Email", "workEmail"),
        ("Reports To", "manager"),
        ("Mgr", "manager"),
        ("Mgr ID", "managerKey"),
        ("Worker's Manager", "manager"),
    ],
)
def test_a_column_means_what_it_is_called(name: str, of: str) -> None:
    """In any spelling, in nine languages, with a slip of the pen."""
    found = meaning(name)

    assert found
    assert found.of == of


@pytest.mark.parametrize("name", ["Badge", "Custom01", "T-Shirt Size", "Email 9", "X"])
def test_a_column_of_another_name_means_nothing_known(name: str) -> None:
    """A guess would send what nobody asked for."""
    assert meaning(name) is None


def test_no_known_name_is_sensitive() -> None:
    """A column that is suggested by its name would be refused by the very check that the suggestion must pass."""
    assert not [name for name in KNOWN if sensitive(name)]


def test_labels_under_the_names_are_no_person() -> None:
    """SuccessFactors has a second header row; by it, even a custom column is known."""
    header = ["STATUS", "USERID", "FIRSTNAME", "CUSTOM01", "CUSTOM02"]
    labels = ["Employee Status", "User Name", "Given Name", "Cost Center", "Base Salary"]
    people = [["active", "1", "Ann", "CC1", "9"], ["inactive", "2", "Bob", "CC2", "9"]]

    text = suggested(header, labels, *people)

    said = tomllib.loads(text)
    assert said["file"] == {"header_rows": 2}
    assert said["status"]["in_scope"] == ["active"]
    assert fields(said, "personCurrentPosition")["detail.company.costCenter"] == "CUSTOM01"
    assert '"CUSTOM02" looks like pay' in text
    assert "CUSTOM02" not in str(said)


def test_words_for_nothing_count_as_blank() -> None:
    """They are listed once, as written."""
    said = read(["Employee ID", "Department"], ["1", "N/A"], ["2", "Sales"])

    assert said["file"] == {"blanks": ["N/A"]}


def test_dated_rows_of_one_key_are_told_apart_by_their_day() -> None:
    """Keys repeat and rows have the day from which they count."""
    rows = [["1", "01/31/2020"], ["1", "02/28/2021"], ["2", "01/01/2020"]]

    said = read(["PersonId", "EffectiveDate"], *rows)

    assert said["effective"] == {"from": "EffectiveDate", "dates": ["MM/DD/YYYY"]}


def test_a_column_with_many_words_keeps_none() -> None:
    """Memory does not grow with what is in the cells, and nothing of them can be told."""
    table = Table(["Employee ID", "Status"])
    for number in range(FEW + 3):
        table.add([str(number), f"word {number}"])

    columns = table.columns(labels=False)

    assert [column.words for column in columns] == [{}, {}]
    assert isinstance(load_mapping("suggested", suggest("x.csv", table).encode()), Mapping)
