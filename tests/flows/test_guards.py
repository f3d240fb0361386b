"""Exports and mappings that would change too much: refused before anything is sent, and how they pass if meant.

What each guard counts, and its very edge, is in ``tests/core/test_guards.py``.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from connector.core.head import dump_head
from connector.core.ledger import dump_ledger
from tests.flows.world import DAY, World, a_person, a_world, an_export, people

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tests.flows.world import Report, Row

pytestmark = pytest.mark.anyio

COUNT = 24
STAFF = [person | {"Department": f"Dept {number}"} for number, person in enumerate(people(COUNT))]
TITLE = ('jobTitle" = "JobTitle"', 'jobTitle" = "Department"')
"""A change of the mapping that sends another title of everybody."""


def guard(report: dict[str, Any], name: str) -> dict[str, Any]:
    """Return what a guard found."""
    return next(each for each in report["guards"] if each["name"] == name)


def tripped(report: dict[str, Any]) -> set[str]:
    """Return the names of the guards that tripped."""
    return {each["name"] for each in report["guards"] if each["tripped"]}


def changed(count: int, **cells: str) -> list[Row]:
    """Return the staff, the first of whom have other cells."""
    return [person | cells if number < count else person for number, person in enumerate(STAFF)]


def shifted(rows: Sequence[Row], column: str) -> list[Row]:
    """Return the rows with one column's cells moved down by one, as when it was sorted by itself."""
    cells = [row[column] for row in rows]
    return [row | {column: cell} for row, cell in zip(rows, [cells[-1], *cells[:-1]], strict=True)]


async def a_company(**settings: object) -> World:
    """Return a world in which the staff has been sent."""
    world = await a_world(**settings)
    report = await world.night(STAFF)
    assert (report["created"], tripped(report)) == (COUNT, set())
    return world


# --- each at its edge -------------------------------------------------------------------------------------------------


async def bad_rows(count: int, bad: int) -> Report:
    """Return the report of an export in which so many rows are rejected."""
    world = await a_world()
    return await world.night([row | ({"HireDate": "soon"} if n < bad else {}) for n, row in enumerate(people(count))])


async def without_account(count: int, lacking: int) -> Report:
    """Return the report of an export of which so many people have no account."""
    world = await a_world()
    world.without_account = {row["UserPrincipalName"] for row in people(lacking)}
    return await world.night(people(count))


async def other_titles(count: int, other: int) -> Report:
    """Return the report of a night on which so many people have another title."""
    world = await a_world()
    await world.night(people(count))
    return await world.night([*people(other, title="Chef"), *people(count - other, start=other + 1)])


async def other_cells(count: int, other: int) -> Report:
    """Return the report of a night on which half of so many people have another title, and half another phone."""
    world = await a_world()
    await world.night(people(count))
    half = other // 2
    chefs, phones = people(half, title="Chef"), people(other - half, start=half + 1, Phone="7")
    return await world.night([*chefs, *phones, *people(count - other, start=other + 1)])


async def blank_titles(count: int, blank: int) -> Report:
    """Return the report of a night on which so many people have lost their title."""
    world = await a_world(MAX_CHANGE_PERCENT=100)
    await world.night(people(count))
    return await world.night([*people(blank, title=""), *people(count - blank, start=blank + 1)])


async def other_items(count: int, other: int) -> Report:
    """Return the report of a mapping that makes other items of so many people."""
    world = await a_world()
    await world.night([*people(other, Division="Chef"), *people(count - other, start=other + 1, Division="Clerk")])
    await world.map_with(('jobTitle" = "JobTitle"', 'jobTitle" = "Division"'))
    return await world.tick() or {}


async def other_keys(count: int, other: int) -> Report:
    """Return the report of a night on which so many accounts have another key."""
    world = await a_world()
    await world.night(people(count))
    moved = [row | {"EmployeeId": "N" + row["EmployeeId"]} for row in people(other)]
    return await world.night([*moved, *people(count - other, start=other + 1)])


async def strangers(count: int, other: int) -> Report:
    """Return the report of a night on which so many people have made way for people of other keys and accounts."""
    world = await a_world()
    await world.night(people(count))
    return await world.night([*people(other, start=1000), *people(count - other, start=other + 1)])


