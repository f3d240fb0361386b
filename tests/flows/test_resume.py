"""Processes that run out of time, die or lose their lease: the next one goes on, and Graph ends as HR says."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from connector.core.due import Request
from connector.errors import LeaseLost, NotReady
from tests.flows.deaths import deaths, die_once, is_at_rest
from tests.flows.world import CONNECTION, DAY, KILLED, TICK, Row, World, a_person, a_world, item_of, people
from tests.tenant.graph.faults import Kill

HEAD = f"{CONNECTION}/head.json"

BOSS = a_person("E1", title="Director")
MOVER = a_person("E2", manager="E1")
LEAVER = a_person("E3", manager="E1")
CLERK = a_person("E4", manager="E2")
JOINER = a_person("E5", manager="E2")

FIRST = [BOSS, MOVER, LEAVER, CLERK]
SECOND = [BOSS, MOVER | {"JobTitle": "Chief"}, CLERK | {"HireDate": "soon"}, JOINER]
"""A mover, a leaver by absence, a rejected row, a joiner."""


async def before(rows: list[Row] | None = None, **settings: object) -> World:
    """Return a world after the first night, in which HR has just dropped the next export."""
    world = await a_world(LEAVER_GRACE_EXPORTS=0, **settings)
    await world.night(FIRST)
    world.wait(DAY)
    await hr_drops(world, rows or SECOND)
    return world


async def hr_drops(world: World, rows: list[Row]) -> None:
    world.follow(rows)
    await world.drop(f"people-{world.clock.now():%Y-%m-%d-%H%M}.csv", rows)


def writes_of(world: World, begun: int) -> int:
    return sum(seen.method in {"PUT", "DELETE"} for seen in world.graph.requests[begun:])


# --- out of time ----------------------------------------------------------------------------------------------------


async def test_a_run_that_runs_out_of_time_goes_on_at_the_next_tick():
    """SLICE_SECONDS ends an invocation, not the run: counts are cumulative, slices are counted."""
    world = await a_world(SLICE_SECONDS=10, MAX_CONCURRENCY=4)
    world.graph.latency = 1

    first = await world.night(people(100))
    so_far = len(world.graph.items)
    later = await world.settle()

    assert first["outcome"] == "partial"
    assert first["created"] == so_far
    assert 0 < so_far < 100
    assert [report["outcome"] for report in later] == ["partial"] * (len(later) - 1) + ["completed"]
    assert {report["run"] for report in later} == {first["run"]}
    assert [report["slices"] for report in later] == list(range(2, len(later) + 2))
    assert later[-1]["created"] == 100
    assert later[-1]["people"] == 100
    assert len(world.graph.items) == 100
    assert await is_at_rest(world)


async def test_a_slice_ends_in_time():
    """An invocation is over soon after SLICE_SECONDS, whatever Graph is doing."""
    world = await a_world(SLICE_SECONDS=10, MAX_CONCURRENCY=4)
    world.graph.latency = 1
    world.graph.throttle(times=1, after=30, retry_after=300)
    world.wait(DAY)
    world.follow(people(100))
    await world.drop("people.csv", people(100))
    begun = world.clock.monotonic()

    report = await world.tick(after=300) or {}

    assert report["outcome"] == "partial"
    assert world.clock.monotonic() - begun <= 300 + 10 + 30


class _Slow:
    """A container whose every request takes a while."""

    def __init__(self, world: World, container: Any) -> None:
        self._world = world
        self._container = container

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._container, name)
        if not asyncio.iscoroutinefunction(operation):
            return operation

        async def slowly(*arguments: Any, **options: Any) -> Any:
            await self._world.clock.sleep(3)
            return await operation(*arguments, **options)

        return slowly


async def test_a_slice_that_is_over_before_anything_is_sent_sends_something_all_the_same():
    """Where reading takes longer than SLICE_SECONDS, every slice still gets further, so the run ends at last."""
    world = await a_world(SLICE_SECONDS=5, MAX_CONCURRENCY=4)
    world.containers = replace(world.containers, state=_Slow(world, world.containers.state))
    world.graph.latency = 1
    world.follow(people(60))
    await world.drop("people.csv", people(60))

    reports = await world.settle()

    assert len(reports) > 1
    assert reports[-1]["outcome"] == "completed"
    assert len(world.graph.items) == 60


async def test_no_slice_sends_anything_twice():
    """A run in many slices makes exactly the writes of a run in one."""
    world = await a_world(SLICE_SECONDS=5, MAX_CONCURRENCY=3)
    world.graph.latency = 1
    world.follow(people(60))
    await world.drop("people.csv", people(60))

    reports = await world.settle()

    assert len(reports) > 3
    assert writes_of(world, 0) == len(world.graph.items) == 60


async def test_each_slice_renders_what_was_planned():
    """Managers outside the pilot, without account, in bad rows or in grace: resumed, everything is as it was planned.

    A run that did not render as planned would be superseded; this one keeps its name to the end.
    """
    world = await a_world(LEAVER_GRACE_EXPORTS=3)
    bosses = [a_person(f"B{number}") for number in range(6)]
    await world.night(bosses)
    rows = [
        bosses[0] | {"UserPrincipalName": "b0.new@contoso.com"},  # renamed
        bosses[1] | {"UserPrincipalName": "b1.gone@contoso.com"},  # without an account by now
        bosses[2] | {"HireDate": "soon"},  # a bad row
        bosses[3] | {"Status": "Left"},
        bosses[5],  # and B4 is absent
        a_person("B6"),  # a joiner who was never asked for before
        *(a_person(f"R{number}", manager=f"B{number}") for number in range(8)),  # B7 is nobody's key
    ]
    world.follow([rows[0], *rows[4:]])
    upns = ",".join(row["UserPrincipalName"] for row in rows if row["EmployeeId"].startswith("R"))
    world.decide(PILOT=upns, SLICE_SECONDS=1, MAX_CONCURRENCY=1)
    world.graph.latency = 0.7
    await world.drop("people.csv", rows)

    reports = await world.settle()

    assert len(reports) >= 4
    assert len({report["run"] for report in reports}) == 1
    assert (reports[-1]["outcome"], reports[-1]["created"], reports[-1]["deleted"]) == ("completed", 8, 1)
    managers = [world.manager(f"r{number}@contoso.com") for number in range(8)]
    assert managers == [
        "b0.new@contoso.com",
        "b1@contoso.com",
        "b2@contoso.com",
        None,
        "b4@contoso.com",
        "b5@contoso.com",
        "b6@contoso.com",
        None,
    ]


async def test_a_newer_export_supersedes_an_unfinished_run():
    """A newer complete export ends an unfinished run; what it had done is remembered, and the new one is planned."""
    world = await a_world(SLICE_SECONDS=10, MAX_CONCURRENCY=4)
    world.graph.latency = 1
    first = await world.night(people(100))
    done = first["created"]
    await world.drop("people-9.csv", people(100))

    reports = await world.settle()

    superseded = next(name for name in world.blobs("reports") if name.endswith(f"{first['run']}.json"))
    assert b'"outcome": "superseded"' in world.blobs("reports")[superseded]
    assert reports[-1]["outcome"] == "completed"
    assert reports[-1]["unchanged"] == done
    assert reports[-1]["updated"] <= 8  # in doubt: perhaps there already
    assert reports[-1]["created"] + reports[-1]["updated"] + done == 100
    assert len(world.graph.items) == 100
    assert await is_at_rest(world)


async def test_changed_settings_supersede_an_unfinished_run():
    """A run goes on only where it would still do the same: another PILOT makes a new plan."""
    world = await a_world(SLICE_SECONDS=10, MAX_CONCURRENCY=4)
    world.graph.latency = 1
    first = await world.night(people(100))
    world.decide(PILOT="p1@contoso.com")

    reports = await world.settle()

    assert reports[-1]["run"] != first["run"]
    assert len(world.graph.items) <= first["created"] + 8


async def test_a_correction_does_not_supersede_an_unfinished_run():
    """A partial file that arrives meanwhile is applied afterwards, and loses nothing of the run."""
    world = await a_world(SLICE_SECONDS=10, MAX_CONCURRENCY=4)
    world.graph.latency = 1
    await world.night(people(100))
    await world.drop("mended.csv", [people(1)[0] | {"JobTitle": "Chief", "_error_code": "x"}])

    await world.settle()

    assert len(world.graph.items) == 100
    assert world.title("p1@contoso.com") == "Chief"


async def test_an_outage_in_the_middle_loses_nothing():
    """A run that gets no token any more ends as failed; what it had done stays done, and the rest is planned again."""
    world = await a_world(SLICE_SECONDS=10, MAX_CONCURRENCY=4)
    world.graph.latency = 1
    first = await world.night(people(100))
    world.no_token = "the vault does not answer"

    failed = await world.tick() or {}
    world.no_token = ""
    await world.settle()

    assert (failed["run"], failed["outcome"], failed["created"]) == (first["run"], "failed", first["created"])
    assert len(world.graph.items) == 100
    assert writes_of(world, 0) <= 100 + 8
    assert await is_at_rest(world)


# --- dead -----------------------------------------------------------------------------------------------------------


@pytest.mark.once
@pytest.mark.parametrize("seed", range(20))
async def test_many_deaths_in_a_row_are_survived(seed: int):
    """Process after process dies somewhere; the first one that lives ends the night as HR says."""
    dice = random.Random(seed)  # noqa: S311
    world = await before()
    calm = deepcopy(world)
    await calm.settle()
    everywhere = await deaths(world)
    for _ in range(8):
        await die_once(world, dice.choice(everywhere))

    await world.settle()

    assert world.graph.items == calm.graph.items
    assert (await world.head()).run is None
    assert set((await world.ledger()).entries) == {"E1", "E2", "E4", "E5"}


@pytest.mark.parametrize("position", [1, 5, 6, 17, 18, 19, 33, 60])
async def test_a_death_costs_few_needless_writes(position: int):
    """What was announced and in doubt is sent again, never more than twice MAX_CONCURRENCY."""
    world = await a_world(MAX_CONCURRENCY=4)
    world.graph.latency = 0.1
    world.follow(people(60))
    await world.drop("people.csv", people(60))
    world.graph.fault(len(world.graph.requests) + position, Kill())
    with suppress(*KILLED):
        await world.tick()

    reports = await world.settle()

    assert reports[-1]["created"] == 60
    assert len(world.graph.items) == 60
    assert writes_of(world, 0) - 60 <= 8


async def test_a_dead_run_keeps_its_name():
    """The run that died is the one that is resumed: one run, two slices."""
    world = await before()
    world.graph.fault(len(world.graph.requests) + 2, Kill())
    with suppress(*KILLED):
        await world.tick()
    run = (await world.head()).run

    report = (await world.settle())[-1]

    assert run is not None
    assert (report["run"], report["slices"]) == (run.id, 2)
    assert (report["created"], report["updated"], report["deleted"], report["rejected"]) == (1, 1, 1, 1)


# --- the lease ------------------------------------------------------------------------------------------------------


async def test_a_tick_leaves_a_run_of_another_process_alone():
    """While somebody else holds the lease, a tick does nothing; when the lease has run out, the next one works."""
    world = await before()
    await world.containers.state.acquire_lease(HEAD, seconds=60)

    world.decide(EXPORT_SETTLE_SECONDS=0)
    state = await world.ticked(after=1)
    requests = world.requests
    report = await world.tick() or {}

    assert state == "busy"
    assert requests == []
    assert report["outcome"] == "completed"


async def test_a_wish_is_kept_while_another_process_works():
    """A tick that finds the lease taken forgets nobody's wish."""
    world = await before()
    await world.tick()
    await world.application().ask_for_sync(b'{"full": true}')
    await world.containers.state.acquire_lease(HEAD, seconds=60)

    state = await world.ticked(after=1)
    report = await world.tick() or {}

    assert state == "busy"
    assert report["updated"] == 3


