"""What we believe about a tenant of the day of Microsoft's first walkthrough, whose requests stand here as literals."""

from __future__ import annotations

from typing import Any, Final

import orjson
import pytest

from tests.beliefs import belief, machinery, ours, sources
from tests.tenant import ADMIN_CLIENT_ID, INGEST_CLIENT_ID, Tenant, VirtualClock
from tests.tenant.graph import ENTRA_SOURCE, GLOBAL_SETTING, Ignored

AREA: Final = "the tutorial's contract"

CONNECTION = {"id": "contosohrconnector1", "name": "Contoso HR Connector"}
SCHEMA: dict[str, Any] = {
    "baseType": "microsoft.graph.externalItem",
    "properties": [
        {"name": "connectionId", "type": "string"},
        {"name": "externalId", "type": "string"},
        {"name": "oid", "type": "string"},
        {"name": "accounts", "type": "string"},
        {"name": "positions", "type": "string"},
        {"name": "favoriteColor", "type": "string"},
    ],
}
RESPOND_ASYNC = {"Prefer": "respond-async"}
SOURCE = {
    "sourceId": "contosohrconnector1",
    "displayName": "Contoso HR Connector",
    "webUrl": "https://hr.contoso.com",
}
PRIORITY = "https://graph.microsoft.com/beta/admin/people/profileSources(sourceId='contosohrconnector1')"
ALEX = "9d1f2f6e-8f7a-4c9e-9a3e-0000000000a1"
ITEM: dict[str, Any] = {
    "id": "alexw_at_contoso_dot_com",
    "acl": [{"accessType": "grant", "type": "everyone", "value": "EVERYONE"}],
    "properties": {
        "connectionId": "contosohrconnector1",
        "externalId": "alexw_at_contoso_dot_com",
        "oid": ALEX,
        "accounts": f'[{{"userPrincipalName":"alexw@contoso.com","externalDirectoryObjectId":"{ALEX}"}}]',
        "positions": '[{"detail":{"jobTitle":"Software Engineer","company":{"department":"Engineering"}},'
        '"isCurrent":true}]',
        "favoriteColor": "Blue",
    },
}

CONNECTIONS = "/external/connections"
OURS = f"{CONNECTIONS}/contosohrconnector1"
PUT = f"{OURS}/items/alexw_at_contoso_dot_com"
SETTING = f"/admin/people/profilePropertySettings/{GLOBAL_SETTING}"


@pytest.fixture
def tenant():
    """Return a tenant of the walkthrough's day, in virtual time, with one of its users."""
    tenant = Tenant(contract="preview")
    tenant.graph.add_user("alexw@contoso.com", id=ALEX, jobTitle="Clerk", mobilePhone="+1 425 555 0100")
    return tenant


@pytest.fixture
async def admin(tenant):
    """Return Graph as the admin app reaches it."""
    async with tenant.client(ADMIN_CLIENT_ID) as client:
        yield client


@pytest.fixture
async def ingest(tenant):
    """Return Graph as the ingest app reaches it."""
    async with tenant.client(INGEST_CLIENT_ID) as client:
        yield client


@pytest.fixture
def ready(tenant):
    """Return the tenant with the walkthrough's connection as it is after setup, and some more properties."""
    more = [{"name": name, "type": "string"} for name in ("names", "emails", "skills", "notes")]
    properties = [*SCHEMA["properties"], *more]
    tenant.graph.add_connection("contosohrconnector1", properties, owner=ADMIN_CLIENT_ID, authorized=[INGEST_CLIENT_ID])
    return tenant


def an_item(**properties: Any) -> dict[str, Any]:
    """Return the walkthrough's item with other or further properties; None leaves one out."""
    changed = {**ITEM["properties"], **{name.replace("__", "@odata."): value for name, value in properties.items()}}
    return {**ITEM, "properties": {name: value for name, value in changed.items() if value is not None}}


def without(body: dict[str, Any], member: str) -> dict[str, Any]:
    """Return a body without one of its members."""
    return {name: value for name, value in body.items() if name != member}


