"""Entries in columns: they are the same as entries in a dict, and what is looked for in them is found."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.accounts import REFERRED, account_key, is_referred
from connector.core.entry import FORMER, Entry
from connector.core.packed import Packed, pack
from tests.core.entries import ENTRIES, KEYS, PLAIN, SEVERAL, TEXT, UPNS, USERS, labels_id

CHANGES = st.dictionaries(KEYS | st.integers(1, 30).map("E{}".format), st.none() | ENTRIES | PLAIN, max_size=6).map(
    lambda found: {key: entry and replace(entry, key=key) for key, entry in found.items()}
)


def a_plain(number: int = 1) -> Entry:
    """Return the entry of somebody of whom nothing need be decided."""
    return Entry(
        key=f"E{number:05}",
        item_id=labels_id(f"E{number:05}", ""),
        upn=f"e{number}@contoso.com",
        user_id=str(uuid.UUID(int=number)),
        source=b"s" * 16,
        item=b"i" * 16,
        references=(f"E{number // 10:05}",),
        state="sent",
        held=True,
        resolved=1_800_000_000,
        sent=1_800_000_000,
        fields=b"kindab\0",
    )


def a_staff(count: int) -> dict[str, Entry]:
    """Return the entries of so many people, more of whom than a scan looks at together if there are enough."""
    return {entry.key: entry for entry in map(a_plain, range(1, count + 1))}


# --- a mapping --------------------------------------------------------------------------------------------------------


@given(SEVERAL, st.sampled_from([None, labels_id]))
def test_entries_come_back_as_they_were(entries, item_id):
    """Any entry at all, by its key, by its place, and among all of them in the order of keys."""
    packed = pack(entries.values(), item_id=item_id)

    assert list(packed) == sorted(entries)
    assert [packed[key] for key in packed] == [entries[key] for key in sorted(entries)]
    assert list(packed.items()) == sorted(entries.items())
    assert list(packed.values()) == [packed.at(place) for place in range(len(packed))]
    assert [packed.key_at(place) for place in range(len(entries))] == sorted(entries)


@given(SEVERAL, KEYS)
def test_a_key_leads_to_its_place(entries, key):
    """Of a key that nobody has there is none."""
    packed = pack(entries.values())

    assert (packed.index(key) >= 0) == (key in entries) == (key in packed)
    assert [packed.index(each) for each in packed] == list(range(len(entries)))
    assert packed.get(key) == entries.get(key)


def test_what_is_no_key_is_not_in_it():
    """As in any mapping: it is asked for, and is not there."""
    packed = pack([a_plain()])

    assert not packed.__contains__(7)
    with pytest.raises(KeyError):
        packed["E9"]


@given(SEVERAL, CHANGES)
def test_changes_are_put_in_place_as_in_a_dict(entries, changes):
    """Added, replaced, forgotten, whether there or not; and the entries of before stay what they were."""
    packed = pack(entries.values(), item_id=labels_id)
    expected = {key: entry for key, entry in {**entries, **changes}.items() if entry is not None}

    changed = packed.changed(changes)

    assert dict(changed) == expected
    assert list(changed) == sorted(expected)
    assert dict(packed) == entries
    if changed.kind == pack(expected.values()).kind:
        assert said_by_columns(changed) == said_by_columns(pack(expected.values()))


@given(SEVERAL, CHANGES, CHANGES)
def test_changes_upon_changes_are_changes(entries, first, second):
    """What came of one settling is settled again before it is stored."""
    packed = pack(entries.values(), item_id=labels_id).changed(first).changed(second)

    expected = {key: entry for key, entry in {**entries, **first, **second}.items() if entry is not None}

    assert dict(packed) == expected


def said_by_columns(packed: Packed) -> tuple[object, ...]:
    """Return what is told of everybody without an entry being made."""
    columns = (packed.plain, packed.sources, packed.users, list(packed.resolved))
    return (*columns, packed.held, packed.people, packed.with_fields, packed.blanks(packed.plain))


def test_another_mapping_for_most_makes_their_fields_the_common_ones():
    """Otherwise nobody would be plain any more from the day on which a column is mapped."""
    packed = pack(a_staff(10).values())
    others = {key: replace(entry, fields=b"KINDabcd") for key, entry in list(a_staff(10).items())[:6]}

    half = packed.changed(dict(list(others.items())[:4]))
    most = packed.changed(others)

    assert sum(half.plain) == 6
    assert sum(most.plain) == 6
    assert most["E00001"].fields == b"KINDabcd"
    assert most["E00010"].fields == b"kindab\0"
    assert sum(half.changed(dict(list(others.items())[4:])).plain) == 6


# --- columns ----------------------------------------------------------------------------------------------------------


@given(SEVERAL)
def test_columns_tell_what_entries_would(entries):
    """Digests, times and counts are there without an entry being made."""
    packed, order = pack(entries.values()), [entries[key] for key in sorted(entries)]

    assert packed.sources == b"".join(e.source if len(e.source) == 16 else bytes(16) for e in order)
    assert list(packed.resolved) == [e.resolved if e.resolved < 2**32 else 0 for e in order]
    assert packed.held == sum(e.held for e in order)
    assert packed.people == sum(not (e.is_former or is_referred(e.key)) for e in order)
    assert packed.with_fields == sum(bool(e.fields) for e in order)
    assert list(packed.not_plain()) == [place for place, mark in enumerate(packed.plain) if not mark]


@pytest.mark.parametrize(
    "changed",
    [
        {"state": "failed"},
        {"state": "doubt"},
        {"state": "unmatched"},
        {"state": "outside"},
        {"held": False},
        {"absent": 1},
        {"failures": 1},
        {"retry_at": 1},
        {"code": "no_account"},
        {"key": FORMER + "u1"},
        {"key": REFERRED + "ada@contoso.com"},
        {"source": b""},
        {"item": b""},
        {"source": b"15 bytes 6789ab"},
        {"user_id": ""},
        {"user_id": "no GUID"},
        {"user_id": str(uuid.UUID(int=0xABC)).upper()},
        {"fields": b""},
        {"fields": b"KINDab\0"},
        {"fields": b"kindab\0\0"},
        {"resolved": 2**32},
        {"resolved": -1},
    ],
)
def test_whoever_needs_a_decision_is_not_plain(changed):
    """Nobody is passed over who failed, is absent, has no account or item, or of whom something is odd."""
    staff = a_staff(3)

    packed = pack([*list(staff.values())[1:], replace(staff["E00001"], **changed)])

    assert packed.plain.count(0) == 1
    assert dict(packed).keys() == {*list(staff)[1:], changed.get("key", "E00001")}


@pytest.mark.parametrize("changed", [{"item_id": "another"}, {"references": ()}, {"references": ("a", "\0")}])
def test_what_is_merely_another_value_leaves_people_plain(changed):
    """Odd is what does not fit, not what is rare."""
    packed = pack([replace(a_plain(), **changed)], item_id=labels_id)

    assert packed.plain == b"\1"
    assert packed["E00001"] == replace(a_plain(), **changed)


@given(SEVERAL, st.data())
def test_blank_cells_are_counted_column_by_column(entries, data):
    """Of those who are chosen and have the common fields, those that have nothing there."""
    packed = pack(entries.values())
    chosen = data.draw(st.binary(min_size=len(packed), max_size=len(packed)) | st.just(b"\1" * len(packed)))

    mark, counts = packed.blanks(chosen)

    fields = [
        entry.fields[4:]
        for wanted, entry in zip(chosen, packed.values(), strict=True)
        if wanted and entry.fields[:4] == mark and len(entry.fields) == 4 + len(counts) and mark
    ]
    assert counts == [sum(not cells[place] for cells in fields) for place in range(len(counts))]


# --- scans ------------------------------------------------------------------------------------------------------------


@given(SEVERAL, st.lists(KEYS | TEXT, max_size=4))
def test_entries_of_some_keys_are_found(entries, keys):
    """In the order of their places, each once, whether they are few or many."""
    packed = pack(entries.values())

    for wanted in (keys, [*keys, *entries]):
        assert packed.with_keys(wanted) == [place for place, key in enumerate(packed) if key in wanted]


@given(SEVERAL, st.lists(KEYS | TEXT, max_size=4), st.data())
def test_whoever_refers_to_somebody_is_found(entries, keys, data):
    """By any of their references, each once."""
    packed = pack(entries.values())
    theirs = sorted({other for entry in entries.values() for other in entry.references})
    wanted = {*keys, *(data.draw(st.lists(st.sampled_from(theirs), max_size=3)) if theirs else ())}

    found = list(packed.referring_to(wanted))

    assert found == [n for n, entry in enumerate(packed.values()) if set(entry.references) & wanted]


def test_whoever_refers_to_several_is_found_beside_whoever_refers_to_nobody():
    """There are as many references then as people, and they are not one each."""
    packed = pack([replace(a_plain(1), references=()), replace(a_plain(2), references=("E7", "E8"))])

    assert list(packed.referring_to(["E8"])) == [1]


@given(SEVERAL, st.lists(UPNS, max_size=4), st.data())
def test_whoever_was_asked_for_is_found(entries, asks, data):
    """By what Entra was asked, which is the UPN where nothing else is said, in whatever spelling."""
    packed, theirs = pack(entries.values()), sorted({entry.asked or entry.upn for entry in entries.values()})
    wanted = {*asks, *(data.draw(st.lists(st.sampled_from(theirs), max_size=3)) if theirs else ())}
    keys = {account_key(each) for each in wanted}

    found = list(packed.asking(keys))

    assert found == [n for n, entry in enumerate(packed.values()) if account_key(entry.asked or entry.upn) in keys]


def test_an_ask_of_any_characters_is_found():
    """Those by which columns are held together are among them."""
    packed = pack([replace(a_plain(1), upn="a\0b@contoso.com"), replace(a_plain(2), asked="mail:\1\2")])

    assert list(packed.asking(["a\0b@contoso.com"])) == [0]
    assert list(packed.asking(["mail:\1\2"])) == [1]


@given(SEVERAL, st.lists(USERS, max_size=4), st.booleans())
def test_whoever_has_an_account_is_found(entries, users, theirs):
    """By the object id, one that is no GUID as well."""
    packed = pack(entries.values())
    wanted = {*users, *(entry.user_id for entry in entries.values() if theirs)} - {""}

    found = sorted(packed.with_users(wanted))

    assert found == [n for n, entry in enumerate(packed.values()) if entry.user_id in wanted]


@pytest.mark.parametrize("count", [4095, 4096, 4097, 10_000])
def test_people_are_found_wherever_they_stand(count):
    """At the ends of what is looked at together, and in the middle of it."""
    packed = pack(a_staff(count).values(), item_id=labels_id)
    places = sorted({0, 4094, 4095, 4096, count // 2, count - 1} & set(range(count)))
    entries = [packed.at(place) for place in places]

    assert packed.with_keys([entry.key for entry in entries]) == places
    assert packed.with_keys(list(packed)) == list(range(count))
    assert list(packed.with_users([entry.user_id for entry in entries])) == places
    assert list(packed.asking([entry.upn for entry in entries])) == places
    reports = [place for place, entry in enumerate(packed.values()) if entry.references == ("E00400",)]
    assert list(packed.referring_to(["E00400"])) == reports
    assert list(packed) == list(a_staff(count))
