"""Ways to bring people into Graph, each for a fresh process: ours, a bare loop of the SDK's, the walkthrough's.

All of them have their tokens from the genuine azure-identity, which asks a simulated Entra without sockets.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from tests.bench.company import Churn, Company, object_id_of, upn_of
from tests.bench.processes import peak_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import httpx
    from azure.core.credentials_async import AsyncTokenCredential

    from connector.graph.client import GraphClient, Identity
    from connector.graph.pace import Pace
    from connector.identities import Identities
    from connector.settings import Settings
    from connector.wiring import Containers
    from tests.tenant import Tenant

CONNECTION: Final = "contosohr"
_VAULT: Final = "contosohr.vault.azure.net"
_GRAPH: Final = "https://graph.microsoft.com/beta"


@dataclass(slots=True)
class Watch:
    """How much processor time this process had spent when each of the people was done."""

    cpu: list[float] = field(default_factory=list)

    def note(self, *_: object) -> None:
        """Note that one more is done."""
        self.cpu.append(time.process_time())

    def per_person(self, in_flight: int) -> float:
        """Return milliseconds of processor time per person, of the time when as many were in flight as may be."""
        steady = self.cpu[in_flight : len(self.cpu) - in_flight] if len(self.cpu) > 4 * in_flight else self.cpu
        return (steady[-1] - steady[0]) / (len(steady) - 1) * 1000


@dataclass(frozen=True, slots=True)
class Passed:
    """What a passage took of its own process: milliseconds per person, while items were sent, and all in all.

    ``seconds``: of all. ``report``: of the run, where the passage is one of ours, and
    ``run`` what leads to its storage.
    """

    cpu: float
    cpu_of_all: float
    seconds: float
    report: Mapping[str, Any] = field(default_factory=dict)
    run: str = ""


# --- ours ------------------------------------------------------------------------------------------------------------


CHURN: Final = Churn(changed=0.1)
"""What has changed on the second night."""


def a_night(url: str, storage: str, people: int, concurrency: int, earlier: str = "") -> Passed:
    """Let one tick take an export of so many people: genuine Azurite, and Graph at ``url``.

    It is the first night, and nobody is known yet, or the one after the night that told this ``run`` of it.
    """
    return asyncio.run(_a_night(url, storage, people, concurrency, earlier))


async def _a_night(url: str, storage: str, people: int, concurrency: int, earlier: str) -> Passed:
    from connector.clock import SystemClock
    from connector.storage.blobs import AzureContainer, open_service
    from connector.wiring import Containers
    from tests.tenant import Tenant

    tenant, run = Tenant(clock=SystemClock()), earlier or uuid4().hex[:8]
    async with open_service(connection_string=storage) as service:
        exports, state, reports, quarantine = (
            AzureContainer(service.get_container_client(f"{name}-{run}"))
            for name in ("exports", "state", "reports", "quarantine")
        )
        containers = Containers(exports=exports, state=state, reports=reports, quarantine=quarantine)
        passed = await passage(
            tenant, containers, people=people, concurrency=concurrency, night=1 if earlier else 0, url=url
        )
        return replace(passed, run=run)


async def passage(
    tenant: Tenant,
    containers: Containers,
    *,
    people: int,
    concurrency: int,
    night: int = 0,
    url: str = _GRAPH,
    wire: httpx.AsyncBaseTransport | None = None,
) -> Passed:
    """Set up, drop an export of so many people, and let one tick take it; ``wire``: to Graph, sockets unless given."""
    import orjson

    from connector.core.report import dump_report
    from connector.wiring import Application, Edges

    logging.getLogger("connector").addHandler(logging.NullHandler())  # the table is for people
    settings, watch = _settings(concurrency), Watch()
    async with _identities(tenant, settings) as identities:

        def edges(base_url: str, transport: httpx.AsyncBaseTransport | None) -> Edges:
            @asynccontextmanager
            async def graph(identity: Identity, pace: Pace) -> AsyncIterator[GraphClient]:
                from connector.graph.client import open_graph

                credential = identities.credential(identity)
                async with open_graph(
                    credential, identity=identity, base_url=base_url, pace=pace, transport=transport
                ) as client:
                    yield client

            return Edges(clock=tenant.clock, containers=containers, secrets=identities, graph=graph)

        if not night:
            view = await Application(settings, edges(_GRAPH, tenant.graph.transport())).setup()
            if view.state != "ready":
                raise AssertionError(f"setup is {view.state}")
        await _drop(containers, people, night)
        application = Application(settings, edges(url, wire), progress=watch.note)
        began, since = time.process_time(), time.perf_counter()
        ticked = await application.tick(trigger="timer")
        spent, took = time.process_time() - began, time.perf_counter() - since
    if ticked.report is None:
        raise AssertionError("there was nothing to do")
    report = orjson.loads(dump_report(ticked.report))
    return Passed(watch.per_person(concurrency), spent / people * 1000, took, report)


def _settings(concurrency: int) -> Settings:
    from connector.settings import Settings
    from tests.tenant import ADMIN_CLIENT_ID, INGEST_CLIENT_ID, TENANT_ID

    return Settings.from_env(
        {
            "TENANT_ID": TENANT_ID,
            "KEY_VAULT_URL": f"https://{_VAULT}",
            "ADMIN_CLIENT_ID": ADMIN_CLIENT_ID,
            "INGEST_CLIENT_ID": INGEST_CLIENT_ID,
            "PROFILE_SOURCE_URL": "https://hr.contoso.com",
            "HR_STORAGE_URL": "https://hr.example.net",
            "CONNECTION_ID": CONNECTION,
            "MAX_CONCURRENCY": str(concurrency),
            "EXPORT_SETTLE_SECONDS": "0",
            "REGISTRATION_SETTLE_SECONDS": "0",
        }
    )


@asynccontextmanager
async def _identities(tenant: Tenant, settings: Settings) -> AsyncIterator[Identities]:
    from connector.identities import Identities
    from connector.vault import SecretCache
    from tests.tenant.azure_wire import IDENTITY, azure_wire

    host = {
        "IDENTITY_ENDPOINT": f"http://{IDENTITY}/msi/token",
        "IDENTITY_HEADER": tenant.entra.identity_header,
    }
    os.environ.update(host)  # the process is of this passage alone, and azure-identity reads nothing else
    wire = azure_wire(tenant, vault=_VAULT)
    async with Identities(settings, host, clock=tenant.clock, cache=SecretCache(), transport=wire) as identities:
        yield identities


async def _drop(containers: Containers, people: int, night: int) -> None:
    with TemporaryDirectory(prefix="people-connector-") as folder:
        path = Path(folder) / "people.csv"
        Company(people, churn=CHURN).write(path, night=night)
        with path.open("rb") as stream:
            await containers.exports.upload_from(f"people-{night}.csv", stream)


@dataclass(frozen=True, slots=True)
class Resolved:
    """How a look-up went: how many people were found as who they are, and what it took (peak memory in MB)."""

    right: int
    seconds: float
    peak: float


def resolve(url: str, people: int) -> Resolved:
    """Look up so many people as our ingest identity does, at a Graph at ``url``."""
    return asyncio.run(_resolve(url, people))


async def _resolve(url: str, people: int) -> Resolved:
    from connector.clock import SystemClock
    from connector.graph.client import open_graph
    from connector.graph.pace import Pace
    from connector.graph.users import Users

    asks = [upn_of(number) for number in range(people)]
    pace = Pace(SystemClock(), max_concurrency=16)
    async with (
        _credential() as credential,
        open_graph(credential, identity="ingest", base_url=url, pace=pace) as client,
    ):
        since = time.perf_counter()
        found = await Users(client).find(asks)
        took = time.perf_counter() - since
    ids = {upn: account.id for upn, account in found.accounts.items()}
    right = sum(ids.get(upn) == object_id_of(number) for number, upn in enumerate(asks))
    return Resolved(right, took, peak_of())


# --- what it is measured beside --------------------------------------------------------------------------------------


def bare_loop(url: str, bodies: Mapping[str, bytes], concurrency: int) -> Passed:
    """Put items with the SDK's adapter and the native response, so many in flight, and do nothing else."""
    return asyncio.run(_bare_loop(url, bodies, concurrency))


