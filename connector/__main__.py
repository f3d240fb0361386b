"""The command line: the same use cases as the Functions app, with progress on a terminal and ``--json`` for machines.

Exit codes: 0 done or nothing to do, 1 failed or refused, 2 bad usage or settings, 3 held for approval, 4 not ready yet;
130 after Ctrl-C.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import os
import sys
from contextlib import ExitStack
from datetime import datetime  # noqa: TC003 - typer reads it
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn, ParamSpec, TypeVar

import typer
from rich.console import Console, Group
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from connector import errors
from connector.core.due import Request
from connector.events import quieten
from connector.settings import Settings
from connector.wiring import open_application

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from rich.console import RenderableType

    from connector.core.setup import SetupView
    from connector.sync import Tick
    from connector.wiring import Application

T = TypeVar("T")
P = ParamSpec("P")

DONE, FAILED, USAGE, HELD, NOT_READY = range(5)
INTERRUPTED: Final = 130

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
mapping_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Make and check mappings, offline.")
app.add_typer(mapping_app, name="mapping")


# --- options that every command has, before or after its name ---------------------------------------------------------


def _read_settings(file: Path | None) -> None:
    """Put a settings file into the environment, before anything looks there (aiohttp does when it is imported).

    A setting of ours that the environment has stays as it is there, as with Core Tools. What leads to a local tenant
    (certificates, authority, managed identity) is taken from the file: machines have such variables for other programs.
    """
    if file is None:
        return
    try:
        values = json.loads(file.read_text("utf-8"))["Values"].items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        _fail("configuration", f"--settings: {file} is no local.settings.json (an object with Values)", USAGE)
    ours = {name.upper() for name in Settings.model_fields}
    for name, value in values:
        if name not in ours or not os.environ.get(name):
            os.environ[name] = str(value)


def _tell_events(verbose: bool) -> None:
    if verbose:
        logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s", force=True)


def _is_verbose() -> bool:
    return logging.getLogger().isEnabledFor(logging.INFO)


Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
SettingsFile = Annotated[
    Path | None,
    typer.Option(
        "--settings",
        metavar="FILE",
        callback=_read_settings,
        help="A local.settings.json; a setting that the environment has too is taken from there.",
    ),
]
Verbose = Annotated[
    bool, typer.Option("--verbose", callback=_tell_events, help="Print the log events on standard error.")
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do one step and do not wait for more.")]


@app.callback()
def prepare(_settings: SettingsFile = None, _verbose: Verbose = False) -> None:
    """Brings HR's knowledge of people into Microsoft 365 Copilot."""
    if not _is_verbose():
        logging.basicConfig(handlers=[logging.NullHandler()], level=logging.CRITICAL)
    quieten()


def _command(work: Callable[P, None]) -> Callable[P, None]:
    return app.command()(_plain_spoken(work))


def _mapping_command(work: Callable[P, None]) -> Callable[P, None]:
    return mapping_app.command()(_plain_spoken(work))


def _plain_spoken(work: Callable[P, None]) -> Callable[P, None]:
    """Make a command of a function: whatever goes wrong in it is told in a sentence, never by a traceback."""

    @functools.wraps(work)
    def command(*args: P.args, **options: P.kwargs) -> None:
        as_json = bool(options["as_json"])
        try:
            work(*args, **options)
        except errors.ConnectorError as error:
            _fail(error.code, error.message, _code_of(error), as_json=as_json)
        except KeyboardInterrupt:
            _fail("interrupted", "Interrupted. What was done is remembered; the same command goes on.", INTERRUPTED)
        except (typer.Exit, BrokenPipeError):
            raise
        except Exception as error:
            if _is_verbose():
                raise
            mistake = errors.InternalError(error)
            _fail(mistake.code, mistake.message, FAILED, as_json=as_json)

    return command


# --- setup ----------------------------------------------------------------------------------------------------------


@_command
def setup(
    as_json: Json = False, no_wait: NoWait = False, _settings: SettingsFile = None, _verbose: Verbose = False
) -> None:
    """Set up connection, schema, profile source and priority. Waits until all is done."""
    raise typer.Exit(_until_done(lambda application: application.setup(), "ready", as_json=as_json, wait=not no_wait))


