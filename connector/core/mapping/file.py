"""The mapping file as it is written: one pydantic model per table (``docs/mapping.md``).

The models say what each table may hold; whether it makes sense together is `connector.core.mapping.check`'s.
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from connector.core.accounts import Match  # noqa: TC001 - pydantic reads it

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME_PATTERN: Final = r"^[A-Za-z0-9]{1,32}$"
"""What a property may be called. https://learn.microsoft.com/graph/api/resources/externalconnectors-property"""

Word = Annotated[str, Field(min_length=1)]
Words = Annotated[tuple[Word, ...], Field(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class FilePart(_Part):
    """How the file is written, where that is fixed instead of found. A byte order mark still decides.

    ``header_rows``: 2 where the row with the names is followed by one with labels for people. ``partial``: names of
    files, with ``*`` and ``?``, that hold some of the people only. ``blanks``: words that count as a blank cell.
    ``dates``, ``decimal``, ``true`` and ``false``: how values are written, for every field that says nothing else.
    """

    encoding: Literal["utf-8", "utf-16", "utf-16-le", "utf-16-be", "windows-1252", "latin-1"] | None = None
    delimiter: Literal[",", ";", "\t", "|"] | None = None
    header_rows: Literal[1, 2] = 1
    partial: Words | None = None
    blanks: Words | None = None
    dates: Words | None = None
    decimal: Literal[".", ","] | None = None
    true: Words | None = None
    false: Words | None = None


class TextSource(_Part):
    """How text is taken from a row: from a ``column``, from several ``columns`` joined, or by a ``template``.

    ``blanks`` count as blank. ``extract`` is a regular expression: its first group is taken, else the whole match.
    ``translate`` puts other words in place of those in the file. ``otherwise`` says what becomes of a cell that these
    two do not know. ``case`` comes last.
    """

    column: Word | None = None
    columns: Words | None = None
    join: str | None = None
    template: Word | None = None
    blanks: Words | None = None
    extract: Word | None = None
    translate: Annotated[dict[str, str], Field(min_length=1)] | None = None
    otherwise: Literal["reject", "keep", "omit"] | None = None
    case: Literal["upper", "lower", "title"] | None = None

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns it reads."""
        if self.template is not None:
            return tuple(dict.fromkeys(template_columns(self.template)))
        return self.columns or ((self.column,) if self.column else ())

    @property
    def named(self) -> str:
        """What to call it in front of people: its columns."""
        return ", ".join(self.reads)


class KeyPart(TextSource):
    """Where the person's key stands: never reused, never changed."""


class AccountPart(TextSource):
    """How a row finds its Entra user: what it says, and the attribute of the user that says the same."""

    match: Match = "userPrincipalName"


class StatusPart(_Part):
    """Which words mean in scope, which on leave (in scope too), and which that somebody left. Compared without case."""

    column: Word
    in_scope: tuple[Word, ...]
    leaver: tuple[Word, ...]
    on_leave: tuple[Word, ...] = ()
    blank: Literal["in_scope", "leaver"] = "in_scope"


class LeavePart(_Part):
    """A column of its own that says who is on leave: they are in scope, whatever the status says."""

    column: Word
    words: Words


class ScopePart(_Part):
    """A filter: the row counts only if the cell ``is`` one of these words, or ``is_not``. "" is the blank cell."""

    column: Word
    is_: Annotated[tuple[str, ...] | None, Field(alias="is", min_length=1)] = None
    is_not: Annotated[tuple[str, ...] | None, Field(min_length=1)] = None


class EffectivePart(_Part):
    """The columns that say from which day to which, both included, a row counts. A blank cell sets no limit."""

    from_: Annotated[Word | None, Field(alias="from")] = None
    until: Word | None = None
    dates: Words | None = None


class ColumnField(TextSource):
    """A field filled from the row's text.

    ``split``: one entity per part of the cell. ``list``: all parts of the cell are the one list that the field holds.
    ``blank = "clear"``: a blank cell is sent as empty text, which takes the place of Entra's value.
    """

    dates: Words | None = None
    decimal: Literal[".", ","] | None = None
    true: Words | None = None
    false: Words | None = None
    split: Word | None = None
    list: Word | None = None
    blank: Literal["omit", "clear"] = "omit"


class ConstantField(_Part):
    """A field with one value for everybody. It never makes an entity on its own."""

    constant: bool | int | float | str


class PersonField(TextSource):
    """A reference to another person, by their key in the HR system, or by a name their Entra user has.

    ``person`` is the column. ``list``: to several people, one per part of the cell.
    """

    person: Word | None = None
    by: Literal["key", "userPrincipalName", "mail"] = "key"
    relationship: str
    list: Word | None = None

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns it reads."""
        return (self.person,) if self.person else super().reads


def _kind_of_field(given: Any) -> str:
    if isinstance(given, BaseModel):
        return {ConstantField: "constant", PersonField: "person"}.get(type(given), "table")
    if not isinstance(given, dict):
        return "column"
    if "constant" in given:
        return "constant"
    return "person" if given.keys() & {"person", "relationship", "by"} else "table"


FieldSpec = Annotated[
    Annotated[str, Tag("column")]
    | Annotated[ColumnField, Tag("table")]
    | Annotated[ConstantField, Tag("constant")]
    | Annotated[PersonField, Tag("person")],
    Discriminator(_kind_of_field),
]

Fields = dict[str, FieldSpec]


class PropertyPart(_Part):
    """One property of the schema: with a label, an entity of the profile; without, a custom property.

    ``fields`` are those of one entity, ``entity`` several groups of them, one entity each. A custom property has a
    ``column``, or a ``value`` that says how its text is made.

    ``address_shape`` and ``address_types`` say how the entities of personAddresses are written. The documented way is
    the first of each; field reports contradict each other about which one Graph takes:
    https://learn.microsoft.com/graph/api/resources/itemaddress
    """

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    label: str | None = None
    description: Annotated[str, Field(max_length=200)] | None = None
    column: Word | None = None
    value: ColumnField | None = None
    address_shape: Literal["detail", "flat"] = "detail"
    address_types: Literal["home", "Home"] = "home"
    fields: Fields = Field(default_factory=dict)
    entity: tuple[Fields, ...] = ()

    @property
    def groups(self) -> tuple[Fields, ...]:
        """The fields of each of its entities."""
        return (self.fields, *self.entity) if self.fields else self.entity

    @property
    def specs(self) -> Iterator[tuple[tuple[str | int, ...], str, Any]]:
        """Every field with its place in the file below the property: place, path of the entity's field, spec."""
        for path, spec in self.fields.items():
            yield ("fields", path), path, spec
        for number, group in enumerate(self.entity):
            for path, spec in group.items():
                yield ("entity", number, path), path, spec


class MappingFile(_Part):
    """The whole file."""

    format: Literal[1]
    description: str = ""
    timezone: str = "UTC"
    allow_sensitive: tuple[Word, ...] = ()
    file: FilePart = FilePart()
    key: KeyPart
    account: AccountPart
    status: StatusPart | None = None
    leave: LeavePart | None = None
    scope: tuple[ScopePart, ...] = ()
    effective: EffectivePart | None = None
    property: Annotated[tuple[PropertyPart, ...], Field(min_length=1, max_length=128)]


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping that has been found right. ``digest`` changes whenever its text does."""

    name: str
    file: MappingFile
    digest: str

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column the mapping reads, once, in order of appearance; the key's first, the account's second."""
        return tuple(dict.fromkeys(_columns(self.file)))

    @property
    def required(self) -> tuple[str, ...]:
        """The columns without which a file is no export: those of the key and of the account."""
        return tuple(dict.fromkeys((*self.file.key.reads, *self.file.account.reads)))

    def is_partial(self, name: str) -> bool:
        """Tell whether a file of this name holds some of the people only (``[file] partial``)."""
        last = name.rsplit("/", 1)[-1].casefold()
        return any(fnmatch.fnmatchcase(last, pattern.casefold()) for pattern in self.file.file.partial or ())


def _columns(file: MappingFile) -> Iterator[str]:
    yield from file.key.reads
    yield from file.account.reads
    if file.status:
        yield file.status.column
    if file.leave:
        yield file.leave.column
    yield from (part.column for part in file.scope)
    if file.effective:
        yield from filter(None, (file.effective.from_, file.effective.until))
    for part in file.property:
        yield from property_columns(part)


def property_columns(part: PropertyPart) -> Iterator[str]:
    """Yield the columns whose cells a property sends."""
    if part.column:
        yield part.column
    if part.value:
        yield from part.value.reads
    for _, _, spec in part.specs:
        yield from spec_columns(spec)


def spec_columns(spec: str | ColumnField | ConstantField | PersonField) -> tuple[str, ...]:
    """Return the columns that a field is filled from; none for a constant."""
    if isinstance(spec, str):
        return (spec,)
    return () if isinstance(spec, ConstantField) else spec.reads


_PLACES: Final = re.compile(r"\{\{|\}\}|\{([^{}]+)\}|[{}]")


def template_parts(template: str) -> list[tuple[str, str | None]]:
    """Return a template's texts, each with the column that follows it, None at the end.

    Raises:
        ValueError: a brace is open or closed alone.
    """
    parts: list[tuple[str, str | None]] = []
    text, end = "", 0
    for found in _PLACES.finditer(template):
        text, end = text + template[end : found.start()], found.end()
        if found[1]:
            parts.append((text, found[1].strip()))
            text = ""
        elif found[0] in {"{{", "}}"}:
            text += found[0][0]
        else:
            raise ValueError("a single { or } stands in it; columns are {Column}, a brace itself is {{ or }}")
    return [*parts, (text + template[end:], None)]


def template_columns(template: str) -> Iterator[str]:
    """Yield the columns of a template, none of one that is wrong."""
    try:
        parts = template_parts(template)
    except ValueError:
        return
    yield from (column for _, column in parts if column is not None)
