"""Graph, Entra and storage on a bad day: what is waited for, what is tried again, and what stops a run."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from connector.errors import StoreError, StoreUnavailable
from tests.flows.world import CONNECTION, DAY, MINUTE, TICK, Row, World, a_person, a_world, item_of, people
from tests.tenant import INGEST_CLIENT_ID
from tests.tenant.graph.faults import Dropped, Failed, Fault, Refused, Throttled

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

STAFF = people(30)
CHANGED = [row | {"JobTitle": "Chief"} for row in STAFF]


def is_write(seen: Any) -> bool:
    return seen.method in {"PUT", "DELETE"}


def is_put_of(key: str) -> Any:
    return lambda seen: seen.method == "PUT" and seen.path.endswith(item_of(key))


async def the_items_of(rows: list[Row]) -> dict[str, Any]:
    """Return the items of an undisturbed first night."""
    world = await a_world()
    await world.night(rows)
    return world.graph.items


# --- throttled ------------------------------------------------------------------------------------------------------


async def test_a_retry_after_is_waited_for():
    """A 429 pauses everyone for as long as it says; then the run goes on and ends as if nothing had been."""
    world = await a_world()
    world.graph.fault_when(is_write, Throttled(17), after=5)
    begun = world.clock.monotonic()

    report = await world.night(STAFF)

    assert (report["outcome"], report["created"], report["failed"]) == ("completed", 30, 0)
    assert report["graph"]["throttled"] == 1
    assert report["graph"]["seconds"] == pytest.approx(17, abs=1)
    assert world.clock.monotonic() - begun >= 24 * 3600 + 15 * MINUTE + 17
    assert world.graph.items == await the_items_of(STAFF)


async def test_graphs_limit_per_connection_is_lived_with():
    """With 25 items a second Graph throttles us; everyone arrives, and the pace is remembered."""
    world = await a_world()
    world.graph.latency = 0.2
    world.graph.limit_items(25, retry_after=5)

    report = await world.night(people(600))

    assert (report["outcome"], report["created"]) == ("completed", 600)
    assert report["graph"]["throttled"] > 0
    assert len(world.graph.items) == 600
    assert (await world.head()).pace["rate"] < 40


@pytest.mark.parametrize("most", [1, 4, 16])
async def test_never_more_in_flight_than_allowed(most: int):
    """MAX_CONCURRENCY is the most that is under way at once, look-ups included, and it is used."""
    world = await a_world(MAX_CONCURRENCY=most)
    world.graph.latency = 0.5
    world.graph.max_in_flight = 0

    await world.night(people(100))

    assert world.graph.max_in_flight == most


async def test_items_per_second_are_limited():
    """MAX_ITEMS_PER_SECOND is the upper limit of the pace."""
    world = await a_world(MAX_ITEMS_PER_SECOND=2)

    report = await world.night(people(41))

    assert report["graph"]["seconds"] == pytest.approx(20, abs=2)


async def test_setup_is_not_slowed_down_with_the_items():
    """The limit is for items: a very low one would leave setup no time to look, call after call."""
    world = World()
    world.decide(MAX_ITEMS_PER_SECOND=0.01)
    begun = world.clock.monotonic()

    await world.setup()

    assert world.clock.monotonic() - begun < 5 * MINUTE


WAITS: dict[str, Callable[[datetime], Fault]] = {
    "seconds": lambda _: Throttled(17),
    "a date": lambda now: Throttled(now + timedelta(seconds=17)),
    "milliseconds": lambda _: Throttled(None, retry_after_ms=17_000),
    "the longer of two": lambda _: Throttled(3, retry_after_ms=17_000),
}


@pytest.mark.parametrize("form", WAITS)
async def test_nobody_sends_anything_before_the_time_is_over(form: str):
    """One item is throttled: all are held back, by not one second less, however the time is written."""
    world = await a_world(MAX_CONCURRENCY=8)
    world.graph.latency = 0.1
    world.wait(DAY)
    world.follow(STAFF)
    await world.drop("people.csv", STAFF)
    world.wait(TICK)
    begun = world.clock.now()  # whole seconds, as in a date; looking accounts up takes a tenth of one
    throttled = world.clock.monotonic()
    world.graph.fault_when(is_put_of("P12"), WAITS[form](begun), times=1)

    report = await world.tick(after=0) or {}

    put = sorted(item.put_at - throttled for item in world.graph.connections[CONNECTION].items.values())
    early, late = [moment for moment in put if moment < 1], [moment for moment in put if moment >= 1]
    assert (report["outcome"], report["failed"], report["graph"]["throttled"]) == ("completed", 0, 1)
    assert 8 <= len(early) <= 20
    assert late[0] >= 17
    assert world.graph.items == await the_items_of(STAFF)


# --- failed, dropped ------------------------------------------------------------------------------------------------

FAULTS: list[Fault] = [
    Throttled(3),
    Throttled(None),
    Failed(500),
    Failed(503, effect=True),
    Failed(504, effect=True),
    Dropped(),
    Dropped(effect=True),
]


@pytest.mark.once
@pytest.mark.parametrize("fault", [*FAULTS, Refused(401, "InvalidAuthenticationToken")], ids=str)
async def test_a_fault_at_any_request_leaves_no_trace(fault: Fault):
    """Whichever request of a night meets the fault, the night ends with the same items, byte by byte."""
    rows = [a_person("E1"), a_person("E2", manager="E1"), a_person("E3")]
    second = [rows[0], rows[1] | {"JobTitle": "Chief"}, rows[2] | {"Status": "Left"}, a_person("E4", manager="E2")]
    position, most = 0, 1
    while position < most:
        world = await a_world()
        await world.night(rows)
        begun = len(world.graph.requests)
        world.graph.fault(begun + position, fault)

        report = await world.night(second)

        assert (report["outcome"], report["failed"]) == ("completed", 0)
        assert (report["created"], report["updated"], report["deleted"]) == (1, 1, 1)
        assert world.holds("E1", "E2", "E4")
        assert world.title("e2@contoso.com") == "Chief"
        assert await world.tick() is None
        position, most = position + 1, len(world.graph.requests) - begun
    assert position >= 4


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_faults_all_the_time_leave_no_trace(fault: Fault):
    """Every third request meets the fault: everybody arrives, byte by byte as on a good night."""
    world = await a_world()
    count = iter(range(10**6))
    world.graph.fault_when(lambda _: next(count) % 3 == 2, fault, times=None)

    report = await world.night(STAFF)

    assert (report["outcome"], report["created"], report["failed"]) == ("completed", 30, 0)
    assert world.graph.items == await the_items_of(STAFF)


async def test_an_item_whose_answer_never_comes_is_in_doubt_and_sent_again():
    """After all patience an item without an answer is counted as failed, and sent again when it is due."""
    world = await a_world()
    world.graph.fault_when(is_put_of("P7"), Failed(503, effect=True), times=None)

    first = await world.night(STAFF)
    entry = (await world.ledger()).entries["P7"]
    world.graph.clear_faults()
    second = await world.tick() or {}

    assert (first["outcome"], first["created"], first["failed"]) == ("completed", 29, 1)
    assert (entry.state, entry.held) == ("doubt", True)
    assert (second["outcome"], second["failed"]) == ("completed", 0)
    assert world.sent("P7")
    assert world.graph.items == await the_items_of(STAFF)


async def test_somebody_in_doubt_who_leaves_is_deleted():
    """What may be in Graph is deleted when its person leaves, although nobody ever heard that it is there."""
    world = await a_world()
    world.graph.fault_when(is_put_of("P7"), Failed(503, effect=True), times=None)
    await world.night(STAFF)
    world.graph.clear_faults()

    report = await world.night([row | ({"Status": "Left"} if row["EmployeeId"] == "P7" else {}) for row in STAFF])

    assert report["deleted"] == 1
    assert item_of("P7") not in world.graph.items


@pytest.mark.parametrize("refusal", [Refused(403, "Forbidden"), Refused(409, "Conflict")], ids=str)
async def test_somebody_whose_item_was_refused_only_after_a_lost_answer_is_deleted_when_they_leave(refusal: Fault):
    """The first attempt took effect, its answer was lost, the second was refused: Graph holds an item all the same."""
    world = await a_world(MAX_CONCURRENCY=1)
    world.graph.fault_when(is_put_of("P7"), Dropped(effect=True), times=1)
    world.graph.fault_when(is_put_of("P7"), refusal, times=None)
    await world.night(STAFF)
    world.graph.clear_faults()
    assert item_of("P7") in world.graph.items

    await world.night([row | ({"Status": "Left"} if row["EmployeeId"] == "P7" else {}) for row in STAFF])

    assert item_of("P7") not in world.graph.items


async def test_an_item_that_is_gone_already_counts_as_deleted():
    """A 404 for a deletion is what was wanted."""
    world = await a_world()
    await world.night(STAFF)
    del world.graph.connections["contosohr"].items[item_of("P7")]

    report = await world.night([row | ({"Status": "Left"} if row["EmployeeId"] == "P7" else {}) for row in STAFF])

    assert (report["deleted"], report["failed"]) == (1, 0)


# --- refused --------------------------------------------------------------------------------------------------------


async def test_one_refused_item_stops_nobody_else():
    """A 4xx for one item is recorded, and the run completes."""
    world = await a_world()
    world.graph.fault_when(is_put_of("P7"), Refused(400, "BadRequest"))

    report = await world.night(STAFF)

    assert (report["outcome"], report["created"], report["failed"]) == ("completed", 29, 1)
    assert (await world.ledger()).entries["P7"].code == "BadRequest"
    assert item_of("P7") not in world.graph.items


async def test_a_refused_update_leaves_the_old_item():
    """Somebody whose update Graph refused keeps the old profile until it is tried again."""
    world = await a_world(MAX_CHANGE_PERCENT=100)
    await world.night(STAFF)
    world.graph.fault_when(is_put_of("P7"), Refused(400))

    first = await world.night(CHANGED)
    old = world.title("p7@contoso.com")
    second = await world.tick() or {}

    assert (first["updated"], first["failed"], old) == (29, 1, "Clerk")
    assert (second["updated"], second["failed"]) == (1, 0)
    assert world.title("p7@contoso.com") == "Chief"


async def test_a_refused_deletion_is_tried_again():
    """A leaver whose item Graph would not delete is not forgotten."""
    world = await a_world()
    await world.night(STAFF)
    left = [row | ({"Status": "Left"} if row["EmployeeId"] == "P7" else {}) for row in STAFF]
    world.graph.fault_when(lambda seen: seen.method == "DELETE", Refused(423, "Locked"), times=30)

    first = await world.night(left)
    world.graph.clear_faults()
    await world.settle()

    assert first["failed"] == 1
    assert item_of("P7") not in world.graph.items


async def test_twenty_alike_in_a_row_stop_the_run():
    """When twenty items in a row fail alike it is not the items: the run stops as failed and is tried again."""
    world = await a_world(MAX_CONCURRENCY=1)
    world.graph.fault_when(is_write, Refused(400), times=20, after=3)

    first = await world.night(people(60))
    begun = len(world.writes())
    second = await world.tick() or {}

    assert (first["outcome"], first["error"]["code"]) == ("failed", "too_many_failed")
    assert (first["created"], first["failed"], begun) == (3, 20, 23)
    assert second["outcome"] == "completed"
    assert len(world.graph.items) == 60


async def test_failures_of_different_kinds_stop_the_run_at_five_percent():
    """More than 5 % of the items, and at least 50, stop a run even if no two failures in a row are alike."""
    world = await a_world()
    kinds = iter(["BadRequest", "Conflict"] * 1000)
    world.graph.fault_when(is_write, _Varied(kinds), times=None)  # type: ignore[arg-type]

    report = await world.night(people(200))

    assert (report["outcome"], report["error"]["code"]) == ("failed", "too_many_failed")
    assert 50 <= report["failed"] <= 50 + 16


async def test_a_403_stops_the_run_and_says_who_lacks_what():
    """A missing role is nothing to retry item by item: the sentence names the identity and the role."""
    world = await a_world()
    world.tenant.entra.withdraw(INGEST_CLIENT_ID, "ExternalItem.ReadWrite.OwnedBy")

    report = await world.night(STAFF)

    assert report["outcome"] == "failed"
    assert "ingest identity" in report["error"]["message"]
    assert "ExternalItem.ReadWrite.OwnedBy" in report["error"]["message"]
    assert world.graph.items == {}
    assert len(world.writes()) <= 16


async def test_users_that_may_not_be_read_stop_the_run_before_anything_is_sent():
    """Without the role for users nobody is unmatched by mistake: the run fails."""
    world = await a_world()
    await world.night(STAFF)
    world.tenant.entra.withdraw(INGEST_CLIENT_ID, "User.Read.All")

    report = await world.night([*STAFF, a_person("J1")])

    assert (report["outcome"], report["unmatched"]) == ("failed", 0)
    assert "User.Read.All" in report["error"]["message"]
    assert world.writes() == []


async def test_after_the_role_is_granted_the_run_is_made_up_for():
    """What could not be sent is sent by a later tick."""
    world = await a_world()
    world.tenant.entra.withdraw(INGEST_CLIENT_ID, "ExternalItem.ReadWrite.OwnedBy")
    await world.night(STAFF)
    world.tenant.entra.grant(INGEST_CLIENT_ID, "ExternalItem.ReadWrite.OwnedBy")

    await world.tick()

    assert world.graph.items == await the_items_of(STAFF)


# --- no token -------------------------------------------------------------------------------------------------------


async def test_without_a_token_the_run_fails_and_the_next_tick_tries_again():
    """A vault or an Entra that is down fails the run, says so, and costs nothing but time."""
    world = await a_world()
    world.no_token = "the vault does not answer"

    first = await world.night(STAFF)
    world.no_token = ""
    second = await world.tick() or {}

    assert (first["outcome"], first["error"]) == (
        "failed",
        {"code": "credential", "message": "the vault does not answer"},
    )
    assert (second["outcome"], second["created"]) == ("completed", 30)


async def test_a_long_outage_is_asked_after_less_and_less_often():
    """While there is no token, ticks back off; each attempt says that it failed."""
    world = await a_world()
    world.no_token = "the vault does not answer"
    await world.night(STAFF)

    outcomes = [await world.tick() for _ in range(4 * 24)]

    failures = [report["outcome"] for report in outcomes if report]
    assert failures == ["failed"] * len(failures)
    assert 4 <= len(failures) <= 8


async def test_a_new_export_does_not_wait_for_the_backoff():
    """A newer export is tried at once, however long the last failure's pause is."""
    world = await a_world()
    world.no_token = "the vault does not answer"
    await world.night(STAFF)
    for _ in range(40):
        await world.tick()
    world.no_token = ""
    await world.drop("people-12.csv", CHANGED)

    report = await world.tick() or {}

    assert (report["outcome"], report["created"]) == ("completed", 30)


