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
_INTRODUCTION: Final = Path(__file__).with_name("introduction.md")

_FIRST: Final = tuple(f"tests.live.test_{name}" for name in ("connections", "schema", "items", "people", "users"))
"""What a reader wants to read first, in this order; the others follow."""

_ELSEWHERE: Final = ("tests.graph.test_client", "tests.tenant.test_entra_and_vault", "tests.flows.test_rotation")
"""Modules some of whose tests state beliefs, beside much else."""

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
    paths = [*ROOT.glob("tests/live/test_*.py"), *ROOT.glob("tests/graph/test_simulator*.py")]
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths} - {"tests.live.test_the_suite"}
    return [*_FIRST, *sorted(names - {*_FIRST}, key=lambda name: (name.startswith("tests.graph"), name))]


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
    for module_name in (*test_modules(), *_ELSEWHERE):
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
    parts = [_INTRODUCTION.read_text(encoding="utf-8").rstrip(), _counts(stated)]
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
        ("", "rule", "mark", "source", "test", "resting on it, we"),
        (
            (
                f'<a id="{one.number.lower()}"></a>{one.number}',
                one.belief.rule,
                f"**{one.belief.mark}**" if one.belief.mark == "unknown" else one.belief.mark,
                "<br>".join(map(_source, one.belief.sources)),
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
            (_number(one), one.belief.rule, one.belief.either, "<br>".join(map(_test, one.belief.proof)))
            for one in stated
            if one.belief.mark == "unknown"
        ),
    ) + _prepared(stated)


def _prepared(stated: Sequence[Stated]) -> str:
    rows = [
        (_number(one), one.belief.rule, one.belief.either, "<br>".join(map(_test, one.belief.proof)))
        for one in stated
        if one.belief.mark == "likely" and one.belief.either
    ]
    head = ("", "what is only likely", "should it be otherwise", "shown by")
    return f"\n\n{_LIKELY}\n\n{_table(head, rows)}" if rows else ""


def _ours(stated: Sequence[Stated]) -> str:
    tables = []
    for topic in dict.fromkeys(behaviour.topic for behaviour in ours.behaviours()):
        rows = [
            (
                behaviour.does,
                _modules(behaviour),
                ", ".join(_number(one) for one in stated if behaviour in one.belief.rests),
            )
            for behaviour in ours.behaviours()
            if behaviour.topic == topic
        ]
        tables.append(f"### {topic}\n\n" + _table(("we", "in", "rests on"), rows))
    return "\n\n".join(tables)


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
