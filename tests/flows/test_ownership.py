"""What is ours and what is not: teardown leaves the tenant as it was found, and a ledger speaks of one connection only.

Connections are deleted, emptied and made anew by others, adopted, found to be somebody else's, or known from state that
came from elsewhere. Whatever it was: nobody is deleted by mistake, and Graph equals HR in the end.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from connector.core.due import Request
from connector.errors import BadRequest, Conflict, ConnectorError, GraphDenied, NotReady
from tests.flows.world import CONNECTION, DAY, KILLED, TICK, Row, World, a_world, people
from tests.tenant import ADMIN_CLIENT_ID, INGEST_CLIENT_ID, TENANT_ID
from tests.tenant.graph.faults import Dropped, Failed, Fault, Kill, Refused, Throttled
from tests.tenant.graph.people import source_url
from tests.tenant.graph.state import ENTRA_SOURCE, GLOBAL_SETTING, PropertySetting

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.tenant.graph.seen import Seen
    from tests.tenant.wire import Reply

STAFF = people(40)
KEYS = tuple(row["EmployeeId"] for row in STAFF)
CHANGED = [row | {"JobTitle": "Chief"} for row in STAFF]
SOME = STAFF[:3]
FEWER = CHANGED[:-1]
FOREIGN_APP = "0f000000-0000-4000-8000-00000000000f"
OTHER_TENANT = "11111111-2222-4333-8444-555555555555"


def tenant_of(world: World) -> dict[str, Any]:
    """Return everything in the tenant that setup, a night or teardown could leave a trace in."""
    graph = world.graph
    return {
        "connections": {each.id: (each.owner, each.authorized, each.schema) for each in graph.connections.values()},
        "items": graph.items,
        "sources": {each.source_id: each.content for each in graph.sources.values()},
        "settings": {each.id: (each.name, each.display_name, list(each.urls)) for each in graph.settings.values()},
        "users": {each.id: (each.upn, each.attributes) for each in graph.users.values()},
    }


def a_tenant_with_a_history() -> World:
    """Return a world in which others have been before us, with profile sources and lists of their own."""
    world = World()
    world.follow(STAFF)
    world.graph.add_source("workday", version="beta")
    world.graph.add_source("sap", prioritized=False)
    lists = [source_url(source, version="beta") for source in ("sap", ENTRA_SOURCE)]
    world.graph.settings["phones"] = PropertySetting("phones", "phones", "Phones", lists)
    return world


async def after_a_night(**settings: object) -> World:
    """Return a world that is set up and has had its first night."""
    return await the_first_night(await a_world(**settings))


async def the_first_night(world: World, rows: list[Row] = STAFF) -> World:
    """Set up, unless that is done, and let the first export be applied. Everybody may change in the nights to come."""
    world.decide(MAX_CHANGE_PERCENT=100)
    await world.setup()
    report = await world.night(rows)
    assert (report["outcome"], report["created"]) == ("completed", len(rows))
    return world


async def everyone_is_sent_again(world: World) -> None:
    """Hold a world that has been put right to its end: everyone is in Graph as HR has them, and nobody was deleted."""
    reports = await world.settle()

    assert reports[-1]["outcome"] == "completed"
    assert [report["deleted"] for report in reports] == [0] * len(reports)
    assert world.holds(*KEYS)
    assert {world.title(row["UserPrincipalName"]) for row in STAFF} == {"Chief"}


async def incarnation(world: World) -> str:
    registration = await world.state.registration()
    assert registration is not None
    return registration.incarnation


async def somebody_deletes(world: World) -> None:
    """Let another administrator delete the connection, with all its items."""
    async with world.tenant.client(ADMIN_CLIENT_ID) as admin:
        (await admin.delete(f"/external/connections/{CONNECTION}")).raise_for_status()


def somebody_makes_it_anew(world: World, schema: list[dict[str, Any]] | None = None) -> None:
    """Let another administrator delete the connection and make it anew, with this schema or as a draft."""
    connection = world.graph.connections[CONNECTION]
    connection.items.clear()
    connection.operations.clear()
    connection.schema = schema
    connection.types = {prop["name"]: prop["type"] for prop in schema or ()}


class Happens:
    """Something that happens elsewhere while Graph serves a request."""

    effect = True

    def __init__(self, what: Callable[[], object]) -> None:
        self._what = what

    def reply(self, served: Reply | None) -> Reply:
        """Return Graph's own answer."""
        self._what()
        assert served is not None
        return served


