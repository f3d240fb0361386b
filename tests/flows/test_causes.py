"""Whatever keeps a run from going on: it ends as failed, with the cause in the report and in the last log line.

Rotating credentials have more of these in ``test_rotation.py``.
"""

from __future__ import annotations

import itertools
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from connector.core.due import Request
from connector.errors import ConnectorError, StoreUnavailable
from tests.flows.world import CONNECTION, DAY, World, a_person, a_world, people
from tests.tenant import INGEST_CLIENT_ID
from tests.tenant.graph.faults import Failed, Kill, Refused, Throttled

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.tenant.graph.seen import Seen

pytestmark = pytest.mark.contracts("labels")

STAFF = people(60)
CHANGED = [*(row | {"JobTitle": "Chief"} for row in STAFF), a_person("J1")]
"""Everybody is written, and somebody is looked up."""


def is_put(seen: Seen) -> bool:
    return seen.method == "PUT"


def is_lookup(seen: Seen) -> bool:
    return seen.path == "/$batch"


def no_token(world: World) -> None:
    world.no_token = "the vault does not answer"


def no_role_for_users(world: World) -> None:
    world.tenant.entra.withdraw(INGEST_CLIENT_ID, "User.Read.All")


def no_role_for_items(world: World) -> None:
    world.tenant.entra.withdraw(INGEST_CLIENT_ID, "ExternalItem.ReadWrite.OwnedBy")


def lookups_are_refused(world: World) -> None:
    world.graph.fault_when(is_lookup, Refused(400), times=None)


def lookups_fail(world: World) -> None:
    world.graph.fault_when(is_lookup, Failed(503), times=None)


def lookups_are_throttled(world: World) -> None:
    world.graph.fault_when(is_lookup, Throttled(5), times=None)


def items_are_refused(world: World) -> None:
    world.graph.fault_when(is_put, Refused(400), times=None)


def items_fail(world: World) -> None:
    world.graph.fault_when(is_put, Failed(503), times=None)


def connection_is_gone(world: World) -> None:
    del world.graph.connections[CONNECTION]


CAUSES: dict[Callable[[World], None], str] = {
    no_token: "credential",
    no_role_for_users: "Authorization_RequestDenied",
    no_role_for_items: "Authorization_RequestDenied",
    lookups_are_refused: "BadRequest",
    lookups_fail: "unavailable",
    lookups_are_throttled: "throttled",
    items_are_refused: "too_many_failed",
    items_fail: "too_many_failed",
    connection_is_gone: "connection_missing",
}


def logged(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    """Return the last log event of ours."""
    event: dict[str, Any] = json.loads([each.message for each in caplog.records if each.name == "connector"][-1])
    return event


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.__name__)
async def test_a_run_that_cannot_go_on_says_why(cause: Callable[[World], None], caplog: pytest.LogCaptureFixture):
    """The report's error is that of the last log line, and says more than a code; what was done is not lost."""
    world = await a_world(MAX_CONCURRENCY=4, MAX_CHANGE_PERCENT=100)
    await world.night(STAFF)
    world.wait(DAY)
    world.follow(CHANGED)
    await world.drop("people-2.csv", CHANGED)
    cause(world)
    caplog.clear()

    report = await world.tick() or {}

    last = logged(caplog)
    assert (report["outcome"], report["error"]["code"]) == ("failed", CAUSES[cause])
    assert len(report["error"]["message"]) > 20
    assert (last["event"], last["error"], last["run"]) == ("sync.failed", report["error"], report["run"])
    stored = json.loads(world.blobs("reports")[f"{CONNECTION}/{report['run']}.json"])
    assert (stored["outcome"], stored["error"]) == ("failed", report["error"])
    assert "contoso.com" not in json.dumps(last)


async def test_a_mapping_that_was_not_registered_says_so(caplog: pytest.LogCaptureFixture):
    """The registered schema lacks a property: the run sends nothing and names setup."""
    world = await a_world()
    await world.map_with(('name = "favoriteColor"', 'name = "colour"'))
    world.follow(STAFF)
    await world.drop("people.csv", STAFF)

    report = await world.tick() or {}

    assert (report["outcome"], report["error"]) == ("failed", logged(caplog)["error"])
    assert "setup" in report["error"]["message"]
    assert world.writes() == []


@pytest.mark.parametrize("lost", ["/ledger/", "/plan", "/journal"])
async def test_memory_that_is_lost_or_broken_says_so(lost: str, caplog: pytest.LogCaptureFixture):
    """A ledger, a plan or a journal that is no JSON: report and log name it, and nothing is sent."""
    world = await a_world(MAX_CONCURRENCY=1, MAX_CHANGE_PERCENT=100)
    await world.night(STAFF)
    world.wait(DAY)
    await world.drop("people-2.csv", [row | {"JobTitle": "Chief"} for row in STAFF])
    world.graph.fault_when(is_put, Kill(), times=1, after=5)
    with suppress(BaseException):
        await world.tick()
    name = max(name for name in world.blobs("state") if lost in name)
    await world.containers.state.write(name, b"neither JSON nor gzip\n")
    caplog.clear()

    report = await world.tick() or {}

    told = {
        "/ledger/": ("refused", "ledger_missing"),
        "/plan": ("failed", "plan_corrupt"),
        "/journal": ("failed", "journal_corrupt"),
    }
    assert (report["outcome"], report["error"]["code"]) == told[lost]
    assert logged(caplog)["error"] == report["error"]
    assert world.writes() == []
    await world.application().tick(trigger="cli", request=Request("cli", full=True, rebuild=True))
    await world.settle()
    assert {world.title(row["UserPrincipalName"]) for row in STAFF} == {"Chief"}


@pytest.mark.parametrize("container", ["exports", "state"])
async def test_storage_that_is_away_is_the_last_thing_that_is_told(container: str, caplog: pytest.LogCaptureFixture):
    """Where not even a report can be made, the invocation fails with the cause, and so does the last log line."""
    world = await a_world()
    await world.drop("people.csv", STAFF)
    blobs = getattr(world.containers, container)
    for position in itertools.islice(itertools.count(blobs.requests + 1), 50):
        blobs.fail(position)

    with pytest.raises(ConnectorError) as raised:
        await world.tick()

    assert isinstance(raised.value, StoreUnavailable)
    assert logged(caplog)["event"] == "sync.failed"
    assert logged(caplog)["error"] == {"code": raised.value.code, "message": raised.value.message}
