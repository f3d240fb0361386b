"""Requests and replies as plain values, and the two mounts of everything in the local tenant: in process and ASGI."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl

import httpx
import orjson

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Killed(BaseException):
    """The process that sent the request died here. No ``except Exception`` survives it, as no process survives that."""


class NoAnswer(Exception):
    """The connection broke; ``reached`` tells whether the request had been served by then."""

    def __init__(self, *, reached: bool) -> None:
        super().__init__("the connection broke")
        self.reached = reached


class Silence(NoAnswer):
    """The connection stays open, and nothing comes, however long the sender waits."""

    def __init__(self) -> None:
        super().__init__(reached=False)


@dataclass(slots=True)
class Outage:
    """A service that is away: no connection, silence, or the same status for every request.

    ``times``: so many requests meet it (None: until it is up again); ``met`` counts them.
    """

    status: int | None = None
    times: int | None = None
    retry_after: float | None = None
    silent: bool = False
    met: int = 0

    def refuse(self, body: object) -> Reply | None:
        """Return what a request gets, None when the outage is over.

        Raises:
            NoAnswer: it gets nothing.
        """
        if self.times is not None and self.met >= self.times:
            return None
        self.met += 1
        if self.silent:
            raise Silence
        if self.status is None:
            raise NoAnswer(reached=False)
        reply = json_reply(self.status, body)
        if self.retry_after is not None:
            reply.headers["retry-after"] = f"{self.retry_after:g}"
        return reply


@dataclass(slots=True)
class Request:
    """One HTTP request. Header names are in lower case; ``path`` is as sent, not yet decoded."""

    method: str
    base: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def parameters(self) -> dict[str, str]:
        """Return the decoded query parameters."""
        return dict(parse_qsl(self.query, keep_blank_values=True))

    @property
    def bearer(self) -> str | None:
        """Return the bearer token, when there is one."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token if scheme.casefold() == "bearer" and token else None


@dataclass(slots=True)
class Reply:
    """One HTTP answer."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def json_reply(status: int, content: object, **headers: str) -> Reply:
    """Return an answer with a JSON body; underscores in header names become hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, orjson.dumps(content), {"content-type": "application/json; charset=utf-8", **named})


class Receiver(Protocol):
    """What is mounted: Graph, Entra or the vault."""

    async def answer(self, request: Request) -> Reply:
        """Return the answer, or raise NoAnswer or Killed."""
        ...


class InProcess(httpx.AsyncBaseTransport):
    """An httpx transport that hands requests to a receiver without any socket."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the receiver's answer; broken connections become httpx's own errors."""
        body = await request.aread()
        url = request.url
        received = Request(
            method=request.method,
            base=f"{url.scheme}://{url.netloc.decode()}",
            path=url.raw_path.partition(b"?")[0].decode(),
            query=url.query.decode(),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=body,
        )
        try:
            reply = await self._receiver.answer(received)
        except Silence:
            raise httpx.ReadTimeout("nothing came", request=request) from None
        except NoAnswer as broken:
            if broken.reached:
                raise httpx.ReadError("the connection broke before the answer", request=request) from None
            raise httpx.ConnectError("the connection could not be made", request=request) from None
        return httpx.Response(reply.status, headers=reply.headers, content=reply.body, request=request)


async def serve_asgi(receiver: Receiver, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one ASGI request (uvicorn's side of the loopback); a broken connection is closed without an answer."""
    if scope["type"] != "http":
        raise RuntimeError(f"the local tenant speaks http only, not {scope['type']}")
    body = bytearray()
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
    request = Request(
        method=scope["method"],
        base=f"{scope['scheme']}://{headers.get('host', 'localhost')}",
        path=scope["raw_path"].decode(),
        query=scope["query_string"].decode(),
        headers=headers,
        body=bytes(body),
    )
    try:
        reply = await receiver.answer(request)
    except Silence:
        await receive()  # until the client has had enough
        return
    except (NoAnswer, Killed):
        # ASGI has no word for hanging up; uvicorn's cycle, to which `receive` is bound, holds the connection.
        receive.__self__.transport.abort()  # type: ignore[attr-defined]
        await receive()
        return
    sent = [(name.encode(), value.encode()) for name, value in reply.headers.items()]
    if reply.status != 204:
        sent.append((b"content-length", str(len(reply.body)).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": sent})
    await send({"type": "http.response.body", "body": reply.body})
