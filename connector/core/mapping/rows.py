"""The mapping file, and what it makes of a row: a `Person`, or a `Rejection` that says why.

A mapping is one TOML file that decides schema and items alike (``docs/mapping.md``). It is read once into a
`Mapping`, bound to the header of an export (`bind`), and then asked row by row.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import tomllib
from collections.abc import Callable
from collections.abc import Mapping as Dict
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from connector.core.entities import LABELS, UNSUPPORTED, FieldType, field_paths, field_type
from connector.core.export import column_key
from connector.core.mapping.person import Person, Problem, Rejection
from connector.errors import ConfigurationError, ExportError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from connector.core.accounts import Known
    from connector.core.export import Row

MAX_KEY: Final = 256
"""Characters in a person's key."""
MAX_VALUE: Final = 20_000
"""Characters in one cell that is sent."""
MAX_UPN: Final = 1024

_UPN: Final = re.compile(r"[^\s@\x00-\x1f]+@[^\s@\x00-\x1f]+")
_ISO_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_SEPARATOR: Final = "\x1f"

Value = str | int | float | bool | list[str]
"""What a field of an entity or a custom property carries in JSON."""

_CAPITALISED: Final = {"home": "Home", "business": "Work", "other": "Other"}
"""The types of addresses in the other spelling that is written down for them.
https://learn.microsoft.com/microsoft-365-copilot/extensibility/build-connectors-with-people-data"""


# --- the file -------------------------------------------------------------------------------------------------------


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class FilePart(_Part):
    """How the file is written, where that is fixed instead of found. A byte order mark still decides.

    ``header_rows``: 2 where the row with the names is followed by one with labels for people.
    """

    encoding: Literal["utf-8", "utf-16", "utf-16-le", "utf-16-be", "windows-1252", "latin-1"] | None = None
    delimiter: Literal[",", ";", "\t", "|"] | None = None
    header_rows: Literal[1, 2] = 1


class KeyPart(_Part):
    """Where the person's key stands."""

    column: str


class AccountPart(_Part):
    """How a row finds its Entra user."""

    column: str
    match: Literal["userPrincipalName"] = "userPrincipalName"


class StatusPart(_Part):
    """Which words mean in scope, and which mean that somebody left. Compared without case."""

    column: str
    in_scope: tuple[str, ...]
    leaver: tuple[str, ...]
    blank: Literal["in_scope", "leaver"] = "in_scope"


class ColumnField(_Part):
    """A field filled from a column.

    ``split``: one entity per part of the cell. ``list``: all parts of the cell are the one list that the field holds.
    """

    column: str
    split: Annotated[str, Field(min_length=1)] | None = None
    list: Annotated[str, Field(min_length=1)] | None = None


class ConstantField(_Part):
    """A field with one value for everybody. It never makes an entity on its own."""

    constant: bool | int | float | str


class PersonField(_Part):
    """A reference to another person, by their key in the HR system. ``list``: to several, one per part of the cell."""

    person: str
    list: Annotated[str, Field(min_length=1)] | None = None
    by: Literal["key"] = "key"
    relationship: str


FieldSpec = str | ColumnField | ConstantField | PersonField


