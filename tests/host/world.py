"""Both doors for real: Contoso on loopback and genuine Azurite, the connector in processes of its own.

::

    with contoso(same_process=False) as world, FunctionApp(world.settings) as app:
        app.post("setup")                       HTTP with the function key, as an operator would
        app.fire("sync_people")                 what the timer's invocation raised, if anything
        command(world.settings, "status")       python -m connector status: exit code, stdout, stderr

The app reads its settings at every invocation, so one process serves all tests of a module: ``app.under(...)`` changes
settings for a while. ``python -m tests.host.world`` is that process.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import httpx

from tests.tenant.contoso import NIGHTS, ROOT, SAMPLES
from tests.tenant.functions_host import FunctionsHost

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.tenant.contoso import Contoso

FIRST_NIGHT: Final = (SAMPLES / NIGHTS[0]).read_bytes()
SECOND_NIGHT: Final = (SAMPLES / NIGHTS[1]).read_bytes()

_COMPILED: Final = (
    Path(tempfile.gettempdir()) / f"people-connector-compiled-{sys.version_info[0]}.{sys.version_info[1]}"
)
"""Bytecode of whatever the processes import: on machines that keep none, every one of them would compile it anew."""

_numbers = itertools.count(1)


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process that knows these settings and nothing else of ours or of this machine's."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PATH", "HOME", "COV", "LANG"))}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": str(_COMPILED), **settings}


def fresh(world: Contoso, **changes: str) -> dict[str, str]:
    """Return settings of a connection that nobody has set up, with an exports container of its own."""
    number = next(_numbers)
    settings = {"CONNECTION_ID": f"contoso{number}", "EXPORTS_CONTAINER": f"hr-exports-{number}", **changes}
    with world.storage() as account:
        account.create_container(settings["EXPORTS_CONTAINER"])
    return {**world.settings, **settings}


def drop(world: Contoso, settings: Mapping[str, str], export: bytes, name: str = "people.csv") -> None:
    """Let HR drop an export, after IT has made accounts for whom it names."""
    if export in (FIRST_NIGHT, SECOND_NIGHT):
        world.follow(export)
    with world.storage() as account:
        account.get_blob_client(settings["EXPORTS_CONTAINER"], name).upload_blob(export, overwrite=True)


def schemas_are_registered(world: Contoso) -> None:
    """Let the minutes go by that Microsoft takes for a schema."""
    for connection in world.tenant.graph.connections.values():
        for operation in connection.operations.values():
            operation.due = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Return what it printed, which is JSON and nothing else."""
        return json.loads(self.out)


def command(settings: Mapping[str, str], *arguments: str, cwd: Path = ROOT) -> Ended:
    """Run ``python -m connector`` to its end, in an environment of these settings."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "connector", *arguments],
        env=environment(settings),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


class FunctionApp:
    """``function_app.py`` in the local Functions host, in a process of its own; use it as a context manager.

    ``log`` is the file with everything the process wrote on standard error.
    """

    def __init__(self, settings: Mapping[str, str], log: Path) -> None:
        self.log = log
        self._settings = dict(settings)
        with log.open("wb") as stream:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.host.world"],
                env=environment({}),  # the settings arrive with the app, as in Azure
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                text=True,
            )
        try:
            told = self._ask(self._settings)
        except BaseException:
            self._process.kill()
            raise
        self.key: str = told["key"]
        self.bindings: dict[str, list[dict[str, Any]]] = told["bindings"]
        self.refused: dict[str, str] = told["refused"]
        self.engine: str = told["engine"]
        self._client = httpx.Client(base_url=f"{told['url']}/api/admin/", timeout=60, trust_env=False)

    def __enter__(self) -> Self:
        """Return the app itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End its process."""
        self._client.close()
        with self._process:
            assert self._process.stdin
            self._process.stdin.close()

    def request(self, method: str, target: str, *, key: str | None = "", **sent: Any) -> httpx.Response:
        """Call a function as an operator would; ``key`` None sends none, and the right one is sent unless given."""
        headers = {} if key is None else {"x-functions-key": key or self.key}
        return self._client.request(method, target, headers=headers, **sent)

    def get(self, target: str, **sent: Any) -> httpx.Response:
        """GET with the function key."""
        return self.request("GET", target, **sent)

    def post(self, target: str, **sent: Any) -> httpx.Response:
        """POST with the function key."""
        return self.request("POST", target, **sent)

    def delete(self, target: str, **sent: Any) -> httpx.Response:
        """DELETE with the function key."""
        return self.request("DELETE", target, **sent)

    def fire(self, timer: str) -> dict[str, str] | None:
        """Fire a timer; return the type and the message of what its invocation raised, if anything."""
        error: dict[str, str] | None = self._ask({"fire": timer})["error"]
        return error

    @contextlib.contextmanager
    def under(self, settings: Mapping[str, str | None]) -> Iterator[None]:
        """Change settings until the block ends; None takes one away."""
        before = {name: self._settings.get(name) for name in settings}
        self._set(settings)
        try:
            yield
        finally:
            self._set(before)

    def _set(self, settings: Mapping[str, str | None]) -> None:
        self._settings = {name: value for name, value in {**self._settings, **settings}.items() if value is not None}
        self._ask({"set": dict(settings)})

    def _ask(self, order: Mapping[str, Any]) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the app's process has ended:\n{self.log.read_text()}")
        return json.loads(answer)


def main() -> None:
    """Serve ``function_app.py``; the first line on standard input is its settings, every other one an order."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    settings = json.loads(sys.stdin.readline())
    with FunctionsHost(ROOT, settings) as host, host.serve(0) as url:
        told = {"url": url, "key": host.key, "engine": host.engine}
        _answer({**told, "bindings": host.bindings, "refused": host.errors})
        for line in sys.stdin:
            order = json.loads(line)
            if "fire" in order:
                error = host.fire(order["fire"]).error
                _answer({"error": error and {"type": error.kind, "message": error.message}})
            for name, value in order.get("set", {}).items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
            if "set" in order:
                _answer({})


def _answer(told: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
