"""The preview contract: item ids, schema and item bodies exactly as Microsoft's first walkthrough has them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from connector.core.accounts import Known
from connector.core.contracts import Content, contract_of, preview
from connector.core.export import Row
from connector.core.mapping import Mapping, Person, bind, load_mapping

_MAPPINGS = Path(__file__).parents[2] / "connector" / "mappings"
TUTORIAL = load_mapping("tutorial", (_MAPPINGS / "tutorial.toml").read_bytes())
DEFAULT = load_mapping("default", (_MAPPINGS / "default.toml").read_bytes())
ALEX = Known("0f1b2c3d-0000-4000-8000-00000000a1ec", "alexw@contoso.com")


def a_mapping(*properties: str) -> Mapping:
    """Return the tutorial's mapping with further properties, each a table of TOML."""
    text = (_MAPPINGS / "tutorial.toml").read_text() + "".join(f"\n[[property]]\n{each}\n" for each in properties)
    return load_mapping("mine", text.encode())


def item_of(mapping: Mapping, header: str, row: str, account: Known = ALEX) -> dict[str, Any]:
    """Return the item that a row becomes."""
    bound = bind(mapping, header.split(","))
    cells = row.split(",")
    person = bound.person(Row(1, cells, ""))
    assert isinstance(person, Person)
    item_id = preview.item_id("contosohrconnector1", key=person.key, upn=account.upn)
    filled = bound.entities(cells, account, (None,) * len(person.references))
    item: dict[str, Any] = orjson.loads(preview.item(Content(item_id, "contosohrconnector1", account, mapping, filled)))
    return item


def test_the_walkthroughs_person_becomes_the_walkthroughs_item():
    """Every value is the one that the walkthrough's code sends for its first person."""
    item = item_of(
        TUTORIAL, "UPN,Department,Position,FavoriteColor", "alexw@contoso.com,Engineering,Software Engineer,Blue"
    )

    assert item == {
        "id": "alexw_at_contoso_dot_com",
        "acl": [{"accessType": "grant", "type": "everyone", "value": "EVERYONE"}],
        "properties": {
            "connectionId": "contosohrconnector1",
            "externalId": "alexw_at_contoso_dot_com",
            "oid": "0f1b2c3d-0000-4000-8000-00000000a1ec",
            "accounts": '[{"userPrincipalName":"alexw@contoso.com",'
            '"externalDirectoryObjectId":"0f1b2c3d-0000-4000-8000-00000000a1ec"}]',
            "positions": '[{"detail":{"jobTitle":"Software Engineer","company":{"department":"Engineering"}},'
            '"isCurrent":true}]',
            "favoriteColor": "Blue",
        },
    }


def test_the_tutorials_schema_is_the_walkthroughs():
    """Six properties, all of them strings, in the walkthrough's order; no labels, no descriptions."""
    names = ["connectionId", "externalId", "oid", "accounts", "positions", "favoriteColor"]

    assert preview.schema(TUTORIAL) == {
        "baseType": "microsoft.graph.externalItem",
        "properties": [{"name": name, "type": "string"} for name in names],
    }


def test_the_default_mapping_works_too_under_the_entities_own_names():
    """`name` is called `names`; collections are strings as well; a custom property keeps its description."""
    names = [entry["name"] for entry in preview.schema(DEFAULT)["properties"]]

    assert names == [
        *("connectionId", "externalId", "oid", "accounts"),
        *("names", "positions", "emails", "phones", "skills", "favoriteColor"),
    ]
    assert {entry["type"] for entry in preview.schema(DEFAULT)["properties"]} == {"string"}
    assert preview.schema(DEFAULT)["properties"][-1]["description"] == "The person's favourite colour"
    assert list(preview.problems(DEFAULT)) == list(preview.problems(TUTORIAL)) == []


def test_entities_are_arrays_in_strings_of_ascii():
    """One entity or several, the value is the text of a JSON array; what is escaped in it has the specifier besides."""
    header = "EmployeeId,UserPrincipalName,DisplayName,Skills"

    properties = item_of(DEFAULT, header, "C1,alexw@contoso.com,Zoë,SQL;Gö")["properties"]

    assert properties["names"] == '[{"displayName":"Zo\\u00eb"}]'
    assert properties["skills"] == '[{"displayName":"SQL"},{"displayName":"G\\u00f6"}]'
    assert {name: properties[name] for name in properties if "@odata" in name} == {
        "names@odata.type": "String",
        "skills@odata.type": "String",
    }


def test_a_custom_property_beyond_ascii_has_its_type_specifier():
    """That rule is of all external items, whatever the contract."""
    row = "alexw@contoso.com,Engineering,Chef,grün"

    properties = item_of(TUTORIAL, "UPN,Department,Position,FavoriteColor", row)["properties"]

    assert (properties["favoriteColor"], properties["favoriteColor@odata.type"]) == ("grün", "String")


