"""What we believe about Graph: items, users and batches. Re-check these against a real tenant."""

from __future__ import annotations

from typing import Any

import pytest

from tests.beliefs import belief, machinery, ours, sources
from tests.tenant import ADMIN_CLIENT_ID, INGEST_CLIENT_ID, Tenant
from tests.tenant.graph import Dropped, Throttled

PROPERTIES: list[dict[str, Any]] = [
    {"name": "account", "type": "string", "labels": ["personAccount"]},
    {"name": "skills", "type": "stringCollection", "labels": ["personSkills"]},
    {"name": "note", "type": "string"},
    {"name": "grade", "type": "int64"},
    {"name": "share", "type": "double"},
    {"name": "remote", "type": "boolean"},
    {"name": "since", "type": "dateTime"},
    {"name": "dates", "type": "dateTimeCollection"},
]
EVERYONE = {"type": "everyone", "value": "everyone", "accessType": "grant"}
ACCOUNT = '{"userPrincipalName":"adelev@contoso.com"}'
PATH = "/external/connections/contosohr/items/u1"


def an_item(**properties: Any) -> dict[str, Any]:
    """Return an item's body with the account and the given properties; __ in a name stands for @odata."""
    named = {name.replace("__", "@odata."): value for name, value in properties.items()}
    return {"acl": [EVERYONE], "properties": {"account": ACCOUNT, **named}}


@pytest.fixture
def tenant():
    """Return a tenant with a connection that is ready."""
    tenant = Tenant()
    tenant.graph.add_connection("contosohr", PROPERTIES, owner=ADMIN_CLIENT_ID, authorized=[INGEST_CLIENT_ID])
    return tenant


@pytest.fixture
async def ingest(tenant):
    """Return Graph as the ingest app reaches it."""
    async with tenant.client(INGEST_CLIENT_ID) as client:
        yield client


@belief(
    "Creating an item is answered without a body, updating it with the item.",
    area="items",
    mark="certain",
    source=(sources.PUT_ITEM, sources.UPDATE_ITEM),
    ours=ours.WHOLE_ITEM,
)
async def test_an_item_is_put_read_back_and_deleted(tenant, ingest):
    """200 without a body the first time, with the item after that; a second deletion finds nothing."""
    created = await ingest.put(PATH, json=an_item(note="x"))
    updated = await ingest.put(PATH, json=an_item(note="y"))
    read = await ingest.get(PATH)
    deleted = await ingest.delete(PATH)
    again = await ingest.delete(PATH)

    assert (created.status_code, created.content) == (200, b"")
    assert updated.json() == read.json() == {"id": "u1", **an_item(note="y")}
    assert (deleted.status_code, again.status_code) == (204, 404)
    assert tenant.graph.items == {}


@belief(
    "Schemas have strings, whole numbers, decimals, booleans, moments (ISO 8601), and collections of them.",
    area="schema",
    mark="certain",
    source=(sources.PROPERTY, sources.PUT_ITEM),
    ours=ours.SCHEMA_RENDERED,
)
@pytest.mark.parametrize(
    "properties",
    [
        {"skills": ['{"displayName":"Go"}'], "skills__type": "Collection(String)"},
        {"note": "Kostnadsställe", "note__type": "String"},
        {"note": "plain", "note__type": "String"},
        {"share": 1, "remote": True, "since": "2026-03-02T02:00:00Z"},
        {"dates": ["2026-03-02T02:00:00Z"], "dates__type": "Collection(DateTimeOffset)"},
    ],
)
async def test_values_that_fit_the_schema_are_accepted(ingest, properties):
    """Collections and non-ASCII text carry their type specifier."""
    answer = await ingest.put(PATH, json={**an_item(**properties), "id": "u1"})

    assert answer.status_code == 200


