"""The guards: what is too much, each at its very edge."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core import guards
from connector.core.guards import Changes, DeletionLimit, Verdict
from connector.core.mapping import Fill
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
    ("code", "tripped", "released", "refuses"),
    [
        ("everyone", True, False, True),
        ("everyone", False, False, False),
        ("everyone", True, True, False),
        ("", True, False, False),
    ],
    ids=["tripped", "passed", "approved", "holds deletions only"],
)
def test_a_guard_refuses_when_it_trips_and_nobody_has_approved_it(code, tripped, released, refuses):
    """The guard on deletions has no code: it refuses nothing."""
    assert Verdict("name", "limit", "found", tripped, code, released).refuses is refuses
    assert Verdict("name", "limit", "found", tripped, code).released is False


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
    assert not guards.everyone(Population({"N1": a_person("N1")}), a_ledger(E1.former("old"))).tripped


@pytest.mark.parametrize(
    ("held", "transferred", "tripped"),
    [(10, 5, False), (10, 6, True), (599, 5, False), (599, 6, True), (1000, 10, False), (1000, 11, True)],
)
def test_many_accounts_under_new_keys_refuse_the_export(held, transferred, tripped):
    """A few people get new keys every night; when it is more than a few, the HR system was renumbered."""
    verdict = guards.rekeyed(deleting(3, transferred), a_ledger(*holding(held)))

    assert (verdict.tripped, verdict.code) == (tripped, "rekeyed")


# --- what changed -----------------------------------------------------------------------------------------------------

COLUMNS = ("Id", "Title", "Phone")


def cells(*numbers: int, kind: bytes = b"kind") -> bytes:
    """Return the digests of somebody's cells, as a mapping of `COLUMNS` makes them."""
    return kind + bytes(number % 255 + 1 for number in numbers)


def staff(count: int, changed: int = 0, **more: Any) -> Population:
    """Return so many people, of whom the first ones have another title than in `remembered`."""
    people = (a_person(f"E{number}", fields=cells(number, 1 if number < changed else 2, 3)) for number in range(count))
    return Population({person.key: person for person in people}, **more)


def remembered(count: int) -> list[Entry]:
    """Return the entries of so many people, whose title was 2."""
    return [an_entry(f"E{number}", fields=cells(number, 2, 3)) for number in range(count)]


def verdicts(population: Population, *entries: Entry, percent: float = 50) -> tuple[bool, bool]:
    """Return whether the guard on one column, and that on all cells, trip."""
    found = guards.changes(population, a_ledger(*entries), COLUMNS)
    field = guards.changed_field(found, max_percent=percent)
    return field.tripped, guards.changed_cells(found, max_percent=percent).tripped


@pytest.mark.parametrize(
    ("people", "changed", "percent", "tripped"),
    [
        (19, 19, 50, False),
        (20, 10, 50, False),
        (20, 11, 50, True),
        (1000, 500, 50, False),
        (1000, 501, 50, True),
        (20, 20, 100, False),
        (20, 1, 0, True),
        (20, 0, 0, False),
        (10_000, 57, 0.57, False),
        (10_000, 58, 0.57, True),
    ],
)
def test_a_column_that_changed_for_too_many_refuses_the_export(people, changed, percent, tripped):
    """More than MAX_CHANGE_PERCENT, from twenty people up: a shifted column."""
    assert verdicts(staff(people, changed), *remembered(people), percent=percent) == (tripped, tripped)


def test_changes_in_different_columns_count_together():
    """Nobody's column need have changed for too many, where too many people have changed."""
    people = {
        f"E{n}": a_person(f"E{n}", fields=cells(n, 1 if n < 8 else 2, 4 if 4 <= n < 16 else 3)) for n in range(24)
    }

    found = guards.changes(Population(people), a_ledger(*remembered(24)), COLUMNS)

    assert found == Changes(24, 16, {"Phone": 12, "Title": 8})
    assert not guards.changed_field(found, max_percent=50).tripped
    assert guards.changed_cells(found, max_percent=50).tripped


def test_joiners_and_leavers_are_no_changes():
    """Neither trips the guards, and neither widens the share of those who stay."""
    stay = staff(30, changed=15).people
    joiners = {f"N{number}": a_person(f"N{number}", fields=cells(number, 9, 9)) for number in range(100)}
    leavers = {f"E{n}": a_person(f"E{n}", leaver=True, fields=cells(n, 9, 9)) for n in range(30, 90)}
    outside = {f"E{n}": a_person(f"E{n}", outside=True, fields=cells(n, 9, 9)) for n in range(90, 120)}
    one_more = {"E16": a_person("E16", fields=cells(16, 1, 3))}

    assert verdicts(Population({**stay, **joiners, **leavers, **outside}), *remembered(130)) == (False, False)
    assert verdicts(Population({**stay, **one_more, **joiners, **leavers}), *remembered(130)) == (True, True)


