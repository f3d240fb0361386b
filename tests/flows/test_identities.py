"""The two identities against a loopback vault and Entra, with the genuine Azure clients over TLS."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from connector.errors import ConfigurationError, CredentialError
from connector.graph.client import REQUEST_TIMEOUT
from connector.identities import PATIENCE, Identities
from connector.settings import Settings
from connector.storage.blobs import AzureContainer, open_service
from connector.vault import SecretCache
from tests.tenant import (
    ADMIN_CLIENT_ID,
    ADMIN_SECRET,
    INGEST_CLIENT_ID,
    INGEST_SECRET,
    Tenant,
    VirtualClock,
)
from tests.tenant.azurite import azurite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connector.vault import Identity
    from tests.tenant.serve import ServedTenant

pytestmark = pytest.mark.contracts("labels")

GRAPH = "https://graph.microsoft.com/.default"
MONTH = timedelta(days=30)


@pytest.fixture
def clock() -> VirtualClock:
    """Return a clock that begins now, since azure-identity judges tokens by the machine's clock."""
    return VirtualClock(start=datetime.now(UTC).replace(microsecond=0))


@pytest.fixture
def tenant(clock: VirtualClock) -> Tenant:
    """Return a tenant whose tokens outlive the hours that pass here."""
    tenant = Tenant(clock=clock)
    tenant.entra.expires_in = 7 * 24 * 3600
    return tenant


@pytest.fixture
def served(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServedTenant]:
    """Serve the tenant; azure-identity finds the managed identity's endpoint in the process's environment."""
    with tenant.serve() as served:
        for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):
            monkeypatch.setenv(name, served.environment()[name])
        yield served


class Process:
    """A process in which one invocation after the other opens the identities anew and shares only the values."""

    patience = PATIENCE

    def __init__(self, served: ServedTenant, clock: VirtualClock) -> None:
        self._environment = served.environment()
        self._clock = clock
        self._cache = SecretCache()

    def invocation(self, **settings: str) -> Identities:
        """Open the identities, as every invocation does."""
        environment = {
            **self._environment,
            "PROFILE_SOURCE_URL": "https://hr.contoso.example",
            "HR_STORAGE_URL": "https://hr.blob.core.windows.net",
            **settings,
        }
        return Identities(
            Settings.from_env(environment), environment, clock=self._clock, cache=self._cache, patience=self.patience
        )

    async def token(self, identity: Identity, **settings: str) -> str:
        """Return the token that one invocation gets."""
        async with self.invocation(**settings) as identities:
            return (await identities.credential(identity).get_token(GRAPH)).token


@pytest.fixture
def process(served: ServedTenant, clock: VirtualClock) -> Process:
    """Return a process that has read nothing yet."""
    return Process(served, clock)


def secrets_asked_for(tenant: Tenant) -> list[str]:
    """Return the secrets that the vault was asked for, in order, challenges left out."""
    return list(dict.fromkeys(path.split("/")[2] for _, path in tenant.vault.requests))


def apps_asked_for(tenant: Tenant) -> list[str | None]:
    """Return whose tokens Entra was asked for with a client secret, in order."""
    return [client_id for _, path, client_id in tenant.entra.requests if path.endswith("/oauth2/v2.0/token")]