@belief(
    "A value of another type than the schema's is 400 `BadRequest`; null is no value.",
    area="items",
    mark="likely",
    source=(sources.PUT_ITEM, sources.FIELD_CONNECTORS),
    ours=(ours.CHECKED_VALUES, ours.FAILED_ITEMS, ours.BLANKS),
)
@pytest.mark.parametrize(
    "properties",
    [
        {"unknown": "x"},
        {"note": 1},
        {"note": None},
        {"note": "Kostnadsställe"},
        {"note": "x", "note__type": "Collection(String)"},
        {"skills": ["x"]},
        {"skills": "x", "skills__type": "Collection(String)"},
        {"skills": [1], "skills__type": "Collection(String)"},
        {"grade": "7"},
        {"grade": True},
        {"share": "1"},
        {"remote": 1},
        {"since": "yesterday"},
    ],
)
async def test_values_that_do_not_fit_the_schema_are_refused(tenant, ingest, properties):
    """The item is not stored."""
    answer = await ingest.put(PATH, json=an_item(**properties))

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BadRequest")
    assert tenant.graph.items == {}


@belief(
    "People data is for everyone: the `acl` is exactly one grant to `everyone`, whatever its value says.",
    area="items",
    mark="certain",
    source=sources.BUILD,
    ours=ours.EVERYONE,
)
@belief(
    "There is no staged rollout of people data: what one person's item says, the whole organisation sees.",
    area="profile composition",
    mark="certain",
    source=(sources.BUILD, sources.PEOPLE_CONNECTORS),
    ours=(ours.PILOT, ours.EVERYONE),
)
@belief(
    "Another `acl` is refused rather than ignored.",
    area="items",
    mark="likely",
    source=(sources.BUILD, sources.FIELD_PROVISIONING),
    ours=ours.EVERYONE,
)
@pytest.mark.parametrize(
    "change",
    [
        {"acl": None},
        {"acl": []},
        {"acl": [EVERYONE, EVERYONE]},
        {"acl": [{**EVERYONE, "type": "everyoneExceptGuests"}]},
        {"acl": [{**EVERYONE, "accessType": "deny"}]},
        {"acl": [{"type": "everyone", "accessType": "grant"}]},
        {"properties": {}},
        {"properties": None},
        {"properties": {"account": ACCOUNT, "note@odata.type": "String"}},
        {"id": "another"},
        {"colour": "blue"},
    ],
)
async def test_a_body_that_breaks_a_rule_is_refused(ingest, change):
    """One grant to everyone, at least one property, and nothing Graph does not know."""
    answer = await ingest.put(PATH, json={**an_item(), **change})

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "InvalidRequest")


@machinery("takes the documented rule for ids at its word, the harsher answer")
@pytest.mark.parametrize("item_id", ["u-1", "u_1", "x" * 129, "u%201", "ü"])
async def test_an_item_id_is_alphanumeric(ingest, item_id):
    """The documented rule, although some tenants were seen to accept more."""
    answer = await ingest.put(f"/external/connections/contosohr/items/{item_id}", json=an_item())

    assert answer.status_code == 400


@belief(
    "`ExternalItem.ReadWrite.All` reaches only items of connections that list the app, too.",
    area="items",
    mark="likely",
    source=(sources.PERMISSIONS, sources.FIELD_TWO_APPS),
    ours=(ours.DENIED, ours.CREATION),
)
@pytest.mark.parametrize("role", ["ExternalItem.ReadWrite.OwnedBy", "ExternalItem.ReadWrite.All"])
async def test_an_app_that_the_connection_did_not_authorise_is_403(tenant, ingest, role):
    """Even a GET of an item that is not there tells authorised (404) from not (403)."""
    tenant.entra.grant(INGEST_CLIENT_ID, role)
    authorised = await ingest.get(PATH)
    tenant.graph.connections["contosohr"].authorized = [ADMIN_CLIENT_ID]

    looked = await ingest.get(PATH)
    put = await ingest.put(PATH, json=an_item())

    assert (authorised.status_code, looked.status_code, put.status_code) == (404, 403, 403)


