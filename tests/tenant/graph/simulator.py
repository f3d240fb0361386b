"""The simulated Microsoft Graph: who may do what, what goes wrong on the way, and where requests come in."""

from __future__ import annotations

import math
import random
import re
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import orjson

from tests.tenant.entra import GRAPH
from tests.tenant.graph import batch, routes
from tests.tenant.graph import profiles as composition
from tests.tenant.graph.call import Call
from tests.tenant.graph.contracts import CONTRACTS, Contract, ContractName
from tests.tenant.graph.faults import Fault, FaultScript, Kill, Throttled
from tests.tenant.graph.limits import Limits
from tests.tenant.graph.people import source_url
from tests.tenant.graph.replies import Refusal, denied
from tests.tenant.graph.seen import Seen
from tests.tenant.graph.state import (
    ENTRA_SOURCE,
    GLOBAL_SETTING,
    Connection,
    Json,
    Operation,
    ProfileSource,
    PropertySetting,
    User,
)
from tests.tenant.wire import InProcess, NoAnswer, Reply, Request, serve_asgi

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import httpx

    from connector.clock import Clock
    from tests.tenant.entra import Entra, Token
    from tests.tenant.graph.reading import Ignored
    from tests.tenant.wire import Receive, Scope, Send

_ITEM_PATH = re.compile(r"/external/connections/[^/]+/items/")


