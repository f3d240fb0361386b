"""The local tenant: a simulated Graph, Entra and Key Vault that behave as one, for the tests and the demo.

Nothing in ``connector`` knows that it exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.tenant.clock import VirtualClock
from tests.tenant.entra import Entra
from tests.tenant.graph import GraphSimulator

if TYPE_CHECKING:
    from connector.clock import Clock

TENANT_ID = "9f1c4f0a-5d0e-4b6c-8b1e-0c0ffee00001"
ADMIN_CLIENT_ID = "ad000000-0000-4000-8000-000000000001"
INGEST_CLIENT_ID = "1e000000-0000-4000-8000-000000000002"

ADMIN_ROLES = frozenset({"ExternalConnection.ReadWrite.OwnedBy", "PeopleSettings.ReadWrite.All"})
INGEST_ROLES = frozenset({"ExternalItem.ReadWrite.OwnedBy", "User.Read.All"})
"""User.ReadBasic.All would not read accountEnabled and userType.
https://learn.microsoft.com/graph/permissions-reference [likely]"""


class Tenant:
    """A tenant with two app registrations: admin and ingest, each with the least permissions for its work."""

    def __init__(self, *, clock: Clock | None = None) -> None:
        self.clock = clock or VirtualClock()
        self.entra = Entra(clock=self.clock, tenant_id=TENANT_ID)
        self.entra.register(ADMIN_CLIENT_ID, name="admin", roles=ADMIN_ROLES)
        self.entra.register(INGEST_CLIENT_ID, name="ingest", roles=INGEST_ROLES)
        self.graph = GraphSimulator(clock=self.clock, entra=self.entra)


__all__ = ["ADMIN_CLIENT_ID", "INGEST_CLIENT_ID", "TENANT_ID", "Entra", "GraphSimulator", "Tenant", "VirtualClock"]
