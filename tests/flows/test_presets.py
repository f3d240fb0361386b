"""The packaged mappings for HR systems: each takes the export that looks like its system's, night after night."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest

from connector.core.contracts import contract_of
from connector.core.mapping import load_mapping
from connector.settings import mapping_problems
from connector.wiring import packaged_mapping
from tests.flows.world import DAY, Report, World
from tests.tenant import VirtualClock
from tests.tenant.contoso import SAMPLES
from tests.tenant.it import It

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.anyio

NIGHT = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)
"""The night of the first samples."""


@dataclass(frozen=True, slots=True)
class Preset:
    """A packaged mapping, and what must come of its samples' people (by the local part of their UPN)."""

    name: str
    seen: Mapping[str, str]
    """What people see of Amara in the first night."""
    then: str
    """Amara's title in the second."""
    users: Mapping[str, str] = field(default_factory=dict)
    """Local parts of UPNs where they are not the address's."""
    on_leave: bool = True
    """Linh is on leave, and the mapping can tell."""
    bad: tuple[str, ...] = ()
    """The codes of the rejected rows."""
    by_upn: tuple[tuple[str, str], ...] = ()
    """What to replace for the contract preview, which matches by UPN alone; the file itself says so."""

    def upn(self, person: str) -> str:
        """Return the UPN of somebody by the local part of their address."""
        return f"{self.users.get(person, person)}@contoso.com"


AMARA = {
    "name": "Amara Okafor",
    "first": "Amara",
    "last": "Okafor",
    "title": "Data Engineer",
    "department": "Platform",
    "office": "London",
    "since": "2020-03-09",
    "manager": "lukasz.nowak@contoso.com",
    "mails": "amara.okafor@contoso.com work",
    "phones": "+44 20 7946 0106 business",
    "anniversaries": "2020-03-09 work",
}

PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "workday",
            seen=AMARA
            | {
                "number": "1006",
                "role": "Data Engineer",
                "kind": "Employee",
                "company": "Contoso Ltd.",
                "cost centre": "CC210 Platform",
            },
            then="Senior Data Engineer",
            bad=("bad_date",),
            by_upn=(('column = "Employee ID"\nmatch = "employeeId"', 'column = "Email - Primary Work"'),),
        ),
        Preset(
            "successfactors",
            seen=AMARA
            | {
                "number": "E-1006",
                "division": "Product",
                "colleagues": "zoe.baker@contoso.com dotLineManager, hannah.weiss@contoso.com dotLineManager",
            },
            then="Senior Data Engineer",
            on_leave=False,
            bad=("missing_account",),
        ),
        Preset(
            "bamboohr",
            seen=AMARA | {"number": "006", "division": "Product", "kind": "Full-Time"},
            then="Data Engineer",
            bad=("not_allowed",),
            by_upn=(('match = "mail"', 'match = "userPrincipalName"'),),
        ),
        Preset(
            "csv2scim",
            seen={name: value for name, value in AMARA.items() if name != "mails"}
            | {
                "number": "1006",
                "kind": "Employee",
                "company": "Contoso",
                "division": "Product",
                "cost centre": "CC210",
                "manager": "EMP1003@contoso.com",
                "mails": "EMP1006@contoso.com work",
                "addresses": "1 Liverpool Street, London, EC2M 7QD, United Kingdom business",
            },
            then="Senior Data Engineer",
            users={
                "amara.okafor": "EMP1006",
                "helena.lindqvist": "EMP1001",
                "nguyen.linh": "EMP1019",
                "tomas.dvorak": "EMP1013",
                "ingrid.solberg": "EMP1015",
            },
            bad=("duplicate_key", "duplicate_key"),
        ),
    )
}


@pytest.fixture(params=list(PRESETS))
def preset(request: pytest.FixtureRequest) -> Preset:
    """Return each preset."""
    return PRESETS[request.param]


def text_of(name: str) -> str:
    """Return a packaged mapping's file."""
    return (files("connector") / "mappings" / f"{name}.toml").read_text(encoding="utf-8")


def changed(text: str, *replacements: tuple[str, str]) -> str:
    """Return a mapping's text with its operator's changes."""
    for before, after in replacements:
        assert before in text
        text = text.replace(before, after)
    return text


