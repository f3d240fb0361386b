"""The first night with HR exports of one's own: set up, run, and what came of it in words."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from connector.pages.words import GUARD_SETTINGS, OUTCOMES, ROW_CODES, UNMATCHED, fault, warning
from tests.tenant.demo import StoryFailed, numbers, set_up

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rich.console import Console

    from tests.tenant.contoso import Contoso
    from tests.tenant.functions_host import FunctionsHost

SHOWN: Final = 3
"""Profiles that are shown."""

_LISTED: Final = 8
"""Rows whose numbers are told of each thing that is wrong."""

_UNTOLD: Final = frozenset({"userId", "relationship", "isCurrent", "type"})
"""Fields that nobody looks for in a profile."""

_FIRST: Final = (
    *("Name", "displayName", "first", "last"),
    *("Position", "jobTitle", "department", "manager"),
)
"""Labels and fields that come before the others."""


def first_night(console: Console, world: Contoso, host: FunctionsHost, people: Iterable[str]) -> None:
    """Run the first night over what has been dropped, and tell it.

    ``people`` are object ids, in the order in which the exports name them.

    Raises:
        StoryFailed: setup or the timer fails, or no run takes the exports.
    """
    graph = world.tenant.graph

    def say(content: Text | Table) -> None:
        console.print(Padding.indent(content, 2))

    console.print(Text("Setup", style="bold cyan"), Text("POST /api/admin/setup, until it answers 200", style="dim"))
    set_up(host, say)
    before, requests = graph.profiles(), len(graph.requests)
    console.print(Text("The first night", style="bold cyan"), Text("the timer takes what was dropped", style="dim"))
    settle = int(world.settings["EXPORT_SETTLE_SECONDS"])
    report = _run(console, host, settle)
    say(numbers(report, len(graph.requests) - requests))
    for line in _told(report):
        say(line)
    after = graph.profiles()
    changed = [upn for each in people if before.get(upn := graph.users[each].upn) != after.get(upn)][:SHOWN]
    if changed:
        console.print(
            Text("Profiles", style="bold cyan"), Text("as people see them; in colour, what is new", style="dim")
        )
        say(_profiles({upn: (before[upn], after[upn]) for upn in changed}))


def _run(console: Console, host: FunctionsHost, settle: int) -> dict[str, Any]:
    """Fire the timer until a run has ended, and return its report."""
    deadline = time.monotonic() + settle + 300
    waiting = False
    while time.monotonic() < deadline:
        ended = host.fire("sync_people")
        if ended.error is not None:
            raise StoryFailed(f"the timer failed: {ended.error}") from ended.error
        runs = _get(host, "/api/admin/runs?limit=1")["runs"]
        if runs and runs[0]["outcome"] != "partial":
            return _get(host, f"/api/admin/runs/{runs[0]['run']}")
        if not runs and not waiting:
            waiting = True
            console.print(f"  the files are not {settle} seconds old yet (EXPORT_SETTLE_SECONDS)", style="dim")
        if not runs:
            time.sleep(2)
    raise StoryFailed("no run took the exports; see GET /api/admin/status")


def _get(host: FunctionsHost, target: str) -> dict[str, Any]:
    answer = host.request("GET", target, key=host.key)
    if answer.status != 200:
        raise StoryFailed(f"GET {target} answered {answer.status}: {answer.body.decode()}")
    body: dict[str, Any] = answer.json()
    return body


# --- the report in words ----------------------------------------------------------------------------------------------


def _told(report: Mapping[str, Any]) -> Iterator[Text]:
    """Yield what the report says, line by line, for somebody who sees one for the first time."""
    yield Text(OUTCOMES[report["outcome"]].meaning, style="dim")
    if report["error"]:
        code = report["error"]["code"]
        yield Text.assemble((f"✗ {code}: {report['error']['message']}", "red"))
        yield Text(f"  {fault(code).remedy}", style="dim")
    yield from _moves(report)
    yield from _export(report["export"] or {})
    yield from _rejected(report)
    unmatched: dict[str, int] = defaultdict(int)
    for person in report["unmatched_people"]:
        unmatched[person["reason"]] += 1
    for reason, count in unmatched.items():
        yield Text(f"∅ {count} unmatched: {UNMATCHED.get(reason, reason)}", style="magenta")
    for code, count in report["warnings"].items():
        yield Text(f"! {warning(code, count)}", style="yellow")


def _moves(report: Mapping[str, Any]) -> Iterator[Text]:
    """Say which settings move the limits that an export has gone beyond, as somebody may who knows that it is right."""
    said: set[str] = set()
    for guard in report["guards"]:
        if not guard["tripped"] or guard["name"] not in GUARD_SETTINGS:
            continue
        settings = " or ".join(GUARD_SETTINGS[guard["name"]])
        if settings in said:
            continue
        said.add(settings)
        if guard["name"] == "rejected":
            share = math.ceil(100 * report["rejected"] / max(1, report["export"]["rows"]))
            settings = f"{settings}={share}"
        yield Text(f"  If the export is as it should be, start again with another limit: {settings}", style="yellow")


def _export(export: Mapping[str, Any]) -> Iterator[Text]:
    if export.get("skipped"):
        lines = ", ".join(map(str, export["skipped_lines"][:_LISTED]))
        said = "1 line is" if export["skipped"] == 1 else f"{export['skipped']} lines are"
        yield Text(f"· {said} neither header nor data: {lines}", style="dim")
    if export.get("missing_columns"):
        yield Text(f"· not in the export, so blank: {', '.join(export['missing_columns'])}", style="dim")
    if export.get("ignored_columns"):
        yield Text(f"· not in the mapping, so not sent: {', '.join(export['ignored_columns'])}", style="dim")


def _rejected(report: Mapping[str, Any]) -> Iterator[Text]:
    """Say why rows were rejected: each reason once, with the first rows that it is about."""
    reasons: dict[tuple[str, str], dict[str, list[int]]] = {}
    for row in report["rows"]:
        files = reasons.setdefault((", ".join(row["codes"]), row["message"]), {})
        files.setdefault(row.get("file", ""), []).append(row["row"])
    for (codes, message), files in sorted(reasons.items(), key=lambda each: -sum(map(len, each[1].values()))):
        count = sum(map(len, files.values()))
        yield Text.assemble((f"! {count} row{' is' if count == 1 else 's are'} {codes}: ", "red"), message)
        if words := ROW_CODES.get(codes.split(", ")[0]):
            yield Text(f"  {words.remedy}", style="dim")
        for file, rows in files.items():
            listed = ", ".join(map(str, rows[:_LISTED]))
            more = f" and {len(rows) - _LISTED} more" if len(rows) > _LISTED else ""
            yield Text(f"  {file + ': ' if file else ''}row{'s' * (len(rows) > 1)} {listed}{more}", style="dim")
    if report["rejected"] > len(report["rows"]):
        yield Text(f"  (the report lists {len(report['rows'])} of {report['rejected']} rejected rows)", style="dim")


# --- profiles ---------------------------------------------------------------------------------------------------------


def _profiles(profiles: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]]) -> Table:
    """Return a table with a column per profile and a line per field; what was not there before is in colour."""
    old = {upn: dict(_lines(before)) for upn, (before, _) in profiles.items()}
    new = {upn: dict(_lines(after)) for upn, (_, after) in profiles.items()}
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    for upn in profiles:
        table.add_column(upn, overflow="fold", ratio=1)
    names = dict.fromkeys(name for lines in new.values() for name in lines)
    for name in sorted(names, key=lambda name: _rank(name.split(" ")[0])):
        cells = [Text(new[upn].get(name, "-")) for upn in profiles]
        for cell, upn in zip(cells, profiles, strict=True):
            if new[upn].get(name) != old[upn].get(name):
                cell.stylize("green")
        table.add_row(name, *cells)
    return table


def _lines(profile: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what a profile shows: of single entities each field, of several each entity in one line."""
    for label, value in profile.items():
        name = label.removeprefix("person").removeprefix("Current")
        if isinstance(value, list):
            yield name, "\n".join(map(_in_one_line, value))
        else:
            for path, leaf in sorted(_leaves(value), key=lambda field: _rank(field[0])):
                yield f"{name} {path}".removesuffix(" displayName"), leaf


def _rank(name: str) -> int:
    return _FIRST.index(name) if name in _FIRST else len(_FIRST)


def _in_one_line(entity: Mapping[str, Any]) -> str:
    kind = entity.get("type") or entity.get("detail", {}).get("type")
    return " · ".join(leaf for _, leaf in _leaves(entity)) + (f" ({kind})" if kind else "")


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the values that people look for, each by its name and what it is part of."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name not in _UNTOLD:
                yield from _leaves(inner, _below(path, name))
    elif isinstance(value, list):
        parts = [" ".join(leaf for _, leaf in _leaves(inner)) for inner in value]
        yield path, ", ".join(parts)
    else:
        yield path, str(value).replace("\n", " ")


def _below(path: str, name: str) -> str:
    """Return how a field below another one is called: of a person, an address or a detail it goes without saying."""
    if path == "company" and name == "displayName":
        return path
    return path if name == "userPrincipalName" else name if path in {"", "detail", "company"} else f"{path}.{name}"
