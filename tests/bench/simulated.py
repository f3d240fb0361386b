"""The connector at the size of a large company, in virtual time: what costs nothing stands in for Graph and storage.

Graph has its limits and its latency here, and knows its users; it does not hold items to its rules, as the simulated
tenant of the tests does, and it is asked without the SDK, which takes ten times what all the rest does per item (how
much, another measurement tells). Storage is files, so that no blob counts as somebody's memory. All else is genuine.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Final, Self
from urllib.parse import unquote

import orjson

from connector.core.contracts import contract_of
from connector.core.report import dump_report
from connector.core.setup import Registration
from connector.graph.client import Address, GraphClient
from connector.graph.pace import Answer
from connector.graph.sweep import PAGE
from connector.settings import Settings
from connector.storage.state import State
from connector.wiring import Application, Containers, Edges, packaged_mapping
from tests.bench.company import DOMAIN, object_id_of, upn_of
from tests.storage.memory import MemoryContainer
from tests.tenant import ADMIN_CLIENT_ID, INGEST_CLIENT_ID, TENANT_ID
from tests.tenant.clock import START, AtOnce, VirtualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from connector.graph.client import Identity, Target
    from connector.graph.pace import Pace
    from connector.storage.blobs import Blob, BlobInfo, Container
    from tests.bench.company import Company
    from tests.tenant.graph.limits import Limits

CONNECTION: Final = "contosohr"
INCARNATION: Final = "6f9d1b52-3b51-4c0c-9a55-0c0ffee00002"
ENVIRONMENT: Final = {
    "TENANT_ID": TENANT_ID,
    "KEY_VAULT_URL": "https://vault.example.net",
    "ADMIN_CLIENT_ID": ADMIN_CLIENT_ID,
    "INGEST_CLIENT_ID": INGEST_CLIENT_ID,
    "PROFILE_SOURCE_URL": "https://hr.contoso.com",
    "HR_STORAGE_URL": "https://hr.example.net",
    "CONNECTION_ID": CONNECTION,
    "EXPORT_SETTLE_SECONDS": "0",
}
TICK_SECONDS: Final = 15 * 60

_UPN: Final = re.compile(rf"p(\d{{7}})@{re.escape(DOMAIN)}", re.IGNORECASE)


def registration() -> Registration:
    """Return what a setup that was finished long ago leaves behind, for `ENVIRONMENT`."""
    moment = (START - timedelta(days=365)).isoformat()
    schema = contract_of("labels").schema(packaged_mapping("default"))
    return Registration(
        incarnation=INCARNATION,
        tenant_id=TENANT_ID,
        contract="labels",
        connection_id=CONNECTION,
        since=moment,
        schema=tuple(schema["properties"]),
        ready_since=moment,
        registered_at=moment,
        settled=moment,
    )


# --- Graph ------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class LeanGraph:
    """Takes every item and counts them; has so many ``users`` of `tests.bench.company`. ``latency`` in seconds."""

    clock: VirtualClock
    latency: float = 0.0
    limits: Limits | None = None
    users: int = 0
    put: int = 0
    deleted: int = 0
    throttled: int = 0
    lookups: int = 0
    """Requests for users, each with hundreds of them."""

    @property
    def requests(self) -> int:
        """Return how many requests there were."""
        return self.put + self.deleted + self.throttled + self.lookups

    async def answer(self, method: str, target: Target | Address, body: bytes | None) -> Answer:
        """Answer a request about items, or one about users."""
        if method not in {"PUT", "DELETE"}:
            self.lookups += 1
            await self.clock.sleep(self.latency)
            return Answer(200, {}, self._found(body or b"") if method == "POST" else self._listed(target))
        if self.limits is not None and not self.limits.admit(CONNECTION, self.clock.monotonic()):
            self.throttled += 1
            await self.clock.sleep(self.latency)
            return Answer(429, {"retry-after": f"{self.limits.retry_after:g}"})
        if method == "PUT":
            self.put += 1
        else:
            self.deleted += 1
        await self.clock.sleep(self.latency)
        if self.limits is not None:
            self.limits.release([CONNECTION])
        return Answer(200 if method == "PUT" else 204)

    def _found(self, body: bytes) -> bytes:
        """Answer a batch of filters by UPN."""
        parts = []
        for part in orjson.loads(body)["requests"]:
            numbers = (int(found) for found in _UPN.findall(unquote(part["url"])))
            value = [_user(number) for number in numbers if number < self.users]
            parts.append({"id": part["id"], "status": 200, "headers": {}, "body": {"value": value}})
        return orjson.dumps({"responses": parts})

    def _listed(self, target: Target | Address) -> bytes:
        """Answer a page of all users, or how many there are."""
        if isinstance(target, Address):
            raise TypeError("nobody but Users asks this Graph, by a path")
        if target.url_template.endswith("$count"):
            return str(self.users).encode()
        first = int(target.path_parameters.get("link", "=0").rpartition("=")[2])
        following = first + PAGE
        page: dict[str, Any] = {"value": [_user(number) for number in range(first, min(following, self.users))]}
        if following < self.users:
            page["@odata.nextLink"] = f"https://graph.microsoft.com/beta/users?$skiptoken={following}"
        return orjson.dumps(page)


def _user(number: int) -> dict[str, str]:
    return {"id": object_id_of(number), "userPrincipalName": upn_of(number), "mail": upn_of(number)}


class _LeanClient(GraphClient):
    """The client whose requests go to a `LeanGraph` instead of through the SDK's middleware."""

    def __init__(self, graph: LeanGraph, *, identity: Identity, pace: Pace) -> None:
        from kiota_abstractions.authentication import AnonymousAuthenticationProvider
        from msgraph_beta import GraphRequestAdapter, GraphServiceClient

        adapter = GraphRequestAdapter(AnonymousAuthenticationProvider())
        tokens: Any = None  # nobody is refused
        super().__init__(GraphServiceClient(request_adapter=adapter), tokens, identity=identity, pace=pace)
        self._graph = graph

    async def attempt(
        self,
        method: str,
        target: Target | Address,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,  # noqa: ARG002
        read: Callable[[Answer], Answer] = lambda answer: answer,
    ) -> Answer:
        return read(await self._graph.answer(method, target, body))


