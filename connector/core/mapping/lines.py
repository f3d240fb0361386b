"""Where in a TOML file each key, table and array element stands: `tomllib` gives the values alone.

https://toml.io/en/v1.0.0
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

Path = tuple[str | int, ...]
"""A way into what `tomllib` returns, such as ``("property", 2, "fields", "detail.jobTitle")``."""

_TOKEN: Final = re.compile(
    r"""
    (?P<blank>  [ \t\r\ufeff]+ | \#[^\n]* )
  | (?P<newline>\n )
  | (?P<text>   \"{3} (?: \\. | [^\\] )*? \"{3,5}        # up to two quotes may stand before the three that end it
              | '{3} .*? '{3,5}
              | \" (?: \\. | [^"\\\n] )* \"
              | ' [^'\n]* ' )
  | (?P<mark>   [\[\]{}=,.] )
  | (?P<bare>   [^\s\[\]{}=,.\#"']+ )
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Places:
    """The line (from 1) of everything in a TOML file."""

    lines: Mapping[Path, int]

    def line(self, path: Path) -> int:
        """Return the line where something stands; if it is not there, the line of what would hold it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def places(text: str) -> Places:
    """Find where everything stands in a text that `tomllib` has read without complaint."""
    reading = _Reading(tokens=list(_tokens(text)))
    reading.document()
    return Places(reading.lines)


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    line = 1
    for match in _TOKEN.finditer(text):
        kind, found = match.lastgroup or "", match[0]
        if kind != "blank":
            tokens.append(_Token(kind, found, line))
        line += found.count("\n")
    return [*tokens, _Token("end", "", line)]


@dataclass(slots=True)
class _Reading:
    """A walk over the tokens. What is wrong in the text was refused before, so each token is what must stand there."""

    tokens: list[_Token]
    at: int = 0
    lines: dict[Path, int] = field(default_factory=dict)
    tables: dict[Path, int] = field(default_factory=dict)
    """How many elements each array of tables has so far."""

    def document(self) -> None:
        table: Path = ()
        while (token := self._skip_newlines()).kind != "end":
            if token.text == "[":
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> Path:
        """Read ``[table]`` or ``[[array of tables]]``; return what the following keys belong to."""
        self._next()
        several = self._peek().text == "["
        if several:
            self._next()
        line = self._peek().line
        keys = self._keys()
        *outer, last = keys
        path = (*self._opened((), outer, line), last)
        if several:
            self.lines.setdefault(path, line)
            self.tables[path] = self.tables.get(path, 0) + 1
            path = (*path, self.tables[path] - 1)
        self.lines[path] = line  # also where a table within it was written before: here is its own place
        for _ in range(1 + several):
            self._next()
        return path

    def _pair(self, table: Path) -> None:
        """Read ``key = value``."""
        line = self._peek().line
        *outer, last = self._keys()
        path = (*self._opened(table, outer, line), last)
        self.lines[path] = line
        self._next()
        self._value(path)

    def _opened(self, path: Path, keys: list[str], line: int) -> Path:
        """Return the table that keys lead to: through an array of tables, the last one of it."""
        for key in keys:
            path = (*path, key)
            self.lines.setdefault(path, line)
            if path in self.tables:
                path = (*path, self.tables[path] - 1)
        return path

    def _value(self, path: Path) -> None:
        opening = self._next().text
        if opening == "[":
            count = 0
            while (token := self._skip_newlines()).text != "]":
                if token.text == ",":
                    self._next()
                    continue
                self.lines[*path, count] = token.line
                self._value((*path, count))
                count += 1
            self._next()
        elif opening == "{":
            while (token := self._skip_newlines()).text != "}":
                if token.text == ",":
                    self._next()
                else:
                    self._pair(path)
            self._next()
        else:
            # A number or a time can be several tokens: 1.5, or a day and an hour.
            while (token := self._peek()).kind == "bare" or token.text == ".":
                self._next()

    def _keys(self) -> list[str]:
        keys = [_key(self._next())]
        while self._peek().text == ".":
            self._next()
            keys.append(_key(self._next()))
        return keys

    def _skip_newlines(self) -> _Token:
        while self._peek().kind == "newline":
            self._next()
        return self._peek()

    def _peek(self) -> _Token:
        return self.tokens[self.at]

    def _next(self) -> _Token:
        self.at += 1
        return self.tokens[self.at - 1]


def _key(token: _Token) -> str:
    return token.text if token.kind == "bare" else str(tomllib.loads(f"key = {token.text}")["key"])