def is_put(seen: Seen) -> bool:
    return seen.method == "PUT"


# --- teardown -------------------------------------------------------------------------------------------------------


async def test_teardown_leaves_the_tenant_as_it_was_found():
    """After setup, two nights and a teardown the tenant is what it was, others' entries to the letter."""
    world = a_tenant_with_a_history()
    found = tenant_of(world)
    await the_first_night(world, SOME)
    await world.night(CHANGED)

    await world.teardown()

    assert tenant_of(world) == found


async def test_what_others_added_meanwhile_stays_where_they_put_it():
    """Above us and below us, whatever the address they wrote."""
    world = a_tenant_with_a_history()
    await the_first_night(world, SOME)
    world.graph.add_source("above", version="beta")
    world.graph.add_source("below", prioritized=False)
    world.graph.settings[GLOBAL_SETTING].urls.append(source_url("below", version="beta"))
    expected = [url for url in world.graph.settings[GLOBAL_SETTING].urls if CONNECTION not in url]

    await world.teardown()

    assert world.graph.settings[GLOBAL_SETTING].urls == expected
    assert len(expected) == 4
    assert {"above", "below"} <= set(world.graph.sources)


async def test_our_entry_is_taken_out_of_every_list():
    """Somebody named our source in a list of theirs, too: it could not be deleted otherwise."""
    world = a_tenant_with_a_history()
    found = tenant_of(world)
    await the_first_night(world, SOME)
    world.graph.settings["phones"].urls.insert(0, source_url(CONNECTION, version="beta"))

    await world.teardown()

    assert tenant_of(world) == found


async def test_a_global_setting_that_we_made_stays_with_entra():
    """It must not be deleted (interface §10): it lists Entra alone."""
    world = World()
    world.follow(STAFF)
    world.graph.remove_global_setting()
    found = tenant_of(world)
    await the_first_night(world, SOME)

    await world.teardown()

    left = tenant_of(world)
    assert left | {"settings": {}} == found
    assert len(left["settings"]) == 1
    assert world.graph.priorities() == [ENTRA_SOURCE]


INTERRUPTIONS: list[Fault] = [
    Kill(effect=False),
    Kill(effect=True),
    Failed(503),
    Failed(503, effect=True),
    Dropped(),
    Dropped(effect=True),
    Throttled(3),
]


@pytest.mark.once
@pytest.mark.parametrize("fault", INTERRUPTIONS, ids=str)
async def test_wherever_a_teardown_is_interrupted_it_ends_the_same(fault: Fault):
    """Whichever request it was, called again it leaves nothing of ours behind."""
    position, met = -1, True
    while met:
        position += 1
        world = a_tenant_with_a_history()
        found = tenant_of(world)
        await the_first_night(world, SOME)
        begun = len(world.graph.requests)
        world.graph.fault(begun + position, fault)
        with suppress(ConnectorError, *KILLED):
            await world.application().teardown(confirm=CONNECTION)
        met = len(world.graph.requests) - begun > position
        world.graph.clear_faults()

        await world.teardown()

        assert tenant_of(world) == found, position
        assert await world.state.registration() is None
    assert position >= 6


