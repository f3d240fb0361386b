"""Where everything of a TOML file stands."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.mapping.lines import Path, places

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DOCUMENT = '''\
# line 1
format = 1
"a \\"b\\" \\u00e9".'c d' = """
text
with [brackets] = and "quotes" """" # 5
[file] # 6
dates = [ # 7
  "a", # 8

  { x = 1.5, y.z = { w = ["in", 'deep'] } }, [1979-05-27 07:32:00,
  2], # 11
]
last = true # 13

[[property]] # 15
name = "a"
fields = { "detail.jobTitle" = "x", b = { c = 1 } } # 17
[property.more] # 18
x = \'\'\'
it's''\'\'\'
y = 2 # 21
[[property]] # 22
[[property.entity]] # 23
[[property.entity]] # 24
deep.er = -1.5e3
'''

EXPECTED: dict[Path, int] = {
    ("format",): 2,
    ('a "b" é',): 3,
    ('a "b" é', "c d"): 3,
    ("file",): 6,
    ("file", "dates"): 7,
    ("file", "dates", 0): 8,
    ("file", "dates", 1): 10,
    ("file", "dates", 1, "x"): 10,
    ("file", "dates", 1, "y", "z", "w", 1): 10,
    ("file", "dates", 2): 10,
    ("file", "dates", 2, 0): 10,
    ("file", "dates", 2, 1): 11,
    ("file", "last"): 13,
    ("property",): 15,
    ("property", 0): 15,
    ("property", 0, "name"): 16,
    ("property", 0, "fields", "detail.jobTitle"): 17,
    ("property", 0, "fields", "b", "c"): 17,
    ("property", 0, "more"): 18,
    ("property", 0, "more", "y"): 21,
    ("property", 1): 22,
    ("property", 1, "entity", 0): 23,
    ("property", 1, "entity", 1): 24,
    ("property", 1, "entity", 1, "deep", "er"): 25,
}


@pytest.mark.parametrize(("path", "line"), EXPECTED.items())
def test_everything_that_toml_allows_is_found(path: Path, line: int):
    """Keys of every spelling, inline and other tables, arrays over several lines and strings over several lines."""
    tomllib.loads(DOCUMENT)  # it is TOML

    found = places(DOCUMENT)

    assert found.lines[path] == line


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("property", 0, "fields", "missing", "deep"), 17),
        (("property", 1, "name"), 22),
        (("file", "dates", 7), 7),
        (("key", "column"), 1),
        ((), 1),
    ],
)
def test_what_is_not_there_stands_where_it_would_have_to(path: Path, line: int):
    """The line of the nearest table or array around it; the first line of the file if there is none."""
    assert places(DOCUMENT).line(path) == line


@pytest.mark.parametrize("changed", [DOCUMENT.replace("\n", "\r\n"), "\ufeff" + DOCUMENT], ids=["CRLF", "BOM"])
def test_line_ends_and_byte_order_mark_do_not_matter(changed: str):
    """Windows' line ends and a byte order mark change no line."""
    assert places(changed) == places(DOCUMENT)


def test_a_table_stands_at_its_own_header():
    """Where a table's subtable is written first, the table's place is its own header, not the subtable's."""
    text = "[a.b]\nx = 1\n[a]\ny = 2\n"

    found = places(text)

    assert found.lines["a",] == 3
    assert found.lines["a", "b"] == 1


def test_as_deep_as_tomllib_reads():
    """What tomllib can read, however deep, can be located."""
    depth = 300
    text = "a = " + "[\n" * depth + "]" * depth
    tomllib.loads(text)

    assert places(text).line(("a", *[0] * (depth - 1))) == depth


# --- random documents in random styles --------------------------------------------------------------------------------


