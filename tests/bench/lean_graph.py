"""A Graph that costs next to nothing: its own process, plain HTTP on loopback, answers after a given latency.

The simulated tenant holds every request to Graph's rules, which takes about as long as the client's work. Here, where
seconds are measured, requests are counted and bodies kept, and nothing else. Its users are those of
`tests.bench.company`. In plain text, for what TLS takes of both would make ours look cheaper beside the reference.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import re
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, unquote

import orjson

from tests.bench.company import key_of, object_id_of, upn_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_ITEM = "/items/"
_IN = re.compile(r"(\w+) (?:in \(|eq )(.*?)\)?$")
_VALUE = re.compile(r"'((?:[^']|'')*)'")
_UPN = re.compile(r"p(\d{7})@contoso\.com")


@dataclass(slots=True)
class Seen:
    """What arrived since the last reset. Times are of the machine's monotonic clock, 0 when there was none.

    ``most``: the most requests that were being answered at one time. ``began``, ``ended``: the first PUT's arrival and
    the last PUT's answer. ``early``: the PUTs that came although a 429 had asked everybody to wait.
    """

    puts: int = 0
    lookups: int = 0
    parts: int = 0
    pages: int = 0
    counts: int = 0
    others: int = 0
    throttled: int = 0
    failed: int = 0
    early: int = 0
    most: int = 0
    began: float = 0.0
    ended: float = 0.0

    @property
    def requests(self) -> int:
        """Return how many requests there were, the parts of a batch being one."""
        return self.puts + self.lookups + self.pages + self.counts + self.others


# --- the driver's side -----------------------------------------------------------------------------------------------


class LeanGraph:
    """The process, from the measurements' side. ``url``: Graph's root, version included."""

    def __init__(self, url: str) -> None:
        self.url = f"{url}/beta"
        self._root = url

    def reset(
        self,
        *,
        latency: float = 0.0,
        users: int = 0,
        throttled_every: int = 0,
        failed_every: int = 0,
        retry_after: float = 10.0,
    ) -> Self:
        """Count anew, without items, and answer after ``latency`` seconds from now on; have so many users.

        Of the PUTs one in ``throttled_every`` is answered 429 without effect, and one in ``failed_every`` 503 after its
        effect; 0: none.
        """
        behaviour = {"latency": latency, "users": users, "retry_after": retry_after}
        self._ask("reset", **behaviour, throttled_every=throttled_every, failed_every=failed_every)
        return self

    def seen(self) -> Seen:
        """Return what arrived since the last reset."""
        return Seen(**self._ask("seen"))

    def items(self) -> dict[str, bytes]:
        """Return the bodies as they were last put, by item id."""
        return {name: base64.b64decode(body) for name, body in self._ask("items").items()}

    def _ask(self, what: str, **given: Any) -> Any:
        data = json.dumps(given).encode()
        with urllib.request.urlopen(f"{self._root}/control/{what}", data, timeout=60) as answer:  # noqa: S310
            return json.loads(answer.read())


@contextmanager
def lean_graph() -> Iterator[LeanGraph]:
    """Run it in a process of its own until the block ends."""
    command = [sys.executable, "-m", __name__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        if process.stdin is None or process.stdout is None:
            raise AssertionError("opened with pipes")
        try:
            yield LeanGraph(process.stdout.readline().strip())
        finally:
            process.stdin.close()  # what it waits for


# --- the process's own side ------------------------------------------------------------------------------------------


_OK = "200 OK"
_GRACE = 0.05
"""Seconds within which what is on its way when a 429 is sent arrives."""


@dataclass(slots=True)
class _State:
    latency: float = 0.0
    users: int = 0
    retry_after: float = 10.0
    throttled_every: int = 0
    failed_every: int = 0
    seen: Seen = field(default_factory=Seen)
    items: dict[str, bytes] = field(default_factory=dict)
    open: int = 0
    paused_from: float = math.inf
    paused_until: float = -math.inf

    def answer(self, method: str, target: str, body: bytes) -> tuple[str, bytes]:
        """Serve one request; return the answer's status with what else belongs to its head, and its body."""
        path, _, query = target.partition("?")
        if method == "PUT" and _ITEM in path:
            return self._put(path.rpartition("/")[2], body)
        if path.endswith("/$batch"):
            return _OK, self._batch(body)
        if path.endswith("/users/$count"):
            self.seen.counts += 1
            return _OK, str(self.users).encode()
        if path.endswith("/users"):
            self.seen.pages += 1
            return _OK, orjson.dumps(self._users(dict(parse_qsl(query))))
        self.seen.others += 1
        return _OK, b"{}"

    def _put(self, item_id: str, body: bytes) -> tuple[str, bytes]:
        now = time.monotonic()
        self.seen.began = self.seen.began or now
        self.seen.puts += 1
        self.seen.early += self.paused_from + _GRACE < now < self.paused_until
        if self.throttled_every and self.seen.puts % self.throttled_every == 0:
            self.seen.throttled += 1
            return f"429 Too Many Requests\r\nretry-after: {self.retry_after:g}", b"{}"
        there = item_id in self.items
        self.items[item_id] = body
        if self.failed_every and self.seen.puts % self.failed_every == self.failed_every // 2 + 1:
            self.seen.failed += 1
            return "503 Service Unavailable", b"{}"
        return _OK, body if there else b""

    def sent(self, method: str, status: str) -> None:
        """Note that an answer is on its way."""
        now = time.monotonic()
        self.open -= 1
        if method == "PUT":
            self.seen.ended = now
        if status.startswith("429"):
            self.paused_from, self.paused_until = now, now + self.retry_after

    def _batch(self, body: bytes) -> bytes:
        self.seen.lookups += 1
        answers = []
        for part in orjson.loads(body)["requests"]:
            self.seen.parts += 1
            found = self._users(dict(parse_qsl(part["url"].partition("?")[2])))
            answers.append({"id": part["id"], "status": 200, "headers": {}, "body": found})
        return orjson.dumps({"responses": answers})

    def _users(self, asked: dict[str, str]) -> dict[str, Any]:
        selected = asked.get("$select", "id,userPrincipalName,mail,displayName,givenName,surname,jobTitle").split(",")
        if "$filter" in asked:
            matched = _IN.fullmatch(unquote(asked["$filter"]))
            values = _VALUE.findall(matched[2]) if matched else []
            numbers = [int(found[1]) for value in values if (found := _UPN.fullmatch(value))]
            return {"value": [_user(number, selected) for number in numbers if number < self.users]}
        begin, top = int(asked.get("$skiptoken", "0")), int(asked.get("$top", "100"))
        end = min(begin + top, self.users)
        page: dict[str, Any] = {"value": [_user(number, selected) for number in range(begin, end)]}
        if end < self.users:
            page["@odata.nextLink"] = f"/users?$select={','.join(selected)}&$top={top}&$skiptoken={end}"
        return page

    def control(self, what: str, given: dict[str, Any]) -> Any:
        """Do what the measurements ask for, between two of them."""
        if what == "reset":
            anew = _State(**given)
            for each in fields(self):
                setattr(self, each.name, getattr(anew, each.name))
            return {}
        if what == "seen":
            return asdict(self.seen)
        return {name: base64.b64encode(body).decode() for name, body in self.items.items()}


