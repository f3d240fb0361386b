"""Processes that are killed for good (SIGKILL) while they work, on genuine storage: the next ones end as HR says."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobLeaseClient

from connector.storage.state import LEASE_SECONDS, WRITE_MARGIN_SECONDS
from tests.flows.deaths import EXHAUSTIVE
from tests.host.world import FIRST_NIGHT, SECOND_NIGHT, FunctionApp, command, drop, environment, fresh
from tests.tenant.contoso import ROOT, STATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.tenant.contoso import Contoso

pytestmark = [pytest.mark.host, pytest.mark.azurite, pytest.mark.once]

DONE, KILLED = 0, -9
CONCURRENCY = 2
KILLS = 12 if EXHAUSTIVE else 2
"""Processes of each night that are killed at random instants."""


def set_up(app: FunctionApp, world: Contoso) -> dict[str, str]:
    """Return the settings of a connection that is set up."""
    settings = fresh(world)
    with app.under(settings):
        assert app.post("setup").status_code == 200
    return settings


def items(world: Contoso, settings: Mapping[str, str]) -> dict[str, Any]:
    return world.tenant.graph.connections[settings["CONNECTION_ID"]].items


def people(world: Contoso, settings: Mapping[str, str]) -> list[str]:
    """Return what Graph holds of everybody, without the ids that are the connection's own."""
    bodies = (item.body["properties"] for item in items(world, settings).values())
    return sorted(json.dumps(body, sort_keys=True).replace(settings["CONNECTION_ID"], "") for body in bodies)


def ledgers(world: Contoso, settings: Mapping[str, str]) -> list[str]:
    with world.storage() as account:
        prefix = f"{settings['CONNECTION_ID']}/ledger/"
        return list(account.get_container_client(STATE).list_blob_names(name_starts_with=prefix))


def needless(world: Contoso, settings: Mapping[str, str], changes: int) -> int:
    """Return how many more writes Graph has served for a connection than there were changes."""
    path = f"/external/connections/{settings['CONNECTION_ID']}/items/"
    return sum(seen.method in {"PUT", "DELETE"} and path in seen.path for seen in world.tenant.graph.requests) - changes


def begun(settings: Mapping[str, str], until: Callable[[], bool]) -> subprocess.Popen[bytes]:
    """Start a sync, and return when ``until`` says so, or it has ended."""
    process = subprocess.Popen(
        [sys.executable, "-m", "connector", "sync"],
        env=environment({**settings, "MAX_CONCURRENCY": str(CONCURRENCY)}),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    give_up = time.monotonic() + 60
    while process.poll() is None and not until() and time.monotonic() < give_up:
        time.sleep(0.005)
    return process


def killed(world: Contoso, settings: Mapping[str, str], when: Callable[[], bool]) -> int:
    """Start a sync, kill it as soon as ``when`` says so, and let its lease run out; return how it ended."""
    process = begun(settings, when)
    process.kill()
    ended = process.wait(30)
    a_minute_passes(world, settings)
    return ended


def a_minute_passes(world: Contoso, settings: Mapping[str, str]) -> None:
    """Let the lease of a process that does not renew it run out."""
    with world.storage() as account, contextlib.suppress(HttpResponseError):
        lease = BlobLeaseClient(account.get_blob_client(STATE, f"{settings['CONNECTION_ID']}/head.json"))
        lease.break_lease(lease_break_period=0)
        lease.acquire(15)  # a lease that was broken would be waited out
        lease.release()


@contextlib.contextmanager
def slow(world: Contoso) -> Iterator[None]:
    """Let Graph take its time."""
    world.tenant.graph.latency = 0.1
    try:
        yield
    finally:
        world.tenant.graph.latency = 0


def test_killed_processes_lose_nothing(app: FunctionApp, world: Contoso) -> None:
    """Two die while they send, the second having taken over from the first, one while it folds: nobody is missing."""
    settings, calm = set_up(app, world), set_up(app, world)
    held = items(world, settings)

    drop(world, settings, FIRST_NIGHT)
    with slow(world):
        first = killed(world, settings, lambda: len(held) >= 3)
        there = len(held)
        second = killed(world, settings, lambda: len(held) >= there + 5)
        then = len(held)
    third = killed(world, settings, lambda: bool(ledgers(world, settings)))
    rest = command(settings, "sync", "--json")
    drop(world, settings, SECOND_NIGHT)
    next_night = command(settings, "sync", "--json")
    again = command(settings, "sync", "--json")
    for night in (FIRST_NIGHT, SECOND_NIGHT):
        drop(world, calm, night)
        assert command(calm, "sync").code == DONE

    assert (first, second) == (KILLED, KILLED)
    assert third in {KILLED, DONE}
    assert 3 <= there < then < 23
    assert (rest.code, next_night.code, again.code) == (DONE, DONE, DONE)
    assert rest.json()["failed"] == next_night.json()["failed"] == 0
    assert needless(world, settings, needless(world, calm, 0)) <= 3 * 2 * CONCURRENCY
    assert again.json()["outcome"] == "unchanged"
    assert people(world, settings) == people(world, calm)


def test_processes_killed_at_any_instant_lose_nothing(app: FunctionApp, world: Contoso) -> None:
    """One after the other dies at a random instant of a night, whatever it is doing; the last one ends as HR says."""
    dice = random.Random(KILLS)  # noqa: S311
    settings, calm = set_up(app, world), set_up(app, world)
    ends: list[int] = []

    with slow(world):
        for night in (FIRST_NIGHT, SECOND_NIGHT):
            drop(world, calm, night)
            begun = time.monotonic()
            assert killed(world, calm, lambda: False) == DONE
            whole = time.monotonic() - begun
            drop(world, settings, night)
            for _ in range(KILLS):
                instant = time.monotonic() + dice.uniform(0.2, 0.9) * whole
                ends.append(killed(world, settings, lambda instant=instant: time.monotonic() >= instant))  # type: ignore[misc]
            rest = command(settings, "sync", "--json")
            assert (rest.code, rest.json()["failed"]) == (DONE, 0)

    assert KILLED in ends
    assert people(world, settings) == people(world, calm)
    assert needless(world, settings, needless(world, calm, 0)) <= ends.count(KILLED) * 2 * CONCURRENCY
    assert command(settings, "sync", "--json").json()["outcome"] == "unchanged"


@pytest.mark.skipif(not EXHAUSTIVE, reason="takes half a minute of real time: make exhaustive")
def test_a_process_that_was_stopped_sends_nothing_when_it_goes_on(app: FunctionApp, world: Contoso) -> None:
    """Stopped (SIGSTOP) while it sends, and continued when another one has done its work: it gives up."""
    settings, calm = set_up(app, world), set_up(app, world)
    held = items(world, settings)
    drop(world, settings, FIRST_NIGHT)
    with slow(world):
        process = begun(settings, lambda: len(held) >= 3)
        process.send_signal(signal.SIGSTOP)
        time.sleep(LEASE_SECONDS - WRITE_MARGIN_SECONDS + 1)  # so much later no write of it may begin
    a_minute_passes(world, settings)
    for night in (FIRST_NIGHT, SECOND_NIGHT):
        drop(world, calm, night)
        assert command(calm, "sync").code == DONE
        drop(world, settings, night)
        assert command(settings, "sync").code == DONE
    writes = needless(world, settings, 0)

    process.send_signal(signal.SIGCONT)
    ended = process.wait(60)

    assert ended == 1
    assert needless(world, settings, 0) == writes
    assert people(world, settings) == people(world, calm)
    assert command(settings, "sync", "--json").json()["outcome"] == "unchanged"
