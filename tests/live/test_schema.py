"""Schemas: registered in their own time, read back, grown, and refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.beliefs import belief, ours, sources
from tests.live.site import ACCOUNT, SCHEMA

if TYPE_CHECKING:
    import httpx

    from tests.live.site import Site

KNOWN = {"prefer": "include-unknown-enum-members"}


def a_schema(*properties: dict[str, Any]) -> dict[str, Any]:
    """Return a schema with the account property and the given ones."""
    return {**SCHEMA, "properties": [ACCOUNT, *properties]}


@belief(
    "A schema has the base type `microsoft.graph.externalItem` and 1 to 128 properties.",
    area="schema",
    mark="certain",
    source=(sources.PATCH_SCHEMA, sources.LIMITS),
    ours=ours.SCHEMA_RENDERED,
)
@belief(
    "A property's name is 1 to 32 letters and digits, its description at most 200 characters; refinable and searchable "
    "exclude each other.",
    area="schema",
    mark="certain",
    source=sources.PROPERTY,
    ours=ours.SCHEMA_RENDERED,
)
@belief(
    "Exactly one property has the label `personAccount`; each label goes on one property of the one type that is "
    "documented for it; five labels of the enumeration, and principals, are not for people.",
    area="schema",
    mark="certain",
    source=sources.BUILD,
    ours=(ours.SCHEMA_RENDERED, ours.LABEL_LIMITS),
)
@belief(
    "Are there names that a property must not have?",
    area="schema",
    mark="unknown",
    source=sources.PROPERTY,
    ours=(ours.SCHEMA_RENDERED, ours.REGISTRATION_AGAIN),
    either="No list of them is published. Should a tenant "
    "refuse one, setup ends with Graph's words, and the mapping can choose another.",
    proof="tests/flows/test_provision.py::test_a_schema_that_graph_cannot_read_is_reported",
)
@belief(
    "Names are compared without case.",
    area="schema",
    mark="likely",
    source=sources.FIELD_PROFILE_CARD,
    ours=(ours.SCHEMA_COMPARED, ours.SCHEMA_RENDERED),
)
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
    ids=[
        "base type", "no property", "no object", "no account", "129 properties", "33 characters", "a space",
        "the same name", "a principal", "201 characters", "a hyphen", "refinable and searchable", "unknown member",
        "unsupported label", "another type", "a label twice", "two labels",
    ],
)  # fmt: skip
def test_a_schema_that_breaks_a_rule_is_refused(site: Site, draft: httpx.Response, schema):
    """Names, types, lengths, labels and their types, and exactly one account."""
    answer = site.admin.send("PATCH", site.path("d", "/schema"), schema)

    assert answer.status_code == 400


@belief(
    "What does a connection without a schema answer to `GET .../schema`?",
    area="schema",
    mark="unknown",
    source=sources.GET_SCHEMA,
    ours=(ours.STEPS, ours.REGISTRATION),
    either="A 404 and a schema without properties are the same to us: none is registered yet.",
    proof="tests/flows/test_either_answer.py::test_a_schema_that_is_not_there_yet_is_404_or_empty",
)
def test_what_a_draft_answers_when_asked_for_its_schema(site: Site, draft: httpx.Response):
    """Not found, or one without properties."""
    answer = site.admin.send("GET", site.path("d", "/schema"))

    site.note(f"the schema of a draft is answered {answer.status_code}")
    assert answer.status_code == 404 or not answer.json().get("properties")


@belief(
    "`PATCH .../schema` answers 202 without a body; `Location` is the address of the operation that registers it.",
    area="operations",
    mark="certain",
    source=sources.PATCH_SCHEMA,
    ours=ours.REGISTRATION,
)
@belief(
    "Registering takes 5 to 15 minutes; the operation is `inprogress`, then `completed` or `failed`.",
    area="operations",
    mark="certain",
    source=(sources.PATCH_SCHEMA, sources.OPERATION),
    ours=ours.REGISTRATION,
)
@belief(
    "The connection stays `draft` while its first schema registers, and is `ready` when that is in.",
    area="connections",
    mark="certain",
    source=(sources.CONNECTION, sources.MANAGE_CONNECTIONS),
    ours=(ours.REGISTRATION, ours.NOT_READY),
)
def test_a_schema_registers_in_its_own_time(site: Site, registration: list[httpx.Response], ready: str):
    """202 and an operation to look at; the connection is ready when the operation is."""
    begun, during, meanwhile, _, ended = registration

    assert (begun.status_code, begun.content) == (202, b"")
    assert f"/{site.name}/operations/" in begun.headers["location"]
    assert (during.json()["status"], meanwhile.json()["state"]) == ("inprogress", "draft")
    assert ended.json()["status"] == "completed"


@belief(
    "What becomes of a second `PATCH` of the schema while the first is registering?",
    area="operations",
    mark="unknown",
    source=(sources.FIELD_PROVISIONING, sources.MANAGE_CONNECTIONS),
    ours=(ours.REGISTRATION, ours.LOOK_FIRST),
    either="Setup notes the operation and looks instead of sending again. Where its address was lost, a refusal "
    "(409, or 400 `UpdateNotAllowed`) of a draft means that one is under way; an acceptance registers the same schema.",
    proof=(
        "tests/flows/test_provision.py::test_a_registration_that_is_under_way_already_is_waited_for",
        "tests/flows/test_either_answer.py::test_a_lost_operation_does_no_harm_whether_a_second_one_is_taken_or_not",
    ),
)
def test_what_a_second_registration_during_the_first_meets(site: Site, registration: list[httpx.Response]):
    """A refusal, or the same again; the connection becomes ready all the same."""
    second = registration[3]

    site.note(f"a second PATCH of a schema while the first registers is answered {second.status_code}")
    assert second.status_code in {202, 400, 409}


@belief(
    "A schema reads back with names, types, labels and descriptions as they were registered.",
    area="schema",
    mark="certain",
    source=sources.GET_SCHEMA,
    ours=ours.SCHEMA_COMPARED,
)
@belief(
    "Search attributes may be left out: for people data they are ignored.",
    area="schema",
    mark="certain",
    source=sources.BUILD,
    ours=(ours.SCHEMA_RENDERED, ours.SCHEMA_COMPARED),
)
@belief(
    "Newer labels read back as `unknownFutureValue` unless the request carries `Prefer: include-unknown-enum-members`.",
    area="schema",
    mark="likely",
    source=(sources.FUTURE_MEMBERS, sources.FIELD_PROVISIONING),
    ours=ours.SCHEMA_COMPARED,
)
def test_new_labels_read_back_for_those_who_ask(site: Site, ready: str):
    """With the Prefer header a drift check sees what it registered."""
    plain = site.admin.send("GET", f"{ready}/schema").json()["properties"]
    asked = site.admin.send("GET", f"{ready}/schema", headers=KNOWN).json()["properties"]

    labels = {prop["name"]: prop.get("labels") or [] for prop in asked}
    described = {prop["name"]: prop.get("description") or "" for prop in asked}
    site.note(f"without Prefer the label personAccount reads back as {_labels(plain, 'account')}")
    assert _labels(plain, "account") in (["unknownFutureValue"], ["personAccount"])
    assert labels == {"account": ["personAccount"], "skills": ["personSkills"], "favoriteColor": []}
    assert described["favoriteColor"] == "What they like"
    assert {prop["name"]: prop["type"].lower() for prop in asked}["skills"] == "stringcollection"


def _labels(properties: list[dict[str, Any]], name: str) -> list[str]:
    return next(prop.get("labels") or [] for prop in properties if prop["name"] == name)


@belief(
    "A registered property never changes its type; whoever sends another one meets a 4xx.",
    area="schema",
    mark="likely",
    source=(sources.MANAGE_SCHEMA, sources.FIELD_CONNECTORS, sources.FIELD_PROVISIONING),
    ours=ours.SCHEMA_FIXED,
)
def test_a_registered_type_does_not_change(site: Site, ready: str):
    """A new connection is the only way."""
    other = {**SCHEMA["properties"][2], "type": "int64"}
    changed = {**SCHEMA, "properties": [*SCHEMA["properties"][:2], other]}

    answer = site.admin.send("PATCH", f"{ready}/schema", changed)

    assert answer.status_code in {400, 409}


@belief(
    "Properties can be added later, when everything registered is sent along.",
    area="schema",
    mark="likely",
    source=(sources.MANAGE_SCHEMA, sources.FIELD_PROFILE_CARD),
    ours=ours.SCHEMA_UNION,
)
def test_a_registered_schema_grows(site: Site, ready: str):
    """The union completes, and reads back."""
    wider = {**SCHEMA, "properties": [*SCHEMA["properties"], {"name": "desk", "type": "string"}]}

    begun = site.admin.send("PATCH", f"{ready}/schema", wider)
    ended = site.registered(begun.headers["location"])

    read = site.admin.send("GET", f"{ready}/schema").json()["properties"]
    assert (begun.status_code, ended.json()["status"]) == (202, "completed")
    assert {prop["name"] for prop in read} == {"account", "skills", "favoriteColor", "desk"}
