"""Health: each check on its own, and what the operator is told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from connector.core.setup import Registration
from connector.doctor import health, unconfigured
from connector.errors import ConfigurationError, CredentialError
from connector.graph.client import open_graph
from connector.graph.pace import Pace
from tests.graph.opening import BASE_URL, graph_at, with_connection
from tests.storage.memory import MemoryContainer
from tests.tenant import ADMIN_CLIENT_ID, INGEST_CLIENT_ID, Tenant
from tests.tenant.clock import START
from tests.tenant.graph.faults import Failed

if TYPE_CHECKING:
    from datetime import datetime

    from connector.graph.client import Identity


@dataclass
class State:
    secret: str
    expires: datetime | None
    expiring: bool = False
    previous: bool = False


class Secrets:
    """What the vault says of the two secrets; an error is raised instead."""

    def __init__(self, **states: State | CredentialError) -> None:
        self.states = states
        self.asked = list[str]()

    async def credential_state(self, identity: Identity) -> State:
        self.asked.append(identity)
        state = self.states.get(identity, State(f"{identity}-client-secret", START + timedelta(days=100)))
        if isinstance(state, CredentialError):
            raise state
        return state


READY = Registration(
    incarnation="i",
    tenant_id="t",
    contract="labels",
    connection_id="contosohr",
    since=START.isoformat(),
    ready_since=START.isoformat(),
    registered_at=START.isoformat(),
    settled=START.isoformat(),
)


async def look(tenant: Tenant, *, admin_enabled: bool = True, **changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "secrets": Secrets(),
        "connection_id": "contosohr",
        "registration": READY,
        "containers": {"hr-exports": MemoryContainer(tenant.clock), "connector-state": MemoryContainer(tenant.clock)},
        "schedule": "0 */15 * * * *",
        "clock": tenant.clock,
    } | changes
    async with graph_at(tenant, ADMIN_CLIENT_ID) as admin, graph_at(tenant) as ingest:
        return await health(admin=admin if admin_enabled else None, ingest=ingest, **given)


def check(answer: dict[str, Any], name: str) -> dict[str, Any]:
    return next(found for found in answer["checks"] if found["name"] == name)


async def test_all_is_well():
    """After setup every check is ok, with a detail and nothing to do."""
    answer = await look(await with_connection())

    assert answer["status"] == "ok"
    assert [(found["name"], found["status"], found["advice"]) for found in answer["checks"]] == [
        ("settings", "ok", ""),
        ("vault", "ok", ""),
        ("admin-roles", "ok", ""),
        ("ingest-roles", "ok", ""),
        ("connection", "ok", ""),
        ("containers", "ok", ""),
    ]


async def test_nothing_is_written():
    """Looking leaves Graph and the containers as they were."""
    tenant = await with_connection()
    containers = {"hr-exports": MemoryContainer(tenant.clock)}
    before = len(tenant.graph.requests)

    await look(tenant, containers=containers)

    assert {seen.method for seen in tenant.graph.requests[before:]} == {"GET"}
    assert containers["hr-exports"].contents == {}


@pytest.mark.parametrize("registration", [None, Registration("i", "t", "labels", "contosohr", START.isoformat())])
async def test_before_setup_the_connection_is_unknown(registration):
    """A connection that is not set up yet is no failure, and Graph is not asked about it."""
    tenant = Tenant()

    answer = await look(tenant, registration=registration)

    assert check(answer, "connection")["status"] == "unknown"
    assert "run setup" in check(answer, "connection")["advice"]
    assert answer["status"] == "degraded"
    assert tenant.graph.requests == []


@pytest.mark.parametrize(
    ("client_id", "name", "role"),
    [
        (ADMIN_CLIENT_ID, "admin-roles", "PeopleSettings.ReadWrite.All"),
        (ADMIN_CLIENT_ID, "admin-roles", "ExternalConnection.ReadWrite.OwnedBy"),
        (INGEST_CLIENT_ID, "ingest-roles", "ExternalItem.ReadWrite.OwnedBy"),
        (INGEST_CLIENT_ID, "ingest-roles", "User.Read.All"),
    ],
)
async def test_a_missing_role_fails(client_id, name, role):
    """The role and the app to grant it to are named."""
    tenant = await with_connection()
    tenant.entra.withdraw(client_id, role)

    answer = await look(tenant)

    assert answer["status"] == "failed"
    assert check(answer, name)["status"] == "failed"
    assert f"grant {role}" in check(answer, name)["advice"]


async def test_the_all_form_will_do():
    """ExternalItem.ReadWrite.All is the documented fallback of OwnedBy, and no reason to warn."""
    tenant = await with_connection()
    tenant.entra.withdraw(INGEST_CLIENT_ID, "ExternalItem.ReadWrite.OwnedBy")
    tenant.entra.grant(INGEST_CLIENT_ID, "ExternalItem.ReadWrite.All")

    answer = await look(tenant)

    assert answer["status"] == "ok"


async def test_an_excess_role_is_a_warning():
    """An identity that could do the other's work is named, with what to take away."""
    tenant = await with_connection()
    tenant.entra.grant(INGEST_CLIENT_ID, "PeopleSettings.ReadWrite.All")

    answer = await look(tenant)

    assert answer["status"] == "degraded"
    assert check(answer, "ingest-roles")["status"] == "warning"
    assert "take PeopleSettings.ReadWrite.All away" in check(answer, "ingest-roles")["advice"]


