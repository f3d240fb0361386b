"""Which exports are taken: not another one by mistake, none without the manifest it must have, none in silence."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.flows.world import DAY, MINUTE, World, a_person, a_world
from tests.storage.memory import MemoryContainer
from tests.tenant import VirtualClock

if TYPE_CHECKING:
    from tests.flows.world import Report

pytestmark = pytest.mark.anyio

ADA = a_person("E1")
BEN = a_person("E2")
CYD = a_person("E3")
STAFF = [ADA, BEN, CYD]


async def a_staffed_world(**settings: object) -> World:
    """Return a world in which everybody has been sent."""
    world = await a_world(LEAVER_GRACE_EXPORTS=0, **settings)
    await world.night(STAFF, name="people-2026-03-01.csv")
    return world


# --- another export ---------------------------------------------------------------------------------------------------


async def test_a_complete_file_of_another_name_is_not_taken_for_everybody(caplog: pytest.LogCaptureFixture):
    """It is refused before anybody counts as absent; the report names both files, the log neither."""
    world = await a_staffed_world()

    report = await world.night([ADA, BEN], name="contractors-2026-03-02.csv")
    again = await world.tick()

    assert (report["outcome"], report["error"]["code"]) == ("refused", "different_export")
    assert "contractors-2026-03-02.csv" in report["error"]["message"]
    assert "people-2026-03-01.csv" in report["error"]["message"]
    assert [guard["name"] for guard in report["guards"] if guard["tripped"]] == ["same_name"]
    assert report["plan"].startswith("sha256:")
    assert "contractors" not in caplog.text
    assert again is None
    assert world.holds("E1", "E2", "E3")


async def test_a_file_of_another_name_stands_in_nobodys_way():
    """The export that came before it, in the same quarter of an hour, is taken at the next tick."""
    world = await a_staffed_world()
    world.wait(DAY)
    await world.drop("people-2026-03-02.csv", [ADA, BEN, CYD | {"JobTitle": "Chief"}])
    world.wait(MINUTE)
    await world.drop("contractors.csv", [ADA])

    reports = await world.settle()

    assert [report["outcome"] for report in reports] == ["refused", "completed"]
    assert world.title("e3@contoso.com") == "Chief"
    assert world.holds("E1", "E2", "E3")


@pytest.mark.parametrize("name", ["people.csv", "people_20260302.csv", "2026/03/People-02.csv", "people-2.csv.gz"])
async def test_dates_numbers_and_packing_are_no_other_name(name: str):
    """What changes from night to night, or with the packer, does not make another export."""
    world = await a_staffed_world()

    report = await world.night([ADA, BEN], name=name)

    assert (report["outcome"], report["deleted"]) == ("completed", 1)


async def test_a_partial_file_may_have_any_name():
    """It deletes nobody, so that nothing hangs on its name."""
    world = await a_staffed_world()
    world.wait(DAY)
    await world.drop("joiners.csv", [a_person("E1", title="Chief")])
    await world.promise("joiners.csv", kind="partial")

    report = await world.tick() or {}

    assert (report["outcome"], report["updated"]) == ("completed", 1)


async def test_a_set_of_other_files_is_another_export():
    """Files may join a set and leave it; one with other files is refused like one of another name."""
    world = await a_staffed_world()
    for name in ("staff.csv", "externals.csv"):
        await world.drop(name, [ADA])
    await world.promise("staff.csv", files=["externals.csv"])
    refused = await world.tick() or {}

    for name in ("people-1.csv", "externals.csv"):
        await world.drop(name, STAFF)
    await world.promise("people-1.csv", files=["externals.csv"])
    joined = await world.tick() or {}

    assert (refused["outcome"], refused["error"]["code"]) == ("refused", "different_export")
    assert joined["outcome"] == "unchanged"


async def test_a_manifest_that_lists_it_alone_vouches_for_another_name():
    """HR renames its export, and says once that it is everybody; from then on it has the new name."""
    world = await a_staffed_world()
    world.wait(DAY)
    await world.drop("staff-1.csv", [ADA, BEN])
    await world.promise("staff-1.csv", files=["staff-1.csv"])

    report = await world.tick() or {}
    later = await world.night([ADA, BEN], name="staff-2.csv")

    assert (report["outcome"], report["deleted"]) == ("completed", 1)
    assert later["outcome"] == "unchanged"


async def approve(world: World, report: Report) -> None:
    """Let the operator release what a run refused."""
    body = json.dumps({"plan": report["plan"], "by": "ada@contoso.com"}).encode()
    await world.application().approve(report["run"], body)


async def test_an_operator_may_let_another_name_pass():
    """Where HR cannot say so by a manifest: what was refused is carried out, and has its new name from then on."""
    world = await a_staffed_world()
    refused = await world.night([ADA, BEN], name="staff-1.csv")

    await approve(world, refused)
    report = await world.tick() or {}
    later = await world.night([ADA, BEN], name="staff-2.csv")

    assert (report["outcome"], report["deleted"]) == ("completed", 1)
    assert later["outcome"] == "unchanged"


async def test_one_word_is_enough_for_one_file_of_another_name_after_a_set():
    """That the population is in one file now, and that it has another name, is one and the same difference."""
    world = await a_world(LEAVER_GRACE_EXPORTS=0)
    world.follow(STAFF)
    await world.drop("employees.csv", [ADA, BEN])
    await world.drop("contractors.csv", [CYD])
    await world.promise("employees.csv", files=["contractors.csv"])
    await world.settle()
    refused = await world.night([ADA, BEN], name="staff-1.csv")

    await approve(world, refused)
    reports = await world.settle()

    assert [(report["outcome"], report["deleted"]) for report in reports] == [("completed", 1)]


# --- manifests --------------------------------------------------------------------------------------------------------


async def test_an_export_waits_for_the_manifest_it_must_have(caplog: pytest.LogCaptureFixture):
    """REQUIRE_MANIFEST: neither age nor a marker will do; status, health and log tell what is missing."""
    world = await a_world(REQUIRE_MANIFEST="true")
    world.follow(STAFF)
    await world.drop("people.csv", STAFF)
    await world.drop("people.csv.done", b"")
    caplog.set_level(logging.INFO, "connector")

    states = [await world.ticked(after=DAY) for _ in range(2)]
    requests = world.blob_requests
    lines = [json.loads(record.getMessage()) for record in caplog.records if "sync.tick" in record.message]
    status = await world.application().status()
    health = await world.application().health()
    nothing = not world.graph.items and not world.blobs("reports")
    await world.promise("people.csv", rows=3)
    report = await world.tick() or {}

    assert states == ["idle"] * 2
    assert requests <= 4
    assert nothing
    assert [(line["waiting_for"], line["missing"]) for line in lines] == [("manifests", 1)] * 2
    assert [each["missing"] for each in status["waiting"]] == [("people.csv.manifest.json",)]
    (export,) = (check for check in health["checks"] if check["name"] == "export")
    assert "REQUIRE_MANIFEST" in export["detail"]
    assert (report["outcome"], report["created"]) == ("completed", 3)


@pytest.mark.parametrize("manifest", [{"sha256": "0" * 64}, {"rows": 4}, {"sha256": "none"}, {"kind": "some"}])
async def test_a_manifest_that_is_wrong_is_no_manifest(manifest: dict[str, Any]):
    """The export beside it is refused, whatever its own rows say."""
    world = await a_world(REQUIRE_MANIFEST="true")
    world.follow(STAFF)
    await world.drop("people.csv", STAFF)
    await world.promise("people.csv", **manifest)

    report = await world.tick() or {}

    assert (report["outcome"], report["error"]["code"]) == ("refused", "truncated")
    assert world.graph.items == {}


async def test_the_files_of_a_set_need_one_manifest_together():
    """The one beside the first speaks for all; once they are applied, none of them waits for one of its own."""
    world = await a_world(REQUIRE_MANIFEST="true")
    world.follow(STAFF)
    await world.drop("employees.csv", [ADA])
    await world.drop("contractors.csv", [BEN, CYD])
    early = await world.tick()
    await world.promise("employees.csv", files=["contractors.csv"])

    report = await world.tick() or {}
    status = await world.application().status()
    idle = await world.tick()

    assert (early, idle) == (None, None)
    assert (report["outcome"], report["created"]) == ("completed", 3)
    assert status["waiting"] == []
    assert world.blob_requests <= 4


async def test_a_newer_export_without_manifest_does_not_supersede():
    """It is not taken for an export yet, so the one before it is, which has a manifest."""
    world = await a_world(REQUIRE_MANIFEST="true")
    world.follow(STAFF)
    await world.drop("people-1.csv", STAFF)
    await world.promise("people-1.csv")
    world.wait(MINUTE)
    await world.drop("people-2.csv", [ADA])

    (report,) = await world.settle()

    assert (report["export"]["name"], report["created"]) == ("people-1.csv", 3)


# --- what is passed over ----------------------------------------------------------------------------------------------


async def dropped_before(world: World, name: str, **options: object) -> Report:
    """Drop a correction, then a complete export that is taken at once, and return the report of the latter."""
    await world.drop(name, [BEN | {"JobTitle": "Old news", "_error_code": ""}])
    world.wait(MINUTE)
    await world.drop("people-9.csv", [ADA, BEN | {"JobTitle": "News"}, CYD])
    await world.drop("people-9.csv.done", b"")
    report: Report = await world.tick(**options) or {}  # type: ignore[arg-type]
    return report


@pytest.mark.parametrize("after", [MINUTE, DAY], ids=["arriving", "settled"])
async def test_an_export_that_is_passed_over_is_a_warning(after: int):
    """A complete export makes an older one history; it is not lost in silence, be it settled or still arriving."""
    world = await a_staffed_world(EXPORT_SETTLE_SECONDS=600)
    world.wait(DAY)

    report = await dropped_before(world, "mended.csv", after=after)
    later = await world.tick(after=DAY)

    assert (report["outcome"], report["warnings"]["older_export"]) == ("completed", 1)
    assert report["export"]["passed_over"] == ["mended.csv"]
    assert world.title("e2@contoso.com") == "News"
    assert later is None


async def test_exports_that_were_applied_are_passed_over_by_nobody():
    """Night after night in one container, nothing but what was never taken is told."""
    world = await a_staffed_world()

    reports = [await world.night([ADA, BEN, CYD | {"JobTitle": title}]) for title in ("Chief", "Director")]

    assert ["older_export" in report["warnings"] for report in reports] == [False, False]


async def test_an_export_that_waits_for_its_manifest_is_passed_over_aloud():
    """REQUIRE_MANIFEST: a newer export has its manifest first, so the older one will never be taken."""
    world = await a_world(REQUIRE_MANIFEST="true")
    world.follow(STAFF)
    await world.drop("people-1.csv", STAFF[:2])
    world.wait(MINUTE)
    await world.drop("people-2.csv", STAFF)
    await world.promise("people-2.csv")

    report = await world.tick() or {}
    await world.promise("people-1.csv")
    later = await world.settle()

    assert (report["outcome"], report["export"]["passed_over"]) == ("completed", ["people-1.csv"])
    assert later == []
    assert world.holds("E1", "E2", "E3")


async def test_a_refused_export_passes_over_nobody():
    """The older one is taken in its place, so the report does not call it passed over."""
    world = await a_staffed_world(EXPORT_SETTLE_SECONDS=0)
    world.wait(DAY)
    await world.drop("people-2.csv", [ADA, BEN, CYD | {"JobTitle": "Chief"}])
    world.wait(MINUTE)
    await world.drop("contractors.csv", [ADA])

    refused, taken = await world.settle()

    assert (refused["outcome"], taken["outcome"]) == ("refused", "completed")
    assert "older_export" not in refused["warnings"]
    assert "passed_over" not in refused["export"]
    assert taken["export"]["name"] == "people-2.csv"


# --- time and order ---------------------------------------------------------------------------------------------------


async def test_of_two_exports_of_one_second_the_last_by_name_counts():
    """Storage tells moments to the second; where two have the same, the name decides, and the other is passed over."""
    world = await a_staffed_world(EXPORT_SETTLE_SECONDS=0)
    world.wait(DAY)
    await world.drop("people-3.csv", [ADA, BEN])
    await world.drop("people-2.csv", [ADA, CYD])

    (report,) = await world.settle()

    assert (report["export"]["name"], report["export"]["passed_over"]) == ("people-3.csv", ["people-2.csv"])
    assert world.holds("E1", "E2")


async def test_the_storages_clock_tells_whether_an_export_has_settled():
    """A machine whose clock is a day ahead takes nothing too early, and one that is behind nothing too late."""
    world = await a_world(EXPORT_SETTLE_SECONDS=300)
    storage = VirtualClock()
    world.containers = replace(world.containers, exports=MemoryContainer(storage))
    world.follow(STAFF)
    await world.drop("people.csv", STAFF)

    early = await world.tick(after=DAY)
    storage.advance(299)
    almost = await world.tick(after=DAY)
    storage.advance(1)
    report = await world.tick(after=0) or {}

    assert (early, almost) == (None, None)
    assert (report["outcome"], report["created"]) == ("completed", 3)


async def test_without_patience_an_export_is_taken_at_once():
    """EXPORT_SETTLE_SECONDS=0: the tick of the same moment takes it."""
    world = await a_world(EXPORT_SETTLE_SECONDS=0)
    world.follow(STAFF)
    await world.drop("people.csv", STAFF)

    report = await world.tick(after=0) or {}

    assert report["created"] == 3


async def test_several_exports_of_some_people_are_applied_one_by_one():
    """In the order in which they came, each with a report of its own, those before a complete one left out."""
    world = await a_staffed_world(EXPORT_SETTLE_SECONDS=0)
    world.wait(DAY)
    for name, title in {"a": "Old", "b": "News", "d": "Newer", "c": "Newest"}.items():
        if name == "b":
            await world.drop("people-5.csv", [ADA, BEN | {"JobTitle": "Complete"}, CYD])
            world.wait(1)
        await world.drop(f"{name}.csv", [BEN | {"JobTitle": title, "_error_code": ""}])
        world.wait(1)

    reports = await world.settle()

    assert [report["export"]["name"] for report in reports] == ["people-5.csv", "b.csv", "d.csv", "c.csv"]
    assert reports[0]["export"]["passed_over"] == ["a.csv"]
    assert world.title("e2@contoso.com") == "Newest"
