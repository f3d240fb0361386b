"""The simulated tenant as a live run meets one: addresses with TLS, a token endpoint, two apps, people of others."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from connector.clock import SystemClock
from tests.tenant import ADMIN_CLIENT_ID, INGEST_CLIENT_ID, TENANT_ID, Tenant

if TYPE_CHECKING:
    from collections.abc import Iterator

USER = "o'neil@contoso.com"


@contextmanager
def simulated(tenant: Tenant | None = None) -> Iterator[dict[str, str]]:
    """Serve a tenant on loopback; yield the environment that leads a visit to it.

    When the visit is over, the tenant must be as it was.
    """
    tenant = tenant or a_tenant()
    graph = tenant.graph
    before = (list(graph.connections), list(graph.sources), _lists(tenant))
    with tenant.serve() as served:
        yield {
            "LIVE_TENANT_ID": TENANT_ID,
            "LIVE_ADMIN_CLIENT_ID": ADMIN_CLIENT_ID,
            "LIVE_ADMIN_SECRET": tenant.rotate_secret(ADMIN_CLIENT_ID),
            "LIVE_INGEST_CLIENT_ID": INGEST_CLIENT_ID,
            "LIVE_INGEST_SECRET": tenant.rotate_secret(INGEST_CLIENT_ID),
            "LIVE_USER_UPN": USER,
            "LIVE_GRAPH_BASE_URL": f"{served.urls['graph']}/v1.0",
            "LIVE_AUTHORITY": served.urls["entra"],
            "LIVE_CA_BUNDLE": str(served.ca_bundle),
            "LIVE_PRIORITY": "write",
            "LIVE_PATIENCE": "3",
            "LIVE_PAUSE": "0.02",
        }
    assert (list(graph.connections), list(graph.sources), _lists(tenant)) == before


def a_tenant() -> Tenant:
    """Return a tenant with users, other people's profile sources, and schemas that take a moment."""
    tenant = Tenant(clock=SystemClock(), schema_seconds=0.4)
    tenant.graph.add_user(USER, displayName="O'Neil")
    for number in range(3):
        tenant.graph.add_user(f"p{number}@contoso.com")
    tenant.graph.add_source("bamboohr1", version="beta")
    tenant.graph.add_source("theirs")
    return tenant


def _lists(tenant: Tenant) -> list[list[str]]:
    return [list(setting.urls) for setting in tenant.graph.settings.values()]