class TestTokens:
    """Each identity gets its own token, by its own secret."""

    @pytest.mark.parametrize(
        ("identity", "client_id", "secret"),
        [("admin", ADMIN_CLIENT_ID, ADMIN_SECRET), ("ingest", INGEST_CLIENT_ID, INGEST_SECRET)],
    )
    async def test_identities_do_not_cross(
        self, tenant: Tenant, process: Process, identity: Identity, client_id: str, secret: str
    ):
        """The token is the app's own, and nothing of the other app was read or used."""
        token = await process.token(identity)

        verified = tenant.entra.verify(token)
        assert verified is not None
        assert verified.client_id == client_id
        assert secrets_asked_for(tenant) == [secret]
        assert set(apps_asked_for(tenant)) == {client_id}

    async def test_both_can_be_used_side_by_side(self, tenant: Tenant, process: Process):
        """In one invocation, at once."""
        async with process.invocation() as identities:
            admin, ingest = await asyncio.gather(
                identities.credential("admin").get_token(GRAPH), identities.credential("ingest").get_token(GRAPH)
            )

        tokens = [tenant.entra.verify(token.token) for token in (admin, ingest)]
        assert [token and token.client_id for token in tokens] == [ADMIN_CLIENT_ID, INGEST_CLIENT_ID]

    async def test_nothing_is_asked_before_a_token_is_needed(self, tenant: Tenant, process: Process):
        """An idle tick costs neither vault nor Entra anything."""
        async with process.invocation() as identities:
            identities.credential("ingest")

        assert (tenant.vault.requests, tenant.entra.requests) == ([], [])

    async def test_many_tasks_share_one_token(self, tenant: Tenant, process: Process):
        """Sixteen at once ask Entra once."""
        async with process.invocation() as identities:
            credential = identities.credential("ingest")
            tokens = await asyncio.gather(*(credential.get_token(GRAPH, enable_cae=True) for _ in range(16)))

        assert len({token.token for token in tokens}) == 1
        assert apps_asked_for(tenant) == [INGEST_CLIENT_ID]

    async def test_a_refused_token_is_replaced(self, tenant: Tenant, process: Process):
        """After Graph's 401 the next token is a new one, by the secret that is known."""
        async with process.invocation() as identities:
            credential = identities.credential("ingest")
            first = await credential.get_token(GRAPH)
            tenant.vault.requests.clear()

            await credential.forget_token()
            second = await credential.get_token(GRAPH)

        assert second.token != first.token
        assert tenant.vault.requests == []

    async def test_a_line_feed_behind_the_secret_is_no_part_of_it(self, tenant: Tenant, process: Process):
        """Values set from a file often end in one."""
        value = tenant.vault.secrets[INGEST_SECRET][-1].value
        tenant.vault.set_secret(INGEST_SECRET, f"{value}\n")

        assert await process.token("ingest")


class TestCaching:
    """Values are kept for an hour per process, and no longer."""

    async def test_a_value_is_read_once_an_hour(self, tenant: Tenant, process: Process, clock: VirtualClock):
        """The next invocation asks Entra, not the vault."""
        await process.token("ingest")
        tenant.vault.requests.clear()

        clock.advance(3599)
        await process.token("ingest")

        assert tenant.vault.requests == []

    async def test_after_an_hour_it_is_read_again(self, tenant: Tenant, process: Process, clock: VirtualClock):
        """Counted from the reading, not from the last use."""
        await process.token("ingest")
        clock.advance(1800)
        await process.token("ingest")
        tenant.vault.requests.clear()

        clock.advance(1801)
        await process.token("ingest")

        assert secrets_asked_for(tenant) == [INGEST_SECRET]

    async def test_the_vault_may_be_away_meanwhile(self, tenant: Tenant, process: Process):
        """What is kept still works."""
        await process.token("ingest")
        tenant.vault.down(503)

        assert await process.token("ingest")


