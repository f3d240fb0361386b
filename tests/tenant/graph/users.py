"""Users, as far as resolving people needs them."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING, Any

from tests.tenant.graph.replies import Refusal, denied
from tests.tenant.wire import Reply, json_reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.tenant.graph.call import Call
    from tests.tenant.graph.simulator import GraphSimulator
    from tests.tenant.graph.state import Json, User

_PROPERTIES: dict[str, Callable[[User], Any]] = {
    "id": lambda user: user.id,
    "userPrincipalName": lambda user: user.upn,
    "mail": lambda user: user.mail,
    "accountEnabled": lambda user: user.enabled,
    "userType": lambda user: "Guest" if user.guest else "Member",
    "displayName": lambda user: user.attributes.get("displayName"),
    "givenName": lambda user: user.attributes.get("givenName"),
    "surname": lambda user: user.attributes.get("surname"),
    "jobTitle": lambda user: user.attributes.get("jobTitle"),
    "department": lambda user: user.attributes.get("department"),
    "employeeId": lambda user: user.attributes.get("employeeId"),
}
_DEFAULT = ("id", "userPrincipalName", "mail", "displayName", "givenName", "surname", "jobTitle")
_BASIC = frozenset({"id", "userPrincipalName", "mail", "displayName", "givenName", "surname"})
_MAX_CLAUSES = 15
_OBJECT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_VALUE = r"'((?:[^']|'')*)'"
_IN = re.compile(rf"(\w+) in ?\(\s*({_VALUE}(?:\s*,\s*{_VALUE})*)\s*\)")
_EQ = re.compile(rf"(\w+) eq (?:{_VALUE}|(true|false))")
_FILTERABLE = {"id", "userPrincipalName", "mail", "employeeId", "accountEnabled", "userType"}


def list_users(graph: GraphSimulator, call: Call) -> Reply:
    """List users: $filter with eq, or, in; $select; $top of 1 to 999, 100 without it; pages linked by nextLink.

    https://learn.microsoft.com/graph/api/user-list [certain: parameters; likely: bounds of $top and their message]
    """
    parameters = call.request.parameters
    if unknown := set(parameters) - {"$filter", "$select", "$top", "$skiptoken", "$count"}:
        raise _unsupported(f"query parameters the simulator does not know: {sorted(unknown)}")
    selected = _selection(call, parameters)
    page_size = _page_size(parameters)
    users = _filtered(graph, parameters["$filter"]) if "$filter" in parameters else list(graph.users.values())
    begin = int(parameters.get("$skiptoken", "0"))
    page = users[begin : begin + page_size]
    content: Json = {"@odata.context": f"{call.request.base}/{call.version}/$metadata#users"}
    if begin + page_size < len(users):
        kept = "&".join(part for part in call.request.query.split("&") if part and not _is_skiptoken(part))
        link = f"{call.request.base}/{call.version}/users?{kept}&$skiptoken={begin + page_size}"
        content["@odata.nextLink"] = link.replace("?&", "?")
    content["value"] = [_user_json(user, selected) for user in page]
    return json_reply(200, content, x_ms_resource_unit=_cost("$select" in parameters, page_size))


def count_users(graph: GraphSimulator, call: Call) -> Reply:
    """Return how many users there are, as text, to who accepts an index that may lag behind.

    https://learn.microsoft.com/graph/aad-advanced-queries [certain: the header is required; likely: the 400 without it,
    and the byte order mark in front of the number]
    """
    if call.request.headers.get("consistencylevel", "").casefold() != "eventual":
        raise Refusal(400, "Request_BadRequest", "$count is not currently supported.")
    number = codecs.BOM_UTF8 + str(len(graph.users)).encode()
    return Reply(200, number, {"content-type": "text/plain", "x-ms-resource-unit": "1"})


def get_user(graph: GraphSimulator, call: Call, key: str) -> Reply:
    """Return one user by object id or UPN.

    https://learn.microsoft.com/graph/api/user-get [certain]
    """
    selected = _selection(call, call.request.parameters)
    user = graph.users.get(key) or graph.user_by_upn(key)
    if user is None:
        text = f"Resource '{key}' does not exist or one of its queried reference-property objects are not present."
        raise Refusal(404, "Request_ResourceNotFound", text)
    return json_reply(200, _user_json(user, selected), x_ms_resource_unit="1")


def _selection(call: Call, parameters: dict[str, str]) -> tuple[str, ...]:
    """Return the selected properties, held to what the caller's role may read.

    https://learn.microsoft.com/graph/permissions-reference#userreadbasicall [likely: that more is a 403]
    """
    if "$select" not in parameters:
        return tuple(name for name in _DEFAULT if name in _BASIC or call.roles & _FULL)
    selected = tuple(parameters["$select"].split(","))
    for name in selected:
        if name not in _PROPERTIES:
            text = f"Could not find a property named '{name}' on type 'microsoft.graph.user'."
            raise Refusal(400, "BadRequest", text)
    if not call.roles & _FULL and not _BASIC.issuperset(selected):
        raise denied("User.ReadBasic.All reads basic properties only")
    return selected


_FULL = {"User.Read.All", "User.ReadWrite.All", "Directory.Read.All"}


def _page_size(parameters: dict[str, str]) -> int:
    top = parameters.get("$top", "100")
    if not top.isdigit() or not 1 <= int(top) <= 999:
        text = f"Invalid page size specified: '{top}'. Must be between 1 and 999 inclusive."
        raise Refusal(400, "Request_BadRequest", text)
    return int(top)


def _filtered(graph: GraphSimulator, text: str) -> list[User]:
    """Return the users that a filter names: ``in`` and ``eq`` clauses joined by ``or``, at most 15 comparisons.

    ``userPrincipalName``, ``mail`` and ``employeeId`` are texts of any form; an ``id`` that is no GUID is refused, with
    all that is asked for beside it. A ``mail`` or an ``employeeId`` may be that of several users.

    https://learn.microsoft.com/graph/aad-advanced-queries [likely: 15, from the service's own message]
    https://learn.microsoft.com/graph/api/resources/user [certain: what may be filtered how; likely: the 400 for an id]
    """
    wanted: dict[str, set[Any]] = {}
    clauses, rest = 0, text.strip()
    while rest:
        match = _IN.match(rest) or _EQ.match(rest)
        if match is None or match[1] not in _FILTERABLE:
            raise _unsupported("a filter the simulator cannot read")
        values: list[Any] = [_unquoted(value) for value in re.findall(_VALUE, match[0])] or [match[3] == "true"]
        if match[1] == "id" and not all(map(_OBJECT_ID.fullmatch, values)):
            raise Refusal(400, "Request_BadRequest", "Invalid object identifier specified in the filter.")
        wanted.setdefault(match[1], set()).update(values)
        clauses += len(values)
        rest = rest[match.end() :].strip()
        if rest and not rest.startswith("or "):
            raise _unsupported("a filter the simulator cannot read")
        rest = rest[3:].strip()
    if clauses > _MAX_CLAUSES:
        message = (
            "Too many child clauses specified in search filter expression containing 'OR' operators:"
            f" {clauses}. Max allowed: {_MAX_CLAUSES}."
        )
        raise Refusal(400, "Request_UnsupportedQuery", message)
    return _matching(graph, wanted)


def _matching(graph: GraphSimulator, wanted: dict[str, set[Any]]) -> list[User]:
    if wanted.keys() == {"userPrincipalName"}:  # by far the most frequent: answered from the index
        return [user for upn in sorted(wanted["userPrincipalName"]) if (user := graph.user_by_upn(upn))]
    return [
        user
        for user in graph.users.values()
        if any(_comparable(_PROPERTIES[name](user)) in values for name, values in wanted.items())
    ]


def _unquoted(value: str) -> str:
    return value.replace("''", "'").casefold()


def _comparable(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value


def _user_json(user: User, selected: tuple[str, ...]) -> Json:
    return {name: _PROPERTIES[name](user) for name in selected}


def _cost(selecting: bool, page_size: int) -> str:  # noqa: FBT001
    """Return the resource units: 2, one less each for $select and for a small page, never below 1.

    https://learn.microsoft.com/graph/throttling-limits#identity-and-access-service-limits [certain]
    """
    return str(max(1, 2 - selecting - (page_size < 20)))


def _is_skiptoken(part: str) -> bool:
    return part.startswith(("$skiptoken=", "%24skiptoken="))


def _unsupported(reason: str) -> Refusal:
    text = "Unsupported or invalid query filter clause specified."
    return Refusal(400, "Request_UnsupportedQuery", text, reason=reason)
