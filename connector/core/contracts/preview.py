"""The contract of Microsoft's first walkthrough (June 2025): fixed property names, JSON arrays in strings, beta only.

It can be given up whole: this module, its line in `connector.core.contracts`, the mapping ``tutorial`` and CONTRACT's
second value go together.
https://learn.microsoft.com/microsoft-365-copilot/extensibility/build-connectors-with-people-data (as of 2025-06-09)
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping as Dict

    from connector.core.contracts import Content
    from connector.core.mapping import Mapping, PropertyPart

NAME: Final = "preview"

RENDERER: Final = 1
"""As in the other contract: raise it when `item` renders differently."""

CATEGORY: Final = None
VERSION: Final = "beta"
SOURCE_KIND: Final = None
SCHEMA_HEADERS: Final[Dict[str, str]] = {"Prefer": "respond-async"}

MARKS: Final = frozenset({"connectionId", "externalId", "oid", "accounts"})
"""The properties that every schema of people had to have."""

IDS_FOLLOW_ACCOUNTS: Final = True

_ITSELF: Final = re.compile(rb"[A-Za-z0-9_-]")

_ENTITIES: Final[Dict[str, str]] = {
    "personAccount": "accounts",
    "personCurrentPosition": "positions",
    "personName": "names",
    "personEmails": "emails",
    "personPhones": "phones",
    "personSkills": "skills",
    "personAddresses": "addresses",
    "personAnniversaries": "anniversaries",
    "personAwards": "awards",
    "personCertifications": "certifications",
    "personEducationalActivities": "educationalActivities",
    "personInterests": "interests",
    "personLanguages": "languages",
    "personNote": "notes",
    "personPatents": "patents",
    "personProjects": "projects",
    "personPublications": "publications",
    "personWebAccounts": "webAccounts",
    "personWebSite": "websites",
    "personWorkPositions": "positions",
}
"""What a property with a label is called here: the profile's own collections.
https://learn.microsoft.com/graph/api/resources/profile"""

_EVERYONE: Final = [{"accessType": "grant", "type": "everyone", "value": "EVERYONE"}]
"""The walkthrough: "The ACL must be set exactly as shown"."""


def item_id(connection_id: str, *, key: str, upn: str) -> str:  # noqa: ARG001 - the other contract's ids need them
    """Return the id of a person's item: the UPN, with what Graph does not take in an id written out.

    ``@`` becomes ``_at_``, ``.`` ``_dot_``, and any other byte but letters, digits, ``_`` and ``-`` ``_xHH_``. Two
    UPNs may share an id; whoever reads an export rejects both then.
    """
    written = upn.replace("@", "_at_").replace(".", "_dot_").encode()
    return "".join(chr(byte) if _ITSELF.match(bytes((byte,))) else f"_x{byte:02X}_" for byte in written)


def problems(mapping: Mapping) -> Iterator[str]:
    """Say what of a mapping cannot be had: other matches, names of other meaning, former positions alone."""
    if mapping.file.account.match != "userPrincipalName":
        yield (
            f"account: match is {mapping.file.account.match}; in the contract preview item ids are made of the user"
            " principal name, so people are matched by userPrincipalName"
        )
    taken = {name.casefold() for name in (*MARKS, *_ENTITIES.values())}
    for part in mapping.file.property:
        if part.label is None and part.name.casefold() in taken:
            yield f"property {part.name}: in the contract preview this name is not free for a custom property"
    labels = {part.label for part in mapping.file.property}
    if "personWorkPositions" in labels and "personCurrentPosition" not in labels:
        yield (
            "in the contract preview former positions (personWorkPositions) stand behind the current one;"
            " a property must have the label personCurrentPosition"
        )


def schema(mapping: Mapping) -> dict[str, Any]:
    """Return the schema: the four properties that must be there, then the mapping's; every one is a string."""
    elsewhere = ("personAccount", "personWorkPositions")  # Both share a name with what stands in the schema anyway.
    parts = [part for part in mapping.file.property if part.label not in elsewhere]
    core = [{"name": name, "type": "string"} for name in ("connectionId", "externalId", "oid", "accounts")]
    return {"baseType": "microsoft.graph.externalItem", "properties": [*core, *map(_property, parts)]}


def _property(part: PropertyPart) -> dict[str, Any]:
    described = {"description": part.description} if part.label is None and part.description else {}
    return {"name": name_of(part), "type": "string"} | described


def name_of(part: PropertyPart) -> str:
    """Return what a property is called in an item: with a label, by the profile's collection."""
    return part.name if part.label is None else _ENTITIES[part.label]


def item(content: Content) -> bytes:
    """Return the body of a person's PUT. Entities stand in the order of the mapping, so equal content is equal bytes.

    Their JSON is plain ASCII, as the walkthrough's serialiser writes it. Whether Graph asks for the type specifier
    beside what is escaped in it is not documented, so it stands there too, as beside any text beyond ASCII:
    https://learn.microsoft.com/graph/api/externalconnectors-externalconnection-put-items
    """
    properties: dict[str, Any] = {
        "connectionId": content.connection_id,
        "externalId": content.item_id,
        "oid": content.account.id,
    }
    for name, value in properties_of(content.mapping, content.filled).items():
        plain = value if isinstance(value, str) else _array(value, escaped=False)
        if not plain.isascii():
            properties[f"{name}@odata.type"] = "String"
        properties[name] = value if isinstance(value, str) else _array(value, escaped=True)
    return orjson.dumps({"id": content.item_id, "acl": _EVERYONE, "properties": properties})


def properties_of(mapping: Mapping, filled: Dict[str, Any]) -> dict[str, str | list[dict[str, Any]]]:
    """Return what an item says of a person, by its names there: text, or the entities of a collection."""
    parts = {part.name: part for part in mapping.file.property}
    gathered = _with_former_positions(filled, {name: part.label for name, part in parts.items()})
    return {
        name_of(parts[name]): value if isinstance(value, str | list) else [value] for name, value in gathered.items()
    }


def _with_former_positions(filled: Dict[str, Any], labels: Dict[str, str | None]) -> Dict[str, Any]:
    """Put the former positions behind the current one; without one they are left out: the first would pass for it.

    https://learn.microsoft.com/graph/api/resources/profile has one collection for both.
    """
    former = next((name for name in filled if labels[name] == "personWorkPositions"), None)
    if former is None:
        return filled
    others = {name: value for name, value in filled.items() if name != former}
    return {
        name: [value, *filled[former]] if labels[name] == "personCurrentPosition" else value
        for name, value in others.items()
    }


def _array(entities: list[dict[str, Any]], *, escaped: bool) -> str:
    return json.dumps(entities, separators=(",", ":"), ensure_ascii=escaped)
