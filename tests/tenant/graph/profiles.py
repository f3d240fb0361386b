"""What people would see: every source's values, composed in the order of the priority list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.tenant.graph.people import source_ids
from tests.tenant.graph.reading import Ignored, Reading
from tests.tenant.graph.state import ENTRA_SOURCE, User

if TYPE_CHECKING:
    from tests.tenant.graph.simulator import GraphSimulator
    from tests.tenant.graph.state import Connection, Item, Json


def priorities(graph: GraphSimulator) -> list[str]:
    """Return the source ids of the global setting, highest first; none when there is no such setting."""
    return next((source_ids(setting) for setting in graph.settings.values() if setting.name is None), [])


def compose(graph: GraphSimulator) -> tuple[dict[str, Json], list[Ignored]]:
    """Return the profiles by UPN, and everything that did not get into them.

    A profile maps labels to entities (single-value labels) or lists of entities, and ``custom`` to the properties
    without a label. Single values: for each field the highest source that has one, and ``""`` is one. Multi values:
    all sources' entries, highest first, without exact duplicates.
    https://learn.microsoft.com/graph/profilepriority-configure-profilepropertysetting [certain]
    """
    ignored: list[Ignored] = []
    found = {source: _from_connection(graph, source, ignored) for source in graph.connections}
    order = list(dict.fromkeys(source for source in priorities(graph) if source in graph.sources)) or [ENTRA_SOURCE]
    profiles: dict[str, Json] = {}
    for user in graph.users.values():
        if not user.mailbox:
            continue  # a profile lives in the mailbox
        profile: Json = {}
        for source in order:
            contribution = _from_entra(user) if source == ENTRA_SOURCE else found.get(source, {}).get(user.id, {})
            profile = _merged(profile, contribution)
        profiles[user.upn] = profile
    return profiles, ignored


def _from_connection(graph: GraphSimulator, source: str, ignored: list[Ignored]) -> dict[str, Json]:
    """Return what one connection contributes, by the user's object id."""
    connection = graph.connections[source]
    connection.settle(graph.clock.monotonic())
    contributions: dict[str, tuple[Item, Json]] = {}
    for item in connection.items.values():
        problem = _source_problem(graph, connection, item)
        entities = graph.rules.read(connection, item, Reading(item.id, ignored))
        user = None if problem else _account(graph, entities.pop("personAccount", {}))
        if isinstance(user, User):
            former = contributions.get(user.id)
            if former is not None:
                older = min(former[0], item, key=lambda one: one.put_at)
                ignored.append(Ignored(older.id, None, "another item is for the same account"))
            if former is None or former[0].put_at <= item.put_at:
                contributions[user.id] = (item, entities)
        else:
            ignored.append(Ignored(item.id, None, problem or user or ""))
    return {object_id: entities for object_id, (_, entities) in contributions.items()}


def _source_problem(graph: GraphSimulator, connection: Connection, item: Item) -> str | None:
    """Say why nothing of this item can reach a profile.

    https://learn.microsoft.com/microsoft-365-copilot/extensibility/build-connectors-with-people-data [certain: one of
    people, registered and prioritised source; likely: the wait after registration, from field reports; unknown:
    whether a custom stringCollection still breaks the export]
    """
    if problem := graph.rules.not_of_people(connection):
        return problem
    source = graph.sources.get(connection.id)
    if source is None:
        return "the connection is not registered as a profile source"
    if connection.id not in priorities(graph):
        return "the profile source is not prioritised"
    if graph.breaks_on_custom_collections and any(_custom_collection(prop) for prop in connection.schema or []):
        return "a property without a label is a stringCollection, which breaks the connection's export"
    if item.put_at < source.registered_at + graph.settle_seconds:
        return "the item was put too soon after the profile source was registered"
    return None


def _custom_collection(prop: Json) -> bool:
    return bool(prop["type"] == "stringCollection" and not prop.get("labels"))


def _account(graph: GraphSimulator, account: Json) -> User | str:
    """Return the user of an account object, or why there is none.

    https://learn.microsoft.com/microsoft-365-copilot/extensibility/build-connectors-with-people-data [certain:
    unmatched and mailbox-less accounts are ignored; unknown: guests, and which of two contradicting ids counts]
    """
    by_id = graph.users.get(account.get("externalDirectoryObjectId", ""))
    by_upn = graph.user_by_upn(account.get("userPrincipalName", ""))
    user = (by_upn if "userPrincipalName" in account else by_id) if graph.prefers_upn else by_id or by_upn
    if user is None:
        return "no user has this account"
    if user.guest:
        return "the user is a guest"
    if not user.mailbox:
        return "the user has no mailbox"
    return user


def _merged(higher: Any, lower: Any) -> Any:
    """Return both, field by field, with the higher source's value wherever it has one."""
    if isinstance(higher, dict) and isinstance(lower, dict):
        together = {name: _merged(higher[name], lower[name]) for name in higher.keys() & lower.keys()}
        return {**lower, **higher, **together}
    if isinstance(higher, list) and isinstance(lower, list):
        return [*higher, *(one for one in lower if one not in higher)]
    return higher


def _from_entra(user: User) -> Json:
    """Return what Entra knows of a user, in the profile's shape.

    https://learn.microsoft.com/graph/people-data-sources [certain: that Entra is a source; likely: which attributes]
    """
    known = user.attributes
    company = _given(known, displayName="companyName", department="department", officeLocation="officeLocation")
    detail = _given(known, jobTitle="jobTitle", employeeId="employeeId") | ({"company": company} if company else {})
    phones = [{"number": number, "type": "business"} for number in known.get("businessPhones", [])]
    if known.get("mobilePhone"):
        phones.append({"number": known["mobilePhone"], "type": "mobile"})
    profile = {
        "personName": _given(known, displayName="displayName", first="givenName", last="surname"),
        "personCurrentPosition": {"detail": detail} if detail else {},
        "personEmails": [{"address": user.mail, "type": "work"}] if user.mail else [],
        "personPhones": phones,
    }
    return {label: value for label, value in profile.items() if value}


def _given(known: Json, **names: str) -> Json:
    return {field: known[attribute] for field, attribute in names.items() if known.get(attribute)}
