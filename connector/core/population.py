"""Everybody one or several export files speak of, and the rows that were left aside."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, Any, Final

from connector.core.accounts import AMBIGUOUS, SHARED, account_key
from connector.core.export import CORRECTION_COLUMN, Layout, open_export
from connector.core.mapping import Person, Problem, Rejection, bind
from connector.core.plan import Population
from connector.errors import ExportError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from collections.abc import Mapping as Dict

    from connector.core.export import Export
    from connector.core.mapping import BoundMapping, Mapping

    MakeId = Callable[[str, str], str]

MAX_ITEM_ID: Final = 128
"""https://learn.microsoft.com/graph/api/resources/externalconnectors-externalitem"""


MAX_LISTED_LINES: Final = 50
"""Skipped lines whose numbers stand in the report; they are all counted."""


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


def read_population(
    files: Sequence[ExportFile],
    mapping: Mapping,
    *,
    complete: bool,
    new: bool,
    item_id: MakeId | None = None,
    others: Iterable[Person] = (),
) -> Reading:
    """Read files in their order; a later file's row for a person takes the place of an earlier one's.

    ``item_id`` makes an item's id of key and UPN, where two people might get the same one; None where they cannot.
    ``others`` are people of whom Graph has an item and the files may say nothing: whoever is not in the files keeps
    account and item.

    Raises:
        ExportError: the file as a whole cannot be used (interface §8).
    """
    people: dict[str, Person] = {}
    where: dict[str, int] = {}
    rejected: set[str] = set()
    unreadable = 0
    last: _Sorted | None = None
    for number, file in enumerate(files):
        last = _read_file(file, mapping, item_id)
        for person in last.people:
            people[person.key] = person
            rejected.discard(person.key)
            if len(files) > 1:
                where[person.key] = number
        rejected |= {rejection.key for rejection in last.rejections if rejection.key and rejection.key not in people}
        unreadable += sum(not rejection.key for rejection in last.rejections)
    if last is None:
        raise ExportError("there is no export to read", code="empty_file")
    elsewhere = [person for person in others if person.key not in people and person.key not in rejected]
    if len(files) > 1 or elsewhere:
        # A file may be right by itself, and still contradict another one, or what was sent: those rows are left aside.
        found = _contradictions((*people.values(), *elsewhere), mapping, item_id)
        wrong = {person.key: problem for person, problem in found if person.key in people}
        rows = {person.row: (person.key, wrong[person.key]) for person in last.people if person.key in wrong}
        last.rejections.extend(_with_cells(files[-1], mapping, rows))
        rejected |= wrong.keys()
        people = {key: person for key, person in people.items() if key not in wrong}
    return Reading(
        population=Population(people, frozenset(rejected), unreadable, complete, new, where),
        rejections=tuple(sorted(last.rejections, key=lambda rejection: rejection.row)),
        rows=last.rows,
        facts={
            "rows": last.rows,
            "encoding": last.export.encoding,
            "delimiter": last.export.delimiter,
            "final_newline": last.export.final_newline,
            "skipped": len(last.export.skipped),
            "skipped_lines": sorted(last.export.skipped)[:MAX_LISTED_LINES],
            "ignored_columns": list(last.bound.ignored),
            "missing_columns": list(last.bound.absent),
        },
        header=last.export.header,
        encoding=last.export.encoding,
        delimiter=last.export.delimiter,
    )


def set_aside(reading: Reading, files: Sequence[ExportFile], mapping: Mapping, contested: Dict[str, str]) -> Reading:
    """Return the reading in which people are rejected whose accounts turned out to be wrong when Entra had answered.

    ``contested`` maps their keys to `AMBIGUOUS` or `SHARED`. Those of the newest file are among its rejections, with
    all their cells.
    """
    population, newest = reading.population, len(files) - 1
    column, attribute = mapping.file.account.named, mapping.file.account.match
    ambiguous = Problem(
        "bad_account",
        f"{column} leads to several Entra users with the same {attribute}: IT leaves it to one of them, or HR names"
        " another account",
    )
    shared = Problem(
        "duplicate_account",
        f"{column} leads to an Entra user whom another person has too; each needs an account of their own",
    )
    problems = {AMBIGUOUS: ambiguous, SHARED: shared}
    rows = {
        population.people[key].row: (key, problems[code])
        for key, code in contested.items()
        if population.files.get(key, newest) == newest
    }
    rejections = (*reading.rejections, *_with_cells(files[-1], mapping, rows)) if rows else reading.rejections
    return replace(
        reading,
        population=population.without(contested.keys()),
        rejections=tuple(sorted(rejections, key=lambda rejection: rejection.row)),
    )