@_command
def register(
    as_json: Json = False,
    priority: Annotated[str, typer.Option(metavar="first|keep", help="first: move us to the top.")] = "keep",
    _settings: SettingsFile = None,
    _verbose: Verbose = False,
) -> None:
    """Register the profile source and its priority only."""
    view = _run(lambda application: application.register(priority))
    _show(view.body(), _steps(view), as_json=as_json)


@_command
def teardown(
    confirm: Annotated[str, typer.Option(metavar="CONNECTION_ID", help="Everything under it is removed.")],
    as_json: Json = False,
    no_wait: NoWait = False,
    _settings: SettingsFile = None,
    _verbose: Verbose = False,
) -> None:
    """Remove priority entry, profile source and connection. Waits until all are gone."""
    code = _until_done(
        lambda application: application.teardown(confirm=confirm), "absent", as_json=as_json, wait=not no_wait
    )
    raise typer.Exit(code)


# --- syncing --------------------------------------------------------------------------------------------------------


@_command
def sync(
    as_json: Json = False,
    full: Annotated[bool, typer.Option("--full", help="Send everyone again.")] = False,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="With --full: begin a lost ledger anew.")] = False,
    one_slice: Annotated[bool, typer.Option("--slice", help="Do one slice, do not go on until the run ends.")] = False,
    verify: Annotated[int | None, typer.Option(min=1, metavar="N", help="Read N items back after the run.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what a run would do. Writes nothing at all.")
    ] = False,
    limit: Annotated[int, typer.Option(min=0, max=1000, help="With --dry-run: people to name of each kind.")] = 10,
    _settings: SettingsFile = None,
    _verbose: Verbose = False,
) -> None:
    """Apply the next export: send who changed, delete who left. Runs now, and until the run ends."""
    if rebuild and not full:
        _fail("bad_request", "--rebuild: goes with --full, since everyone is sent again", USAGE)
    if dry_run:
        if rebuild or one_slice or verify:
            _fail("bad_request", "--dry-run: goes with --full and --limit only, since nothing is done", USAGE)
        raise typer.Exit(_rehearse(full=full, limit=limit, as_json=as_json))
    request = Request("cli", full=full, rebuild=rebuild, verify=verify)
    # Once it has begun, the request has become a run, which the next slice finds; but for what is to come after it.
    rest = Request("cli", full=full, verify=verify) if verify else None
    with _progress(quiet=as_json or _is_verbose()) as progress:
        tick = _run(lambda application: application.tick(trigger="cli", request=request), progress=progress)
        while not one_slice and tick.report is not None and tick.report.outcome == "partial":
            tick = _run(lambda application: application.tick(trigger="cli", request=rest), progress=progress)
    _show(tick.report.body() if tick.report else {"state": tick.state}, _told(tick), as_json=as_json)
    raise typer.Exit(_exit_code(tick))


@_command
def status(as_json: Json = False, _settings: SettingsFile = None, _verbose: Verbose = False) -> None:
    """Show where the sync stands."""
    body = _run(lambda application: application.status())
    _show(body, _status(body), as_json=as_json)


@_command
def runs(
    run: Annotated[str | None, typer.Argument(help="Show this run's whole report.")] = None,
    as_json: Json = False,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many.")] = 20,
    _settings: SettingsFile = None,
    _verbose: Verbose = False,
) -> None:
    """List the last runs, or show one of them."""
    if run is not None:
        report = _run(lambda application: application.run_report(run))
        _show(report, _report(report), as_json=as_json)
        return
    body = _run(lambda application: application.runs(str(limit)))
    _show(body, _runs(body["runs"]), as_json=as_json)


@_command
def approve(
    run: Annotated[str, typer.Argument(help="The run that held or refused it.")],
    plan: Annotated[str, typer.Option(metavar="HASH", help="The plan in its report: exactly that is released.")],
    by: Annotated[str, typer.Option(metavar="NAME", help="Who approves it.")],
    as_json: Json = False,
    _settings: SettingsFile = None,
    _verbose: Verbose = False,
) -> None:
    """Approve held deletions, or an export that was refused. The next tick carries it out."""
    body = _run(lambda application: application.approve(run, _as_body(plan=plan, by=by)))
    _show(body, Text(_APPROVED.format(**body)), as_json=as_json)