async def test_teardown_waits_for_a_run_that_is_at_work():
    """Nothing is removed under its hands: it stops at a safe point, and no other one begins."""
    world = await the_first_night(a_tenant_with_a_history())
    world.decide(MAX_ITEMS_PER_SECOND=0.5)
    world.wait(DAY)
    await world.drop("people-2.csv", CHANGED)
    world.wait(TICK)
    tick = asyncio.create_task(world.application().tick(trigger="timer"))
    await world.clock.sleep(7)

    view = await world.application().teardown(confirm=CONNECTION)
    still_there = CONNECTION in world.graph.connections and CONNECTION in world.graph.priorities()
    ticked = await tick
    next_one = await world.ticked()
    await world.teardown()

    assert (view.state, still_there) == ("in progress", True)
    assert ticked.report is not None
    assert ticked.report.outcome == "partial"
    assert next_one == "paused"
    assert CONNECTION not in world.graph.connections


async def test_teardown_waits_until_graph_believes_its_own_list():
    """The profile source is refused (400) while Graph thinks it prioritised: later calls delete it."""
    world = a_tenant_with_a_history()
    found = tenant_of(world)
    await the_first_night(world, SOME)
    world.graph.priority_lag_seconds = 300

    first = await world.application().teardown(confirm=CONNECTION)
    still_there = CONNECTION in world.graph.connections
    await world.teardown()

    assert (first.state, still_there) == ("in progress", True)
    assert tenant_of(world) == found


async def test_teardown_waits_for_a_deletion_that_takes_its_time():
    """A connection whose deletion is under way refuses another one (409): the operator is told to call again."""
    world = a_tenant_with_a_history()
    found = tenant_of(world)
    await the_first_night(world, SOME)
    connection = f"/external/connections/{CONNECTION}"
    world.graph.fault_when(
        lambda seen: seen.method == "DELETE" and seen.path == connection, Refused(409, "Conflict"), times=2
    )

    view = await world.application().teardown(confirm=CONNECTION)
    await world.teardown()

    assert view.state == "in progress"
    assert tenant_of(world) == found


async def test_teardown_without_the_right_word_does_nothing():
    """The connection's id must be said."""
    world = await the_first_night(a_tenant_with_a_history())
    before = tenant_of(world)

    with pytest.raises(BadRequest, match=CONNECTION):
        await world.application().teardown(confirm="contoso")

    assert tenant_of(world) == before
    assert world.requests == []


async def test_a_second_teardown_finds_nothing_to_do():
    """There being nothing is what was wanted."""
    world = await the_first_night(a_tenant_with_a_history())
    await world.teardown()

    view = await world.application().teardown(confirm=CONNECTION)

    assert view.state == "absent"
    assert {seen.method for seen in world.requests} == {"GET"}


async def test_after_a_teardown_the_reports_stay_and_the_ledger_is_void():
    """The id is free again only after some minutes; then everyone is sent, also whom the old ledger knows as sent."""
    world = a_tenant_with_a_history()
    world.graph.id_reuse_seconds = 600
    await the_first_night(world, SOME)
    await world.night(CHANGED)
    reports, first = world.blobs("reports").copy(), await incarnation(world)
    await world.teardown()
    states = [await world.ticked() for _ in range(3)]

    world.wait(900)
    await world.setup()

    assert states == ["not_ready"] * 3
    assert reports.items() <= world.blobs("reports").items()
    assert await incarnation(world) != first
    await everyone_is_sent_again(world)


# --- deleted by somebody else ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("changed", [1, 40])
async def test_a_connection_deleted_between_two_nights(changed: int):
    """The run fails and says what helps; setup makes a new one, and everyone is sent."""
    world = await after_a_night()
    first = await incarnation(world)
    await somebody_deletes(world)

    report = await world.night([*CHANGED[:changed], *STAFF[changed:]])
    await world.setup()

    assert (report["outcome"], report["error"]["code"]) == ("failed", "connection_missing")
    assert "un setup" in report["error"]["message"]
    assert (report["deleted"], report["updated"]) == (0, 0)
    assert await incarnation(world) != first
    await world.drop("people-2.csv", CHANGED)
    await everyone_is_sent_again(world)


