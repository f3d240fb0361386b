"""A mapping bound to the header of an export: what it makes of each row."""

from __future__ import annotations

import difflib
import hashlib
import re
from binascii import crc_hqx
from dataclasses import dataclass, field
from datetime import date
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from connector.core.accounts import ask, referred_key
from connector.core.entities import LABELS, FieldType, field_type
from connector.core.export import column_key
from connector.core.mapping.file import ColumnField, ConstantField, PersonField, compared, template_parts
from connector.core.mapping.person import KIND, Person, Problem, Rejection
from connector.core.mapping.values import (
    EXAMPLE,
    Convert,
    DateFormat,
    Read,
    Refine,
    Value,
    converter,
    date_format,
    read_date,
    refiner,
    refusal,
    writing,
    wrong,
)
from connector.errors import ExportError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from collections.abc import Mapping as Dict

    from connector.core.accounts import Known, Match
    from connector.core.export import Row
    from connector.core.mapping.file import FilePart, Mapping, MappingFile, PropertyPart, StatusPart, TextSource

MAX_KEY: Final = 256
"""Characters in a person's key."""
MAX_VALUE: Final = 20_000
"""Characters in one cell that is sent."""
MAX_UPN: Final = 1024
MAX_EMPLOYEE_ID: Final = 16
"""Characters of a user's employeeId."""

_NAME: Final = re.compile(r"[^\s@:\x00-\x1f]+@[^\s@\x00-\x1f]+")
_GUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
SEPARATOR: Final = "\x1f"
"""What stands between the cells of a row that are digested together."""
CELLS_DIGEST: Final = 8
"""Bytes of a row's digest. Somebody's change goes unnoticed once in 2**64 times."""
_SEPARATOR_BYTE: Final = SEPARATOR.encode()
_SPACES: Final = re.compile(" {2,}")

CAPITALISED: Final = {"home": "Home", "business": "Work", "other": "Other"}
"""The types of addresses in the other spelling that is written down for them.
https://learn.microsoft.com/microsoft-365-copilot/extensibility/build-connectors-with-people-data"""

_LAST_DAY: Final = date.max.toordinal()
"""31 December 9999, which some systems write where there is no last day."""

_UNKNOWN_DAY: Final = 10_000_000
"""The rank of a row whose days cannot be read: it may be the one that counts, so it stands above all others."""
_ENDED: Final = -10_000_000
_NOT_BEGUN: Final = -20_000_000
"""Added to a day's ordinal: rows that ended stand below those that count, and rows that have not begun below all."""


def field_kind(part: PropertyPart, path: str) -> FieldType | None:
    """Return what a field of a property takes; None when its entity has no such field, or no column can fill it."""
    kind = field_type(LABELS[part.label or ""].entity, path)
    if kind and part.address_types == "Home" and path == "detail.type":
        return FieldType(allowed=tuple(CAPITALISED))
    return kind


class _Source(NamedTuple):
    """Text taken from a row and brought into form. ``named`` is what to call it in front of people."""

    read: Read
    refine: Refine | None
    refusal: Problem
    named: str


class _Field(NamedTuple):
    """One field of an entity: a constant, a reference, or a source with what makes its text a value.

    ``split``: one entity per part. ``parted``: the separator of a list's parts; ``many``: the field holds a list.
    ``column``: where its text stands, if that is one cell which needs nothing done to it. ``plain``: any text is right.
    """

    path: tuple[str, ...]
    constant: Value | None = None
    reference: int = -1
    relationship: str = ""
    source: _Source | None = None
    convert: Convert = str
    wrong: Problem | None = None
    split: str | None = None
    parted: str | None = None
    many: bool = False
    clear: bool = False
    column: int = -1

    @property
    def plain(self) -> bool:
        return self.source is None or (self.source.refine is None and self.wrong is None)

    def value(self, text: str) -> Value | Problem | None:
        """Return the value of a cell's text, or of a part of a split one: None when there is nothing to send."""
        if not self.many:
            return self._single(text)
        parts = [part.strip() for part in text.split(self.parted)] if self.parted else [text]
        values: dict[str, None] = {}
        for part in filter(None, parts):
            value = self._single(part)
            if isinstance(value, Problem):
                return value
            if value is not None:
                values[str(value)] = None
        return [*values] or None

    def _single(self, text: str) -> Value | Problem | None:
        source = self.source
        if source is not None and source.refine is not None:
            refined = source.refine(text)
            if not refined:
                return source.refusal if refined is None else None
            text = refined
        value = self.convert(text)
        return self.wrong if value is None else value


