"""New UPNs, UPNs that pass from one person to another, and the items they leave behind: one item for each person."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.flows import world as worlds
from tests.flows.world import DAY, KILLED, Row, World, a_person, a_world
from tests.tenant.graph.faults import Kill, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

ADA = a_person("E1", title="Director")
BEN = a_person("E2", title="Baker", manager="E1")
CYD = a_person("E3", title="Clerk", manager="E1")
DAN = a_person("E4", title="Driver", manager="E2")
STAFF = [ADA, BEN, CYD, DAN]


def with_upn(row: Row, upn: str) -> Row:
    """Return somebody's row with another UPN."""
    return row | {"UserPrincipalName": upn}


def upn_of(row: Row) -> str:
    return row["UserPrincipalName"]


def it_gives(world: World, rows: Iterable[Row]) -> None:
    """Let IT give everybody the UPN that HR has for them, whoever had it before; joiners get accounts."""
    rows = list(rows)
    users = {key: world.graph.users[user_id] for key, user_id in world._accounts.items()}
    wanted = {row["EmployeeId"]: upn_of(row) for row in rows}
    for key, user in users.items():  # out of the way first: no two accounts have one UPN
        if wanted.get(key) != user.upn and user.upn in wanted.values():
            world.graph.rename_user(user.id, f"former.{key.lower()}@contoso.com")
    world.follow(rows)


async def a_night(world: World, rows: list[Row]) -> None:
    """Let HR drop the next export after IT has followed; the tick is still to come."""
    world.wait(DAY)
    it_gives(world, rows)
    await world.drop(f"people-{world.clock.now():%Y-%m-%d}.csv", rows)


def titles(world: World) -> dict[str, str | None]:
    """Return the job titles of everybody who has one from us."""
    return {upn: title for upn in world.profiles() if (title := world.title(upn)) is not None}


async def test_a_new_upn_shows_the_person_once():
    """Under the new UPN stands what HR says, under the old one nothing; nobody counts as deleted."""
    world = await a_world()
    await world.night(STAFF)
    rows = [ADA, with_upn(BEN, "benjamin@contoso.com"), CYD, DAN]

    report = await world.night(rows)

    assert (report["outcome"], report["updated"], report["created"], report["deleted"]) == ("completed", 2, 0, 0)
    assert titles(world) == {upn_of(row): row["JobTitle"] for row in rows}
    assert world.holds("E1", "E2", "E3", "E4")
    assert await world.tick() is None


async def test_a_limit_on_deletions_does_not_keep_former_items():
    """Deletions are held, and everybody who was renamed stands there once all the same."""
    world = await a_world(LEAVER_GRACE_EXPORTS=0, MIN_DELETE_ALLOWANCE=0, MAX_DELETE_COUNT=0)
    await world.night(STAFF)

    report = await world.night([ADA, with_upn(BEN, "benjamin@contoso.com"), DAN])

    assert (report["outcome"], report["held"], report["deleted"]) == ("held", 1, 0)
    assert world.holds("E1", "E2", "E3", "E4")


async def test_who_gets_a_leavers_upn_keeps_it():
    """The joiner stands where the leaver stood, whatever becomes of the leaver's own deletion later."""
    world = await a_world(LEAVER_GRACE_EXPORTS=1)
    await world.night(STAFF)
    joiner = with_upn(a_person("N1", title="Novice"), upn_of(CYD))
    await a_night(world, [ADA, BEN, DAN, joiner])
    await world.settle()
    await a_night(world, [ADA, BEN, DAN, joiner])

    reports = await world.settle()

    assert reports[-1]["outcome"] in {"completed", "unchanged"}
    assert titles(world)[upn_of(CYD)] == "Novice"
    assert {entry.key for entry in (await world.ledger()).entries.values()} == {"E1", "E2", "E4", "N1"}
    assert len(world.graph.items) == 4


async def test_two_people_swap_their_upns():
    """Each stands under their new UPN; nobody's entry is deleted by the other's."""
    world = await a_world()
    await world.night(STAFF)
    rows = [ADA, with_upn(BEN, upn_of(CYD)), with_upn(CYD, upn_of(BEN)), DAN]
    await a_night(world, rows)

    await world.settle()

    assert titles(world) == {upn_of(row): row["JobTitle"] for row in rows}
    assert len(world.graph.items) == 4
    assert await world.tick() is None


async def test_a_refused_new_item_leaves_the_old_one_until_it_is_taken():
    """Graph refuses the item under the new UPN once: the person keeps the old one, and has the new one later."""
    world = await a_world()
    await world.night(STAFF)
    rows = [ADA, with_upn(BEN, "benjamin@contoso.com"), CYD, DAN]
    await a_night(world, rows)
    new = worlds.item_of("E2", "benjamin@contoso.com")
    world.graph.fault_when(lambda seen: seen.method == "PUT" and seen.path.endswith(new), Refused(400, "BadRequest"))

    report = await world.tick() or {}
    meanwhile = set(world.graph.items)
    await world.settle()

    assert (report["failed"], report["updated"]) == (1, 1)
    assert worlds.item_of("E2") in meanwhile
    assert titles(world) == {upn_of(row): row["JobTitle"] for row in rows}
    assert world.holds("E1", "E2", "E3", "E4")


async def test_a_former_item_that_graph_does_not_let_go_is_told_and_tried_again():
    """The report warns of it; when Graph deletes it, the person stands there once."""
    world = await a_world()
    await world.night(STAFF)
    await a_night(world, [ADA, with_upn(BEN, "benjamin@contoso.com"), CYD, DAN])
    world.graph.fault_when(lambda seen: seen.method == "DELETE", Refused(400, "BadRequest"))

    report = await world.tick() or {}
    await world.settle()

    follows = worlds.CONTRACT == "preview"  # under labels there is no former item
    assert report["warnings"].get("former_item_kept", 0) == int(follows)
    assert (report["updated"], report["deleted"], report["failed"]) == (2, 0, 0)
    assert world.holds("E1", "E2", "E3", "E4")


CHANGED = [
    with_upn(ADA | {"JobTitle": "President"}, "ada.king@contoso.com"),
    with_upn(BEN, upn_of(DAN)),
    with_upn(DAN, upn_of(BEN)),
    with_upn(a_person("N1", title="Novice", manager="E2"), upn_of(CYD)),
]
"""Somebody is renamed, two have swapped their UPNs, and a joiner has the UPN of somebody who left."""


@pytest.mark.once
@pytest.mark.parametrize("concurrency", [1, 16])
async def test_a_death_anywhere_among_new_upns_is_survived(concurrency: int):
    """Killed at every request, before or after it took effect: in the end everybody stands there once, as HR says."""
    position = deaths = 0
    while True:
        world = await a_world(LEAVER_GRACE_EXPORTS=0, MAX_CONCURRENCY=concurrency)
        await world.night(STAFF)
        await a_night(world, CHANGED)
        begun = len(world.graph.requests)
        world.graph.fault(begun + position // 2, Kill(effect=bool(position % 2)))
        with suppress(*KILLED):
            await world.tick()
            break

        deaths += 1
        await world.settle()
        assert titles(world) == {upn_of(row): row["JobTitle"] for row in CHANGED}
        assert len(world.graph.items) == 4
        assert {entry.key for entry in (await world.ledger()).entries.values()} == {"E1", "E2", "E4", "N1"}
        position += 1
    assert deaths >= 8
