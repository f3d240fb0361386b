"""The triggers: build the application, call one use case, translate the result. All decisions are in ``connector``.

Routes stand under ``/api/admin`` (host.json's routePrefix): the host refuses function routes that begin with ``admin``.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, TypeVar

import azure.functions as func

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from connector.core.setup import SetupView
    from connector.errors import ConnectorError
    from connector.sync import Tick
    from connector.wiring import Application

T = TypeVar("T")

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)


@app.timer_trigger(schedule="%SYNC_SCHEDULE%", arg_name="timer", run_on_startup=False, use_monitor=True)
def sync_people(timer: func.TimerRequest) -> None:  # noqa: ARG001 - the binding needs it
    """Do one slice of whatever is due."""
    from connector.errors import ConfigurationError, ConnectorError
    from connector.events import emit

    begun = False

    async def tick_once(application: Application) -> Tick:
        nonlocal begun
        begun = True
        return await application.tick(trigger="timer")

    try:
        tick = _run(tick_once)
    except ConfigurationError as error:
        if not begun:  # a tick tells its own failures; whoever watches the log must hear of this one too
            emit("sync.failed", trigger="timer", error={"code": error.code, "message": error.message})
        raise
    if tick.report is not None and tick.report.outcome == "failed" and tick.report.error is not None:
        # The report and the log have it already; the invocation must count as failed too.
        raise ConnectorError(tick.report.error["message"], code=tick.report.error["code"])


@app.route("setup", methods=["POST"])
def setup(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001
    """Do the next missing step: 202 while there is more to come, 200 when all is done."""
    return _answer(lambda application: application.setup(), _progress)


@app.route("setup", methods=["GET"])
def setup_view(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001
    """Show how far setup is."""
    return _answer(lambda application: application.setup_view(), lambda view: _json(view.body()))


@app.route("setup", methods=["DELETE"])
def teardown(req: func.HttpRequest) -> func.HttpResponse:
    """Take everything down that setup made: 202 until it is gone, then 200."""
    confirm = req.params.get("confirm", "")
    return _answer(lambda application: application.teardown(confirm=confirm), _progress)


@app.route("register", methods=["POST"])
def register(req: func.HttpRequest) -> func.HttpResponse:
    """Register the profile source and its priority only."""
    priority = req.params.get("priority")
    return _answer(lambda application: application.register(priority), lambda view: _json(view.body()))


@app.route("sync", methods=["POST"])
def sync(req: func.HttpRequest) -> func.HttpResponse:
    """Ask the next tick for a run."""
    body = req.get_body()
    return _answer(lambda application: application.ask_for_sync(body), lambda asked: _json(asked, status=202))


@app.route("pause", methods=["POST"])
def pause(req: func.HttpRequest) -> func.HttpResponse:
    """Let ticks do nothing until syncing is resumed."""
    body = req.get_body()
    return _answer(lambda application: application.pause(body), _json)


@app.route("resume", methods=["POST"])
def resume(req: func.HttpRequest) -> func.HttpResponse:
    """Let ticks work again."""
    body = req.get_body()
    return _answer(lambda application: application.resume(body), _json)


@app.route("status", methods=["GET"])
def status(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001
    """Show where the sync stands."""
    return _answer(lambda application: application.status(), _json)


@app.route("runs", methods=["GET"])
def runs(req: func.HttpRequest) -> func.HttpResponse:
    """List the reports of the last runs."""
    limit = req.params.get("limit")
    return _answer(lambda application: application.runs(limit), _json)


@app.route("runs/{run}", methods=["GET"])
def run_report(req: func.HttpRequest) -> func.HttpResponse:
    """Show one run's report."""
    run = req.route_params.get("run", "")
    return _answer(lambda application: application.run_report(run), _json)


@app.route("runs/{run}/approve", methods=["POST"])
def approve(req: func.HttpRequest) -> func.HttpResponse:
    """Let the next tick do what a run held or refused."""
    run, body = req.route_params.get("run", ""), req.get_body()
    return _answer(lambda application: application.approve(run, body), lambda approved: _json(approved, status=202))


@app.route("health", methods=["GET"])
def health(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001
    """Check everything around us; 503 when something has failed."""
    from connector.doctor import unconfigured
    from connector.errors import ConfigurationError

    try:
        found = _run(lambda application: application.health())
    except ConfigurationError as error:
        found = unconfigured(error)
    return _json(found, status=503 if found["status"] == "failed" else 200)


def _run(use: Callable[[Application], Awaitable[T]]) -> T:
    """Build the application, let one use case work, and close everything: one event loop per invocation.

    Raises:
        ConnectorError: as the use case says; InternalError in the place of what nobody expected, because the host logs
            the text of whatever an invocation raises.
    """
    from connector.errors import ConnectorError, InternalError
    from connector.events import quieten
    from connector.wiring import open_application

    async def work() -> T:
        async with open_application(os.environ) as application:
            return await use(application)

    quieten()
    try:
        return asyncio.run(work())
    except ConnectorError:
        raise
    except Exception as mistake:  # noqa: BLE001 - whatever it is, its text stays here
        raise InternalError(mistake) from None


def _answer(
    use: Callable[[Application], Awaitable[T]], translate: Callable[[T], func.HttpResponse]
) -> func.HttpResponse:
    """Return the use case's result as HTTP, or its error as interface §3 words it."""
    from connector.errors import ConnectorError, InternalError

    try:
        return translate(_run(use))
    except InternalError:
        raise  # the host answers 500 and counts the invocation as failed
    except ConnectorError as error:
        return _json({"error": {"code": error.code, "message": error.message}}, status=_status_of(error))


def _status_of(error: ConnectorError) -> int:
    from connector import errors

    match error:
        case errors.BadRequest():
            return 400
        case errors.Forbidden():
            return 403
        case errors.NotFound():
            return 404
        case errors.Conflict():
            return 409
        case errors.GraphDenied() | errors.GraphRejected():
            return 502
        case _:
            return 503


def _progress(view: SetupView) -> func.HttpResponse:
    if view.state != "in progress":
        return _json(view.body())
    headers = {"Location": "/api/admin/setup", "Retry-After": str(view.retry_after)}
    return _json(view.body(), status=202, headers=headers)


def _json(body: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> func.HttpResponse:
    return func.HttpResponse(
        json.dumps(body, ensure_ascii=False), status_code=status, headers=headers, mimetype="application/json"
    )
