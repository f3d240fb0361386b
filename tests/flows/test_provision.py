"""Setup, registration and teardown, told from the operator's side, against the simulated Graph."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from connector.core.setup import ENTRA_SOURCE_ID, Registration, SetupView, Wanted
from connector.errors import Conflict, ConnectorError, GraphError, NotReady, StoreError
from connector.graph.items import Items
from connector.provision import Provision, wanted_from
from connector.settings import Settings
from connector.storage.state import State
from tests.graph.opening import an_item, graph_at
from tests.storage import memory
from tests.tenant import ADMIN_CLIENT_ID, INGEST_CLIENT_ID, TENANT_ID, Tenant
from tests.tenant.graph.faults import Dropped, Failed, Kill, Refused
from tests.tenant.wire import Killed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FOREIGN_APP = "0f000000-0000-4000-8000-00000000000f"
SCHEMA: dict[str, Any] = {
    "baseType": "microsoft.graph.externalItem",
    "properties": [
        {"name": "account", "type": "string", "labels": ["personAccount"]},
        {"name": "skills", "type": "stringCollection", "labels": ["personSkills"]},
        {"name": "favoriteColor", "type": "string", "description": "What they like"},
    ],
}
OURS = "https://graph.microsoft.com/v1.0/admin/people/profileSources(sourceId='contosohr')"


class World:
    """A tenant, our state, and what the settings want; every call is an invocation of its own."""

    def __init__(self, *, settle: float = 60, **tenant: Any) -> None:
        self.tenant = Tenant(**tenant)
        self.graph = self.tenant.graph
        self.state = memory.MemoryContainer(self.tenant.clock)
        self.wanted = Wanted(
            tenant_id=TENANT_ID,
            contract="labels",
            connection_id="contosohr",
            name="Contoso HR",
            description="People data from the HR system of Contoso",
            app_ids=(ADMIN_CLIENT_ID, INGEST_CLIENT_ID),
            schema=SCHEMA,
            source_url="https://hr.contoso.com",
            settle=timedelta(seconds=settle),
        )
        self.slice_is_running = False

    @asynccontextmanager
    async def provision(self) -> AsyncIterator[Provision]:
        async with graph_at(self.tenant, ADMIN_CLIENT_ID) as graph:
            yield Provision(graph, self.state, self.wanted, clock=self.tenant.clock)

    async def setup(self) -> SetupView:
        async with self.provision() as provision:
            return await provision.advance()

    async def look(self) -> SetupView:
        async with self.provision() as provision:
            return await provision.view()

    async def register(self, *, priority_first: bool = False) -> SetupView:
        async with self.provision() as provision:
            return await provision.register(priority_first=priority_first)

    async def teardown(self) -> SetupView:
        async def running() -> bool:
            return self.slice_is_running

        async with self.provision() as provision:
            return await provision.teardown(running=running)

    async def set_up(self) -> Registration:
        """Call setup until it is done, as the operator does, waiting as long as it says."""
        for _ in range(60):
            view = await self.setup()
            if view.state == "ready":
                return await self.remembered()
            await self.tenant.clock.sleep(view.retry_after)
        raise AssertionError("setup does not come to an end")

    async def remembered(self) -> Registration:
        found = await State(self.state, "contosohr").registration()
        assert found is not None
        return found

    async def register_connection(self, **members: Any) -> None:
        """Let a connection be there before us."""
        body = {"id": "contosohr", "name": "Contoso HR", "description": "People", "contentCategory": "people"} | members
        async with self.tenant.client(ADMIN_CLIENT_ID) as admin:
            (await admin.post("/external/connections", json=body)).raise_for_status()

    async def register_schema(self, *properties: dict[str, Any]) -> None:
        body = {"baseType": "microsoft.graph.externalItem", "properties": properties}
        async with self.tenant.client(ADMIN_CLIENT_ID) as admin:
            (await admin.patch("/external/connections/contosohr/schema", json=body)).raise_for_status()

    def want(self, **changes: Any) -> None:
        self.wanted = replace(self.wanted, **changes)


def states(view: SetupView) -> dict[str, str]:
    return {step.name: step.state for step in view.steps}


def detail(view: SetupView, name: str) -> str:
    return next(step.detail for step in view.steps if step.name == name)


WRITES = {"POST", "PATCH", "PUT", "DELETE"}


def writes(world: World, since: int = 0) -> list[tuple[str, str]]:
    return [(seen.method, seen.path) for seen in world.graph.requests[since:] if seen.method in WRITES]


async def test_from_nothing_to_ready():
    """Calls lead from nothing over the schema's registration and the settling time to ready, and say so."""
    world = World(schema_seconds=600)

    first = await world.setup()
    await world.tenant.clock.sleep(600)
    second = await world.setup()
    await world.tenant.clock.sleep(60)
    third = await world.setup()

    assert [view.state for view in (first, second, third)] == ["in progress", "in progress", "ready"]
    assert states(first) == {
        "connection": "done",
        "schema": "in progress",
        "profile-source": "pending",
        "priority": "pending",
        "settle": "pending",
    }
    assert states(second) == dict.fromkeys(states(second), "done") | {"settle": "in progress"}
    assert second.retry_after == 60
    assert set(states(third).values()) == {"done"}
    assert writes(world) == [
        ("POST", "/external/connections"),
        ("PATCH", "/external/connections/contosohr/schema"),
        ("POST", "/admin/people/profileSources"),
        ("PATCH", "/admin/people/profilePropertySettings/00000000-0000-0000-0000-000000000001"),
    ]


