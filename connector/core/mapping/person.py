"""Whom a row of an export speaks of, and what is wrong with a row that is left aside."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody an export speaks of, without the cells: those are read again when they are needed.

    ``account`` says how Entra is asked for the user (`connector.core.accounts.ask`: a UPN stands as HR writes it),
    ``references`` the keys of others (one per reference of the mapping, "" for none, the manager's first; behind them
    those of lists, as many as there are), ``cells`` a digest of every mapped cell: a column that is not mapped cannot
    cause an update.

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