@pytest.mark.parametrize(
    ("name", "code", "night", "count", "many", "trips"),
    [
        ("rejected", "too_many_rejected", bad_rows, 20, 4, False),
        ("rejected", "too_many_rejected", bad_rows, 20, 5, True),
        ("rejected", "too_many_rejected", bad_rows, 19, 19, False),
        ("match_rate", "match_rate", without_account, 20, 10, False),
        ("match_rate", "match_rate", without_account, 20, 11, True),
        ("match_rate", "match_rate", without_account, 19, 19, False),
        ("field", "field_changed", other_titles, 20, 10, False),
        ("field", "field_changed", other_titles, 20, 11, True),
        ("field", "field_changed", other_titles, 19, 19, False),
        ("cells", "cells_changed", other_cells, 20, 10, False),
        ("cells", "cells_changed", other_cells, 20, 11, True),
        ("cells", "cells_changed", other_cells, 19, 19, False),
        ("emptied", "column_emptied", blank_titles, 20, 10, False),
        ("emptied", "column_emptied", blank_titles, 20, 11, True),
        ("emptied", "column_emptied", blank_titles, 19, 19, False),
        ("mapping", "mapping_change", other_items, 20, 10, False),
        ("mapping", "mapping_change", other_items, 20, 11, True),
        ("mapping", "mapping_change", other_items, 19, 19, False),
        ("rekeyed", "rekeyed", other_keys, 20, 5, False),
        ("rekeyed", "rekeyed", other_keys, 20, 6, True),
        ("rekeyed", "rekeyed", other_keys, 7, 6, True),
        ("everyone", "everyone", strangers, 20, 19, False),
        ("everyone", "everyone", strangers, 20, 20, True),
        ("everyone", "everyone", strangers, 3, 2, False),
        ("everyone", "everyone", strangers, 3, 3, True),
        ("everyone", "everyone", strangers, 1, 1, True),
    ],
)
async def test_each_guard_at_its_edge(
    name: str, code: str, night: Callable[..., Awaitable[Report]], count: int, many: int, *, trips: bool
):
    """At the limit it passes and one further it refuses, percentages from twenty on; either way the report says why."""
    report = await night(count, many)

    verdict = guard(report, name)
    also = {"deletions", "cells"} if name == "field" else {"deletions"}
    assert tripped(report) - (also - {name}) == ({name} if trips else set())
    assert (report["outcome"] == "refused") is trips
    assert (report["error"] and report["error"]["code"]) == (code if trips else None)
    assert all(verdict[member] for member in ("limit", "found"))
    assert verdict["found"] in (report["error"]["message"] if trips else verdict["found"])
    if trips:
        assert (report["created"], report["updated"], report["deleted"], report["held"]) == (0, 0, 0, 0)
        assert report["plan"].startswith("sha256:")


# --- cells that changed -----------------------------------------------------------------------------------------------


async def test_a_shifted_column_is_refused():
    """People would get each other's departments: nothing is sent, nobody is asked for, and the column is named."""
    world = await a_company()
    before = world.profiles()

    report = await world.night(shifted(STAFF, "Department"))

    assert (report["outcome"], report["error"]["code"]) == ("refused", "field_changed")
    assert "Department: 24 of 24 people (100.0 %)" in report["error"]["message"]
    assert tripped(report) == {"field", "cells"}
    assert report["plan"].startswith("sha256:")
    assert world.requests == []
    assert world.profiles() == before


async def test_a_mended_export_is_taken_after_a_refused_one():
    """What is compared is the last export that was taken: the refused one has left nothing behind."""
    world = await a_company()
    await world.night(shifted(STAFF, "Department"))

    report = await world.night(changed(1, JobTitle="Chef"))

    assert (report["outcome"], report["updated"]) == ("completed", 1)
    assert guard(report, "cells")["found"] == "1 of 24 people (4.2 %)"
    assert guard(report, "field")["found"] == "JobTitle: 1 of 24 people (4.2 %)"


