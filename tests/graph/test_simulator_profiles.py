"""What we believe about profiles: sources, priorities, and what is ignored in silence. Re-check in a real tenant."""

from __future__ import annotations

from datetime import date
from typing import Any

import orjson
import pytest

from connector.core.entities import LABELS, FieldType, field_paths, field_type
from tests.beliefs import belief, ours, sources
from tests.tenant import ADMIN_CLIENT_ID, INGEST_CLIENT_ID, Tenant, VirtualClock
from tests.tenant.graph import ENTRA_SOURCE, GLOBAL_SETTING, Ignored
from tests.tenant.graph.entities import ENTITIES, read_entity
from tests.tenant.graph.people import source_url

SOURCES = "/admin/people/profileSources"
SETTINGS = "/admin/people/profilePropertySettings"
OURS = f"{SOURCES}(sourceId='contosohr')"
SOURCE = {"sourceId": "contosohr", "displayName": "Contoso HR", "kind": "HR", "webUrl": "https://hr.contoso.com"}
PROPERTIES = [
    {"name": "account", "type": "string", "labels": ["personAccount"]},
    {"name": "position", "type": "string", "labels": ["personCurrentPosition"]},
    {"name": "languages", "type": "stringCollection", "labels": ["personLanguages"]},
    {"name": "emails", "type": "stringCollection", "labels": ["personEmails"]},
    {"name": "phones", "type": "stringCollection", "labels": ["personPhones"]},
    {"name": "anniversaries", "type": "stringCollection", "labels": ["personAnniversaries"]},
    {"name": "note", "type": "string"},
]
UPN = "adelev@contoso.com"


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
def put(tenant):
    """Return a function that puts an item as the ingest app: ready JSON text, or values to be made JSON."""
    tenant.graph.add_connection("contosohr", PROPERTIES, owner=ADMIN_CLIENT_ID, authorized=[INGEST_CLIENT_ID])
    tenant.graph.add_user(UPN, displayName="Adele", jobTitle="Clerk", department="Sales", mobilePhone="+47 1")

    async def put(item_id="u1", *, account=None, **properties):
        named = {"account": account or {"userPrincipalName": UPN}, **properties}
        body = {name: _text(value) for name, value in named.items()}
        body |= {f"{name}@odata.type": "Collection(String)" for name, value in body.items() if isinstance(value, list)}
        item = {"acl": [{"type": "everyone", "value": "everyone", "accessType": "grant"}], "properties": body}
        async with tenant.client(INGEST_CLIENT_ID) as client:
            answer = await client.put(f"/external/connections/contosohr/items/{item_id}", json=item)
        assert answer.status_code == 200, tenant.graph.refusals

    return put


def _text(value: Any) -> Any:
    if isinstance(value, list):
        return [_text(one) for one in value]
    return value if isinstance(value, str) else orjson.dumps(value).decode()


@belief(
    "The address of a profile source is an https one.",
    area="profile sources and priority",
    mark="certain",
    source=(sources.BUILD, sources.PROFILE_SOURCE),
    ours=ours.SOURCE,
)
@pytest.mark.parametrize(
    "change", [{"sourceId": None}, {"displayName": ""}, {"webUrl": "http://hr.contoso.com"}, {"colour": "blue"}]
)
async def test_a_source_that_breaks_a_rule_is_refused(admin, change):
    """Id, name and an https address are needed."""
    answer = await admin.post(SOURCES, json={**SOURCE, **change})

    assert answer.status_code == 400


@belief(
    "The tenant's setting has the id `00000000-0000-0000-0000-000000000001`, no name, and lists Entra.",
    area="profile sources and priority",
    mark="likely",
    source=sources.PRIORITY,
    ours=(ours.PRIORITY, ours.PRIORITY_CREATED),
    either="Setup finds the setting by its missing name and takes whatever id it has.",
    proof="tests/core/test_setup.py::test_the_global_setting_is_the_nameless_one",
)
async def test_every_tenant_has_a_global_setting_with_entra(admin):
    """Nameless, and with the documented id."""
    answer = await admin.get(SETTINGS)

    expected = {"id": GLOBAL_SETTING, "name": None, "displayName": None}
    assert answer.json()["value"] == [{**expected, "prioritizedSourceUrls": [source_url(ENTRA_SOURCE)]}]


