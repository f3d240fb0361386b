"""The local Functions host keeps the rules of the real one."""

from __future__ import annotations

import itertools
import json
import os
import sys
import threading
from datetime import UTC, datetime
from textwrap import dedent
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.tenant.engines import IndexingFailed
from tests.tenant.functions_host import FunctionsHost, Schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

KEY = "the function key"
MASTER = "the master key"

APP = """
import json
import os
import threading

import azure.functions as func

app = func.FunctionApp()
fired = threading.Event()
order = []


def seen(request):
    return func.HttpResponse(
        json.dumps({
            "method": request.method, "url": request.url, "headers": dict(request.headers),
            "params": dict(request.params), "route": dict(request.route_params), "body": request.get_body().decode(),
            "thread": threading.current_thread().name, "setting": os.environ.get("A_SETTING"),
        }),
        mimetype="application/json", headers={"Retry-After": "7"}, status_code=202,
    )


@app.route(route="setup", methods=["POST"])
def set_up(req: func.HttpRequest) -> func.HttpResponse:
    return seen(req)


@app.route(route="setup", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def show_setup(req: func.HttpRequest) -> func.HttpResponse:
    return seen(req)


@app.route(route="runs/{id}/{detail?}", methods=["GET"])
async def run(req: func.HttpRequest) -> func.HttpResponse:
    return seen(req)


@app.route(route="keys", auth_level=func.AuthLevel.ADMIN)
def keys(req: func.HttpRequest) -> str:
    return "only with the master key"


@app.route(route="broken")
def broken(req: func.HttpRequest) -> func.HttpResponse:
    raise RuntimeError("nobody outside may read this")


@app.route(route="nothing")
def nothing(req: func.HttpRequest):
    return None


@app.timer_trigger(schedule="%A_SCHEDULE%", arg_name="timer", run_on_startup=False, use_monitor=True)
def tick(timer: func.TimerRequest, context: func.Context) -> None:
    order.append((context.function_name, timer.past_due))
    fired.set()


@app.timer_trigger(schedule="0 0 2 * * *", arg_name="timer")
def failing(timer: func.TimerRequest) -> None:
    raise RuntimeError("the tick failed")
"""


@pytest.fixture
def app(tmp_path: Path) -> Callable[..., FunctionsHost]:
    """Return a function that loads a function app from its source text."""
    number = itertools.count()

    def load(source: str = APP, settings: Mapping[str, str] | None = None, **host_json: Any) -> FunctionsHost:
        folder = tmp_path / str(next(number))
        folder.mkdir()
        http_part = {"extensions": {"http": {"routePrefix": "api/admin"}}}
        (folder / "host.json").write_text(json.dumps({"version": "2.0", **http_part, **host_json}))
        (folder / "throw_away_app.py").write_text(dedent(source))
        given = {"A_SCHEDULE": "* * * * * *"} if settings is None else settings
        script = {"PYTHON_SCRIPT_FILE_NAME": "throw_away_app.py"}  # so that nobody takes it for the real one
        return FunctionsHost(folder, {**script, **given}, key=KEY, master_key=MASTER)

    return load


@pytest.fixture
def host(app: Callable[..., FunctionsHost]) -> Iterator[FunctionsHost]:
    """Return the host of an app with a handful of functions."""
    with app() as host:
        yield host


def test_a_function_answers_under_the_route_prefix(host: FunctionsHost) -> None:
    """Status, headers, type and body are what the function returned."""
    answer = host.request("POST", "/api/admin/setup?confirm=contosohr", key=KEY, body={"by": "operator"})

    assert (answer.status, answer.headers["retry-after"]) == (202, "7")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["url"] == "http://localhost/api/admin/setup?confirm=contosohr"
    assert answer.json()["params"] == {"confirm": "contosohr"}
    assert json.loads(answer.json()["body"]) == {"by": "operator"}


def test_functions_run_in_threads_of_their_own(host: FunctionsHost) -> None:
    """A plain function never runs in a thread that asks or serves."""
    with host.serve(0) as url, httpx.Client(base_url=url, timeout=30) as client:
        answer = client.post("/api/admin/setup", headers={"X-Functions-Key": KEY})

    assert answer.json()["thread"] not in {threading.current_thread().name, "functions-host", "worker"}


def test_route_parameters_arrive_decoded(host: FunctionsHost) -> None:
    """A parameter is taken from its segment; an optional one may be missing. Asynchronous functions are awaited."""
    whole = host.request("GET", "/api/admin/runs/2026%2D1/log", key=KEY)
    short = host.request("GET", "/API/admin/RUNS/7", key=KEY)

    assert whole.json()["route"] == {"id": "2026-1", "detail": "log"}
    assert short.json()["route"] == {"id": "7"}


def test_an_empty_query_parameter_is_dropped(host: FunctionsHost) -> None:
    """The real host hands over only parameters that have a value."""
    answer = host.request("POST", "/api/admin/setup?confirm=&priority=first", key=KEY)

    assert answer.json()["params"] == {"priority": "first"}