def a_schema(*properties: dict[str, Any], leave: str = "") -> dict[str, Any]:
    """Return the walkthrough's schema with further properties, or without one."""
    kept = [prop for prop in SCHEMA["properties"] if prop["name"] != leave]
    return {**SCHEMA, "properties": [*kept, *properties]}


@belief(
    "The walkthrough's requests, from the connection to the item, are accepted as they stand there.",
    area=AREA,
    mark="certain",
    source=sources.TUTORIAL,
    ours=(ours.PREVIEW_CONNECTION, ours.PREVIEW_SCHEMA, ours.PREVIEW_ITEM),
)
async def test_the_walkthrough_goes_through_as_it_stands():
    """Setup, register and sync, request by request, with one app for everything."""
    clock = VirtualClock()
    tenant = Tenant(contract="preview", clock=clock, schema_seconds=300)
    tenant.graph.add_user("alexw@contoso.com", id=ALEX)
    tenant.entra.grant(ADMIN_CLIENT_ID, "ExternalItem.ReadWrite.All", "User.Read.All")

    async with tenant.client(ADMIN_CLIENT_ID) as app:
        connection = await app.post(CONNECTIONS, json=CONNECTION)
        registered = await app.patch(f"{OURS}/schema", json=SCHEMA, headers=RESPOND_ASYNC)
        operation = registered.headers["location"]
        first = (await app.get(operation)).json()["status"]
        clock.advance(300)
        then = (await app.get(operation)).json()["status"]
        source = await app.post("/admin/people/profileSources", json=SOURCE)
        settings = (await app.get("/admin/people/profilePropertySettings")).json()["value"]
        urls = [PRIORITY, *settings[0]["prioritizedSourceUrls"]]
        prioritized = await app.patch(SETTING, json={"prioritizedSourceUrls": urls})
        clock.advance(60)
        users = await app.get("/users", params={"$filter": "userPrincipalName eq 'alexw@contoso.com'"})
        item = await app.put(PUT, json=ITEM)

    assert tenant.graph.refusals == []
    answers = (connection, registered, source, prioritized, users, item)
    assert [answer.status_code for answer in answers] == [201, 202, 201, 200, 200, 200]
    assert operation.startswith("https://graph.microsoft.com/beta/external/connections/contosohrconnector1/operations/")
    assert (first, then) == ("inprogress", "completed")
    assert users.json()["value"][0]["id"] == ALEX
    assert tenant.graph.items == {"alexw_at_contoso_dot_com": ITEM}
    assert tenant.graph.ignored() == []
    assert tenant.graph.priorities() == ["contosohrconnector1", ENTRA_SOURCE]


@belief(
    "Entity properties become what the labels of today's contract name; any other property is a custom one.",
    area=AREA,
    mark="certain",
    source=sources.TUTORIAL,
    ours=ours.PREVIEW_ITEM,
)
async def test_profiles_have_the_shape_of_todays_contract(ready, ingest):
    """Positions become the current position, over what Entra knows; the three ids are nobody's business."""
    await ingest.put(PUT, json=ITEM)

    detail = {"jobTitle": "Software Engineer", "company": {"department": "Engineering"}}
    assert ready.graph.profiles()["alexw@contoso.com"] == {
        "personCurrentPosition": {"detail": detail, "isCurrent": True},
        "personEmails": [{"address": "alexw@contoso.com", "type": "work"}],
        "personPhones": [{"number": "+1 425 555 0100", "type": "mobile"}],
        "custom": {"favoriteColor": "Blue"},
    }
    assert ready.graph.ignored() == []


