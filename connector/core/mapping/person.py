"""Whom a row of an export speaks of, and what is wrong with a row that is left aside."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

KIND: Final = 4
"""Bytes at the beginning of a person's ``fields`` that tell which columns they are about."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody an export speaks of, without the cells: those are read again when they are needed.

    ``account`` says how Entra is asked for the user (`connector.core.accounts.ask`: a UPN stands as HR writes it),
    ``references`` the keys of others (one per reference of the mapping, "" for none, the manager's first; behind them
    those of lists, as many as there are), ``cells`` a digest of every mapped cell: a column that is not mapped cannot
    cause an update.

    ``fields`` digests each mapped cell to a byte, in the order of the mapping's columns, 0 for a blank one, behind some
    bytes that are the same for the same columns only (see `changed_fields`). There are none of somebody out of scope.

    ``outside``: known, so that others may refer to them, but not to be sent: a filter of the mapping leaves the row
    out, its day has not come, or somebody merely names them. ``rank`` orders several rows of one key: only the highest
    counts (0 for a mapping without effective dates; below 0 for a row that has ended, or has not begun, be it in scope
    or not).
    """

    key: str
    account: str
    leaver: bool
    references: tuple[str, ...]
    cells: bytes
    row: int
    outside: bool = False
    rank: int = 0
    fields: bytes = b""


def changed_fields(before: bytes, after: bytes) -> Iterator[int] | None:
    """Return the columns, by their place in the mapping, whose cells differ; None where they cannot be compared.

    ``before`` and ``after`` are two `Person.fields`: of no cells at all, or of other columns, they say nothing of each
    other. A byte tells one cell from another 254 times in 255: enough for a share of many people, and too little to
    tell what anybody's cell held.
    """
    if not before or len(before) != len(after) or before[:KIND] != after[:KIND]:
        return None
    pairs = zip(before[KIND:], after[KIND:], strict=True)
    return (place for place, (one, other) in enumerate(pairs) if one != other)


@dataclass(frozen=True, slots=True)
class Fill:
    """Of how many people each mapped column has a cell that is not blank, by the column's name in the mapping."""

    people: int = 0
    filled: Mapping[str, int] = field(default_factory=dict)


def fill_of(people: Iterable[Person], columns: Sequence[str]) -> Fill:
    """Return how filled the columns are, in the mapping's order, among those of the people who are sent."""
    fields = [person.fields for person in people if person.fields and not person.leaver]
    width, joined = KIND + len(columns), b"".join(fields)
    blank = {column: joined[place::width].count(0) for place, column in enumerate(columns, start=KIND)}
    return Fill(len(fields), {column: len(fields) - count for column, count in blank.items()})


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a row: a code of interface §8 and a sentence that holds no cell's value."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row that is left aside. ``key`` is whose it is, "" when that cannot be told; that person stays as is.

    ``rank`` as a `Person` has it: a row that does not count is not missed when it is wrong.
    """

    row: int
    key: str
    problems: tuple[Problem, ...]
    cells: tuple[str, ...] = ()
    rank: int = 0

    @property
    def code(self) -> str:
        """The first problem's code."""
        return self.problems[0].code