# --- storage ----------------------------------------------------------------------------------------------------------


class _OnDisk:
    """The bytes of one blob, in a file that goes when nobody refers to them any more."""

    __slots__ = ("size", "stream")

    def __init__(self, folder: Path) -> None:
        self.stream: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 closed when it is forgotten
        self.size = 0

    def __del__(self) -> None:
        self.stream.close()

    def __len__(self) -> int:
        return self.size

    def __bytes__(self) -> bytes:
        self.stream.seek(0)
        return self.stream.read()

    def __iadd__(self, block: bytes) -> Self:
        self.stream.seek(0, 2)
        self.stream.write(block)
        self.stream.flush()
        self.size += len(block)
        return self


@dataclass(slots=True)
class Traffic:
    """How many requests were made about a kind of blob, and how many bytes went each way."""

    operations: int = 0
    sent: int = 0
    received: int = 0


class DiskContainer(MemoryContainer):
    """A container that keeps the rules of Azure's with its blobs in files. ``traffic``: by the kind of blob."""

    def __init__(self, clock: VirtualClock, folder: Path) -> None:
        super().__init__(clock)
        self.traffic: dict[str, Traffic] = {}
        self._folder = folder

    async def read(self, name: str) -> Blob | None:
        """Return a blob as a whole, or None when there is none."""
        blob = await super().read(name)
        self._count(name, received=len(blob.data) if blob else 0)
        return blob

    async def download_to(self, name: str, stream: BinaryIO, *, if_match: str | None = None) -> BlobInfo:
        """Write a blob into a stream, piece by piece."""
        await asyncio.sleep(0)
        stored: Any = self._version(name, if_match)
        stored.data.stream.seek(0)
        shutil.copyfileobj(stored.data.stream, stream)
        self._count(name, received=len(stored.data))
        return next(info for info in (await self.list(name)).blobs if info.name == name)

    async def upload_from(self, name: str, stream: BinaryIO, **options: Any) -> str:
        """Store what a stream holds, piece by piece."""
        etag = await self.write(name, b"", **options)
        self._count(name, operations=0, sent=self._fill(name, stream))
        return etag

    async def copy_from(self, name: str, source: Container, blob: str, *, if_match: str) -> bool:
        """Copy a version of a blob of another container, which takes no bytes of anybody's."""
        assert isinstance(source, DiskContainer)
        original: Any = source._version(blob, if_match)
        await super().write(name, b"")
        original.data.stream.seek(0)
        self._fill(name, original.data.stream)
        self._count(name)
        return True

    async def write(self, name: str, data: bytes, **options: Any) -> str:
        """Store a blob as a whole."""
        etag = await super().write(name, data, **options)
        self._count(name, sent=len(data))
        return etag

    async def append(self, name: str, block: bytes, *, create: bool = False) -> None:
        """Add one block at the end of an append blob."""
        await super().append(name, block, create=create)
        self._count(name, sent=len(block))

    def keep(self, folder: Path) -> None:
        """Leave every blob as a file in a folder, under its name."""
        for name, stored in self._blobs.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(stored.data))

    def _new(self, data: bytes, *arguments: Any, **options: Any) -> Any:
        stored: Any = super()._new(b"", *arguments, **options)
        stored.data = _OnDisk(self._folder)
        stored.data += data
        return stored

    def _fill(self, name: str, stream: BinaryIO | IO[bytes]) -> int:
        stored: Any = self._blobs[name].data
        shutil.copyfileobj(stream, stored.stream)
        stored.size = stored.stream.tell()
        return len(stored)

    def _count(self, name: str, *, operations: int = 1, sent: int = 0, received: int = 0) -> None:
        traffic = self.traffic.setdefault(kind_of(name), Traffic())
        traffic.operations += operations
        traffic.sent += sent
        traffic.received += received


