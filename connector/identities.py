"""The two identities that speak to Graph, from secrets in the key vault.

``admin`` makes the connection and registers the profile source, ``ingest`` looks up users and writes items. Each has
its own app registration and its own secret, and no call crosses over.

The vault is opened by the machine's own credential: the managed identity in Azure, the developer's login elsewhere.
Nothing is asked of anybody before the first token is needed, so an idle tick costs nothing here.

Rotation (https://learn.microsoft.com/azure/key-vault/secrets/overview-secrets): a value is kept for an hour per
process. When Entra refuses it, the vault is read again at once; when Entra refuses the newest version too (it may need
minutes to learn of a new secret), the version before it is tried once. Tasks that want a token at the same time share
one question, and its answer: a token, or the reason why there is none.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from connector.errors import ConfigurationError, CredentialError
from connector.events import emit
from connector.vault import Identity, Secret, SecretCache, Vault

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping
    from datetime import datetime

    from azure.core.credentials import AccessToken
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.core.pipeline.transport import AsyncHttpTransport

    from connector.clock import Clock
    from connector.settings import Settings

PATIENCE: Final = 25.0
"""Seconds until there is a token or a reason why not, vault and retries included.

Less than a request to Graph may take in all: else a vault that hangs would look like a Graph that does not answer.
"""

# https://learn.microsoft.com/entra/identity-platform/reference-error-codes
_SECRET_REFUSED = {7000215: "wrong", 7000222: "expired"}
_UNKNOWN_APP = frozenset({700016, 7000112, 7000229})
_UNKNOWN_TENANT = frozenset({90002, 900023, 900021})


@dataclass(frozen=True, slots=True)
class CredentialState:
    """What the operator should know of one identity's secret.

    ``expiring``: it ends in under 21 days, or has ended. ``previous``: Entra refuses the newest version, and the one
    before it is in use.
    """

    identity: Identity
    secret: str
    expires: datetime | None
    expiring: bool
    previous: bool


_OF_THIS_PROCESS: Final = SecretCache()


class Identities:
    """Both identities for as long as one event loop runs; closing it closes every connection it has opened.

    Args:
        settings: whose apps, whose vault.
        environment: IDENTITY_ENDPOINT (a managed identity is there), AZURE_AUTHORITY_HOST and SSL_CERT_FILE are read.
        clock: for the hour that values are kept, and for the days until they expire.
        cache: where values are kept; by default for as long as the process lives.
        transport: replaces the wire of every Azure client.
        patience: seconds that vault and Entra get for one token.
    """

    def __init__(
        self,
        settings: Settings,
        environment: Mapping[str, str],
        *,
        clock: Clock,
        cache: SecretCache = _OF_THIS_PROCESS,
        transport: AsyncHttpTransport[Any, Any] | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self._settings = settings
        self._environment = environment
        self._transport = transport
        self._patience = patience
        self._machine: AsyncTokenCredential | None = None
        self._vault = Vault(settings.key_vault_url, self.machine, self.options, cache, clock)
        self._credentials: dict[Identity, GraphCredential] = {}

    @property
    def options(self) -> dict[str, Any]:
        """Return what every Azure client is given: patience, and the authorities it trusts.

        aiohttp reads SSL_CERT_FILE when it is imported, and never again. Naming the file for each client makes it hold
        whatever was imported first.
        """
        options: dict[str, Any] = {
            "connection_timeout": 5,
            "read_timeout": 7,
            "retry_total": 2,
            "retry_backoff_factor": 0.4,
        }
        if ca_bundle := self._environment.get("SSL_CERT_FILE"):
            options["connection_verify"] = ca_bundle
        if self._transport is not None:
            options["transport"] = self._transport
        return options

    def machine(self) -> AsyncTokenCredential:
        """Return the credential of the machine we run on, for the vault and for storage."""
        if self._machine is None:
            self._machine = machine_credential(self._settings, self._environment, self.options)
        return self._machine

    def credential(self, identity: Identity) -> GraphCredential:
        """Return the credential of one identity; the same object at every call.

        Raises:
            ConfigurationError: when it is admin's and ADMIN_ENABLED is false; its secret is not read then.
        """
        if identity == "admin" and not self._settings.admin_enabled:
            raise ConfigurationError(
                ["ADMIN_ENABLED: is false, so the admin identity is not used; set it to true for setup"]
            )
        if identity not in self._credentials:

            def build(secret: Secret) -> AsyncTokenCredential:
                return credential_for(self._settings, identity, secret, self._environment, self.options)

            self._credentials[identity] = GraphCredential(
                self._settings, identity, self._vault, build, patience=self._patience
            )
        return self._credentials[identity]

    async def credential_state(self, identity: Identity) -> CredentialState:
        """Return what there is to know of one identity's secret, from the vault when it was not read in this hour.

        Raises:
            CredentialError: when the vault does not give it.
            ConfigurationError: as ``credential``.
        """
        return await self.credential(identity).state()

    async def close(self) -> None:
        """Close every connection."""
        for credential in self._credentials.values():
            await credential.close()
        await self._vault.close()
        if self._machine is not None:
            await self._machine.close()
            self._machine = None

    async def __aenter__(self) -> Self:
        """Return the identities themselves."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close every connection."""
        await self.close()


