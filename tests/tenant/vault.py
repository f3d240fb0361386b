"""Key Vault, as far as reading secrets goes, with the genuine challenge."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.tenant.entra import VAULT
from tests.tenant.wire import InProcess, Outage, Reply, Request, json_reply, serve_asgi

if TYPE_CHECKING:
    from datetime import datetime

    import httpx

    from connector.clock import Clock
    from tests.tenant.entra import Entra
    from tests.tenant.wire import Receive, Scope, Send

_SECRET_PATH = re.compile(r"/secrets/([0-9A-Za-z-]{1,127})(?:/([0-9a-z]+))?/?")
_PAGE = 25


@dataclass(slots=True)
class SecretVersion:
    """One version of a secret."""

    version: str
    value: str
    created: datetime
    expires: datetime | None
    enabled: bool = True


@dataclass(eq=False)
class Vault:
    """One vault. ``readers`` are the client ids that may read secrets; ``requests`` has method and path of each."""

    clock: Clock
    entra: Entra
    readers: set[str] = field(default_factory=set)
    authority: str = "https://login.microsoftonline.com"
    """Where the challenge sends clients for a token; ``serve`` sets it to the local Entra."""
    secrets: dict[str, list[SecretVersion]] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    outage: Outage | None = None

    def set_secret(self, name: str, value: str, *, expires: datetime | None = None) -> str:
        """Add a version of a secret, the newest from now on, and return the version's id."""
        version = SecretVersion(secrets.token_hex(16), value, self.clock.now(), expires)
        self.secrets.setdefault(name, []).append(version)
        return version.version

    def disable(self, name: str, version: str) -> None:
        """Disable one version of a secret."""
        next(one for one in self.secrets[name] if one.version == version).enabled = False

    def remove(self, name: str) -> None:
        """Delete a secret with all its versions."""
        del self.secrets[name]

    def down(self, status: int | None = None, **how: Any) -> Outage:
        """Take the vault away: connections break, or with a status, every request gets that one.

        ``how``: ``times``, ``retry_after`` and ``silent`` of the outage, which is returned.
        """
        self.outage = Outage(status, **how)
        return self.outage

    def up(self) -> None:
        """Bring the vault back."""
        self.outage = None

    def transport(self) -> httpx.AsyncBaseTransport:
        """Return an httpx transport that reaches the vault without sockets."""
        return InProcess(self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve as an ASGI app."""
        await serve_asgi(self, scope, receive, send)

    async def answer(self, request: Request) -> Reply:
        """Answer a request, once it has shown a token for vaults.

        https://learn.microsoft.com/azure/key-vault/general/authentication-requests-and-responses [certain]
        """
        self.requests.append((request.method, request.path))
        if self.outage is not None and (refused := self.outage.refuse(_ERRORS.get(self.outage.status or 0, _AWAY))):
            return refused
        token = self.entra.verify(request.bearer, audience=VAULT) if request.bearer else None
        if token is None:
            reply = _error(401, "Unauthorized", "AKV10000: Request is missing a Bearer or PoP token.")
            challenge = f'Bearer authorization="{self.authority}/{self.entra.tenant_id}", resource="{VAULT}"'
            reply.headers["www-authenticate"] = challenge
            return reply
        if token.client_id not in self.readers:
            text = "Caller is not authorized to perform action on resource."
            return _error(403, "Forbidden", text, inner="ForbiddenByRbac")
        return self._route(request)

    def _route(self, request: Request) -> Reply:
        if "api-version" not in request.parameters:
            return _error(400, "BadParameter", "api-version must be specified")
        match = _SECRET_PATH.fullmatch(request.path)
        if match is None or request.method != "GET":
            return _error(400, "BadParameter", f"the local vault does not know {request.method} {request.path}")
        name, wanted = match.groups()
        if wanted == "versions":
            return self._list_versions(request, name)
        return self._get_secret(request, name, wanted)

    def _get_secret(self, request: Request, name: str, wanted: str | None) -> Reply:
        """Return one version, or the newest one; an expired one is readable, a disabled one is not.

        https://learn.microsoft.com/rest/api/keyvault/secrets/get-secret/get-secret [certain; likely: the texts]
        """
        versions = [one for one in self.secrets.get(name, []) if wanted in (None, one.version)]
        if not versions:
            text = (
                f"A secret with (name/id) {name} was not found in this key vault. If you recently deleted this secret"
                " you may be able to recover it using the correct recovery command. For help resolving this issue,"
                " please see https://go.microsoft.com/fwlink/?linkid=2125182"
            )
            return _error(404, "SecretNotFound", text)
        found = versions[-1]
        if not found.enabled:
            return _error(
                403, "Forbidden", "Operation get is not allowed on a disabled secret.", inner="SecretDisabled"
            )
        return json_reply(200, {"value": found.value, **_properties(request, name, found)})

    def _list_versions(self, request: Request, name: str) -> Reply:
        """List the versions of a secret without their values; an unknown secret has none. Newest last.

        https://learn.microsoft.com/rest/api/keyvault/secrets/get-secret-versions/get-secret-versions [certain: pages;
        unknown: order, so clients must sort]
        """
        parameters = request.parameters
        size, begin = int(parameters.get("maxresults", _PAGE)), int(parameters.get("$skiptoken", 0))
        versions = self.secrets.get(name, [])
        content: dict[str, Any] = {
            "value": [_properties(request, name, one) for one in versions[begin : begin + size]],
            "nextLink": None,
        }
        if begin + size < len(versions):
            rest = f"api-version={parameters['api-version']}&$skiptoken={begin + size}&maxresults={size}"
            content["nextLink"] = f"{request.base}/secrets/{name}/versions?{rest}"
        return json_reply(200, content)


def _properties(request: Request, name: str, version: SecretVersion) -> dict[str, Any]:
    created = int(version.created.timestamp())
    attributes = {"enabled": version.enabled, "created": created, "updated": created}
    if version.expires is not None:
        attributes["exp"] = int(version.expires.timestamp())
    recovery = {"recoveryLevel": "Recoverable+Purgeable", "recoverableDays": 90}
    return {
        "id": f"{request.base}/secrets/{name}/{version.version}",
        "attributes": {**attributes, **recovery},
        "tags": {},
    }


_AWAY = {"error": {"code": "ServiceUnavailable", "message": "The vault is not available."}}
_ERRORS: dict[int, dict[str, Any]] = {
    403: {
        "error": {
            "code": "Forbidden",
            "message": "Client address is not authorized and caller is not a trusted service.",
            "innererror": {"code": "ForbiddenByFirewall"},
        }
    },
    429: {
        "error": {"code": "Throttled", "message": "Request was not processed because too many requests were received."}
    },
}


def _error(status: int, code: str, message: str, *, inner: str | None = None) -> Reply:
    error: dict[str, Any] = {"code": code, "message": message}
    if inner:
        error["innererror"] = {"code": inner}
    return json_reply(status, {"error": error})