def test_header_names_arrive_in_lower_case(host: FunctionsHost) -> None:
    """However the client wrote them."""
    answer = host.request("POST", "/api/admin/setup", key=KEY, headers={"X-Client-Name": "HR"})

    assert answer.json()["headers"]["x-client-name"] == "HR"
    assert all(name == name.lower() for name in answer.json()["headers"])


@pytest.mark.parametrize("target", ["/api/admin/none", "/setup", "/api/setup", "/api/admin/setup/more"])
def test_an_unknown_route_is_404(host: FunctionsHost, target: str) -> None:
    """So is a known one outside the route prefix."""
    assert host.request("POST", target, key=KEY).status == 404


def test_a_wrong_method_is_404(host: FunctionsHost) -> None:
    """The route is there, and yet it is 404, not 405."""
    assert host.request("DELETE", "/api/admin/setup", key=KEY).status == 404


@pytest.mark.parametrize(
    ("target", "key", "status"),
    [
        ("/api/admin/setup", None, 401),
        ("/api/admin/setup", "wrong", 401),
        ("/api/admin/setup", KEY, 202),
        ("/api/admin/setup", MASTER, 202),
        (f"/api/admin/setup?code={KEY.replace(' ', '%20')}", None, 202),
        (f"/api/admin/setup?code={KEY.replace(' ', '%20')}", "wrong", 401),
        ("/api/admin/setup?code=wrong", KEY, 202),
        ("/api/admin/keys", KEY, 401),
        ("/api/admin/keys", MASTER, 200),
    ],
)
def test_functions_want_a_key(host: FunctionsHost, target: str, key: str | None, status: int) -> None:
    """The header wins over the query; a refusal has no body; level ADMIN wants the master key."""
    answer = host.request("POST", target, key=key)

    assert answer.status == status
    assert answer.body == b"" if status == 401 else answer.body


def test_an_anonymous_function_wants_no_key(host: FunctionsHost) -> None:
    """The level is the function's own, not the route's."""
    assert host.request("GET", "/api/admin/setup").status == 202


def test_an_exception_is_500_without_a_body(host: FunctionsHost, caplog: pytest.LogCaptureFixture) -> None:
    """The reason is in the log only."""
    answer = host.request("GET", "/api/admin/broken", key=KEY)

    assert (answer.status, answer.body) == (500, b"")
    assert "Executed 'Functions.broken' (Failed)" in caplog.text


def test_a_function_that_returns_nothing_has_failed(host: FunctionsHost) -> None:
    """The worker cannot make an HTTP answer of it."""
    answer = host.request("GET", "/api/admin/nothing", key=KEY)

    assert (answer.status, answer.body) == (500, b"")


def test_a_timer_fires_on_demand(host: FunctionsHost) -> None:
    """It gets what the worker gives it: a timer request and the context."""
    ended = host.fire("tick", past_due=True)

    assert ended.error is None
    assert sys.modules["throw_away_app"].order == [("tick", True)]


def test_a_failing_timer_does_not_end_the_host(host: FunctionsHost, caplog: pytest.LogCaptureFixture) -> None:
    """The invocation carries what it raised."""
    ended = host.fire("failing")

    assert str(ended.error) == "RuntimeError: the tick failed"
    assert "Executed 'Functions.failing' (Failed)" in caplog.text
    assert host.fire("tick").error is None


def test_a_timer_fires_by_its_schedule(host: FunctionsHost) -> None:
    """While the schedule is kept, and not after."""
    fired: threading.Event = sys.modules["throw_away_app"].fired

    with host.schedule():
        assert fired.wait(10)

    assert not any(thread.name.startswith("timer-") for thread in threading.enumerate())


def test_a_setting_reaches_the_functions_while_the_host_lives(app: Callable[..., FunctionsHost]) -> None:
    """Afterwards the environment is as it was."""
    with app(settings={"A_SCHEDULE": "0 0 2 * * *", "A_SETTING": "on"}) as host:
        answer = host.request("POST", "/api/admin/setup", key=KEY)

    assert answer.json()["setting"] == "on"
    assert "A_SETTING" not in os.environ


def test_a_timer_whose_setting_is_missing_is_not_indexed(app: Callable[..., FunctionsHost]) -> None:
    """The host says so in its words; everything else works."""
    with app(settings={}) as host:
        assert host.errors["tick"].endswith("'%A_SCHEDULE%' does not resolve to a value.")
        assert "tick" not in host.timers
        assert host.request("POST", "/api/admin/setup", key=KEY).status == 202


def test_a_schedule_that_is_none_is_not_indexed(app: Callable[..., FunctionsHost]) -> None:
    """Five fields or six, nothing else."""
    with app(settings={"A_SCHEDULE": "every night"}) as host:
        assert "was not recognized as a valid cron expression" in host.errors["tick"]


ONE = """
    import azure.functions as func
    app = func.FunctionApp()
    @app.{decorator}
    def one(req: func.HttpRequest) -> str:
        return "one"
    @app.route(route="two")
    def two(req: func.HttpRequest) -> str:
        return "two"
"""