class _Reference(NamedTuple):
    """A single reference to another person, or a list of them, ``parted`` by a separator.

    ``column``: where the other's key stands, if that is one cell which needs nothing done to it.
    """

    source: _Source
    by: str
    parted: str | None = None
    column: int = -1

    def key(self, cells: Sequence[str]) -> str:
        """Return the key of the one who is referred to, "" for nobody."""
        if self.column >= 0:
            return cells[self.column].strip()
        return next(self.keys(cells), None) or ""

    def keys(self, cells: Sequence[str]) -> Iterator[str | None]:
        """Yield the keys of those referred to, each once; None for text that the source refuses."""
        text = self.source.read(cells)
        parts = [part.strip() for part in text.split(self.parted)] if self.parted else [text]
        found: dict[str | None, None] = {}
        for part in filter(None, parts):
            refined = self.source.refine(part) if self.source.refine else part
            found[refined and self._key(refined)] = None
        yield from (key for key in found if key != "")

    def _key(self, text: str) -> str:
        return text if self.by == "key" else referred_key(ask(self.by, text))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class _Filled:
    """A property, bound: what it is, and the fields of each of its entities. A custom property has one field."""

    name: str
    label: str | None
    several: bool
    groups: tuple[tuple[_Field, ...], ...]
    splitters: tuple[_Field | None, ...] = ()
    """The field of each group whose cell is split, if one is."""


@dataclass(frozen=True, slots=True)
class _Limit:
    """What a label allows of entities, where a row might have more: how many, and one each of which field."""

    filled: _Filled
    most: int | None
    one_each: tuple[str, ...]
    too_many: Problem
    not_each: Problem


@dataclass(frozen=True, slots=True)
class _Days:
    """The columns that say from when to when a row counts, and the day it is."""

    begins: int
    ends: int
    formats: tuple[DateFormat, ...]
    today: int
    blanks: frozenset[str]

    def read(self, cells: Sequence[str]) -> tuple[int, int] | None:
        """Return the first and the last day, 0 for none; None when one cannot be read."""
        days = []
        for index in (self.begins, self.ends):
            text = cells[index].strip() if index >= 0 else ""
            text = "" if text.casefold() in self.blanks else text
            day = read_date(text, self.formats) if text else None
            if text and day is None:
                return None
            days.append(day.toordinal() if day else 0)
        first, last = days
        return None if last and first > last else (first, last)


@dataclass(frozen=True, slots=True)
class _Fields:
    """What makes a byte of each mapped cell."""

    kind: bytes
    width: int
    blanks: tuple[frozenset[str], ...]
    """The words that count as blank, by column; none where no column has any."""

    def of(self, cells: Sequence[str], joined: bytes) -> bytes:
        """Return `Person.fields` of a row's cells; ``joined`` are the same, as bytes with a separator between them."""
        parts = joined.split(_SEPARATOR_BYTE)
        if self.blanks or len(parts) != self.width:
            texts = zip(cells, self.blanks, strict=True) if self.blanks else ((cell, ()) for cell in cells)
            parts = [b"" if text.casefold() in words else text.encode() for text, words in texts]
        return self.kind + bytes([crc_hqx(part, 0) & 255 or (255 if part else 0) for part in parts])


def cells_digest(joined: bytes, salt: bytes) -> bytes:
    """Return `Person.cells` of a row's mapped cells, stripped, with `SEPARATOR` between them."""
    return hashlib.blake2b(joined, digest_size=CELLS_DIGEST, salt=salt).digest()