@belief(
    "Every entity is an array, also those of which a profile has one; then the first counts.",
    area=AREA,
    mark="likely",
    source=sources.TUTORIAL,
    ours=ours.PREVIEW_ITEM,
)
async def test_single_entities_are_the_first_of_their_array(ready, ingest):
    """One name, one position; positions behind the first are former ones, further names are dropped."""
    positions = [{"detail": {"jobTitle": title}} for title in ("Chef", "Cook")]
    names = [{"displayName": "Alex"}, {"displayName": "Alexander"}]
    skills = [{"displayName": "Go"}, {"displayName": "C"}]
    texts = {"positions": positions, "names": names, "skills": skills}

    await ingest.put(PUT, json=an_item(**{name: orjson.dumps(value).decode() for name, value in texts.items()}))

    profile = ready.graph.profiles()["alexw@contoso.com"]
    assert profile["personCurrentPosition"] == {"detail": {"jobTitle": "Chef"}}
    assert profile["personWorkPositions"] == [{"detail": {"jobTitle": "Cook"}}]
    assert profile["personName"] == {"displayName": "Alex"}
    assert profile["personSkills"] == skills
    assert ready.graph.ignored() == [Ignored("alexw_at_contoso_dot_com", "names", "only 1 of 2 are taken")]


@belief(
    "Is anything of people data there under `/v1.0`?",
    area=AREA,
    mark="unknown",
    source=sources.TUTORIAL,
    ours=ours.BASE_URL,
    either="The walkthrough has beta addresses only, and the settings refuse any other `GRAPH_BASE_URL` under this "
    "contract.",
    proof="tests/flows/test_either_answer.py::test_the_tutorials_contract_is_refused_at_another_version",
)
@pytest.mark.parametrize("path", [CONNECTIONS, "/admin/people/profileSources", "/users"])
async def test_there_is_nothing_but_beta(tenant, path):
    """Every address of the walkthrough is beta's; another version knows none of its segments."""
    app = INGEST_CLIENT_ID if path == "/users" else ADMIN_CLIENT_ID

    async with tenant.client(app) as beta, tenant.client(app, version="v1.0") as current:
        found, refused = await beta.get(path), await current.get(path)

    segment = path.split("/")[1]
    assert (found.status_code, refused.status_code) == (200, 400)
    assert refused.json()["error"]["message"] == f"Resource not found for the segment '{segment}'."


@machinery("the version of the outer address counts for all parts of a batch")
async def test_a_batch_is_not_there_under_another_version(tenant):
    """The version of the outer address counts for all parts."""
    body = {"requests": [{"id": "1", "method": "GET", "url": "/users"}]}

    async with tenant.client(INGEST_CLIENT_ID) as beta, tenant.client(INGEST_CLIENT_ID, version="v1.0") as current:
        taken, refused = await beta.post("/$batch", json=body), await current.post("/$batch", json=body)

    assert (taken.json()["responses"][0]["status"], refused.status_code) == (200, 400)


@belief(
    "A connection needs an id and a name; a description and authorised apps may be given.",
    area=AREA,
    mark="likely",
    source=(sources.TUTORIAL, sources.CREATE_CONNECTION),
    ours=ours.PREVIEW_CONNECTION,
)
async def test_a_connection_may_have_a_description_and_two_apps(admin):
    """What two identities need is accepted, kept and changeable; what it reads back has no category."""
    apps = {"authorizedAppIds": [ADMIN_CLIENT_ID, INGEST_CLIENT_ID]}
    body = {**CONNECTION, "description": "People", "configuration": apps}

    created = await admin.post(CONNECTIONS, json=body)
    changed = await admin.patch(OURS, json={"name": "HR", "description": "All people", "configuration": apps})

    assert created.json() == {**body, "state": "draft"}
    assert changed.status_code == 204
    read = (await admin.get(OURS)).json()
    assert read == {**body, "name": "HR", "description": "All people", "state": "draft"}


@belief(
    "There are no content categories yet; an id and a name are required.",
    area=AREA,
    mark="likely",
    source=(sources.TUTORIAL, sources.CONNECTION),
    ours=ours.PREVIEW_CONNECTION,
)
@pytest.mark.parametrize(
    "body",
    [
        {**CONNECTION, "contentCategory": "people"},
        {**CONNECTION, "connectorId": "x"},
        without(CONNECTION, "name"),
        without(CONNECTION, "id"),
        {**CONNECTION, "id": "contoso-hr"},
    ],
)
async def test_a_connection_of_another_contract_is_refused(tenant, admin, body):
    """That tenant has never heard of content categories."""
    answer = await admin.post(CONNECTIONS, json=body)

    assert answer.status_code == 400
    assert tenant.graph.connections == {}