async def test_a_process_that_loses_its_lease_stops():
    """Somebody else has the lease by now: no further write begins, and nothing is committed."""
    world = await a_world()
    world.graph.latency = 5
    world.follow(people(300))
    await world.drop("people.csv", people(300))
    heads: list[bytes] = []
    world.wait(300)

    async def another_takes_over() -> None:
        await world.clock.sleep(40)
        world.containers.state.break_lease(HEAD)  # type: ignore[attr-defined]
        await world.containers.state.acquire_lease(HEAD, seconds=60)
        heads.append(world.blobs("state")[HEAD])

    begun = world.clock.monotonic()
    other = asyncio.create_task(another_takes_over())
    with pytest.raises(LeaseLost):
        await world.tick(after=0)
    await other

    assert world.blobs("state")[HEAD] == heads[0]
    items = world.graph.connections[CONNECTION].items.values()
    assert max(item.put_at for item in items) - begun <= 45  # the next renewal tells
    world.graph.latency = 0
    await world.settle()
    assert len(world.graph.items) == 300


# --- whose ledger is it? --------------------------------------------------------------------------------------------


async def test_a_connection_set_up_anew_is_filled_anew():
    """After a teardown and a new setup everyone is sent, and nobody is deleted."""
    world = await a_world(LEAVER_GRACE_EXPORTS=0)
    await world.night(FIRST)
    await world.teardown()
    gone = dict(world.graph.items)
    await world.setup()

    report = await world.tick() or {}

    assert gone == {}
    assert (report["outcome"], report["created"], report["deleted"]) == ("completed", 4, 0)
    assert world.title("e1@contoso.com") == "Director"


