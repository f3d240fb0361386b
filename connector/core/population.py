"""Everybody one or several export files speak of, and the rows that were left aside."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import IO, TYPE_CHECKING, Any, Final

from connector.core.accounts import AMBIGUOUS, SHARED, account_key, referred_key
from connector.core.export import CORRECTION_COLUMN, Layout, Row, open_export
from connector.core.mapping import SEPARATOR, Fill, Person, Problem, Rejection, bind, fill_of
from connector.core.others import present
from connector.core.plan import Population
from connector.core.quarantine import is_own
from connector.core.unaltered import Recognition
from connector.errors import ExportError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from collections.abc import Mapping as Dict
    from datetime import date

    from connector.core.export import Export
    from connector.core.ledger import Entry
    from connector.core.mapping import BoundMapping, Mapping
    from connector.core.unaltered import Remembered, Unaltered

    MakeId = Callable[[str, str], str]

MAX_ITEM_ID: Final = 128
"""https://learn.microsoft.com/graph/api/resources/externalconnectors-externalitem"""

MAX_REJECTED: Final = 256 << 20
"""Bytes that the cells of rejected rows may take in memory until the quarantine file is written: some 200,000 rows of
twenty columns. Rows of a million cells each would take all there is."""

MAX_KEPT: Final = 8 << 20
"""Characters of cells that are kept instead of being read again, of some 25,000 rows."""

MAX_LISTED_LINES: Final = 50
"""Skipped lines whose numbers stand in the report; they are all counted."""


@dataclass(frozen=True, slots=True)
class ExportFile:
    """A file to read: its name, and how to open its bytes, as often as needed.

    ``joins``: it belongs to the same export as the file before it; neither has the last word about a person.
    """

    name: str
    open: Callable[[], IO[bytes]]
    joins: bool = False


class Kept:
    """Rows whose cells are still at hand when they are needed again: those that are decided about, if they are few.

    They are known by the number of their file and their own.
    """

    __slots__ = ("_bound", "_cells", "_left")

    def __init__(self) -> None:
        self._bound: dict[int, BoundMapping] = {}
        self._cells: dict[tuple[int, int], str | Sequence[str]] = {}
        self._left = MAX_KEPT

    def keep(self, place: tuple[int, int], cells: Sequence[str], bound: BoundMapping) -> None:
        """Keep a row; when there are too many, none."""
        if self._left < 0:
            return
        text = SEPARATOR.join(cells)
        self._left -= len(text)
        if self._left < 0:
            self._cells.clear()
        else:
            self._bound[place[0]] = bound
            self._cells[place] = text if text.count(SEPARATOR) == len(cells) - 1 else cells

    def has(self, places: Collection[tuple[int, int]]) -> bool:
        """Tell whether all of these rows are at hand."""
        return all(place in self._cells for place in places)

    def rows(self, places: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int, Sequence[str], BoundMapping]]:
        """Yield these rows as `rows_of` does."""
        for file, row in sorted(places):
            kept = self._cells[file, row]
            yield file, row, kept.split(SEPARATOR) if isinstance(kept, str) else kept, self._bound[file]


