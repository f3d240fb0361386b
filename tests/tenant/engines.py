"""What runs an app's functions inside the local Functions host: Microsoft's own worker, or direct calls without it.

The host routes, wants keys and keeps time; an engine loads the app, hands requests over and brings back what came of
them. Both engines give the same answers, and tests hold them to it.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import inspect
import json
import os
import sys
import traceback
import typing
import uuid
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import ModuleType

    import azure.functions

SCRIPT = "function_app.py"


class IndexingFailed(Exception):
    """The app as a whole does not load: the real host would run with no functions at all."""


class FunctionFailed(Exception):
    """An invocation has failed: ``kind`` and ``message`` of what the function raised, and where (``stack``)."""

    def __init__(self, kind: str, message: str, stack: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message
        self.stack = stack


@dataclass(frozen=True, slots=True)
class Answer:
    """What a caller gets over HTTP. Header names are in lower case."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        """Return the body's JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Indexed:
    """One function as the worker tells the host of it: its bindings, the trigger among them."""

    name: str
    bindings: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class HttpCall:
    """One HTTP request as the host hands it over: header names in lower case, parameters decoded."""

    method: str
    url: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    route: Mapping[str, str]
    body: bytes


class Engine(Protocol):
    """Loads one app and invokes its functions; from ``open`` to ``close`` the environment is the app's."""

    @property
    def name(self) -> str:
        """Return what this is, in words for a person."""
        ...

    def open(self, folder: Path, environment: Mapping[str, str]) -> list[Indexed]:
        """Give the process this environment, load the app in the folder, and return its functions.

        Raises:
            IndexingFailed: it does not load.
        """
        ...

    def http(self, function: str, parameter: str, call: HttpCall) -> Answer:
        """Invoke an HTTP function, or raise FunctionFailed."""
        ...

    def timer(self, function: str, parameter: str, told: Mapping[str, Any]) -> None:
        """Invoke a timer function with what the host tells of the timer, or raise FunctionFailed."""
        ...

    def close(self) -> None:
        """Wait for what runs, and leave the process as it was before ``open``."""
        ...


def best_engine() -> Engine:
    """Return Microsoft's worker where it can be had, else direct calls that say why."""
    if importlib.util.find_spec("azure_functions_runtime") is None:
        version = ".".join(map(str, sys.version_info[:2]))
        return Direct(f"Microsoft's worker library needs Python 3.13 and is not installed; this is {version}")
    from tests.tenant.worker import Worker

    return Worker()


class Surroundings:
    """A process as it was before an app came: environment, folder, path and the app's module."""

    def __init__(self, folder: Path) -> None:
        self._environment = dict(os.environ)
        self._folder = os.getcwd()  # noqa: PTH109 - to go back to what it says, not to what it resolves to
        self._path = list(sys.path)
        self._app = folder
        self._forget()

    def restore(self) -> None:
        """Bring all of it back."""
        self._forget()
        os.environ.clear()
        os.environ.update(self._environment)
        os.chdir(self._folder)
        sys.path[:] = self._path

    def _forget(self) -> None:
        """Drop the app's own modules, so that the next app is imported, not remembered."""
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if "." not in name and file and os.path.dirname(file) == str(self._app):  # noqa: PTH120 - exact text
                del sys.modules[name]