async def test_an_unfinished_run_of_a_former_connection_is_void():
    """A run that died before a teardown is ended after the new setup; everyone is sent, and nobody is deleted."""
    world = await an_unfinished_run()
    await world.teardown()
    await world.setup()

    reports = await world.settle()

    assert (reports[-1]["outcome"], reports[-1]["created"], reports[-1]["deleted"]) == ("completed", 3, 0)
    assert world.holds("E1", "E2", "E5")
    assert await is_at_rest(world)


async def test_a_bad_file_does_not_keep_a_new_connection_empty():
    """The first file after a new setup is refused: the last good export fills the connection."""
    world = await a_world()
    await world.night(FIRST)
    await world.teardown()
    await world.setup()
    await world.drop("people-2.csv", b"")

    await world.settle()

    assert world.holds("E1", "E2", "E3", "E4")


async def test_during_a_teardown_no_tick_works():
    """A connection that is about to go takes no items."""
    world = await before()
    await world.application().teardown(confirm=CONNECTION)

    state = await world.ticked()

    assert state in {"paused", "not_ready"}
    assert world.writes() == []


async def test_a_head_without_its_ledger_does_nothing():
    """Without the ledger nobody can say what Graph holds: refused, and the sentence says what to do."""
    world = await before()
    lost = next(name for name in world.blobs("state") if "/ledger/" in name)
    await world.containers.state.delete(lost)
    items = dict(world.graph.items)

    report = await world.tick() or {}

    assert (report["outcome"], report["error"]["code"]) == ("refused", "ledger_missing")
    assert "sync --full --rebuild" in report["error"]["message"]
    assert world.graph.items == items
    assert world.writes() == []