async def test_what_graph_holds_afterwards():
    """A people connection for both apps with the whole schema, a source with a kind, and our entry first."""
    world = World()
    world.graph.add_source("bamboohr", version="beta")

    await world.set_up()

    connection = world.graph.connections["contosohr"]
    assert connection.category == "people"
    assert {ADMIN_CLIENT_ID, INGEST_CLIENT_ID} <= set(connection.authorized)
    assert [entry["name"] for entry in connection.schema or ()] == ["account", "skills", "favoriteColor"]
    assert world.graph.sources["contosohr"].content == {
        "displayName": "Contoso HR",
        "kind": "Connector",
        "webUrl": "https://hr.contoso.com",
    }
    (setting,) = world.graph.settings.values()
    assert setting.urls == [
        OURS,
        "https://graph.microsoft.com/beta/admin/people/profileSources(sourceId='bamboohr')",
        f"https://graph.microsoft.com/v1.0/admin/people/profileSources(sourceId='{ENTRA_SOURCE_ID}')",
    ]


async def test_what_is_remembered():
    """connection.json says whose ledger may speak of this connection, what is registered, and since when."""
    world = World(schema_seconds=600)

    registration = await world.set_up()

    stored = json.loads(world.state.contents["contosohr/connection.json"])
    assert stored["incarnation"] == registration.incarnation
    assert (stored["tenant_id"], stored["contract"], stored["connection_id"]) == (TENANT_ID, "labels", "contosohr")
    assert [(entry["name"], entry["type"]) for entry in stored["schema"]] == [
        ("account", "string"),
        ("skills", "stringCollection"),
        ("favoriteColor", "string"),
    ]
    assert stored["operation"] is None
    assert registration.ready_since is not None
    assert registration.ready(world.tenant.clock.now())
    assert not registration.ready(world.tenant.clock.now() - timedelta(seconds=61))


async def test_calling_it_again_changes_nothing():
    """Once ready, setup only looks: no write to Graph, none to our state."""
    world = World()
    await world.set_up()
    before, contents = len(world.graph.requests), world.state.contents

    view = await world.setup()

    assert view.state == "ready"
    assert writes(world, before) == []
    assert world.state.contents == contents


async def test_looking_changes_nothing():
    """GET shows the same view at every stage, and neither Graph nor our state notices."""
    world = World(schema_seconds=600)
    absent = await world.look()
    assert world.state.contents == {}
    await world.setup()
    before, contents = len(world.graph.requests), world.state.contents

    midway = await world.look()

    assert (absent.state, midway.state) == ("absent", "in progress")
    assert set(absent.body()) == {"state", "steps"}
    assert [step["name"] for step in absent.body()["steps"]] == [
        "connection",
        "schema",
        "profile-source",
        "priority",
        "settle",
    ]
    assert writes(world, before) == []
    assert world.state.contents == contents


