"""``make demo``: some nights, told from what Graph holds; every sentence of the story is checked."""

from __future__ import annotations

import csv
import io
import json
import logging
import shutil
import time
from textwrap import indent
from typing import TYPE_CHECKING, Any, Final

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tests.tenant.contoso import CASTS, EXPORTS, QUARANTINE, REPORTS, ROOT, SAMPLES, contoso
from tests.tenant.functions_host import FunctionsHost
from tests.tenant.stories import STORIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from rich.console import Console

    from tests.tenant.contoso import Contoso
    from tests.tenant.engines import Answer
    from tests.tenant.graph.contracts import ContractName
    from tests.tenant.stories import Night, Story

STORY: Final = "story.txt"
LOG: Final = "connector.log"
"""Everything the connector logs, in the demo's folder."""

SETUP_DEADLINE_SECONDS: Final = 120


class StoryFailed(Exception):
    """Something came out otherwise than the demo tells it."""


ACCOUNT: Final = "accounts.externalDirectoryObjectId"
"""Where an item has the object id of its person, with the JSON in its strings taken apart: it is theirs for good."""

COUNTS: Final = (
    *("created", "updated", "transferred", "deleted", "unchanged"),
    *("unmatched", "rejected", "grace", "held", "failed"),
)


def demo(console: Console, folder: Path, *, contract: ContractName) -> None:
    """Run the demo under a contract; reports, quarantine and log are left in the folder, which is emptied first.

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
    story = STORIES[contract]
    if story.about:
        console.print(Text(story.about))
    with contoso(cast=CASTS[contract]) as world, FunctionsHost(ROOT, world.settings) as host:
        if host.errors:
            raise StoryFailed(" ".join(host.errors.values()))
        console.print(f"function_app.py runs through {host.engine}")
        teller = _Teller(console, world, host, story)
        teller.set_up()
        for number, night in enumerate(story.nights, 1):
            teller.night(number, night)
        teller.profiles()
        teller.keep_files(folder)
    seconds = time.monotonic() - began
    console.print(f"\n[green]As told.[/] {seconds:.0f} s. Reports, quarantine and log are in [bold]{folder.name}/[/]")
    (folder / STORY).write_text(console.export_text(), encoding="utf-8")


class _Teller:
    def __init__(self, console: Console, world: Contoso, host: FunctionsHost, story: Story) -> None:
        self._console = console
        self._world = world
        self._host = host
        self._story = story
        self._before: dict[str, dict[str, str]] = {}  # the profiles of those shown, when Entra first knew them
        self._known_runs: set[str] = set()

    def set_up(self) -> None:
        """Call POST /setup until it is done, as an operator would."""
        self._heading("Setup", "POST /api/admin/setup, until it answers 200")
        set_up(self._host, self._print)

    def night(self, number: int, night: Night) -> None:
        """Drop the export, fire the timer, and say what that changed in Graph."""
        export = (SAMPLES / night.sample).read_bytes()
        self._world.follow(export)
        self._look()
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
        self._print(numbers(report, sent))
        people = {row[self._world.cast.key]: row for row in csv.DictReader(io.StringIO(export.decode()))}
        self._print(_changes(self._story, before, graph.items, people, report))
        for item_id, expected in night.items.items():
            self._item(item_id, expected)
        _check(number, night, report, _touched(self._story, before, graph.items), sent)

    def profiles(self) -> None:
        """Show what people would see of some of them, before and after."""
        story, before = self._story, self._before
        self._heading("Profiles", "as people see them: before the connector sent anything → now")
        after = {key: _lines(self._world, key, story.lines) for key in story.shown}
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
        table.add_column(style="dim", no_wrap=True)
        for _ in story.shown:
            table.add_column(overflow="fold", ratio=1)
        for name in story.lines:
            table.add_row(name, *(_before_and_after(before[key][name], after[key][name]) for key in story.shown))
        self._print(table)
        for key, lines in after.items():
            if missing := [name for name, value in lines.items() if value == "-"]:
                raise StoryFailed(f"the profile of {key} has no {', '.join(missing)}")
        for key, name, value in story.ends:
            if after[key][name] != value:
                raise StoryFailed(f"the profile of {key} should have the {name} {value}, but has {after[key][name]}")

    def _look(self) -> None:
        """Remember the profiles of those who are new, before anything of ours reaches them."""
        for key in self._story.shown:
            if key not in self._before and self._world.knows(key):
                self._before[key] = _lines(self._world, key, self._story.lines)

    def _item(self, item_id: str, expected: Mapping[str, Any]) -> None:
        """Show an item as Graph holds it, which must be this one to the letter."""
        graph = self._world.tenant.graph
        held = graph.items.get(item_id)
        self._print(Text(f"PUT /{graph.rules.version}/…/items/{item_id}, as Graph holds it:", style="dim"))
        # Lines as they are, so that they can be copied; the terminal folds those that are too long for it.
        self._console.print(Text(indent(json.dumps(held, indent=2), "    ")), soft_wrap=True)
        if held != expected:
            raise StoryFailed(f"Graph should hold this instead:\n{json.dumps(expected, indent=2)}")
        self._print(Text("✓ to the letter the walkthrough's; the object id is the local Entra's", style="green"))

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


def set_up(host: FunctionsHost, say: Callable[[Text], None]) -> None:
    """Call POST /setup until it is done, as an operator would, and say what each new answer shows.

    Raises:
        StoryFailed: it is refused, or does not come to an end.
    """
    deadline = time.monotonic() + SETUP_DEADLINE_SECONDS
    shown = None
    while True:
        answer = host.request("POST", "/api/admin/setup", key=host.key)
        if answer.status not in (200, 202):
            raise StoryFailed(f"setup answered {answer.status}: {answer.body.decode()}")
        view = _view(answer)
        if view != shown:
            say(view)
            shown = view
        if answer.status == 200:
            return
        if time.monotonic() > deadline:
            raise StoryFailed(f"setup was not done after {SETUP_DEADLINE_SECONDS} s")
        time.sleep(float(answer.headers["retry-after"]))


def _view(answer: Answer) -> Text:
    """Return one line for one answer of setup."""
    marks = {"done": ("✓ ", "green"), "in progress": ("… ", "yellow")}
    line = Text(f"{answer.status} ")
    for step in answer.json().get("steps", []):
        mark, style = marks.get(step["state"], ("· ", "dim"))
        line.append(f" {mark}{step['name']}", style=style)
    return line


def numbers(report: Mapping[str, Any], sent: int) -> Text:
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
    story: Story,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    people: Mapping[str, Any],
    report: Mapping[str, Any],
) -> Table:
    """Say of everyone what changed: items as Graph holds them now, against what it held before."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    table.add_column(style="dim")
    old, new = _by_account(story, before), _by_account(story, after)
    joined = [_short(fields[story.name]) for account, fields in new.items() if account not in old]
    if len(joined) > 4:
        table.add_row("[green]+[/]", ", ".join(joined[:3]), f"and {len(joined) - 3} more")
    elif joined:
        table.add_row("[green]+[/]", ", ".join(joined), "new")
    movers: dict[str, list[str]] = {}
    for account, fields in new.items():
        if account in old and fields != old[account]:
            movers.setdefault(_differences(story, old[account], fields), []).append(_short(fields[story.name]))
    for differences, names in movers.items():
        table.add_row("[yellow]~[/]", ", ".join(names), differences)
    for mark, name, why in (*_gone(story, old, new, people), *_left_aside(story, people, report)):
        table.add_row(mark, name, why)
    return table


