"""Secrets in Azure Key Vault: the newest enabled version, the one before it, and the process's memory of both.

https://learn.microsoft.com/azure/key-vault/secrets/about-secrets
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

from connector.errors import CredentialError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from azure.core.credentials_async import AsyncTokenCredential
    from azure.keyvault.secrets import KeyVaultSecret
    from azure.keyvault.secrets.aio import SecretClient

    from connector.clock import Clock

Identity = Literal["admin", "ingest"]

KEPT_SECONDS: Final = 3600
"""How long a secret's value is used before the vault is asked again."""

EXPIRING: Final = timedelta(days=21)
"""A secret that expires sooner is reported: time enough to make a new one, with holidays in between."""

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Secret:
    """One version of a secret. Its value never shows, however the object is printed."""

    name: str
    version: str
    value: str = field(repr=False)
    expires: datetime | None
    read_at: float  # on the monotonic clock
    previous: bool


class SecretCache:
    """Secrets by vault and name, for an hour by a monotonic clock. Values only, so it may outlive event loops."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Secret] = {}

    def get(self, vault: str, name: str, *, now: float) -> Secret | None:
        """Return the secret that was read less than an hour ago."""
        secret = self._kept.get((vault, name))
        return secret if secret is not None and now - secret.read_at < KEPT_SECONDS else None

    def put(self, vault: str, secret: Secret) -> None:
        """Keep a secret until an hour after it was read."""
        self._kept[vault, secret.name] = secret

    def drop(self, vault: str, name: str) -> None:
        """Forget a secret."""
        self._kept.pop((vault, name), None)


class Vault:
    """The key vault, opened at the first question, with the process's memory of its values."""

    def __init__(
        self,
        url: str,
        machine: Callable[[], AsyncTokenCredential],
        options: Mapping[str, Any],
        cache: SecretCache,
        clock: Clock,
    ) -> None:
        self._url = url
        self._machine = machine
        self._options = options
        self._cache = cache
        self._clock = clock
        self._opened: SecretClient | None = None

    def kept(self, name: str) -> Secret | None:
        """Return the secret when it was read in this hour."""
        return self._cache.get(self._url, name, now=self._clock.monotonic())

    def keep(self, secret: Secret) -> None:
        """Keep a secret; one that is kept already grows no younger."""
        self._cache.put(self._url, secret)

    def forget(self, name: str) -> None:
        """Read the secret anew next time."""
        self._cache.drop(self._url, name)

    def days_left(self, secret: Secret) -> int | None:
        """Return the whole days that a secret still lives, when they are fewer than 21; else None."""
        if secret.expires is None or secret.expires - self._clock.now() >= EXPIRING:
            return None
        return (secret.expires - self._clock.now()) // timedelta(days=1)

    async def newest(self, identity: Identity, name: str, *, until: float) -> Secret:
        """Read the newest enabled version of a secret; ``until`` (the loop's time) the vault may take.

        Raises:
            CredentialError: the vault does not answer, does not have it, or does not give it to us.
        """
        with self._translated(identity, name):
            async with asyncio.timeout_at(until):
                found = await self._newest_version(name)
        if found is None or not found.value:
            raise CredentialError(
                f"secret {name} ({identity} identity) in the key vault {self._host} has no enabled version with a"
                " value: enable one, or add a new version"
            )
        return self._noted(found, previous=False)

    async def before(self, secret: Secret, identity: Identity, *, until: float) -> Secret | None:
        """Read the newest enabled version that is older than this one; None when there is none.

        Raises:
            CredentialError: as ``newest``.
        """
        with self._translated(identity, secret.name):
            async with asyncio.timeout_at(until):
                versions = await self._enabled_versions(secret.name)
                if secret.version in versions:
                    versions = versions[versions.index(secret.version) + 1 :]
                if not versions:
                    return None
                found = await self._client().get_secret(secret.name, versions[0])
        return self._noted(found, previous=True)

    async def close(self) -> None:
        """Close the connection to the vault."""
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.close()

    def _client(self) -> SecretClient:
        if self._opened is None:
            from azure.keyvault.secrets.aio import SecretClient

            self._opened = SecretClient(
                self._url,
                self._machine(),
                # A vault on this machine is the local tenant's. Its challenge names vault.azure.net, as Azure's does.
                verify_challenge_resource=self._host not in _LOOPBACK,
                **self._options,
            )
        return self._opened

    async def _newest_version(self, name: str) -> KeyVaultSecret | None:
        """Return the newest enabled version. The short way answers 403 when the newest of all is disabled."""
        from azure.core.exceptions import HttpResponseError

        try:
            return await self._client().get_secret(name)
        except HttpResponseError as error:
            if error.status_code != 403:
                raise
        versions = await self._enabled_versions(name)
        return await self._client().get_secret(name, versions[0]) if versions else None

    async def _enabled_versions(self, name: str) -> list[str]:
        """Return the enabled versions, newest first.

        https://learn.microsoft.com/rest/api/keyvault/secrets/get-secret-versions/get-secret-versions
        """
        found = [
            (properties.created_on, properties.version)
            async for properties in self._client().list_properties_of_secret_versions(name)
            if properties.enabled and properties.version and properties.created_on
        ]
        return [version for _, version in sorted(found, reverse=True)]

    def _noted(self, found: KeyVaultSecret, *, previous: bool) -> Secret:
        """Keep what was read."""
        secret = Secret(
            name=str(found.name),
            version=str(found.properties.version),
            value=(found.value or "").strip(),  # a line feed from a file or a shell is never part of one
            expires=found.properties.expires_on,
            read_at=self._clock.monotonic(),
            previous=previous,
        )
        self.keep(secret)
        return secret

    @property
    def _host(self) -> str:
        return urlsplit(self._url).hostname or ""

    @contextmanager
    def _translated(self, identity: Identity, name: str) -> Iterator[None]:
        """Let the vault's errors out as sentences, without the errors themselves: those hold requests and answers."""
        from azure.core.exceptions import AzureError

        sentence = None
        try:
            yield
        except (AzureError, TimeoutError, ValueError) as error:  # ValueError: the challenge names another resource
            sentence = _sentence(error, self._host, identity, name)
        if sentence is not None:
            raise CredentialError(sentence) from None