async def test_half_of_the_people_may_change():
    """More than MAX_CHANGE_PERCENT is too many, and no less; the next night counts anew."""
    world = await a_company()

    half = await world.night(changed(12, JobTitle="Chef"))
    again = await world.night(changed(24, JobTitle="Chef"))
    more = await world.night(changed(13, JobTitle="Cook"))

    assert [half["updated"], again["updated"]] == [12, 12]
    assert (more["outcome"], more["error"]["code"]) == ("refused", "field_changed")


async def test_changes_in_several_columns_count_together():
    """Eight with another title and eight with another phone are sixteen people who changed."""
    world = await a_company()
    rows = [
        person | ({"JobTitle": "Chef"} if number < 8 else {"Phone": "7"} if number < 16 else {})
        for number, person in enumerate(STAFF)
    ]

    report = await world.night(rows)

    assert (report["outcome"], report["error"]["code"]) == ("refused", "cells_changed")
    assert tripped(report) == {"cells"}


async def test_a_change_that_is_meant_passes_with_another_limit():
    """The refused file is taken up as soon as the setting changes; back at its limit, it says nothing any more."""
    world = await a_company()
    await world.night(changed(COUNT, JobTitle="Chef"))

    idle = await world.tick()
    world.decide(MAX_CHANGE_PERCENT=100)
    report = await world.tick() or {}
    world.decide(MAX_CHANGE_PERCENT=None)
    back = await world.tick() or {}

    assert idle is None
    assert (report["outcome"], report["updated"]) == ("completed", COUNT)
    assert (back["outcome"], tripped(back)) == ("unchanged", set())
    assert world.title("p1@contoso.com") == "Chef"


async def test_cells_that_nobody_maps_may_change():
    """A column of which nothing is sent is nobody's change."""
    world = await a_company()

    report = await world.night(changed(COUNT, DeskNumber="7"))

    assert (report["outcome"], guard(report, "cells")["found"]) == ("unchanged", "0 of 24 people (0.0 %)")


async def test_a_small_company_may_change_altogether():
    """Guards are judged from twenty people up."""
    world = await a_world()
    await world.night(people(19))

    report = await world.night(people(19, title="Chef"))

    assert (report["outcome"], report["updated"]) == ("completed", 19)


async def test_joiners_are_no_change():
    """However many join in one night, they change nothing for those who are there."""
    world = await a_company()

    report = await world.night([*STAFF, *people(100, start=100, Department="Sales")])

    assert (report["outcome"], report["created"]) == ("completed", 100)
    assert guard(report, "cells")["found"] == "0 of 24 people (0.0 %)"


async def test_leavers_are_held_and_no_change():
    """Who gets a status word of those who left is for the guard on deletions: the export as a whole is fine."""
    world = await a_company()

    report = await world.night(changed(20, Status="Left"))

    assert (report["outcome"], report["held"]) == ("held", 20)


async def test_a_full_run_is_no_change():
    """Everyone is sent again as they are: that is what somebody asked for."""
    world = await a_company()
    await world.state.ask("now", full=True)

    report = await world.tick() or {}

    assert (report["outcome"], report["updated"], tripped(report)) == ("completed", COUNT, set())


async def test_a_release_that_renders_otherwise_is_no_change():
    """Everyone's item is another one than before, of the same rows under the same mapping: they are sent, unasked."""
    world = await a_company()
    ledger, head = await world.ledger(), await world.head()
    before = {key: replace(entry, item=b"an earlier release's", source=b"") for key, entry in ledger.entries.items()}
    old = dump_ledger(replace(ledger, entries=before))
    await world.containers.state.write(f"contosohr/ledger/{head.generation:08d}.columns", old)
    await world.containers.state.write("contosohr/head.json", dump_head(replace(head, circumstances="its renderer")))

    report = await world.tick() or {}

    assert (report["outcome"], report["updated"], tripped(report)) == ("completed", COUNT, set())
    assert report["reasons"] == ["settings or mapping changed"]
    assert guard(report, "mapping")["found"] == "the mapping is the same"


async def test_a_new_connection_is_filled_whatever_changed():
    """A ledger of another incarnation is void: everybody joins it, and nobody has changed."""
    world = await a_company()
    await world.teardown()
    await world.setup()

    report = await world.night(shifted(STAFF, "Department"))

    assert (report["outcome"], report["created"]) == ("completed", COUNT)
    assert guard(report, "cells")["found"] == "0 of 0 people (0.0 %)"


