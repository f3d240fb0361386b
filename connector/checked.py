"""What `connector.check` found, laid out for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

_DELIMITERS = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "bar"}


def laid_out(body: dict[str, Any]) -> Group:
    """Return the whole, from the mapping down to the first profiles, for a terminal of some 100 columns."""
    return Group(*_sections(body))


def _sections(body: dict[str, Any]) -> Iterator[RenderableType]:
    yield from _mapping(body["mapping"])
    if "files" in body:
        yield from _files(body)
        yield from _counts(body)
        yield from _rejected(body)
        yield from _people(body["people"])
    yield Text()
    if body["usable"]:
        said = "The mapping is right" + (", and the files can be used." if "files" in body else ".")
        yield Text("✓ ", style="green").append(said, style="default")
    else:
        error = body["error"]
        yield Text("✗ ", style="red").append(f"{error['code']}: {error['message']}", style="default")
        if "advice" in error:
            yield Text(f"  {error['advice']}")
    yield from (Text(f"Wrote {name}: the rejected rows, for HR.") for name in body.get("quarantine", ()))


def _heading(text: str, more: str = "") -> Iterator[RenderableType]:
    yield Text()
    yield Text(text, style="bold").append(f"  {more}" if more else "", style="not bold dim")


def _grid(*rows: tuple[str | Text, ...]) -> Padding:
    table = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(max(map(len, rows), default=0)):
        table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return Padding(table, (0, 0, 0, 2), expand=False)


def _mapping(mapping: dict[str, Any]) -> Iterator[RenderableType]:
    yield Text(f"Mapping {mapping['name']}", style="bold").append(
        f"  contract {mapping['contract']}", style="not bold dim"
    )
    if mapping["description"]:
        yield Padding(Text(mapping["description"]), (0, 0, 0, 2), expand=False)
    account = mapping["account"]
    yield _grid(("key", mapping["key"]), ("account", f"{account['from']}, matched by {account['match']}"))
    for part in mapping["properties"]:
        yield from _heading(part["name"], " ".join(filter(None, (part["label"] or "custom property", part["type"]))))
        yield _grid(*_field_rows(part["fields"]))


def _field_rows(fields: list[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    several = any(field.get("entity", 1) > 1 for field in fields)
    last = 0
    for field in fields:
        number = field.get("entity", 1)
        row = (field["field"], field["from"]) if "field" in field else (field["from"],)
        yield (f"{number}." if number != last else "", *row) if several else row
        last = number


def _files(body: dict[str, Any]) -> Iterator[RenderableType]:
    for file in body["files"]:
        yield from _heading(file["name"], "partial: nobody is deleted for being absent" if file["partial"] else "")
        rows = [
            ("read as", f"{file['encoding']}, {_DELIMITERS.get(file['delimiter'], file['delimiter'])}"),
            ("rows", f"{file['rows']:,}"),
        ]
        if file["skipped"]:
            lines = ", ".join(map(str, file["skipped_lines"]))
            rows.append(("skipped", f"{file['skipped']:,} (line {lines}): neither header nor data"))
        if file["missing_columns"]:
            rows.append(("missing", ", ".join(map(_column, file["missing_columns"])) + ": count as blank"))
        if file["ignored_columns"]:
            rows.append(("ignored", ", ".join(map(_column, file["ignored_columns"]))))
        yield _grid(*rows)


def _column(name: str) -> str:
    return f"[{name}]"


_COUNTS = {
    "in_scope": "in scope: sent if Entra has their account",
    "on_leave": "of them on leave",
    "leavers": "left: whatever was sent of them is deleted",
    "out_of_scope": "rows out of scope: a filter leaves them out, or their day has not come",
    "identical": "rows that say the same as another one",
    "outranked": "rows that do not count, since another row of their key does",
    "rejected": "rows rejected: set aside for HR",
    "unreadable_keys": "of them without a readable key: nobody is deleted for being absent",
}

_OTHERS = {
    "rejected": "stand in rejected rows: left out, unless known before",
    "missing": "are not in the files: left out, unless known before",
    "by_account_only": "are looked up in Entra alone",
}


def _counts(body: dict[str, Any]) -> Iterator[RenderableType]:
    counts, others = body["counts"], body["references"]
    yield from _heading("People", f"as of {body['today']}")
    rows = [(f"{counts[name]:,}", said) for name, said in _COUNTS.items() if counts[name] or name == "in_scope"]
    rows += [(f"{others[name]:,}", f"managers and others {said}") for name, said in _OTHERS.items() if others[name]]
    yield _grid(*rows)


def _rejected(body: dict[str, Any]) -> Iterator[RenderableType]:
    kinds, guard = body["rejected"], body["guard"]
    if not kinds:
        return
    yield from _heading("Rejected rows", f"{guard['found']}; limit: {guard['limit']}")
    several = len(body["files"]) > 1
    for kind in kinds:
        code = Text(kind["code"], style="yellow").append(f"  {kind['rows']:,}", style="default")
        yield Padding(code, (0, 0, 0, 2), expand=False)
        rows = [(f"{row['file']} " * several + f"row {row['row']}", row["message"]) for row in kind["first"]]
        more = kind["rows"] - len(rows)
        yield Padding(_grid(*rows, *([("…", f"and {more:,} more")] if more else [])), (0, 0, 0, 2), expand=False)


def _people(people: list[dict[str, Any]]) -> Iterator[RenderableType]:
    for person in people:
        [(match, text)] = person["account"].items()
        yield from _heading(
            f"{person['key']}  {text}",
            f"{match}, {person['file']} row {person['row']}" + ", on leave" * person["on_leave"],
        )
        rows = [row for name, value in person["properties"].items() for row in _value_rows(name, value)]
        yield _grid(*(rows or [("nothing but the account",)]))


def _value_rows(name: str, value: Any) -> Iterator[tuple[str, ...]]:
    entities = value if isinstance(value, list) else [value]
    for number, entity in enumerate(entities):
        shown = f"{number + 1}." if number else name
        if not isinstance(entity, dict):
            yield shown, "", _text(entity)
            continue
        for path, text in _flat(entity):
            yield shown, path, text
            shown = ""


def _flat(entity: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in entity.items():
        if isinstance(value, dict) and "relationship" not in value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, _text(value)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    if isinstance(value, dict):
        return f"{value['userPrincipalName']} ({value['relationship']})"
    return str(value).lower() if isinstance(value, bool) else str(value) if value != "" else '"" (clears)'