def _sentence(error: Exception, host: str, identity: Identity, name: str) -> str:
    """Say what the operator can check when the vault gives no secret."""
    status = getattr(error, "status_code", None)
    wanted = f"secret {name} ({identity} identity)"
    if status == 401 or type(error).__name__ in ("ClientAuthenticationError", "CredentialUnavailableError"):
        return (
            f"no token that the key vault {host} takes, so there is no {wanted}: check that the managed identity is"
            " assigned to the app, that AZURE_CLIENT_ID is its client id (locally: az login), and that the vault is in"
            " the same tenant"
        )
    if status == 404:
        setting = f"{identity.upper()}_CREDENTIAL_NAME"
        return f"the key vault {host} has no {wanted}: put the app's client secret there, or mend {setting}"
    if status == 403:
        return (
            f"the key vault {host} does not give us {wanted}: our identity needs the role Key Vault Secrets User on it"
            " (a new assignment takes up to 10 minutes), and the vault's network rules must admit this app"
        )
    if status is not None and (status == 429 or status >= 500):
        return (
            f"the key vault {host} answers {status}, so there is no {wanted} at present; it is asked again at the next"
            " try. If this lasts, look at the vault's metrics and at Azure's service health"
        )
    if isinstance(error, ValueError):
        return (
            f"what answers as the key vault {host} asks for a token of another service, and is given none, so there is"
            f" no {wanted}: KEY_VAULT_URL must be the vault's own address, https://NAME.vault.azure.net"
        )
    found = f"answers {status}" if status is not None else f"does not answer ({type(error).__name__})"
    return (
        f"the key vault {host} {found}, so there is no {wanted}: check KEY_VAULT_URL, name resolution, and the vault's"
        " network rules"
    )