class PropertyPart(_Part):
    """One property of the schema: with a label, an entity of the profile; without, a custom property.

    ``address_shape`` and ``address_types`` say how the entities of personAddresses are written. The documented way is
    the first of each; field reports contradict each other about which one Graph takes:
    https://learn.microsoft.com/graph/api/resources/itemaddress
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,32}$")]
    label: str | None = None
    description: Annotated[str, Field(max_length=200)] | None = None
    column: str | None = None
    address_shape: Literal["detail", "flat"] = "detail"
    address_types: Literal["home", "Home"] = "home"
    fields: dict[str, FieldSpec] = Field(default_factory=dict)


class MappingFile(_Part):
    """The whole file."""

    format: Literal[1]
    description: str = ""
    file: FilePart = FilePart()
    key: KeyPart
    account: AccountPart
    status: StatusPart | None = None
    property: Annotated[tuple[PropertyPart, ...], Field(min_length=1, max_length=128)]


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping that has been found right. ``digest`` changes whenever its text does."""

    name: str
    file: MappingFile
    digest: str

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column the mapping reads, once, in order of appearance; the key first, the account second."""
        return tuple(dict.fromkeys(_columns(self.file)))


def load_mapping(name: str, text: bytes) -> Mapping:
    """Read a mapping file.

    Raises:
        ConfigurationError: with every problem of the file, each naming its place.
    """
    try:
        file = MappingFile.model_validate(tomllib.loads(text.decode("utf-8-sig")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"mapping {name}: is not TOML ({error})"]) from error
    except ValidationError as error:
        raise ConfigurationError(
            [
                f"mapping {name}: {'.'.join(map(str, problem['loc']))}: {problem['msg']}"
                for problem in error.errors(include_input=False)
            ]
        ) from error
    problems = [f"mapping {name}: {problem}" for problem in _problems(file)]
    if problems:
        raise ConfigurationError(problems)
    return Mapping(name=name, file=file, digest=hashlib.sha256(text).hexdigest()[:32])


def _problems(file: MappingFile) -> Iterator[str]:
    names = [part.name.casefold() for part in file.property]
    yield from (f"property {name}: stands twice" for name in sorted({n for n in names if names.count(n) > 1}))
    labels = [part.label for part in file.property if part.label]
    yield from (
        f"label {label}: stands on two properties" for label in sorted({x for x in labels if labels.count(x) > 1})
    )
    if "personAccount" not in labels:
        yield "no property has the label personAccount; exactly one must (Graph ignores people without account)"
    if file.status:
        words = [word.casefold() for word in (*file.status.in_scope, *file.status.leaver)]
        yield from (f"status word {word!r}: stands twice" for word in sorted({w for w in words if words.count(w) > 1}))
    for part in file.property:
        yield from (f"property {part.name}: {problem}" for problem in _property_problems(part))


def _property_problems(part: PropertyPart) -> Iterator[str]:
    if part.label != "personAddresses" and part.model_fields_set & {"address_shape", "address_types"}:
        yield "address_shape and address_types belong to the label personAddresses alone"
    if part.label is None:
        if part.fields or not part.column:
            yield "a property without label is a custom property; it takes a column, and no fields"
        return
    if part.label in UNSUPPORTED:
        yield (
            f"label {part.label} is not supported for people data;"
            " use the field manager or colleagues of personCurrentPosition"
        )
    elif part.label not in LABELS:
        yield f"label {part.label} does not exist{_suggest(part.label, LABELS)}"
    elif part.label == "personAccount":
        if part.fields or part.column:
            yield "personAccount is filled from the matched Entra user; it takes no fields"
    elif part.column or not part.fields:
        yield f"label {part.label} takes fields, not a column"
    else:
        yield from _field_problems(part)


def _field_problems(part: PropertyPart) -> Iterator[str]:
    label = LABELS[part.label or ""]
    if all(isinstance(spec, ConstantField) for spec in part.fields.values()):
        yield "has constants only; at least one field must come from a column"
    yield from _split_problems(part)
    for path, spec in part.fields.items():
        kind = _kind(part, path)
        if kind is None:
            yield f"{part.label} has no field {path}{_suggest(path, field_paths(label.entity))}"
        elif part.address_shape == "flat" and not path.startswith("detail."):
            yield f"{path}: a flat address has the fields of detail alone"
        else:
            yield from (f"{path}: {problem}" for problem in _misfits(spec, kind))


def _misfits(spec: FieldSpec, kind: FieldType) -> Iterator[str]:
    """Say why a field cannot be filled in this way."""
    if kind.person != isinstance(spec, PersonField):
        yield f"{'takes' if kind.person else 'does not take'} a reference to a person"
    elif isinstance(spec, PersonField):
        if spec.relationship not in _relationships():
            yield f"relationship {spec.relationship!r} does not exist{_suggest(spec.relationship, _relationships())}"
        if spec.list and not kind.many:
            yield "holds one person, not a list"
    elif isinstance(spec, ConstantField):
        if not _fits(spec.constant, kind):
            yield f"the constant does not fit; allowed: {_wanted(kind)}"
    elif isinstance(spec, ColumnField) and spec.list and not kind.many:
        yield "holds one value, not a list"


def _split_problems(part: PropertyPart) -> Iterator[str]:
    """Say what hinders splitting a cell into several entities: the label, its limits, or another split cell."""
    label = LABELS[part.label or ""]
    split = {path: spec for path, spec in part.fields.items() if isinstance(spec, ColumnField) and spec.split}
    for path, spec in split.items():
        if not label.several:
            yield f"{path}: split makes several entities; {part.label} holds one"
        if spec.list:
            yield f"{path}: takes split, for several entities, or list, for one list in one entity; not both"
    if len({(column_key(spec.column), spec.split) for spec in split.values()}) > 1:
        yield f"{', '.join(split)}: only one column of a property can be split"
    if split and label.one_each and label.one_each not in split:
        yield f"{', '.join(split)}: split would make several of one type; Graph takes one of each {label.one_each}"


def _kind(part: PropertyPart, path: str) -> FieldType | None:
    """Return what a field of a property takes; None when its entity has no such field, or no column can fill it."""
    kind = field_type(LABELS[part.label or ""].entity, path)
    if kind and part.address_types == "Home" and path == "detail.type":
        return FieldType(allowed=tuple(_CAPITALISED))
    return kind


def _relationships() -> tuple[str, ...]:
    kind = field_type(LABELS["personCurrentPosition"].entity, "manager.relationship")
    return kind.allowed if kind else ()


def _fits(constant: Value, kind: FieldType) -> bool:
    if kind.allowed:
        return constant in kind.allowed
    if kind.kind is date:
        return isinstance(constant, str) and _iso_date(constant) is not None
    if isinstance(constant, str):
        whole = bool(constant.strip()) and len(constant) <= MAX_VALUE and "\x00" not in constant
        return kind.kind is str and whole and (kind.form is None or kind.form.takes(constant))
    if isinstance(constant, bool):
        return kind.kind is bool
    return _converter(kind)(str(constant)) == constant


def _wanted(kind: FieldType) -> str:
    return ", ".join(kind.allowed) or (kind.form.wanted if kind.form else kind.kind.__name__)


def _suggest(word: str, known: Any) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _columns(file: MappingFile) -> Iterator[str]:
    yield file.key.column
    yield file.account.column
    if file.status:
        yield file.status.column
    for part in file.property:
        if part.column:
            yield part.column
        for spec in part.fields.values():
            if isinstance(spec, str):
                yield spec
            elif isinstance(spec, ColumnField):
                yield spec.column
            elif isinstance(spec, PersonField):
                yield spec.person


# --- rows -----------------------------------------------------------------------------------------------------------


Convert = Callable[[str], Value | None]
"""Turns a cell that is not blank into a value; None: it cannot be one."""


@dataclass(frozen=True, slots=True)
class _Source:
    """One field of an entity, bound to a column of an export (-1: a constant)."""

    path: tuple[str, ...]
    column: int = -1
    convert: Convert = str
    constant: Value | None = None
    split: str | None = None
    reference: int = -1
    relationship: str = ""


@dataclass(frozen=True, slots=True)
class _Filled:
    """A property, bound: what it is, and where its values come from."""

    name: str
    label: str | None
    several: bool
    sources: tuple[_Source, ...]


@dataclass(frozen=True, slots=True)
class BoundMapping:
    """A mapping that knows in which columns of one export its cells stand."""

    mapping: Mapping
    key: int
    account: int
    status: int
    words: Dict[str, bool]
    mapped: tuple[int, ...]
    references: tuple[int, ...]
    lists: tuple[tuple[int, str | None], ...]
    checks: tuple[tuple[int, Convert, Problem], ...]
    properties: tuple[_Filled, ...]
    ignored: tuple[str, ...]
    absent: tuple[str, ...] = field(default=())

    def person(self, row: Row) -> Person | Rejection:
        """Return whom a row speaks of, or why it is rejected. Every problem of the row is named."""
        if row.problem:
            return Rejection(row.number, "", (Problem("bad_row", row.problem),), tuple(row.cells))
        cells = [row.cells[index].strip() if index >= 0 else "" for index in self.mapped]
        try:
            digest = hashlib.blake2b(_SEPARATOR.join(cells).encode("utf-8"), digest_size=16).digest()
        except UnicodeEncodeError:
            problem = Problem(
                "bad_text", "it holds bytes that are no text in the encoding of the file; save the file as CSV in UTF-8"
            )
            return Rejection(row.number, self._readable_key(row), (problem,), tuple(row.cells))
        by_column = row.cells
        key = by_column[self.key].strip()
        account = by_column[self.account].strip()
        leaver = self.words.get(by_column[self.status].strip().casefold()) if self.status >= 0 else False
        problems = tuple(self._row_problems(by_column, key, account, leaver))
        if problems:
            return Rejection(row.number, key, problems, tuple(by_column))
        return Person(
            key=key,
            account=account,
            leaver=bool(leaver),
            references=(
                self._all_references(by_column)
                if self.lists
                else tuple(by_column[index].strip() for index in self.references)
            ),
            cells=digest,
            row=row.number,
        )

    def _all_references(self, cells: Sequence[str]) -> tuple[str, ...]:
        singles = (cells[index].strip() if index >= 0 else "" for index in self.references)
        return (*singles, *(key for keys in self._listed_keys(cells) for key in keys))

    def _listed_keys(self, cells: Sequence[str]) -> Iterator[list[str]]:
        """Yield, for each list of people, the keys in its cell, each once; nobody is their own colleague."""
        for column, separator in self.lists:
            parts = cells[column].split(separator) if separator else [cells[column]]
            keys = dict.fromkeys(part.strip() for part in parts)
            yield [key for key in keys if key and key != cells[self.key].strip()]

    def _grouped(self, cells: Sequence[str], references: Sequence[Known | None]) -> list[Known | list[Known] | None]:
        """Return the single references, and behind them whom each list of people leads to."""
        end = len(self.references)
        grouped: list[Known | list[Known] | None] = [*references[:end]]
        for keys in self._listed_keys(cells):
            start, end = end, end + len(keys)
            grouped.append([other for other in references[start:end] if other] or None)
        return grouped

    def _readable_key(self, row: Row) -> str:
        key = row.cells[self.key].strip()
        return "" if any("\ud800" <= character <= "\udfff" for character in key) else key

    def _row_problems(self, cells: Sequence[str], key: str, account: str, leaver: bool | None) -> Iterator[Problem]:  # noqa: FBT001
        columns = self.mapping.file
        if not key:
            yield Problem("missing_key", f"{columns.key.column} is blank; it is the person's key")
        elif len(key) > MAX_KEY:
            yield Problem("too_long", f"{columns.key.column} is longer than {MAX_KEY} characters")
        if leaver is None and columns.status:
            yield Problem(
                "not_allowed",
                f"{columns.status.column} is an unknown word; allowed:"
                f" {', '.join((*columns.status.in_scope, *columns.status.leaver))}",
            )
        if leaver:
            return  # nothing of somebody who left is sent, so nothing else need be right
        if not account:
            yield Problem("missing_account", f"{columns.account.column} is blank; it is the person's Entra account")
        elif len(account) > MAX_UPN or not _UPN.fullmatch(account):
            yield Problem("bad_account", f"{columns.account.column} is no user principal name (name@domain)")
        for index, convert, problem in self.checks:
            cell = cells[index].strip()
            if cell and convert(cell) is None:
                yield problem
        if any(len(cells[index]) > MAX_VALUE or "\x00" in cells[index] for index in self.mapped if index >= 0):
            yield Problem("too_long", f"a cell is longer than {MAX_VALUE} characters, or holds a NUL byte")

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
            if part.label is None:
                text = cells[part.sources[0].column].strip() if part.sources else ""
                if text:
                    filled[part.name] = text
            elif part.label == "personAccount":
                filled[part.name] = {"userPrincipalName": account.upn, "externalDirectoryObjectId": account.id}
            else:
                entities = _entities(part.sources, cells, others)
                if not entities:
                    continue
                filled[part.name] = entities if part.several else entities[0]
        return filled


def bind(mapping: Mapping, header: Sequence[str], *, today: date | None = None) -> BoundMapping:  # noqa: ARG001
    """Find the mapping's columns in an export's header.

    Raises:
        ExportError: ``missing_column`` when the key or the account column is not there.
    """
    places = {column_key(name): index for index, name in enumerate(header) if name}
    file = mapping.file
    required = (file.key.column, file.account.column)
    missing = [column for column in required if column_key(column) not in places]
    if missing:
        raise ExportError("; ".join(_missing(column, header) for column in missing), code="missing_column")

    def place(column: str) -> int:
        return places.get(column_key(column), -1)

    references, lists, slots = _people(file, place)
    properties = tuple(_bind_property(part, place, slots) for part in file.property)
    # In the mapping's order, not the file's: a cell that comes to stand under another header is another cell.
    mapped = tuple(place(column) for column in mapping.columns)
    return BoundMapping(
        mapping=mapping,
        key=place(file.key.column),
        account=place(file.account.column),
        status=place(file.status.column) if file.status else -1,
        words=_words(file.status),
        mapped=mapped,
        references=tuple(references),
        lists=tuple(lists),
        checks=tuple(_checks(file, place)),
        properties=properties,
        ignored=tuple(name for index, name in enumerate(header) if name and index not in mapped),
        absent=tuple(column for column in mapping.columns if place(column) < 0),
    )


def _missing(column: str, header: Sequence[str]) -> str:
    keys = {column_key(name): name for name in header if name}
    close = difflib.get_close_matches(column_key(column), keys, n=1)
    hint = f"; did you mean {keys[close[0]]!r}?" if close else ""
    return f"the column {column} is missing{hint}"


def _words(status: StatusPart | None) -> dict[str, bool]:
    if status is None:
        return {}
    words = {word.casefold(): False for word in status.in_scope} | {word.casefold(): True for word in status.leaver}
    return words | {"": status.blank == "leaver"}


def _people(
    file: MappingFile, place: Callable[[str], int]
) -> tuple[list[int], list[tuple[int, str | None]], dict[tuple[str, str], int]]:
    """Return the columns of single references and of lists, and the slot of each property's field among them all."""
    singles: dict[tuple[str, str], int] = {}
    lists: dict[tuple[str, str], tuple[int, str | None]] = {}
    for part in file.property:
        for path, spec in part.fields.items():
            if isinstance(spec, PersonField) and place(spec.person) >= 0:
                kind = _kind(part, path)
                if kind and kind.many:
                    lists[part.name, path] = place(spec.person), spec.list
                else:
                    singles[part.name, path] = place(spec.person)
    # The first slot is the manager's, along which loops are sought; colleagues may well name each other.
    references = [*singles.values()] or [-1] * bool(lists)
    slots = {field: slot for slot, field in enumerate(singles)}
    slots |= {field: slot for slot, field in enumerate(lists, start=len(references))}
    return references, [*lists.values()], slots