def test_blank_cells_are_left_out():
    """Nobody's profile is emptied by a cell that HR left blank."""
    item = item_of(TUTORIAL, "UPN,Department,Position,FavoriteColor", "alexw@contoso.com,,,")

    assert set(item["properties"]) == {"connectionId", "externalId", "oid", "accounts"}


@pytest.mark.parametrize(
    ("upn", "item_id"),
    [
        ("alexw@contoso.com", "alexw_at_contoso_dot_com"),
        ("o'neil@contoso.com", "o_x27_neil_at_contoso_dot_com"),
        ("a-b_c@contoso.com", "a-b_c_at_contoso_dot_com"),
        ("x~1#EXT#@contoso.com", "x_x7E_1_x23_EXT_x23__at_contoso_dot_com"),
        ("zoë@contoso.com", "zo_xC3__xAB__at_contoso_dot_com"),
    ],
)
def test_an_item_id_is_the_upn_written_out(upn, item_id):
    """`@` and `.` as in the walkthrough; whatever else Graph does not take, by its bytes."""
    assert preview.item_id("contosohr", key="C1", upn=upn) == item_id


@given(upn=st.text(min_size=1))
def test_an_item_id_has_characters_that_graph_takes(upn):
    """Letters, digits, `_` and `-`, whatever the UPN."""
    assume(upn.encode("utf-8", "ignore").decode() == upn)

    assert re.fullmatch(r"[A-Za-z0-9_-]+", preview.item_id("contosohr", key="C1", upn=upn))


@pytest.mark.parametrize("name", ["oid", "connectionId", "externalid", "accounts", "skills", "Names"])
def test_a_custom_property_cannot_have_a_name_that_means_something(name):
    """The names of the entities and of the four core properties are fixed in this contract."""
    if name == "accounts":
        renamed = (_MAPPINGS / "tutorial.toml").read_text().replace('name = "accounts"', 'name = "account"')
        mapping = load_mapping("mine", (renamed + f'\n[[property]]\nname = "{name}"\ncolumn = "X"\n').encode())
    else:
        mapping = a_mapping(f'name = "{name}"\ncolumn = "X"')

    assert [name in problem for problem in preview.problems(mapping)] == [True]


def test_both_contracts_are_known_by_name():
    """CONTRACT's values lead to them, and each says its own name."""
    assert [contract_of(name).NAME for name in ("labels", "preview")] == ["labels", "preview"]


def test_further_entities_have_the_names_of_the_profiles_collections():
    """A label's property bears the collection's name, whatever the mapping calls it, and its schema is a string."""
    mapping = a_mapping(
        'name = "prizes"\nlabel = "personAwards"\n[property.fields]\ndisplayName = "Prize"',
        'name = "about"\nlabel = "personNote"\n[property.fields]\n"detail.content" = "Note"',
    )

    properties = item_of(mapping, "UPN,Prize,Note", "alexw@contoso.com,Best,Hello")["properties"]

    assert (properties["awards"], properties["notes"]) == (
        '[{"displayName":"Best"}]', '[{"detail":{"content":"Hello"}}]'
    )  # fmt: skip
    wanted = [{"name": name, "type": "string"} for name in ("awards", "notes")]
    assert preview.schema(mapping)["properties"][-2:] == wanted
    assert list(preview.problems(mapping)) == []


FORMER = (
    'name = "former"\nlabel = "personWorkPositions"\n[property.fields]\n'
    '"detail.jobTitle" = { column = "Former", split = ";" }'
)


@pytest.mark.parametrize(
    ("row", "titles"),
    [("Boss,Clerk;Help", ["Boss", "Clerk", "Help"]), ("Boss,", ["Boss"]), (",Clerk", None)],
)
def test_former_positions_stand_behind_the_current_one(row, titles):
    """There is one collection of positions, whose first is the current one; without it there are none."""
    mapping = a_mapping(FORMER)

    properties = item_of(mapping, "UPN,Position,Former", f"alexw@contoso.com,{row}")["properties"]

    positions = orjson.loads(properties["positions"]) if "positions" in properties else None
    assert (positions and [one["detail"]["jobTitle"] for one in positions]) == titles
    names = [prop["name"] for prop in preview.schema(mapping)["properties"]]
    assert names.count("positions") == 1


def test_former_positions_need_a_current_one():
    """A mapping with former positions alone is refused in this contract."""
    text = (_MAPPINGS / "tutorial.toml").read_text().replace("personCurrentPosition", "personWorkPositions")

    (problem,) = preview.problems(load_mapping("mine", text.encode()))
    assert "must have the label personCurrentPosition" in problem


def test_people_are_matched_by_user_principal_name():
    """Item ids are made of it; who is matched otherwise would get an id of something else."""
    text = b"""
format = 1
[key]
column = "Id"
[account]
column = "Mail"
match = "mail"
[[property]]
name = "accounts"
label = "personAccount"
"""

    problems = list(preview.problems(load_mapping("ours", text)))

    assert len(problems) == 1
    assert "match is mail" in problems[0]
