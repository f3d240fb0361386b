"""A plan's people with reasons, and how long it would take."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connector.core.plan import Delete, Plan, Upsert
from connector.core.rehearsal import Sample, expected, samples
from tests.core.people import a_ledger, an_entry


def upsert(key: str, *, item: bytes = b"new", created: bool = False, moved: str = "") -> Upsert:
    """Return a PUT of somebody's item."""
    return Upsert(replace(an_entry(key), item=item), 1, 0, created, moved)


def test_everybody_has_a_reason():
    """What is new about them against what Graph last accepted; a former item is its person's."""
    same = an_entry("E6")
    ledger = a_ledger(
        an_entry("E2"),
        replace(an_entry("E3"), state="doubt"),
        replace(an_entry("E4"), state="failed", held=False),
        an_entry("E5"),
        same,
        an_entry("E7"),
        an_entry("E8"),
        an_entry("E9"),
    )
    plan = Plan(
        actions=(
            upsert("E1", created=True),
            upsert("E2"),
            upsert("E3"),
            upsert("E4", created=True),
            upsert("E5", moved="before"),
            upsert("E6", item=same.item),
            Delete(an_entry("E7"), "left"),
            Delete(an_entry("E5").former("before"), "renamed"),
        ),
        changes=(),
        held=(Delete(an_entry("E8"), "absent"),),
        missing=("E9",),
    )

    told = [(each.action, each.key, each.reason) for each in samples(plan, ledger, limit=9)]

    assert told == [
        ("create", "E1", "new"),
        ("update", "E2", "changed"),
        ("update", "E3", "tried again"),
        ("create", "E4", "tried again"),
        ("update", "E5", "renamed"),
        ("update", "E6", "sent again"),
        ("delete", "E7", "left"),
        ("delete", "E5", "renamed"),
        ("hold", "E8", "absent"),
        ("wait", "E9", "absent"),
    ]


def test_so_many_of_each_kind_are_named():
    """The first ones, in the plan's order."""
    plan = Plan(actions=(*(upsert(f"E{number}") for number in range(5)), Delete(an_entry("E9"), "left")), changes=())

    named = samples(plan, a_ledger(), limit=2)

    assert [sample.key for sample in named] == ["E0", "E1", "E9"]
    assert samples(plan, a_ledger(), limit=0) == ()
    assert isinstance(named[0], Sample)


@pytest.mark.parametrize(
    ("pace", "ceiling", "per_second", "learned", "seconds", "slices"),
    [
        ({}, None, 25.0, False, 40, 1),
        ({"concurrency": 8, "rate": 10.0}, None, 10.0, True, 100, 2),
        ({"rate": 10.0}, 4.0, 4.0, True, 250, 5),
        ({}, 30.0, 25.0, False, 40, 1),
    ],
)
def test_the_duration_is_that_of_the_pace(pace, ceiling, per_second, learned, seconds, slices):
    """Learned, or usual; never faster than the operator allows."""
    plan = Plan(actions=tuple(upsert(f"E{number}") for number in range(1000)), changes=())

    found = expected(plan, pace, ceiling=ceiling, slice_seconds=60)

    assert (found.per_second, found.learned, found.seconds, found.slices) == (per_second, learned, seconds, slices)


def test_nothing_to_do_takes_no_time():
    """No writes, no seconds, no slice."""
    found = expected(Plan(actions=(), changes=()), {}, ceiling=None, slice_seconds=60)

    assert (found.writes, found.seconds, found.slices) == (0, 0, 0)
