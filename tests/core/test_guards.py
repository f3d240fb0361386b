"""The guards: what is too much, each at its very edge."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core import guards
from connector.core.guards import DeletionLimit
from connector.core.plan import Delete, Plan, Population, Upsert
from tests.core.people import DAY, NOW, a_ledger, a_person, an_entry, an_unmatched

if TYPE_CHECKING:
    from connector.core.ledger import Entry

DEFAULT = DeletionLimit(percent=5, count=500, allowance=3)


def holding(items: int) -> list[Entry]:
    """Return the entries of so many people whose items Graph holds."""
    return [an_entry(f"E{number}") for number in range(items)]


def deleting(absent: int, transferred: int = 0) -> Plan:
    """Return a plan with so many deletions."""
    deletes = [Delete(an_entry(f"E{number}"), "absent") for number in range(absent)]
    moves = [Delete(an_entry(f"T{number}"), "transferred") for number in range(transferred)]
    return Plan(actions=(*deletes, *moves), changes=())


# --- deletions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "held", "allowed"),
    [
        (DEFAULT, 0, 3),
        (DEFAULT, 60, 3),
        (DEFAULT, 79, 3),
        (DEFAULT, 80, 4),
        (DEFAULT, 10_000, 500),
        (DEFAULT, 9_999, 499),
        (DEFAULT, 1_000_000, 500),
        (DeletionLimit(10, 500, 0), 9, 0),
        (DeletionLimit(10, 500, 0), 10, 1),
        (DeletionLimit(0, 500, 0), 1000, 0),
        (DeletionLimit(100, 5, 0), 1000, 5),
        (DeletionLimit(5, 0, 3), 1000, 3),
        (DeletionLimit(100, 10, 20), 1000, 20),
        (DeletionLimit(0.57, 500, 0), 10_000, 57),
        (DeletionLimit(4.35, 500, 0), 100, 4),
    ],
)
def test_the_deletion_limit_is_the_documented_one(limit, held, allowed):
    """The greater of the allowance and the smaller of percentage and count."""
    assert limit.of(held) == allowed


@pytest.mark.parametrize(
    ("planned", "earlier", "tripped"),
    [
        (5, [], False),
        (6, [], True),
        (2, [(NOW - 60, 3)], False),
        (3, [(NOW - 60, 3)], True),
        (3, [(NOW - 60, 1), (NOW - 3600, 2)], True),
        (5, [(NOW - DAY, 100)], False),
        (1, [(NOW - DAY + 1, 5)], True),
        (0, [(NOW - 60, 100)], False),
    ],
)
def test_deletions_are_counted_over_a_day(planned, earlier, tripped):
    """The limit holds for this plan and the last 24 hours together; a plan without deletions never trips it."""
    verdict = guards.deletions(deleting(planned), a_ledger(*holding(100)), earlier, DEFAULT, NOW)

    assert verdict.tripped is tripped
    assert verdict.name == "deletions"


def test_transfers_are_not_counted_as_deletions():
    """An account that lives on under another key is no leaver."""
    ledger = a_ledger(*holding(100))

    assert not guards.deletions(deleting(0, transferred=50), ledger, [], DEFAULT, NOW).tripped
    assert not guards.deletions(deleting(5, transferred=50), ledger, [], DEFAULT, NOW).tripped
    assert guards.deletions(deleting(6, transferred=50), ledger, [], DEFAULT, NOW).tripped


def test_the_limit_is_a_share_of_what_graph_holds():
    """People of whom nothing was sent do not widen the limit."""
    unsent = [an_unmatched(f"U{number}") for number in range(1000)]

    assert guards.deletions(deleting(6), a_ledger(*holding(100), *unsent), [], DEFAULT, NOW).tripped


@given(
    limit=st.builds(DeletionLimit, st.floats(0, 100), st.integers(0, 1000), st.integers(0, 1000)),
    held=st.integers(0, 100_000),
)
def test_the_deletion_limit_stays_between_its_bounds(limit, held):
    """Never below the allowance, never above count and allowance, never above the percentage and the allowance."""
    allowed = limit.of(held)

    assert limit.allowance <= allowed <= max(limit.allowance, limit.count)
    assert allowed <= max(limit.allowance, held * limit.percent / 100 + 1e-6)


# --- the whole export -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "rejected", "tripped"),
    [(0, 0, False), (19, 19, False), (20, 4, False), (20, 5, True), (1000, 200, False), (1000, 201, True)],
)
def test_too_many_rejected_rows_refuse_the_export(rows, rejected, tripped):
    """More than MAX_REJECT_PERCENT, from twenty rows up."""
    verdict = guards.rejected_rows(rows, rejected, max_percent=20)

    assert (verdict.tripped, verdict.code) == (tripped, "too_many_rejected")


@pytest.mark.parametrize(
    ("people", "matched", "tripped"),
    [(0, 0, False), (19, 0, False), (20, 10, False), (20, 9, True), (1000, 500, False), (1000, 499, True)],
)
def test_too_few_accounts_refuse_the_export(people, matched, tripped):
    """Fewer than MIN_MATCH_PERCENT, from twenty people up."""
    verdict = guards.match_rate(people, matched, min_percent=50)

    assert (verdict.tripped, verdict.name) == (tripped, "match_rate")


E1, E2 = an_entry("E1"), an_entry("E2")


@pytest.mark.parametrize(
    ("population", "tripped"),
    [
        (Population({}), True),
        (Population({"N1": a_person("N1"), "N2": a_person("N2")}), True),
        (Population({"E1": a_person("E1", leaver=True), "E2": a_person("E2", leaver=True)}), True),
        (Population({"E1": a_person("E1", leaver=True), "N1": a_person("N1")}), True),
        (Population({"E1": a_person("E1", leaver=True), "E2": a_person("E2")}), False),
        (Population({"E2": a_person("E2")}), False),
        (Population({}, rejected=frozenset({"E1"})), False),
        (Population({}, complete=False), False),
        (Population({"E1": a_person("E1", leaver=True)}, complete=False), False),
        (Population({"E1": a_person("E1", leaver=True), "E2": a_person("E2", leaver=True)}, complete=False), True),
    ],
    ids=[
        "nobody",
        "entirely different keys",
        "all have left",
        "left or absent",
        "one stays",
        "one absent",
        "all but one rejected row absent",
        "an empty partial export",
        "a partial export with a leaver",
        "a partial export in which all have left",
    ],
)
def test_an_export_that_would_remove_everyone_is_refused(population, tripped):
    """Somebody of those Graph holds must stay, be it as a rejected row."""
    verdict = guards.everyone(population, a_ledger(E1, E2, an_unmatched("U1")))

    assert (verdict.tripped, verdict.code) == (tripped, "everyone")


def test_an_export_that_takes_everyone_out_of_scope_is_refused():
    """A filter that leaves everybody out would remove everybody, if only after the grace; a partial export none."""
    away = {"E1": a_person("E1", outside=True), "E2": a_person("E2", outside=True)}

    assert guards.everyone(Population(away), a_ledger(E1, E2)).tripped
    assert not guards.everyone(Population(away, complete=False), a_ledger(E1, E2)).tripped
    assert not guards.everyone(Population({**away, "E2": a_person("E2")}), a_ledger(E1, E2)).tripped


def test_where_graph_holds_nobody_nobody_is_removed():
    """The first export, and one after everyone was unmatched, are no removal."""
    assert not guards.everyone(Population({"E1": a_person()}), a_ledger()).tripped
    assert not guards.everyone(Population({"E1": a_person()}), a_ledger(an_unmatched("U1"))).tripped


@pytest.mark.parametrize(
    ("held", "transferred", "tripped"),
    [(10, 5, False), (10, 6, True), (599, 5, False), (599, 6, True), (1000, 10, False), (1000, 11, True)],
)
def test_many_accounts_under_new_keys_refuse_the_export(held, transferred, tripped):
    """A few people get new keys every night; when it is more than a few, the HR system was renumbered."""
    verdict = guards.rekeyed(deleting(3, transferred), a_ledger(*holding(held)))

    assert (verdict.tripped, verdict.code) == (tripped, "rekeyed")


def test_a_verdict_tells_limit_and_finding():
    """What was found and what is allowed can be read in the report, also when nothing trips."""
    verdict = guards.deletions(deleting(2), a_ledger(*holding(100)), [(NOW - 60, 1)], DEFAULT, NOW)

    assert verdict.limit == "5 % of 100 items, at most 500, at least 3: 5"
    assert verdict.found == "2 planned, 1 in the last 24 hours"


def test_upserts_are_no_deletions():
    """However many are sent, the deletion guard is not concerned."""
    upserts = tuple(Upsert(replace(E1, key=f"E{number}"), number, 0, created=True) for number in range(1000))

    assert not guards.deletions(Plan(actions=upserts, changes=()), a_ledger(), [], DEFAULT, NOW).tripped
