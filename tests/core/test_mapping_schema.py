"""The published JSON Schema of the mapping file says what the loader says, as far as a schema can."""

from __future__ import annotations

import copy
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator  # type: ignore[import-untyped]

from connector.core.entities import LABELS, field_paths, field_type
from connector.core.mapping import load_mapping
from connector.core.mapping.file import MappingFile, PropertyPart
from connector.core.mapping.json_schema import mapping_schema
from connector.errors import ConfigurationError
from tests.core.test_mapping_problems import ANYTHING, EVERYWHERE, MINIMAL, RICH, _holder, _text
from tests.reference.schema import SCHEMA, schema_text

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
MAPPINGS = [*sorted((ROOT / "connector" / "mappings").glob("*.toml")), ROOT / "tests" / "core" / "rich.toml"]

VALIDATOR = Draft7Validator(mapping_schema())


def _loads(text: str) -> bool:
    try:
        load_mapping("m.toml", text.encode("utf-8"))
    except ConfigurationError:
        return False
    return True


def test_the_published_schema_is_the_models():
    """Whoever changes a model writes the schema anew: `make reference`."""
    assert SCHEMA.read_text("utf-8") == schema_text()


def test_the_schema_is_one_of_draft_7():
    """The draft that the TOML editors' language server knows, and everything it refers to is there."""
    schema = mapping_schema()

    Draft7Validator.check_schema(schema)

    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert {ref for ref, _ in _refs(schema)} <= {f"#/definitions/{name}" for name in schema["definitions"]}


def test_nothing_stands_beside_a_reference():
    """Draft 7 ignores what stands beside a $ref, so a description there would be lost."""
    assert {beside for _, beside in _refs(mapping_schema())} == {0}


