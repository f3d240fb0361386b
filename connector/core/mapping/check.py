"""What is wrong with a mapping whose tables have the right form: does it make sense, and will Graph take it?"""

from __future__ import annotations

import re
from collections import Counter
from datetime import date
from typing import TYPE_CHECKING, Any

from connector.core.entities import LABELS, UNSUPPORTED, field_paths, field_type
from connector.core.export import column_key
from connector.core.mapping.file import (
    ColumnField,
    ConstantField,
    FilePart,
    PersonField,
    TextSource,
    spec_columns,
    template_parts,
)
from connector.core.mapping.rows import MAX_VALUE, field_kind
from connector.core.mapping.structure import suggest
from connector.core.mapping.values import contradicting, converter, date_format, writing
from connector.core.sensitive import Use, sensitive_problems

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from connector.core.entities import FieldType
    from connector.core.mapping.file import Fields, MappingFile, PropertyPart
    from connector.core.mapping.lines import Path

    Found = Iterator[tuple[Path, str]]


_INSTEAD = "use the field manager or colleagues of personCurrentPosition"


def problems(file: MappingFile) -> Found:
    """Yield everything that is wrong: where it stands in the file (keys and indices), and what to do about it."""
    yield from _whole(file)
    yield from _file_problems(file.file)
    yield from _source_problems(("key",), file.key)
    yield from _source_problems(("account",), file.account)
    yield from _status_problems(file)
    for number, scope in enumerate(file.scope):
        if (scope.is_ is None) == (scope.is_not is None):
            yield ("scope", number), "takes either is or is_not"
    if file.effective:
        if not (file.effective.from_ or file.effective.until):
            yield ("effective",), "takes from or until, or both"
        yield from _date_problems(("effective", "dates"), file.effective.dates)
    for number, part in enumerate(file.property):
        for path, problem in _property_problems(part):
            yield ("property", number, *path), problem


def _timezones() -> set[str]:
    """Return the names of the time zones; asked for only where one is named, since they are many files."""
    import zoneinfo

    return zoneinfo.available_timezones()


def _whole(file: MappingFile) -> Found:
    if file.timezone != "UTC" and file.timezone not in (known := _timezones()):
        close = suggest(file.timezone, known)
        yield ("timezone",), f"is no time zone such as Europe/Oslo{close}"
    names = [part.name.casefold() for part in file.property]
    labels = [part.label for part in file.property]
    for number, part in enumerate(file.property):
        if part.name.casefold() in names[:number]:
            yield ("property", number, "name"), f"the name {part.name} stands twice"
        if part.label and part.label in labels[:number]:
            yield ("property", number, "label"), f"label {part.label}: stands on two properties"
    if "personAccount" not in labels:
        yield (
            ("property",),
            "no property has the label personAccount; exactly one must (Graph ignores people without account)",
        )


def _file_problems(file: FilePart) -> Found:
    yield from _date_problems(("file", "dates"), file.dates)
    yield from _truth_problems(("file",), file.true, file.false)
    for number, pattern in enumerate(file.partial or ()):
        if pattern.strip("*? ").casefold() in {"", ".csv"}:
            yield (
                ("file", "partial", number),
                "takes every file for a partial one; then nobody who is absent ever leaves",
            )


def _status_problems(file: MappingFile) -> Found:
    if file.status:
        words = [
            (key, number, word.strip())
            for key in ("in_scope", "on_leave", "leaver")
            for number, word in enumerate(getattr(file.status, key))
        ]
        count = Counter(word.casefold() for _, _, word in words)
        told: set[str] = set()
        for key, number, word in words:
            if count[word.casefold()] > 1 and word.casefold() in told:
                yield ("status", key, number), f"status word {word.casefold()!r}: stands twice"
            told.add(word.casefold())
    elif file.leave:
        yield ("leave",), "keeps people whose status says that they left; without [status] nobody does"


# --- sources ----------------------------------------------------------------------------------------------------------


def _source_problems(path: Path, spec: TextSource) -> Found:
    """Say what is wrong with how text is taken from a row."""
    given = [name for name in ("column", "columns", "template", "person") if getattr(spec, name, None)]
    wanted = "person, columns or template" if isinstance(spec, PersonField) else "column, columns or template"
    if len(given) != 1 or (isinstance(spec, PersonField) and "column" in given):
        yield path, f"takes exactly one of {wanted}; it has {' and '.join(given) or 'none'}"
    if spec.join is not None and not spec.columns:
        yield (*path, "join"), "joins several columns; it belongs to columns = [...]"
    if spec.template is not None:
        yield from _template_problems(path, spec.template)
    if spec.otherwise and not (spec.extract or spec.translate):
        yield (*path, "otherwise"), "is about what extract or translate do not know; neither is there"
    if spec.extract is not None:
        yield from _pattern_problems(path, spec.extract)
    folded = Counter(word.strip().casefold() for word in spec.translate or ())
    for word in spec.translate or ():
        if folded[word.strip().casefold()] > 1:
            yield (*path, "translate", word), "stands twice: words are compared without case"
        elif not word.strip():
            yield (*path, "translate", word), "a blank cell is not translated; blank ones are left out"


