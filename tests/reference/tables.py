"""Labels, fields, and the language of mappings, as tables in Markdown."""

from __future__ import annotations

import re
import types
import typing
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from connector.core.entities import LABELS, CompanyDetail, PhysicalAddress, PositionDetail, field_paths, field_type
from connector.core.mapping import file
from connector.pages.words import FAULTS, ROW_CODES, WARNINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pydantic.fields import FieldInfo

    from connector.core.entities import Entity, FieldType, Label

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "mapping.md"

_BLOCK: Final = re.compile(r"<!-- table: (\w+) -->\n.*?<!-- end -->\n", re.DOTALL)
_SHAPES: Final[dict[str, type[Entity]]] = {
    "address": PhysicalAddress,
    "company": CompanyDetail,
    "position": PositionDetail,
}


def page(text: str) -> str:
    """Return a page with every table between its marks made anew."""
    return _BLOCK.sub(lambda found: _block(found[1]), text)


def _block(name: str) -> str:
    rows = "\n".join(_TABLES[name]())
    return f"<!-- table: {name} -->\n{rows}\n<!-- end -->\n"


def _rows(head: Sequence[str], rows: typing.Iterable[Sequence[str]]) -> Iterator[str]:
    yield _row(head)
    yield "|" + "---|" * len(head)
    yield from map(_row, rows)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


# --- labels -----------------------------------------------------------------------------------------------------------


def _labels() -> Iterator[str]:
    return _rows(
        ("label", "a profile takes", "fields"),
        ((f"`{name}`", _how_many(name, label), _fields(name, label)) for name, label in LABELS.items()),
    )


def _how_many(name: str, label: Label) -> str:
    if not label.several:
        return "exactly one" if name == "personAccount" else "one"
    each = ", one of each type" if label.one_each else ""
    return (f"at most {label.most}" if label.most else "several") + each


def _fields(name: str, label: Label) -> str:
    if name == "personAccount":
        return "none: filled from the matched Entra user"
    return ", ".join(_listed(label.entity))


def _listed(entity: type[Entity]) -> Iterator[str]:
    """Yield the fields of an entity; those of a shape that several have in common stand in a table of their own."""
    told: set[str] = set()
    for path in field_paths(entity):
        shape = _shape(entity, path)
        if shape is None:
            kind = field_type(entity, path)
            yield f"`{path}`{_takes(kind) if kind else ''}"
        elif shape not in told:
            told.add(shape)
            yield shape


def _shape(entity: type[Entity], path: str) -> str | None:
    """Return the shape in which a field lies, with the path to it: "`detail.` (position)"."""
    steps = path.split(".")
    inner: Any = entity
    for number, step in enumerate(steps[:-1], 1):
        inner = _without_none(inner.model_fields[step].annotation)
        for name, shape in _SHAPES.items():
            if inner is shape:
                return f"`{'.'.join(steps[:number])}.` ({name})"
    return None


def _without_none(annotation: Any) -> Any:
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return next(part for part in typing.get_args(annotation) if part is not types.NoneType)
    return annotation


def _takes(kind: FieldType) -> str:
    if kind.person:
        return " (list of people)" if kind.many else " (person)"
    if kind.allowed:
        words = ", ".join(kind.allowed)
        return f" (list of {words})" if kind.many else f" ({words})"
    named = kind.form.name if kind.form else "" if kind.kind is str else kind.kind.__name__
    if kind.many:
        return " (list)"
    return f" ({named})" if named else ""


def _shapes() -> Iterator[str]:
    return _rows(("shape", "fields"), ((f"`{name}`", ", ".join(_listed(shape))) for name, shape in _SHAPES.items()))


# --- the language -----------------------------------------------------------------------------------------------------


def _members(model: type[BaseModel], *, without: type[BaseModel] | None = None) -> Iterator[str]:
    known = without.model_fields.keys() if without else ()
    rows = (
        (f"`{info.alias or name}`", _type(info.annotation, info), _default(info), info.description or "")
        for name, info in model.model_fields.items()
        if name not in known
    )
    return _rows(("key", "takes", "without it", "meaning"), rows)


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    default = info.get_default(call_default_factory=True)
    if default in (None, (), {}, "", PydanticUndefined) or isinstance(default, BaseModel):
        return ""
    return f"`{_toml(default)}`"


def _toml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else str(value)


def _type(annotation: Any, info: FieldInfo | None = None) -> str:
    """Return what may stand there, in the words of TOML."""
    inner = _without_none(annotation)
    if info is not None and inner in (file.Fields, tuple[file.Fields, ...]):
        return "a table of fields" if inner == file.Fields else "tables of fields"
    origin = typing.get_origin(inner)
    if origin is Annotated:
        return _type(typing.get_args(inner)[0])
    if origin is Literal:
        return ", ".join(f"`{_toml(word)}`".replace("\t", "\\t") for word in typing.get_args(inner))
    if origin is tuple:
        part = typing.get_args(inner)[0]
        return "tables" if isinstance(part, type) and issubclass(part, BaseModel) else "a list of texts"
    if origin is dict:
        return "a table of texts"
    if isinstance(inner, type) and issubclass(inner, BaseModel):
        return "a table"
    return {str: "text", bool: "true or false", int: "a number", float: "a number", date: "a date"}.get(
        inner, "a value"
    )


# --- codes ------------------------------------------------------------------------------------------------------------


def _row_codes() -> Iterator[str]:
    rows = ((f"`{code}`", words.means, words.remedy) for code, words in ROW_CODES.items())
    return _rows(("code", "when", "what to do"), rows)


def _file_codes() -> Iterator[str]:
    rows = ((f"`{code}`", fault.means, fault.remedy) for code, fault in FAULTS.items() if fault.means)
    return _rows(("code", "when", "what to do"), rows)


def _warnings() -> Iterator[str]:
    rows = ((f"`{code}`", _sentence(several)) for code, (_, several) in WARNINGS.items())
    return _rows(("warning", "means"), rows)


def _sentence(several: str) -> str:
    text = several.removeprefix("{n} ")
    return text[0].upper() + text[1:]


def _parts() -> Iterator[str]:
    return _members(file.MappingFile)


_TABLES: Final[dict[str, Callable[[], Iterator[str]]]] = {
    "rows": _row_codes,
    "files": _file_codes,
    "warnings": _warnings,
    "labels": _labels,
    "shapes": _shapes,
    "mapping": _parts,
    "file": lambda: _members(file.FilePart),
    "source": lambda: _members(file.TextSource),
    "account": lambda: _members(file.AccountPart, without=file.TextSource),
    "status": lambda: _members(file.StatusPart),
    "leave": lambda: _members(file.LeavePart),
    "scope": lambda: _members(file.ScopePart),
    "effective": lambda: _members(file.EffectivePart),
    "property": lambda: _members(file.PropertyPart),
    "field": lambda: _members(file.ColumnField, without=file.TextSource),
    "person": lambda: _members(file.PersonField, without=file.TextSource),
}
