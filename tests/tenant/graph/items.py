"""External items: one per person."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from tests.tenant.graph.connections import authorized
from tests.tenant.graph.replies import Refusal, bad_request, malformed, not_found
from tests.tenant.graph.state import Connection, Item, Json
from tests.tenant.wire import Reply, json_reply

if TYPE_CHECKING:
    from tests.tenant.graph.call import Call
    from tests.tenant.graph.contracts import Contract
    from tests.tenant.graph.simulator import GraphSimulator

_MEMBERS = {"id", "acl", "properties", "content", "@odata.type"}
_MAX_BODY = 30 * 1024 * 1024
_NOBODY = "no role opens a connection that did not authorise the app"

_SPECIFIERS = {
    "stringCollection": "Collection(String)",
    "int64Collection": "Collection(Int64)",
    "doubleCollection": "Collection(Double)",
    "dateTimeCollection": "Collection(DateTimeOffset)",
}


def put_item(graph: GraphSimulator, call: Call, connection_id: str, item_id: str) -> Reply:
    """Create an item, or replace all its properties; 200 either way, only an update answers with the item.

    https://learn.microsoft.com/graph/api/externalconnectors-externalconnection-put-items [certain]
    https://learn.microsoft.com/graph/api/externalconnectors-externalitem-update [certain: properties are replaced]
    """
    connection = authorized(graph, call, connection_id, everything=_NOBODY)
    stands = _standing(graph, connection, item_id)
    _check_state(connection, creating=stands is None)
    _check_id(item_id, graph.rules)
    if len(call.request.body) > _MAX_BODY:
        raise Refusal(413, "RequestEntityTooLarge", "The request body is larger than 30 MB.")
    body = call.json_object()
    _check_body(connection, item_id, body, graph.rules)
    stored = {"id": stands or item_id, "acl": body["acl"], "properties": body["properties"]}
    connection.items[stands or item_id] = Item(stands or item_id, stored, graph.clock.monotonic())
    return json_reply(200, stored) if stands else Reply(200)


def get_item(graph: GraphSimulator, call: Call, connection_id: str, item_id: str) -> Reply:
    """Return an item as it was put.

    https://learn.microsoft.com/graph/api/externalconnectors-externalitem-get [certain]
    """
    connection = authorized(graph, call, connection_id, everything="ExternalItem.Read.All")
    stands = _standing(graph, connection, item_id)
    if stands is None:
        raise not_found(f"{connection_id!r} has no item {item_id!r}")
    return json_reply(200, connection.items[stands].body)


def delete_item(graph: GraphSimulator, call: Call, connection_id: str, item_id: str) -> Reply:
    """Delete an item.

    https://learn.microsoft.com/graph/api/externalconnectors-externalitem-delete [certain; likely: 404 when absent]
    """
    connection = authorized(graph, call, connection_id, everything=_NOBODY)
    _check_state(connection)
    stands = _standing(graph, connection, item_id)
    if stands is None:
        raise not_found(f"{connection_id!r} has no item {item_id!r}")
    del connection.items[stands]
    return Reply(204)


def _standing(graph: GraphSimulator, connection: Connection, item_id: str) -> str | None:
    """Return the id under which an item stands, as it was first put; None when there is none.

    https://learn.microsoft.com/graph/api/resources/externalconnectors-externalitem [unknown: whether ids that differ
    in upper and lower case only are the same]
    """
    if item_id in connection.items or not graph.folds_item_ids:
        return item_id if item_id in connection.items else None
    return next((known for known in connection.items if known.casefold() == item_id.casefold()), None)


def refuse_listing(graph: GraphSimulator, call: Call, connection_id: str) -> Reply:
    """Refuse to list items: there is no such operation.

    https://learn.microsoft.com/graph/api/resources/externalconnectors-externalitem [certain: no method; likely: 405]
    """
    text = "Specified HTTP method is not allowed for the request target."
    raise Refusal(405, "Request_BadRequest", text)


def _check_state(connection: Connection, *, creating: bool = False) -> None:
    """Hold to the states in which items may be created, and in which changed or deleted.

    https://learn.microsoft.com/graph/connecting-external-content-manage-connections [certain; unknown: the code]
    """
    if connection.state not in ({"ready"} if creating else {"ready", "limitExceeded"}):
        text = f"The connection is in state {connection.state}."
        raise bad_request(text)


def _check_id(item_id: str, rules: Contract) -> None:
    """Hold to the rules for item ids.

    https://learn.microsoft.com/graph/api/resources/externalconnectors-externalitem [certain: alphanumeric, at most 128]
    """
    if not rules.item_id.fullmatch(item_id):
        raise malformed(f"an item id must match {rules.item_id.pattern}")


def _check_body(connection: Connection, item_id: str, body: Json, rules: Contract) -> None:
    if not body.keys() <= _MEMBERS:
        raise malformed(f"unknown members: {sorted(body.keys() - _MEMBERS)}")
    if body.get("id", item_id) != item_id:
        raise malformed("the body's id is not the id in the address")
    rules.check_acl(body.get("acl"))
    properties = body.get("properties")
    if not isinstance(properties, dict) or not properties:
        raise malformed("properties are required, at least one")
    types = connection.types
    for name, value in properties.items():
        if name.endswith("@odata.type"):
            if name[:-11] not in properties:
                raise malformed(f"{name} specifies a property that is not there")
            continue
        kind = types.get(name)
        if kind is None:
            raise _mismatch(name, "the schema has no such property")
        _check_value(name, kind, value, properties.get(f"{name}@odata.type"))
    rules.check_content(connection, properties)


def _check_value(name: str, kind: str, value: Any, specifier: Any) -> None:
    """Hold values to the schema's types, and their type specifiers to the documentation.

    https://learn.microsoft.com/graph/api/externalconnectors-externalconnection-put-items [certain: specifiers are
    required; likely: that their absence is refused]
    """
    if kind == "string":
        if not isinstance(value, str):
            raise _mismatch(name, "a string is wanted")
        if specifier is None and not value.isascii():
            raise _mismatch(name, "non-ASCII text needs the specifier String")
        if specifier not in (None, "String"):
            raise _mismatch(name, "the specifier must be String")
    elif kind in _SPECIFIERS:
        if specifier != _SPECIFIERS[kind]:
            raise _mismatch(name, f"the specifier must be {_SPECIFIERS[kind]}")
        if not isinstance(value, list) or not all(_fits(kind.removesuffix("Collection"), one) for one in value):
            raise _mismatch(name, f"a list is wanted whose values fit {kind}")
    elif not _fits(kind, value):
        raise _mismatch(name, f"{kind} is wanted")


def _fits(kind: str, value: Any) -> bool:
    match kind:
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "int64":
            return isinstance(value, int) and not isinstance(value, bool)
        case "double":
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        case _:
            return isinstance(value, str) and _is_moment(value)


def _is_moment(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _mismatch(name: str, reason: str) -> Refusal:
    text = f"Property {name} in payload has a value that does not match schema."
    return bad_request(text, reason=f"{name}: {reason}")