def kind_of(name: str) -> str:
    """Return what kind of blob a name of the state container is."""
    _, _, part = name.partition("/")
    kind, _, rest = part.partition("/")
    if kind == "runs":
        kind = "journal" if "/journal-" in rest else "plan"
    return {"head.json": "head", "exports": "copies of exports"}.get(kind, kind)


# --- the whole --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Simulated:
    """A tenant in which setup is done, its storage in ``folder``, and a timer that fires every fifteen minutes."""

    folder: Path
    start: datetime = START
    latency: float = 0.0
    limits: Limits | None = None
    settings: dict[str, str] = field(default_factory=dict)
    """App settings that differ from `ENVIRONMENT`."""
    clock: VirtualClock = field(init=False)
    graph: LeanGraph = field(init=False)
    containers: Containers = field(init=False)
    memory: DiskContainer = field(init=False)
    """The state container: what the connector remembers."""

    def __post_init__(self) -> None:
        """Open the containers, in which setup has left its memory."""
        self.clock = VirtualClock(self.start)
        self.graph = LeanGraph(self.clock, self.latency, self.limits)
        exports, self.memory, reports, quarantine = (DiskContainer(self.clock, self.folder) for _ in range(4))
        self.containers = Containers(exports=exports, state=self.memory, reports=reports, quarantine=quarantine)

    async def open(self) -> None:
        """Begin, in the running event loop: long work of others is done before virtual time goes on."""
        asyncio.get_running_loop().set_default_executor(AtOnce())
        await self.containers.state.write(f"{CONNECTION}/connection.json", registration().to_json())

    async def drop(self, company: Company, night: int) -> None:
        """Let HR put a night's export into the container, in place of the last one; everybody has an account."""
        self.graph.users = company.accounts(night)
        exports = self.containers.exports
        for info in (await exports.list()).blobs:
            await exports.delete(info.name)
        path = self.folder / "export.csv"
        company.write(path, night=night)
        with path.open("rb") as stream:
            await exports.upload_from(f"people-{self.clock.now():%Y-%m-%d}.csv", stream)
        path.unlink()

    async def tick(self) -> dict[str, Any]:
        """Let the timer fire, in a process that remembers nothing; return the report's body, {} where there is none."""

        @asynccontextmanager
        async def graph(identity: Identity, pace: Pace) -> AsyncIterator[GraphClient]:
            yield _LeanClient(self.graph, identity=identity, pace=pace)

        secrets: Any = None  # a tick does not ask after them
        edges = Edges(clock=self.clock, containers=self.containers, secrets=secrets, graph=graph)
        application = Application(Settings.from_env({**ENVIRONMENT, **self.settings}), edges)
        report = (await application.tick(trigger="timer")).report
        return json.loads(dump_report(report)) if report else {}

    @property
    def state(self) -> State:
        """Return the connector's memory."""
        return State(self.containers.state, CONNECTION)


def in_virtual_time(work: Callable[[Simulated], Awaitable[Any]], **options: Any) -> Any:
    """Do ``work`` with a `Simulated` of these ``options`` whose files are gone afterwards; return what it returns."""

    async def whole(folder: Path) -> Any:
        simulated = Simulated(folder, **options)
        await simulated.open()
        return await work(simulated)

    with tempfile.TemporaryDirectory(prefix="people-connector-bench-") as folder:
        return asyncio.run(whole(Path(folder)))
