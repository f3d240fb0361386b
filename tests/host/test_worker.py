"""Microsoft's own worker runs the app, and direct calls give the same answers where it cannot be had."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from connector.settings import Settings
from tests.host.world import environment
from tests.tenant.contoso import ROOT
from tests.tenant.engines import Direct, IndexingFailed, best_engine
from tests.tenant.functions_host import FunctionsHost

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.tenant.engines import Engine

pytestmark = pytest.mark.host

with_worker = pytest.mark.skipif(
    find_spec("azure_functions_runtime") is None, reason="Microsoft's worker library needs Python 3.13"
)

KEY = "the function key"

APP = """
import json
import logging

import azure.functions as func

app = func.FunctionApp()


@app.route(route="echo/{one}/{two?}", methods=["GET", "POST"])
def echo(req: func.HttpRequest) -> func.HttpResponse:
    told = {
        "method": req.method, "url": req.url, "headers": dict(req.headers), "params": dict(req.params),
        "route": dict(req.route_params), "body": req.get_body().decode(),
    }
    logging.getLogger("connector").info(json.dumps({"event": "echo", "method": req.method}))
    return func.HttpResponse(json.dumps(told), status_code=202, headers={"Retry-After": "7"})


@app.route(route="json", methods=["POST"])
async def parsed(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(req.get_json()), mimetype="application/json")


@app.route(route="text")
def text(req: func.HttpRequest) -> str:
    return "pläin text"