@pytest.mark.parametrize(
    "before",
    [b"", cells(1, 2, 3, kind=b"othe"), cells(1, 2), cells(1, 2, 3, 4)],
    ids=["none", "others", "less", "more"],
)
def test_where_no_cells_are_known_nothing_has_changed(before):
    """An earlier release's ledger, and one made under a mapping of other columns, say nothing about cells."""
    entries = [replace(entry, fields=before) for entry in remembered(40)]

    found = guards.changes(staff(40, changed=40), a_ledger(*entries), COLUMNS)

    assert found == Changes(0, 0, {})
    assert verdicts(staff(40, changed=40)) == (False, False)


def test_a_partial_export_is_held_against_everybody():
    """It names only who has changed, so that of itself all have; of all people it may still be too many."""
    everybody = remembered(100)

    assert verdicts(staff(50, changed=50, complete=False), *everybody) == (False, False)
    assert verdicts(staff(51, changed=51, complete=False), *everybody) == (True, True)
    assert verdicts(staff(50, changed=50), *everybody) == (True, True)


def test_the_finding_names_the_columns_and_nobody():
    """The column that tripped is told with its share; where none did, the one that came nearest."""
    found = Changes(40, 30, {"Title": 25, "Phone": 10})

    assert guards.changed_field(found, max_percent=50).found == "Title: 25 of 40 people (62.5 %)"
    assert guards.changed_field(found, max_percent=70).found == "Title: 25 of 40 people (62.5 %)"
    assert guards.changed_field(Changes(40, 0, {}), max_percent=50).found == "no column changed"
    assert guards.changed_cells(found, max_percent=50).found == "30 of 40 people (75.0 %)"


def test_a_finding_names_ten_columns_at_most():
    """A file in which everything has changed makes no endless sentence."""
    found = Changes(40, 40, {f"Column {number}": 40 for number in range(200)})

    verdict = guards.changed_field(found, max_percent=50)

    assert verdict.found.count("people") == 10
    assert verdict.found.endswith("; and 190 more")
    assert (
        "more"
        not in guards.changed_field(replace(found, columns={f"C{n}": 40 for n in range(10)}), max_percent=5).found
    )


# --- columns gone blank -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "of", "now", "out_of", "tripped"),
    [
        (100, 100, 50, 100, False),
        (100, 100, 49, 100, True),
        (100, 100, 0, 100, True),
        (20, 100, 9, 100, True),
        (20, 100, 10, 100, False),
        (19, 100, 0, 100, False),
        (20, 20, 0, 19, False),
        (19, 19, 0, 20, False),
        (20, 20, 0, 20, True),
        (100, 100, 25, 50, False),
        (100, 100, 24, 50, True),
        (100, 100, 100, 201, True),
    ],
)
def test_a_column_that_has_gone_blank_refuses_the_export(before, of, now, out_of, tripped):
    """One that was filled for a fifth loses more than half of its rate; judged where both exports have 20 people."""
    last = guards.to_remember(Fill(of, {"Id": of, "Title": before}))

    verdict = guards.emptied(last, Fill(out_of, {"Id": out_of, "Title": now}))

    assert (verdict.tripped, verdict.code) == (tripped, "column_emptied")
    assert verdict.found.startswith("Title: ") if tripped else verdict.found == "no column"


def test_a_column_is_judged_by_both_exports_or_not_at_all():
    """A column that the mapping did not read then, or does not read now, has not gone blank."""
    assert not guards.emptied(Fill(100, {"Old": 100}), Fill(100, {"New": 0})).tripped
    assert not guards.emptied(Fill(), Fill(100, {"Title": 0})).tripped
    assert not guards.emptied(guards.to_remember(Fill(0, {"Title": 0})), Fill(100, {"Title": 0})).tripped


def test_fill_rates_take_little_room():
    """The head is read at every tick: columns that are next to empty are not kept, nor more than a thousand."""
    fill = Fill(1000, {"Blank": 0, "Rare": 199, **{f"Column {number}": 1000 for number in range(5000)}})

    kept = guards.to_remember(fill)

    assert len(kept.filled) == 1000
    assert not {"Blank", "Rare"} & kept.filled.keys()


# --- another mapping --------------------------------------------------------------------------------------------------


def updating(count: int, *, joiners: int = 0, again: int = 0) -> Plan:
    """Return a plan with so many other items, new ones, and items sent once more as they are."""
    entries = [an_entry(f"E{number}", item=b"another item") for number in range(count)]
    entries += [an_entry(f"E{number}") for number in range(count, count + again)]
    updates = [Upsert(entry, 1, 0, created=False) for entry in entries]
    creates = [Upsert(an_entry(f"N{number}"), 1, 0, created=True) for number in range(joiners)]
    return Plan(actions=(*updates, *creates), changes=())


