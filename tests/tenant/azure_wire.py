"""Entra and the vault behind the genuine Azure clients, without sockets and in virtual time.

The clients keep their own transport, pipelines and retries; only the session below them is ours: it hands requests to
the receiver whose host is asked for. What a client waits for (a Retry-After, say) passes on the tenant's clock.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode, urlsplit

import aiohttp
from azure.core.pipeline.transport import AioHttpTransport
from multidict import CIMultiDict

from tests.tenant.wire import NoAnswer, Request, Silence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connector.clock import Clock
    from tests.tenant import Tenant
    from tests.tenant.wire import Receiver, Reply

AUTHORITY = "login.microsoftonline.com"
IDENTITY = "identity.local"
"""Where the host that we run on hands out the managed identity's tokens."""


def azure_wire(tenant: Tenant, *, vault: str) -> AzureWire:
    """Return the wire to a tenant's Entra and its vault of this host name."""
    return AzureWire({AUTHORITY: tenant.entra, IDENTITY: tenant.entra, vault: tenant.vault}, tenant.clock)


class AzureWire(AioHttpTransport):  # type: ignore[misc]  # azure.core hides the type of what it imports late
    """An ``azure.core`` transport for any number of clients: pass it as ``transport``."""

    def __init__(self, receivers: Mapping[str, Receiver], clock: Clock) -> None:
        super().__init__(session=_Session(receivers, clock), session_owner=False)
        self._clock = clock

    async def sleep(self, duration: float) -> None:
        """Let virtual time pass."""
        await self._clock.sleep(duration)


class _Session:
    """What ``AioHttpTransport`` asks of aiohttp's session."""

    auto_decompress = False

    def __init__(self, receivers: Mapping[str, Receiver], clock: Clock) -> None:
        self._receivers = receivers
        self._clock = clock

    async def __aenter__(self) -> Self:
        """Return the session itself."""
        return self

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        data: object,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109
        **_: object,
    ) -> _Response:
        """Return the receiver's answer, or raise what aiohttp raises."""
        parts = urlsplit(url)
        form = urlencode(data).encode() if isinstance(data, dict) else data
        request = Request(
            method=method,
            base=f"{parts.scheme}://{parts.netloc}",
            path=parts.path,
            query=parts.query,
            headers={name.lower(): value for name, value in headers.items()},
            body=form if isinstance(form, bytes) else str(form or "").encode(),
        )
        receiver = self._receivers.get(parts.hostname or "")
        if receiver is None:
            raise aiohttp.ClientConnectionError("the name cannot be resolved")
        try:
            return _Response.of(await receiver.answer(request))
        except Silence:
            await self._clock.sleep(timeout.sock_read or 0)
            raise TimeoutError from None
        except NoAnswer:
            raise aiohttp.ClientConnectionError("the connection could not be made") from None


@dataclass(slots=True)
class _Response:
    """What ``AioHttpTransport`` asks of aiohttp's response."""

    status: int
    reason: str
    headers: CIMultiDict[str]
    content: Any
    _body: bytes

    @classmethod
    def of(cls, reply: Reply) -> _Response:
        return cls(reply.status, "", CIMultiDict(reply.headers), _Stream(io.BytesIO(reply.body)), reply.body)

    async def read(self) -> bytes:
        return self._body

    def close(self) -> None:
        """There is no connection to give back."""


@dataclass(frozen=True, slots=True)
class _Stream:
    body: io.BytesIO

    async def read(self, size: int) -> bytes:
        return self.body.read(size)