def _bind_property(part: PropertyPart, place: Callable[[str], int], slots: Dict[tuple[str, str], int]) -> _Filled:
    sources: list[_Source] = []
    if part.column and place(part.column) >= 0:
        sources.append(_Source((), place(part.column)))
    for path, spec in part.fields.items():
        steps = tuple(path.split("."))[1 if part.address_shape == "flat" else 0 :]
        if isinstance(spec, ConstantField):
            sources.append(_Source(steps, constant=_constant(part, path, spec.constant)))
        elif isinstance(spec, PersonField):
            if place(spec.person) >= 0:
                sources.append(_Source(steps, reference=slots[part.name, path], relationship=spec.relationship))
        else:
            column = spec if isinstance(spec, str) else spec.column
            if place(column) >= 0:
                split = spec.split if isinstance(spec, ColumnField) else None
                sources.append(_Source(steps, place(column), _value(part, path, spec), split=split))
    several = part.label is not None and LABELS[part.label].several
    return _Filled(part.name, part.label, several, tuple(sources))


def _value(part: PropertyPart, path: str, spec: str | ColumnField) -> Convert:
    """Return what makes a cell, or a part of a split one, the value of a field."""
    kind = _kind(part, path) or FieldType()
    if kind.many:
        return _listed(_converter(kind), spec.list if isinstance(spec, ColumnField) else None)
    if part.address_types == "Home" and path == "detail.type":
        return _CAPITALISED.get
    return _converter(kind)