@pytest.mark.parametrize(
    ("items", "plan", "changed", "tripped"),
    [
        (19, updating(19), True, False),
        (20, updating(10), True, False),
        (20, updating(11), True, True),
        (20, updating(20), False, False),
        (20, updating(10, joiners=100), True, False),
        (100, updating(50, again=50), True, False),
        (100, updating(51, again=49), True, True),
        (20, deleting(20), True, False),
    ],
    ids=["few", "half", "more", "same mapping", "joiners", "sent again", "more and again", "deletions"],
)
def test_a_mapping_that_rewrites_too_many_items_is_refused(items, plan, changed, tripped):
    """More than MAX_CHANGE_PERCENT of what Graph holds become other items, because of the mapping."""
    verdict = guards.rewritten(plan, a_ledger(*holding(items)), changed=changed, max_percent=50)

    assert (verdict.tripped, verdict.code) == (tripped, "mapping_change")


def test_an_approval_is_about_what_a_guard_has_found():
    """Of a renumbered company the accounts that move, of a mapping the items it rewrites; and nobody who joins."""
    plan = updating(2, joiners=3, again=4)
    plan = replace(plan, actions=(*plan.actions, *deleting(2, transferred=2).actions))

    found = guards.about(plan, a_ledger(*holding(10)))

    assert found.keys() == {"rekeyed", "mapping"}
    assert [action.after.key for action in found["mapping"] if isinstance(action, Upsert)] == ["E0", "E1"]
    assert [action.entry.key for action in found["rekeyed"] if isinstance(action, Delete)] == ["T0", "T1"]


def test_items_that_graph_may_not_have_are_not_rewritten():
    """Whoever was refused, in doubt or without account is sent anyway; a former item is nobody's."""
    doubtful = [an_entry(f"E{number}", state="failed", item=b"") for number in range(40)]
    former = [an_entry(f"E{number}").former(f"old{number}") for number in range(40)]
    gone = [an_entry(f"E{number}", held=False) for number in range(40)]

    assert not guards.rewritten(updating(40), a_ledger(*doubtful), changed=True, max_percent=50).tripped
    assert not guards.rewritten(updating(40), a_ledger(*gone), changed=True, max_percent=50).tripped
    assert guards.about(updating(40), a_ledger(*gone, *former))["mapping"] == []
    some = [*holding(20), *(an_entry(f"G{number}", held=False) for number in range(40))]
    assert guards.rewritten(updating(11), a_ledger(*some), changed=True, max_percent=50).tripped
    assert guards.rewritten(updating(11), a_ledger(*holding(20), *former), changed=True, max_percent=50).tripped


def test_a_verdict_tells_limit_and_finding():
    """What was found and what is allowed can be read in the report, also when nothing trips."""
    verdict = guards.deletions(deleting(2), a_ledger(*holding(100)), [(NOW - 60, 1)], DEFAULT, NOW)

    assert verdict.limit == (
        "at most 5 in 24 hours (5 % of the 100 items that Graph holds, at most 500; 3 are always allowed)"
    )
    assert verdict.found == "2 planned, 1 in the last 24 hours"


def test_upserts_are_no_deletions():
    """However many are sent, the deletion guard is not concerned."""
    upserts = tuple(Upsert(replace(E1, key=f"E{number}"), number, 0, created=True) for number in range(1000))

    assert not guards.deletions(Plan(actions=upserts, changes=()), a_ledger(), [], DEFAULT, NOW).tripped


# --- names and sets ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "alone", "tripped"),
    [(1, False, False), (2, False, True), (2, True, False), (9, False, True)],
)
def test_one_file_is_not_a_population_of_several(before, alone, tripped):
    """Unless its manifest says that it is alone; the finding tells of how many files the last population was made."""
    verdict = guards.one_of_a_set(before, alone=alone)

    assert (verdict.tripped, verdict.code) == (tripped, "different_export")
    assert f"{before} files" in verdict.found


@pytest.mark.parametrize(
    ("names", "last", "tripped"),
    [
        (["people-2.csv"], ["people-1.csv"], False),
        (["people_20261123.csv"], ["People 2026-11-22.csv"], False),
        (["2026/11/people.zip"], ["2026/10/people.csv.gz"], False),
        (["1.csv"], ["2.csv"], False),
        (["no/people.csv"], ["se/people.csv"], True),
        (["contractors.csv"], ["people.csv"], True),
        (["people-test-1.csv"], ["people-1.csv"], True),
        (["people.csv", "interns.csv"], ["people.csv"], False),
        (["people.csv"], ["people.csv", "interns.csv"], False),
        (["people.csv", "interns.csv"], ["people.csv", "externals.csv"], True),
        (["Leute.csv"], ["Mitarbeiter.csv"], True),
    ],
)
def test_an_export_has_the_name_of_the_last_one(names, last, tripped):
    """Digits, what stands between them, case and packing aside; files may join a set, or leave it."""
    verdict = guards.same_name(names, last, vouched=False)

    assert (verdict.tripped, verdict.code) == (tripped, "different_export")
    assert not guards.same_name(names, last, vouched=True).tripped