class Hr:
    """A company whose HR system exports as a preset has it, and whose IT follows."""

    def __init__(self, preset: Preset, contract: str, *changes: tuple[str, str]) -> None:
        self.world = World(clock=VirtualClock(NIGHT))
        changes += preset.by_upn if contract == "preview" else ()
        self.text = changed(text_of(preset.name), *changes).encode() if changes else b""
        mapping = load_mapping("own", self.text) if changes else packaged_mapping(preset.name)
        self.world.decide(MAPPING="blob:own.toml" if changes else preset.name)
        self.it = It(self.world.graph, mapping)
        self.preset = preset

    async def night(self, number: int, *edits: tuple[str, str]) -> Report:
        """Drop the sample of a night, with some text replaced, and fire the timer; the first one begins with setup."""
        if number == 1:
            await self.world.containers.state.write("own.toml", self.text)
            await self.world.setup()
        else:
            self.world.wait(DAY)
        name = f"{self.preset.name}-2026-11-{19 + number}.csv"
        export = changed((SAMPLES / name).read_bytes().decode(), *edits).encode()
        self.it.follow(name, export, today=self.world.clock.now().date())
        await self.world.drop(name, export)
        return await self.world.tick() or {}

    def seen(self, person: str) -> dict[str, str]:
        """Return what people see of somebody, in few words; nothing of somebody whom IT does not know."""
        return seen(self.world.profiles().get(self.preset.upn(person), {}))


def seen(profile: Mapping[str, Any]) -> dict[str, str]:
    """Return what a profile shows, in few words; several values in one."""
    position = profile.get("personCurrentPosition", {})
    detail, name = position.get("detail", {}), profile.get("personName", {})
    company = detail.get("company", {})
    shown = {
        "name": name.get("displayName"),
        "first": name.get("first"),
        "middle": name.get("middle"),
        "last": name.get("last"),
        "nickname": name.get("nickname"),
        "title": detail.get("jobTitle"),
        "role": detail.get("role"),
        "number": detail.get("employeeId"),
        "kind": detail.get("employeeType"),
        "since": detail.get("startMonthYear"),
        "company": company.get("displayName"),
        "department": company.get("department"),
        "division": company.get("division"),
        "cost centre": company.get("costCenter"),
        "office": company.get("officeLocation"),
        "manager": position.get("manager", {}).get("userPrincipalName"),
        "colleagues": several(position.get("colleagues"), "userPrincipalName", kind="relationship"),
        "mails": several(profile.get("personEmails"), "address"),
        "phones": several(profile.get("personPhones"), "number"),
        "anniversaries": several(profile.get("personAnniversaries"), "date"),
        "addresses": several(
            [address["detail"] for address in profile.get("personAddresses", [])],
            *("street", "city", "postalCode", "countryOrRegion"),
        ),
    }
    return {word: value for word, value in shown.items() if value}


def several(entities: Any, *fields: str, kind: str = "type") -> str:
    """Return entities in few words, each with its kind behind."""
    return ", ".join(
        f"{', '.join(entity[name] for name in fields if name in entity)} {entity[kind]}" for entity in entities or []
    )


async def test_a_presets_people_appear_as_its_export_has_them(preset: Preset, contract: str):
    """Everything that the preset reads of somebody stands on their profile, by the words people know it by."""
    hr = Hr(preset, contract)

    report = await hr.night(1)

    assert (report["outcome"], report["unmatched"], report["warnings"]) == ("completed", 0, {})
    assert hr.seen("amara.okafor") == preset.seen


async def test_whoever_leads_has_no_manager(preset: Preset, contract: str):
    """A blank cell, or the word that stands for nobody, is no manager and no mistake."""
    hr = Hr(preset, contract)

    await hr.night(1)

    shown = hr.seen("helena.lindqvist")
    assert shown["title"] == "Chief Executive Officer"
    assert "manager" not in shown


async def test_every_column_of_a_preset_is_in_its_sample(preset: Preset, contract: str):
    """The sample shows all that the preset can read, and what it does not send is left alone."""
    hr = Hr(preset, contract)

    report = await hr.night(1)

    assert report["export"]["missing_columns"] == []
    assert report["export"]["ignored_columns"]


async def test_the_bad_row_comes_back_to_hr(preset: Preset, contract: str):
    """The row that cannot be right is quarantined with its code, and nobody else is."""
    hr = Hr(preset, contract)

    await hr.night(1)

    (file,) = hr.world.blobs("quarantine").values()
    rows = list(csv.DictReader(io.StringIO(file.decode("utf-8-sig"), newline="")))
    assert tuple(row["_error_code"] for row in rows) == preset.bad
    assert "Ingrid" in file.decode()
    assert "title" not in (
        hr.seen("ingrid.solberg") if hr.world.graph.user_by_upn(preset.upn("ingrid.solberg")) else {}
    )


