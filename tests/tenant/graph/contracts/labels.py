"""Today's contract: a content category, and semantic labels on freely named properties."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.tenant.graph.contracts.contract import Contract
from tests.tenant.graph.replies import malformed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.tenant.graph.reading import Reading
    from tests.tenant.graph.state import Connection, Item, Json

TYPES = {
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

_CATEGORIES = frozenset({
    "uncategorized", "knowledgeBase", "wikis", "fileRepository", "qna", "crm", "dashboard", "people", "media", "email",
    "messaging", "meetingTranscripts", "taskManagement", "learningManagement",
})  # fmt: skip


def _category(body: Json) -> str:
    """Return the content category, uncategorized unless given.

    https://learn.microsoft.com/graph/api/resources/externalconnectors-externalconnection [certain]
    """
    category = body.get("contentCategory", "uncategorized")
    if category not in _CATEGORIES:
        raise malformed(f"contentCategory {category!r} is not in the enumeration")
    return str(category)


def _shown(connection: Connection) -> Json:
    return {"contentCategory": connection.category}


def _not_of_people(connection: Connection) -> str | None:
    """Say so when the connection has another category.

    https://learn.microsoft.com/microsoft-365-copilot/extensibility/build-connectors-with-people-data [certain]
    """
    return None if connection.category == "people" else "the connection's content category is not people"


def _check_registration(_headers: Mapping[str, str]) -> None:
    """Accept a registration whatever it prefers: no header is documented.

    https://learn.microsoft.com/graph/api/externalconnectors-externalconnection-patch-schema [certain]
    """


def _check_properties(properties: list[Json]) -> None:
    """Hold to the rules for labels, one of which marks the account.

    https://learn.microsoft.com/microsoft-365-copilot/extensibility/build-connectors-with-people-data [certain]
    """
    for prop in properties:
        _check_labels(prop)
    labels = [label for prop in properties for label in prop.get("labels") or []]
    if len(set(labels)) != len(labels):
        raise malformed("a label is on two properties")
    if labels.count("personAccount") != 1:
        raise malformed("exactly one property must have the label personAccount")


def _check_labels(prop: Json) -> None:
    name, kind, labels = prop["name"], prop["type"], prop.get("labels") or []
    if len(labels) > 1:
        raise malformed(f"property {name} has more than one label")
    for label in labels:
        if label not in TYPES:
            raise malformed(f"label {label!r} is not supported for people")
        if TYPES[label] != kind:
            raise malformed(f"label {label} goes on {TYPES[label]}, not on {kind}")


def _check_acl(acl: Any) -> None:
    """Hold to the one access list that people data may have: everyone.

    https://learn.microsoft.com/microsoft-365-copilot/extensibility/build-connectors-with-people-data [certain: must be
    everyone; likely: that another list is refused rather than ignored; the value's text is free]
    """
    if not isinstance(acl, list) or not acl:
        raise malformed("acl is required")
    one = acl[0]
    if len(acl) != 1 or not isinstance(one, dict) or one.get("type") != "everyone" or one.get("accessType") != "grant":
        raise malformed("acl must be one grant to everyone")
    if not isinstance(one.get("value"), str) or not one["value"]:
        raise malformed("acl has no value")


def _check_content(_connection: Connection, _properties: Json) -> None:
    """Accept items without any particular property: one without an account is ignored later, not refused.

    https://learn.microsoft.com/microsoft-365-copilot/extensibility/build-connectors-with-people-data [likely]
    """


def _read(connection: Connection, item: Item, reading: Reading) -> Json:
    """Return an item's entities by the labels of its properties, as far as they can be read.

    https://learn.microsoft.com/microsoft-365-copilot/extensibility/build-connectors-with-people-data [certain]
    """
    entities: Json = {}
    labels = {prop["name"]: (prop.get("labels") or [None])[0] for prop in connection.schema or []}
    for name, value in item.body["properties"].items():
        if name.endswith("@odata.type"):
            continue
        label = labels[name]
        if label is None:
            entities.setdefault("custom", {})[name] = value
            continue
        texts = [value] if isinstance(value, str) else value
        found = [one for text in texts for one in reading.json(name, text, dict, "a JSON object")]
        taken = reading.entities(name, label, found)
        if taken:
            entities[label] = taken[0] if isinstance(value, str) else taken
    return entities


_SOURCE_MEMBERS = frozenset({"displayName", "kind", "webUrl", "localizations", "@odata.type"})
"""https://learn.microsoft.com/graph/api/resources/profilesource [certain]"""

LABELS = Contract(
    version="v1.0",
    versions=frozenset({"v1.0", "beta"}),
    connection_required=("name", "description"),
    connection_changeable=frozenset({
        "name", "description", "configuration", "enabledContentExperiences", "activitySettings", "searchSettings"
    }),
    connection_fixed=frozenset({"contentCategory", "connectorId"}),
    category=_category,
    connection_shown=_shown,
    not_of_people=_not_of_people,
    source_members=_SOURCE_MEMBERS,
    check_registration=_check_registration,
    property_members=frozenset({
        "name", "type", "labels", "aliases", "description", "rankingHint", "isSearchable", "isQueryable",
        "isRetrievable", "isRefinable",
    }),
    check_properties=_check_properties,
    item_id=re.compile(r"[A-Za-z0-9]{1,128}"),
    check_acl=_check_acl,
    check_content=_check_content,
    read=_read,
)  # fmt: skip
"""https://learn.microsoft.com/microsoft-365-copilot/extensibility/build-connectors-with-people-data

Item ids: https://learn.microsoft.com/graph/api/resources/externalconnectors-externalitem [certain: alphanumeric, at
most 128]. Both versions: their addresses are equivalent [certain]."""
