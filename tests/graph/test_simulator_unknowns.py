"""What nobody knows about Graph: the simulator gives either answer. Where a tenant tells, choose one."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.beliefs import belief, machinery, ours, sources
from tests.tenant import ADMIN_CLIENT_ID, INGEST_CLIENT_ID, Tenant
from tests.tenant.graph import Refused

EITHER = "tests/flows/test_either_answer.py"
CONNECTION = {"id": "contosohr", "name": "HR", "description": "People", "contentCategory": "people"}
ACCOUNT = {"name": "account", "type": "string", "labels": ["personAccount"]}
NOTE = {"name": "note", "type": "string"}
OTHER_APP = "0f000000-0000-4000-8000-00000000000f"
PATH = "/external/connections/contosohr"
UPN = "adelev@contoso.com"


def a_tenant(*properties: dict[str, Any], **answers: Any) -> Tenant:
    """Return a tenant with a ready connection that gives these answers."""
    tenant = Tenant(**answers)
    tenant.graph.add_connection(
        "contosohr", [ACCOUNT, *properties], owner=ADMIN_CLIENT_ID, authorized=[ADMIN_CLIENT_ID, INGEST_CLIENT_ID]
    )
    tenant.graph.add_user(UPN)
    return tenant


def a_schema(*properties: dict[str, Any]) -> dict[str, Any]:
    """Return the body that registers these properties."""
    return {"baseType": "microsoft.graph.externalItem", "properties": list(properties)}


async def put(tenant: Tenant, account: dict[str, str] | None = None, *, item_id: str = "u1", **properties: Any) -> None:
    """Put an item as the ingest app."""
    body = {"account": orjson.dumps(account or {"userPrincipalName": UPN}).decode(), **properties}
    acl = [{"type": "everyone", "value": "everyone", "accessType": "grant"}]
    async with tenant.client(INGEST_CLIENT_ID) as ingest:
        answer = await ingest.put(f"{PATH}/items/{item_id}", json={"acl": acl, "properties": body})
    assert answer.status_code == 200, tenant.graph.refusals


@machinery("gives either answer to what a PATCH of authorizedAppIds means")
@pytest.mark.parametrize(
    ("answers", "left"),
    [
        ({}, {OTHER_APP, ADMIN_CLIENT_ID}),
        ({"keeps_creator": False}, {OTHER_APP}),
        ({"merges_authorized_app_ids": True}, {OTHER_APP, ADMIN_CLIENT_ID, INGEST_CLIENT_ID}),
    ],
)
async def test_a_list_of_apps_is_replaced_or_added_to(answers, left):
    """And the creator stays, or not."""
    tenant = a_tenant(**answers)

    async with tenant.client(ADMIN_CLIENT_ID) as admin:
        await admin.patch(PATH, json={"configuration": {"authorizedAppIds": [OTHER_APP]}})

    assert set(tenant.graph.connections["contosohr"].authorized) == left


@belief(
    "May labels of a registered property change, and does a `PATCH` of a schema need the whole list?",
    area="schema",
    mark="unknown",
    source=(sources.MANAGE_SCHEMA, sources.FIELD_CONNECTORS, sources.FIELD_PROFILE_CARD),
    ours=(ours.SCHEMA_UNION, ours.SCHEMA_FIXED),
    either="We send the union of what is registered and what is wanted, which means the same to a service that "
    "replaces and to one that merges. Another label or type is refused before anything is sent, with the "
    "way out: a new `CONNECTION_ID`, or teardown and setup.",
    proof=(
        f"{EITHER}::test_a_schema_grows_whatever_a_patch_of_it_means",
        "tests/flows/test_provision.py::test_other_changes_of_the_schema_are_refused",
    ),
)
@pytest.mark.parametrize("merges", [False, True], ids=["whole lists only", "merges"])
async def test_a_part_of_a_schema_is_refused_or_merged(merges):
    """Types never change."""
    tenant = a_tenant(NOTE, merges_schemas=merges)

    async with tenant.client(ADMIN_CLIENT_ID) as admin:
        part = await admin.patch(f"{PATH}/schema", json=a_schema(ACCOUNT))
        label = await admin.patch(f"{PATH}/schema", json=a_schema(ACCOUNT, {**NOTE, "labels": ["personNote"]}))
        kind = await admin.patch(f"{PATH}/schema", json=a_schema(ACCOUNT, {**NOTE, "type": "int64"}))

    taken = 202 if merges else 400
    assert [part.status_code, label.status_code, kind.status_code] == [taken, taken, 400]
    assert len(tenant.graph.connections["contosohr"].schema or []) == 2


@machinery("gives either answer to what a second registration meets, and what a draft shows for its schema")
@pytest.mark.parametrize("other", [False, True])
async def test_a_draft_shows_no_schema_or_an_empty_one_and_takes_one_registration_or_two(other):
    """While the first is under way."""
    tenant = Tenant(schema_seconds=600, shows_empty_schemas=other, takes_second_registration=other)

    async with tenant.client(ADMIN_CLIENT_ID) as admin:
        await admin.post("/external/connections", json=CONNECTION)
        shown = await admin.get(f"{PATH}/schema")
        await admin.patch(f"{PATH}/schema", json=a_schema(ACCOUNT))
        second = await admin.patch(f"{PATH}/schema", json=a_schema(ACCOUNT))

    assert (shown.status_code, second.status_code) == ((200, 202) if other else (404, 409))


@belief(
    "Does a `stringCollection` without a label still break the export of the whole connection?",
    area="profile composition",
    mark="unknown",
    source=(sources.FIELD_PROVISIONING, sources.FIELD_PROFILE_CARD),
    ours=ours.CUSTOM_STRINGS,
    either="Custom properties are strings and nothing else; a mapping cannot ask for more.",
    proof=f"{EITHER}::test_custom_properties_reach_profiles_whether_custom_collections_are_safe_or_not",
)
@pytest.mark.parametrize("breaks", [True, False])
async def test_a_custom_collection_breaks_the_export_or_is_safe(breaks):
    """Nobody's profile gets anything, or everybody's."""
    tenant = a_tenant(NOTE, {"name": "tags", "type": "stringCollection"}, breaks_on_custom_collections=breaks)

    await put(tenant, note="x")

    assert ("custom" in tenant.graph.profiles()[UPN]) is not breaks


@belief(
    "Does Graph tell upper and lower case apart in item ids?",
    area="items",
    mark="unknown",
    source=sources.ITEM,
    ours=ours.SPELLING,
    either="Under `labels` ids are digests in lower case. Under `preview` they follow the UPN: one that Graph may hold "
    "keeps the spelling it was put under, whoever has it next, and nothing is deleted under an id that differs from a "
    "new one in case only.",
    proof=f"{EITHER}::test_a_upn_in_another_case_keeps_its_one_item_whether_case_counts_or_not",
)
@pytest.mark.parametrize(("folds", "left"), [(False, {"u1", "U1"}), (True, {"u1"})])
async def test_ids_in_another_case_are_other_items_or_the_same(folds, left):
    """Two items stand there, or one under the id of the first."""
    tenant = a_tenant(NOTE, folds_item_ids=folds)
    await put(tenant, note="x")

    await put(tenant, item_id="U1", note="y")
    async with tenant.client(INGEST_CLIENT_ID) as ingest:
        deleted = await ingest.delete(f"{PATH}/items/U1")

    assert deleted.status_code == 204
    assert set(tenant.graph.items) == left - ({"u1"} if folds else {"U1"})


@belief(
    "Which of two ids counts when an account's UPN and object id belong to different users?",
    area="profile composition",
    mark="unknown",
    source=sources.BUILD,
    ours=(ours.BOTH_IDS, ours.REFRESHED),
    either="Both are taken from the same look-up, so they differ only after IT has renamed somebody, until HR's export "
    "has the new name or the account is looked up again (`RESOLVE_AFTER_DAYS`, 7). An account that is no longer found "
    "under its old name is listed as unmatched; its item stays.",
    proof=f"{EITHER}::test_both_ids_of_an_account_belong_to_one_user_whichever_counts",
)
@pytest.mark.parametrize(("prefers_upn", "enriched"), [(False, "lee@contoso.com"), (True, UPN)])
async def test_the_object_id_counts_or_the_upn(prefers_upn, enriched):
    """One of the two users has the profile."""
    tenant = a_tenant(NOTE, prefers_upn=prefers_upn)
    lee = tenant.graph.add_user("lee@contoso.com")

    await put(tenant, {"userPrincipalName": UPN, "externalDirectoryObjectId": lee}, note="x")

    assert [upn for upn, profile in tenant.graph.profiles().items() if "custom" in profile] == [enriched]


@belief(
    "Is a manager with a UPN alone found?",
    area="profile composition",
    mark="unknown",
    source=sources.FIELD_PROVISIONING,
    ours=ours.MANAGER_IDS,
    either="A manager is sent with object id and UPN, or not at all.",
    proof="tests/core/test_mapping.py::test_a_manager_without_account_is_left_out",
)
async def test_a_manager_is_shown_as_sent(tenant_with_position):
    """The simulator takes either id."""
    tenant = tenant_with_position
    manager = {"userPrincipalName": UPN, "relationship": "manager"}

    await put(tenant, position=orjson.dumps({"manager": manager}).decode())

    assert tenant.graph.profiles()[UPN]["personCurrentPosition"]["manager"] == manager


@pytest.fixture
def tenant_with_position() -> Tenant:
    """Return a tenant whose schema has a position."""
    return a_tenant({"name": "position", "type": "string", "labels": ["personCurrentPosition"]})


@belief(
    "What was sent shows in profiles within 6 hours after the connection was made; up to two days were seen.",
    area="profile composition",
    mark="likely",
    source=(sources.BUILD, sources.FIELD_PROVISIONING, sources.FIELD_PROFILE_CARD),
    ours=ours.ACCEPTED,
    either="Our reports count what Graph accepted and never say that somebody sees it.",
    proof="tests/flows/test_provision.py::test_what_setup_made_is_what_items_need",
)
@belief(
    "How long after the deletion of an item, or of a property of it, does it leave the profile?",
    area="profile composition",
    mark="unknown",
    source=(sources.PEOPLE_CONNECTORS, sources.FIELD_PROFILE_CARD),
    ours=(ours.ACCEPTED, ours.LEDGER),
    either="Nothing of ours waits for it: a leaver counts as deleted when Graph has accepted the deletion, and the "
    "ledger forgets them then. A profile that lingers is Microsoft's to clear.",
    proof="tests/flows/test_leavers.py::test_a_status_word_deletes_at_once",
)
async def test_profiles_are_shown_as_they_will_be_in_the_end():
    """The simulator knows no delay between an item and a profile."""
    tenant = a_tenant(NOTE)
    await put(tenant, note="x")
    before = tenant.graph.profiles()[UPN]

    async with tenant.client(INGEST_CLIENT_ID) as ingest:
        await ingest.delete(f"{PATH}/items/u1")

    assert before["custom"] == {"note": "x"}
    assert "custom" not in tenant.graph.profiles()[UPN]


@belief(
    "Errors are `{error: {code, message, innerError}}`.",
    area="throttling and errors",
    mark="certain",
    source=(sources.ERRORS, sources.BATCH),
    ours=(ours.BY_STATUS, ours.REQUEST_IDS),
)
@belief(
    "Which codes and texts come with 404, 409, a connection of others (403), 412 and 423 at these addresses?",
    area="throttling and errors",
    mark="unknown",
    source=(sources.ERRORS, sources.FIELD_GENERATOR, sources.FIELD_PROVISIONING),
    ours=ours.BY_STATUS,
    either="We go by status: 404 and 409 by what was asked, 403 by the roles in the token, 423 is repeated, 412 is "
    "a refusal like any other. One code is read, `UpdateNotAllowed`, and another one in its place ends "
    "setup with Graph's words instead of waiting.",
    proof=(
        f"{EITHER}::test_the_words_of_error_codes_do_not_matter",
        "tests/graph/test_pace.py::test_failures_are_repeated_after_growing_waits",
        "tests/graph/test_client.py::test_an_error_without_graphs_envelope_is_still_an_error",
    ),
)
@pytest.mark.parametrize("code", [None, "somethingElse"])
async def test_refusals_have_the_codes_that_were_seen_or_others(code):
    """The status stays."""
    tenant = a_tenant(error_codes=code)

    async with tenant.client(ADMIN_CLIENT_ID) as admin:
        again = await admin.post("/external/connections", json=CONNECTION)

    assert (again.status_code, again.json()["error"]["code"]) == (409, code or "Conflict")
    assert set(again.json()["error"]) == {"code", "message", "innerError"}


@belief(
    "Has the priority list a version (ETag, If-Match), so that two writers cannot overwrite each other?",
    area="profile sources and priority",
    mark="unknown",
    source=sources.UPDATE_SETTING,
    ours=ours.PRIORITY,
    either="None is documented and we send none: setup reads the list right before it writes it, reads it again "
    "afterwards, and adds our entry again should another writer have dropped it. An entry of others that is "
    "written within the same second can be lost; only its owner notices. A service that demands a version "
    "is told with its own words.",
    proof=(
        f"{EITHER}::test_our_entry_is_put_back_after_a_race_for_the_priority_list",
        f"{EITHER}::test_a_priority_list_that_demands_its_version_is_reported",
    ),
)
async def test_the_last_writer_of_the_priority_list_wins():
    """The simulator plays what is documented: no version."""
    tenant = a_tenant()
    async with tenant.client(ADMIN_CLIENT_ID) as admin:
        setting = (await admin.get("/admin/people/profilePropertySettings")).json()["value"][0]
        urls = setting["prioritizedSourceUrls"]
        path = f"/admin/people/profilePropertySettings/{setting['id']}"

        await admin.patch(path, json={"prioritizedSourceUrls": urls[::-1]})
        last = await admin.patch(path, json={"prioritizedSourceUrls": urls})

    assert last.json()["prioritizedSourceUrls"] == urls
    assert "@odata.etag" not in setting


@belief(
    "Do per-property settings (those with a name) bear on people connectors?",
    area="profile sources and priority",
    mark="unknown",
    source=(sources.PRIORITY, sources.CREATE_SETTING),
    ours=(ours.PRIORITY, ours.TEARDOWN),
    either="We never make or change one, but for teardown, which takes our entry out of every list that has it: Graph "
    "would not let the source go otherwise.",
    proof="tests/core/test_setup.py::test_removals_in_the_documented_order",
)
async def test_a_named_setting_has_no_bearing_on_the_order():
    """The tenant's own decides in the simulator."""
    tenant = a_tenant()
    before = tenant.graph.priorities()
    url = "https://graph.microsoft.com/v1.0/admin/people/profileSources(sourceId='contosohr')"

    async with tenant.client(ADMIN_CLIENT_ID) as admin:
        named = {"name": "skills", "displayName": "Skills", "prioritizedSourceUrls": [url]}
        created = await admin.post("/admin/people/profilePropertySettings", json=named)

    assert created.status_code == 201
    assert tenant.graph.priorities() == before


