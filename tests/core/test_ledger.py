"""The ledger: what is written is read back, what is broken is refused, and what is due is told."""

from __future__ import annotations

import gzip
import io
from dataclasses import fields, replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.columns import open_columns, write_columns
from connector.core.ledger import (
    DueTimes,
    Entry,
    Ledger,
    due_times,
    dump_entry,
    dump_ledger,
    load_ledger,
    sample,
    scattered,
    settle,
    unsure,
)
from connector.core.packed import Kind, column_names
from connector.errors import StoreError
from tests.core.entries import ENTRIES, SEVERAL, TEXT
from tests.core.people import DAY, NOW, a_ledger, an_entry, an_unmatched

_LEDGERS = st.builds(
    Ledger,
    connection=TEXT,
    tenant=TEXT,
    contract=st.sampled_from(["labels", "preview", "of a later release"]),
    incarnation=TEXT,
    generation=st.integers(0, 10**9),
    entries=st.lists(ENTRIES, max_size=5).map(lambda entries: {entry.key: entry for entry in entries}),
)


def lines_of(*lines: object) -> bytes:
    """Return JSON lines as an earlier release stored a ledger."""
    return gzip.compress(b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines))


HEADER = {"format": 1, "connection": "c", "tenant": "t", "contract": "labels", "incarnation": "i", "generation": 1}


@given(_LEDGERS)
def test_a_ledger_is_read_as_it_was_written(ledger):
    """Every field of every entry survives."""
    assert load_ledger(dump_ledger(ledger)) == ledger


@pytest.mark.parametrize("version", [1, 2])
@given(entries=st.lists(ENTRIES, max_size=5, unique_by=lambda entry: entry.key))
def test_a_ledger_of_an_earlier_release_is_read(version, entries):
    """The first one's entries know everything but the cells of the last row, of which nothing is said then."""
    rows = [dump_entry(entry) if version == 2 else dump_entry(entry)[:-1] for entry in entries]
    expected = [entry if version == 2 else replace(entry, fields=b"") for entry in entries]

    read = load_ledger(lines_of({**HEADER, "format": version, "people": len(rows)}, *rows))

    assert read.entries == {entry.key: entry for entry in expected}
    assert read == replace(Ledger("c", "t", "labels", "i", 1), entries=read.entries)


def test_a_sample_names_items_that_graph_certainly_holds():
    """Of the ones in doubt, refused, or never sent nobody knows; and no more are read than are asked for."""
    doubtful = [
        replace(an_entry("E1"), state="doubt"),
        replace(an_entry("E2"), state="failed"),
        an_unmatched("E3"),
    ]
    ledger = a_ledger(*doubtful, *(an_entry(f"E{number}") for number in range(4, 10)))

    items = sample(load_ledger(dump_ledger(ledger)), most=2)

    assert items == (an_entry("E4").item_id, an_entry("E5").item_id)


