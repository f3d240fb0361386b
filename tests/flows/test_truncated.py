"""An export that broke off while it was uploaded, at every byte: nobody is deleted because of it, then or later."""

from __future__ import annotations

import hashlib
from copy import deepcopy
from typing import Any

import pytest

from tests.flows.deaths import EXHAUSTIVE
from tests.flows.world import DAY, Row, World, a_person, a_world, an_export

pytestmark = [pytest.mark.once, pytest.mark.contracts("labels")]

COLUMNS = ("EmployeeId", "UserPrincipalName", "DisplayName", "JobTitle", "ManagerId", "Status")


def a_row(key: str, **cells: str) -> Row:
    """Return somebody's row in a narrow export, so that every byte of it can be the last one."""
    return {column: cell for column, cell in a_person(key, **cells).items() if column in COLUMNS}


STAFF = [
    a_row("E1", name='Zoë "Zed" Ask', title="Director,\nfounder"),
    a_row("E2", manager="E1"),
    a_row("E3", title='Cook, "left"\r\n', manager="E1"),
]
BEFORE = an_export([row | {"JobTitle": "Clerk"} for row in STAFF])
WHOLE = an_export(STAFF)
"""Three rows in six lines: with commas, quotes, line breaks and a letter of two bytes inside cells."""
BOUNDARIES = [len(an_export(STAFF[:count])) for count in range(1, len(STAFF))]
"""Where the file could be cut and look whole: behind rows, but for the last."""
HALF_BREAKS = [end - 1 for end in (*BOUNDARIES, len(WHOLE))]
"""Inside the line break behind a row: the row is whole, and a carriage return alone ends it as well."""


async def a_world_before(data: bytes = BEFORE) -> World:
    """Return a world after the first night, in which everybody has an older title."""
    world = await a_world()
    world.follow(STAFF)
    await world.drop("people-1.csv", data)
    report = await world.tick() or {}
    assert (report["outcome"], report["created"]) == ("completed", len(STAFF))
    world.wait(DAY)
    return world


async def what_is_known(world: World) -> tuple[Any, Any]:
    """Return what Graph and the ledger hold."""
    return dict(world.graph.items), await world.ledger()


async def test_with_a_manifest_every_cut_is_refused():
    """The manifest names the whole file by sha256: whatever is missing at the end, nothing is taken."""
    world = await a_world_before()
    before = await what_is_known(world)

    for end in range(len(WHOLE)):
        await world.drop("people-2.csv", WHOLE[:end])
        await world.promise("people-2.csv", sha256=hashlib.sha256(WHOLE).hexdigest(), rows=len(STAFF))
        report = await world.tick() or {}

        assert (report["outcome"], report["error"]["code"]) == ("refused", "truncated"), end
        assert world.requests == [], end

    assert await what_is_known(world) == before
    await world.drop("people-2.csv", WHOLE)
    await world.promise("people-2.csv", rows=len(STAFF))
    assert (await world.tick() or {})["updated"] == 2


async def test_without_a_manifest_only_a_cut_between_rows_is_taken():
    """Inside a row, a cell, quotes or a letter the file is refused; behind a row it looks whole, and deletes nobody."""
    world = await a_world_before()
    before = await what_is_known(world)
    taken = []

    for end in range(len(WHOLE)):
        night = deepcopy(world)
        await night.drop("people-2.csv", WHOLE[:end])
        report = await night.tick() or {}

        if report["outcome"] == "refused":
            assert night.requests == [], end
            assert await what_is_known(night) == before, end
            continue
        taken.append(end)
        assert (report["deleted"], report["held"]) == (0, 0), end
        assert night.graph.items.keys() == before[0].keys(), end

    assert taken == sorted([*BOUNDARIES, *HALF_BREAKS])


@pytest.mark.parametrize("end", BOUNDARIES)
async def test_after_a_cut_between_rows_the_next_whole_export_deletes_nobody(end: int):
    """Whoever was missing is in grace; with the next whole export they are there as if nothing had been."""
    world = await a_world_before()
    await world.drop("people-2.csv", WHOLE[:end])
    cut = await world.tick() or {}
    world.wait(DAY)
    await world.drop("people-3.csv", WHOLE)

    whole = await world.tick() or {}

    assert cut["grace"] == len(STAFF) - 1 - BOUNDARIES.index(end)
    assert (whole["outcome"], whole["deleted"], whole["grace"]) == ("completed", 0, 0)
    assert world.holds("E1", "E2", "E3")
    assert not any(entry.absent for entry in (await world.ledger()).entries.values())
    assert [write.method for write in world.served].count("DELETE") == 0
    assert await world.tick() is None


@pytest.mark.parametrize("first", [True, False], ids=["the first export", "an HR that ends no last line"])
async def test_where_no_line_break_can_be_missed_a_cut_deletes_nobody_either(*, first: bool):
    """Without an earlier export that ended its last line, some cuts inside a row look whole: still nobody is deleted.

    Once the whole export is there, everybody is as HR says.
    """
    world = await a_world() if first else await a_world_before(BEFORE.rstrip(b"\r\n"))
    world.follow(STAFF)
    reference = deepcopy(world)
    await reference.drop("people-9.csv", WHOLE)
    await reference.settle()

    for end in range(0, len(WHOLE), 1 if EXHAUSTIVE else 11):
        night = deepcopy(world)
        await night.drop("people-2.csv", WHOLE[:end])
        await night.settle()
        night.wait(DAY)
        await night.drop("people-3.csv", WHOLE)
        await night.settle()

        assert [write.method for write in night.served].count("DELETE") == 0, end
        assert night.graph.items == reference.graph.items, end