async def _bare_loop(url: str, bodies: Mapping[str, bytes], concurrency: int) -> Passed:
    import httpx
    from kiota_abstractions.method import Method
    from kiota_abstractions.native_response_handler import NativeResponseHandler
    from kiota_abstractions.request_information import RequestInformation
    from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider
    from kiota_http.middleware.options import ResponseHandlerOption
    from msgraph_beta import GraphRequestAdapter, GraphServiceClient
    from msgraph_core import APIVersion, GraphClientFactory

    watch, left = Watch(), iter(bodies.items())
    limits = httpx.Limits(max_connections=32, max_keepalive_connections=32)
    async with _credential() as credential, httpx.AsyncClient(limits=limits, timeout=30, http2=False) as wire:
        client = GraphClientFactory.create_with_default_middleware(api_version=APIVersion.beta, client=wire)
        provider = AzureIdentityAuthenticationProvider(
            credential, scopes=["https://graph.microsoft.com/.default"], allowed_hosts=["localhost"]
        )
        adapter = GraphRequestAdapter(provider, client=client)
        adapter.base_url = url
        items = (
            GraphServiceClient(request_adapter=adapter).external.connections.by_external_connection_id(CONNECTION).items
        )

        async def worker() -> None:
            for item_id, body in left:
                target = items.by_external_item_id(item_id)
                request = RequestInformation(Method.PUT, target.url_template, target.path_parameters)
                request.content = body
                request.headers.try_add("Content-Type", "application/json")
                request.headers.try_add("Accept", "application/json")
                request.add_request_options([ResponseHandlerOption(NativeResponseHandler())])
                answer = await adapter.send_no_response_content_async(request, {})
                if answer.status_code != 200:
                    raise AssertionError(f"HTTP {answer.status_code}")
                watch.note()

        began, since = time.process_time(), time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(concurrency)))
        spent, took = time.process_time() - began, time.perf_counter() - since
    return Passed(watch.per_person(concurrency), spent / len(bodies) * 1000, took)


