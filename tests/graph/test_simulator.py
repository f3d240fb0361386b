"""What we believe about Graph: permissions, connections, schemas. Re-check these against a real tenant."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tenant import ADMIN_CLIENT_ID, INGEST_CLIENT_ID, Tenant, VirtualClock

CONNECTION = {
    "id": "contosohr",
    "name": "Contoso HR",
    "description": "People data",
    "contentCategory": "people",
    "configuration": {"authorizedAppIds": [ADMIN_CLIENT_ID, INGEST_CLIENT_ID]},
}
ACCOUNT = {"name": "account", "type": "string", "labels": ["personAccount"]}
SCHEMA = {"baseType": "microsoft.graph.externalItem", "properties": [ACCOUNT]}


def a_schema(*properties: dict[str, Any]) -> dict[str, Any]:
    """Return a schema with the account property and the given ones."""
    return {**SCHEMA, "properties": [ACCOUNT, *properties]}


@pytest.fixture
def tenant():
    """Return a tenant in virtual time."""
    return Tenant()


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


async def test_a_request_without_a_token_is_401(tenant):
    """Graph asks everyone who they are, and its errors carry the ids that support asks for."""
    headers = {"client-request-id": "11111111-1111-4111-8111-111111111111"}

    async with tenant.client(ADMIN_CLIENT_ID) as client:
        answer = await client.get("/external/connections", headers=headers, auth=None)

    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (401, "InvalidAuthenticationToken")
    assert error["innerError"]["client-request-id"] == headers["client-request-id"]
    assert error["innerError"]["request-id"] == answer.headers["request-id"]


@pytest.mark.parametrize("spoil", ["expired", "revoked", "another audience", "altered"])
async def test_a_token_that_does_not_count_is_401(tenant, spoil):
    """Expired, revoked, foreign and altered tokens are all the same to Graph."""
    audience = "https://vault.azure.net" if spoil == "another audience" else "https://graph.microsoft.com"
    token = tenant.entra.issue(ADMIN_CLIENT_ID, audience=audience)
    if spoil == "expired":
        tenant.clock.advance(3600)
    if spoil == "revoked":
        tenant.entra.revoke_tokens()
    if spoil == "altered":
        token += "x"

    async with tenant.client(ADMIN_CLIENT_ID) as client:
        answer = await client.get("/external/connections", headers={"authorization": f"Bearer {token}"}, auth=None)

    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/external/connections"),
        ("GET", "/external/connections/contosohr/schema"),
        ("GET", "/admin/people/profileSources"),
        ("PATCH", "/admin/people/profilePropertySettings/x"),
    ],
)
async def test_the_ingest_app_lacks_the_permissions_for_setup(ingest, method, path):
    """Each operation asks for its own application permission."""
    answer = await ingest.request(method, path, json={})

    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "Authorization_RequestDenied")


@pytest.mark.parametrize(("method", "path"), [("PUT", "/external/connections/c/items/x"), ("GET", "/users")])
async def test_the_admin_app_lacks_the_permissions_for_items_and_users(admin, method, path):
    """The permissions for setup do not reach items or people."""
    answer = await admin.request(method, path, json={})

    assert answer.status_code == 403


async def test_consent_given_later_is_in_the_next_token_only(tenant, ingest):
    """Roles are baked into a token when it is issued."""
    old = {"authorization": f"Bearer {tenant.entra.issue(INGEST_CLIENT_ID)}"}
    tenant.entra.grant(INGEST_CLIENT_ID, "PeopleSettings.Read.All")

    before = await ingest.get("/admin/people/profileSources", headers=old, auth=None)
    after = await ingest.get("/admin/people/profileSources")

    assert (before.status_code, after.status_code) == (403, 200)


@pytest.mark.parametrize("base", ["/v1.0", "/beta", "/beta/", "//beta"])
async def test_both_versions_are_one_and_repeated_slashes_count_as_one(tenant, base):
    """The SDK's request adapter makes /beta//users of its base URL."""
    async with tenant.client(ADMIN_CLIENT_ID, version="") as client:
        answer = await client.get(f"https://graph.microsoft.com{base}/external/connections")

    assert answer.json() == {"value": []}


@pytest.mark.parametrize("path", ["/external/connections/contosohr/quota", "/me"])
async def test_what_the_simulator_does_not_know_it_says(admin, path):
    """A new endpoint fails loudly instead of passing by accident."""
    answer = await admin.get(path)

    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == f"the simulator does not know GET {path}"


async def test_a_connection_is_created_as_a_draft_and_reads_back_as_asked(admin):
    """Its contentCategory and both apps are there."""
    created = await admin.post("/external/connections", json=CONNECTION)

    assert created.status_code == 201
    assert created.json() == {**CONNECTION, "state": "draft"}
    assert (await admin.get("/external/connections/contosohr")).json() == created.json()
    assert (await admin.get("/external/connections")).json()["value"] == [created.json()]