async def test_each_step_is_logged_once(caplog):
    """One setup.step event for every step done, over all calls."""
    caplog.set_level(logging.INFO, logger="connector")
    world = World(schema_seconds=600)

    await world.set_up()
    await world.setup()

    events = [json.loads(record.getMessage()) for record in caplog.records]
    assert [(event["event"], event["step"], event["state"]) for event in events] == [
        ("setup.step", name, "done") for name in ("connection", "schema", "profile-source", "priority", "settle")
    ]


@pytest.mark.parametrize("fault", [Failed(503, effect=True), Dropped(effect=True), Failed(503), Dropped()])
@pytest.mark.parametrize("path", ["/external/connections", "/admin/people/profileSources"])
async def test_after_a_failed_create_it_looks_before_it_creates_again(fault, path):
    """A create that failed is looked for first, so it is never made twice, and the call goes on."""
    world = World()
    world.graph.fault_when(lambda seen: seen.method == "POST" and seen.path == path, fault)

    view = await world.setup()

    assert states(view) == dict.fromkeys(states(view), "done") | {"settle": "in progress"}
    posts = [place for place, seen in enumerate(world.graph.requests) if (seen.method, seen.path) == ("POST", path)]
    assert len(posts) == (1 if fault.effect else 2)
    if not fault.effect:
        assert any(seen.method == "GET" for seen in world.graph.requests[posts[0] + 1 : posts[1]])
    assert 409 not in world.graph.statuses


async def test_a_create_that_keeps_failing_is_reported():
    """After three looks without success the operator learns that Graph is unavailable, and the next call goes on."""
    world = World()
    world.graph.fault_when(lambda seen: seen.method == "POST", Failed(503), times=3)

    with pytest.raises(GraphError):
        await world.setup()
    registration = await world.set_up()

    assert registration.ready_since is not None


async def test_a_lost_operation_is_waited_for():
    """When the answer to the schema's PATCH is lost, the state of the connection tells when it is done."""
    world = World(schema_seconds=600)
    world.graph.fault_when(lambda seen: seen.method == "PATCH", Kill())
    with pytest.raises(Killed):
        await world.setup()

    registration = await world.set_up()

    assert registration.ready(world.tenant.clock.now())
    assert len(world.graph.connections["contosohr"].operations) == 1


@pytest.mark.parametrize("refusal", [Refused(409, "Conflict"), Refused(400, "UpdateNotAllowed")])
async def test_a_registration_that_is_under_way_already_is_waited_for(refusal):
    """Graph that takes no second registration for a draft is busy with the first."""
    world = World(schema_seconds=600)
    world.graph.fault_when(lambda seen: seen.method == "PATCH", refusal)

    view = await world.setup()
    registration = await world.set_up()

    assert states(view)["schema"] == "in progress"
    assert registration.ready(world.tenant.clock.now())


async def test_a_schema_that_may_not_grow_is_explained():
    """A tenant that does not add properties to a ready connection is quoted, and what was ready stays so."""
    world = World()
    await world.set_up()
    before = await world.remembered()
    world.graph.fault_when(lambda seen: seen.method == "PATCH", Refused(400, "UpdateNotAllowed", "Not now."))
    world.want(schema=SCHEMA | {"properties": [*SCHEMA["properties"], {"name": "desk", "type": "string"}]})

    with pytest.raises(Conflict, match=r"Not now\..*does not add properties.*new CONNECTION_ID"):
        await world.setup()

    assert replace(await world.remembered(), done=before.done) == before


async def test_a_schema_that_graph_cannot_read_is_reported():
    """A refused body is quoted, and the next call does not wait for a registration that never began."""
    world = World()
    world.graph.fault_when(lambda seen: seen.method == "PATCH", Refused(400, "BadRequest", "Too many properties."))

    with pytest.raises(GraphError, match="Too many properties"):
        await world.setup()

    assert (await world.remembered()).operation_at is None
    assert (await world.setup()).state == "in progress"


async def test_a_failed_registration_is_said_and_tried_again():
    """The view quotes Graph's reason; the next call asks for the schema again."""
    world = World(schema_seconds=600)
    world.graph.fail_next_schema("Server error, something went wrong")
    await world.setup()
    await world.tenant.clock.sleep(600)

    failed = await world.look()
    await world.set_up()

    assert states(failed)["schema"] == "failed"
    assert "Server error, something went wrong" in detail(failed, "schema")