@dataclass(frozen=True, slots=True)
class BoundMapping:
    """A mapping that knows in which columns of one export its cells stand.

    ``pick`` takes the mapped cells out of a row, without the columns that are absent; ``salt`` is that of the digest of
    such cells (`cells_digest`), which is another one under another sender, or where other columns are absent.
    """

    mapping: Mapping
    salt: bytes
    pick: Callable[[Sequence[str]], tuple[str, ...]]
    key: _Source
    account: _Source
    status: int
    words: Dict[str, bool]
    leave: tuple[int, frozenset[str]] | None
    scope: tuple[tuple[int, frozenset[str], bool], ...]
    days: _Days | None
    mapped: tuple[int, ...]
    short: _Fields
    references: tuple[_Reference | None, ...]
    lists: tuple[_Reference, ...]
    refined: tuple[_Reference, ...]
    fields: tuple[_Field, ...]
    limits: tuple[_Limit, ...]
    properties: tuple[_Filled, ...]
    ignored: tuple[str, ...]
    absent: tuple[str, ...] = field(default=())

    def person(self, row: Row) -> Person | Rejection:
        """Return whom a row speaks of, or why it is rejected. Every problem of the row is named.

        Somebody who is out of scope is `Person.outside`, without a key where the row has none.
        """
        if row.problem:
            return Rejection(row.number, "", (Problem("bad_row", row.problem),), tuple(row.cells))
        by_column = row.cells
        cells = [by_column[index].strip() if index >= 0 else "" for index in self.mapped]
        text = SEPARATOR.join(cells)
        try:
            joined = text.encode("utf-8")
        except UnicodeEncodeError:
            problem = Problem(
                "bad_text", "it holds bytes that are no text in the encoding of the file; save the file as CSV in UTF-8"
            )
            rank, _, _ = self._standing(by_column)
            return Rejection(row.number, self._readable_key(row), (problem,), tuple(by_column), rank)
        taken = joined if not self.absent else SEPARATOR.join(map(str.strip, self.pick(by_column))).encode()
        digest = cells_digest(taken, self.salt)
        key = _text(self.key, by_column)
        account = _text(self.account, by_column)
        rank, ended, begun = self._standing(by_column) if self.days else (0, False, True)
        if self.scope and not self._in_scope(by_column):
            return self._outside(row, key, account, digest, rank)
        if not begun and key:
            return self._outside(row, key, account, digest, rank)
        leaver = ended or self._leaver(by_column)
        # Of a whole row that is short and has no NUL byte, every cell is so.
        long = len(text) > MAX_VALUE or "\x00" in text
        # A column that fills several fields can be wrong in all of them in the same way.
        found = self._row_problems(by_column, key, account, leaver=leaver, rank=rank, long=long)
        problems = tuple(dict.fromkeys(found))
        if problems:
            return Rejection(row.number, key or "", problems, tuple(by_column), rank)
        asked = self._ask(account or "")
        references = self._references(by_column, key or "", asked) if self.references else ()
        fields = self.short.of(cells, joined)
        return Person(key or "", asked, bool(leaver), references, digest, row.number, rank=rank, fields=fields)

    def key_of(self, cells: Sequence[str]) -> str:
        """Return whose a row's cells are; "" when that cannot be told."""
        return _text(self.key, cells) or ""

    def counts_today(self, cells: Sequence[str]) -> bool:
        """Tell whether a row's days have begun and are not over."""
        rank, ended, begun = self._standing(cells)
        return begun and not ended and rank != _UNKNOWN_DAY

    def turns(self, cells: Sequence[str]) -> Iterator[int]:
        """Yield the ordinals of the days to come on which a row begins to count, or ceases to."""
        days = self.days.read(cells) if self.days else None
        if days is None or self.days is None:
            return
        first, last = days
        if first > self.days.today:
            yield first
        if self.days.today <= last < _LAST_DAY:
            yield last + 1

    def entities(
        self, cells: Sequence[str], account: Known, references: Sequence[Known | None]
    ) -> dict[str, dict[str, Any] | list[dict[str, Any]] | str]:
        """Return the properties of one person's item: an entity, several, or a custom property's text.

        Blank cells are left out, and an entity that would hold constants only is left out as a whole: an absent
        field leaves Entra's value alone, an empty one would override it.
        https://learn.microsoft.com/graph/profilepriority-configure-profilepropertysetting
        """
        filled: dict[str, dict[str, Any] | list[dict[str, Any]] | str] = {}
        others = self._grouped(cells, references) if self.lists else references
        for part in self.properties:
            if part.label == "personAccount":
                filled[part.name] = {"userPrincipalName": account.upn, "externalDirectoryObjectId": account.id}
            elif part.label is None:
                text = _custom(part, cells)
                if text is not None:
                    filled[part.name] = text
            elif entities := _entities(part, cells, others):
                filled[part.name] = entities if part.several else entities[0]
        return filled

    # --- who a row is about -----------------------------------------------------------------------------------------

    def _ask(self, account: str) -> str:
        return ask(self.mapping.file.account.match, account) if account else ""

    def _outside(self, row: Row, key: str | None, account: str | None, digest: bytes, rank: int) -> Person:
        asked = self._ask(account or "")
        return Person(
            key or "", asked, leaver=False, references=(), cells=digest, row=row.number, outside=True, rank=rank
        )

    def _readable_key(self, row: Row) -> str:
        key = _text(self.key, row.cells) or ""
        return "" if any("\ud800" <= character <= "\udfff" for character in key) else key

    def _in_scope(self, cells: Sequence[str]) -> bool:
        return all((cells[index].strip().casefold() in words) is wanted for index, words, wanted in self.scope)

    def _standing(self, cells: Sequence[str]) -> tuple[int, bool, bool]:
        """Return a row's rank, whether its days are over, and whether they have begun."""
        if self.days is None:
            return 0, False, True
        days = self.days.read(cells)
        if days is None:
            return _UNKNOWN_DAY, False, True
        first, last = days
        if first > self.days.today:
            return _NOT_BEGUN - first, False, False
        if last and last < self.days.today:
            return _ENDED + last, True, True
        return first or 1, False, True

    def _leaver(self, cells: Sequence[str]) -> bool | None:
        """Tell whether the row's words say that the person left; None when the status is an unknown word."""
        if self.status < 0:
            return False
        leaver = self.words.get(cells[self.status].strip().casefold())
        if leaver and self.leave is not None:
            index, words = self.leave
            return cells[index].strip().casefold() not in words
        return leaver

    def _references(self, cells: Sequence[str], key: str, asked: str) -> tuple[str, ...]:
        singles = tuple([each.key(cells) if each else "" for each in self.references])
        if not self.lists:
            return singles
        return (*singles, *(other for keys in self._listed(cells, key, asked) for other in keys))

    def _listed(self, cells: Sequence[str], key: str, asked: str) -> Iterator[list[str]]:
        """Yield, for each list of people, the keys in its cell, each once; nobody is their own colleague."""
        own = {key, referred_key(asked)}
        for each in self.lists:
            yield [other for other in each.keys(cells) if other and other not in own]

    def _grouped(self, cells: Sequence[str], references: Sequence[Known | None]) -> list[Known | list[Known] | None]:
        """Return the single references, and behind them whom each list of people leads to."""
        end = len(self.references)
        grouped: list[Known | list[Known] | None] = [*references[:end]]
        key, account = _text(self.key, cells) or "", _text(self.account, cells) or ""
        for keys in self._listed(cells, key, self._ask(account)):
            start, end = end, end + len(keys)
            grouped.append([other for other in references[start:end] if other] or None)
        return grouped

    # --- what is wrong with it --------------------------------------------------------------------------------------

    def _row_problems(
        self, cells: Sequence[str], key: str | None, account: str | None, *, leaver: bool | None, rank: int, long: bool
    ) -> Iterator[Problem]:
        file = self.mapping.file
        if problem := _key_problem(self.key, key):
            yield problem
        if rank == _UNKNOWN_DAY and file.effective and self.days:
            named = " or ".join(filter(None, (file.effective.from_, file.effective.until)))
            examples = " or ".join(each.write(EXAMPLE) for each in self.days.formats)
            yield Problem("bad_date", f"{named} is not a date such as {examples}, or the row ends before it begins")
        if leaver is None and file.status:
            words = (*file.status.in_scope, *file.status.on_leave, *file.status.leaver)
            yield Problem("not_allowed", f"{file.status.column} is an unknown word; allowed: {', '.join(words)}")
        if leaver:
            return  # nothing of somebody who left is sent, so nothing else need be right
        if problem := _account_problem(self.account, account, file.account.match):
            yield problem
        for each in self.refined:
            if None in each.keys(cells):
                yield each.source.refusal
        long = long and any(len(cells[i]) > MAX_VALUE or "\x00" in cells[i] for i in self.mapped if i >= 0)
        yield from self._field_problems(cells, long=long)
        if long:
            yield Problem("too_long", f"a cell is longer than {MAX_VALUE} characters, or holds a NUL byte")

    def _field_problems(self, cells: Sequence[str], *, long: bool) -> Iterator[Problem]:
        wrong_before = False
        for each in self.fields:
            text = each.source.read(cells) if each.source else ""
            parts = [part.strip() for part in text.split(each.split)] if each.split else (text,)
            for part in parts:
                if part and isinstance(value := each.value(part), Problem):
                    wrong_before = True
                    yield value
                    break
        # Of a cell of a megabyte, comparing all entities with each other would take minutes.
        if self.limits and not (wrong_before or long):
            yield from (problem for limit in self.limits for problem in _excess(limit, cells))


