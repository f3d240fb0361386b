"""Everything around the sync as one world in virtual time: HR drops exports, IT keeps accounts, the timer fires.

::

    world = await a_world()                                       set up
    report = await world.night([a_person("E1", title="Chef")])    HR drops an export, the tick takes it
    world.profiles()["e1@contoso.com"]                            what people see

Only the outside is a double: the simulated tenant behind httpx, containers in memory, a vault that always answers.
Every tick is a process of its own, as in Azure; one that was killed reaches nothing any more.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import re
import zipfile
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx

from connector.core.report import dump_report
from connector.errors import CredentialError
from connector.graph.client import open_graph
from connector.identities import CredentialState
from connector.settings import Settings
from connector.storage.state import State
from connector.wiring import Application, Containers, Edges
from tests.storage import memory
from tests.storage.memory import MemoryContainer
from tests.tenant import ADMIN_CLIENT_ID, INGEST_CLIENT_ID, TENANT_ID, GraphSimulator, Tenant, VirtualClock, wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

    from azure.core.credentials import AccessToken

    from connector.core.head import Head
    from connector.core.ledger import Ledger
    from connector.graph.client import GraphClient, Identity
    from connector.graph.pace import Pace
    from connector.identities import Identities
    from tests.tenant.graph.seen import Seen

MINUTE = 60
DAY = 24 * 3600
TICK = 15 * MINUTE
"""The schedule of the sample settings."""

CONTRACT = "labels"
"""The contract under which worlds begin; ``conftest.py`` lets every test see both."""

CONNECTION = "contosohr"
COLUMNS = (
    "EmployeeId",
    "UserPrincipalName",
    "DisplayName",
    "FirstName",
    "LastName",
    "JobTitle",
    "Department",
    "HireDate",
    "ManagerId",
    "Email",
    "Phone",
    "Skills",
    "FavoriteColor",
    "Status",
    "DeskNumber",
)
"""Columns of HR's export; the mapping does not name the last one."""

ENVIRONMENT = {
    "TENANT_ID": TENANT_ID,
    "KEY_VAULT_URL": "https://vault.example.net",
    "ADMIN_CLIENT_ID": ADMIN_CLIENT_ID,
    "INGEST_CLIENT_ID": INGEST_CLIENT_ID,
    "PROFILE_SOURCE_URL": "https://hr.contoso.com",
    "HR_STORAGE_URL": "https://hr.example.net",
    "CONNECTION_ID": CONNECTION,
}

KILLED = (memory.Killed, wire.Killed)

Row = dict[str, str]
Report = dict[str, Any]


def a_person(
    key: str,
    upn: str = "",
    *,
    name: str = "",
    title: str = "Clerk",
    manager: str = "",
    status: str = "Active",
    **cells: str,
) -> Row:
    """Return somebody's row as HR writes it; ``cells`` are further columns by their names."""
    upn = upn or f"{key.lower()}@contoso.com"
    row = dict.fromkeys(COLUMNS, "")
    row |= {"EmployeeId": key, "UserPrincipalName": upn, "DisplayName": name or f"Person {key}", "JobTitle": title}
    return row | {"ManagerId": manager, "Status": status, "Email": upn} | cells


def people(count: int, *, start: int = 1, **same: str) -> list[Row]:
    """Return so many people, P1 and so on, who differ in nothing but themselves."""
    return [a_person(f"P{number}", **same) for number in range(start, start + count)]