@belief(
    "Users can be filtered by mail, employeeId and id as well as by UPN, in any case.",
    area="users and $batch",
    mark="certain",
    source=(sources.USER, sources.LIST_USERS, sources.QUERIES),
    ours=ours.LOOKED_UP,
)
@pytest.mark.parametrize(
    "condition",
    [
        "userPrincipalName in ('ADELEV@contoso.com','o''neil@contoso.com','nobody@contoso.com')",
        "userPrincipalName eq 'adelev@contoso.com' or userPrincipalName eq 'O''Neil@contoso.com'",
        "mail in ('adelev@contoso.com') or employeeId eq 'E7'",
        "employeeId in ('e7','a-1','nobody')",
        "id in ('00000000-0000-4000-8000-00000000AAAA','00000000-0000-4000-8000-00000000BBBB')",
    ],
)
async def test_users_are_found_by_filter_in_any_case(tenant, ingest, condition):
    """`in` and chained `eq`; a quote is doubled; who is not there is not answered."""
    adele = tenant.graph.add_user("AdeleV@contoso.com", id="00000000-0000-4000-8000-00000000aaaa", employeeId="A-1")
    neil = tenant.graph.add_user("o'neil@contoso.com", id="00000000-0000-4000-8000-00000000bbbb", employeeId="E7")
    tenant.graph.add_user("other@contoso.com", mail=None)

    answer = await ingest.get("/users", params={"$filter": condition, "$select": "id"})

    assert sorted(user["id"] for user in answer.json()["value"]) == sorted([adele, neil])


@belief(
    "Several users may have one employeeId, or one mail; a filter answers them all.",
    area="users and $batch",
    mark="likely",
    source=sources.USER,
    ours=ours.AMBIGUOUS,
)
@pytest.mark.parametrize("condition", ["mail in ('Shared@contoso.com')", "employeeId eq '4711'"])
async def test_a_filter_answers_all_who_have_the_value(tenant, ingest, condition):
    """Neither attribute is unique."""
    wanted = {
        tenant.graph.add_user(f"{name}@contoso.com", mail="shared@contoso.com", employeeId="4711") for name in "ab"
    }

    answer = await ingest.get("/users", params={"$filter": condition, "$select": "id,mail,employeeId"})

    assert {user["id"] for user in answer.json()["value"]} == wanted


@belief(
    "An object id that is no GUID is a 400, for all that the filter asks for.",
    area="users and $batch",
    mark="likely",
    source=(sources.USER, sources.QUERIES),
    ours=ours.LOOKED_UP,
)
async def test_a_filter_with_a_malformed_id_is_400(tenant, ingest):
    """The good one beside it is not answered either."""
    adele = tenant.graph.add_user("adelev@contoso.com")

    good = await ingest.get("/users", params={"$filter": f"id in ('{adele}')"})
    mixed = await ingest.get("/users", params={"$filter": f"id in ('{adele}','4711')"})

    assert [user["id"] for user in good.json()["value"]] == [adele]
    assert (mixed.status_code, mixed.json()["error"]["code"]) == (400, "Request_BadRequest")


@belief(
    "A page has 100 users unless `$top` asks for others.",
    area="users and $batch",
    mark="likely",
    source=sources.LIST_USERS,
    ours=ours.PAGES,
)
async def test_users_come_in_pages(tenant, ingest):
    """The nextLink keeps the query; 100 to a page unless asked otherwise."""
    wanted = {tenant.graph.add_user(f"p{i}@contoso.com") for i in range(250)}

    url, found, pages = "/users?$select=id,userPrincipalName", set(), 0
    while url:
        page = (await ingest.get(url)).json()
        found |= {user["id"] for user in page["value"]}
        assert all(set(user) == {"id", "userPrincipalName"} for user in page["value"])
        url, pages = page.get("@odata.nextLink"), pages + 1

    assert (found, pages) == (wanted, 3)


