"""The contract of Microsoft's first walkthrough, dated 2025-06-09: what it sends is accepted, and nothing of today's.

https://learn.microsoft.com/microsoft-365-copilot/extensibility/build-connectors-with-people-data (as of that day) shows
requests and says little about what happens to others. [certain] is what it says or sends, [unknown] that another
request is refused: the simulator refuses it, so that ours cannot drift from the walkthrough's unseen.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.tenant.graph.contracts.contract import Contract
from tests.tenant.graph.replies import malformed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.tenant.graph.reading import Reading
    from tests.tenant.graph.state import Connection, Item, Json

CORE = ("connectionId", "externalId", "oid", "accounts")
"""Properties that every schema of people and every item must have [certain: "must be present"]."""

ACL = [{"accessType": "grant", "type": "everyone", "value": "EVERYONE"}]
"""The only access list: "must be set exactly as shown" [certain]."""

ENTITIES = {
    "addresses": "personAddresses", "anniversaries": "personAnniversaries",
    "awards": "personAwards", "certifications": "personCertifications",
    "educationalActivities": "personEducationalActivities", "emails": "personEmails", "interests": "personInterests",
    "languages": "personLanguages", "names": "personName", "notes": "personNote", "patents": "personPatents",
    "phones": "personPhones", "positions": "personCurrentPosition", "projects": "personProjects",
    "publications": "personPublications", "skills": "personSkills", "webAccounts": "personWebAccounts",
    "websites": "personWebSite",
}  # fmt: skip
"""The names that mean an entity besides ``accounts``, and the label that means it today. Any other name is custom.

The walkthrough names accounts, positions and skills [certain] and left the list to be finished; the others are the
collections of https://learn.microsoft.com/graph/api/resources/profile [likely]."""

_ONE = frozenset({"personCurrentPosition", "personName", "personNote", "personWebSite"})
"""Labels of which a profile shows one; the collection's first entry is it [unknown]."""


def _category(_body: Json) -> None:
    """Return that there is no category: nothing but the schema marks a connection of people [certain]."""


def _shown(_connection: Connection) -> Json:
    return {}


def _not_of_people(connection: Connection) -> str | None:
    """Say so when the schema lacks what makes a connection "recognized as a connection with people" [certain]."""
    missing = [name for name in CORE if name not in connection.types]
    return f"the schema has no {', '.join(missing)}" if missing else None


def _check_registration(headers: Mapping[str, str]) -> None:
    """Want the walkthrough's ``Prefer: respond-async`` [certain: it is sent; unknown: that it is needed]."""
    preferred = {one.strip().casefold() for one in headers.get("prefer", "").split(",")}
    if "respond-async" not in preferred:
        raise malformed("the header Prefer: respond-async is missing")


def _check_properties(properties: list[Json]) -> None:
    """Want the four properties of people, and strings only [certain; unknown: that other schemas are refused]."""
    for prop in properties:
        if prop["type"] != "string":
            raise malformed(f"property {prop['name']} must be a string")
    names = {prop["name"] for prop in properties}
    for name in CORE:
        if name not in names:
            raise malformed(f"a schema of people must have the property {name}")


def _check_acl(acl: Any) -> None:
    """Want the walkthrough's access list, to the letter [certain; unknown: that others are refused, not ignored]."""
    if acl != ACL:
        raise malformed('acl must be one grant to everyone with the value "EVERYONE"')


def _check_content(connection: Connection, properties: Json) -> None:
    """Want the four properties of people in every item [certain; unknown: that an item without is refused]."""
    for name in CORE:
        if not properties.get(name):
            raise malformed(f"property {name} is missing or empty")
    if properties["connectionId"] != connection.id:
        raise malformed("connectionId is not the id of the connection")


def _read(_connection: Connection, item: Item, reading: Reading) -> Json:
    """Return an item's entities by the names of its properties: JSON arrays in strings.

    "Invalid values are ignored", "Any other property are considered a custom property" [certain; likely: that only the
    entry or the field is dropped that is wrong, as today].
    """
    entities = _account(item, reading)
    for name, value in item.body["properties"].items():
        if name.endswith("@odata.type") or name in CORE:
            continue
        label = ENTITIES.get(name)
        if label is None:
            entities.setdefault("custom", {})[name] = value
            continue
        found = reading.entities(name, label, _array(reading, name, value))
        if label not in _ONE:
            entities |= {label: found} if found else {}
        elif found:
            entities |= _first_and_others(reading, name, found)
    return entities


def _account(item: Item, reading: Reading) -> Json:
    """Return the account, unless it is not an array of one with both its ids, or ``oid`` is another's.

    It must have "the `userPrincipalName` and `externalDirectoryObjectId` properties set to values representing the
    person" [certain; likely: that both are needed; unknown: an oid that contradicts]
    """
    properties = item.body["properties"]
    found = reading.entities("accounts", "personAccount", _array(reading, "accounts", properties["accounts"]))
    if len(found) != 1 or not all(found[0].get(name) for name in ("userPrincipalName", "externalDirectoryObjectId")):
        reading.ignore("accounts", "one userPrincipalName and one externalDirectoryObjectId are wanted")
    elif properties["oid"] != found[0]["externalDirectoryObjectId"]:
        reading.ignore("oid", "is not the account's externalDirectoryObjectId")
    else:
        return {"personAccount": found[0]}
    return {}


def _array(reading: Reading, name: str, text: str) -> list[Json]:
    found = []
    for array in reading.json(name, text, list, "a JSON array"):
        for one in array:
            if isinstance(one, dict):
                found.append(one)
            else:
                reading.ignore(name, "an entry is not a JSON object")
    return found


def _first_and_others(reading: Reading, name: str, found: list[Json]) -> Json:
    """Return the entry a profile shows; positions behind the first are the former ones [unknown]."""
    first = {ENTITIES[name]: found[0]}
    if name == "positions" and found[1:]:
        return {**first, "personWorkPositions": found[1:]}
    if found[1:]:
        reading.ignore(name, f"only 1 of {len(found)} are taken")
    return first


PREVIEW = Contract(
    version="beta",
    versions=frozenset({"beta"}),
    connection_required=("name",),
    connection_changeable=frozenset({"name", "description", "configuration"}),
    connection_fixed=frozenset(),
    category=_category,
    connection_shown=_shown,
    not_of_people=_not_of_people,
    source_members=frozenset(
        {"displayName", "webUrl", "@odata.type"}
    ),  # What the walkthrough registers [certain; unknown: that more is refused].
    check_registration=_check_registration,
    property_members=frozenset({"name", "type", "description"}),
    check_properties=_check_properties,
    item_id=re.compile(r"[A-Za-z0-9_-]{1,128}"),
    check_acl=_check_acl,
    check_content=_check_content,
    read=_read,
)
"""The walkthrough's base address and its every request are beta's [certain; likely: that there is no profile source
elsewhere; unknown: that nothing else is]. Connections: id and name are enough [certain]; description and configuration
are those of every connection [likely]. Item ids: the walkthrough has ``_`` in them [certain], field code ``-``
[likely]."""