def bind(mapping: Mapping, header: Sequence[str], *, today: date | None = None, sender: bytes = b"") -> BoundMapping:
    """Find the mapping's columns in an export's header. ``today`` decides which rows count, where they say from when.

    ``sender`` stands for all that makes another person's item of the same cells: rows are digested with it.

    Raises:
        ExportError: ``missing_column`` when a column is not there without which nobody can tell who a row is about or
            who counts: of the key, of the account, of ``[[scope]]``, of ``[leave]``, of ``[effective]``.
        ValueError: the mapping has effective dates, and no day is given.
    """
    places = {column_key(name): index for index, name in enumerate(header) if name}
    file = mapping.file
    missing = [column for column in mapping.required if column_key(column) not in places]
    if missing:
        raise ExportError("; ".join(_missing(column, header) for column in missing), code="missing_column")

    def place(column: str) -> int:
        return places.get(column_key(column), -1)

    binding = _Binding(file.file, place)
    references, lists, slots = _people(file, binding)
    properties = tuple(_filled(part, binding, slots) for part in file.property)
    # In the mapping's order, not the file's: a cell that comes to stand under another header is another cell.
    mapped = tuple(place(column) for column in mapping.columns)
    fields = [each for part in properties for group in part.groups for each in group if not each.plain]
    absent = tuple(column for column in mapping.columns if place(column) < 0)
    return BoundMapping(
        mapping=mapping,
        salt=hashlib.blake2b(repr((sender, absent)).encode(), digest_size=hashlib.blake2b.SALT_SIZE).digest(),
        pick=_picker([index for index in mapped if index >= 0]),
        key=binding.source(file.key),
        account=binding.source(file.account),
        status=place(file.status.column) if file.status else -1,
        words=_words(file.status, _blanks(file.file)),
        leave=_leave(file, place),
        scope=tuple(_scope(file, place)),
        days=_days(file, place, today),
        mapped=mapped,
        short=_short(mapping),
        references=references,
        lists=lists,
        refined=tuple(each for each in (*references, *lists) if each and each.source.refine),
        fields=tuple(fields),
        limits=tuple(_limits(file, properties)),
        properties=properties,
        ignored=tuple(name for index, name in enumerate(header) if name and index not in mapped),
        absent=absent,
    )


