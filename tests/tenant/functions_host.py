"""A local Functions host: takes the functions of ``function_app.py`` and calls them the way the real host does.

It is built from the rules of the host's source, https://github.com/Azure/azure-functions-host: what it refuses, how it
routes, which keys it wants and what of a request reaches a function. What it leaves out: storage-backed timer
monitoring, proxies, scaling. Loading and invoking is its engine's: Microsoft's own worker where that can be had.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import secrets
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from tests.tenant.engines import Answer, FunctionFailed, HttpCall, IndexingFailed, best_engine

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, MutableMapping
    from pathlib import Path

    from tests.tenant.engines import Engine, Indexed

logger = logging.getLogger("functions_host")


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call of a timer function, and how it ended; ``error`` is what it raised."""

    function: str
    error: FunctionFailed | None


@dataclass(frozen=True, slots=True)
class HttpFunction:
    """A function with an HTTP trigger; no methods means all of them."""

    name: str
    parameter: str
    route: str
    methods: frozenset[str]
    level: str
    pattern: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class TimerFunction:
    """A function with a timer trigger."""

    name: str
    parameter: str
    schedule: Schedule


class Schedule:
    """An NCRONTAB expression of six fields (seconds first) or five, in UTC.

    https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer#ncrontab-expressions
    """

    def __init__(self, expression: str) -> None:
        from croniter import croniter

        self.expression = expression
        plain = re.fullmatch(r"(?:[0-9*,/\- ]|[A-Za-z]{3,9})+", expression) and len(expression.split()) in (5, 6)
        if not plain or not croniter.is_valid(expression, second_at_beginning=True):
            words = "was not recognized as a valid cron expression or timespan string."
            raise ValueError(f"The schedule expression '{expression}' {words}")

    def after(self, moment: datetime) -> datetime:
        """Return the next occurrence after a moment; day of month and day of week must both hold, unlike in cron."""
        from croniter import croniter

        dates = croniter(self.expression, moment, day_or=False, second_at_beginning=True, ret_type=datetime)
        found: datetime = dates.get_next(datetime)
        return found