@dataclass(frozen=True, slots=True)
class FileRead:
    """One file of the newest export. ``facts`` go into the report; ``rejections`` are its rows, in their order."""

    name: str
    rows: int
    rejections: tuple[Rejection, ...]
    facts: dict[str, Any]
    header: tuple[str, ...]
    encoding: str
    delimiter: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What the files hold. ``files`` are those of the newest export, with their rejected rows.

    ``fill``: how filled the mapped columns are, among those who are sent.
    ``turn``: the next day (its ordinal) on which any row begins or ceases to count; None when nothing turns.
    ``kept``: the rows that need not be read again. ``gathered``: what `awaken` goes on with.
    """

    population: Population
    files: tuple[FileRead, ...]
    turn: int | None = None
    identical: int = 0
    outranked: int = 0
    out_of_scope: int = 0
    fill: Fill = field(default_factory=Fill)
    kept: Kept = field(default_factory=Kept)
    gathered: _Gathered | None = None

    @property
    def rows(self) -> int:
        """How many rows the newest export has."""
        return sum(file.rows for file in self.files)

    @property
    def rejections(self) -> tuple[Rejection, ...]:
        """The rejected rows of the newest export, in the order of files and rows."""
        return tuple(rejection for file in self.files for rejection in file.rejections)

    @property
    def facts(self) -> dict[str, Any]:
        """What the report says about the newest export.

        ``identical_rows`` say the same as another row of their key, ``outranked_rows`` do not count because another
        row of their key does, ``out_of_scope_rows`` are of nobody we send: each row is one of these at most. Of several
        files, the first one's look.
        """
        first = self.files[0].facts
        facts = {
            **first,
            "rows": self.rows,
            "skipped": sum(file.facts["skipped"] for file in self.files),
            "ignored_columns": self._columns("ignored_columns"),
            "missing_columns": self._columns("missing_columns"),
            "identical_rows": self.identical,
            "outranked_rows": self.outranked,
            "out_of_scope_rows": self.out_of_scope,
        }
        if len(self.files) == 1:
            return facts
        return {**facts, "files": [{"name": file.name, **file.facts} for file in self.files]}

    def _columns(self, fact: str) -> list[str]:
        return list(dict.fromkeys(column for file in self.files for column in file.facts[fact]))


def read_population(
    files: Sequence[ExportFile],
    mapping: Mapping,
    *,
    complete: bool,
    new: bool,
    item_id: MakeId | None = None,
    entries: Iterable[Entry] = (),
    today: date | None = None,
    sender: bytes = b"",
    remembered: Remembered | None = None,
) -> Reading:
    """Read exports in their order; a later one's row for a person takes the place of an earlier one's.

    Within an export, a person's row of the highest rank counts; of several such rows all must say the same.
    ``item_id`` makes an item's id of key and UPN, where two people might get the same one; None where they cannot.
    ``entries`` are the ledger's: of whom Graph has an item, and a partial export says nothing, keeps account and item.
    ``today`` decides which rows count, where the mapping has effective dates. ``sender`` goes into the digest of a row;
    who is recognised by it in what is ``remembered`` need not be among the people (`Population.unaltered`).

    Raises:
        ExportError: the file as a whole cannot be used (interface §8).
    """
    source = _Source(tuple(files), mapping, today, sender)
    recognition = Recognition(remembered) if remembered else None
    kept = Kept()
    exports = tuple(_read_export(source, first, group, kept, recognition) for first, group in _exports(files))
    if not exports:
        raise ExportError("there is no export to read", code="empty_file")
    gathered = _Gathered(source, exports, complete, new, item_id, entries, kept)
    if recognition is not None:
        unaltered = recognition.unaltered([row for export in exports for _, row in export.rows], complete=complete)
        gathered = gathered.over(unaltered, (index for index, quiet in enumerate(unaltered.quiet) if not quiet))
    return gathered.reading()


def awaken(reading: Reading, woken: Collection[int]) -> Reading:
    """Return the reading in which further people are decided about: some of those left alone, by their indices."""
    gathered = reading.gathered
    if gathered is None or gathered.unaltered is None or not woken:
        return reading
    return gathered.over(gathered.unaltered.without(woken), woken).reading()


@dataclass(frozen=True, slots=True)
class _Source:
    """What is read, and how: `read_population`'s arguments."""

    files: tuple[ExportFile, ...]
    mapping: Mapping
    today: date | None
    sender: bytes

    def people(self, places: Collection[tuple[int, int]], kept: Kept) -> Iterator[tuple[int, Person | Rejection]]:
        """Yield what certain rows say, each a (file, row) pair, with the number of the file; they are kept."""
        for number, row, cells, bound in rows_of(
            self.files, self.mapping, places, today=self.today, sender=self.sender
        ):
            kept.keep((number, row), cells, bound)
            yield number, bound.person(Row(row, list(cells)))