async def test_a_ledger_that_is_restored_is_used():
    """Once the operator has restored the ledger, the export is taken."""
    world = await before()
    lost = next(name for name in world.blobs("state") if "/ledger/" in name)
    data = world.blobs("state")[lost]
    await world.containers.state.delete(lost)
    await world.tick()
    await world.containers.state.write(lost, data)

    reports = await world.settle()

    assert reports[-1]["outcome"] == "completed"
    assert world.holds("E1", "E2", "E4", "E5")


REBUILD = Request("cli", full=True, rebuild=True)


async def test_a_lost_ledger_is_begun_anew_on_request():
    """Sync --full --rebuild: everyone in the export is sent, and a new ledger knows them; nobody is deleted."""
    world = await before()
    await world.containers.state.delete(next(name for name in world.blobs("state") if "/ledger/" in name))
    await world.tick()

    ticked = await world.application().tick(trigger="cli", request=REBUILD)

    assert ticked.report is not None
    assert ticked.report.outcome == "completed"
    assert world.sent("E1", "E2", "E5")
    assert world.holds("E1", "E2", "E3", "E4", "E5")
    assert set((await world.ledger()).entries) == {"E1", "E2", "E5"}
    assert await world.tick() is None


async def test_a_ledger_that_is_there_is_not_begun_anew():
    """A rebuild without need sends everyone, and forgets nobody: whoever is absent is deleted as ever."""
    world = await before()
    world.wait(TICK)

    await world.application().tick(trigger="cli", request=REBUILD)
    await world.settle()

    assert world.holds("E1", "E2", "E4", "E5")
    assert set((await world.ledger()).entries) == {"E1", "E2", "E4", "E5"}