@_command
def pause(
    by: Annotated[str, typer.Option(metavar="NAME", help="Who pauses it.")],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; status shows it.")],
    as_json: Json = False,
    _settings: SettingsFile = None,
    _verbose: Verbose = False,
) -> None:
    """Let no tick do anything until syncing is resumed.

    A run that is under way stops.
    """
    body = _run(lambda application: application.pause(_as_body(by=by, reason=reason)))
    _show(body, Text("Syncing is paused. `python -m connector resume --by NAME` lets it go on."), as_json=as_json)


@_command
def resume(
    by: Annotated[str, typer.Option(metavar="NAME", help="Who resumes it.")],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; status shows it.")] = "",
    as_json: Json = False,
    _settings: SettingsFile = None,
    _verbose: Verbose = False,
) -> None:
    """Let syncing go on. The next tick does what is due by then."""
    body = _run(lambda application: application.resume(_as_body(by=by, reason=reason)))
    _show(body, Text("Syncing goes on with the next tick, or now: `python -m connector sync`."), as_json=as_json)


@_command
def doctor(as_json: Json = False, _settings: SettingsFile = None, _verbose: Verbose = False) -> None:
    """Check everything around us, and say who can mend what."""
    from connector.doctor import unconfigured

    try:
        body = _run(lambda application: application.health())
    except errors.ConfigurationError as error:
        body = unconfigured(error)
    _show(body, _checks(body), as_json=as_json)
    if body["status"] != "failed":
        raise typer.Exit(DONE)
    failed = {check["name"] for check in body["checks"] if check["status"] == "failed"}
    raise typer.Exit(USAGE if "settings" in failed else FAILED)


# --- mappings -------------------------------------------------------------------------------------------------------


@_mapping_command
def suggest(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="An HR export: .csv, .csv.gz or .zip.")],
    as_json: Json = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="Write it there instead of on standard output.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="With --out: write over a file that is there.")] = False,
    _verbose: Verbose = False,
) -> None:
    """Read a file and write a first mapping for it. Nothing is sent anywhere."""
    from connector.suggest import suggest_mapping, write_mapping

    text = suggest_mapping(file)
    if out is not None:
        write_mapping(text, out, force=force)
    if as_json:
        _print_json({"mapping": text, "written": str(out) if out else None})
    elif out is None:
        sys.stdout.buffer.write(text.encode())
    else:
        _console().print(f"Wrote {out}. Read it through, then: python -m connector mapping check {out} {file}")


@_mapping_command
def check(
    mapping: Annotated[Path, typer.Argument(metavar="FILE.toml", help="The mapping.")],
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE.csv", help="Exports to read; together one population.")
    ] = None,
    as_json: Json = False,
    contract: Annotated[str, typer.Option(metavar="labels|preview", help="How people are sent.")] = "labels",
    people: Annotated[int, typer.Option(min=0, help="How many people to show.")] = 3,
    today: Annotated[
        datetime | None, typer.Option(metavar="YYYY-MM-DD", formats=["%Y-%m-%d"], help="The day it is taken to be.")
    ] = None,
    quarantine: Annotated[
        Path | None, typer.Option(metavar="OUT.csv", help="Write the rejected rows there, as HR gets them.")
    ] = None,
    _verbose: Verbose = False,
) -> None:
    """Check a mapping, and what it makes of files. Shows people's data; nothing is sent anywhere."""
    from connector.check import Question, write_quarantine
    from connector.check import check as check_mapping
    from connector.checked import laid_out

    if contract not in {"labels", "preview"}:
        _fail("bad_request", "--contract: labels or preview", USAGE, as_json=as_json)
    question = Question(mapping, tuple(files or ()), contract, people, today.date() if today else None)  # type: ignore[arg-type]
    try:
        body = check_mapping(question)
    except errors.ConfigurationError as error:
        if not as_json:
            raise
        _print_json({"error": {"code": error.code, "message": error.message, "problems": error.problems}})
        raise typer.Exit(USAGE) from error
    if quarantine is not None and "files" in body:
        body["quarantine"] = write_quarantine(question, quarantine)
    _show(body, laid_out(body), as_json=as_json)
    raise typer.Exit(DONE if body["usable"] else FAILED)


