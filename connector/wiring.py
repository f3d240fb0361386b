"""The composition root: who works with whom. Nothing else names credentials, the vault or Azure's storage client."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from uuid import uuid4

from connector import decide, status, sync
from connector.core.contracts import contract_of
from connector.core.mapping import load_mapping
from connector.errors import BadRequest, ConfigurationError, Forbidden, StoreError
from connector.services import Ingest, Services
from connector.settings import Settings, mapping_problems
from connector.storage.state import State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from connector.clock import Clock
    from connector.core.due import Request
    from connector.core.mapping import Mapping as ColumnMapping
    from connector.core.setup import SetupView
    from connector.graph.client import GraphClient, Identity
    from connector.graph.pace import Pace
    from connector.identities import CredentialState
    from connector.provision import Provision
    from connector.storage.blobs import Container

SETUP_CONCURRENCY: Final = 2
"""Setup asks one thing after another."""


class Secrets(Protocol):
    """The vault, as far as anybody asks after it."""

    async def credential_state(self, identity: Identity) -> CredentialState:
        """Return the state of one identity's secret."""
        ...


@dataclass(frozen=True, slots=True)
class Containers:
    """The four containers of the HR storage account."""

    exports: Container
    state: Container
    reports: Container
    quarantine: Container


@dataclass(frozen=True, slots=True)
class Edges:
    """Everything around us: time, blobs, the vault, and Graph as one identity at a given pace."""

    clock: Clock
    containers: Containers
    secrets: Secrets
    graph: Callable[[Identity, Pace], AbstractAsyncContextManager[GraphClient]]


