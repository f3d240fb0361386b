"""A dry run tells what the next run would do, and leaves everything as it is."""

from __future__ import annotations

import json
import logging
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from connector.core.due import Request
from connector.errors import StoreError
from tests.flows.world import DAY, KILLED, World, a_person, a_world, people

if TYPE_CHECKING:
    from connector.sync import Rehearsed
    from tests.flows.world import Row

pytestmark = pytest.mark.anyio

ADA, BEN, CYD = a_person("E1"), a_person("E2"), a_person("E3")
STAFF = [ADA, BEN, CYD]
BAD = a_person("E5", HireDate="soon")
CONTAINERS = ("exports", "state", "reports", "quarantine")


async def a_staffed_world(**settings: object) -> World:
    """Return a world in which everybody has been sent."""
    world = await a_world(LEAVER_GRACE_EXPORTS=0, **settings)
    await world.night(STAFF)
    return world


def everything(world: World) -> dict[str, Any]:
    """Return all that anybody holds: every blob of every container with its ETag, and Graph's items."""
    blobs = {name: getattr(world.containers, name)._blobs for name in CONTAINERS}
    held = {
        (name, blob): (stored.etag, bytes(stored.data), stored.lease)
        for name in CONTAINERS
        for blob, stored in blobs[name].items()
    }
    return {"blobs": held, "items": dict(world.graph.items)}


async def rehearsed(world: World, **wishes: Any) -> dict[str, Any]:
    """Return the body of a dry run, which has changed nothing."""
    before, asked = everything(world), {name: len(getattr(world.containers, name).seen) for name in CONTAINERS}
    found: Rehearsed = await world.application().rehearse(**wishes)
    assert everything(world) == before
    blobs = [each for name in CONTAINERS for each in getattr(world.containers, name).seen[asked[name] :]]
    assert {each.split(" ")[0] for each in blobs} <= {"list", "read", "download_to"}
    assert world.writes() == []
    assert {each.method for each in world.requests} <= {"GET", "POST"}
    assert {each.path for each in world.requests if each.method == "POST"} <= {"/$batch"}
    body = found.rehearsal.body() if found.rehearsal else {"state": found.state}
    told: dict[str, Any] = json.loads(json.dumps(body))
    return told


NUMBERS = (
    "outcome", "people", "created", "updated", "deleted", "unchanged", "unmatched", "rejected", "held", "grace",
    "transferred", "failed", "out_of_scope", "warnings", "guards", "plan", "error", "approved", "export", "rows",
    "unmatched_people", "missing_people", "held_people",
)  # fmt: skip


async def test_a_dry_run_tells_what_the_run_then_does(caplog: pytest.LogCaptureFixture):
    """The same outcome, numbers, guards and warnings; people with their reasons; and nothing is written or logged."""
    world = await a_staffed_world()
    world.wait(DAY)
    rows = [ADA, BEN | {"JobTitle": "Chief"}, a_person("E4"), BAD, a_person("E6", "nobody@contoso.com")]
    world.follow(rows[:3])
    await world.drop("people-2.csv", rows)
    world.wait(DAY)
    caplog.clear()
    caplog.set_level(logging.INFO, "connector")

    told = await rehearsed(world)
    logged = list(caplog.records)
    done = await world.tick() or {}

    assert {name: told.get(name) for name in NUMBERS} == {name: done.get(name) for name in NUMBERS}
    assert (told["created"], told["updated"], told["deleted"], told["unmatched"]) == (1, 1, 1, 1)
    assert [(each["action"], each["key"], each["reason"]) for each in told["samples"]] == [
        ("update", "E2", "changed"),
        ("create", "E4", "new"),
        ("delete", "E3", "absent"),
    ]
    assert told["dry_run"] is True
    assert "run" not in told
    assert [row["row"] for row in told["rows"]] == [4]
    assert told["expected"] == {"writes": 3, "per_second": 25.0, "learned": False, "seconds": 1, "slices": 1}
    assert logged == []