def _picker(places: Sequence[int]) -> Callable[[Sequence[str]], tuple[str, ...]]:
    """Return what takes these cells out of a row."""
    if len(places) == 1:
        return lambda cells: (cells[places[0]],)
    return itemgetter(*places)


def _missing(column: str, header: Sequence[str]) -> str:
    keys = {column_key(name): name for name in header if name}
    close = difflib.get_close_matches(column_key(column), keys, n=1)
    hint = f"; did you mean {keys[close[0]]!r}?" if close else ""
    return f"the column {column} is missing{hint}"


def _text(source: _Source, cells: Sequence[str]) -> str | None:
    """Return a source's text in its final form; None when it must be refused."""
    text = source.read(cells)
    return source.refine(text) if text and source.refine is not None else text


def _key_problem(source: _Source, key: str | None) -> Problem | None:
    if key is None:
        return source.refusal
    if not key:
        return Problem("missing_key", f"{source.named} is blank; it is the person's key")
    return Problem("too_long", f"{source.named} is longer than {MAX_KEY} characters") if len(key) > MAX_KEY else None


def _account_problem(source: _Source, account: str | None, match: Match) -> Problem | None:
    if account is None:
        return Problem("bad_account", source.refusal.message)
    if not account:
        return Problem("missing_account", f"{source.named} is blank; it is the person's Entra account")
    if match == "employeeId":
        right, what = len(account) <= MAX_EMPLOYEE_ID, f"employeeId (at most {MAX_EMPLOYEE_ID} characters)"
    elif match == "id":
        right, what = bool(_GUID.fullmatch(account)), "object id (such as 10a1d484-cd1a-4162-a5a4-832370bac356)"
    else:
        right = len(account) <= MAX_UPN and bool(_NAME.fullmatch(account))
        what = "mail address (name@domain)" if match == "mail" else "user principal name (name@domain)"
    return None if right else Problem("bad_account", f"{source.named} is no {what}")


