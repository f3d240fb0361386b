"""A disk that is full: the export does not fit into the temporary folder."""

from __future__ import annotations

import json
import resource
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.flows.deaths import is_at_rest
from tests.flows.world import CONNECTION, DAY, World, a_world, people

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.once

MEBIBYTE = 2**20
STAFF = people(30)
LARGE = [row | {"JobTitle": "Chief", "DeskNumber": "9" * (MEBIBYTE // 10)} for row in STAFF]
"""Three mebibytes, of which the mapping takes very little."""


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond so many bytes, as on a disk that has no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


async def with_a_large_export() -> World:
    """Return a world after a night, in which HR has dropped an export that changes everybody."""
    world = await a_world(MAX_CHANGE_PERCENT=100)
    await world.night(STAFF)
    world.wait(DAY)
    await world.drop("people-2.csv", LARGE)
    return world


async def test_an_export_without_room_fails_the_run_and_a_later_tick_goes_on(caplog: pytest.LogCaptureFixture):
    """Nothing is sent or deleted; report and last log line say what is full; with room again, all is as HR says."""
    world = await with_a_large_export()

    with files_end_at(MEBIBYTE):
        report = await world.tick() or {}
    logged = [json.loads(each.message) for each in caplog.records if each.name == "connector"][-1]
    written = world.writes()
    later = await world.settle()

    assert (report["outcome"], report["error"]["code"]) == ("failed", "disk")
    assert "temporary folder" in report["error"]["message"]
    assert (logged["event"], logged["error"]) == ("sync.failed", report["error"])
    assert "people-2" not in json.dumps(logged)
    assert json.loads(world.blobs("reports")[f"{CONNECTION}/{report['run']}.json"])["error"] == report["error"]
    assert written == []
    assert [each["outcome"] for each in later] == ["completed"]
    assert {world.title(row["UserPrincipalName"]) for row in STAFF} == {"Chief"}
    assert await is_at_rest(world)


async def test_a_run_that_finds_no_room_when_it_goes_on_is_finished_later():
    """Resumed on a full disk a run fails and stays unfinished: what it has done is not lost, nor done again."""
    world = await with_a_large_export()
    world.decide(SLICE_SECONDS=2, MAX_CONCURRENCY=2)
    world.graph.latency = 1
    partial = await world.tick() or {}

    with files_end_at(MEBIBYTE):
        failed = await world.tick() or {}
    world.graph.latency = 0
    later = await world.settle()

    assert (partial["outcome"], failed["outcome"], failed["error"]["code"]) == ("partial", "failed", "disk")
    assert (later[-1]["outcome"], later[-1]["updated"]) == ("completed", 30)
    assert [write.changed for write in world.served] == [True] * 60
    assert await is_at_rest(world)


async def test_an_unfinished_run_that_cannot_look_at_a_newer_export_says_so():
    """Whether it makes way depends on the newer one, which does not fit: the run fails, and waits for room."""
    world = await with_a_large_export()
    world.decide(SLICE_SECONDS=2, MAX_CONCURRENCY=2)
    world.graph.latency = 1
    partial = await world.tick() or {}
    await world.drop("people-3.csv", [row | {"JobTitle": "Boss"} for row in LARGE])

    with files_end_at(MEBIBYTE):
        failed = await world.tick() or {}
    world.graph.latency = 0
    await world.settle()

    assert (failed["run"], failed["outcome"], failed["error"]["code"]) == (partial["run"], "failed", "disk")
    assert {world.title(row["UserPrincipalName"]) for row in STAFF} == {"Boss"}
    assert await is_at_rest(world)


async def test_a_disk_that_is_full_at_any_moment_of_a_night_costs_nothing_but_time():
    """However much of it still fits, from nothing at all: the next ticks end as HR says."""
    for size in (0, 3 * MEBIBYTE - 1):
        world = await with_a_large_export()

        with files_end_at(size):
            report = await world.tick() or {}
        await world.settle()

        assert report["error"]["code"] == "disk", size
        assert {world.title(row["UserPrincipalName"]) for row in STAFF} == {"Chief"}