def _user(number: int, selected: list[str]) -> dict[str, Any]:
    name = upn_of(number)
    user = {
        "id": object_id_of(number),
        "userPrincipalName": name,
        "mail": name,
        "accountEnabled": True,
        "userType": "Member",
        "employeeId": key_of(number),
        "displayName": f"Person {number}",
        "givenName": "Person",
        "surname": f"{number}",
        "jobTitle": "Clerk",
    }
    return {key: user[key] for key in selected}


class _Connection(asyncio.Protocol):
    """HTTP/1.1 as our clients speak it: a length for every body, one request after another."""

    def __init__(self, state: _State) -> None:
        self._state = state
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._received[:end])
            length = _length(head)
            if len(self._received) < end + 4 + length:
                return
            body = bytes(self._received[end + 4 : end + 4 + length])
            del self._received[: end + 4 + length]
            self._serve(head, body)

    def _serve(self, head: bytes, body: bytes) -> None:
        state = self._state
        method, target = head.split(b" ", 2)[:2]
        if target.startswith(b"/control/"):
            self._send(orjson.dumps(state.control(target.decode().rpartition("/")[2], orjson.loads(body))))
            return
        state.open += 1
        state.seen.most = max(state.seen.most, state.open)
        status, answer = state.answer(method.decode(), target.decode(), body)
        if b"@odata.nextLink" in answer:
            host = head.lower().partition(b"host: ")[2].partition(b"\r")[0]
            answer = answer.replace(b'"/users?', b'"http://' + host + b"/beta/users?")
        if state.latency:
            asyncio.get_running_loop().call_later(state.latency, self._finish, method.decode(), status, answer)
        else:
            self._finish(method.decode(), status, answer)

    def _finish(self, method: str, status: str, answer: bytes) -> None:
        self._state.sent(method, status)
        self._send(answer, status)

    def _send(self, answer: bytes, status: str = _OK) -> None:
        if self._transport.is_closing():
            return
        head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(answer)}\r\n\r\n"
        self._transport.write(head.encode() + answer)


def _length(head: bytes) -> int:
    found = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    return int(found[1]) if found else 0


async def _serve() -> None:
    loop, state = asyncio.get_running_loop(), _State()
    server = await loop.create_server(lambda: _Connection(state), "127.0.0.1", 0)
    print(f"http://localhost:{server.sockets[0].getsockname()[1]}", flush=True)  # noqa: T201
    await loop.run_in_executor(None, sys.stdin.read)  # until whoever began this process closes it, or is no more
    server.close()


if __name__ == "__main__":
    asyncio.run(_serve())
