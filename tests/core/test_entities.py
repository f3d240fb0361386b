"""The entities behind the labels: exactly the documented fields, and nothing accepted that Graph would ignore."""

from __future__ import annotations

import string
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from connector.core.accounts import Known
from connector.core.entities import LABELS, field_type
from connector.core.export import Row
from connector.core.mapping import Person, bind, load_mapping
from tests.core.reference import ENTITY_RULES, LABEL_RULES, paths
from tests.tenant.graph.entities import ENTITIES, read_entity

if TYPE_CHECKING:
    from collections.abc import Iterator

ADA = Known(id="aaaaaaaa-0000-4000-8000-000000000001", upn="ada@contoso.com")
PAGE = Path(__file__).parents[2] / "docs" / "mapping.md"


def documented(label: str) -> dict[str, str]:
    """Return what each path of a label takes, by the documentation."""
    return paths(LABEL_RULES[label].entity)


@pytest.mark.parametrize("path", ["detail.company", "detail.boss", "detail.jobTitle.x", "colleagues.userId", ""])
def test_what_is_no_field_has_no_type(path):
    """Objects, parts of texts and parts of lists cannot be filled by themselves."""
    assert field_type(LABELS["personCurrentPosition"].entity, path) is None


@pytest.mark.parametrize(
    "text",
    [
        '{"salary": 1}',
        '{"detail": {"company": {"webUrl": "contoso.com"}}}',
        '{"isCurrent": "yes"}',
        '{"detail": {"startMonthYear": "1.3.2021"}}',
        '{"categories": "a"}',
    ],
)
def test_an_entity_takes_nothing_else(text):
    """Unknown fields, other types, other dates and texts in the place of lists are refused."""
    with pytest.raises(ValidationError):
        LABELS["personCurrentPosition"].entity.model_validate_json(text)


# --- laws -------------------------------------------------------------------------------------------------------------

_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\x1f"), max_size=12)
_GOOD = {
    "date": st.dates().map(str),
    "int": st.integers(-(10**9) + 1, 10**9 - 1).map(str),
    "float": st.floats(-1e8, 1e8).map("{:.6f}".format),
    "bool": st.sampled_from(["true", "FALSE"]),
    "url": st.sampled_from(["https://contoso.com", "http://intra/zoë?a=b", "HTTPS://contoso.com:443/a#b"]),
    "mail": st.sampled_from(["ada@contoso.com", "zoë@contoso.com", "O'Neil+x@contoso.com"]),
    "tag": st.sampled_from(["en", "nb-NO", "zh-Hant-TW"]),
    "latitude": st.floats(-90, 90).map("{:.6f}".format),
    "longitude": st.floats(-180, 180).map("{:.6f}".format),
}


def _cells(kind: str) -> st.SearchStrategy[str]:
    words = kind.strip("[]")
    good = _GOOD[words] if words in _GOOD else st.sampled_from(words.split("|")) if "|" in words else _TEXT
    listed = st.lists(good, max_size=4).map(";".join)
    return good | listed | st.just("") | _TEXT


@st.composite
def _rows(draw: st.DrawFn, *, label: str) -> tuple[str, dict[str, str]]:
    """Draw the fields of a mapping for a label, and a row for them."""
    paths = {path: kind for path, kind in documented(label).items() if "person" not in kind}
    chosen = draw(st.lists(st.sampled_from(sorted(paths)), min_size=1, max_size=6, unique=True))
    columns = dict(zip(chosen, string.ascii_uppercase, strict=False))
    one_each = LABELS[label].one_each
    splits = [path for path in chosen if LABELS[label].several and path == (one_each or path)]
    split = draw(st.sampled_from(["", *splits]))
    lines = [f'"{path}" = {_source(column, paths[path], path == split)}' for path, column in columns.items()]
    row = {column: draw(_cells(paths[path])) for path, column in columns.items()}
    return "\n".join(lines), row


