"""The rules of a people connection's schema."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.tenant.graph.replies import Refusal, malformed

if TYPE_CHECKING:
    from tests.tenant.graph.contracts import Contract
    from tests.tenant.graph.state import Json

_SCALARS = ("string", "int64", "double", "dateTime")
_TYPES = frozenset({*_SCALARS, "boolean", *(f"{scalar}Collection" for scalar in _SCALARS)})
_FLAGS = ("isSearchable", "isQueryable", "isRetrievable", "isRefinable")


def check_schema(body: Json, rules: Contract) -> list[Json]:
    """Return the properties of a schema that Graph would accept under a contract.

    https://learn.microsoft.com/graph/api/resources/externalconnectors-property [certain: names, lengths, types]
    https://learn.microsoft.com/graph/connecting-external-content-api-limits [certain: 128 properties]
    """
    if body.get("baseType") != "microsoft.graph.externalItem":
        raise malformed("baseType must be microsoft.graph.externalItem")
    properties = body.get("properties")
    if not isinstance(properties, list) or not 1 <= len(properties) <= 128:
        raise malformed("a schema has 1 to 128 properties")
    for prop in properties:
        _check_property(prop, rules.property_members)
    names = [prop["name"].casefold() for prop in properties]
    if len(set(names)) != len(names):
        raise malformed("two properties have the same name")
    rules.check_properties(properties)
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


def together(registered: list[Json], wanted: list[Json], rules: Contract) -> list[Json]:
    """Return the schema after an update by a service that merges: what is sent wins, what is not sent stays.

    https://learn.microsoft.com/graph/connecting-external-content-manage-schema [unknown: labels may change there]
    """
    by_name = {prop["name"]: prop for prop in (*registered, *wanted)}
    for prop in registered:
        if by_name[prop["name"]]["type"] != prop["type"]:
            raise _not_allowed(f"property {prop['name']} has another type")
    return check_schema({"baseType": "microsoft.graph.externalItem", "properties": list(by_name.values())}, rules)


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


def _check_property(prop: Any, members: frozenset[str]) -> None:
    if not isinstance(prop, dict):
        raise malformed("a property must be an object")
    if unknown := set(prop) - members - {"@odata.type"}:
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