@pytest.mark.parametrize(
    ("decorator", "words"),
    [
        ('route(route="admin/setup")', "The specified route conflicts with one or more built in routes."),
        ('route(route="Administrators")', "The specified route conflicts with one or more built in routes."),
        ('route(route="runtime")', "The specified route conflicts with one or more built in routes."),
        ('function_name("2nd")\n    @app.route(route="x")', "'2nd' is not a valid function name."),
    ],
)
def test_what_the_real_host_refuses_is_refused(app: Callable[..., FunctionsHost], decorator: str, words: str) -> None:
    """With the host's words, for that function alone."""
    with app(ONE.replace("{decorator}", decorator)) as host:
        assert len(host.errors) == 1
        assert words in next(iter(host.errors.values()))
        assert host.request("GET", "/api/admin/two", key=KEY).body == b"two"


def test_a_function_without_a_route_is_called_by_its_name(app: Callable[..., FunctionsHost]) -> None:
    """As in the real host."""
    with app(ONE.replace("{decorator}", "route()")) as host:
        assert host.request("GET", "/api/admin/one", key=KEY).body == b"one"


def test_two_functions_on_one_route_are_refused(app: Callable[..., FunctionsHost]) -> None:
    """The one that comes second is not indexed."""
    with app(ONE.replace("{decorator}", 'route(route="two")')) as host:
        assert host.errors["two"].endswith("The route specified conflicts with the route defined by function 'one'.")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (ONE.replace("{decorator}", 'function_name("two")\n    @app.route(route="x")'), "unique"),
        ("import azure.functions\nraise KeyError('TENANT_ID')", "KeyError: 'TENANT_ID'"),
        ("import azure.functions", "Could not find top level function app instances"),
        (ONE.replace("{decorator}", 'route(route="x", trigger_arg_name="other")'), "declared in Python but not in"),
        (ONE.replace("-> str", "-> None").replace("{decorator}", "route()"), 'NoneType" does not match'),
    ],
)
def test_an_app_that_does_not_load_is_refused_as_a_whole(
    app: Callable[..., FunctionsHost], source: str, words: str
) -> None:
    """Two functions of one name, a module that raises, no app, one wrong signature: nothing would run."""
    with pytest.raises(IndexingFailed, match=words):
        app(source)


def test_a_host_json_of_another_version_is_refused(app: Callable[..., FunctionsHost]) -> None:
    """Version 2.0 is the only one there is."""
    with pytest.raises(IndexingFailed, match=r'"version": "2\.0"'):
        app(version="1.0")


def test_over_http_the_same_rules_hold(host: FunctionsHost) -> None:
    """A real client on a real port sees the same; a chunked body arrives empty; ports are given back."""
    with host.serve(0) as url, httpx.Client(base_url=url, timeout=30) as client:
        whole = client.post("/api/admin/setup?a=1", content=b"{}", headers={"X-Functions-Key": KEY})
        chunked = client.post("/api/admin/setup", content=iter([b"{", b"}"]), headers={"X-Functions-Key": KEY})
        refused = client.post("/api/admin/setup")

    assert (whole.status_code, whole.headers["retry-after"], whole.json()["body"]) == (202, "7", "{}")
    assert chunked.json()["body"] == ""
    assert (refused.status_code, refused.content) == (401, b"")
    with host.serve(urlsplit(url).port or 0) as again:
        assert again == url


def test_the_host_runs_a_timer_by_hand_with_the_master_key(host: FunctionsHost) -> None:
    """As the real host's ``POST /admin/functions/NAME`` does: accepted, then run."""
    refused = host.request("POST", "/admin/functions/tick", key=KEY)
    unknown = host.request("POST", "/admin/functions/none", key=MASTER)
    accepted = host.request("POST", "/admin/functions/tick", key=MASTER)

    assert (refused.status, unknown.status, accepted.status) == (401, 404, 202)
    assert sys.modules["throw_away_app"].fired.wait(10)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 */15 * * * *", datetime(2026, 11, 20, 2, 15, tzinfo=UTC)),
        ("30 5 2 * * *", datetime(2026, 11, 20, 2, 5, 30, tzinfo=UTC)),
        ("0 30 9 * Jan Mon", datetime(2027, 1, 4, 9, 30, tzinfo=UTC)),
        ("0 0 0 1 * Tue", datetime(2026, 12, 1, tzinfo=UTC)),
        ("*/5 * * * *", datetime(2026, 11, 20, 2, 5, tzinfo=UTC)),
    ],
)
def test_schedules_are_read_as_ncrontab(expression: str, expected: datetime) -> None:
    """Seconds come first; day of month and day of week must both hold."""
    assert Schedule(expression).after(datetime(2026, 11, 20, 2, 0, tzinfo=UTC)) == expected


@pytest.mark.parametrize("expression", ["", "* * * *", "@hourly", "0 0 25 * * *", "0 0 2 L * *", "00:15:00"])
def test_what_is_no_ncrontab_is_refused(expression: str) -> None:
    """Cron's own extensions included."""
    with pytest.raises(ValueError, match="not recognized"):
        Schedule(expression)