def the_walkthrough(url: str, people: int) -> Passed:
    """Do what the walkthrough does for so many people, one after another.

    What the SDK does once, importing its models for the first answer (seconds), is left out.
    """
    return asyncio.run(_the_walkthrough(url, people))


async def _the_walkthrough(url: str, people: int) -> Passed:
    from tests.bench import tutorial

    watch = Watch()
    numbers = range(1, people + 1)
    someone = [tutorial.Person(upn_of(number), f"Department {number % 97:02}", "Clerk", "blue") for number in numbers]
    async with _credential() as credential:
        service = tutorial.open_service(credential, url)
        await tutorial.sync(service, [tutorial.Person(upn_of(0), "Department 00", "Clerk", "blue")], _nothing)
        began, since = time.process_time(), time.perf_counter()
        await tutorial.sync(service, someone, watch.note)
        spent, took = time.process_time() - began, time.perf_counter() - since
    return Passed(watch.per_person(1), spent / people * 1000, took)


def _nothing() -> None:
    """Let the first one pass."""


@asynccontextmanager
async def _credential() -> AsyncIterator[AsyncTokenCredential]:
    """Open what both references are given: azure-identity's credential with the ingest app's secret."""
    from azure.identity.aio import ClientSecretCredential

    from connector.clock import SystemClock
    from tests.tenant import INGEST_CLIENT_ID, TENANT_ID, Tenant
    from tests.tenant.azure_wire import azure_wire

    tenant = Tenant(clock=SystemClock())
    secret = tenant.rotate_secret(INGEST_CLIENT_ID)
    wire = azure_wire(tenant, vault=_VAULT)
    async with ClientSecretCredential(TENANT_ID, INGEST_CLIENT_ID, secret, transport=wire) as credential:
        yield credential