def _source(column: str, kind: str, split: bool) -> str:  # noqa: FBT001
    if split:
        return f'{{ column = "{column}", split = ";" }}'
    return f'{{ column = "{column}", list = ";" }}' if kind.startswith("[") else f'"{column}"'


@pytest.mark.parametrize("label", sorted(set(LABELS) - {"personAccount"}))
@given(data=st.data())
@settings(max_examples=settings().max_examples // 2)
def test_what_a_mapping_accepts_is_taken_whole_by_graph(label, data):
    """Entities rendered from an accepted row fit their models and are read without anything being dropped or blank."""
    fields, row = data.draw(_rows(label=label))
    text = f"""
        format = 1
        key.column = "Id"
        account.column = "Account"
        [[property]]
        name = "accounts"
        label = "personAccount"
        [[property]]
        name = "extra"
        label = "{label}"
        [property.fields]
        {fields}
    """
    bound = bind(load_mapping("ours", text.encode()), ["Id", "Account", *row])
    cells = ["E1", ADA.upn, *row.values()]
    if not isinstance(bound.person(Row(1, cells)), Person):
        return

    rendered: Any = bound.entities(cells, ADA, []).get("extra", [])

    entities = rendered if LABELS[label].several else [rendered] if rendered else []
    assert len(entities) <= (LABELS[label].most or len(entities))
    for entity in entities:
        read_back = LABELS[label].entity.model_validate_json(orjson.dumps(entity))
        assert orjson.loads(read_back.model_dump_json(exclude_unset=True)) == entity
        assert read_entity(ENTITIES[label], entity) == (entity, [])
        assert not list(_blanks(entity))


def _blanks(value: Any) -> list[Any]:
    """Return the empty texts, lists and objects in a value."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return [blank for one in inner for blank in _blanks(one)] if value else [value]
    return [value] if isinstance(value, str) and not value.strip() else []


_SHAPES = {"physicalAddress": "address", "companyDetail": "company", "positionDetail": "position"}
"""Entities that several others hold: the page has them in a table of their own, under these names."""


@pytest.mark.parametrize("name", [*sorted(set(LABELS) - {"personAccount"}), *_SHAPES])
def test_the_reference_has_every_field(name):
    """The tables of docs/mapping.md have each label, how many of it a profile takes, and all its fields."""
    shown = _SHAPES.get(name, name)

    rows = [line for line in PAGE.read_text().splitlines() if line.startswith(f"| `{shown}` |")]

    if name in _SHAPES:
        assert rows == [f"| `{shown}` | {', '.join(_shown(name))} |"]
    else:
        rule = LABEL_RULES[name]
        number = "one" if rule.type == "string" else f"at most {rule.most}" if rule.most else "several"
        number += ", one of each type" if rule.one_each else ""
        assert rows == [f"| `{name}` | {number} | {', '.join(_shown(rule.entity))} |"]


def _shown(entity: str, above: str = "") -> Iterator[str]:
    """Yield the fields of an entity as the page has them."""
    for name, kind in ENTITY_RULES[entity].items():
        inner = kind.strip("[]")
        path = f"{above}{name}"
        if inner in _SHAPES:
            yield f"`{path}.` ({_SHAPES[inner]})"
        elif inner in ENTITY_RULES and inner != "relatedPerson":
            yield from _shown(inner, f"{path}.")
        else:
            words = {"text": "", "relatedPerson": "person"}.get(inner, inner).replace("|", ", ")
            if kind != inner:
                words = f"list of {words}" if words else "list"
            words = words.replace("list of person", "list of people")
            yield f"`{path}` ({words})" if words else f"`{path}`"


def test_dates_are_written_whole():
    """A date of an entity is year, month and day, with leading zeros: Edm.Date."""
    entity = LABELS["personAnniversaries"].entity.model_validate_json('{"date": "0987-06-05"}')

    assert orjson.loads(entity.model_dump_json(exclude_unset=True)) == {"date": "0987-06-05"}
