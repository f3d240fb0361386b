"""What one run did, in numbers: for HR, for the operator, for alerts (interface §6)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

Outcome = Literal["completed", "unchanged", "held", "refused", "partial", "superseded", "failed"]

_QUOTES_THE_FILE: Final = frozenset({"missing_column", "duplicate_column", "different_export"})
"""Errors whose message repeats the header, or the file's name. In a file without a header, the first person's row
stands in its place; a name is HR's to choose."""

LISTS: Final = ("unmatched_people", "missing_people", "held_people", "failed_people", "drifted_people")
"""The members of a report that list people."""

MAX_LISTED: Final = 1000
"""People or rows that a report lists by name of key or row; the counts are always whole."""


@dataclass(frozen=True, slots=True)
class ListedRow:
    """A rejected row: its number (data from 1), the person's key where it is readable, codes, and what to do.

    ``file`` names its file where the export has several.
    """

    row: int
    key: str
    codes: tuple[str, ...]
    message: str
    file: str = ""


@dataclass(frozen=True, slots=True)
class Counts:
    """People, cumulated over the slices of a run. ``out_of_scope``: left out by the mapping, so none of ``people``."""

    people: int = 0
    rejected: int = 0
    unmatched: int = 0
    unchanged: int = 0
    created: int = 0
    updated: int = 0
    deleted: int = 0
    held: int = 0
    failed: int = 0
    grace: int = 0
    transferred: int = 0
    out_of_scope: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """One run.

    Moments are ISO in UTC. The lists of people (each a key and a reason) and ``rows`` hold personal data: the report
    stays in the HR storage account, and none of it goes into a log. ``quarantine`` is the first of ``quarantines``, of
    which there is one per file with rejected rows. ``verified``: how many items were read back, by what was found;
    ``drifted_people`` are those whose item Graph has otherwise, or not at all. ``approved``: who released what had been
    held or refused (``by``), when, and under which hash (``plan``).
    """

    run: str
    connection: str
    trigger: str
    outcome: Outcome
    started: str
    finished: str = ""
    reasons: tuple[str, ...] = ()
    export: Mapping[str, Any] | None = None
    counts: Counts = field(default_factory=Counts)
    warnings: Mapping[str, int] = field(default_factory=dict)
    guards: tuple[Mapping[str, Any], ...] = ()
    plan: str | None = None
    approved: Mapping[str, str] | None = None
    graph: Mapping[str, Any] = field(default_factory=lambda: {"requests": 0, "throttled": 0, "seconds": 0.0})
    slices: int = 1
    error: Mapping[str, str] | None = None
    unmatched_people: tuple[Mapping[str, str], ...] = ()
    missing_people: tuple[Mapping[str, str], ...] = ()
    held_people: tuple[Mapping[str, str], ...] = ()
    failed_people: tuple[Mapping[str, str], ...] = ()
    drifted_people: tuple[Mapping[str, Any], ...] = ()
    verified: Mapping[str, int] | None = None
    rows: tuple[ListedRow, ...] = ()
    quarantine: str | None = None
    quarantines: tuple[str, ...] = ()

    def body(self) -> dict[str, Any]:
        """Return the report as JSON, counts at the top level."""
        raw = asdict(self)
        counts = raw.pop("counts")
        plan = raw.pop("plan")
        order = ("run", "connection", "trigger", "outcome", "error", "export")
        head = {name: raw.pop(name) for name in order}
        return {**head, **counts, **({"plan": plan} if plan else {}), **raw}

    def numbers(self) -> dict[str, Any]:
        """Return what may go into a log line: numbers and codes, nothing about a person."""
        counts = asdict(self.counts)
        numbers: dict[str, Any] = {"run": self.run, "trigger": self.trigger, **counts, "slices": self.slices}
        numbers["warnings"] = dict(self.warnings)
        numbers["graph"] = dict(self.graph)
        numbers["guards"] = [guard["name"] for guard in self.guards if guard["tripped"]]
        if self.verified:
            numbers["verified"] = dict(self.verified)
        if self.approved:
            numbers["approved"] = self.approved["plan"]
        if self.error:
            quotes = self.error["code"] in _QUOTES_THE_FILE
            told = ("code",) if quotes else ("code", "message")
            numbers["error"] = {name: self.error[name] for name in told}
        return numbers


def load_report(raw: Mapping[str, Any]) -> Report:
    """Read what ``dataclasses.asdict`` made of a report, as it is stored beside the plan of an unfinished run."""
    rows = tuple(ListedRow(**{**row, "codes": tuple(row["codes"])}) for row in raw["rows"])
    lists = {name: tuple(raw.get(name, ())) for name in ("reasons", "guards", "quarantines", *LISTS)}
    return Report(**{**raw, **lists, "counts": Counts(**raw["counts"]), "rows": rows})


def dump_report(report: Report) -> bytes:
    """Return the report as the JSON file."""
    return orjson.dumps(report.body(), option=orjson.OPT_INDENT_2)


def listed(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored report without its lists of people and rows: what a list of runs shows."""
    return {name: value for name, value in body.items() if name not in {"rows", *LISTS}}
