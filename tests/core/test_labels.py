"""The labels contract: item ids, schema and item bodies, byte for byte."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.accounts import Known
from connector.core.contracts import Content, labels
from connector.core.mapping import load_mapping

DEFAULT = load_mapping("default", (Path(__file__).parents[2] / "connector" / "mappings" / "default.toml").read_bytes())


def item(filled: dict[str, Any]) -> bytes:
    """Return an item with these properties."""
    return labels.item(Content("u1", "contosohr", Known("id", "e1@contoso.com"), DEFAULT, filled))


def body(**filled: Any) -> dict[str, Any]:
    """Return the JSON of an item with these properties."""
    return dict(orjson.loads(item(filled)))


def test_an_item_id_is_the_documented_digest_of_connection_and_key():
    """`u` and 40 hexadecimal digits of the SHA-256 of "connection/key": it does not depend on the UPN."""
    identifier = labels.item_id("contosohr", key="E1", upn="e1@contoso.com")

    assert identifier == "u" + hashlib.sha256(b"contosohr/E1").hexdigest()[:40]
    assert len(identifier) == 41


@given(connection=st.from_regex("[A-Za-z0-9]{3,32}", fullmatch=True), one=st.text(), other=st.text())
def test_item_ids_are_alphanumeric_and_tell_people_apart(connection, one, other):
    """Whatever the key, Graph accepts the id (alphanumeric, at most 128); different keys have different ids."""
    first = labels.item_id(connection, key=one.encode("utf-8", "replace").decode(), upn="")
    second = labels.item_id(connection, key=other.encode("utf-8", "replace").decode(), upn="")

    assert first.isascii()
    assert first.isalnum()
    assert len(first) <= 128
    if one.encode("utf-8", "replace") != other.encode("utf-8", "replace"):
        assert first != second


def test_the_default_mappings_schema_is_the_documented_one():
    """One property per label, collections as stringCollection, the custom property as a plain string."""
    assert labels.schema(DEFAULT) == {
        "baseType": "microsoft.graph.externalItem",
        "properties": [
            {"name": "accounts", "type": "string", "labels": ["personAccount"]},
            {"name": "name", "type": "string", "labels": ["personName"]},
            {"name": "positions", "type": "string", "labels": ["personCurrentPosition"]},
            {"name": "emails", "type": "stringCollection", "labels": ["personEmails"]},
            {"name": "phones", "type": "stringCollection", "labels": ["personPhones"]},
            {"name": "skills", "type": "stringCollection", "labels": ["personSkills"]},
            {"name": "favoriteColor", "type": "string", "description": "The person's favourite colour"},
        ],
    }


def test_an_item_is_for_everyone_in_the_organisation():
    """Nothing but this access control list is accepted for people data."""
    assert body(favoriteColor="blue") == {
        "id": "u1",
        "acl": [{"type": "everyone", "value": "everyone", "accessType": "grant"}],
        "properties": {"favoriteColor": "blue"},
    }


def test_an_entity_is_one_json_object_in_a_string():
    """A single-value property carries its entity as JSON text."""
    properties = body(name={"displayName": "Ada", "first": "Ada"})["properties"]

    assert orjson.loads(properties["name"]) == {"displayName": "Ada", "first": "Ada"}


def test_several_entities_are_strings_in_a_collection():
    """A collection carries one JSON text per entity, in their order, with its type specifier."""
    properties = body(skills=[{"displayName": "SQL"}, {"displayName": "Go"}])["properties"]

    assert properties == {
        "skills@odata.type": "Collection(String)",
        "skills": ['{"displayName":"SQL"}', '{"displayName":"Go"}'],
    }


@pytest.mark.parametrize(
    ("value", "specified"),
    [("blue", False), ("grün", True), ({"first": "Ada"}, False), ({"first": "Zoë"}, True), ({"first": "\x7f"}, False)],
)
def test_text_beyond_ascii_has_its_type_specifier(value, specified):
    """Graph wants the type named when a string holds non-ASCII characters, in entities too."""
    properties = body(x=value)["properties"]

    assert ("x@odata.type" in properties) is specified
    assert properties.get("x@odata.type", "String") == "String"


_JSON = st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.booleans() | st.integers(-9, 9), max_size=4)
_FILLED = st.dictionaries(
    st.from_regex("[a-z]{1,5}", fullmatch=True), st.text(max_size=8) | _JSON | st.lists(_JSON, max_size=3), max_size=4
)


@given(filled=_FILLED, data=st.data())
def test_the_same_content_is_the_same_bytes(filled, data):
    """The order in which properties and fields were filled in makes no difference: the item's digest is stable."""

    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: shuffled(value[key]) for key in data.draw(st.permutations(list(value)))}
        return [shuffled(each) for each in value] if isinstance(value, list) else value

    assert item(shuffled(filled)) == item(filled)


@given(one=_FILLED, other=_FILLED)
def test_other_content_is_other_bytes(one, other):
    """Bodies are equal only if their content is."""
    assert (item(one) == item(other)) is (_typed(one) == _typed(other))


def _typed(value: Any) -> Any:
    """Return the value in a form in which True and 1 differ."""
    if isinstance(value, dict):
        return {key: _typed(each) for key, each in value.items()}
    return [_typed(each) for each in value] if isinstance(value, list) else (type(value), value)