async def test_the_creator_is_authorised_without_asking(admin):
    """The service adds the calling app's id."""
    plain = {name: value for name, value in CONNECTION.items() if name != "configuration"}

    created = await admin.post("/external/connections", json=plain)

    assert created.json()["configuration"]["authorizedAppIds"] == [ADMIN_CLIENT_ID]


@pytest.mark.parametrize(
    ("setting", "member", "found"),
    [
        ("ignores_content_category", "contentCategory", "uncategorized"),
        ("ignores_authorized_app_ids", "configuration", {"authorizedAppIds": [ADMIN_CLIENT_ID]}),
    ],
)
async def test_some_tenants_answer_201_and_forget_what_was_asked(setting, member, found):
    """Only reading back tells."""
    settings: dict[str, Any] = {setting: True}
    tenant = Tenant(**settings)

    async with tenant.client(ADMIN_CLIENT_ID) as admin:
        created = await admin.post("/external/connections", json=CONNECTION)
        read = await admin.get("/external/connections/contosohr")

    assert created.status_code == 201
    assert read.json()[member] == found


@pytest.mark.parametrize(
    "change",
    [
        {"id": "contoso-hr"},
        {"id": "hr"},
        {"id": "x" * 33},
        {"id": "MicrosoftHr"},
        {"id": "SharePoint"},
        {"id": None},
        {"name": ""},
        {"name": "x" * 129},
        {"description": None},
        {"contentCategory": "persons"},
        {"configuration": {"authorizedAppIds": ["not a guid"]}},
        {"colour": "blue"},
    ],
)
async def test_a_connection_that_breaks_a_rule_meets_a_vague_400(admin, change):
    """Graph says malformed and nothing more; the simulator remembers why."""
    answer = await admin.post("/external/connections", json={**CONNECTION, **change})

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "InvalidRequest")


async def test_the_second_connection_with_an_id_is_409(admin):
    """Ids are unique in a tenant."""
    await admin.post("/external/connections", json=CONNECTION)

    answer = await admin.post("/external/connections", json=CONNECTION)

    assert answer.status_code == 409


async def test_an_update_replaces_the_authorised_apps_but_keeps_the_creator(admin):
    """Unknown whether Graph merges; the harsher reading is simulated."""
    await admin.post("/external/connections", json=CONNECTION)

    change = {"name": "New", "configuration": {"authorizedAppIds": []}}
    answer = await admin.patch("/external/connections/contosohr", json=change)

    read = (await admin.get("/external/connections/contosohr")).json()
    assert answer.status_code == 204
    assert (read["name"], read["configuration"]["authorizedAppIds"]) == ("New", [ADMIN_CLIENT_ID])


@pytest.mark.parametrize("change", [{"contentCategory": "crm"}, {"name": None}, {"id": "other"}])
async def test_the_content_category_cannot_be_changed(admin, change):
    """Only name, description and configuration are documented to be."""
    await admin.post("/external/connections", json=CONNECTION)

    answer = await admin.patch("/external/connections/contosohr", json=change)

    assert answer.status_code == 400


async def test_a_connection_of_another_app_is_403_and_not_listed(tenant, admin):
    """Owned-by permissions reach what the app created or was authorised for."""
    tenant.graph.add_connection("theirs", [ACCOUNT], owner="somebody-else")

    answer = await admin.get("/external/connections/theirs")

    assert answer.status_code == 403
    assert (await admin.get("/external/connections")).json()["value"] == []


async def test_the_permission_for_all_reaches_every_connection(tenant, admin):
    """ExternalConnection.ReadWrite.All needs no authorisation by the connection."""
    tenant.graph.add_connection("theirs", [ACCOUNT], owner="somebody-else")
    tenant.entra.grant(ADMIN_CLIENT_ID, "ExternalConnection.ReadWrite.All")

    answer = await admin.get("/external/connections/theirs")

    assert answer.status_code == 200
    assert len((await admin.get("/external/connections")).json()["value"]) == 1


async def test_a_deleted_connection_is_gone_with_its_items_and_its_id_is_taken_for_a_while():
    """Recreating needs patience."""
    clock = VirtualClock()
    tenant = Tenant(clock=clock, id_reuse_seconds=300)
    tenant.graph.add_connection("contosohr", [ACCOUNT], owner=ADMIN_CLIENT_ID)

    async with tenant.client(ADMIN_CLIENT_ID) as admin:
        deleted = await admin.delete("/external/connections/contosohr")
        again = await admin.delete("/external/connections/contosohr")
        too_soon = await admin.post("/external/connections", json=CONNECTION)
        clock.advance(300)
        later = await admin.post("/external/connections", json=CONNECTION)

    assert [answer.status_code for answer in (deleted, again, too_soon, later)] == [204, 404, 409, 201]


async def test_a_schema_registers_in_its_own_time(admin, tenant):
    """202 and an operation to look at; the connection is ready when the operation is."""
    tenant.graph.schema_seconds = 600
    await admin.post("/external/connections", json=CONNECTION)

    begun = await admin.patch("/external/connections/contosohr/schema", json=SCHEMA)
    during = (await admin.get(begun.headers["location"])).json()
    state_during = (await admin.get("/external/connections/contosohr")).json()["state"]
    none_yet = await admin.get("/external/connections/contosohr/schema")
    tenant.clock.advance(600)
    after = (await admin.get(begun.headers["location"])).json()

    assert (begun.status_code, begun.content) == (202, b"")
    assert (during["status"], state_during, none_yet.status_code) == ("inprogress", "draft", 404)
    assert after["status"] == "completed"
    assert (await admin.get("/external/connections/contosohr")).json()["state"] == "ready"


