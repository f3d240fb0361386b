"""What waits for a human, under which hash, and what else an approval of that hash is about (design §3.16)."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import orjson

from connector.core.plan import Delete
from connector.core.reporting import with_warnings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from connector.core.guards import Verdict
    from connector.core.head import Approval
    from connector.core.plan import Action
    from connector.core.report import Report


@dataclass(frozen=True, slots=True)
class Pending:
    """What waits: ``lines`` of what would be done, made from one export under one mapping (both by their digests).

    ``guards`` are those that refused the export, none where only deletions are held. What is planned again from the
    same inputs has the same hash, whenever that happens.
    """

    export: str
    mapping: str
    guards: tuple[str, ...] = ()
    lines: frozenset[str] = frozenset()

    @property
    def digest(self) -> str:
        """Return the hash that an approval names."""
        parts = [self.export, self.mapping, *(f"guard {name}" for name in sorted(self.guards)), *sorted(self.lines)]
        return "sha256:" + hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def covers(self, other: Pending) -> bool:
        """Tell whether an approval of this is one of ``other`` too: the same, or what is left of it by now.

        Whoever approved one guard's finding has not seen another's, and whoever took an export has not said that
        anybody may be deleted.
        """
        same = (self.export, self.mapping, bool(self.guards)) == (other.export, other.mapping, bool(other.guards))
        return same and set(other.guards) <= set(self.guards) and other.lines <= self.lines


@dataclass(slots=True)
class Word:
    """What people's approvals let one run do, about one export under one mapping (both by their digests).

    ``before`` are the guards that were released for this export by an earlier run, ``approvals`` those that count now,
    ``known`` what waits under their hashes, as far as that is known. ``used`` are the approvals that were needed, and
    ``deletes`` is the hash of the one that releases deletions.
    """

    export: str
    mapping: str
    before: frozenset[str] = frozenset()
    approvals: tuple[Approval, ...] = ()
    known: Mapping[str, Pending] = field(default_factory=dict)
    used: list[Approval] = field(default_factory=list)
    deletes: str = ""

    def pending(self, guards: Iterable[str] = (), actions: Iterable[Action] = ()) -> Pending:
        """Return what would wait: the findings of guards, or actions."""
        return Pending(self.export, self.mapping, tuple(guards), action_lines(actions))

    def lets(self, pending: Pending) -> bool:
        """Tell whether somebody has approved exactly this, or this and more that nobody wants any more."""
        approval = next((each for each in self.approvals if self._is_of(each, pending)), None)
        if approval is not None and approval not in self.used:
            self.used.append(approval)
        return approval is not None

    def _is_of(self, approval: Approval, pending: Pending) -> bool:
        known = self.known.get(approval.plan)
        return approval.plan == pending.digest or (known is not None and known.covers(pending))

    def lets_delete(self, held: Pending) -> bool:
        """Tell whether somebody has approved these deletions, which would be held otherwise."""
        if not held.lines or not self.lets(held):
            return False
        self.deletes = next(each.plan for each in self.used if self._is_of(each, held))
        return True

    def judge(
        self, verdicts: list[Verdict], about: Mapping[str, Collection[Action]] | None = None
    ) -> tuple[list[Verdict], Pending] | None:
        """Release the guards that an approval lets pass; return those that refuse the export, and what waits then.

        None when nothing stands in the way. ``verdicts`` are replaced in it. ``about`` tells, by their names, which
        actions guards have something against. What waits are all that tripped, also those that somebody has approved:
        so the next approval is enough by itself.
        """
        of = about or {}
        tripped = [verdict.name for verdict in verdicts if verdict.code and verdict.tripped]
        waiting = [name for name in tripped if name not in self.before]
        pending = self.pending(waiting, (action for name in waiting for action in of.get(name, ())))
        if waiting and self.lets(pending):
            let = waiting
        else:  # whoever approved some of it has said so, and is not asked about that again
            let = [name for name in waiting if self.lets(self.pending((name,), of.get(name, ())))]
        passed = {*tripped} - {*waiting} | {*let}
        verdicts[:] = [replace(each, released=each.released or each.name in passed) for each in verdicts]
        refusing = [verdict for verdict in verdicts if verdict.refuses]
        return (refusing, pending) if refusing else None

    def take_back(self) -> None:
        """Let nobody be deleted after all: the export is refused, so that an approval of deletions has to wait."""
        self.used = [each for each in self.used if each.plan != self.deletes]
        self.deletes = ""


def action_lines(actions: Iterable[Action]) -> frozenset[str]:
    """Return what an approval is about, one line per action: item id, what is done to it, and why."""
    return frozenset(
        f"{action.entry.item_id} delete {action.reason}"
        if isinstance(action, Delete)
        else f"{action.after.item_id} upsert {'create' if action.created else 'update'}"
        for action in actions
    )


def dump_pending(pending: Pending) -> bytes:
    """Return it as JSON."""
    return orjson.dumps({**asdict(pending), "lines": sorted(pending.lines)})


def load_pending(data: bytes) -> Pending | None:
    """Read what `dump_pending` made; None when it is none. Without it, only exactly the same plan is what was meant."""
    try:
        raw: dict[str, Any] = orjson.loads(data)
        return Pending(raw["export"], raw["mapping"], tuple(raw["guards"]), frozenset(raw["lines"]))
    except (ValueError, KeyError, TypeError):
        return None


def with_approvals(
    report: Report,
    approvals: Iterable[Approval],
    *,
    used: Sequence[Approval] = (),
    now: int,
    about: Collection[str] | None = None,
) -> Report:
    """Return the report with who let this run do what it does, and with the approvals that came to nothing.

    ``approvals``: all there are; ``used``: those that were needed. ``about`` are the hashes that this run has to do
    with; None: all.
    """
    unused = [
        each for each in approvals if not each.used and each not in used and (about is None or each.plan in about)
    ]
    expired = sum(each.has_expired(now) for each in unused)
    report = with_warnings(report, {"approval_expired": expired, "approval_outdated": len(unused) - expired})
    return replace(report, approved=used[-1].body()) if used else report


def left_of(
    approvals: Iterable[Approval], *, judged: Collection[str], used: Sequence[Approval], now: int
) -> tuple[Approval, ...]:
    """Return the approvals that still count when an export has been refused.

    ``judged`` are the hashes of those that were about it. One that was ``used``, and so let some of the export pass,
    goes on doing so until it expires; it makes no further run by itself.
    """
    left = (replace(each, used=True) if each in used else each for each in approvals)
    return tuple(each for each in left if (not each.has_expired(now) if each.used else each.plan not in judged))