class FunctionsHost:
    """One function app, loaded; use it as a context manager, or close it.

    Args:
        path: the folder with ``function_app.py`` and ``host.json``.
        settings: the app settings; they are in ``os.environ`` from here until ``close()``. PYTHON_SCRIPT_FILE_NAME
            names another script than ``function_app.py``.
        key: the host's default function key; made up when absent.
        master_key: what ``POST /admin/functions/NAME`` and functions of level ADMIN want; made up when absent.
        engine: what loads the app and runs its functions; the best there is, unless given.

    Attributes:
        engine: the words for what runs the functions.
        errors: function name to the host's words about why it was not indexed; the others work all the same.
        bindings: function name to its bindings, as the worker tells them.

    Raises:
        IndexingFailed: ``function_app.py`` does not load, or two of its functions have one name.
    """

    def __init__(
        self,
        path: Path,
        settings: Mapping[str, str],
        *,
        key: str | None = None,
        master_key: str | None = None,
        engine: Engine | None = None,
    ) -> None:
        self.key = key or secrets.token_urlsafe(24)
        self.master_key = master_key or secrets.token_urlsafe(24)
        self.errors: dict[str, str] = {}
        self.bindings: dict[str, list[dict[str, Any]]] = {}
        self.http: dict[str, HttpFunction] = {}
        self.timers: dict[str, TimerFunction] = {}
        self.route_prefix = _route_prefix(path)
        self._engine = engine or best_engine()
        self.engine = self._engine.name
        self._pool = ThreadPoolExecutor(thread_name_prefix="host")
        try:
            for function in self._engine.open(path.resolve(), {**os.environ, **settings}):
                self._index(function)
        except BaseException:
            self.close()
            raise
        self._running = {name: threading.Lock() for name in self.timers}  # one invocation of a timer at a time

    def __enter__(self) -> Self:
        """Return the host itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the host."""
        self.close()

    def close(self) -> None:
        """Wait for what runs, and give the environment back as it was."""
        self._pool.shutdown(wait=True)
        self._engine.close()

    # -- calling ------------------------------------------------------------------------------------------------------

    def request(
        self,
        method: str,
        target: str,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | object = b"",
    ) -> Answer:
        """Call an HTTP function as a client would; ``target`` is path and query, a body that is no bytes is JSON."""
        sent = {name.lower(): value for name, value in (headers or {}).items()}
        if key is not None:
            sent["x-functions-key"] = key
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("content-type", "application/json")
        return self._pool.submit(self.answer, method, target, sent, body).result()

    def fire(self, name: str, *, past_due: bool = False) -> Invocation:
        """Run a timer function now, after the invocation of it that is running, and wait for its end."""
        return self._pool.submit(self._invoke_timer, self.timers[name], past_due=past_due).result()

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Route one request, whose header names are in lower case, and wait for its answer."""
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        # https://github.com/Azure/azure-functions-host/blob/dev/src/WebJobs.Script.WebHost/Security/Authentication
        presented = headers.get("x-functions-key") or query.get("code")
        if started := re.fullmatch(r"/admin/functions/([^/]+)", parts.path):
            return self._start(method, started[1], presented)
        for function in self.http.values():
            found = function.pattern.fullmatch(parts.path)
            if found is None or (function.methods and method.upper() not in function.methods):
                continue  # a wrong method on a route that is there is answered 404, not 405
            if not self._allowed(function.level, presented):
                return Answer(401)
            route_parameters = {name: unquote(value) for name, value in found.groupdict().items() if value is not None}
            return self._invoke_http(function, method, target, headers, query, route_parameters, body)
        return Answer(404)

    def _start(self, method: str, name: str, presented: str | None) -> Answer:
        """Answer the host's own way to run a function by hand.

        https://learn.microsoft.com/azure/azure-functions/functions-manually-run-non-http
        """
        if not self._allowed("ADMIN", presented):
            return Answer(401)
        if method != "POST" or name not in self.timers:
            return Answer(404)
        self._pool.submit(self._invoke_timer, self.timers[name], past_due=False)
        return Answer(202)

    def _allowed(self, level: str, presented: str | None) -> bool:
        if level == "ANONYMOUS":
            return True
        keys = [self.master_key] if level == "ADMIN" else [self.key, self.master_key]
        return any(secrets.compare_digest((presented or "").encode(), key.encode()) for key in keys)

    def _invoke_http(
        self,
        function: HttpFunction,
        method: str,
        target: str,
        headers: Mapping[str, str],
        query: Mapping[str, str],
        route_parameters: Mapping[str, str],
        body: bytes,
    ) -> Answer:
        call = HttpCall(
            method=method,
            url=f"http://{headers.get('host', 'localhost')}{target}",
            headers=headers,
            query={name: value for name, value in query.items() if value},  # the host drops empty ones
            route=route_parameters,
            body=b"" if "chunked" in headers.get("transfer-encoding", "") else body,  # a chunked body does not arrive
        )
        try:
            return self._engine.http(function.name, function.parameter, call)
        except FunctionFailed as failed:
            _tell_failure(function.name, failed)
            return Answer(500)

    def _invoke_timer(self, function: TimerFunction, *, past_due: bool) -> Invocation:
        now = datetime.now(UTC)
        following = function.schedule.after(now).isoformat()
        status = {"Last": now.isoformat(), "LastUpdated": now.isoformat(), "Next": following}
        told = {"IsPastDue": past_due, "ScheduleStatus": status, "Schedule": {"AdjustForDST": True}}
        with self._running[function.name]:
            try:
                self._engine.timer(function.name, function.parameter, told)
            except FunctionFailed as failed:
                _tell_failure(function.name, failed)
                return Invocation(function.name, failed)
        return Invocation(function.name, None)

    # -- staying up ---------------------------------------------------------------------------------------------------

    @contextmanager
    def serve(self, port: int = 7071) -> Iterator[str]:
        """Serve on 127.0.0.1 until the block ends; gives the base URL. Port 0 takes a free one.

        Raises:
            OSError: the port is taken.
        """
        import uvicorn

        # The protocol must be named: asyncio switches Nagle's delay (40 ms per answer) off only where it is.
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", port))
            listening.listen()
        except OSError:
            listening.close()
            raise
        configuration = uvicorn.Config(
            self._asgi,
            interface="asgi3",
            lifespan="off",
            log_config=None,
            log_level="warning",
            timeout_graceful_shutdown=5,
        )
        server = uvicorn.Server(configuration)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="functions-host")
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
            listening.close()

    @contextmanager
    def schedule(self) -> Iterator[None]:
        """Fire the timers by their schedules until the block ends."""
        stopped = threading.Event()
        threads = [
            threading.Thread(target=self._keep, args=(timer, stopped), name=f"timer-{timer.name}")
            for timer in self.timers.values()
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stopped.set()
            for thread in threads:
                thread.join()

    def _keep(self, timer: TimerFunction, stopped: threading.Event) -> None:
        while True:
            due = timer.schedule.after(datetime.now(UTC))
            while (seconds := (due - datetime.now(UTC)).total_seconds()) > 0:
                if stopped.wait(min(seconds, 60)):  # in steps, since the machine may sleep meanwhile
                    return
            self.fire(timer.name)

    async def _asgi(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        body, more = bytearray(), True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers: dict[str, str] = {}
        for raw_name, raw_value in scope["headers"]:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]},{value}" if name in headers else value
        target = scope["raw_path"].decode("latin-1") + (
            f"?{scope['query_string'].decode()}" if scope["query_string"] else ""
        )
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(self._pool, self.answer, scope["method"], target, headers, bytes(body))
        sent = {**answer.headers, "content-length": str(len(answer.body))}
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in sent.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": raw})
        await send({"type": "http.response.body", "body": answer.body})

    # -- indexing -----------------------------------------------------------------------------------------------------

    def _index(self, function: Indexed) -> None:
        name, bindings = function.name, function.bindings
        self.bindings[name] = bindings
        try:
            _check(name, bindings)
            trigger = next(binding for binding in bindings if binding["type"].endswith("Trigger"))
            if trigger["type"] == "httpTrigger":
                self.http[name] = self._http(name, trigger)
            else:
                self.timers[name] = TimerFunction(name, trigger["name"], Schedule(_resolve(trigger["schedule"])))
        except ValueError as error:
            self.errors[name] = f"Error indexing method 'Functions.{name}'. {error}"
            logger.error("%s", self.errors[name])  # noqa: TRY400 - a refusal, not a failure of ours

    def _http(self, name: str, trigger: Mapping[str, Any]) -> HttpFunction:
        route = (trigger.get("route") or name).strip("/")
        if route.lower().startswith(("admin", "runtime")):
            raise ValueError("The specified route conflicts with one or more built in routes.")
        methods = frozenset(method.upper() for method in trigger.get("methods") or ())
        for other in self.http.values():
            overlap = not methods or not other.methods or methods & other.methods
            if other.route.lower() == route.lower() and overlap:
                raise ValueError(f"The route specified conflicts with the route defined by function '{other.name}'.")
        level = (trigger.get("authLevel") or "FUNCTION").upper()
        return HttpFunction(name, trigger["name"], route, methods, level, _pattern(self.route_prefix, route))


def _tell_failure(function: str, failed: FunctionFailed) -> None:
    logger.error("Executed 'Functions.%s' (Failed)\n%s", function, failed.stack or failed)


def _route_prefix(path: Path) -> str:
    host = json.loads((path / "host.json").read_text(encoding="utf-8"))
    if host.get("version") != "2.0":
        raise IndexingFailed('host.json must say "version": "2.0"')
    prefix: str = host.get("extensions", {}).get("http", {}).get("routePrefix", "api")
    return prefix.strip("/")


def _resolve(text: str) -> str:
    """Put settings in the place of ``%NAME%``, as the host's name resolver does."""

    def value(found: re.Match[str]) -> str:
        setting = os.environ.get(found[1], "")
        if not setting:
            raise ValueError(f"Microsoft.Azure.WebJobs.Host: '%{found[1]}%' does not resolve to a value.")
        return setting

    return re.sub(r"%([^%]+)%", value, text)


