"""Microsoft's own Python worker, in process: what runs ``function_app.py`` in Azure on Python 3.13 and later.

PyPI's ``azure-functions-runtime`` is that worker without the gRPC channel around it. Its requests and answers are
protobuf messages there; here they are objects with the same fields. It is led through the life it has in Azure: started
as a placeholder that knows no app, then specialised with the app's folder and environment, and only then asked for
functions. https://github.com/Azure/azure-functions-python-worker/tree/dev/runtimes/v2
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import threading
import uuid
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

from tests.tenant.engines import Answer, FunctionFailed, Indexed, IndexingFailed, Surroundings

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping
    from pathlib import Path

    from tests.tenant.engines import HttpCall


class _TypedData(SimpleNamespace):
    """A value that names its kind: bytes, string, json or http."""

    def WhichOneof(self, _: str) -> str | None:  # noqa: N802 - protobuf's name
        """Return the kind, or None when there is no value."""
        return next(iter(vars(self)), None)


class _ParameterBinding(SimpleNamespace):
    """One argument."""

    def WhichOneof(self, _: str) -> str:  # noqa: N802 - protobuf's name
        """Return where the value is; the other place would be shared memory."""
        return "data"


class _BindingInfo(SimpleNamespace):
    undefined: ClassVar = 0  # of data_type
    out: ClassVar = 1
    inout: ClassVar = 2


class _StatusResult(SimpleNamespace):
    Failure: ClassVar = 0
    Success: ClassVar = 1


_MESSAGES = SimpleNamespace(
    BindingInfo=_BindingInfo,
    StatusResult=_StatusResult,
    TypedData=_TypedData,
    ParameterBinding=_ParameterBinding,
    **dict.fromkeys(
        (
            "FunctionEnvironmentReloadResponse", "FunctionLoadResponse", "FunctionMetadataResponse",
            "InvocationResponse", "RpcException", "RpcFunctionMetadata", "RpcHttp", "WorkerInitResponse",
            "WorkerMetadata",
        ),
        SimpleNamespace,
    ),
)  # fmt: skip
"""https://github.com/Azure/azure-functions-language-worker-protobuf/blob/dev/src/proto/FunctionRpc.proto"""


class Worker:
    """Microsoft's worker library as an engine of the local Functions host. One app per process at a time."""

    _busy: ClassVar = threading.Lock()

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}
        self._before: Surroundings | None = None
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread

    @property
    def name(self) -> str:
        """Return what this is, in words for a person."""
        from azure_functions_runtime.version import VERSION

        return f"Microsoft's worker library {VERSION}"

    def open(self, folder: Path, environment: Mapping[str, str]) -> list[Indexed]:
        """See ``Engine.open``. RuntimeError when another app is open in this process."""
        if not self._busy.acquire(blocking=False):
            raise RuntimeError("the worker library keeps one app per process: close the other one first")
        self._before = Surroundings(folder)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="worker", daemon=True)
        self._thread.start()
        self._start_as_placeholder()
        self._specialise(folder, environment)
        return self._functions()

    def http(self, function: str, parameter: str, call: HttpCall) -> Answer:
        """See ``Engine.http``."""
        request = SimpleNamespace(
            method=call.method,
            url=call.url,
            headers=call.headers,
            query=call.query,
            params=call.route,
            body=_TypedData(bytes=call.body) if call.body else _TypedData(),
        )
        returned = self._invoke(function, parameter, _TypedData(http=request))
        if hasattr(returned, "string"):
            return Answer(200, {"content-type": "text/plain; charset=utf-8"}, returned.string.encode())
        reply = returned.http
        headers = {name.lower(): value for name, value in reply.headers.items()}
        return Answer(int(reply.status_code), headers, reply.body.bytes)

    def timer(self, function: str, parameter: str, told: Mapping[str, Any]) -> None:
        """See ``Engine.timer``."""
        self._invoke(function, parameter, _TypedData(json=json.dumps(told)))

    def close(self) -> None:
        """See ``Engine.close``."""
        if self._before is None:
            return
        from azure_functions_runtime import stop_threadpool_executor

        stop_threadpool_executor()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._before.restore()
        self._before = None
        self._busy.release()

    def _start_as_placeholder(self) -> None:
        """Start the worker as Azure keeps it in stock: in an empty folder, with nobody's settings."""
        from azure_functions_runtime import worker_init_request

        with tempfile.TemporaryDirectory(prefix="placeholder-") as empty:
            asked = SimpleNamespace(capabilities={}, function_app_directory=empty)
            answer = self._ask(worker_init_request(_request(worker_init_request=asked)))
        _succeeded(answer, "the worker does not start")

    def _specialise(self, folder: Path, environment: Mapping[str, str]) -> None:
        """Make the worker this app's: its environment arrives, and right after that the app is indexed."""
        from azure_functions_runtime import function_environment_reload_request, start_threadpool_executor

        asked = SimpleNamespace(function_app_directory=str(folder), environment_variables=dict(environment))
        request = _request(function_environment_reload_request=asked)
        answer = self._ask(function_environment_reload_request(request))
        _succeeded(answer, f"{environment.get('PYTHON_SCRIPT_FILE_NAME', 'function_app.py')} does not load")
        start_threadpool_executor()

    def _functions(self) -> list[Indexed]:
        from azure_functions_runtime import function_load_request, functions_metadata_request

        answer = self._ask(functions_metadata_request(_request()))
        found = answer.function_metadata_results
        if found is None:
            raise IndexingFailed("the worker finds no function app in the folder")
        for function in found:
            asked = SimpleNamespace(function_id=function.function_id)
            loaded = self._ask(function_load_request(_request(function_load_request=asked)))
            _succeeded(loaded, f"{function.name} does not load")
            self._ids[function.name] = function.function_id
        return [Indexed(one.name, [json.loads(binding) for binding in one.raw_bindings]) for one in found]

    def _invoke(self, function: str, parameter: str, argument: _TypedData) -> Any:
        from azure_functions_runtime import invocation_request

        asked = SimpleNamespace(
            invocation_id=str(uuid.uuid4()),
            function_id=self._ids[function],
            input_data=[_ParameterBinding(name=parameter, data=argument)],
            trigger_metadata={},
            trace_context=SimpleNamespace(trace_parent="", trace_state="", attributes={}),
            retry_context=SimpleNamespace(retry_count=0, max_retry_count=0, exception=None),
        )
        answer = self._ask(invocation_request(_request(invocation_request=asked)))
        if answer.result.status != _StatusResult.Success:
            kind, _, message = answer.result.exception.message.partition(": ")
            raise FunctionFailed(kind, message, answer.result.exception.stack_trace)
        return answer.return_value

    def _ask(self, request: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(request, self._loop).result()


def _request(**content: object) -> SimpleNamespace:
    return SimpleNamespace(request=SimpleNamespace(**content), properties={"host": "127.0.0.1", "protos": _MESSAGES})


def _succeeded(answer: Any, otherwise: str) -> None:
    if answer.result.status != _StatusResult.Success:
        raise IndexingFailed(f"{otherwise}: {answer.result.exception.message}")
