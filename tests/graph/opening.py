"""Graph as the tests open it: the simulated tenant in process, as one of its two apps."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from connector.graph.client import open_graph
from connector.graph.pace import Pace
from tests.tenant import ADMIN_CLIENT_ID, INGEST_CLIENT_ID, Tenant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from connector.graph.client import GraphClient, Identity

BASE_URL = "https://graph.microsoft.com/beta"


@asynccontextmanager
async def graph_at(tenant: Tenant, client_id: str = INGEST_CLIENT_ID) -> AsyncIterator[GraphClient]:
    pace = Pace(tenant.clock, max_concurrency=16, random=lambda: 0.5)
    credential = tenant.entra.credential(client_id)
    identity: Identity = "ingest" if client_id == INGEST_CLIENT_ID else "admin"
    async with open_graph(
        credential, identity=identity, base_url=BASE_URL, pace=pace, transport=tenant.graph.transport()
    ) as graph:
        yield graph


def an_item(item_id: str) -> bytes:
    account = json.dumps({"userPrincipalName": "adelev@contoso.com"})
    acl = [{"type": "everyone", "value": "everyone", "accessType": "grant"}]
    return json.dumps({"id": item_id, "acl": acl, "properties": {"account": account}}).encode()


async def with_connection(**settings) -> Tenant:
    """Return a tenant with a ready connection for both apps."""
    tenant = Tenant(**settings)
    body = {
        "id": "contosohr",
        "name": "Contoso HR",
        "description": "People",
        "contentCategory": "people",
        "configuration": {"authorizedAppIds": [ADMIN_CLIENT_ID, INGEST_CLIENT_ID]},
    }
    schema = {
        "baseType": "microsoft.graph.externalItem",
        "properties": [{"name": "account", "type": "string", "labels": ["personAccount"]}],
    }
    async with tenant.client(ADMIN_CLIENT_ID) as admin:
        (await admin.post("/external/connections", json=body)).raise_for_status()
        (await admin.patch("/external/connections/contosohr/schema", json=schema)).raise_for_status()
    return tenant