class TestRotation:
    """A secret can be replaced at any time, without a restart and without a failed run."""

    async def test_a_removed_secret_is_replaced_at_once(self, tenant: Tenant, process: Process, clock: VirtualClock):
        """AADSTS7000215: the vault is read before the hour is over."""
        await process.token("ingest")
        old = tenant.vault.secrets[INGEST_SECRET][-1].value
        clock.advance(60)
        tenant.rotate_secret(INGEST_CLIENT_ID)
        tenant.entra.remove_secret(INGEST_CLIENT_ID, old)

        assert await process.token("ingest")

    async def test_an_expired_secret_is_replaced_at_once(self, tenant: Tenant, process: Process, clock: VirtualClock):
        """AADSTS7000222 likewise."""
        tenant.rotate_secret(INGEST_CLIENT_ID, expires=clock.now() + timedelta(minutes=30))
        tenant.entra.apps[INGEST_CLIENT_ID].secrets.pop(0)
        await process.token("ingest")
        clock.advance(29 * 60)
        tenant.rotate_secret(INGEST_CLIENT_ID)
        clock.advance(2 * 60)

        assert await process.token("ingest")

    async def test_the_version_before_helps_until_entra_knows_the_newest(
        self, tenant: Tenant, process: Process, clock: VirtualClock
    ):
        """A new secret takes minutes to be known everywhere; the state says that the one before is in use."""
        clock.advance(60)
        tenant.vault.set_secret(INGEST_SECRET, "not-known-yet", expires=clock.now() + 6 * MONTH)

        async with process.invocation() as identities:
            await identities.credential("ingest").get_token(GRAPH)
            state = await identities.credential_state("ingest")

        assert state.previous

    async def test_the_version_before_is_kept_as_well(self, tenant: Tenant, process: Process, clock: VirtualClock):
        """The next invocation does not go through it all again."""
        clock.advance(60)
        tenant.vault.set_secret(INGEST_SECRET, "not-known-yet")
        await process.token("ingest")
        tenant.vault.requests.clear()
        tenant.entra.requests.clear()

        await process.token("ingest")

        assert tenant.vault.requests == []
        assert apps_asked_for(tenant) == [INGEST_CLIENT_ID]

    async def test_the_newest_is_tried_again_after_the_hour(
        self, tenant: Tenant, process: Process, clock: VirtualClock
    ):
        """By then Entra knows it."""
        clock.advance(60)
        tenant.vault.set_secret(INGEST_SECRET, "known-later")
        await process.token("ingest")
        tenant.entra.add_secret(INGEST_CLIENT_ID, "known-later")
        clock.advance(3601)

        async with process.invocation() as identities:
            await identities.credential("ingest").get_token(GRAPH)
            state = await identities.credential_state("ingest")

        assert not state.previous

    async def test_disabled_versions_are_skipped(self, tenant: Tenant, process: Process, clock: VirtualClock):
        """Between the newest and the one that works."""
        clock.advance(60)
        disabled = tenant.vault.set_secret(INGEST_SECRET, "withdrawn")
        clock.advance(60)
        tenant.vault.set_secret(INGEST_SECRET, "not-known-yet")
        tenant.vault.disable(INGEST_SECRET, disabled)

        assert await process.token("ingest")

    async def test_a_disabled_newest_version_is_skipped(self, tenant: Tenant, process: Process, clock: VirtualClock):
        """The vault gives it to nobody; the newest enabled one is used, and counts as the newest."""
        clock.advance(60)
        tenant.vault.disable(INGEST_SECRET, tenant.vault.set_secret(INGEST_SECRET, "withdrawn"))

        async with process.invocation() as identities:
            await identities.credential("ingest").get_token(GRAPH)
            state = await identities.credential_state("ingest")

        assert not state.previous

    async def test_older_versions_than_the_one_before_are_not_tried(
        self, tenant: Tenant, process: Process, clock: VirtualClock
    ):
        """Entra is asked twice, not for every secret there ever was."""
        for value in ("wrong-1", "wrong-2"):
            clock.advance(60)
            tenant.vault.set_secret(INGEST_SECRET, value)

        with pytest.raises(CredentialError, match="AADSTS7000215, AADSTS7000215; versions tried: 2"):
            await process.token("ingest")

        assert apps_asked_for(tenant) == [INGEST_CLIENT_ID] * 2

    async def test_a_mended_secret_works_at_once(self, tenant: Tenant, process: Process, clock: VirtualClock):
        """After a refusal nothing is kept."""
        _revoke_everything(tenant)
        with pytest.raises(CredentialError):
            await process.token("ingest")
        clock.advance(60)

        tenant.rotate_secret(INGEST_CLIENT_ID)

        assert await process.token("ingest")


