"""Reading a mapping file: everything that is wrong with it at once, each with its line."""

from __future__ import annotations

import hashlib
import re
import tomllib
from itertools import chain
from typing import TYPE_CHECKING, Any

from connector.core.mapping.check import exposures, problems
from connector.core.mapping.file import Mapping
from connector.core.mapping.lines import places
from connector.core.mapping.structure import build, in_words
from connector.errors import ConfigurationError

if TYPE_CHECKING:
    from connector.core.mapping.lines import Path


def load_mapping(name: str, text: bytes) -> Mapping:
    """Read a mapping file.

    Raises:
        ConfigurationError: with every problem of the file by line, each naming its place and what is allowed there.
            Only where the text is no TOML nothing else is said of it.
    """
    try:
        decoded = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = 1 + text.count(b"\n", 0, error.start)
        raise ConfigurationError([f"mapping {name}: line {line}: is not UTF-8; save the file as UTF-8"]) from error
    try:
        raw = tomllib.loads(decoded)
        built = build(raw)
        found = list(built.problems)
        if built.file:
            more = (problems(built.file), () if built.lacks("allow_sensitive") else exposures(built.file))
            found += [(path, problem) for path, problem in chain(*more) if not built.follows(path)]
        if built.file is None or found:
            raise ConfigurationError([f"mapping {name}: {problem}" for problem in _by_line(found, raw, decoded)])
    except RecursionError as error:
        raise ConfigurationError([f"mapping {name}: is not TOML that can be read: it nests too deep"]) from error
    except ValueError as error:  # TOMLDecodeError is one, and so is what int() says of a number with too many digits
        raise ConfigurationError([f"mapping {name}: {_no_toml(str(error), decoded)}"]) from error
    return Mapping(name=name, file=built.file, digest=hashlib.sha256(text).hexdigest()[:32])


def _by_line(found: list[tuple[Path, str]], raw: dict[str, Any], text: str) -> list[str]:
    where = places(text)
    found.sort(key=lambda each: where.line(each[0]))
    return [f"line {where.line(path)}: {in_words(path, raw)}: {problem}" for path, problem in found]


def _no_toml(said: str, text: str) -> str:
    """Return what `tomllib` says, with the line in front as everywhere."""
    place = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", said)
    if place is None:
        return "is not TOML: it holds a value that cannot be read"
    line, column = place[1] or 1 + text.rstrip("\n").count("\n"), place[2]
    return f"line {line}: is not TOML: {said[: place.start()]}" + (f" (column {column})" if column else "")
