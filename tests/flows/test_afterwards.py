"""What a night leaves behind: nothing that the next one has to put right, and no item that was only announced."""

from __future__ import annotations

import logging

from connector.wiring import Containers
from tests.flows.world import DAY, World, a_person, a_world, item_of
from tests.storage.memory import MemoryContainer
from tests.tenant import INGEST_CLIENT_ID
from tests.tenant.graph.faults import Refused


async def test_the_reports_of_somebody_deleted_for_absence_are_sent_that_night():
    """When a manager is deleted, the reports lose them in the same run, and the next unchanged night sends nothing."""
    world = await a_world(LEAVER_GRACE_EXPORTS="0")
    staff = [a_person("E1"), a_person("E2", manager="E1"), a_person("E3")]
    await world.night(staff)

    night = await world.night(staff[1:])
    before = len(world.graph.requests)
    after = await world.night(staff[1:])

    assert (night["deleted"], night["updated"]) == (1, 1)
    assert night["warnings"]["manager_unknown"] == 1
    assert world.manager("e2@contoso.com") is None
    assert after["outcome"] == "unchanged"
    assert len(world.graph.requests) == before


async def test_a_held_manager_stays_the_manager():
    """As long as the deletion is held, the reports keep their manager."""
    world = await a_world(LEAVER_GRACE_EXPORTS="0", MIN_DELETE_ALLOWANCE="0")
    staff = [a_person("E1"), a_person("E2", manager="E1"), a_person("E3")]
    await world.night(staff)

    night = await world.night(staff[1:])

    assert (night["outcome"], night["held"], night["updated"]) == ("held", 1, 0)
    assert world.manager("e2@contoso.com") == "e1@contoso.com"


async def test_joiners_who_were_denied_are_joiners_still():
    """A 403 has had no effect: nobody is taken for somebody whose item Graph may hold."""
    world = await a_world()
    world.tenant.entra.withdraw(INGEST_CLIENT_ID, "ExternalItem.ReadWrite.OwnedBy")
    denied = await world.night([a_person("E1"), a_person("E2")])
    items = (await world.head()).held_items
    world.tenant.entra.grant(INGEST_CLIENT_ID, "ExternalItem.ReadWrite.OwnedBy")

    report = await world.tick()

    assert denied["outcome"] == "failed"
    assert items == 0
    assert report is not None
    assert (report["created"], report["updated"]) == (2, 0)


async def test_a_transferred_account_keeps_its_old_item_until_it_has_the_new_one():
    """The old key's item goes only when the new key's item is there: nobody is without profile in between."""
    world = await a_world()
    await world.night([a_person("E1", "kim@contoso.com", title="Chef"), a_person("E2")])
    renumbered = [a_person("N1", "kim@contoso.com", title="Chef"), a_person("E2")]
    refused = item_of("N1", "kim@contoso.com")
    world.graph.fault_when(lambda seen: seen.path.endswith(refused), Refused(400, "BadRequest", "no"))

    failed = await world.night(renumbered)
    still_there = item_of("E1", "kim@contoso.com") in world.graph.items
    await world.settle()

    assert failed["failed"] == 2
    assert still_there
    assert set(world.graph.items) == {refused, item_of("E2")}
    assert world.title("kim@contoso.com") == "Chef"


async def test_setup_makes_the_containers_that_are_missing():
    """A fresh storage account has no containers; setup makes them, and the first export finds its place."""
    world = World()
    world.containers = Containers(*(MemoryContainer(world.clock, exists=False) for _ in range(4)))

    await world.setup()
    report = await world.night([a_person("E1")])

    assert report["created"] == 1


async def test_an_export_that_comes_late_is_not_stale_any_more_once_it_is_taken(caplog):
    """While no export comes, each tick says that the last one is stale; the tick that takes a new one does not."""
    world = await a_world()
    await world.night([a_person("E1")])
    caplog.set_level(logging.INFO, "connector")
    world.wait(DAY * 2)
    await world.tick()
    told = [record.message for record in caplog.records if "sync.stale" in record.message]
    caplog.clear()

    await world.night([a_person("E1")])

    assert len(told) == 1
    assert not [record.message for record in caplog.records if "sync.stale" in record.message]


async def test_the_report_names_whom_it_is_about():
    """Held, missing and failed people are listed by key with the reason, so that somebody can judge."""
    world = await a_world(MIN_DELETE_ALLOWANCE="0")
    staff = [a_person("E1"), a_person("E2"), a_person("E3", title="Chef"), a_person("E4")]
    await world.night(staff)
    world.graph.fault_when(lambda seen: seen.path.endswith(item_of("E3")), Refused(400, "BadRequest", "no"))

    report = await world.night([a_person("E1", status="Left"), a_person("E3", title="Baker"), a_person("E4")])
    listed = await world.application().runs()

    assert report["held_people"] == [{"key": "E1", "reason": "left"}]
    assert report["missing_people"] == [{"key": "E2", "reason": "absent"}]
    assert report["failed_people"] == [{"key": "E3", "reason": "BadRequest"}]
    assert "held_people" not in listed["runs"][0]


async def test_a_file_that_cannot_be_read_has_its_facts_too():
    """Programs find rows, encoding and delimiter in every report; of a file that is no CSV they are null."""
    world = await a_world()
    await world.drop("people.csv", b"")

    report = await world.tick()

    assert report is not None
    assert report["error"]["code"] == "empty_file"
    assert (report["export"]["rows"], report["export"]["encoding"], report["export"]["delimiter"]) == (None, None, None)
    assert (report["rows"], report["unmatched_people"]) == ([], [])


async def test_a_wish_outlives_a_bad_file():
    """Asked to send everyone while HR drops a file that cannot be used: that is refused, and everyone is sent."""
    world = await a_world()
    await world.night([a_person("E1"), a_person("E2")])
    await world.application().ask_for_sync(b'{"full": true}')
    await world.drop("people-2026-03-09.csv", b"")

    reports = await world.settle()

    assert [report["outcome"] for report in reports] == ["refused", "completed"]
    assert reports[-1]["updated"] == 2
    assert not [name for name in world.blobs("state") if "/requests/" in name]