# --- running a use case ---------------------------------------------------------------------------------------------


def _run(use: Callable[[Application], Awaitable[T]], *, progress: Callable[[int, int], None] | None = None) -> T:
    async def work() -> T:
        async with open_application(os.environ, progress=progress) as application:
            return await use(application)

    return asyncio.run(work())


def _as_body(**words: str) -> bytes:
    return json.dumps(words).encode()


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
        Console(stderr=True, highlight=False).print(Text(message, style="red"), soft_wrap=True)
    raise typer.Exit(exit_code)


def _until_done(use: Callable[[Application], Awaitable[SetupView]], done: str, *, as_json: bool, wait: bool) -> int:
    """Call a reconciler until it is done, as often as it asks for; print each step once it is done."""
    console = _console()
    reached = {"ready": "done", "absent": "missing"}[done]  # what a step's state is in the end
    printed: set[str] = set()
    with contextlib.nullcontext() if as_json else console.status("Looking") as at_work:
        while True:
            view = _run(use)
            last = view.state == done or not wait
            for step in view.steps:
                if step.name not in printed and (step.state == reached or last) and not as_json:
                    printed.add(step.name)
                    console.print(_step(step.name, "done" if step.state == reached else step.state, step.detail))
            if last:
                break
            if at_work is not None:
                at_work.update(
                    Text(next(f"{step.name}: {step.detail}" for step in view.steps if step.state != reached))
                )
            asyncio.run(asyncio.sleep(view.retry_after))
    if as_json:
        _print_json(view.body())
    return DONE if view.state == done else NOT_READY


def _exit_code(tick: Tick) -> int:
    if tick.report is None:
        return {"idle": DONE, "busy": NOT_READY, "paused": NOT_READY, "not_ready": NOT_READY, "ran": DONE}[tick.state]
    return _OUTCOME_CODES.get(tick.report.outcome, DONE)


_OUTCOME_CODES: Final = {"held": HELD, "partial": NOT_READY, "refused": FAILED, "failed": FAILED}


def _rehearse(*, full: bool, limit: int, as_json: bool) -> int:
    console = Console(stderr=True)
    looking = console.status("Reading and comparing") if console.is_terminal and not as_json else None
    with looking or contextlib.nullcontext():
        rehearsed = _run(lambda application: application.rehearse(full=full, limit=limit))
    if rehearsed.rehearsal is None:
        _show({"state": rehearsed.state}, Text(_SAYS[rehearsed.state]), as_json=as_json)
        return DONE if rehearsed.state == "idle" else NOT_READY
    body = rehearsed.rehearsal.body()
    _show(body, _rehearsal(body), as_json=as_json)
    return _OUTCOME_CODES.get(body["outcome"], DONE)