@belief(
    "A page has up to 999 users where `$top` asks for them.",
    area="users and $batch",
    mark="likely",
    source=sources.LIST_USERS,
    ours=ours.SWEPT,
)
async def test_a_page_of_users_can_be_large(tenant, ingest):
    """The nextLink keeps the size of the page."""
    for number in range(1_200):
        tenant.graph.add_user(f"p{number}@contoso.com")

    first = (await ingest.get("/users?$select=id&$top=999")).json()
    second = (await ingest.get(first["@odata.nextLink"])).json()

    assert (len(first["value"]), len(second["value"])) == (999, 201)
    assert "@odata.nextLink" not in second


@belief(
    "`/users/$count` tells how many users there are, to who sends `ConsistencyLevel: eventual`.",
    area="users and $batch",
    mark="likely",
    source=sources.QUERIES,
    ours=ours.SWEPT,
)
async def test_users_are_counted(tenant, ingest):
    """As text; without the header it is a 400."""
    for number in range(3):
        tenant.graph.add_user(f"p{number}@contoso.com")

    counted = await ingest.get("/users/$count", headers={"ConsistencyLevel": "eventual"})
    refused = await ingest.get("/users/$count")

    assert counted.content.decode("utf-8-sig") == "3"
    assert refused.status_code == 400


@machinery("what it cannot read it refuses, never ignores")
@pytest.mark.parametrize(
    "query", ["$top=0", "$top=1000", "$select=shoeSize", "$orderby=id", "$filter=startswith(mail,'a')"]
)
async def test_a_query_that_graph_or_the_simulator_cannot_read_is_400(ingest, query):
    """Nothing is ignored."""
    answer = await ingest.get(f"/users?{query}")

    assert answer.status_code == 400


@belief(
    "A user can be disabled, a guest, and without a mail address; `accountEnabled`, `userType` and `mail` tell.",
    area="users and $batch",
    mark="certain",
    source=(sources.LIST_USERS, sources.GET_USER),
    ours=(ours.MATCHED, ours.MAIL_WARNING),
)
async def test_one_user_is_found_by_id_and_by_name(tenant, ingest):
    """And an unknown one is 404."""
    adele = tenant.graph.add_user("adelev@contoso.com", enabled=False, guest=True, mail=None)
    select = "$select=id,mail,accountEnabled,userType"

    by_id = await ingest.get(f"/users/{adele}?{select}")
    by_name = await ingest.get(f"/users/AdeleV@contoso.com?{select}")
    unknown = await ingest.get("/users/nobody@contoso.com")

    assert by_id.json() == by_name.json() == {"id": adele, "mail": None, "accountEnabled": False, "userType": "Guest"}
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "Request_ResourceNotFound")


@belief(
    "A UPN can change; the object id stays.",
    area="users and $batch",
    mark="certain",
    source=sources.GET_USER,
    ours=(ours.BOTH_IDS, ours.REFRESHED),
)
async def test_a_renamed_user_keeps_the_id_and_a_removed_one_is_gone(tenant, ingest):
    """UPNs change; object ids do not."""
    adele = tenant.graph.add_user("adelev@contoso.com")
    tenant.graph.rename_user(adele, "adele.vance@contoso.com")

    old = await ingest.get("/users/adelev@contoso.com")
    new = await ingest.get("/users/adele.vance@contoso.com")
    tenant.graph.remove_user(adele)
    removed = await ingest.get(f"/users/{adele}")

    assert (old.status_code, new.json()["id"], removed.status_code) == (404, adele, 404)