@machinery("refuses what is today's in a PATCH, too")
async def test_a_connection_cannot_be_given_a_category_later(admin):
    """Nor is there anything else of today's contract to change."""
    await admin.post(CONNECTIONS, json=CONNECTION)

    answer = await admin.patch(OURS, json={"contentCategory": "people"})

    assert answer.status_code == 400


@belief(
    "The registration carries `Prefer: respond-async`; what becomes of one without?",
    area=AREA,
    mark="unknown",
    source=sources.TUTORIAL,
    ours=ours.PREVIEW_SCHEMA,
    either="It is always sent under this contract.",
    proof="tests/flows/test_either_answer.py::test_setup_is_refused_nothing_under_its_contract",
)
@pytest.mark.parametrize("headers", [{}, {"Prefer": "return=minimal"}])
async def test_a_schema_is_registered_with_the_walkthroughs_header_only(tenant, admin, headers):
    """It is the harsher reading: the walkthrough goes out of its way to add it."""
    await admin.post(CONNECTIONS, json=CONNECTION)

    answer = await admin.patch(f"{OURS}/schema", json=SCHEMA, headers=headers)

    assert answer.status_code == 400
    assert "Prefer: respond-async" in tenant.graph.refusals[-1]


@belief(
    "A schema of people has connectionId, externalId, oid and accounts; every property is a string, and has no label.",
    area=AREA,
    mark="certain",
    source=sources.TUTORIAL,
    ours=ours.PREVIEW_SCHEMA,
)
@pytest.mark.parametrize(
    "schema",
    [
        *(a_schema(leave=name) for name in ("connectionId", "externalId", "oid", "accounts")),
        a_schema({"name": "oid", "type": "int64"}, leave="oid"),
        a_schema({"name": "skills", "type": "stringCollection"}),
        a_schema({"name": "name", "type": "string", "labels": ["personName"]}),
        a_schema({"name": "skills", "type": "string", "labels": []}),
        a_schema({"name": "since", "type": "dateTime"}),
        a_schema({"name": "cost_centre", "type": "string"}),
        a_schema({"name": "x" * 33, "type": "string"}),
        a_schema(*({"name": f"custom{number}", "type": "string"} for number in range(123))),
        without(SCHEMA, "baseType"),
        {**SCHEMA, "properties": []},
    ],
)
async def test_another_schema_is_refused(tenant, admin, schema):
    """Four properties must be there, and nothing of today's contract is."""
    await admin.post(CONNECTIONS, json=CONNECTION)

    answer = await admin.patch(f"{OURS}/schema", json=schema, headers=RESPOND_ASYNC)

    assert answer.status_code == 400
    assert tenant.graph.connections["contosohrconnector1"].operations == {}


@belief(
    "The limits of schemas are the same as today's.",
    area=AREA,
    mark="likely",
    source=(sources.TUTORIAL, sources.LIMITS),
    ours=ours.PREVIEW_SCHEMA,
)
async def test_a_schema_may_have_up_to_128_properties_and_describe_them(admin):
    """Names of 32 letters and digits, a description of a custom property."""
    described = {"name": "x" * 32, "type": "string", "description": "The favourite colour"}
    others = ({"name": f"custom{number}", "type": "string"} for number in range(121))
    await admin.post(CONNECTIONS, json=CONNECTION)

    answer = await admin.patch(f"{OURS}/schema", json=a_schema(described, *others), headers=RESPOND_ASYNC)

    assert answer.status_code == 202
    assert len((await admin.get(f"{OURS}/schema")).json()["properties"]) == 128


