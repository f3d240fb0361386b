"""The app with settings as in production: names, ids and a managed identity, no secret and no exception made for tests.

Everything it speaks to is on loopback under the names that it has in Azure. That takes namespaces of its own (see
``tests.tenant.namespace``), which a machine may refuse: then these tests are skipped, and the run says so and why.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.host.world import environment
from tests.tenant import ADMIN_CLIENT_ID, INGEST_CLIENT_ID, MANAGED_CLIENT_ID, TENANT_ID, TESTED_CONTRACTS
from tests.tenant.azurite import install
from tests.tenant.engines import best_engine
from tests.tenant.entra import GRAPH, STORAGE, VAULT
from tests.tenant.namespace import NamespaceUnavailable, run
from tests.tenant.production import FOREIGN_VAULT, HOSTS

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = [pytest.mark.host, pytest.mark.azurite]

SECONDS = 120
"""It takes less than ten; a machine that is busy with other things gets its time."""

LOCAL_ONLY = {
    "AZURE_AUTHORITY_HOST", "GRAPH_BASE_URL", "HR_STORAGE_CONNECTION_STRING", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE",
    "AzureWebJobsStorage",
}  # fmt: skip
"""What the local tenant needs elsewhere, and a deployed app does not have."""


@pytest.fixture(scope="module", params=TESTED_CONTRACTS)
def seen(request: pytest.FixtureRequest) -> Mapping[str, Any]:
    """Return what was seen from setup to teardown, under one contract after the other."""
    install()  # inside there is no network to fetch anything from
    try:
        done = run("tests.host.production_story", request.param, environment=environment({}), seconds=SECONDS)
    except NamespaceUnavailable as refused:
        pytest.skip(f"needs namespaces of its own: {refused}")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_settings_are_those_of_production(seen: Mapping[str, Any]) -> None:
    """Standard names and ids; nothing that only a test would set, no key, no connection string."""
    settings = seen["settings"]

    assert not LOCAL_ONLY & settings.keys()
    assert settings["KEY_VAULT_URL"].endswith(".vault.azure.net")
    assert settings["HR_STORAGE_URL"].endswith(".blob.core.windows.net")
    assert not [name for name, value in settings.items() if "AccountKey" in value or "secret" in value]


def test_microsofts_worker_runs_the_app(seen: Mapping[str, Any]) -> None:
    """Where it can be had."""
    assert seen["engine"] == best_engine().name


def test_setup_gets_ready(seen: Mapping[str, Any]) -> None:
    """Connection, schema, profile source and priority are made, and a second call finds nothing to do."""
    first, second = seen["setup"]

    assert first["status"] == second["status"] == 200
    assert first["body"]["state"] == second["body"]["state"] == "ready"
    assert {step["state"] for step in second["body"]["steps"]} == {"done"}


def test_two_nights_reach_the_profiles(seen: Mapping[str, Any]) -> None:
    """Joiners, movers and leavers: people see the second night's titles, and who left has lost what HR said."""
    first, second = seen["nights"]

    assert first["failure"] is second["failure"] is None
    assert (first["run"]["outcome"], first["run"]["created"]) == ("completed", 23)
    told = [second["run"][name] for name in ("outcome", "created", "updated", "deleted", "unmatched", "rejected")]
    assert told == ["completed", 1, 7, 1, 1, 1]
    titles = {
        upn: profile.get("personCurrentPosition", {}).get("detail", {}).get("jobTitle")
        for upn, profile in seen["profiles"].items()
    }
    assert sum(title is not None for title in titles.values()) == len(seen["items"]) == 23
    assert "Senior Data Engineer" in titles.values()


def test_status_and_health_have_nothing_to_complain_about(seen: Mapping[str, Any]) -> None:
    """Every check has been made, through the same identities."""
    status, health = seen["status"], seen["health"]

    assert (status["status"], health["status"]) == (200, 200)
    assert status["body"]["connection"]["state"] == "ready"
    assert status["body"]["connection"]["contract"] == seen["settings"]["CONTRACT"]
    assert status["body"]["ledger"]["items"] == 23
    assert health["body"]["status"] == "ok"
    assert {check["status"] for check in health["body"]["checks"]} == {"ok"}


def test_teardown_leaves_the_tenant_as_it_was(seen: Mapping[str, Any]) -> None:
    """No connection, no item, and Entra as the only profile source."""
    assert [answer["status"] for answer in seen["teardown"]] == [200, 200]
    assert seen["teardown"][1]["body"]["state"] == "absent"
    assert (seen["left"]["connections"], seen["left"]["items"]) == ([], 0)
    assert len(seen["left"]["profile sources"]) == 1


def test_every_identity_asks_for_its_own_tokens(seen: Mapping[str, Any]) -> None:
    """Client secrets for Graph, the managed identity for vault and storage; the HR system drops its files as itself."""
    authority = f"/{TENANT_ID}/oauth2/v2.0/token"

    assert seen["tokens asked for"] == [
        ["GET", "/msi/token", MANAGED_CLIENT_ID],
        ["POST", authority, INGEST_CLIENT_ID],
        ["POST", authority, ADMIN_CLIENT_ID],
    ]
    assert seen["tokens given"] == [
        ["admin", GRAPH],
        ["function app", STORAGE],
        ["function app", VAULT],
        ["hr", STORAGE],
        ["ingest", GRAPH],
    ]


def test_everything_is_asked_under_its_own_name(seen: Mapping[str, Any]) -> None:
    """Graph's beta with tokens, Entra for nothing but tokens, the vault for its challenge and then with a token."""
    graph, entra, vault, _ = HOSTS
    asked = seen["asked"]

    assert {(host, path.split("/")[1], kind) for host, path, kind in asked["graph"]} == {(graph, "beta", "Bearer")}
    assert asked["entra"] == [[entra, f"/{TENANT_ID}/oauth2/v2.0/token", ""]]
    assert {(path, kind) for host, path, kind in asked["vault"] if host == vault} >= {
        ("/secrets/admin-client-secret/", "Bearer"),
        ("/secrets/ingest-client-secret/", "Bearer"),
    }


def test_blobs_are_reached_by_token_alone(seen: Mapping[str, Any]) -> None:
    """Azurite has seen no shared key: no request with another authorisation than a token for storage."""
    assert seen["storage"] == [["Bearer", "function app", STORAGE], ["Bearer", "hr", STORAGE]]


def test_storage_copies_the_exports_by_itself(seen: Mapping[str, Any]) -> None:
    """The managed identity's token is enough for both containers: nothing that was downloaded is uploaded again."""
    assert seen["copies"] == ["success", "success"]


def test_a_vault_outside_azure_gets_no_token(seen: Mapping[str, Any]) -> None:
    """The challenge names vault.azure.net, the host is another: the client stops there, as nobody has told it not to.

    https://learn.microsoft.com/azure/key-vault/general/authentication-requests-and-responses
    """
    health = seen["health with a foreign vault"]
    vault = next(check for check in health["body"]["checks"] if check["name"] == "vault")

    assert health["status"] == 503
    assert vault["status"] == "failed"
    assert "KEY_VAULT_URL must be the vault's own address" in json.dumps(vault)
    assert {kind for host, _, kind in seen["asked"]["vault"] if host == FOREIGN_VAULT} == {""}
