"""What ends an unfinished run, and what does not; what is about everybody is not answered by an export of some."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.flows.deaths import is_at_rest
from tests.flows.world import CONNECTION, MINUTE, Row, World, a_world, people

if TYPE_CHECKING:
    from tests.flows.world import Report

STAFF = people(40)
CHIEF = STAFF[0] | {"JobTitle": "Chief"}


def a_correction(row: Row, **cells: str) -> Row:
    return row | cells | {"_error_code": "bad_date"}


async def a_slow_world(**settings: object) -> World:
    """Return a world in which forty people take several slices."""
    world = await a_world(SLICE_SECONDS=5, MAX_CONCURRENCY=4, **settings)
    world.graph.latency = 1
    return world


async def in_the_middle_of_a_run(**settings: object) -> tuple[World, Report]:
    """Return a world whose first run has used up its first slice, and that slice's report."""
    world = await a_slow_world(**settings)
    first = await world.night(STAFF)
    assert first["outcome"] == "partial"
    return world, first


def outcome_of(world: World, report: Report) -> str:
    """Return what has become of a run since."""
    outcome: str = json.loads(world.blobs("reports")[f"{CONNECTION}/{report['run']}.json"])["outcome"]
    return outcome


# --- exports ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", ["header", "manifest", "name"])
async def test_an_export_of_some_people_does_not_end_an_unfinished_run(told: str):
    """Only a newer complete export does. The run goes on to its end, and what is newer is applied after it."""
    world = await a_slow_world()
    await world.map_with(("[key]  ", '[file]\npartial = ["*-delta.csv"]\n\n[key]  '))
    first = await world.night(STAFF)
    match told:
        case "header":
            await world.drop("mended.csv", [a_correction(CHIEF)])
        case "manifest":
            await world.drop("some.csv", [CHIEF])
            await world.promise("some.csv", kind="partial")
        case _:
            await world.drop("people-delta.csv", [CHIEF])

    reports = await world.settle()

    assert first["outcome"] == "partial"
    assert outcome_of(world, first) == "completed"
    assert [report["run"] == first["run"] for report in reports][-2:] == [True, False]
    assert world.title("p1@contoso.com") == "Chief"
    assert sum(seen.method == "PUT" for seen in world.graph.requests) == len(STAFF) + 1


async def test_some_people_do_not_end_a_run_through_the_last_export_either():
    """A full run in several slices comes to its end, though a correction arrives meanwhile."""
    world = await a_slow_world()
    await world.night(STAFF)
    await world.settle()
    await world.application().ask_for_sync(b'{"full": true}')
    first = await world.tick() or {}
    await world.drop("mended.csv", [a_correction(CHIEF)])

    await world.settle()

    assert first["outcome"] == "partial"
    assert outcome_of(world, first) == "completed"
    assert world.title("p1@contoso.com") == "Chief"


async def test_a_complete_export_ends_an_unfinished_run_whatever_else_is_newer():
    """A correction that came after it hides it from nobody; both are taken, in their order."""
    world, first = await in_the_middle_of_a_run()
    await world.drop("people-9.csv", [CHIEF | {"JobTitle": "Director"}, *STAFF[1:]])
    world.wait(MINUTE)
    await world.drop("mended.csv", [a_correction(CHIEF)])

    reports = await world.settle()

    assert outcome_of(world, first) == "superseded"
    assert [report["export"]["name"] for report in reports if report["outcome"] == "completed"] == [
        "people-9.csv",
        "mended.csv",
    ]
    assert world.title("p1@contoso.com") == "Chief"
    assert len(world.graph.items) == len(STAFF)


async def test_a_complete_export_ends_an_unfinished_run_of_some_people():
    """A correction in many slices makes way for the next complete export."""
    world = await a_slow_world(MAX_CHANGE_PERCENT=100)
    await world.night(STAFF)
    await world.settle()
    await world.drop("mended.csv", [a_correction(row, JobTitle="Chief") for row in STAFF])
    first = await world.tick() or {}
    await world.drop("people-9.csv", [row | {"JobTitle": "Director"} for row in STAFF])

    await world.settle()

    assert (first["outcome"], first["export"]["kind"]) == ("partial", "partial")
    assert outcome_of(world, first) == "superseded"
    assert {world.title(row["UserPrincipalName"]) for row in STAFF} == {"Director"}