@dataclass(frozen=True, slots=True)
class _Gathered:
    """The rows that are decided about, before it is told which of them count."""

    source: _Source
    exports: tuple[_Rows, ...]
    complete: bool
    new: bool
    item_id: MakeId | None
    entries: Iterable[Entry]
    kept: Kept
    unaltered: Unaltered | None = None

    def over(self, unaltered: Unaltered, woken: Iterable[int]) -> _Gathered:
        """Return the same with the rows of those who are woken, and who is left alone then."""
        places = {place for index in woken if (place := unaltered.place(index))}
        if not places:
            return replace(self, unaltered=unaltered)
        found = sorted(self.source.people(places, self.kept), key=lambda each: (each[0], each[1].row))
        exports = tuple(export.along(found) for export in self.exports)
        return replace(self, unaltered=unaltered, exports=exports)

    def reading(self) -> Reading:
        """Decide which rows count.

        Raises:
            ExportError: the rejected rows are too many to be kept.
        """
        source, mapping, unaltered = self.source, self.source.mapping, self.unaltered
        people: dict[str, Person] = {}
        where: dict[str, int] = {}
        rejected: set[str] = set()
        unreadable = 0
        turn: int | None = None
        last: _Export | None = None
        for rows in self.exports:
            last = _judged(rows, mapping, self.item_id)
            turn = _earliest((turn, *(file.turn for file in rows.files)))
            for number, person in last.people.values():
                if _displaces(person, people.get(person.key)):
                    people[person.key] = person
                    rejected.discard(person.key)
                    if len(source.files) > 1:
                        where[person.key] = rows.first + number
            keys = {rejection.key for _, rejection in last.rejections}
            rejected |= {key for key in keys if key and key not in people}
            unreadable += sum(not rejection.key for _, rejection in last.rejections)
        if last is None:
            raise ValueError("nothing was read")
        entries = unaltered.attended() if unaltered else self.entries
        others = () if self.complete else present(entries)
        elsewhere = [person for person in others if person.key not in people and person.key not in rejected]
        if len(self.exports) > 1 or elsewhere:
            # A file may be right by itself, and still contradict another, or what was sent: those rows are left aside.
            found = _contradictions((*people.values(), *elsewhere), mapping, self.item_id)
            wrong = {person.key: problem for person, problem in found if person.key in people}
            places = {
                (number, person.row): (key, wrong[key])
                for key, (number, person) in last.people.items()
                if key in wrong and people[key] is person
            }
            last.rejections.extend(_with_cells([read.file for read in self.exports[-1].files], mapping, places))
            rejected |= wrong.keys()
            people = {key: person for key, person in people.items() if key not in wrong}
        people = _with_referred(people)
        return Reading(
            population=Population(
                people, frozenset(rejected), unreadable, self.complete, self.new, where, unaltered=unaltered
            ),
            kept=self.kept,
            files=tuple(
                _file_read(read, number, last.rejections) for number, read in enumerate(self.exports[-1].files)
            ),
            turn=turn,
            identical=last.identical,
            outranked=last.outranked,
            out_of_scope=last.out_of_scope,
            fill=_fill(people.values(), mapping.columns, unaltered),
            gathered=self if unaltered else None,
        )


def _fill(people: Iterable[Person], columns: Sequence[str], unaltered: Unaltered | None) -> Fill:
    fill = fill_of(people, columns)
    if unaltered is None or not unaltered.rows:
        return fill
    alone = unaltered.fill(columns)
    filled = {column: fill.filled[column] + alone.filled[column] for column in columns}
    return Fill(fill.people + alone.people, filled)


def _exports(files: Sequence[ExportFile]) -> Iterator[tuple[int, list[ExportFile]]]:
    """Yield the files of each export, with the number of its first among them all."""
    first = 0
    for number, file in enumerate(files):
        if number > first and not file.joins:
            yield first, list(files[first:number])
            first = number
    if files:
        yield first, list(files[first:])


def _displaces(person: Person, earlier: Person | None) -> bool:
    """Tell whether a later export's row counts in place of an earlier one's; not before its day has come."""
    has_not_begun = person.outside and person.rank < 0
    return earlier is None or earlier.outside or not has_not_begun