async def test_a_tenant_that_ignores_the_category_is_found_out():
    """A connection that did not become one of people would never reach a profile: setup says so, and stops."""
    world = World(ignores_content_category=True)

    with pytest.raises(Conflict, match=r"contentCategory 'uncategorized'.*tenant ignored.*GRAPH_BASE_URL"):
        await world.setup()

    assert (await world.look()).state == "failed"
    assert [path for _, path in writes(world)] == ["/external/connections"]


async def test_a_tenant_that_ignores_the_apps_is_found_out():
    """A connection that does not list the ingest app could not be written to: setup says so, and stops."""
    world = World(ignores_authorized_app_ids=True)

    with pytest.raises(Conflict, match=r"does not list them in authorizedAppIds"):
        await world.setup()


async def test_somebody_elses_connection_is_refused():
    """A connection of another category serves something else: it is neither used nor torn down."""
    world = World()
    await world.register_connection(contentCategory="wikis")

    with pytest.raises(Conflict, match=r"contentCategory 'wikis'.*Choose another CONNECTION_ID"):
        await world.setup()
    with pytest.raises(Conflict, match="not removed"):
        await world.teardown()

    assert list(world.graph.connections) == ["contosohr"]
    assert world.state.contents == {}


async def test_a_fitting_connection_is_adopted():
    """A people connection that is there already is brought to what is wanted, and nobody's access is taken away."""
    world = World()
    await world.register_connection(configuration={"authorizedAppIds": [FOREIGN_APP]})
    await world.register_schema(
        {"name": "Account", "type": "string", "labels": ["personAccount"]}, {"name": "old", "type": "string"}
    )
    seen = await world.look()

    registration = await world.set_up()

    assert states(seen)["connection"] == "missing"
    connection = world.graph.connections["contosohr"]
    assert {FOREIGN_APP, ADMIN_CLIENT_ID, INGEST_CLIENT_ID} == set(connection.authorized)
    assert {entry["name"].casefold() for entry in connection.schema or ()} == {
        "account",
        "old",
        "skills",
        "favoritecolor",
    }
    assert len(registration.schema) == 4
    assert ("POST", "/external/connections") not in writes(world)[2:]


async def test_a_connection_that_graph_does_not_show_for_a_moment_keeps_its_incarnation():
    """A 404 from a replica that lags, answered by a 409 to the create: a new incarnation would void the ledger."""
    world = World()
    first = await world.set_up()
    shown = "/external/connections/contosohr"
    world.graph.fault_when(lambda seen: seen.method == "GET" and seen.path.endswith(shown), Refused(404), times=1)

    view = await world.setup()

    assert view.state == "ready"
    assert await world.remembered() == first


async def test_lost_state_makes_a_new_incarnation():
    """When connection.json is lost, setup adopts the connection under a new incarnation."""
    world = World()
    first = await world.set_up()
    await world.state.delete("contosohr/connection.json")

    second = await world.set_up()

    assert second.incarnation != first.incarnation
    assert second.ready_since is not None


async def test_a_connection_removed_behind_our_back_is_made_anew():
    """Its items are gone, so the new one is another incarnation."""
    world = World()
    first = await world.set_up()
    async with world.tenant.client(ADMIN_CLIENT_ID) as admin:
        await admin.delete("/external/connections/contosohr")

    gone = await world.look()
    second = await world.set_up()

    assert states(gone)["connection"] == "missing"
    assert second.incarnation != first.incarnation


async def test_a_connection_made_anew_behind_our_back_is_another_one():
    """A connection that is back in draft has lost its items, whoever made it."""
    world = World(schema_seconds=600)
    first = await world.set_up()
    async with world.tenant.client(ADMIN_CLIENT_ID) as admin:
        await admin.delete("/external/connections/contosohr")
    await world.register_connection()

    await world.setup()

    assert (await world.remembered()).incarnation != first.incarnation
    assert (await world.remembered()).ready_since is None


async def test_new_properties_are_added():
    """A mapping that grows adds to the schema; the incarnation, and so the ledger, stays."""
    world = World(schema_seconds=600)
    first = await world.set_up()
    world.want(schema=SCHEMA | {"properties": [*SCHEMA["properties"], {"name": "desk", "type": "string"}]})

    during = await world.setup()
    second = await world.set_up()

    assert states(during)["schema"] == "in progress"
    assert [entry["name"] for entry in second.schema] == ["account", "skills", "favoriteColor", "desk"]
    assert second.incarnation == first.incarnation