class Application:
    """The use cases with their collaborators: what ``function_app.py`` and the command line call."""

    def __init__(
        self,
        settings: Settings,
        edges: Edges,
        *,
        schedule: str | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self._settings = settings
        self._edges = edges
        self._schedule = schedule
        self._state = State(edges.containers.state, settings.connection_id)
        self._services = Services(
            settings=settings,
            clock=edges.clock,
            state=self._state,
            exports=edges.containers.exports,
            reports=edges.containers.reports,
            quarantine=edges.containers.quarantine,
            mapping=self._mapping,
            open_ingest=self._open_ingest,
            page=_report_page,
            progress=progress,
        )

    # --- syncing ----------------------------------------------------------------------------------------------------

    async def tick(self, *, trigger: str, request: Request | None = None) -> sync.Tick:
        """Do one slice of whatever is due. Raises as `connector.sync.tick`."""
        return await sync.tick(self._services, trigger=trigger, request=request)

    async def rehearse(self, *, full: bool = False, limit: int = sync.SAMPLES) -> sync.Rehearsed:
        """Tell what a run would do, and write nothing. Raises as `connector.sync.rehearse`."""
        return await sync.rehearse(self._services, full=full, limit=limit)

    async def ask_for_sync(self, body: bytes = b"") -> dict[str, Any]:
        """Make the next tick run, even without a new export.

        ``body`` is empty or JSON such as ``{"full": true}``, which re-sends everyone.

        Raises:
            BadRequest: it is something else.
        """
        full = status.wants_everyone(body)
        name = self._request_name()
        await self._state.ask(name, full=full)
        return {"request": name, "full": full}

    def _request_name(self) -> str:
        return f"{self._edges.clock.now():%Y%m%dT%H%M%S}-{uuid4().hex[:8]}"

    async def approve(self, run: str, body: bytes) -> dict[str, Any]:
        """Let the next tick do what a run held or refused, if that still waits under the hash that the body names.

        Raises:
            BadRequest: ``body`` is not ``{"plan": hash, "by": name}``.
            NotFound: there is no such run.
            Conflict: that hash does not wait, or no approval can help.
        """
        wish = decide.read_approval(body)
        report = await self.run_report(run)
        head, _ = await self._state.head()
        seen = await sync.look_around(self._services, head)
        return await decide.approve(
            self._state,
            wish,
            report=report,
            settled=seen.settled,
            circumstances=seen.circumstances,
            name=f"{self._request_name()}-approval",
            now=int(self._edges.clock.now().timestamp()),
        )

    async def pause(self, body: bytes) -> dict[str, Any]:
        """Let ticks do nothing until `resume`; BadRequest unless ``body`` says by whom and for what reason."""
        note = decide.read_note(body, required=("by", "reason"))
        return await decide.pause(self._state, note, now=self._edges.clock.now().timestamp())

    async def resume(self, body: bytes) -> dict[str, Any]:
        """Let ticks work again; BadRequest unless ``body`` says by whom."""
        note = decide.read_note(body, required=("by",))
        return await decide.resume(self._state, note, now=self._edges.clock.now().timestamp())

    async def status(self) -> dict[str, Any]:
        """Return the body of ``GET /status``."""
        head, _ = await self._state.head()
        head = status.with_approvals(head, await self._state.requests())
        seen = await sync.look_around(self._services, head)
        return await status.status(
            settings=self._settings,
            clock=self._edges.clock,
            state=self._state,
            reports=self._edges.containers.reports,
            secrets=self._edges.secrets,
            settled=seen.settled,
            waiting=seen.waiting,
            circumstances=seen.circumstances,
            schedule=self._schedule,
        )

    async def runs(self, limit: str | None = None) -> dict[str, Any]:
        """Return the body of ``GET /runs``; BadRequest when ``limit`` is no number of runs."""
        most = status.number_of_runs(limit)
        return await status.runs(self._edges.containers.reports, self._settings.connection_id, limit=most)

    async def run_report(self, run: str) -> Mapping[str, Any]:
        """Return one run's report, or raise NotFound."""
        return await status.run_report(self._edges.containers.reports, self._settings.connection_id, run)

    # --- setup ------------------------------------------------------------------------------------------------------

    async def setup(self) -> SetupView:
        """Do the next missing steps of setup; containers that are missing are made, where we may."""
        containers = self._edges.containers
        async with self._provision() as provision:
            for container in (containers.exports, containers.state, containers.reports, containers.quarantine):
                await container.ensure()
            return await provision.advance()

    async def setup_view(self) -> SetupView:
        """Return how far setup is, changing nothing."""
        async with self._provision() as provision:
            return await provision.view()

    async def register(self, priority: str | None = None) -> SetupView:
        """See to profile source and priority only; ``priority`` "first" moves ours to the top of the list.

        Raises:
            BadRequest: ``priority`` is neither absent, "keep" nor "first".
        """
        if priority not in {None, "keep", "first"}:
            raise BadRequest("priority: allowed are first and keep")
        async with self._provision() as provision:
            return await provision.register(priority_first=priority == "first")

    async def teardown(self, *, confirm: str) -> SetupView:
        """Remove what setup made, as far as it goes now; ``absent`` when all is gone. No tick works meanwhile.

        Raises:
            BadRequest: ``confirm`` is not the connection's id.
        """
        if confirm != self._settings.connection_id:
            raise BadRequest(
                f"teardown deletes every profile entry of ours: confirm with the connection's id,"
                f" {self._settings.connection_id}"
            )
        async with self._provision() as provision:
            return await provision.teardown(running=self._state.is_running)

    # --- health -----------------------------------------------------------------------------------------------------

    async def health(self) -> dict[str, Any]:
        """Return the body of ``GET /health``; a wrong mapping is a failed check like any other."""
        from connector import doctor
        from connector.provision import wanted_from

        mapping, problems = None, list[str]()
        try:
            mapping = await self._mapping()
        except ConfigurationError as error:
            problems += error.problems
        except StoreError as error:
            problems.append(f"MAPPING: {error.message}")
        schema = contract_of(self._settings.contract).schema(mapping) if mapping else {"properties": []}
        containers = self._edges.containers

        def graph(identity: Identity) -> AbstractAsyncContextManager[GraphClient]:
            return self._edges.graph(identity, self._pace(doctor.HEALTH_CONCURRENCY))

        async with AsyncExitStack() as stack:
            admin = await stack.enter_async_context(graph("admin")) if self._settings.admin_enabled else None
            ingest = await stack.enter_async_context(graph("ingest"))
            return await doctor.health(
                doctor.Surroundings(
                    settings=self._settings,
                    schedule=self._schedule,
                    problems=problems,
                    wanted=wanted_from(self._settings, schema),
                    circumstances=sync.circumstances(self._settings, mapping) if mapping else "",
                    clock=self._edges.clock,
                    state=self._state,
                    exports=containers.exports,
                    reports=containers.reports,
                    quarantine=containers.quarantine,
                    secrets=self._edges.secrets,
                    admin=admin,
                    ingest=ingest,
                )
            )

    # --- collaborators ----------------------------------------------------------------------------------------------

    async def _mapping(self) -> ColumnMapping:
        name = self._settings.mapping
        if name.startswith("blob:"):
            blob = await self._edges.containers.state.read(name.removeprefix("blob:"))
            if blob is None:
                raise ConfigurationError(
                    [f"MAPPING: there is no blob {name.removeprefix('blob:')} in {self._settings.state_container}"]
                )
            mapping = load_mapping(name, blob.data)
        else:
            mapping = packaged_mapping(name)
        if problems := list(contract_of(self._settings.contract).problems(mapping)):
            raise ConfigurationError([f"mapping {name}: {problem}" for problem in problems])
        return mapping

    def _pace(
        self, concurrency: int, *, per_second: float | None = None, learned: Mapping[str, float] | None = None
    ) -> Pace:
        from connector.graph.pace import Pace

        return Pace(self._edges.clock, max_concurrency=concurrency, max_per_second=per_second, learned=learned)

    @asynccontextmanager
    async def _provision(self) -> AsyncIterator[Provision]:
        from connector.provision import Provision, wanted_from

        if not self._settings.admin_enabled:
            raise Forbidden("ADMIN_ENABLED is false: the admin identity is not used; set it to true for setup")
        schema = contract_of(self._settings.contract).schema(await self._mapping())
        wanted = wanted_from(self._settings, schema)
        async with self._edges.graph("admin", self._pace(SETUP_CONCURRENCY)) as graph:
            yield Provision(graph, self._edges.containers.state, wanted, clock=self._edges.clock)

    @asynccontextmanager
    async def _open_ingest(
        self, *, learned: Mapping[str, float], before_write: Callable[[], None]
    ) -> AsyncIterator[Ingest]:
        from connector.graph.items import Items
        from connector.graph.users import Users

        settings = self._settings
        pace = self._pace(settings.max_concurrency, per_second=settings.max_items_per_second, learned=learned)
        async with self._edges.graph("ingest", pace) as graph:
            items = Items(graph, self._settings.connection_id, before_write=before_write)
            yield Ingest(users=Users(graph), items=items, pace=pace)


def packaged_mapping(name: str) -> ColumnMapping:
    """Return a mapping that comes with the package.

    Raises:
        ConfigurationError: there is none of that name; the message lists those there are.
    """
    if problems := list(mapping_problems(name)):
        raise ConfigurationError(problems)
    return load_mapping(name, (files("connector") / "mappings" / f"{name}.toml").read_bytes())


def _report_page(body: Mapping[str, Any]) -> bytes:
    from connector.pages.report import report_page

    return report_page(body)


def _authorities(environment: Mapping[str, str]) -> str | None:
    """Return the file of certificate authorities to trust besides the system's, when the environment names one."""
    file = environment.get("SSL_CERT_FILE") or None
    if file and not Path(file).is_file():
        raise ConfigurationError(["SSL_CERT_FILE: names a file that is not there; remove it, or mend the path"])
    return file


@asynccontextmanager
async def open_application(
    environment: Mapping[str, str], *, progress: Callable[[int, int], None] | None = None
) -> AsyncIterator[Application]:
    """Read the settings, connect to everything around us, and close it all in the end.

    Nothing is asked of vault, Entra or Graph before a use case needs it.

    Raises:
        ConfigurationError: with every problem of the settings.
    """
    from connector.clock import SystemClock
    from connector.identities import Identities
    from connector.storage.blobs import AzureContainer, open_service

    settings = Settings.from_env(environment)
    authorities = _authorities(environment)
    clock = SystemClock()
    async with Identities(settings, environment, clock=clock) as identities, AsyncExitStack() as stack:
        connection_string = settings.hr_storage_connection_string
        service = await stack.enter_async_context(
            open_service(
                connection_string=connection_string.get_secret_value() if connection_string else None,
                account_url=settings.hr_storage_url,
                credential=None if connection_string else identities.machine(),
                ca_bundle=authorities,
            )
        )

        def container(name: str) -> AzureContainer:
            return AzureContainer(service.get_container_client(name))

        @asynccontextmanager
        async def graph(identity: Identity, pace: Pace) -> AsyncIterator[GraphClient]:
            from connector.graph.client import open_graph

            credential = identities.credential(identity)
            async with open_graph(credential, identity=identity, base_url=settings.graph_base_url, pace=pace) as client:
                yield client

        edges = Edges(
            clock=clock,
            containers=Containers(
                exports=container(settings.exports_container),
                state=container(settings.state_container),
                reports=container(settings.reports_container),
                quarantine=container(settings.quarantine_container),
            ),
            secrets=identities,
            graph=graph,
        )
        yield Application(settings, edges, schedule=environment.get("SYNC_SCHEDULE"), progress=progress)
        # Connections of aiohttp close in the loop's next turn; a loop that ends before it leaves warnings behind.
        await asyncio.sleep(0)