def _template_problems(path: Path, template: str) -> Found:
    try:
        columns = [column for _, column in template_parts(template) if column is not None]
    except ValueError as error:
        yield (*path, "template"), str(error)
        return
    if not columns:
        yield (*path, "template"), "names no column; a column stands between { and }"


def _pattern_problems(path: Path, extract: str) -> Found:
    try:
        pattern = re.compile(extract)
    except re.error as error:
        yield (*path, "extract"), f"is no regular expression ({error.msg} at position {error.pos})"
        return
    if pattern.fullmatch(""):
        yield (*path, "extract"), "matches nothing at all too; it takes a pattern that needs at least one character"


def _date_problems(path: Path, dates: Sequence[str] | None) -> Found:
    formats = []
    for number, text in enumerate(dates or ()):
        try:
            formats.append(date_format(text))
        except ValueError as error:
            yield (*path, number), f"{text!r}: {error}"
    if clash := contradicting(formats):
        yield path, f"{clash[0]} and {clash[1]} read one text as different days; give each column its own"


def _truth_problems(path: Path, true: Sequence[str] | None, false: Sequence[str] | None) -> Found:
    both = {word.casefold() for word in true or ()} & {word.casefold() for word in false or ()}
    for number, word in enumerate(false or ()):
        if word.casefold() in both:
            yield (*path, "false", number), f"the word {word!r} means true as well"


# --- what nobody else should see --------------------------------------------------------------------------------------


def exposures(file: MappingFile) -> Found:
    """Yield, as `problems`, what is sent and looks as if it should not be, unless ``allow_sensitive`` names it."""
    uses = list(_uses(file))
    places = {id(use): place for place, use in uses}
    for use, problem in sensitive_problems((use for _, use in uses), file.allow_sensitive):
        yield ("allow_sensitive",) if use is None else places[id(use)], problem


def _uses(file: MappingFile) -> Iterator[tuple[Path, Use]]:
    for number, part in enumerate(file.property):
        custom = part.value.reads if part.value else (part.column,) if part.column else ()
        if custom:
            yield ("property", number), Use(part.name, None, "", custom)
        for place, group in _placed_groups(part):
            kinds = tuple(dict.fromkeys(word for spec in group.values() for word in _kinds(spec)))
            for path, spec in group.items():
                columns = spec_columns(spec)
                own = (spec.relationship,) if isinstance(spec, PersonField) else kinds
                if path.rsplit(".", 1)[-1] == "type":
                    own = ()  # it says of what type the others are, which gives nothing away
                if columns:
                    yield ("property", number, *place, path), Use(part.name, part.label, path, columns, own)


def _kinds(spec: Any) -> Iterator[str]:
    if isinstance(spec, ConstantField) and isinstance(spec.constant, str):
        yield spec.constant
    elif isinstance(spec, ColumnField):
        yield from (spec.translate or {}).values()


# --- properties -------------------------------------------------------------------------------------------------------


def _property_problems(part: PropertyPart) -> Found:
    if part.label != "personAddresses" and part.model_fields_set & {"address_shape", "address_types"}:
        yield (), "address_shape and address_types belong to the label personAddresses alone"
    if part.label is None:
        yield from _custom_problems(part)
    elif part.label in UNSUPPORTED:
        yield (
            ("label",),
            f"label {part.label} is not supported for people data; {_INSTEAD}",
        )
    elif part.label not in LABELS:
        yield ("label",), f"label {part.label} does not exist{suggest(part.label, LABELS)}"
    elif part.label == "personAccount":
        if part.groups or part.column or part.value:
            yield (), "personAccount is filled from the matched Entra user; it takes no fields"
    elif part.column or part.value or not part.groups:
        yield (), f"label {part.label} takes fields, not a column or a value"
    else:
        yield from _group_problems(part)
        for place, path, spec in part.specs:
            for below, problem in _field_problems(part, path, spec):
                yield (*place, *below), problem


def _custom_problems(part: PropertyPart) -> Found:
    if part.groups or bool(part.column) is bool(part.value):
        yield (), "a property without label is a custom property; it takes a column or a value, and no fields"
    if part.value is None:
        return
    yield from _source_problems(("value",), part.value)
    yield from _date_problems(("value", "dates"), part.value.dates)
    for name in ("split", "list", "decimal", "true", "false"):
        if getattr(part.value, name) is not None:
            yield ("value", name), f"a custom property holds one text; {name} has no use there"


def _group_problems(part: PropertyPart) -> Found:
    label = LABELS[part.label or ""]
    if part.fields and part.entity:
        yield ("entity",), "takes fields, for one entity, or [[property.entity]], for several; not both"
    if not label.several and len(part.groups) > 1:
        yield ("entity",), f"{part.label} holds one entity"
    if label.most and len(part.groups) > label.most and not label.one_each:
        return  # a row may fill fewer; those that fill more are rejected
    for place, group in _placed_groups(part):
        if all(isinstance(spec, ConstantField) for spec in group.values()):
            yield place, "has constants only; at least one field must come from a column"
        yield from _split_problems(part, place, group)
    if label.one_each:
        yield from _each_problems(part, label.one_each)