async def test_properties_no_longer_wanted_stay():
    """Graph removes no property, and none is needed gone: a smaller mapping is contained in the schema."""
    world = World()
    await world.set_up()
    before = len(world.graph.requests)
    world.want(schema=SCHEMA | {"properties": SCHEMA["properties"][:1]})

    view = await world.setup()

    assert view.state == "ready"
    assert writes(world, before) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"name": "favoriteColor", "type": "int64"}, "'favoriteColor' is registered as string, wanted as int64"),
        (
            {"name": "colour", "type": "stringCollection", "labels": ["personSkills"]},
            "the label personSkills is on 'skills', wanted on 'colour'",
        ),
        (
            {"name": "favoriteColor", "type": "string", "labels": ["personNote"]},
            "'favoriteColor' is registered with no label, wanted with the label personNote",
        ),
    ],
)
async def test_other_changes_of_the_schema_are_refused(change, sentence):
    """What Graph cannot change is explained, with what helps, and nothing is sent."""
    world = World()
    await world.set_up()
    before = len(world.graph.requests)
    others = [entry for entry in SCHEMA["properties"] if entry["name"] != change["name"]]
    kept = [entry for entry in others if not set(entry.get("labels", ())) & set(change.get("labels", ()))]
    world.want(schema=SCHEMA | {"properties": [*kept, change]})

    with pytest.raises(Conflict) as refused:
        await world.setup()

    assert sentence in refused.value.message
    assert "new CONNECTION_ID, or tear this connection down" in refused.value.message
    assert writes(world, before) == []


async def test_another_contract_is_refused():
    """A live connection keeps its contract."""
    world = World()
    await world.set_up()
    world.want(contract="preview")

    with pytest.raises(Conflict, match=r"contract 'labels', CONTRACT is 'preview'.*new CONNECTION_ID"):
        await world.setup()


async def test_priority_without_a_global_setting():
    """A tenant that never configured priorities gets a setting, with Entra behind us."""
    world = World()
    world.graph.remove_global_setting()

    await world.set_up()

    assert world.graph.priorities() == ["contosohr", ENTRA_SOURCE_ID]


async def test_an_entry_of_another_version_is_ours():
    """Our entry is known by its source id, whatever base its URL has, and is left alone."""
    world = World()
    world.graph.add_source("contosohr", version="beta")
    world.graph.add_source("bamboohr")

    await world.set_up()

    assert world.graph.priorities() == ["bamboohr", "contosohr", ENTRA_SOURCE_ID]


async def test_our_place_is_reported_and_moved_only_on_request():
    """Somebody put another source first: setup says so and leaves it; register with priority=first moves ours."""
    world = World()
    await world.set_up()
    world.graph.add_source("bamboohr")

    told = await world.setup()
    unmoved = world.graph.priorities()
    await world.register()
    still = world.graph.priorities()
    moved = await world.register(priority_first=True)

    assert told.state == "ready"
    assert "place 2 of 3" in detail(told, "priority")
    assert unmoved == still == ["bamboohr", "contosohr", ENTRA_SOURCE_ID]
    assert world.graph.priorities() == ["contosohr", "bamboohr", ENTRA_SOURCE_ID]
    assert moved.state == "ready"


async def test_register_needs_a_ready_connection():
    """Without a connection and its schema there is nothing to register."""
    world = World(schema_seconds=600)
    with pytest.raises(NotReady, match="connection: is not there yet"):
        await world.register()
    await world.setup()

    with pytest.raises(NotReady, match="schema: being registered"):
        await world.register()

    assert "contosohr" not in world.graph.sources


async def test_register_repairs_source_and_priority_only():
    """What somebody removed is put back; the connection is not touched."""
    world = World()
    await world.set_up()
    world.graph.settings.clear()
    del world.graph.sources["contosohr"]
    before = len(world.graph.requests)

    view = await world.register()

    assert view.state == "ready"
    assert {path.split("/")[2] for _, path in writes(world, before)} == {"people"}