@belief(
    "`User.ReadBasic.All` reads names and mail, but neither accountEnabled nor userType: selecting them is a 403.",
    area="users and $batch",
    mark="likely",
    source=sources.PERMISSIONS,
    ours=(ours.TWO_APPS, ours.LOOKED_UP),
)
async def test_basic_permission_reads_basic_properties(tenant, ingest):
    """User.ReadBasic.All knows names and mail, not whether the account is enabled."""
    tenant.graph.add_user("adelev@contoso.com", jobTitle="Engineer")
    tenant.entra.withdraw(INGEST_CLIENT_ID, "User.Read.All")
    tenant.entra.grant(INGEST_CLIENT_ID, "User.ReadBasic.All")

    basic = await ingest.get("/users")
    more = await ingest.get("/users?$select=id,accountEnabled")

    assert "jobTitle" not in basic.json()["value"][0]
    assert more.status_code == 403


def a_part(number: int, **changes: Any) -> dict[str, Any]:
    """Return a batch part that puts item u<number>."""
    part = {
        "id": str(number),
        "method": "PUT",
        "url": f"/external/connections/contosohr/items/u{number}",
        "headers": {"Content-Type": "application/json"},
        "body": an_item(),
    }
    return {name: value for name, value in {**part, **changes}.items() if value is not None}


@belief(
    "Are writes of items supported in batches?",
    area="users and $batch",
    mark="unknown",
    source=(sources.BATCH, sources.FIELD_CONNECTORS, sources.FIELD_PROVISIONING),
    ours=ours.SINGLE_ITEMS,
    either="Microsoft's pages do not say, reports contradict each other. Items are put and deleted one by one; only "
    "users are looked up in batches, which are documented.",
    proof="tests/flows/test_either_answer.py::test_items_never_travel_in_batches",
)
async def test_a_batch_answers_each_part_for_itself(tenant, ingest):
    """The batch is 200 whatever happens to its parts; filters may hold spaces and quotes, but `#` is encoded."""
    tenant.graph.add_user("adelev@contoso.com")
    tenant.graph.add_user("p_x.com#EXT#@contoso.com", guest=True)
    names = "'adelev@contoso.com','å%26b@contoso.com','p_x.com%23EXT%23@contoso.com'"
    query = f"/users?$filter=userPrincipalName in ({names})&$select=userPrincipalName"
    users = {"id": "u", "method": "GET", "url": query}
    refused = a_part(2, body={"acl": [EVERYONE]})

    answer = await ingest.post("/$batch", json={"requests": [a_part(1), refused, users]})

    first, second, third = answer.json()["responses"]
    assert answer.status_code == 200
    assert (first["id"], first["status"], "body" in first) == ("1", 200, False)
    assert (second["status"], second["body"]["error"]["code"]) == (400, "InvalidRequest")
    assert [user["userPrincipalName"] for user in third["body"]["value"]] == [
        "adelev@contoso.com",
        "p_x.com#EXT#@contoso.com",
    ]
    assert [seen.method for seen in tenant.graph.requests] == ["POST"]
    assert len(tenant.graph.parts) == 3


@belief(
    "A part with a body and no content type, without a method, or with an absolute address spoils the batch.",
    area="users and $batch",
    mark="certain",
    source=sources.BATCH,
    ours=ours.LOOKED_UP,
)
@pytest.mark.parametrize(
    "parts",
    [
        [],
        [a_part(number) for number in range(21)],
        [a_part(1), a_part(1)],
        [a_part(1, id=None)],
        [a_part(1, headers=None)],
        [a_part(1, url="https://graph.microsoft.com/v1.0/users")],
        [a_part(1, method=None)],
        [a_part(1), a_part(2, dependsOn=["1"])],
    ],
)
async def test_a_malformed_batch_is_refused_as_a_whole(ingest, parts):
    """At most 20 parts, unique ids, relative urls, a content type for each body."""
    answer = await ingest.post("/$batch", json={"requests": parts})

    assert answer.status_code == 400


