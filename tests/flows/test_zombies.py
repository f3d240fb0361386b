"""Processes that stand still for minutes, wherever that is, while others take over, and that then go on.

A host that is overloaded, moved or put to sleep stops a process without its knowing. When it goes on, its lease has run
out and somebody else has done its work: whatever it still believes, it must change nothing any more.

What it has sent before it stopped arrives all the same. So these processes stop behind their writes to Graph, and
before or behind whatever else they ask for.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from copy import deepcopy
from typing import TYPE_CHECKING

import pytest

from connector.errors import StoreError
from tests.flows.deaths import EXHAUSTIVE, Death, deaths, die_once, is_at_rest
from tests.flows.test_crashes import LATER, PAIRS, as_hr_says, before, hr_drops, told
from tests.flows.world import CONNECTION, DAY, World, a_world, people
from tests.tenant.graph.faults import Stalled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

pytestmark = pytest.mark.once

HEAD = f"{CONNECTION}/head.json"


def stalls(places: list[Death]) -> list[Death]:
    """Return the places at which a process can stand still that has the lease, of those at which one can die.

    A write to Graph that it has not sent yet is still before the check of its lease.
    """
    taken = next(each.position for each in places if each.kind == "acquire_lease head.json")
    return [
        place
        for place in places
        if (place.place == "graph" and place.after_effect)
        or (place.place == "state" and (place.position, place.after_effect) >= (taken, True))
        or (place.place == "exports" and place.kind.startswith("download_to"))
        or place.place in {"reports", "quarantine"}
    ]


def let_it_stall(world: World, place: Death, life: Callable[[], Coroutine[None, None, None]]) -> None:
    """Let the next process stand still there, while ``life`` goes on without it, in a loop of its own."""

    def meanwhile() -> None:
        failures: list[BaseException] = []

        def live() -> None:
            try:
                asyncio.run(life())
            except BaseException as error:  # noqa: BLE001
                failures.append(error)

        with world.clock.stopped_loop():
            thread = threading.Thread(target=live)
            thread.start()
            thread.join()
        if failures:
            raise failures[0]

    if place.place == "graph":
        world.graph.fault(len(world.graph.requests) + place.position, Stalled(meanwhile))
    else:
        blobs = getattr(world.containers, place.place)
        blobs.stall(blobs.requests + place.position + 1, meanwhile, after_effect=place.after_effect)


def writes(world: World) -> int:
    return sum(seen.method in {"PUT", "DELETE"} for seen in world.graph.requests)


async def is_harmless(
    world: World, place: Death, others: Callable[[World], Awaitable[object]], wanted: list[dict[str, object]]
) -> None:
    """Let the next process stand still at a place while ``others`` work, and go on: it is as if it had died there."""
    then: list[tuple[int, bytes, dict[str, bytes]]] = []

    async def life() -> None:
        await others(world)
        then.append((writes(world), world.blobs("state")[HEAD], world.blobs("reports")))

    let_it_stall(world, place, life)
    with suppress(StoreError):
        await world.tick()

    written, head, reports = then[0]
    assert world.blobs("state")[HEAD] == head
    assert writes(world) == written
    # A report that had been sent when the process stopped arrives late; nobody can help it.
    assert world.blobs("reports") == reports or place.place == "reports"
    await world.settle()
    items = world.graph.items
    for item_id in {*items, *wanted[0], *wanted[1]}:
        assert items.get(item_id) in [each.get(item_id) for each in wanted], item_id
    assert await is_at_rest(world)


@pytest.mark.parametrize(("night", "later"), PAIRS)
async def test_a_process_that_stands_still_anywhere_changes_nothing_afterwards(night: str, later: str):
    """Others end as HR says meanwhile; it sends nothing more, commits nothing, and tells nobody what it believes."""
    world = await before(night, MAX_CONCURRENCY=2)
    wanted = await as_hr_says(world, later)

    async def others(twin: World) -> None:
        await hr_drops(twin, LATER[later])
        await twin.settle()

    places = stalls(await deaths(world))
    for place in places if EXHAUSTIVE else places[PAIRS.index((night, later)) :: 15]:
        twin = deepcopy(world)
        with told(place):
            await is_harmless(twin, place, others, wanted)


@pytest.mark.parametrize(("night", "later"), PAIRS[::4])
async def test_a_process_that_goes_on_while_others_are_at_work_changes_nothing(night: str, later: str):
    """The one that took over has died in the middle of its work: the zombie does not go on with it, the third does."""
    world = await before(night, MAX_CONCURRENCY=2)
    wanted = await as_hr_says(world, later)
    places = stalls(await deaths(world))
    number = PAIRS.index((night, later))

    for place in places if EXHAUSTIVE else places[number::15]:
        for part in range(4) if EXHAUSTIVE else [(number // 4) % 4]:
            twin = deepcopy(world)

            async def others(twin: World, part: int = part) -> None:
                await hr_drops(twin, LATER[later])
                twin.wait(DAY)
                everywhere = [death for death in await deaths(twin) if death.place in {"state", "graph"}]
                if everywhere:
                    await die_once(twin, everywhere[len(everywhere) * part // 4])

            with told(place):
                await is_harmless(twin, place, others, wanted)


@pytest.mark.parametrize("moment", range(1, 20, 3))
async def test_two_processes_at_once_are_none(moment: int):
    """Somebody breaks the lease of a process that works: the next one waits until the first must have noticed."""
    world = await a_world(MAX_CONCURRENCY=2, MAX_CHANGE_PERCENT=100, EXPORT_SETTLE_SECONDS=0)
    staff = people(40)
    await world.night(staff)
    await world.drop("people-2.csv", [row | {"JobTitle": "Chief"} for row in staff])
    world.graph.latency = 1

    async def another() -> None:
        await world.clock.sleep(moment + 0.5)
        world.containers.state.break_lease(HEAD)  # type: ignore[attr-defined]
        # It would begin with those whom the first one has announced, and sends within the next second.
        order = staff[2 * moment + 2 :] + staff[: 2 * moment + 2]
        await world.drop("people-3.csv", [row | {"JobTitle": "Boss"} for row in order])
        await world.tick(after=0)

    taking_over = asyncio.create_task(another())
    with suppress(StoreError):
        await world.tick(after=0)
    await taking_over
    await world.settle()

    assert {world.title(row["UserPrincipalName"]) for row in staff} == {"Boss"}
    assert await is_at_rest(world)
