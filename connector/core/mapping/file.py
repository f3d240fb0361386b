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
    from collections.abc import Iterable, Iterator

NAME_PATTERN: Final = r"^[A-Za-z0-9]{1,32}$"
"""What a property may be called. https://learn.microsoft.com/graph/api/resources/externalconnectors-property"""

Word = Annotated[str, Field(min_length=1)]
Words = Annotated[tuple[Word, ...], Field(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class FilePart(_Part):
    """How the file is written, where that is fixed instead of found, and how its values are.

    A byte order mark decides over the encoding all the same.
    """

    encoding: Annotated[
        Literal["utf-8", "utf-16", "utf-16-le", "utf-16-be", "windows-1252", "latin-1"] | None,
        Field(description="The encoding, where it is fixed instead of found."),
    ] = None
    delimiter: Annotated[
        Literal[",", ";", "\t", "|"] | None,
        Field(description="What separates cells, where it is fixed instead of found."),
    ] = None
    header_rows: Annotated[
        Literal[1, 2], Field(description="2 where the row with the names is followed by one with labels for people.")
    ] = 1
    partial: Annotated[
        Words | None, Field(description="Names of files, with * and ?, that hold some of the people only.")
    ] = None
    blanks: Annotated[Words | None, Field(description="Words that count as a blank cell, in every column.")] = None
    dates: Annotated[
        Words | None,
        Field(description="How dates are written, such as DD.MM.YYYY; tried in turn. YYYY-MM-DD unless given."),
    ] = None
    decimal: Annotated[
        Literal[".", ","] | None,
        Field(description="The decimal sign. With it, the other sign, spaces and apostrophes may group thousands."),
    ] = None
    true: Annotated[Words | None, Field(description='Words that mean true; "true" unless given.')] = None
    false: Annotated[Words | None, Field(description='Words that mean false; "false" unless given.')] = None


class TextSource(_Part):
    """How text is taken from a row, and what is done with it, in the order of these members."""

    column: Annotated[Word | None, Field(description="The column to take.")] = None
    columns: Annotated[Words | None, Field(description="Several columns, joined; blank ones are skipped.")] = None
    join: Annotated[str | None, Field(description="What stands between joined columns; a space unless given.")] = None
    template: Annotated[
        Word | None,
        Field(
            description="Text with {Column} in it; blank when all its columns are, in a key, an account or a reference"
            " when one is. A brace itself is {{ or }}."
        ),
    ] = None
    blanks: Annotated[Words | None, Field(description="Words that count as blank here.")] = None
    extract: Annotated[
        Word | None, Field(description="A regular expression; its first group is taken, else the whole match.")
    ] = None
    translate: Annotated[
        Annotated[dict[str, str], Field(min_length=1)] | None,
        Field(description="Words of the file, and what to take in their place. Compared without case."),
    ] = None
    otherwise: Annotated[
        Literal["reject", "keep", "omit"] | None,
        Field(description="What becomes of text that extract or translate does not know; reject unless given."),
    ] = None
    case: Annotated[Literal["upper", "lower", "title"] | None, Field(description="The case to put the text into.")] = (
        None
    )

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

    match: Annotated[Match, Field(description="The attribute of the Entra user that says the same.")] = (
        "userPrincipalName"
    )


class StatusPart(_Part):
    """Which words mean in scope, which on leave (in scope too), and which that somebody left. Compared without case."""

    column: Annotated[Word, Field(description="The column with the status.")]
    in_scope: Annotated[tuple[str, ...], Field(description="Words of those who are sent.")]
    leaver: Annotated[tuple[str, ...], Field(description="Words of those who have left.")]
    on_leave: Annotated[tuple[str, ...], Field(description="Words of those who are on leave; they are sent, too.")] = ()
    blank: Annotated[Literal["in_scope", "leaver"], Field(description="What a blank cell means.")] = "in_scope"


class LeavePart(_Part):
    """A column of its own that says who is on leave: they are in scope, whatever the status says."""

    column: Annotated[Word, Field(description="The column that says who is on leave.")]
    words: Annotated[Words, Field(description="Words that mean on leave.")]


class ScopePart(_Part):
    """A filter of rows. All filters must let a row through."""

    column: Annotated[Word, Field(description="The column to look at.")]
    is_: Annotated[
        tuple[str, ...] | None,
        Field(
            alias="is",
            min_length=1,
            description='The row counts if the cell is one of these words; "" is the blank cell.',
        ),
    ] = None
    is_not: Annotated[
        tuple[str, ...] | None, Field(min_length=1, description="The row counts if the cell is none of these words.")
    ] = None


class EffectivePart(_Part):
    """The columns that say from which day to which, both included, a row counts. A blank cell sets no limit."""

    from_: Annotated[
        Word | None, Field(alias="from", description="The column with the first day on which the row counts.")
    ] = None
    until: Annotated[Word | None, Field(description="The column with the last day on which the row counts.")] = None
    dates: Annotated[
        Words | None, Field(description="How these two are written, where it is otherwise than in [file].")
    ] = None


class ColumnField(TextSource):
    """A field filled from the row's text."""

    dates: Annotated[Words | None, Field(description="How dates are written in this column.")] = None
    decimal: Annotated[Literal[".", ","] | None, Field(description="The decimal sign in this column.")] = None
    true: Annotated[Words | None, Field(description="Words that mean true in this column.")] = None
    false: Annotated[Words | None, Field(description="Words that mean false in this column.")] = None
    split: Annotated[
        Word | None, Field(description="Makes one entity per part of the cell; the parts are separated by this.")
    ] = None
    list: Annotated[
        Word | None, Field(description="Makes one list of the parts of the cell; the parts are separated by this.")
    ] = None
    blank: Annotated[
        Literal["omit", "clear"],
        Field(
            description="What becomes of a blank cell: left out, or sent as empty text, which overrides Entra's value."
        ),
    ] = "omit"


class ConstantField(_Part):
    """A field with one value for everybody. It never makes an entity on its own."""

    constant: Annotated[bool | int | float | str, Field(description="The value for everybody.")]


class PersonField(TextSource):
    """A reference to another person, by their key in the HR system, or by a name their Entra user has."""

    person: Annotated[Word | None, Field(description="The column that names the person.")] = None
    by: Annotated[
        Literal["key", "userPrincipalName", "mail"],
        Field(description="What the text is: the person's key, or what their Entra user is called."),
    ] = "key"
    relationship: Annotated[str, Field(description="What the person is to this one.")]
    list: Annotated[
        Word | None, Field(description="The cell names several people; the names are separated by this.")
    ] = None

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

    ``address_shape`` and ``address_types`` say how the entities of personAddresses are written. The documented way is
    the first of each; field reports contradict each other about which one Graph takes:
    https://learn.microsoft.com/graph/api/resources/itemaddress
    """

    name: Annotated[
        str,
        Field(
            pattern=NAME_PATTERN,
            description="What the property is called in the schema: at most 32 letters and digits.",
        ),
    ]
    label: Annotated[str | None, Field(description="The semantic label; without one it is a custom property.")] = None
    description: Annotated[
        Annotated[str, Field(max_length=200)] | None, Field(description="What a custom property means, for Copilot.")
    ] = None
    column: Annotated[Word | None, Field(description="The column of a custom property.")] = None
    value: Annotated[ColumnField | None, Field(description="How the text of a custom property is made.")] = None
    address_shape: Annotated[
        Literal["detail", "flat"], Field(description="How addresses are written; the documented way unless given.")
    ] = "detail"
    address_types: Annotated[
        Literal["home", "Home"],
        Field(description="How the types of addresses are written; the documented way unless given."),
    ] = "home"
    fields: Annotated[Fields, Field(description="The fields of one entity, each with what fills it.")] = Field(
        default_factory=dict
    )
    entity: Annotated[tuple[Fields, ...], Field(description="Groups of fields: one entity for each.")] = ()

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

    format: Annotated[Literal[1], Field(description="The version of the language.")]
    description: Annotated[str, Field(description="A word for people.")] = ""
    timezone: Annotated[
        str, Field(description="The time zone whose day decides which rows count, such as Europe/Oslo.")
    ] = "UTC"
    allow_sensitive: Annotated[
        tuple[Word, ...],
        Field(description="Columns that look sensitive, and are to be seen by the whole organisation."),
    ] = ()
    file: Annotated[FilePart, Field(description="How the file is written.")] = FilePart()
    key: Annotated[KeyPart, Field(description="Whose a row is.")]
    account: Annotated[AccountPart, Field(description="How a row finds its Entra user.")]
    status: Annotated[StatusPart | None, Field(description="Who is in scope, and who has left.")] = None
    leave: Annotated[LeavePart | None, Field(description="Who is on leave.")] = None
    scope: Annotated[tuple[ScopePart, ...], Field(description="Which rows count.")] = ()
    effective: Annotated[EffectivePart | None, Field(description="From when to when rows count.")] = None
    property: Annotated[
        tuple[PropertyPart, ...], Field(min_length=1, max_length=128, description="The properties of the schema.")
    ]


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

    @property
    def blanks(self) -> dict[str, frozenset[str]]:
        """The words that count as a blank cell wherever the mapping reads it, by column, in the order of `columns`."""
        everywhere = compared(self.file.file.blanks)
        found: dict[str, frozenset[str]] = {}
        for columns, own in _sources(self.file):
            words = everywhere | compared(own)
            found |= {column: found.get(column, words) & words for column in columns}
        return {column: found[column] for column in self.columns}

    def is_partial(self, name: str) -> bool:
        """Tell whether a file of this name holds some of the people only (``[file] partial``)."""
        last = name.rsplit("/", 1)[-1].casefold()
        names = {last, last.removesuffix(".gz")}
        patterns = [pattern.casefold() for pattern in self.file.file.partial or ()]
        return any(fnmatch.fnmatchcase(each, pattern) for each in names for pattern in patterns)


def _columns(file: MappingFile) -> Iterator[str]:
    yield from file.key.reads
    yield from file.account.reads
    yield from _deciding(file)
    for part in file.property:
        yield from property_columns(part)


def _deciding(file: MappingFile) -> Iterator[str]:
    """Yield the columns that decide who counts."""
    if file.status:
        yield file.status.column
    if file.leave:
        yield file.leave.column
    yield from (part.column for part in file.scope)
    if file.effective:
        yield from filter(None, (file.effective.from_, file.effective.until))


def _sources(file: MappingFile) -> Iterator[tuple[tuple[str, ...], Words | None]]:
    """Yield every place of the mapping that reads columns: which, and the words that count as blank just there."""
    yield file.key.reads, file.key.blanks
    yield file.account.reads, file.account.blanks
    yield tuple(_deciding(file)), None
    for part in file.property:
        if part.column:
            yield (part.column,), None
        for spec in (part.value, *(spec for _, _, spec in part.specs)):
            if isinstance(spec, str):
                yield (spec,), None
            elif isinstance(spec, TextSource):
                yield spec.reads, spec.blanks


def compared(words: Iterable[str] | None) -> frozenset[str]:
    """Return a mapping's words as cells are compared with them: without case and surrounding spaces."""
    return frozenset(word.strip().casefold() for word in words or ())


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
