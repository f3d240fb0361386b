"""The command line: the same use cases as the Functions app, with progress on a terminal and ``--json`` for machines.

Exit codes: 0 done or nothing to do, 1 failed or refused, 2 bad usage or settings, 3 held for approval, 4 not ready yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from connector import errors
from connector.core.due import Request
from connector.events import quieten
from connector.wiring import open_application

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from connector.core.setup import SetupView
    from connector.sync import Tick
    from connector.wiring import Application

T = TypeVar("T")

DONE, FAILED, USAGE, HELD, NOT_READY = range(5)

app = typer.Typer(
    help="Brings HR's knowledge of people into Microsoft 365 Copilot.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
SettingsFile = Annotated[
    Path | None,
    typer.Option("--settings", help="A local.settings.json; the environment has the last word.", dir_okay=False),
]
Verbose = Annotated[bool, typer.Option("--verbose", help="Print the log events on standard error.")]


@app.callback()
def prepare(settings: SettingsFile = None, verbose: Verbose = False) -> None:
    """Read the settings file into the environment before anything looks there."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO if verbose else logging.CRITICAL, format="%(message)s")
    quieten()
    if settings is None:
        return
    try:
        values = json.loads(settings.read_text("utf-8"))["Values"]
    except (OSError, ValueError, KeyError, TypeError):
        _fail("configuration", f"--settings: {settings} is no local.settings.json (an object with Values)", USAGE)
    for name, value in values.items():
        os.environ.setdefault(name, str(value))


# --- setup ----------------------------------------------------------------------------------------------------------


@app.command()
def setup(
    as_json: Json = False, no_wait: Annotated[bool, typer.Option(help="Do one step, do not wait for more.")] = False
) -> None:
    """Create connection, schema, profile source and priority, and wait until all is done."""
    raise typer.Exit(_until_done(lambda application: application.setup(), "ready", as_json=as_json, wait=not no_wait))


@app.command()
def register(
    as_json: Json = False,
    priority: Annotated[str, typer.Option(help="'first' moves us to the top of the list.")] = "keep",
) -> None:
    """Register the profile source and its priority only."""
    if priority not in {"first", "keep"}:
        _fail("bad_request", "--priority: allowed are first and keep", USAGE, as_json=as_json)
    view = _run(lambda application: application.register(priority_first=priority == "first"), as_json=as_json)
    _show(view.body(), _steps(view), as_json=as_json)
    raise typer.Exit(DONE if view.state == "ready" else NOT_READY)


@app.command()
def teardown(
    confirm: Annotated[str, typer.Option(help="The connection's id: everything under it is removed.")],
    as_json: Json = False,
    no_wait: Annotated[bool, typer.Option(help="Do one step, do not wait for more.")] = False,
) -> None:
    """Remove priority entry, profile source and connection."""
    code = _until_done(
        lambda application: application.teardown(confirm=confirm), "absent", as_json=as_json, wait=not no_wait
    )
    raise typer.Exit(code)


# --- syncing --------------------------------------------------------------------------------------------------------


@app.command()
def sync(
    as_json: Json = False,
    full: Annotated[bool, typer.Option(help="Send everyone again.")] = False,
    one_slice: Annotated[bool, typer.Option("--slice", help="Do one slice, do not go on until the run ends.")] = False,
) -> None:
    """Do what is due: apply the next export, send who changed, delete who left."""
    request = Request("cli", full=True) if full else None
    with _progress(quiet=as_json) as progress:
        while True:
            tick = _run(
                lambda application: application.tick(trigger="cli", request=request), as_json=as_json, progress=progress
            )
            unfinished = tick.report is not None and tick.report.outcome == "partial"
            if not unfinished or one_slice:
                break
    _show(tick.report.body() if tick.report else {"state": tick.state}, _told(tick), as_json=as_json)
    raise typer.Exit(_exit_code(tick))


@app.command()
def status(as_json: Json = False) -> None:
    """Show where the sync stands."""
    body = _run(lambda application: application.status(), as_json=as_json)
    _show(body, _status_table(body), as_json=as_json)