@app.route(route="empty")
def empty(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(status_code=204)


@app.route(route="nothing")
def nothing(req: func.HttpRequest):
    return None


@app.route(route="broken")
def broken(req: func.HttpRequest) -> func.HttpResponse:
    raise RuntimeError("first line: cause\\nsecond line")


@app.timer_trigger(schedule="0 0 2 * * *", arg_name="timer")
def ticking(timer: func.TimerRequest, context: func.Context) -> None:
    logging.getLogger("connector").info(json.dumps({
        "event": "tick", "function": context.function_name, "past_due": timer.past_due,
        "schedule": timer.schedule, "status": sorted(timer.schedule_status), "invocation": bool(context.invocation_id),
    }))


@app.timer_trigger(schedule="0 0 3 * * *", arg_name="timer")
def failing(timer: func.TimerRequest) -> None:
    raise KeyError("C1001")


@app.timer_trigger(schedule="0 0 4 * * *", arg_name="timer")
def answering(timer: func.TimerRequest):
    return "nobody asked"
"""

REQUESTS: tuple[tuple[str, str, bytes, dict[str, str]], ...] = (
    ("GET", "/api/echo/1?a=1&empty=", b"", {"X-Client": "HR"}),
    ("POST", "/api/ECHO/a%2Fb/2?a=%C3%BC", "ü".encode(), {"Content-Type": "text/plain"}),
    ("POST", "/api/json", b'{"full": true}', {"Content-Type": "application/json"}),
    ("POST", "/api/json", b"no json", {"Content-Type": "application/json"}),
    ("GET", "/api/text", b"", {}),
    ("GET", "/api/empty", b"", {}),
    ("GET", "/api/nothing", b"", {}),
    ("GET", "/api/broken", b"", {}),
    ("DELETE", "/api/echo/1", b"", {}),
)

ENGINES = [
    pytest.param(lambda: Direct("a test wants it"), id="direct"),
    pytest.param(best_engine, id="worker", marks=with_worker),
]


def observed(folder: Path, engine: Engine, caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    """Return everything that an engine says of the app above, and all that comes of invoking it."""
    (folder / "host.json").write_text('{"version": "2.0"}')
    (folder / "engine_app.py").write_text(APP)
    caplog.clear()
    with (
        caplog.at_level(logging.INFO, "connector"),
        FunctionsHost(folder, {"PYTHON_SCRIPT_FILE_NAME": "engine_app.py"}, key=KEY, engine=engine) as host,
    ):
        answers = [
            host.request(method, target, key=KEY, body=body, headers=headers)
            for method, target, body, headers in REQUESTS
        ]
        failures = {name: host.fire(name, past_due=True).error for name in ("ticking", "failing", "answering")}
        return {
            "bindings": host.bindings,
            "refused": host.errors,
            "answers": [(answer.status, answer.headers, answer.body) for answer in answers],
            "failures": {name: error and error.kind for name, error in failures.items()},
            "message": failures["failing"] and failures["failing"].message,
            "events": [json.loads(record.message) for record in caplog.records if record.name == "connector"],
            "failed": [line for line in caplog.text.splitlines() if "(Failed)" in line],
        }


@with_worker
def test_both_engines_give_the_same_answers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Bindings, status, headers, bodies, failures and log lines: what the tests see on one they would see on both."""
    direct = observed(tmp_path, Direct("a test wants it"), caplog)
    worker = observed(tmp_path, best_engine(), caplog)

    assert worker["bindings"] == direct["bindings"]
    assert worker["answers"] == direct["answers"]
    assert worker["failures"] == direct["failures"]
    assert worker["message"] == direct["message"]
    assert worker["events"] == direct["events"]
    assert worker["failed"] == direct["failed"]
    assert worker["refused"] == direct["refused"] == {}


@pytest.mark.parametrize("engine", ENGINES)
def test_what_comes_of_an_invocation(
    engine: Callable[[], Engine], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Answers arrive whole, what a function raises is 500 or a failed invocation, and what it logs is logged."""
    seen = observed(tmp_path, engine(), caplog)

    assert [status for status, _, _ in seen["answers"]] == [202, 202, 200, 500, 200, 204, 500, 500, 404]
    assert [body for status, _, body in seen["answers"] if status == 500] == [b"", b"", b""]
    assert json.loads(seen["answers"][1][2])["body"] == "ü"
    assert seen["answers"][4][2].decode() == "pläin text"
    assert seen["failures"] == {"ticking": None, "failing": "KeyError", "answering": "RuntimeError"}
    assert seen["message"] == "'C1001'"
    assert [event["event"] for event in seen["events"]] == ["echo", "echo", "tick"]
    assert seen["events"][-1] == {
        "event": "tick", "function": "ticking", "past_due": True, "schedule": {"AdjustForDST": True},
        "status": ["Last", "LastUpdated", "Next"], "invocation": True,
    }  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "source",
    [
        "import azure.functions as func",
        "raise KeyError('TENANT_ID')",
        APP + "\nsecond = func.FunctionApp()\n",
        APP.replace("def text(req:", "def text(request:"),
        APP.replace("def text(req: func.HttpRequest)", "def text(req: func.HttpRequest, more: str)"),
        APP.replace("def nothing(req: func.HttpRequest)", "def nothing(req: func.HttpRequest) -> None"),
        APP.replace("def text(", "def echo("),
    ],
    ids=["no app", "raises", "two apps", "unbound", "undeclared", "returns None", "one name twice"],
)
def test_an_app_with_one_mistake_has_no_functions(engine: Callable[[], Engine], source: str, tmp_path: Path) -> None:
    """The worker indexes all or nothing; afterwards the process is as it was."""
    (tmp_path / "host.json").write_text('{"version": "2.0"}')
    (tmp_path / "engine_app.py").write_text(source)
    before = (dict(os.environ), Path.cwd(), list(sys.path))

    with pytest.raises(IndexingFailed, match=r"engine_app\.py does not load: \w+: "):
        FunctionsHost(tmp_path, {"PYTHON_SCRIPT_FILE_NAME": "engine_app.py"}, engine=engine())

    assert (dict(os.environ), Path.cwd(), list(sys.path)) == before
    assert "engine_app" not in sys.modules


@with_worker
def test_the_worker_keeps_one_app_at_a_time(tmp_path: Path) -> None:
    """Its functions are the process's; whoever wants a second app is told so, and the first one goes on."""
    (tmp_path / "host.json").write_text('{"version": "2.0"}')
    (tmp_path / "engine_app.py").write_text(APP)
    settings = {"PYTHON_SCRIPT_FILE_NAME": "engine_app.py"}

    with FunctionsHost(tmp_path, settings, key=KEY) as host:
        with pytest.raises(RuntimeError, match="one app per process"):
            FunctionsHost(tmp_path, settings)
        answer = host.request("GET", "/api/text", key=KEY)

    assert answer.status == 200


def test_the_host_says_what_runs_the_functions(tmp_path: Path) -> None:
    """Microsoft's worker and its version, or why it is not."""
    (tmp_path / "host.json").write_text('{"version": "2.0"}')
    (tmp_path / "engine_app.py").write_text(APP)

    with FunctionsHost(tmp_path, {"PYTHON_SCRIPT_FILE_NAME": "engine_app.py"}) as host:
        told = host.engine

    if sys.version_info >= (3, 13):
        assert told.startswith("Microsoft's worker library 1.")
    else:
        assert told.startswith("direct calls (Microsoft's worker library needs Python 3.13 and is not installed")


UNCONFIGURED = """
    import json, logging, sys
    from pathlib import Path

    from tests.tenant.engines import Direct, best_engine
    from tests.tenant.functions_host import FunctionsHost

    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    engine = Direct("a test wants it") if sys.argv[1] == "direct" else best_engine()
    with FunctionsHost(Path.cwd(), {"SYNC_SCHEDULE": "0 0 2 * * *"}, key="key", engine=engine) as host:
        failed = host.fire("sync_people").error
        answers = {}
        for function in host.http.values():
            for method in sorted(function.methods):
                target = "/api/admin/" + function.route.replace("{run}", "20261123T020004Z-1a2b")
                answer = host.request(method, target, key="key", body={"full": True})
                answers[f"{method} {target}"] = (answer.status, answer.headers, answer.body.decode())
        print(json.dumps({
            "bindings": host.bindings, "refused": host.errors, "answers": answers,
            "failed": failed and (failed.kind, failed.message),
        }))
"""


@with_worker
def test_the_app_itself_answers_alike_on_both_engines() -> None:
    """Every route and the timer of an app that nobody has configured yet: bindings, answers, the failure, the log."""
    processes = [
        subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", dedent(UNCONFIGURED), engine],
            env=environment({}), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for engine in ("direct", "worker")
    ]  # fmt: skip
    (direct, direct_log), (worker, worker_log) = [process.communicate(timeout=120) for process in processes]

    assert json.loads(worker) == json.loads(direct)
    assert events(worker_log) == events(direct_log)
    assert {status for status, _, _ in json.loads(worker)["answers"].values()} == {503}
    assert json.loads(worker)["failed"][0] == "ConfigurationError"
    assert [event["event"] for event in events(worker_log)] == ["sync.failed"]


def events(log: str) -> list[dict[str, Any]]:
    """Return the events in a log, whatever else is in it."""
    return [json.loads(line) for line in log.splitlines() if line.startswith('{"event":')]


SPECIALISED = """
    import json, os, sys
    from pathlib import Path

    class Watched(type(os.environ)):
        read = set()
        def __getitem__(self, name):
            self.read.add(name)
            return super().__getitem__(name)

    os.environ.__class__ = Watched

    from tests.tenant.engines import HttpCall, best_engine

    def health():
        call = HttpCall(method="GET", url="http://localhost/", headers={}, query={}, route={}, body=b"")
        return json.loads(engine.http("health", "req", call).body)

    engine = best_engine()
    Watched.read = set()
    functions = engine.open(Path.cwd(), {})
    read = sorted(Watched.read)
    unset = health()
    os.environ.update({"TENANT_ID": "contoso.com", "KEY_VAULT_URL": "http://vault"})
    told = {"engine": engine.name, "functions": [one.name for one in functions], "read": read}
    print(json.dumps({**told, "unset": unset, "set": health()}))
    engine.close()
"""


def test_the_app_is_indexed_before_it_has_settings() -> None:
    """A placeholder becomes this app's worker; loading and indexing read no setting, invocations read them as they are.

    https://learn.microsoft.com/azure/azure-functions/event-driven-scaling#cold-start
    """
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", dedent(SPECIALISED)],
        env=environment({}), cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    ours = {name.upper() for name in Settings.model_fields} | {"SYNC_SCHEDULE"}

    assert "sync_people" in told["functions"]
    assert not set(told["read"]) & ours
    assert told["unset"]["status"] == told["set"]["status"] == "failed"
    assert "TENANT_ID" in json.dumps(told["unset"])
    assert "TENANT_ID" not in json.dumps(told["set"])
