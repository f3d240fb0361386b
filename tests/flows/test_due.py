"""What a tick finds due, and when it lets things rest."""

from __future__ import annotations

from itertools import pairwise

import pytest

from connector.errors import ConfigurationError
from tests.flows.world import DAY, MINUTE, TICK, a_person, a_world, item_of
from tests.tenant.graph.faults import Refused

pytestmark = pytest.mark.contracts("labels")

ADA = a_person("E1", "ada@contoso.com")
BEN = a_person("E2", "ben@contoso.com", manager="E1")
STAFF = [ADA, BEN]


async def test_a_week_of_ticks_without_news_asks_graph_for_nothing():
    """Between two exports every tick is idle, until accounts are due."""
    world = await a_world()
    await world.night(STAFF)
    seen = len(world.graph.requests)

    for _ in range(6 * 24 * 4):
        assert await world.tick() is None
        assert world.blob_requests <= 4

    assert len(world.graph.requests) == seen


async def test_a_failed_item_is_tried_again_at_the_next_tick():
    """An item that Graph refused is sent again a quarter of an hour later."""
    world = await a_world()
    world.graph.fault_when(lambda seen: seen.path.endswith(item_of("E2", "ben@contoso.com")), Refused(400))
    first = await world.night(STAFF)

    second = await world.tick() or {}

    assert (first["outcome"], first["created"], first["failed"]) == ("completed", 1, 1)
    assert (second["outcome"], second["created"], second["failed"]) == ("completed", 1, 0)
    assert world.sent("E2")
    assert world.holds("E1", "E2")


async def test_an_item_that_keeps_failing_is_tried_less_and_less_often():
    """The pause between two attempts doubles, up to a day."""
    world = await a_world()
    world.graph.fault_when(lambda seen: seen.path.endswith(item_of("E2", "ben@contoso.com")), Refused(400), times=None)
    await world.night(STAFF)
    attempts = []
    for tick in range(1, 4 * 24 * 4):
        await world.tick()
        if world.writes():
            attempts.append(tick)

    pauses = [later - earlier for earlier, later in pairwise(attempts)]

    assert attempts[0] == 1
    assert pauses[:5] == [2, 4, 8, 15, 30]
    assert max(pauses) == 96
    assert pauses == sorted(pauses)


async def test_a_failed_item_is_tried_at_once_when_its_row_changes():
    """A new export that mends the row does not wait for the pause to end."""
    world = await a_world()
    world.graph.fault_when(lambda seen: seen.path.endswith(item_of("E2", "ben@contoso.com")), Refused(400), times=4)
    await world.night(STAFF)
    for _ in range(8):
        await world.tick()
    await world.drop("people-12.csv", [ADA, BEN | {"JobTitle": "Chief"}])

    report = await world.tick() or {}

    assert report["failed"] + report["created"] == 1
    assert world.sent("E2")


async def test_a_mapping_that_cannot_be_read_fails_the_tick_and_nothing_else():
    """A mistake in the mapping is one error that names it; the next right mapping goes on."""
    world = await a_world()
    await world.night(STAFF)
    await world.map_with(('label = "personName"', 'label = "personNmae"'))

    with pytest.raises(ConfigurationError, match="personNmae"):
        await world.tick()
    world.decide(MAPPING=None)

    assert await world.tick() is None
    assert world.holds("E1", "E2")


async def test_a_mapping_blob_that_is_not_there_is_named():
    """MAPPING names a blob that does not exist: the error says so."""
    world = await a_world()
    world.decide(MAPPING="blob:mine.toml")

    with pytest.raises(ConfigurationError, match=r"there is no blob mine\.toml"):
        await world.tick()


async def test_settings_that_decide_nothing_are_no_reason_to_work():
    """A changed pace or name goes through nothing again."""
    world = await a_world()
    await world.night(STAFF)
    world.decide(MAX_CONCURRENCY=4, SLICE_SECONDS=60, CONNECTION_NAME="Contoso People", STALE_AFTER_HOURS=30)

    assert await world.tick() is None


async def test_an_export_that_is_too_old_is_stale(caplog: pytest.LogCaptureFixture):
    """When the last applied export is older than STALE_AFTER_HOURS, each tick says so in the log."""
    caplog.set_level("INFO", logger="connector")
    world = await a_world()
    await world.night(STAFF)
    await world.tick(after=25 * 3600)
    fresh = caplog.text
    caplog.clear()

    await world.tick(after=2 * 3600)

    assert "sync.stale" not in fresh
    assert "sync.stale" in caplog.text


async def test_a_wish_is_carried_out_once():
    """Two wishes before one tick are one run, and leave nothing behind."""
    world = await a_world()
    await world.night(STAFF)
    await world.application().ask_for_sync()
    world.wait(MINUTE)
    await world.application().ask_for_sync(b'{"full": true}')

    report = await world.tick() or {}

    assert report["updated"] == 2
    assert not any("/requests/" in name for name in world.blobs("state"))
    assert await world.tick() is None


async def test_a_wish_before_the_first_export_is_forgotten():
    """A wish for a run when there is nothing to run is no work for ever."""
    world = await a_world()
    await world.application().ask_for_sync()

    await world.tick()

    assert await world.ticked() == "idle"
    assert world.blob_requests <= 4


async def test_a_rejected_row_of_an_unmatched_person_rests():
    """Somebody unmatched whose row turns bad is not asked for at every tick."""
    world = await a_world()
    world.without_account = {"ben@contoso.com"}
    await world.night(STAFF)
    await world.night([ADA, BEN | {"HireDate": "x"}])
    await world.tick(after=DAY)

    for _ in range(20):
        await world.tick()
        assert world.blob_requests <= 4


async def test_somebody_in_grace_is_not_asked_for():
    """The account of somebody who is absent is nobody's business for the time being."""
    world = await a_world(LEAVER_GRACE_EXPORTS=5, RESOLVE_AFTER_DAYS=1)
    await world.night(STAFF)
    await world.night([ADA])
    await world.tick(after=DAY)

    for _ in range(20):
        await world.tick()
        assert world.requests == []
        assert world.blob_requests <= 4


async def test_a_narrowed_pilot_rests():
    """People outside the pilot are not due for ever."""
    world = await a_world(RESOLVE_AFTER_DAYS=1)
    await world.night(STAFF)
    world.decide(PILOT="ada@contoso.com")
    await world.tick()
    await world.tick(after=2 * DAY)

    for _ in range(20):
        await world.tick(after=TICK)
        assert world.blob_requests <= 4


async def test_somebody_failed_who_leaves_is_forgotten():
    """A person whose item never came to be and who leaves is nothing to try again."""
    world = await a_world()
    world.graph.fault_when(lambda seen: seen.path.endswith(item_of("E2", "ben@contoso.com")), Refused(400), times=None)
    await world.night(STAFF)
    await world.night([ADA, BEN | {"Status": "Left"}])

    for _ in range(10):
        assert await world.tick() is None

    assert set((await world.ledger()).entries) == {"E1"}
