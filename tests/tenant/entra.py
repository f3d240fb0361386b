"""Microsoft Entra ID: app registrations, the token endpoint and the managed identity endpoint."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl

import orjson

from tests.tenant.wire import InProcess, Outage, Reply, Request, json_reply, serve_asgi

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    import httpx
    from azure.core.credentials import AccessToken, AccessTokenInfo

    from connector.clock import Clock
    from tests.tenant.wire import Receive, Scope, Send

GRAPH = "https://graph.microsoft.com"
VAULT = "https://vault.azure.net"
STORAGE = "https://storage.azure.com"
RESOURCES = (GRAPH, VAULT, STORAGE)
"""What tokens can be for; every receiver accepts only its own."""


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """One client secret of an app registration."""

    value: str
    expires: datetime | None = None


@dataclass(slots=True)
class AppRegistration:
    """An app (or a managed identity) and the application permissions that an administrator consented to."""

    client_id: str
    name: str
    roles: set[str] = field(default_factory=set)
    secrets: list[ClientSecret] = field(default_factory=list)
    managed: bool = False


@dataclass(frozen=True, slots=True)
class Token:
    """What a valid token says."""

    client_id: str
    name: str
    roles: frozenset[str]
    audience: str
    expires: float


class EntraRefusal(Exception):
    """Entra gives no token; ``code`` is the number after AADSTS."""

    def __init__(self, code: int, text: str, *, status: int, error: str) -> None:
        super().__init__(f"AADSTS{code}")
        self.code = code
        self.text = text
        self.status = status
        self.error = error


class Entra:
    """One tenant's token service.

    Tokens are signed JWTs whose ``roles`` are the consents at the time they were issued: a later consent is in the
    next token only, as in Entra. Raise or lower ``expires_in`` to change how long they live.
    """

    def __init__(self, *, clock: Clock, tenant_id: str, domain: str = "contoso.onmicrosoft.com") -> None:
        self.tenant_id = tenant_id
        self.domain = domain
        self.expires_in = 3599
        self.apps: dict[str, AppRegistration] = {}
        self.identity_header = secrets.token_hex(16)
        self.requests: list[tuple[str, str, str | None]] = []
        """Every token request: method, path and the client id it was for."""
        self.outage: Outage | None = None
        self.machine_outage: Outage | None = None
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._tokens: dict[str, Token] = {}
        self._revoked: set[str] = set()
        self._serial = 0

    def register(self, client_id: str, *, name: str, roles: Collection[str] = (), managed: bool = False) -> None:
        """Add an app registration (or a managed identity) with the application permissions it has consent for."""
        self.apps[client_id] = AppRegistration(client_id, name, set(roles), managed=managed)

    def grant(self, client_id: str, *roles: str) -> None:
        """Consent to further application permissions."""
        self.apps[client_id].roles.update(roles)

    def withdraw(self, client_id: str, *roles: str) -> None:
        """Withdraw consent; tokens issued before keep their roles."""
        self.apps[client_id].roles.difference_update(roles)

    def add_secret(self, client_id: str, value: str, *, expires: datetime | None = None) -> None:
        """Add a client secret to an app registration."""
        self.apps[client_id].secrets.append(ClientSecret(value, expires))

    def remove_secret(self, client_id: str, value: str) -> None:
        """Remove a client secret: from now on it is an invalid one."""
        app = self.apps[client_id]
        app.secrets = [secret for secret in app.secrets if secret.value != value]

    def revoke_tokens(self, client_id: str | None = None) -> None:
        """Make every token issued so far invalid, of one app or of all."""
        self._revoked.update(token for token, said in self._tokens.items() if client_id in (None, said.client_id))

    def issue(self, client_id: str, *, audience: str = GRAPH) -> str:
        """Return a token for an app without asking for its secret."""
        app = self.apps[client_id]
        issued = int(self._clock.now().timestamp())
        self._serial += 1
        roles = frozenset(app.roles) if audience == GRAPH else frozenset()
        claims = {
            "aud": audience,
            "iss": f"https://sts.windows.net/{self.tenant_id}/",
            "iat": issued,
            "nbf": issued,
            "exp": issued + self.expires_in,
            "appid": app.client_id,
            "appidacr": "2" if app.managed else "1",
            "app_displayname": app.name,
            "idtyp": "app",
            "roles": sorted(roles),
            "tid": self.tenant_id,
            "uti": str(self._serial),
            "ver": "1.0",
        }
        signed = f"{_base64url(orjson.dumps({'typ': 'JWT', 'alg': 'HS256'}))}.{_base64url(orjson.dumps(claims))}"
        token = f"{signed}.{self._signature(signed)}"
        self._tokens[token] = Token(app.client_id, app.name, roles, audience, float(issued + self.expires_in))
        return token

    def verify(self, token: str, *, audience: str = GRAPH) -> Token | None:
        """Return what a token says when it is ours, for this audience, neither expired nor revoked; else None."""
        said = self._tokens.get(token)
        if said is None or token in self._revoked or said.audience != audience:
            return None
        return said if self._clock.now().timestamp() < said.expires else None

    def authenticate(self, tenant: str, client_id: str, secret: str) -> AppRegistration:
        """Return the app whose secret this is.

        https://learn.microsoft.com/entra/identity-platform/reference-error-codes [certain: codes; likely: texts]

        Raises:
            EntraRefusal: 90002/900023 tenant, 700016 app, 7000215 invalid secret, 7000222 expired secret.
        """
        if tenant.casefold() not in {self.tenant_id.casefold(), self.domain.casefold()}:
            raise _unknown_tenant(tenant)
        app = self.apps.get(client_id)
        if app is None or app.managed:
            text = (
                f"Application with identifier '{client_id}' was not found in the directory 'Contoso'. This can happen"
                " if the application has not been installed by the administrator of the tenant or consented to by any"
                " user in the tenant. You may have sent your authentication request to the wrong tenant."
            )
            raise EntraRefusal(700016, text, status=400, error="unauthorized_client")
        found = [known for known in app.secrets if hmac.compare_digest(known.value.encode(), secret.encode())]
        if not found:
            text = (
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret"
                f" value, not the client secret ID, for a secret added to app '{client_id}'."
            )
            raise EntraRefusal(7000215, text, status=401, error="invalid_client")
        now = self._clock.now()
        if all(known.expires is not None and known.expires <= now for known in found):
            text = (
                f"The provided client secret keys for app '{client_id}' are expired. Visit the Azure portal to create"
                " new keys for your app: https://aka.ms/NewClientSecret, or consider using certificate credentials"
                " for added security: https://aka.ms/certCreds."
            )
            raise EntraRefusal(7000222, text, status=401, error="invalid_client")
        return app

    def down(self, status: int | None = None, **how: Any) -> Outage:
        """Take the token service away: connections break, or with a status, every request gets that one.

        ``how``: ``times``, ``retry_after`` and ``silent`` of the outage, which is returned. What the machine we run on
        hands out (:meth:`machine_down`) goes on.
        """
        self.outage = Outage(status, **how)
        return self.outage

    def machine_down(self, status: int | None = None, **how: Any) -> Outage:
        """Take the managed identity's endpoint away, as :meth:`down`."""
        self.machine_outage = Outage(status, **how)
        return self.machine_outage

    def up(self) -> None:
        """Bring both back."""
        self.outage = self.machine_outage = None

    def credential(self, client_id: str) -> EntraCredential:
        """Return an asynchronous token credential for an app, for tests that are not about secrets."""
        return EntraCredential(self, client_id)

    def transport(self) -> httpx.AsyncBaseTransport:
        """Return an httpx transport that reaches Entra without sockets."""
        return InProcess(self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve as an ASGI app."""
        await serve_asgi(self, scope, receive, send)

    async def answer(self, request: Request) -> Reply:
        """Answer a token request."""
        path = request.path.rstrip("/")
        outage = self.machine_outage if path == "/msi/token" else self.outage
        if outage is not None and (refused := outage.refuse({"error": "temporarily_unavailable"})):
            return refused
        if match := re.fullmatch(r"/([^/]+)/oauth2/v2\.0/token", path):
            return self._client_credentials(request, match[1])
        if path == "/msi/token":
            return self._managed_identity(request)
        return json_reply(400, {"error": f"the local Entra does not know {request.method} {request.path}"})

    def _client_credentials(self, request: Request, tenant: str) -> Reply:
        """Answer the client credentials grant with a shared secret.

        https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow [certain]
        """
        form = dict(parse_qsl(request.body.decode()))
        client_id = form.get("client_id", "")
        self.requests.append((request.method, request.path, client_id))
        try:
            app = self.authenticate(tenant, client_id, form.get("client_secret", ""))
            audience = _audience(form.get("scope", ""))
        except EntraRefusal as refusal:
            return self._refuse(refusal)
        token = self.issue(app.client_id, audience=audience)
        lifetime = {"expires_in": self.expires_in, "ext_expires_in": self.expires_in}
        return json_reply(200, {"token_type": "Bearer", **lifetime, "access_token": token}, cache_control="no-store")

    def _managed_identity(self, request: Request) -> Reply:
        """Answer the App Service managed identity endpoint.

        https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference [certain]
        """
        wanted = request.parameters
        client_id = wanted.get("client_id")
        self.requests.append((request.method, request.path, client_id))
        if request.headers.get("x-identity-header") != self.identity_header:
            return json_reply(403, {"statusCode": 403, "message": "Invalid X-IDENTITY-HEADER."})
        audience = wanted.get("resource", "").rstrip("/")
        if audience not in RESOURCES or "api-version" not in wanted:
            return json_reply(400, {"statusCode": 400, "message": "The resource or the api-version is not supported."})
        app = next((app for app in self.apps.values() if app.managed and client_id in (None, app.client_id)), None)
        if app is None:
            return json_reply(400, {"statusCode": 400, "message": "No managed identity found for the client id."})
        expires_on = str(int(self._clock.now().timestamp()) + self.expires_in)
        token = self.issue(app.client_id, audience=audience)
        body = {"access_token": token, "expires_on": expires_on, "resource": audience, "token_type": "Bearer"}
        return json_reply(200, {**body, "client_id": app.client_id})

    def _refuse(self, refusal: EntraRefusal) -> Reply:
        self._serial += 1
        moment = self._clock.now()
        trace, correlation = str(uuid.UUID(int=self._serial)), str(uuid.UUID(int=self._serial << 64))
        body = {
            "error": refusal.error,
            "error_description": (
                f"AADSTS{refusal.code}: {refusal.text} Trace ID: {trace} Correlation ID: {correlation}"
                f" Timestamp: {moment:%Y-%m-%d %H:%M:%S}Z"
            ),
            "error_codes": [refusal.code],
            "timestamp": f"{moment:%Y-%m-%d %H:%M:%S}Z",
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"https://login.microsoftonline.com/error?code={refusal.code}",
        }
        return json_reply(refusal.status, body, cache_control="no-store")

    def _signature(self, signed: str) -> str:
        return _base64url(hmac.new(self._key, signed.encode(), hashlib.sha256).digest())


class EntraCredential:
    """An ``AsyncTokenCredential`` that asks the local Entra directly and keeps its token until it nearly expires."""

    def __init__(self, entra: Entra, client_id: str) -> None:
        self._entra = entra
        self._client_id = client_id
        self._tokens: dict[str, tuple[str, float]] = {}

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        """Return a token for the first scope."""
        from azure.core.credentials import AccessToken

        return AccessToken(*self._fresh(scopes[0]))

    async def get_token_info(self, *scopes: str, **_: Any) -> AccessTokenInfo:
        """Return a token for the first scope."""
        from azure.core.credentials import AccessTokenInfo

        return AccessTokenInfo(*self._fresh(scopes[0]))

    async def close(self) -> None:
        """Forget the tokens."""
        self._tokens.clear()

    async def __aenter__(self) -> Self:
        """Return the credential itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Forget the tokens."""
        await self.close()

    def _fresh(self, scope: str) -> tuple[str, int]:
        audience = _audience(scope)
        token, renewed_at = self._tokens.get(audience, ("", 0.0))
        now = self._entra._clock.now().timestamp()
        if not token or now >= renewed_at or self._entra.verify(token, audience=audience) is None:
            token = self._entra.issue(self._client_id, audience=audience)
            self._tokens[audience] = (token, now + self._entra.expires_in - 300)
        # Callers compare with the machine's clock, so the lifetime is told in that one.
        return token, int(time.time()) + self._entra.expires_in


def _audience(scope: str) -> str:
    resource = scope.removesuffix("/.default")
    if resource == scope:
        text = "The provided value for the input parameter 'scope' is not valid; it must end with /.default."
        raise EntraRefusal(1002012, text, status=400, error="invalid_scope")
    if resource not in RESOURCES:
        text = f"The resource principal named {resource} was not found in the tenant named Contoso."
        raise EntraRefusal(500011, text, status=400, error="invalid_resource")
    return resource


def _unknown_tenant(tenant: str) -> EntraRefusal:
    if re.fullmatch(r"[0-9a-fA-F-]{36}|[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", tenant):
        text = f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID."
        return EntraRefusal(90002, text, status=400, error="invalid_request")
    text = f"Specified tenant identifier '{tenant}' is neither a valid DNS name, nor a valid external domain."
    return EntraRefusal(900023, text, status=400, error="invalid_request")


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
