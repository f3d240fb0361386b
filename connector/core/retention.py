"""How long what we write is kept, and what of it goes: never what the head refers to, and a bounded part at a time.

Quarantine files are HR's, and are none of it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from connector.core.head import Head

KEPT_REPORTS: Final = 90
"""Runs whose reports stay, each as JSON and as a page."""

KEPT_LEDGERS: Final = 3
"""Generations that stay, the present one among them, for whoever must look back."""

MOST_DELETED: Final = 100
"""Blobs that go at the end of one run, of each kind of storage; what is left goes with the next ones."""

_REPORT: Final = re.compile(r"(?P<run>[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4,12})\.(json|html)")


def old_reports(names: Iterable[str], head: Head) -> list[str]:
    """Return which reports go, those of the oldest runs first; ``names`` are all that stand in the container.

    A run's name begins with its moment, so names have its order. What is no report of a run stays.
    """
    runs: dict[str, list[str]] = {}
    for name in names:
        if found := _REPORT.fullmatch(name.rpartition("/")[2]):
            runs.setdefault(found["run"], []).append(name)
    kept = {head.last_run, head.run and head.run.id, head.held and head.held.run}
    old = [run for run in sorted(runs)[:-KEPT_REPORTS] if run not in kept]
    return [name for run in old for name in runs[run]][:MOST_DELETED]


def old_ledgers(names: Iterable[str], present: str) -> list[str]:
    """Return which generations go; names have the order of generations, ``present`` is the one the head names."""
    until = sorted(name for name in names if name <= present)
    return until[:-KEPT_LEDGERS]


def kept_copies(head: Head) -> frozenset[str]:
    """Return the names of the copies that stay: of the last two applied exports, corrections, and the run under way."""
    marks = (head.applied, head.previous, *head.partials, head.run and head.run.export)
    return frozenset(file.copy for mark in marks if mark for file in mark.files)
