"""What a tick finds due, and when it lets things rest."""

from __future__ import annotations

from itertools import pairwise

import pytest

from connector.core.due import Request
from connector.errors import ConfigurationError
from tests.flows.world import CONNECTION, DAY, MINUTE, TICK, a_person, a_world, item_of, people
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


async def test_a_wish_that_cannot_be_carried_out_waits_longer_and_longer():
    """It is no reason to fail every quarter of an hour, and is not forgotten: with the next wish, everyone is sent."""
    world = await a_world()
    await world.night(people(3))
    await world.application().ask_for_sync(b'{"full": true}')
    world.no_token = "the vault does not answer"

    day = [await world.tick() for _ in range(96)]
    failed = [report["outcome"] for report in day if report]
    world.no_token = ""
    await world.application().ask_for_sync()
    at_once = await world.tick() or {}
    later = await world.tick()

    assert set(failed) == {"failed"}
    assert 2 <= len(failed) <= 10
    assert (at_once["outcome"], at_once["updated"]) == ("completed", 3)
    assert later is None


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


async def test_a_month_of_refused_exports_is_refused_once_each():
    """However many there are since the last good one: each has one report, and the next good one is applied."""
    world = await a_world()
    await world.night(STAFF)
    outcomes: list[str] = []
    for _ in range(30):
        world.wait(DAY)
        await world.drop(f"people-{world.clock.now():%Y-%m-%d}.csv", b"nothing to see")
        outcomes += [report["outcome"] for report in await world.settle()]
    idle = await world.tick()

    good = await world.night([ADA, BEN | {"JobTitle": "Cook"}])

    assert outcomes.count("refused") == 30
    assert idle is None
    assert (good["outcome"], good["updated"]) == ("completed", 1)


# --- a partial export just then ---------------------------------------------------------------------------------------

SOME = [BEN | {"JobTitle": "Cook", "_error_code": ""}]
"""A correction of one row."""


async def test_a_changed_mapping_reaches_whom_a_partial_export_does_not_name():
    """A correction comes at the same tick: everybody is gone through first, and the correction follows."""
    world = await a_world()
    await world.night(STAFF)
    await world.map_with(('column = "FavoriteColor"', 'column = "JobTitle"'))
    await world.drop("people-2.csv", SOME)

    reports = await world.settle()

    assert [report["updated"] for report in reports] == [2, 1]
    assert world.profiles()["ada@contoso.com"]["custom"] == {"favoriteColor": "Clerk"}


async def test_a_new_connection_is_filled_with_everyone_though_a_partial_export_comes_first():
    """A correction comes before any tick has seen the new connection: nobody is missing after the next one."""
    world = await a_world()
    await world.night(STAFF)
    await world.teardown()
    await world.setup()
    await world.drop("people-2.csv", SOME)

    reports = await world.settle()

    assert [report["created"] for report in reports] == [2, 0]
    assert world.holds("E1", "E2")


async def test_a_new_connection_is_filled_with_everyone_though_the_first_run_fails():
    """A correction waits as well. What failed is tried again, and nobody forgets that everyone is to be sent."""
    world = await a_world()
    await world.night(STAFF)
    await world.teardown()
    await world.setup()
    await world.drop("people-2.csv", SOME)
    world.no_token = "the vault does not answer"

    failed = await world.tick() or {}
    world.no_token = ""
    world.wait(DAY)
    await world.settle()

    assert failed["outcome"] == "failed"
    assert world.holds("E1", "E2")


@pytest.mark.parametrize("by", ["a request", "the command line"])
async def test_who_wants_everyone_to_be_sent_is_not_served_by_a_partial_export(by: str):
    """A correction waits when everyone is asked for: it is sent, and at the next tick everyone is."""
    world = await a_world()
    await world.night(STAFF)
    world.graph.connections[CONNECTION].items.clear()
    await world.drop("people-2.csv", SOME)
    world.wait(TICK)

    if by == "a request":
        await world.application().ask_for_sync(b'{"full": true}')
    else:
        await world.application().tick(trigger="cli", request=Request("cli", full=True))
    await world.settle()

    assert world.holds("E1", "E2")
    assert world.title("ben@contoso.com") == "Cook"
    assert await world.tick() is None


async def test_whoever_returns_after_everyone_was_sent_is_sent_too():
    """The connection was emptied while somebody was in grace: their row is as it was, and their item is not there."""
    world = await a_world(LEAVER_GRACE_EXPORTS=2)
    await world.night(STAFF)
    await world.night([ADA])
    world.graph.connections[CONNECTION].items.clear()
    await world.application().ask_for_sync(b'{"full": true}')
    await world.settle()

    report = await world.night(STAFF)

    assert world.sent("E2")
    assert report["updated"] == 1
    assert world.holds("E1", "E2")