async def test_a_connection_that_does_not_list_the_ingest_app_fails():
    """403 on an item that nobody has means that no item can be written."""
    tenant = await with_connection()
    tenant.graph.connections["contosohr"].authorized.remove(INGEST_CLIENT_ID)

    answer = await look(tenant)

    assert check(answer, "connection")["status"] == "failed"
    assert "authorizedAppIds" in check(answer, "connection")["detail"]


async def test_a_connection_that_is_gone_fails():
    """What ingest cannot tell from a missing item, admin can."""
    tenant = Tenant()

    answer = await look(tenant)

    assert "is gone from Microsoft Graph" in check(answer, "connection")["detail"]
    assert answer["status"] == "failed"


async def test_graph_that_does_not_answer_fails_within_seconds():
    """Health does not wait for Graph longer than a caller of it would."""
    tenant = await with_connection()
    tenant.graph.fault_when(lambda _: True, Failed(503), times=None)

    answer = await look(tenant)

    assert check(answer, "connection")["status"] == "failed"
    assert tenant.clock.monotonic() <= 30


@pytest.mark.parametrize(
    ("state", "status", "advice"),
    [
        (State("s", START + timedelta(days=5), expiring=True), "warning", "add a new client secret to the ingest app"),
        (State("s", None), "ok", ""),
        (State("s", START, previous=True), "warning", "Entra refuses its newest version"),
        (CredentialError("the vault did not answer"), "failed", "the vault did not answer"),
    ],
)
async def test_the_vault(state, status, advice):
    """Secrets that are missing fail; those that end soon, or whose newest version is refused, are warnings."""
    answer = await look(await with_connection(), secrets=Secrets(ingest=state))

    assert check(answer, "vault")["status"] == status
    assert advice in check(answer, "vault")["advice"]


async def test_a_disabled_admin_identity_is_left_alone():
    """With ADMIN_ENABLED=false neither its secret nor its token is asked for."""
    tenant = await with_connection()
    secrets = Secrets()

    answer = await look(tenant, secrets=secrets, admin_enabled=False)

    assert answer["status"] == "ok"
    assert secrets.asked == ["ingest"]
    assert "ADMIN_ENABLED" in check(answer, "admin-roles")["detail"]


async def test_no_token_fails_the_roles_and_leaves_the_connection_unknown():
    """One cause is one failure: the connection cannot be judged without a token."""
    tenant = await with_connection()

    async with open_graph(
        _Refusing(),
        identity="ingest",
        base_url=BASE_URL,
        pace=Pace(tenant.clock, max_concurrency=1),
        transport=tenant.graph.transport(),
    ) as ingest:
        answer = await health(
            secrets=Secrets(),
            admin=None,
            ingest=ingest,
            connection_id="contosohr",
            registration=READY,
            containers={},
            schedule="x",
            clock=tenant.clock,
        )

    assert "has expired" in check(answer, "ingest-roles")["advice"]
    assert check(answer, "connection")["status"] == "unknown"


class _Refusing:
    async def get_token(self, *_, **__):
        raise CredentialError("the secret of the ingest identity has expired")


async def test_a_container_that_cannot_be_read_fails():
    """The container is named; the others are still looked at."""
    tenant = await with_connection()
    containers = {
        "hr-exports": MemoryContainer(tenant.clock, exists=False),
        "connector-state": MemoryContainer(tenant.clock),
    }

    answer = await look(tenant, containers=containers)

    assert check(answer, "containers")["status"] == "failed"
    assert check(answer, "containers")["detail"].startswith("hr-exports: ")


async def test_a_missing_schedule_is_a_warning():
    """Without SYNC_SCHEDULE the host fires no timer, and says nothing about it."""
    answer = await look(await with_connection(), schedule=None)

    assert check(answer, "settings")["status"] == "warning"
    assert "SYNC_SCHEDULE" in check(answer, "settings")["detail"]


def test_wrong_settings_are_the_whole_answer():
    """Each problem is a failed check; nothing else can be looked at."""
    answer = unconfigured(ConfigurationError(["TENANT_ID: is missing", "KEY_VAULT_URL: is missing"]))

    assert answer["status"] == "failed"
    assert [found["detail"] for found in answer["checks"]] == ["TENANT_ID: is missing", "KEY_VAULT_URL: is missing"]