@pytest.mark.parametrize("status", [400, 403, 410])
@pytest.mark.parametrize("changed", [1, 40])
async def test_however_graph_refuses_items_of_a_connection_that_is_gone(status: int, changed: int):
    """Which status it is, nobody documents: the run fails and points at setup, and everyone is sent after it."""
    world = await after_a_night()
    await somebody_deletes(world)
    world.graph.fault_when(is_put, Refused(status), times=None)

    report = await world.night([*CHANGED[:changed], *STAFF[changed:]])
    world.graph.clear_faults()
    await world.setup()

    assert report["outcome"] == "failed"
    assert "un setup" in report["error"]["message"]
    await world.drop("people-2.csv", CHANGED)
    await everyone_is_sent_again(world)


async def test_one_refused_item_is_not_a_lost_connection():
    """Nothing else was to be sent that night; what Graph took before is there."""
    world = await after_a_night()
    world.graph.fault_when(is_put, Refused(400), times=1)

    report = await world.night([*CHANGED[:1], *STAFF[1:]])

    assert (report["outcome"], report["failed"]) == ("completed", 1)


async def test_until_setup_is_run_every_try_says_so():
    """Less and less often, and nothing is forgotten."""
    world = await after_a_night()
    await somebody_deletes(world)
    first = await world.night(CHANGED)

    reports = [report for report in [await world.tick() for _ in range(16)] if report]
    await world.setup()

    assert {report["error"]["code"] for report in (first, *reports)} == {"connection_missing"}
    assert 2 <= len(reports) <= 5
    await everyone_is_sent_again(world)


async def test_a_connection_deleted_in_the_middle_of_a_run():
    """What was put before went with it: the run fails, and after setup everyone is sent."""
    world = await after_a_night()
    gone = world.graph.connections
    world.graph.fault_when(is_put, Happens(lambda: gone.pop(CONNECTION)), after=25)  # type: ignore[arg-type]

    report = await world.night(CHANGED)
    await world.setup()

    assert (report["outcome"], report["error"]["code"]) == ("failed", "connection_missing")
    await everyone_is_sent_again(world)


async def test_one_404_is_not_a_lost_connection():
    """Graph may not find it for a moment: the item fails and is sent again, and the run completes."""
    world = await after_a_night()
    world.graph.fault_when(is_put, Refused(404, "ItemNotFound"), after=7)

    report = await world.night(CHANGED)

    assert (report["outcome"], report["updated"], report["failed"]) == ("completed", 39, 1)
    await everyone_is_sent_again(world)


async def test_a_night_of_leavers_notices_that_the_connection_is_gone():
    """Deletions that find nothing are as good as done; but the others are not there either."""
    world = await after_a_night()
    await somebody_deletes(world)
    left = [*STAFF[:-1], STAFF[-1] | {"Status": "Left"}]

    first = await world.night(left)
    second = await world.tick() or {}
    await world.setup()
    await world.settle()

    assert (first["outcome"], first["error"]["code"]) == ("failed", "connection_emptied")
    assert (second["outcome"], second["error"]["code"]) == ("failed", "connection_missing")
    assert world.holds(*KEYS[:-1])


async def test_leavers_are_not_forgotten_when_graph_only_hides_the_connection():
    """Whether an app that was taken out is told 403 or 404 is unknown: 404 is not taken for deleted then."""
    world = await after_a_night()
    leaver = world.item_of(KEYS[-1])
    world.graph.fault_when(lambda seen: "/items/" in seen.path, Refused(404), times=None)

    hidden = await world.night([*STAFF[:-1], STAFF[-1] | {"Status": "Left"}])
    still_there = leaver in world.graph.items
    world.graph.clear_faults()
    await world.setup()
    reports = await world.settle()

    assert (hidden["outcome"], hidden["error"]["code"], hidden["deleted"]) == ("failed", "connection_emptied", 0)
    assert still_there
    assert reports[-1]["outcome"] == "completed"
    assert world.holds(*KEYS[:-1])