@contextlib.contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Yield what the sync tells (done, of all): a bar on a terminal once there is something to send, else nothing."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield None
        return
    columns = (TextColumn("Sending"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True)
    with ExitStack() as stack:
        looking = stack.enter_context(console.status("Reading and comparing"))

        def show(done: int, total: int) -> None:
            if not bar.tasks:
                looking.stop()
                bar.add_task("", total=total)
                stack.enter_context(bar)
            bar.update(bar.task_ids[0], completed=done, total=total)

        yield show


# --- showing --------------------------------------------------------------------------------------------------------

_MARKS: Final = {
    "done": ("✓", "green"), "ok": ("✓", "green"), "in progress": ("…", "yellow"), "warning": ("!", "yellow"),
    "degraded": ("!", "yellow"), "failed": ("✗", "red"), "unknown": ("?", "dim"),
}  # fmt: skip

_OUTCOMES: Final = {
    "completed": "green", "unchanged": "green", "held": "yellow", "partial": "yellow", "superseded": "yellow",
    "refused": "red", "failed": "red",
}  # fmt: skip

_COUNTS: Final = (
    "people", "created", "updated", "deleted", "unchanged", "unmatched", "rejected", "held", "grace", "failed"
)  # fmt: skip

_PIPE_WIDTH: Final = 1000

_SAYS: Final = {
    "idle": "Nothing is due.",
    "busy": "Another run is at work; this one leaves it alone.",
    "paused": "Syncing is paused, by somebody or by a teardown that has begun: see `python -m connector status`.",
    "not_ready": "Setup has not finished: run `python -m connector setup`.",
}


_APPROVED: Final = (
    "Approved: {plan}. The next tick carries it out, or `python -m connector sync` now. It counts until {expires}."
)


def _print_json(body: object) -> None:
    sys.stdout.write(json.dumps(body, ensure_ascii=False, indent=2) + "\n")


def _console() -> Console:
    """Return where people read. In a pipe there is no width to ask for, and whoever reads there wants whole lines."""
    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    return Console(width=width, highlight=False, markup=False, emoji=False)


def _show(body: object, shown: RenderableType, *, as_json: bool) -> None:
    if as_json:
        _print_json(body)
    else:
        _print(shown)


def _print(shown: RenderableType) -> None:
    """Print for people. Tables fill their columns with spaces, which in a pipe would make each line as long as any."""
    console = _console()
    if console.is_terminal:
        console.print(shown, crop=False)  # a command to paste is one line, however narrow the terminal
        return
    with console.capture() as capture:
        console.print(shown)
    sys.stdout.writelines(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def _step(name: str, state: str, detail: str) -> Text:
    mark, style = _MARKS.get(state, ("·", "dim"))
    return Text(f"{mark} ", style=style).append(f"{name:16}", style="bold").append(detail or state, style="default")


def _steps(view: SetupView) -> Text:
    return Text("\n").join(_step(step.name, step.state, step.detail) for step in view.steps)


def _told(tick: Tick) -> RenderableType:
    return Text(_SAYS[tick.state]) if tick.report is None else _report(tick.report.body())


def _table() -> Table:
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)


def _rehearsal(body: Mapping[str, Any]) -> Group:
    """Lay out a dry run: what would come of it, every guard, how long it would take, and the first people."""
    table = _table()
    for guard in body["guards"]:
        mark, style = _MARKS["ok" if not guard["tripped"] else "warning" if guard["released"] else "failed"]
        table.add_row(Text(f"{mark} {_named(guard)}", style=style), _finding_of(guard))
    parts: list[RenderableType] = [_report(body), Text("Guards", style="bold"), table]
    if body["expected"] is not None:
        pace = body["expected"]
        source = "learned" if pace["learned"] else "usual"
        took = f"{pace['writes']:,} writes, about {pace['seconds']:,} s at {pace['per_second']:g} per second ({source})"
        parts.append(Text("Expected  ", style="bold").append(took, style="default"))
    if body["samples"]:
        people = _table()
        for sample in body["samples"]:
            people.add_row(sample["action"], sample["key"], sample["reason"])
        parts += [Text("People", style="bold"), people]
    return Group(*parts)


def _report(report: Mapping[str, Any]) -> Group:
    from connector.pages.report import approve_command
    from connector.pages.words import warning

    named = f"Run {report['run']}" if "run" in report else "Dry run, which has written nothing"
    title = Text(f"{named}: ", style="bold").append(report["outcome"], style=_OUTCOMES[report["outcome"]])
    table = _table()
    if report.get("error"):
        code, message = report["error"]["code"], report["error"]["message"]
        told = any(guard["tripped"] and guard.get("code") == code for guard in report.get("guards", ()))
        table.add_row("error", code if told else f"{code}: {message}")  # guards tell the rest themselves, below
    if report.get("export"):
        table.add_row("export", str(report["export"].get("name", "")))
    for name in _COUNTS:
        if report.get(name):
            table.add_row(name, f"{report[name]:,}")
    for guard in report.get("guards", ()):
        if guard["tripped"]:
            table.add_row("guard", f"{_named(guard)}: {_finding_of(guard)}")
    for code, count in report.get("warnings", {}).items():
        table.add_row("warning", warning(code, count))
    approved = report.get("approved")
    facts = {"plan": report.get("plan"), "approved": approved and "{by}, {when}".format(**approved)}
    read = (report.get("verified") or {}).items()
    facts["read back"] = ", ".join(f"{count:,} {finding}" for finding, count in read if count)
    for name, fact in {**facts, "quarantine": report.get("quarantine")}.items():
        if fact:
            table.add_row(name, fact)
    graph = report.get("graph", {})
    table.add_row("graph", f"{graph.get('requests', 0)} requests, {graph.get('throttled', 0)} throttled")
    how = [Text(f"To approve it: {command}", no_wrap=True, overflow="ignore") for command in approve_command(report)]
    return Group(title, table, *how)


def _finding_of(guard: Mapping[str, Any]) -> str:
    return f"found {guard['found']}; allowed: {guard['limit']}"


def _named(guard: Mapping[str, Any]) -> str:
    return f"{guard['name']} (approved)" if guard.get("released") else str(guard["name"])


def _runs(reports: list[Mapping[str, Any]]) -> RenderableType:
    if not reports:
        return Text("There are no runs yet.")
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("run", "outcome"):
        table.add_column(name, no_wrap=True)  # whole, however narrow the terminal: other commands want the run's name
    rare = (name for name in ("rejected", "held", "failed") if any(report.get(name) for report in reports))
    for name in ("created", "updated", "deleted", "unchanged", *rare):
        table.add_column(name, justify="right", overflow="fold")
    for report in reports:
        table.add_row(*(str(report.get(str(column.header), "")) for column in table.columns))
    return table


def _status(body: Mapping[str, Any]) -> Table:
    table = _table()
    connection, ledger = body["connection"], body["ledger"]
    table.add_row("connection", f"{connection['id']}: {connection['state']}")
    table.add_row("ledger", f"{ledger['people']:,} people, {ledger['items']:,} items in Graph")
    last = body["last_export"]
    stale = " (stale)" if body["stale"] else ""
    table.add_row("last export", f"{last['name']}, {last['modified']}{stale}" if last else "none yet")
    if body["held"]:
        table.add_row("held", "{deletions} deletions under {plan} of run {run}".format(**body["held"]))
    if body["refused"]:
        table.add_row("refused", "{export}: {code}, under {plan} of run {run}".format(**body["refused"]))
    for approval in body["approvals"]:
        table.add_row("approved", "{plan} by {by}, until {expires}".format(**approval))
    if body["paused"]:
        pause = {"by": "somebody", "since": "unknown", "reason": "unknown", **(body["pause"] or {})}
        by = f" by {pause['by']}" if pause["by"] else ""
        since = f" since {pause['since']}" if pause["since"] else ""
        table.add_row("paused", f"{pause['reason']}:{by}{since}" if by or since else pause["reason"])
    waits = f"; not before {body['next_tick']['not_before']}" if body["next_tick"]["not_before"] else ""
    table.add_row("next tick", f"{', '.join(body['next_tick']['work']) or 'nothing due'}{waits}")
    for identity, secret in body["credentials"].items():
        ending = secret.get("error") or secret.get("expires") or ("not used" if "enabled" in secret else "no end known")
        table.add_row(f"{identity} secret", f"{ending}{' (soon)' if secret.get('expiring') else ''}")
    for report in body["runs"][:3]:
        table.add_row("run", f"{report['run']}: {report['outcome']}")
    return table


def _checks(body: Mapping[str, Any]) -> Group:
    _, style = _MARKS[body["status"]]
    title = Text("Health: ", style="bold").append(body["status"], style=style)
    table = _table()
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in body["checks"]:
        mark, style = _MARKS[check["status"]]
        told = [part for finding in check["findings"] for part in _finding(finding)]
        table.add_row(Text(f"{mark} {check['name']}", style=style), Group(*told) if told else check["detail"])
    return Group(title, table)


def _finding(finding: Mapping[str, str]) -> Iterator[RenderableType]:
    """Yield what was found, why it matters and what to do; of a pointer to another check, that alone."""
    advice = finding["advice"]
    if advice.startswith("see "):
        yield Text(f"{finding['detail']} → {advice}", overflow="fold")
        return
    yield Text(finding["detail"], overflow="fold")
    rows = Table.grid(padding=(0, 1, 0, 0))
    rows.add_column()
    rows.add_column(overflow="fold")
    rows.add_row(Text("·", style="dim"), Text(finding["why"], style="dim"))
    rows.add_row("→", advice)
    yield rows


if __name__ == "__main__":
    app()
