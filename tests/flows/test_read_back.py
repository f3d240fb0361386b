"""What Graph has is looked at again: what drifted is noticed, told and mended."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from connector.core.due import Request
from tests.flows.world import DAY, World, a_person, a_world, people
from tests.tenant.graph import Failed, Throttled

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.flows.world import Report

pytestmark = pytest.mark.anyio

STAFF = people(6)


async def a_staffed_world(**settings: object) -> World:
    """Return a world in which everybody has been sent, by a run that read nothing back."""
    world = await a_world(LEAVER_GRACE_EXPORTS=0)
    await world.night(STAFF)
    world.decide(**{"VERIFY_ITEMS": 6, **settings})
    return world


def stored(world: World, key: str) -> Any:
    """Return somebody's item as Graph keeps it, for somebody else to write to."""
    return world.graph.items[world.item_of(key)]


def vanish(world: World, *keys: str) -> None:
    """Let somebody delete items behind our back."""
    (connection,) = world.graph.connections.values()
    for key in keys:
        del connection.items[world.item_of(key)]


def read(world: World) -> list[str]:
    """Return the ids of the items that the last process asked for."""
    return [each.path.rsplit("/", 1)[-1] for each in world.requests if each.method == "GET" and "/items/" in each.path]


async def asked(world: World, verify: int | None = None, **wishes: Any) -> Report:
    """Let the operator say sync, and return the report."""
    world.application()
    tick = await world.application().tick(trigger="cli", request=Request("cli", verify=verify, **wishes))
    assert tick.report is not None
    report: Report = json.loads(json.dumps(tick.report.body()))
    return report


def by_finding(report: Report) -> dict[str, int]:
    """Return how many items were found how."""
    return {finding: count for finding, count in report["verified"].items() if count}


# --- nothing has drifted ----------------------------------------------------------------------------------------------


async def test_items_are_read_back_after_a_run():
    """Everybody's item is as it was sent, of movers, joiners and those who have not changed alike."""
    world = await a_staffed_world(VERIFY_ITEMS=7)

    report = await world.night([*STAFF[:5], a_person("P6", title="Chief"), a_person("P7", DisplayName="Zoë")])
    later = await world.tick()

    assert by_finding(report) == {"asked": 7, "same": 7}
    assert not report["warnings"].keys() & {"item_changed", "item_vanished", "not_read_back"}
    assert (report["updated"], report["created"]) == (1, 1)
    assert later is None


async def test_nothing_is_read_back_unless_somebody_wants_it():
    """By default a night without changes makes no request at all."""
    world = await a_staffed_world(VERIFY_ITEMS=None)

    report = await world.night(STAFF)

    assert (report["outcome"], report["verified"], world.requests) == ("unchanged", None, [])


async def test_all_take_their_turn():
    """Night after night others are asked for, until it begins anew; an idle tick asks for nobody."""
    world = await a_staffed_world(VERIFY_ITEMS=2)

    nights = []
    for _ in range(4):
        await world.night(STAFF)
        nights.append(read(world))
    await world.tick()
    idle = world.requests

    assert sorted(nights[0] + nights[1] + nights[2]) == sorted(world.graph.items)
    assert nights[3] == nights[0]
    assert idle == []


async def test_a_resumed_run_reads_back_what_all_its_slices_sent():
    """What is compared is made from our own copy, as on the day of the plan."""
    world = await a_world(VERIFY_ITEMS=9, SLICE_SECONDS=2, MAX_CONCURRENCY=1)
    world.follow(people(9))
    await world.drop("people.csv", people(9))
    world.graph.latency = 0.4
    first = await world.tick() or {}
    world.graph.latency = 0

    (last,) = await world.settle()

    assert (first["outcome"], first["verified"]) == ("partial", None)
    assert by_finding(last) == {"asked": 9, "same": 9}


async def test_of_people_in_grace_only_the_item_is_looked_for():
    """Their row is in no file, so nobody can say what it should be like; that it is there can be said."""
    world = await a_staffed_world(LEAVER_GRACE_EXPORTS=1)

    report = await world.night(STAFF[:5])

    assert by_finding(report) == {"asked": 6, "same": 5, "there": 1}


async def test_a_correction_reads_back_what_it_speaks_of():
    """A partial file has some rows; of the others only the item is looked for."""
    world = await a_staffed_world()
    await world.drop("mended.csv", [a_person("P1", title="Chief", _error_code="")])

    report = await world.tick(after=DAY) or {}

    assert by_finding(report) == {"asked": 6, "same": 1, "there": 5}


# --- drift ------------------------------------------------------------------------------------------------------------


