"""What is wrong with a mapping file: everything at once, by line, in words an operator understands."""

from __future__ import annotations

import copy
import json
import tomllib
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.mapping import load_mapping
from connector.core.mapping.structure import build
from connector.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

RICH = (Path(__file__).parent / "rich.toml").read_text("utf-8")

MINIMAL = """\
format = 1
[key]
column = "Id"
[account]
column = "UPN"
[[property]]
name = "accounts"
label = "personAccount"
"""


def _problems(text: str | bytes) -> list[str]:
    """Return what is said of a mapping; nothing if it is right."""
    try:
        load_mapping("m.toml", text.encode("utf-8") if isinstance(text, str) else text)
    except ConfigurationError as error:
        return [problem.removeprefix("mapping m.toml: ") for problem in error.problems]
    return []


@pytest.mark.parametrize("text", [RICH, MINIMAL])
def test_a_right_mapping_has_no_problem(text: str):
    """A mapping with every key of the language is right, and so is the smallest one."""
    assert _problems(text) == []


# --- one mistake, one problem -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ("format = 2", "line 1: format: must be 1"),
        ("colour = 1\nformat = 1", "line 1: colour: is no key here; allowed: format, description,"),
        ("format = 1\ntimezon = 'UTC'", "line 2: timezon: is no key here; did you mean timezone?"),
        (
            "format = 1\n[file]\nblanks = '-'",
            "line 3: file: blanks: must be an array of strings; put it in brackets: [ ]",
        ),
        ("format = 1\nallow_sensitive = [1]", "line 2: allow_sensitive 1: must be a string, not a number"),
        ("format = 1\ndescription = 2021-01-01", "must be a string, not a date; put it in quotes"),
        ("format = 1\ndescription = 12:00:00", "must be a string, not a time; put it in quotes"),
        ("format = 1\ndescription = true", "must be a string, not true or false"),
        ("format = 1\n[file]\nencoding = 'utf8'", 'line 3: file: encoding: must be one of "utf-8", "utf-16",'),
        ("format = 1\n[file]\nencoding = 'utf8'", "did you mean utf-8?"),
        ("format = 1\n[file]\ndelimiter = ':'", 'must be one of ",", ";", "\\t", "|"'),
        ("format = 1\n[file]\nheader_rows = 3", "line 3: file: header_rows: must be one of 1, 2"),
        ("format = 1\n[file]\ndates = []", "line 3: file: dates: must not be empty"),
        ("format = 1\n[file]\nblanks = ['']", "line 3: file: blanks 1: must not be empty"),
        ("format = 1\n[[file]]", "line 2: file: must be a table, not an array: [file]"),
        ("format = 1\n[status]\ncolumn = 'S'\nin_scope = ['a']", "line 2: status: leaver: is missing; it must be"),
        (
            "format = 1\n[scope]\ncolumn = 'S'\nis = ['a']",
            "line 2: scope: must be an array of tables, not a table: [[sc",
        ),
        ("format = 1\n[[scope]]\nis = ['a']", "line 2: scope 1: column: is missing; it must be a string"),
    ],
)
def test_a_mistake_is_told_once_and_says_what_is_allowed(wrong: str, problem: str):
    """One line with the line's number, the place, what is wrong and what is allowed or was perhaps meant."""
    lines = wrong.split("\n")
    text = (
        MINIMAL.replace("format = 1", "\n".join(line for line in lines if line[0] != "[" and "=" in line))
        if not any(line.startswith("[") for line in lines)
        else wrong + "\n" + MINIMAL.removeprefix("format = 1\n")
    )

    found = _problems(text)

    assert len(found) == 1
    assert problem in found[0]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ("x = 3", "line 11: property 2 (p): x: must be a column's name in quotes, or a table { … }, not a number"),
        ("nickname = { colunm = 'N' }", "nickname: colunm: is no key here; did you mean column?"),
        ("nickname = { constant = [1] }", "constant: must be a string, a number, true or false, not an array"),
        ("nickname = { column = 'N', case = 'Upper' }", 'case: must be one of "upper", "lower", "title"; did you '),
        ("nickname = { columns = 'N' }", "nickname: columns: must be an array of strings; put it in brackets: [ ]"),
        ("nickname = { column = 'N', translate = { a = 1 } }", "translate: a: must be a string, not a number"),
        ("nickname = { person = 'N' }", "nickname: relationship: is missing; it must be a string"),
        ("nicknam = 'N'", "line 11: property 2 (p): nicknam: personName has no"),
        ("nicknam = 'N'", "did you mean nickname?"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_field_is_told_once(fields: str, problem: str):
    """A field can be written in five ways; a mistake in one of them is not five mistakes."""
    text = f"{MINIMAL}[[property]]\nname = 'p'\nfields = {{ first = 'F', {fields} }}\nlabel = 'personName'\n"

    found = _problems(text)

    assert len(found) == 1
    assert problem in found[0]


def test_all_mistakes_are_told_by_line():
    """What is built wrongly hides nothing that is wrong elsewhere, and all stands in the order of the file."""
    text = """\
format = 1
colour = "red"
[key]
colum = "Id"
[account]
column = "UPN"
match = "upn"
[[property]]
name = "accounts"
label = "personAccount"
[[property]]
name = "positions"
label = "personCurrentPosition"
[property.fields]
"detail.jobTitel" = "Title"
"detail.layer" = 7
"detail.role" = { column = "Role", list = ";" }
[[property]]
name = "accounts"
label = "personNmae"
"""

    found = _problems(text)

    assert [problem.split(": ", 1)[0] for problem in found] == [
        f"line {line}" for line in (2, 4, 7, 15, 16, 17, 19, 20)
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"format = 1\n\nkey = = 2\n", "line 3: is not TOML: Invalid value (column 7)"),
        (b"format = 1\r\nfile = [1,\r\n", "line 2: is not TOML: Invalid value"),
        (b"format = 1\nformat = 2\n", "line 2: is not TOML: Cannot overwrite a value (column 11)"),
        (b"format = 1\n# caf\xe9\n", "line 2: is not UTF-8; save the file as UTF-8"),
        (b"format = " + b"[" * 3000 + b"]" * 3000, "is not TOML that can be read: it nests too deep"),
        (b"format = " + b"1" * 5000, "is not TOML: it holds a value that cannot be read"),
    ],
)  # fmt: skip
def test_what_is_no_toml_is_told_with_its_line(text: bytes, problem: str):
    """A mistake of syntax hides the rest; it is told with the line, as every other."""
    assert _problems(text) == [problem]