def a_wild_night(dice: random.Random, staff: list[Row], number: int) -> list[Row]:
    """Return what HR drops after a day on which anything may have happened, mistakes of theirs included."""
    rows = [dict(row) for row in staff]
    rows += [a_person(f"J{number}{each}") for each in range(dice.randrange(4))]
    for place in dice.sample(range(len(rows)), dice.randrange(4)):
        key = rows[place]["EmployeeId"]
        rows[place] |= dice.choice(
            [
                {"JobTitle": f"Title {number}"},
                {"Status": "Left"},
                {"HireDate": "soon"},
                {"EmployeeId": ""},
                {"EmployeeId": f"{key}x"},
                {"UserPrincipalName": f"p{number}.{key}@contoso.com"},
                {"UserPrincipalName": f"nobody{number}.{key}@contoso.com"},
                {"UserPrincipalName": rows[0]["UserPrincipalName"]},
                {"ManagerId": rows[0]["EmployeeId"]},
            ]
        )
    rows = rows[dice.choice([0, 0, 0, 1, 2, 6]) :]
    for _ in range(dice.choice([0, 0, 1, 2])):
        cell, share = dice.choice([({"HireDate": "soon"}, 0.4), ({"JobTitle": f"T{number}"}, 0.7), ({}, 0.4)])
        rows = [
            row | (cell or {"EmployeeId": f"N{row['EmployeeId']}"}) if dice.random() < share else row for row in rows
        ]
    return rows


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_the_night_is_a_dry_run_tells_it_right(seed: int):
    """Joiners, movers, leavers, renames, mistakes, refused files, approvals: what is told is what happens then."""
    dice = random.Random(seed)  # noqa: S311
    world = await a_world(LEAVER_GRACE_EXPORTS=seed % 2)
    staff = people(24)
    outcomes: Counter[str] = Counter()
    for number in range(8):
        rows = a_wild_night(dice, staff, number) if number else staff
        world.wait(DAY)
        world.follow(row for row in rows if not row["UserPrincipalName"].startswith("nobody"))
        await world.drop(f"people-{number}.csv", rows)
        world.wait(DAY)
        for _ in range(4):
            told, done = await rehearsed(world), await world.tick()
            assert done is not None
            assert {name: told.get(name) for name in NUMBERS} == {name: done.get(name) for name in NUMBERS}
            outcomes[done["outcome"]] += 1
            if done["outcome"] not in {"held", "refused"} or dice.random() < 0.3:
                break
            wish = json.dumps({"plan": done["plan"], "by": "Ada Okafor"}).encode()
            await world.application().approve(done["run"], wish)
        staff = [row for row in rows if row["EmployeeId"] and row["HireDate"] != "soon"]

    assert outcomes.keys() & {"held", "refused"}
    assert outcomes["completed"]


async def test_as_many_people_are_named_as_are_asked_for():
    """So many of each kind of action; the counts are whole."""
    world = await a_world()
    world.follow(people(30))
    await world.drop("people.csv", people(30))
    world.wait(DAY)

    named = [len((await rehearsed(world, limit=limit))["samples"]) for limit in (0, 4, 1000)]

    assert named == [0, 4, 30]
    assert (await rehearsed(world))["created"] == 30


async def test_nothing_new_is_nothing_to_do():
    """With an export that changed nothing, and without any at all."""
    world = await a_world()

    before = await rehearsed(world)
    world.follow(STAFF)
    await world.night(STAFF)
    after = await rehearsed(world)
    full = await rehearsed(world, full=True)

    assert before == {"state": "idle"}
    assert (after["outcome"], after["unchanged"], after["samples"]) == ("unchanged", 3, [])
    assert (full["outcome"], full["updated"]) == ("completed", 3)
    assert {each["reason"] for each in full["samples"]} == {"sent again"}


async def test_deletions_above_the_limit_would_be_held():
    """With the guard's limit and finding, and whom it is about."""
    world = await a_staffed_world(MIN_DELETE_ALLOWANCE=0)
    await world.drop("people-2.csv", [ADA])
    world.wait(DAY)

    told = await rehearsed(world)
    done = await world.tick() or {}

    assert (told["outcome"], told["held"]) == ("held", 2)
    assert told["plan"] == done["plan"]
    (guard,) = (guard for guard in told["guards"] if guard["name"] == "deletions")
    assert guard["tripped"]
    assert [(each["action"], each["key"]) for each in told["samples"]] == [("hold", "E2"), ("hold", "E3")]


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("people-2.csv", b"", "empty_file"),
        ("people-2.csv", [a_person("X1")], "everyone"),
        ("contractors.csv", STAFF, "different_export"),
    ],
)
async def test_an_export_that_would_be_refused_is_told_so(name: str, content: Any, code: str):
    """With the error that the report would have, and the guards that were judged; a real run refuses it then."""
    world = await a_staffed_world()
    await world.drop(name, content)
    world.wait(DAY)

    told = await rehearsed(world)
    done = await world.tick() or {}

    assert (told["outcome"], told["error"]["code"]) == ("refused", code)
    assert {each: told[each] for each in ("error", "guards", "plan")} == {
        each: done[each] for each in ("error", "guards", "plan")
    }