class TestSentences:
    """What the operator reads names the identity, the secret, the code, and what to do."""

    async def test_a_vault_that_is_away(self, tenant: Tenant, process: Process):
        """Address and network are to be checked."""
        tenant.vault.down()

        message = await _refusal(process, "ingest")

        assert message.startswith("the key vault localhost does not answer")
        assert "secret ingest-client-secret (ingest identity)" in message
        assert "KEY_VAULT_URL" in message

    async def test_a_vault_that_answers_with_errors(self, tenant: Tenant, process: Process):
        """Its status is told."""
        tenant.vault.down(503)

        assert "answers 503" in await _refusal(process, "ingest")

    @pytest.mark.parametrize("who", ["vault", "entra"])
    async def test_whoever_says_nothing_is_named_in_time(self, tenant: Tenant, process: Process, who: str):
        """Vault and Entra together get less time than a request to Graph, which would be blamed otherwise."""
        getattr(tenant, who).down(silent=True)
        process.patience = 0.5

        message = await _refusal(process, "ingest")

        assert message.startswith({"vault": "the key vault localhost does not", "entra": "Entra does not"}[who])
        assert PATIENCE < REQUEST_TIMEOUT

    async def test_a_reason_is_shared_by_all_who_wait_for_it(self, tenant: Tenant, process: Process):
        """Sixteen at once ask about a wrong secret once, and all hear why."""
        _revoke_everything(tenant)

        async with process.invocation() as identities:
            credential = identities.credential("ingest")
            answers = await asyncio.gather(*(credential.get_token(GRAPH) for _ in range(16)), return_exceptions=True)

        assert {str(answer)[:45] for answer in answers} == {"Entra refuses secret ingest-client-secret of "}
        assert apps_asked_for(tenant) == [INGEST_CLIENT_ID]

    async def test_a_secret_that_is_not_there(self, process: Process):
        """The setting with its name is told."""
        message = await _refusal(process, "ingest", INGEST_CREDENTIAL_NAME="ingest-secret")

        assert "has no secret ingest-secret (ingest identity)" in message
        assert "INGEST_CREDENTIAL_NAME" in message

    async def test_a_vault_that_does_not_let_us_in(self, tenant: Tenant, process: Process):
        """The missing role is told."""
        tenant.vault.readers.clear()

        assert "the role Key Vault Secrets User" in await _refusal(process, "admin")

    async def test_a_managed_identity_that_is_not_there(self, process: Process):
        """The setting with its client id is told."""
        stranger = "99999999-0000-4000-8000-000000000009"

        message = await _refusal(process, "ingest", AZURE_CLIENT_ID=stranger)

        assert "AZURE_CLIENT_ID" in message

    async def test_a_secret_without_an_enabled_version(self, tenant: Tenant, process: Process):
        """One must be enabled or added."""
        for version in tenant.vault.secrets[INGEST_SECRET]:
            version.enabled = False

        assert "has no enabled version" in await _refusal(process, "ingest")

    async def test_a_secret_that_entra_does_not_know(self, tenant: Tenant, process: Process):
        """A new one is to be made; for which app and under which name is told."""
        _revoke_everything(tenant)

        message = await _refusal(process, "ingest")

        assert (
            "secret ingest-client-secret of the ingest identity as wrong (AADSTS7000215; versions tried: 1)" in message
        )
        assert INGEST_CLIENT_ID in message

    async def test_a_secret_that_expired(self, process: Process, clock: VirtualClock):
        """Expired is not wrong."""
        clock.advance(timedelta(days=200).total_seconds())

        message = await _refusal(process, "admin")

        assert "secret admin-client-secret of the admin identity as expired (AADSTS7000222" in message

    async def test_an_app_that_entra_does_not_know(self, tenant: Tenant, process: Process):
        """No other version of the secret is tried; it is not the secret's fault."""
        stranger = "99999999-0000-4000-8000-000000000009"

        message = await _refusal(process, "ingest", INGEST_CLIENT_ID=stranger)

        assert "does not know the app of the ingest identity" in message
        assert "AADSTS700016" in message
        assert "INGEST_CLIENT_ID" in message
        assert apps_asked_for(tenant) == [stranger]

    async def test_a_tenant_that_entra_does_not_know(self, process: Process):
        """TENANT_ID is to be checked."""
        message = await _refusal(process, "ingest", TENANT_ID="fabrikam.onmicrosoft.com")

        assert "AADSTS90002" in message
        assert "TENANT_ID" in message

    async def test_another_refusal_keeps_its_code(self, process: Process):
        """Entra's page about the code is linked."""
        async with process.invocation() as identities:
            with pytest.raises(CredentialError, match=r"\(AADSTS500011\).*error\?code=500011"):
                await identities.credential("ingest").get_token("https://graph.contoso.example/.default")

    async def test_an_entra_that_is_away(self, process: Process, unused_tcp_port: int):
        """Its address is to be checked."""
        message = await _refusal(process, "ingest", AZURE_AUTHORITY_HOST=f"https://localhost:{unused_tcp_port}")

        assert message.startswith("Entra does not answer for the ingest identity")

    async def test_an_authority_that_is_not_trusted(self, process: Process):
        """A certificate of nobody we know is no answer."""
        message = await _refusal(process, "ingest", SSL_CERT_FILE="")

        assert "does not answer" in message


