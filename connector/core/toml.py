"""Writing TOML: the standard library reads it only.

https://toml.io/en/v1.0.0
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

WIDTH: Final = 110
"""Characters in a line of a comment."""


def quoted(text: str) -> str:
    """Return text as a basic string."""
    return '"' + "".join(_ESCAPES.get(character) or _plain(character) for character in text) + '"'


_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def _plain(character: str) -> str:
    return character if character >= " " and character != "\x7f" else f"\\u{ord(character):04X}"


def strings(texts: Iterable[str]) -> str:
    """Return texts as an array of strings."""
    return f"[{', '.join(map(quoted, texts))}]"


def comment(text: str, *, indent: str = "# ") -> list[str]:
    """Return text as the lines of a comment; what may not stand in one becomes a space."""
    plain = "".join(character if character >= " " and character != "\x7f" else " " for character in text)
    return textwrap.wrap(
        plain,
        WIDTH,
        initial_indent=indent,
        subsequent_indent="#" + " " * (len(indent) - 1),
        break_long_words=False,
        break_on_hyphens=False,
    ) or ["#"]
