"""The resources: items, users, connections, schemas, profile sources and priorities, against the simulated Graph."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest

from connector.errors import GraphDenied, GraphRejected, GraphUnavailable, LeaseLost
from connector.graph.connections import Connections
from connector.graph.items import Items
from connector.graph.profile_property_settings import ProfilePropertySettings
from connector.graph.profile_sources import ProfileSources
from connector.graph.schemas import Schemas
from connector.graph.users import Users
from tests.graph.opening import an_item, graph_at, with_connection
from tests.tenant import ADMIN_CLIENT_ID, INGEST_CLIENT_ID, Tenant, VirtualClock
from tests.tenant.graph.faults import Dropped, Failed, Refused, ShortPage, Throttled


async def test_an_item_is_put_read_and_deleted():
    """What is put is what is read; what is deleted is not there, and deleting it again is no error."""
    tenant = await with_connection()
    async with graph_at(tenant) as graph:
        items = Items(graph, "contosohr")

        await items.put("u1", an_item("u1"))
        held = await items.get("u1")
        await items.delete("u1")
        await items.delete("u1")
        gone = await items.get("u1")

    assert held is not None
    assert held["properties"]["account"] == json.loads(an_item("u1"))["properties"]["account"]
    assert gone is None
    assert tenant.graph.items == {}


async def test_an_item_that_graph_refuses_is_rejected():
    """A 4xx for one item is an error of its own kind, so that the others can go on."""
    tenant = await with_connection()
    async with graph_at(tenant) as graph:
        with pytest.raises(GraphRejected) as refused:
            await Items(graph, "contosohr").put("u1", b'{"id":"u1"}')

    assert refused.value.status == 400


@pytest.mark.parametrize("item_id", ["u1", "adelev_at_contoso_dot_com", "x_x27_-1", "a b?c#d%e'ö"])
async def test_an_item_has_the_address_that_the_sdk_gives_it(item_id):
    """Whatever its id is made of."""
    tenant = await with_connection()
    async with graph_at(tenant) as graph:
        build = graph.build.external.connections.by_external_connection_id("contosohr").items
        expected = graph.address(build.by_external_item_id(item_id))

        await Items(graph, "contosohr").get(item_id)

    assert f"https://graph.microsoft.com/beta{quote(tenant.graph.requests[-1].path, safe='/')}" == expected


async def test_a_lost_lease_stops_writes_and_no_reads():
    """Before each write it is asked whether we still may; reading is always allowed."""
    tenant = await with_connection()

    def before_write() -> None:
        raise LeaseLost("somebody else holds it")

    async with graph_at(tenant) as graph:
        items = Items(graph, "contosohr", before_write=before_write)
        before = len(tenant.graph.requests)
        with pytest.raises(LeaseLost):
            await items.put("u1", an_item("u1"))
        with pytest.raises(LeaseLost):
            await items.delete("u1")
        await items.get("u1")

    assert [seen.method for seen in tenant.graph.requests[before:]] == ["GET"]


def a_tenant_with_users(count: int) -> tuple[Tenant, list[str]]:
    tenant = Tenant()
    upns = [f"person{number:04}@contoso.com" for number in range(count)]
    for upn in upns:
        tenant.graph.add_user(upn)
    return tenant, upns


async def test_users_are_found_in_few_requests():
    """Twenty parts of fifteen names: 10,000 people would be 34 requests."""
    tenant, upns = a_tenant_with_users(901)

    async with graph_at(tenant) as graph:
        found = (await Users(graph).find(upns)).accounts

    assert set(found) == set(upns)
    assert len(tenant.graph.requests) == 4


async def test_users_are_compared_without_case():
    """HR's spelling finds Entra's, and the answer's keys are the folded form of both."""
    tenant = Tenant()
    object_id = tenant.graph.add_user("Adele.Vance@Contoso.com")

    async with graph_at(tenant) as graph:
        found = (await Users(graph).find([" adele.vance@CONTOSO.com ", "ADELE.VANCE@contoso.com"])).accounts

    assert {key: (account.id, account.upn) for key, account in found.items()} == {
        "adele.vance@contoso.com": (object_id, "Adele.Vance@Contoso.com")
    }
    assert len(tenant.graph.parts) == 1