@belief(
    "Item ids may have _, and in the field - too.",
    area=AREA,
    mark="likely",
    source=(sources.TUTORIAL, sources.ITEM),
    ours=ours.PREVIEW_ITEM,
)
@pytest.mark.parametrize("item_id", ["a", "A-z_09", "x" * 128])
async def test_item_ids_that_are_taken(ready, ingest, item_id):
    """Letters, digits, _ and -, up to 128 of them."""
    answer = await ingest.put(f"{OURS}/items/{item_id}", json={**ITEM, "id": item_id})

    assert answer.status_code == 200
    assert list(ready.graph.items) == [item_id]


@machinery("takes no other characters in item ids than the walkthrough and the field have")
@pytest.mark.parametrize("item_id", ["alexw@contoso.com", "alexw.contoso", "a+b", "zo\u00eb", "x" * 129])
async def test_item_ids_that_are_not(ready, ingest, item_id):
    """What the walkthrough replaces, and everything else."""
    answer = await ingest.put(f"{OURS}/items/{item_id}", json={**ITEM, "id": item_id})

    assert answer.status_code == 400
    assert ready.graph.items == {}


@belief(
    "The access list is the walkthrough's to the letter; what becomes of an item with another?",
    area=AREA,
    mark="unknown",
    source=sources.TUTORIAL,
    ours=ours.PREVIEW_ITEM,
    either="Every item has exactly this one.",
    proof="tests/core/test_preview.py::test_the_walkthroughs_person_becomes_the_walkthroughs_item",
)
@pytest.mark.parametrize(
    "acl",
    [
        [{"accessType": "grant", "type": "everyone", "value": "everyone"}],
        [{"accessType": "grant", "type": "everyoneExceptGuests", "value": "EVERYONE"}],
        [{"accessType": "deny", "type": "everyone", "value": "EVERYONE"}],
        [{"accessType": "grant", "type": "everyone"}],
        [*ITEM["acl"], *ITEM["acl"]],
        [],
        None,
    ],
)
async def test_another_access_list_is_refused(ready, ingest, acl):
    """The walkthrough says that it must be set exactly as shown."""
    answer = await ingest.put(PUT, json={**ITEM, "acl": acl})

    assert answer.status_code == 400
    assert ready.graph.items == {}


@belief(
    "Every item has connectionId, externalId, oid and accounts; what becomes of an item without?",
    area=AREA,
    mark="unknown",
    source=sources.TUTORIAL,
    ours=ours.PREVIEW_ITEM,
    either="Every item has all four.",
    proof="tests/core/test_preview.py::test_the_walkthroughs_person_becomes_the_walkthroughs_item",
)
@pytest.mark.parametrize(
    "properties",
    [
        *({name: None} for name in ("connectionId", "externalId", "oid", "accounts")),
        *({name: ""} for name in ("connectionId", "externalId", "oid", "accounts")),
        {"connectionId": "contosohr"},
        {"oid": 7},
        {"accounts": [{"userPrincipalName": "alexw@contoso.com", "externalDirectoryObjectId": ALEX}]},
        {"positions": [{"isCurrent": True}]},
        {"positions": {"isCurrent": True}},
        {"favoriteColor": "Bl\u00e5"},
        {"favoriteColor": "Blue", "favoriteColor__type": "Collection(String)"},
        {"favouriteColour": "Blue"},
    ],
)
async def test_an_item_that_breaks_a_rule_is_refused(ready, ingest, properties):
    """Strings that are in the schema, the four that must be there, and the connection's own id."""
    answer = await ingest.put(PUT, json=an_item(**properties))

    assert answer.status_code == 400
    assert ready.graph.items == {}


@belief(
    "Text beyond ASCII carries its type specifier, as today.",
    area=AREA,
    mark="likely",
    source=(sources.TUTORIAL, sources.PUT_ITEM),
    ours=ours.PREVIEW_ITEM,
)
async def test_text_beyond_ascii_needs_its_type_specifier(ready, ingest):
    """As everywhere in Graph's items."""
    answer = await ingest.put(PUT, json=an_item(favoriteColor="Bl\u00e5", favoriteColor__type="String"))

    assert answer.status_code == 200
    assert ready.graph.profiles()["alexw@contoso.com"]["custom"] == {"favoriteColor": "Bl\u00e5"}


