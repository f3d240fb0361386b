"""Contoso on the local tenant: users in Entra, storage in Azurite, and the app settings that lead there."""

from __future__ import annotations

import csv
import io
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from connector.clock import SystemClock
from tests.tenant import Tenant
from tests.tenant.azurite import azurite
from tests.tenant.wire import Reply, serve_asgi

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from azure.storage.blob import BlobServiceClient

    from tests.tenant.wire import Receive, Request, Scope, Send

ROOT: Final = Path(__file__).resolve().parents[2]
SAMPLES: Final = ROOT / "samples"
NIGHTS: Final = ("people-2026-11-20.csv", "people-2026-11-21.csv", "people-2026-11-22.csv")

WITHOUT_ACCOUNT: Final = frozenset({"C1024"})
"""People of the samples whom Entra does not know: HR was faster than IT."""

EXPORTS, REPORTS, QUARANTINE, STATE = "hr-exports", "connector-reports", "hr-quarantine", "connector-state"

PORTS: Final = {"azurite": 10000, "graph": 7443, "entra": 7444, "vault": 7445, "identity": 7446}
"""Where ``make serve`` puts things, so that a settings file stays true from one time to the next."""

IDENTITY_HEADER: Final = "local"
"""What the managed identity endpoint wants to see; App Service makes one up for each worker."""


@dataclass(slots=True)
class Contoso:
    """A tenant that runs: ``settings`` are the connector's app settings and the environment that leads to it."""

    tenant: Tenant
    settings: dict[str, str]
    _accounts: dict[str, str] = field(default_factory=dict)  # employee id to object id

    def follow(self, export: bytes) -> None:
        """Let IT follow HR: joiners get accounts, renamed people new UPNs. Entra knows names and departments only."""
        graph = self.tenant.graph
        for row in csv.DictReader(io.StringIO(export.decode("utf-8-sig"))):
            employee, upn = row["EmployeeId"], row["UserPrincipalName"]
            if employee in self._accounts:
                known = graph.users[self._accounts[employee]]
                if known.upn != upn:
                    graph.rename_user(known.id, upn)
                    known.mail = upn
            elif employee not in WITHOUT_ACCOUNT:
                self._accounts[employee] = graph.add_user(
                    upn,
                    displayName=row["DisplayName"],
                    givenName=row["FirstName"],
                    surname=row["LastName"],
                    department=row["Department"],
                )

    def upn(self, employee: str) -> str:
        """Return someone's present UPN."""
        return self.tenant.graph.users[self._accounts[employee]].upn

    def storage(self) -> BlobServiceClient:
        """Return a client of the HR storage account, to be closed by the caller."""
        return storage(self.settings)


class ItDepartment:
    """Contoso's IT on loopback: whoever drops an export sends it here first, so that joiners have their accounts."""

    def __init__(self, world: Contoso) -> None:
        self._world = world

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve as an ASGI app."""
        await serve_asgi(self, scope, receive, send)

    async def answer(self, request: Request) -> Reply:
        """Follow the export in the body; one that IT cannot read changes nothing in Entra."""
        try:
            self._world.follow(request.body)
        except (KeyError, UnicodeDecodeError, csv.Error):
            return Reply(422)
        return Reply(204)


def storage(settings: Mapping[str, str]) -> BlobServiceClient:
    """Return a client of the storage account that the settings name."""
    from azure.storage.blob import BlobServiceClient

    return BlobServiceClient.from_connection_string(settings["HR_STORAGE_CONNECTION_STRING"])


@contextmanager
def contoso(
    *,
    directory: Path | None = None,
    ports: Mapping[str, int] | None = None,
    schema_seconds: float = 2,
    settle_seconds: int = 2,
    same_process: bool = True,
) -> Iterator[Contoso]:
    """Run Contoso's tenant and storage until the block ends.

    What takes Microsoft minutes (registering a schema, settling a registration) takes seconds here, but it takes them.

    Args:
        directory: where the throw-away certificates go; a temporary one unless given.
        ports: by the names of ``PORTS``; free ones where none is given.
        schema_seconds: how long registering a schema takes.
        settle_seconds: how long after the registration items begin to reach profiles.
        same_process: whether the connector will run in this process, which must trust the tenant's certificates then.
    """
    given = dict(ports or {})
    if same_process and "aiohttp" in sys.modules:
        raise RuntimeError("aiohttp has been imported: it would not trust this tenant's certificate authority any more")
    # Azurite first: installing it needs the machine's own certificate authorities.
    with azurite(port=given.pop("azurite", 0)) as blobs:
        tenant = Tenant(clock=SystemClock(), schema_seconds=schema_seconds, settle_seconds=settle_seconds)
        tenant.entra.identity_header = IDENTITY_HEADER
        with tenant.serve(ports=given, directory=directory) as served:
            settings = {
                **served.environment(),
                "CONNECTION_ID": "contosohr",
                "CONNECTION_NAME": "Contoso HR",
                "PROFILE_SOURCE_URL": "https://hr.contoso.com",
                "HR_STORAGE_CONNECTION_STRING": blobs.connection_string,
                "SYNC_SCHEDULE": "0 */15 * * * *",
                "EXPORT_SETTLE_SECONDS": "0",
                "REGISTRATION_SETTLE_SECONDS": str(settle_seconds),
                "FUNCTIONS_WORKER_RUNTIME": "python",
                "AzureWebJobsStorage": blobs.connection_string,
            }
            with storage(settings) as account:  # in Azure the Bicep files make them
                for container in (EXPORTS, REPORTS, QUARANTINE, STATE):
                    account.create_container(container)
            yield Contoso(tenant, settings)
