"""The local tenant: a simulated Graph, Entra and Key Vault that behave as one, for the tests and the demo.

Nothing in ``connector`` knows that it exists.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx

from tests.tenant.clock import VirtualClock
from tests.tenant.entra import Entra
from tests.tenant.graph import GraphSimulator
from tests.tenant.graph.contracts import CONTRACTS
from tests.tenant.vault import Vault

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from connector.clock import Clock
    from tests.tenant.graph.contracts import ContractName
    from tests.tenant.serve import ServedTenant

TESTED_CONTRACTS: tuple[ContractName, ...] = tuple(
    name for name in CONTRACTS if name in os.environ.get("CONTRACTS", "labels,preview").split(",")
)
"""Under which contracts the nights and doors are tested: both, unless CONTRACTS names one of them."""


def tested_contracts(*about: str) -> tuple[ContractName, ...]:
    """Return under which of them something is tested that is ``about`` these contracts, or where none is named, all."""
    return tuple(name for name in TESTED_CONTRACTS if not about or name in about) or TESTED_CONTRACTS[:1]


TENANT_ID = "9f1c4f0a-5d0e-4b6c-8b1e-0c0ffee00001"
ADMIN_CLIENT_ID = "ad000000-0000-4000-8000-000000000001"
INGEST_CLIENT_ID = "1e000000-0000-4000-8000-000000000002"
MANAGED_CLIENT_ID = "3a000000-0000-4000-8000-000000000003"
"""The function app's user-assigned managed identity; it may read the vault."""

ADMIN_SECRET = "admin-client-secret"
INGEST_SECRET = "ingest-client-secret"
SECRET_NAMES = {ADMIN_CLIENT_ID: ADMIN_SECRET, INGEST_CLIENT_ID: INGEST_SECRET}

ADMIN_ROLES = frozenset({"ExternalConnection.ReadWrite.OwnedBy", "PeopleSettings.ReadWrite.All"})
INGEST_ROLES = frozenset({"ExternalItem.ReadWrite.OwnedBy", "User.Read.All"})
"""User.ReadBasic.All would not read accountEnabled and userType.
https://learn.microsoft.com/graph/permissions-reference [likely]"""


class Tenant:
    """A tenant with two app registrations, each with the least permissions for its work and its secret in the vault.

    Args:
        clock: virtual time unless given; give a ``SystemClock`` on loopback.
        graph: further settings of the simulated Graph, such as ``contract`` or ``schema_seconds``.
    """

    def __init__(self, *, clock: Clock | None = None, **graph: Any) -> None:
        self.clock = clock or VirtualClock()
        self.entra = Entra(clock=self.clock, tenant_id=TENANT_ID)
        self.entra.register(ADMIN_CLIENT_ID, name="admin", roles=ADMIN_ROLES)
        self.entra.register(INGEST_CLIENT_ID, name="ingest", roles=INGEST_ROLES)
        self.entra.register(MANAGED_CLIENT_ID, name="function app", managed=True)
        self.vault = Vault(self.clock, self.entra, readers={MANAGED_CLIENT_ID})
        self.graph = GraphSimulator(self.clock, self.entra, **graph)
        self._serial = 0
        for client_id in SECRET_NAMES:
            self.rotate_secret(client_id)

    def rotate_secret(self, client_id: str, *, expires: datetime | None = None) -> str:
        """Add a client secret to an app and put it into the vault as the newest version; return its value.

        Older secrets stay valid; ``entra.remove_secret`` ends one.
        """
        self._serial += 1
        value = f"{self._serial}~local.{client_id}.made-up-secret"
        moment = expires or self.clock.now() + timedelta(days=180)
        self.entra.add_secret(client_id, value, expires=moment)
        self.vault.set_secret(SECRET_NAMES[client_id], value, expires=moment)
        return value

    def client(self, client_id: str, *, version: str | None = None) -> httpx.AsyncClient:
        """Return an httpx client that reaches Graph in process as this app; every request gets a fresh token.

        ``version``: of Graph, the one of the contract's own addresses unless given.
        """
        return httpx.AsyncClient(
            transport=self.graph.transport(),
            base_url=f"https://graph.microsoft.com/{self.graph.rules.version if version is None else version}",
            auth=_AppAuth(self.entra, client_id),
        )

    def serve(self, *, ports: Mapping[str, int] | None = None, directory: Path | None = None) -> ServedTenant:
        """Return the tenant's loopback mounts (graph, entra, vault, identity), to be used as a context manager."""
        from tests.tenant.serve import ServedTenant

        return ServedTenant(self, ports=ports, directory=directory)


class _AppAuth(httpx.Auth):
    def __init__(self, entra: Entra, client_id: str) -> None:
        self._entra = entra
        self._client_id = client_id

    def auth_flow(self, request: httpx.Request) -> Any:
        request.headers["authorization"] = f"Bearer {self._entra.issue(self._client_id)}"
        yield request


__all__ = [
    "ADMIN_CLIENT_ID",
    "ADMIN_ROLES",
    "ADMIN_SECRET",
    "INGEST_CLIENT_ID",
    "INGEST_ROLES",
    "INGEST_SECRET",
    "MANAGED_CLIENT_ID",
    "TENANT_ID",
    "Entra",
    "GraphSimulator",
    "Tenant",
    "Vault",
    "VirtualClock",
]
