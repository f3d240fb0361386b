"""Somebody pauses syncing: nothing is done until it is resumed, and a run that is under way stops (design §3.16)."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from connector.errors import BadRequest
from tests.flows.test_approval import approve, held_world
from tests.flows.world import CONNECTION, DAY, World, a_person, a_world, people

if TYPE_CHECKING:
    from connector.sync import Tick

HOUR = 3600
STAFF = people(60)
WHY = {"by": "Ada Okafor", "reason": "HR moves to another system"}


async def pause(world: World) -> dict[str, Any]:
    return await world.application().pause(json.dumps(WHY).encode())


async def resume(world: World) -> dict[str, Any]:
    return await world.application().resume(json.dumps({"by": "Ben Achebe", "reason": "done"}).encode())


async def at_work(world: World, *, until: int) -> asyncio.Task[Tick]:
    """Let the timer fire and return its invocation once Graph has so many items."""
    running = asyncio.create_task(world.application().tick(trigger="timer"))
    while len(world.graph.items) < until and not running.done():
        await world.clock.sleep(1)
    assert not running.done()
    return running


async def before_a_slow_night(**settings: object) -> World:
    """Return a world in which a first export waits that takes minutes."""
    world = await a_world(MAX_CONCURRENCY=2, **settings)
    world.graph.latency = 10
    world.follow(STAFF)
    await world.drop("people.csv", STAFF)
    world.wait(HOUR)
    return world


async def test_while_paused_no_tick_does_anything():
    """Ticks say that they are paused; Graph hears nothing and our own memory stays as it is."""
    world = await a_world()
    await world.night(STAFF)
    await pause(world)
    await world.drop("people-2.csv", STAFF[1:])
    before = world.blobs("state")

    states = [await world.ticked() for _ in range(10)]

    assert states == ["paused"] * 10
    assert world.requests == []
    assert world.token_requests == 0
    assert world.blobs("state") == before


async def test_resumed_it_does_what_is_due():
    """The export that came meanwhile is taken by the next tick."""
    world = await a_world()
    await pause(world)
    world.follow(STAFF)
    await world.drop("people.csv", STAFF)
    await world.ticked()
    await resume(world)

    report = await world.tick() or {}

    assert (report["outcome"], report["created"]) == ("completed", 60)


async def test_status_shows_who_paused_it_and_why_and_since_when():
    """And, once it goes on, who let it."""
    world = await a_world()
    await pause(world)
    paused = await world.application().status()
    world.wait(HOUR)
    await resume(world)

    resumed = await world.application().status()

    assert (paused["paused"], paused["resumed"]) == (True, None)
    assert paused["pause"].items() >= WHY.items()
    assert paused["pause"]["since"].endswith("Z")
    assert (resumed["paused"], resumed["pause"]) == (False, None)
    assert (resumed["resumed"]["by"], resumed["resumed"]["reason"]) == ("Ben Achebe", "done")


async def test_paused_twice_the_last_word_counts():
    """The reason that is shown is the newest; one resume ends it."""
    world = await a_world()
    await pause(world)
    await world.application().pause(b'{"by": "Cleo", "reason": "audit"}')
    shown = (await world.application().status())["pause"]
    await resume(world)

    assert (shown["by"], shown["reason"]) == ("Cleo", "audit")
    assert await world.ticked() == "idle"


async def test_resuming_what_nobody_paused_changes_nothing():
    """It answers as if it had."""
    world = await a_world()
    before = world.blobs("state")

    answer = await resume(world)

    assert answer["paused"] is False
    assert world.blobs("state") == before


async def test_a_run_under_way_stops_within_a_minute_and_goes_on_when_resumed():
    """Paused within a slice, no further write begins; resumed, the same run sends the rest, each item once."""
    world = await before_a_slow_night()
    running = await at_work(world, until=8)
    paused_at = world.clock.monotonic()
    await world.state.pause(WHY)

    stopped = await running
    took = world.clock.monotonic() - paused_at
    sent = len(world.graph.items)
    quiet = [await world.ticked() for _ in range(3)]
    await world.state.resume(WHY)
    reports = await world.settle()

    assert stopped.report is not None
    assert stopped.report.outcome == "partial"
    assert took <= 60
    assert 8 <= sent < 60
    assert quiet == ["paused"] * 3
    assert {report["run"] for report in reports} == {stopped.report.run}
    assert reports[-1]["outcome"] == "completed"
    assert len(world.graph.items) == 60
    assert sum(seen.method == "PUT" for seen in world.graph.requests) == 60


async def test_a_run_that_is_throttled_stops_too():
    """Graph wants us to wait for minutes: a pause meanwhile is heard, and nothing is sent after the wait."""
    world = await before_a_slow_night()
    world.graph.throttle(times=2, after=20, retry_after=300)
    running = await at_work(world, until=8)
    await world.state.pause(WHY)

    stopped = await running
    sent = len(world.graph.items)
    await world.state.resume(WHY)
    await world.settle()

    assert stopped.report is not None
    assert stopped.report.outcome == "partial"
    assert sent < 60
    assert len(world.graph.items) == 60


async def test_a_teardown_stops_a_run_that_is_under_way():
    """Teardown pauses first: it waits for seconds, not for the end of a slice; nothing is sent once it has begun."""
    world = await before_a_slow_night()
    running = await at_work(world, until=8)
    begun = await world.application().teardown(confirm=CONNECTION)

    stopped = await running
    sent = len(world.graph.items)
    await world.teardown()

    assert begun.state == "in progress"
    assert stopped.report is not None
    assert stopped.report.outcome == "partial"
    assert sent < 60
    assert await world.ticked() == "not_ready"


async def test_between_the_steps_of_a_teardown_ticks_say_what_they_wait_for(caplog: pytest.LogCaptureFixture):
    """They do nothing until it is finished or taken back; taken back, everyone is sent after all."""
    world = await before_a_slow_night()
    running = await at_work(world, until=8)
    await world.application().teardown(confirm=CONNECTION)
    await running
    caplog.clear()
    caplog.set_level("INFO", "connector")

    states = [await world.ticked() for _ in range(3)]
    quiet = world.requests == []
    await world.setup()
    reports = await world.settle()

    told = [json.loads(record.message) for record in caplog.records if "sync.paused" in record.message]
    assert states == ["paused"] * 3
    assert quiet
    assert [line["waiting_for"] for line in told] == ["teardown"] * 3
    assert reports[-1]["outcome"] == "completed"
    assert len(world.graph.items) == 60


async def test_a_run_that_a_teardown_stopped_is_over_when_the_connection_is_set_up_again():
    """Its items went with the connection: it is superseded, and the next run sends everyone and deletes nobody."""
    world = await before_a_slow_night()
    running = await at_work(world, until=8)
    await world.application().teardown(confirm=CONNECTION)
    stopped = (await running).report
    await world.teardown()
    gone = dict(world.graph.items)
    await world.setup()
    await world.drop("people-2.csv", STAFF[:50])

    reports = await world.settle()

    assert stopped is not None
    assert gone == {}
    assert {report["run"] for report in reports}.isdisjoint({stopped.run})
    assert (reports[-1]["outcome"], reports[-1]["created"], reports[-1]["deleted"]) == ("completed", 50, 0)
    stored = json.loads(world.blobs("reports")[f"{CONNECTION}/{stopped.run}.json"])
    assert stored["outcome"] == "superseded"
    assert len(world.graph.items) == 50


async def test_a_paused_connection_can_be_torn_down_and_stays_paused():
    """A pause is no obstacle, and only somebody ends it: not even another setup does."""
    world = await a_world()
    await world.night(STAFF)
    await pause(world)

    await world.teardown()
    body = await world.application().status()
    await world.setup()
    again = await world.ticked()
    await resume(world)
    await world.tick()

    assert (body["paused"], body["connection"]["state"]) == (True, "absent")
    assert again == "paused"
    assert len(world.graph.items) == 60


async def test_an_approval_waits_for_the_end_of_a_pause():
    """It can be given meanwhile; it is carried out once syncing goes on, if that is within its time."""
    world, held = await held_world()
    await pause(world)
    await approve(world, held)
    meanwhile = await world.ticked(after=DAY)
    listed = (await world.application().status())["approvals"]
    await resume(world)

    report = await world.tick() or {}

    assert meanwhile == "paused"
    assert [(each["plan"], each["by"]) for each in listed] == [(held["plan"], "Ada Okafor")]
    assert (report["outcome"], report["deleted"]) == ("completed", 6)


async def test_a_wish_waits_for_the_end_of_a_pause():
    """Somebody asks for everyone to be sent while syncing is paused: the first tick afterwards does it, once."""
    world = await a_world()
    await world.night(STAFF)
    await pause(world)
    await world.application().ask_for_sync(b'{"full": true}')
    meanwhile = [await world.ticked() for _ in range(3)]
    await resume(world)

    report = await world.tick() or {}
    later = await world.tick()

    assert meanwhile == ["paused"] * 3
    assert (report["outcome"], report["updated"]) == ("completed", 60)
    assert later is None


async def test_a_forgotten_pause_is_told_as_stale(caplog: pytest.LogCaptureFixture):
    """Alerts go on while syncing is paused; who paused it, and why, is nobody's business in a log."""
    world = await a_world()
    await world.night([a_person("E1")])
    await pause(world)
    caplog.clear()

    await world.ticked(after=2 * DAY)

    events = [json.loads(record.message)["event"] for record in caplog.records if record.name == "connector"]
    assert set(events) >= {"sync.stale", "sync.paused"}
    assert "Okafor" not in caplog.text
    assert WHY["reason"] not in caplog.text


@pytest.mark.parametrize("body", [b"", b"{}", b'{"by": "Ada"}', b'{"reason": "x"}', b'{"by": "", "reason": "x"}'])
async def test_a_pause_wants_a_name_and_a_reason(body: bytes):
    """Without them nothing is paused."""
    world = await a_world()

    with pytest.raises(BadRequest):
        await world.application().pause(body)

    assert await world.ticked() == "idle"