def _listed(convert: Convert, separator: str | None) -> Convert:
    """Return what makes a cell a list: of its parts, each once, or of itself when nothing separates it."""

    def convert_all(cell: str) -> list[str] | None:
        parts = [part.strip() for part in cell.split(separator)] if separator else [cell]
        return [str(convert(part)) for part in dict.fromkeys(parts) if part] or None

    return convert_all


def _constant(part: PropertyPart, path: str, constant: bool | float | str) -> Value:  # noqa: FBT001 - TOML has them
    kind = _kind(part, path)
    if kind and kind.many:
        return [str(constant)]
    if part.address_types == "Home" and path == "detail.type":
        return _CAPITALISED[str(constant)]
    return constant


def _checks(file: MappingFile, place: Callable[[str], int]) -> Iterator[tuple[int, Convert, Problem]]:
    """Yield the columns whose cells can be wrong, with the test and what to say."""
    for part in file.property:
        for path, spec in part.fields.items():
            if isinstance(spec, ConstantField | PersonField):
                continue
            column = spec if isinstance(spec, str) else spec.column
            if place(column) < 0:
                continue
            label = LABELS[part.label or ""]
            kind = _kind(part, path) or FieldType()
            split = spec.split if isinstance(spec, ColumnField) else None
            parted = split or (spec.list if isinstance(spec, ColumnField) else None)
            if split and label.most:
                many = Problem("too_many", f"{column} has too many parts; Graph takes {label.most}")
                yield place(column), _at_most(label.most, split), many
            if kind.kind is not str or kind.allowed or kind.form:
                yield place(column), _each(_converter(kind), parted), _wrong(column, kind)