class TestExpiry:
    """A secret that ends soon is reported in time, and not at every token."""

    async def test_a_secret_that_ends_soon_is_expiring(self, tenant: Tenant, process: Process, clock: VirtualClock):
        """Under 21 days are soon."""
        clock.advance(60)
        soon = clock.now() + timedelta(days=20)
        tenant.rotate_secret(INGEST_CLIENT_ID, expires=soon)

        async with process.invocation() as identities:
            state = await identities.credential_state("ingest")

        assert (state.identity, state.secret, state.expiring) == ("ingest", INGEST_SECRET, True)
        assert state.expires == soon

    async def test_three_weeks_are_enough(self, tenant: Tenant, process: Process, clock: VirtualClock):
        """Nothing is reported before."""
        clock.advance(60)
        tenant.rotate_secret(INGEST_CLIENT_ID, expires=clock.now() + timedelta(days=22))

        async with process.invocation() as identities:
            assert not (await identities.credential_state("ingest")).expiring

    async def test_a_secret_without_an_end_does_not_expire(self, tenant: Tenant, process: Process, clock: VirtualClock):
        """Whoever put it into the vault did not say when."""
        clock.advance(60)
        tenant.vault.set_secret(INGEST_SECRET, "endless")

        async with process.invocation() as identities:
            state = await identities.credential_state("ingest")

        assert (state.expires, state.expiring) == (None, False)

    async def test_the_log_says_so_once_in_each_invocation_that_uses_it(
        self, tenant: Tenant, process: Process, clock: VirtualClock, caplog: pytest.LogCaptureFixture
    ):
        """Not for every token; nor only when the vault is read, since an alert needs a word from every run."""
        clock.advance(60)
        tenant.rotate_secret(INGEST_CLIENT_ID, expires=clock.now() + timedelta(days=20, hours=12))

        for _ in range(2):
            async with process.invocation() as identities:
                credential = identities.credential("ingest")
                await credential.get_token(GRAPH)
                await credential.forget_token()
                await credential.get_token(GRAPH)

        events = _events(caplog)
        assert len(events) == 2
        assert (events[0]["identity"], events[0]["secret"], events[0]["days"]) == ("ingest", INGEST_SECRET, 20)

    async def test_the_version_before_is_told_by_its_own_end(
        self, tenant: Tenant, process: Process, clock: VirtualClock, caplog: pytest.LogCaptureFixture
    ):
        """What counts is the secret in use, not the newest in the vault."""
        clock.advance(60)
        tenant.rotate_secret(INGEST_CLIENT_ID, expires=clock.now() + timedelta(days=3, hours=1))
        clock.advance(60)
        tenant.vault.set_secret(INGEST_SECRET, "not-known-yet", expires=clock.now() + 6 * MONTH)

        await process.token("ingest")

        assert [event["days"] for event in _events(caplog)] == [3]