def test_a_misspelt_table_is_not_missing_as_well():
    """Whoever writes [acount] is told so once, and of what is wrong in it, but not that [account] were missing."""
    found = _problems(MINIMAL.replace("[account]", "[acount]").replace('"UPN"', "7"))

    assert found == [
        "line 4: acount: is no key here; did you mean account?",
        "line 5: acount: column: must be a string, not a number",
    ]


def test_nothing_is_said_of_what_may_follow_from_another_mistake():
    """A property whose label is no text may be the one with the account: that none is there is not known yet."""
    found = _problems(MINIMAL.replace('label = "personAccount"', "label = 7"))

    assert found == ["line 8: property 1 (accounts): label: must be a string, not a number"]


# --- laws -------------------------------------------------------------------------------------------------------------


def _as_toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_as_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_as_toml, value)) + "]"
    return str(value) if isinstance(value, date) else json.dumps(value)


def _text(raw: dict[str, Any]) -> str:
    return "".join(f"{json.dumps(key)} = {_as_toml(value)}\n" for key, value in raw.items())


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from _places(inner, (*path, key))


RAW = tomllib.loads(RICH)
EVERYWHERE = list(_places(RAW))


def _holder(raw: Any, path: tuple[Any, ...]) -> Any:
    for step in path[:-1]:
        raw = raw[step]
    return raw


@pytest.mark.parametrize("path", EVERYWHERE, ids=lambda path: ".".join(map(str, path)))
def test_one_wrong_value_anywhere_is_one_problem_there(path: tuple[Any, ...]):
    """A date, which TOML has and the language nowhere takes, is told once, where it stands, and nothing besides."""
    raw = copy.deepcopy(RAW)
    _holder(raw, path)[path[-1]] = date(2021, 3, 1)

    found = _problems(_text(raw))

    assert len(found) == 1
    assert f"{path[-1] + 1 if isinstance(path[-1], int) else path[-1]}" in found[0]


@pytest.mark.parametrize(
    "path", [path for path in EVERYWHERE if isinstance(path[-1], str)], ids=lambda path: ".".join(map(str, path))
)
def test_one_misspelt_key_anywhere_is_one_problem(path: tuple[Any, ...]):
    """A key with a letter too many is told once, with the key that was meant; what it holds is not complained of."""
    raw = copy.deepcopy(RAW)
    holder = _holder(raw, path)
    items = [(key + "e" if key == path[-1] else key, value) for key, value in holder.items()]
    holder.clear()
    holder.update(items)

    found = _problems(_text(raw))

    if "translate" in path[:-1]:
        assert found == []  # words of the operator's own
    else:
        assert len(found) == 1
        assert f"did you mean {path[-1]}?" in found[0]


ANYTHING = st.recursive(
    st.none() | st.sampled_from(["x", "", "personName", 1, 1.5, True, date(2021, 3, 1)]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["column", "x", "is"]), inner, max_size=2)
    ),
    max_leaves=4,
)  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(EVERYWHERE), ANYTHING), min_size=1, max_size=5))
def test_whatever_stands_anywhere_is_told_in_plain_words(changes: list[tuple[tuple[Any, ...], Any]]):
    """Whatever is put wherever (or taken away), the file is either built, or there are problems without jargon."""
    raw = copy.deepcopy(RAW)
    for path, value in changes:
        try:
            if value is None:
                del _holder(raw, path)[path[-1]]
            else:
                _holder(raw, path)[path[-1]] = value
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took away what held it

    built = build(raw)

    assert built.file is not None
    assert all("nput should" not in problem and "tuple" not in problem for _, problem in built.problems)
    _problems(_text(raw))  # raises nothing but what is documented
