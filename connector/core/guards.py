"""What is too much. Each guard gives a verdict with its limit and its finding; all verdicts go into the report.

A guard on the whole export refuses the run: nothing is done. The guard on deletions holds them: upserts go on.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from connector.core.mapping import Fill, changed_fields
from connector.core.plan import Delete, Upsert

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from connector.core.ledger import Ledger
    from connector.core.plan import Action, Plan, Population

JUDGED_FROM: Final = 20
"""People (or rows) from which a percentage means something (interface §10)."""

DAY: Final = 24 * 3600

FILLED_FROM: Final = 20
"""Percent of the people who have a cell in a column, from which on it counts as filled (interface §10)."""

MAX_COLUMNS: Final = 1000
"""Columns whose fill rate is remembered from one export to the next: the head is read at every tick."""

MAX_NAMED: Final = 10
"""Columns that a finding names."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One guard's finding. ``code`` is the error code of a refused run; ``released``: somebody approved the finding."""

    name: str
    limit: str
    found: str
    tripped: bool
    code: str = ""
    released: bool = False

    @property
    def refuses(self) -> bool:
        """Tell whether the whole export is refused for it."""
        return bool(self.code) and self.tripped and not self.released


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
        f"at most {max_percent:g} % of the rows rejected; judged from {JUDGED_FROM} rows up",
        f"{rejected} of {rows} rows rejected ({share:.1f} %)",
        rows >= JUDGED_FROM and share > max_percent,
        "too_many_rejected",
    )


def match_rate(in_scope: int, matched: int, *, min_percent: float) -> Verdict:
    """Refuse an export of which too few people have an account: a renamed tenant, or a wrong column."""
    share = 100 * matched / in_scope if in_scope else 100.0
    return Verdict(
        "match_rate",
        f"at least {min_percent:g} % of the people with an account; judged from {JUDGED_FROM} people up",
        f"{matched} of {in_scope} people with an account ({share:.1f} %)",
        in_scope >= JUDGED_FROM and share < min_percent,
        "match_rate",
    )


def same_name(names: Collection[str], last: Collection[str], *, vouched: bool) -> Verdict:
    """Refuse a complete export whose name, digits aside, is another one than that of the last applied (design §3.14).

    Dates and numbers in a name change every night; the rest is what HR calls this export. Of a set, files may join or
    leave, so its names may be more or fewer than before, but not others. ``vouched``: its manifest lists it alone.
    """
    now, before = frozenset(map(_unnumbered, names)), frozenset(map(_unnumbered, last))
    return Verdict(
        "same_name",
        f"a name like that of the last applied export, digits aside: {', '.join(sorted(last))}",
        ", ".join(sorted(names)),
        not (vouched or now <= before or before <= now),
        "different_export",
    )


_PACKING: Final = re.compile(r"(\.csv)?(\.gz|\.zip)?$")
_NUMBERS: Final = re.compile(r"[\W\d_]+")


def _unnumbered(name: str) -> str:
    """Return what of a name stays the same from night to night: its letters and folders.

    How a date is written, what stands around a number and how the file is packed are no part of it.
    """
    parts = (_NUMBERS.sub("", part) for part in _PACKING.sub("", name.casefold()).split("/"))
    return "/".join(filter(None, parts))


@dataclass(frozen=True, slots=True)
class Changes:
    """How much an export says otherwise than the rows that were taken last, of the people both have.

    ``judged`` are the people whose cells can be compared, ``people`` those of them with any cell that changed, and
    ``columns`` how many of them have another cell in which mapped column. ``of``: what to call those judged.
    """

    judged: int
    people: int
    columns: Mapping[str, int]
    of: str = "the people in this export and in the last"


def changes(population: Population, ledger: Ledger, columns: Sequence[str]) -> Changes:
    """Compare the cells of everybody who stays with those that were taken last; ``columns`` are the mapping's.

    Whoever joins or leaves is no change, nor is anybody of whom no cells are known: of another connection, taken by
    an earlier release, or when the mapping read other columns. A partial export names hardly anybody but those who
    have changed, so there it is a share of everybody whose cells are known.
    """
    judged, people = population.left_alone, 0
    found: Counter[int] = Counter()
    for person in population.people.values():
        entry = ledger.entries.get(person.key)
        if entry is None or person.leaver or person.outside:
            continue
        if entry.fields == person.fields:
            judged += bool(entry.fields)
            continue
        places = changed_fields(entry.fields, person.fields)
        if places is not None:
            judged += 1
            people += 1
            found.update(places)
    named = {columns[place]: count for place, count in found.most_common()}
    if population.complete:
        return Changes(judged, people, named)
    known = sum(bool(entry.fields) for entry in population.attended(ledger)) + _quiet(population)
    return Changes(known, people, named, of="the people known so far")


def _quiet(population: Population) -> int:
    """Return of how many items the ledger knows that nothing need be decided."""
    return population.unaltered.all if population.unaltered else 0


def changed_cells(found: Changes, *, max_percent: float) -> Verdict:
    """Refuse an export in which too many people have any other cell: it is another file, or one of another day."""
    return Verdict(
        "cells",
        f"at most {max_percent:g} % of {found.of} with another cell than before; judged from {JUDGED_FROM} people up",
        _share(found.people, found.judged),
        _too_many(found.people, found.judged, max_percent),
        "cells_changed",
    )