async def test_a_night_without_changes_needs_no_token():
    """With nothing to send, an outage of the vault is not even noticed."""
    world = await a_world()
    await world.night(STAFF)
    world.no_token = "the vault does not answer"

    report = await world.night(STAFF)

    assert report["outcome"] == "unchanged"


# --- storage --------------------------------------------------------------------------------------------------------


FIRST = [a_person("E1"), a_person("E2", manager="E1"), a_person("E3")]
SECOND = [
    FIRST[0],
    FIRST[1] | {"JobTitle": "Chief"},
    a_person("E4", manager="E2"),
    a_person("E5", HireDate="soon"),
]
"""A mover, a joiner, somebody absent, and a bad row."""


async def before_the_second_night() -> World:
    """Return a world in which HR has just dropped the second export."""
    world = await a_world(LEAVER_GRACE_EXPORTS=0)
    await world.night(FIRST)
    world.wait(24 * 3600)
    world.follow(SECOND)
    await world.drop("people-2.csv", SECOND)
    return world


@pytest.mark.once
@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize(("container", "at_least"), [("exports", 2), ("state", 20), ("reports", 2), ("quarantine", 1)])
async def test_storage_that_fails_at_any_request_leaves_no_trace(container: str, at_least: int, *, after_effect: bool):
    """Whichever blob request fails, before or after its effect, the next ticks make up for it."""
    world = await before_the_second_night()
    begun = getattr(world.containers, container).requests
    await world.tick()
    requests = getattr(world.containers, container).requests - begun
    assert requests >= at_least
    for position in range(1, requests + 1):
        world = await before_the_second_night()
        blobs = getattr(world.containers, container)
        blobs.fail(blobs.requests + position, after_effect=after_effect)
        with suppress(StoreError):
            await world.tick()

        await world.settle()

        assert world.holds("E1", "E2", "E4"), position
        assert world.title("e2@contoso.com") == "Chief"
        assert (await world.head()).run is None
        assert set((await world.ledger()).entries) == {"E1", "E2", "E4"}


