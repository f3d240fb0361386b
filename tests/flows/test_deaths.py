"""Processes that die in the middle of something less common: whatever it was, it is carried to its end, and no further.

The deaths of an ordinary night are in ``test_crashes.py``.
"""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from connector.core.due import Request
from tests.flows.deaths import EXHAUSTIVE, a_tick, deaths, die_once, is_at_rest
from tests.flows.test_crashes import told
from tests.flows.world import CONNECTION, DAY, World, a_person, a_world, people

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

pytestmark = pytest.mark.once

FIRST = [a_person("E1", title="Director"), *(a_person(f"E{number}", manager="E1") for number in (2, 3, 4))]
SECOND = [FIRST[0], FIRST[1] | {"JobTitle": "Chief"}, FIRST[3], a_person("E5", manager="E2")]
"""A mover, a leaver by absence, a joiner."""


async def a_night_behind(**settings: object) -> World:
    """Return a world after the first night."""
    world = await a_world(LEAVER_GRACE_EXPORTS=0, MAX_CONCURRENCY=2, **settings)
    await world.night(FIRST)
    world.wait(DAY)
    return world


async def drop(world: World, rows: list[dict[str, str]], name: str = "people-2.csv") -> None:
    world.follow(rows)
    await world.drop(name, rows)


async def something_approved() -> World:
    """Two deletions are held, and somebody has just approved them."""
    world = await a_night_behind(MAX_DELETE_COUNT=1, MIN_DELETE_ALLOWANCE=1)
    await drop(world, FIRST[:2])
    report = await world.tick() or {}
    assert report["held"] == 2
    body = json.dumps({"plan": report["plan"], "by": "Ada"}).encode()
    await world.application().approve(report["run"], body)
    return world


async def a_run_to_be_superseded() -> World:
    """A run was cut off by its slice, and HR has dropped a newer export since."""
    world = await a_night_behind(SLICE_SECONDS=1)
    world.graph.latency = 0.6
    await drop(world, [*(row | {"JobTitle": "Chief"} for row in FIRST), *people(6)])
    report = await world.tick() or {}
    assert report["outcome"] == "partial"
    world.graph.latency = 0
    await drop(world, SECOND, "people-3.csv")
    return world


async def a_wish_for_everyone() -> World:
    """Somebody has asked for everyone to be sent again."""
    world = await a_night_behind()
    await world.application().ask_for_sync(b'{"full": true}')
    return world


async def a_lost_ledger() -> World:
    """The ledger is lost, which a tick has found out."""
    world = await a_night_behind()
    await drop(world, SECOND)
    await world.containers.state.delete(max(name for name in world.blobs("state") if "/ledger/" in name))
    report = await world.tick() or {}
    assert report["error"]["code"] == "ledger_missing"
    return world


async def much_to_tidy_up() -> World:
    """There are more reports, ledgers and copies than are kept, and HR has just dropped an export."""
    world = await a_night_behind()
    for night in range(2, 5):
        await drop(world, [row | {"FavoriteColor": f"grey {night}"} for row in FIRST])
        await world.tick()
    for number in range(92):
        for kind in ("html", "json"):
            await world.containers.reports.write(f"{CONNECTION}/20200101T000000Z-{number:04x}.{kind}", b"{}")
    await drop(world, SECOND)
    return world


async def nothing_set_up() -> World:
    """There is an export, and no connection yet."""
    world = World()
    world.decide(LEAVER_GRACE_EXPORTS=0)
    await drop(world, SECOND)
    return world


async def a_filled_connection() -> World:
    """A night is over, and HR has dropped another export."""
    world = await a_night_behind()
    await drop(world, SECOND)
    return world


async def rebuild(world: World) -> None:
    """Begin the ledger anew, as an operator does on the command line."""
    await world.application().tick(trigger="cli", request=Request("cli", full=True, rebuild=True))


async def rebuild_if_it_is_still_missing(world: World) -> None:
    """Do what the last report says."""
    await world.settle()
    generation = (await world.head()).generation
    there = any(name.endswith(f"/ledger/{generation:08d}.columns") for name in world.blobs("state"))
    if not there:
        await rebuild(world)


async def set_up(world: World) -> None:
    """Call setup until it is done."""
    await world.setup()


async def tear_down(world: World) -> None:
    """Tear the connection down, as far as it takes."""
    await world.teardown()


async def tear_down_and_set_up(world: World) -> None:
    """Let the operator finish what they began, and begin anew."""
    await world.teardown()
    assert CONNECTION not in world.graph.connections
    await world.setup()


class Situation(NamedTuple):
    """What a process does that dies, and what somebody does about it, beside waiting for the next ticks."""

    made: Callable[[], Awaitable[World]]
    process: Callable[[World], Awaitable[object]] = a_tick
    answer: Callable[[World], Awaitable[object]] = a_tick


SITUATIONS = {
    "an approval": Situation(something_approved),
    "superseding": Situation(a_run_to_be_superseded),
    "sending everyone again": Situation(a_wish_for_everyone),
    "a rebuild": Situation(a_lost_ledger, rebuild, rebuild_if_it_is_still_missing),
    "tidying up": Situation(much_to_tidy_up),
    "setup": Situation(nothing_set_up, set_up, set_up),
    "teardown": Situation(a_filled_connection, tear_down, tear_down_and_set_up),
}
ENOUGH = 20
"""So many deaths of each situation are tried, unless all are."""


@pytest.mark.parametrize("situation", SITUATIONS)
async def test_a_death_anywhere_in_it_is_survived(situation: str):
    """Killed at any request, to Graph or to storage: the next ones end as if nobody had died, and leave nothing."""
    made, process, answer = SITUATIONS[situation]
    world = await made()
    calm = deepcopy(world)
    await process(calm)
    await answer(calm)
    await calm.settle()

    everywhere = await deaths(world, process)
    for death in everywhere if EXHAUSTIVE else everywhere[:: -(-len(everywhere) // ENOUGH)]:
        twin = deepcopy(world)
        await die_once(twin, death, process)
        await answer(twin)
        await twin.settle()
        with told(death):
            assert twin.graph.items == calm.graph.items
            assert await kept(twin) == await kept(calm)
            assert await is_at_rest(twin)


async def kept(world: World) -> dict[str, Any]:
    """Return what is the same after every night, whether or not somebody died in it."""
    head = await world.head()
    ledger = await world.ledger()
    return {
        "people": {key: (entry.item_id, entry.item, entry.state, entry.held) for key, entry in ledger.entries.items()},
        "waiting": (head.held, head.approvals, head.run),
        "applied": head.applied and head.applied.name,
        "stored": {name: sum(f"/{name}/" in each for each in world.blobs("state")) for name in ("requests", "runs")},
        "connections": [*world.graph.connections],
        "sources": len(world.graph.sources),
    }