class TestAdminOff:
    """With ADMIN_ENABLED=false the admin secret stays in the vault."""

    async def test_the_admin_secret_is_not_read(self, tenant: Tenant, process: Process):
        """The sentence names the setting; ingest goes on."""
        async with process.invocation(ADMIN_ENABLED="false") as identities:
            with pytest.raises(ConfigurationError, match="ADMIN_ENABLED"):
                identities.credential("admin")
            with pytest.raises(ConfigurationError, match="ADMIN_ENABLED"):
                await identities.credential_state("admin")
            await identities.credential("ingest").get_token(GRAPH)

        assert secrets_asked_for(tenant) == [INGEST_SECRET]


class TestDiscretion:
    """No secret value in a log line, an exception or anything printed."""

    async def test_no_value_shows_anywhere(
        self, tenant: Tenant, process: Process, clock: VirtualClock, caplog: pytest.LogCaptureFixture
    ):
        """With every logger at DEBUG, through success, rotation and refusal."""
        caplog.set_level(logging.DEBUG)
        printed: list[str] = []
        async with process.invocation() as identities:
            credential = identities.credential("ingest")
            await credential.get_token(GRAPH)
            printed += [repr(vars(credential)), repr(vars(identities)), repr(await credential.state())]
        clock.advance(60)
        tenant.vault.set_secret(INGEST_SECRET, "wrong-and-secret")
        _revoke_everything(tenant)

        with pytest.raises(CredentialError) as refusal:
            await process.token("ingest")

        printed += traceback.format_exception(refusal.value)
        everything = "\n".join([*printed, caplog.text])
        values = [version.value for version in tenant.vault.secrets[INGEST_SECRET]]
        assert [value for value in values if value in everything] == []
        assert refusal.value.__context__ is None  # azure-identity's error holds its request, and that the secret


class TestMachine:
    """Who opens the vault depends on where we run."""

    async def test_where_the_host_offers_none_the_developer_is_asked(self, process: Process):
        """One credential for vault and storage alike."""
        from azure.identity.aio import DefaultAzureCredential

        async with process.invocation(IDENTITY_ENDPOINT="") as identities:
            machine = identities.machine()

            assert isinstance(machine, DefaultAzureCredential)
            assert identities.machine() is machine

    @pytest.mark.azurite
    async def test_it_opens_storage_too(self, tenant: Tenant, served: ServedTenant, process: Process):
        """By token, over TLS, as in Azure."""
        with azurite(certificate=served.certificate, key=served.key) as server:
            async with (
                process.invocation() as identities,
                open_service(
                    account_url=server.url, credential=identities.machine(), ca_bundle=str(served.ca_bundle)
                ) as service,
            ):
                container = AzureContainer(service.get_container_client("connector-state"))
                await container.ensure()
                await container.write("head.json", b"{}", if_none_match=True)

                assert [info.name for info in (await container.list()).blobs] == ["head.json"]

        assert tenant.vault.requests == []


async def _refusal(process: Process, identity: Identity, **settings: str) -> str:
    with pytest.raises(CredentialError) as refusal:
        await process.token(identity, **settings)
    return refusal.value.message


def _revoke_everything(tenant: Tenant) -> None:
    tenant.entra.apps[INGEST_CLIENT_ID].secrets.clear()


def _events(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    lines = [record.getMessage() for record in caplog.records if record.name == "connector"]
    return [event for event in map(json.loads, lines) if event["event"] == "credential.expiring"]