def _with_referred(people: dict[str, Person]) -> dict[str, Person]:
    """Return the people with those who are referred to by account: somebody of these, or else one more, outside."""
    prefix = referred_key("")
    referred = {other for person in people.values() for other in person.references if other.startswith(prefix)}
    if not referred:
        return people
    # Whoever has the account now comes last: somebody in scope, rather than out of scope, rather than gone.
    owners = sorted(people.values(), key=lambda person: (not person.leaver, not person.outside))
    keys = {account_key(person.account): person.key for person in owners if person.account}
    asks = {other: other.removeprefix(prefix) for other in referred}
    found = {other: keys[account_key(asked)] for other, asked in asks.items() if account_key(asked) in keys}
    if found:
        people = {
            key: replace(person, references=tuple(found.get(other, other) for other in person.references))
            if referred.intersection(person.references)
            else person
            for key, person in people.items()
        }
    strangers = (
        Person(other, asked, leaver=False, references=(), cells=b"", row=0, outside=True)
        for other, asked in sorted(asks.items())
        if other not in found
    )
    return people | {stranger.key: stranger for stranger in strangers}


def _in_order(number: int, rejections: Iterable[tuple[int, Rejection]]) -> tuple[Rejection, ...]:
    """Return the rejections of a file, by its number, in the order of its rows."""
    return tuple(sorted((each for at, each in rejections if at == number), key=lambda each: each.row))


def _file_read(read: _FileRows, number: int, rejections: Iterable[tuple[int, Rejection]]) -> FileRead:
    export = read.export
    return FileRead(
        name=read.file.name,
        rows=read.rows,
        rejections=_in_order(number, rejections),
        facts={
            "rows": read.rows,
            "encoding": export.encoding,
            "delimiter": export.delimiter,
            "final_newline": export.final_newline,
            "skipped": len(export.skipped),
            "skipped_lines": sorted(export.skipped)[:MAX_LISTED_LINES],
            "ignored_columns": [name for name in read.bound.ignored if not (export.is_correction and is_own(name))],
            "missing_columns": list(read.bound.absent),
        },
        header=export.header,
        encoding=export.encoding,
        delimiter=export.delimiter,
    )


def set_aside(reading: Reading, files: Sequence[ExportFile], mapping: Mapping, contested: Dict[str, str]) -> Reading:
    """Return the reading in which people are rejected whose accounts turned out to be wrong when Entra had answered.

    ``contested`` maps their keys to `AMBIGUOUS` or `SHARED`. Those of the newest export are among its rejections, with
    all their cells.
    """
    population, first = reading.population, len(files) - len(reading.files)
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
    places = {key: (population.files.get(key, first) - first, population.people[key].row) for key in contested}
    rows = {place: (key, problems[contested[key]]) for key, place in places.items() if place[0] >= 0}
    rejections = list(_with_cells(files[first:], mapping, rows))
    return replace(
        reading,
        population=population.without(contested.keys()),
        files=tuple(
            replace(file, rejections=_in_order(number, (*((number, each) for each in file.rejections), *rejections)))
            for number, file in enumerate(reading.files)
        ),
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
    files: Sequence[ExportFile],
    mapping: Mapping,
    wanted: Collection[tuple[int, int]],
    *,
    today: date | None = None,
    sender: bytes = b"",
    kept: Kept | None = None,
) -> Iterator[tuple[int, int, Sequence[str], BoundMapping]]:
    """Yield the cells of the wanted rows, each a (file, row) pair, in the order of files and rows.

    ``today`` and ``sender`` as they were read with; the latter counts for their digests only. What was ``kept`` is not
    read again.
    """
    if kept is not None and kept.has(wanted):
        yield from kept.rows(wanted)
        return
    for number, file in enumerate(files):
        numbers = {row for place, row in wanted if place == number}
        if not numbers:
            continue
        with file.open() as stream:
            export = _opened(file, stream, mapping)
            bound = bind(mapping, export.header, today=today, sender=sender)
            for row in export.rows:
                if row.number in numbers:
                    yield number, row.number, row.cells, bound