@dataclass
class Pen:
    """Writes TOML in a random style, and notes where everything comes to stand."""

    draw: Callable[..., Any]
    text: str = ""
    line: int = 1
    noted: dict[Path, int] = field(default_factory=dict)

    def write(self, text: str) -> None:
        self.text += text
        self.line += text.count("\n")

    def choose(self, *choices: str) -> str:
        return str(self.draw(st.sampled_from(choices)))

    def note(self, path: Path) -> None:
        self.noted.setdefault(path, self.line)

    def end_line(self) -> None:
        self.write(self.choose("\n", "  # = [x] \"'\n", "\n\n", "\r\n", "\n \t\n# comment\n"))

    def key(self, key: str) -> None:
        spellings = [json.dumps(key), '"' + "".join(f"\\u{ord(letter):04x}" for letter in key) + '"']
        if key and key.replace("-", "").replace("_", "").isalnum() and key.isascii():
            spellings.append(key)
        if "'" not in key:
            spellings.append(f"'{key}'")
        self.write(self.choose(*spellings))

    def string(self) -> None:
        self.write(
            self.choose(
                '""', '"a"', "'b = [1]'", '"\\"# no"', '"""\n"""', '"""a\n\n"b" """', "'''\n\n''c'''", '"""x\\\n y"""',
                '"""quote""""', "'''two'''''", "''",
            )
        )  # fmt: skip

    def value(self, value: Any, path: Path) -> None:
        if isinstance(value, dict):
            self.inline_table(value, path)
        elif isinstance(value, list):
            self.array(value, path)
        elif isinstance(value, str):
            self.string()
        else:
            self.write(self.choose("1", "-1.5e3", "1979-05-27 07:32:00.5", "true", "+inf", "0xff", "07:32:00", "6.26"))

    def inline_table(self, table: dict[str, Any], path: Path) -> None:
        self.write("{ ")
        for number, (key, value) in enumerate(table.items()):
            self.write(", " if number else "")
            self.pair(key, value, path)
        self.write(self.choose(" }", "}"))

    def array(self, items: list[Any], path: Path) -> None:
        self.write("[")
        for number, item in enumerate(items):
            self.write(self.choose("", "\n", " ", "# ], \n", "\r\n  "))
            self.note((*path, number))
            self.value(item, (*path, number))
            self.write(self.choose("", "\n", " # , \n"))
            if number < len(items) - 1 or self.draw(st.booleans()):
                self.write(",")
        self.write(self.choose("]", "\n]"))

    def pair(self, key: str, value: Any, path: Path) -> None:
        """Write a pair, a table of one key as a dotted key now and then."""
        self.note((*path, key))
        self.key(key)
        path = (*path, key)
        while isinstance(value, dict) and len(value) == 1 and self.draw(st.booleans()):
            self.write(self.choose(".", " . "))
            [(key, value)] = value.items()
            self.key(key)
            path = (*path, key)
            self.note(path)
        self.write(self.choose(" = ", "="))
        self.value(value, path)

    def table(self, table: dict[str, Any], path: Path) -> None:
        """Write what a table holds: pairs first, then the tables in it that get a header of their own."""
        later = {}
        for key, value in table.items():
            if _has_headers(value) and self.draw(st.booleans()):
                later[key] = value
            else:
                self.write(self.choose("", "  "))
                self.pair(key, value, path)
                self.end_line()
        for key, value in later.items():
            inner = (*path, key)
            for number, item in enumerate(value if isinstance(value, list) else [value]):
                element = (*inner, number) if isinstance(value, list) else inner
                self.note(inner)
                self.note(element)
                self.header(element, "[[" if isinstance(value, list) else "[")
                self.table(item, element)

    def header(self, path: Path, bracket: str) -> None:
        self.write(bracket + self.choose("", " "))
        for number, key in enumerate(part for part in path if isinstance(part, str)):
            self.write(self.choose(".", " . ") if number else "")
            self.key(key)
        self.write(self.choose("", " ") + bracket.replace("[", "]"))
        self.end_line()


def _has_headers(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(item, dict) for item in value)
    return isinstance(value, dict)


KEYS = st.sampled_from(["a", "b-1", "detail.jobTitle", "é", "with space", "7", "it's", "", "=", "# no", '"', "[x]"])
VALUES = st.recursive(
    st.sampled_from(["text", 1]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)


@st.composite
def documents(draw: Callable[..., Any]) -> tuple[str, dict[Path, int]]:
    """A document, and the line of everything in it."""
    pen = Pen(draw)
    pen.table(draw(st.dictionaries(KEYS, VALUES, max_size=4)), ())
    return pen.text, pen.noted


def _paths(value: Any, path: Path = ()) -> Iterator[Path]:
    if path:
        yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in parts:
        yield from _paths(inner, (*path, key))


@given(documents())
def test_everything_tomllib_finds_is_located_where_it_was_written(written: tuple[str, dict[Path, int]]):
    """For every path into what tomllib reads, the line is the one on which it was written; nothing else has a line."""
    text, lines = written
    values = tomllib.loads(text)

    found = places(text)

    assert set(found.lines) == set(_paths(values))
    assert found.lines == lines