async def test_a_second_registration_during_the_first_is_409(admin, tenant):
    """A client that lost the operation's address must look, not send again."""
    tenant.graph.schema_seconds = 600
    await admin.post("/external/connections", json=CONNECTION)
    await admin.patch("/external/connections/contosohr/schema", json=SCHEMA)

    answer = await admin.patch("/external/connections/contosohr/schema", json=SCHEMA)

    assert answer.status_code == 409


async def test_a_registration_may_fail_and_be_tried_again(admin, tenant):
    """The failure is in the operation, with a message and no code; the connection stays a draft."""
    tenant.graph.fail_next_schema()
    await admin.post("/external/connections", json=CONNECTION)

    begun = await admin.patch("/external/connections/contosohr/schema", json=SCHEMA)
    failed = (await admin.get(begun.headers["location"])).json()
    again = await admin.patch("/external/connections/contosohr/schema", json=SCHEMA)
    completed = (await admin.get(again.headers["location"])).json()

    assert failed["status"] == "failed"
    assert failed["error"] == {"message": "Server error, something went wrong"}
    assert completed["status"] == "completed"


async def test_new_labels_read_back_only_for_those_who_ask(admin):
    """Without the Prefer header a drift check would see unknownFutureValue."""
    await admin.post("/external/connections", json=CONNECTION)
    await admin.patch("/external/connections/contosohr/schema", json=SCHEMA)
    path = "/external/connections/contosohr/schema"

    plain = (await admin.get(path)).json()
    asked = (await admin.get(path, headers={"prefer": "include-unknown-enum-members"})).json()

    assert plain["properties"][0]["labels"] == ["unknownFutureValue"]
    assert asked["properties"][0]["labels"] == ["personAccount"]
    assert asked["properties"][0]["isSearchable"] is False


async def test_a_registered_schema_grows(admin):
    """Additions are accepted when everything registered is sent along."""
    await admin.post("/external/connections", json=CONNECTION)
    await admin.patch("/external/connections/contosohr/schema", json=SCHEMA)
    wider = a_schema({"name": "note", "type": "string", "description": "A note"})

    answer = await admin.patch("/external/connections/contosohr/schema", json=wider)

    read = (await admin.get("/external/connections/contosohr/schema")).json()
    assert answer.status_code == 202
    assert [prop["name"] for prop in read["properties"]] == ["account", "note"]


@pytest.mark.parametrize(
    "changed",
    [
        SCHEMA,
        a_schema({"name": "note", "type": "int64"}),
        a_schema({"name": "note", "type": "string", "labels": ["personNote"]}),
    ],
    ids=["removed", "another type", "another label"],
)
async def test_a_registered_schema_does_not_change(admin, changed):
    """Anything but an addition is UpdateNotAllowed."""
    await admin.post("/external/connections", json=CONNECTION)
    first = a_schema({"name": "note", "type": "string"})
    await admin.patch("/external/connections/contosohr/schema", json=first)

    answer = await admin.patch("/external/connections/contosohr/schema", json=changed)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "UpdateNotAllowed")


@pytest.mark.parametrize(
    "schema",
    [
        {**SCHEMA, "baseType": "externalItem"},
        {**SCHEMA, "properties": []},
        {**SCHEMA, "properties": ["account"]},
        {**SCHEMA, "properties": [{"name": "note", "type": "string"}]},
        a_schema(*({"name": f"n{i}", "type": "string"} for i in range(128))),
        a_schema({"name": "x" * 33, "type": "string"}),
        a_schema({"name": "cost centre", "type": "string"}),
        a_schema({"name": "Account", "type": "string"}),
        a_schema({"name": "a", "type": "principal"}),
        a_schema({"name": "a", "type": "string", "description": "x" * 201}),
        a_schema({"name": "a", "type": "string", "aliases": ["no-hyphen"]}),
        a_schema({"name": "a", "type": "string", "isRefinable": True, "isSearchable": True}),
        a_schema({"name": "a", "type": "string", "colour": "blue"}),
        a_schema({"name": "a", "type": "string", "labels": ["personManager"]}),
        a_schema({"name": "a", "type": "string", "labels": ["personSkills"]}),
        a_schema({"name": "a", "type": "string", "labels": ["personAccount"]}),
        a_schema({"name": "a", "type": "string", "labels": ["personName", "personNote"]}),
    ],
)
async def test_a_schema_that_breaks_a_rule_is_refused(admin, schema):
    """Names, types, lengths, labels and their types, and exactly one account."""
    await admin.post("/external/connections", json=CONNECTION)

    answer = await admin.patch("/external/connections/contosohr/schema", json=schema)

    assert answer.status_code == 400
