"""Contoso on the local tenant: users in Entra, storage in Azurite, and the app settings that lead there."""

from __future__ import annotations

import csv
import io
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from connector.clock import SystemClock
from connector.errors import ExportError
from tests.tenant import Tenant
from tests.tenant.azurite import azurite
from tests.tenant.wire import Reply, serve_asgi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from azure.storage.blob import BlobServiceClient

    from tests.tenant.graph.contracts import ContractName
    from tests.tenant.wire import Receive, Request, Scope, Send

ROOT: Final = Path(__file__).resolve().parents[2]
SAMPLES: Final = ROOT / "samples"


@dataclass(frozen=True, slots=True)
class Cast:
    """Made-up people: HR's exports of them, one per night, and what IT makes of these."""

    contract: ContractName
    settings: Mapping[str, str]
    """App settings that differ from one cast to another."""
    nights: tuple[str, ...]
    key: str
    """The column of HR's key."""
    upn: str
    """The column of the UPN."""
    known: Mapping[str, str]
    """What Entra knows of a user, and from which column."""
    without_account: frozenset[str]
    """Keys of people whom Entra does not know: HR was faster than IT."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """New keys of people whose key is their UPN, and the old ones."""


CASTS: Final[dict[ContractName, Cast]] = {
    "labels": Cast(
        contract="labels",
        settings={"CONNECTION_ID": "contosohr", "CONNECTION_NAME": "Contoso HR"},
        nights=("people-2026-11-20.csv", "people-2026-11-21.csv", "people-2026-11-22.csv"),
        key="EmployeeId",
        upn="UserPrincipalName",
        known={
            "displayName": "DisplayName",
            "givenName": "FirstName",
            "surname": "LastName",
            "department": "Department",
        },
        without_account=frozenset({"C1024"}),
    ),
    "preview": Cast(
        contract="preview",
        settings={
            "CONTRACT": "preview",
            "MAPPING": "tutorial",
            "CONNECTION_ID": "contosohrconnector1",
            "CONNECTION_NAME": "Contoso HR Connector",
        },
        nights=(
            "tutorial-2026-11-20.csv",
            "tutorial-2026-11-21.csv",
            "tutorial-2026-11-22.csv",
            "tutorial-2026-11-23.csv",
        ),
        key="UPN",
        upn="UPN",
        known={"department": "Department"},
        without_account=frozenset({"nora.haddad@contoso.com"}),
        renamed={"luis.garcia@contoso.com": "luisg@contoso.com"},
    ),
}
"""Who plays under which contract: 25 people of the default mapping; the two of Microsoft's walkthrough, and more."""


def company(contract: ContractName) -> Cast:
    """Return the 25 people of the default mapping, under either contract."""
    cast = CASTS["labels"]
    return replace(cast, contract=contract, settings={**cast.settings, "CONTRACT": contract})


NIGHTS: Final = CASTS["labels"].nights

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
    cast: Cast = CASTS["labels"]
    _accounts: dict[str, str] = field(default_factory=dict)  # HR's first key to object id

    def follow(self, export: bytes) -> None:
        """Let IT follow HR: joiners get accounts, renamed people new UPNs. Entra knows little of what HR knows."""
        graph = self.tenant.graph
        for row in csv.DictReader(io.StringIO(export.decode("utf-8-sig"))):
            key, upn = self.cast.renamed.get(row[self.cast.key], row[self.cast.key]), row[self.cast.upn]
            if key in self._accounts:
                known = graph.users[self._accounts[key]]
                if known.upn != upn:
                    graph.rename_user(known.id, upn)
                    known.mail = upn
            elif key not in self.cast.without_account:
                attributes: dict[str, Any] = {name: row[column] for name, column in self.cast.known.items()}
                self._accounts[key] = graph.add_user(upn, **attributes)

    def knows(self, key: str) -> bool:
        """Tell whether Entra knows somebody, by the key that HR knew them by at first."""
        return key in self._accounts

    def upn(self, key: str) -> str:
        """Return someone's present UPN, by the key that HR knew them by at first."""
        return self.tenant.graph.users[self._accounts[key]].upn

    def storage(self) -> BlobServiceClient:
        """Return a client of the HR storage account, to be closed by the caller."""
        return storage(self.settings)


class ItDepartment:
    """Contoso's IT on loopback: whoever drops an export sends it here first, so that joiners have their accounts.

    ``follow`` is called with the file's name and content, and raises ValueError or `ExportError` at one it cannot read.
    """

    def __init__(self, follow: Callable[[str, bytes], None]) -> None:
        self._follow = follow

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve as an ASGI app."""
        await serve_asgi(self, scope, receive, send)

    async def answer(self, request: Request) -> Reply:
        """Follow the export in the body, which the path names; one that IT cannot read changes nothing in Entra."""
        try:
            self._follow(unquote(request.path.removeprefix("/")), request.body)
        except ExportError as error:
            return Reply(422, error.message.encode())
        except (KeyError, ValueError, csv.Error):
            return Reply(422)
        return Reply(204)


def storage(settings: Mapping[str, str]) -> BlobServiceClient:
    """Return a client of the storage account that the settings name."""
    from azure.storage.blob import BlobServiceClient

    return BlobServiceClient.from_connection_string(settings["HR_STORAGE_CONNECTION_STRING"])


@contextmanager
def contoso(
    *,
    cast: Cast = CASTS["labels"],
    directory: Path | None = None,
    ports: Mapping[str, int] | None = None,
    schema_seconds: float = 2,
    settle_seconds: int = 2,
    same_process: bool = True,
) -> Iterator[Contoso]:
    """Run Contoso's tenant and storage until the block ends.

    What takes Microsoft minutes (registering a schema, settling a registration) takes seconds here, but it takes them.

    Args:
        cast: whose company this is, and under which contract.
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
        tenant = Tenant(
            clock=SystemClock(),
            contract=cast.contract,
            schema_seconds=schema_seconds,
            settle_seconds=settle_seconds,
        )
        tenant.entra.identity_header = IDENTITY_HEADER
        with tenant.serve(ports=given, directory=directory) as served:
            settings = {
                **served.environment(),
                **cast.settings,
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
            yield Contoso(tenant, settings, cast)