async def test_setup_comes_first():
    """Before it, and while a teardown is under way, there is nothing to tell."""
    world = World()
    absent = await rehearsed(world)
    await world.setup()
    world.graph.priority_lag_seconds = DAY
    await world.application().teardown(confirm="contosohr")

    leaving = await rehearsed(world)

    assert (absent, leaving) == ({"state": "not_ready"}, {"state": "paused"})


async def test_an_unfinished_run_counts_as_far_as_it_got():
    """What its journal says is done is not told as work; the rest is, and the run is named."""
    world = await a_world(SLICE_SECONDS=1, MAX_CONCURRENCY=1)
    world.follow(people(6))
    await world.drop("people.csv", people(6))
    world.graph.latency = 0.4
    partial = await world.tick(after=DAY) or {}
    world.graph.latency = 0
    there = len(world.graph.items)

    told = await rehearsed(world)
    reports = await world.settle()

    assert partial["outcome"] == "partial"
    assert told["unfinished"] == partial["run"]
    assert 0 < there < 6
    assert (told["created"], told["unchanged"]) == (6 - there, there)
    assert reports[-1]["created"] == 6


async def test_a_run_that_was_killed_is_told_of_before_its_lease_has_run_out():
    """A dry run takes no lease, so nothing keeps it from looking."""
    world = await a_world()
    world.follow(people(3))
    await world.drop("people.csv", people(3))
    world.wait(DAY)
    world.graph.kill_after(3)
    with pytest.raises(KILLED):
        await world.application().tick(trigger="timer")

    told = await rehearsed(world)

    assert told["created"] + told["updated"] + told["unchanged"] == 3
    assert await world.ticked(after=1) == "busy"


async def test_what_somebody_asked_for_is_told():
    """A full run that waits for the next tick is what the next tick does."""
    world = await a_staffed_world()
    await world.application().ask_for_sync(b'{"full": true}')

    told = await rehearsed(world)

    assert (told["updated"], told["reasons"]) == (3, ["request"])


async def test_a_lost_ledger_is_an_error():
    """Nobody can tell what would be done then; what to do is in the message."""
    world = await a_staffed_world()
    await world.containers.state.delete("contosohr/ledger/00000001.columns")

    with pytest.raises(StoreError) as raised:
        await world.application().rehearse()

    assert raised.value.code == "ledger_missing"


async def test_the_learned_pace_tells_how_long_it_takes():
    """At the rate that Graph was found to bear, or at the operator's limit where that is lower."""
    world = await a_world(SLICE_SECONDS=10)
    world.graph.latency = 0.2
    world.graph.limit_items(20, retry_after=5)
    await world.night(people(80))
    await world.settle()
    world.graph.clear_faults()
    rate = (await world.head()).pace["rate"]

    told = (await rehearsed(world, full=True))["expected"]
    world.decide(MAX_ITEMS_PER_SECOND="0.5")
    slower = (await rehearsed(world, full=True))["expected"]

    assert (told["writes"], told["learned"], told["per_second"]) == (80, True, rate)
    assert told["seconds"] == pytest.approx(80 / rate, abs=1)
    assert (slower["per_second"], slower["seconds"], slower["slices"]) == (0.5, 160, 16)


async def test_what_was_done_after_a_rehearsal_is_what_a_request_does():
    """Rehearsing leaves no trace that a later run could stumble over."""
    world = await a_staffed_world()
    await rehearsed(world, full=True)

    tick = await world.application().tick(trigger="cli", request=Request("cli"))

    assert tick.report is not None
    assert tick.report.outcome == "unchanged"