async def test_a_leaver_whom_somebody_deleted_already_is_no_alarm():
    """The others are there, so it is only this one."""
    world = await after_a_night()
    del world.graph.connections[CONNECTION].items[world.item_of(KEYS[-1])]

    report = await world.night([*STAFF[:-1], STAFF[-1] | {"Status": "Left"}])

    assert (report["outcome"], report["deleted"]) == ("completed", 1)
    assert await world.tick() is None


async def test_a_deletion_whose_answer_was_lost_is_no_alarm():
    """The second attempt finds nothing, because the first one has taken effect: nobody else is asked for."""
    world = await after_a_night()
    world.graph.fault_when(lambda seen: seen.method == "DELETE", Dropped(effect=True))

    report = await world.night([*STAFF[:-1], STAFF[-1] | {"Status": "Left"}])

    assert (report["outcome"], report["deleted"]) == ("completed", 1)
    assert {seen.method for seen in world.requests} == {"DELETE"}


# --- made anew by somebody else -------------------------------------------------------------------------------------


async def test_a_connection_that_is_a_draft_again_is_another_one():
    """Graph takes no items in it: the run fails, setup registers the schema, and everyone is sent."""
    world = await after_a_night()
    first = await incarnation(world)
    somebody_makes_it_anew(world)

    report = await world.night([*CHANGED[:1], *STAFF[1:]])
    await world.setup()
    await world.drop("people-2.csv", CHANGED)

    assert (report["outcome"], report["error"]["code"]) == ("failed", "connection_missing")
    assert await incarnation(world) != first
    await everyone_is_sent_again(world)


async def test_a_connection_that_lacks_a_property_again_is_another_one():
    """Graph removes no property, so this cannot be the one that had it: setup adds it, and everyone is sent."""
    world = await after_a_night()
    first = await incarnation(world)
    schema = world.graph.connections[CONNECTION].schema or []
    somebody_makes_it_anew(world, [prop for prop in schema if prop["name"] != "favoriteColor"])

    await world.setup()
    await world.drop("people-2.csv", CHANGED)

    assert await incarnation(world) != first
    await everyone_is_sent_again(world)


async def test_a_property_that_graph_shows_late_makes_no_other_connection_of_it():
    """Right after one was added, Graph may answer without it once more: setup waits, and the ledger stays."""
    world = await after_a_night()
    first = await incarnation(world)
    connection = world.graph.connections[CONNECTION]
    whole = connection.schema or []
    connection.schema = [prop for prop in whole if prop["name"] != "favoriteColor"]

    view = await world.application().setup()
    connection.schema = whole
    await world.setup()

    assert (view.state, [seen.method for seen in world.requests if seen.method != "GET"]) == ("in progress", [])
    assert await incarnation(world) == first


async def test_a_ready_connection_that_was_emptied_is_noticed_by_the_next_leaver():
    """Nothing in what setup sees tells it from the one before; but Graph has none of the items that it took."""
    world = await after_a_night()
    somebody_makes_it_anew(world, world.graph.connections[CONNECTION].schema)

    first = await world.night([*CHANGED[:5], *STAFF[5:-1], STAFF[-1] | {"Status": "Left"}])
    reports = await world.settle()

    assert (first["outcome"], first["error"]["code"]) == ("failed", "connection_emptied")
    assert reports[-1]["outcome"] == "completed"
    assert world.holds(*KEYS[:-1])


async def test_an_emptied_connection_is_filled_once_though_somebody_cannot_be_sent():
    """Whose row is rejected stays missing in Graph; that is no reason to send all others again at every tick."""
    world = await after_a_night()
    world.graph.connections[CONNECTION].items.clear()
    aside = STAFF[-2] | {"UserPrincipalName": ""}

    await world.night([*STAFF[:-2], aside, STAFF[-1] | {"Status": "Left"}])
    reports = await world.settle()

    assert [report["outcome"] for report in reports] == ["completed"]
    assert world.holds(*KEYS[:-2])


