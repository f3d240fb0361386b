"""Whose item is read back when, and what counts as another one than was sent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.ledger import due_times, dump_ledger, load_ledger
from connector.core.readback import ReadBack, counts, differences, drifted, is_emptied, turn_of, turns
from tests.core.entries import SEVERAL
from tests.core.people import NOW, a_ledger, an_entry, an_unmatched

SCHEMA = ["account", "name", "skills", "note", "color"]
EVERYONE = {"type": "everyone", "value": "everyone", "accessType": "grant"}


def staff(count: int) -> list[Any]:
    """Return the entries of so many people."""
    return [an_entry(f"E{number}") for number in range(count)]


# --- turns ------------------------------------------------------------------------------------------------------------


@given(people=st.integers(1, 40), count=st.integers(1, 50), joiners=st.integers(0, 10))
def test_everybody_has_a_turn(people, count, joiners):
    """After so many runs as it takes, all that were there have been asked for, though others join meanwhile."""
    asked: set[str] = set()
    after = ""
    for run in range(-(-(people + joiners) // count)):
        ledger = a_ledger(*staff(people + (joiners if run else 0)))
        some = turns(ledger, after, count)
        assert len({entry.key for entry in some}) == len(some) == min(count, len(ledger.entries))
        asked |= {entry.key for entry in some}
        after = turn_of(some[-1])

    assert asked >= {entry.key for entry in staff(people)}


@given(entries=SEVERAL, count=st.integers(1, 5), after=st.none() | st.integers(0, 11))
def test_turns_are_the_same_in_a_ledger_that_was_stored(entries, count, after):
    """It finds out whose turn it is without looking at everybody's entry."""
    ledger = a_ledger(*entries.values())
    turn = "" if after is None or after >= len(entries) else turn_of(list(entries.values())[after])

    assert turns(load_ledger(dump_ledger(ledger)), turn, count) == turns(ledger, turn, count)


def test_turns_do_not_hang_on_where_the_ledger_keeps_whom():
    """The same people have the same turn, whatever order they stand in."""
    entries = staff(9)

    assert turns(a_ledger(*entries), "", 4) == turns(a_ledger(*reversed(entries)), "", 4)


def test_only_what_graph_certainly_took_is_asked_for():
    """Not what failed, is in doubt, has no account or no item, and no former item."""
    entry = an_entry("E1")
    others = [
        replace(an_entry("E2"), state="failed"),
        replace(an_entry("E3"), state="doubt"),
        an_unmatched("E4"),
        replace(an_entry("E5"), held=False),
        an_entry("E6").former("u6"),
    ]

    assert turns(a_ledger(entry, *others), "", 10) == [entry]


# --- differences ------------------------------------------------------------------------------------------------------


def sent(**properties: Any) -> bytes:
    """Return the body of a PUT; __ in a name stands for @odata."""
    named = {name.replace("__", "@odata."): value for name, value in properties.items()}
    return orjson.dumps({"id": "u1", "acl": [EVERYONE], "properties": named})


PUT = sent(
    account='{"userPrincipalName":"a@contoso.com"}',
    name__type="String",
    name='{"displayName":"Zoë"}',
    skills__type="Collection(String)",
    skills=['{"displayName":"a"}', '{"displayName":"b"}'],
    note="{not json",
)


def held(**changes: Any) -> dict[str, Any]:
    """Return the item as Graph would answer with it, with some properties changed; None takes one away."""
    item: dict[str, Any] = orjson.loads(PUT)
    item["properties"] |= changes
    item["properties"] = {name: value for name, value in item["properties"].items() if value is not None}
    return item