@belief(
    "How many connections may a tenant have, and how many items?",
    area="connections",
    mark="unknown",
    source=(sources.LIMITS, sources.OVERVIEW),
    ours=(ours.LOOK_FIRST, ours.QUOTA, ours.FAILED_ITEMS),
    either="No number is in the code. A refused creation ends setup with Graph's words; a connection in state "
    "`limitExceeded` is told by setup and health; refused items are listed in the report.",
    proof=(
        f"{EITHER}::test_more_connections_than_the_tenant_may_have_are_reported",
        "tests/core/test_setup.py::test_an_exhausted_quota_is_told_and_no_obstacle",
    ),
)
async def test_a_limit_is_a_refusal_like_any_other():
    """Scripted, since the numbers are not known."""
    tenant = Tenant()
    tenant.graph.fault(0, Refused(400, "ConnectionLimitExceeded", "Too many connections."))

    async with tenant.client(ADMIN_CLIENT_ID) as admin:
        answer = await admin.post("/external/connections", json=CONNECTION)

    assert answer.status_code == 400
    assert tenant.graph.connections == {}


@belief(
    "How do the profile card, the admin center and Microsoft's own connectors for SuccessFactors and Workday treat "
    "custom fields, and what did the tutorial mean to say of the admin center?",
    area="profile composition",
    mark="unknown",
    source=sources.NOWHERE,
    ours=ours.NOTHING,
    either="Announced or never written down, and nothing of ours depends on it: what Graph accepts is what we "
    "promise. Look at a profile card in the pilot before promising somebody a custom field on it.",
    proof="tests/core/test_mapping.py::test_a_full_row_becomes_exactly_the_documented_properties",
)
@belief(
    "Will Microsoft bring its sample, which has the model of July 2025 with named properties, up to date?",
    area="schema",
    mark="unknown",
    source=sources.FIELD_SAMPLE,
    ours=ours.SCHEMA_RENDERED,
    either="Schemas and items are made from the builder page, not from the sample; the tutorial's form is a contract "
    "of its own (`CONTRACT=preview`). A newer sample that differs would be seen here first.",
    proof="tests/core/test_labels.py::test_the_default_mappings_schema_is_the_documented_one",
)
async def test_custom_fields_are_kept_as_they_were_sent():
    """The simulator shows them under their own names, as no page says how they are shown."""
    tenant = a_tenant(NOTE)

    await put(tenant, note="Likes *tea*")

    assert tenant.graph.profiles()[UPN]["custom"] == {"note": "Likes *tea*"}