@belief(
    "The answers of a batch come in any order; a throttled part has a 429 and a `Retry-After` of its own.",
    area="users and $batch",
    mark="certain",
    source=(sources.BATCH, sources.THROTTLING),
    ours=(ours.PARTS, ours.PAUSE),
)
@belief(
    "May a part be missing from the answers?",
    area="users and $batch",
    mark="unknown",
    source=sources.BATCH,
    ours=ours.PARTS,
    either="One that is missing is asked for again, like one that failed.",
    proof="tests/graph/test_resources.py::test_only_the_parts_that_failed_are_asked_for_again",
)
async def test_parts_are_throttled_lost_and_answered_in_any_order(tenant, ingest):
    """Throttling is per part, a part may be missing, and order means nothing."""
    tenant.graph.shuffles_batches = True
    tenant.graph.fault_part(1, Throttled(7))
    tenant.graph.fault_part(2, Dropped(effect=True))

    answer = await ingest.post("/$batch", json={"requests": [a_part(number) for number in range(6)]})

    responses = {part["id"]: part for part in answer.json()["responses"]}
    assert set(responses) == {"0", "1", "3", "4", "5"}
    assert [part["id"] for part in answer.json()["responses"]] != sorted(responses)
    assert (responses["1"]["status"], responses["1"]["headers"]["Retry-After"]) == (429, "7")
    assert set(tenant.graph.items) == {"u0", "u2", "u3", "u4", "u5"}


@belief(
    "A connection whose quota is exhausted (`limitExceeded`) takes changes and deletions of items, but no new ones; an "
    "`obsolete` one takes nothing but its own deletion.",
    area="connections",
    mark="certain",
    source=(sources.MANAGE_CONNECTIONS, sources.CONNECTION),
    ours=(ours.QUOTA, ours.FAILED_ITEMS, ours.TEARDOWN),
)
@pytest.mark.parametrize(("state", "statuses"), [("limitExceeded", [400, 200, 204]), ("obsolete", [400, 400, 400])])
async def test_a_connection_at_its_end_takes_less(tenant, ingest, state, statuses):
    """New items first."""
    await ingest.put(PATH, json=an_item())
    tenant.graph.connections["contosohr"].ended = state

    created = await ingest.put("/external/connections/contosohr/items/u2", json=an_item())
    updated = await ingest.put(PATH, json=an_item(note="x"))
    deleted = await ingest.delete(PATH)

    assert [answer.status_code for answer in (created, updated, deleted)] == statuses


@belief(
    "A request may have 30 MB.",
    area="items",
    mark="certain",
    source=(sources.LIMITS, sources.PUT_ITEM),
    ours=ours.FAILED_ITEMS,
)
@belief(
    "More is a 413.",
    area="items",
    mark="likely",
    source=sources.ERRORS,
    ours=ours.FAILED_ITEMS,
)
async def test_an_item_of_more_than_30_mb_is_too_large(ingest):
    """Ours are far below."""
    answer = await ingest.put(PATH, json=an_item(note="x" * 30 * 1024 * 1024))

    assert answer.status_code == 413


@belief(
    "Users are throttled by resource units: a list costs 2, one less with `$select`, one less for under 20 to a page, "
    "never below 1; `x-ms-resource-unit` tells.",
    area="users and $batch",
    mark="certain",
    source=sources.THROTTLING_LIMITS,
    ours=ours.LOOKED_UP,
)
@belief(
    "`x-ms-throttle-priority: low` lets others be served first.",
    area="users and $batch",
    mark="certain",
    source=sources.THROTTLING_LIMITS,
    ours=ours.LOOKED_UP,
)
@pytest.mark.parametrize(("query", "cost"), [("", "2"), ("?$select=id", "1"), ("?$select=id&$top=5", "1")])
async def test_users_cost_resource_units(ingest, query, cost):
    """Selecting is cheaper."""
    answer = await ingest.get(f"/users{query}", headers={"x-ms-throttle-priority": "low"})

    assert answer.headers["x-ms-resource-unit"] == cost
