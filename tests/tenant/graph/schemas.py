"""The rules of a people connection's schema."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.tenant.graph.replies import Refusal, malformed

if TYPE_CHECKING:
    from tests.tenant.graph.state import Json

LABELS = {
    "personAccount": "string", "personCurrentPosition": "string", "personAddresses": "stringCollection",
    "personAnniversaries": "stringCollection", "personAwards": "stringCollection",
    "personCertifications": "stringCollection", "personEducationalActivities": "stringCollection",
    "personEmails": "stringCollection", "personInterests": "stringCollection", "personLanguages": "stringCollection",
    "personName": "string", "personNote": "string", "personPatents": "stringCollection",
    "personPhones": "stringCollection", "personPublications": "stringCollection", "personProjects": "stringCollection",
    "personSkills": "stringCollection", "personWebAccounts": "stringCollection", "personWebSite": "string",
    "personWorkPositions": "stringCollection",
}  # fmt: skip
"""Every supported label and the only type it goes on.
https://learn.microsoft.com/microsoft-365-copilot/extensibility/build-connectors-with-people-data [certain]"""

_SCALARS = ("string", "int64", "double", "dateTime")
_TYPES = frozenset({*_SCALARS, "boolean", *(f"{scalar}Collection" for scalar in _SCALARS)})
_FLAGS = ("isSearchable", "isQueryable", "isRetrievable", "isRefinable")
_MEMBERS = {"name", "type", "labels", "aliases", "description", "rankingHint", "@odata.type", *_FLAGS}


def check_schema(body: Json) -> list[Json]:
    """Return the properties of a schema that Graph would accept.

    https://learn.microsoft.com/graph/api/resources/externalconnectors-property [certain: names, lengths, types]
    https://learn.microsoft.com/graph/connecting-external-content-api-limits [certain: 128 properties]
    """
    if body.get("baseType") != "microsoft.graph.externalItem":
        raise malformed("baseType must be microsoft.graph.externalItem")
    properties = body.get("properties")
    if not isinstance(properties, list) or not 1 <= len(properties) <= 128:
        raise malformed("a schema has 1 to 128 properties")
    for prop in properties:
        _check_property(prop)
    names = [prop["name"].casefold() for prop in properties]
    if len(set(names)) != len(names):
        raise malformed("two properties have the same name")
    labels = [label for prop in properties for label in prop.get("labels") or []]
    if len(set(labels)) != len(labels):
        raise malformed("a label is on two properties")
    if labels.count("personAccount") != 1:
        raise malformed("exactly one property must have the label personAccount")
    return properties


def merged_schema(registered: list[Json], wanted: list[Json]) -> list[Json]:
    """Return the schema after an update: everything registered must be there unchanged; additions are welcome.

    https://learn.microsoft.com/graph/connecting-external-content-manage-schema [certain: additions; likely: that the
    full list is sent and that other changes are 400 UpdateNotAllowed]
    """
    by_name = {prop["name"]: prop for prop in wanted}
    for prop in registered:
        sent = by_name.get(prop["name"])
        if sent is None:
            raise _not_allowed(f"property {prop['name']} is missing")
        if sent["type"] != prop["type"] or set(sent.get("labels") or []) != set(prop.get("labels") or []):
            raise _not_allowed(f"property {prop['name']} has another type or label")
    return wanted


def together(registered: list[Json], wanted: list[Json]) -> list[Json]:
    """Return the schema after an update by a service that merges: what is sent wins, what is not sent stays.

    https://learn.microsoft.com/graph/connecting-external-content-manage-schema [unknown: labels may change there]
    """
    by_name = {prop["name"]: prop for prop in (*registered, *wanted)}
    for prop in registered:
        if by_name[prop["name"]]["type"] != prop["type"]:
            raise _not_allowed(f"property {prop['name']} has another type")
    return check_schema({"baseType": "microsoft.graph.externalItem", "properties": list(by_name.values())})


def schema_json(properties: list[Json], *, masked: bool) -> Json:
    """Return a schema as Graph shows it: with all its flags, and newer labels masked when the client did not ask."""
    return {
        "baseType": "microsoft.graph.externalItem",
        "properties": [
            {
                "name": prop["name"],
                "type": prop["type"],
                **{flag: bool(prop.get(flag)) for flag in _FLAGS},
                "description": prop.get("description"),
                "aliases": prop.get("aliases") or [],
                "labels": ["unknownFutureValue" if masked else label for label in prop.get("labels") or []],
            }
            for prop in properties
        ],
    }


def _not_allowed(reason: str) -> Refusal:
    return Refusal(400, "UpdateNotAllowed", "Updates to the schema are not allowed.", reason=reason)


def _check_property(prop: Any) -> None:
    if not isinstance(prop, dict):
        raise malformed("a property must be an object")
    if unknown := set(prop) - _MEMBERS:
        raise malformed(f"a property has unknown members: {sorted(unknown)}")
    name, kind, description = prop.get("name"), prop.get("type"), prop.get("description")
    for one in (name, *(prop.get("aliases") or [])):
        if not isinstance(one, str) or not re.fullmatch(r"[A-Za-z0-9]{1,32}", one):
            raise malformed(f"name or alias {one!r}: 1 to 32 letters and digits are allowed")
    if kind not in _TYPES:
        raise malformed(f"property {name} has type {kind!r}, which people connections do not support")
    if description is not None and (not isinstance(description, str) or len(description) > 200):
        raise malformed(f"property {name}: a description has at most 200 characters")
    if prop.get("isRefinable") and prop.get("isSearchable"):
        raise malformed(f"property {name} cannot be both refinable and searchable")
    _check_labels(prop)


def _check_labels(prop: Json) -> None:
    name, kind, labels = prop["name"], prop["type"], prop.get("labels") or []
    if len(labels) > 1:
        raise malformed(f"property {name} has more than one label")
    for label in labels:
        if label not in LABELS:
            raise malformed(f"label {label!r} is not supported for people")
        if LABELS[label] != kind:
            raise malformed(f"label {label} goes on {LABELS[label]}, not on {kind}")
