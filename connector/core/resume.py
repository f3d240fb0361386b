"""What the stored plan of an unfinished run still tells, and whether that run may go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

from connector.core.accounts import AMBIGUOUS, SHARED, Known
from connector.core.plan import IN_DOUBT, Delete, Plan, Progress, Upsert, deleted_entries

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from connector.core.due import Dropped, Work
    from connector.core.head import RunMark
    from connector.core.ledger import Entry, Ledger


def may_resume(mark: RunMark, work: Work, *, circumstances: str, incarnation: str) -> bool:
    """Tell whether an unfinished run would still do the same, unless a newer export has overtaken it (design §3.11)."""
    same = mark.circumstances == circumstances and (mark.full or not work.full)
    return same and mark.incarnation == incarnation


def newer_exports(mark: RunMark, work: Work) -> list[Dropped]:
    """Return the exports that came after an unfinished run's own, the newest first: one of everybody ends it."""
    since = (mark.export.modified, mark.export.name) if mark.export else (0.0, "")
    return [dropped for dropped in reversed(work.candidates) if (dropped.modified, dropped.name) > since]


def known_by(plan: Plan, ledger: Ledger) -> Mapping[str, Known]:
    """Return the accounts a stored plan was made with: they are in its entries, or unchanged in the ledger.

    Who is asked for is looked up then; nobody else's entry is made.
    """
    planned = {entry.key: entry for entry in plan.changes}
    planned.update((action.after.key, action.after) for action in plan.actions if isinstance(action, Upsert))
    planned.update((entry.key, entry) for entry in deleted_entries(plan) if entry.state == "outside")
    return _Known(planned, ledger.entries)


@dataclass(frozen=True, slots=True, eq=False)
class _Known(Mapping[str, Known]):
    """The accounts that entries tell of, those of a plan before those of a ledger."""

    planned: Mapping[str, Entry]
    entries: Mapping[str, Entry]

    def __getitem__(self, key: str) -> Known:
        entry = self.planned.get(key) or self.entries.get(key)
        if entry is None or not _is_known(entry):
            raise KeyError(key)
        return Known(entry.user_id, entry.upn)

    def __iter__(self) -> Iterator[str]:
        others = (entry for entry in self.entries.values() if entry.key not in self.planned)
        return (entry.key for entry in chain(self.planned.values(), others) if _is_known(entry))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _is_known(entry: Entry) -> bool:
    return bool(entry.user_id) and entry.state != "unmatched"


def contested_by(plan: Plan) -> list[str]:
    """Return the people whose rows a stored plan was made without, because of what Entra had answered."""
    entries = (*plan.changes, *deleted_entries(plan))
    return [entry.key for entry in entries if entry.state == "unmatched" and entry.code in {AMBIGUOUS, SHARED}]


def doubting(plan: Plan, progress: Progress, lost: Collection[int]) -> Progress:
    """Return how far a run got whose deletions may have met a closed door: they are done again once it is open.

    ``lost`` are the actions that Graph answered with 404. Who may not see a connection might be told 404 as well; an
    item that is forgotten stays in profiles for good.
    """
    doubts = {index: IN_DOUBT for index in lost if isinstance(plan.actions[index], Delete)}
    return replace(progress, outcomes={**progress.outcomes, **doubts})
