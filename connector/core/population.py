"""Everybody one or several export files speak of, and the rows that were left aside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from connector.core.accounts import account_key
from connector.core.export import open_export
from connector.core.mapping import Person, Problem, Rejection, bind
from connector.core.plan import Population
from connector.errors import ExportError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from connector.core.export import Export
    from connector.core.mapping import BoundMapping, Mapping


@dataclass(frozen=True, slots=True)
class ExportFile:
    """A file to read: its name, and how to open its bytes, as often as needed."""

    name: str
    open: Callable[[], IO[bytes]]


@dataclass(frozen=True, slots=True)
class Reading:
    """What the files hold. ``facts`` of the newest file go into the report; ``rejections`` are its own."""

    population: Population
    rejections: tuple[Rejection, ...]
    rows: int
    facts: dict[str, Any]
    header: tuple[str, ...]
    encoding: str
    delimiter: str


def read_population(files: Sequence[ExportFile], mapping: Mapping, *, complete: bool, new: bool) -> Reading:
    """Read files in their order; a later file's row for a person takes the place of an earlier one's.

    Raises:
        ExportError: the file as a whole cannot be used (interface §8).
    """
    people: dict[str, Person] = {}
    where: dict[str, int] = {}
    rejected: set[str] = set()
    unreadable = 0
    last: _Sorted | None = None
    for number, file in enumerate(files):
        last = _read_file(file, mapping)
        for person in last.people:
            people[person.key] = person
            rejected.discard(person.key)
            if len(files) > 1:
                where[person.key] = number
        rejected |= {rejection.key for rejection in last.rejections if rejection.key and rejection.key not in people}
        unreadable += sum(not rejection.key for rejection in last.rejections)
    if last is None:
        raise ExportError("there is no export to read", code="empty_file")
    return Reading(
        population=Population(people, frozenset(rejected), unreadable, complete, new, where),
        rejections=tuple(last.rejections),
        rows=last.rows,
        facts={
            "rows": last.rows,
            "encoding": last.export.encoding,
            "delimiter": last.export.delimiter,
            "ignored_columns": list(last.bound.ignored),
            "missing_columns": list(last.bound.absent),
        },
        header=last.export.header,
        encoding=last.export.encoding,
        delimiter=last.export.delimiter,
    )


def is_correction(file: ExportFile) -> bool:
    """Tell whether a file is a quarantine file come back; one that cannot be read is none.

    That it cannot be read is said when it is its turn.
    """
    try:
        with file.open() as stream:
            return open_export(file.name, stream).is_correction
    except ExportError:
        return False


def rows_of(
    files: Sequence[ExportFile], mapping: Mapping, wanted: Collection[tuple[int, int]]
) -> Iterator[tuple[int, int, list[str], BoundMapping]]:
    """Yield the cells of the wanted rows, each a (file, row) pair, in the order of files and rows."""
    for number, file in enumerate(files):
        numbers = {row for place, row in wanted if place == number}
        if not numbers:
            continue
        with file.open() as stream:
            export = open_export(file.name, stream)
            bound = bind(mapping, export.header)
            for row in export.rows:
                if row.number in numbers:
                    yield number, row.number, row.cells, bound


@dataclass(frozen=True, slots=True)
class _Sorted:
    export: Export
    bound: BoundMapping
    people: list[Person]
    rejections: list[Rejection]
    rows: int


def _read_file(file: ExportFile, mapping: Mapping) -> _Sorted:
    people: list[Person] = []
    rejections: list[Rejection] = []
    rows = 0
    with file.open() as stream:
        export = open_export(file.name, stream)
        bound = bind(mapping, export.header)
        for row in export.rows:
            rows = row.number
            found = bound.person(row)
            if isinstance(found, Person):
                people.append(found)
            else:
                rejections.append(found)
        twice = _repeated(people, rejections, mapping)
        if twice:
            people = [person for person in people if person.row not in twice]
            rejections += _with_cells(file, twice)
    if not rows:
        raise ExportError("the file has a header and no rows", code="empty_file")
    return _Sorted(export, bound, people, sorted(rejections, key=lambda rejection: rejection.row), rows)


def _repeated(people: list[Person], rejections: list[Rejection], mapping: Mapping) -> dict[int, tuple[str, Problem]]:
    """Return the rows that contradict another one: two for a key, or two active keys for one account.

    Which of them is right cannot be told, so none is taken (design §3.15).
    """
    keys: dict[str, int] = {}
    accounts: dict[str, int] = {}
    for key in (*(person.key for person in people), *(rejection.key for rejection in rejections if rejection.key)):
        keys[key] = keys.get(key, 0) + 1
    for person in people:
        if not person.leaver:
            accounts[account_key(person.account)] = accounts.get(account_key(person.account), 0) + 1
    by_key = Problem("duplicate_key", f"{mapping.file.key.column} stands in several rows; it may stand in one")
    by_account = Problem(
        "duplicate_account", f"{mapping.file.account.column} belongs to several people who are in scope"
    )
    return {
        person.row: (person.key, by_key if keys[person.key] > 1 else by_account)
        for person in people
        if keys[person.key] > 1 or (not person.leaver and accounts[account_key(person.account)] > 1)
    }


def _with_cells(file: ExportFile, rows: dict[int, tuple[str, Problem]]) -> Iterator[Rejection]:
    """Read the rows again that turned out to be wrong only later; keeping all cells in memory would cost more."""
    with file.open() as stream:
        for row in open_export(file.name, stream).rows:
            if row.number in rows:
                key, problem = rows[row.number]
                yield Rejection(row.number, key, (problem,), tuple(row.cells))