@dataclass(eq=False)
class GraphSimulator:
    """Graph's side of a people connector: state in plain dicts, and every request it has seen.

    It refuses what Graph refuses, ignores in silence what Graph ignores in silence, and shows in ``profiles()`` what
    people would see. ``requests`` holds the requests that arrived, in order; a fault's position is an index into it.
    ``parts`` does the same for the parts of ``$batch``. Mount it with ``transport()`` or as an ASGI app.
    """

    clock: Clock
    entra: Entra
    contract: ContractName = "labels"
    """What people data is like in this tenant: today's contract, or the one of Microsoft's first walkthrough."""
    schema_seconds: float = 0
    """How long registering a schema takes; 5 to 15 minutes in a tenant."""
    settle_seconds: float = 60
    """Items put sooner after the registration of their profile source never reach a profile [likely]."""
    priority_lag_seconds: float = 0
    """How long a profile source cannot be deleted after it left the priority list [likely: eventual consistency]."""
    id_reuse_seconds: float = 0
    """How long a deleted connection's id is taken; 5 to 15 minutes in a tenant [likely]."""
    ignores_content_category: bool = False
    """A tenant that answers 201 and forgets contentCategory, as some did in early 2026 [likely]."""
    ignores_authorized_app_ids: bool = False
    """A tenant that answers 201 and authorises the creator only."""
    merges_authorized_app_ids: bool = False
    """A PATCH of authorizedAppIds adds to the list instead of replacing it [unknown]."""
    keeps_creator: bool = True
    """The creator stays authorised, whatever a PATCH says [unknown]."""
    merges_schemas: bool = False
    """A PATCH of the schema keeps what it does not name, and may change labels [unknown]."""
    takes_second_registration: bool = False
    """A schema may be registered while another registration is under way [unknown]."""
    shows_empty_schemas: bool = False
    """A connection without a schema shows one without properties instead of a 404 [unknown]."""
    breaks_on_custom_collections: bool = True
    """A stringCollection without a label keeps the whole connection from profiles [unknown]."""
    folds_item_ids: bool = False
    """Item ids that differ in upper and lower case only are one and the same [unknown]."""
    prefers_upn: bool = False
    """Of two contradicting ids of an account the UPN counts, not the object id [unknown]."""
    error_codes: str | None = None
    """What stands in every refusal's error.code, instead of the codes that were seen in tenants [unknown]."""
    masks_new_labels: bool = True
    """Person labels read back as unknownFutureValue unless ``Prefer`` asks for them [likely]."""
    shuffles_batches: bool = False
    """The answers of a batch come in another order than its requests [certain: any order is allowed]."""
    latency: float = 0
    """Seconds of the clock between a request's effect and its answer."""
    users: dict[str, User] = field(default_factory=dict)
    connections: dict[str, Connection] = field(default_factory=dict)
    sources: dict[str, ProfileSource] = field(default_factory=dict)
    settings: dict[str, PropertySetting] = field(default_factory=dict)
    ids_free_at: dict[str, float] = field(default_factory=dict)
    requests: list[Seen] = field(default_factory=list)
    parts: list[Seen] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    """Why each 4xx was one, for whoever reads a failing test."""
    statuses: Counter[int] = field(default_factory=Counter)
    """How many requests (and parts) ended with each status; 0 is a broken connection."""
    in_flight: int = 0
    max_in_flight: int = 0
    _by_upn: dict[str, str] = field(default_factory=dict)
    _faults: FaultScript = field(default_factory=FaultScript)
    _part_faults: FaultScript = field(default_factory=FaultScript)
    _limits: Limits | None = None
    _schema_failures: list[str] = field(default_factory=list)
    _serial: int = 0
    _shuffle: random.Random = field(default_factory=lambda: random.Random(20260302))  # noqa: S311

    def __post_init__(self) -> None:
        """Give the tenant what every tenant has: Entra as a profile source, and it alone in the priority list."""
        content = {"displayName": "Microsoft Entra", "kind": "MSEntra", "webUrl": "https://entra.microsoft.com"}
        self.sources[ENTRA_SOURCE] = ProfileSource(self.new_id(), ENTRA_SOURCE, content)
        entra = source_url(ENTRA_SOURCE, version=self.rules.version)
        self.settings[GLOBAL_SETTING] = PropertySetting(GLOBAL_SETTING, None, None, [entra])

    @property
    def rules(self) -> Contract:
        """Return the rules of this tenant's contract."""
        return CONTRACTS[self.contract]

    # The tenant's administrator: users, and a history before the connector came.

    def add_user(
        self,
        upn: str,
        *,
        id: str | None = None,  # noqa: A002
        mail: str | None = "",
        enabled: bool = True,
        guest: bool = False,
        mailbox: bool = True,
        **attributes: Any,
    ) -> str:
        """Add a user and return the object id. An empty ``mail`` means the UPN.

        ``attributes`` are what Entra itself knows (displayName, givenName, surname, jobTitle, department, companyName,
        officeLocation, employeeId, mobilePhone, businessPhones); they are the profile's lowest source.
        """
        object_id = id or str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.entra.tenant_id}/{upn.casefold()}"))
        self.users[object_id] = User(object_id, upn, upn if mail == "" else mail, enabled, guest, mailbox, attributes)
        self._by_upn[upn.casefold()] = object_id
        return object_id

    def rename_user(self, object_id: str, upn: str) -> None:
        """Give a user another UPN; the object id stays."""
        user = self.users[object_id]
        del self._by_upn[user.upn.casefold()]
        self._by_upn[upn.casefold()] = object_id
        user.upn = upn

    def remove_user(self, object_id: str) -> None:
        """Delete a user."""
        del self._by_upn[self.users.pop(object_id).upn.casefold()]

    def user_by_upn(self, upn: str) -> User | None:
        """Return the user with this UPN, in whatever case."""
        object_id = self._by_upn.get(upn.casefold())
        return None if object_id is None else self.users[object_id]

    def add_source(self, source_id: str, *, prioritized: bool = True, version: str | None = None) -> None:
        """Add somebody else's profile source, in front of the priority list: ``version`` is its address's there."""
        content = {"displayName": source_id, "kind": "Other", "webUrl": "https://other.example.com"}
        self.sources[source_id] = ProfileSource(self.new_id(), source_id, content)
        if prioritized:
            self.settings[GLOBAL_SETTING].urls.insert(0, source_url(source_id, version=version or self.rules.version))

    def add_connection(
        self, connection_id: str, properties: list[Json], *, owner: str, authorized: Sequence[str] = ()
    ) -> None:
        """Add a ready people connection, registered and prioritised long ago, with this schema."""
        app_ids = list(dict.fromkeys([*authorized, owner]))
        category = self.rules.category({"contentCategory": "people"})
        connection = Connection(connection_id, connection_id, connection_id, category, owner, app_ids)
        connection.operations["past"] = Operation("past", -math.inf, properties)
        connection.settle(self.clock.monotonic())
        self.connections[connection_id] = connection
        self.add_source(connection_id)

    def remove_global_setting(self) -> None:
        """Make this a tenant that never configured its priorities: there is no global property setting."""
        del self.settings[GLOBAL_SETTING]

    # What tests ask.

    @property
    def items(self) -> dict[str, Json]:
        """Return every item by its id, as put, over all connections."""
        return {item.id: item.body for connection in self.connections.values() for item in connection.items.values()}

    def priorities(self) -> list[str]:
        """Return the source ids of the global setting, highest first."""
        return composition.priorities(self)

    def profiles(self) -> dict[str, Json]:
        """Return, per UPN, what people would see once Graph has caught up."""
        return composition.compose(self)[0]

    def ignored(self) -> list[Ignored]:
        """Return what Graph would ignore in silence, and why."""
        return composition.compose(self)[1]

    # What goes wrong.

    def fault(self, position: int, fault: Fault) -> None:
        """Let the request at this position (an index into ``requests``) meet a fault."""
        self._faults.at(position, fault)

    def fault_when(
        self, matches: Callable[[Seen], bool], fault: Fault, *, times: int | None = 1, after: int = 0
    ) -> None:
        """Let matching requests meet a fault: the first ``after`` pass, then ``times`` meet it (None: all)."""
        self._faults.when(matches, fault, times=times, after=after)

    def fault_part(self, position: int, fault: Fault) -> None:
        """Let the part of a batch at this position (an index into ``parts``) meet a fault; dropped: it is missing."""
        self._part_faults.at(position, fault)

    def fault_parts_when(
        self, matches: Callable[[Seen], bool], fault: Fault, *, times: int | None = 1, after: int = 0
    ) -> None:
        """Let matching parts of batches meet a fault."""
        self._part_faults.when(matches, fault, times=times, after=after)

    def throttle(self, times: int = 1, *, after: int = 0, retry_after: float | None = 10) -> None:
        """Answer 429 to the next requests: the first ``after`` pass, then ``times`` are throttled."""
        self.fault_when(lambda _: True, Throttled(retry_after), times=times, after=after)

    def kill_after(self, requests: int) -> None:
        """Kill the sender at the next-but-``requests`` request: it is served, but never answered."""
        self.fault(len(self.requests) + requests, Kill())

    def fail_next_schema(self, message: str = "Server error, something went wrong") -> None:
        """Let the next schema registration end as failed, with the documented error."""
        self._schema_failures.append(message)

    def limit_items(
        self,
        per_second: float = 25,
        *,
        burst: float | None = None,
        concurrency: int = 25,
        retry_after: float = 10,
    ) -> None:
        """Throttle item operations of each connection beyond so many per second (in bursts of so many) or in flight."""
        self._limits = Limits(per_second, burst or per_second, concurrency, retry_after)

    def clear_faults(self) -> None:
        """Forget every fault and limit that has not happened yet."""
        self._faults, self._part_faults, self._limits = FaultScript(), FaultScript(), None

    # The mounts.

    def transport(self) -> httpx.AsyncBaseTransport:
        """Return an httpx transport that reaches Graph without sockets."""
        return InProcess(self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve as an ASGI app."""
        await serve_asgi(self, scope, receive, send)

    async def answer(self, request: Request) -> Reply:
        """Answer one request, after what the fault script has for it."""
        version, path = _split(request.path)
        token = self._token(request)
        seen = _seen(request, path, token)
        position = len(self.requests)
        self.requests.append(seen)
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        opened: list[str] = []
        try:
            fault = self._faults.meet(position, seen)
            reply = _meet(fault, lambda: self._serve(request, version, path, token, opened))
            if self.latency:
                await self.clock.sleep(self.latency)
        except BaseException:
            self.statuses[0] += 1
            raise
        finally:
            self.in_flight -= 1
            if self._limits is not None:
                self._limits.release(opened)
        return self._finish(request, reply)

    def answer_part(self, call: Call, part: Request) -> Reply | None:
        """Answer one part of a batch; None when it is missing from the answer."""
        path = _split(f"/{call.version}{part.path}")[1]
        seen = _seen(part, path, call.token)
        position = len(self.parts)
        self.parts.append(seen)
        try:
            fault = self._part_faults.meet(position, seen)
            reply = _meet(fault, lambda: self._serve(part, call.version, path, call.token, call.opened))
        except NoAnswer:
            self.statuses[0] += 1
            return None
        return self._finish(part, reply)

    # Inside.

    def new_id(self) -> str:
        """Return an id that no other object has."""
        self._serial += 1
        return f"00000000-0000-4000-8000-{self._serial:012x}"

    def take_schema_failure(self) -> str | None:
        """Return the error that the next registration ends with, once."""
        return self._schema_failures.pop(0) if self._schema_failures else None

    def shuffled(self, answers: list[Json]) -> list[Json]:
        """Return a batch's answers in the order this tenant sends them."""
        if self.shuffles_batches:
            self._shuffle.shuffle(answers)
        return answers

    def _token(self, request: Request) -> Token | None:
        return self.entra.verify(request.bearer, audience=GRAPH) if request.bearer else None

    def _serve(self, request: Request, version: str, path: str, token: Token | None, opened: list[str]) -> Reply:
        try:
            return self._route(Call(request, version, _known(token), opened), path)
        except Refusal as refusal:
            self.refusals.append(f"{refusal.status} {request.method} {path}: {refusal.reason}")
            if self.error_codes is not None and refusal.status != 401:
                refusal.code = self.error_codes
            return refusal.reply()

    def _route(self, call: Call, path: str) -> Reply:
        method = call.request.method
        self._check_version(call, path)
        if path == "/$batch" and method == "POST":
            return batch.run_batch(self, call)
        found = routes.find(method, path)
        if found is None:
            raise Refusal(400, "BadRequest", f"the simulator does not know {method} {path}")
        route, named = found
        if not call.roles & route.roles:
            raise denied(f"app {call.identity!r} has none of {sorted(route.roles)}")
        if self._limits is not None and _ITEM_PATH.match(path):
            connection_id = named[0]
            if not self._limits.admit(connection_id, self.clock.monotonic()):
                return Throttled(self._limits.retry_after).reply(None)
            call.opened.append(connection_id)
        return route.handler(self, call, *named)

    def _check_version(self, call: Call, path: str) -> None:
        """Refuse a version under which this tenant's contract has nothing.

        https://learn.microsoft.com/graph/versioning-and-support [likely: Graph's answer to a segment it does not know]
        """
        if not call.version:
            raise Refusal(400, "BadRequest", f"the simulator does not know {call.request.method} {path}")
        if call.version not in self.rules.versions:
            text = f"Resource not found for the segment '{path.split('/')[1]}'."
            raise Refusal(400, "BadRequest", text, reason=f"/{call.version} has nothing of {self.contract!r}")

    def _finish(self, request: Request, reply: Reply) -> Reply:
        """Add the ids and the date that every answer of Graph carries.

        https://learn.microsoft.com/graph/best-practices-concept#reliability-and-support [certain]
        """
        self.statuses[reply.status] += 1
        request_id = self.new_id()
        reply.headers["request-id"] = request_id
        client_request_id = request.headers.get("client-request-id", request_id)
        reply.headers["client-request-id"] = client_request_id
        if reply.status >= 400:
            envelope = orjson.loads(reply.body)
            date = self.clock.now().strftime("%Y-%m-%dT%H:%M:%S")
            ids = {"date": date, "request-id": request_id, "client-request-id": client_request_id}
            envelope["error"]["innerError"] = {**envelope["error"]["innerError"], **ids}
            reply.body = orjson.dumps(envelope)
        return reply


def _seen(request: Request, path: str, token: Token | None) -> Seen:
    return Seen(request.method, f"{path}?{request.query}" if request.query else path, token.name if token else None)


def _known(token: Token | None) -> Token:
    """Refuse who has no valid token.

    https://learn.microsoft.com/graph/resolve-auth-errors [certain]
    """
    if token is None:
        raise Refusal(401, "InvalidAuthenticationToken", "Access token is missing, invalid or has expired.")
    return token


def _meet(fault: Fault | None, serve: Callable[[], Reply]) -> Reply:
    if fault is None:
        return serve()
    return fault.reply(serve() if fault.effect else None)


def _split(path: str) -> tuple[str, str]:
    """Return the version and the decoded path behind it; repeated slashes count as one."""
    collapsed = re.sub(r"/{2,}", "/", path)
    for version in ("beta", "v1.0"):
        if collapsed.startswith(f"/{version}/"):
            return version, unquote(collapsed[len(version) + 1 :]).rstrip("/")
    return "", unquote(collapsed)
