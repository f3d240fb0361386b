"""A large company on a tenant that throttles, with everything else that happens in one night, in virtual time."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import pytest

from tests.flows.deaths import EXHAUSTIVE, is_at_rest, needless
from tests.flows.world import DAY, KILLED, World, a_person, a_world, an_export, item_of
from tests.tenant.clock import AtOnce
from tests.tenant.graph.faults import Failed, Kill

pytestmark = pytest.mark.once

PEOPLE = 20_000 if EXHAUSTIVE else 2_000
"""``make exhaustive`` makes the night of a real company of it."""
CONCURRENCY = 16


async def a_bad_night(rows: list[dict[str, str]]) -> World:
    """Return a world with an export, in which Graph throttles and, after one item in a thousand, answers 503."""
    asyncio.get_running_loop().set_default_executor(AtOnce())
    world = await a_world(MAX_CONCURRENCY=CONCURRENCY)
    dice = random.Random(20_000)  # noqa: S311
    world.wait(DAY)
    world.follow(rows)
    await world.drop("people.csv", an_export(rows))
    world.tenant.entra.expires_in = 5 + PEOPLE // 100  # the last slice lasts longer
    world.graph.latency = 0.2
    world.graph.limit_items(25, retry_after=10)
    world.graph.fault_when(
        lambda seen: seen.method == "PUT" and dice.random() < 0.001, Failed(503, effect=True), times=None
    )
    return world


async def test_everyone_arrives_on_the_worst_of_nights():
    """Throttled, 5xx after their effect, a token that is worth nothing any more, three deaths: Graph equals HR."""
    rows = [a_person(f"P{number}", manager=f"P{number // 9}" if number else "") for number in range(PEOPLE)]
    world = await a_bad_night(rows)
    for _ in range(3):
        world.graph.fault(len(world.graph.requests) + PEOPLE // 5, Kill())
        with suppress(*KILLED):
            await world.tick()

    reports = await world.settle()

    assert [report["outcome"] for report in reports] == ["completed"]
    assert (reports[0]["created"], reports[0]["failed"], reports[0]["slices"]) == (PEOPLE, 0, 4)
    assert reports[0]["graph"]["throttled"] > 0
    assert set(world.graph.items) == {item_of(f"P{number}") for number in range(PEOPLE)}
    profiles = world.profiles()
    managers = [profiles[f"p{number}@contoso.com"]["personCurrentPosition"]["manager"] for number in range(1, PEOPLE)]
    assert [each["userPrincipalName"] for each in managers] == [
        f"p{number // 9}@contoso.com" for number in range(1, PEOPLE)
    ]
    failures = world.graph.statuses[503]
    assert failures > 0
    assert len(needless(world, 0)) <= failures + 3 * 2 * CONCURRENCY
    assert world.graph.statuses[401] > 0
    assert await is_at_rest(world)