async def test_a_changed_page_about_the_source_is_updated():
    """PROFILE_SOURCE_URL follows the setting; a source without a kind gets one."""
    world = World()
    await world.set_up()
    world.graph.sources["contosohr"].content.pop("kind")
    world.want(source_url="https://people.contoso.com")

    view = await world.setup()

    assert view.state == "ready"
    assert world.graph.sources["contosohr"].content == {
        "displayName": "Contoso HR",
        "webUrl": "https://people.contoso.com",
        "kind": "Connector",
    }


async def test_no_settling_time():
    """With REGISTRATION_SETTLE_SECONDS=0 one call can do everything."""
    world = World(settle=0)

    view = await world.setup()

    assert view.state == "ready"


async def test_two_operators_at_once():
    """Two calls at the same time meet in our state and in Graph; neither fails, and nothing is there twice."""
    world = World(latency=0.5)

    await asyncio.gather(world.setup(), world.setup(), world.setup())
    registration = await world.set_up()

    assert registration.ready(world.tenant.clock.now())
    assert world.graph.priorities() == ["contosohr", ENTRA_SOURCE_ID]
    assert len(world.graph.sources) == 2


async def test_unreadable_state_is_explained():
    """A broken connection.json is not guessed at."""
    world = World()
    await world.state.write("contosohr/connection.json", b"not json")

    with pytest.raises(StoreError, match="Delete it"):
        await world.setup()


async def test_throttling_is_waited_for_within_reason():
    """A short pause is part of the call; one that outlasts it is an error, and the next call goes on."""
    world = World()
    world.graph.throttle(1, retry_after=10)
    await world.setup()
    world.graph.throttle(1, retry_after=300)

    with pytest.raises(GraphError, match="longer than this invocation"):
        await world.setup()

    assert (await world.set_up()).settled is not None


@pytest.mark.parametrize("call", [World.look, World.register])
async def test_no_call_waits_longer_for_graph_than_a_request_lasts(call):
    """An HTTP function is cut off after 230 seconds, whichever it is: a longer pause is an error at once."""
    world = World()
    await world.set_up()
    world.graph.throttle(1, retry_after=300)
    begun = world.tenant.clock.monotonic()

    with pytest.raises(GraphError, match="longer than this invocation"):
        await call(world)

    assert world.tenant.clock.monotonic() - begun < 100


@pytest.mark.once
async def test_wherever_it_is_killed_the_next_calls_finish():
    """Killed at any request to Graph, before or after its effect, setup ends ready and nothing is there twice."""
    requests = World(schema_seconds=20)
    await requests.set_up()
    total = len(requests.graph.requests)
    for position in range(total):
        for effect in (False, True):
            world = World(schema_seconds=20)
            world.graph.fault(position, Kill(effect=effect))
            try:
                registration = await world.set_up()
            except Killed:
                registration = await world.set_up()

            assert registration.ready(world.tenant.clock.now()), (position, effect)
            assert world.graph.priorities() == ["contosohr", ENTRA_SOURCE_ID]
            assert len(world.graph.sources) == 2


async def test_teardown_in_the_documented_order():
    """Priority entry, profile source, connection; then nothing of ours is left, in Graph or in our state."""
    world = World()
    world.graph.add_source("bamboohr")
    await world.set_up()
    before = len(world.graph.requests)

    view = await world.teardown()

    assert view.state == "absent"
    assert [method for method, _ in writes(world, before)] == ["PATCH", "DELETE", "DELETE"]
    assert [path.split("/")[2].split("(")[0] for _, path in writes(world, before)] == [
        "people",
        "people",
        "connections",
    ]
    assert world.graph.priorities() == ["bamboohr", ENTRA_SOURCE_ID]
    assert world.graph.connections == {}
    assert world.state.contents == {}
    assert (await world.look()).state == "absent"


async def test_teardown_waits_for_a_running_slice():
    """While a slice is at work nothing is removed; but the next one finds the connection leaving."""
    world = World()
    registration = await world.set_up()
    world.slice_is_running = True

    waiting = await world.teardown()
    during = await world.remembered()
    world.slice_is_running = False
    done = await world.teardown()

    assert waiting.state == "in progress"
    assert "running slice" in detail(waiting, "connection")
    assert registration.ready(world.tenant.clock.now())
    assert not during.ready(world.tenant.clock.now())
    assert done.state == "absent"


