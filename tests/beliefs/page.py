"""``docs/graph.md``: every belief with its source, its test and what rests on it. Written by ``make beliefs``."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.beliefs import AREAS, Belief, ours

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import ModuleType

    from tests.beliefs import Area
    from tests.beliefs.ours import Behaviour
    from tests.beliefs.sources import Source

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "graph.md"

_LETTERS: Final[dict[Area, str]] = {
    "connections": "C",
    "schema": "S",
    "operations": "O",
    "items": "I",
    "profile composition": "P",
    "profile sources and priority": "R",
    "users and $batch": "U",
    "throttling and errors": "E",
    "tokens": "T",
    "the tutorial's contract": "V",
}


@dataclass(frozen=True, slots=True)
class Stated:
    """A belief where it is stated. ``number`` is its name on the page, ``test`` its test as ``path::name``."""

    belief: Belief
    number: str
    test: str


def test_modules() -> list[str]:
    """Return the modules whose tests are about Graph, or about its simulator."""
    found = [*ROOT.glob("tests/graph/test_simulator*.py"), *ROOT.glob("tests/live/test_*.py")]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in sorted(found)]
    return [name for name in names if name != "tests.live.test_the_suite"]


def tests_of(module: ModuleType) -> Iterator[tuple[str, list[Belief], bool]]:
    """Yield the tests of a module with what they state, and whether they are declared machinery."""
    for name, value in vars(module).items():
        if name.startswith("test_") and inspect.isfunction(value):
            marks = getattr(value, "pytestmark", [])
            # Marks are applied from the bottom up; the page has them as they are read.
            beliefs = [mark.args[0] for mark in reversed(marks) if mark.name == "belief"]
            yield name, beliefs, any(mark.name == "machinery" for mark in marks)


def collect() -> list[Stated]:
    """Return all beliefs, numbered within their area. Nothing is run; the modules are only imported."""
    found: list[tuple[Belief, str]] = []
    for module_name in test_modules():
        path = module_name.replace(".", "/") + ".py"
        module = importlib.import_module(module_name)
        found += [(belief, f"{path}::{name}") for name, beliefs, _ in tests_of(module) for belief in beliefs]
    count: Counter[Area] = Counter()
    numbered = []
    for belief, test in sorted(found, key=lambda pair: AREAS.index(pair[0].area)):
        count[belief.area] += 1
        numbered.append(Stated(belief, f"{_LETTERS[belief.area]}{count[belief.area]}", test))
    return numbered


def test_names(path: str) -> set[str]:
    """Return the names of the tests in a file, methods as ``Class::name``."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    names = {node.name for node in tree.body if isinstance(node, functions)}
    for outer in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        names |= {f"{outer.name}::{node.name}" for node in outer.body if isinstance(node, functions)}
    return names


def page() -> str:
    """Return the page's text."""
    stated = collect()
    parts = [_INTRODUCTION, _counts(stated)]
    for area in AREAS:
        rows = [one for one in stated if one.belief.area == area]
        if rows:
            parts.append(f"## {area[0].upper()}{area[1:]}\n\n{_area(rows)}")
    parts += [
        f"{_UNKNOWN}\n\n{_unknown(stated)}",
        f"{_OURS}\n\n{_ours(stated)}",
        f"{_SOURCES}\n\n{_all_sources(stated)}",
    ]
    return "\n\n".join(parts) + "\n"


