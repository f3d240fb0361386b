"""Our memory is lost: nothing is done until a person asks for it to be begun anew, and what nobody knows is told."""

from __future__ import annotations

import json
from contextlib import suppress
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest

from connector.core.due import Request
from connector.core.report import dump_report
from connector.errors import NotReady, StoreError
from tests.flows.deaths import is_at_rest
from tests.flows.world import CONNECTION, DAY, KILLED, MINUTE, TICK, Row, World, a_person, a_world
from tests.tenant.graph.faults import Kill

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD = f"{CONNECTION}/head.json"
ADA = a_person("E1", title="Chef")
BEN = a_person("E2", manager="E1")
CYD = a_person("E3")
STAFF = [ADA, BEN, CYD]


async def a_staffed_world(**settings: object) -> World:
    """Return a world in which everybody has been sent; absence deletes at once."""
    world = await a_world(**{"LEAVER_GRACE_EXPORTS": 0, **settings})
    await world.night(STAFF)
    return world


def ledger_of(world: World) -> str:
    """Return the name of the newest ledger."""
    return max(name for name in world.blobs("state") if "/ledger/" in name)


async def rebuild(world: World) -> dict[str, Any]:
    """Ask for everything that is lost to be begun anew, and everyone to be sent; return the report."""
    ticked = await world.application().tick(trigger="cli", request=Request("cli", full=True, rebuild=True))
    assert ticked.report is not None
    report: dict[str, Any] = json.loads(dump_report(ticked.report))
    return report


def a_correction(row: Row, **cells: str) -> Row:
    return row | cells | {"_error_code": "bad_date"}


async def hr_drops(world: World, rows: list[Row], *, name: str = "people-9.csv") -> None:
    """Let HR drop an export that has settled."""
    world.wait(DAY)
    world.follow(rows)
    await world.drop(name, rows)
    world.wait(TICK)