async def test_what_drifted_is_sent_again(caplog: pytest.LogCaptureFixture):
    """One changed behind our back and one vanished: told by key in the report, by digest in the log, and mended."""
    world = await a_staffed_world()
    right = dict(world.graph.items)
    name = next(each for each in stored(world, "P2")["properties"] if each in {"name", "names"})
    before = stored(world, "P2")["properties"][name]
    stored(world, "P2")["properties"][name] = before.replace("Person P2", "Somebody Else")
    vanish(world, "P4")
    caplog.set_level(logging.INFO, "connector")

    report = await world.night(STAFF)
    lines = [json.loads(record.getMessage()) for record in caplog.records]
    mended = await world.tick() or {}
    sent = sorted(world.writes())
    later = await world.tick()

    assert (report["outcome"], by_finding(report)) == (
        "unchanged",
        {"asked": 6, "same": 4, "changed": 1, "vanished": 1},
    )
    assert {(each["key"], each["reason"], *each["properties"]) for each in report["drifted_people"]} == {
        ("P2", "changed", name),
        ("P4", "vanished"),
    }
    assert (report["warnings"]["item_changed"], report["warnings"]["item_vanished"]) == (1, 1)
    drifted = [line for line in lines if line["event"] == "item.drifted"]
    assert sorted((line["found"], line["properties"]) for line in drifted) == [("changed", [name]), ("vanished", [])]
    assert "p2" not in json.dumps(drifted)
    assert "Somebody" not in caplog.text
    assert (mended["updated"], mended["created"], mended["reasons"]) == (2, 0, ["failed items"])
    assert sent == sorted([world.item_of("P2"), world.item_of("P4")])
    assert later is None
    assert {key: item["properties"] for key, item in world.graph.items.items()} == {
        key: item["properties"] | ({name: before} if key == world.item_of("P2") else {}) for key, item in right.items()
    }


def recolour(item: Any) -> None:
    item["properties"]["favoriteColor"] = "mauve"


def take_skills(item: Any) -> None:
    for name in ("skills", "skills@odata.type"):
        item["properties"].pop(name, None)


def retype(item: Any) -> None:
    (name,) = item["properties"].keys() & {"name", "names"}
    item["properties"][name] = item["properties"][name].replace("Person", "Persona")


def hide(item: Any) -> None:
    item["acl"] = [{"type": "user", "value": "9f1c4f0a-5d0e-4b6c-8b1e-0c0ffee00001", "accessType": "deny"}]


@pytest.mark.parametrize(
    ("meddle", "properties"),
    [(recolour, {"favoriteColor"}), (take_skills, {"skills"}), (retype, {"name", "names"}), (hide, {"acl"})],
)
async def test_whatever_somebody_changed_is_told_and_mended(meddle: Callable[[Any], None], properties: set[str]):
    """A property more, one less, another value, another access list: named, sent once, and then as it was."""
    skilled = [row | {"Skills": "Go;Rust"} for row in STAFF]
    world = await a_world()
    await world.night(skilled)
    before = json.dumps(stored(world, "P3"), sort_keys=True)
    world.decide(VERIFY_ITEMS=6)
    meddle(stored(world, "P3"))

    report = await world.night(skilled)
    mended = await world.tick() or {}
    sent = world.writes()
    later = await world.tick()
    then = await world.night(skilled)

    assert by_finding(report) == {"asked": 6, "same": 5, "changed": 1}
    (person,) = report["drifted_people"]
    assert (person["key"], person["reason"]) == ("P3", "changed")
    assert len(person["properties"]) == 1
    assert set(person["properties"]) <= properties
    assert (mended["outcome"], mended["updated"], sent, later) == ("completed", 1, [world.item_of("P3")], None)
    assert json.dumps(stored(world, "P3"), sort_keys=True) == before
    assert by_finding(then) == {"asked": 6, "same": 6}


async def test_what_graph_adds_by_itself_is_no_drift():
    """Annotations, a property of somebody else's schema, who wrote it and when: nothing is told, nothing sent."""
    world = await a_staffed_world()
    for key in ("P1", "P2"):
        item = stored(world, key)
        item["properties"] |= {"favoriteColor@odata.type": "String", "lastModifiedBy": "Graph", "favoriteColor": None}
        item |= {"createdDateTime": "2026-03-01T00:00:00Z", "@odata.etag": "W/1", "activities": []}

    report = await world.night(STAFF)

    assert by_finding(report) == {"asked": 6, "same": 6}
    assert (report["drifted_people"], await world.tick()) == ([], None)


async def test_reading_back_changes_nothing_else_about_a_run():
    """Outcome, counts, guards and the rest of the report are those of a run that reads nothing back."""
    reports = []
    for items in (0, 9):
        world = await a_world(VERIFY_ITEMS=items, LEAVER_GRACE_EXPORTS=0)
        await world.night(STAFF)
        vanish(world, "P2")
        reports.append(await world.night([*STAFF[:4], a_person("P5", title="Chief"), a_person("P7")]))

    without, beside = reports
    assert by_finding(beside) == {"asked": 6, "same": 5, "vanished": 1}
    assert without["verified"] is None
    for name in without.keys() - {"verified", "drifted_people", "graph", "warnings", "finished"}:
        assert beside[name] == without[name], name
    assert {**without["warnings"], "item_vanished": 1} == beside["warnings"]