async def test_the_next_night_moves_some_and_lets_one_go(preset: Preset, contract: str):
    """Whose status says so has no profile of ours any more; a new title shows; nobody else is touched."""
    hr = Hr(preset, contract)
    await hr.night(1)
    before = hr.seen("tomas.dvorak")

    report = await hr.night(2)

    assert before["title"] == "Account Executive"
    assert "title" not in hr.seen("tomas.dvorak")
    assert hr.seen("amara.okafor")["title"] == preset.then
    assert (report["deleted"], report["updated"], report["created"]) == (1, 1, 0)


async def test_somebody_on_leave_stays(preset: Preset, contract: str):
    """Being on leave is not leaving, where the export can tell; and nobody else learns of it."""
    hr = Hr(preset, contract)

    await hr.night(1)

    shown = hr.seen("nguyen.linh")
    assert ("title" in shown) is preset.on_leave
    assert not any("leave" in value.casefold() for value in shown.values())


async def test_successfactors_custom_column_can_tell_who_is_on_leave(contract: str):
    """With the lines that the preset has as a comment, "inactive" people on leave keep their profile."""
    commented = '# [leave]\n# column = "CUSTOM05"\n# words = ["Leave of absence"]'
    hr = Hr(PRESETS["successfactors"], contract, (commented, commented.replace("# ", "")))

    await hr.night(1)

    assert hr.seen("nguyen.linh")["title"] == "Accountant"


async def test_of_several_entries_of_a_job_history_the_one_that_counts_shows(contract: str):
    """BambooHR: former entries and one to come stand beside today's; the day it begins, that one counts, by itself."""
    hr = Hr(PRESETS["bamboohr"], contract)
    await hr.night(1)
    await hr.night(2)
    former = hr.seen("amara.okafor"), hr.seen("zofia.kowalska")

    hr.world.wait((datetime(2027, 2, 1, 2, tzinfo=UTC) - hr.world.clock.now()).total_seconds())
    await hr.world.settle()

    assert [shown["title"] for shown in former] == ["Data Engineer", "Senior Software Engineer"]
    assert former[0]["manager"] == "lukasz.nowak@contoso.com"
    assert hr.seen("amara.okafor")["title"] == "Senior Data Engineer"


async def test_bamboohr_names_and_extensions(contract: str):
    """Whom people call otherwise has a nickname, an extension stands behind its number, contractors are told apart."""
    hr = Hr(PRESETS["bamboohr"], contract)

    await hr.night(1)

    assert (hr.seen("samuel.adeyemi")["nickname"], hr.seen("samuel.adeyemi")["kind"]) == ("Sam", "Contractor")
    assert hr.seen("lukasz.nowak")["phones"] == "+48 22 555 0103 ext. 12 business"


@pytest.mark.parametrize(
    ("person", "name"),
    [
        ("samuel.adeyemi", "Samuel Adeyemi"),  # [C]: a contingent worker
        ("nguyen.linh", "Linh Nguyễn"),  # (On Leave) (1019)
        ("miguel.perez", "Miguel Ángel Pérez"),
    ],
)
async def test_workdays_brackets_are_no_part_of_a_name(contract: str, person: str, name: str):
    """What Workday writes behind a name (an id, a kind, a state) is not shown as a part of it."""
    hr = Hr(PRESETS["workday"], contract)

    await hr.night(1)

    assert hr.seen(person)["name"] == name


@pytest.mark.parametrize(("yes", "no"), [("1", "0"), ("Y", "N"), ("TRUE", "FALSE")])
async def test_workdays_yes_and_no_in_other_words(contract: str, yes: str, no: str):
    """A report that a web service wrote says 1 and 0; people leave, stay and are on leave all the same."""
    hr = Hr(PRESETS["workday"], contract)
    words = ((",No,Yes,", f",{no},{yes},"), (",Yes,Yes,", f",{yes},{no},"))
    await hr.night(1, *words)

    report = await hr.night(2, *words, (",No,No,", f",{no},{no},"))

    assert (report["deleted"], report["rejected"]) == (1, 1)
    assert hr.seen("nguyen.linh")["title"] == "Accountant"
    assert "title" not in hr.seen("tomas.dvorak")