@dataclass(frozen=True, slots=True)
class _FileRows:
    file: ExportFile
    export: Export
    bound: BoundMapping
    rows: int
    turn: int | None


@dataclass(frozen=True, slots=True)
class _Rows:
    """One export's files and its rows that are decided about, each with the number of its file within the export.

    ``first`` is the number of its first file among all; ``room`` what there is for further rejected rows.
    """

    first: int
    files: tuple[_FileRows, ...]
    rows: tuple[tuple[int, Person | Rejection], ...]
    room: int

    def along(self, found: Iterable[tuple[int, Person | Rejection]]) -> _Rows:
        """Return the same with those of further rows that are this export's, in the order of files and rows."""
        files = range(self.first, self.first + len(self.files))
        more = [(number - self.first, each) for number, each in found if number in files]
        if not more:
            return self
        return replace(self, rows=tuple(sorted((*self.rows, *more), key=lambda each: (each[0], each[1].row))))


@dataclass(frozen=True, slots=True)
class _Export:
    """One export as judged: one row per person, and the rejected rows, each with the number of its file."""

    people: dict[str, tuple[int, Person]]
    rejections: list[tuple[int, Rejection]]
    identical: int
    outranked: int
    out_of_scope: int


def _read_export(
    source: _Source, first: int, files: Sequence[ExportFile], kept: Kept, recognition: Recognition | None
) -> _Rows:
    read: list[_FileRows] = []
    rows: list[tuple[int, Person | Rejection]] = []
    room = _Room()
    for number, file in enumerate(files):
        try:
            read.append(_read_file(file, source, (first, number), (rows, room, kept), recognition))
        except ExportError as error:
            error.file = file.name if len(files) > 1 else ""
            raise
    return _Rows(first, tuple(read), tuple(rows), room.left)


def _judged(export: _Rows, mapping: Mapping, item_id: MakeId | None) -> _Export:
    files, room = [read.file for read in export.files], _Room(export.room)
    one = _one_each(export.rows, mapping)
    people = one.people
    for person, problem in _contradictions((person for _, person in people.values()), mapping, item_id):
        one.aside[people[person.key][0], person.row] = person.key, problem
    people = {
        key: (number, person) for key, (number, person) in people.items() if (number, person.row) not in one.aside
    }
    contradicting = ((number, room.kept(rejection)) for number, rejection in _with_cells(files, mapping, one.aside))
    rejections = [*one.rejections, *contradicting]
    return _Export(people, rejections, one.identical, one.outranked, one.out_of_scope)


@dataclass(slots=True)
class _Room:
    """How many bytes the cells of rejected rows may still take: they are all that is kept of a file's text."""

    left: int = MAX_REJECTED

    def kept(self, rejection: Rejection) -> Rejection:
        """Return a rejected row for which there is room.

        Raises:
            ExportError: ``too_many_rejected``.
        """
        self.left -= sum(map(len, rejection.cells)) + _CELL * len(rejection.cells)
        if self.left < 0:
            raise ExportError(
                f"the rejected rows are larger than {MAX_REJECTED >> 20} MiB; mend what is wrong with most of them, or"
                " look whether the file is an export at all",
                code="too_many_rejected",
            )
        return rejection


_CELL: Final = 60
"""Bytes that a cell takes beyond its characters."""


