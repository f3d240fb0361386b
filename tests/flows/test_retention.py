"""What lies in storage after many nights."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.flows.world import CONNECTION, TICK, a_person, a_world, people

pytestmark = pytest.mark.anyio


async def test_many_nights_leave_what_is_to_be_kept():
    """Reports of 90 runs in both forms, three ledgers, two exports, no plan and no journal; HR's files stay."""
    world = await a_world(EXPORT_SETTLE_SECONDS=0)
    world.follow(people(2))
    bad = a_person("P2", HireDate="soon")
    for number, kind in itertools.product(range(85), ("html", "json")):
        await world.containers.reports.write(f"{CONNECTION}/20200101T000000Z-{number:04x}.{kind}", b"{}")

    for night in range(12):
        await world.drop("people.csv", [a_person("P1", title=f"Chief {night}"), bad])
        report = await world.tick()
        assert report is not None

    names = [name.rpartition("/")[2] for name in world.blobs("reports")]
    assert len([name for name in names if name.endswith(".json")]) == 90
    assert {name.partition(".")[0] for name in names if name.endswith(".html")} == {
        name.partition(".")[0] for name in names if name.endswith(".json")
    }
    state = [name.split("/")[1] for name in world.blobs("state")]
    assert (state.count("ledger"), state.count("exports"), state.count("runs")) == (3, 2, 0)
    copies = [data for name, data in world.blobs("state").items() if name.startswith(f"{CONNECTION}/exports/")]
    assert (
        sorted(f"Chief {night}" in data.decode() for data in copies for night in (10, 11)) == [False] * 2 + [True] * 2
    )
    assert len(world.blobs("quarantine")) == 12
    assert world.title("p1@contoso.com") == "Chief 11"


async def test_an_unfinished_run_keeps_what_it_needs():
    """While it waits to be resumed, its plan, journal and copy stay, and so do those of the last applied export."""
    world = await a_world(EXPORT_SETTLE_SECONDS=0, SLICE_SECONDS=1, MAX_CONCURRENCY=1)
    await world.night(people(2))
    world.graph.latency = 0.6
    await world.drop("people-2.csv", people(6, title="Chief"))
    world.follow(people(6))

    partial = await world.tick() or {}
    kept = [name.split("/")[1] for name in world.blobs("state")]
    world.graph.latency = 0
    reports = await world.settle()

    assert partial["outcome"] == "partial"
    assert kept.count("exports") == 2
    assert kept.count("runs") == 2
    assert reports[-1]["outcome"] == "completed"
    assert [name for name in world.blobs("state") if "/runs/" in name] == []


async def test_a_report_that_cannot_be_deleted_stays_until_the_next_run():
    """Tidying up is no reason for a run to fail; a death in the middle of it loses nothing."""
    world = await a_world(EXPORT_SETTLE_SECONDS=0)
    for number in range(95):
        await world.containers.reports.write(f"{CONNECTION}/20200101T000000Z-{number:04x}.json", b"{}")
    await world.drop("people.csv", people(1))
    world.follow(people(1))
    reports: Any = world.containers.reports
    reports.fail(reports.requests + 5)

    first = await world.tick() or {}
    left = len(world.blobs("reports"))
    await world.drop("people.csv", people(1, title="Chief"))
    second = await world.tick(after=TICK) or {}

    assert (first["outcome"], second["outcome"]) == ("completed", "completed")
    assert left > 92
    runs = {name.rpartition("/")[2].partition(".")[0] for name in world.blobs("reports")}
    assert len(runs) == 90
    assert {first["run"], second["run"]} <= runs


async def test_refused_exports_and_sets_of_files_leave_what_the_last_two_exports_need():
    """Both files of two sets, one hash that waits, no plan; a full run afterwards finds all it reads."""
    world = await a_world(EXPORT_SETTLE_SECONDS=0)
    world.follow(people(2))
    for night in range(5):
        await world.drop("employees.csv", people(1, title=f"Chief {night}"))
        await world.drop("contractors.csv", people(1, start=2, title=f"Chief {night}"))
        await world.promise("employees.csv", files=["contractors.csv"])
        taken = await world.tick() or {}
        await world.drop("others.csv", people(1))
        refused = await world.tick() or {}
        assert (taken["outcome"], refused["outcome"]) == ("completed", "refused")
    state = [name.split("/")[1] for name in world.blobs("state")]
    await world.application().ask_for_sync(b'{"full": true}')

    report = await world.tick() or {}

    assert (state.count("exports"), state.count("ledger"), state.count("runs"), state.count("pending")) == (4, 3, 0, 1)
    assert (report["outcome"], report["updated"]) == ("completed", 2)
    assert world.title("p2@contoso.com") == "Chief 4"