def _at_most(most: int, split: str) -> Convert:
    return lambda cell: cell if len({part.strip() for part in cell.split(split)} - {""}) <= most else None


def _each(convert: Convert, split: str | None) -> Convert:
    """Return the test of a whole cell: of its parts, where it is split."""
    if split is None:
        return convert
    return lambda cell: None if None in [convert(part.strip()) for part in cell.split(split) if part.strip()] else cell


def _wrong(column: str, kind: FieldType) -> Problem:
    if kind.allowed:
        return Problem("not_allowed", f"{column} is not one of {', '.join(kind.allowed)}")
    if kind.kind is date:
        return Problem("bad_date", f"{column} is not a date such as 2021-03-01")
    if kind.kind is bool:
        return Problem("not_allowed", f"{column} is neither true nor false")
    if kind.form and kind.kind is str:
        return Problem("not_allowed", f"{column} is not {kind.form.wanted}")
    if kind.form:
        return Problem("bad_number", f"{column} is not {kind.form.wanted}")
    if kind.kind is float:
        return Problem("bad_number", f"{column} is not a number such as 59.91")
    return Problem("bad_number", f"{column} is not a whole number")


def _converter(kind: FieldType) -> Convert:
    plain = _plain_converter(kind)
    form = kind.form
    if form is None:
        return plain

    def convert(cell: str) -> Value | None:
        value = plain(cell)
        return value if value is not None and form.takes(value) else None

    return convert