async def test_a_ready_connection_that_was_emptied_is_seen_by_health_and_mended_by_a_full_run():
    """On nights without leavers nothing shows it but an item that is asked for: health does, and says what helps."""
    world = await after_a_night()
    somebody_makes_it_anew(world, world.graph.connections[CONNECTION].schema)
    await world.setup()
    report = await world.night(CHANGED[:5] + STAFF[5:])
    somebody_makes_it_anew(world, world.graph.connections[CONNECTION].schema)

    health = await world.application().health()
    await world.application().tick(trigger="cli", request=Request("full", full=True))

    access = next(check for check in health["checks"] if check["name"] == "ingest-access")
    assert report["outcome"] == "completed"
    assert access["status"] == "failed"
    assert "sync --full" in access["advice"]
    assert world.holds(*KEYS)


# --- adopted, or somebody else's ------------------------------------------------------------------------------------


async def test_with_all_state_lost_the_connection_is_adopted():
    """A new incarnation: everyone is sent again; whom HR does not name any more is not deleted for it."""
    world = await after_a_night(LEAVER_GRACE_EXPORTS=0)
    first = await incarnation(world)
    for name in list(world.blobs("state")):
        await world.containers.state.delete(name)
    waiting = await world.ticked()

    await world.setup()
    report = await world.night(FEWER)

    assert waiting == "not_ready"
    assert await incarnation(world) != first
    assert (report["outcome"], report["created"], report["deleted"]) == ("completed", 39, 0)
    assert world.holds(*KEYS)


@pytest.mark.parametrize("do", ["setup", "teardown"])
async def test_a_connection_with_a_schema_of_its_own_is_neither_adopted_nor_torn_down(do: str):
    """It was made for something else, by somebody whom our app may stand in for."""
    world = World()
    schema: list[dict[str, Any]] = [
        {"name": "member", "type": "string", "labels": ["personAccount"]},
        {"name": "skills", "type": "int64"},
    ]
    world.graph.add_connection(CONNECTION, schema, owner=ADMIN_CLIENT_ID, authorized=[INGEST_CLIENT_ID])
    before = tenant_of(world)

    with pytest.raises(Conflict, match=f"'{CONNECTION}' has .*serves something else"):
        await getattr(world, do)()
    states = await world.ticked()

    assert tenant_of(world) == before
    assert states == "not_ready"
    assert world.blobs("state") == {}


@pytest.mark.parametrize("do", ["setup", "teardown"])
async def test_a_connection_of_another_category_is_neither_adopted_nor_torn_down(do: str):
    """Its items are no people."""
    world = World()
    if world.settings.contract == "preview":
        pytest.skip("connections of the walkthrough have no category; what tells them apart is their schema")
    body = {"id": CONNECTION, "name": "Wiki", "description": "Pages", "contentCategory": "wikis"}
    async with world.tenant.client(ADMIN_CLIENT_ID) as admin:
        (await admin.post("/external/connections", json=body)).raise_for_status()
    before = tenant_of(world)

    with pytest.raises(Conflict, match=r"contentCategory 'wikis'.*serves something else"):
        await getattr(world, do)()

    assert tenant_of(world) == before
    assert world.blobs("state") == {}


@pytest.mark.parametrize("do", ["setup", "teardown"])
async def test_a_connection_that_does_not_let_us_in_is_left_alone(do: str):
    """The operator reads whose it probably is."""
    world = World()
    world.graph.add_connection(CONNECTION, [{"name": "accounts", "type": "string"}], owner=FOREIGN_APP)
    before = tenant_of(world)

    with pytest.raises(GraphDenied, match="belongs to another app"):
        await getattr(world, do)()

    assert tenant_of(world) == before
    assert world.blobs("state") == {}


# --- state from elsewhere -------------------------------------------------------------------------------------------


