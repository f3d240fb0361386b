"""The local Entra and Key Vault, and the genuine Azure clients against them on loopback."""

from __future__ import annotations

import asyncio
import base64
import ssl
from datetime import timedelta

import httpx
import orjson
import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
    ServiceRequestError,
)
from azure.identity.aio import ClientSecretCredential, ManagedIdentityCredential
from azure.keyvault.secrets.aio import SecretClient

from connector.clock import SystemClock
from tests.beliefs import belief, ours, sources
from tests.tenant import (
    ADMIN_CLIENT_ID,
    ADMIN_SECRET,
    INGEST_CLIENT_ID,
    MANAGED_CLIENT_ID,
    TENANT_ID,
    Tenant,
)
from tests.tenant.azure_wire import IDENTITY, azure_wire
from tests.tenant.graph import Dropped, Kill

GRAPH_SCOPE = "https://graph.microsoft.com/.default"
API = "api-version=7.5"
SECRET_PATH = f"/secrets/{ADMIN_SECRET}"
TOKEN_PATH = f"/{TENANT_ID}/oauth2/v2.0/token"


@pytest.fixture
def tenant():
    """Return a tenant in virtual time."""
    return Tenant()


@pytest.fixture
async def entra(tenant):
    """Return Entra as a client reaches it in process."""
    async with httpx.AsyncClient(transport=tenant.entra.transport(), base_url="https://login.example.com") as client:
        yield client


@pytest.fixture
async def vault(tenant):
    """Return the vault as the managed identity reaches it in process."""
    token = tenant.entra.issue(MANAGED_CLIENT_ID, audience="https://vault.azure.net")
    async with httpx.AsyncClient(
        transport=tenant.vault.transport(),
        base_url="https://vault.example.com",
        headers={"authorization": f"Bearer {token}"},
    ) as client:
        yield client


def a_grant(tenant: Tenant, **changes: str) -> dict[str, str]:
    """Return the form of a client credentials grant for the admin app."""
    form = {
        "grant_type": "client_credentials",
        "client_id": ADMIN_CLIENT_ID,
        "client_secret": tenant.entra.apps[ADMIN_CLIENT_ID].secrets[0].value,
        "scope": GRAPH_SCOPE,
    }
    return {**form, **changes}


@belief(
    "A client secret buys an access token for Graph's `.default` scope: a JWT with app, tenant, audience, "
    "roles and end.",
    area="tokens",
    mark="certain",
    source=(sources.CLIENT_CREDENTIALS, sources.TOKENS),
    ours=(ours.TWO_APPS, ours.DENIED),
)
async def test_a_secret_buys_a_token_with_the_consented_roles(tenant, entra):
    """A JWT that says for whom, for what and until when."""
    answer = await entra.post(TOKEN_PATH, data=a_grant(tenant))

    body = answer.json()
    claims = orjson.loads(_decoded(body["access_token"].split(".")[1]))
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 3599)
    assert (claims["appid"], claims["tid"], claims["aud"]) == (
        ADMIN_CLIENT_ID,
        TENANT_ID,
        "https://graph.microsoft.com",
    )
    assert claims["roles"] == ["ExternalConnection.ReadWrite.OwnedBy", "PeopleSettings.ReadWrite.All"]
    assert claims["exp"] == tenant.clock.now().timestamp() + 3599


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


@belief(
    "Entra says by number what is wrong: 7000215 wrong secret, 7000222 expired, 700016 unknown app, 90002 and 900023 "
    "unknown tenant.",
    area="tokens",
    mark="certain",
    source=(sources.ENTRA_CODES, sources.FIELD_CONNECTORS),
    ours=ours.NEW_SECRET,
)
@pytest.mark.parametrize(
    ("path", "changes", "status", "error", "code"),
    [
        (TOKEN_PATH, {"client_secret": "wrong"}, 401, "invalid_client", 7000215),
        (TOKEN_PATH, {"client_id": "nobody"}, 400, "unauthorized_client", 700016),
        (TOKEN_PATH, {"scope": "https://graph.microsoft.com"}, 400, "invalid_scope", 1002012),
        (TOKEN_PATH, {"scope": "https://example.com/.default"}, 400, "invalid_resource", 500011),
        ("/nonsense/oauth2/v2.0/token", {}, 400, "invalid_request", 900023),
        ("/other.onmicrosoft.com/oauth2/v2.0/token", {}, 400, "invalid_request", 90002),
    ],
)
async def test_entra_says_by_number_what_is_wrong(tenant, entra, path, changes, status, error, code):
    """AADSTS codes, in the text and as a list."""
    answer = await entra.post(path, data=a_grant(tenant, **changes))

    body = answer.json()
    assert (answer.status_code, body["error"], body["error_codes"]) == (status, error, [code])
    assert body["error_description"].startswith(f"AADSTS{code}: ")