async def test_people_without_account_count_as_well():
    """Their rows are known too: a broken export is one whoever has an account."""
    world = await a_world(MIN_MATCH_PERCENT=0)
    world.without_account = {f"p{number}@contoso.com" for number in range(1, 20)}
    await world.night(STAFF)

    report = await world.night(shifted(STAFF, "Department"))

    assert (report["outcome"], guard(report, "cells")["found"]) == ("refused", "24 of 24 people (100.0 %)")


async def test_a_ledger_of_an_earlier_release_is_void_for_one_export():
    """It knows nobody's cells: the first export passes unjudged, and the next one is held to it."""
    world = await a_company()
    ledger, head = await world.ledger(), await world.head()
    old = replace(ledger, entries={key: replace(entry, fields=b"") for key, entry in ledger.entries.items()})
    await world.containers.state.write(f"contosohr/ledger/{head.generation:08d}.columns", dump_ledger(old))

    first = await world.night(shifted(STAFF, "Department"))
    second = await world.night(STAFF)

    assert (first["outcome"], guard(first, "cells")["found"]) == ("completed", "0 of 0 people (0.0 %)")
    assert (second["outcome"], second["error"]["code"]) == ("refused", "field_changed")


# --- partial exports and sets -----------------------------------------------------------------------------------------


async def test_a_partial_export_is_held_against_everybody():
    """It names hardly anybody but those who have changed: half of all people may, however few it names."""
    world = await a_company()
    half, more = changed(COUNT, JobTitle="Chef")[:12], changed(COUNT, JobTitle="Cook")[:13]

    world.wait(DAY)
    await world.drop("half.csv", half)
    await world.promise("half.csv", kind="partial")
    taken = await world.tick() or {}
    world.wait(DAY)
    await world.drop("more.csv", more)
    await world.promise("more.csv", kind="partial")
    refused = await world.tick() or {}

    assert (taken["outcome"], taken["updated"]) == ("completed", 12)
    assert (refused["outcome"], refused["error"]["code"]) == ("refused", "field_changed")
    assert "13 of 24 people" in guard(refused, "cells")["found"]
    assert world.title("p1@contoso.com") == "Chef"


async def test_a_partial_export_may_leave_a_column_blank():
    """HR sends what it has to say; a column that is blank in twenty rows of a few has not gone blank."""
    world = await a_world()
    everybody = people(60, Department="Sales")
    await world.night(everybody)

    world.wait(DAY)
    await world.drop("some.csv", [person | {"Department": ""} for person in everybody[:20]])
    await world.promise("some.csv", kind="partial")
    report = await world.tick() or {}

    assert (report["outcome"], report["updated"]) == ("completed", 20)


async def test_the_files_of_a_set_are_one_export():
    """A column that is shifted in one file of two concerns half of the people, and not all of that file's."""
    world = await a_world()
    first, second = STAFF[:12], STAFF[12:]

    async def night(*files: list[Row]) -> dict[str, Any]:
        world.wait(DAY)
        names = [f"people-{place}.csv" for place, _ in enumerate(files)]
        for name, rows in zip(names, files, strict=True):
            world.follow(rows)
            await world.drop(name, rows)
        await world.promise(names[0], files=names)
        return await world.tick() or {}

    await night(first, second)
    one = await night(shifted(first, "Department"), second)
    both = await night(first, shifted(second, "Department"))

    assert (one["outcome"], guard(one, "cells")["found"]) == ("completed", "12 of 24 people (50.0 %)")
    assert (both["outcome"], guard(both, "cells")["found"]) == ("refused", "24 of 24 people (100.0 %)")


# --- columns gone blank -----------------------------------------------------------------------------------------------


async def test_a_column_that_has_gone_blank_is_refused():
    """HR's report has lost what it had: the profiles keep it, whatever share of people may change."""
    world = await a_company(MAX_CHANGE_PERCENT=100)

    report = await world.night(changed(13, Department=""))

    assert (report["outcome"], report["error"]["code"]) == ("refused", "column_emptied")
    assert "Department: 100.0 % before, 45.8 % now" in report["error"]["message"]
    assert tripped(report) == {"emptied"}
    assert world.requests == []