@belief(
    "The answer to a `PATCH` may list more than was sent (Entra), so lists are compared by the order of known "
    "ids, not whole.",
    area="profile sources and priority",
    mark="likely",
    source=(sources.UPDATE_SETTING, sources.CREATE_SETTING),
    ours=ours.PRIORITY,
)
async def test_the_service_adds_entra_to_a_list_without_it(admin):
    """So a client compares the order of known ids, not whole lists."""
    await admin.post(SOURCES, json=SOURCE)

    url = source_url("contosohr", version="beta")
    answer = await admin.patch(f"{SETTINGS}/{GLOBAL_SETTING}", json={"prioritizedSourceUrls": [url]})

    assert answer.status_code == 200
    assert answer.json()["prioritizedSourceUrls"] == [url, source_url(ENTRA_SOURCE)]


@belief(
    "Every entry of the list is the address of a registered source, and there is at least one.",
    area="profile sources and priority",
    mark="likely",
    source=(sources.UPDATE_SETTING, sources.PRIORITY),
    ours=(ours.STEPS, ours.TEARDOWN),
)
@pytest.mark.parametrize("urls", [None, [], "x", [source_url("nobody")], ["https://example.com"], [1]])
async def test_a_list_that_names_no_sources_is_refused(admin, urls):
    """Every entry is the address of a registered source."""
    answer = await admin.patch(f"{SETTINGS}/{GLOBAL_SETTING}", json={"prioritizedSourceUrls": urls})

    assert answer.status_code == 400


@belief(
    "A tenant that never configured priorities may have no setting; `POST` without a name makes it, once.",
    area="profile sources and priority",
    mark="certain",
    source=(sources.PRIORITY, sources.CREATE_SETTING),
    ours=ours.PRIORITY_CREATED,
)
@belief(
    "Which order holds where nobody configured one: Entra first, or connectors first?",
    area="profile sources and priority",
    mark="unknown",
    source=sources.PRIORITY,
    ours=(ours.PRIORITY, ours.PRIORITY_CREATED),
    either="The page says both. Setup always writes the list, ours first, so no default ever counts.",
    proof="tests/flows/test_provision.py::test_priority_without_a_global_setting",
)
@belief(
    "What does a second `POST` of a nameless setting meet?",
    area="profile sources and priority",
    mark="unknown",
    source=sources.CREATE_SETTING,
    ours=(ours.PRIORITY_CREATED, ours.LOOK_FIRST),
    either="Setup makes one only after it saw none, and takes a 409 for somebody else's having been faster: it looks "
    "again. Any other refusal ends the call with Graph's words, and the next call sees the setting.",
    proof="tests/flows/test_either_answer.py::test_a_setting_that_somebody_else_made_meanwhile_is_used",
)
async def test_the_global_setting_may_be_missing_and_is_created_once(admin, tenant):
    """A tenant that never configured priorities has none."""
    tenant.graph.remove_global_setting()
    none = await admin.get(SETTINGS)

    created = await admin.post(SETTINGS, json={"prioritizedSourceUrls": [source_url(ENTRA_SOURCE)]})
    again = await admin.post(SETTINGS, json={"prioritizedSourceUrls": [source_url(ENTRA_SOURCE)]})

    assert none.json() == {"value": []}
    assert (created.status_code, created.json()["name"], again.status_code) == (201, None, 409)