async def test_a_secret_expires_and_a_new_one_takes_over(tenant, entra):
    """Several secrets are valid at a time; an expired one is told apart from a wrong one; a removed one is wrong."""
    tenant.clock.advance(180 * 86_400)
    old = await entra.post(TOKEN_PATH, data=a_grant(tenant))
    new_secret = tenant.rotate_secret(ADMIN_CLIENT_ID)
    new = await entra.post(TOKEN_PATH, data=a_grant(tenant, client_secret=new_secret))
    tenant.entra.remove_secret(ADMIN_CLIENT_ID, new_secret)
    removed = await entra.post(TOKEN_PATH, data=a_grant(tenant, client_secret=new_secret))

    assert (old.status_code, old.json()["error_codes"]) == (401, [7000222])
    assert (new.status_code, removed.json()["error_codes"]) == (200, [7000215])


async def test_entra_goes_down_and_comes_back(tenant, entra):
    """Without an answer, or with a 503."""
    tenant.entra.down()
    with pytest.raises(httpx.ConnectError):
        await entra.post(TOKEN_PATH, data=a_grant(tenant))
    tenant.entra.down(503)
    busy = await entra.post(TOKEN_PATH, data=a_grant(tenant))
    tenant.entra.up()
    back = await entra.post(TOKEN_PATH, data=a_grant(tenant))

    assert (busy.status_code, back.status_code) == (503, 200)


async def test_an_outage_may_pass_by_itself(tenant, entra):
    """After so many requests; how many met it is counted."""
    outage = tenant.entra.down(429, times=2, retry_after=3)
    answers = [await entra.post(TOKEN_PATH, data=a_grant(tenant)) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert (answers[0].headers["retry-after"], outage.met) == ("3", 2)


async def test_the_machine_may_have_no_token_while_entra_has(tenant, entra):
    """Who hands out the managed identity's tokens is another service."""
    tenant.entra.machine_down(500)

    machine = await entra.get("/msi/token?api-version=2019-08-01&resource=https://vault.azure.net")
    app = await entra.post(TOKEN_PATH, data=a_grant(tenant))

    assert (machine.status_code, app.status_code) == (500, 200)


async def test_the_managed_identity_endpoint_wants_its_header(tenant, entra):
    """Another process on the machine gets no token."""
    url = f"/msi/token?api-version=2019-08-01&resource=https://vault.azure.net&client_id={MANAGED_CLIENT_ID}"

    refused = await entra.get(url)
    given = await entra.get(url, headers={"x-identity-header": tenant.entra.identity_header})
    unknown = await entra.get(f"{url}x", headers={"x-identity-header": tenant.entra.identity_header})

    assert (refused.status_code, given.status_code, unknown.status_code) == (403, 200, 400)
    token = tenant.entra.verify(given.json()["access_token"], audience="https://vault.azure.net")
    assert token is not None
    assert token.client_id == MANAGED_CLIENT_ID


async def test_a_credential_for_tests_renews_its_token(tenant):
    """Without any HTTP; an expired or revoked token is replaced."""
    async with tenant.entra.credential(INGEST_CLIENT_ID) as credential:
        first = await credential.get_token(GRAPH_SCOPE)
        second = await credential.get_token_info(GRAPH_SCOPE)
        tenant.clock.advance(3599)
        third = await credential.get_token(GRAPH_SCOPE)

    assert first.token == second.token != third.token
    assert tenant.entra.verify(first.token) is None
    assert tenant.entra.verify(third.token) is not None


async def test_the_vault_challenges_who_comes_without_a_token(tenant, vault):
    """The challenge names the authority and the resource."""
    answer = await vault.get(f"{SECRET_PATH}?{API}", headers={"authorization": ""})

    challenge = (
        f'Bearer authorization="https://login.microsoftonline.com/{TENANT_ID}", resource="https://vault.azure.net"'
    )
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, challenge)


async def test_the_vault_refuses_tokens_for_others_and_other_readers(tenant, vault):
    """A Graph token is none; an app without the role is Forbidden."""
    wrong_audience = tenant.entra.issue(MANAGED_CLIENT_ID)
    wrong_reader = tenant.entra.issue(INGEST_CLIENT_ID, audience="https://vault.azure.net")

    answers = [
        await vault.get(f"{SECRET_PATH}?{API}", headers={"authorization": f"Bearer {token}"})
        for token in (wrong_audience, wrong_reader)
    ]

    assert [answer.status_code for answer in answers] == [401, 403]


