"""What a run would do, told without doing it: the plan's people with reasons, and how long it would take."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from connector.core.plan import Delete, Upsert

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from connector.core.ledger import Ledger
    from connector.core.plan import Plan
    from connector.core.report import Report

USUAL_RATE: Final = 25.0
"""Items per second that a connection takes, by what others have measured: said where we have learned nothing."""

_OF_A_RUN: Final = frozenset({"run", "slices", "quarantine", "quarantines"})
"""Members of a report that there are only once something has been done."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One person of a plan: ``action`` is create, update, delete, hold (a deletion) or wait (in grace)."""

    action: str
    key: str
    item: str
    reason: str


@dataclass(frozen=True, slots=True)
class Expected:
    """How long the writes would take. ``learned``: the pace is that of former runs; ``slices``: invocations."""

    writes: int
    per_second: float
    learned: bool
    seconds: int
    slices: int


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """The report that a run would end with if all went well, and what it would do. ``unfinished``: it ends that run."""

    report: Report
    samples: tuple[Sample, ...] = ()
    expected: Expected | None = None
    unfinished: str = ""

    def body(self) -> dict[str, Any]:
        """Return it as JSON: the report's members, and those of the rehearsal."""
        report = {name: value for name, value in self.report.body().items() if name not in _OF_A_RUN}
        return {
            "dry_run": True,
            **report,
            "unfinished": self.unfinished or None,
            "expected": _members(self.expected) if self.expected else None,
            "samples": [_members(sample) for sample in self.samples],
        }


def samples(plan: Plan, ledger: Ledger, *, limit: int) -> tuple[Sample, ...]:
    """Return the first people of each kind of action, at most ``limit`` of each."""
    seen: Counter[str] = Counter()
    found = []
    for sample in _samples(plan, ledger):
        seen[sample.action] += 1
        if seen[sample.action] <= limit:
            found.append(sample)
    return tuple(found)


def expected(plan: Plan, pace: Mapping[str, Any], *, ceiling: float | None, slice_seconds: int) -> Expected:
    """Return how long a plan's writes take at the learned ``pace`` (`connector.core.head.Head.pace`), or the usual."""
    rate = pace.get("rate")
    per_second = min(rate or USUAL_RATE, ceiling or math.inf)
    seconds = math.ceil(len(plan.actions) / per_second)
    return Expected(len(plan.actions), per_second, rate is not None, seconds, math.ceil(seconds / slice_seconds))


def _samples(plan: Plan, ledger: Ledger) -> Iterator[Sample]:
    for action in plan.actions:
        match action:
            case Upsert():
                kind = "create" if action.created else "update"
                yield Sample(kind, action.after.key, action.after.item_id, _why(action, ledger))
            case Delete():
                yield Sample("delete", _person(action), action.entry.item_id, action.reason)
    for delete in plan.held:
        yield Sample("hold", _person(delete), delete.entry.item_id, delete.reason)
    for key in plan.missing:
        yield Sample("wait", key, ledger.entries[key].item_id, "absent")


def _person(delete: Delete) -> str:
    return delete.entry.former_of or delete.entry.key


def _why(upsert: Upsert, ledger: Ledger) -> str:
    """Return why a person is sent: what is new about them against what Graph last accepted."""
    before = ledger.entries.get(upsert.after.key)
    if before is None or not before.held:
        return "tried again" if before is not None and before.state == "failed" else "new"
    if upsert.moved:
        return "renamed"
    if before.state in {"failed", "doubt"}:
        return "tried again"
    return "sent again" if before.item == upsert.after.item else "changed"


def _members(value: Sample | Expected) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}