@belief(
    "Does JSON whose characters beyond ASCII are escaped need the type specifier?",
    area=AREA,
    mark="unknown",
    source=(sources.TUTORIAL, sources.PUT_ITEM),
    ours=ours.PREVIEW_ITEM,
    either="It stands beside entities with such characters, escaped as they are, and beside text; never beside plain "
    "ASCII, as in the walkthrough.",
    proof="tests/core/test_preview.py::test_entities_are_arrays_in_strings_of_ascii",
)
async def test_escaped_text_may_have_the_specifier_or_not(ready, ingest):
    """Both are accepted, and read alike."""
    escaped = '[{"detail":{"jobTitle":"K\\u00f6chin"}}]'
    plain = await ingest.put(PUT, json=an_item(positions=escaped))
    specified = await ingest.put(PUT, json=an_item(positions=escaped, positions__type="String"))

    assert (plain.status_code, specified.status_code) == (200, 200)
    assert ready.graph.profiles()["alexw@contoso.com"]["personCurrentPosition"]["detail"]["jobTitle"] == "K\u00f6chin"


@belief(
    "An account is an array of one object with both its ids, and oid is the same id; others are ignored in silence.",
    area=AREA,
    mark="likely",
    source=sources.TUTORIAL,
    ours=ours.PREVIEW_ITEM,
)
@pytest.mark.parametrize(
    ("properties", "ignored"),
    [
        ({"accounts": f'{{"userPrincipalName":"alexw@contoso.com","externalDirectoryObjectId":"{ALEX}"}}'}, "accounts"),
        ({"accounts": "[]"}, "accounts"),
        ({"accounts": "alexw@contoso.com"}, "accounts"),
        ({"accounts": '["alexw@contoso.com"]'}, "accounts"),
        ({"accounts": '[{"userPrincipalName":"alexw@contoso.com"}]'}, "accounts"),
        ({"accounts": f'[{{"externalDirectoryObjectId":"{ALEX}"}}]'}, "accounts"),
        ({"accounts": f'[{{"userPrincipalName":"","externalDirectoryObjectId":"{ALEX}"}}]'}, "accounts"),
        (
            {"accounts": f"[{','.join([ITEM['properties']['accounts'][1:-1]] * 2)}]"},
            "accounts",
        ),
        ({"oid": "alexw"}, "oid"),
    ],
)
async def test_an_item_whose_account_is_not_whole_is_ignored(ready, ingest, properties, ignored):
    """Graph takes it and never shows it."""
    answer = await ingest.put(PUT, json=an_item(**properties))

    assert answer.status_code == 200
    assert "custom" not in ready.graph.profiles()["alexw@contoso.com"]
    assert {ignored, None} <= {one.property for one in ready.graph.ignored()}


@belief(
    "Items whose UPN and object id match no user are discarded.",
    area=AREA,
    mark="certain",
    source=sources.TUTORIAL,
    ours=ours.PREVIEW_ITEM,
)
@pytest.mark.parametrize("user", [None, {"mailbox": False}, {"guest": True}])
async def test_an_item_of_nobody_is_ignored(ready, ingest, user):
    """Unknown accounts, users without a mailbox, and guests."""
    object_id = "9d1f2f6e-8f7a-4c9e-9a3e-0000000000b2"
    account = {"userPrincipalName": "luisg@contoso.com", "externalDirectoryObjectId": object_id}
    if user is not None:
        ready.graph.add_user("luisg@contoso.com", id=object_id, **user)

    await ingest.put(PUT, json=an_item(oid=object_id, accounts=orjson.dumps([account]).decode()))

    assert [(one.item_id, one.property) for one in ready.graph.ignored()] == [("alexw_at_contoso_dot_com", None)]
    assert "custom" not in ready.graph.profiles().get("luisg@contoso.com", {})


