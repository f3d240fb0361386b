"""One measurement beside its bar, and where they are all kept: the table, and ``.bench/results.json``."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import orjson
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = ROOT / ".bench"
"""Where results and everything large that is measured with are left."""

Size = Literal["full", "short"]
"""short: some hundred people, in seconds, for CI: numbers are produced and counts are right, times mean nothing."""


@dataclass(frozen=True, slots=True)
class Result:
    """One number. ``bar`` is the bar it belongs to ("B1"), "" where it is told and held to nothing.

    ``reference`` is what it was measured beside, in the same unit, and ``ratio`` the one to the other. ``limit`` is
    what ``judged`` may come to at most, or, of ``at_least``, must come to.
    """

    bar: str
    name: str
    value: float
    unit: str
    reference: float | None = None
    limit: float | None = None
    judged: Literal["value", "ratio"] = "value"
    at_least: bool = False

    @property
    def ratio(self) -> float | None:
        """The value in multiples of the reference."""
        return self.value / self.reference if self.reference else None

    @property
    def ok(self) -> bool:
        """Whether the bar holds; what has no limit always does."""
        judged = self.ratio if self.judged == "ratio" else self.value
        if self.limit is None or judged is None:
            return self.limit is None
        return judged >= self.limit if self.at_least else judged <= self.limit

    def as_json(self) -> dict[str, object]:
        """Return the members that ``.bench/results.json`` has for each result."""
        members = ("bar", "name", "value", "unit", "reference", "ratio", "limit", "ok")
        return {name: getattr(self, name) for name in members}


def write(results: Sequence[Result], *, size: Size, path: Path) -> None:
    """Write the results as JSON.

    Beside them: ``details.json``, from which they can be made again, and ``machine.json``, what they were measured on.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps([each.as_json() for each in results], option=orjson.OPT_INDENT_2))
    (path.parent / "details.json").write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))
    (path.parent / "machine.json").write_bytes(orjson.dumps(machine(size), option=orjson.OPT_INDENT_2))


def machine(size: Size) -> dict[str, object]:
    """Return what the numbers depend on: processor, memory, system, Python."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {
        "processor": model or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": platform.platform(terse=True),
        "python": ".".join(map(str, sys.version_info[:3])),
        "size": size,
    }


def table(results: Sequence[Result]) -> Table:
    """Return the results as a table for people, in the order of the measurements."""
    shown = Table("bar", "what", box=None, pad_edge=False, header_style="bold")
    for heading in ("measured", "reference", "ratio", "limit"):
        shown.add_column(heading, justify="right", no_wrap=True)
    shown.add_column("")
    for each in results:
        reference = "" if each.reference is None else number_text(each.reference)
        shown.add_row(
            each.bar,
            each.name,
            f"{number_text(each.value)} {each.unit}".strip(),
            reference,
            "" if each.ratio is None else f"{each.ratio:.2f}",
            limit_text(each),
            "" if each.limit is None else "[green]ok[/]" if each.ok else "[bold red]above[/]",
        )
    return shown


def limit_text(result: Result) -> str:
    """Return a limit as people read it; "" where there is none."""
    if result.limit is None:
        return ""
    sign, unit = ("≥" if result.at_least else "≤"), (" times" if result.judged == "ratio" else f" {result.unit}")
    return f"{sign} {number_text(result.limit)}{unit}".strip()


def number_text(value: float) -> str:
    """Return a number as people read it."""
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3g}"