async def an_unfinished_run() -> World:
    """Return a world in which the process of the second night has died after its plan was stored."""
    world = await before()
    world.graph.fault(len(world.graph.requests) + 2, Kill())
    with suppress(*KILLED):
        await world.tick()
    assert (await world.head()).run is not None
    return world


@pytest.mark.parametrize(("part", "code"), [("/ledger/", "ledger_missing"), ("/plan", "plan_missing")])
async def test_an_unfinished_run_that_cannot_be_understood_is_left_alone(part: str, code: str):
    """Without its plan or the ledger a run cannot go on: each attempt says why, and nothing is sent or deleted."""
    world = await an_unfinished_run()
    lost = max(name for name in world.blobs("state") if part in name)
    data = world.blobs("state")[lost]
    await world.containers.state.delete(lost)
    items = dict(world.graph.items)

    report = await world.tick() or {}
    later = [await world.tick() for _ in range(8)]
    untouched = world.graph.items == items
    await world.containers.state.write(lost, data)
    await world.settle()
    world.wait(DAY)
    await world.settle()

    assert report["error"]["code"] == code
    assert 1 <= sum(each is not None for each in later) <= 4
    assert untouched
    assert world.holds("E1", "E2", "E4", "E5")
    assert await is_at_rest(world)


async def test_an_unfinished_run_without_its_copy_is_planned_again():
    """When our copy of the export is lost, what was done is folded and the export itself is read again."""
    world = await an_unfinished_run()
    for name in [name for name in world.blobs("state") if "/exports/" in name]:
        await world.containers.state.delete(name)

    await world.settle()

    assert world.holds("E1", "E2", "E4", "E5")
    assert world.title("e2@contoso.com") == "Chief"
    assert await is_at_rest(world)


async def test_going_through_the_last_export_without_its_copy_fails_until_the_next_export():
    """Without our copy nothing can be gone through again: it says so, and the next export goes on as ever."""
    world = await before()
    await world.tick()
    for name in [name for name in world.blobs("state") if "/exports/" in name]:
        await world.containers.state.delete(name)
    await world.application().ask_for_sync(b'{"full": true}')

    report = await world.tick() or {}
    await hr_drops(world, [*SECOND, a_person("E7")])
    reports = await world.settle()

    assert (report["outcome"], report["error"]["code"]) == ("failed", "copy_missing")
    assert reports[-1]["outcome"] == "completed"
    assert world.holds("E1", "E2", "E4", "E5", "E7")


async def test_when_all_state_is_lost_setup_adopts_the_connection():
    """With the whole state container lost nothing is done until setup adopts: then everyone is sent, nobody deleted."""
    world = await a_world(LEAVER_GRACE_EXPORTS=0)
    await world.night(FIRST)
    for name in list(world.blobs("state")):
        await world.containers.state.delete(name)
    waiting = await world.ticked()
    await world.setup()

    reports = await world.settle()

    assert waiting == "not_ready"
    assert (reports[-1]["outcome"], reports[-1]["created"], reports[-1]["deleted"]) == ("completed", 4, 0)
    assert set(world.graph.items) == {item_of(row["EmployeeId"]) for row in FIRST}


async def test_another_contract_of_the_connection_is_refused():
    """State of another tenant is not taken for ours."""
    world = await before()
    world.decide(TENANT_ID="11111111-2222-4333-8444-555555555555")

    with pytest.raises(NotReady, match="another tenant"):
        await world.tick()

    assert world.requests == []