@pytest.mark.parametrize(
    "upn", ["mary.o'neil@contoso.com", "bob_x.com#EXT#@contoso.com", "a+b&c%d=e@contoso.com", "jörg@contoso.com"]
)
async def test_unusual_names_are_looked_up_as_they_are(upn):
    """Apostrophes are doubled and everything else is escaped, so that no name breaks or widens the filter."""
    tenant = Tenant()
    tenant.graph.add_user(upn)
    tenant.graph.add_user("someone.else@contoso.com")

    async with graph_at(tenant) as graph:
        found = (await Users(graph).find([upn])).accounts

    assert list(found) == [upn.casefold()]


async def test_what_is_known_of_an_account():
    """Disabled accounts, guests and accounts without mail are told apart."""
    tenant = Tenant()
    tenant.graph.add_user("off@contoso.com", enabled=False)
    tenant.graph.add_user("guest@contoso.com", guest=True)
    tenant.graph.add_user("nomail@contoso.com", mail=None)

    async with graph_at(tenant) as graph:
        found = (
            await Users(graph).find(["off@contoso.com", "guest@contoso.com", "nomail@contoso.com", "no@one.com"])
        ).accounts

    assert {key: (account.enabled, account.guest, account.mail is None) for key, account in found.items()} == {
        "off@contoso.com": (False, False, False),
        "guest@contoso.com": (True, True, False),
        "nomail@contoso.com": (True, False, True),
    }


@pytest.mark.parametrize(
    ("asked", "upn"),
    [
        ("mail:A.One@Contoso.com", "a1@contoso.com"),
        ("employeeId:4711-X", "a2@contoso.com"),
        ("id:00000000-0000-4000-8000-00000000AAAA", "a3@contoso.com"),
        (" a4@contoso.com ", "a4@contoso.com"),
    ],
)
async def test_users_are_found_by_what_was_asked_for(asked, upn):
    """By mail, employee id, object id or UPN, in any case; the answer's key is the ask's."""
    tenant = Tenant()
    tenant.graph.add_user("a1@contoso.com", mail="a.one@contoso.com")
    tenant.graph.add_user("a2@contoso.com", employeeId="4711-x")
    tenant.graph.add_user("a3@contoso.com", id="00000000-0000-4000-8000-00000000aaaa")
    tenant.graph.add_user("a4@contoso.com")

    async with graph_at(tenant) as graph:
        found = await Users(graph).find([asked])

    assert {key: account.upn for key, account in found.accounts.items()} == {asked.strip().casefold(): upn}
    assert not found.ambiguous


async def test_an_attribute_tells_whom_a_text_means():
    """One text asked for by two attributes are two asks: somebody's mail may be another's UPN."""
    tenant = Tenant()
    tenant.graph.add_user("ann@contoso.com", mail="bob@contoso.com")
    tenant.graph.add_user("bob@contoso.com", mail=None)

    async with graph_at(tenant) as graph:
        found = await Users(graph).find(["bob@contoso.com", "mail:bob@contoso.com"])

    assert {key: account.upn for key, account in found.accounts.items()} == {
        "bob@contoso.com": "bob@contoso.com",
        "mail:bob@contoso.com": "ann@contoso.com",
    }


@pytest.mark.parametrize("attribute", ["mail", "employeeId"])
async def test_what_several_users_answer_is_ambiguous(attribute):
    """Neither mail nor employee id need be unique: nobody is chosen, and others are found all the same."""
    tenant = Tenant()
    for name in ("a", "b", "c"):
        text = "Alone@x.com" if name == "c" else "Shared@x.com"
        attributes: dict[str, Any] = {attribute: text}
        tenant.graph.add_user(f"{name}@contoso.com", **attributes)

    async with graph_at(tenant) as graph:
        found = await Users(graph).find([f"{attribute}:{text}@x.com" for text in ("shared", "alone", "nobody")])

    assert found.ambiguous == {f"{attribute.casefold()}:shared@x.com"}
    assert {key: account.upn for key, account in found.accounts.items()} == {
        f"{attribute.casefold()}:alone@x.com": "c@contoso.com"
    }


