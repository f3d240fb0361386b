"""Rows that count from one day to another: at midnight where HR is, what they say takes effect without an export."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.flows.world import DAY, World, a_person, a_world

pytestmark = pytest.mark.anyio

EFFECTIVE = '[effective]\nfrom = "From"\nuntil = "Until"\n\n[status]'


def a_row(key: str, begins: str = "", ends: str = "", **cells: str) -> dict[str, str]:
    """Return somebody's row that counts from one day to another."""
    return a_person(key, **cells) | {"From": begins, "Until": ends}


async def a_dated_world(timezone: str = "UTC", **settings: object) -> World:
    """Return a world on the evening of 9 March, 22:00 UTC, whose mapping has effective dates."""
    world = await a_world(LEAVER_GRACE_EXPORTS=0, **settings)
    await world.map_with(("[status]", EFFECTIVE), ("format = 1", f'format = 1\ntimezone = "{timezone}"'))
    evening = datetime(2026, 3, 9, 22, tzinfo=UTC)
    assert world.clock.now() < evening
    world.wait((evening - world.clock.now()).total_seconds())
    return world


TURNING = [
    a_row("E1", ends="2026-03-09", title="Engineer"),
    a_row("E1", "2026-03-10", title="Chief"),
    a_row("E2", ends="2026-03-09"),
    a_row("E3", "2026-03-10"),
    a_row("E4"),
]
"""A mover, a leaver and a joiner of 10 March, and somebody to whom nothing happens."""


async def test_a_day_that_turns_is_work_without_an_export():
    """At the first tick after midnight the mover, leaver and joiner of the day are carried out, and reported."""
    world = await a_dated_world()
    world.follow(TURNING)
    await world.drop("people.csv", TURNING)
    (first,) = await world.settle()
    before = world.title("e1@contoso.com"), world.holds("E1", "E2", "E4")

    world.wait((datetime(2026, 3, 10, tzinfo=UTC) - world.clock.now()).total_seconds())
    report = await world.tick(after=1) or {}
    later = await world.tick()

    assert before == ("Engineer", True)
    assert (first["created"], first["rejected"]) == (3, 0)
    assert report["reasons"] == ["a date that turns"]
    assert (report["created"], report["updated"], report["deleted"]) == (1, 1, 1)
    assert world.title("e1@contoso.com") == "Chief"
    assert world.holds("E1", "E3", "E4")
    assert later is None


@pytest.mark.parametrize(("timezone", "hour"), [("Europe/Oslo", 23), ("Pacific/Auckland", 11), ("America/New_York", 4)])
async def test_midnight_is_where_hr_is(timezone: str, hour: int):
    """Not a minute before the day begins in the mapping's time zone."""
    world = await a_dated_world(timezone)
    rows = [a_row("E1", ends="2026-03-10", title="Engineer"), a_row("E1", "2026-03-11", title="Chief"), a_row("E2")]
    world.follow(rows)
    await world.drop("people.csv", rows)
    await world.settle()
    midnight = datetime(2026, 3, 11 if timezone.startswith("America") else 10, hour, tzinfo=UTC)

    world.wait((midnight - world.clock.now()).total_seconds() - 60)
    await world.tick(after=1)
    before = world.title("e1@contoso.com")
    world.wait(60)
    await world.tick(after=1)

    assert (before, world.title("e1@contoso.com")) == ("Engineer", "Chief")


async def test_a_day_to_come_of_a_partial_export_is_remembered_too():
    """A correction that begins tomorrow changes nothing today, and takes effect tomorrow."""
    world = await a_dated_world()
    rows = [a_row("E1", title="Engineer"), a_row("E2")]
    world.follow(rows)
    await world.drop("people.csv", rows)
    await world.settle()
    await world.drop("delta.csv", [a_row("E1", "2026-03-11", title="Chief") | {"_error_code": ""}])
    await world.settle()
    today = world.title("e1@contoso.com")

    world.wait(2 * DAY)
    reports = await world.settle()

    assert today == "Engineer"
    assert [report["reasons"] for report in reports] == [["a date that turns"]]
    assert world.title("e1@contoso.com") == "Chief"


async def test_a_run_over_midnight_ends_on_the_day_it_began():
    """A plan is carried out for its day, whatever day it is by then; the next tick does what the new day brings."""
    world = await a_dated_world(SLICE_SECONDS=10, MAX_CONCURRENCY=1, MAX_CHANGE_PERCENT=100)
    rows = [
        row
        for key in (f"P{number}" for number in range(20))
        for row in (a_row(key, ends="2026-03-09", title="Engineer"), a_row(key, "2026-03-10", title="Chief"))
    ]
    world.follow(rows)
    await world.drop("people.csv", rows)
    world.wait((datetime(2026, 3, 9, 23, 59, 50, tzinfo=UTC) - world.clock.now()).total_seconds())
    world.graph.latency = 1

    first = await world.tick(after=0) or {}
    second = await world.tick() or {}
    then = titles(world)
    world.graph.latency = 0
    await world.settle()

    assert (first["outcome"], second["run"]) == ("partial", first["run"])
    assert world.clock.now() > datetime(2026, 3, 10, tzinfo=UTC)
    assert then == {"Engineer"}
    assert titles(world) == {"Chief"}


def titles(world: World) -> set[str]:
    """Return the job titles that anybody's profile has."""
    positions = (profile.get("personCurrentPosition") for profile in world.profiles().values())
    return {position["detail"]["jobTitle"] for position in positions if position}
