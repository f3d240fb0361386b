"""Microsoft Graph for one identity: the SDK addresses, authenticates and sends; the answer is plain bytes.

The SDK's models are never imported (docs/decisions): its request builders give the address, its adapter and middleware
send, and the native response comes back. Its retry is off; repeating is the business of :mod:`connector.graph.pace`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, runtime_checkable
from urllib.parse import urlsplit
from uuid import uuid4

import orjson

from connector.errors import CredentialError, GraphDenied, GraphRejected
from connector.graph.pace import Answer, Pace, is_final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping

    import httpx
    from azure.core.credentials import AccessToken
    from msgraph_beta import GraphServiceClient

Identity = Literal["admin", "ingest"]
Json = dict[str, Any]

REQUEST_TIMEOUT: Final = 30.0
"""Seconds after which a request that was begun is over, token and answer included. A lease must outlast it."""

_SCOPED_HOSTS: Final = frozenset({"graph.microsoft.us", "dod-graph.microsoft.us", "microsoftgraph.chinacloudapi.cn"})
"""National clouds, whose tokens are for their own host. https://learn.microsoft.com/graph/deployments"""


class Credential(Protocol):
    """Gives tokens for one identity: what azure-identity's aio credentials do."""

    async def get_token(
        self,
        *scopes: str,
        claims: str | None = None,
        tenant_id: str | None = None,
        enable_cae: bool = False,
        **kwargs: Any,
    ) -> AccessToken:
        """Return a token that is valid for some minutes at least."""
        ...


@runtime_checkable
class Forgetful(Protocol):
    """A credential that can be told that Graph refused its token."""

    async def forget_token(self) -> None:
        """Forget the token, so that the next one is new."""
        ...


class Target(Protocol):
    """What a request builder of the SDK knows about its address."""

    @property
    def url_template(self) -> str:
        """Return the RFC 6570 template."""
        ...

    @property
    def path_parameters(self) -> Json:
        """Return what fills it."""
        ...