def machine_credential(
    settings: Settings, environment: Mapping[str, str], options: Mapping[str, Any]
) -> AsyncTokenCredential:
    """Return the managed identity where the host offers one, else the developer's login.

    https://learn.microsoft.com/azure/app-service/overview-managed-identity
    """
    from azure.identity.aio import DefaultAzureCredential, ManagedIdentityCredential

    if environment.get("IDENTITY_ENDPOINT"):
        return ManagedIdentityCredential(client_id=settings.azure_client_id, **options)
    return DefaultAzureCredential(managed_identity_client_id=settings.azure_client_id, **options)


def credential_for(
    settings: Settings,
    identity: Identity,
    secret: Secret,
    environment: Mapping[str, str],
    options: Mapping[str, Any],
) -> AsyncTokenCredential:
    """Return azure-identity's credential for what the vault holds, by GRAPH_CREDENTIAL_MODE."""
    from azure.identity.aio import ClientSecretCredential

    match settings.graph_credential_mode:
        case "secret":
            return ClientSecretCredential(
                settings.tenant_id,
                _client_id(settings, identity),
                secret.value,
                authority=environment.get("AZURE_AUTHORITY_HOST"),
                **options,
            )


class GraphCredential:
    """An ``AsyncTokenCredential`` for one identity. Tokens are kept until they near their end; tasks may share it."""

    def __init__(
        self,
        settings: Settings,
        identity: Identity,
        vault: Vault,
        build: Callable[[Secret], AsyncTokenCredential],
        *,
        patience: float = PATIENCE,
    ) -> None:
        self.identity = identity
        self._settings = settings
        self._name = _secret_name(settings, identity)
        self._vault = vault
        self._build = build
        self._patience = patience
        self._using: Secret | None = None
        self._inner: AsyncTokenCredential | None = None
        self._lock = asyncio.Lock()
        self._failures = 0
        self._failure = ""
        self._claims_met: str | None = None
        self._told = False

    async def get_token(
        self,
        *scopes: str,
        claims: str | None = None,
        tenant_id: str | None = None,
        enable_cae: bool = False,
        **options: Any,
    ) -> AccessToken:
        """Return a token, asking the vault and Entra only as far as needed.

        ``claims`` are Graph's challenge (https://learn.microsoft.com/entra/identity-platform/claims-challenge): the
        token is a new one, unless the same challenge has been met since.

        Raises:
            CredentialError: naming the identity, its secret, Entra's code and what the operator can do.
        """
        failures = self._failures
        # Sixteen tasks that find no token ask for one, once; and when there is none, none of the others asks again.
        async with self._lock:
            if failures != self._failures:
                raise CredentialError(self._failure)
            new = claims is not None and claims != self._claims_met
            request = {"claims": claims if new else None, "tenant_id": tenant_id, "enable_cae": enable_cae, **options}
            try:
                token = await self._renew(scopes, request)
            except CredentialError as error:
                self._failures, self._failure = failures + 1, error.message
                raise
            self._claims_met = claims if new else self._claims_met
            self._tell_if_expiring()
            return token

    async def forget_token(self) -> None:
        """Drop the token that Graph has refused; the next one is asked of Entra."""
        async with self._lock:
            self._claims_met = None
            await self._close_inner()

    async def state(self) -> CredentialState:
        """Return what there is to know of the secret in use, or of the one that would be used.

        Raises:
            CredentialError: when the vault does not give it.
        """
        secret = self._using or self._vault.kept(self._name)
        if secret is None:
            secret = await self._vault.newest(self.identity, self._name, until=self._deadline())
        return CredentialState(
            identity=self.identity,
            secret=self._name,
            expires=secret.expires,
            expiring=self._vault.days_left(secret) is not None,
            previous=secret.previous,
        )

    async def close(self) -> None:
        """Close the connection to Entra."""
        await self._close_inner()

    async def __aenter__(self) -> Self:
        """Return the credential itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connection to Entra."""
        await self.close()

    async def _renew(self, scopes: tuple[str, ...], request: Mapping[str, Any]) -> AccessToken:
        """Return a token by whichever secret Entra takes."""
        from azure.core.credentials import AccessToken

        until = self._deadline()
        refused: list[tuple[Secret, _Refusal]] = []
        try:
            async with aclosing(self._candidates(until)) as candidates:
                async for secret in candidates:
                    answer = await self._ask(secret, scopes, request, until)
                    if isinstance(answer, AccessToken):
                        return answer
                    refused.append((secret, answer))
                    if not answer.is_about_the_secret:
                        break
                    self._vault.forget(self._name)
        except CredentialError as error:
            if not refused:
                raise
            found = _entra_sentence(self._settings, self.identity, refused)
            raise CredentialError(f"{found}. The vault gave no other one: {error.message}") from None
        raise CredentialError(_entra_sentence(self._settings, self.identity, refused))

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._patience

    async def _candidates(self, until: float) -> AsyncGenerator[Secret, None]:
        """Offer the secret at hand, then the newest in the vault, then the one before it; none twice."""
        at_hand = self._using or self._vault.kept(self._name)
        if at_hand is not None:
            yield at_hand
        newest = await self._vault.newest(self.identity, self._name, until=until)
        tried = {newest.version} if at_hand is None else {newest.version, at_hand.version}
        if at_hand is None or newest.version != at_hand.version:
            yield newest
        previous = await self._vault.before(newest, self.identity, until=until)
        if previous is not None and previous.version not in tried:
            yield previous

    async def _ask(
        self, secret: Secret, scopes: tuple[str, ...], request: Mapping[str, Any], until: float
    ) -> AccessToken | _Refusal:
        """Return Entra's token for this secret, or why there is none.

        A refusal is a value: azure-identity's exception holds its request, and that one the secret.
        """
        from azure.core.exceptions import AzureError

        if self._using != secret or self._inner is None:
            await self._close_inner()
            self._using, self._inner = secret, self._build(secret)
        try:
            async with asyncio.timeout_at(until):
                return await self._inner.get_token(*scopes, **request)
        except AzureError as error:
            code = re.search(r"AADSTS(\d+)", str(error))
            status = getattr(error, "status_code", None)
            refusal = _Refusal(int(code[1]) if code else None, status, type(error).__name__)
        except TimeoutError:
            refusal = _Refusal(None, None, "TimeoutError")
        await self._close_inner()
        if refusal.is_about_the_secret:
            self._using = None
        return refusal

    def _tell_if_expiring(self) -> None:
        """Say once, with the first token, that the secret in use does not live long any more."""
        if self._told or self._using is None:
            return
        self._told = True
        days = self._vault.days_left(self._using)
        if days is not None:
            emit(
                "credential.expiring",
                identity=self.identity,
                secret=self._name,
                expires=self._using.expires,
                days=days,
            )

    async def _close_inner(self) -> None:
        inner, self._inner = self._inner, None
        if inner is not None:
            await inner.close()


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why Entra gave no token: the number behind AADSTS, the HTTP status, or what happened instead of an answer."""

    code: int | None
    status: int | None
    happened: str

    @property
    def is_about_the_secret(self) -> bool:
        """Tell whether another secret may help."""
        return self.code in _SECRET_REFUSED

    @property
    def will_pass(self) -> bool:
        """Tell whether it is Entra that has trouble, not we."""
        return self.code is None or self.status == 429 or (self.status is not None and self.status >= 500)


def _client_id(settings: Settings, identity: Identity) -> str:
    return settings.admin_client_id if identity == "admin" else settings.ingest_client_id


def _secret_name(settings: Settings, identity: Identity) -> str:
    return settings.admin_credential_name if identity == "admin" else settings.ingest_credential_name


def _entra_sentence(settings: Settings, identity: Identity, refused: list[tuple[Secret, _Refusal]]) -> str:
    """Say what the operator can do when Entra gives no token."""
    last = refused[-1][1]
    code, name = last.code, _secret_name(settings, identity)
    if last.will_pass:
        found = f"answers HTTP {last.status}" if last.status else "does not answer"
        detail = f"AADSTS{code}" if code else last.happened
        return (
            f"Entra {found} for the {identity} identity ({detail}), and is asked again at the next try. If this lasts,"
            " check that this machine reaches login.microsoftonline.com (or AZURE_AUTHORITY_HOST)"
        )
    if code in _SECRET_REFUSED:
        found = ", ".join(f"AADSTS{refusal.code}" for _, refusal in refused)
        return (
            f"Entra refuses secret {name} of the {identity} identity as {_SECRET_REFUSED[code]}"
            f" ({found}; versions tried: {len(refused)}): make a new client secret for app"
            f" {_client_id(settings, identity)} and put it into the key vault as a new version of {name}"
        )
    if code in _UNKNOWN_APP:
        setting = f"{identity.upper()}_CLIENT_ID"
        return (
            f"Entra does not know the app of the {identity} identity, or it is disabled (AADSTS{code}): check {setting}"
            " and TENANT_ID"
        )
    if code in _UNKNOWN_TENANT:
        return f"Entra does not know the tenant of the {identity} identity (AADSTS{code}): check TENANT_ID"
    return (
        f"Entra gives the {identity} identity no token (AADSTS{code}); its secret {name} and"
        f" {identity.upper()}_CLIENT_ID may be of different apps:"
        f" https://login.microsoftonline.com/error?code={code} explains the code"
    )