def _check(name: str, bindings: list[dict[str, Any]]) -> None:
    """Refuse the names that the host refuses, and the triggers that this one does not know."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,127}", name):
        raise ValueError(f"'{name}' is not a valid function name.")
    kinds = {binding["type"] for binding in bindings} - {"http"}
    if strange := kinds - {"httpTrigger", "timerTrigger"}:
        raise ValueError(f"the local host knows HTTP and timer triggers, not {', '.join(sorted(strange))}")


def _pattern(prefix: str, route: str) -> re.Pattern[str]:
    """Compile an ASP.NET route template: ``{name}``, ``{name?}`` at the end, ``{*rest}``, constraint after a colon."""
    text = "/" + quote(prefix) if prefix else ""
    for segment in route.split("/"):
        parameter = re.fullmatch(r"\{(\*?)(\w+)(?::\w+)?(\??)\}", segment)
        if parameter is None:
            text += "/" + re.escape(segment)
        elif parameter[1]:
            text += f"(?:/(?P<{parameter[2]}>.*))?"
        elif parameter[3]:
            text += f"(?:/(?P<{parameter[2]}>[^/]+))?"
        else:
            text += f"/(?P<{parameter[2]}>[^/]+)"
    return re.compile(text + "/?", re.IGNORECASE)