async def test_a_value_that_fills_a_page_hides_nobody():
    """More users than a page holds have one employee id: it is ambiguous, and those beside it are asked for alone."""
    tenant = Tenant()
    for number in range(130):
        tenant.graph.add_user(f"service{number}@contoso.com", employeeId="0000")
    tenant.graph.add_user("ann@contoso.com", employeeId="4711")

    async with graph_at(tenant) as graph:
        found = await Users(graph).find(["employeeId:0000", "employeeId:4711"])

    assert found.ambiguous == {"employeeid:0000"}
    assert found.accounts["employeeid:4711"].upn == "ann@contoso.com"


async def test_a_page_that_is_cut_short_hides_no_second_user():
    """Of two users only one is on the page, and there is a next one: nobody is chosen."""
    tenant = Tenant()
    tenant.graph.add_user("a@contoso.com", employeeId="4711")
    tenant.graph.add_user("b@contoso.com", employeeId="4711")
    tenant.graph.fault_parts_when(lambda _: True, ShortPage(), times=None)

    async with graph_at(tenant) as graph:
        found = await Users(graph).find(["employeeId:4711"])

    assert not found.accounts
    assert found.ambiguous == {"employeeid:4711"}


@pytest.mark.parametrize("malformed", ["4711", "", "00000000-0000-4000-8000-00000000aaaa'", "{00000000}"])
async def test_an_object_id_that_is_none_spoils_nothing(malformed):
    """It is nobody's, without a request for it, and the others of its filter are found."""
    tenant = Tenant()
    object_id = tenant.graph.add_user("ann@contoso.com")

    async with graph_at(tenant) as graph:
        found = await Users(graph).find([f"id:{object_id}", f"id:{malformed}"])

    assert [account.upn for account in found.accounts.values()] == ["ann@contoso.com"]
    assert len(tenant.graph.parts) == 1


async def test_no_more_is_read_of_a_user_than_the_lookup_needs():
    """Five attributes, and the one that was asked by where it is none of them."""
    tenant = Tenant()
    asks = ["a@contoso.com", "mail:a@contoso.com", "employeeId:1", "id:00000000-0000-4000-8000-00000000aaaa"]

    async with graph_at(tenant) as graph:
        await Users(graph).find(asks)

    selected = sorted(part.path.partition("$select=")[2].partition("&")[0] for part in tenant.graph.parts)
    five = "id,userPrincipalName,mail,accountEnabled,userType"
    assert selected == [five, five, five, f"{five},employeeId"]


@pytest.mark.parametrize("attribute", ["mail", "employeeId", "id"])
async def test_attributes_share_the_limits_of_a_batch(attribute):
    """Fifteen to a filter and twenty filters to a request, whatever is asked by."""
    tenant = Tenant()
    names = [f"00000000-0000-4000-8000-{number:012}" for number in range(301)]
    for name in names:
        attributes: dict[str, Any] = {attribute: name}
        tenant.graph.add_user(f"{name}@contoso.com", **attributes)

    async with graph_at(tenant) as graph:
        found = await Users(graph).find([f"{attribute}:{name}" for name in names])

    assert len(found.accounts) == 301
    assert (len(tenant.graph.requests), len(tenant.graph.parts)) == (2, 21)


async def test_nobody_to_look_up_costs_nothing():
    """No names, no requests."""
    tenant = Tenant()
    async with graph_at(tenant) as graph:
        found = (await Users(graph).find(["", "  "])).accounts

    assert found == {}
    assert tenant.graph.requests == []


@pytest.mark.parametrize("fault", [Throttled(10), Failed(503), Failed(500), Dropped()])
async def test_only_the_parts_that_failed_are_asked_for_again(fault):
    """A part that is throttled, fails or is missing is sent again, alone; the others are done."""
    tenant, upns = a_tenant_with_users(300)
    tenant.graph.fault_part(3, fault)
    tenant.graph.fault_part(7, fault)

    async with graph_at(tenant) as graph:
        found = (await Users(graph).find(upns)).accounts

    assert set(found) == set(upns)
    assert (len(tenant.graph.requests), len(tenant.graph.parts)) == (2, 22)


async def test_parts_may_come_in_any_order():
    """Answers are told apart by their ids."""
    tenant, upns = a_tenant_with_users(300)
    tenant.graph.shuffles_batches = True
    tenant.graph.fault_part(19, Failed(503))

    async with graph_at(tenant) as graph:
        found = (await Users(graph).find(upns)).accounts

    assert set(found) == set(upns)