def is_correction(file: ExportFile) -> bool:
    """Tell whether a file is a quarantine file come back; one that cannot be read is none.

    That it cannot be read is said when it is its turn.
    """
    try:
        with file.open() as stream:
            return open_export(file.name, stream, required=(CORRECTION_COLUMN,), peek=True).is_correction
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
            export = _opened(file, stream, mapping)
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


def _read_file(file: ExportFile, mapping: Mapping, item_id: MakeId | None) -> _Sorted:
    people: list[Person] = []
    rejections: list[Rejection] = []
    rows = 0
    with file.open() as stream:
        export = _opened(file, stream, mapping)
        bound = bind(mapping, export.header)
        for row in export.rows:
            rows = row.number
            found = bound.person(row)
            if isinstance(found, Person):
                people.append(found)
            else:
                rejections.append(found)
        repeated = _repeated(people, rejections, mapping)
        once = [person for person in people if person.row not in repeated]
        wrong = {person.row: (person.key, problem) for person, problem in _contradictions(once, mapping, item_id)}
        if aside := repeated | wrong:
            people = [person for person in people if person.row not in aside]
            rejections += _with_cells(file, mapping, aside)
    if not rows:
        raise ExportError("the file has a header and no rows", code="empty_file")
    return _Sorted(export, bound, people, rejections, rows)


def _repeated(people: list[Person], rejections: list[Rejection], mapping: Mapping) -> dict[int, tuple[str, Problem]]:
    """Return the rows whose key another row has too. Which is right cannot be told, so none is taken (design §3.15)."""
    keys = Counter(person.key for person in people)
    keys.update(rejection.key for rejection in rejections if rejection.key)
    problem = Problem("duplicate_key", f"{mapping.file.key.named} stands in several rows; it may stand in one")
    return {person.row: (person.key, problem) for person in people if keys[person.key] > 1}


def _contradictions(
    people: Iterable[Person], mapping: Mapping, item_id: MakeId | None
) -> Iterator[tuple[Person, Problem]]:
    """Yield those in scope who cannot all be right: several of one account, or, by ``item_id``, of one item."""
    in_scope = [person for person in people if not (person.leaver or person.outside)]
    column = mapping.file.account.named
    accounts = Counter(account_key(person.account) for person in in_scope)
    by_account = Problem("duplicate_account", f"{column} belongs to several people who are in scope")
    by_item = Problem("duplicate_key", f"{column} gives the same item id as another person's: only one can have it")
    too_long = Problem("too_long", f"{column} is too long for an item id, which may have {MAX_ITEM_ID} characters")
    ids = {person.key: item_id(person.key, person.account).casefold() for person in in_scope} if item_id else {}
    items = Counter(ids.values())
    for person in in_scope:
        if accounts[account_key(person.account)] > 1:
            yield person, by_account
        elif items[ids.get(person.key, "")] > 1:
            yield person, by_item
        elif len(ids.get(person.key, "")) > MAX_ITEM_ID:
            yield person, too_long


def _opened(file: ExportFile, stream: IO[bytes], mapping: Mapping) -> Export:
    """Open an export so that its header is found by the columns that the mapping reads."""
    required = mapping.required
    fixed = mapping.file.file
    layout = Layout(fixed.encoding or "", fixed.delimiter or "", fixed.header_rows)
    return open_export(file.name, stream, required=required, known=mapping.columns, layout=layout)


def _with_cells(file: ExportFile, mapping: Mapping, rows: dict[int, tuple[str, Problem]]) -> Iterator[Rejection]:
    """Read the rows again that turned out to be wrong only later; keeping all cells in memory would cost more."""
    with file.open() as stream:
        for row in _opened(file, stream, mapping).rows:
            if row.number in rows:
                key, problem = rows[row.number]
                yield Rejection(row.number, key, (problem,), tuple(row.cells))
