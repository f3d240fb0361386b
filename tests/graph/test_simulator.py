"""What we believe about Graph: permissions, connections, schemas. Re-check these against a real tenant."""

from __future__ import annotations

from typing import Any

import pytest

from tests.beliefs import belief, machinery, ours, sources
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


@belief(
    "Expired, revoked, foreign and altered tokens are a 401, like none at all.",
    area="tokens",
    mark="certain",
    source=sources.AUTH_ERRORS,
    ours=(ours.RENEWED, ours.DENIED),
)
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


@belief(
    "Roles are in a token from its issue on: consent that is given later counts with the next token.",
    area="tokens",
    mark="certain",
    source=(sources.TOKENS, sources.AUTH_ERRORS),
    ours=(ours.DENIED, ours.ROLES),
)
async def test_consent_given_later_is_in_the_next_token_only(tenant, ingest):
    """Roles are baked into a token when it is issued."""
    old = {"authorization": f"Bearer {tenant.entra.issue(INGEST_CLIENT_ID)}"}
    tenant.entra.grant(INGEST_CLIENT_ID, "PeopleSettings.Read.All")

    before = await ingest.get("/admin/people/profileSources", headers=old, auth=None)
    after = await ingest.get("/admin/people/profileSources")

    assert (before.status_code, after.status_code) == (403, 200)


@belief(
    "Connections, schemas, items, profile sources and their priority are the same at `/v1.0` and at `/beta`.",
    area="connections",
    mark="certain",
    source=(sources.BUILD, sources.PRIORITY, sources.VERSIONS),
    ours=ours.BASE_URL,
)
@belief(
    "Repeated slashes in an address count as one.",
    area="throttling and errors",
    mark="likely",
    source=sources.SDK,
    ours=ours.BASE_URL,
)
@pytest.mark.parametrize("base", ["/v1.0", "/beta", "/beta/", "//beta"])
async def test_both_versions_are_one_and_repeated_slashes_count_as_one(tenant, base):
    """The SDK's request adapter makes /beta//users of its base URL."""
    async with tenant.client(ADMIN_CLIENT_ID, version="") as client:
        answer = await client.get(f"https://graph.microsoft.com{base}/external/connections")

    assert answer.json() == {"value": []}


@machinery("a new endpoint fails loudly instead of passing by accident")
@pytest.mark.parametrize("path", ["/external/connections/contosohr/quota", "/me"])
async def test_what_the_simulator_does_not_know_it_says(admin, path):
    """A new endpoint fails loudly instead of passing by accident."""
    answer = await admin.get(path)

    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == f"the simulator does not know GET {path}"


@belief(
    "Some tenants answer 201 and forget `contentCategory` or `authorizedAppIds`: only reading back tells.",
    area="connections",
    mark="likely",
    source=sources.FIELD_PROVISIONING,
    ours=(ours.READ_BACK, ours.BASE_URL),
    either="Setup reads back what it asked for. It stops and says which of the two was ignored, and what to do: try "
    "the other version of Graph, or grant the broader role.",
    proof=(
        "tests/flows/test_provision.py::test_a_tenant_that_ignores_the_category_is_found_out",
        "tests/flows/test_provision.py::test_a_tenant_that_ignores_the_apps_is_found_out",
    ),
)
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


@machinery("gives one answer to what a PATCH of authorizedAppIds means")
async def test_an_update_replaces_the_authorised_apps_but_keeps_the_creator(admin):
    """Unknown whether Graph merges; the harsher reading is simulated."""
    await admin.post("/external/connections", json=CONNECTION)

    change = {"name": "New", "configuration": {"authorizedAppIds": []}}
    answer = await admin.patch("/external/connections/contosohr", json=change)

    read = (await admin.get("/external/connections/contosohr")).json()
    assert answer.status_code == 204
    assert (read["name"], read["configuration"]["authorizedAppIds"]) == ("New", [ADMIN_CLIENT_ID])


@belief(
    "Only name, description and configuration of a connection are documented to be changeable; its id is not.",
    area="connections",
    mark="certain",
    source=sources.UPDATE_CONNECTION,
    ours=ours.FOREIGN,
)
@pytest.mark.parametrize("change", [{"contentCategory": "crm"}, {"name": None}, {"id": "other"}])
async def test_the_content_category_cannot_be_changed(admin, change):
    """Only name, description and configuration are documented to be."""
    await admin.post("/external/connections", json=CONNECTION)

    answer = await admin.patch("/external/connections/contosohr", json=change)

    assert answer.status_code == 400


@belief(
    "With `.OwnedBy` an app sees only connections that it made or that list it: others are a 403, and not listed.",
    area="connections",
    mark="likely",
    source=(sources.MANAGE_CONNECTIONS, sources.PERMISSIONS),
    ours=(ours.DENIED, ours.TWO_APPS),
)
async def test_a_connection_of_another_app_is_403_and_not_listed(tenant, admin):
    """Owned-by permissions reach what the app created or was authorised for."""
    tenant.graph.add_connection("theirs", [ACCOUNT], owner="somebody-else")

    answer = await admin.get("/external/connections/theirs")

    assert answer.status_code == 403
    assert (await admin.get("/external/connections")).json()["value"] == []


@belief(
    "`ExternalConnection.ReadWrite.All` reaches every connection, without being listed.",
    area="connections",
    mark="certain",
    source=sources.PERMISSIONS,
    ours=ours.DENIED,
)
async def test_the_permission_for_all_reaches_every_connection(tenant, admin):
    """ExternalConnection.ReadWrite.All needs no authorisation by the connection."""
    tenant.graph.add_connection("theirs", [ACCOUNT], owner="somebody-else")
    tenant.entra.grant(ADMIN_CLIENT_ID, "ExternalConnection.ReadWrite.All")

    answer = await admin.get("/external/connections/theirs")

    assert answer.status_code == 200
    assert len((await admin.get("/external/connections")).json()["value"]) == 1


@belief(
    "The id of a deleted connection is free again only after 5 to 15 minutes; until then its creation is a 409.",
    area="connections",
    mark="likely",
    source=sources.FIELD_PROVISIONING,
    ours=(ours.LOOK_FIRST, ours.INCARNATION),
    either="Setup waits and looks again: a 409 is followed by another look, not by a failure.",
    proof="tests/flows/test_either_answer.py::test_setup_right_after_teardown_waits_for_the_id",
)
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


@machinery("gives one answer to what a second registration meets")
async def test_a_second_registration_during_the_first_is_409(admin, tenant):
    """A client that lost the operation's address must look, not send again."""
    tenant.graph.schema_seconds = 600
    await admin.post("/external/connections", json=CONNECTION)
    await admin.patch("/external/connections/contosohr/schema", json=SCHEMA)

    answer = await admin.patch("/external/connections/contosohr/schema", json=SCHEMA)

    assert answer.status_code == 409


@belief(
    "A registration can fail: the operation says so with a message that may have no code; the connection "
    "stays a draft and takes another one.",
    area="operations",
    mark="certain",
    source=sources.OPERATION,
    ours=ours.REGISTRATION_AGAIN,
)
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


@machinery("gives the harsher answer: labels are masked")
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


@belief(
    "Whoever sends less than what is registered, or other types, meets 400 `UpdateNotAllowed`.",
    area="schema",
    mark="likely",
    source=(sources.FIELD_PROVISIONING, sources.MANAGE_SCHEMA),
    ours=(ours.SCHEMA_UNION, ours.SCHEMA_FIXED, ours.GONE),
)
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