@dataclass(frozen=True, slots=True)
class Path:
    """An address that no request builder has."""

    url_template: str
    path_parameters: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Address:
    """A whole address, for what is asked for so often that filling its template each time would be felt."""

    url: str


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a request is for, in words that can stand in an error message.

    ``roles``: the app roles of which one is needed. ``connection``: its id, where the app must be authorised for it.
    ``quotable``: Graph's own message holds no personal data and may be shown.
    """

    doing: str
    roles: tuple[str, ...]
    connection: str | None = None
    quotable: bool = False


def _as_it_is(answer: Answer) -> Answer:
    return answer


class GraphClient:
    """Sends requests as one identity, at the common pace. Opened by :func:`open_graph`."""

    def __init__(self, service: GraphServiceClient, tokens: _Tokens, *, identity: Identity, pace: Pace) -> None:
        self.identity: Identity = identity
        self.pace = pace
        self.build = service
        """The root of the SDK's request builders."""
        self._tokens = tokens

    async def send(
        self,
        method: str,
        target: Target | Address,
        purpose: Purpose,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        expected: Collection[int] = (),
        before: Callable[[], None] | None = None,
        rated: bool = True,
    ) -> Answer:
        """Return the answer if it is 2xx or one of the ``expected`` statuses.

        A POST is not repeated when it is unknown whether it took effect; every other method is. ``before`` runs right
        before each attempt. ``rated``: see :meth:`connector.graph.pace.Pace.run`.

        Raises:
            GraphDenied: 401 (after one new token) or 403; the message says what the identity lacks.
            GraphRejected: another 4xx.
            GraphUnavailable: 429, 5xx or no answer, after all patience.
        """

        async def once() -> Answer:
            return await self.attempt(method, target, body=body, headers=headers)

        return await self.run(once, purpose, repeat=method != "POST", expected=expected, before=before, rated=rated)

    async def run(
        self,
        attempt: Callable[[], Awaitable[Answer]],
        purpose: Purpose,
        *,
        repeat: bool,
        expected: Collection[int] = (),
        before: Callable[[], None] | None = None,
        rated: bool = True,
    ) -> Answer:
        """Make an ``attempt`` at the common pace and turn refusals into errors, as :meth:`send` says.

        ``rated``: see :meth:`connector.graph.pace.Pace.run`.
        """
        attempt = _doubting(attempt)
        answer = await self.pace.run(attempt, repeat=repeat, before=before, rated=rated)
        if answer.status == 401:
            again = await self.pace.run(attempt, repeat=repeat, before=before, rated=rated)
            answer = replace(again, in_doubt=again.in_doubt or answer.in_doubt)
        if 200 <= answer.status < 300 or answer.status in expected:
            return answer
        if answer.status in {401, 403}:
            raise self._denied(answer, purpose)
        raise _rejected(answer, purpose)

    async def pages(self, target: Target, purpose: Purpose) -> tuple[Json, ...]:
        """Return the members of a collection, all pages of it.

        https://learn.microsoft.com/graph/paging
        """
        members: list[Json] = []
        link: Target | None = target
        while link is not None:
            page = document(await self.send("GET", link, purpose))
            members += page.get("value", ())
            link = following(page)
        return tuple(members)

    async def roles(self) -> tuple[str, ...]:
        """Return the app roles in this identity's token, sorted.

        Raises:
            CredentialError: there is no token.
        """
        await self._tokens.get_token(*self._tokens.scopes, enable_cae=True)
        return self._tokens.roles

    def address(self, target: Target) -> str:
        """Return the whole address of a target of the SDK's."""
        from kiota_abstractions.method import Method
        from kiota_abstractions.request_information import RequestInformation

        parameters = {**target.path_parameters, "baseurl": self.build.request_adapter.base_url}
        return str(RequestInformation(Method.GET, target.url_template, parameters).url)

    async def attempt(
        self,
        method: str,
        target: Target | Address,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        read: Callable[[Answer], Answer] = _as_it_is,
    ) -> Answer:
        """Make one request now and judge nothing: for what :meth:`run` calls at its pace. No answer is status 0.

        ``read`` returns the answer that counts, such as the one within a batch. When that is a 401, the token that this
        request was sent with is dropped.
        """
        import httpx

        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):
                response = await self._native(method, target, body, {**_HEADERS, **(headers or {})})
        except (httpx.RequestError, TimeoutError):  # no connection, no answer, or one that cannot be decoded
            return Answer(0)
        answer = read(Answer(response.status_code, response.headers, response.content))
        if answer.status == 401:
            await self._tokens.refused(response.request.headers.get("authorization", ""))
        return answer

    async def _native(
        self, method: str, target: Target | Address, body: bytes | None, headers: Mapping[str, str]
    ) -> httpx.Response:
        from kiota_abstractions.method import Method
        from kiota_abstractions.native_response_handler import NativeResponseHandler
        from kiota_abstractions.request_information import RequestInformation
        from kiota_http.middleware.options import ResponseHandlerOption

        if isinstance(target, Address):
            request = RequestInformation(Method(method))
            request.url = target.url
        else:
            # The builders of one client share their path parameters: a copy, or requests in flight change each other's.
            request = RequestInformation(Method(method), target.url_template, dict(target.path_parameters))
        request.content = body
        request.headers.add("client-request-id", str(uuid4()))
        for name, value in headers.items():
            request.headers.add(name, value)
        if body is not None:
            request.headers.try_add("Content-Type", "application/json; charset=utf-8")
        request.add_request_options([ResponseHandlerOption(NativeResponseHandler())])
        response: httpx.Response = await self.build.request_adapter.send_no_response_content_async(request, {})
        return response

    def _denied(self, answer: Answer, purpose: Purpose) -> GraphDenied:
        return GraphDenied(
            f"Microsoft Graph denied the {self.identity} identity to {purpose.doing} ({_trace(answer)}): "
            + _likely_reason(answer, purpose, identity=self.identity, roles=self._tokens.roles),
            status=answer.status,
            code=_error(answer)[0] or "denied",
            request_id=answer.request_id,
            in_doubt=answer.in_doubt,
        )


_HEADERS: Final = {"Accept": "application/json"}


@asynccontextmanager
async def open_graph(
    credential: Credential,
    *,
    identity: Identity,
    base_url: str,
    pace: Pace,
    transport: httpx.AsyncBaseTransport | None = None,
) -> AsyncIterator[GraphClient]:
    """Open Microsoft Graph for one identity and close the connections afterwards; the credential stays the caller's.

    Tokens go to the host of ``base_url`` and nowhere else. ``transport`` replaces the wire.
    """
    import httpx
    from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider
    from kiota_http.middleware.options import RedirectHandlerOption, RetryHandlerOption
    from msgraph_beta import GraphRequestAdapter, GraphServiceClient
    from msgraph_beta.graph_request_adapter import options as sdk_options
    from msgraph_core import APIVersion, GraphClientFactory

    host = urlsplit(base_url).hostname or ""
    tokens = _Tokens(credential, host=host)
    wire = httpx.AsyncClient(
        transport=transport,
        timeout=REQUEST_TIMEOUT,
        limits=httpx.Limits(max_connections=32, max_keepalive_connections=32, keepalive_expiry=60),
        http2=False,
    )
    async with wire:
        client = GraphClientFactory.create_with_default_middleware(
            api_version=APIVersion.beta,
            client=wire,
            options={
                **sdk_options,
                RetryHandlerOption.get_key(): RetryHandlerOption(should_retry=False),
                RedirectHandlerOption.get_key(): RedirectHandlerOption(should_redirect=False),
            },
        )
        provider = AzureIdentityAuthenticationProvider(tokens, scopes=list(tokens.scopes), allowed_hosts=[host])
        adapter = GraphRequestAdapter(provider, client=client)
        adapter.base_url = base_url.rstrip("/")
        yield GraphClient(GraphServiceClient(request_adapter=adapter), tokens, identity=identity, pace=pace)