def _plain_converter(kind: FieldType) -> Convert:
    if kind.allowed:
        return lambda cell: cell if cell in kind.allowed else None
    if kind.kind is date:
        return _iso_date
    if kind.kind is bool:
        return lambda cell: {"true": True, "false": False}.get(cell.casefold())
    if kind.kind is int:
        return lambda cell: int(cell) if re.fullmatch(r"[+-]?[0-9]{1,9}", cell) else None
    if kind.kind is float:
        return lambda cell: float(cell) if re.fullmatch(r"[+-]?[0-9]{1,9}(\.[0-9]{1,15})?", cell) else None
    return str


def _iso_date(cell: str) -> str | None:
    if not _ISO_DATE.fullmatch(cell):
        return None
    try:
        return date.fromisoformat(cell).isoformat()
    except ValueError:
        return None


def _entities(
    sources: Sequence[_Source], cells: Sequence[str], references: Sequence[Known | list[Known] | None]
) -> list[dict[str, Any]]:
    """Return the entities of one property: one, or one per part of a split cell, without repetitions."""
    splitter = next((source for source in sources if source.split), None)
    if splitter is None:
        entity = _entity(sources, cells, references)
        return [entity] if entity else []
    parts = [part.strip() for part in cells[splitter.column].split(splitter.split or "")]
    entities: list[dict[str, Any]] = []
    for part in parts:
        entity = _entity(sources, cells, references, part) if part else None
        if entity and entity not in entities:
            entities.append(entity)
    return entities


def _entity(
    sources: Sequence[_Source], cells: Sequence[str], references: Sequence[Known | list[Known] | None], part: str = ""
) -> dict[str, Any] | None:
    entity: dict[str, Any] = {}
    said_something = False
    for source in sources:
        value: Any
        if source.reference >= 0:
            other = references[source.reference]
            if isinstance(other, list):
                value = [
                    {"relationship": source.relationship, "userId": one.id, "userPrincipalName": one.upn}
                    for one in other
                ]
            else:
                value = other and {
                    "relationship": source.relationship,
                    "userId": other.id,
                    "userPrincipalName": other.upn,
                }
        elif source.column < 0:
            value = source.constant
        else:
            cell = part if source.split else cells[source.column].strip()
            value = source.convert(cell) if cell else None
        if value is None:
            continue
        said_something = said_something or source.constant is None
        place = entity
        for step in source.path[:-1]:
            place = place.setdefault(step, {})
        place[source.path[-1]] = value
    return entity if said_something else None
