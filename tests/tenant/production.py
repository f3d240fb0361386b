"""Contoso as in production: everything under its real name on port 443, and app settings without a single secret.

Only for a process in namespaces of its own (``tests.tenant.namespace``), whose ``/etc/hosts`` leads the names here. The
connector's process gets what the deployed app has in its environment: names, ids and the managed identity's endpoint.
"""

from __future__ import annotations

import base64
import secrets
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from connector.clock import SystemClock
from tests.tenant import ADMIN_CLIENT_ID, INGEST_CLIENT_ID, MANAGED_CLIENT_ID, TENANT_ID, Tenant
from tests.tenant.azurite import azurite
from tests.tenant.contoso import EXPORTS, QUARANTINE, REPORTS, STATE, Contoso
from tests.tenant.entra import STORAGE
from tests.tenant.namespace import furnish
from tests.tenant.serve import Mount, Served

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from azure.core.credentials import AccessToken
    from azure.storage.blob import BlobServiceClient

    from tests.tenant.graph.contracts import ContractName
    from tests.tenant.wire import Receive, Scope, Send

    ASGI = Callable[[Scope, Receive, Send], Awaitable[None]]

ACCOUNT: Final = "contosohrpeople"
HOSTS: Final = {
    "graph.microsoft.com": "127.0.0.2",
    "login.microsoftonline.com": "127.0.0.3",
    "contoso-people.vault.azure.net": "127.0.0.4",
    f"{ACCOUNT}.blob.core.windows.net": "127.0.0.5",
}
"""Every name that the app has business with, each on a loopback address of its own."""

_GRAPH, _ENTRA, _VAULT, _BLOBS = HOSTS

FOREIGN_VAULT: Final = "contoso-people.vault.example.net"
"""A name outside Azure that leads to the vault as well: somebody's mistake, or worse."""

HR_CLIENT_ID: Final = "48000000-0000-4000-8000-000000000004"
"""The HR system's own identity, which drops exports."""


@dataclass(frozen=True, slots=True)
class Production:
    """What runs: Contoso's tenant, the deployed app's settings, and records of what was asked for.

    ``asked`` has host, path and kind of authorisation of every request, by service; ``log`` is what Azurite has seen.
    """

    world: Contoso
    settings: dict[str, str]
    asked: dict[str, list[tuple[str, str, str]]]
    log: Path

    def storage(self) -> BlobServiceClient:
        """Return a client of the storage account as HR, to be closed by the caller."""
        from azure.storage.blob import BlobServiceClient

        return BlobServiceClient(self.settings["HR_STORAGE_URL"], _HumanResources(self.world.tenant))


class _Recorded:
    """An ASGI app that keeps a record of who was asked for what."""

    def __init__(self, app: ASGI, record: list[tuple[str, str, str]]) -> None:
        self._app = app
        self._record = record

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Note the request and pass it on."""
        headers = dict(scope["headers"])
        kind = headers.get(b"authorization", b"").partition(b" ")[0]
        self._record.append((headers[b"host"].decode(), scope["path"], kind.decode()))
        await self._app(scope, receive, send)


class _HumanResources:
    """A credential of the HR system, for its exports."""

    def __init__(self, tenant: Tenant) -> None:
        self._entra = tenant.entra

    def get_token(self, *_: str, **__: Any) -> AccessToken:
        """Return a token for storage."""
        from azure.core.credentials import AccessToken

        token = self._entra.issue(HR_CLIENT_ID, audience=STORAGE)
        said = self._entra.verify(token, audience=STORAGE)
        return AccessToken(token, int(said.expires) if said else 0)


@contextmanager
def production(folder: Path, *, contract: ContractName = "labels") -> Iterator[Production]:
    """Run Contoso under the names of production until the block ends; nothing takes Microsoft longer than an instant.

    Raises:
        RuntimeError, OSError: as ``furnish``: this process must be in namespaces of its own.
    """
    tenant = Tenant(clock=SystemClock(), contract=contract, schema_seconds=0, settle_seconds=0)
    tenant.entra.register(HR_CLIENT_ID, name="hr")
    asked: dict[str, list[tuple[str, str, str]]] = {"graph": [], "entra": [], "vault": []}
    apps: dict[str, ASGI] = {"graph": tenant.graph, "entra": tenant.entra, "vault": tenant.vault}
    mounts = {
        **{
            service: Mount(_Recorded(apps[service], asked[service]), 443, name=name, address=HOSTS[name])
            for service, name in zip(apps, HOSTS, strict=False)
        },
        # https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference
        "identity": Mount(tenant.entra, tls=False, name="127.0.0.1"),
    }
    served = Served(mounts, directory=folder, names=[_BLOBS, FOREIGN_VAULT])
    furnish({**HOSTS, FOREIGN_VAULT: HOSTS[_VAULT]}, served.ca_bundle)
    log = folder / "azurite.log"
    with (
        served,
        azurite(
            address=HOSTS[_BLOBS],
            port=443,
            certificate=served.certificate,
            key=served.key,
            account=ACCOUNT,
            account_key=base64.b64encode(secrets.token_bytes(64)).decode(),  # of which nobody is told
            log=log,
        ),
    ):
        settings = {
            "TENANT_ID": TENANT_ID,
            "KEY_VAULT_URL": f"https://{_VAULT}",
            "ADMIN_CLIENT_ID": ADMIN_CLIENT_ID,
            "INGEST_CLIENT_ID": INGEST_CLIENT_ID,
            "AZURE_CLIENT_ID": MANAGED_CLIENT_ID,
            "HR_STORAGE_URL": f"https://{_BLOBS}",
            "CONNECTION_ID": "contosohr",
            "PROFILE_SOURCE_URL": "https://hr.contoso.com",
            "SYNC_SCHEDULE": "0 */15 * * * *",
            "EXPORT_SETTLE_SECONDS": "0",
            "REGISTRATION_SETTLE_SECONDS": "0",
            "CONTRACT": contract,
            # What the platform puts there.
            "FUNCTIONS_EXTENSION_VERSION": "~4",
            "AzureWebJobsStorage__accountName": "contosohosting",
            "AzureWebJobsStorage__credential": "managedidentity",
            "AzureWebJobsStorage__clientId": MANAGED_CLIENT_ID,
            "IDENTITY_ENDPOINT": f"{served.urls['identity']}/msi/token",
            "IDENTITY_HEADER": tenant.entra.identity_header,
        }
        found = Production(Contoso(tenant, settings), settings, asked, log)
        with found.storage() as account:  # in Azure the Bicep files make them
            for container in (EXPORTS, REPORTS, QUARANTINE, STATE):
                account.create_container(container)
        yield found