# --- refused ----------------------------------------------------------------------------------------------------------

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[:-20],
    "flipped": lambda data: bytes([*data[: len(data) // 2], data[len(data) // 2] ^ 0x10, *data[len(data) // 2 + 1 :]]),
    "last byte": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "empty": lambda _: b"",
    "no gzip": lambda _: b"neither JSON nor gzip",
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_ledger_is_refused_like_a_lost_one(damage: str, caplog: pytest.LogCaptureFixture):
    """Whatever became of its bytes: nothing is sent or deleted, and report and log say what to do."""
    world = await a_staffed_world()
    name = ledger_of(world)
    await world.containers.state.write(name, DAMAGES[damage](world.blobs("state")[name]))
    items = dict(world.graph.items)

    report = await world.night([ADA | {"JobTitle": "Head chef"}, BEN])

    assert (report["outcome"], report["error"]["code"]) == ("refused", "ledger_missing")
    assert "damaged" in report["error"]["message"]
    assert "sync --full --rebuild" in report["error"]["message"]
    assert world.graph.items == items
    assert world.writes() == []
    last = json.loads([each.message for each in caplog.records if each.name == "connector"][-1])
    assert (last["event"], last["error"]) == ("sync.refused", report["error"])


async def test_an_older_ledger_in_place_of_the_last_is_refused():
    """Somebody restored the wrong version: whoever joined since would be forgotten."""
    world = await a_staffed_world()
    earlier = world.blobs("state")[ledger_of(world)]
    await world.night([*STAFF, a_person("E4")])
    await world.containers.state.write(ledger_of(world), earlier)

    report = await world.night(STAFF)

    assert (report["outcome"], report["error"]["code"]) == ("refused", "ledger_missing")
    assert world.holds("E1", "E2", "E3", "E4")


async def test_a_damaged_ledger_is_told_wherever_somebody_looks():
    """Status answers, health fails and says what to do, a rehearsal says why there is none."""
    world = await a_staffed_world()
    await world.containers.state.write(ledger_of(world), b"")
    await hr_drops(world, [ADA])

    status = await world.application().status()
    health = await world.application().health()
    with pytest.raises(StoreError) as raised:
        await world.application().rehearse()

    assert status["ledger"]["people"] == 3
    (check,) = (check for check in health["checks"] if check["name"] == "ledger")
    assert check["status"] == "failed"
    assert "damaged" in check["detail"]
    assert "sync --full --rebuild" in check["advice"]
    assert raised.value.code == "ledger_missing"


async def test_a_restored_ledger_is_used_without_anybody_asking():
    """Once the right version is back, the next attempt takes the export, and its leaver goes."""
    world = await a_staffed_world()
    name = ledger_of(world)
    data = world.blobs("state")[name]
    await world.containers.state.write(name, b"")
    await world.night([ADA, BEN])

    await world.containers.state.write(name, data)
    world.wait(DAY)
    reports = await world.settle()

    assert (reports[-1]["outcome"], reports[-1]["deleted"]) == ("completed", 1)
    assert world.holds("E1", "E2")


# --- begun anew -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", ["gone", "damaged"])
async def test_a_lost_ledger_is_begun_anew_when_somebody_asks(lost: str):
    """Everyone in the export is sent again, nobody unknown is deleted; the report tells how much is not known."""
    world = await a_staffed_world()
    if lost == "gone":
        await world.containers.state.delete(ledger_of(world))
    else:
        await world.containers.state.write(ledger_of(world), b"")
    refused = await world.night([ADA, BEN])

    report = await rebuild(world)

    assert refused["outcome"] == "refused"
    assert (report["outcome"], report["deleted"], report["created"]) == ("completed", 0, 2)
    assert world.sent("E1", "E2")
    assert world.holds("E1", "E2", "E3")
    assert report["warnings"]["ledger_begun_anew"] == 3
    assert "memory begun anew" in report["reasons"]
    assert await is_at_rest(world)


async def test_a_ledger_begun_anew_serves_the_next_nights():
    """An unchanged export sends nothing; who leaves from now on is deleted; what was lost is told once."""
    world = await a_staffed_world()
    await world.containers.state.delete(ledger_of(world))
    await hr_drops(world, [ADA, BEN])
    await rebuild(world)

    same = await world.night([ADA, BEN])
    quiet = not world.requests
    leaver = await world.night([ADA])

    assert (same["outcome"], quiet) == ("unchanged", True)
    assert "ledger_begun_anew" not in same["warnings"]
    assert leaver["deleted"] == 1
    assert world.holds("E1", "E3")  # whose entry was lost


async def test_who_was_forgotten_and_comes_back_has_one_item():
    """The item of somebody whose entry was lost is written over when they are in an export again, and then known."""
    world = await a_staffed_world()
    await world.containers.state.delete(ledger_of(world))
    await hr_drops(world, [ADA, BEN])
    await rebuild(world)

    back = await world.night([ADA, BEN, CYD | {"JobTitle": "Analyst"}])
    title = world.title("e3@contoso.com")
    gone = await world.night([ADA, BEN])

    assert back["created"] == 1
    assert title == "Analyst"
    assert gone["deleted"] == 1
    assert world.holds("E1", "E2")


async def test_a_ledger_that_can_be_read_is_kept():
    """Asked for without need, everyone is sent, known leavers go as ever, and the report claims no loss."""
    world = await a_staffed_world()
    await hr_drops(world, [ADA, BEN])

    report = await rebuild(world)

    assert (report["updated"], report["deleted"]) == (2, 1)
    assert world.holds("E1", "E2")
    assert "memory begun anew" not in report["reasons"]
    assert "ledger_begun_anew" not in report["warnings"]


async def test_a_ledger_of_another_release_is_not_begun_anew():
    """It is not lost: the release that wrote it can read it. Until then runs are refused, and it stays as it is."""
    world = await a_staffed_world()
    name = ledger_of(world)
    ours = world.blobs("state")[name]
    theirs = ours.replace(b"ledger 3\n", b"ledger 99\n")
    assert theirs != ours
    await world.containers.state.write(name, theirs)

    refused = await world.night([ADA, BEN])
    with pytest.raises(StoreError) as raised:
        await rebuild(world)

    assert (refused["outcome"], refused["error"]["code"]) == ("refused", "ledger_format")
    assert raised.value.code == "ledger_format"
    assert ledger_of(world) == name
    assert world.blobs("state")[name] == theirs
    assert world.holds("E1", "E2", "E3")


async def test_an_export_of_some_people_does_not_rebuild_the_ledger_alone():
    """A correction is all that is new: the last complete export is gone through as well, so everybody is known."""
    world = await a_staffed_world()
    await world.containers.state.delete(ledger_of(world))
    await hr_drops(world, [a_correction(BEN, JobTitle="Chief")], name="mended.csv")

    report = await rebuild(world)
    await world.settle()

    assert report["warnings"]["ledger_begun_anew"] == 3
    assert set((await world.ledger()).entries) == {"E1", "E2", "E3"}
    assert world.title("e2@contoso.com") == "Chief"
    assert report["deleted"] == 0


@pytest.mark.once
async def test_a_death_while_the_ledger_is_begun_anew_is_survived():
    """Wherever the process dies, later ticks finish without another word, or refuse as before: nothing in between."""
    world = await a_staffed_world()
    await world.containers.state.delete(ledger_of(world))
    await hr_drops(world, [a_correction(BEN, JobTitle="Chief")], name="mended.csv")
    twin = deepcopy(world)
    begun: Any = twin.containers.state
    before = begun.requests
    await rebuild(twin)

    ends: set[str] = set()
    for position in range(1, begun.requests - before + 1):
        for after_effect in (False, True):
            hurt = deepcopy(world)
            state: Any = hurt.containers.state
            state.kill(state.requests + position, after_effect=after_effect)
            with suppress(*KILLED):
                await rebuild(hurt)
            state.mend()
            await hurt.settle()
            try:
                known = set((await hurt.ledger()).entries)
            except StoreError as error:
                ends.add(error.code)
            else:
                assert known == {"E1", "E2", "E3"}, (position, after_effect)
                assert hurt.title("e2@contoso.com") == "Chief"
                assert (await hurt.head()).lost is None
                ends.add("known")

    assert ends == {"ledger_missing", "known"}


async def an_unfinished_night(world: World, rows: list[Row]) -> None:
    """Let a night's process die after its second item."""
    await hr_drops(world, rows)
    world.graph.fault_when(lambda request: request.method == "PUT", Kill(effect=True), times=1, after=1)
    with suppress(*KILLED):
        await world.application().tick(trigger="timer")
    assert (await world.head()).run is not None
    world.wait(2 * MINUTE)


async def test_what_an_unfinished_run_has_sent_is_known_though_its_ledger_is_lost():
    """A joiner whom it created, and who is gone before the ledger is begun anew, leaves no item behind."""
    world = await a_staffed_world(MAX_CONCURRENCY=1)
    await an_unfinished_night(world, [*STAFF, a_person("E4"), a_person("E5"), a_person("E6")])
    assert world.item_of("E4") in world.graph.items
    for name in [name for name in world.blobs("state") if "/ledger/" in name]:
        await world.containers.state.delete(name)
    await hr_drops(world, [ADA, BEN], name="people-10.csv")

    report = await rebuild(world)
    await world.settle()

    assert report["warnings"]["ledger_begun_anew"] == 3
    assert world.holds("E1", "E2", "E3")  # E3's entry was lost


@pytest.mark.parametrize("part", ["/plan", "/journal"])
async def test_an_unfinished_run_that_cannot_be_understood_is_forgotten_when_somebody_asks(part: str):
    """The ledger is there, so everybody else is known; whatever the run may have sent is sent again."""
    world = await a_staffed_world(MAX_CONCURRENCY=1)
    await an_unfinished_night(world, [ADA | {"JobTitle": "Head chef"}, BEN, CYD | {"JobTitle": "Analyst"}])
    lost = next(name for name in world.blobs("state") if part in name)
    await world.containers.state.write(lost, b"neither JSON nor gzip\n")
    stuck = await world.tick() or {}
    await hr_drops(world, [ADA, BEN], name="people-10.csv")

    report = await rebuild(world)

    assert stuck["outcome"] == "failed"
    assert "sync --full --rebuild" in stuck["error"]["message"]
    assert report["warnings"]["run_forgotten"] == 1
    assert "ledger_begun_anew" not in report["warnings"]
    assert (report["outcome"], report["deleted"]) == ("completed", 1)
    assert world.title("e1@contoso.com") == "Chef"
    assert world.holds("E1", "E2")
    assert await is_at_rest(world)


# --- the head is lost -------------------------------------------------------------------------------------------------


async def test_a_lost_head_is_made_of_the_newest_ledger():
    """Who left meanwhile is known by it, so nobody's profile stays for good; everyone is sent, to be sure."""
    world = await a_staffed_world()
    await world.night([*STAFF, a_person("E4")])
    await world.containers.state.delete(HEAD)

    with pytest.raises(NotReady, match=r"head\.json is lost"):
        await world.application().rehearse()
    report = await world.night([ADA, BEN, CYD | {"JobTitle": "Analyst"}])
    same = await world.night([ADA, BEN, CYD | {"JobTitle": "Analyst"}])

    assert (report["outcome"], report["updated"], report["deleted"]) == ("completed", 3, 0)
    assert report["warnings"]["head_lost"] == 1
    assert (same["updated"], same["deleted"], "head_lost" in same["warnings"]) == (0, 1, False)
    assert world.holds("E1", "E2", "E3")
    assert await is_at_rest(world)


async def test_an_export_that_was_applied_before_the_head_was_lost_is_no_further_absence():
    """Nobody knows which exports were applied, so the first one afterwards counts no absence; status words act."""
    world = await a_world(LEAVER_GRACE_EXPORTS=1)
    await world.night([*STAFF, a_person("E4")])
    await world.night([ADA, BEN, CYD | {"Status": "Left"}])
    await world.containers.state.delete(HEAD)

    again = await world.tick() or {}
    absent = (await world.ledger()).entries["E4"].absent
    gone = await world.night([ADA, BEN])

    assert (again["updated"], again["grace"], again["deleted"], absent) == (2, 1, 0, 1)
    assert gone["deleted"] == 1
    assert world.holds("E1", "E2")


async def test_a_head_lost_in_the_middle_of_a_run_forgets_nobody():
    """What that run has sent is in doubt by its journals: a joiner who is gone by now leaves no item behind."""
    world = await a_staffed_world(MAX_CONCURRENCY=1)
    await an_unfinished_night(world, [*STAFF, a_person("E4"), a_person("E5"), a_person("E6")])
    assert world.item_of("E4") in world.graph.items
    await world.containers.state.delete(HEAD)

    await world.night([ADA, BEN])
    await world.night([ADA, BEN])
    await world.settle()

    assert world.holds("E1", "E2")
    assert set((await world.ledger()).entries) == {"E1", "E2"}
    assert await is_at_rest(world)


async def test_a_head_lost_in_the_middle_of_the_first_run_forgets_nobody_either():
    """There is no ledger yet, but a plan and its journal: who was sent and is gone by now leaves no item behind."""
    world = await a_world(LEAVER_GRACE_EXPORTS=0, MAX_CONCURRENCY=1)
    await an_unfinished_night(world, [*STAFF, a_person("E4")])
    assert world.item_of("E1") in world.graph.items
    await world.containers.state.delete(HEAD)

    report = await world.night([BEN, CYD])
    await world.night([BEN, CYD])

    assert report["warnings"]["head_lost"] == 1
    assert world.holds("E2", "E3")


async def test_a_lost_head_without_a_readable_ledger_is_refused():
    """That is no first run: Graph holds items, and nobody can say whose."""
    world = await a_staffed_world()
    await world.containers.state.delete(HEAD)
    await world.containers.state.write(ledger_of(world), b"")

    refused = await world.night([ADA, BEN])
    report = await rebuild(world)

    assert (refused["outcome"], refused["error"]["code"]) == ("refused", "ledger_missing")
    assert (report["created"], report["deleted"]) == (2, 0)
    assert report["warnings"]["head_lost"] == 1
    assert world.holds("E1", "E2", "E3")


async def test_the_ledger_of_a_former_connection_is_not_taken_up():
    """Head and connection are both of another time: everyone is sent to the new connection, nobody deleted."""
    world = await a_staffed_world()
    await world.teardown()
    await world.setup()
    await world.containers.state.delete(HEAD)

    report = await world.night([ADA, BEN])

    assert (report["created"], report["deleted"]) == (2, 0)
    assert "head_lost" not in report["warnings"]
    assert world.holds("E1", "E2")