def an_export(rows: Sequence[Mapping[str, str]], *, delimiter: str = ",") -> bytes:
    """Return rows as the CSV file HR drops; without rows, a header."""
    text = io.StringIO(newline="")
    columns = list(rows[0]) if rows else list(COLUMNS)
    writer = csv.DictWriter(text, columns, delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def packed(name: str, data: bytes) -> bytes:
    """Return a file as ``name`` wants it: gzipped, zipped, or as it is."""
    if name.endswith(".gz"):
        return gzip.compress(data, mtime=0)
    if name.endswith(".zip"):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("people.csv", data)
        return buffer.getvalue()
    return data


def item_of(key: str, upn: str = "") -> str:
    """Return the id of a person's item, as interface §9 makes it; ``upn`` is the one of `a_person` unless given."""
    if CONTRACT == "preview":
        written = (upn or f"{key.lower()}@contoso.com").replace("@", "_at_").replace(".", "_dot_")
        return re.sub(r"[^A-Za-z0-9_-]", lambda found: f"_x{ord(found[0]):02X}_", written)
    return "u" + hashlib.sha256(f"{CONNECTION}/{key}".encode()).hexdigest()[:40]


@dataclass(slots=True)
class Vault:
    """The vault, as far as anybody asks after it: both secrets live for some time, unless it is ``down``."""

    world: World
    days: float = 100
    down: str = ""
    previous: bool = False
    """Entra refuses the newest versions; those before them are in use."""

    async def credential_state(self, identity: Identity) -> CredentialState:
        if self.down:
            raise CredentialError(self.down)
        expires = self.world.clock.now() + timedelta(days=self.days)
        return CredentialState(identity, f"{identity}-client-secret", expires, self.days < 21, self.previous)


class Write(NamedTuple):
    """A write to Graph that was served: ``changed`` tells whether an item is another one since.

    ``answered``: the sender has been told that it succeeded.
    """

    method: str
    item_id: str
    changed: bool
    answered: bool


@dataclass(slots=True)
class World:
    """HR, IT, Microsoft and the operator. Times pass only when somebody waits, or by `wait`."""

    environment: dict[str, str] = field(default_factory=lambda: {**ENVIRONMENT, "CONTRACT": CONTRACT})
    clock: VirtualClock = field(default_factory=VirtualClock)
    without_account: set[str] = field(default_factory=set)
    """UPNs that IT has not made an account for."""
    no_token: str = ""
    """Why neither identity gets a token."""
    tokens: int = 0
    schedule: str | None = "0 */15 * * * *"
    """SYNC_SCHEDULE, which the host reads."""
    identities: Callable[[], Identities] | None = None
    """Opens the genuine identities for one invocation, where a test is about tokens and secrets."""
    tenant: Tenant = field(init=False)
    graph: GraphSimulator = field(init=False)
    containers: Containers = field(init=False)
    vault: Vault = field(init=False)
    served: list[Write] = field(default_factory=list)
    """Every write that Graph has served, whether or not its answer arrived."""
    _accounts: dict[str, str] = field(default_factory=dict)
    _upns: dict[str, str] = field(default_factory=dict)
    _mark: int = 0
    _parts_mark: int = 0
    _blobs_mark: int = 0
    _tokens_mark: int = 0

    def __post_init__(self) -> None:
        self.tenant = Tenant(clock=self.clock, contract=CONTRACT)
        self.graph = self.tenant.graph
        exports, state, reports, quarantine = (MemoryContainer(self.clock) for _ in range(4))
        self.containers = Containers(exports=exports, state=state, reports=reports, quarantine=quarantine)
        self.vault = Vault(self)

    # --- the operator -----------------------------------------------------------------------------------------------

    def decide(self, **settings: object) -> None:
        """Change app settings, by their names; None takes one back to its default."""
        for name, value in settings.items():
            if value is None:
                self.environment.pop(name, None)
            else:
                self.environment[name] = str(value)

    async def setup(self) -> None:
        """Call setup until it is done, as the operator does, waiting as long as it says."""
        for _ in range(60):
            view = await self.application().setup()
            if view.state == "ready":
                return
            await self.clock.sleep(view.retry_after)
        raise AssertionError("setup does not come to an end")

    async def teardown(self) -> None:
        """Tear the connection down, as far as it takes."""
        for _ in range(60):
            view = await self.application().teardown(confirm=CONNECTION)
            if view.state == "absent":
                return
            await self.clock.sleep(view.retry_after or 1)
        raise AssertionError("teardown does not come to an end")

    async def map_with(self, *replacements: tuple[str, str]) -> None:
        """Give the connector a mapping of its own: the default one with some text replaced."""
        from importlib.resources import files

        text = (files("connector") / "mappings" / "default.toml").read_text()
        for before, after in replacements:
            assert before in text
            text = text.replace(before, after)
        await self.containers.state.write("mapping.toml", text.encode())
        self.decide(MAPPING="blob:mapping.toml")

    # --- HR and IT --------------------------------------------------------------------------------------------------

    def follow(self, rows: Iterable[Mapping[str, str]]) -> None:
        """Let IT follow HR: joiners get accounts, people with a new UPN are renamed."""
        for row in rows:
            key, upn = row["EmployeeId"], row["UserPrincipalName"]
            if "@" not in upn or upn in self.without_account:
                continue
            self._upns[key] = upn
            known = self.graph.user_by_upn(upn)
            if known is not None:
                self._accounts.setdefault(key, known.id)
            elif key in self._accounts:
                self.graph.rename_user(self._accounts[key], upn)
            else:
                self._accounts[key] = self.graph.add_user(upn)

    async def drop(self, name: str, content: Sequence[Mapping[str, str]] | bytes) -> None:
        """Let HR put a file into the exports container."""
        data = content if isinstance(content, bytes) else packed(name, an_export(content))
        await self.containers.exports.write(name, data)

    async def promise(self, name: str, **manifest: Any) -> None:
        """Put the manifest beside an export, with its true sha256 unless another is given."""
        blob = await self.containers.exports.read(name)
        true = hashlib.sha256(blob.data).hexdigest() if blob else ""
        body = json.dumps({"sha256": true, **manifest}).encode()
        await self.containers.exports.write(f"{name}.manifest.json", body)

    # --- time -------------------------------------------------------------------------------------------------------

    def wait(self, seconds: float) -> None:
        """Let time pass in which nobody does anything."""
        self.clock.advance(seconds)

    async def tick(self, *, after: float = TICK) -> Report | None:
        """Let the timer fire once; return the report's body, None when there was nothing to do."""
        self.wait(after)
        ticked = await self.application().tick(trigger="timer")
        report: Report = json.loads(dump_report(ticked.report)) if ticked.report else {}
        return report or None

    async def ticked(self, *, after: float = TICK) -> str:
        """Let the timer fire once; return what became of it."""
        self.wait(after)
        return (await self.application().tick(trigger="timer")).state

    async def night(self, rows: Sequence[Mapping[str, str]], *, name: str = "", accounts: bool = True) -> Report:
        """Let a day pass, HR drop the export and the timer fire; return the report."""
        self.wait(DAY)
        if accounts:
            self.follow(rows)
        await self.drop(name or f"people-{self.clock.now():%Y-%m-%d}.csv", rows)
        report = await self.tick()
        assert report is not None
        return report

    async def settle(self, *, most: int = 40) -> list[Report]:
        """Let the timer fire until it finds nothing to do; return the reports. Deaths are survived."""
        reports: list[Report] = []
        for _ in range(most):
            try:
                report = await self.tick()
            except KILLED:
                continue
            if report is None:
                return reports
            reports.append(report)
        raise AssertionError(f"still at work after {most} ticks: {[each['outcome'] for each in reports]}")

    def application(self) -> Application:
        """Return a fresh process: it has the settings and remembers nothing."""
        self._mark, self._parts_mark = len(self.graph.requests), len(self.graph.parts)
        self._tokens_mark, self._blobs_mark = self.tokens, self._blob_requests()
        process = _Process()
        genuine = self.identities() if self.identities else None

        @asynccontextmanager
        async def graph(identity: Identity, pace: Pace) -> AsyncIterator[GraphClient]:
            client_id = ADMIN_CLIENT_ID if identity == "admin" else INGEST_CLIENT_ID
            async with open_graph(
                genuine.credential(identity) if genuine else _Credential(self, client_id),
                identity=identity,
                base_url="https://graph.microsoft.com/beta",
                pace=pace,
                transport=_Wire(self, process),
            ) as client:
                yield client

        containers = Containers(
            exports=_reached_by(process, self.containers.exports),
            state=_reached_by(process, self.containers.state),
            reports=_reached_by(process, self.containers.reports),
            quarantine=_reached_by(process, self.containers.quarantine),
        )
        edges = Edges(clock=self.clock, containers=containers, secrets=genuine or self.vault, graph=graph)
        return Application(self.settings, edges, schedule=self.schedule)

    @property
    def settings(self) -> Settings:
        """Return the settings as the environment has them."""
        return Settings.from_env(self.environment)

    # --- what there is ----------------------------------------------------------------------------------------------

    def profiles(self) -> dict[str, Any]:
        """Return, by UPN, what people see; nothing that we sent may have been ignored in silence."""
        assert self.graph.ignored() == []
        return self.graph.profiles()

    def title(self, upn: str) -> str | None:
        """Return the job title in somebody's profile, None when we gave them no position."""
        title: str | None = self.profiles()[upn].get("personCurrentPosition", {}).get("detail", {}).get("jobTitle")
        return title

    def manager(self, upn: str) -> str | None:
        """Return the manager's UPN in somebody's profile."""
        manager = self.profiles()[upn].get("personCurrentPosition", {}).get("manager")
        return manager["userPrincipalName"] if manager else None

    def holds(self, *keys: str) -> bool:
        """Tell whether Graph holds items of these people and of nobody else."""
        return set(self.graph.items) == {self.item_of(key) for key in keys}

    def item_of(self, key: str) -> str:
        """Return the id of a person's item, by the UPN that IT gives them at present."""
        user = self.graph.users.get(self._accounts.get(key, ""))
        return item_of(key, user.upn if user else self._upns.get(key, ""))

    @property
    def requests(self) -> list[Seen]:
        """Return the Graph requests of the last process."""
        return self.graph.requests[self._mark :]

    @property
    def lookups(self) -> int:
        """Return how many user filters the last process sent, as parts of batches."""
        return len(self.graph.parts) - self._parts_mark

    @property
    def blob_requests(self) -> int:
        """Return how many blob requests the last process made."""
        return self._blob_requests() - self._blobs_mark

    @property
    def token_requests(self) -> int:
        """Return how often the last process asked for a token."""
        return self.tokens - self._tokens_mark

    def sent(self, *keys: str) -> bool:
        """Tell whether the last process put the items of these people, each once, and of nobody else."""
        put = sorted(each.path.rsplit("/", 1)[-1] for each in self.requests if each.method == "PUT")
        return put == sorted(self.item_of(key) for key in keys)

    def writes(self) -> list[str]:
        """Return the ids of the items that the last process put or deleted."""
        return [each.path.rsplit("/", 1)[-1] for each in self.requests if each.method in {"PUT", "DELETE"}]

    @property
    def state(self) -> State:
        """Return our own memory."""
        return State(self.containers.state, CONNECTION)

    async def head(self) -> Head:
        """Return the head."""
        return (await self.state.head())[0]

    async def ledger(self) -> Ledger:
        """Return the present generation of the ledger."""
        return await self.state.ledger((await self.head()).generation)

    def blobs(self, container: str) -> dict[str, bytes]:
        """Return what a container holds, by name."""
        contents: dict[str, bytes] = getattr(self.containers, container).contents
        return contents

    def _blob_requests(self) -> int:
        names = ("exports", "state", "reports", "quarantine")
        return sum(getattr(self.containers, name).requests for name in names)


async def a_world(**settings: object) -> World:
    """Return a world in which setup is done. ``settings`` are app settings."""
    world = World()
    world.decide(**settings)
    await world.setup()
    return world


# --- one life of the function app -----------------------------------------------------------------------------------


@dataclass(slots=True)
class _Process:
    alive: bool = True

    @asynccontextmanager
    async def breathing(self) -> AsyncIterator[None]:
        """Do something outside, unless the process is dead; it dies of what kills it."""
        if not self.alive:
            raise memory.Killed
        try:
            yield
        except KILLED:
            self.alive = False
            raise


def _reached_by(process: _Process, container: Any) -> Any:
    return _Container(process, container)


@dataclass(frozen=True, slots=True)
class _Container:
    process: _Process
    container: Any

    def __getattr__(self, name: str) -> Callable[..., Any]:
        operation = getattr(self.container, name)

        async def reach(*arguments: Any, **options: Any) -> Any:
            async with self.process.breathing():
                return await operation(*arguments, **options)

        return reach


class _Wire(httpx.AsyncBaseTransport):
    def __init__(self, world: World, process: _Process) -> None:
        self._world = world
        self._inner = world.graph.transport()
        self._process = process

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        async with self._process.breathing():
            if request.method not in {"PUT", "DELETE"}:
                return await self._inner.handle_async_request(request)
            item_id = request.url.path.rsplit("/", 1)[-1]
            before = self._body(item_id)
            answered = False
            try:
                answer = await self._inner.handle_async_request(request)
                answered = answer.is_success or (request.method == "DELETE" and answer.status_code == 404)
                return answer
            finally:
                changed = self._body(item_id) != before
                if changed or answered:
                    self._world.served.append(Write(request.method, item_id, changed, answered))

    def _body(self, item_id: str) -> Any:
        connection = self._world.graph.connections.get(CONNECTION)
        item = connection.items.get(item_id) if connection else None
        return item and item.body


@dataclass(slots=True)
class _Credential:
    """Keeps its token until Graph refuses it, so that Graph does."""

    world: World
    client_id: str
    kept: AccessToken | None = None

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        self.world.tokens += 1
        if self.world.no_token:
            raise CredentialError(self.world.no_token)
        if self.kept is None:
            self.kept = await self.world.tenant.entra.credential(self.client_id).get_token(*scopes, **options)
        return self.kept

    async def forget_token(self) -> None:
        self.kept = None
