"""``make demo``: three nights and one more, told from what Graph holds; every sentence of the story is checked."""

from __future__ import annotations

import csv
import io
import json
import logging
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tests.tenant.contoso import EXPORTS, QUARANTINE, REPORTS, ROOT, SAMPLES, contoso
from tests.tenant.functions_host import FunctionsHost

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from rich.console import Console

    from tests.tenant.contoso import Contoso
    from tests.tenant.engines import Answer

STORY: Final = "story.txt"
LOG: Final = "connector.log"
"""Everything the connector logs, in the demo's folder."""

SETUP_DEADLINE_SECONDS: Final = 120

SHOWN: Final = ("C1006", "C1008", "C1005")
"""Whose profiles are shown: a new title, a new UPN, and a report of the manager with a new UPN."""


class StoryFailed(Exception):
    """Something came out otherwise than the demo tells it."""


NAME, EMPLOYEE = "name.displayName", "positions.detail.employeeId"
"""Where an item has the person's name and key, with the JSON in its strings taken apart."""

WORDS: Final = {
    NAME: "name",
    "positions.detail.jobTitle": "title",
    "positions.manager.userPrincipalName": "manager",
    "accounts.userPrincipalName": "UPN, same item",
}
"""Differences worth telling, and what to call them; the rest (ids, the mail address) goes along with these."""

COUNTS: Final = ("created", "updated", "deleted", "unchanged", "unmatched", "rejected", "grace", "held", "failed")


@dataclass(frozen=True, slots=True)
class Night:
    """One night: which sample is dropped under which name, and what must come of it; counts not named must be 0."""

    sample: str
    name: str
    title: str
    outcome: str
    counts: Mapping[str, int]
    changed: frozenset[str]
    """Employee ids of everyone whose item is created, updated or deleted."""


NIGHTS: Final = (
    Night(
        sample="people-2026-11-20.csv",
        name="people-2026-11-20.csv",
        title="the first export: everyone is new",
        outcome="completed",
        counts={"created": 23},
        changed=frozenset(f"C{number}" for number in range(1001, 1024)),
    ),
    Night(
        sample="people-2026-11-21.csv",
        name="people-2026-11-21.csv",
        title="joiners, movers, leavers, a bad row",
        outcome="completed",
        counts={"created": 1, "updated": 7, "deleted": 1, "unchanged": 13, "unmatched": 1, "rejected": 1, "grace": 1},
        changed=frozenset({"C1025", "C1006", "C1008", "C1002", "C1003", "C1004", "C1005", "C1007", "C1013"}),
    ),
    Night(
        sample="people-2026-11-22.csv",
        name="people-2026-11-22.csv",
        title="the same people again, in another order",
        outcome="completed",
        counts={"deleted": 1, "unchanged": 21, "unmatched": 1, "rejected": 1},
        changed=frozenset({"C1009"}),
    ),
    Night(
        sample="people-2026-11-22.csv",
        name="people-2026-11-23.csv",
        title="and once more",
        outcome="unchanged",
        counts={"unchanged": 21, "unmatched": 1, "rejected": 1},
        changed=frozenset(),
    ),
)