# --- binding ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Binding:
    """What binding needs at hand: how the file is written, and where its columns stand."""

    file: FilePart
    place: Callable[[str], int]

    def source(self, spec: TextSource) -> _Source:
        """Return a source that reads its columns; absent ones count as blank."""
        named = spec.named
        return _Source(self._read(spec), refiner(spec), refusal(spec, named), named)

    def direct(self, spec: TextSource) -> int:
        """Return the column whose cell is the source's text as it stands; -1 when something is done to it."""
        changed = self.file.blanks or spec.blanks or spec.template or len(spec.reads) != 1 or refiner(spec)
        return -1 if changed else self.place(spec.reads[0])

    def has(self, spec: TextSource) -> bool:
        """Tell whether any of a source's columns is there."""
        return any(self.place(column) >= 0 for column in spec.reads)

    def _read(self, spec: TextSource) -> Read:
        blanks = _blanks(self.file, spec.blanks or ())
        if spec.template is not None:
            # What is left of half a name may be somebody else's; of other text it may be all there is to say.
            return _template(spec.template, self.place, blanks, enough=any if isinstance(spec, ColumnField) else all)
        cells = [_cell(self.place(column), blanks) for column in spec.reads]
        if len(cells) == 1:
            return cells[0]
        between = " " if spec.join is None else spec.join
        return lambda row: between.join(filter(None, (cell(row) for cell in cells)))


def _blanks(file: FilePart, more: Sequence[str] = ()) -> frozenset[str]:
    return compared((*(file.blanks or ()), *more))


def _cell(index: int, blanks: frozenset[str]) -> Read:
    if index < 0:
        return lambda _: ""
    if not blanks:
        return lambda row: row[index].strip()
    return lambda row: "" if (text := row[index].strip()).casefold() in blanks else text


def _template(
    template: str, place: Callable[[str], int], blanks: frozenset[str], *, enough: Callable[[Iterable[str]], bool]
) -> Read:
    """Return what fills a template: blank unless ``enough`` of its columns are filled, `any` or `all`.

    Spaces around those that are blank close up.
    """
    parts = [
        (text, None if column is None else _cell(place(column), blanks)) for text, column in template_parts(template)
    ]

    def read(row: Sequence[str]) -> str:
        values = [cell(row) for _, cell in parts if cell]
        if not enough(values):
            return ""
        written = (part for (text, _), value in zip(parts, (*values, ""), strict=True) for part in (text, value))
        return _SPACES.sub(" ", "".join(written)).strip()

    return read


def _short(mapping: Mapping) -> _Fields:
    """Return what digests cells one by one. With other words for blank they count as other columns."""
    blanks = mapping.blanks
    named = [(column_key(column), *sorted(words)) for column, words in blanks.items()]
    kind = hashlib.blake2b(repr(named).encode(), digest_size=KIND).digest()
    return _Fields(kind, len(blanks), tuple(blanks.values()) if any(blanks.values()) else ())


def _words(status: StatusPart | None, blanks: Iterable[str]) -> dict[str, bool]:
    if status is None:
        return {}
    return (
        dict.fromkeys(("", *blanks), status.blank == "leaver")
        | dict.fromkeys(compared((*status.in_scope, *status.on_leave)), False)
        | dict.fromkeys(compared(status.leaver), True)
    )


def _leave(file: MappingFile, place: Callable[[str], int]) -> tuple[int, frozenset[str]] | None:
    """Return the column and the words of leave. Without the column, whoever is on leave might count as gone."""
    if file.leave is None:
        return None
    return _placed(place, file.leave.column, "[leave] tells who is on leave"), compared(file.leave.words)


def _placed(place: Callable[[str], int], column: str, by_which: str) -> int:
    """Return where a column stands without which nobody can tell who counts.

    Raises:
        ExportError: it is not there.
    """
    if place(column) < 0:
        raise ExportError(f"the column {column} is missing, by which {by_which}", code="missing_column")
    return place(column)