@belief(
    "A setting can be deleted only when it lists just Entra, and should not be.",
    area="profile sources and priority",
    mark="certain",
    source=sources.PRIORITY,
    ours=ours.TEARDOWN,
)
async def test_a_setting_is_deleted_only_when_it_lists_just_entra(admin, tenant):
    """And an unknown one is 404."""
    tenant.graph.add_source("bamboohr1")
    path = f"{SETTINGS}/{GLOBAL_SETTING}"

    refused = await admin.delete(path)
    await admin.patch(path, json={"prioritizedSourceUrls": [source_url(ENTRA_SOURCE)]})
    deleted = await admin.delete(path)
    unknown = await admin.patch(path, json={"prioritizedSourceUrls": [source_url(ENTRA_SOURCE)]})

    assert [answer.status_code for answer in (refused, deleted, unknown)] == [400, 204, 404]


@belief(
    "For a while after it left the list, Graph may go on refusing to delete the source, with a 400.",
    area="profile sources and priority",
    mark="likely",
    source=sources.FIELD_PROVISIONING,
    ours=(ours.TEARDOWN, ours.BY_STATUS),
    either="Teardown answers 202 and goes on with the next call.",
    proof="tests/flows/test_provision.py::test_teardown_waits_until_graph_believes_the_list",
)
async def test_a_prioritised_source_cannot_be_deleted_nor_shortly_after():
    """First out of the list, then a while, then the source."""
    clock = VirtualClock()
    tenant = Tenant(clock=clock, priority_lag_seconds=30)
    tenant.graph.add_source("contosohr")

    async with tenant.client(ADMIN_CLIENT_ID) as admin:
        refused = await admin.delete(OURS)
        entra_only = {"prioritizedSourceUrls": [source_url(ENTRA_SOURCE)]}
        await admin.patch(f"{SETTINGS}/{GLOBAL_SETTING}", json=entra_only)
        too_soon = await admin.delete(OURS)
        clock.advance(30)
        deleted = await admin.delete(OURS)
        again = await admin.delete(OURS)

    assert [answer.status_code for answer in (refused, too_soon, deleted, again)] == [400, 400, 204, 404]
    assert refused.json()["error"]["message"] == "Profile source is in priority list"


@belief(
    "Microsoft's own sources cannot be deleted.",
    area="profile sources and priority",
    mark="certain",
    source=(sources.DELETE_SOURCE, sources.PEOPLE_SOURCES),
    ours=ours.NOTHING,
)
async def test_entra_itself_cannot_be_deleted(admin, tenant):
    """It is built in."""
    tenant.graph.remove_global_setting()

    answer = await admin.delete(f"{SOURCES}(sourceId='{ENTRA_SOURCE}')")

    assert answer.status_code == 400


@belief(
    "For single-value data each property comes from the highest source that has a value.",
    area="profile composition",
    mark="certain",
    source=(sources.PRIORITY, sources.PEOPLE_SOURCES),
    ours=(ours.PRIORITY, ours.BLANKS),
)
@belief(
    "A property without a label is a custom property.",
    area="profile composition",
    mark="certain",
    source=sources.BUILD,
    ours=ours.CUSTOM_STRINGS,
)
async def test_fields_come_from_the_highest_source_that_has_them(tenant, put):
    """Ours over Entra's, field by field; what we leave out stays Entra's."""
    await put(position={"detail": {"jobTitle": "Engineer"}}, note="x")

    profile = tenant.graph.profiles()[UPN]

    company = {"department": "Sales"}
    assert profile["personCurrentPosition"] == {"detail": {"jobTitle": "Engineer", "company": company}}
    assert (profile["personName"], profile["custom"]) == ({"displayName": "Adele"}, {"note": "x"})
    assert tenant.graph.ignored() == []


@belief(
    "An empty string is a value and overrides lower sources; an absent field does not.",
    area="profile composition",
    mark="certain",
    source=sources.PRIORITY,
    ours=ours.BLANKS,
)
async def test_an_empty_string_is_a_value(tenant, put):
    """It wipes what Entra says."""
    await put(position={"detail": {"jobTitle": ""}})

    assert tenant.graph.profiles()[UPN]["personCurrentPosition"]["detail"]["jobTitle"] == ""