@pytest.mark.parametrize(
    "found",
    [
        held(),
        held() | {"@odata.context": "https://graph.microsoft.com/beta/$metadata#x", "content": None},
        held(**{"name@odata.type": None, "skills@odata.type": "#Collection(String)"}),
        held(skills=['{"displayName":"b"}', '{ "displayName": "a" }']),
        held(account='{\n  "userPrincipalName" : "a@contoso.com"\n}'),
        held(color=""),
        held(color=[]),
        {**held(), "properties": {**held()["properties"], "color": None}},
        held(iconUrl="https://example.com/icon.png"),
        held() | {"acl": [{**EVERYONE, "identitySource": "azureActiveDirectory"}]},
        held()
        | {"acl": [{"type": "Everyone", "value": "9f1c4f0a-5d0e-4b6c-8b1e-0c0ffee00001", "accessType": "Grant"}]},
    ],
)
def test_what_graph_writes_otherwise_by_itself_is_no_drift(found):
    """Annotations, empty and foreign properties, order in a collection, spelling of JSON, and details of the list."""
    assert differences(PUT, found, schema=SCHEMA) == ()


@pytest.mark.parametrize(
    ("found", "names"),
    [
        (held(name='{"displayName":"Zoe"}'), ("name",)),
        (held(note="{not json at all"), ("note",)),
        (held(skills=['{"displayName":"a"}']), ("skills",)),
        (held(skills=['{"displayName":"a"}', '{"displayName":"a"}']), ("skills",)),
        (held(name=None, account=None), ("account", "name")),
        (held(color="red"), ("color",)),
        (held() | {"acl": []}, ("acl",)),
        (held() | {"acl": [EVERYONE, {"type": "user", "value": "x", "accessType": "deny"}]}, ("acl",)),
        ({"id": "u1"}, ("account", "name", "note", "skills", "acl")),
    ],
)
def test_what_somebody_else_wrote_is_drift(found, names):
    """The names of the properties are told, and no value."""
    assert differences(PUT, found, schema=SCHEMA) == names


# --- what comes of it -------------------------------------------------------------------------------------------------


def test_what_drifted_is_in_doubt_and_due_at_the_next_tick():
    """Graph may still have the item, so it is not forgotten; the rest of the ledger is as before."""
    same, changed, gone, unread = (an_entry(key) for key in ("E1", "E2", "E3", "E4"))
    ledger = a_ledger(same, changed, gone, unread)
    found = [
        ReadBack(same, "same"),
        ReadBack(changed, "changed", ("name",)),
        ReadBack(gone, "vanished"),
        ReadBack(unread, "unread"),
    ]

    after = drifted(ledger, found, now=NOW)

    assert {key: entry.state for key, entry in after.entries.items()} == {
        "E1": "sent",
        "E2": "doubt",
        "E3": "doubt",
        "E4": "sent",
    }
    assert all(entry.held for entry in after.entries.values())
    assert after.entries["E2"].item == after.entries["E2"].source == b""
    assert due_times(after, resolve_after=10**9, unmatched_after=10**9).failed == NOW + 14 * 60
    assert after.generation == ledger.generation + 1
    assert drifted(ledger, [found[0], found[3]], now=NOW) is ledger


@pytest.mark.parametrize(
    ("findings", "emptied"),
    [
        (["vanished"] * 2, False),
        (["vanished"] * 3, True),
        (["vanished", "unread", "vanished", "vanished"], True),
        (["vanished"] * 9 + ["same"], False),
        (["vanished"] * 9 + ["changed"], False),
        ([], False),
    ],
)
def test_a_connection_is_emptied_when_nothing_is_left(findings, emptied):
    """One item that is not there may have been deleted by somebody; three and no other were not."""
    found = [ReadBack(an_entry(f"E{number}"), finding) for number, finding in enumerate(findings)]

    assert is_emptied(found, before=NOW + 1) is emptied


def test_what_has_just_been_sent_proves_nothing():
    """Graph may not have it yet, and sending everyone again and again would not help."""
    found = [ReadBack(replace(an_entry(f"E{number}"), sent=NOW), "vanished") for number in range(9)]

    assert not is_emptied(found, before=NOW)


def test_every_item_that_was_to_be_asked_for_is_counted():
    """Whatever Graph was not asked for any more is unread, too."""
    found = [ReadBack(an_entry("E1"), "same"), ReadBack(an_entry("E2"), "unread"), ReadBack(an_entry("E3"), "there")]

    assert counts(found, wanted=5) == {"asked": 5, "same": 1, "there": 1, "changed": 0, "vanished": 0, "unread": 3}
