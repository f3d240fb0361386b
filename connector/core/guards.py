"""What is too much. Each guard gives a verdict with its limit and its finding; all verdicts go into the report.

A guard on the whole export refuses the run: nothing is done. The guard on deletions holds them: upserts go on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from connector.core.ledger import Ledger
    from connector.core.plan import Plan, Population

JUDGED_FROM: Final = 20
"""People (or rows) from which a percentage means something (interface §10)."""

DAY: Final = 24 * 3600


@dataclass(frozen=True, slots=True)
class Verdict:
    """One guard's finding. ``code`` is the error code of a refused run."""

    name: str
    limit: str
    found: str
    tripped: bool
    code: str = ""


@dataclass(frozen=True, slots=True)
class DeletionLimit:
    """MAX_DELETE_PERCENT, MAX_DELETE_COUNT and MIN_DELETE_ALLOWANCE."""

    percent: float
    count: int
    allowance: int

    def of(self, held: int) -> int:
        """Return how many deletions are allowed when Graph holds so many items (interface §6)."""
        share = int(round(held * self.percent / 100, 6))  # rounded, since 0.57 % of 10,000 comes out as 56.999…
        return max(self.allowance, min(share, self.count))


def rejected_rows(rows: int, rejected: int, *, max_percent: float) -> Verdict:
    """Refuse an export of which too many rows are bad: it is another file, or another format."""
    share = 100 * rejected / rows if rows else 0.0
    return Verdict(
        "rejected",
        f"{max_percent:g} % of the rows, from {JUDGED_FROM} rows up",
        f"{rejected} of {rows} rows ({share:.1f} %)",
        rows >= JUDGED_FROM and share > max_percent,
        "too_many_rejected",
    )


def match_rate(in_scope: int, matched: int, *, min_percent: float) -> Verdict:
    """Refuse an export of which too few people have an account: a renamed tenant, or a wrong column."""
    share = 100 * matched / in_scope if in_scope else 100.0
    return Verdict(
        "match_rate",
        f"at least {min_percent:g} % of the people, from {JUDGED_FROM} people up",
        f"{matched} of {in_scope} people have an account ({share:.1f} %)",
        in_scope >= JUDGED_FROM and share < min_percent,
        "match_rate",
    )


def everyone(population: Population, ledger: Ledger) -> Verdict:
    """Refuse an export that would remove everybody Graph holds, be it at once or after the grace."""
    held = [entry for entry in ledger.entries.values() if entry.held and not entry.is_former]
    stay = sum(entry.key in population.rejected or _stays(population, entry.key) for entry in held)
    return Verdict(
        "everyone",
        "at least one of the people Graph holds must stay",
        f"{stay} of {len(held)} would stay",
        bool(held) and not stay,
        "everyone",
    )


def _stays(population: Population, key: str) -> bool:
    person = population.people.get(key)
    if person is None or person.outside:
        return not population.complete
    return not person.leaver


def rekeyed(plan: Plan, ledger: Ledger) -> Verdict:
    """Refuse an export in which many accounts have got another key: the HR system was renumbered (design §3.15)."""
    limit = max(5, ledger.held // 100)
    return Verdict(
        "rekeyed",
        f"{limit} people whose account has another key than before",
        f"{plan.transferred}",
        plan.transferred > limit,
        "rekeyed",
    )


def deletions(
    plan: Plan, ledger: Ledger, earlier: Iterable[tuple[int, int]], limit: DeletionLimit, now: int
) -> Verdict:
    """Hold deletions above the limit, counted over the last 24 hours and this plan.

    ``earlier`` are (unix seconds, deletions) of former runs. A transferred account is not a leaver (design §3.15).
    """
    allowed = limit.of(ledger.held)
    recent = sum(count for moment, count in earlier if moment > now - DAY)
    planned = plan.deletes - plan.transferred
    return Verdict(
        "deletions",
        f"{limit.percent:g} % of {ledger.held} items, at most {limit.count}, at least {limit.allowance}: {allowed}",
        f"{planned} planned, {recent} in the last 24 hours",
        planned > 0 and planned + recent > allowed,
    )