async def test_state_that_is_away_stops_a_tick_before_anything_is_sent():
    """Without our own state nothing is known, so nothing is done."""
    world = await before_the_second_night()
    before = dict(world.graph.items)
    state: Any = world.containers.state
    for position in range(200):
        state.fail(state.requests + position + 1)

    with pytest.raises(StoreUnavailable):
        await world.tick()
    state.mend()

    assert world.graph.items == before
    assert world.requests == []


class _Varied:
    """A refusal that is another one each time."""

    effect = False

    def __init__(self, codes: Any) -> None:
        self._codes = codes

    def reply(self, served: Any) -> Any:
        """Return the next refusal."""
        return Refused(400, next(self._codes)).reply(served)


@pytest.mark.parametrize("container", ["state", "reports"])
async def test_what_comes_after_the_run_does_not_fail_it(container: str):
    """Tidying up and the page for people come last: when storage refuses them, what was done stays told as it was."""
    world = await a_world(MAX_CHANGE_PERCENT=100)
    await world.night(STAFF)
    blobs = getattr(world.containers, container)
    before = blobs.requests
    await world.night([row | {"JobTitle": "Clerk II"} for row in STAFF])
    last = blobs.requests - before
    blobs.fail(blobs.requests + last - (container == "state"))  # state's very last request lets go of the lease

    report = await world.night(CHANGED)

    assert (report["outcome"], report["updated"]) == ("completed", 30)
    stored = orjson.loads(world.blobs("reports")[f"contosohr/{report['run']}.json"])
    assert (stored["outcome"], stored["updated"]) == ("completed", 30)
    assert (await world.head()).failures == 0
    assert await world.tick() is None