def _scope(file: MappingFile, place: Callable[[str], int]) -> Iterator[tuple[int, frozenset[str], bool]]:
    """Yield column, words, and whether the cell is to be one of them. Without its column nobody would be in scope."""
    for part in file.scope:
        index = _placed(place, part.column, "[[scope]] tells who counts")
        words = compared(part.is_ or part.is_not)
        words |= _blanks(file.file) if "" in words else frozenset()
        yield index, words, part.is_ is not None


def _days(file: MappingFile, place: Callable[[str], int], today: date | None) -> _Days | None:
    if file.effective is None:
        return None
    if today is None:
        raise ValueError("a mapping with effective dates is bound for a day")
    formats = tuple(map(date_format, file.effective.dates)) if file.effective.dates else writing(file.file).dates
    begins, ends = (
        _placed(place, column, "[effective] tells which rows count") if column else -1
        for column in (file.effective.from_, file.effective.until)
    )
    return _Days(begins, ends, formats, today.toordinal(), _blanks(file.file))


def _people(
    file: MappingFile, binding: _Binding
) -> tuple[tuple[_Reference | None, ...], tuple[_Reference, ...], dict[tuple[str | int, ...], int]]:
    """Return the single references and the lists, and the slot of each property's field among them all."""
    singles: dict[tuple[str | int, ...], _Reference] = {}
    lists: dict[tuple[str | int, ...], _Reference] = {}
    for part in file.property:
        for place, path, spec in part.specs:
            if not isinstance(spec, PersonField) or not binding.has(spec):
                continue
            kind = field_kind(part, path)
            many = bool(kind and kind.many)
            direct = binding.direct(spec) if spec.by == "key" and not many else -1
            reference = _Reference(binding.source(spec), spec.by, spec.list if many else None, direct)
            (lists if many else singles)[part.name, *place] = reference
    # The first slot is the manager's, along which loops are sought; colleagues may well name each other.
    references: tuple[_Reference | None, ...] = (*singles.values(),) or (None,) * bool(lists)
    slots = {place: slot for slot, place in enumerate(singles)}
    slots |= {place: slot for slot, place in enumerate(lists, start=len(references))}
    return references, (*lists.values(),), slots


def _filled(part: PropertyPart, binding: _Binding, slots: Dict[tuple[str | int, ...], int]) -> _Filled:
    if part.label is None:
        spec = part.value or part.column or ""
        bound = _bound((), FieldType(), spec, binding)
        return _Filled(part.name, None, several=False, groups=((bound,),) if bound else ())
    groups: dict[tuple[str | int, ...], list[_Field]] = {}
    for place, path, spec in part.specs:
        steps = tuple(path.split("."))[1 if part.address_shape == "flat" else 0 :]
        kind = field_kind(part, path) or FieldType()
        group = groups.setdefault(place[:-1], [])
        if isinstance(spec, ConstantField):
            group.append(_Field(steps, constant=_constant(part, path, kind, spec.constant)))
        elif isinstance(spec, PersonField):
            if (slot := slots.get((part.name, *place))) is not None:
                group.append(_Field(steps, reference=slot, relationship=spec.relationship))
        elif bound := _bound(steps, kind, spec, binding, home=part.address_types == "Home" and path == "detail.type"):
            group.append(bound)
    bound_groups = tuple(map(tuple, groups.values()))
    splitters = tuple(next((each for each in group if each.split), None) for group in bound_groups)
    return _Filled(part.name, part.label, LABELS[part.label].several, bound_groups, splitters)


def _bound(
    steps: tuple[str, ...], kind: FieldType, spec: str | ColumnField, binding: _Binding, *, home: bool = False
) -> _Field | None:
    """Return a field that is filled from columns; None when none of them is there."""
    table = ColumnField(column=spec) if isinstance(spec, str) else spec
    if not binding.has(table):
        return None
    way = writing(binding.file, table)
    source = binding.source(table)
    if _takes_any(kind) and table.dates:
        kind = FieldType(kind=date, many=kind.many)  # text, that stands as a date in the file, is sent as an ISO date
    convert: Convert = CAPITALISED.get if home else converter(kind, way)
    return _Field(
        steps,
        source=source,
        convert=convert,
        wrong=None if _takes_any(kind) else wrong(source.named, kind, way),
        split=table.split,
        parted=table.list,
        many=kind.many,
        clear=table.blank == "clear",
        column=binding.direct(table) if _takes_any(kind) and not (kind.many or table.split) else -1,
    )