@belief(
    "The first source of the list has the highest priority.",
    area="profile composition",
    mark="certain",
    source=sources.PRIORITY,
    ours=ours.PRIORITY,
)
async def test_the_order_of_the_list_decides(admin, tenant, put):
    """With Entra first, ours only fills the gaps."""
    await put(position={"detail": {"jobTitle": "Engineer", "role": "Lead"}})

    urls = [source_url(ENTRA_SOURCE), source_url("contosohr")]
    await admin.patch(f"{SETTINGS}/{GLOBAL_SETTING}", json={"prioritizedSourceUrls": urls})

    detail = tenant.graph.profiles()[UPN]["personCurrentPosition"]["detail"]
    assert (detail["jobTitle"], detail["role"]) == ("Clerk", "Lead")
    assert tenant.graph.priorities() == [ENTRA_SOURCE, "contosohr"]


@belief(
    "Multi-value data of all sources is joined in the order of the list; only exact duplicates are dropped.",
    area="profile composition",
    mark="certain",
    source=(sources.PRIORITY, sources.PEOPLE_SOURCES),
    ours=ours.CHECKED_VALUES,
)
async def test_lists_are_joined_without_exact_duplicates(tenant, put):
    """Precedence only orders them."""
    await put(phones=[{"number": "+47 2", "type": "business"}, {"number": "+47 1", "type": "mobile"}])

    assert [phone["number"] for phone in tenant.graph.profiles()[UPN]["personPhones"]] == ["+47 2", "+47 1"]


@belief(
    "An item belongs to the user with its account's `userPrincipalName` or `externalDirectoryObjectId`; the "
    "id survives a rename.",
    area="profile composition",
    mark="likely",
    source=(sources.BUILD, sources.FIELD_PROVISIONING),
    ours=ours.BOTH_IDS,
)
async def test_an_object_id_is_an_account_too(tenant, put):
    """Either suffices; the id survives a rename."""
    object_id = tenant.graph.add_user("lee@contoso.com")
    await put(account={"externalDirectoryObjectId": object_id}, note="x")
    tenant.graph.rename_user(object_id, "lee.gu@contoso.com")

    assert tenant.graph.profiles()["lee.gu@contoso.com"]["custom"] == {"note": "x"}


@belief(
    "Items whose account matches no user, or a user without an Exchange Online mailbox, are ignored without a word.",
    area="profile composition",
    mark="certain",
    source=sources.BUILD,
    ours=(ours.MATCHED, ours.MAIL_WARNING, ours.ACCEPTED),
)
@belief(
    "No operation tells what became of an item: a 200 says that Graph took it, not that a profile changed.",
    area="profile composition",
    mark="likely",
    source=(sources.BUILD, sources.FIELD_PROVISIONING, sources.FIELD_PROFILE_CARD),
    ours=(ours.ACCEPTED, ours.CHECKED_VALUES),
)
@belief(
    "What becomes of items of guests, shared mailboxes and mailboxes on premises?",
    area="profile composition",
    mark="unknown",
    source=sources.BUILD,
    ours=(ours.MATCHED, ours.MAIL_WARNING),
    either="Guests are not sent, and are listed in the report as unmatched (`guest`). Accounts without a mail "
    "address are sent, with the warning `no_mail` and their number: should Graph ignore them, nothing is "
    "lost, and the number tells how many. Nothing tells an operator of a mailbox on premises: look at one "
    "such profile in the pilot.",
    proof=(
        "tests/flows/test_accounts.py::test_a_guest_is_unmatched",
        "tests/flows/test_accounts.py::test_an_account_without_mail_is_a_warning",
    ),
)
@pytest.mark.parametrize(
    ("account", "reason"),
    [
        ({"userPrincipalName": "nobody@contoso.com"}, "no user has this account"),
        ({"userPrincipalName": "guest@contoso.com"}, "the user is a guest"),
        ({"userPrincipalName": "room@contoso.com"}, "the user has no mailbox"),
        ('[{"userPrincipalName":"adelev@contoso.com"}]', "no user has this account"),
    ],
)
async def test_an_item_without_a_usable_account_is_ignored(tenant, put, account, reason):
    """200 on the PUT, and nobody's profile."""
    tenant.graph.add_user("guest@contoso.com", guest=True)
    tenant.graph.add_user("room@contoso.com", mailbox=False)

    await put(account=account, note="x")

    assert Ignored("u1", None, reason) in tenant.graph.ignored()
    assert not any("custom" in profile for profile in tenant.graph.profiles().values())