async def test_state_of_another_tenant_is_void():
    """TENANT_ID was changed, or the state container copied: ticks refuse, setup begins anew, and nobody is deleted."""
    world = await after_a_night(LEAVER_GRACE_EXPORTS=0, TENANT_ID=OTHER_TENANT)
    first = await incarnation(world)
    world.decide(TENANT_ID=TENANT_ID)
    with pytest.raises(NotReady, match="of another tenant"):
        await world.night(FEWER)
    asked = world.requests

    await world.setup()
    reports = await world.settle()

    assert asked == []
    assert await incarnation(world) != first
    assert (reports[-1]["created"], reports[-1]["deleted"]) == (39, 0)
    assert world.holds(*KEYS)


async def test_the_same_tenant_in_capitals_is_the_same():
    """A GUID has no case: its memory is ours."""
    world = await after_a_night()
    first = await incarnation(world)
    world.decide(TENANT_ID=TENANT_ID.upper())
    await world.setup()

    report = await world.night([*CHANGED[:1], *STAFF[1:]])

    assert await incarnation(world) == first
    assert (report["outcome"], report["updated"], report["unchanged"]) == ("completed", 1, 39)


async def test_state_of_another_connection_is_void():
    """The folder was copied under another name: the other connection is filled, this one is left as it is."""
    world = await after_a_night(LEAVER_GRACE_EXPORTS=0)
    before = dict(world.graph.items)
    for name, data in list(world.blobs("state").items()):
        await world.containers.state.write(name.replace(f"{CONNECTION}/", "otherhr/", 1), data)
    world.decide(CONNECTION_ID="otherhr")
    with pytest.raises(NotReady, match="of another connection"):
        await world.night(FEWER)

    await world.setup()
    reports = await world.settle()

    assert (reports[-1]["created"], reports[-1]["deleted"]) == (39, 0)
    assert len(world.graph.connections["otherhr"].items) == 39
    assert {item.id for item in world.graph.connections[CONNECTION].items.values()} == set(before)
    registration = json.loads(world.blobs("state")["otherhr/connection.json"])
    assert registration["connection_id"] == "otherhr"


@pytest.mark.parametrize("do", ["setup", "teardown"])
async def test_state_from_elsewhere_makes_nobodys_connection_ours(do: str):
    """Here the id belongs to somebody else: what was copied along is no leave to use it, nor to remove it."""
    world = await after_a_night(TENANT_ID=OTHER_TENANT)
    somebody_makes_it_anew(world, [{"name": "member", "type": "string", "labels": ["personAccount"]}])
    before = tenant_of(world)
    world.decide(TENANT_ID=TENANT_ID)

    with pytest.raises(Conflict, match="serves something else"):
        await getattr(world, do)()

    assert tenant_of(world) == before


# --- another contract -----------------------------------------------------------------------------------------------


async def test_another_contract_is_refused_on_a_live_connection():
    """By ticks and by setup, in the same words; nothing happens, and the former contract goes on as if nothing was."""
    world = await after_a_night()
    ours = world.settings.contract
    other = "preview" if ours == "labels" else "labels"
    before = tenant_of(world)
    sentence = f"under the contract '{ours}', CONTRACT is '{other}'; use a new CONNECTION_ID, or tear this one down"
    world.decide(CONTRACT=other)

    with pytest.raises(NotReady, match=sentence):
        await world.night(CHANGED)
    with pytest.raises(Conflict, match=sentence):
        await world.setup()

    assert tenant_of(world) == before
    world.decide(CONTRACT=ours)
    await everyone_is_sent_again(world)


async def test_a_connection_can_be_torn_down_under_another_contract():
    """That is what the sentence tells the operator to do."""
    world = a_tenant_with_a_history()
    found = tenant_of(world)
    await the_first_night(world, SOME)
    world.decide(CONTRACT="preview" if world.settings.contract == "labels" else "labels")

    await world.teardown()

    assert tenant_of(world) == found