class Direct:
    """Calls an app's functions as what ``azure-functions`` says of them (``app.get_functions()``) has it."""

    def __init__(self, reason: str) -> None:
        self._reason = reason
        self._calls: dict[str, Callable[..., Any]] = {}
        self._before: Surroundings | None = None

    @property
    def name(self) -> str:
        """Return what this is, in words for a person."""
        return f"direct calls ({self._reason})"

    def open(self, folder: Path, environment: Mapping[str, str]) -> list[Indexed]:
        """See ``Engine.open``."""
        self._before = Surroundings(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.path.append(str(folder))
        os.chdir(folder)
        script = os.environ.get("PYTHON_SCRIPT_FILE_NAME", SCRIPT)
        try:
            return [self._indexed(one) for one in _only_app(_imported(script)).get_functions()]
        except Exception as error:
            raise IndexingFailed(f"{script} does not load: {type(error).__name__}: {error}") from error

    def http(self, function: str, parameter: str, call: HttpCall) -> Answer:
        """See ``Engine.http``."""
        import azure.functions

        request = azure.functions.HttpRequest(
            call.method, call.url, headers=call.headers, params=call.query, route_params=call.route, body=call.body
        )
        return _as_answer(self._call(function, parameter, request))

    def timer(self, function: str, parameter: str, told: Mapping[str, Any]) -> None:
        """See ``Engine.timer``."""
        from azure.functions.timer import TimerRequest

        timer = TimerRequest(
            past_due=told["IsPastDue"], schedule_status=told["ScheduleStatus"], schedule=told["Schedule"]
        )
        returned = self._call(function, parameter, timer)
        if returned is not None:
            message = f"function {function!r} without a $return binding returned a non-None value"
            raise FunctionFailed("RuntimeError", message, "")

    def close(self) -> None:
        """See ``Engine.close``."""
        if self._before is not None:
            self._before.restore()
            self._before = None

    def _indexed(self, function: azure.functions.decorators.function_app.Function) -> Indexed:
        name, call = function.get_function_name() or "", function.get_user_function()
        bindings = json.loads(function.get_function_json())["bindings"]
        _check(name, call, bindings)
        self._calls[name] = call
        return Indexed(name, bindings)

    def _call(self, function: str, parameter: str, argument: object) -> Any:
        call, arguments = self._calls[function], {parameter: argument}
        if "context" in inspect.signature(call).parameters:
            arguments["context"] = SimpleNamespace(invocation_id=str(uuid.uuid4()), function_name=function)
        try:
            returned = call(**arguments)
            return asyncio.run(returned) if inspect.iscoroutine(returned) else returned
        except Exception as error:
            raise FunctionFailed(type(error).__name__, str(error), traceback.format_exc()) from error


def _imported(script: str) -> ModuleType:
    return importlib.import_module(script.removesuffix(".py"))


def _only_app(module: ModuleType) -> azure.functions.FunctionApp:
    import azure.functions

    apps = [value for value in vars(module).values() if isinstance(value, azure.functions.FunctionApp)]
    if len(apps) > 1:
        raise ValueError("More than one FunctionApp or other top level function app instances are defined.")
    if not apps:
        raise ValueError(f"Could not find top level function app instances in {module.__name__}.py.")
    return apps[0]


def _check(name: str, call: Callable[..., Any], bindings: list[dict[str, Any]]) -> None:
    """Refuse what the worker refuses; one such function, and it indexes none."""
    declared = set(inspect.signature(call).parameters) - {"context"}
    bound = {binding["name"] for binding in bindings} - {"$return"}
    if surplus := declared - bound:
        where = "the function definition (function.json or function decorators)"
        words = f"the following parameters are declared in Python but not in {where}:  {surplus!r}"
        raise RuntimeError(f"cannot load the {name} function: {words}")
    if surplus := bound - declared:
        words = f"the following parameters are declared as bindings but are not present in Python: {surplus!r}"
        raise RuntimeError(f"cannot load the {name} function: Extra parameters in binding definition — {words}")
    returned = typing.get_type_hints(call).get("return")
    if returned is not None and any(binding["name"] == "$return" for binding in bindings):
        import azure.functions

        if not issubclass(returned, (azure.functions.HttpResponse, str)):
            words = f'Python return annotation "{returned.__name__}" does not match binding type "http"'
            raise RuntimeError(f"cannot load the {name} function: {words}")


def _as_answer(returned: Any) -> Answer:
    import azure.functions

    if isinstance(returned, str):
        return Answer(200, {"content-type": "text/plain; charset=utf-8"}, returned.encode())
    if not isinstance(returned, azure.functions.HttpResponse):
        kind = type(returned).__name__
        message = f'unable to encode outgoing TypedData: unsupported type "http" for Python type "{kind}"'
        raise FunctionFailed("TypeError", message, "")
    headers = {name.lower(): value for name, value in returned.headers.items()}
    mimetype: str = returned.mimetype
    suffix = f"; charset={returned.charset}" if mimetype.startswith("text/") else ""
    headers.setdefault("content-type", mimetype + suffix)
    return Answer(returned.status_code, headers, returned.get_body())
