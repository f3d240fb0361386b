"""Every operation the simulator knows, with the permissions that open it.

Permissions are those of the operations' own documentation pages [certain] and of
https://learn.microsoft.com/graph/permissions-reference [certain].
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.tenant.graph import connections, items, people, users

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.tenant.wire import Reply

_CONNECT = frozenset({"ExternalConnection.ReadWrite.OwnedBy", "ExternalConnection.ReadWrite.All"})
_LOOK = _CONNECT | {"ExternalConnection.Read.All"}
_ITEM = frozenset({"ExternalItem.ReadWrite.OwnedBy", "ExternalItem.ReadWrite.All"})
_ITEM_READ = _ITEM | {"ExternalItem.Read.All"}
_PEOPLE = frozenset({"PeopleSettings.ReadWrite.All"})
_PEOPLE_READ = _PEOPLE | {"PeopleSettings.Read.All"}
_USER = frozenset({"User.ReadBasic.All", "User.Read.All", "User.ReadWrite.All", "Directory.Read.All"})


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path, the handler behind it, and the roles of which the caller needs one."""

    method: str
    path: re.Pattern[str]
    handler: Callable[..., Reply]
    roles: frozenset[str]


def _route(method: str, path: str, handler: Callable[..., Reply], roles: frozenset[str]) -> Route:
    return Route(method, re.compile(path.replace("{}", "([^/]+)")), handler, roles)


_CONNECTION = "/external/connections/{}"
_SOURCE = r"/admin/people/profileSources(/[^/()]+|\(sourceId='[^']+'\))"
_SETTING = "/admin/people/profilePropertySettings"

ROUTES = [
    _route("PUT", f"{_CONNECTION}/items/{{}}", items.put_item, _ITEM),
    _route("GET", f"{_CONNECTION}/items/{{}}", items.get_item, _ITEM_READ),
    _route("DELETE", f"{_CONNECTION}/items/{{}}", items.delete_item, _ITEM),
    _route("GET", f"{_CONNECTION}/items", items.refuse_listing, _ITEM_READ),
    _route("GET", "/users", users.list_users, _USER),
    _route("GET", r"/users/\$count", users.count_users, _USER),
    _route("GET", "/users/{}", users.get_user, _USER),
    _route("POST", "/external/connections", connections.create_connection, _CONNECT),
    _route("GET", "/external/connections", connections.list_connections, _LOOK),
    _route("GET", _CONNECTION, connections.get_connection, _LOOK),
    _route("PATCH", _CONNECTION, connections.update_connection, _CONNECT),
    _route("DELETE", _CONNECTION, connections.delete_connection, _CONNECT),
    _route("PATCH", f"{_CONNECTION}/schema", connections.register_schema, _CONNECT),
    _route("GET", f"{_CONNECTION}/schema", connections.get_schema, _CONNECT),
    _route("GET", f"{_CONNECTION}/operations/{{}}", connections.get_operation, _CONNECT),
    _route("GET", "/admin/people/profileSources", people.list_sources, _PEOPLE_READ),
    _route("POST", "/admin/people/profileSources", people.create_source, _PEOPLE),
    _route("GET", _SOURCE, people.get_source, _PEOPLE_READ),
    _route("PATCH", _SOURCE, people.update_source, _PEOPLE),
    _route("DELETE", _SOURCE, people.delete_source, _PEOPLE),
    _route("GET", _SETTING, people.list_settings, _PEOPLE_READ),
    _route("POST", _SETTING, people.create_setting, _PEOPLE),
    _route("PATCH", f"{_SETTING}/{{}}", people.update_setting, _PEOPLE),
    _route("DELETE", f"{_SETTING}/{{}}", people.delete_setting, _PEOPLE),
]


def find(method: str, path: str) -> tuple[Route, tuple[Any, ...]] | None:
    """Return the route of a request and what its path names."""
    for route in ROUTES:
        if route.method == method and (match := route.path.fullmatch(path)):
            return route, match.groups()
    return None