@belief(
    "Values that are no JSON, of unknown fields, types or members of enumerations are ignored without a word; "
    "the rest of the item counts.",
    area="profile composition",
    mark="certain",
    source=(sources.BUILD, sources.ENTITIES),
    ours=(ours.CHECKED_VALUES, ours.ACCEPTED),
)
@belief(
    "Dates are `YYYY-MM-DD`.",
    area="profile composition",
    mark="certain",
    source=sources.ENTITIES,
    ours=ours.CHECKED_VALUES,
)
@belief(
    "`null` is as good as absent, or a value that cannot be read; never a value that clears.",
    area="profile composition",
    mark="likely",
    source=(sources.PRIORITY, sources.FIELD_PROVISIONING),
    ours=ours.BLANKS,
)
@pytest.mark.parametrize(
    ("position", "reason"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a JSON object"),
        ({"detail": {"shoeSize": 43}}, "detail.shoeSize: positionDetail has no such field"),
        ({"detail": {"jobTitle": 1}}, "detail.jobTitle: a string is wanted"),
        ({"detail": {"jobTitle": None}}, "detail.jobTitle: a string is wanted"),
        ({"detail": {"startMonthYear": "01.03.2021"}}, "detail.startMonthYear: a date YYYY-MM-DD is wanted"),
        ({"detail": {"layer": "1"}}, "detail.layer: a whole number is wanted"),
        ({"detail": "Engineer"}, "detail: an object is wanted"),
        ({"isCurrent": "yes"}, "isCurrent: true or false is wanted"),
        ({"colleagues": {}}, "colleagues: an array is wanted"),
        ({"colleagues": [{"relationship": "boss"}]}, "colleagues.relationship: is not in the enumeration"),
    ],
)
async def test_what_cannot_be_read_is_dropped_in_silence(tenant, put, position, reason):
    """The rest of the item counts."""
    await put(position=position, note="x")

    assert tenant.graph.ignored() == [Ignored("u1", "position", reason)]
    assert tenant.graph.profiles()[UPN]["custom"] == {"note": "x"}


@belief(
    "Is a text invalid that is no address on the web, no e-mail address or no language tag where one belongs, or a "
    "place that is not on earth?",
    area="profile composition",
    mark="unknown",
    source=(sources.BUILD, sources.ENTITIES),
    ours=ours.CHECKED_VALUES,
    either="None is sent: the row is quarantined, and says what is wanted.",
    proof="tests/core/test_mapping.py::test_text_has_the_form_that_its_field_wants",
)
@pytest.mark.parametrize(
    ("label", "entity", "reason"),
    [
        ("personWebSite", {"webUrl": "contoso.com"}, "webUrl: this is no url"),
        ("personAwards", {"thumbnailUrl": "C:\\a.png"}, "thumbnailUrl: this is no url"),
        ("personEmails", {"address": "adele"}, "address: this is no mail"),
        ("personName", {"languageTag": "en_US"}, "languageTag: this is no tag"),
        ("personLanguages", {"tag": "Norwegian"}, "tag: this is no tag"),
        (
            "personAddresses",
            {"geoCoordinates": {"latitude": 91}},
            "geoCoordinates.latitude: a number is wanted, at most 90",
        ),
        (
            "personAddresses",
            {"geoCoordinates": {"longitude": "10"}},
            "geoCoordinates.longitude: a number is wanted, at most 180",
        ),
        ("personAddresses", {"geoCoordinates": {"altitude": True}}, "geoCoordinates.altitude: a number is wanted"),
        ("personSkills", {"collaborationTags": ["x"]}, "collaborationTags: is not in the enumeration"),
    ],
)
def test_what_has_not_the_form_of_its_field_is_dropped(label, entity, reason):
    """The strictest reading: the value does not reach the profile, whatever is wrong with it."""
    assert read_entity(ENTITIES[label], {"displayName": "x"} | entity)[1] == [reason]