@given(SEVERAL, st.lists(TEXT, max_size=3))
def test_items_are_taken_from_all_over_the_ledger(entries, apart):
    """At both ends and in the middle, as near as Graph certainly holds one; the same of a ledger that was stored."""
    ledger = a_ledger(*(entries[key] for key in sorted(entries)))
    order = [e.item_id if e.held and e.state == "sent" else "" for e in ledger.entries.values()]
    order = ["" if item_id in apart else item_id for item_id in order]
    certain = [item_id for item_id in order if item_id]
    later = [item_id for item_id in order[len(order) // 2 :] if item_id]

    found = scattered(ledger, apart={*apart, ""})

    assert set(found) == {*certain[:1], *later[:1], *certain[-1:]}
    assert scattered(load_ledger(dump_ledger(ledger)), apart={*apart, ""}) == found


def test_every_field_of_an_entry_is_tried():
    """The round trip above leaves no field at its default."""
    assert {field.name for field in fields(Entry)} == set(ENTRIES.wrapped_strategy.kwargs)  # type: ignore[attr-defined]


def test_the_same_ledger_is_the_same_bytes():
    """A generation written twice is one content: no time of writing goes into it."""
    ledger = a_ledger(an_entry("E1"), an_entry("E2"))

    assert dump_ledger(ledger) == dump_ledger(ledger)


WHOLE = dump_ledger(a_ledger(*(an_entry(f"E{number}") for number in range(20))))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "ledger_corrupt"),
        (b"nonsense", "ledger_corrupt"),
        (b"ledger", "ledger_corrupt"),
        (b"ledger 3", "ledger_corrupt"),
        (b"ledger 3\n", "ledger_corrupt"),
        (b"ledger 3\n" + bytes(8), "ledger_corrupt"),
        (b"ledger 4\nwhatever there will be", "ledger_format"),
        (b"ledger x\nwhatever", "ledger_corrupt"),
        (WHOLE + b"\0", "ledger_corrupt"),
        (WHOLE[:40] + WHOLE[41:], "ledger_corrupt"),
        (lines_of({**HEADER, "people": 0})[:-9], "ledger_corrupt"),
        (gzip.compress(b""), "ledger_corrupt"),
        (gzip.compress(b"not JSON\n"), "ledger_corrupt"),
        (lines_of([1, 2, 3]), "ledger_corrupt"),
        (lines_of({"format": 3}), "ledger_format"),
        (lines_of({"format": 1}), "ledger_corrupt"),
        (lines_of({**HEADER, "people": 1}), "ledger_corrupt"),
        (lines_of({**HEADER, "people": 1}, ["E1", "u1"]), "ledger_corrupt"),
        (lines_of({**HEADER, "people": 1}, None), "ledger_corrupt"),
        (lines_of({**HEADER, "people": 1}, {"key": "E1"}), "ledger_corrupt"),
    ],
)
def test_what_is_no_whole_ledger_is_refused(data, code):
    """A ledger is the only memory of what Graph holds: half of one is none."""
    with pytest.raises(StoreError) as raised:
        load_ledger(data)

    assert raised.value.code == code


def test_a_ledger_that_is_cut_off_anywhere_is_refused():
    """Whatever is missing at its end is missed when it is read, not when it is needed."""
    for length in range(len(WHOLE)):
        with pytest.raises(StoreError) as raised:
            load_ledger(WHOLE[:length])

        assert raised.value.code == "ledger_corrupt"


def test_a_ledger_in_which_any_bit_is_another_is_refused():
    """Each byte of the file counts, and is checked before any of it is believed."""
    for place in range(len(WHOLE)):
        for bit in range(8):
            damaged = WHOLE[:place] + bytes((WHOLE[place] ^ 1 << bit,)) + WHOLE[place + 1 :]
            with pytest.raises(StoreError) as raised:
                load_ledger(damaged)

            assert raised.value.code in {"ledger_corrupt", "ledger_format"}


def test_item_ids_that_are_made_otherwise_are_not_guessed():
    """They are not stored where they are as the contract makes them: another way of making them is another format."""
    columns = open_columns(lambda start, size: WHOLE[start : start + size], len(WHOLE), b"ledger 3\n")
    names = [*column_names(Kind())]
    other = io.BytesIO()
    facts = {**columns.facts, "item_id": "made otherwise"}
    write_columns(other.write, b"ledger 3\n", facts, ((name, columns.column(name)) for name in names))

    with pytest.raises(StoreError) as raised:
        load_ledger(other.getvalue())

    assert raised.value.code == "ledger_format"


@given(_LEDGERS, st.sampled_from(["labels", "preview", "another"]))
def test_entries_keep_their_item_ids_whatever_ledger_they_come_to_be_in(ledger, contract):
    """A ledger of another connection or contract makes other ids of the same people; those that are stay."""
    moved = replace(load_ledger(dump_ledger(ledger)), connection="another", contract=contract)

    assert load_ledger(dump_ledger(moved)).entries == ledger.entries


def test_settling_makes_the_next_generation():
    """Changes are put in place, the gone are forgotten, the old generation stays as it was."""
    ledger = a_ledger(an_entry("E1"), an_entry("E2"))

    settled = settle(ledger, [an_entry("E1", absent=1), an_entry("E3")], ["E2", "E9"])

    assert settled.generation == ledger.generation + 1
    assert set(settled.entries) == {"E1", "E3"}
    assert settled.entries["E1"].absent == 1
    assert set(ledger.entries) == {"E1", "E2"}