def _refs(schema: Any) -> Iterator[tuple[str, int]]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"], len(schema) - 1
        for inner in schema.values():
            yield from _refs(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _refs(inner)


@pytest.mark.parametrize("file", MAPPINGS, ids=lambda file: file.name)
def test_every_mapping_of_ours_is_valid(file: Path):
    """The packaged mappings, and one with every key, are valid for an editor."""
    assert [error.message for error in VALIDATOR.iter_errors(tomllib.loads(file.read_text("utf-8")))] == []


@pytest.mark.parametrize("file", MAPPINGS[:-1], ids=lambda file: file.name)
def test_a_packaged_mapping_names_its_schema(file: Path):
    """An editor finds the schema beside the mapping, by its first line."""
    assert file.read_text("utf-8").startswith("#:schema ./mapping.schema.json\n")


def test_an_editor_can_complete_every_key_and_field():
    """Whatever the models take stands in ``properties`` with a description, and each label has its own fields."""
    schema = mapping_schema()
    definitions = schema["definitions"]

    assert set(schema["properties"]) == set(MappingFile.model_fields)
    assert set(definitions["PropertyPart"]["properties"]) == set(PropertyPart.model_fields)
    assert definitions["PropertyPart"]["properties"]["label"]["enum"] == list(LABELS)
    for label, kind in LABELS.items():
        if label != "personAccount":
            fields = definitions[f"fields_of_{label}"]
            assert set(fields["properties"]) == set(field_paths(kind.entity))
            assert set(fields["properties"]) <= set(definitions["fields"]["properties"])


def _with(label: str, fields: str, more: str = "") -> str:
    """Return a mapping with one more property."""
    return MINIMAL + f'[[property]]\nname = "p"\nlabel = "{label}"\n{more}\nfields = {{ {fields} }}\n'


POSITION = "personCurrentPosition"

MISTAKES = {
    "another format": MINIMAL.replace("format = 1", "format = 2"),
    "no format": MINIMAL.replace("format = 1\n", ""),
    "no key": MINIMAL.replace('[key]\ncolumn = "Id"\n', ""),
    "no account": MINIMAL.replace('[account]\ncolumn = "UPN"\n', ""),
    "an unknown key": "colour = 1\n" + MINIMAL,
    "an unknown key in a table": MINIMAL.replace('"UPN"', '"UPN"\nmach = "mail"'),
    "a number for text": MINIMAL.replace('"UPN"', "7"),
    "an empty name": MINIMAL.replace('"UPN"', '""'),
    "two sources": MINIMAL.replace('"UPN"', '"UPN"\ntemplate = "{UPN}"'),
    "no source": MINIMAL.replace('column = "UPN"', 'match = "mail"'),
    "a template without column": MINIMAL.replace('column = "UPN"', 'template = "UPN"'),
    "join for one column": MINIMAL.replace('"UPN"', '"UPN"\njoin = "-"'),
    "otherwise without words": MINIMAL.replace('"UPN"', '"UPN"\notherwise = "keep"'),
    "an unknown match": MINIMAL.replace('"UPN"', '"UPN"\nmatch = "upn"'),
    "an unknown encoding": MINIMAL + '[file]\nencoding = "utf8"\n',
    "an unknown delimiter": MINIMAL + '[file]\ndelimiter = ":"\n',
    "text for an array": MINIMAL + '[file]\ndates = "DD.MM.YYYY"\n',
    "an empty array": MINIMAL + "[file]\ndates = []\n",
    "a status without leavers": MINIMAL + '[status]\ncolumn = "S"\nin_scope = ["a"]\n',
    "a leave without words": MINIMAL + '[leave]\ncolumn = "S"\n',
    "a filter without words": MINIMAL + '[[scope]]\ncolumn = "S"\n',
    "a filter with two kinds of words": MINIMAL + '[[scope]]\ncolumn = "S"\nis = ["a"]\nis_not = ["b"]\n',
    "one table for an array of them": MINIMAL + '[scope]\ncolumn = "S"\nis = ["a"]\n',
    "days without column": MINIMAL + '[effective]\ndates = ["YYYY-MM-DD"]\n',
    "no properties": MINIMAL.split("[[property]]", maxsplit=1)[0] + "property = []\n",
    "nobody's account": MINIMAL.replace("personAccount", "personName") + 'fields = { first = "F" }\n',
    "a property without name": MINIMAL + '[[property]]\ncolumn = "C"\n',
    "a name with a dash": MINIMAL + '[[property]]\nname = "a-b"\ncolumn = "C"\n',
    "a long description": MINIMAL + f'[[property]]\nname = "a"\ncolumn = "C"\ndescription = "{"x" * 201}"\n',
    "an unknown label": _with("personNmae", 'first = "F"'),
    "an unsupported label": _with("personManager", 'displayName = "F"'),
    "fields of the account": MINIMAL + 'fields = { userPrincipalName = "UPN" }\n',
    "a label without fields": MINIMAL + '[[property]]\nname = "p"\nlabel = "personName"\n',
    "a label with a column": _with("personName", 'first = "F"', 'column = "C"'),
    "a custom property without column": MINIMAL + '[[property]]\nname = "p"\n',
    "a custom property with column and value": MINIMAL
    + '[[property]]\nname = "p"\ncolumn = "C"\nvalue = { column = "D" }\n',
    "a custom property with fields": MINIMAL + '[[property]]\nname = "p"\ncolumn = "C"\nfields = { first = "F" }\n',
    "a custom property split": MINIMAL + '[[property]]\nname = "p"\nvalue = { column = "C", split = ";" }\n',
    "an unknown field": _with("personName", 'firstName = "F"'),
    "a field of another label": _with("personName", '"detail.jobTitle" = "F"'),
    "a field that is a table": _with(POSITION, 'detail = "F"'),
    "a number for a field": _with("personName", "first = 3"),
    "an unknown key of a field": _with("personName", 'first = { colum = "F" }'),
    "a word that is not one": _with("personEmails", 'address = "A", type = { constant = "Work" }'),
    "a translation into no word": _with("personEmails", 'type = { column = "A", translate = { a = "Work" } }'),
    "text for a date": _with("personAwards", 'displayName = "A", issuedDate = { constant = "soon" }'),
    "text for truth": _with("personPatents", 'displayName = "A", isPending = { constant = "yes" }'),
    "truth for text": _with("personPatents", 'displayName = "A", number = { constant = true }'),
    "text for a whole number": _with(POSITION, '"detail.role" = "R", "detail.layer" = { constant = "1" }'),
    "a column for a person": _with(POSITION, 'manager = "M"'),
    "a person for text": _with("personName", 'first = { person = "M", relationship = "manager" }'),
    "a person without relationship": _with(POSITION, 'manager = { person = "M" }'),
    "an unknown relationship": _with(POSITION, 'manager = { person = "M", relationship = "boss" }'),
    "a list of managers": _with(POSITION, 'manager = { person = "M", relationship = "manager", list = ";" }'),
    "a list for one value": _with("personName", 'first = { column = "F", list = ";" }'),
    "a split for one entity": _with("personName", 'first = { column = "F", split = ";" }'),
    "dates of a number": _with(POSITION, '"detail.layer" = { column = "L", dates = ["YYYYMMDD"] }'),
    "decimals of text": _with("personName", 'first = { column = "F", decimal = "," }'),
    "truth of text": _with("personName", 'first = { column = "F", true = ["x"] }'),
    "clearing one of several": _with("personSkills", 'displayName = { column = "F", blank = "clear" }'),
    "clearing a date": _with(POSITION, '"detail.startMonthYear" = { column = "F", blank = "clear" }'),
    "several entities of one": MINIMAL
    + '[[property]]\nname = "p"\nlabel = "personName"\nentity = [{ first = "F" }, { last = "L" }]\n',
    "fields and entities": _with("personEmails", 'address = "A"', 'entity = [{ address = "B" }]'),
    "a shape of what is no address": _with("personEmails", 'address = "A"', 'address_shape = "flat"'),
}  # fmt: skip


@pytest.mark.parametrize("text", MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_one_for_editor_and_loader(text: str):
    """What the loader refuses, an editor underlines while it is written."""
    raw = tomllib.loads(text)

    assert not _loads(text)
    assert not VALIDATOR.is_valid(raw)


@pytest.mark.parametrize("label", [label for label in LABELS if label != "personAccount"])
def test_every_field_of_every_label_is_valid_for_both(label: str):
    """A field from a column, or a person, is nothing to underline; how it is written does not matter."""
    for path in field_paths(LABELS[label].entity):
        kind = field_type(LABELS[label].entity, path)
        specs = ['"C"', '{ column = "C", case = "lower" }', '{ columns = ["C", "D"], join = "-" }']
        if kind and kind.person:
            specs = ['{ person = "C", relationship = "sponsor" }', '{ template = "{C}", relationship = "other" }']
        for spec in specs:
            text = _with(label, f'"{path}" = {spec}')

            assert _loads(text)
            assert VALIDATOR.is_valid(tomllib.loads(text)), path


@given(st.lists(st.tuples(st.sampled_from(EVERYWHERE), ANYTHING), min_size=1, max_size=3))
def test_what_the_loader_takes_an_editor_takes(changes: list[tuple[tuple[Any, ...], Any]]):
    """Whatever is put wherever or taken away: nothing that loads is underlined."""
    raw = copy.deepcopy(tomllib.loads(RICH))
    for path, value in changes:
        try:
            if value is None:
                del _holder(raw, path)[path[-1]]
            else:
                _holder(raw, path)[path[-1]] = value
        except (KeyError, IndexError, TypeError):
            continue

    if _loads(_text(raw)):
        assert VALIDATOR.is_valid(raw)


@pytest.mark.parametrize("path", EVERYWHERE, ids=lambda path: ".".join(map(str, path)))
def test_what_may_be_left_out_may_be_left_out_for_both(path: tuple[Any, ...]):
    """Of a mapping with every key, whatever can be taken away and still loads, an editor does without as well."""
    raw = copy.deepcopy(tomllib.loads(RICH))
    del _holder(raw, path)[path[-1]]

    if _loads(_text(raw)):
        assert VALIDATOR.is_valid(raw)