def changed_field(found: Changes, *, max_percent: float) -> Verdict:
    """Refuse an export in which one column is another for too many people: it has been shifted, or swapped."""
    tripping = [column for column, count in found.columns.items() if _too_many(count, found.judged, max_percent)]
    told = tripping or [*found.columns][:1]
    return Verdict(
        "field",
        f"in each column, at most {max_percent:g} % of {found.of} with another cell than before; judged from"
        f" {JUDGED_FROM} people up",
        _named([f"{column}: {_share(found.columns[column], found.judged)}" for column in told], "no column changed"),
        bool(tripping),
        "field_changed",
    )


def _too_many(count: int, of: int, max_percent: float) -> bool:
    # Rounded, since 0.57 % of 10,000 comes out as 56.999…
    return of >= JUDGED_FROM and count > round(of * max_percent / 100, 6)


def _share(count: int, of: int) -> str:
    return f"{count} of {of} people ({100 * count / of if of else 0:.1f} %)"


def _named(found: Sequence[str], nothing: str) -> str:
    more = f"; and {len(found) - MAX_NAMED} more" if len(found) > MAX_NAMED else ""
    return "; ".join(found[:MAX_NAMED]) + more or nothing


def to_remember(fill: Fill) -> Fill:
    """Return what the next export is held to: columns that are filled enough for a collapse to mean something."""
    filled = {column: count for column, count in fill.filled.items() if count * 100 >= fill.people * FILLED_FROM}
    return Fill(fill.people, dict([*filled.items()][:MAX_COLUMNS]) if fill.people else {})


def emptied(before: Fill, now: Fill) -> Verdict:
    """Refuse a complete export in which a column has gone blank that the last applied one had filled.

    ``before`` is what `to_remember` kept of that one. A column that the mapping did not read then is not judged.
    """
    judged = min(before.people, now.people) >= JUDGED_FROM
    collapsed = [
        f"{column}: {100 * count / before.people:.1f} % before, {100 * now.filled[column] / now.people:.1f} % now"
        for column, count in (before.filled.items() if judged else ())
        if column in now.filled and 2 * now.filled[column] * before.people < count * now.people
    ]
    return Verdict(
        "emptied",
        f"no column that was filled for {FILLED_FROM} % of the people in the last export loses more than half of that;"
        f" judged from {JUDGED_FROM} people up",
        _named(collapsed, "no column"),
        bool(collapsed),
        "column_emptied",
    )


def rewritten(plan: Plan, ledger: Ledger, *, changed: bool, max_percent: float) -> Verdict:
    """Refuse a mapping that makes other items for too many people than the one before.

    ``changed``: the mapping is not the one of the last export that was carried out. Whose item is new, or is merely
    sent again, is not counted; nor is a day on which rows begin to count, which changes cells, and no mapping.
    """
    entries = ledger.entries.values() if changed else ()
    known = sum(entry.held and not entry.is_former for entry in entries)
    count = sum(1 for _ in _rewrites(plan, ledger)) if changed else 0
    return Verdict(
        "mapping",
        f"at most {max_percent:g} % of the items rewritten by another mapping; judged from {JUDGED_FROM} items up",
        f"{count} of {known} items rewritten" if changed else "the mapping is the same",
        _too_many(count, known, max_percent),
        "mapping_change",
    )


def _rewrites(plan: Plan, ledger: Ledger) -> Iterator[Upsert]:
    for action in plan.actions:
        if isinstance(action, Upsert):
            entry = ledger.entries.get(action.after.key)
            if entry is not None and entry.held and entry.item and entry.item != action.after.item:
                yield action


def about(plan: Plan, ledger: Ledger) -> dict[str, list[Action]]:
    """Return what of a plan the guards on it are about, by their names: an approval is one of exactly that.

    Whoever joins meanwhile, or gets an account, is sent in any case, and so makes no other plan of it.
    """
    moved = [action for action in plan.actions if isinstance(action, Delete) and action.reason == "transferred"]
    return {"rekeyed": [*moved], "mapping": [*_rewrites(plan, ledger)]}


def everyone(population: Population, ledger: Ledger) -> Verdict:
    """Refuse an export that would remove everybody Graph holds, be it at once or after the grace."""
    quiet = _quiet(population)
    held = [entry.key for entry in population.attended(ledger) if entry.held and not entry.is_former]
    stay = sum(key in population.rejected or _stays(population, key) for key in held) + quiet
    return Verdict(
        "everyone",
        "at least one of the people Graph holds must stay",
        f"{stay} of {len(held) + quiet} people would stay",
        bool(held) and not stay,
        "everyone",
    )


def _stays(population: Population, key: str) -> bool:
    person = population.people.get(key)
    if person is None or person.outside:
        return not population.complete
    return not person.leaver


def one_of_a_set(before: int, *, alone: bool) -> Verdict:
    """Refuse one complete file after a population of several (``before``), unless it is said to be ``alone``."""
    return Verdict(
        "different_export",
        "a manifest beside it that lists under files all the files of the population or, if everybody is in this one"
        " from now on, this one alone",
        f"one file, where the last population was made of {before} files",
        before > 1 and not alone,
        "different_export",
    )


def rekeyed(plan: Plan, ledger: Ledger) -> Verdict:
    """Refuse an export in which many accounts have got another key: the HR system was renumbered (design §3.15)."""
    limit = max(5, ledger.held // 100)
    return Verdict(
        "rekeyed",
        f"at most {limit} people whose account has another key than before",
        f"{plan.transferred} people",
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
        f"at most {allowed} in 24 hours ({limit.percent:g} % of the {ledger.held} items that Graph holds, at most"
        f" {limit.count}; {limit.allowance} are always allowed)",
        f"{planned} planned, {recent} in the last 24 hours",
        planned > 0 and planned + recent > allowed,
    )