async def test_the_newest_version_is_answered_older_ones_by_their_id(tenant, vault):
    """With its attributes."""
    first = tenant.vault.secrets[ADMIN_SECRET][0]
    newest = tenant.rotate_secret(ADMIN_CLIENT_ID, expires=tenant.clock.now() + timedelta(days=10))

    current = (await vault.get(f"{SECRET_PATH}?{API}")).json()
    former = (await vault.get(f"{SECRET_PATH}/{first.version}?{API}")).json()

    assert (current["value"], former["value"]) == (newest, first.value)
    assert current["attributes"]["exp"] == int(tenant.clock.now().timestamp()) + 10 * 86_400


async def test_versions_are_listed_in_pages_without_values(tenant, vault):
    """The nextLink leads on."""
    for _ in range(2):
        tenant.rotate_secret(ADMIN_CLIENT_ID)

    first = (await vault.get(f"{SECRET_PATH}/versions?maxresults=2&{API}")).json()
    second = (await vault.get(first["nextLink"])).json()

    listed = [one["id"].rpartition("/")[2] for one in (*first["value"], *second["value"])]
    assert listed == [one.version for one in tenant.vault.secrets[ADMIN_SECRET]]
    assert (second["nextLink"], "value" in first["value"][0]) == (None, False)


async def test_a_disabled_version_is_forbidden_and_an_unknown_secret_not_found(tenant, vault):
    """The newest version counts even when it is disabled."""
    tenant.vault.disable(ADMIN_SECRET, tenant.vault.secrets[ADMIN_SECRET][0].version)

    disabled = await vault.get(f"{SECRET_PATH}?{API}")
    unknown = await vault.get(f"/secrets/nothing?{API}")

    assert (disabled.status_code, disabled.json()["error"]["innererror"]["code"]) == (403, "SecretDisabled")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "SecretNotFound")


@pytest.mark.parametrize("path", [f"/keys/x?{API}", SECRET_PATH])
async def test_what_the_local_vault_does_not_know_is_a_bad_parameter(vault, path):
    """Keys, and requests without api-version."""
    answer = await vault.get(path)

    assert answer.json()["error"]["code"] == "BadParameter"


async def test_the_vault_goes_down_and_comes_back(tenant, vault):
    """Without an answer, or with a 503."""
    tenant.vault.down()
    with pytest.raises(httpx.ConnectError):
        await vault.get(f"{SECRET_PATH}?{API}")
    tenant.vault.down(503)
    busy = await vault.get(f"{SECRET_PATH}?{API}")
    tenant.vault.up()
    back = await vault.get(f"{SECRET_PATH}?{API}")

    assert (busy.status_code, back.status_code) == (503, 200)


async def test_a_vault_may_say_nothing_at_all(tenant, vault):
    """The connection stays open until the client has had enough."""
    tenant.vault.down(silent=True)

    with pytest.raises(httpx.ReadTimeout):
        await vault.get(f"{SECRET_PATH}?{API}")


async def test_a_deleted_secret_is_not_found(tenant, vault):
    """Its versions are gone with it."""
    tenant.vault.remove(ADMIN_SECRET)

    assert (await vault.get(f"{SECRET_PATH}?{API}")).status_code == 404


async def test_the_tokens_of_one_app_can_be_revoked(tenant):
    """The others' stay valid."""
    admin, ingest = (tenant.entra.issue(app) for app in (ADMIN_CLIENT_ID, INGEST_CLIENT_ID))

    tenant.entra.revoke_tokens(INGEST_CLIENT_ID)

    assert tenant.entra.verify(admin)
    assert tenant.entra.verify(ingest) is None


async def test_the_genuine_clients_work_without_sockets_and_wait_in_virtual_time(tenant, monkeypatch):
    """Their pipelines are their own: they wait for a Retry-After, and an unknown host is no answer."""
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://{IDENTITY}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", tenant.entra.identity_header)
    monkeypatch.setattr("time.time", lambda: tenant.clock.now().timestamp())
    wire = azure_wire(tenant, vault="contoso.vault.azure.net")
    identity = ManagedIdentityCredential(client_id=MANAGED_CLIENT_ID, transport=wire)
    tenant.vault.down(429, times=1, retry_after=30)

    secrets = SecretClient("https://contoso.vault.azure.net", identity, transport=wire)
    secret = await secrets.get_secret(ADMIN_SECRET)
    waited = tenant.clock.monotonic()
    elsewhere = SecretClient("https://fabrikam.vault.azure.net", identity, transport=wire, retry_total=0)
    with pytest.raises(ServiceRequestError):
        await elsewhere.get_secret(ADMIN_SECRET)

    assert secret.value == tenant.vault.secrets[ADMIN_SECRET][-1].value
    assert waited == 30