def _read_file(
    file: ExportFile,
    source: _Source,
    place: tuple[int, int],
    into: tuple[list[tuple[int, Person | Rejection]], _Room, Kept],
    recognition: Recognition | None,
) -> _FileRows:
    """Read a file and add its rows to those found, as far as there is room, but for those that are recognised.

    ``place``: the number of its export's first file among all, and its own within the export.
    """
    first, number = place
    found, room, kept = into
    rows = 0
    turn: int | None = None
    with file.open() as stream:
        export = _opened(file, stream, source.mapping)
        bound = bind(source.mapping, export.header, today=source.today, sender=source.sender)
        recognise = recognition.of(bound, first + number) if recognition else None
        for row in export.read(recognise):
            rows = row.number
            one = bound.person(row)
            found.append((number, one if isinstance(one, Person) else room.kept(one)))
            kept.keep((first + number, row.number), row.cells, bound)
            if source.today is not None and not row.problem:
                turn = _earliest((turn, *bound.turns(row.cells)))
    if recognition:
        rows = max(rows, recognition.last)
        turn = _earliest((turn, recognition.turn))
    if not rows:
        raise ExportError("the file has a header and no rows", code="empty_file")
    return _FileRows(file, export, bound, rows, turn)


def _earliest(days: Iterable[int | None]) -> int | None:
    return min((day for day in days if day is not None), default=None)


@dataclass(slots=True)
class _OneEach:
    """One row per person; ``aside`` are the rows that contradict each other, by file and row."""

    people: dict[str, tuple[int, Person]]
    rejections: list[tuple[int, Rejection]]
    aside: dict[tuple[int, int], tuple[str, Problem]]
    identical: int = 0
    outranked: int = 0
    out_of_scope: int = 0


def _one_each(rows: Sequence[tuple[int, Person | Rejection]], mapping: Mapping) -> _OneEach:
    """Choose each person's row: the one of the highest rank.

    Which of several is right cannot be told, so none is taken unless they say the same (design §3.15). One that is
    wrong counts as saying something else, and is not missed where another one counts.
    """
    counts = Counter(found.key for _, found in rows)
    several: dict[str, list[tuple[int, Person | Rejection]]] = {}
    one = _OneEach({}, [], {})
    for number, found in rows:
        if found.key and counts[found.key] > 1:
            several.setdefault(found.key, []).append((number, found))
        elif isinstance(found, Person):
            one.out_of_scope += found.outside
            if found.key:  # nobody can refer to somebody out of scope who has none
                one.people[found.key] = (number, found)
        else:
            one.rejections.append((number, found))
    problem = Problem("duplicate_key", f"several rows have this {mapping.file.key.named} and say different things")
    for key, found_rows in several.items():
        highest = max(_standing(found) for _, found in found_rows)
        counting = [(number, found) for number, found in found_rows if _standing(found) == highest]
        one.outranked += len(found_rows) - len(counting)
        people = [(number, found) for number, found in counting if isinstance(found, Person)]
        wrong = [(number, found) for number, found in counting if isinstance(found, Rejection)]
        one.rejections += wrong
        if people and not wrong and _say_the_same([person for _, person in people]):
            one.people[key] = people[0]
            if people[0][1].outside:
                one.out_of_scope += len(people)
            else:
                one.identical += len(people) - 1
        else:
            one.aside.update({(number, person.row): (key, problem) for number, person in people})
    return one


def _standing(found: Person | Rejection) -> tuple[bool, bool, bool, int]:
    """Return what orders the rows of one key: whoever is out of scope in one row may be in scope in another.

    Whoever goes on out of scope has not left, though their last row in scope is over.
    """
    inside = not (isinstance(found, Person) and found.outside)
    counts = found.rank >= 0
    return inside and counts, counts, inside, found.rank


def _say_the_same(people: Sequence[Person]) -> bool:
    """Tell whether rows of one key come to the same; of somebody who left, nothing more is sent."""
    first = people[0]
    if first.outside or all(person.leaver for person in people):
        return True
    return all(person.cells == first.cells for person in people)


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


def _with_cells(
    files: Sequence[ExportFile], mapping: Mapping, rows: dict[tuple[int, int], tuple[str, Problem]]
) -> Iterator[tuple[int, Rejection]]:
    """Read the rows again that turned out to be wrong only later; keeping all cells in memory would cost more."""
    for number in sorted({number for number, _ in rows}):
        with files[number].open() as stream:
            for row in _opened(files[number], stream, mapping).rows:
                if (number, row.number) in rows:
                    key, problem = rows[number, row.number]
                    yield number, Rejection(row.number, key, (problem,), tuple(row.cells))