def _doubting(attempt: Callable[[], Awaitable[Answer]]) -> Callable[[], Awaitable[Answer]]:
    """Return the same attempt; where there is no token for it, the error tells whether an earlier one is in doubt."""
    in_doubt = False

    async def once() -> Answer:
        nonlocal in_doubt
        try:
            answer = await attempt()
        except CredentialError as error:
            error.in_doubt = in_doubt
            raise
        in_doubt = in_doubt or not is_final(answer)
        return answer

    return once


class _Tokens:
    """A credential that remembers the last token it gave: its roles explain a 403, its text tells old from new."""

    def __init__(self, credential: Credential, *, host: str) -> None:
        self.scopes = (f"https://{host if host in _SCOPED_HOSTS else 'graph.microsoft.com'}/.default",)
        self._credential = credential
        self._last: AccessToken | None = None

    @property
    def roles(self) -> tuple[str, ...]:
        return () if self._last is None else roles_in(self._last.token)

    async def refused(self, authorization: str) -> None:
        """Forget the token that Graph refused, unless a newer one has taken its place meanwhile."""
        if self._last is not None and authorization == f"Bearer {self._last.token}":
            self._last = None
            if isinstance(self._credential, Forgetful):
                await self._credential.forget_token()

    async def get_token(self, *scopes: str, claims: str | None = None, **options: Any) -> AccessToken:
        self._last = await self._credential.get_token(*scopes, claims=claims, **options)
        return self._last


def roles_in(token: str) -> tuple[str, ...]:
    """Return the app roles in an access token, sorted; none when it cannot be read.

    Only to explain things to people: nothing is verified and nothing is decided by it.
    https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference
    """
    try:
        payload = token.split(".")[1]
        claims = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return tuple(sorted(str(role) for role in claims.get("roles", ())))
    except (IndexError, AttributeError, TypeError, binascii.Error, ValueError):
        return ()


def _likely_reason(answer: Answer, purpose: Purpose, *, identity: Identity, roles: tuple[str, ...]) -> str:
    setting = f"{identity.upper()}_CLIENT_ID"
    held = ", ".join(roles) or "none"
    wanted = " or ".join(purpose.roles)
    if answer.status == 401:
        return f"its token was refused even when new; check TENANT_ID and {setting} (roles in the token: {held})"
    if not set(roles) & set(purpose.roles):
        return f"its token lacks the app role {wanted} (it has: {held}); grant it to the app and consent to it"
    if purpose.connection is not None and identity == "admin":
        return (
            f"its token has what it needs ({held}), so the connection '{purpose.connection}' most likely belongs to"
            " another app: its owner must add this app to authorizedAppIds, or CONNECTION_ID must be another one"
        )
    if purpose.connection is not None:
        return (
            f"its token has what it needs ({held}), so the connection '{purpose.connection}' most likely does not list"
            f" the app of {setting} in authorizedAppIds; run setup, which adds it"
        )
    return f"its token has what it needs ({held}); a change of roles can take an hour to reach Graph"


def _rejected(answer: Answer, purpose: Purpose) -> GraphRejected:
    code, message = _error(answer)
    said = f": {message}" if purpose.quotable and message else ""
    return GraphRejected(
        f"Microsoft Graph refused to {purpose.doing} ({_trace(answer)}){said}",
        status=answer.status,
        code=code or "rejected",
        request_id=answer.request_id,
        in_doubt=answer.in_doubt,
    )


def _trace(answer: Answer) -> str:
    parts = (f"HTTP {answer.status}", _error(answer)[0], answer.request_id and f"request-id {answer.request_id}")
    return ", ".join(part for part in parts if part)


def _error(answer: Answer) -> tuple[str, str]:
    """Return ``error.code`` and ``error.message`` of Graph's envelope, or two empty strings.

    https://learn.microsoft.com/graph/errors
    """
    try:
        error = orjson.loads(answer.body)["error"]
        return str(error.get("code") or "")[:64], str(error.get("message") or "")[:500]
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return "", ""


def document(answer: Answer) -> Json:
    """Return the JSON object in an answer; an empty one when there is none.

    A 200 without JSON happens behind proxies; it then reads as "nothing known", and the reconciler looks again.
    """
    try:
        found = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def following(page: Json) -> Path | None:
    """Return where a collection goes on after this page; None when it ends with it.

    https://learn.microsoft.com/graph/paging
    """
    link = page.get("@odata.nextLink")
    return Path("{+link}", {"link": link}) if link else None