@pytest.fixture
def served():
    """Return a tenant on loopback, and where it is."""
    tenant = Tenant(clock=SystemClock())
    with tenant.serve() as served:
        yield tenant, served


@pytest.fixture
def machine(served, monkeypatch):
    """Make this process a function app: the managed identity's endpoint is in the environment."""
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):
        monkeypatch.setenv(name, served[1].environment()[name])
    return served


async def test_the_genuine_clients_get_secrets_and_tokens(machine):
    """From the managed identity to a Graph request, over TLS, with nothing replaced."""
    tenant, where = machine
    trust = {"connection_verify": str(where.ca_bundle)}
    async with (
        ManagedIdentityCredential(client_id=MANAGED_CLIENT_ID) as identity,
        SecretClient(where.urls["vault"], identity, verify_challenge_resource=False, **trust) as secrets,
    ):
        secret = await secrets.get_secret(ADMIN_SECRET)
        versions = [version async for version in secrets.list_properties_of_secret_versions(ADMIN_SECRET)]
        with pytest.raises(ResourceNotFoundError):
            await secrets.get_secret("nothing")
        tenant.vault.disable(ADMIN_SECRET, secret.properties.version or "")
        with pytest.raises(HttpResponseError, match="disabled"):
            await secrets.get_secret(ADMIN_SECRET)
    authority = where.urls["entra"]
    async with ClientSecretCredential(
        TENANT_ID, ADMIN_CLIENT_ID, secret.value or "", authority=authority, **trust
    ) as app:
        token = await app.get_token(GRAPH_SCOPE)

    async with httpx.AsyncClient(verify=ssl.create_default_context(cafile=where.ca_bundle)) as client:
        headers = {"authorization": f"Bearer {token.token}"}
        answer = await client.get(f"{where.urls['graph']}/beta//external/connections", headers=headers)

    assert len(versions) == 1
    assert answer.json() == {"value": []}


async def test_the_genuine_client_reports_a_wrong_secret(served):
    """With the code our retry looks for."""
    _, where = served
    trust = {"authority": where.urls["entra"], "connection_verify": str(where.ca_bundle)}

    async with ClientSecretCredential(TENANT_ID, ADMIN_CLIENT_ID, "wrong", **trust) as app:
        with pytest.raises(ClientAuthenticationError, match="AADSTS7000215"):
            await app.get_token(GRAPH_SCOPE)


@pytest.mark.parametrize("fault", [Dropped(), Kill()])
async def test_on_loopback_a_broken_connection_is_closed_without_an_answer(served, fault):
    """Abruptly, as networks do; nobody can be killed over the wire."""
    tenant, where = served
    tenant.graph.fault(0, fault)

    async with httpx.AsyncClient(verify=ssl.create_default_context(cafile=where.ca_bundle)) as client:
        with pytest.raises(httpx.TransportError):
            await client.get(f"{where.urls['graph']}/beta/users")
        answer = await client.get(f"{where.urls['graph']}/beta/users")

    assert answer.status_code == 401


async def test_many_requests_at_a_time_are_served_on_loopback(served):
    """Bodies arrive whole, each answer reaches its own request."""
    tenant, where = served
    people = [tenant.graph.add_user(f"p{i}@contoso.com") for i in range(50)]
    headers = {"authorization": f"Bearer {tenant.entra.issue(INGEST_CLIENT_ID)}"}

    async with httpx.AsyncClient(
        base_url=f"{where.urls['graph']}/v1.0",
        headers=headers,
        verify=ssl.create_default_context(cafile=where.ca_bundle),
    ) as client:
        answers = await asyncio.gather(*(client.get(f"/users/{person}?$select=id") for person in people))

    assert [answer.json()["id"] for answer in answers] == people


def test_stopping_leaves_nothing_behind():
    """The certificates are removed and the ports are free again."""
    tenant = Tenant(clock=SystemClock())
    with tenant.serve() as first:
        ports = {name: int(url.rpartition(":")[2]) for name, url in first.urls.items()}

    with tenant.serve(ports=ports) as second:
        urls = second.urls

    assert urls == first.urls
    assert not first.directory.exists()