async def test_teardown_waits_until_graph_believes_the_list():
    """While Graph still counts the source as prioritised it refuses to delete it; a later call succeeds."""
    world = World(priority_lag_seconds=30)
    await world.set_up()

    first = await world.teardown()
    await world.tenant.clock.sleep(30)
    second = await world.teardown()

    assert first.state == "in progress"
    assert "priority list" in detail(first, "profile-source")
    assert second.state == "absent"


async def test_teardown_of_nothing_is_done():
    """There being nothing to remove is the end of a teardown, not an error."""
    world = World()

    view = await world.teardown()

    assert view.state == "absent"
    assert writes(world) == []


async def test_wherever_teardown_is_killed_the_next_call_finishes():
    """Killed at any request, a second teardown leaves nothing behind, and the global setting is still there."""
    requests = World()
    await requests.set_up()
    before = len(requests.graph.requests)
    await requests.teardown()
    total = len(requests.graph.requests) - before
    for position in range(total):
        for effect in (False, True):
            world = World()
            await world.set_up()
            world.graph.fault(len(world.graph.requests) + position, Kill(effect=effect))
            with pytest.raises(Killed):
                await world.teardown()

            view = await world.teardown()

            assert view.state == "absent", (position, effect)
            assert world.graph.connections == {}
            assert world.graph.priorities() == [ENTRA_SOURCE_ID]
            assert world.state.contents == {}


async def test_setup_after_teardown_is_a_new_incarnation():
    """The same id can be used again once Graph has freed it, and the old ledger says nothing about it."""
    world = World(id_reuse_seconds=600)
    first = await world.set_up()
    await world.teardown()

    waiting = await world.setup()
    second = await world.set_up()

    assert waiting.state == "in progress"
    assert second.incarnation != first.incarnation


async def test_a_teardown_that_has_begun_is_seen():
    """Whoever looks is told that the connection is on its way out."""
    world = World(priority_lag_seconds=600)
    await world.set_up()
    await world.teardown()
    await world.tenant.clock.sleep(600)
    world.graph.settings["00000000-0000-0000-0000-000000000001"].urls.insert(0, OURS)

    view = await world.look()

    assert view.state == "in progress"
    assert "teardown has begun" in detail(view, "settle")


async def test_setup_can_be_called_in_the_middle_of_a_teardown():
    """An operator who changes their mind gets everything back; as long as the connection lived, so does the ledger."""
    world = World(priority_lag_seconds=600)
    first = await world.set_up()
    await world.teardown()

    second = await world.set_up()

    assert second.incarnation == first.incarnation
    assert not second.leaving
    assert world.graph.priorities() == ["contosohr", ENTRA_SOURCE_ID]


async def test_what_setup_made_is_what_items_need():
    """The ingest identity can write to what the admin identity has set up."""
    world = World()
    await world.set_up()

    async with graph_at(world.tenant, INGEST_CLIENT_ID) as graph:
        await Items(graph, "contosohr").put("u1", an_item("u1"))

    assert list(world.graph.items) == ["u1"]


async def test_graphs_refusals_reach_the_operator():
    """A missing role and a refused body come back as errors that say what is wrong."""
    world = World()
    world.graph.fault_when(lambda seen: seen.method == "POST", Refused(400, message="displayName is required."))
    with pytest.raises(ConnectorError, match="displayName is required"):
        await world.setup()
    world.tenant.entra.withdraw(ADMIN_CLIENT_ID, "PeopleSettings.ReadWrite.All")

    with pytest.raises(ConnectorError, match=r"admin identity.*PeopleSettings\.ReadWrite\.All"):
        await world.setup()


def test_the_settings_say_what_is_wanted():
    """Names, apps, page and settling time come from the settings."""
    settings = Settings.from_env(
        {
            "TENANT_ID": TENANT_ID,
            "KEY_VAULT_URL": "https://vault.example.com",
            "ADMIN_CLIENT_ID": ADMIN_CLIENT_ID,
            "INGEST_CLIENT_ID": INGEST_CLIENT_ID,
            "PROFILE_SOURCE_URL": "https://hr.contoso.com",
            "HR_STORAGE_URL": "https://hr.example.com",
            "CONNECTION_NAME": "Contoso HR",
            "CONNECTION_DESCRIPTION": "People data from the HR system of Contoso",
        }
    )

    assert wanted_from(settings, SCHEMA) == World().wanted