def _placed_groups(part: PropertyPart) -> Iterator[tuple[Path, Fields]]:
    if part.fields:
        yield ("fields",), part.fields
    for number, group in enumerate(part.entity):
        yield ("entity", number), group


def _each_problems(part: PropertyPart, one_each: str) -> Found:
    """Say so when two entities have one type for everybody: Graph takes one of each."""
    seen: set[Any] = set()
    for place, group in _placed_groups(part):
        spec = group.get(one_each)
        if len(part.groups) > 1 and spec is None:
            yield place, f"says nothing of {one_each}; of several, Graph takes one of each"
        if isinstance(spec, ConstantField):
            if spec.constant in seen:
                yield (
                    (*place, one_each),
                    f"{spec.constant!r} stands on another entity too; Graph takes one of each {one_each}",
                )
            seen.add(spec.constant)


def _split_problems(part: PropertyPart, place: Path, group: Fields) -> Found:
    """Say what hinders splitting a cell into several entities: the label, its limits, or another split cell."""
    label = LABELS[part.label or ""]
    split = {path: spec for path, spec in group.items() if isinstance(spec, ColumnField) and spec.split}
    for path, spec in split.items():
        if not label.several:
            yield (*place, path), f"split makes several entities; {part.label} holds one"
        if spec.list:
            yield (
                (*place, path),
                "takes split, for several entities, or list, for one list in one entity; not both",
            )
    if len({(tuple(map(column_key, spec.reads)), spec.split) for spec in split.values()}) > 1:
        yield place, f"{', '.join(split)}: only one column of a property can be split"
    if split and label.one_each and label.one_each not in split:
        yield (
            place,
            f"{', '.join(split)}: split would make several of one type; Graph takes one of each {label.one_each}",
        )


def _field_problems(part: PropertyPart, path: str, spec: Any) -> Found:
    kind = field_kind(part, path)
    if kind is None:
        yield (), f"{part.label} has no field {path}{suggest(path, field_paths(LABELS[part.label or ''].entity))}"
        return
    if part.address_shape == "flat" and not path.startswith("detail."):
        yield (), "a flat address has the fields of detail alone"
    if kind.person != isinstance(spec, PersonField):
        yield (), f"{'takes' if kind.person else 'does not take'} a reference to a person"
    elif isinstance(spec, ConstantField):
        if not _fits(spec.constant, kind):
            yield ("constant",), f"the constant does not fit; allowed: {_wanted(kind)}"
    elif isinstance(spec, PersonField):
        yield from _reference_problems(spec, kind)
    elif isinstance(spec, ColumnField):
        yield from _table_problems(part, spec, kind)


def _reference_problems(spec: PersonField, kind: FieldType) -> Found:
    yield from _source_problems((), spec)
    kinds = field_type(LABELS["personCurrentPosition"].entity, "manager.relationship")
    allowed = kinds.allowed if kinds else ()
    if spec.relationship not in allowed:
        yield (
            ("relationship",),
            f"relationship {spec.relationship!r} does not exist{suggest(spec.relationship, allowed)}",
        )
    if spec.list and not kind.many:
        yield ("list",), "holds one person, not a list"


def _table_problems(part: PropertyPart, spec: ColumnField, kind: FieldType) -> Found:
    yield from _source_problems((), spec)
    yield from _date_problems(("dates",), spec.dates)
    yield from _truth_problems((), spec.true, spec.false)
    if spec.list and not kind.many:
        yield ("list",), "holds one value, not a list"
    plain = kind.kind is str and not kind.allowed and kind.form is None
    if spec.dates and not (kind.kind is date or plain):
        yield ("dates",), "is about dates; this field holds none"
    if spec.decimal and kind.kind not in {int, float}:
        yield ("decimal",), "is about numbers; this field holds none"
    if (spec.true or spec.false) and kind.kind is not bool:
        yield ("true" if spec.true else "false",), "is about true and false; this field holds neither"
    if kind.allowed:
        for word, to in (spec.translate or {}).items():
            if to and to not in kind.allowed:
                yield ("translate", word), f"{to!r} is not one of {', '.join(kind.allowed)}{suggest(to, kind.allowed)}"
    if spec.blank == "clear" and (not plain or kind.many or LABELS[part.label or ""].several):
        yield ("blank",), "clear sends empty text; it is for text fields of labels that hold one entity"


def _fits(constant: bool | float | str, kind: FieldType) -> bool:  # noqa: FBT001 - TOML has them
    if kind.allowed:
        return constant in kind.allowed
    if kind.kind is date or kind.kind is str:
        right = (
            isinstance(constant, str)
            and bool(constant.strip())
            and len(constant) <= MAX_VALUE
            and "\x00" not in constant
        )
        return right and converter(kind, writing(FilePart()))(str(constant)) is not None
    if isinstance(constant, bool):
        return kind.kind is bool
    return not isinstance(constant, str) and converter(kind, writing(FilePart()))(str(constant)) == constant


def _wanted(kind: FieldType) -> str:
    return ", ".join(kind.allowed) or (kind.form.wanted if kind.form else kind.kind.__name__)