@belief(
    "At most three mail addresses (and three postal ones) belong to a profile.",
    area="profile composition",
    mark="certain",
    source=sources.BUILD,
    ours=ours.CHECKED_VALUES,
)
@belief(
    "How many entries may the other lists have, how long may a text be, and what becomes of what is beyond?",
    area="profile composition",
    mark="unknown",
    source=(sources.BUILD, sources.FIELD_PROVISIONING),
    ours=(ours.CHECKED_VALUES, ours.FAILED_ITEMS, ours.ACCEPTED),
    either="More than three mail addresses are quarantined, not sent. A cell has at most 20,000 characters, so an "
    "item stays far below the 30 MB of a request; if Graph refuses one all the same, that person is listed as "
    "failed with the status. Entries that are dropped in silence can only be noticed in a profile: include "
    "somebody with long lists in the pilot.",
    proof=(
        "tests/core/test_mapping.py::test_more_than_graph_takes_is_too_many",
        "tests/flows/test_faults.py::test_one_refused_item_stops_nobody_else",
    ),
)
async def test_only_three_mail_addresses_are_taken(tenant, put):
    """The others are dropped."""
    await put(emails=[{"address": f"a{i}@contoso.com", "type": "other"} for i in range(4)])

    addresses = [mail["address"] for mail in tenant.graph.profiles()[UPN]["personEmails"]]
    assert addresses[:4] == ["a0@contoso.com", "a1@contoso.com", "a2@contoso.com", UPN]
    assert tenant.graph.ignored() == [Ignored("u1", "emails", "only 3 of 4 are taken")]


@belief(
    "A profile has one anniversary of each type.",
    area="profile composition",
    mark="likely",
    source=sources.BUILD,
    ours=ours.LABEL_LIMITS,
)
@belief(
    "Which types of anniversaries are accepted beyond birthday, wedding, work and other, and which shape of "
    "postal addresses works?",
    area="profile composition",
    mark="unknown",
    source=(sources.ENTITIES, sources.BUILD, sources.FIELD_PROVISIONING),
    ours=ours.LABEL_LIMITS,
    either="Anniversaries have the types of the metadata and no others. Addresses are sent in the documented shape and "
    "spelling; `address_shape` and `address_types` of the mapping send the other ones, so a pilot can try them.",
    proof="tests/core/test_mapping.py::test_addresses_are_written_as_the_mapping_says",
)
async def test_one_anniversary_of_each_type_is_taken(tenant, put):
    """The second of a type is dropped."""
    days = [("work", "2021-03-01"), ("birthday", "1990-05-17"), ("work", "2022-03-01")]
    await put(anniversaries=[{"type": kind, "date": day} for kind, day in days])

    anniversaries = tenant.graph.profiles()[UPN]["personAnniversaries"]
    assert [day["date"] for day in anniversaries] == ["2021-03-01", "1990-05-17"]
    assert tenant.graph.ignored() == [Ignored("u1", "anniversaries", "only 2 of 3 are taken")]