async def test_an_export_that_is_still_arriving_ends_nothing():
    """The run goes on until the newer export has settled, and is ended by it then."""
    world, first = await in_the_middle_of_a_run()
    world.decide(EXPORT_SETTLE_SECONDS=3600)
    await world.drop("people-9.csv", [CHIEF, *STAFF[1:]])

    second = await world.tick() or {}
    await world.settle()
    world.wait(3600)
    await world.settle()

    assert (second["run"], second["slices"]) == (first["run"], 2)
    assert outcome_of(world, first) == "completed"
    assert world.title("p1@contoso.com") == "Chief"


# --- mapping, settings, wishes ----------------------------------------------------------------------------------------


async def test_another_mapping_ends_an_unfinished_run(caplog: pytest.LogCaptureFixture):
    """What was planned would be rendered otherwise now: everybody ends as the new mapping says, and the log says so."""
    world, first = await in_the_middle_of_a_run(MAX_CHANGE_PERCENT=100)
    await world.map_with(('"detail.jobTitle" = "JobTitle"', '"detail.jobTitle" = "Department"'))

    caplog.set_level("INFO", "connector")
    reports = await world.settle()

    assert outcome_of(world, first) == "superseded"
    ended = [json.loads(each.message) for each in caplog.records if "sync.superseded" in each.message]
    assert [(line["run"], line["created"]) for line in ended] == [(first["run"], first["created"])]
    assert reports[-1]["outcome"] == "completed"
    assert {world.title(row["UserPrincipalName"]) for row in STAFF} == {None}
    assert await is_at_rest(world)


async def test_a_setting_that_decides_nothing_ends_no_run():
    """Pace and slices may change while a run is under way."""
    world, first = await in_the_middle_of_a_run()
    world.decide(SLICE_SECONDS=600, MAX_CONCURRENCY=8, STALE_AFTER_HOURS=48)

    await world.settle()

    assert outcome_of(world, first) == "completed"


async def test_a_wish_for_everyone_ends_a_run_that_sends_some():
    """And the same wish does not end the run that carries it out."""
    world, first = await in_the_middle_of_a_run()
    await world.application().ask_for_sync(b'{"full": true}')

    reports = await world.settle()

    assert outcome_of(world, first) == "superseded"
    assert len({report["run"] for report in reports}) == 1
    assert (reports[-1]["outcome"], reports[-1]["created"] + reports[-1]["updated"]) == ("completed", len(STAFF))


# --- about everybody --------------------------------------------------------------------------------------------------


async def test_a_new_connection_is_filled_with_everyone_though_only_some_are_new():
    """A correction is the first file after another setup: those whom it does not name are sent as well."""
    world = await a_world()
    await world.night(STAFF)
    await world.teardown()
    await world.setup()
    await world.drop("mended.csv", [a_correction(CHIEF)])

    reports = await world.settle()

    assert len(world.graph.items) == len(STAFF)
    assert world.title("p1@contoso.com") == "Chief"
    assert sum(report["deleted"] for report in reports) == 0


async def test_a_wider_pilot_reaches_everyone_though_only_some_are_new():
    """A changed setting is carried out for those, too, of whom the newest export does not speak."""
    world = await a_world(PILOT="p1@contoso.com")
    await world.night(STAFF)
    world.decide(PILOT=None)
    await world.drop("mended.csv", [a_correction(CHIEF)])

    await world.settle()

    assert len(world.graph.items) == len(STAFF)
    assert world.title("p1@contoso.com") == "Chief"


async def test_a_wish_for_everyone_sends_everyone_though_only_some_are_new():
    """The last complete export is gone through as well; the wish is not forgotten over a correction."""
    world = await a_world()
    await world.night(STAFF)
    before = len(world.graph.requests)
    await world.drop("mended.csv", [a_correction(CHIEF)])
    await world.application().ask_for_sync(b'{"full": true}')

    reports = await world.settle()

    put = {seen.path.rsplit("/", 1)[-1] for seen in world.graph.requests[before:] if seen.method == "PUT"}
    assert put == {world.item_of(row["EmployeeId"]) for row in STAFF}
    assert world.title("p1@contoso.com") == "Chief"
    assert [report["outcome"] for report in reports] == ["completed", "completed"]


async def test_where_our_copy_is_lost_an_export_of_some_people_is_taken_all_the_same():
    """Nobody can be gone through again, so that waits for the next complete export; the correction need not."""
    world = await a_world()
    await world.night(STAFF)
    for name in [name for name in world.blobs("state") if "/exports/" in name]:
        await world.containers.state.delete(name)
    await world.drop("mended.csv", [a_correction(CHIEF)])
    await world.application().ask_for_sync(b'{"full": true}')

    await world.settle()

    assert world.title("p1@contoso.com") == "Chief"