async def test_a_column_that_is_missing_is_refused():
    """A mapped column that is not in the file at all is as good as blank."""
    world = await a_company(MAX_CHANGE_PERCENT=100)

    report = await world.night([{name: row[name] for name in row if name != "Department"} for row in STAFF])

    assert (report["outcome"], report["error"]["code"]) == ("refused", "column_emptied")


async def test_a_column_may_lose_half_of_its_cells():
    """Half is still there; and what is held against the next export is this one."""
    world = await a_company(MAX_CHANGE_PERCENT=100)

    half = await world.night(changed(12, Department=""))
    quarter = await world.night(changed(18, Department=""))
    gone = await world.night(changed(22, Department=""))

    assert [half["outcome"], quarter["outcome"]] == ["completed", "completed"]
    assert (gone["outcome"], gone["error"]["code"]) == ("refused", "column_emptied")


async def test_a_column_that_is_not_mapped_any_more_may_be_blank():
    """Who means to give a column up takes it out of the mapping: then it is not judged."""
    world = await a_company()
    await world.map_with(('"detail.company.department" = "Department"\n', ""))
    world.decide(MAX_CHANGE_PERCENT=100)
    await world.tick()
    world.decide(MAX_CHANGE_PERCENT=None)
    await world.tick()

    report = await world.night(changed(COUNT, Department=""))

    assert (report["outcome"], tripped(report)) == ("unchanged", set())


async def test_a_column_that_is_mapped_anew_is_known_at_once():
    """The last export is gone through again under the new mapping, so the next one is held to that."""
    world = await a_world(MAX_CHANGE_PERCENT=100)
    await world.night(changed(COUNT, DeskNumber="7"))
    await world.map_with(('"detail.company.department" = "Department"', '"detail.company.department" = "DeskNumber"'))
    await world.tick()

    report = await world.night(STAFF)

    assert (report["outcome"], report["error"]["code"]) == ("refused", "column_emptied")
    assert "DeskNumber: 100.0 % before, 0.0 % now" in report["error"]["message"]


# --- another mapping --------------------------------------------------------------------------------------------------


async def test_a_mapping_that_rewrites_too_many_items_is_refused():
    """Nothing is sent; when the old mapping is put back, there is nothing to do either."""
    world = await a_company()
    await world.map_with(TITLE)

    report = await world.tick() or {}
    writes, idle = world.writes(), await world.tick()
    world.decide(MAPPING=None)
    back = await world.tick() or {}

    assert (report["outcome"], report["error"]["code"]) == ("refused", "mapping_change")
    assert guard(report, "mapping")["found"] == "24 of 24 items rewritten"
    assert (writes, idle) == ([], None)
    assert (back["outcome"], world.writes(), tripped(back)) == ("unchanged", [], set())
    assert world.title("p1@contoso.com") == "Clerk"


async def test_a_refused_mapping_stays_refused_with_new_exports():
    """The next night is judged against the mapping that was carried out, not against the refused one."""
    world = await a_company()
    await world.map_with(TITLE)
    await world.tick()

    report = await world.night(changed(1, Phone="7"))

    assert (report["outcome"], report["error"]["code"]) == ("refused", "mapping_change")
    assert world.title("p1@contoso.com") == "Clerk"


async def test_a_mapping_that_is_meant_passes_with_another_limit():
    """It is carried out for everybody, and is the mapping to which the next one is held."""
    world = await a_company()
    await world.map_with(TITLE)
    await world.tick()

    world.decide(MAX_CHANGE_PERCENT=100)
    report = await world.tick() or {}
    world.decide(MAX_CHANGE_PERCENT=None)
    after = [await world.tick() or {}, await world.night(changed(1, Phone="7"))]

    assert (report["outcome"], report["updated"]) == ("completed", COUNT)
    assert [each["outcome"] for each in after] == ["unchanged", "completed"]
    assert guard(after[1], "mapping")["found"] == "the mapping is the same"
    assert world.title("p1@contoso.com") == "Dept 0"