def demo(console: Console, folder: Path) -> None:
    """Run the demo; reports, quarantine and log are left in the folder, which is emptied first.

    Raises:
        StoryFailed: with a sentence, when something is not as the story has it.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    log = logging.FileHandler(folder / LOG, encoding="utf-8")
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[log])
    logging.getLogger("azure").setLevel(logging.WARNING)  # our own uploads are not the connector's log
    began = time.monotonic()
    console.print("[bold]People connector[/] on a local tenant: Graph, Entra and Key Vault simulated, Azurite genuine")
    with contoso() as world, FunctionsHost(ROOT, world.settings) as host:
        if host.errors:
            raise StoryFailed(" ".join(host.errors.values()))
        console.print(f"function_app.py runs through {host.engine}")
        story = _Story(console, world, host)
        world.follow((SAMPLES / NIGHTS[0].sample).read_bytes())
        before = {employee: _lines(world, employee) for employee in SHOWN}
        story.set_up()
        for number, night in enumerate(NIGHTS, 1):
            story.night(number, night)
        story.profiles(before)
        story.keep_files(folder)
    seconds = time.monotonic() - began
    console.print(f"\n[green]As told.[/] {seconds:.0f} s. Reports, quarantine and log are in [bold]{folder.name}/[/]")
    (folder / STORY).write_text(console.export_text(), encoding="utf-8")


class _Story:
    def __init__(self, console: Console, world: Contoso, host: FunctionsHost) -> None:
        self._console = console
        self._world = world
        self._host = host
        self._known_runs: set[str] = set()

    def set_up(self) -> None:
        """Call POST /setup until it is done, as an operator would."""
        self._heading("Setup", "POST /api/admin/setup, until it answers 200")
        deadline = time.monotonic() + SETUP_DEADLINE_SECONDS
        shown = None
        while True:
            answer = self._host.request("POST", "/api/admin/setup", key=self._host.key)
            if answer.status not in (200, 202):
                raise StoryFailed(f"setup answered {answer.status}: {answer.body.decode()}")
            view = _view(answer)
            if view != shown:
                self._print(view)
                shown = view
            if answer.status == 200:
                return
            if time.monotonic() > deadline:
                raise StoryFailed(f"setup was not done after {SETUP_DEADLINE_SECONDS} s")
            time.sleep(float(answer.headers["retry-after"]))

    def night(self, number: int, night: Night) -> None:
        """Drop the export, fire the timer, and say what that changed in Graph."""
        export = (SAMPLES / night.sample).read_bytes()
        self._world.follow(export)
        graph = self._world.tenant.graph
        before, requests = dict(graph.items), len(graph.requests)
        with self._world.storage() as account:
            account.get_blob_client(EXPORTS, night.name).upload_blob(export)

        ended = self._host.fire("sync_people")

        if ended.error is not None:
            raise StoryFailed(f"night {number}: the timer failed: {ended.error}") from ended.error
        report = self._report(number)
        sent = len(graph.requests) - requests
        self._heading(f"Night {number}", f"{night.name}: {night.title}")
        self._print(_numbers(report, sent))
        people = {row["EmployeeId"]: row for row in csv.DictReader(io.StringIO(export.decode()))}
        self._print(_changes(before, graph.items, people, report))
        _check(number, night, report, _touched(before, graph.items), sent)

    def profiles(self, before: Mapping[str, Mapping[str, str]]) -> None:
        """Show what people would see of three of them, before and after."""
        self._heading("Profiles", "as people see them: before the first night → now")
        after = {employee: _lines(self._world, employee) for employee in SHOWN}
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
        table.add_column(style="dim", no_wrap=True)
        for _ in SHOWN:
            table.add_column(overflow="fold", ratio=1)
        for name in next(iter(after.values())):
            cells = (_before_and_after(before[employee][name], after[employee][name]) for employee in SHOWN)
            table.add_row(name, *cells)
        self._print(table)
        for employee, lines in after.items():
            if missing := [name for name, value in lines.items() if value == "-"]:
                raise StoryFailed(f"the profile of {employee} has no {', '.join(missing)}")
        if after["C1006"]["title"] != "Senior Data Engineer":
            raise StoryFailed("the new title of C1006 is not in the profile")
        if after["C1005"]["manager"] != _short(self._world.upn("C1002")):
            raise StoryFailed("the manager's new UPN did not reach C1005")

    def keep_files(self, folder: Path) -> None:
        """Copy the reports and the quarantined rows to where they can be looked at."""
        with self._world.storage() as account:
            for container, kept in ((REPORTS, folder / "reports"), (QUARANTINE, folder / "quarantine")):
                kept.mkdir()
                client = account.get_container_client(container)
                for name in client.list_blob_names():
                    (kept / name.rpartition("/")[2]).write_bytes(client.download_blob(name).readall())
                if not any(kept.iterdir()):
                    raise StoryFailed(f"nothing was written to {container}")
        profiles = json.dumps(self._world.tenant.graph.profiles(), ensure_ascii=False, indent=2)
        (folder / "profiles.json").write_text(profiles, encoding="utf-8")

    def _report(self, number: int) -> dict[str, Any]:
        runs = {run["run"] for run in self._get("/api/admin/runs").json()["runs"]}
        new = runs - self._known_runs
        if len(new) != 1:
            raise StoryFailed(f"night {number}: the run should leave one report, but left {len(new)}")
        self._known_runs = runs
        report: dict[str, Any] = self._get(f"/api/admin/runs/{new.pop()}").json()
        return report

    def _get(self, target: str) -> Answer:
        answer = self._host.request("GET", target, key=self._host.key)
        if answer.status != 200:
            raise StoryFailed(f"GET {target} answered {answer.status}: {answer.body.decode()}")
        return answer

    def _print(self, content: Text | Table) -> None:
        self._console.print(Padding.indent(content, 2))

    def _heading(self, title: str, text: str) -> None:
        self._console.print()
        self._console.print(Text(title, style="bold cyan"), Text(text, style="dim"))


def _view(answer: Answer) -> Text:
    """Return one line for one answer of setup."""
    marks = {"done": ("✓ ", "green"), "in progress": ("… ", "yellow")}
    line = Text(f"{answer.status} ")
    for step in answer.json().get("steps", []):
        mark, style = marks.get(step["state"], ("· ", "dim"))
        line.append(f" {mark}{step['name']}", style=style)
    return line


def _numbers(report: Mapping[str, Any], sent: int) -> Text:
    """Return one line for one run: its outcome, every count that is not 0, and what Graph saw of it."""
    styles = {"created": "green", "updated": "yellow", "deleted": "red"}
    counts = [
        Text(f"{report[name]} {'in grace' if name == 'grace' else name}", style=styles.get(name, ""))
        for name in COUNTS
        if report[name]
    ]
    requests = Text(f"{sent} Graph request{'s' * (sent != 1)}")
    return Text(", ").join([Text(report["outcome"], style="bold"), *counts, requests])


def _changes(
    before: Mapping[str, Any], after: Mapping[str, Any], people: Mapping[str, Any], report: Mapping[str, Any]
) -> Table:
    """Say of everyone what changed: items as Graph holds them now, against what it held before."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    table.add_column(style="dim")
    old, new = _by_employee(before), _by_employee(after)
    joined = [fields[NAME] for employee, fields in new.items() if employee not in old]
    if len(joined) > 4:
        table.add_row("[green]+[/]", ", ".join(joined[:3]), f"and {len(joined) - 3} more")
    elif joined:
        table.add_row("[green]+[/]", ", ".join(joined), "")
    movers: dict[str, list[str]] = {}
    for employee, fields in new.items():
        if employee in old and fields != old[employee]:
            movers.setdefault(_differences(old[employee], fields), []).append(fields[NAME])
    for differences, names in movers.items():
        table.add_row("[yellow]~[/]", ", ".join(names), differences)
    for mark, name, why in (*_gone(old, new, people), *_left_aside(people, report)):
        table.add_row(mark, name, why)
    return table