def _takes_any(kind: FieldType) -> bool:
    return kind.kind is str and not kind.allowed and kind.form is None


def _constant(part: PropertyPart, path: str, kind: FieldType, constant: bool | float | str) -> Value:  # noqa: FBT001 - TOML has them
    if kind.many:
        return [str(constant)]
    if part.address_types == "Home" and path == "detail.type":
        return CAPITALISED[str(constant)]
    return constant


def _limits(file: MappingFile, properties: Sequence[_Filled]) -> Iterator[_Limit]:
    """Yield the limits that a row might break; most mappings cannot break any."""
    for part, filled in zip(file.property, properties, strict=True):
        label = LABELS.get(part.label or "")
        if label is None or not label.several:
            continue
        split = any(each.split for group in filled.groups for each in group)
        many = split or len(filled.groups) > 1
        most = label.most if split or (label.most and len(filled.groups) > label.most) else None
        steps = tuple(label.one_each.split("."))[1 if part.address_shape == "flat" else 0 :] if label.one_each else ()
        if (most or steps) and many:
            columns = ", ".join(
                dict.fromkeys(each.source.named for group in filled.groups for each in group if each.source)
            )
            yield _Limit(
                filled,
                most,
                steps,
                Problem("too_many", f"{columns} make too many entities for {part.name}; Graph takes {label.most}"),
                Problem("too_many", f"{columns} make several of one type for {part.name}; Graph takes one of each"),
            )


def _excess(limit: _Limit, cells: Sequence[str]) -> Iterator[Problem]:
    entities = _entities(limit.filled, cells, ())
    if limit.most and len(entities) > limit.most:
        yield limit.too_many
    if limit.one_each:
        values = [_at(entity, limit.one_each) for entity in entities]
        if len(set(values)) < len(values):
            yield limit.not_each


def _at(entity: dict[str, Any], path: Sequence[str]) -> object:
    value: Any = entity
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value


# --- rendering --------------------------------------------------------------------------------------------------------


def _custom(part: _Filled, cells: Sequence[str]) -> str | None:
    if not part.groups:
        return None
    each = part.groups[0][0]
    text = each.source.read(cells) if each.source else ""
    value = each.value(text) if text else None
    return str(value) if value is not None else "" if each.clear else None


def _entities(
    part: _Filled, cells: Sequence[str], references: Sequence[Known | list[Known] | None]
) -> list[dict[str, Any]]:
    """Return the entities of one property: one per group, or one per part of a split cell, without repetitions."""
    entities: list[dict[str, Any]] = []
    for group, splitter in zip(part.groups, part.splitters, strict=True):
        if splitter is None or splitter.source is None:
            entity = _entity(group, cells, references, "")
            if entity and entity not in entities:
                entities.append(entity)
            continue
        for text in splitter.source.read(cells).split(splitter.split):
            entity = _entity(group, cells, references, part_of) if (part_of := text.strip()) else None
            if entity and entity not in entities:
                entities.append(entity)
    return entities


def _entity(
    group: Sequence[_Field], cells: Sequence[str], references: Sequence[Known | list[Known] | None], part: str
) -> dict[str, Any] | None:
    entity: dict[str, Any] = {}
    said_something = False
    for each in group:
        value: Any
        if each.column >= 0:
            value = cells[each.column].strip() or ("" if each.clear else None)
        elif each.source is not None:
            text = part if each.split else each.source.read(cells)
            value = each.value(text) if text else None
            if value is None and each.clear:
                value = ""
        elif each.reference >= 0:
            value = _related(references[each.reference], each.relationship) if references else None
        else:
            value = each.constant
        if value is None:
            continue
        said_something = said_something or each.constant is None
        place = entity
        for step in each.path[:-1]:
            place = place.setdefault(step, {})
        place[each.path[-1]] = value
    return entity if said_something else None


def _related(other: Known | list[Known] | None, relationship: str) -> Any:
    if isinstance(other, list):
        return [_related(one, relationship) for one in other]
    return other and {"relationship": relationship, "userId": other.id, "userPrincipalName": other.upn}