async def test_a_mapping_that_changes_nothing_passes():
    """Another wording, or a field that is blank for most, rewrites nothing."""
    world = await a_company()
    await world.map_with(('column = "FavoriteColor"', 'column = "FavoriteColor" # the colour'))

    report = await world.tick() or {}

    assert (report["outcome"], guard(report, "mapping")["found"]) == ("unchanged", "0 of 24 items rewritten")


async def test_a_mapping_change_that_was_let_pass_is_not_judged_again():
    """A slice ended in the middle and a new export came: the rest of the items is no new change of the mapping."""
    world = await a_company(MAX_CONCURRENCY=1)
    await world.map_with(TITLE)
    world.decide(MAX_CHANGE_PERCENT=100, SLICE_SECONDS=5)
    world.graph.latency = 1
    first = await world.tick() or {}
    world.graph.latency = 0
    world.decide(MAX_CHANGE_PERCENT=None, SLICE_SECONDS=None)

    await world.settle()

    assert (first["outcome"], first["updated"] < COUNT // 2) == ("partial", True)
    assert {world.title(f"p{number}@contoso.com") for number in range(1, COUNT + 1)} == {
        f"Dept {number}" for number in range(COUNT)
    }


# --- approved ---------------------------------------------------------------------------------------------------------


async def approve(world: World, report: dict[str, Any]) -> None:
    """Approve what a report says waits."""
    await world.application().approve(report["run"], json.dumps({"plan": report["plan"], "by": "Ada"}).encode())


@pytest.mark.parametrize(
    ("cells", "code"), [({"JobTitle": "Chef"}, "field_changed"), ({"Department": ""}, "column_emptied")]
)
async def test_an_export_that_is_meant_passes_when_it_is_approved(cells: dict[str, str], code: str):
    """Once; and then it is what the next one is held to."""
    world = await a_company()
    refused = await world.night(changed(COUNT, **cells))
    await approve(world, refused)

    report = await world.tick() or {}
    after = await world.night(changed(COUNT, **cells))

    assert refused["error"]["code"] == code
    assert (report["outcome"], report["updated"], report["approved"]["by"]) == ("completed", COUNT, "Ada")
    assert (after["outcome"], tripped(after)) == ("unchanged", set())


async def test_a_mapping_that_is_meant_passes_when_it_is_approved():
    """It is carried out for everybody, and is the mapping to which the next one is held."""
    world = await a_company()
    await world.map_with(TITLE)
    await approve(world, await world.tick() or {})

    report = await world.tick() or {}
    after = await world.night(changed(1, Phone="7"))

    assert (report["outcome"], report["updated"]) == ("completed", COUNT)
    assert (after["outcome"], guard(after, "mapping")["found"]) == ("completed", "the mapping is the same")


# --- a date that turns ------------------------------------------------------------------------------------------------


async def test_a_day_that_turns_changes_cells_and_no_mapping():
    """Where other rows count for too many people from today on, somebody looks at it first."""
    world = await a_world()
    await world.map_with(("[status]", '[effective]\nfrom = "From"\nuntil = "Until"\n\n[status]'))
    rows = [
        a_person(f"P{number}", title=title) | {"From": begins, "Until": ends}
        for number in range(COUNT)
        for title, begins, ends in (("Clerk", "", "2026-03-09"), ("Chef", "2026-03-10", ""))
    ]
    noon = datetime(2026, 3, 9, 12, tzinfo=UTC)
    world.wait((noon - world.clock.now()).total_seconds())
    world.follow(rows)
    await world.drop("people.csv", an_export(rows))
    first = await world.tick() or {}

    world.wait(DAY)
    report = await world.tick() or {}
    idle = await world.tick()
    world.decide(MAX_CHANGE_PERCENT=100)
    meant = await world.tick() or {}

    assert (first["created"], report["reasons"]) == (COUNT, ["a date that turns"])
    assert (report["outcome"], tripped(report), idle) == ("refused", {"field", "cells"}, None)
    assert guard(report, "cells")["found"] == "24 of 24 people (100.0 %)"
    assert (meant["outcome"], meant["updated"]) == ("completed", COUNT)
