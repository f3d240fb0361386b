"""``python -m tests.bench``: measure everything, print one table, leave ``.bench/results.json``."""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console

from tests.bench.results import FOLDER, Result, Size, table, write

if TYPE_CHECKING:
    from collections.abc import Iterator

SECTIONS: Final[tuple[str, ...]] = ("reading", "ledger", "ingest", "accounts", "cold", "scale")
"""The modules beside this one whose ``measure(size)`` yields results, in the order of the table."""


def measured(size: Size, sections: tuple[str, ...] = SECTIONS) -> Iterator[Result]:
    """Yield each section's results as they come."""
    for name in sections:
        yield from importlib.import_module(f"tests.bench.{name}").measure(size)


def main(arguments: list[str] | None = None) -> int:
    """Run the sections that were asked for; return 1 when a bar does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help=f"some of {', '.join(SECTIONS)}; all unless given"
    )
    parser.add_argument("--short", action="store_true", help="a few people: the numbers are there, and mean nothing")
    parser.add_argument("--results", type=Path, default=FOLDER / "results.json", help="where the JSON is left")
    given = parser.parse_args(arguments)
    unknown = set(given.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"there is no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    size: Size = "short" if given.short else "full"
    console, results, began = Console(), [], time.monotonic()
    for result in measured(size, tuple(given.sections) or SECTIONS):
        results.append(result)
        if console.is_terminal:
            console.print(f"[dim]{time.monotonic() - began:5.0f} s  {result.bar or '  '}  {result.name}")
    console = console if console.is_terminal else Console(width=140)
    console.print(table(results))
    write(results, size=size, path=given.results)
    missed = [result for result in results if not result.ok]
    if size == "full" and missed:
        console.print(f"{len(missed)} of {len(results)} bars do not hold.", style="bold red")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
