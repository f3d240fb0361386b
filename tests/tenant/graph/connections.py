"""External connections, their schemas and the operations that register them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tests.tenant.graph.replies import Refusal, denied, malformed, not_found
from tests.tenant.graph.schemas import check_schema, merged_schema, schema_json, together
from tests.tenant.graph.state import Connection, Json, Operation
from tests.tenant.wire import Reply, json_reply

if TYPE_CHECKING:
    from tests.tenant.graph.call import Call
    from tests.tenant.graph.simulator import GraphSimulator

_RESERVED = frozenset({
    "none", "directory", "exchange", "exchangearchive", "linkedin", "mailbox", "onedrivebusiness", "sharepoint",
    "teams", "yammer", "connectors", "taskfabric", "powerbi", "assistant", "topicengine", "msft_all_connectors",
})  # fmt: skip


def authorized(graph: GraphSimulator, call: Call, connection_id: str, *, everything: str) -> Connection:
    """Return the connection when the caller may use it; ``everything`` is the role that needs no authorisation.

    https://learn.microsoft.com/graph/connecting-external-content-manage-connections: "You can only view and manage
    the connections that you created or were explicitly authorized to manage." [certain; likely: that it is a 403]
    """
    connection = graph.connections.get(connection_id)
    if connection is None:
        raise not_found(f"there is no connection {connection_id!r}")
    connection.settle(graph.clock.monotonic())
    if call.client_id not in connection.authorized and everything not in call.roles:
        raise denied(f"app {call.identity!r} is not in authorizedAppIds of {connection_id!r}")
    return connection


def create_connection(graph: GraphSimulator, call: Call) -> Reply:
    """Create a connection in state draft; the calling app is authorised by the service itself.

    https://learn.microsoft.com/graph/api/externalconnectors-external-post-connections [certain;
    likely: the added app id, the 409's code]
    """
    body = call.json_object()
    _check_id(body.get("id"))
    for name in graph.rules.connection_required:
        if not isinstance(body.get(name), str) or not body[name]:
            raise malformed(f"{name} is required")
    _check_members(body, allowed={"id"} | graph.rules.connection_changeable | graph.rules.connection_fixed)
    category = graph.rules.category(body)
    if category is not None and graph.ignores_content_category:
        category = "uncategorized"
    if body["id"] in graph.connections:
        text = "A connection with this id already exists."
        raise Refusal(409, "Conflict", text)
    if graph.clock.monotonic() < graph.ids_free_at.get(body["id"], 0):
        raise Refusal(409, "Conflict", "The connection is being deleted.")
    connection = Connection(
        id=body["id"],
        name=body["name"],
        description=body.get("description"),
        category=category,
        owner=call.client_id,
        authorized=[call.client_id],
    )
    if not graph.ignores_authorized_app_ids:
        connection.authorized = _app_ids(body, connection.owner)
    graph.connections[connection.id] = connection
    return json_reply(201, _connection_json(graph, connection))


def list_connections(graph: GraphSimulator, call: Call) -> Reply:
    """List the connections that the caller may see.

    https://learn.microsoft.com/graph/api/externalconnectors-external-list-connections [certain]
    """
    everything = call.roles & {"ExternalConnection.ReadWrite.All", "ExternalConnection.Read.All"}
    found = [c for c in graph.connections.values() if everything or call.client_id in c.authorized]
    return json_reply(200, {"value": [_connection_json(graph, connection) for connection in found]})


def get_connection(graph: GraphSimulator, call: Call, connection_id: str) -> Reply:
    """Return a connection.

    https://learn.microsoft.com/graph/api/externalconnectors-externalconnection-get [certain]
    """
    everything = "ExternalConnection.Read.All" if "ExternalConnection.Read.All" in call.roles else _ALL
    return json_reply(200, _connection_json(graph, authorized(graph, call, connection_id, everything=everything)))


_ALL = "ExternalConnection.ReadWrite.All"


def update_connection(graph: GraphSimulator, call: Call, connection_id: str) -> Reply:
    """Change name, description or configuration; nothing else is documented to be changeable.

    https://learn.microsoft.com/graph/api/externalconnectors-externalconnection-update [certain: the three members;
    unknown: whether authorizedAppIds merges or replaces (``merges_authorized_app_ids``), whether the creator stays]
    """
    connection = authorized(graph, call, connection_id, everything=_ALL)
    body = call.json_object()
    _check_members(body, allowed=graph.rules.connection_changeable)
    connection.name = body.get("name", connection.name)
    connection.description = body.get("description", connection.description)
    if "configuration" in body and not graph.ignores_authorized_app_ids:
        listed = _app_ids(body, connection.owner if graph.keeps_creator else None)
        former = connection.authorized if graph.merges_authorized_app_ids else []
        connection.authorized = list(dict.fromkeys([*former, *listed]))
    return Reply(204)


def delete_connection(graph: GraphSimulator, call: Call, connection_id: str) -> Reply:
    """Delete a connection with all its items; its id is free again only later.

    https://learn.microsoft.com/graph/api/externalconnectors-externalconnection-delete [certain; likely: the id's delay]
    """
    authorized(graph, call, connection_id, everything=_ALL)
    del graph.connections[connection_id]
    graph.ids_free_at[connection_id] = graph.clock.monotonic() + graph.id_reuse_seconds
    return Reply(204)


def register_schema(graph: GraphSimulator, call: Call, connection_id: str) -> Reply:
    """Begin registering a schema: 202 and the operation's address. Once registered, it only grows.

    https://learn.microsoft.com/graph/api/externalconnectors-externalconnection-patch-schema [certain; likely: 400
    UpdateNotAllowed for everything but additions; unknown: 409 while another registration is under way]
    """
    connection = authorized(graph, call, connection_id, everything=_ALL)
    now = graph.clock.monotonic()
    if connection.registering(now) and not graph.takes_second_registration:
        raise Refusal(409, "Conflict", "Another schema operation is in progress.")
    graph.rules.check_registration(call.request.headers)
    wanted = check_schema(call.json_object(), graph.rules)
    if connection.schema is None:
        properties = wanted
    elif graph.merges_schemas:
        properties = together(connection.schema, wanted, graph.rules)
    else:
        properties = merged_schema(connection.schema, wanted)
    operation = Operation(graph.new_id(), now + graph.schema_seconds, properties, graph.take_schema_failure())
    connection.operations[operation.id] = operation
    base = f"{call.request.base}/{graph.rules.version}"
    location = f"{base}/external/connections/{connection_id}/operations/{operation.id}"
    return Reply(202, headers={"location": location})


def get_schema(graph: GraphSimulator, call: Call, connection_id: str) -> Reply:
    """Return the registered schema; labels newer than the enumeration's first edition need a Prefer header.

    https://learn.microsoft.com/graph/api/externalconnectors-schema-get [certain; likely: unknownFutureValue without
    ``Prefer: include-unknown-enum-members``; unknown: 404 before the first registration]
    """
    connection = authorized(graph, call, connection_id, everything=_ALL)
    if connection.schema is None:
        if graph.shows_empty_schemas:
            return json_reply(200, {"id": connection.id, **schema_json([], masked=False)})
        raise not_found(f"{connection_id!r} has no schema yet")
    known = "include-unknown-enum-members" in call.request.headers.get("prefer", "")
    masked = graph.masks_new_labels and not known
    return json_reply(200, {"id": connection.id, **schema_json(connection.schema, masked=masked)})


def get_operation(graph: GraphSimulator, call: Call, connection_id: str, operation_id: str) -> Reply:
    """Return a schema operation's status.

    https://learn.microsoft.com/graph/api/externalconnectors-connectionoperation-get [certain]
    """
    connection = authorized(graph, call, connection_id, everything=_ALL)
    operation = connection.operations.get(operation_id)
    if operation is None:
        raise not_found(f"{connection_id!r} has no operation {operation_id!r}")
    body: Json = {"id": operation.id, "status": "completed", "error": None}
    if not operation.settled:
        body["status"] = "inprogress"
    elif operation.error is not None:
        body |= {"status": "failed", "error": {"message": operation.error}}
    return json_reply(200, body)


def _connection_json(graph: GraphSimulator, connection: Connection) -> Json:
    connection.settle(graph.clock.monotonic())
    return {
        "id": connection.id,
        "name": connection.name,
        "description": connection.description,
        "state": connection.state,
        "configuration": {"authorizedAppIds": connection.authorized},
        **graph.rules.connection_shown(connection),
    }


def _check_id(connection_id: object) -> None:
    """Hold to the rules for ids.

    https://learn.microsoft.com/graph/api/resources/externalconnectors-externalconnection [certain; unknown: case of
    the reserved words]
    """
    if not isinstance(connection_id, str) or not re.fullmatch(r"[A-Za-z0-9]{3,32}", connection_id):
        raise malformed("the connection id must be 3 to 32 letters and digits")
    if connection_id.casefold().startswith("microsoft") or connection_id.casefold() in _RESERVED:
        raise malformed(f"the connection id {connection_id!r} is reserved")


def _check_members(body: Json, *, allowed: frozenset[str] | set[str]) -> None:
    if unknown := set(body) - allowed - {"@odata.type"}:
        raise malformed(f"members that cannot be set: {sorted(unknown)}")
    for name, longest in (("name", 128), ("description", None)):
        text = body.get(name, "")
        if not isinstance(text, str) or len(text[:longest]) < len(text):
            raise malformed(f"{name} is not a text of acceptable length")


def _app_ids(body: Json, owner: str | None) -> list[str]:
    configuration: Any = body.get("configuration") or {}
    wanted = configuration.get("authorizedAppIds", []) if isinstance(configuration, dict) else None
    if not isinstance(wanted, list) or not all(_is_guid(app_id) for app_id in wanted):
        raise malformed("configuration.authorizedAppIds must be a list of application ids")
    return list(dict.fromkeys([*wanted, owner] if owner else wanted))


def _is_guid(text: object) -> bool:
    try:
        return isinstance(text, str) and bool(UUID(text))
    except ValueError:
        return False