@belief(
    "One of an account's two ids is enough to find the user.",
    area=AREA,
    mark="certain",
    source=sources.TUTORIAL,
    ours=ours.PREVIEW_ITEM,
)
async def test_one_of_the_accounts_ids_is_enough_to_match(ready, ingest):
    """Somebody renamed in Entra is still found by the object id."""
    ready.graph.rename_user(ALEX, "alex.wilber@contoso.com")

    await ingest.put(PUT, json=ITEM)

    assert ready.graph.profiles()["alex.wilber@contoso.com"]["custom"] == {"favoriteColor": "Blue"}


@belief(
    "Entities that are no JSON array of valid objects are ignored in silence, the rest of the item counts.",
    area=AREA,
    mark="certain",
    source=sources.TUTORIAL,
    ours=ours.PREVIEW_ITEM,
)
@pytest.mark.parametrize(
    "positions",
    [
        "Software Engineer",
        '{"detail":{"jobTitle":"Software Engineer"}}',
        '["Software Engineer"]',
        '[{"title":"Software Engineer"}]',
        '[{"detail":"Software Engineer"}]',
        '[{"isCurrent":"true"}]',
        '"[]"',
    ],
)
async def test_entities_that_cannot_be_read_are_ignored(ready, ingest, positions):
    """Graph takes them; Entra's title stays in the profile, and the colour comes through."""
    answer = await ingest.put(PUT, json=an_item(positions=positions))

    profile = ready.graph.profiles()["alexw@contoso.com"]
    assert answer.status_code == 200
    assert profile["personCurrentPosition"] == {"detail": {"jobTitle": "Clerk"}}
    assert profile["custom"] == {"favoriteColor": "Blue"}
    assert {one.property for one in ready.graph.ignored()} == {"positions"}


@belief(
    "Does a profile source take more than id, name and page, a `kind` for instance?",
    area=AREA,
    mark="unknown",
    source=sources.TUTORIAL,
    ours=ours.PREVIEW_CONNECTION,
    either="Nothing more is sent.",
    proof="tests/graph/test_simulator_preview.py::test_the_walkthrough_goes_through_as_it_stands",
)
async def test_a_profile_source_has_what_the_walkthrough_gives_it(admin):
    """The simulator refuses anything else, so that ours cannot drift unseen."""
    more = await admin.post("/admin/people/profileSources", json={**SOURCE, "kind": "Connector"})
    as_it_is = await admin.post("/admin/people/profileSources", json=SOURCE)

    assert (more.status_code, as_it_is.status_code) == (400, 201)


@belief(
    "The priority list names sources by their beta address.",
    area=AREA,
    mark="certain",
    source=sources.TUTORIAL,
    ours=ours.PRIORITY,
)
async def test_the_priority_list_has_beta_addresses(tenant, admin):
    """Entra's own too; another version's address is refused."""
    await admin.post("/admin/people/profileSources", json=SOURCE)
    before = (await admin.get("/admin/people/profilePropertySettings")).json()["value"][0]["prioritizedSourceUrls"]

    refused = await admin.patch(SETTING, json={"prioritizedSourceUrls": [PRIORITY.replace("/beta/", "/v1.0/")]})
    taken = await admin.patch(SETTING, json={"prioritizedSourceUrls": [PRIORITY]})

    entra = f"https://graph.microsoft.com/beta/admin/people/profileSources(sourceId='{ENTRA_SOURCE}')"
    assert before == [entra]
    assert (refused.status_code, taken.json()["prioritizedSourceUrls"]) == (400, [PRIORITY, entra])
    assert tenant.graph.priorities() == ["contosohrconnector1", ENTRA_SOURCE]


@belief(
    "A connection is one of people by the four properties of its schema, and by nothing else.",
    area=AREA,
    mark="certain",
    source=sources.TUTORIAL,
    ours=ours.PREVIEW_SCHEMA,
)
async def test_a_connection_without_the_four_properties_is_none_of_people(ready, ingest):
    """Nothing of it reaches a profile."""
    await ingest.put(PUT, json=ITEM)

    del ready.graph.connections["contosohrconnector1"].types["oid"]

    assert ready.graph.ignored() == [Ignored("alexw_at_contoso_dot_com", None, "the schema has no oid")]
    assert "custom" not in ready.graph.profiles()["alexw@contoso.com"]