async def test_parts_that_never_succeed_are_unavailable():
    """The patience for a batch is that of any request."""
    tenant, upns = a_tenant_with_users(30)
    tenant.graph.fault_parts_when(lambda _: True, Failed(503), times=None)

    async with graph_at(tenant) as graph:
        with pytest.raises(GraphUnavailable):
            await Users(graph).find(upns)

    assert graph.pace.requests == 6


@pytest.mark.parametrize(
    "slowest",
    [
        Throttled(45),
        Throttled(VirtualClock().now() + timedelta(seconds=45)),
        Throttled(None, retry_after_ms=45_000),
        Throttled(2, retry_after_ms=45_000),
    ],
    ids=["seconds", "date", "milliseconds", "both"],
)
async def test_a_throttled_batch_waits_as_long_as_its_slowest_part(slowest: Throttled):
    """The longest wait that any part asks for is the pause for all, in whatever form it is written."""
    tenant, upns = a_tenant_with_users(300)
    tenant.graph.fault_part(3, Throttled(10))
    tenant.graph.fault_part(7, slowest)

    async with graph_at(tenant) as graph:
        await Users(graph).find(upns)

    assert tenant.clock.monotonic() == 45


async def test_a_wait_for_a_part_of_a_batch_pauses_items_too():
    """One pause for everybody: a look-up that is throttled holds back writes as well, by not one second less."""
    tenant = await with_connection()
    tenant.graph.add_user("adelev@contoso.com")
    tenant.graph.fault_part(0, Throttled(20))
    begun = tenant.clock.monotonic()
    async with graph_at(tenant) as graph:
        looking = asyncio.create_task(Users(graph).find(["adelev@contoso.com"]))
        for _ in range(100):
            await asyncio.sleep(0)
        assert graph.pace.throttled == 1

        await Items(graph, "contosohr").put("u1", an_item("u1"))
        await looking

    assert tenant.clock.monotonic() - begun == 20


async def test_a_name_that_graph_cannot_read_harms_nobody_else():
    """A filter refused with 400 is asked again name by name; the unreadable one is nobody's."""
    tenant, upns = a_tenant_with_users(20)
    tenant.graph.fault_parts_when(lambda seen: "person0004" in seen.path, Refused(400), times=None)

    async with graph_at(tenant) as graph:
        found = (await Users(graph).find(upns)).accounts

    assert set(found) == set(upns) - {"person0004@contoso.com"}


async def test_a_tenant_that_reads_no_filter_at_all_is_an_error():
    """When every single name is refused, that is no statement about people."""
    tenant, upns = a_tenant_with_users(20)
    tenant.graph.fault_parts_when(lambda _: True, Refused(400), times=None)

    async with graph_at(tenant) as graph:
        with pytest.raises(GraphRejected, match="look up users"):
            await Users(graph).find(upns)


async def test_looking_up_users_needs_its_role():
    """A missing User.Read.All is named, whether the batch or its parts are refused."""
    tenant, upns = a_tenant_with_users(20)
    tenant.entra.withdraw(INGEST_CLIENT_ID, "User.Read.All")

    async with graph_at(tenant) as graph:
        with pytest.raises(GraphDenied, match=r"ingest identity to look up users.*User\.Read\.All"):
            await Users(graph).find(upns)


async def test_errors_about_users_hold_no_name():
    """Whatever goes wrong, no name that was asked for is in the message."""
    tenant = Tenant()
    messages = list[str]()
    for fault in (Refused(400, message="adele.vance"), Refused(403, message="adele.vance"), Failed(503), Dropped()):
        tenant.graph.clear_faults()
        tenant.graph.fault_parts_when(lambda _: True, fault, times=None)
        async with graph_at(tenant) as graph:
            with pytest.raises((GraphRejected, GraphDenied, GraphUnavailable)) as refused:
                await Users(graph).find(["adele.vance@contoso.com"])
        messages.append(str(refused.value))

    assert not [message for message in messages if "adele" in message]