async def test_a_workday_manager_without_an_id_is_a_mistake_unless_the_mapping_says_otherwise(contract: str):
    """A name finds nobody: the row comes back to HR; with the word that the preset offers, it is sent without."""
    nameless = ("Łukasz Nowak (1003),amara", "Łukasz Nowak,amara")
    strict = Hr(PRESETS["workday"], contract)
    refused = await strict.night(1, nameless)

    lenient = Hr(PRESETS["workday"], contract, ("relationship = ", 'otherwise = "omit", relationship = '))
    taken = await lenient.night(1, nameless)

    assert [row["codes"] for row in refused["rows"]] == [["not_allowed"], ["bad_date"]]
    assert taken["rejected"] == 1
    assert "manager" not in lenient.seen("amara.okafor")


async def test_workdays_title_lines_and_total_are_no_people(contract: str):
    """The lines above the header and the total below the data are counted as skipped, and rejected by nobody."""
    hr = Hr(PRESETS["workday"], contract)

    report = await hr.night(1)

    assert (report["export"]["skipped"], report["rejected"], report["people"]) == (3, 1, 12)


async def test_successfactors_second_header_row_is_no_person(contract: str):
    """The labels under the keys are skipped, whatever they say; middle names and faxes have their places."""
    hr = Hr(PRESETS["successfactors"], contract)

    report = await hr.night(1)

    assert (report["export"]["skipped"], report["people"]) == (1, 12)
    assert hr.seen("miguel.perez")["name"] == "Miguel Ángel Pérez"
    assert hr.seen("miguel.perez")["middle"] == "Ángel"
    assert hr.seen("helena.lindqvist")["phones"] == "+46 8 465 004 11 business, +46 8 465 004 99 businessFax"


async def test_successfactors_has_two_words_for_no_manager(contract: str):
    """NO_MGR is nobody as well as NO_MANAGER: neither is sent, and neither is an unknown manager."""
    hr = Hr(PRESETS["successfactors"], contract)

    report = await hr.night(1, ("NO_MANAGER", "NO_MGR"))

    assert report["warnings"] == {}
    assert "manager" not in hr.seen("helena.lindqvist")


async def test_an_address_over_several_lines_stays_whole(contract: str):
    """csv2scim: a street with a line break in it is one cell, and a country that has no translation stays as it is."""
    hr = Hr(PRESETS["csv2scim"], contract)

    await hr.night(1)

    assert hr.seen("helena.lindqvist")["addresses"] == "Sveavägen 44\nplan 3, Stockholm, 111 34, SE business"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("workday", ('column = "Email - Primary Work"', 'match = "mail"')),
        ("workday", ('column = "Email - Primary Work"', 'match = "userPrincipalName"')),
        ("successfactors", ('column = "EMAIL"', 'match = "mail"')),
        ("successfactors", ('template = "{USERNAME}@contoso.com"', 'match = "userPrincipalName"')),
        ("csv2scim", ('column = "WorkerID"', 'match = "employeeId"')),
    ],
)
async def test_other_ways_to_find_accounts_are_as_told(contract: str, name: str, told: tuple[str, str]):
    """Each way that a preset offers as a comment finds everybody; preview, which has UPNs alone, refuses the others."""
    text = text_of(name)
    (used,) = re.findall(r"(?m)^\[account\].*\n(\w+ = .*\nmatch = .*)$", text)
    assert "\n".join(f"#   {line}" for line in told) in text
    changes = ((used, "\n".join(told)),)
    if contract == "preview" and "userPrincipalName" not in told[1]:
        mapping = load_mapping(name, changed(text, *changes).encode())
        assert any("matched by userPrincipalName" in problem for problem in contract_of("preview").problems(mapping))
        return

    hr = Hr(replace(PRESETS[name], by_upn=()), contract, *changes)
    report = await hr.night(1)

    assert (report["unmatched"], report["people"] - report["created"]) == (0, not PRESETS[name].on_leave)


def test_presets_are_known_by_name():
    """MAPPING takes each of them; a wrong name lists them all."""
    (problem,) = mapping_problems("peoplesoft")

    assert not any(list(mapping_problems(name)) for name in PRESETS)
    assert all(name in problem for name in (*PRESETS, "default", "tutorial"))


def test_a_preset_says_what_it_is():
    """Each begins by saying that it is a starting point, from which sources it was made, and what to adapt."""
    for name in PRESETS:
        head = text_of(name).partition("\nformat = 1")[0]
        assert "# A starting point" in head
        assert "https://" in head
        assert "# Adapt:" in head
        assert f"samples/{name}-2026-11-20.csv" in head
