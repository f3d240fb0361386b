"""The documented contract: semantic labels, one JSON object per property, collections of JSON objects as strings.

https://learn.microsoft.com/microsoft-365-copilot/extensibility/build-connectors-with-people-data
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import orjson

from connector.core.entities import LABELS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping as Dict

    from connector.core.contracts import Content
    from connector.core.mapping import Mapping, PropertyPart

NAME: Final = "labels"

RENDERER: Final = 1
"""Part of every person's source digest: raise it when `item` renders differently, and everyone is rendered again;
only those whose item really changes are sent (design §3.6)."""

CATEGORY: Final = "people"
"""https://learn.microsoft.com/graph/api/resources/externalconnectors-externalconnection"""

VERSION: Final = "v1.0"

SOURCE_KIND: Final = "Connector"
"""``kind`` of our profile source. Optional by the documentation, missed by tenants that do not find one.
https://learn.microsoft.com/graph/api/peopleadminsettings-post-profilesources"""

SCHEMA_HEADERS: Final[Dict[str, str]] = {}
MARKS: Final = frozenset[str]()
IDS_FOLLOW_ACCOUNTS: Final = False

_EVERYONE: Final = [{"type": "everyone", "value": "everyone", "accessType": "grant"}]
"""People data is for the whole organisation; nothing else is accepted.
https://learn.microsoft.com/microsoft-365-copilot/extensibility/build-connectors-with-people-data"""


def item_id(connection_id: str, *, key: str, upn: str) -> str:  # noqa: ARG001 - the other contract's ids need it
    """Return the id of a person's item: alphanumeric, stable when the UPN changes, not guessable by eye.

    https://learn.microsoft.com/graph/api/resources/externalconnectors-externalitem: alphanumeric, at most 128.
    """
    return "u" + hashlib.sha256(f"{connection_id}/{key}".encode()).hexdigest()[:40]


def problems(mapping: Mapping) -> Iterator[str]:  # noqa: ARG001 - every mapping that loads is one of labels
    """Say what of a mapping cannot be had: nothing."""
    return iter(())


def schema(mapping: Mapping) -> dict[str, Any]:
    """Return the schema that a mapping's items need, as the body of the PATCH.

    The search attributes are ignored for people data and left out.
    https://learn.microsoft.com/graph/api/externalconnectors-externalconnection-patch-schema
    """
    properties: list[dict[str, Any]] = []
    for part in mapping.file.property:
        if part.label:
            kind = "stringCollection" if LABELS[part.label].several else "string"
            properties.append({"name": part.name, "type": kind, "labels": [part.label]})
        else:
            # A string, never a stringCollection: an unlabelled collection is reported to break the whole connection's
            # export ([unknown] whether that still holds); a string is safe either way.
            described = {"description": part.description} if part.description else {}
            properties.append({"name": part.name, "type": "string"} | described)
    return {"baseType": "microsoft.graph.externalItem", "properties": properties}


def name_of(part: PropertyPart) -> str:
    """Return what a property is called in an item: as in the mapping."""
    return part.name


def properties_of(mapping: Mapping, filled: Dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001 - the other needs it
    """Return what an item says of a person, by its names there: all that is filled."""
    return dict(filled)


def item(content: Content) -> bytes:
    """Return the body of a person's PUT, byte for byte the same for the same content.

    The whole bag of properties is replaced by each PUT, so all of them are sent.
    https://learn.microsoft.com/graph/api/externalconnectors-externalconnection-put-items
    """
    properties: dict[str, Any] = {}
    for name, value in content.filled.items():
        if isinstance(value, list):
            properties[f"{name}@odata.type"] = "Collection(String)"
            properties[name] = [_json(entity) for entity in value]
            continue
        text = value if isinstance(value, str) else _json(value)
        if not text.isascii():
            properties[f"{name}@odata.type"] = "String"
        properties[name] = text
    body = {"id": content.item_id, "acl": _EVERYONE, "properties": properties}
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)


def _json(entity: dict[str, Any]) -> str:
    return orjson.dumps(entity, option=orjson.OPT_SORT_KEYS).decode()