def _gone(
    story: Story,
    old: Mapping[str, Mapping[str, str]],
    new: Mapping[str, Mapping[str, str]],
    people: Mapping[str, Any],
) -> Iterator[tuple[str, str, str]]:
    """Say who is deleted, and who is missing."""
    for account, fields in old.items():
        key, name = fields[story.key], _short(fields[story.name])
        if account not in new:
            why = "left: " + people[key]["Status"].lower() if key in people else "missing once more: gone"
            yield "[red]-[/]", name, why
        elif new[account][story.key] not in people:
            yield "[magenta]?[/]", name, "missing: kept until the next export confirms it"


def _left_aside(story: Story, people: Mapping[str, Any], report: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Say who has no account, and which rows are rejected."""
    for person in report["unmatched_people"]:
        name = _short(people[person["key"]][story.named])
        yield "[magenta]∅[/]", name, "no account in Entra yet: not sent, looked up again every day"
    for row in report["rows"]:
        codes = ", ".join(row["codes"])
        yield "[red]![/]", f"row {row['row']}", f"{codes}: quarantined for HR; whoever it is about stays as is"


def _differences(story: Story, old: Mapping[str, str], new: Mapping[str, str]) -> str:
    told = [
        f"{word} {_short(old.get(path, '-'))} → {_short(new.get(path, '-'))}"
        for path, word in story.words.items()
        if old.get(path) != new.get(path)
    ]
    return "; ".join(told)


def _by_account(story: Story, items: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return every item's values, and its own id, by the person's object id; in the order of HR's keys."""
    fields = [{"item": item, **_fields(body)} for item, body in items.items()]
    return {one[ACCOUNT]: one for one in sorted(fields, key=lambda one: one[story.key])}


def _before_and_after(before: str, after: str) -> Text:
    if before == after:
        return Text(after)
    return Text.assemble((f"{before} → ", "dim"), (after, "green"))


def _touched(story: Story, before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    """Return the keys of everyone whose item came, changed or went; who has a new key, has that."""
    old, new = _by_account(story, before), _by_account(story, after)
    return {
        (old | new)[account][story.key] for account in old.keys() | new.keys() if old.get(account) != new.get(account)
    }


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
    return json.loads(text) if isinstance(text, str) and text.startswith(("{", "[")) else text


def _leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, path)
    else:
        yield path, str(value)


def _lines(world: Contoso, key: str, names: tuple[str, ...]) -> dict[str, str]:
    """Return these lines of what someone's profile shows, by the words people use for it."""
    upn = world.upn(key)
    profile = world.tenant.graph.profiles()[upn]
    position = profile.get("personCurrentPosition", {})
    detail = position.get("detail", {})
    lines = {
        "UPN": _short(upn),
        "name": profile.get("personName", {}).get("displayName", "-"),
        "title": detail.get("jobTitle", "-"),
        "department": detail.get("company", {}).get("department", "-"),
        "office": detail.get("company", {}).get("officeLocation", "-"),
        "manager": _short(position.get("manager", {}).get("userPrincipalName", "-")),
        "skills": ", ".join(skill["displayName"] for skill in profile.get("personSkills", [])) or "-",
        "colour": profile.get("custom", {}).get("favoriteColor", "-"),
    }
    return {name: lines[name] for name in names}


def _short(text: str) -> str:
    """Return a UPN without the domain that all of them have."""
    return text.removesuffix("@contoso.com")
