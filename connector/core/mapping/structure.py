"""What is wrong with how a mapping file is built, in the words of TOML, and what is left of it without that.

`pydantic` says which part does not fit its model. Here that becomes one problem per mistake, with what is allowed and
what was perhaps meant; and the file is mended as far as it takes to look for mistakes of other kinds in the rest.
"""

from __future__ import annotations

import copy
import difflib
import json
import types
import typing
from dataclasses import dataclass, field
from datetime import time
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel, Discriminator, Tag, ValidationError

from connector.core.mapping.file import NAME_PATTERN, MappingFile

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic_core import ErrorDetails

    from connector.core.mapping.lines import Path

_PATTERNS: Final = {NAME_PATTERN: "must be 1 to 32 letters (A to Z, a to z) and digits"}

_STAND_INS: Final[dict[str, Any]] = {
    "format": 1,
    "key": {"column": "key"},
    "account": {"column": "account"},
    "property": [{"name": "account", "label": "personAccount"}],
}
"""What takes the place of a part that every mapping must have, so that the others can be looked at."""

_ELEMENTS: Final[dict[str, dict[str, Any]]] = {
    "property": {"column": "value"},  # a custom property, with a name of its own
    "scope": {"column": "scope", "is": ["word"]},
}
"""What takes the place of an element of an array of tables: those behind it keep their numbers."""

_ROUNDS: Final = 12
"""Mending one mistake may uncover another, as often as tables nest."""


@dataclass(frozen=True, slots=True)
class Built:
    """A mapping file as far as it is built rightly, and what is wrong with the rest: places and problems.

    ``file`` is None where nothing could be made of it.
    """

    file: MappingFile | None
    problems: tuple[tuple[Path, str], ...]
    lost: frozenset[Path] = frozenset()

    def follows(self, path: Path) -> bool:
        """Tell whether a problem found at a place in ``file`` may merely follow from what was taken out of it."""
        if path == ("property",):
            # It is about all properties together: it can follow from a lost property, or from a lost label.
            return any(unit[:1] == path and len(unit) < 3 for unit in map(_unit, self.lost))
        if path == ("allow_sensitive",):
            return self.lacks("property")  # it may be about a field that was taken out
        if path == ("leave",) and self.lacks("status"):
            return True
        return any(path[: len(unit)] == unit or unit[: len(path)] == path for unit in map(_unit, self.lost))

    def lacks(self, key: str) -> bool:
        """Tell whether something was taken out of what stands under a key of the file."""
        return any(path[0] == key for path in self.lost)


def _unit(path: Path) -> Path:
    """Return the part within which keys depend on each other: a field, a table, a property without its label."""
    match path:
        case ("property", int(), "fields", *_):
            return path[:4]
        case ("property", int(), "entity", *_):
            return path[:5]
        case ("property", int(), "label", *_) | ("scope", int(), *_):
            return path[:2]
        case ("property", int(), *_):
            return path[:3]
        case ("property" | "file", *_):
            return path[:2]
        case _:
            return path[:1]


def build(raw: dict[str, Any]) -> Built:
    """Make the models of what `tomllib` has read. Each mistake is one problem, however many rules it breaks."""
    mending = _Mending(copy.deepcopy(raw))
    for _ in range(_ROUNDS):
        try:
            file = MappingFile.model_validate(mending.raw)
        except ValidationError as error:
            mending.mend(error.errors(include_input=False, include_url=False))
        else:
            return Built(file, tuple(mending.problems.items()), frozenset(mending.lost))
    return Built(None, tuple(mending.problems.items()), frozenset(mending.lost))