async def test_a_throttled_reading_waits_and_reads_on():
    """Graph says wait, and is waited for, as with any request."""
    world = await a_staffed_world()
    world.graph.fault_when(_is_read, Throttled(20), after=1, times=2)

    report = await world.night(STAFF)

    assert by_finding(report) == {"asked": 6, "same": 6}
    assert report["graph"]["throttled"] == 2


async def test_what_graph_keeps_otherwise_is_not_sent_for_ever():
    """An item that will never read back as it was put costs one request at its turn, and no chain of runs."""
    world = await a_staffed_world()
    reports = []

    for _ in range(2):
        stored(world, "P1")["acl"] = []
        reports.append(await world.night(STAFF))
        await world.tick()
        stored(world, "P1")["acl"] = []
        reports.append(await world.tick() or {})

    assert [report.get("verified", {}).get("changed") for report in reports] == [1, None, 1, None]


async def test_somebody_who_leaves_while_in_doubt_is_deleted():
    """A vanished item is not forgotten: it may be there all the same."""
    world = await a_staffed_world()
    vanish(world, "P6")
    await world.night(STAFF)

    report = await world.night(STAFF[:5])

    assert (report["deleted"], report["failed"]) == (1, 0)
    assert world.holds("P1", "P2", "P3", "P4", "P5")
    assert "P6" not in (await world.ledger()).entries


async def test_an_emptied_connection_is_filled_again():
    """On a night without changes, too: none of those asked for is there, so the next tick sends everyone."""
    world = await a_staffed_world(VERIFY_ITEMS=3)
    vanish(world, *(f"P{number}" for number in range(1, 7)))

    report = await world.night(STAFF)
    (mended,) = await world.settle()

    assert by_finding(report) == {"asked": 3, "vanished": 3}
    assert (mended["outcome"], mended["updated"]) == ("completed", 6)
    assert world.holds("P1", "P2", "P3", "P4", "P5", "P6")


# --- when somebody asks for it ----------------------------------------------------------------------------------------


async def test_an_operator_may_ask_for_more():
    """Whatever the setting says, at once, also when there is nothing new."""
    world = await a_staffed_world(VERIFY_ITEMS=None)
    vanish(world, "P3")

    report = await asked(world, 1000)
    again = await asked(world)

    assert by_finding(report) == {"asked": 6, "same": 5, "vanished": 1}
    assert (again["updated"], again["verified"]) == (1, None)


# --- when Graph does not say ------------------------------------------------------------------------------------------


def _is_read(seen: Any) -> bool:
    return seen.method == "GET" and "/items/" in seen.path


async def test_an_item_that_graph_does_not_answer_for_is_unread():
    """After all patience; the others are read, the run is what it would have been, and nothing is sent again."""
    world = await a_staffed_world(MAX_CONCURRENCY=1)
    world.graph.fault_when(_is_read, Failed(), times=6)

    report = await world.night(STAFF)
    later = await world.tick()

    assert (report["outcome"], by_finding(report)) == ("unchanged", {"asked": 6, "same": 5, "unread": 1})
    assert report["warnings"]["not_read_back"] == 1
    assert later is None


async def test_a_graph_that_answers_nothing_is_left_alone():
    """Three items without an answer are enough; the run has its outcome all the same."""
    world = await a_staffed_world(MAX_CONCURRENCY=1)
    world.graph.fault_when(_is_read, Failed(), times=None)

    report = await world.night([*STAFF[:5], a_person("P6", title="Chief")])

    assert (report["outcome"], report["updated"], by_finding(report)) == ("completed", 1, {"asked": 6, "unread": 6})
    assert len(set(read(world))) == 3


async def test_reading_back_ends_with_the_slice():
    """What is left has its turn with the next run; the run is over, and its time, too."""
    world = await a_staffed_world(SLICE_SECONDS=5, MAX_CONCURRENCY=1)
    world.graph.fault_when(_is_read, Throttled(60), after=2, times=1)
    first = await world.night(STAFF)
    begun = read(world)

    second = await world.night(STAFF)

    assert by_finding(first) == {"asked": 6, "same": 2, "unread": 4}
    assert by_finding(second) == {"asked": 6, "same": 6}
    assert read(world)[0] == begun[2]


async def test_without_a_token_nothing_is_read_back():
    """The night had nothing to send, and ends as it would have."""
    world = await a_staffed_world()
    world.no_token = "the vault is away"

    report = await world.night(STAFF)

    assert (report["outcome"], by_finding(report)) == ("unchanged", {"asked": 6, "unread": 6})


async def test_a_death_while_reading_back_loses_nothing():
    """The run is settled by the next tick, and reads back then."""
    world = await a_staffed_world(MAX_CONCURRENCY=1)
    world.wait(DAY)
    await world.drop("people-2.csv", [*STAFF[:5], a_person("P6", title="Chief")])
    world.wait(DAY)
    world.graph.kill_after(3)

    reports = await world.settle()

    assert [report["outcome"] for report in reports] == ["completed"]
    assert by_finding(reports[-1]) == {"asked": 6, "same": 6}
    assert world.title("p6@contoso.com") == "Chief"