def _counts(stated: Sequence[Stated]) -> str:
    marks = Counter(one.belief.mark for one in stated)
    live = sum(one.test.startswith("tests/live/") for one in stated)
    return (
        f"There are {len(stated)} rules: {marks['certain']} certain, {marks['likely']} likely, {marks['unknown']}"
        f" unknown. {live} of them are checked in a tenant by `tests/live`."
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _area(rows: Sequence[Stated]) -> str:
    return _table(
        ("", "rule", "mark", "source", "test", "what rests on it"),
        (
            (
                f'<a id="{one.number.lower()}"></a>{one.number}',
                one.belief.rule,
                f"**{one.belief.mark}**" if one.belief.mark == "unknown" else one.belief.mark,
                "; ".join(map(_source, one.belief.sources)),
                _test(one.test),
                "; ".join(behaviour.does for behaviour in one.belief.rests),
            )
            for one in rows
        ),
    )


def _source(source: Source) -> str:
    name = f"[{source.name}]({source.url})" if source.url else source.name
    return f"{name}, {source.date}" if source.date else name


def _test(test: str) -> str:
    """Return a link to a test, in words that can be broken into lines; its path::name is the link's title."""
    path, _, name = test.partition("::")
    words = name.rpartition("::")[2].removeprefix("test_").replace("_", " ")
    return f'[{words}](../{path} "{test}")'


def _number(one: Stated) -> str:
    return f"[{one.number}](#{one.number.lower()})"


def _unknown(stated: Sequence[Stated]) -> str:
    return _table(
        ("", "what is not known", "what we do, so that either answer works; or how it would be noticed", "shown by"),
        (
            (_number(one), one.belief.rule, one.belief.either, "; ".join(map(_test, one.belief.proof)))
            for one in stated
            if one.belief.mark == "unknown"
        ),
    ) + _prepared(stated)


def _prepared(stated: Sequence[Stated]) -> str:
    rows = [
        (_number(one), one.belief.rule, one.belief.either, "; ".join(map(_test, one.belief.proof)))
        for one in stated
        if one.belief.mark == "likely" and one.belief.either
    ]
    head = ("", "what is only likely", "should it be otherwise", "shown by")
    return f"\n\n{_LIKELY}\n\n{_table(head, rows)}" if rows else ""


def _ours(stated: Sequence[Stated]) -> str:
    def rows() -> Iterator[tuple[str, str, str]]:
        for behaviour in ours.behaviours():
            facts = [one for one in stated if behaviour in one.belief.rests]
            if facts:
                yield behaviour.does, _modules(behaviour), ", ".join(map(_number, facts))

    return _table(("we", "in", "rests on"), rows())


def _modules(behaviour: Behaviour) -> str:
    return ", ".join(f"[{path.removeprefix('connector/')}](../{path})" for path in behaviour.where)


def _all_sources(stated: Sequence[Stated]) -> str:
    cited: dict[Source, list[Stated]] = {}
    for one in stated:
        for source in one.belief.sources:
            cited.setdefault(source, []).append(one)
    ordered = sorted(cited, key=lambda source: (not source.url, source.name.casefold()))
    return _table(
        ("page or report", "its date", "stated there"),
        (
            (
                f"[{source.name}]({source.url})" if source.url else source.name,
                source.date or ("undated" if source.url else ""),
                ", ".join(map(_number, cited[source])),
            )
            for source in ordered
        ),
    )


_INTRODUCTION: Final = """\
# What we believe about Microsoft Graph

<!-- Made by `make beliefs` from the tests of the simulated Graph. Change those, not this page. -->

No test of ours runs in a genuine tenant unless somebody asks for it, so everything rests on a simulated Graph
([tests/tenant/graph](../tests/tenant/graph)). This page is the record of what it plays: each rule, how sure we are of it,
where it comes from, the test that shows it, and what of ours rests on it. It is made from those tests and cannot say
anything else than they do.

**To find what a behaviour of ours rests on**, look for it in [From our behaviour to the rules](#from-our-behaviour-to-the-rules);
to find out whether a page of Microsoft's that has changed concerns us, in [Sources](#sources).

| mark | means |
| --- | --- |
| certain | current documentation or metadata of Microsoft's says so |
| likely | older documentation, an example, or what several people saw in their tenants |
| **unknown** | not found, contradictory, or seen once. What we do about each is told [below](#what-is-not-known) |

A date is the page's own. "Field report" and "field code" are public repositories: what somebody saw, no promise of
Microsoft's. Dates without a day are those of the commits.

A test's file is behind its link, its name is its words with underscores; the tooltip has both. All of them:

```sh
.venv/bin/python -m pytest tests/graph tests/live
.venv/bin/python -m pytest tests/live -k a_put_replaces_all_properties
```

## To check it in a tenant

Tests in [tests/live](../tests/live) know nothing about where they run: on every test run they meet the simulator on
loopback, and a genuine tenant when they are asked to. It takes half an hour, most of it waiting for two schemas:

```sh
export LIVE_TENANT_ID=... LIVE_USER_UPN=...                 # a test tenant, and one user in it
export LIVE_ADMIN_CLIENT_ID=... LIVE_ADMIN_SECRET=...       # ExternalConnection.ReadWrite.OwnedBy, PeopleSettings.ReadWrite.All
export LIVE_INGEST_CLIENT_ID=... LIVE_INGEST_SECRET=...     # ExternalItem.ReadWrite.OwnedBy, User.Read.All
.venv/bin/python -m pytest -m live tests/live
```

It announces what it will do. Everything it makes is named `livetest` and random digits, and is removed in the end, also
when rules fail; what could not be removed is named. It looks up one user and the ids of two; nobody's profile changes,
since items are removed at once. The tenant's priority list is only read, unless `LIVE_PRIORITY=write` lets our source be
added to its end for some seconds; then it is put back as it was. `LIVE_GRAPH_BASE_URL` chooses another version or cloud,
`LIVE_AUTHORITY` its Entra. A rule that fails is a belief to correct: in the test, in the simulator, and then in what rests
on it. To questions whose answer is unknown, the run ends with what it `observed`; write that into the test's mark.

What people see hours later cannot be checked that way: look at the profiles of a pilot."""

_UNKNOWN: Final = """\
## What is not known

For each open question: what we do so that either answer works, or how an operator would notice. "Shown by" names
tests that play more than one answer, or the notice."""

_LIKELY: Final = """\
### Prepared for, though likely

Rules that are only likely, where we are prepared for the opposite."""

_OURS: Final = """\
## From our behaviour to the rules"""

_SOURCES: Final = """\
## Sources

Which rules a page states: where to begin when it has changed."""