async def test_connection_schema_and_operation():
    """A connection and its schema go through the states that setup waits for."""
    tenant = Tenant(schema_seconds=600)
    body = {"id": "contosohr", "name": "n", "description": "d", "contentCategory": "people"}
    account = {"name": "account", "type": "string", "labels": ["personAccount"]}
    schema = {"baseType": "microsoft.graph.externalItem", "properties": [account]}
    async with graph_at(tenant, ADMIN_CLIENT_ID) as graph:
        connections, schemas = Connections(graph), Schemas(graph, "contosohr")
        before = await connections.get("contosohr")
        await connections.create(body)
        draft = await connections.get("contosohr")
        none_yet = await schemas.get()
        operation = await schemas.register(schema)
        assert operation is not None
        running = await schemas.operation(operation)
        await tenant.clock.sleep(600)
        finished = await schemas.operation(operation)
        forgotten = await schemas.operation("00000000-0000-4000-8000-ffffffffffff")
        ready = await connections.get("contosohr")
        registered = await schemas.get()
        await connections.delete("contosohr")
        await connections.delete("contosohr")

    assert (before, none_yet, forgotten) == (None, None, None)
    assert draft is not None
    assert draft["state"] == "draft"
    assert ready is not None
    assert ready["state"] == "ready"
    assert (running or {})["status"] == "inprogress"
    assert (finished or {})["status"] == "completed"
    assert (registered or {})["properties"][0]["labels"] == ["personAccount"]
    assert tenant.graph.connections == {}


async def test_profile_source_and_priorities():
    """A source is found by its source id, changed, listed, and removed only when no list names it."""
    tenant = Tenant()
    async with graph_at(tenant, ADMIN_CLIENT_ID) as graph:
        sources, settings = ProfileSources(graph), ProfilePropertySettings(graph)
        before = await sources.get("contosohr")
        body = {"sourceId": "contosohr", "displayName": "HR", "kind": "Connector", "webUrl": "https://hr.contoso.com"}
        await sources.create(body)
        await sources.update("contosohr", {"webUrl": "https://people.contoso.com"})
        source = await sources.get("ContosoHR")
        (setting,) = await settings.list()
        entra = setting["prioritizedSourceUrls"]
        ours = "https://graph.microsoft.com/v1.0/admin/people/profileSources(sourceId='contosohr')"
        await settings.update(setting["id"], {"prioritizedSourceUrls": [ours, *entra]})
        with pytest.raises(GraphRejected, match="Profile source is in priority list"):
            await sources.delete("contosohr")
        await settings.update(setting["id"], {"prioritizedSourceUrls": entra})
        await sources.delete("contosohr")
        await sources.delete("contosohr")

    assert before is None
    assert (source or {})["webUrl"] == "https://people.contoso.com"
    assert list(tenant.graph.sources) == tenant.graph.priorities()


async def test_the_two_identities_cannot_do_each_others_work():
    """Graph itself keeps them apart: each is denied what the other is for."""
    tenant = await with_connection()
    async with graph_at(tenant) as ingest, graph_at(tenant, ADMIN_CLIENT_ID) as admin:
        with pytest.raises(GraphDenied, match="denied the ingest identity"):
            await Connections(ingest).get("contosohr")
        with pytest.raises(GraphDenied, match="denied the ingest identity"):
            await ProfileSources(ingest).get("contosohr")
        with pytest.raises(GraphDenied, match="denied the admin identity"):
            await Items(admin, "contosohr").put("u1", an_item("u1"))
        with pytest.raises(GraphDenied, match="denied the admin identity"):
            await Users(admin).find(["a@contoso.com"])


async def test_somebody_elses_connection_is_explained():
    """A connection of another app's is a 403, and the admin is told what that means."""
    tenant = Tenant()
    tenant.entra.register(
        "0f000000-0000-4000-8000-00000000000f", name="other", roles=["ExternalConnection.ReadWrite.All"]
    )
    async with tenant.client("0f000000-0000-4000-8000-00000000000f") as other:
        await other.post("/external/connections", json={"id": "contosohr", "name": "n", "description": "d"})

    async with graph_at(tenant, ADMIN_CLIENT_ID) as graph:
        with pytest.raises(GraphDenied, match=r"'contosohr' most likely belongs to another app.*CONNECTION_ID"):
            await Connections(graph).get("contosohr")
