"""A file's columns with what each of them means: what a first mapping is made from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from connector.core.sensitive import sensitive, words
from connector.core.suggest.names import Meaning, meaning
from connector.core.suggest.states import states

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connector.core.sensitive import Category
    from connector.core.suggest.columns import Column, Table


@dataclass(frozen=True, slots=True)
class Known:
    """A column, the label under its name ("" if there is none), what it means, and what private thing it looks like."""

    column: Column
    label: str = ""
    meaning: Meaning | None = None
    alarm: Category | None = None

    @property
    def name(self) -> str:
        """The header as written."""
        return self.column.name

    @property
    def why(self) -> str:
        """By what it was matched."""
        if self.meaning is None:
            return "by its cells"
        if self.meaning.like:
            return f"spelled much like {self.meaning.like}"
        named = meaning(self.name)
        return "by its name" if named and named.rank == self.meaning.rank else "by the label under its name"


@dataclass(frozen=True, slots=True)
class Sheet:
    """All columns of a file, its number of rows, and whether labels for people stand in the row under the names."""

    columns: tuple[Known, ...]
    rows: int
    labels: bool

    def all(self, *meanings: str) -> tuple[Known, ...]:
        """Return the columns of one of these meanings that may be sent and are not empty, the likeliest first."""
        found = [
            known
            for known in self.columns
            if known.meaning and known.meaning.of in meanings and not known.alarm and not self.empty(known)
        ]
        return tuple(sorted(found, key=lambda known: (meanings.index(_of(known)), _rank(known))))

    def first(self, *meanings: str) -> Known | None:
        """Return the likeliest of `all`."""
        return next(iter(self.all(*meanings)), None)

    def empty(self, known: Known) -> bool:
        """Whether nobody has a value in a column, as far as that can be told."""
        return self.rows > 0 and known.column.filled == 0


def _of(known: Known) -> str:
    return known.meaning.of if known.meaning else ""


def _rank(known: Known) -> int:
    return known.meaning.rank if known.meaning else 0


def sheet(table: Table) -> Sheet:
    """Return what a file's columns mean, once its rows have gone by."""
    labels = _has_labels(table)
    columns = table.columns(labels=labels)
    texts = [cell.strip() for cell in table.first] if labels else [""] * len(columns)
    known = (_known(column, label) for column, label in zip(columns, texts, strict=False) if column.name)
    return Sheet(_together(tuple(known)), table.rows, labels)


_EITHER: Final = {"name": "last", "naam": "last", "navn": "last", "namn": "last"}
"""A full name, but beside a column of first names a last name."""
_ALONE: Final = {"nome": "displayName", "nombre": "displayName", "nom": "displayName"}
"""A first name or a last name, but without the other one a full name."""


def _together(columns: tuple[Known, ...]) -> tuple[Known, ...]:
    """Return the columns with what their names mean beside each other."""
    there = {_of(known) for known in columns}
    turned: dict[str, str] = {}
    if "first" in there and "last" not in there:
        turned = _EITHER
    if not {"first", "last"} <= there and "displayName" not in there:
        turned = _ALONE

    def mean(known: Known) -> Known:
        of = turned.get("".join(words(known.name)))
        if _of(known) == "status" and _is_place(known):
            of = "state"
        return replace(known, meaning=Meaning(of, _rank(known))) if of else known

    return tuple(map(mean, columns))


def _is_place(known: Known) -> bool:
    """Whether a column is of places rather than of states: in Spanish both are called the same."""
    named = "".join(words(known.name)) == "estado"
    return named and bool(known.column.filled) and not states(known.column.words).known


def _known(column: Column, label: str) -> Known:
    alarm = sensitive(column.name) or (sensitive(label) if label else None)
    return Known(column, label, meaning(column.name) or (meaning(label) if label else None), alarm)


def _has_labels(table: Table) -> bool:
    """Tell whether the first row has names for people instead of data, as SuccessFactors' second header row does."""
    filled = [cell.strip() for cell in table.first if cell.strip()]
    return _names(filled) > 2 and _names(filled) * 2 > len(filled)


def _names(cells: Sequence[str]) -> int:
    return sum(len(cell) > 2 and (meaning(cell) is not None or sensitive(cell) is not None) for cell in cells)
