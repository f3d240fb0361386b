"""The ledger: what is written is read back, what is broken is refused, and what is due is told."""

from __future__ import annotations

import gzip
from dataclasses import fields, replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.ledger import DueTimes, Entry, Ledger, due_times, dump_ledger, load_ledger, sample, settle
from connector.errors import StoreError
from tests.core.people import DAY, NOW, a_ledger, an_entry, an_unmatched

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_ENTRIES = st.builds(
    Entry,
    key=_TEXT,
    item_id=_TEXT,
    upn=_TEXT,
    user_id=_TEXT,
    source=st.binary(max_size=16),
    item=st.binary(max_size=16),
    references=st.lists(_TEXT, max_size=2).map(tuple),
    state=st.sampled_from(["sent", "doubt", "failed", "unmatched", "outside"]),
    held=st.booleans(),
    absent=st.integers(0, 100),
    resolved=st.integers(0, 2**40),
    sent=st.integers(0, 2**40),
    failures=st.integers(0, 100),
    retry_at=st.integers(0, 2**40),
    code=_TEXT,
    asked=_TEXT,
    fields=st.binary(max_size=40),
)
_LEDGERS = st.builds(
    Ledger,
    connection=_TEXT,
    tenant=_TEXT,
    contract=_TEXT,
    incarnation=_TEXT,
    generation=st.integers(0, 10**9),
    entries=st.lists(_ENTRIES, max_size=5).map(lambda entries: {entry.key: entry for entry in entries}),
)


def packed(*lines: object) -> bytes:
    """Return JSON lines as a ledger is stored."""
    return gzip.compress(b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines))


HEADER = {"format": 1, "connection": "c", "tenant": "t", "contract": "labels", "incarnation": "i", "generation": 1}


@given(_LEDGERS)
def test_a_ledger_is_read_as_it_was_written(ledger):
    """Every field of every entry survives."""
    assert load_ledger(dump_ledger(ledger)) == ledger


def test_a_ledger_of_an_earlier_release_is_read():
    """Its entries know everything but the cells of the last row, of which nothing is said then."""
    entry = an_entry("E1", fields=b"kind and cells")
    header, row = map(orjson.loads, gzip.decompress(dump_ledger(a_ledger(entry))).splitlines())

    read = load_ledger(packed({**header, "format": 1}, row[:-1]))

    assert read.entries == {"E1": replace(entry, fields=b"")}


def test_a_sample_names_items_that_graph_certainly_holds():
    """Of the ones in doubt, refused, or never sent nobody knows; and no more are read than are asked for."""
    doubtful = [
        replace(an_entry("E1"), state="doubt"),
        replace(an_entry("E2"), state="failed"),
        an_unmatched("E3"),
    ]
    entries = [*doubtful, *(an_entry(f"E{number}") for number in range(4, 10))]
    ledger = replace(a_ledger(), entries={entry.key: entry for entry in entries})

    owner, items = sample(dump_ledger(ledger), most=2)

    assert owner == replace(ledger, entries={})
    assert items == (an_entry("E4").item_id, an_entry("E5").item_id)


WHOLE = dump_ledger(a_ledger(*(an_entry(f"E{number}") for number in range(200))))


@pytest.mark.parametrize("data", [b"", b"nonsense", gzip.compress(b"{}\n"), WHOLE[:-9], WHOLE[: len(WHOLE) // 2]])
def test_no_sample_is_taken_of_what_is_no_ledger(data):
    """Damage has the code that it has wherever a ledger is read."""
    with pytest.raises(StoreError) as caught:
        sample(data, most=1)

    assert caught.value.code == "ledger_corrupt"


def test_every_field_of_an_entry_is_tried():
    """The round trip above leaves no field at its default."""
    assert {field.name for field in fields(Entry)} == set(_ENTRIES.wrapped_strategy.kwargs)  # type: ignore[attr-defined]


def test_the_same_ledger_is_the_same_bytes():
    """A generation written twice is one content: no time of writing goes into it."""
    ledger = a_ledger(an_entry("E1"), an_entry("E2"))

    assert dump_ledger(ledger) == dump_ledger(ledger)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "ledger_corrupt"),
        (b"no gzip", "ledger_corrupt"),
        (dump_ledger(a_ledger(an_entry()))[:-12], "ledger_corrupt"),
        (
            dump_ledger(a_ledger(an_entry()))[:20] + b"\xff" * 8 + dump_ledger(a_ledger(an_entry()))[28:],
            "ledger_corrupt",
        ),
        (gzip.compress(b""), "ledger_corrupt"),
        (gzip.compress(b"not JSON\n"), "ledger_corrupt"),
        (packed([1, 2, 3]), "ledger_corrupt"),
        (packed({"format": 3}), "ledger_format"),
        (packed({"format": 1}), "ledger_corrupt"),
        (packed({**HEADER, "people": 1}), "ledger_corrupt"),
        (packed({**HEADER, "people": 1}, ["E1", "u1"]), "ledger_corrupt"),
        (packed({**HEADER, "people": 1}, None), "ledger_corrupt"),
        (packed({**HEADER, "people": 1}, {"key": "E1"}), "ledger_corrupt"),
    ],
)
def test_what_is_no_whole_ledger_is_refused(data, code):
    """A ledger is the only memory of what Graph holds: half of one is none."""
    with pytest.raises(StoreError) as raised:
        load_ledger(data)

    assert raised.value.code == code


@given(st.data())
def test_a_damaged_ledger_is_refused_or_whole(data):
    """Whatever byte is flipped, wherever it is cut, reading it raises StoreError or finds what was written."""
    ledger = a_ledger(*(an_entry(f"E{number}") for number in range(20)))
    stored = dump_ledger(ledger)
    place = data.draw(st.integers(0, len(stored) - 1))
    damaged = stored[:place] + data.draw(st.binary(max_size=2)) + stored[place + data.draw(st.integers(1, 60)) :]

    try:
        read = load_ledger(damaged)
    except StoreError as error:
        assert error.code in {"ledger_corrupt", "ledger_format"}  # noqa: PT017 - either way is right
    else:
        assert read == ledger


def test_settling_makes_the_next_generation():
    """Changes are put in place, the gone are forgotten, the old generation stays as it was."""
    ledger = a_ledger(an_entry("E1"), an_entry("E2"))

    settled = settle(ledger, [an_entry("E1", absent=1), an_entry("E3")], ["E2", "E9"])

    assert settled.generation == ledger.generation + 1
    assert set(settled.entries) == {"E1", "E3"}
    assert settled.entries["E1"].absent == 1
    assert set(ledger.entries) == {"E1", "E2"}


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