@given(_LEDGERS, st.lists(ENTRIES, max_size=4), st.lists(TEXT, max_size=3), st.integers(0, 9), st.integers(0, 9))
def test_a_ledger_that_was_read_is_as_good_as_one_that_was_made(ledger, changes, gone, resolve_after, unmatched_after):
    """In columns it counts, waits, forgets and settles as one that has an object for everybody."""
    stored = load_ledger(dump_ledger(ledger))
    gone = [*gone, *list(ledger.entries)[:1]]

    assert (stored.held, stored.people) == (ledger.held, ledger.people)
    assert due_times(stored, resolve_after=resolve_after, unmatched_after=unmatched_after) == due_times(
        replace(ledger, entries=dict(sorted(ledger.entries.items()))),
        resolve_after=resolve_after,
        unmatched_after=unmatched_after,
    )
    assert unsure(stored) == unsure(ledger)
    assert settle(stored, changes, gone) == settle(ledger, changes, gone)
    assert load_ledger(dump_ledger(settle(stored, changes, gone))) == settle(ledger, changes, gone)


def test_a_ledger_counts_what_graph_holds():
    """Entries without an item do not count for the deletion limit."""
    ledger = a_ledger(an_entry("E1"), an_unmatched("E2"), an_entry("E3", state="doubt"), an_entry("E4", held=False))

    assert ledger.held == 2


@pytest.mark.parametrize(
    "another",
    [{"connection": "hr2"}, {"tenant": "other"}, {"contract": "preview"}, {"incarnation": "two"}],
)
def test_a_ledger_belongs_to_one_incarnation_of_one_connection(another):
    """Another connection, tenant, contract or incarnation makes it void; another generation does not."""
    ledger = a_ledger(an_entry())

    assert ledger.is_of_the_same(replace(ledger, generation=99, entries={}))
    assert not ledger.is_of_the_same(a_ledger(an_entry(), **another))


def test_failures_are_tried_less_and_less_often():
    """A quarter of an hour, doubling, to a day at most; what Graph accepted before is unknown by then."""
    entry, waits = an_entry(), []
    for _ in range(12):
        entry = entry.failed("conflict", now=NOW)
        waits.append(entry.retry_at - NOW)

    assert waits[0] <= 15 * 60
    assert waits[1:4] == [2 * waits[0], 4 * waits[0], 8 * waits[0]]
    assert waits[-1] == DAY
    assert (entry.state, entry.source, entry.item) == ("failed", b"", b"")


@pytest.mark.parametrize(
    ("entry", "due"),
    [
        (an_entry(), DueTimes(accounts=NOW + 7 * DAY)),
        (an_unmatched(), DueTimes(unmatched=NOW + DAY)),
        (an_entry(state="unmatched"), DueTimes(unmatched=NOW + DAY)),
        (an_entry(state="failed", retry_at=NOW + 60), DueTimes(failed=NOW + 60, accounts=NOW + 7 * DAY)),
        (an_entry(state="doubt", retry_at=NOW + 60), DueTimes(failed=NOW + 60, accounts=NOW + 7 * DAY)),
        (an_entry(absent=1), DueTimes()),
        (an_entry(absent=2, state="failed", retry_at=NOW + 60), DueTimes(failed=NOW + 60)),
        (an_entry(state="outside", held=False), DueTimes()),
    ],
)
def test_what_is_due_depends_on_the_state(entry, due):
    """Failed items, unmatched people and known accounts have their moments; nobody asks about the absent."""
    assert due_times(a_ledger(entry), resolve_after=7 * DAY, unmatched_after=DAY) == due


def test_the_earliest_moment_counts():
    """Of all people the first due decides; an empty ledger is never due."""
    ledger = a_ledger(
        an_entry("E1", resolved=NOW),
        an_entry("E2", resolved=NOW - 50),
        an_unmatched("E3", resolved=NOW - 7),
        an_unmatched("E4"),
        an_entry("E5", state="failed", retry_at=NOW + 9),
        an_entry("E6", state="failed", retry_at=NOW + 3),
    )

    assert due_times(ledger, resolve_after=100, unmatched_after=10) == DueTimes(
        failed=NOW + 3, unmatched=NOW + 3, accounts=NOW + 50
    )
    assert due_times(a_ledger(), resolve_after=100, unmatched_after=10) == DueTimes()