@belief(
    "Two items for one account compete; which counts is not documented.",
    area="profile composition",
    mark="likely",
    source=(sources.FIELD_CONNECTORS, sources.FIELD_PROFILE_CARD),
    ours=ours.ONE_ITEM,
    either="We never keep two: two active people for one account are rejected, and an account that gets another key "
    "is a transfer, put first and deleted then.",
    proof=(
        "tests/flows/test_leavers.py::test_an_account_of_two_active_people_is_nobodys",
        "tests/flows/test_leavers.py::test_an_account_under_a_new_key_is_transferred",
    ),
)
async def test_of_two_items_for_one_account_the_later_counts(tenant, put):
    """Competing records; the simulator tells."""
    await put("u1", note="old")
    tenant.clock.advance(1)
    await put("u2", note="new")

    assert tenant.graph.profiles()[UPN]["custom"] == {"note": "new"}
    assert tenant.graph.ignored() == [Ignored("u1", None, "another item is for the same account")]


@belief(
    "Items that are put within a minute after the registration of their source may never be exported to profiles.",
    area="profile composition",
    mark="likely",
    source=sources.FIELD_PROVISIONING,
    ours=ours.SETTLE,
    either="The first item waits `REGISTRATION_SETTLE_SECONDS` (60). Should a tenant need longer, raise it and run "
    "`sync --full`.",
    proof="tests/flows/test_provision.py::test_what_setup_made_is_what_items_need",
)
async def test_items_put_too_soon_after_registration_never_show(tenant, put):
    """Only putting them again helps."""
    tenant.graph.sources["contosohr"].registered_at = tenant.clock.monotonic()
    tenant.clock.advance(59)
    await put(note="x")
    tenant.clock.advance(3600)
    never = tenant.graph.profiles()[UPN]

    await put(note="x")

    assert "custom" not in never
    assert tenant.graph.profiles()[UPN]["custom"] == {"note": "x"}


@belief(
    "Profiles are enriched only by people connections that are registered as a profile source and listed in "
    "the priority.",
    area="profile composition",
    mark="certain",
    source=(sources.BUILD, sources.SOURCE_SETTINGS),
    ours=(ours.STEPS, ours.SOURCE, ours.PRIORITY),
)
@pytest.mark.parametrize("missing", ["source", "priority", "global setting", "category"])
async def test_without_registration_and_priority_nothing_shows(tenant, put, missing):
    """Items alone are not enough."""
    await put(note="x")
    if missing == "source":
        del tenant.graph.sources["contosohr"]
    if missing == "priority":
        tenant.graph.settings[GLOBAL_SETTING].urls = [source_url(ENTRA_SOURCE)]
    if missing == "global setting":
        tenant.graph.remove_global_setting()
    if missing == "category":
        tenant.graph.connections["contosohr"].category = "uncategorized"

    profile = tenant.graph.profiles()[UPN]

    assert "custom" not in profile
    assert profile["personCurrentPosition"]["detail"]["jobTitle"] == "Clerk"
    assert len(tenant.graph.ignored()) == 1


@belief(
    "An entity has the fields, types and enumerations of its resource page.",
    area="profile composition",
    mark="certain",
    source=(sources.ENTITIES, *sources.ENTITY_PAGES),
    ours=ours.CHECKED_VALUES,
)
@pytest.mark.parametrize("label", sorted(LABELS))
def test_every_field_that_a_mapping_can_fill_is_one_of_its_entity(label):
    """Its members of an enumeration, too."""
    model = LABELS[label].entity

    for path in field_paths(model):
        kind = field_type(model, path)
        assert kind is not None
        for value in kind.allowed or (_a_value(kind),):
            entity = [value] if kind.many else value
            for name in reversed(path.split(".")):
                entity = {name: entity}
            assert read_entity(ENTITIES[label], entity) == (entity, [])


_WRITTEN = {"url": "https://contoso.com", "mail": UPN, "tag": "nb-NO"}


def _a_value(kind: FieldType) -> Any:
    if kind.person:
        return {"userId": "1", "userPrincipalName": UPN, "relationship": "manager"}
    if kind.form and kind.form.name in _WRITTEN:
        return _WRITTEN[kind.form.name]
    return {str: "x", int: 1, float: 59.91, bool: True, date: "2026-03-02"}[kind.kind]