@app.command()
def runs(
    run: Annotated[str | None, typer.Argument(help="Show this run's whole report.")] = None,
    as_json: Json = False,
    limit: Annotated[int, typer.Option(min=1, max=100)] = 20,
) -> None:
    """List the last runs, or show one of them."""
    if run is not None:
        report = _run(lambda application: application.run_report(run), as_json=as_json)
        _show(report, _report_table(report), as_json=as_json)
        return
    body = _run(lambda application: application.runs(str(limit)), as_json=as_json)
    _show(body, _runs_table(body["runs"]), as_json=as_json)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check settings, vault, both identities, connection and containers."""
    try:
        body = _run(lambda application: application.health(), as_json=as_json, raising=errors.ConfigurationError)
    except errors.ConfigurationError as error:
        from connector.doctor import unconfigured

        body = unconfigured(error)
    _show(body, _checks_table(body), as_json=as_json)
    raise typer.Exit(FAILED if body["status"] == "failed" else DONE)


# --- running a use case ---------------------------------------------------------------------------------------------


def _run(
    use: Callable[[Application], Awaitable[T]],
    *,
    as_json: bool,
    progress: Callable[[int, int], None] | None = None,
    raising: type[errors.ConnectorError] | tuple[()] = (),
) -> T:
    async def work() -> T:
        async with open_application(os.environ, progress=progress) as application:
            return await use(application)

    try:
        return asyncio.run(work())
    except raising:
        raise
    except errors.ConnectorError as error:
        _fail(error.code, error.message, _code_of(error), as_json=as_json)


def _code_of(error: errors.ConnectorError) -> int:
    match error:
        case errors.ConfigurationError() | errors.BadRequest():
            return USAGE
        case errors.NotReady():
            return NOT_READY
        case _:
            return FAILED


def _fail(code: str, message: str, exit_code: int, *, as_json: bool = False) -> NoReturn:
    if as_json:
        _print_json({"error": {"code": code, "message": message}})
    else:
        Console(stderr=True, highlight=False).print(Text(message, style="red"))
    raise typer.Exit(exit_code)


def _until_done(use: Callable[[Application], Awaitable[SetupView]], done: str, *, as_json: bool, wait: bool) -> int:
    """Call a reconciler until it is done, as often as it asks for; show the steps as they change."""
    console = Console(highlight=False)
    shown: dict[str, str] = {}
    with contextlib.nullcontext() if as_json else console.status("Microsoft Graph is at work"):
        while True:
            view = _run(use, as_json=as_json)
            if not as_json:
                for step in view.steps:
                    if shown.get(step.name) != f"{step.state} {step.detail}":
                        shown[step.name] = f"{step.state} {step.detail}"
                        console.print(_step(step.name, step.state, step.detail))
            if view.state == done or not wait:
                break
            asyncio.run(asyncio.sleep(view.retry_after))
    if as_json:
        _print_json(view.body())
    return DONE if view.state == done else NOT_READY


def _exit_code(tick: Tick) -> int:
    if tick.report is None:
        return {"idle": DONE, "busy": NOT_READY, "paused": NOT_READY, "not_ready": NOT_READY, "ran": DONE}[tick.state]
    return {"held": HELD, "partial": NOT_READY, "refused": FAILED, "failed": FAILED}.get(tick.report.outcome, DONE)


@contextlib.contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Yield what the sync tells (done, of all); a bar on a terminal, nothing elsewhere."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield None
        return
    columns = (TextColumn("Sending"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


# --- showing --------------------------------------------------------------------------------------------------------

_MARKS: Final = {
    "done": ("✓", "green"), "ok": ("✓", "green"), "in progress": ("…", "yellow"), "warning": ("!", "yellow"),
    "failed": ("✗", "red"), "unknown": ("?", "dim"),
}  # fmt: skip

_COUNTS: Final = (
    "people", "created", "updated", "deleted", "unchanged", "unmatched", "rejected", "held", "grace", "failed"
)  # fmt: skip

_SAYS: Final = {
    "idle": "Nothing is due.",
    "busy": "Another run is at work; this one leaves it alone.",
    "paused": "Syncing is paused while the connection is torn down.",
    "not_ready": "Setup has not finished: run `python -m connector setup`.",
}


def _print_json(body: object) -> None:
    sys.stdout.write(json.dumps(body, ensure_ascii=False, indent=2) + "\n")


def _show(body: object, shown: Table | Text, *, as_json: bool) -> None:
    if as_json:
        _print_json(body)
    else:
        Console(highlight=False).print(shown)


def _step(name: str, state: str, detail: str) -> Text:
    mark, style = _MARKS.get(state, ("·", "dim"))
    return Text(f"{mark} ", style=style).append(f"{name:16}", style="bold").append(detail or state, style="default")


def _steps(view: SetupView) -> Text:
    return Text("\n").join(_step(step.name, step.state, step.detail) for step in view.steps)


def _told(tick: Tick) -> Table | Text:
    return Text(_SAYS[tick.state]) if tick.report is None else _report_table(tick.report.body())


def _table(title: str | None = None) -> Table:
    return Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)


def _report_table(report: Mapping[str, Any]) -> Table:
    table = _table(f"Run {report['run']}: {report['outcome']}")
    if report.get("error"):
        table.add_row("error", f"{report['error']['code']}: {report['error']['message']}")
    if report.get("export"):
        table.add_row("export", str(report["export"].get("name", "")))
    for name in _COUNTS:
        if report.get(name):
            table.add_row(name, f"{report[name]:,}")
    for guard in report.get("guards", ()):
        if guard["tripped"]:
            table.add_row("guard", f"{guard['name']}: found {guard['found']}; allowed: {guard['limit']}")
    for code, count in report.get("warnings", {}).items():
        table.add_row("warning", f"{code}: {count}")
    if report.get("plan"):
        table.add_row("plan", report["plan"])
    if report.get("quarantine"):
        table.add_row("quarantine", report["quarantine"])
    graph = report.get("graph", {})
    table.add_row("graph", f"{graph.get('requests', 0)} requests, {graph.get('throttled', 0)} throttled")
    return table


def _runs_table(reports: list[Mapping[str, Any]]) -> Table | Text:
    if not reports:
        return Text("There are no runs yet.")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("run", "outcome", "created", "updated", "deleted", "unchanged", "rejected", "held", "failed"):
        table.add_column(name, justify="left" if name in {"run", "outcome"} else "right")
    for report in reports:
        table.add_row(*(str(report.get(str(column.header), "")) for column in table.columns))
    return table


def _status_table(body: Mapping[str, Any]) -> Table:
    table = _table()
    connection, ledger = body["connection"], body["ledger"]
    table.add_row("connection", f"{connection['id']}: {connection['state']}")
    table.add_row("ledger", f"{ledger['people']:,} people, {ledger['items']:,} items in Graph")
    last = body["last_export"]
    stale = " (stale)" if body["stale"] else ""
    table.add_row("last export", f"{last['name']}, {last['modified']}{stale}" if last else "none yet")
    if body["held"]:
        table.add_row("held", f"{body['held']['deletions']} deletions under {body['held']['plan']}")
    table.add_row("next tick", ", ".join(body["next_tick"]["work"]) or "nothing due")
    for identity, secret in body["credentials"].items():
        ending = secret.get("error") or secret.get("expires") or ("not used" if "enabled" in secret else "no end known")
        table.add_row(f"{identity} secret", f"{ending}{' (soon)' if secret.get('expiring') else ''}")
    for report in body["runs"][:3]:
        table.add_row("run", f"{report['run']}: {report['outcome']}")
    return table


def _checks_table(body: Mapping[str, Any]) -> Table:
    table = _table(f"Health: {body['status']}")
    for check in body["checks"]:
        mark, style = _MARKS[check["status"]]
        advice = f"\n→ {check['advice']}" if check["advice"] else ""
        table.add_row(Text(f"{mark} {check['name']}", style=style), f"{check['detail']}{advice}")
    return table


if __name__ == "__main__":
    app()