def _gone(
    old: Mapping[str, Mapping[str, str]], new: Mapping[str, Mapping[str, str]], people: Mapping[str, Any]
) -> Iterator[tuple[str, str, str]]:
    """Say who is deleted, and who is missing."""
    for employee, fields in old.items():
        if employee not in new:
            why = "left: " + people[employee]["Status"].lower() if employee in people else "missing once more: gone"
            yield "[red]-[/]", fields[NAME], why
        elif employee not in people:
            yield "[magenta]?[/]", fields[NAME], "missing: kept until the next export confirms it"


def _left_aside(people: Mapping[str, Any], report: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Say who has no account, and which rows are rejected."""
    for person in report["unmatched_people"]:
        name = people[person["key"]]["DisplayName"]
        yield "[magenta]∅[/]", name, "no account in Entra yet: not sent, looked up again every day"
    for row in report["rows"]:
        codes = ", ".join(row["codes"])
        yield "[red]![/]", f"row {row['row']}", f"{codes}: quarantined for HR, the person stays as is"


def _differences(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    told = [
        f"{word} {_short(old.get(path, '-'))} → {_short(new.get(path, '-'))}"
        for path, word in WORDS.items()
        if old.get(path) != new.get(path)
    ]
    return "; ".join(told)


def _by_employee(items: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return every item's values, and its own id, by employee id."""
    fields = [{"item": item, **_fields(body)} for item, body in items.items()]
    return {one[EMPLOYEE]: one for one in sorted(fields, key=lambda one: one[EMPLOYEE])}


def _before_and_after(before: str, after: str) -> Text:
    if before == after:
        return Text(after)
    return Text.assemble((f"{before} → ", "dim"), (after, "green"))


def _touched(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    """Return the employee ids of everyone whose item came, changed or went."""
    old, new = _by_employee(before), _by_employee(after)
    return {employee for employee in old.keys() | new.keys() if old.get(employee) != new.get(employee)}


def _check(number: int, night: Night, report: Mapping[str, Any], touched: set[str], sent: int) -> None:
    expected = {"outcome": night.outcome} | dict.fromkeys(COUNTS, 0) | dict(night.counts)
    for name, value in expected.items():
        if report[name] != value:
            raise StoryFailed(f"night {number}: {name} should be {value}, but is {report[name]}")
    if touched != night.changed:
        raise StoryFailed(
            f"night {number}: other people were touched than should be: {sorted(touched ^ night.changed)}"
        )
    if report["graph"]["requests"] != sent:
        raise StoryFailed(f"night {number}: Graph saw {sent} requests, the report says {report['graph']['requests']}")
    if not night.changed and sent:
        raise StoryFailed(f"night {number}: nothing changed, and yet Graph saw {sent} requests")


def _fields(item: Mapping[str, Any]) -> dict[str, str]:
    """Return an item's values by path, with the JSON that stands in strings taken apart."""
    found: dict[str, str] = {}
    for name, value in item["properties"].items():
        if not name.endswith("@odata.type"):
            texts = value if isinstance(value, list) else [value]
            for text in texts:
                for path, leaf in _leaves(_parsed(text), name):
                    found[path] = f"{found[path]}, {leaf}" if path in found else leaf
    return found


def _parsed(text: Any) -> Any:
    return json.loads(text) if isinstance(text, str) and text.startswith("{") else text


def _leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}")
    else:
        yield path, str(value)


def _lines(world: Contoso, employee: str) -> dict[str, str]:
    """Return what someone's profile shows, by the words people use for it."""
    profile = world.tenant.graph.profiles()[world.upn(employee)]
    position = profile.get("personCurrentPosition", {})
    detail = position.get("detail", {})
    return {
        "name": profile.get("personName", {}).get("displayName", "-"),
        "title": detail.get("jobTitle", "-"),
        "department": detail.get("company", {}).get("department", "-"),
        "office": detail.get("company", {}).get("officeLocation", "-"),
        "manager": _short(position.get("manager", {}).get("userPrincipalName", "-")),
        "skills": ", ".join(skill["displayName"] for skill in profile.get("personSkills", [])) or "-",
        "colour": profile.get("custom", {}).get("favoriteColor", "-"),
    }


def _short(text: str) -> str:
    """Return a UPN without the domain that all of them have."""
    return text.removesuffix("@contoso.com")