def suggest(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean …?" for the nearest of the known words, or nothing where none is near."""
    near = _nearest(word, known)
    return f"; did you mean {near}?" if near else ""


def _nearest(word: str, known: Iterable[str]) -> str:
    folded = {each.casefold(): each for each in known}
    near = difflib.get_close_matches(word.casefold(), folded, n=1)
    return folded[near[0]] if near else ""


# --- mending --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Mending:
    raw: dict[str, Any]
    problems: dict[Path, str] = field(default_factory=dict)
    lost: set[Path] = field(default_factory=set)
    renamed: dict[Path, Path] = field(default_factory=dict)

    def mend(self, errors: list[ErrorDetails]) -> None:
        """Note each mistake, and take it out."""
        found = [_located(error, self.raw) for error in errors]
        # An array whose elements are all wrong is told to be empty too.
        found = [mistake for mistake in found if not (mistake.kind == "too_short" and mistake.found)]
        # A misspelt key may be what is missing, so such keys come first, alone.
        unknown = [mistake for mistake in found if mistake.kind == "extra_forbidden"]
        mistakes: dict[Path, _Mistake] = {}
        for mistake in unknown or found:
            mistakes.setdefault(mistake.path, mistake)
        for path, mistake in mistakes.items():
            if not (mistake.is_lack and any(gone[: len(path)] == path for gone in self.lost)):
                self.problems.setdefault(self._as_written(path), mistake.told())
        # From behind, so that what holds a mistake is still there when it is its turn.
        for mistake in sorted(mistakes.values(), key=lambda mistake: len(mistake.path), reverse=True):
            self._take_out(mistake)

    def _as_written(self, path: Path) -> Path:
        """Return where the file has what stands at a path by now."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.renamed:
                return (*self.renamed[path[:end]], *path[end:])
        return path

    def _take_out(self, mistake: _Mistake) -> None:
        *outer, last = mistake.path
        holder = _at(self.raw, tuple(outer))
        if mistake.kind == "extra_forbidden" and isinstance(holder, dict):
            value = holder.pop(str(last), None)
            if mistake.meant and mistake.meant not in holder:
                holder[mistake.meant] = value  # as if it had been written rightly: nobody is told that it were missing
                self.renamed[*outer, mistake.meant] = self._as_written(mistake.path)
            else:
                self.lost.add(mistake.path)
        elif mistake.is_one_of_many:
            _at(self.raw, tuple(outer))[last] = [mistake.found]
        elif mistake.kind == "missing":
            self._give_up(mistake.path if len(mistake.path) == 1 else tuple(outer))
        else:
            self._give_up(mistake.path)

    def _give_up(self, path: Path) -> None:
        """Leave out the smallest part that can be left out, or let something stand in for it."""
        *outer, last = path
        holder = _at(self.raw, tuple(outer))
        self.lost.add(path)
        if not outer and last in _STAND_INS:
            self.raw[str(last)] = copy.deepcopy(_STAND_INS[str(last)])
        elif isinstance(last, str) and isinstance(holder, dict):
            holder.pop(last, None)
        elif isinstance(last, int) and isinstance(holder, list) and last < len(holder):
            if outer[-1] == "entity":
                holder[last] = {}
            elif len(outer) == 1 and outer[0] in _ELEMENTS:
                holder[last] = _ELEMENTS[str(outer[0])] | ({"name": f"x{last}"} if outer[0] == "property" else {})
            else:
                self._give_up(tuple(outer))
        elif outer:
            self._give_up(tuple(outer))


def _at(raw: Any, path: Path) -> Any:
    for step in path:
        if isinstance(raw, dict):
            raw = raw.get(str(step))
        elif isinstance(raw, list) and isinstance(step, int) and step < len(raw):
            raw = raw[step]
        else:
            return None
    return raw


# --- what a mistake is ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Mistake:
    """One part that does not fit: where it stands, what it is, and what the model takes there.

    ``known`` are the keys of the table it stands in, ``elsewhere`` those of other tables that could stand there.
    """

    path: Path
    kind: str
    wanted: Any
    found: Any
    known: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    rule: dict[str, Any] = field(default_factory=dict)

    @property
    def meant(self) -> str:
        """What an unknown key was perhaps meant to be."""
        word = str(self.path[-1])
        return "" if word in self.elsewhere else _nearest(word, (*self.known, *self.elsewhere))

    @property
    def is_lack(self) -> bool:
        """Whether something is not there."""
        return self.kind in {"missing", "too_short"}

    @property
    def is_one_of_many(self) -> bool:
        """Whether one element stands where an array of such elements is wanted."""
        element = _element(self.wanted)
        return isinstance(self.found, dict) if _is_table(element) else element is str and isinstance(self.found, str)

    def told(self) -> str:
        """Say what is wrong, and what is allowed."""
        match self.kind:
            case "extra_forbidden":
                hint = f"did you mean {self.meant}?" if self.meant else f"allowed: {', '.join(self.known)}"
                return f"is no key here; {hint}"
            case "missing":
                return f"is missing; it must be {_in_words(self.wanted)}{self._header()}"
            case "string_pattern_mismatch":
                return _PATTERNS[self.rule["pattern"]]
            case "string_too_long":
                return f"has more than {self.rule['max_length']} characters"
            case "string_too_short" | "too_short":
                return "must not be empty"
            case "too_long":
                return f"holds more than {self.rule['max_length']} of them"
            case _:
                return f"must be {_in_words(self.wanted)}{self._instead()}"

    def _instead(self) -> str:
        """Say what stands there, and how to write it rightly where that is easily told. Never the value itself."""
        if get_origin(_bare(self.wanted)) is Literal:
            words = [word for word in get_args(_bare(self.wanted)) if isinstance(word, str)]
            return suggest(self.found, words) if isinstance(self.found, str) else ""
        found = _toml_type(self.found)
        if self.is_one_of_many and found == "a string":
            return "; put it in brackets: [ ]"
        hint = "; put it in quotes" if found in {"a date", "a time"} else self._header()
        return f", not {found}{hint}"

    def _header(self) -> str:
        """Say how a table of the file begins."""
        if len(self.path) != 1 or not (_is_table(self.wanted) or _is_table(_element(self.wanted))):
            return ""
        return f": [{self.path[0]}]" if _is_table(self.wanted) else f": [[{self.path[0]}]]"


def _located(error: ErrorDetails, raw: Any) -> _Mistake:
    """Follow an error's place down the models: it names the variants of a field too, which the file does not."""
    path: Path = ()
    wanted: Any = MappingFile
    known: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    for step in error["loc"]:
        wanted = _bare(wanted)
        if (variants := _variants(wanted)) is not None:
            if variants.get(str(step), str) is str:
                break
            wanted = variants[str(step)]
            others = tuple(key for variant in variants.values() if variant is not str for key in _keys(variant))
        elif isinstance(wanted, type) and issubclass(wanted, BaseModel):
            fields = _keys(wanted)
            known, elsewhere, others = tuple(fields), others, ()
            path = (*path, step)
            wanted = fields.get(str(step), Any)  # of an unknown key there is nothing to follow
        elif get_origin(wanted) in {tuple, dict}:
            if step == "[key]":
                break
            path = (*path, step)
            wanted = get_args(wanted)[0 if get_origin(wanted) is tuple else 1]
        else:
            break  # what follows names the members of a union
    return _Mistake(path, error["type"], wanted, _at(raw, path), known, elsewhere, dict(error.get("ctx", {})))


def _keys(model: type[BaseModel]) -> dict[str, Any]:
    """Return the keys of a table, and what each takes."""
    return {info.alias or name: info.annotation for name, info in model.model_fields.items()}


def _bare(wanted: Any) -> Any:
    """Return a type without None: TOML has none, a key is there or not."""
    while get_origin(wanted) is Annotated and not any(isinstance(extra, Discriminator) for extra in get_args(wanted)):
        wanted = get_args(wanted)[0]
    if get_origin(wanted) in {types.UnionType, typing.Union}:
        members = [member for member in get_args(wanted) if member is not types.NoneType]
        if len(members) == 1:
            return _bare(members[0])
    return wanted


def _variants(wanted: Any) -> dict[str, Any] | None:
    """Return the members of a union that are told apart by a tag."""
    if get_origin(wanted) is not Annotated:
        return None
    tagged: dict[str, Any] = {}
    for member in get_args(get_args(wanted)[0]):
        inner, *extras = get_args(member)
        tagged |= {extra.tag: inner for extra in extras if isinstance(extra, Tag)}
    return tagged


def _element(wanted: Any) -> Any:
    """Return what an array holds; None if no array is wanted."""
    wanted = _bare(wanted)
    return _bare(get_args(wanted)[0]) if get_origin(wanted) is tuple else None


def _is_table(wanted: Any) -> bool:
    wanted = _bare(wanted)
    return get_origin(wanted) is dict or (isinstance(wanted, type) and issubclass(wanted, BaseModel))


def _in_words(wanted: Any) -> str:
    """Say what a part must be, in TOML's words."""
    wanted = _bare(wanted)
    if _variants(wanted) is not None:
        return "a column's name in quotes, or a table { … }"
    if get_origin(wanted) is Literal:
        words = [json.dumps(word) for word in get_args(wanted)]
        return f"one of {', '.join(words)}" if len(words) > 1 else words[0]
    if element := _element(wanted):
        return "an array of tables" if _is_table(element) else "an array of strings"
    if _is_table(wanted):
        return "a table"
    return {str: "a string", bool: "true or false"}.get(wanted, "a string, a number, true or false")


def _toml_type(found: Any) -> str:
    names = {str: "a string", int: "a number", float: "a number", bool: "true or false", dict: "a table"}
    return (names | {list: "an array", time: "a time"}).get(type(found), "a date")


def in_words(path: Path, raw: dict[str, Any]) -> str:
    """Say where something stands: ``property 3 (positions): detail.jobTitle``. Numbers count from 1."""
    words: list[str] = []
    here: Any = raw
    for number, step in enumerate(path):
        here = _at(here, (step,))
        if isinstance(step, int):
            name = here.get("name") if isinstance(here, dict) else None
            words[-1] += f" {step + 1}" + (f" ({name})" if isinstance(name, str) and number == 1 else "")
        elif step != "fields" or number == len(path) - 1:
            words.append(step if step.isprintable() else repr(step))
    return ": ".join(words)
